use crate::pool::on_pool;
use crate::row::Columns;
use crate::traffic::{DestinationPrefix, Grain, Sums, View};
use crate::{DatabaseError, Store};
use std::collections::BTreeMap;
use std::sync::LazyLock;
use tandem_model::{AccountId, CallDirection, HangupCause, Timestamp, TrunkId};
use uuid::Uuid;

/// What to add up of the calls of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrafficQuery {
    /// Whose.
    pub account: AccountId,
    /// Calls and attempts that began from here on, taken back to the whole hour.
    pub from: Timestamp,
    /// And before here, taken on to the whole hour.
    pub to: Timestamp,
    /// Whether `from` is taken back to the whole minute only; minutes are kept for two days, and only by trunk.
    pub from_the_minute: bool,
    /// Steps of time to tell apart.
    pub by_time: Option<TimeStep>,
    /// Whether trunks are told apart.
    pub by_trunk: bool,
    /// Causes or prefixes to tell apart.
    pub by_detail: Option<TrafficDetail>,
    /// Only of this trunk.
    pub trunk: Option<TrunkId>,
    /// Only this direction: of a call that of its first trunk leg, of an attempt its own.
    pub direction: Option<CallDirection>,
    /// Only what ended so; not together with prefixes.
    pub cause: Option<HangupCause>,
    /// Only prefixes that begin with these digits; not together with causes.
    pub prefix: Option<String>,
    /// How many rows to give at most.
    pub limit: u32,
}

/// A step of time, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeStep {
    /// Whole hours.
    Hour,
    /// Whole days.
    Day,
}

/// What statistics tell apart beside time and trunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrafficDetail {
    /// Why calls ended; those that have not ended are left out.
    Cause,
    /// Where calls went.
    Prefix,
}

/// What was added up. What is not told apart is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrafficRow {
    /// When its step of time began.
    pub began_at: Option<Timestamp>,
    /// Its trunk.
    pub trunk: Option<TrunkId>,
    /// Why these ended.
    pub cause: Option<HangupCause>,
    /// Where these went; `None` also where the number was not an international one.
    pub prefix: Option<DestinationPrefix>,
    /// The sums.
    pub sums: Sums,
}

/// Rows of one grain, from and to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    grain: Grain,
    from: i64,
    to: i64,
}

impl TrafficQuery {
    /// Everything of an account from then to then.
    #[must_use]
    pub const fn new(account: AccountId, from: Timestamp, to: Timestamp) -> Self {
        Self {
            account,
            from,
            to,
            from_the_minute: false,
            by_time: None,
            by_trunk: false,
            by_detail: None,
            trunk: None,
            direction: None,
            cause: None,
            prefix: None,
            limit: u32::MAX,
        }
    }

    /// The time that the answer is about: that of the question, taken to whole hours.
    #[must_use]
    pub const fn range(&self) -> (Timestamp, Timestamp) {
        let finest = if self.from_the_minute { Grain::Minute } else { Grain::Hour };
        let from = finest.floor(self.from.unix_micros());
        (Timestamp::from_unix_micros(from), Timestamp::from_unix_micros(Grain::Hour.ceil(self.to.unix_micros())))
    }

    fn view(&self) -> View {
        let is_by_trunk = self.by_trunk || self.trunk.is_some();
        let detail = match (&self.cause, &self.prefix) {
            (Some(_), _) => Some(TrafficDetail::Cause),
            (None, Some(_)) => Some(TrafficDetail::Prefix),
            (None, None) => self.by_detail,
        };
        match (is_by_trunk, detail) {
            (false, None) => View::All,
            (false, Some(TrafficDetail::Cause)) => View::Cause,
            (false, Some(TrafficDetail::Prefix)) => View::Prefix,
            (true, None) => View::Trunk,
            (true, Some(TrafficDetail::Cause)) => View::TrunkCause,
            (true, Some(TrafficDetail::Prefix)) => View::TrunkPrefix,
        }
    }

    fn spans(&self) -> Vec<Span> {
        let (from, to) = self.range();
        let (from, to) = (from.unix_micros(), to.unix_micros());
        let grains: &[Grain] = match self.by_time {
            Some(TimeStep::Hour) => &[Grain::Hour],
            Some(TimeStep::Day) | None if !self.from_the_minute => &[Grain::Day, Grain::Hour],
            Some(TimeStep::Day) | None => &[Grain::Day, Grain::Hour, Grain::Minute],
        };
        let mut spans = Vec::new();
        cover(from, to, grains, &mut spans);
        spans
    }
}

/// Whole rows of the coarsest grain as far as they go, then of the next at both ends.
fn cover(from: i64, to: i64, grains: &[Grain], spans: &mut Vec<Span>) {
    let Some((&grain, finer)) = grains.split_first() else { return };
    if from >= to {
        return;
    }
    let (first, last) = (grain.ceil(from), grain.floor(to));
    if first < last {
        cover(from, first, finer, spans);
        spans.push(Span { grain, from: first, to: last });
        cover(last, to, finer, spans);
    } else {
        cover(from, to, finer, spans);
    }
}

impl Store {
    /// Adds up calls and attempts, in the order of what is told apart; at most `limit` rows.
    ///
    /// Calls are those of the log: by trunk, of their first trunk. Attempts are the legs of calls that the switch carries, and the calls
    /// that something else carries.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn traffic(&self, query: &TrafficQuery) -> Result<Vec<TrafficRow>, DatabaseError> {
        let mut groups = BTreeMap::new();
        let step = match query.by_time {
            Some(TimeStep::Hour) => Grain::Hour.micros(),
            Some(TimeStep::Day) => Grain::Day.micros(),
            None => 0,
        };
        let most = i64::from(query.limit);
        on_pool!(self, pools => {
            // All of one moment, so that what moves from one row to another counts once.
            let mut transaction = pools.snapshot().await?;
            for span in query.spans() {
                let rows = sqlx::query(ADD_UP.as_str())
                    .bind(query.account.as_uuid())
                    .bind(query.view().as_str())
                    .bind(span.grain.as_str())
                    .bind(span.from)
                    .bind(span.to)
                    .bind(query.trunk.map(TrunkId::as_uuid))
                    .bind(query.direction.map(CallDirection::as_str))
                    .bind(query.cause.map(HangupCause::as_str))
                    .bind(query.prefix.as_deref())
                    .bind(step)
                    .bind(query.by_trunk)
                    .bind(query.by_detail.is_some())
                    .bind(most)
                    .fetch_all(&mut *transaction)
                    .await?;
                for row in &rows {
                    let key = (row.integer_opt("began")?, row.uuid_opt("trunk")?, row.text_opt("what")?);
                    groups.entry(key).or_insert_with(Sums::default).add(&Sums::read(row)?);
                }
            }
            transaction.rollback().await?;
        });
        let is_cause = query.by_detail == Some(TrafficDetail::Cause);
        let rows = groups.into_iter().map(|(key, sums)| row_of(key, is_cause, sums));
        Ok(rows.filter(|row| !row.sums.is_nothing()).take(query.limit as usize).collect())
    }
}

fn row_of(
    (began_at, trunk, detail): (Option<i64>, Option<Uuid>, Option<String>),
    is_cause: bool,
    sums: Sums,
) -> TrafficRow {
    let detail = detail.as_deref();
    TrafficRow {
        began_at: began_at.map(Timestamp::from_unix_micros),
        trunk: trunk.map(TrunkId::from_uuid),
        cause: detail.filter(|_| is_cause).and_then(|text| text.parse().ok()),
        prefix: detail.filter(|_| !is_cause).and_then(DestinationPrefix::parse),
        sums,
    }
}

/// `$10` is the length of a step or 0, `$11` whether trunks are told apart, `$12` whether causes or prefixes are.
static ADD_UP: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT CASE WHEN $10 > 0 THEN began_at - began_at % $10 END AS began, CASE WHEN $11 THEN trunk_id END AS trunk,
    CASE WHEN $12 THEN detail END AS what{}
FROM traffic
WHERE account_id = $1 AND view = $2 AND grain = $3 AND began_at >= $4 AND began_at < $5
    AND ($6 IS NULL OR trunk_id = $6) AND ($7 IS NULL OR direction = $7) AND ($8 IS NULL OR detail = $8)
    AND ($9 IS NULL OR substr(detail, 1, length($9)) = $9)
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3 LIMIT $13",
        Sums::ADDED_UP
    )
});

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000_000;

    fn spans(from: i64, to: i64, by_time: Option<TimeStep>, from_the_minute: bool) -> Vec<(Grain, i64, i64)> {
        let at = Timestamp::from_unix_micros;
        let account = AccountId::from_uuid(Uuid::nil());
        let query = TrafficQuery { by_time, from_the_minute, ..TrafficQuery::new(account, at(from), at(to)) };
        query.spans().iter().map(|span| (span.grain, span.from, span.to)).collect()
    }

    #[test]
    fn a_long_time_is_read_by_days_and_its_ends_by_hours() {
        assert_eq!(
            spans(22 * HOUR + 5, 73 * HOUR - 5, None, false),
            [
                (Grain::Hour, 22 * HOUR, 24 * HOUR),
                (Grain::Day, 24 * HOUR, 72 * HOUR),
                (Grain::Hour, 72 * HOUR, 73 * HOUR)
            ]
        );
        assert_eq!(spans(24 * HOUR, 48 * HOUR, Some(TimeStep::Day), false), [(Grain::Day, 24 * HOUR, 48 * HOUR)]);
        assert_eq!(spans(3 * HOUR, 3 * HOUR, None, false), []);
    }

    #[test]
    fn hours_are_read_as_hours() {
        assert_eq!(spans(22 * HOUR, 73 * HOUR, Some(TimeStep::Hour), false), [(Grain::Hour, 22 * HOUR, 73 * HOUR)]);
    }

    #[test]
    fn what_rolls_is_read_to_the_minute() {
        let minute = HOUR / 60;
        assert_eq!(
            spans(5 * HOUR + minute + 7, 29 * HOUR + minute + 7, None, true),
            [(Grain::Minute, 5 * HOUR + minute, 6 * HOUR), (Grain::Hour, 6 * HOUR, 30 * HOUR)]
        );
    }
}
