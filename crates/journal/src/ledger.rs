use crate::Entry;
use std::collections::BTreeMap;
use std::ops::Bound;
use tandem_model::{CallId, LegId, Record};

/// What an entry is about: all that the ledger wants to know of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    Call {
        call: CallId,
        state: CallState,
    },
    Leg {
        call: CallId,
        leg: LegId,
    },
    Event {
        call: CallId,
        number: u32,
    },
    Keep {
        call: CallId,
        leg: LegId,
    },
    Forget {
        leg: LegId,
    },
    /// It is about no call that goes on.
    Refusal,
    Heartbeat,
}

/// What a state of a call means to what came before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CallState {
    pub(crate) is_over: bool,
    /// Without one, that of an earlier state holds.
    pub(crate) has_receipt: bool,
}

impl From<&Entry> for Subject {
    fn from(entry: &Entry) -> Self {
        match entry {
            Entry::Record(Record::Call(call)) => {
                let state = CallState { is_over: call.status.is_final(), has_receipt: call.receipt.is_some() };
                Self::Call { call: call.id, state }
            }
            Entry::Record(Record::Leg(leg)) => Self::Leg { call: leg.call_id, leg: leg.id },
            Entry::Record(Record::Event(event)) => Self::Event { call: event.call_id, number: event.number },
            Entry::Record(Record::Refusal(_)) => Self::Refusal,
            Entry::Keep { leg, call, .. } => Self::Keep { call: *call, leg: *leg },
            Entry::Forget { leg } => Self::Forget { leg: *leg },
            Entry::Heartbeat { .. } => Self::Heartbeat,
        }
    }
}

/// The journal folded: where the last word on each thing stands that is not over yet. `T` is that place.
///
/// A call is here from its first state, or from the first thing kept for one of its legs, until it is over and nothing is kept for any
/// of its legs. Other records of a call that is not here are not followed: they come after its end.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ledger<T> {
    calls: BTreeMap<CallId, LedgerCall<T>>,
    /// The call of every leg for which something is kept.
    kept: BTreeMap<LegId, CallId>,
    heartbeat: Option<T>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LedgerCall<T> {
    record: Option<(CallState, T)>,
    /// An earlier state, whose receipt holds because the latest has none.
    receipt: Option<(CallState, T)>,
    /// Sorted by id. A call has a handful, and a map would take ten times the memory for each of them.
    pub(crate) legs: Vec<LedgerLeg<T>>,
    pub(crate) last_event: Option<(u32, T)>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LedgerLeg<T> {
    pub(crate) id: LegId,
    pub(crate) record: Option<T>,
    pub(crate) kept: Option<T>,
}

impl<T> Default for Ledger<T> {
    fn default() -> Self {
        Self { calls: BTreeMap::new(), kept: BTreeMap::new(), heartbeat: None }
    }
}

impl<T> Default for LedgerCall<T> {
    fn default() -> Self {
        Self { record: None, receipt: None, legs: Vec::new(), last_event: None }
    }
}

impl<T: Copy> LedgerCall<T> {
    /// Where the latest state stands.
    pub(crate) fn record(&self) -> Option<T> {
        self.record.map(|(_, place)| place)
    }

    /// Where the state stands whose receipt holds, if the latest has none.
    pub(crate) fn receipt(&self) -> Option<T> {
        self.receipt.map(|(_, place)| place)
    }

    fn set_record(&mut self, state: CallState, place: T) {
        self.receipt = match self.record {
            _ if state.has_receipt => None,
            // None that goes on has an end behind it.
            Some((earlier, _)) if earlier.is_over && !state.is_over => None,
            Some((earlier, place)) if earlier.has_receipt => Some((earlier, place)),
            Some(_) | None => self.receipt,
        };
        self.record = Some((state, place));
    }

    fn is_over(&self) -> bool {
        self.record.is_some_and(|(state, _)| state.is_over)
    }

    fn leg_mut(&mut self, id: LegId) -> Option<&mut LedgerLeg<T>> {
        self.legs.iter_mut().find(|leg| leg.id == id)
    }

    fn leg_or_new(&mut self, id: LegId) -> Option<&mut LedgerLeg<T>> {
        let at = match self.legs.binary_search_by_key(&id, |leg| leg.id) {
            Ok(at) => at,
            Err(at) => {
                self.legs.insert(at, LedgerLeg { id, record: None, kept: None });
                at
            }
        };
        self.legs.get_mut(at)
    }
}

impl<T: Copy> Ledger<T> {
    pub(crate) fn apply(&mut self, subject: Subject, place: T) {
        match subject {
            Subject::Call { call, state } if !state.is_over => {
                self.calls.entry(call).or_default().set_record(state, place);
            }
            Subject::Call { call, state } => {
                if let Some(entry) = self.calls.get_mut(&call) {
                    entry.set_record(state, place);
                    entry.legs.retain(|leg| leg.kept.is_some());
                }
                self.drop_if_over(call);
            }
            Subject::Leg { call, leg } => {
                if let Some(entry) = self.calls.get_mut(&call) {
                    let followed = if entry.is_over() { entry.leg_mut(leg) } else { entry.leg_or_new(leg) };
                    if let Some(followed) = followed {
                        followed.record = Some(place);
                    }
                }
            }
            Subject::Event { call, number } => {
                if let Some(entry) = self.calls.get_mut(&call)
                    && entry.last_event.is_none_or(|(last, _)| last <= number)
                {
                    entry.last_event = Some((number, place));
                }
            }
            Subject::Keep { call, leg } => {
                if let Some(followed) = self.calls.entry(call).or_default().leg_or_new(leg) {
                    followed.kept = Some(place);
                    self.kept.insert(leg, call);
                }
            }
            Subject::Forget { leg } => self.forget(leg),
            Subject::Refusal => {}
            Subject::Heartbeat => self.heartbeat = Some(place),
        }
    }

    fn forget(&mut self, leg: LegId) {
        let Some(call) = self.kept.remove(&leg) else { return };
        if let Some(entry) = self.calls.get_mut(&call) {
            let is_over = entry.is_over();
            entry.legs.retain_mut(|candidate| {
                if candidate.id != leg {
                    return true;
                }
                candidate.kept = None;
                !is_over && candidate.record.is_some()
            });
        }
        self.drop_if_over(call);
    }

    fn drop_if_over(&mut self, call: CallId) {
        let is_over = self.calls.get(&call).is_some_and(|entry| {
            (entry.is_over() || entry.record.is_none()) && entry.legs.iter().all(|leg| leg.kept.is_none())
        });
        if is_over {
            self.calls.remove(&call);
        }
    }

    pub(crate) fn calls(&self) -> impl Iterator<Item = (CallId, &LedgerCall<T>)> {
        self.calls.iter().map(|(id, call)| (*id, call))
    }

    pub(crate) const fn heartbeat(&self) -> Option<T> {
        self.heartbeat
    }

    /// Forgets some calls; false when there are none left.
    pub(crate) fn discard(&mut self, calls: usize) -> bool {
        for _ in 0..calls {
            let Some((_, call)) = self.calls.pop_first() else {
                return self.discard_kept(calls);
            };
            drop(call);
        }
        true
    }

    fn discard_kept(&mut self, legs: usize) -> bool {
        for _ in 0..legs {
            if self.kept.pop_first().is_none() {
                return false;
            }
        }
        true
    }
}

/// A walk over the calls of a ledger that goes on changing.
///
/// Of a call that it has not come to, all that matters is the state in which it finds it; of one that is behind it, and of one that is
/// younger than the walk, everything that happens. Who takes just that has what the whole ledger has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Walk {
    behind: Option<CallId>,
    /// Where it ends; `None` when there was no call.
    to: Option<CallId>,
}

impl Walk {
    pub(crate) fn over<T>(ledger: &Ledger<T>) -> Self {
        Self { behind: None, to: ledger.calls.last_key_value().map(|(id, _)| *id) }
    }

    /// The calls that it has not come to. A call must be passed before the next is asked for.
    pub(crate) fn ahead<T>(self, ledger: &Ledger<T>) -> impl Iterator<Item = (CallId, &LedgerCall<T>)> {
        let from = self.behind.map_or(Bound::Unbounded, Bound::Excluded);
        // The map would panic at a range that ends before it begins.
        let to = self.to.filter(|to| self.behind.is_none_or(|behind| behind < *to));
        let range = to.map(|to| ledger.calls.range((from, Bound::Included(to))));
        range.into_iter().flatten().map(|(id, call)| (*id, call))
    }

    pub(crate) const fn pass(&mut self, call: CallId) {
        self.behind = Some(call);
    }

    /// Whether it matters that this happened.
    pub(crate) fn takes(self, subject: Subject) -> bool {
        let call = match subject {
            Subject::Call { call, .. }
            | Subject::Leg { call, .. }
            | Subject::Event { call, .. }
            | Subject::Keep { call, .. } => call,
            // Of a leg that nobody knows it means nothing.
            Subject::Forget { .. } => return true,
            // The last one is taken at the end.
            Subject::Heartbeat | Subject::Refusal => return false,
        };
        self.to.is_none_or(|to| call > to) || self.behind.is_some_and(|behind| call <= behind)
    }
}

impl<T: Copy> LedgerCall<T> {
    /// The last words on this call in an order that folds to the same again: what is kept first, because only that keeps a call that is
    /// over, then the call, the state with its receipt first, because only that lets its legs and events in.
    pub(crate) fn last_words(&self, call: CallId) -> impl Iterator<Item = (Subject, T)> {
        let kept = self.legs.iter().filter_map(move |leg| Some((Subject::Keep { call, leg: leg.id }, leg.kept?)));
        let states = self.receipt.into_iter().chain(self.record);
        let states = states.map(move |(state, place)| (Subject::Call { call, state }, place));
        let legs = self.legs.iter().filter_map(move |leg| Some((Subject::Leg { call, leg: leg.id }, leg.record?)));
        let event = self.last_event.map(|(number, place)| (Subject::Event { call, number }, place));
        kept.chain(states).chain(legs).chain(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tandem_model::Timestamp;

    fn call(number: u8) -> CallId {
        CallId::new(Timestamp::from_unix_micros(0), [number; 10])
    }

    /// Legs belong to one call each, as in life.
    fn leg(of: u8, number: u8) -> LegId {
        LegId::new(Timestamp::from_unix_micros(0), [of * 16 + number; 10])
    }

    fn state() -> impl Strategy<Value = CallState> {
        any::<(bool, bool)>().prop_map(|(is_over, has_receipt)| CallState { is_over, has_receipt })
    }

    fn up(number: u8, has_receipt: bool) -> Subject {
        Subject::Call { call: call(number), state: CallState { is_over: false, has_receipt } }
    }

    fn over(number: u8) -> Subject {
        Subject::Call { call: call(number), state: CallState { is_over: true, has_receipt: false } }
    }

    fn subject() -> impl Strategy<Value = Subject> {
        (0..4_u8, 0..3_u8, 0..9_u32, 0..7_u8, state()).prop_map(|(of, number, event, kind, state)| {
            let (call, leg) = (call(of), leg(of, number));
            match kind {
                0 | 1 => Subject::Call { call, state },
                2 => Subject::Leg { call, leg },
                3 => Subject::Event { call, number: event },
                4 => Subject::Keep { call, leg },
                5 => Subject::Forget { leg },
                _ => Subject::Heartbeat,
            }
        })
    }

    fn last_words<T: Copy>(ledger: &Ledger<T>) -> Vec<(Subject, T)> {
        let of_calls = ledger.calls().flat_map(|(id, call)| call.last_words(id));
        of_calls.chain(ledger.heartbeat().map(|place| (Subject::Heartbeat, place))).collect()
    }

    #[test]
    fn a_call_that_is_over_stays_while_a_leg_has_to_be_ended() {
        let mut ledger = Ledger::default();
        ledger.apply(up(1, false), 1);
        ledger.apply(Subject::Leg { call: call(1), leg: leg(1, 1) }, 2);
        ledger.apply(Subject::Leg { call: call(1), leg: leg(1, 2) }, 3);
        ledger.apply(Subject::Keep { call: call(1), leg: leg(1, 2) }, 4);
        ledger.apply(over(1), 5);
        let places: Vec<_> = last_words(&ledger).into_iter().map(|(_, place)| place).collect();
        assert_eq!(places, [4, 5, 3]);
        ledger.apply(Subject::Forget { leg: leg(1, 2) }, 6);
        assert_eq!(ledger, Ledger::default());
    }

    #[test]
    fn a_receipt_holds_until_the_next() {
        let mut ledger = Ledger::default();
        for (place, has_receipt) in (1..).zip([true, false, false]) {
            ledger.apply(up(1, has_receipt), place);
        }
        let places: Vec<_> = last_words(&ledger).into_iter().map(|(_, place)| place).collect();
        assert_eq!(places, [1, 3]);
        ledger.apply(up(1, true), 4);
        let places: Vec<_> = last_words(&ledger).into_iter().map(|(_, place)| place).collect();
        assert_eq!(places, [4]);
    }

    #[test]
    fn late_words_on_a_call_that_is_over_do_not_bring_it_back() {
        let mut ledger = Ledger::default();
        ledger.apply(up(1, false), 1);
        ledger.apply(over(1), 2);
        ledger.apply(Subject::Leg { call: call(1), leg: leg(1, 1) }, 3);
        ledger.apply(Subject::Event { call: call(1), number: 9 }, 4);
        ledger.apply(over(1), 5);
        assert_eq!(ledger, Ledger::default());
    }

    proptest! {
        /// A snapshot that is taken a few calls at a time, while things happen.
        #[test]
        fn a_snapshot_in_slices_folds_to_the_same_ledger(
            before in prop::collection::vec(subject(), 0..60),
            turns in prop::collection::vec((prop::collection::vec(subject(), 0..6), 0..3_usize), 0..12),
        ) {
            let mut whole = Ledger::default();
            for (place, subject) in before.iter().enumerate() {
                whole.apply(*subject, place);
            }
            let mut successor = Ledger::default();
            let mut walk = Walk::over(&whole);
            let mut place = 1_000;
            let last_slice = (Vec::new(), usize::MAX);
            for (meanwhile, slice) in turns.iter().chain([&last_slice]) {
                for subject in meanwhile {
                    place += 1;
                    whole.apply(*subject, place);
                    if walk.takes(*subject) {
                        successor.apply(*subject, place);
                    }
                }
                for (id, call) in walk.ahead(&whole).take(*slice) {
                    for (subject, place) in call.last_words(id) {
                        successor.apply(subject, place);
                    }
                    walk.pass(id);
                }
            }
            if let Some(place) = whole.heartbeat() {
                successor.apply(Subject::Heartbeat, place);
            }
            prop_assert_eq!(successor, whole);
        }

        #[test]
        fn folding_the_last_words_gives_the_same_ledger(before in prop::collection::vec(subject(), 0..60), after in prop::collection::vec(subject(), 0..60)) {
            let mut whole = Ledger::default();
            for (place, subject) in before.iter().enumerate() {
                whole.apply(*subject, place);
            }
            let mut from_snapshot = Ledger::default();
            for (subject, place) in last_words(&whole) {
                from_snapshot.apply(subject, place);
            }
            prop_assert_eq!(&from_snapshot, &whole);
            for (place, subject) in after.iter().enumerate() {
                whole.apply(*subject, place + 1_000);
                from_snapshot.apply(*subject, place + 1_000);
            }
            prop_assert_eq!(from_snapshot, whole);
        }
    }
}
