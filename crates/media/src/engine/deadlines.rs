//! Which port is due next.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

use super::command::PortId;

/// A heap of deadlines. A port notes when it is to be woken; a deadline that moves later is only noticed when the
/// earlier one comes, so that the packets of a call, which move its time-out, do not touch the heap.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    heap: BinaryHeap<Reverse<(Instant, PortId)>>,
}

impl Deadlines {
    /// Sees to it that `port` is woken by `due`. `armed` is the port's note.
    pub(crate) fn arm(&mut self, port: PortId, due: Option<Instant>, armed: &mut Option<Instant>) {
        let Some(due) = due else { return };
        if armed.is_none_or(|armed| due < armed) {
            self.heap.push(Reverse((due, port)));
            *armed = Some(due);
        }
    }

    /// The first deadline.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((due, _))| *due)
    }

    /// A port whose deadline has come. When its note names another moment, it is not for it.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<(Instant, PortId)> {
        self.next().filter(|due| *due <= now)?;
        self.heap.pop().map(|Reverse(entry)| entry)
    }
}
