use crate::error::from_database;
use crate::pool::on_pool;
use crate::store::now;
use crate::timeline::{Chunk, Chunks};
use crate::{DatabaseError, JournalPosition, Store};
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use tandem_model::{
    AccountId, BootId, CallRecord, JsonText, LegRecord, Money, NodeId, Receipt, Record, RefusedInvite, Timestamp,
};

/// What became of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Records that were left out. The others are stored.
    pub rejected: Vec<Rejected>,
}

/// A record that was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Its place in the slice.
    pub index: usize,
    /// Why.
    pub reason: RejectedReason,
}

/// Why a record was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RejectedReason {
    /// Its account does not exist.
    #[error("account {0} does not exist")]
    UnknownAccount(AccountId),
}

/// Why a batch was not written. None of it is.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

from_database!(WriteError);

impl Store {
    /// Writes a batch of the call path in one transaction.
    ///
    /// A state of a call or leg replaces the one stored under its id, the last one in the slice wins; an event whose number the call
    /// has already, and a refusal that the account has already, is passed over. So writing a batch again changes nothing. `metadata`,
    /// `quality_score` and `credits_used` belong to the client once the call is stored: a later state replaces a score only when it has
    /// one, credits only when there are none, and metadata never. A receipt that a later state does not have is unchanged: only those states that
    /// change it need carry it.
    ///
    /// A call that is over and that its account pays for by credit is settled at what it cost, once, and corrected should it be written
    /// again with another cost.
    ///
    /// # Errors
    /// [`WriteError`]; nothing of the batch is written then.
    pub async fn write_records(&self, records: &[Record]) -> Result<Written, WriteError> {
        self.write(records, None).await
    }

    /// As [`Store::write_records`], and moves the position of a journal in the same transaction: so each part of a journal is
    /// stored exactly once, whatever fails in between.
    ///
    /// # Errors
    /// [`WriteError`]; neither records nor position are written then.
    pub async fn write_journal(&self, records: &[Record], read_to: JournalPosition) -> Result<Written, WriteError> {
        self.write(records, Some(read_to)).await
    }

    async fn write(&self, records: &[Record], read_to: Option<JournalPosition>) -> Result<Written, WriteError> {
        if records.is_empty() && read_to.is_none() {
            return Ok(Written::default());
        }
        let writer = Writer { node: self.node_id(), boot: self.boot_id(), at: now() };
        let rejected = on_pool!(self, pools => pools.write_records(records, read_to, writer).await)?;
        Ok(Written { rejected })
    }
}

/// Who writes a batch, and when.
#[derive(Clone, Copy)]
pub(crate) struct Writer {
    pub(crate) node: NodeId,
    pub(crate) boot: BootId,
    pub(crate) at: Timestamp,
}

/// The rows of a batch: one a call, one a leg, one with the events of each call, and every refusal.
#[derive(Default)]
pub(crate) struct Batch<'a> {
    pub(crate) calls: Vec<CallState<'a>>,
    pub(crate) legs: Vec<&'a LegRecord>,
    pub(crate) timelines: Vec<Chunk<'a>>,
    pub(crate) refusals: Vec<&'a RefusedInvite>,
}

/// The last state of a call, and the last receipt that any state in the batch had.
#[derive(Clone, Copy)]
pub(crate) struct CallState<'a> {
    pub(crate) record: &'a CallRecord,
    pub(crate) receipt: Option<&'a JsonText<Receipt>>,
}

impl<'a> CallState<'a> {
    fn new(record: &'a CallRecord) -> Self {
        Self { record, receipt: record.receipt.as_ref() }
    }

    /// This state after an earlier one.
    fn after(self, earlier: Self) -> Self {
        let is_same_account = self.record.account_id == earlier.record.account_id;
        Self { receipt: self.receipt.or(earlier.receipt.filter(|_| is_same_account)), ..self }
    }
}

impl<'a> Batch<'a> {
    /// Keeps the last state of each call and leg, and leaves out what belongs to no known account.
    pub(crate) fn new(records: &'a [Record], known: &HashSet<AccountId>) -> (Self, Vec<Rejected>) {
        let mut batch = Self::default();
        let mut rejected = Vec::new();
        let calls = records.len() / RECORDS_OF_A_CALL;
        let mut timelines = Chunks::with_capacity(calls);
        let mut call_places = HashMap::with_capacity(calls);
        let mut leg_places = HashMap::with_capacity(calls * LEGS_OF_A_CALL);
        for (index, record) in records.iter().enumerate() {
            let account = account_of(record);
            if !known.contains(&account) {
                rejected.push(Rejected { index, reason: RejectedReason::UnknownAccount(account) });
                continue;
            }
            match record {
                Record::Call(call) => {
                    let state = CallState::new(call);
                    keep_last(&mut batch.calls, &mut call_places, call.id, state, |earlier| state.after(earlier));
                }
                Record::Leg(leg) => {
                    keep_last(&mut batch.legs, &mut leg_places, (leg.call_id, leg.id), leg.as_ref(), |_| leg);
                }
                Record::Event(event) => timelines.add(event),
                Record::Refusal(refusal) => batch.refusals.push(refusal),
            }
        }
        batch.timelines = timelines.into_vec();
        (batch, rejected)
    }
}

/// About as many has a call that begins and ends within a batch.
const RECORDS_OF_A_CALL: usize = 16;
const LEGS_OF_A_CALL: usize = 2;

/// Puts a state where the earlier one of its id stands, made by `after` of that, else at the end.
fn keep_last<K: Eq + Hash, S: Copy>(
    states: &mut Vec<S>,
    places: &mut HashMap<K, usize>,
    key: K,
    state: S,
    after: impl FnOnce(S) -> S,
) {
    match places.entry(key) {
        Entry::Occupied(place) => states[*place.get()] = after(states[*place.get()]),
        Entry::Vacant(place) => {
            place.insert(states.len());
            states.push(state);
        }
    }
}

/// What a call or a leg cost, as its row holds it: at most what a call may cost, so that no sum of any is too large for its column.
pub(crate) fn stored_cost(cost: Option<Money>) -> Option<i64> {
    cost.map(|cost| cost.as_call_cost().micros())
}

/// Whether it is a call that is over, at a cost that is known.
pub(crate) fn may_be_settled(call: &CallRecord) -> bool {
    call.status.is_final() && call.cost.is_some_and(|cost| cost != Money::ZERO)
}

/// The accounts of these records.
pub(crate) fn accounts_of(records: &[Record]) -> HashSet<AccountId> {
    let mut accounts = HashSet::new();
    let mut last = None;
    for account in records.iter().map(account_of) {
        // Those of a call come one after another.
        if last.replace(account) != Some(account) {
            accounts.insert(account);
        }
    }
    accounts
}

fn account_of(record: &Record) -> AccountId {
    match record {
        Record::Call(call) => call.account_id,
        Record::Leg(leg) => leg.account_id,
        Record::Event(event) => event.account_id,
        Record::Refusal(refusal) => refusal.account_id,
    }
}
