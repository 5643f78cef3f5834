//! The one pass over a received message: start line, header spans, and what names its transaction and dialog.

use wide::u8x16;

use super::cseq::CSeqRef;
use super::error::{BadHeader, Flaw, ParseError};
use super::header::is_call_id;
use super::header_name::HeaderName;
use super::limits::{MAX_HEADER_BYTES, MAX_HEADERS, MAX_IDENTIFIER_BYTES, MAX_MESSAGE_BYTES};
use super::params::{ParamRef, ValueRef};
use super::salvage;
use super::scan::{self, Breaks, Cursor};
use super::start_line::{self, Nature, StartRef};
use super::status::StatusCode;

/// The index over a received message: what it is, where its headers are, and what it belongs to.
///
/// Made in one pass with one allocation. The headers that every message must have are there, once each, and what
/// names the transaction and the dialog is sound: branch, tags, Call-ID, CSeq. The URIs and all else in Via, From, To
/// and the start line were not looked at; [`Message`](super::Message) is an index where they were.
#[derive(Debug, Clone)]
pub struct Index<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) start: StartRef<'a>,
    pub(super) headers: Vec<RawHeader<'a>>,
    pub(super) branch: Option<&'a [u8]>,
    pub(super) from: Party<'a>,
    pub(super) to: Party<'a>,
    pub(super) call_id: &'a [u8],
    pub(super) cseq: CSeqRef<'a>,
    pub(super) max_forwards: Option<u8>,
    pub(super) content_type: Option<&'a [u8]>,
    /// Lines of Contact, not values: those are for the user of [`Message::contacts`](super::Message::contacts).
    pub(super) contacts: usize,
    pub(super) body: &'a [u8],
}

/// A header as received.
#[derive(Debug, Clone, Copy)]
pub struct RawHeader<'a> {
    pub(super) name: &'a [u8],
    pub(super) value: &'a [u8],
}

/// From or To: the value, and its tag.
#[derive(Debug, Clone, Copy)]
pub(super) struct Party<'a> {
    pub(super) value: &'a [u8],
    pub(super) tag: Option<&'a [u8]>,
}

impl<'a> Index<'a> {
    /// Indexes one message: a datagram, or one message cut out of a stream.
    ///
    /// Without Content-Length the body goes to the end; what is beyond Content-Length is dropped
    /// (RFC 3261 §18.3).
    ///
    /// # Errors
    ///
    /// [`ParseError`], whose variants are what may be done about it.
    pub fn new(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let (nature, after_line) = start_line::nature(bytes);
        match nature {
            Nature::KeepAlive => Err(ParseError::KeepAlive),
            Nature::NotSip => Err(ParseError::NotSip),
            Nature::Request { .. } | Nature::Response { .. } => {
                Self::read(bytes, nature, after_line).map_err(|flaw| salvage::refuse(bytes, nature, after_line, flaw))
            }
        }
    }

    /// Whether it is a request.
    pub fn is_request(&self) -> bool {
        matches!(self.start, StartRef::Request { .. })
    }

    /// The code; `None` in a request.
    pub fn status(&self) -> Option<StatusCode> {
        match self.start {
            StartRef::Request { .. } => None,
            StartRef::Response { status, .. } => Some(status),
        }
    }

    /// The name of the method of the request, or of the request that this is a response to.
    pub fn method_name(&self) -> &'a str {
        scan::ascii(self.cseq.method)
    }

    /// The number of CSeq.
    pub fn cseq_number(&self) -> u32 {
        self.cseq.number
    }

    /// The branch of the topmost Via.
    pub fn branch(&self) -> Option<&'a str> {
        self.branch.map(scan::ascii)
    }

    /// The tag of From; RFC 2543 peers may have none.
    pub fn from_tag(&self) -> Option<&'a str> {
        self.from.tag.map(scan::ascii)
    }

    /// The tag of To.
    pub fn to_tag(&self) -> Option<&'a str> {
        self.to.tag.map(scan::ascii)
    }

    /// Call-ID. It is a valid [`super::SipCallId`].
    pub fn call_id(&self) -> &'a str {
        scan::ascii(self.call_id)
    }

    /// Max-Forwards; `None` when it is not there.
    pub fn max_forwards(&self) -> Option<u8> {
        self.max_forwards
    }

    /// The body, cut to Content-Length.
    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    /// All headers in order, as received.
    pub fn raw_headers(&self) -> &[RawHeader<'a>] {
        &self.headers
    }

    /// The values of all header lines of a name, folds and all.
    pub(super) fn values<'n>(&'n self, name: &'n HeaderName) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        let long = name.as_str();
        self.headers
            .iter()
            .filter(move |header| match header.name.len() {
                1 => name.is(header.name),
                length => length == long.len() && header.name.eq_ignore_ascii_case(long.as_bytes()),
            })
            .map(|header| header.value)
    }

    /// What may be done about a message that was indexed and has a flaw all the same.
    #[cold]
    pub(super) fn refuse(&self, flaw: Flaw) -> ParseError {
        let (nature, after_line) = start_line::nature(self.bytes);
        salvage::refuse(self.bytes, nature, after_line, flaw)
    }

    /// Reads a message whose first line was looked at.
    #[inline]
    fn read(bytes: &'a [u8], nature: Nature<'a>, after_line: usize) -> Result<Self, Flaw> {
        if bytes.len() > MAX_MESSAGE_BYTES {
            return Err(Flaw::TooLarge);
        }
        let start = match nature {
            Nature::Request { line } => start_line::request_line(line)?,
            Nature::Response { line } => start_line::status_line(line)?,
            Nature::KeepAlive | Nature::NotSip => return Err(Flaw::BadStartLine),
        };

        // Real headers are longer on average, so this seldom grows.
        let mut headers = Vec::with_capacity((bytes.len() / 32).min(MAX_HEADERS));
        let mut found = Found::default();
        let mut lines = Lines::new(bytes, after_line);
        while let Some(line) = lines.next()? {
            if headers.len() == MAX_HEADERS {
                return Err(Flaw::TooManyHeaders);
            }
            let (header, field) = read_line(line)?;
            if let Some(field) = field {
                found.note(field, header.value)?;
            }
            headers.push(header);
        }

        let rest = bytes.get(lines.start..).unwrap_or_default();
        let body = match found.content_length {
            Some(length) => rest.get(..length).ok_or(Flaw::BodyCut)?,
            None => rest,
        };
        let cseq = found.cseq.ok_or(Flaw::Missing(HeaderName::CSeq))?;
        match start {
            StartRef::Request { method, .. } if method != cseq.method => return Err(Flaw::MethodMismatch),
            StartRef::Request { .. } | StartRef::Response { .. } => {}
        }
        Ok(Self {
            bytes,
            start,
            headers,
            branch: found.branch.ok_or(Flaw::Missing(HeaderName::Via))?,
            from: found.from.ok_or(Flaw::Missing(HeaderName::From))?,
            to: found.to.ok_or(Flaw::Missing(HeaderName::To))?,
            call_id: found.call_id.ok_or(Flaw::Missing(HeaderName::CallId))?,
            cseq,
            max_forwards: found.max_forwards,
            content_type: found.content_type,
            contacts: found.contacts,
            body,
        })
    }
}

impl<'a> RawHeader<'a> {
    /// The name.
    pub fn name(&self) -> HeaderName {
        HeaderName::checked(scan::ascii(self.name))
    }

    /// The value without blanks at its ends; line folds are still in it.
    pub fn value(&self) -> &'a [u8] {
        self.value
    }
}

/// The header lines of a message, folds in them, up to the empty one.
struct Lines<'a> {
    bytes: &'a [u8],
    breaks: Breaks<'a>,
    /// Where the next line begins; after the last one, the body.
    start: usize,
}

impl<'a> Lines<'a> {
    #[inline]
    fn new(bytes: &'a [u8], start: usize) -> Self {
        Self { bytes, breaks: Breaks::new(bytes, start), start }
    }

    /// The next line without the CRLF that ends it; `None` at the empty one.
    #[inline]
    fn next(&mut self) -> Result<Option<&'a [u8]>, Flaw> {
        loop {
            let end = self.breaks.next().ok_or(Flaw::BadHeaderLine)?;
            match self.bytes.get(end..) {
                Some([b'\r', b'\n', after @ ..]) => {
                    if end == self.start {
                        self.start = end + 2;
                        return Ok(None);
                    }
                    self.breaks.next(); // the LF
                    if matches!(after, [b' ' | b'\t', ..]) {
                        continue; // a fold: the line goes on
                    }
                    let line = self.bytes.get(self.start..end);
                    self.start = end + 2;
                    return Ok(line);
                }
                Some([b'\r' | b'\n', ..]) | None => return Err(Flaw::ForbiddenControl),
                // NUL may only stand in a quoted-pair (RFC 3261 §25.1).
                Some([0, ..]) if !self.bytes.get(self.start..end).unwrap_or_default().ends_with(b"\\") => {
                    return Err(Flaw::ForbiddenControl);
                }
                Some(_) => {}
            }
        }
    }
}

/// Reads a header line, and says what field of ours it is.
#[inline]
fn read_line(line: &[u8]) -> Result<(RawHeader<'_>, Option<Field>), Flaw> {
    if line.len() > MAX_HEADER_BYTES {
        return Err(Flaw::HeaderTooLong);
    }
    let colon = scan::find(line, b':', b':').ok_or(Flaw::BadHeaderLine)?;
    let (mut name, [_, value @ ..]) = line.split_at(colon) else { return Err(Flaw::BadHeaderLine) };
    while let [shorter @ .., b' ' | b'\t'] = name {
        name = shorter;
    }
    let field = Field::of(name, line);
    if field.is_none() && !scan::all(name, scan::TOKEN) {
        return Err(Flaw::BadHeaderLine);
    }
    let value = scan::trim(value);
    Ok((RawHeader { name, value }, field))
}

/// The headers that the index reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Via,
    From,
    To,
    CallId,
    CSeq,
    MaxForwards,
    Contact,
    ContentType,
    ContentLength,
    SessionExpires,
    MinSe,
    Replaces,
}

/// Each field with its name in lower case and its compact form.
const FIELDS: [(Field, &str, Option<u8>); 12] = [
    (Field::Via, "via", Some(b'v')),
    (Field::From, "from", Some(b'f')),
    (Field::To, "to", Some(b't')),
    (Field::CallId, "call-id", Some(b'i')),
    (Field::CSeq, "cseq", None),
    (Field::MaxForwards, "max-forwards", None),
    (Field::Contact, "contact", Some(b'm')),
    (Field::ContentType, "content-type", Some(b'c')),
    (Field::ContentLength, "content-length", Some(b'l')),
    (Field::SessionExpires, "session-expires", Some(b'x')),
    (Field::MinSe, "min-se", None),
    (Field::Replaces, "replaces", None),
];

/// Octets of the longest name of a field, and one more.
const NAME_ROOM: usize = 16;

/// The one field that a name of that length can be, by the low bits of its second letter, or of its only one.
static CANDIDATES: Candidates = candidates();

/// A field and its name, for each length and letter.
type Candidates = [[Option<(Field, [u8; NAME_ROOM])>; 32]; NAME_ROOM];

const fn candidates() -> Candidates {
    let mut table = [[None; 32]; NAME_ROOM];
    let mut i = 0;
    while i < FIELDS.len() {
        let (field, name, compact) = FIELDS[i];
        let name = name.as_bytes();
        let mut padded = [0; NAME_ROOM];
        let mut at = 0;
        while at < name.len() {
            padded[at] = name[at];
            at += 1;
        }
        let place = &mut table[name.len()][name[1] as usize % 32];
        assert!(place.is_none(), "two fields in one place: look at another letter");
        *place = Some((field, padded));
        if let Some(letter) = compact {
            let mut padded = [0; NAME_ROOM];
            padded[0] = letter;
            table[1][letter as usize % 32] = Some((field, padded));
        }
        i += 1;
    }
    table
}

impl Field {
    /// The field of a header name, long or compact, in any case. Without a branch for each name: headers come in any
    /// order, so that each would be a wrong guess.
    #[inline]
    fn of(name: &[u8], line: &[u8]) -> Option<Self> {
        let letter = *name.get(1).or(name.first())?;
        let (field, expected) = CANDIDATES.get(name.len())?.get(usize::from(letter % 32))?.as_ref()?;
        let is_it = match line.first_chunk::<NAME_ROOM>() {
            // All at once. Setting the bit makes lower case of capitals and no letter of anything else; a hyphen has
            // it already, and gets it from CR only, which is never without LF here.
            Some(begin) => {
                let begin = u8x16::new(*begin) | u8x16::splat(0x20);
                let differences = !begin.simd_eq(u8x16::new(*expected)).to_bitmask();
                differences.trailing_zeros() as usize >= name.len()
            }
            None => expected.get(..name.len()).is_some_and(|expected| name.eq_ignore_ascii_case(expected)),
        };
        is_it.then_some(*field)
    }
}

/// What the index notes in passing.
#[derive(Default)]
struct Found<'a> {
    /// The branch of the topmost Via, once there was a Via.
    branch: Option<Option<&'a [u8]>>,
    from: Option<Party<'a>>,
    to: Option<Party<'a>>,
    call_id: Option<&'a [u8]>,
    cseq: Option<CSeqRef<'a>>,
    max_forwards: Option<u8>,
    content_length: Option<usize>,
    content_type: Option<&'a [u8]>,
    contacts: usize,
    session_expires: Option<u64>,
    min_se: Option<u64>,
    replaces: Option<()>,
}

impl<'a> Found<'a> {
    /// Reads a header that must be right in every message.
    fn note(&mut self, field: Field, value: &'a [u8]) -> Result<(), Flaw> {
        match field {
            Field::Via => {
                if self.branch.is_none() {
                    self.branch = Some(branch_of(value).ok_or(BadHeader(HeaderName::Via))?);
                }
                Ok(())
            }
            Field::From => once(&mut self.from, Party::new(value), || HeaderName::From),
            Field::To => once(&mut self.to, Party::new(value), || HeaderName::To),
            Field::CallId => once(&mut self.call_id, call_id(value), || HeaderName::CallId),
            Field::CSeq => once(&mut self.cseq, CSeqRef::parse(value), || HeaderName::CSeq),
            Field::MaxForwards => {
                let number = scan::number(value).and_then(|number| u8::try_from(number).ok());
                once(&mut self.max_forwards, number, || HeaderName::MaxForwards)
            }
            Field::Contact => {
                self.contacts += 1;
                Ok(())
            }
            Field::ContentType => once(&mut self.content_type, Some(value), || HeaderName::ContentType),
            Field::ContentLength => once(&mut self.content_length, content_length(value), || HeaderName::ContentLength),
            Field::SessionExpires => once(&mut self.session_expires, seconds(value), || HeaderName::SessionExpires),
            Field::MinSe => once(&mut self.min_se, seconds(value), || HeaderName::MinSe),
            Field::Replaces => once(&mut self.replaces, Some(()), || HeaderName::Replaces),
        }
    }
}

/// The branch of the first value of a Via line. Nothing before its parameters has a semicolon or a comma.
fn branch_of(value: &[u8]) -> Option<Option<&[u8]>> {
    let mut cursor = Cursor::new(value);
    cursor.take_to(b';', b',');
    identifier_of(&mut cursor, b"branch")
}

impl<'a> Party<'a> {
    /// From and To: the tag stands in the parameters, which are those after the brackets if there are any.
    fn new(value: &'a [u8]) -> Option<Self> {
        let mut cursor = Cursor::new(value);
        if cursor.peek() == Some(b'"') {
            cursor.take_quoted()?;
        }
        cursor.take_to(b';', b'<');
        if cursor.eat(b'<') {
            cursor.take_to(b'>', b'>');
            cursor.eat(b'>');
        }
        let tag = identifier_of(&mut cursor, b"tag")?;
        Some(Self { value, tag })
    }
}

/// The parameter of that name among those that are next; `None` when it is none that can name anything, or comes
/// twice, or the parameters break their grammar.
#[inline]
fn identifier_of<'a, const N: usize>(cursor: &mut Cursor<'a>, name: &[u8; N]) -> Option<Option<&'a [u8]>> {
    let mut found = None;
    ParamRef::take_all(cursor, |param| {
        if !scan::is_name(param.name, name) {
            return true;
        }
        let is_first = found.is_none();
        found = match param.value {
            Some(ValueRef::Plain(text)) => Some(text),
            Some(ValueRef::Quoted(_)) | None => None,
        };
        is_first && found.is_some_and(|text| !text.is_empty() && text.len() <= MAX_IDENTIFIER_BYTES)
    })?;
    Some(found)
}

/// Keeps the value of a header that may come once; `value` is `None` when it breaks its grammar.
#[inline]
fn once<T>(slot: &mut Option<T>, value: Option<T>, name: impl FnOnce() -> HeaderName) -> Result<(), Flaw> {
    if slot.is_some() {
        return Err(Flaw::Repeated(name()));
    }
    match value {
        Some(value) => {
            *slot = Some(value);
            Ok(())
        }
        None => Err(BadHeader(name()).into()),
    }
}

pub(crate) fn call_id(value: &[u8]) -> Option<&[u8]> {
    is_call_id(value).then_some(value)
}

fn content_length(value: &[u8]) -> Option<usize> {
    scan::number(value).and_then(|length| usize::try_from(length).ok())
}

/// `delta-seconds` with parameters or a comment after it.
pub(crate) fn seconds(value: &[u8]) -> Option<u64> {
    let mut cursor = Cursor::new(value);
    let digits = cursor.take_until(|c| !c.is_ascii_digit());
    cursor.skip_blanks();
    if digits.is_empty() || !matches!(cursor.peek(), None | Some(b';' | b'(')) {
        return None;
    }
    Some(scan::number(digits).unwrap_or(u64::MAX))
}
