//! The `token` of RFC 3261 §25.1.

use std::fmt;

use super::scan;

/// A non-empty `token` (RFC 3261 §25.1): the alphabet of methods, option tags, tags and branches.
///
/// Compared octet by octet; where the RFC ignores case the user of the token says so.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(Box<str>);

/// The text is empty or has an octet that is not in `token`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a token")]
pub struct InvalidToken;

impl Token {
    /// Checks and keeps a text.
    ///
    /// # Errors
    ///
    /// [`InvalidToken`] when the text is empty or not made of token characters.
    pub fn new(text: &str) -> Result<Self, InvalidToken> {
        if scan::all(text.as_bytes(), scan::TOKEN) { Ok(Self(text.into())) } else { Err(InvalidToken) }
    }

    /// A token of lower case hexadecimal digits, two for each octet. Made for tags and branches out of random octets.
    ///
    /// No octets at all give `0`, for a token is never empty.
    pub fn hex(octets: &[u8]) -> Self {
        if octets.is_empty() { Self("0".into()) } else { Self(hex::encode(octets).into_boxed_str()) }
    }

    /// A name out of our own code, or text that a parser took because it is a token.
    pub(crate) fn checked(text: &str) -> Self {
        debug_assert!(scan::all(text.as_bytes(), scan::TOKEN));
        Self(text.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for Token {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for Token {
    type Err = InvalidToken;

    fn from_str(text: &str) -> Result<Self, InvalidToken> {
        Self::new(text)
    }
}
