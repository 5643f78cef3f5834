//! The index over a received message.

use std::borrow::Cow;

use super::address::NameAddr;
use super::cseq::CSeq;
use super::error::{BadHeader, ParseError};
use super::header_name::HeaderName;
use super::method::Method;
use super::outgoing::Response;
use super::status::StatusCode;
use super::token::Token;
use super::uri::Uri;
use super::via::Via;

/// A received message that is well-formed as far as every element needs it.
///
/// Made with one allocation (the header index); the typed values of the methods below are built when asked for.
#[derive(Debug, Clone)]
pub struct Message<'a> {
    body: &'a [u8],
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

/// A header as received.
#[derive(Debug, Clone, Copy)]
pub struct RawHeader<'a> {
    name: &'a [u8],
    value: &'a [u8],
}

impl<'a> Message<'a> {
    /// Indexes one message: a datagram, or one message cut out of a stream.
    ///
    /// Without Content-Length the body goes to the end; what is beyond Content-Length is dropped
    /// (RFC 3261 §18.3).
    ///
    /// # Errors
    ///
    /// [`ParseError`], whose variants are what may be done about it.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        todo!()
    }

    /// Whether it is a request.
    pub fn is_request(&self) -> bool {
        todo!()
    }

    /// The start line as an owned value.
    pub fn start(&self) -> Start {
        todo!()
    }

    /// The method of the request, or of the request that this is a response to.
    pub fn method(&self) -> Method {
        todo!()
    }

    /// The Request-URI; `None` in a response.
    pub fn request_uri(&self) -> Option<Uri> {
        todo!()
    }

    /// The code; `None` in a request.
    pub fn status(&self) -> Option<StatusCode> {
        todo!()
    }

    /// The topmost Via.
    pub fn top_via(&self) -> Via {
        todo!()
    }

    /// All Via values, topmost first.
    pub fn vias(&self) -> Vec<Via> {
        todo!()
    }

    /// The branch of the topmost Via, at no cost.
    pub fn branch(&self) -> Option<&'a str> {
        todo!()
    }

    /// From.
    pub fn from(&self) -> NameAddr {
        todo!()
    }

    /// To.
    pub fn to(&self) -> NameAddr {
        todo!()
    }

    /// The tag of From, at no cost; RFC 2543 peers may have none.
    pub fn from_tag(&self) -> Option<&'a str> {
        todo!()
    }

    /// The tag of To, at no cost.
    pub fn to_tag(&self) -> Option<&'a str> {
        todo!()
    }

    /// Call-ID, at no cost. It is a valid [`super::SipCallId`].
    pub fn call_id(&self) -> &'a str {
        todo!()
    }

    /// CSeq.
    pub fn cseq(&self) -> CSeq {
        todo!()
    }

    /// Max-Forwards, at no cost; `None` when it is not there.
    pub fn max_forwards(&self) -> Option<u8> {
        todo!()
    }

    /// The body, cut to Content-Length.
    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    /// All headers in order, as received.
    pub fn raw_headers(&self) -> &[RawHeader<'a>] {
        todo!()
    }

    /// The first value of a header, unfolded (a line break and the blanks after it are one space).
    pub fn header(&self, name: &HeaderName) -> Option<Cow<'a, [u8]>> {
        todo!()
    }

    /// The values of all header lines of a name, unfolded, not split at commas.
    pub fn headers<'s>(&'s self, name: &HeaderName) -> impl Iterator<Item = Cow<'a, [u8]>> + use<'s, 'a> {
        todo!();
        #[expect(unreachable_code, reason = "signature only")]
        std::iter::empty()
    }

    /// The first value of a header as text, unfolded; octets that are not UTF-8 become U+FFFD.
    pub fn text(&self, name: &HeaderName) -> Option<Cow<'a, str>> {
        todo!()
    }

    /// The elements of all comma lists of a name, trimmed, unfolded; empty elements are skipped. Commas in quotes
    /// and angle brackets do not split. Only for headers whose grammar is a list.
    pub fn list<'s>(&'s self, name: &HeaderName) -> impl Iterator<Item = Cow<'a, [u8]>> + use<'s, 'a> {
        todo!();
        #[expect(unreachable_code, reason = "signature only")]
        std::iter::empty()
    }

    /// The elements of a list of tokens: Require, Proxy-Require, Supported, Unsupported, Allow.
    ///
    /// # Errors
    ///
    /// [`BadHeader`] when one is no token.
    pub fn tokens(&self, name: &HeaderName) -> Result<Vec<Token>, BadHeader> {
        todo!()
    }

    /// The methods of Allow.
    ///
    /// # Errors
    ///
    /// [`BadHeader`].
    pub fn allow(&self) -> Result<Vec<Method>, BadHeader> {
        todo!()
    }

    /// All values of a header whose grammar is a list of addresses: Contact, Route, P-Asserted-Identity, ….
    /// `*` (Contact of a REGISTER) is a [`BadHeader`] here; see [`Message::is_contact_star`].
    ///
    /// # Errors
    ///
    /// [`BadHeader`] when one breaks the grammar or there are over
    /// [`MAX_LIST_VALUES`](super::limits::MAX_LIST_VALUES).
    pub fn addresses(&self, name: &HeaderName) -> Result<Vec<NameAddr>, BadHeader> {
        todo!()
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
        todo!()
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
        todo!()
    }

    /// The media type, in lower case and without parameters, such as `application/sdp`.
    ///
    /// # Errors
    ///
    /// [`BadHeader`] when it is there and is no media type.
    pub fn content_type(&self) -> Result<Option<String>, BadHeader> {
        todo!()
    }

    /// The answer to this request per RFC 3261 §8.2.6.2: Via, From, Call-ID and CSeq of the request; its To, with
    /// `to_tag` unless it has a tag or the code is 100; for 100 its Timestamp; for 101 to 299 its Record-Route
    /// (§12.1.1), as far as it is readable.
    pub fn to_response(&self, status: StatusCode, to_tag: Option<&Token>) -> Response {
        todo!()
    }
}

impl<'a> RawHeader<'a> {
    /// The name.
    pub fn name(&self) -> HeaderName {
        todo!()
    }

    /// The value without blanks at its ends; line folds are still in it.
    pub fn value(&self) -> &'a [u8] {
        self.value
    }
}
