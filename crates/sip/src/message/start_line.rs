//! The first line: what a message is, before anything else is looked at.

use super::error::Flaw;
use super::limits::{MAX_LEADING_CRLF, MAX_METHOD_BYTES, MAX_START_LINE_BYTES};
use super::scan::{self, Cursor};
use super::status::StatusCode;

/// A start line as it stands in a received message.
#[derive(Debug, Clone, Copy)]
pub(crate) enum StartRef<'a> {
    Request {
        /// A token.
        method: &'a [u8],
        uri: &'a [u8],
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

/// Reads a request line. Its URI is only found: what it must be is for [`Message`](super::Message) to check.
pub(super) fn request_line(line: &[u8]) -> Result<StartRef<'_>, Flaw> {
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
    let uri = cursor.take_to(b' ', b' ');
    // Exactly one blank and the version are left when the URI has no blank in it.
    if cursor.rest().len() != b" SIP/2.0".len() {
        return Err(Flaw::BadRequestUri);
    }
    Ok(StartRef::Request { method, uri })
}

/// Reads a status line.
pub(super) fn status_line(line: &[u8]) -> Result<StartRef<'_>, Flaw> {
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
