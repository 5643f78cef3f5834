use crate::service::Caller;
use crate::service::statistics::pro_rata::{Months, cost_between};
use crate::service::statistics::{Figures, Period, ReadStatisticsError, Statistics};
use crate::wire::Invalid;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use tandem_model::{CallDirection, HangupCause, Money, Timestamp, TrunkId};
use tandem_store::{DestinationPrefix, Sums, TimeStep, TrafficDetail, TrafficQuery, TrunkPrices};

/// What to tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GroupBy {
    Hour,
    Day,
    Trunk,
    Prefix,
    Cause,
}

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AnalyticsQuery {
    pub(crate) period: Period,
    pub(crate) group_by: Vec<GroupBy>,
    pub(crate) trunk: Option<TrunkId>,
    pub(crate) direction: Option<CallDirection>,
    pub(crate) prefix: Option<String>,
    pub(crate) cause: Option<HangupCause>,
}

/// The answer.
#[derive(Clone, Debug)]
pub(crate) struct Analytics {
    /// The time that it is about, in whole hours.
    pub(crate) range: (Timestamp, Timestamp),
    pub(crate) group_by: Vec<GroupBy>,
    pub(crate) totals: Figures,
    pub(crate) buckets: Vec<Bucket>,
}

/// A part of it. What is not told apart is `None`.
#[derive(Clone, Debug)]
pub(crate) struct Bucket {
    pub(crate) began_at: Option<Timestamp>,
    pub(crate) trunk: Option<TrunkId>,
    /// `None` of a trunk that is gone for longer.
    pub(crate) trunk_name: Option<String>,
    pub(crate) prefix: Option<DestinationPrefix>,
    pub(crate) cause: Option<HangupCause>,
    pub(crate) figures: Figures,
}

impl GroupBy {
    pub(crate) const ALL: [Self; 5] = [Self::Hour, Self::Day, Self::Trunk, Self::Prefix, Self::Cause];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Trunk => "trunk",
            Self::Prefix => "prefix",
            Self::Cause => "cause",
        }
    }
}

impl AnalyticsQuery {
    fn step(&self) -> Option<TimeStep> {
        self.group_by.iter().find_map(|group| match group {
            GroupBy::Hour => Some(TimeStep::Hour),
            GroupBy::Day => Some(TimeStep::Day),
            GroupBy::Trunk | GroupBy::Prefix | GroupBy::Cause => None,
        })
    }

    fn detail(&self) -> Option<TrafficDetail> {
        self.group_by.iter().find_map(|group| match group {
            GroupBy::Cause => Some(TrafficDetail::Cause),
            GroupBy::Prefix => Some(TrafficDetail::Prefix),
            GroupBy::Hour | GroupBy::Day | GroupBy::Trunk => None,
        })
    }

    fn is_by(&self, group: GroupBy) -> bool {
        self.group_by.contains(&group)
    }

    /// Prefixes and causes are not kept together, nor are more than two things told apart.
    fn check(&self) -> Result<(), Invalid> {
        let refuse = |message: &str| Err(Invalid::field("group_by", message.to_owned()));
        let repeated =
            GroupBy::ALL.iter().any(|group| self.group_by.iter().filter(|known| *known == group).count() > 1);
        if repeated || self.group_by.len() > MOST_GROUPS {
            return refuse("names one of hour, day, trunk, prefix and cause, or two of them, each once");
        }
        if self.is_by(GroupBy::Hour) && self.is_by(GroupBy::Day) {
            return refuse("takes hour or day, not both");
        }
        let of_cause = self.is_by(GroupBy::Cause) || self.cause.is_some();
        let of_prefix = self.is_by(GroupBy::Prefix) || self.prefix.is_some();
        if of_cause && of_prefix {
            return refuse("takes prefix or cause, not both, and neither with a filter of the other");
        }
        Ok(())
    }
}

impl Statistics {
    /// What calls add up to, by what is asked for.
    pub(crate) async fn analytics(
        &self,
        caller: &Caller,
        asked: AnalyticsQuery,
    ) -> Result<Analytics, ReadStatisticsError> {
        asked.check()?;
        let (account, store, now) = (caller.account_id(), &self.core.store, self.core.now());
        let (from, to) = self.range(asked.period)?;
        let step = asked.step();
        let all = TrafficQuery {
            trunk: asked.trunk,
            direction: asked.direction,
            cause: asked.cause,
            prefix: asked.prefix.clone(),
            ..TrafficQuery::new(account, from, to)
        };
        let query = TrafficQuery {
            by_time: step,
            by_trunk: asked.is_by(GroupBy::Trunk),
            by_detail: asked.detail(),
            limit: MOST_BUCKETS + 1,
            ..all.clone()
        };
        let range = query.range();
        if step.is_some_and(|step| steps_between(range, step).nth(MOST_BUCKETS as usize).is_some()) {
            return Err(too_many_buckets().into());
        }
        let (totals, rows, prices) =
            tokio::try_join!(store.traffic(&all), store.traffic(&query), store.trunk_prices(account, range.0))?;
        if rows.len() > MOST_BUCKETS as usize {
            return Err(too_many_buckets().into());
        }

        // What a trunk costs by the month belongs to times and trunks, not to some of its calls.
        let has_monthly = asked.direction.is_none() && asked.cause.is_none() && asked.prefix.is_none();
        let costs = MonthlyCosts { prices: &prices, trunk: asked.trunk, until: now, months: RefCell::default() };
        let of_attempts = asked.trunk.is_some() || query.by_trunk;
        let figures = |sums, monthly_cost| Figures { sums, of_attempts, monthly_cost };
        let total_sums = totals.first().map(|row| row.sums).unwrap_or_default();
        let totals = figures(total_sums, has_monthly.then(|| costs.between(None, range)));

        let names: HashMap<TrunkId, &str> = prices.iter().map(|trunk| (trunk.id, trunk.name.as_str())).collect();
        let bucket = |began_at, trunk: Option<TrunkId>, figures| Bucket {
            began_at,
            trunk,
            trunk_name: trunk.and_then(|id| names.get(&id)).map(|name| (*name).to_owned()),
            prefix: None,
            cause: None,
            figures,
        };
        let buckets = match (asked.group_by.as_slice(), step) {
            // Every step of time, so that what is not there shows as nothing.
            ([_], Some(step)) => {
                let sums: BTreeMap<_, Sums> = rows.iter().map(|row| (row.began_at, row.sums)).collect();
                let steps = steps_between(range, step).map(|(first, next)| {
                    let monthly = has_monthly.then(|| costs.between(None, (first.max(range.0), next.min(range.1))));
                    let sums = sums.get(&Some(first)).copied().unwrap_or_default();
                    bucket(Some(first), None, figures(sums, monthly))
                });
                steps.collect()
            }
            // Every trunk that was there.
            ([GroupBy::Trunk], None) => {
                let mut sums: BTreeMap<TrunkId, Sums> =
                    rows.iter().filter_map(|row| Some((row.trunk?, row.sums))).collect();
                let there = prices.iter().filter(|trunk| trunk.created_at < range.1);
                for trunk in there.filter(|trunk| asked.trunk.is_none_or(|only| only == trunk.id)) {
                    sums.entry(trunk.id).or_default();
                }
                let trunks = sums.into_iter().map(|(id, sums)| {
                    bucket(None, Some(id), figures(sums, has_monthly.then(|| costs.between(Some(id), range))))
                });
                trunks.collect()
            }
            (_, _) => {
                let parts = rows.iter().map(|row| Bucket {
                    prefix: row.prefix,
                    cause: row.cause,
                    ..bucket(row.began_at, row.trunk, figures(row.sums, None))
                });
                parts.collect()
            }
        };
        Ok(Analytics { range, group_by: asked.group_by, totals, buckets })
    }
}

/// What trunks cost by the month.
struct MonthlyCosts<'a> {
    prices: &'a [TrunkPrices],
    /// Only this one.
    trunk: Option<TrunkId>,
    /// What is still to come costs nothing yet.
    until: Timestamp,
    months: RefCell<Months>,
}

impl MonthlyCosts<'_> {
    fn between(&self, trunk: Option<TrunkId>, (from, to): (Timestamp, Timestamp)) -> Money {
        let only = trunk.or(self.trunk);
        let trunks = self.prices.iter().filter(|prices| only.is_none_or(|only| prices.id == only));
        let mut months = self.months.borrow_mut();
        let costs = trunks.map(|prices| cost_between(&mut months, prices, from, to.min(self.until)));
        costs.fold(Money::ZERO, |sum, cost| sum.checked_add(cost).unwrap_or(sum))
    }
}

/// Where each step of a range begins and ends; the first may begin before the range, and the last end after it.
fn steps_between((from, to): (Timestamp, Timestamp), step: TimeStep) -> impl Iterator<Item = (Timestamp, Timestamp)> {
    let micros = match step {
        TimeStep::Hour => HOUR_US,
        TimeStep::Day => 24 * HOUR_US,
    };
    let first = from.unix_micros() - from.unix_micros().rem_euclid(micros);
    (0_i64..)
        .map(move |number| first + number * micros)
        .take_while(move |began| *began < to.unix_micros())
        .map(move |began| (Timestamp::from_unix_micros(began), Timestamp::from_unix_micros(began + micros)))
}

fn too_many_buckets() -> Invalid {
    let message = format!(
        "gives more than {MOST_BUCKETS} parts; ask for a shorter time, for days instead of hours, or for one trunk"
    );
    Invalid::field("group_by", message)
}

const MOST_GROUPS: usize = 2;
/// Half a year of hours. An answer of so many parts has about two megabytes.
const MOST_BUCKETS: u32 = 5_000;
const HOUR_US: i64 = 3_600_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_cover_the_range() {
        let at = |hours: i64| Timestamp::from_unix_micros(hours * HOUR_US);
        let days: Vec<_> = steps_between((at(30), at(49)), TimeStep::Day).collect();
        assert_eq!(days, [(at(24), at(48)), (at(48), at(72))]);
        assert_eq!(steps_between((at(30), at(49)), TimeStep::Hour).count(), 19);
    }

    #[test]
    fn what_is_not_kept_together_is_refused() {
        let check = |group_by: &[GroupBy], cause, prefix: Option<&str>| {
            let prefix = prefix.map(str::to_owned);
            AnalyticsQuery { group_by: group_by.to_vec(), cause, prefix, ..AnalyticsQuery::default() }.check().is_ok()
        };
        use GroupBy::*;
        assert!(check(&[], None, None) && check(&[Hour, Trunk], None, None) && check(&[Cause, Trunk], None, None));
        assert!(check(&[Day], Some(HangupCause::UserBusy), None) && check(&[Prefix], None, Some("44")));
        assert!(!check(&[Hour, Day], None, None) && !check(&[Hour, Hour], None, None));
        assert!(!check(&[Hour, Trunk, Cause], None, None) && !check(&[Prefix, Cause], None, None));
        assert!(
            !check(&[Prefix], Some(HangupCause::UserBusy), None)
                && !check(&[Hour], Some(HangupCause::UserBusy), Some("1"))
        );
    }
}
