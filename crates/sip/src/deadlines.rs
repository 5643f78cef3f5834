//! When which of many machines must be woken.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

/// An index of deadlines. A machine has at most one entry that counts: the one it remembers as its own.
///
/// A deadline that moves back or vanishes leaves its entry where it is; it is found out of date when its time comes.
/// So most timers, which never fire, cost one push and one pop.
#[derive(Debug)]
pub(crate) struct Deadlines<T> {
    heap: BinaryHeap<Reverse<(Instant, T)>>,
}

/// The time under which a machine is in the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Scheduled(Option<Instant>);

impl<T: Ord + Copy> Deadlines<T> {
    pub(crate) fn new() -> Self {
        Self { heap: BinaryHeap::new() }
    }

    /// Makes sure that the machine is woken at `due` or before.
    pub(crate) fn schedule(&mut self, owner: T, scheduled: &mut Scheduled, due: Option<Instant>) {
        if let Some(due) = due
            && scheduled.0.is_none_or(|at| due < at)
        {
            scheduled.0 = Some(due);
            self.heap.push(Reverse((due, owner)));
        }
    }

    /// The earliest entry; may be out of date.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes the next entry that is due. It counts if [`Scheduled::take`] of its machine says so.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<(Instant, T)> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| entry)
    }
}

impl Scheduled {
    /// Whether the entry of that time is the one that counts; it is gone then.
    pub(crate) fn take(&mut self, at: Instant) -> bool {
        let counts = self.0 == Some(at);
        if counts {
            self.0 = None;
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_clock::after_ms;

    #[test]
    fn an_entry_that_was_overtaken_does_not_count() {
        let mut deadlines = Deadlines::new();
        let mut scheduled = Scheduled::default();
        deadlines.schedule(1, &mut scheduled, Some(after_ms(500)));
        deadlines.schedule(1, &mut scheduled, Some(after_ms(900)));
        deadlines.schedule(1, &mut scheduled, Some(after_ms(100)));
        deadlines.schedule(1, &mut scheduled, None);

        assert_eq!(deadlines.next(), Some(after_ms(100)));
        assert_eq!(deadlines.pop(after_ms(99)), None);
        let (at, owner) = deadlines.pop(after_ms(1_000)).unwrap();
        assert_eq!((at, owner), (after_ms(100), 1));
        assert!(scheduled.take(at));
        let (at, _) = deadlines.pop(after_ms(1_000)).unwrap();
        assert!(!scheduled.take(at));
        assert_eq!(deadlines.next(), None);
    }
}
