//! Keys of a telephone and the RTP payload that carries them (RFC 4733).

use std::fmt;

/// A key: `0` to `9`, `*`, `#`, `A` to `D` (RFC 4733 §3.2).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digit(u8);

impl Digit {
    /// The key of an event code, if it is a key.
    #[must_use]
    pub fn from_event(event: u8) -> Option<Self> {
        (usize::from(event) < KEYS.len()).then_some(Self(event))
    }

    /// The event code, 0 to 15.
    #[must_use]
    pub fn event(self) -> u8 {
        self.0
    }

    /// The key of a character; letters in either case.
    #[must_use]
    pub fn from_char(key: char) -> Option<Self> {
        let key = u8::try_from(key).ok()?.to_ascii_uppercase();
        (0..)
            .zip(KEYS)
            .find_map(|(event, known)| (*known == key).then_some(Self(event)))
    }

    /// The character on the key.
    #[must_use]
    pub fn as_char(self) -> char {
        KEYS.get(usize::from(self.0))
            .map_or('?', |key| char::from(*key))
    }
}

impl fmt::Debug for Digit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digit({})", self.as_char())
    }
}

impl fmt::Display for Digit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.as_char())
    }
}

/// Keys in the order of their event codes.
const KEYS: &[u8; 16] = b"0123456789*#ABCD";
