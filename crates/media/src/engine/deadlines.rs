//! Which port is due next.

use std::time::Instant;

use super::command::PortId;

/// The deadlines of all ports: a binary heap with at most one entry a port, and where in it that is.
///
/// A deadline that moves later is only noticed when the earlier one comes, so that the packets of a call, which move
/// its time-out on and on, do not touch the heap.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    /// No entry is due before its parent, which is at half its index.
    heap: Vec<(Instant, PortId)>,
    /// By the slot of the port.
    places: Vec<Option<usize>>,
}

impl Deadlines {
    /// Makes room for the ports below `slots`, so that arming them does not allocate.
    pub(crate) fn reserve(&mut self, slots: usize) {
        if slots > self.places.len() {
            self.places.resize(slots, None);
            self.heap.reserve(slots - self.heap.len());
        }
    }

    /// Sees to it that `port` is woken by `due`.
    pub(crate) fn arm(&mut self, port: PortId, due: Option<Instant>) {
        let Some(due) = due else { return };
        match self.place(port) {
            None => {
                self.heap.push((due, port));
                self.rise(self.heap.len() - 1);
            }
            Some(place) => {
                if let Some(entry) = self.heap.get_mut(place).filter(|entry| due < entry.0) {
                    entry.0 = due;
                    self.rise(place);
                }
            }
        }
    }

    /// Forgets a port.
    pub(crate) fn disarm(&mut self, port: PortId) {
        if let Some(place) = self.place(port) {
            self.remove(place);
        }
    }

    /// The first deadline.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.heap.first().map(|(due, _)| *due)
    }

    /// A port to wake; its deadline is forgotten.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<PortId> {
        self.next().filter(|due| *due <= now)?;
        self.remove(0)
    }

    fn place(&self, port: PortId) -> Option<usize> {
        self.places.get(super::slot(port)?).copied().flatten()
    }

    fn remove(&mut self, place: usize) -> Option<PortId> {
        let last = self.heap.len().checked_sub(1)?;
        self.heap.swap(place, last);
        let (_, port) = self.heap.pop()?;
        self.note(port, None);
        if place < last {
            self.sink(place);
            self.rise(place);
        }
        Some(port)
    }

    fn rise(&mut self, mut place: usize) {
        while place > 0 {
            let parent = (place - 1) / 2;
            if self.heap[parent] <= self.heap[place] {
                break; // both exist: a parent is before its child
            }
            self.heap.swap(parent, place);
            self.note_place(place);
            place = parent;
        }
        self.note_place(place);
    }

    fn sink(&mut self, mut place: usize) {
        loop {
            let children = [2 * place + 1, 2 * place + 2].into_iter();
            let least = children.filter_map(|child| Some((self.heap.get(child)?, child))).min();
            let Some((entry, child)) = least else { break };
            if self.heap.get(place).is_none_or(|parent| parent <= entry) {
                break;
            }
            self.heap.swap(place, child);
            self.note_place(place);
            place = child;
        }
        self.note_place(place);
    }

    fn note_place(&mut self, place: usize) {
        if let Some((_, port)) = self.heap.get(place) {
            self.note(*port, Some(place));
        }
    }

    fn note(&mut self, port: PortId, place: Option<usize>) {
        if let Some(noted) = super::slot(port).and_then(|slot| self.places.get_mut(slot)) {
            *noted = place;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::engine::seed::Seeded;

    #[test]
    fn wakes_ports_in_the_order_of_their_deadlines() {
        const PORTS: u32 = 37;
        let start = crate::test_clock::start();
        let mut random = Seeded::new(1);
        let mut deadlines = Deadlines::default();
        deadlines.reserve(37);
        let mut expected = vec![None::<Instant>; 37];
        for _ in 0..20_000 {
            let port = PortId(u32::try_from(random.below(u64::from(PORTS))).unwrap());
            let entry = &mut expected[usize::try_from(port.0).unwrap()];
            match random.below(4) {
                0 => {
                    deadlines.disarm(port);
                    *entry = None;
                }
                1 => {
                    let first = expected.iter().flatten().min().copied();
                    assert_eq!(deadlines.next(), first);
                    let Some(due) = first else { continue };
                    let woken = deadlines.pop_due(due).unwrap();
                    let entry = &mut expected[usize::try_from(woken.0).unwrap()];
                    assert_eq!(entry.take(), Some(due));
                }
                _ => {
                    let due = start + Duration::from_millis(random.below(1_000));
                    deadlines.arm(port, Some(due));
                    *entry = Some(entry.map_or(due, |armed| armed.min(due)));
                }
            }
        }
    }

    #[test]
    fn wakes_nobody_early() {
        let start = crate::test_clock::start();
        let mut deadlines = Deadlines::default();
        deadlines.reserve(1);
        deadlines.arm(PortId(0), Some(start + Duration::from_millis(5)));
        deadlines.arm(PortId(0), Some(start + Duration::from_millis(9)));
        assert_eq!(deadlines.pop_due(start + Duration::from_millis(4)), None);
        assert_eq!(deadlines.pop_due(start + Duration::from_millis(5)), Some(PortId(0)));
        assert_eq!(deadlines.next(), None);
    }
}
