//! Finding a number in texts, however it is written, and putting a pseudonym in its place.

use crate::DestinationPrefix;
use crate::traffic::ERASED;
use serde_json::Value;
use tandem_model::E164;
use zeroize::Zeroizing;

/// The digits that a number is written by: with its country code, and as else it was named.
#[derive(Clone)]
pub(crate) struct Spellings(Vec<Zeroizing<String>>);

/// Fewer are no number of one person; more are none of E.164.
pub const SPELLING_DIGITS: std::ops::RangeInclusive<usize> = 7..=15;
/// National, with a trunk prefix, and as an extension of a few exchanges.
pub const MAX_OTHER_SPELLINGS: usize = 8;

impl Spellings {
    /// Of a number, and of other digits that stand for it.
    pub(crate) fn new<'a>(number: &E164, others: impl IntoIterator<Item = &'a str>) -> Self {
        let digits = number.as_str().trim_start_matches('+');
        let mut spellings = vec![Zeroizing::new(digits.to_owned())];
        for other in others {
            if spellings.iter().all(|known| known.as_str() != other) {
                spellings.push(Zeroizing::new(other.to_owned()));
            }
        }
        Self(spellings)
    }

    /// As they are sealed.
    pub(crate) fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let digits: Vec<&str> = self.0.iter().map(|digits| digits.as_str()).collect();
        Zeroizing::new(digits.join(",").into_bytes())
    }

    /// What [`Self::to_bytes`] gave; without any when it is something else.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        let text = str::from_utf8(bytes).unwrap_or_default();
        let digits = text.split(',').filter(|digits| SPELLING_DIGITS.contains(&digits.len()));
        Self(digits.map(|digits| Zeroizing::new(digits.to_owned())).collect())
    }

    /// How a column that holds a number alone can hold this one.
    pub(crate) fn in_columns(&self) -> Vec<Zeroizing<String>> {
        let written = |digits: &Zeroizing<String>| {
            ["+", "", "00", "011"].map(|prefix| Zeroizing::new(format!("{prefix}{}", digits.as_str())))
        };
        self.0.iter().flat_map(written).collect()
    }

    /// Whether a text holds the number.
    pub(crate) fn are_in(&self, text: &str) -> bool {
        self.find(text.as_bytes(), 0).is_some()
    }

    /// The text with the pseudonym for each mention of the number; `None` when there is none.
    pub(crate) fn erase(&self, text: &str, pseudonym: &str) -> Option<String> {
        let mut erased = String::new();
        let mut kept_to = 0;
        while let Some((begin, end)) = self.find(text.as_bytes(), kept_to) {
            // Both ends are at digits or signs of ASCII.
            erased.push_str(text.get(kept_to..begin)?);
            erased.push_str(&in_place_of(text.get(begin..end)?, pseudonym));
            kept_to = end;
        }
        if kept_to == 0 {
            return None;
        }
        erased.push_str(text.get(kept_to..)?);
        Some(erased)
    }

    /// A JSON text with the pseudonym for each mention of the number in a string, and in the client's own `metadata` also for a number
    /// of JSON that is it. The rest stays as it is, octet for octet. `None` when there is none.
    pub(crate) fn erase_in_json(&self, json: &str, pseudonym: &str, whose: Json) -> Option<String> {
        let bytes = json.as_bytes();
        let mut erased = String::with_capacity(json.len());
        let (mut at, mut kept_to, mut depth) = (0, 0, 0_usize);
        let mut in_metadata = false;
        let mut last_string = None;
        while let Some(&byte) = bytes.get(at) {
            match byte {
                b'"' => {
                    let end = end_of_string(bytes, at);
                    let token = json.get(at..end)?;
                    last_string = Some(token);
                    if let Some(string) = self.erase_string(token, pseudonym) {
                        erased.push_str(json.get(kept_to..at)?);
                        erased.push_str(&string);
                        kept_to = end;
                    }
                    at = end;
                }
                b'0'..=b'9' | b'-' => {
                    let length = bytes.iter().skip(at).take_while(|byte| is_of_number(**byte)).count();
                    let end = at + length.max(1);
                    let token = json.get(at..end)?;
                    let may_be_number = in_metadata || whose == Json::Clients;
                    if may_be_number && self.0.iter().any(|digits| digits.as_str() == token) {
                        erased.push_str(json.get(kept_to..at)?);
                        erased.push('"');
                        erased.push_str(pseudonym);
                        erased.push('"');
                        kept_to = end;
                    }
                    at = end;
                }
                _ => {
                    match byte {
                        b'{' | b'[' => depth += 1,
                        b'}' | b']' => depth = depth.saturating_sub(1),
                        b':' if depth == 1 => in_metadata = last_string == Some("\"metadata\""),
                        _ => {}
                    }
                    if byte == b',' && depth == 1 {
                        in_metadata = false;
                    }
                    at += 1;
                }
            }
        }
        if kept_to == 0 {
            return None;
        }
        erased.push_str(json.get(kept_to..)?);
        Some(erased)
    }

    /// A string of JSON with its quotes. One that holds JSON itself stays JSON.
    fn erase_string(&self, token: &str, pseudonym: &str) -> Option<String> {
        let inner = token.get(1..token.len().checked_sub(1)?)?;
        if !inner.contains('\\') {
            return self.erase(inner, pseudonym).map(|erased| format!("\"{erased}\""));
        }
        let plain: Zeroizing<String> = Zeroizing::new(serde_json::from_str(token).ok()?);
        let is_json = plain.starts_with(['{', '[']) && serde_json::from_str::<Value>(&plain).is_ok();
        let erased = if is_json {
            self.erase_in_json(&plain, pseudonym, Json::Clients)?
        } else {
            self.erase(&plain, pseudonym)?
        };
        Some(crate::row::to_json(&erased))
    }

    /// Where the number stands first, from a place on.
    fn find(&self, text: &[u8], from: usize) -> Option<(usize, usize)> {
        let mut at = from;
        while at < text.len() {
            let is_digit = text.get(at).is_some_and(u8::is_ascii_digit);
            let follows_digit = at > from && text.get(at - 1).is_some_and(u8::is_ascii_digit);
            if is_digit && !follows_digit {
                let has_plus = at > from && text.get(at - 1) == Some(&b'+');
                let begin = if has_plus { at - 1 } else { at };
                for digits in &self.0 {
                    for prefix in ["", "00", "011"] {
                        let rest = text.get(at..)?.strip_prefix(prefix.as_bytes());
                        if let Some(length) = rest.and_then(|rest| length_of(digits.as_bytes(), rest, has_plus)) {
                            return Some((begin, at + prefix.len() + length));
                        }
                    }
                }
            }
            at += 1;
        }
        None
    }
}

/// Never shows the number.
impl std::fmt::Debug for Spellings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Spellings({})", self.0.len())
    }
}

/// What stands for a mention of the number. Where statistics count it by its prefix, that is kept: a row must go on telling what it has
/// added, or it could not be taken away again.
fn in_place_of(mention: &str, pseudonym: &str) -> String {
    let known = DestinationPrefix::of_number(mention).map(|prefix| prefix.to_string());
    let hidden = |prefix: &String| mention.trim_start_matches(['+', '0']).len().saturating_sub(prefix.len());
    match (known.filter(|prefix| hidden(prefix) >= HIDDEN_DIGITS), pseudonym.strip_prefix(ERASED)) {
        (Some(prefix), Some(letters)) => format!("{ERASED}{prefix}-{letters}"),
        _ => pseudonym.to_owned(),
    }
}

/// Whose a JSON text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Json {
    /// Ours: its numbers are counts and times, but for those in `metadata`.
    Ours,
    /// The client's: a number may be a number that one can call.
    Clients,
}

/// How long the digits are at the beginning of a text, written in one or apart; `None` when they are not there, or are part of more.
fn length_of(digits: &[u8], text: &[u8], has_plus: bool) -> Option<usize> {
    let mut at = 0;
    for (place, digit) in digits.iter().enumerate() {
        if place > 0 && digits.len() >= APART_DIGITS {
            let is_separator = |byte: &u8| SEPARATORS.contains(byte) || (has_plus && *byte == b'.');
            let separators = text.iter().skip(at).take(MAX_SEPARATORS).take_while(|byte| is_separator(byte)).count();
            at += separators;
        }
        if text.get(at) != Some(digit) {
            return None;
        }
        at += 1;
    }
    if text.get(at).is_some_and(u8::is_ascii_digit) { None } else { Some(at) }
}

/// Where a string ends, behind its quote.
fn end_of_string(json: &[u8], begin: usize) -> usize {
    let mut at = begin + 1;
    while let Some(byte) = json.get(at) {
        match byte {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    json.len()
}

const fn is_of_number(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')
}

/// Few countries have numbers of which fewer are left behind the prefix; of those no prefix is kept.
const HIDDEN_DIGITS: usize = 4;

/// What people write between the digits (RFC 3966 §5.1.1, and the blank).
const SEPARATORS: [u8; 5] = *b" -()/";
/// As in `) `; a longer stretch is no longer within a number.
const MAX_SEPARATORS: usize = 2;
/// Shorter ones written apart would be dates.
const APART_DIGITS: usize = 9;

#[cfg(test)]
mod tests {
    use super::*;

    fn spellings() -> Spellings {
        Spellings::new(&"+12025550142".parse().unwrap(), ["2025550142"])
    }

    #[test]
    fn the_number_is_found_however_it_is_written() {
        for (text, erased) in [
            ("+12025550142", "X"),
            ("12025550142", "X"),
            ("0012025550142", "X"),
            ("01112025550142", "X"),
            ("2025550142", "X"),
            ("sip:+12025550142@192.0.2.1;user=phone", "sip:X@192.0.2.1;user=phone"),
            ("\"Zoë\" <sip:12025550142@a.example>;tag=7", "\"Zoë\" <sip:X@a.example>;tag=7"),
            ("tel:+1-202-555-0142", "tel:X"),
            ("call +1 (202) 555-0142 or +1.202.555.0142!", "call X or X!"),
            ("%2B12025550142", "%2BX"),
            ("+12025550142+12025550142", "XX"),
        ] {
            assert_eq!(spellings().erase(text, "X").as_deref(), Some(erased), "{text}");
            assert!(spellings().are_in(text), "{text}");
        }
    }

    #[test]
    fn other_numbers_are_left_alone() {
        for text in [
            "",
            "+12025550143",
            "+120255501421",
            "+442025550142",
            "912025550142",
            "1202555014",
            "sip:+1202555@0142",
            "2026-11-26T08:25:55.014200Z",
            "erased-kqzvbmwx",
        ] {
            assert_eq!(spellings().erase(text, "X"), None, "{text}");
            assert!(!spellings().are_in(text), "{text}");
        }
        let address = Spellings::new(&"+1920201015060".parse().unwrap(), []);
        assert_eq!(address.erase("192.0.2.010:15060", "X"), None, "an address is no number");
    }

    #[test]
    fn a_prefix_that_statistics_count_by_is_kept_and_no_more() {
        let spellings = Spellings::new(&"+12025550142".parse().unwrap(), []);
        for (text, erased) in [
            ("+12025550142", "erased-1202-kqzvbmwx"),
            ("0012025550142", "erased-1202-kqzvbmwx"),
            ("sip:+12025550142@a.example", "sip:erased-1202-kqzvbmwx@a.example"),
            ("12025550142", "erased-kqzvbmwx"),
            ("+1 202 555 0142", "erased-kqzvbmwx"),
        ] {
            assert_eq!(spellings.erase(text, "erased-kqzvbmwx").as_deref(), Some(erased));
            assert_eq!(DestinationPrefix::of_number(text), DestinationPrefix::of_number(erased), "{text}");
            assert_eq!(DestinationPrefix::of_uri(text), DestinationPrefix::of_uri(erased), "{text}");
        }
        let short = Spellings::new(&"+6834001".parse().unwrap(), []);
        assert_eq!(short.erase("+6834001", "erased-kqzvbmwx").as_deref(), Some("erased-kqzvbmwx"));
    }

    #[test]
    fn json_stays_json_and_counts_stay_counts() {
        let json = r#"{"at":12025550142, "to":"sip:+12025550142@h","metadata":{"a":[12025550142,1.5,"x \"12025550142\""]},"n":2025550142}"#;
        let erased = spellings().erase_in_json(json, "X", Json::Ours).unwrap();
        let expected = r#"{"at":12025550142, "to":"sip:X@h","metadata":{"a":["X",1.5,"x \"X\""]},"n":2025550142}"#;
        assert_eq!(erased, expected);
        let clients = spellings().erase_in_json(json, "X", Json::Clients).unwrap();
        assert!(!spellings().are_in(&clients), "{clients}");
        assert_eq!(spellings().erase_in_json(&clients, "X", Json::Clients), None);
    }

    #[test]
    fn json_within_json_stays_json() {
        let inner = r#"{"to":"+12025550142","metadata":{"phone":12025550142}}"#;
        let outer = crate::row::to_json(&serde_json::json!({"status": 201, "body": inner}));
        let erased = spellings().erase_in_json(&outer, "X", Json::Ours).unwrap();
        let outer: Value = serde_json::from_str(&erased).unwrap();
        let inner: Value = serde_json::from_str(outer["body"].as_str().unwrap()).unwrap();
        assert_eq!(inner, serde_json::json!({"to": "X", "metadata": {"phone": "X"}}));
    }

    #[test]
    fn what_was_sealed_comes_back_and_is_not_shown() {
        let again = Spellings::from_bytes(&spellings().to_bytes());
        assert!(again.are_in("2025550142") && again.are_in("+12025550142"));
        assert_eq!(format!("{again:?}"), "Spellings(2)");
        assert!(!Spellings::from_bytes(b"").are_in("+12025550142"));
    }
}
