//! The session description in a message: the body, or a part of a multipart body (RFC 5621).

use crate::message::{HeaderName, Message};

/// A body that must be understood and is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UnusableBody;

/// The session description in a message, if there is one.
///
/// # Errors
///
/// [`UnusableBody`] when the body is of another type, encoded, or a multipart with a part that is neither a session
/// description nor marked as optional (RFC 5621 §8.2): 415.
pub(crate) fn sdp_of(message: &Message<'_>) -> Result<Option<Vec<u8>>, UnusableBody> {
    let body = message.body();
    if body.is_empty() {
        return Ok(None);
    }
    if message.text(&HeaderName::ContentEncoding).is_some_and(|coding| !coding.eq_ignore_ascii_case("identity")) {
        return Err(UnusableBody);
    }
    match message.content_type() {
        Ok(Some(kind)) if kind == SDP => Ok(Some(body.to_vec())),
        Ok(Some(kind)) if kind.starts_with("multipart/") => {
            let content_type = message.text(&HeaderName::ContentType).unwrap_or_default();
            let boundary = boundary_of(&content_type).ok_or(UnusableBody)?;
            sdp_part(body, boundary)
        }
        Ok(_) | Err(_) => Err(UnusableBody),
    }
}

/// Whether the sender takes session descriptions in responses, by its Accept (RFC 3261 §20.1).
pub(crate) fn accepts_sdp(message: &Message<'_>) -> bool {
    let mut is_empty = true;
    for range in message.list(&HeaderName::Accept) {
        is_empty = false;
        let kind = range.split(|octet| *octet == b';').next().unwrap_or_default().trim_ascii();
        if [SDP, "application/*", "*/*"].iter().any(|good| kind.eq_ignore_ascii_case(good.as_bytes())) {
            return true;
        }
    }
    is_empty
}

fn boundary_of(content_type: &str) -> Option<&str> {
    let (_, rest) = content_type.split_once(';')?;
    rest.split(';').find_map(|param| {
        let (name, value) = param.split_once('=')?;
        let value = value.trim().trim_matches('"');
        (name.trim().eq_ignore_ascii_case("boundary") && !value.is_empty() && value.len() <= MAX_BOUNDARY_BYTES)
            .then_some(value)
    })
}

fn sdp_part(body: &[u8], boundary: &str) -> Result<Option<Vec<u8>>, UnusableBody> {
    let mut sdp = None;
    let mut part_count = 0;
    let mut part: Option<usize> = None; // where the part at hand begins
    let mut is_closed = false;
    let mut position = 0;
    for line in body.split_inclusive(|octet| *octet == b'\n') {
        let begins = position;
        position += line.len();
        let Some(mark) = line.strip_prefix(b"--").and_then(|line| line.strip_prefix(boundary.as_bytes())) else {
            continue;
        };
        let is_end = mark.starts_with(b"--");
        if !is_end && !mark.trim_ascii().is_empty() {
            continue;
        }
        if let Some(part) = part {
            part_count += 1;
            if part_count > MAX_PARTS {
                return Err(UnusableBody);
            }
            let octets = body.get(part..begins).unwrap_or_default();
            match read_part(octets) {
                Part::Sdp(found) => {
                    sdp.get_or_insert_with(|| found.to_vec());
                }
                Part::Optional => {}
                Part::Required => return Err(UnusableBody),
            }
        }
        part = Some(position);
        if is_end {
            is_closed = true;
            break;
        }
    }
    if is_closed { Ok(sdp) } else { Err(UnusableBody) }
}

enum Part<'a> {
    Sdp(&'a [u8]),
    Optional,
    Required,
}

fn read_part(octets: &[u8]) -> Part<'_> {
    let mut kind: &[u8] = b"text/plain";
    let mut is_optional = false;
    let mut rest = octets;
    while let Some(end) = rest.iter().position(|octet| *octet == b'\n') {
        let (line, after) = rest.split_at(end + 1);
        rest = after;
        let line = line.trim_ascii();
        if line.is_empty() {
            break;
        }
        let Some(colon) = line.iter().position(|octet| *octet == b':') else { continue };
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default();
        if name.trim_ascii().eq_ignore_ascii_case(b"content-type") {
            kind = value.split(|octet| *octet == b';').next().unwrap_or_default().trim_ascii();
        } else if name.trim_ascii().eq_ignore_ascii_case(b"content-disposition") {
            is_optional = value
                .split(|octet| *octet == b';')
                .any(|param| param.trim_ascii().eq_ignore_ascii_case(b"handling=optional"));
        }
    }
    if kind.eq_ignore_ascii_case(SDP.as_bytes()) {
        // The line break before the boundary belongs to the boundary (RFC 2046 §5.1.1).
        Part::Sdp(rest.strip_suffix(b"\r\n").or_else(|| rest.strip_suffix(b"\n")).unwrap_or(rest))
    } else if is_optional {
        Part::Optional
    } else {
        Part::Required
    }
}

const SDP: &str = "application/sdp";

/// RFC 2046 §5.1.1.
const MAX_BOUNDARY_BYTES: usize = 70;

/// The most parts of a body. SDP with ISUP, location and the like has three or four.
const MAX_PARTS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    const SDP_PART: &str = "--b\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n\r\n";

    fn read(parts: &str) -> Result<Option<String>, UnusableBody> {
        sdp_part(parts.as_bytes(), "b").map(|sdp| sdp.map(|sdp| String::from_utf8(sdp).unwrap()))
    }

    #[test]
    fn finds_the_description_among_optional_parts() {
        let optional =
            "--b\r\nContent-Type: application/isup\r\nContent-Disposition: signal; handling=optional\r\n\r\nxx\r\n";
        assert_eq!(read(&format!("{optional}{SDP_PART}--b--\r\n")), Ok(Some("v=0\r\n".into())));
        assert_eq!(read(&format!("preamble\r\n{SDP_PART}{optional}--b--")), Ok(Some("v=0\r\n".into())));
    }

    #[test]
    fn a_part_is_required_unless_it_says_otherwise() {
        let required = "--b\r\nContent-Type: application/isup\r\n\r\nxx\r\n";
        assert_eq!(read(&format!("{SDP_PART}{required}--b--\r\n")), Err(UnusableBody));
    }

    #[test]
    fn a_body_without_its_end_is_unusable() {
        assert_eq!(read(SDP_PART), Err(UnusableBody));
        assert_eq!(read(""), Err(UnusableBody));
    }

    #[test]
    fn reads_the_boundary_with_and_without_quotes() {
        assert_eq!(boundary_of("multipart/mixed;boundary=b"), Some("b"));
        assert_eq!(boundary_of("multipart/mixed; charset=x; Boundary=\"b c\""), Some("b c"));
        assert_eq!(boundary_of("multipart/mixed"), None);
        assert_eq!(boundary_of("multipart/mixed; boundary="), None);
    }
}
