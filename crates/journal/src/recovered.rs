use crate::{Damage, Kept};
use std::collections::BTreeMap;
use tandem_model::{CallId, CallRecord, LegId, LegRecord, Timestamp};

/// What an earlier process left open.
#[derive(Debug, Default)]
pub struct Recovered {
    /// The calls that are not over, or have a leg for which something is kept.
    pub open: BTreeMap<CallId, OpenCall>,
    /// When that process was last known to be alive; `None` in a new journal.
    pub last_heartbeat: Option<Timestamp>,
    /// What could not be read; the tailer sets it aside when it comes there.
    pub damaged: Vec<Damage>,
    /// Bytes of an unfinished write that were cut from the end. No append returned for them.
    pub cut_bytes: u64,
}

/// A call that was open when its process ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OpenCall {
    /// Its latest state. `None` only when all its states were lost to damage, or when it was over and forgotten before
    /// something was kept for one of its legs again: end the legs, there is nothing to close. A final state means that only legs
    /// are left to end.
    pub record: Option<CallRecord>,
    /// Its legs in order of their ids, so of their beginning.
    pub legs: Vec<OpenLeg>,
    /// Number of its last event; the next event has the number after it.
    pub events: u32,
}

/// A leg of an open call.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenLeg {
    /// Which.
    pub id: LegId,
    /// Its latest state. `None` when none was written yet, or all were lost to damage.
    pub record: Option<LegRecord>,
    /// What is needed to end it; `None` when it is over.
    pub kept: Option<Kept>,
}
