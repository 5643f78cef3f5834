//! Headers of outgoing messages that have no field of their own, and the Call-ID.

use std::fmt;

use super::header_name::HeaderName;
use super::scan;

/// A header: name and checked value.
///
/// The names that [`super::Request`] and [`super::Response`] have fields for (Via, From, Content-Length, …) are
/// never written from one, so they cannot come twice.
#[derive(Clone, PartialEq, Eq)]
pub struct Header {
    /// The name.
    pub name: HeaderName,
    /// The value.
    pub value: HeaderValue,
}

/// A header value that cannot break out of its line: no control character other than HTAB, no blanks at its ends.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HeaderValue(Box<str>);

/// The value has a control character: CR, LF, NUL, ….
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a header value must not have control characters")]
pub struct InvalidHeaderValue;

/// A Call-ID: visible ASCII, not empty, at most [`MAX_CALL_ID_BYTES`](super::limits::MAX_CALL_ID_BYTES).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SipCallId(Box<str>);

/// The text cannot be a Call-ID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a Call-ID")]
pub struct InvalidSipCallId;

/// Without the answer to a challenge: who has it can guess at the password at leisure.
impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Header");
        shown.field("name", &self.name);
        if matches!(self.name, HeaderName::Authorization | HeaderName::ProxyAuthorization) {
            return shown.finish_non_exhaustive();
        }
        shown.field("value", &self.value).finish()
    }
}

impl Header {
    /// A header of that name and value.
    pub fn new(name: HeaderName, value: impl Into<HeaderValue>) -> Self {
        Self { name, value: value.into() }
    }
}

impl HeaderValue {
    /// Checks and keeps a text; blanks at its ends go.
    ///
    /// # Errors
    ///
    /// [`InvalidHeaderValue`] when it has a control character other than HTAB.
    pub fn new(text: &str) -> Result<Self, InvalidHeaderValue> {
        if text.chars().any(is_forbidden) { Err(InvalidHeaderValue) } else { Ok(Self(trim(text).into())) }
    }

    /// Keeps a text, with each control character turned into a space: for text that is told, not interpreted.
    pub fn cleaned(text: &str) -> Self {
        let clean: String = text.chars().map(|c| if is_forbidden(c) { ' ' } else { c }).collect();
        Self(trim(&clean).into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<u32> for HeaderValue {
    fn from(number: u32) -> Self {
        Self(number.to_string().into())
    }
}

/// A comma list of names: Allow.
impl<'a> FromIterator<&'a super::Method> for HeaderValue {
    fn from_iter<I: IntoIterator<Item = &'a super::Method>>(methods: I) -> Self {
        Self(methods.into_iter().map(super::Method::as_str).collect::<Vec<_>>().join(", ").into())
    }
}

/// A comma list of names: Supported, Unsupported, Require.
impl<'a> FromIterator<&'a super::Token> for HeaderValue {
    fn from_iter<I: IntoIterator<Item = &'a super::Token>>(tokens: I) -> Self {
        Self(tokens.into_iter().map(super::Token::as_str).collect::<Vec<_>>().join(", ").into())
    }
}

impl SipCallId {
    /// Checks and keeps a text.
    ///
    /// # Errors
    ///
    /// [`InvalidSipCallId`].
    pub fn new(text: &str) -> Result<Self, InvalidSipCallId> {
        if is_call_id(text.as_bytes()) { Ok(Self(text.into())) } else { Err(InvalidSipCallId) }
    }

    /// A Call-ID that a parser checked.
    pub(crate) fn checked(text: &str) -> Self {
        debug_assert!(is_call_id(text.as_bytes()));
        Self(text.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HeaderValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for SipCallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether the octets can be a Call-ID. More liberal than `word`, which many peers overstep; a blank or a control
/// character is never part of one.
pub(crate) fn is_call_id(octets: &[u8]) -> bool {
    !octets.is_empty() && octets.len() <= super::limits::MAX_CALL_ID_BYTES && scan::all(octets, scan::GRAPHIC)
}

fn is_forbidden(c: char) -> bool {
    c.is_control() && c != '\t'
}

fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_to_a_challenge_is_not_for_logs() {
        for name in [HeaderName::Authorization, HeaderName::ProxyAuthorization] {
            let header = Header::new(name, HeaderValue::new("Digest response=\"6629fae4\"").unwrap());
            let shown = format!("{header:?}");
            assert!(shown.contains("Authorization") && !shown.contains("6629fae4"), "{shown}");
        }
        let header = Header::new(HeaderName::Subject, HeaderValue::new("lunch").unwrap());
        assert!(format!("{header:?}").contains("lunch"));
    }
}
