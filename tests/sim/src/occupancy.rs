//! Whether more is up than may be, as the records tell it.

use std::collections::{BTreeMap, BTreeSet};

use tandem_lab::Entry;
use tandem_lab::setup::{start, start_utc};
use tandem_model::{AccountId, CallId, LegId, Record, Timestamp, TrunkId};

use crate::configuration::Configuration;

/// Calls and legs that have begun and not ended, by what was written of them.
#[derive(Default)]
pub(crate) struct Occupancy {
    /// When they were.
    calls_begun: BTreeMap<CallId, Timestamp>,
    legs_begun: BTreeSet<LegId>,
    calls: BTreeMap<CallId, AccountId>,
    legs: BTreeMap<LegId, TrunkId>,
    /// Of calls that something else carries.
    external: BTreeMap<CallId, (AccountId, TrunkId)>,
}

impl Occupancy {
    pub(crate) fn external_began(&mut self, call: CallId, account: AccountId, trunk: TrunkId) {
        self.external.insert(call, (account, trunk));
    }

    /// They are told anew to each process.
    pub(crate) fn external_ended(&mut self, call: CallId) {
        self.external.remove(&call);
    }

    pub(crate) fn external(&self) -> impl Iterator<Item = (CallId, AccountId, TrunkId)> {
        self.external.iter().map(|(call, (account, trunk))| (*call, *account, *trunk))
    }

    /// Takes note of what is written, and tells when something has begun for which there was no place.
    pub(crate) fn written(&mut self, entry: &Entry, configuration: &Configuration) -> Option<String> {
        match entry {
            Entry::Record(Record::Call(call)) => {
                if call.ended_at.is_some() {
                    self.calls.remove(&call.id);
                } else if self.calls_begun.insert(call.id, call.started_at).is_none() {
                    self.calls.insert(call.id, call.account_id);
                    let limit =
                        configuration.accounts.iter().find(|account| account.id == call.account_id)?.limits().max_calls;
                    let up = self.calls.values().filter(|account| **account == call.account_id).count()
                        + self.external.values().filter(|(account, _)| *account == call.account_id).count();
                    return too_many("the account", up, limit);
                }
            }
            Entry::Record(Record::Leg(leg)) => {
                if leg.ended_at.is_some() {
                    self.legs.remove(&leg.id);
                } else if let Some(id) = leg.trunk_id.filter(|_| self.legs_begun.insert(leg.id)) {
                    self.legs.insert(leg.id, id);
                    let routed_at = *self.calls_begun.get(&leg.call_id)?;
                    let limit = configuration.limit(id, start() + routed_at.since(start_utc()))?;
                    let up = self.legs.values().filter(|trunk| **trunk == id).count()
                        + self.external.values().filter(|(_, trunk)| *trunk == id).count();
                    return too_many("the trunk", up, limit);
                }
            }
            Entry::Record(Record::Event(_) | Record::Refusal(_))
            | Entry::Keep { .. }
            | Entry::Forget { .. }
            | Entry::Heartbeat(_) => {}
        }
        None
    }
}

fn too_many(what: &str, up: usize, limit: u32) -> Option<String> {
    (up > usize::try_from(limit).unwrap()).then(|| format!("{what} has {up} calls, and may have {limit}"))
}
