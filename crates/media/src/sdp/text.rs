use std::fmt;

/// A value as it stands on the wire: octets without NUL, CR and LF, most often but not surely UTF-8 (RFC 8866 §5
/// leaves the character set of free text to an attribute).
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Text(Box<[u8]>);

impl Text {
    /// The octets.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text, or `None` when it is not UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// Takes over octets that the parser has cleared of line ends and NULs.
    pub(crate) fn from_clean(octets: &[u8]) -> Self {
        Self(octets.into())
    }

    /// True when nothing is there.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Drops the three octets that would end a line, so that no value can forge another line.
impl From<&str> for Text {
    fn from(text: &str) -> Self {
        let octets = text.as_bytes();
        if octets.iter().copied().any(is_forbidden) {
            return Self(octets.iter().copied().filter(|octet| !is_forbidden(*octet)).collect());
        }
        Self(octets.into())
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        self == *other
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

/// Octets that are not UTF-8 show as U+FFFD; for people, not for the wire.
impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

/// The value of a `k=` line, which may be a key in clear (RFC 4566 §5.12). Not printed.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct KeyText(Text);

impl KeyText {
    /// As it stands on the wire.
    pub const fn text(&self) -> &Text {
        &self.0
    }
}

impl From<Text> for KeyText {
    fn from(text: Text) -> Self {
        Self(text)
    }
}

impl fmt::Debug for KeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyText(…)")
    }
}

/// NUL, LF and CR, which no value may hold (RFC 8866 §9, `byte-string`).
pub(crate) const fn is_forbidden(octet: u8) -> bool {
    matches!(octet, 0 | b'\n' | b'\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_can_forge_a_line() {
        assert_eq!(Text::from("a\r\nm=audio 9 RTP/AVP 0\0"), "am=audio 9 RTP/AVP 0");
    }

    #[test]
    fn odd_octets_are_shown_and_kept() {
        let text = Text::from_clean(b"Caf\xe9");
        assert_eq!((text.to_string().as_str(), text.as_str()), ("Caf\u{fffd}", None));
        assert_eq!(format!("{text:?}"), r#""Caf\xe9""#);
    }
}
