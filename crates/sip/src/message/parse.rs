//! A received message, checked.

use std::borrow::Cow;

use super::address::{AddressRef, NameAddr};
use super::cseq::CSeq;
use super::error::{BadHeader, Flaw, ParseError};
use super::header::{Header, HeaderValue, SipCallId};
use super::header_name::HeaderName;
use super::index::{self, Index, RawHeader};
use super::limits::MAX_LIST_VALUES;
use super::media_type::MediaType;
use super::method::Method;
use super::outgoing::Response;
use super::scan::{self, Cursor, List};
use super::start_line::StartRef;
use super::status::StatusCode;
use super::token::Token;
use super::uri::{Uri, UriRef};
use super::via::{Via, ViaRef};

/// A received message that is well-formed as far as every element needs it.
///
/// An [`Index`] whose start line, Via, From, To and Content-Type were checked too. The typed values of the methods
/// below are built when asked for.
#[derive(Debug, Clone)]
pub struct Message<'a> {
    index: Index<'a>,
}

/// The start line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// A request.
    Request {
        /// Its method.
        method: Method,
        /// Its Request-URI; a sip URI has no headers.
        uri: Uri,
    },
    /// A response.
    Response {
        /// Its code.
        status: StatusCode,
        /// Its reason phrase, maybe empty; octets that are not UTF-8 were replaced.
        reason: Box<str>,
    },
}

impl<'a> Message<'a> {
    /// Reads one message: [`Index::new`] and [`Message::check`] in one.
    ///
    /// # Errors
    ///
    /// [`ParseError`], whose variants are what may be done about it.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        Self::check(Index::new(bytes)?)
    }

    /// Checks what the index passed over.
    ///
    /// # Errors
    ///
    /// [`ParseError`], whose variants are what may be done about it.
    pub fn check(index: Index<'a>) -> Result<Self, ParseError> {
        match check(&index) {
            Ok(()) => Ok(Self { index }),
            Err(flaw) => Err(index.refuse(flaw)),
        }
    }

    /// Whether it is a request.
    pub fn is_request(&self) -> bool {
        self.index.is_request()
    }

    /// The start line as an owned value.
    pub fn start(&self) -> Start {
        match self.index.start {
            StartRef::Request { method, uri } => {
                Start::Request { method: Method::checked(scan::ascii(method)), uri: request_uri(uri) }
            }
            StartRef::Response { status, reason } => {
                Start::Response { status, reason: String::from_utf8_lossy(reason).into() }
            }
        }
    }

    /// The method of the request, or of the request that this is a response to.
    pub fn method(&self) -> Method {
        Method::checked(self.index.method_name())
    }

    /// The Request-URI; `None` in a response.
    pub fn request_uri(&self) -> Option<Uri> {
        match self.index.start {
            StartRef::Request { uri, .. } => Some(request_uri(uri)),
            StartRef::Response { .. } => None,
        }
    }

    /// The code; `None` in a request.
    pub fn status(&self) -> Option<StatusCode> {
        self.index.status()
    }

    /// The topmost Via.
    pub fn top_via(&self) -> Via {
        let value = self.values(&HeaderName::Via).next().unwrap_or_default();
        ViaRef::take(&mut Cursor::new(value)).expect("every Via was checked, and there is one").to_owned()
    }

    /// All Via values, topmost first.
    pub fn vias(&self) -> Vec<Via> {
        let mut vias = Vec::with_capacity(4);
        for value in self.values(&HeaderName::Via) {
            let mut cursor = Cursor::new(value);
            while let Some(via) = ViaRef::take(&mut cursor) {
                vias.push(via.to_owned());
                if !cursor.eat(b',') {
                    break;
                }
            }
        }
        vias
    }

    /// The branch of the topmost Via, at no cost.
    pub fn branch(&self) -> Option<&'a str> {
        self.index.branch()
    }

    /// From.
    pub fn from(&self) -> NameAddr {
        address(self.index.from.value)
    }

    /// To.
    pub fn to(&self) -> NameAddr {
        address(self.index.to.value)
    }

    /// The tag of From, at no cost; RFC 2543 peers may have none.
    pub fn from_tag(&self) -> Option<&'a str> {
        self.index.from_tag()
    }

    /// The tag of To, at no cost.
    pub fn to_tag(&self) -> Option<&'a str> {
        self.index.to_tag()
    }

    /// Call-ID, at no cost. It is a valid [`super::SipCallId`].
    pub fn call_id(&self) -> &'a str {
        self.index.call_id()
    }

    /// CSeq.
    pub fn cseq(&self) -> CSeq {
        self.index.cseq.to_owned()
    }

    /// Max-Forwards, at no cost; `None` when it is not there.
    pub fn max_forwards(&self) -> Option<u8> {
        self.index.max_forwards()
    }

    /// The body, cut to Content-Length.
    pub fn body(&self) -> &'a [u8] {
        self.index.body()
    }

    /// All headers in order, as received.
    pub fn raw_headers(&self) -> &[RawHeader<'a>] {
        self.index.raw_headers()
    }

    /// The first value of a header, unfolded (a line break and the blanks after it are one space).
    pub fn header(&self, name: &HeaderName) -> Option<Cow<'a, [u8]>> {
        self.values(name).next().map(scan::unfold)
    }

    /// The values of all header lines of a name, unfolded, not split at commas.
    pub fn headers<'n>(&'n self, name: &'n HeaderName) -> impl Iterator<Item = Cow<'a, [u8]>> + use<'a, 'n> {
        self.values(name).map(scan::unfold)
    }

    /// The first value of a header as text, unfolded; octets that are not UTF-8 become U+FFFD.
    pub fn text(&self, name: &HeaderName) -> Option<Cow<'a, str>> {
        Some(match self.header(name)? {
            Cow::Borrowed(value) => String::from_utf8_lossy(value),
            Cow::Owned(value) => Cow::Owned(String::from_utf8_lossy(&value).into_owned()),
        })
    }

    /// The elements of all comma lists of a name, trimmed, unfolded; empty elements are skipped. Commas in quotes
    /// and angle brackets do not split. Only for headers whose grammar is a list.
    pub fn list<'n>(&'n self, name: &'n HeaderName) -> impl Iterator<Item = Cow<'a, [u8]>> + use<'a, 'n> {
        self.values(name).flat_map(List::new).map(scan::unfold)
    }

    /// The elements of a list of tokens: Require, Proxy-Require, Supported, Unsupported, Allow.
    ///
    /// # Errors
    ///
    /// [`BadHeader`] when one is no token.
    pub fn tokens(&self, name: &HeaderName) -> Result<Vec<Token>, BadHeader> {
        self.list(name)
            .map(|element| Token::new(&String::from_utf8_lossy(&element)))
            .collect::<Result<_, _>>()
            .map_err(|_invalid| BadHeader(name.clone()))
    }

    /// The methods of Allow.
    ///
    /// # Errors
    ///
    /// [`BadHeader`].
    pub fn allow(&self) -> Result<Vec<Method>, BadHeader> {
        self.list(&HeaderName::Allow)
            .map(|element| Method::new(&String::from_utf8_lossy(&element)))
            .collect::<Result<_, _>>()
            .map_err(|_invalid| BadHeader(HeaderName::Allow))
    }

    /// All values of a header whose grammar is a list of addresses: Contact, Route, P-Asserted-Identity, ….
    /// `*` (Contact of a REGISTER) is a [`BadHeader`] here; see [`Message::is_contact_star`].
    ///
    /// # Errors
    ///
    /// [`BadHeader`] when one breaks the grammar or there are over
    /// [`MAX_LIST_VALUES`](super::limits::MAX_LIST_VALUES).
    pub fn addresses(&self, name: &HeaderName) -> Result<Vec<NameAddr>, BadHeader> {
        let mut addresses = Vec::new();
        for value in self.values(name) {
            let mut cursor = Cursor::new(value);
            loop {
                let address = AddressRef::take(&mut cursor).ok_or_else(|| BadHeader(name.clone()))?;
                if addresses.len() == MAX_LIST_VALUES {
                    return Err(BadHeader(name.clone()));
                }
                addresses.push(address.to_owned());
                if !cursor.eat(b',') {
                    break;
                }
            }
        }
        Ok(addresses)
    }

    /// Contact.
    ///
    /// # Errors
    ///
    /// As [`Message::addresses`].
    pub fn contacts(&self) -> Result<Vec<NameAddr>, BadHeader> {
        self.addresses(&HeaderName::Contact)
    }

    /// Whether Contact is `*`.
    pub fn is_contact_star(&self) -> bool {
        self.values(&HeaderName::Contact).any(|value| value == b"*")
    }

    /// Route, topmost first.
    ///
    /// # Errors
    ///
    /// As [`Message::addresses`].
    pub fn routes(&self) -> Result<Vec<NameAddr>, BadHeader> {
        self.addresses(&HeaderName::Route)
    }

    /// Record-Route, topmost first.
    ///
    /// # Errors
    ///
    /// As [`Message::addresses`].
    pub fn record_routes(&self) -> Result<Vec<NameAddr>, BadHeader> {
        self.addresses(&HeaderName::RecordRoute)
    }

    /// A header that is a number of seconds: Expires, Min-Expires, Session-Expires, Min-SE, Retry-After. Parameters
    /// and comments after the number are ignored; a number over 2³² − 1 counts as that (RFC 3261 §20.19).
    ///
    /// # Errors
    ///
    /// [`BadHeader`] when it is there and does not begin with a number.
    pub fn seconds(&self, name: &HeaderName) -> Result<Option<u32>, BadHeader> {
        let Some(value) = self.values(name).next() else { return Ok(None) };
        let seconds = index::seconds(value).ok_or_else(|| BadHeader(name.clone()))?;
        Ok(Some(u32::try_from(seconds).unwrap_or(u32::MAX)))
    }

    /// The media type, in lower case and without parameters, such as `application/sdp`.
    ///
    /// # Errors
    ///
    /// [`BadHeader`] when it is there and is no media type.
    pub fn content_type(&self) -> Result<Option<String>, BadHeader> {
        let Some(value) = self.values(&HeaderName::ContentType).next() else { return Ok(None) };
        let media_type = MediaType::parse(value).ok_or(BadHeader(HeaderName::ContentType))?;
        Ok(Some(media_type.essence()))
    }

    /// The answer to this request per RFC 3261 §8.2.6.2: Via, From, Call-ID and CSeq of the request; its To, with
    /// `to_tag` unless it has a tag or the code is 100; for 100 its Timestamp; for 101 to 299 its Record-Route
    /// (§12.1.1), as far as it is readable.
    pub fn to_response(&self, status: StatusCode, to_tag: Option<&Token>) -> Response {
        let mut to = self.to();
        if let Some(tag) = to_tag
            && to.tag().is_none()
            && status != StatusCode::TRYING
        {
            to = to.with_tag(tag);
        }
        let makes_dialog = status > StatusCode::TRYING && status.as_u16() < 300;
        let timestamp = self.text(&HeaderName::Timestamp).filter(|_| status == StatusCode::TRYING);
        Response {
            status,
            reason: None,
            vias: self.vias(),
            record_routes: if makes_dialog { self.record_routes().unwrap_or_default() } else { Vec::new() },
            from: self.from(),
            to,
            call_id: SipCallId::checked(self.call_id()),
            cseq: self.cseq(),
            contacts: Vec::new(),
            headers: timestamp
                .map(|value| Header::new(HeaderName::Timestamp, HeaderValue::cleaned(&value)))
                .into_iter()
                .collect(),
            body: None,
        }
    }

    /// The values of all header lines of a name, folds and all.
    fn values<'n>(&'n self, name: &'n HeaderName) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        self.index.values(name)
    }
}

/// What a message must be beyond what its index shows.
fn check(index: &Index<'_>) -> Result<(), Flaw> {
    if let StartRef::Request { method, uri } = index.start {
        if !is_request_uri(uri) {
            return Err(Flaw::BadRequestUri);
        }
        check_request(index, method)?;
    }
    check_vias(index)?;
    for (party, name) in [(index.from, HeaderName::From), (index.to, HeaderName::To)] {
        // The same tag both times: what names the dialog is beyond doubt.
        if AddressRef::parse(party.value).is_none_or(|address| address.tag() != party.tag) {
            return Err(BadHeader(name).into());
        }
    }
    Ok(())
}

fn check_vias(index: &Index<'_>) -> Result<(), Flaw> {
    let bad = || BadHeader(HeaderName::Via);
    let mut count = 0;
    for value in index.values(&HeaderName::Via) {
        let mut cursor = Cursor::new(value);
        loop {
            let via = ViaRef::take(&mut cursor).ok_or_else(bad)?;
            if count == MAX_LIST_VALUES || count == 0 && via.branch() != index.branch {
                return Err(bad().into());
            }
            count += 1;
            if !cursor.eat(b',') {
                break;
            }
        }
    }
    Ok(())
}

/// What a request must have beyond what every message has.
fn check_request(index: &Index<'_>, method: &[u8]) -> Result<(), Flaw> {
    if !index.body.is_empty() {
        let value = index.content_type.ok_or(Flaw::Missing(HeaderName::ContentType))?;
        MediaType::parse(value).ok_or(BadHeader(HeaderName::ContentType))?;
    }
    match method {
        // The answerer must know where to send what follows, and of one place only (RFC 3261 §8.1.1.8).
        b"INVITE" => match index.contacts {
            0 => Err(Flaw::Missing(HeaderName::Contact)),
            1 => Ok(()),
            _ => Err(Flaw::Repeated(HeaderName::Contact)),
        },
        b"REFER" => require_one(index, HeaderName::ReferTo), // RFC 3515 §2.4.2
        b"SUBSCRIBE" | b"NOTIFY" => require_one(index, HeaderName::Event), // RFC 6665 §8.2.1
        _ => Ok(()),
    }
}

fn require_one(index: &Index<'_>, name: HeaderName) -> Result<(), Flaw> {
    match index.values(&name).take(2).count() {
        0 => Err(Flaw::Missing(name)),
        1 => Ok(()),
        _ => Err(Flaw::Repeated(name)),
    }
}

/// A sip URI has no headers there (RFC 3261 §19.1.1).
fn is_request_uri(text: &[u8]) -> bool {
    UriRef::parse(text).is_some_and(|uri| !uri.has_headers())
}

fn request_uri(text: &[u8]) -> Uri {
    UriRef::parse(text).expect("it was checked by is_request_uri").to_owned()
}

fn address(value: &[u8]) -> NameAddr {
    AddressRef::parse(value).expect("From and To were checked").to_owned()
}
