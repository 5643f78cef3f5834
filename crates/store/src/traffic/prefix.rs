use std::fmt;
use std::num::NonZeroU32;

/// Where a call goes, as statistics tell it: the country code and the two digits after it; in the numbering plan of North America the
/// three of the area. So whatever is dialled, an account has fewer than 30,000 of them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DestinationPrefix(NonZeroU32);

impl DestinationPrefix {
    /// Of a number with `+` or `00` before its country code (ITU-T E.164); `None` of any other text, whose country is not known.
    pub(crate) fn of_number(text: &str) -> Option<Self> {
        if let Some(rest) = text.strip_prefix(ERASED) {
            // What an erasure has left of a number says its prefix.
            return rest.split_once('-').and_then(|(prefix, _)| Self::parse(prefix));
        }
        let digits = text.strip_prefix('+').or_else(|| text.strip_prefix("00"))?;
        let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number || digits.starts_with('0') || !DIGITS.contains(&digits.len()) {
            return None;
        }
        let known = digits.len().min(prefix_length(digits));
        digits.get(..known)?.parse().ok().map(Self)
    }

    /// Of the user part of a SIP or `tel:` URI.
    pub(crate) fn of_uri(uri: &str) -> Option<Self> {
        let (_, rest) = uri.split_once(':')?;
        let user = rest.split(['@', ';', ':', '?']).next()?;
        Self::of_number(user)
    }

    /// Reads the digits that [`fmt::Display`] writes.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let is_prefix =
            text.len() <= LONGEST && text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
        if is_prefix { text.parse().ok().map(Self) } else { None }
    }
}

/// The digits, without the `+`.
impl fmt::Display for DestinationPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for DestinationPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{}", self.0)
    }
}

/// How the pseudonym of a number that was erased begins; then come its prefix and a hyphen, where it has one, and letters.
pub(crate) const ERASED: &str = "erased-";

/// How many digits of a number are its prefix.
fn prefix_length(digits: &str) -> usize {
    match digits.as_bytes() {
        [b'1', ..] => 1 + 3,
        [b'7', ..] => 1 + 2,
        [first, second, ..] if TWO_DIGIT_CODES.contains(&[*first, *second]) => 2 + 2,
        _ => LONGEST,
    }
}

/// The country codes of two digits (ITU-T E.164, list of assigned codes); 1 and 7 have one digit, all others three.
const TWO_DIGIT_CODES: [[u8; 2]; 44] = [
    *b"20", *b"27", *b"30", *b"31", *b"32", *b"33", *b"34", *b"36", *b"39", *b"40", *b"41", *b"43", *b"44", *b"45",
    *b"46", *b"47", *b"48", *b"49", *b"51", *b"52", *b"53", *b"54", *b"55", *b"56", *b"57", *b"58", *b"60", *b"61",
    *b"62", *b"63", *b"64", *b"65", *b"66", *b"81", *b"82", *b"84", *b"86", *b"90", *b"91", *b"92", *b"93", *b"94",
    *b"95", *b"98",
];
/// A country code of three digits, and two.
const LONGEST: usize = 5;
/// Fewer are no number that somebody could be called at; more are none of E.164.
const DIGITS: std::ops::RangeInclusive<usize> = 5..=15;

#[cfg(test)]
mod tests {
    use super::*;

    fn of(number: &str) -> Option<String> {
        DestinationPrefix::of_number(number).map(|prefix| prefix.to_string())
    }

    #[test]
    fn a_prefix_is_the_country_and_where_in_it() {
        for (number, prefix) in [
            ("+12025550100", "1202"),
            ("+74951234567", "749"),
            ("+442079460000", "4420"),
            ("00442079460000", "4420"),
            ("+35312345678", "35312"),
            ("+982112345678", "9821"),
            ("+99999", "99999"),
        ] {
            assert_eq!(of(number).as_deref(), Some(prefix), "{number}");
            assert_eq!(DestinationPrefix::parse(prefix), DestinationPrefix::of_number(number));
        }
    }

    #[test]
    fn what_is_no_international_number_has_none() {
        for text in
            ["", "+", "+1", "+1202", "2025550100", "+0123456", "echo", "+1202555x100", "000123456", "+1234567890123456"]
        {
            assert_eq!(of(text), None, "{text}");
        }
        for text in ["", "0", "+1202", "123456", "x"] {
            assert_eq!(DestinationPrefix::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_uri_is_read_by_its_user() {
        let of = |uri| DestinationPrefix::of_uri(uri).map(|prefix| prefix.to_string());
        assert_eq!(of("sip:+442079460000@sip.example.com;user=phone").as_deref(), Some("4420"));
        assert_eq!(of("sips:+12025550100:secret@example.com").as_deref(), Some("1202"));
        assert_eq!(of("tel:+12025550100;phone-context=x").as_deref(), Some("1202"));
        assert_eq!(of("sip:127.0.0.1:5060"), None);
        assert_eq!(of("echo"), None);
    }
}
