//! The one pass over a received message: start line, header spans, and what every message must have.

use super::address::AddressRef;
use super::cseq::CSeqRef;
use super::error::{BadHeader, Flaw};
use super::header::is_call_id;
use super::header_name::HeaderName;
use super::limits::{
    MAX_HEADER_BYTES, MAX_HEADERS, MAX_LEADING_CRLF, MAX_LIST_VALUES, MAX_MESSAGE_BYTES, MAX_METHOD_BYTES,
    MAX_START_LINE_BYTES,
};
use super::parse::{Message, RawHeader};
use super::scan::{self, Cursor};
use super::status::StatusCode;
use super::uri::UriRef;
use super::via::ViaRef;

/// A start line as it stands in a received message, checked.
#[derive(Debug, Clone, Copy)]
pub(crate) enum StartRef<'a> {
    Request {
        /// A token.
        method: &'a [u8],
        uri: UriRef<'a>,
    },
    Response {
        status: StatusCode,
        reason: &'a [u8],
    },
}

/// What the start line says before anything else is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nature<'a> {
    KeepAlive,
    NotSip,
    /// A request line by its look: it ends with `SIP/x.y`.
    Request {
        line: &'a [u8],
    },
    /// A status line by its look: it begins with `SIP/`.
    Response {
        line: &'a [u8],
    },
}

/// Looks at the first line: what it is, and where the line after it begins.
pub(crate) fn nature(bytes: &[u8]) -> (Nature<'_>, usize) {
    let mut start = 0;
    for _ in 0..MAX_LEADING_CRLF {
        if !bytes.get(start..).is_some_and(|rest| rest.starts_with(b"\r\n")) {
            break;
        }
        start += 2;
    }
    let rest = bytes.get(start..).unwrap_or_default();
    if rest.iter().all(|&c| scan::is_blank(c) || c == 0) {
        return (Nature::KeepAlive, bytes.len());
    }
    let Some(end) = scan::find_break(bytes, start).filter(|&end| bytes.get(end..end + 2) == Some(b"\r\n")) else {
        return (Nature::NotSip, bytes.len());
    };
    let line = bytes.get(start..end).unwrap_or_default();
    let nature = if line.get(..4).is_some_and(|head| head.eq_ignore_ascii_case(b"SIP/")) {
        Nature::Response { line }
    } else if version(scan::trim_end(line)).is_some() && line.first().is_some_and(|&c| scan::is(c, scan::TOKEN)) {
        Nature::Request { line }
    } else {
        Nature::NotSip
    };
    (nature, end + 2)
}

/// The part of a request line after its last blank, if it is a SIP version.
fn version(line: &[u8]) -> Option<&[u8]> {
    if line.ends_with(b" SIP/2.0") {
        return Some(b"2.0");
    }
    let last = line.iter().rposition(|&c| c == b' ')?;
    let version = line.get(last + 1..)?;
    let number = version.get(..4).filter(|name| name.eq_ignore_ascii_case(b"SIP/")).and(version.get(4..))?;
    let dot = number.iter().position(|&c| c == b'.')?;
    let (major, minor) = number.split_at(dot);
    let is_digits = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    (is_digits(major) && is_digits(minor.get(1..)?)).then_some(number)
}

impl<'a> Message<'a> {
    /// Indexes a message whose first line was looked at.
    pub(super) fn index(bytes: &'a [u8], nature: Nature<'a>, after_line: usize) -> Result<Self, Flaw> {
        if bytes.len() > MAX_MESSAGE_BYTES {
            return Err(Flaw::TooLarge);
        }
        let start = match nature {
            Nature::Request { line } => request_line(line)?,
            Nature::Response { line } => status_line(line)?,
            Nature::KeepAlive | Nature::NotSip => return Err(Flaw::BadStartLine),
        };

        // Real headers are longer on average, so this seldom grows.
        let mut headers = Vec::with_capacity((bytes.len() / 32).min(MAX_HEADERS));
        let mut found = Found::default();
        let mut at = after_line;
        loop {
            if bytes.get(at..at + 2) == Some(b"\r\n") {
                at += 2;
                break;
            }
            let (header, next) = take_header(bytes, at)?;
            if headers.len() == MAX_HEADERS {
                return Err(Flaw::TooManyHeaders);
            }
            found.note(header)?;
            headers.push(header);
            at = next;
        }

        let rest = bytes.get(at..).unwrap_or_default();
        let body = match found.content_length {
            Some(length) => rest.get(..length).ok_or(Flaw::BodyCut)?,
            None => rest,
        };
        let message = Self {
            start,
            headers,
            top_via: found.top_via.ok_or(Flaw::Missing(HeaderName::Via))?,
            from: found.from.ok_or(Flaw::Missing(HeaderName::From))?,
            to: found.to.ok_or(Flaw::Missing(HeaderName::To))?,
            call_id: found.call_id.ok_or(Flaw::Missing(HeaderName::CallId))?,
            cseq: found.cseq.ok_or(Flaw::Missing(HeaderName::CSeq))?,
            max_forwards: found.max_forwards,
            body,
        };
        if let StartRef::Request { method, .. } = start {
            if method != message.cseq.method {
                return Err(Flaw::MethodMismatch);
            }
            message.check_request(method, &found)?;
        }
        Ok(message)
    }

    /// What a request must have beyond what every message has.
    fn check_request(&self, method: &[u8], found: &Found<'a>) -> Result<(), Flaw> {
        if !self.body.is_empty() {
            let value = found.content_type.ok_or(Flaw::Missing(HeaderName::ContentType))?;
            super::media_type::MediaType::parse(value).ok_or(BadHeader(HeaderName::ContentType))?;
        }
        match method {
            // The answerer must know where to send what follows, and of one place only (RFC 3261 §8.1.1.8).
            b"INVITE" => match found.contacts {
                0 => Err(Flaw::Missing(HeaderName::Contact)),
                1 => Ok(()),
                _ => Err(Flaw::Repeated(HeaderName::Contact)),
            },
            b"REFER" => self.require_one(HeaderName::ReferTo), // RFC 3515 §2.4.2
            b"SUBSCRIBE" | b"NOTIFY" => self.require_one(HeaderName::Event), // RFC 6665 §8.2.1
            _ => Ok(()),
        }
    }

    fn require_one(&self, name: HeaderName) -> Result<(), Flaw> {
        match self.headers.iter().filter(|header| name.is(header.name)).take(2).count() {
            0 => Err(Flaw::Missing(name)),
            1 => Ok(()),
            _ => Err(Flaw::Repeated(name)),
        }
    }
}

fn request_line(line: &[u8]) -> Result<StartRef<'_>, Flaw> {
    if line.len() > MAX_START_LINE_BYTES {
        return Err(Flaw::StartLineTooLong);
    }
    match version(line) {
        Some(b"2.0") => {}
        Some(_) => return Err(Flaw::UnsupportedVersion),
        None => return Err(Flaw::BadStartLine), // blanks at its end
    }
    let mut cursor = Cursor::new(line);
    let method = cursor.take(scan::TOKEN);
    if method.is_empty() || method.len() > MAX_METHOD_BYTES || !cursor.eat(b' ') {
        return Err(Flaw::BadStartLine);
    }
    let uri = cursor.take_until(|c| c == b' ');
    // Exactly one blank and the version are left when the URI has no blank in it.
    if cursor.rest().len() != b" SIP/2.0".len() {
        return Err(Flaw::BadRequestUri);
    }
    let uri = UriRef::parse(uri).filter(|uri| !uri.has_headers()).ok_or(Flaw::BadRequestUri)?;
    Ok(StartRef::Request { method, uri })
}

fn status_line(line: &[u8]) -> Result<StartRef<'_>, Flaw> {
    let Some(rest) = line.get(4..).and_then(|rest| rest.strip_prefix(b"2.0 ")) else {
        return Err(Flaw::UnsupportedVersion);
    };
    let (code, rest) = rest.split_at_checked(3).ok_or(Flaw::BadStartLine)?;
    let reason = match rest {
        [] => rest, // without the blank that the grammar wants; nothing is lost
        [b' ', reason @ ..] => reason,
        _ => return Err(Flaw::BadStartLine),
    };
    let status = scan::number(code)
        .and_then(|code| u16::try_from(code).ok())
        .and_then(|code| StatusCode::new(code).ok())
        .ok_or(Flaw::BadStartLine)?;
    Ok(StartRef::Response { status, reason })
}

/// Takes the header line that begins at `at`, and says where the next one begins.
#[inline]
fn take_header(bytes: &[u8], at: usize) -> Result<(RawHeader<'_>, usize), Flaw> {
    let line = bytes.get(at..).unwrap_or_default();
    let name_length = line.iter().position(|&c| !scan::is(c, scan::TOKEN)).ok_or(Flaw::BadHeaderLine)?;
    let mut colon = name_length;
    while let Some(b' ' | b'\t') = line.get(colon) {
        colon += 1;
    }
    if name_length == 0 || line.get(colon) != Some(&b':') {
        return Err(Flaw::BadHeaderLine);
    }

    let mut end = colon + 1;
    loop {
        end = scan::find_break(line, end).ok_or(Flaw::BadHeaderLine)?;
        match line.get(end..) {
            // A fold: the line goes on.
            Some([b'\r', b'\n', b' ' | b'\t', ..]) => end += 3,
            Some([b'\r', b'\n', ..]) => break,
            // NUL may only stand in a quoted-pair (RFC 3261 §25.1).
            Some([0, ..]) if line.get(end - 1) == Some(&b'\\') => end += 1,
            _ => return Err(Flaw::ForbiddenControl),
        }
    }
    if end > MAX_HEADER_BYTES {
        return Err(Flaw::HeaderTooLong);
    }
    let name = line.get(..name_length).unwrap_or_default();
    let value = scan::trim(line.get(colon + 1..end).unwrap_or_default());
    Ok((RawHeader { name, value }, at + end + 2))
}

/// What the index notes in passing.
#[derive(Default)]
struct Found<'a> {
    top_via: Option<ViaRef<'a>>,
    via_count: usize,
    from: Option<AddressRef<'a>>,
    to: Option<AddressRef<'a>>,
    call_id: Option<&'a [u8]>,
    cseq: Option<CSeqRef<'a>>,
    max_forwards: Option<u8>,
    content_length: Option<usize>,
    content_type: Option<&'a [u8]>,
    /// Lines, not values: those are for the user of [`Message::contacts`].
    contacts: usize,
    session_expires: Option<u64>,
    min_se: Option<u64>,
    replaces: Option<()>,
}

impl<'a> Found<'a> {
    /// Reads the header if it is one of those that must be right in every message.
    #[inline]
    fn note(&mut self, header: RawHeader<'a>) -> Result<(), Flaw> {
        let RawHeader { name, value } = header;
        match name.len() {
            1 => match name.first().map(u8::to_ascii_lowercase) {
                Some(b'v') => self.via(value),
                Some(b'f') => once(&mut self.from, address(value), || HeaderName::From),
                Some(b't') => once(&mut self.to, address(value), || HeaderName::To),
                Some(b'i') => once(&mut self.call_id, call_id(value), || HeaderName::CallId),
                Some(b'l') => once(&mut self.content_length, content_length(value), || HeaderName::ContentLength),
                Some(b'c') => once(&mut self.content_type, Some(value), || HeaderName::ContentType),
                Some(b'm') => {
                    self.contacts += 1;
                    Ok(())
                }
                Some(b'x') => once(&mut self.session_expires, seconds(value), || HeaderName::SessionExpires),
                _ => Ok(()),
            },
            2 if scan::is_name(name, b"To") => once(&mut self.to, address(value), || HeaderName::To),
            3 if scan::is_name(name, b"Via") => self.via(value),
            4 if scan::is_name(name, b"From") => once(&mut self.from, address(value), || HeaderName::From),
            4 if scan::is_name(name, b"CSeq") => once(&mut self.cseq, CSeqRef::parse(value), || HeaderName::CSeq),
            6 if scan::is_name(name, b"Min-SE") => once(&mut self.min_se, seconds(value), || HeaderName::MinSe),
            7 if scan::is_name(name, b"Call-ID") => once(&mut self.call_id, call_id(value), || HeaderName::CallId),
            7 if scan::is_name(name, b"Contact") => {
                self.contacts += 1;
                Ok(())
            }
            8 if scan::is_name(name, b"Replaces") => once(&mut self.replaces, Some(()), || HeaderName::Replaces),
            12 if scan::is_name(name, b"Max-Forwards") => {
                let number = scan::number(value).and_then(|number| u8::try_from(number).ok());
                once(&mut self.max_forwards, number, || HeaderName::MaxForwards)
            }
            12 if scan::is_name(name, b"Content-Type") => {
                once(&mut self.content_type, Some(value), || HeaderName::ContentType)
            }
            14 if scan::is_name(name, b"Content-Length") => {
                once(&mut self.content_length, content_length(value), || HeaderName::ContentLength)
            }
            15 if scan::is_name(name, b"Session-Expires") => {
                once(&mut self.session_expires, seconds(value), || HeaderName::SessionExpires)
            }
            _ => Ok(()),
        }
    }

    fn via(&mut self, value: &'a [u8]) -> Result<(), Flaw> {
        let mut cursor = Cursor::new(value);
        loop {
            let via = ViaRef::take(&mut cursor).ok_or(BadHeader(HeaderName::Via))?;
            self.top_via.get_or_insert(via);
            self.via_count += 1;
            if self.via_count > MAX_LIST_VALUES {
                return Err(BadHeader(HeaderName::Via).into());
            }
            if !cursor.eat(b',') {
                return Ok(());
            }
        }
    }
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

#[inline]
pub(crate) fn address(value: &[u8]) -> Option<AddressRef<'_>> {
    let mut cursor = Cursor::new(value);
    AddressRef::take(&mut cursor).filter(|_| cursor.is_done())
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
