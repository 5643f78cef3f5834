use serde_json::{Number, Value};
use tandem_model::{Money, MoneyError};

/// Reads an amount of 0 to [`MAX_AMOUNT_UNITS`].
///
/// A JSON number is read by its text: whole numbers are exact, and a fraction's shortest decimal text is the text that was sent for
/// up to 15 significant digits, which is exact enough for money. Strings are taken too, as clients with a decimal type write them.
pub(crate) fn money_of(value: &Value) -> Result<Money, String> {
    let amount = signed_money_of(value)?;
    if amount < Money::ZERO { Err("must not be negative".to_owned()) } else { Ok(amount) }
}

/// Reads an amount of as much, either way, as [`money_of`] reads those that are not negative.
pub(super) fn signed_money_of(value: &Value) -> Result<Money, String> {
    let text = match value {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return Err("must be a number".to_owned()),
    };
    let amount = Money::parse_decimal(&text).map_err(|error| match error {
        MoneyError::NotANumber => "must be a number".to_owned(),
        MoneyError::Overflow => format!("must be at most {MAX_AMOUNT_UNITS}"),
    })?;
    if amount.micros() > MAX_AMOUNT_UNITS * MICROS_PER_UNIT {
        return Err(format!("must be at most {MAX_AMOUNT_UNITS}"));
    }
    if amount.micros() < -MAX_AMOUNT_UNITS * MICROS_PER_UNIT {
        return Err(format!("must be at least -{MAX_AMOUNT_UNITS}"));
    }
    Ok(amount)
}

/// The amount as a JSON number: the float nearest to it, whose shortest text is the exact decimal for up to 15 digits.
#[expect(clippy::cast_precision_loss, reason = "what is cast is exact in a float")]
pub(crate) fn money_number(amount: Money) -> Number {
    let micros = amount.micros();
    if micros % MICROS_PER_UNIT == 0 {
        return Number::from(micros / MICROS_PER_UNIT);
    }
    // A quotient of two floats that are exact is the float nearest to it (IEEE 754 §4.3). Beyond them the text tells.
    let exact = (micros.unsigned_abs() <= EXACT_IN_A_FLOAT).then(|| micros as f64 / MICROS_PER_UNIT as f64);
    let nearest = exact.or_else(|| amount.to_decimal().parse().ok());
    nearest.and_then(Number::from_f64).unwrap_or_else(|| Number::from(0))
}

/// Largest amount taken from a client. With 15 significant digits it is exact to a millionth, and times a year of minutes it still
/// fits a [`Money`].
const MAX_AMOUNT_UNITS: i64 = 1_000_000;
const MICROS_PER_UNIT: i64 = 1_000_000;
/// 2⁵³: up to here a float holds every whole number.
const EXACT_IN_A_FLOAT: u64 = 1 << 53;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn amounts_survive_the_wire_exactly() {
        for text in ["0.0042", "0.01", "12", "0", "999999.999999", "0.000001", "4.2e-3"] {
            let value: Value = serde_json::from_str(text).unwrap();
            let amount = money_of(&value).unwrap();
            assert_eq!(amount, Money::parse_decimal(text).unwrap(), "{text}");
            let back = serde_json::to_string(&money_number(amount)).unwrap();
            assert_eq!(Money::parse_decimal(&back).unwrap(), amount, "{text} came back as {back}");
        }
        assert_eq!(money_number(Money::from_micros(4_200)).to_string(), "0.0042");
        assert_eq!(money_number(Money::from_micros(5_000_000)).to_string(), "5");
    }

    #[test]
    fn refuses_what_is_no_amount() {
        for wrong in
            [json!(-0.01), json!(-1), json!("abc"), json!(true), json!(1e9), json!(1e300), json!([]), json!("")]
        {
            assert!(money_of(&wrong).is_err(), "{wrong}");
        }
        assert_eq!(money_of(&json!("0.0100")), Ok(Money::from_micros(10_000)));
    }
}
