use std::fmt;
use std::str::FromStr;

/// A telephone number: `+`, then 2 to 15 digits, the first not zero (ITU-T E.164 §6). `Debug` shows the last two digits only.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct E164(String);

impl E164 {
    /// The number with its leading `+`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The digits without the `+`.
    #[must_use]
    pub fn digits(&self) -> &str {
        self.0.strip_prefix('+').unwrap_or(&self.0)
    }
}

impl FromStr for E164 {
    type Err = ParseE164Error;

    fn from_str(text: &str) -> Result<Self, ParseE164Error> {
        let digits = text.strip_prefix('+').ok_or(ParseE164Error::NoPlus)?;
        if !(MIN_DIGITS..=MAX_DIGITS).contains(&digits.len()) {
            return Err(ParseE164Error::Length);
        }
        if digits.starts_with('0') || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(ParseE164Error::Digits);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for E164 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for E164 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.len().saturating_sub(2);
        write!(f, "E164(…{})", self.0.get(shown..).unwrap_or(""))
    }
}

impl serde::Serialize for E164 {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for E164 {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Why a text is no E.164 number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseE164Error {
    /// It does not begin with `+`, so the country is not known.
    #[error("a number is written with + and its country code, as +12025550100")]
    NoPlus,
    /// Fewer than 2 or more than 15 digits.
    #[error("a number has 2 to 15 digits after the +")]
    Length,
    /// Something that is no digit, or a leading zero.
    #[error("a number has digits only after the +, the first of them not 0")]
    Digits,
}

const MIN_DIGITS: usize = 2;
/// ITU-T E.164 §6.1.
const MAX_DIGITS: usize = 15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_an_international_number() {
        let number: E164 = "+12025550100".parse().unwrap();
        assert_eq!(number.digits(), "12025550100");
    }

    #[test]
    fn refuses_what_is_not_international() {
        assert_eq!("2025550100".parse::<E164>(), Err(ParseE164Error::NoPlus));
        assert_eq!("+1".parse::<E164>(), Err(ParseE164Error::Length));
        assert_eq!("+1234567890123456".parse::<E164>(), Err(ParseE164Error::Length));
        assert_eq!("+02025550100".parse::<E164>(), Err(ParseE164Error::Digits));
        assert_eq!("+1 202 555".parse::<E164>(), Err(ParseE164Error::Digits));
    }

    #[test]
    fn debug_hides_the_number() {
        let number: E164 = "+12025550142".parse().unwrap();
        assert_eq!(format!("{number:?}"), "E164(…42)");
    }
}
