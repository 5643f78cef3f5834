use crossbeam_channel::{Sender, TrySendError};
use std::collections::VecDeque;

/// The sending side of a bounded queue whose items must not be lost and whose sender must not block: what does not fit waits here,
/// in order, until the next [`Backlog::flush`].
pub(crate) struct Backlog<T> {
    queue: Sender<T>,
    waiting: VecDeque<T>,
}

impl<T> Backlog<T> {
    pub(crate) fn new(queue: Sender<T>) -> Self {
        Self { queue, waiting: VecDeque::new() }
    }

    /// Sends, or keeps for later.
    pub(crate) fn send(&mut self, item: T) {
        if !self.waiting.is_empty() {
            self.waiting.push_back(item);
            return self.flush();
        }
        match self.queue.try_send(item) {
            Ok(()) => {}
            Err(TrySendError::Full(item)) => self.waiting.push_back(item),
            // The receiver is gone: the process is stopping.
            Err(TrySendError::Disconnected(_)) => {}
        }
    }

    /// Sends what waits, as far as there is room.
    pub(crate) fn flush(&mut self) {
        while let Some(item) = self.waiting.pop_front() {
            match self.queue.try_send(item) {
                Ok(()) => {}
                Err(TrySendError::Full(item)) => return self.waiting.push_front(item),
                Err(TrySendError::Disconnected(_)) => return,
            }
        }
    }

    /// How many wait on this side. It is bounded by what the machines hold: so many messages a live call or port.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_order_and_loses_nothing_when_the_queue_is_full() {
        let (sender, receiver) = crossbeam_channel::bounded(2);
        let mut backlog = Backlog::new(sender);
        (0..5).for_each(|number| backlog.send(number));
        assert_eq!(backlog.waiting(), 3);
        assert_eq!(receiver.try_iter().take(2).collect::<Vec<_>>(), [0, 1]);
        backlog.flush();
        assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [2, 3]);
        backlog.send(5);
        assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [4, 5]);
    }
}
