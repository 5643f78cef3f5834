use std::thread;
use std::time::{Duration, Instant};

/// Keeps the turns of a busy thread apart, so that each has more to do: waking up, writing the journal and telling other threads cost the
/// same for one message as for ten.
///
/// A thread whose turns are far apart is never kept waiting.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    last: Option<Instant>,
    /// When the next turn may begin; `None` when the thread is not busy.
    next: Option<Instant>,
}

impl Pace {
    pub(crate) fn turn_began(&mut self, now: Instant) {
        let is_busy = self.last.is_some_and(|last| now.saturating_duration_since(last) < BUSY);
        self.next = is_busy.then(|| now + TURN);
        self.last = Some(now);
    }

    /// What is left until the next turn may begin.
    fn pause(&self, now: Instant) -> Duration {
        self.next.map_or(Duration::ZERO, |next| next.saturating_duration_since(now))
    }

    /// Waits until the next turn may begin.
    #[expect(clippy::disallowed_methods, reason = "what is waited for is that more comes to wait for")]
    pub(crate) fn wait(&self) {
        let pause = self.pause(Instant::now());
        if !pause.is_zero() {
            thread::sleep(pause);
        }
    }
}

/// From the beginning of one turn of a busy thread to that of the next: what a message may be kept waiting at most. A tenth of what a
/// caller could notice as slow, and below what timers of SIP count in.
const TURN: Duration = Duration::from_micros(500);
/// Turns that begin within this of each other are those of a busy thread.
const BUSY: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_busy_thread_waits_and_never_longer_than_a_turn() {
        let begin = Instant::now();
        let mut pace = Pace::default();
        pace.turn_began(begin);
        assert_eq!(pace.pause(begin), Duration::ZERO);
        pace.turn_began(begin + BUSY);
        assert_eq!(pace.pause(begin + BUSY), Duration::ZERO);
        let busy = begin + BUSY + BUSY / 4;
        pace.turn_began(busy);
        assert_eq!(pace.pause(busy), TURN);
        assert_eq!(pace.pause(busy + TURN / 5), TURN * 4 / 5);
        assert_eq!(pace.pause(busy + TURN * 2), Duration::ZERO);
    }
}
