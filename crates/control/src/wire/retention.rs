use crate::wire::fields::{Fields, Invalid, UnknownFields};
use serde_json::{Map, Value};
use std::ops::RangeInclusive;
use tandem_store::Retention;

/// A change of how long data is kept; `None` leaves a field, `Some(None)` has it as for the node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RetentionEdit {
    calls: Option<Option<u32>>,
    timelines: Option<Option<u32>>,
    events: Option<Option<u32>>,
    trunk_health: Option<Option<u32>>,
    refusals: Option<Option<u32>>,
    audit_log: Option<Option<u32>>,
}

impl RetentionEdit {
    /// Reads the body of `PUT /retention`.
    pub(crate) fn parse(body: Map<String, Value>) -> Result<Self, Invalid> {
        let mut fields = Fields::new(body, UnknownFields::Refuse);
        let edit = Self::read(&mut fields);
        fields.finish(Some(edit)).map(|parsed| parsed.value)
    }

    pub(super) fn read(fields: &mut Fields) -> Self {
        let mut days = |name, range| {
            let days = fields.integer(name, range).nullable();
            days.map(|days| days.and_then(|days| u32::try_from(days).ok()))
        };
        Self {
            calls: days("calls_days", DAYS),
            timelines: days("timelines_days", DAYS),
            refusals: days("refusals_days", DAYS),
            events: days("events_days", EVENTS_DAYS),
            trunk_health: days("trunk_health_days", TRUNK_HEALTH_DAYS),
            audit_log: days("audit_log_days", DAYS),
        }
    }

    pub(crate) fn apply(self, retention: &mut Retention) {
        for (edit, field) in [
            (self.calls, &mut retention.calls_days),
            (self.timelines, &mut retention.timelines_days),
            (self.events, &mut retention.events_days),
            (self.trunk_health, &mut retention.trunk_health_days),
            (self.refusals, &mut retention.refusals_days),
            (self.audit_log, &mut retention.audit_log_days),
        ] {
            if let Some(days) = edit {
                *field = days;
            }
        }
    }
}

/// A day to a hundred years.
const DAYS: RangeInclusive<u64> = 1..=36_500;
/// As long as webhooks are tried, to as long as events are kept anyway.
const EVENTS_DAYS: RangeInclusive<u64> = 3..=7;
/// A day to as long as the health of trunks is kept anyway.
const TRUNK_HEALTH_DAYS: RangeInclusive<u64> = 1..=32;
