use std::collections::BTreeMap;

use tandem_model::{CallEvent, CallId, CallRecord, LegId, LegRecord, Record, RefusedInvite, Timestamp};
use tandem_switch::{Kept, OpenCall};

use crate::Ended;

/// What was written down, folded as the journal of a node folds it.
#[derive(Clone, Debug, Default)]
pub struct Journal {
    calls: BTreeMap<CallId, WrittenCall>,
    kept: BTreeMap<LegId, Kept>,
    refusals: Vec<RefusedInvite>,
    last_heartbeat: Option<Timestamp>,
}

/// One thing that is written down.
#[derive(Clone, Debug)]
pub enum Entry {
    /// A state, a step or a refusal.
    Record(Record),
    /// What is needed to end a leg.
    Keep {
        /// Of which call.
        call_id: CallId,
        /// Which leg.
        leg_id: LegId,
        /// What.
        kept: Kept,
    },
    /// The leg is over.
    Forget {
        /// Which leg.
        leg_id: LegId,
    },
    /// The process lives.
    Heartbeat(Timestamp),
}

/// All that was written of one call.
#[derive(Clone, Debug)]
pub struct WrittenCall {
    /// Its last state.
    pub record: CallRecord,
    /// How many of its states were final.
    pub finals: usize,
    /// The last states of its legs, in the order in which they began.
    pub legs: Vec<LegRecord>,
    /// Its steps, in the order in which they were written.
    pub events: Vec<CallEvent>,
}

impl Journal {
    /// Writes one more thing down.
    ///
    /// # Errors
    /// What is wrong with it, given what was written before.
    pub fn write(&mut self, entry: Entry) -> Result<(), String> {
        match entry {
            Entry::Record(Record::Call(mut record)) => {
                let is_final = usize::from(record.status.is_final());
                match self.calls.get_mut(&record.id) {
                    Some(call) => {
                        call.finals += is_final;
                        // A receipt holds until there is another.
                        record.receipt = record.receipt.or(call.record.receipt.take());
                        call.record = *record;
                    }
                    None => {
                        let call =
                            WrittenCall { record: *record, finals: is_final, legs: Vec::new(), events: Vec::new() };
                        self.calls.insert(call.record.id, call);
                    }
                }
            }
            Entry::Record(Record::Leg(leg)) => {
                let call = self.calls.get_mut(&leg.call_id).ok_or("a call is recorded before its legs")?;
                match call.legs.iter_mut().find(|known| known.id == leg.id) {
                    Some(known) => *known = *leg,
                    None => call.legs.push(*leg),
                }
            }
            Entry::Record(Record::Event(event)) => {
                let call = self.calls.get_mut(&event.call_id).ok_or("a call is recorded before its events")?;
                call.events.push(event);
            }
            Entry::Record(Record::Refusal(refusal)) => self.refusals.push(*refusal),
            Entry::Keep { call_id, leg_id, kept } => {
                let call = self.calls.get(&call_id);
                if !call.is_some_and(|call| call.legs.iter().any(|leg| leg.id == leg_id)) {
                    return Err("a leg is on record before anything is kept for it".into());
                }
                self.kept.insert(leg_id, kept);
            }
            Entry::Forget { leg_id } => {
                self.kept.remove(&leg_id).ok_or("only what is kept is forgotten")?;
            }
            Entry::Heartbeat(at) => self.last_heartbeat = Some(at),
        }
        Ok(())
    }

    /// What the next process has to end.
    #[must_use]
    pub fn open_calls(&self) -> Vec<OpenCall> {
        let open = |call: &WrittenCall| OpenCall {
            record: call.record.clone(),
            legs: call.legs.iter().map(|leg| (leg.clone(), self.kept.get(&leg.id).cloned())).collect(),
            events: call.events.last().map_or(0, |event| event.number),
        };
        let is_open =
            |call: &OpenCall| !call.record.status.is_final() || call.legs.iter().any(|(_, kept)| kept.is_some());
        self.calls.values().map(open).filter(is_open).collect()
    }

    /// When the process was last known to live.
    #[must_use]
    pub fn last_heartbeat(&self) -> Option<Timestamp> {
        self.last_heartbeat
    }

    /// Every call that is on record.
    pub fn calls(&self) -> impl Iterator<Item = (&CallId, &WrittenCall)> {
        self.calls.iter()
    }

    /// A call.
    #[must_use]
    pub fn call(&self, id: CallId) -> Option<&WrittenCall> {
        self.calls.get(&id)
    }

    /// The INVITEs that were refused.
    #[must_use]
    pub fn refusals(&self) -> &[RefusedInvite] {
        &self.refusals
    }

    /// What is kept for legs now.
    #[must_use]
    pub fn kept(&self) -> &BTreeMap<LegId, Kept> {
        &self.kept
    }
}

impl WrittenCall {
    /// The call, which must have ended once and for all.
    ///
    /// # Errors
    /// What it is otherwise.
    pub fn ended(&self) -> Result<Ended, String> {
        if self.finals != 1 || !self.record.status.is_final() {
            return Err(format!("{} final states, the last one {:?}", self.finals, self.record.status));
        }
        Ok(Ended { record: self.record.clone(), legs: self.legs.clone(), events: self.events.clone() })
    }
}
