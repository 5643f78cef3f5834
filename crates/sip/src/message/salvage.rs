//! What can still be told to the sender of a broken message.

use super::address::AddressRef;
use super::cseq::CSeqRef;
use super::error::{Flaw, ParseError, Refusal};
use super::header::SipCallId;
use super::header_name::HeaderName;
use super::index::call_id;
use super::outgoing::Response;
use super::scan::{self, Cursor};
use super::start_line::Nature;
use super::status::StatusCode;
use super::token::Token;
use super::via::{Via, ViaRef};

/// Decides what may be done about a broken message. Responses and ACKs are never answered (RFC 3261 §8.1.3.1,
/// §17), other requests are if the headers that an answer copies are readable.
#[cold]
pub(super) fn refuse(bytes: &[u8], nature: Nature<'_>, after_line: usize, flaw: Flaw) -> ParseError {
    let is_answered = match nature {
        Nature::Request { line } => !line.starts_with(b"ACK "),
        Nature::Response { .. } | Nature::KeepAlive | Nature::NotSip => false,
    };
    let refusal = if is_answered { salvage(bytes.get(after_line..).unwrap_or_default(), &flaw) } else { None };
    match refusal {
        Some(refusal) => ParseError::Answerable(Box::new(refusal)),
        None => ParseError::Discard(flaw),
    }
}

/// Reads the headers that an answer copies, the first of each, and passes over all that is broken elsewhere.
fn salvage(block: &[u8], flaw: &Flaw) -> Option<Refusal> {
    let mut vias: Vec<Via> = Vec::new();
    let (mut from, mut to, mut id, mut cseq) = (None, None, None, None);
    let take_via = if *flaw == Flaw::UnsupportedVersion { ViaRef::take_of_any_version } else { ViaRef::take };
    let mut rest = block.get(..block.len().min(super::limits::MAX_MESSAGE_BYTES))?;
    while !rest.is_empty() && !rest.starts_with(b"\r\n") {
        let end = line_end(rest);
        let (line, next) = rest.split_at(end);
        rest = next.get(2..).unwrap_or_default();

        let Some(colon) = line.iter().position(|&c| c == b':') else { continue };
        let (name, value) = line.split_at(colon);
        let (name, value) = (scan::trim_end(name), scan::trim(value.get(1..).unwrap_or_default()));
        if HeaderName::Via.is(name) {
            let mut cursor = Cursor::new(value);
            loop {
                vias.push(take_via(&mut cursor)?.to_owned());
                if !cursor.eat(b',') {
                    break;
                }
            }
            if vias.len() > super::limits::MAX_LIST_VALUES {
                return None;
            }
        } else if HeaderName::From.is(name) {
            from = from.or_else(|| address(value));
        } else if HeaderName::To.is(name) {
            to = to.or_else(|| address(value));
        } else if HeaderName::CallId.is(name) {
            id = id.or_else(|| call_id(value));
        } else if HeaderName::CSeq.is(name) {
            cseq = cseq.or_else(|| CSeqRef::parse(value));
        }
    }
    if vias.is_empty() {
        return None;
    }
    Some(Refusal {
        status: flaw.status(),
        flaw: flaw.clone(),
        vias,
        from: from?.to_owned(),
        to: to?.to_owned(),
        call_id: SipCallId::checked(scan::ascii(id?)),
        cseq: cseq?.to_owned(),
    })
}

/// An address, without its display name where that is what is broken: an answer needs the URI and the tag.
fn address(value: &[u8]) -> Option<AddressRef<'_>> {
    AddressRef::parse(value).or_else(|| {
        let bracket = value.iter().rposition(|&c| c == b'<')?;
        AddressRef::parse(value.get(bracket..)?)
    })
}

/// The offset of the CRLF that ends the header, folds passed over, or the length.
fn line_end(text: &[u8]) -> usize {
    let mut at = 0;
    while let Some(found) = text.get(at..).and_then(|rest| rest.windows(2).position(|pair| pair == b"\r\n")) {
        at += found;
        match text.get(at + 2) {
            Some(b' ' | b'\t') => at += 3,
            Some(_) | None => return at,
        }
    }
    text.len()
}

impl Flaw {
    /// The code that tells it.
    fn status(&self) -> StatusCode {
        match self {
            Self::UnsupportedVersion => StatusCode::VERSION_NOT_SUPPORTED,
            Self::TooLarge | Self::HeaderTooLong | Self::TooManyHeaders => StatusCode::MESSAGE_TOO_LARGE,
            Self::StartLineTooLong => StatusCode::REQUEST_URI_TOO_LONG,
            Self::Missing(HeaderName::Event) => StatusCode::BAD_EVENT,
            Self::BadStartLine
            | Self::BadRequestUri
            | Self::BadHeaderLine
            | Self::ForbiddenControl
            | Self::Missing(_)
            | Self::Repeated(_)
            | Self::BadHeader(_)
            | Self::MethodMismatch
            | Self::BodyCut => StatusCode::BAD_REQUEST,
        }
    }
}

impl Refusal {
    /// The answer, with that tag in To unless the request had one, and the flaw in the reason phrase. Via still is
    /// as the peer wrote it: call [`Via::set_source`] on the topmost.
    pub fn to_response(&self, to_tag: &Token) -> Response {
        let to = self.to.clone();
        Response {
            status: self.status,
            reason: self.reason(),
            vias: self.vias.clone(),
            record_routes: Vec::new(),
            from: self.from.clone(),
            to: if to.tag().is_some() { to } else { to.with_tag(to_tag) },
            call_id: self.call_id.clone(),
            cseq: self.cseq.clone(),
            contacts: Vec::new(),
            headers: Vec::new(),
            body: None,
        }
    }

    /// A 400 says what is wrong (RFC 3261 §21.4.1); the other codes say it themselves.
    fn reason(&self) -> Option<super::HeaderValue> {
        let is_general = self.status == StatusCode::BAD_REQUEST;
        is_general.then(|| super::HeaderValue::cleaned(&format!("Bad Request: {}", self.flaw)))
    }
}
