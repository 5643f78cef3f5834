//! Content-Type (RFC 3261 §20.15).

use super::params::ParamRef;
use super::scan::{self, Cursor};

/// A media type as it stands in a received message, checked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MediaType<'a> {
    main: &'a [u8],
    sub: &'a [u8],
}

impl<'a> MediaType<'a> {
    /// Reads a media type. A multipart one must name its boundary (RFC 2046 §5.1.1).
    pub(crate) fn parse(value: &'a [u8]) -> Option<Self> {
        let mut cursor = Cursor::new(value);
        let main = cursor.take(scan::TOKEN);
        if main.is_empty() || !cursor.eat_separator(b'/') {
            return None;
        }
        let sub = cursor.take(scan::TOKEN);
        let mut has_boundary = false;
        ParamRef::take_all(&mut cursor, |param| {
            has_boundary |= param.value.is_some() && param.name.eq_ignore_ascii_case(b"boundary");
            true
        })?;
        let is_good = !sub.is_empty() && cursor.is_done() && (has_boundary || !main.eq_ignore_ascii_case(b"multipart"));
        is_good.then_some(Self { main, sub })
    }

    /// `type/subtype` in lower case.
    pub(crate) fn essence(&self) -> String {
        format!("{}/{}", scan::ascii(self.main), scan::ascii(self.sub)).to_ascii_lowercase()
    }
}
