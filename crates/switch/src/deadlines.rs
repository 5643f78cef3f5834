use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

/// When each of many machines wants to be woken: one deadline a key, the earliest first.
#[derive(Debug)]
pub(crate) struct Deadlines<K> {
    by_key: BTreeMap<K, Instant>,
    by_time: BTreeSet<(Instant, K)>,
}

impl<K: Ord + Copy> Deadlines<K> {
    pub(crate) const fn new() -> Self {
        Self { by_key: BTreeMap::new(), by_time: BTreeSet::new() }
    }

    /// Replaces the deadline of a key.
    pub(crate) fn set(&mut self, key: K, deadline: Option<Instant>) {
        if self.by_key.get(&key).copied() == deadline {
            return;
        }
        if let Some(old) = self.by_key.remove(&key) {
            self.by_time.remove(&(old, key));
        }
        if let Some(new) = deadline {
            self.by_key.insert(key, new);
            self.by_time.insert((new, key));
        }
    }

    pub(crate) fn get(&self, key: K) -> Option<Instant> {
        self.by_key.get(&key).copied()
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = K> {
        self.by_key.keys().copied()
    }

    pub(crate) fn earliest(&self) -> Option<Instant> {
        self.by_time.first().map(|(deadline, _)| *deadline)
    }

    /// Takes out the earliest key that is due.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<K> {
        let (deadline, key) = self.by_time.first().copied()?;
        if deadline > now {
            return None;
        }
        self.set(key, None);
        Some(key)
    }
}
