use jiff::ToSpan;
use jiff::civil::Date;
use jiff::tz::Offset;
use tandem_model::{Money, Timestamp};
use tandem_store::TrunkPrices;

/// What a trunk's price of a month comes to from then to then: its share of each calendar month (UTC), by the microsecond, as long as
/// the trunk is there and the price holds.
///
/// Each part is a difference of two amounts that were counted from the beginning of its month and rounded down, so that parts that
/// follow on each other add up to exactly what the whole costs: a month of days to its price.
pub(super) fn cost_between(months: &mut Months, trunk: &TrunkPrices, from: Timestamp, to: Timestamp) -> Money {
    let end = trunk.deleted_at.map_or(to, |deleted| deleted.min(to));
    let mut micros = 0_i128;
    for (place, current) in trunk.monthly.iter().enumerate() {
        let next = trunk.monthly.get(place + 1).map_or(end, |next| next.since.min(end));
        let begin = current.since.max(from);
        micros += cost_at_one_price(months, current.price, begin.unix_micros(), next.unix_micros());
    }
    Money::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
}

fn cost_at_one_price(months: &mut Months, price: Money, from: i64, to: i64) -> i128 {
    let mut micros = 0;
    let mut at = from;
    while at < to && price != Money::ZERO {
        let Some((first, next)) = months.of(at) else { break };
        let end = to.min(next);
        let until = |moment: i64| i128::from(price.micros()) * i128::from(moment - first) / i128::from(next - first);
        micros += until(end) - until(at);
        at = end;
    }
    micros
}

/// Calendar months (UTC). Times that are asked for one after the other are mostly of one month.
#[derive(Debug, Default)]
pub(super) struct Months {
    last: Option<(i64, i64)>,
}

impl Months {
    /// Where the month of a time begins, and the next one; `None` at the end of the calendar.
    fn of(&mut self, micros: i64) -> Option<(i64, i64)> {
        let known = self.last.filter(|(first, next)| (*first..*next).contains(&micros));
        let month = known.or_else(|| month_of(micros))?;
        self.last = Some(month);
        Some(month)
    }
}

fn month_of(micros: i64) -> Option<(i64, i64)> {
    let date = Offset::UTC.to_datetime(jiff::Timestamp::from_microsecond(micros).ok()?).date();
    let first = date.first_of_month();
    Some((midnight(first)?, midnight(first.checked_add(1.month()).ok()?)?))
}

fn midnight(date: Date) -> Option<i64> {
    Some(Offset::UTC.to_timestamp(date.at(0, 0, 0, 0)).ok()?.as_microsecond())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tandem_model::TrunkId;
    use tandem_store::MonthlyPrice;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn trunk(monthly: &[(&str, i64)], deleted: Option<&str>) -> TrunkPrices {
        let monthly =
            monthly.iter().map(|(since, micros)| MonthlyPrice { since: at(since), price: Money::from_micros(*micros) });
        TrunkPrices {
            id: TrunkId::new(at("2026-01-01T00:00:00Z"), [1; 10]),
            name: "carrier".into(),
            created_at: at("2025-01-01T00:00:00Z"),
            deleted_at: deleted.map(at),
            monthly: monthly.collect(),
        }
    }

    #[test]
    fn the_days_of_a_month_add_up_to_its_price() {
        // 28 and 31 days, and prices that no number of days divides.
        for (month, days) in [("2026-02", 28), ("2026-03", 31), ("2028-02", 29)] {
            let trunk = trunk(&[("2025-01-01T00:00:00Z", 10_000_001)], None);
            let day = 86_400_000_000;
            let first = at(&format!("{month}-01T00:00:00Z")).unix_micros();
            let moment = |number: i64| Timestamp::from_unix_micros(first + number * day);
            let sum: i64 = (0..days)
                .map(|number| cost_between(&mut Months::default(), &trunk, moment(number), moment(number + 1)).micros())
                .sum();
            assert_eq!(sum, 10_000_001, "{month}");
            assert_eq!(
                cost_between(&mut Months::default(), &trunk, moment(0), moment(days)).micros(),
                10_000_001,
                "{month}"
            );
            let hours: i64 = (0..days * 24)
                .map(|hour| Timestamp::from_unix_micros(first + hour * day / 24))
                .map(|hour| {
                    cost_between(
                        &mut Months::default(),
                        &trunk,
                        hour,
                        Timestamp::from_unix_micros(hour.unix_micros() + day / 24),
                    )
                    .micros()
                })
                .sum();
            assert_eq!(hours, 10_000_001, "{month}");
        }
    }

    #[test]
    fn a_share_of_a_month_costs_its_share() {
        let trunk = trunk(&[("2025-01-01T00:00:00Z", 31_000_000)], None);
        let cost = |from, to| cost_between(&mut Months::default(), &trunk, at(from), at(to)).micros();
        assert_eq!(cost("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"), 1_000_000);
        assert_eq!(cost("2026-01-31T12:00:00Z", "2026-02-01T00:00:00Z"), 500_000);
        assert_eq!(cost("2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"), 12 * 31_000_000);
        assert_eq!(cost("2024-12-01T00:00:00Z", "2025-01-01T00:00:00Z"), 0, "it was not there yet");
    }

    #[test]
    fn a_price_holds_until_the_next_and_the_trunk_is_deleted() {
        let prices = [("2026-01-11T00:00:00Z", 31_000_000), ("2026-01-21T00:00:00Z", 62_000_000)];
        let cost = |deleted| {
            cost_between(
                &mut Months::default(),
                &trunk(&prices, deleted),
                at("2026-01-01T00:00:00Z"),
                at("2026-02-01T00:00:00Z"),
            )
            .micros()
        };
        assert_eq!(cost(None), 10 * 1_000_000 + 11 * 2_000_000);
        assert_eq!(cost(Some("2026-01-22T00:00:00Z")), 10 * 1_000_000 + 2_000_000);
        assert_eq!(cost(Some("2026-01-12T00:00:00Z")), 1_000_000);
    }

    #[test]
    fn prices_of_any_size_fit() {
        let trunk = trunk(&[("1970-01-01T00:00:00Z", i64::MAX), ("1970-01-02T00:00:00Z", i64::MAX)], None);
        assert_eq!(
            cost_between(&mut Months::default(), &trunk, at("1970-01-01T00:00:00Z"), at("2026-01-01T00:00:00Z"))
                .micros(),
            i64::MAX
        );
    }
}
