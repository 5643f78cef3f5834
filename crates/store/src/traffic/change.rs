use crate::traffic::prefix::DestinationPrefix;
use crate::traffic::share::{Cell, MINUTE_US, Share};
use crate::traffic::sums::Sums;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use tandem_model::{AccountId, CallDirection, HangupCause, Timestamp, TrunkId};

/// How a transaction changes the statistics: what its rows add, less what they had added before.
#[derive(Debug, Default)]
pub(crate) struct TrafficChange {
    cells: HashMap<Cell, Sums>,
}

/// What a row of the table tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum View {
    /// Everything of an account.
    All,
    /// By why it ended.
    Cause,
    /// By where it went.
    Prefix,
    /// By trunk.
    Trunk,
    /// By trunk, and why it ended.
    TrunkCause,
    /// By trunk, and where it went.
    TrunkPrefix,
}

/// How long a row of the table spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Grain {
    Minute,
    Hour,
    Day,
}

/// The key of a row. Rows are written in its order, so that two transactions never wait for each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TrafficKey {
    pub(crate) account: AccountId,
    pub(crate) view: View,
    pub(crate) grain: Grain,
    pub(crate) began_at: i64,
    pub(crate) trunk: Option<TrunkId>,
    pub(crate) direction: CallDirection,
    pub(crate) detail: Detail,
}

/// What else a view tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Detail {
    None,
    Cause(HangupCause),
    Prefix(Option<DestinationPrefix>),
}

impl View {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Cause => "cause",
            Self::Prefix => "prefix",
            Self::Trunk => "trunk",
            Self::TrunkCause => "trunk_cause",
            Self::TrunkPrefix => "trunk_prefix",
        }
    }
}

impl Grain {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }

    /// Its length in microseconds.
    pub(crate) const fn micros(self) -> i64 {
        match self {
            Self::Minute => MINUTE_US,
            Self::Hour => 60 * MINUTE_US,
            Self::Day => 24 * 60 * MINUTE_US,
        }
    }

    /// Where the next row after a time begins, if none begins at it.
    pub(crate) const fn ceil(self, micros: i64) -> i64 {
        let floor = self.floor(micros);
        if floor == micros { micros } else { floor.saturating_add(self.micros()) }
    }

    /// Where the row of a time begins, in UTC.
    pub(crate) const fn floor(self, micros: i64) -> i64 {
        micros.saturating_sub(micros.rem_euclid(self.micros()))
    }
}

impl Detail {
    /// As its column holds it.
    pub(crate) fn text(self) -> Cow<'static, str> {
        match self {
            Self::None | Self::Prefix(None) => "".into(),
            Self::Cause(cause) => cause.as_str().into(),
            Self::Prefix(Some(prefix)) => prefix.to_string().into(),
        }
    }
}

impl TrafficChange {
    /// A row that is new, or as it is now.
    pub(crate) fn add(&mut self, share: Share) {
        self.cells.entry(share.cell).or_default().add(&share.sums);
    }

    /// A row as it was.
    pub(crate) fn take_away(&mut self, share: Share) {
        self.cells.entry(share.cell).or_default().subtract(&share.sums);
    }

    /// The rows to add to, in order. Minutes that are too old to be asked for are left out.
    pub(crate) fn rows(&self, now: Timestamp) -> Vec<(TrafficKey, Sums)> {
        let oldest_minute = now.unix_micros().saturating_sub(MINUTES_KEPT_US);
        let mut rows: BTreeMap<TrafficKey, Sums> = BTreeMap::new();
        for (cell, sums) in self.cells.iter().filter(|(_, sums)| !sums.is_nothing()) {
            let mut add = |view, grain: Grain, trunk, detail| {
                let began_at = grain.floor(cell.minute);
                let key = TrafficKey {
                    account: cell.account,
                    view,
                    grain,
                    began_at,
                    trunk,
                    direction: cell.direction,
                    detail,
                };
                rows.entry(key).or_default().add(sums);
            };
            for grain in [Grain::Hour, Grain::Day] {
                add(View::All, grain, None, Detail::None);
                add(View::Prefix, grain, None, Detail::Prefix(cell.prefix));
                // A call that is not over has no cause yet.
                if let Some(cause) = cell.cause {
                    add(View::Cause, grain, None, Detail::Cause(cause));
                }
                if cell.trunk.is_some() {
                    add(View::Trunk, grain, cell.trunk, Detail::None);
                    add(View::TrunkPrefix, grain, cell.trunk, Detail::Prefix(cell.prefix));
                    if let Some(cause) = cell.cause {
                        add(View::TrunkCause, grain, cell.trunk, Detail::Cause(cause));
                    }
                }
            }
            if cell.trunk.is_some() && cell.minute >= oldest_minute {
                add(View::Trunk, Grain::Minute, cell.trunk, Detail::None);
            }
        }
        rows.retain(|_, sums| !sums.is_nothing());
        rows.into_iter().collect()
    }
}

/// Two days: rows of minutes are for what rolls, which is the last 24 hours.
pub(crate) const MINUTES_KEPT_US: i64 = 2 * 24 * 60 * MINUTE_US;

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(minute: i64, cause: Option<HangupCause>) -> Cell {
        Cell {
            account: AccountId::from_uuid(uuid::Uuid::from_u128(1)),
            minute: minute * MINUTE_US,
            trunk: Some(TrunkId::from_uuid(uuid::Uuid::from_u128(2))),
            direction: CallDirection::Outbound,
            prefix: DestinationPrefix::of_number("+442079460000"),
            cause,
        }
    }

    fn one(cell: Cell) -> Share {
        Share { cell, sums: Sums { calls: 1, ..Sums::default() } }
    }

    #[test]
    fn a_row_that_comes_again_changes_nothing() {
        let mut change = TrafficChange::default();
        change.take_away(one(cell(5, None)));
        change.add(one(cell(5, None)));
        assert_eq!(change.rows(Timestamp::from_unix_micros(0)), []);
    }

    #[test]
    fn a_call_that_ends_moves_to_its_cause_only() {
        let mut change = TrafficChange::default();
        change.take_away(one(cell(5, None)));
        change.add(one(cell(5, Some(HangupCause::UserBusy))));
        let rows = change.rows(Timestamp::from_unix_micros(0));
        let views: Vec<_> = rows.iter().map(|(key, sums)| (key.view, key.grain, sums.calls)).collect();
        let expected = [
            (View::Cause, Grain::Hour, 1),
            (View::Cause, Grain::Day, 1),
            (View::TrunkCause, Grain::Hour, 1),
            (View::TrunkCause, Grain::Day, 1),
        ];
        assert_eq!(views, expected);
    }

    #[test]
    fn old_minutes_are_left_out() {
        let mut change = TrafficChange::default();
        change.add(one(cell(0, None)));
        let minutes = |now: i64| {
            let rows = change.rows(Timestamp::from_unix_micros(now));
            rows.iter().filter(|(key, _)| key.grain == Grain::Minute).count()
        };
        assert_eq!([minutes(MINUTES_KEPT_US), minutes(MINUTES_KEPT_US + 1)], [1, 0]);
    }

    #[test]
    fn buckets_begin_before_what_is_in_them() {
        assert_eq!(Grain::Day.floor(-1), -86_400_000_000);
        assert_eq!(Grain::Hour.floor(3_600_000_001), 3_600_000_000);
    }
}
