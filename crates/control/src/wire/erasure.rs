use crate::wire::access::strictly;
use crate::wire::fields::{Fields, Invalid, string_of};
use crate::wire::number::{number_of, without_punctuation};
use serde_json::{Map, Value};
use std::fmt;
use tandem_model::E164;
use tandem_store::{MAX_OTHER_SPELLINGS, SPELLING_DIGITS};

/// A number that is to be erased.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct NewErasure {
    pub(crate) number: E164,
    /// Other digits that stand for it.
    pub(crate) also: Vec<String>,
}

impl NewErasure {
    /// Reads the body of `POST /erasures`.
    pub(crate) fn parse(body: Map<String, Value>) -> Result<Self, Invalid> {
        strictly(body, Self::read)
    }

    pub(super) fn read(fields: &mut Fields) -> Option<Self> {
        let number = fields.read("number", |value| {
            let number = number_of(string_of(value)?)?;
            let digits = number.as_str().trim_start_matches('+').len();
            if SPELLING_DIGITS.contains(&digits) {
                Ok(number)
            } else {
                Err(format!("must have at least {} digits", SPELLING_DIGITS.start()))
            }
        });
        let number = fields.require("number", number);
        let also = fields.list("also", MAX_OTHER_SPELLINGS, |value| spelling_of(string_of(value)?)).value();
        Some(Self { number: number?, also: also.unwrap_or_default() })
    }
}

/// Never shows the number.
impl fmt::Debug for NewErasure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NewErasure(…)")
    }
}

fn spelling_of(text: &str) -> Result<String, String> {
    let digits = without_punctuation(text.trim())?;
    let digits = digits.strip_prefix('+').unwrap_or(&digits);
    let fits = SPELLING_DIGITS.contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    if fits {
        Ok(digits.to_owned())
    } else {
        Err(format!("must be {} to {} digits", SPELLING_DIGITS.start(), SPELLING_DIGITS.end()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(body: &Value) -> Result<NewErasure, Invalid> {
        NewErasure::parse(body.as_object().unwrap().clone())
    }

    #[test]
    fn a_number_is_read_with_its_other_spellings_and_never_shown() {
        let new = read(&json!({"number": "+1 202 555 0142", "also": ["(202) 555-0142", "912025550142"]})).unwrap();
        assert_eq!(
            (new.number.as_str(), new.also.as_slice()),
            ("+12025550142", ["2025550142", "912025550142"].map(str::to_owned).as_slice())
        );
        assert!(!format!("{new:?}").contains("555"));
    }

    #[test]
    fn what_would_be_found_in_half_of_all_texts_is_refused() {
        for body in [
            json!({}),
            json!({"number": "2025550142"}),
            json!({"number": "+12025550142", "also": ["123456"]}),
            json!({"number": "+12025550142", "also": ["alice"]}),
            json!({"number": "+12025550142", "also": [2_025_550_142_u64]}),
            json!({"number": "+12025550142", "also": "2025550142"}),
            json!({"number": "+12025550142", "spellings": []}),
        ] {
            assert!(read(&body).is_err(), "{body}");
        }
    }
}
