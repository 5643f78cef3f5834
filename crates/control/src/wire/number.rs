use crate::wire::address::check_sip_uri;
use tandem_model::{DialTarget, E164, EMERGENCY_NUMBERS, ParseE164Error};

/// Reads whom to call: a number, an emergency number, or a `sip:` URI.
pub(crate) fn target_of(text: &str) -> Result<DialTarget, String> {
    let text = text.trim();
    if text.get(..3).is_some_and(|scheme| scheme.eq_ignore_ascii_case("sip")) {
        return check_sip_uri(text).map(|()| DialTarget::Uri(text.to_owned()));
    }
    let plain = without_punctuation(text)?;
    if EMERGENCY_NUMBERS.contains(&plain.as_str()) {
        return Ok(DialTarget::Emergency(plain));
    }
    possible_number(&plain).map(DialTarget::Number)
}

/// Reads a number that could exist: with `+` and country code, of a length that its country knows. Spaces, dashes, dots, slashes and
/// parentheses are dropped, and so is a `(0)` after the country code, which is dialled at home only.
pub(crate) fn number_of(text: &str) -> Result<E164, String> {
    possible_number(&without_punctuation(text.trim())?)
}

/// Reads a caller id: a number, or the user part of a SIP address.
pub(crate) fn caller_id_of(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.starts_with('+') {
        return number_of(text).map(|number| number.to_string());
    }
    if text.is_empty() || text.len() > MAX_CALLER_ID {
        return Err(format!("must have 1 to {MAX_CALLER_ID} characters"));
    }
    if !is_user_part(text) {
        return Err(
            "must be a number, or the user part of a SIP address: letters, digits and -_.!~*'()&=+$,;?/".to_owned()
        );
    }
    Ok(text.to_owned())
}

/// Whether a text can stand before the `@` of a SIP address without escapes (RFC 3261 §25.1 user).
pub(crate) fn is_user_part(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/".contains(&byte))
}

pub(super) fn without_punctuation(text: &str) -> Result<String, String> {
    if text.len() > MAX_WRITTEN_NUMBER {
        return Err(format!("must have at most {MAX_WRITTEN_NUMBER} characters"));
    }
    let text = text.replace("(0)", "");
    let plain: String = text.chars().filter(|c| !matches!(c, ' ' | '-' | '.' | '(' | ')' | '/' | '\u{a0}')).collect();
    Ok(plain)
}

/// Judges by what holds everywhere: the country code exists, and there are as many digits as a number can have. The metadata's patterns
/// would refuse numbers that were assigned after it was made, and its possible lengths are empty in this release of the crate.
fn possible_number(plain: &str) -> Result<E164, String> {
    let number: E164 = plain.parse().map_err(|error: ParseE164Error| error.to_string())?;
    // The metadata only judges; what is dialled are the digits as they were written.
    phonenumber::parse(None, number.as_str()).map_err(|error| format!("cannot be a number: {error}"))?;
    let digits = number.digits();
    if digits.len() < MIN_DIGITS {
        return Err(format!("a number has at least {MIN_DIGITS} digits, with its country code"));
    }
    if digits.starts_with(NANP_CODE) && digits.len() != NANP_DIGITS {
        return Err(format!("a number of country code 1 has {NANP_DIGITS} digits, as +12025550100"));
    }
    Ok(number)
}

/// Loads the metadata of numbers, so that the first call does not wait for it. Takes a quarter of a second of one core; call it once,
/// before requests are served and not from an async task.
pub fn warm_up() {
    // The answer does not matter: asking loads what answers later.
    let _ = number_of("+12025550100");
}

/// Longest user part in From: [`tandem_model::DialOrder::from`].
const MAX_CALLER_ID: usize = 64;
/// The shortest numbers in use: Niue and Tokelau have a country code of three digits and four more.
const MIN_DIGITS: usize = 7;
/// The North American plan is closed: every number has the code and ten digits.
const NANP_CODE: char = '1';
const NANP_DIGITS: usize = 11;
/// Longest number with its punctuation.
const MAX_WRITTEN_NUMBER: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_numbers_as_people_write_them() {
        for (written, number) in [
            ("+1 (202) 555-0100", "+12025550100"),
            ("+12025550100", "+12025550100"),
            ("+44 (0)20 7183 8750", "+442071838750"),
            ("+49.30/1234567", "+49301234567"),
            ("+683 4000", "+6834000"),
        ] {
            assert_eq!(number_of(written).map(|number| number.to_string()), Ok(number.to_owned()), "{written}");
        }
    }

    #[test]
    fn refuses_what_cannot_be_a_number() {
        for wrong in [
            "2025550100",
            "+1202",
            "+",
            "",
            "+1202555010x",
            "+0123456789",
            "+12025550100;x=y",
            "+1202555010012345678",
            "+99912345678",
            "+120255501001",
            "+683400",
        ] {
            assert!(number_of(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn tells_numbers_help_and_addresses_apart() {
        assert_eq!(target_of("911"), Ok(DialTarget::Emergency("911".into())));
        assert!(matches!(target_of("+12025550100"), Ok(DialTarget::Number(_))));
        assert!(matches!(target_of("sip:bob@127.0.0.3"), Ok(DialTarget::Uri(_))));
        assert!(target_of("91").is_err());
        assert!(target_of("sips:bob@127.0.0.3").is_err());
    }

    #[test]
    fn takes_caller_ids_of_both_kinds() {
        assert_eq!(caller_id_of("+1 202 555 0100"), Ok("+12025550100".into()));
        assert_eq!(caller_id_of("reception"), Ok("reception".into()));
        for wrong in ["", "a b", "a@b", "a\r\nb", "<a>", &"a".repeat(65)] {
            assert!(caller_id_of(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn no_text_is_too_strange() {
        // A linear congruential generator (Knuth's MMIX constants) from a fixed seed.
        let mut state = 7_u64;
        let mut next = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(state >> 33).unwrap() % below
        };
        let alphabet: Vec<char> = "+0123456789 ()-./:;@%[]?=sipé\u{0}\u{202e}\r\n".chars().collect();
        for _ in 0..3_000 {
            let length = next(24);
            let text: String = (0..length).map(|_| alphabet[next(alphabet.len())]).collect();
            for text in [text.clone(), format!("+{text}"), format!("sip:{text}")] {
                let _ = target_of(&text);
                let _ = caller_id_of(&text);
            }
        }
    }
}
