use std::time::Duration;

/// An amount in millionths of the node's currency unit, so that 0.0042 is exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Money {
    micros: i64,
}

impl Money {
    /// Nothing.
    pub const ZERO: Self = Self { micros: 0 };

    /// An amount of `micros` millionths.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self { micros }
    }

    /// Millionths of the currency unit.
    #[must_use]
    pub const fn micros(self) -> i64 {
        self.micros
    }

    /// The sum.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`] past 9.2 × 10^12 units.
    pub fn checked_add(self, other: Self) -> Result<Self, MoneyError> {
        let micros = self.micros.checked_add(other.micros).ok_or(MoneyError::Overflow)?;
        Ok(Self { micros })
    }

    /// The same, or the most that a call may cost when it is more, either way.
    #[must_use]
    pub fn as_call_cost(self) -> Self {
        Self { micros: self.micros.clamp(-MAX_CALL_COST.micros, MAX_CALL_COST.micros) }
    }

    /// A sum that may be wider than an amount can hold: then the largest, or the least there is.
    #[must_use]
    pub fn saturating_from(micros: i128) -> Self {
        let bound = if micros < 0 { i64::MIN } else { i64::MAX };
        Self { micros: i64::try_from(micros).unwrap_or(bound) }
    }

    /// How many credits of this value it is, rounded up to whole ones; a value that is not above zero buys nothing: zero.
    #[must_use]
    pub fn in_credits(self, value: Self) -> Self {
        if value.micros <= 0 {
            return Self::ZERO;
        }
        let (whole, rest) = (self.micros.div_euclid(value.micros), self.micros.rem_euclid(value.micros));
        let credits = whole.saturating_add(i64::from(rest > 0));
        Self { micros: credits.saturating_mul(ONE) }
    }

    /// Reads a decimal number such as `0.0042`; digits finer than a micro-unit are rounded half away from zero.
    ///
    /// # Errors
    /// [`MoneyError::NotANumber`] for anything but digits with at most one point (and an exponent, as JSON numbers may have),
    /// [`MoneyError::Overflow`] for what does not fit.
    pub fn parse_decimal(text: &str) -> Result<Self, MoneyError> {
        let (negative, unsigned) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().map_err(|_| MoneyError::NotANumber)?),
            None => (unsigned, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits: String = [whole, fraction].concat();
        if whole.is_empty() || digits.len() > MAX_DIGITS || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(MoneyError::NotANumber);
        }
        let value: i128 = digits.parse().map_err(|_| MoneyError::NotANumber)?;
        let fraction_digits = i32::try_from(fraction.len()).map_err(|_| MoneyError::NotANumber)?;
        let shift = exponent
            .checked_add(MICRO_DIGITS)
            .and_then(|sum| sum.checked_sub(fraction_digits))
            .ok_or(MoneyError::NotANumber)?;
        let power = 10_i128.checked_pow(shift.unsigned_abs());
        let micros = match (power, shift >= 0) {
            (Some(power), true) => value.checked_mul(power).ok_or(MoneyError::Overflow)?,
            (Some(power), false) => (value + power / 2) / power,
            // A power of ten beyond 10^38: too large, or nothing at all.
            (None, true) if value != 0 => return Err(MoneyError::Overflow),
            (None, _) => 0,
        };
        let micros = i64::try_from(micros).map_err(|_| MoneyError::Overflow)?;
        Ok(Self { micros: if negative { -micros } else { micros } })
    }

    /// The exact decimal text, without trailing zeros: `0.0042`, `12`.
    #[must_use]
    pub fn to_decimal(self) -> String {
        let sign = if self.micros < 0 { "-" } else { "" };
        let micros = self.micros.unsigned_abs();
        let (whole, fraction) = (micros / MICROS_PER_UNIT, micros % MICROS_PER_UNIT);
        if fraction == 0 {
            return format!("{sign}{whole}");
        }
        let fraction = format!("{fraction:06}");
        format!("{sign}{whole}.{}", fraction.trim_end_matches('0'))
    }
}

/// A price per minute and how finely a call is billed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Price of one minute.
    pub per_minute: Money,
    /// Billing increment in whole seconds, 1 to 3600; connected time is rounded up to it.
    pub increment_seconds: u32,
}

impl Rate {
    /// The time that is billed for a connection of this length: rounded up to the increment, in seconds.
    #[must_use]
    pub fn billed_seconds(self, connected: Duration) -> u64 {
        let increment = u64::from(self.increment_seconds.max(1));
        let started_seconds = connected.as_secs().saturating_add(u64::from(connected.subsec_nanos() > 0));
        started_seconds.div_ceil(increment).saturating_mul(increment)
    }

    /// What a connection of this length costs, rounded half up to a micro-unit, once.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`] when it is more than [`MAX_CALL_COST`].
    pub fn cost(self, connected: Duration) -> Result<Money, MoneyError> {
        let product = i128::from(self.per_minute.micros) * i128::from(self.billed_seconds(connected));
        let micros = i64::try_from((product + 30).div_euclid(60)).map_err(|_| MoneyError::Overflow)?;
        let cost = Money { micros };
        if cost == cost.as_call_cost() { Ok(cost) } else { Err(MoneyError::Overflow) }
    }
}

/// What can be wrong with an amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Not a plain decimal number.
    #[error("not a decimal number")]
    NotANumber,
    /// More than an amount can hold.
    #[error("the amount is too large")]
    Overflow,
}

/// The most that one call costs, whatever its price and however long it lasts: ten million units. So 900,000 of the dearest calls fit into
/// one sum.
pub const MAX_CALL_COST: Money = Money { micros: 10_000_000_000_000 };

/// The longest call that is believed: ten years.
pub const LONGEST_CALL: Duration = Duration::from_secs(10 * 366 * 86_400);

const MICROS_PER_UNIT: u64 = 1_000_000;
const ONE: i64 = 1_000_000;
const MICRO_DIGITS: i32 = 6;
/// Digits accepted in one number; an `i64` of micro-units has 19.
const MAX_DIGITS: usize = 36;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_exact_decimals() {
        assert_eq!(Money::parse_decimal("0.0042").unwrap().micros(), 4_200);
        assert_eq!(Money::parse_decimal("12").unwrap().micros(), 12_000_000);
        assert_eq!(Money::parse_decimal("4.2e-3").unwrap().micros(), 4_200);
        assert_eq!(Money::parse_decimal("0.00000049").unwrap().micros(), 0);
        assert_eq!(Money::parse_decimal("0.0000005").unwrap().micros(), 1);
        assert_eq!(Money::parse_decimal("1e400").unwrap_err(), MoneyError::Overflow);
        assert_eq!(Money::parse_decimal("abc").unwrap_err(), MoneyError::NotANumber);
        assert_eq!(Money::parse_decimal("").unwrap_err(), MoneyError::NotANumber);
    }

    #[test]
    fn counts_begun_credits() {
        let cent = Money::from_micros(10_000);
        let credits = |micros| Money::from_micros(micros).in_credits(cent).to_decimal();
        assert_eq!([0, 1, 10_000, 10_001, 25_000].map(credits), ["0", "1", "1", "2", "3"]);
        assert_eq!(cent.in_credits(Money::ZERO), Money::ZERO);
    }

    #[test]
    fn bills_started_increments_and_rounds_once() {
        let rate = Rate { per_minute: Money::from_micros(10_000), increment_seconds: 6 };
        assert_eq!(rate.billed_seconds(Duration::from_millis(1)), 6);
        assert_eq!(rate.billed_seconds(Duration::from_secs(6)), 6);
        assert_eq!(rate.billed_seconds(Duration::from_millis(6_001)), 12);
        assert_eq!(rate.billed_seconds(Duration::ZERO), 0);
        // 10,000 × 7 ÷ 60 = 1166.67: half up.
        let by_second = Rate { increment_seconds: 1, ..rate };
        assert_eq!(by_second.cost(Duration::from_secs(7)).unwrap().micros(), 1_167);
    }

    #[test]
    fn no_call_costs_more_than_the_most() {
        let rate = Rate { per_minute: Money::from_micros(1_000_000_000_000), increment_seconds: 60 };
        assert_eq!(rate.cost(Duration::from_secs(600)), Ok(MAX_CALL_COST));
        assert_eq!(rate.cost(Duration::from_secs(601)), Err(MoneyError::Overflow));
        let negative = Rate { per_minute: Money::from_micros(i64::MIN), increment_seconds: 1 };
        assert_eq!(negative.cost(Duration::MAX), Err(MoneyError::Overflow));
        assert_eq!(Money::from_micros(i64::MIN).as_call_cost().micros(), -MAX_CALL_COST.micros());
    }

    #[test]
    fn a_sum_beyond_all_amounts_is_the_last_of_them() {
        for (sum, amount) in [(7, 7), (i128::MAX, i64::MAX), (i128::MIN, i64::MIN), (-1, -1)] {
            assert_eq!(Money::saturating_from(sum).micros(), amount);
        }
    }

    proptest! {
        #[test]
        fn prints_and_reads_back(micros in -1_000_000_000_000_i64..1_000_000_000_000) {
            let amount = Money::from_micros(micros);
            prop_assert_eq!(Money::parse_decimal(&amount.to_decimal()).unwrap(), amount);
        }

        #[test]
        fn never_bills_less_than_the_connected_time(millis in 0_u64..20_000_000, increment in 1_u32..120) {
            let rate = Rate { per_minute: Money::from_micros(1), increment_seconds: increment };
            let billed = rate.billed_seconds(Duration::from_millis(millis)) * 1_000;
            prop_assert!(billed >= millis && billed < millis + u64::from(increment) * 1_000);
        }
    }
}
