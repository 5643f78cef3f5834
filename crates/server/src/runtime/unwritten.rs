use std::collections::HashSet;
use tandem_journal::Entry;
use tandem_model::{CallId, LegId, Record};

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
    pub(crate) fn push(&mut self, entry: Entry) {
        self.entries.push(entry);
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
        let firsts: Vec<bool> =
            self.entries.iter().map(|entry| call_of(entry).is_some_and(|id| calls.insert(id))).collect();
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

const fn call_of(entry: &Entry) -> Option<CallId> {
    match entry {
        Entry::Record(Record::Call(call)) => Some(call.id),
        Entry::Record(Record::Leg(_) | Record::Event(_) | Record::Refusal(_))
        | Entry::Keep { .. }
        | Entry::Forget { .. }
        | Entry::Heartbeat { .. } => None,
    }
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

/// Entries for which room is kept: more than an ordinary turn has.
const KEPT_ENTRIES: usize = 1_024;
/// Refusals that wait for the disk, each a kilobyte or two. Beyond it they are counted.
const MAX_REFUSALS: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;
    use tandem_model::Timestamp;

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
    fn what_an_ordinary_turn_has_is_left_as_it_is() {
        let mut unwritten = Unwritten::default();
        let turn = [keep(1, 1, "one"), keep(1, 1, "two"), Entry::Forget { leg: leg(1) }];
        turn.iter().cloned().for_each(|entry| unwritten.push(entry));
        unwritten.compact();
        assert_eq!(unwritten.entries(), turn);
        unwritten.written(2);
        assert_eq!(unwritten.entries(), &turn[2..]);
        unwritten.clear();
        assert!(unwritten.is_empty());
    }
}
