use std::collections::{HashMap, HashSet};
use tandem_journal::Entry;
use tandem_model::{CallId, CallRecord, LegId, Record};

/// Entries on their way to the journal: of this turn, and, while the disk takes nothing, of earlier ones.
///
/// New calls are refused then, but the calls that are up go on and have more to say. Only their last words matter, so what waits stays
/// bounded by them: [`compact`](Self::compact). Refusals, which anybody can cause, are bounded by number.
#[derive(Debug, Default)]
pub(crate) struct Unwritten {
    entries: Vec<Entry>,
    refusals: usize,
    /// How many entries are worth a look for those that later ones replace.
    compact_at: usize,
}

impl Unwritten {
    /// A state that comes soon after an earlier one of the same call or leg takes its place: nothing has left meanwhile that tells of
    /// the earlier one.
    pub(crate) fn push(&mut self, entry: Entry) {
        let about = About::of(&entry);
        let recent = self.entries.iter_mut().rev().take(LOOK_BACK);
        match recent.into_iter().find(|earlier| about.is_some() && About::of(earlier) == about) {
            Some(earlier) if gives_way(earlier, &entry) => replace(earlier, entry),
            Some(_) | None => self.entries.push(entry),
        }
    }

    /// Whether there was room for one more refusal.
    pub(crate) fn push_refusal(&mut self, entry: Entry) -> bool {
        let has_room = self.refusals < MAX_REFUSALS;
        if has_room {
            self.refusals += 1;
            self.entries.push(entry);
        }
        has_room
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        *self = Self { entries: std::mem::take(&mut self.entries), ..Self::default() };
        self.entries.clear();
        // The room of an ordinary turn is kept for the next.
        self.entries.shrink_to(KEPT_ENTRIES);
    }

    /// The first ones are written.
    pub(crate) fn written(&mut self, entries: usize) {
        self.entries.drain(..entries.min(self.entries.len()));
        self.refusals = self.entries.iter().filter(|entry| is_refusal(entry)).count();
    }

    /// Drops what later entries replace, once there is enough of it to be worth the look.
    ///
    /// Of a call the first state stays besides the last, because it must come before its legs and events. Events all stay: a call has a
    /// limited number.
    pub(crate) fn compact(&mut self) {
        if self.entries.len() < self.compact_at.max(KEPT_ENTRIES) {
            return;
        }
        let mut calls = HashSet::new();
        let mut receipts = HashMap::new();
        let firsts: Vec<bool> =
            self.entries.iter().map(|entry| call_of(entry).is_some_and(|call| calls.insert(call.id))).collect();
        for call in self.entries.iter_mut().filter_map(call_of_mut) {
            match &call.receipt {
                Some(receipt) => drop(receipts.insert(call.id, receipt.clone())),
                None => call.receipt = receipts.get(&call.id).cloned(),
            }
        }
        let mut later = Later::default();
        let mut stays: Vec<bool> =
            self.entries.iter().zip(firsts).rev().map(|(entry, is_first)| later.stays(entry) || is_first).collect();
        // They were told from the end.
        self.entries.retain(|_| stays.pop().unwrap_or(true));
        self.compact_at = self.entries.len().saturating_mul(2);
    }
}

/// What entries behind one are about.
#[derive(Default)]
struct Later {
    calls: HashSet<CallId>,
    legs: HashSet<LegId>,
    kept: HashSet<LegId>,
    has_heartbeat: bool,
}

impl Later {
    /// Whether an entry says something that those behind it do not.
    fn stays(&mut self, entry: &Entry) -> bool {
        match entry {
            Entry::Record(Record::Call(call)) => self.calls.insert(call.id),
            Entry::Record(Record::Leg(leg)) => self.legs.insert(leg.id),
            Entry::Record(Record::Event(_) | Record::Refusal(_)) => true,
            Entry::Keep { leg, .. } | Entry::Forget { leg } => self.kept.insert(*leg),
            Entry::Heartbeat { .. } => !std::mem::replace(&mut self.has_heartbeat, true),
        }
    }
}

/// What an entry replaces earlier ones of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum About {
    Call(CallId),
    Leg(LegId),
    Kept(LegId),
}

impl About {
    fn of(entry: &Entry) -> Option<Self> {
        match entry {
            Entry::Record(Record::Call(call)) => Some(Self::Call(call.id)),
            Entry::Record(Record::Leg(leg)) => Some(Self::Leg(leg.id)),
            Entry::Keep { leg, .. } | Entry::Forget { leg } => Some(Self::Kept(*leg)),
            Entry::Record(Record::Event(_) | Record::Refusal(_)) | Entry::Heartbeat { .. } => None,
        }
    }
}

/// Whether an entry may stand where an earlier one about the same stands. What is final of a call has to come behind its legs.
fn gives_way(earlier: &Entry, later: &Entry) -> bool {
    match later {
        Entry::Record(Record::Call(call)) => {
            !call.status.is_final() && call_of(earlier).is_some_and(|earlier| !earlier.status.is_final())
        }
        Entry::Record(Record::Leg(_)) => true,
        Entry::Keep { .. } => !matches!(earlier, Entry::Forget { .. }),
        Entry::Forget { .. } | Entry::Record(Record::Event(_) | Record::Refusal(_)) | Entry::Heartbeat { .. } => false,
    }
}

/// The receipt of a state holds until one has another.
fn replace(earlier: &mut Entry, mut later: Entry) {
    if let (Some(earlier), Some(later)) = (call_of_mut(earlier), call_of_mut(&mut later))
        && later.receipt.is_none()
    {
        later.receipt = earlier.receipt.take();
    }
    *earlier = later;
}

fn call_of(entry: &Entry) -> Option<&CallRecord> {
    let Entry::Record(Record::Call(call)) = entry else { return None };
    Some(call)
}

fn call_of_mut(entry: &mut Entry) -> Option<&mut CallRecord> {
    let Entry::Record(Record::Call(call)) = entry else { return None };
    Some(call)
}

const fn is_refusal(entry: &Entry) -> bool {
    match entry {
        Entry::Record(Record::Refusal(_)) => true,
        Entry::Record(Record::Call(_) | Record::Leg(_) | Record::Event(_))
        | Entry::Keep { .. }
        | Entry::Forget { .. }
        | Entry::Heartbeat { .. } => false,
    }
}

/// How many entries back an earlier state is looked for: what one message causes.
const LOOK_BACK: usize = 24;
/// Entries for which room is kept: more than an ordinary turn has.
const KEPT_ENTRIES: usize = 1_024;
/// Refusals that wait for the disk, each a kilobyte or two. Beyond it they are counted.
const MAX_REFUSALS: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;
    use tandem_model::{AccountId, CallDirection, CallStatus, CarriedBy, JsonText, Timestamp};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_unix_micros(second * 1_000_000)
    }

    fn leg(number: u8) -> LegId {
        LegId::new(at(0), [number; 10])
    }

    fn call(number: u8) -> CallId {
        CallId::new(at(0), [number; 10])
    }

    fn keep(of: u8, number: u8, text: &str) -> Entry {
        let kept = tandem_journal::Kept::Dialog { text: text.to_owned() };
        Entry::Keep { leg: leg(number), call: call(of), kept }
    }

    fn state(number: u8, status: CallStatus, receipt: Option<&str>) -> Entry {
        Entry::Record(Record::Call(Box::new(CallRecord {
            id: call(number),
            account_id: AccountId::new(at(0), [9; 10]),
            call_id: String::new(),
            trunk_id: None,
            direction: CallDirection::Outbound,
            carried_by: CarriedBy::Tandem,
            conversation_id: None,
            from_number: String::new(),
            to_number: String::new(),
            to_uri: None,
            started_at: at(1),
            answered_at: None,
            ended_at: None,
            duration_ms: None,
            status,
            hangup_cause: None,
            sip_status: None,
            hung_up_by: None,
            quality_score: None,
            codec_used: None,
            sip_call_id: None,
            remote_ip: None,
            cost: None,
            credits_used: None,
            metadata: serde_json::Map::new(),
            receipt: receipt.map(JsonText::from_stored),
            created_at: at(1),
        })))
    }

    #[test]
    fn a_disk_that_takes_nothing_for_long_costs_no_more_than_the_last_words() {
        let mut unwritten = Unwritten::default();
        for second in 0..100_000 {
            unwritten.push(Entry::Heartbeat { at: at(second) });
            unwritten.push(keep(1, 1, "one"));
            unwritten.push(keep(1, 2, &second.to_string()));
            unwritten.compact();
            assert!(unwritten.len() <= KEPT_ENTRIES + 3);
        }
        unwritten.push(Entry::Forget { leg: leg(1) });
        unwritten.compact_at = 1;
        while unwritten.len() < KEPT_ENTRIES {
            unwritten.push(Entry::Heartbeat { at: at(100_000) });
        }
        unwritten.compact();
        let expected = [keep(1, 2, "99999"), Entry::Forget { leg: leg(1) }, Entry::Heartbeat { at: at(100_000) }];
        assert_eq!(unwritten.entries(), expected);
    }

    #[test]
    fn a_later_state_takes_the_place_of_one_that_nobody_has_seen() {
        let mut unwritten = Unwritten::default();
        let turn = [
            state(1, CallStatus::Initiated, Some("routed")),
            keep(1, 1, "one"),
            keep(1, 2, "other"),
            state(1, CallStatus::Ringing, None),
            keep(1, 1, "two"),
            Entry::Forget { leg: leg(2) },
            keep(1, 2, "again"),
            state(1, CallStatus::Completed, None),
        ];
        turn.iter().cloned().for_each(|entry| unwritten.push(entry));
        let expected = [
            state(1, CallStatus::Ringing, Some("routed")),
            keep(1, 1, "two"),
            keep(1, 2, "other"),
            Entry::Forget { leg: leg(2) },
            keep(1, 2, "again"),
            state(1, CallStatus::Completed, None),
        ];
        assert_eq!(unwritten.entries(), expected);
        unwritten.written(2);
        assert_eq!(unwritten.entries(), &expected[2..]);
        unwritten.clear();
        assert!(unwritten.is_empty());
    }

    #[test]
    fn the_last_state_has_the_last_receipt() {
        let mut unwritten = Unwritten::default();
        unwritten.push(state(1, CallStatus::Initiated, Some("first")));
        (0..LOOK_BACK).for_each(|_| unwritten.push(Entry::Heartbeat { at: at(1) }));
        unwritten.push(state(1, CallStatus::Ringing, Some("second")));
        (0..KEPT_ENTRIES).for_each(|_| unwritten.push(Entry::Heartbeat { at: at(1) }));
        unwritten.push(state(1, CallStatus::Answered, None));
        unwritten.compact();
        let expected = [
            state(1, CallStatus::Initiated, Some("first")),
            Entry::Heartbeat { at: at(1) },
            state(1, CallStatus::Answered, Some("second")),
        ];
        assert_eq!(unwritten.entries(), expected);
    }
}
