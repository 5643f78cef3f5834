//! How often a busy thread wakes.

use std::thread;
use std::time::{Duration, Instant};

/// Keeps the turns of a busy thread [`TURN`] apart.
///
/// Packets of many calls come evenly spread. Woken by each of them, a thread falls asleep and wakes up several times a
/// millisecond, and that costs more than the packets do, most of all on a virtual machine. So a thread whose last wait
/// ended soon pauses for the rest of a turn, undisturbed, and then finds all that has come meanwhile. A thread with
/// little to do answers each packet at once.
///
/// ```text
///                a wait ended within TURN of the one before
///   at once ─────────────────────────────────────────────────► paced
///      ▲                                                         │
///      └────── nothing had come soon after the pause was over ───┘
/// ```
#[derive(Debug)]
pub(super) struct Pace {
    woke: Instant,
    is_busy: bool,
}

/// A twentieth of the usual packet, and far below what jitter buffers are there for.
const TURN: Duration = Duration::from_millis(1);
/// A wait that is over so soon after its pause was worth the pause: the next one may well find something.
const SOON: Duration = Duration::from_micros(500);

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self { woke: now, is_busy: false }
    }

    /// How long to pause before a wait of at most `timeout` that begins now.
    pub(super) fn pause(&self, timeout: Option<Duration>, now: Instant) -> Option<Duration> {
        let rest = (self.woke + TURN).checked_duration_since(now).filter(|_| self.is_busy)?;
        Some(timeout.map_or(rest, |timeout| timeout.min(rest))).filter(|pause| !pause.is_zero())
    }

    /// A wait that began with a pause is over.
    pub(super) fn woke(&mut self, began: Instant, pause: Option<Duration>, now: Instant) {
        self.is_busy = match pause {
            Some(pause) => now.saturating_duration_since(began + pause) < SOON,
            None => now.saturating_duration_since(self.woke) < TURN,
        };
        self.woke = now;
    }
}

/// Sleeps for `pause`, whatever comes, and returns what is left of `timeout`.
#[expect(clippy::disallowed_methods, reason = "not to be woken by what comes is what a pause is for")]
pub(super) fn sleep(pause: Option<Duration>, timeout: Option<Duration>) -> Option<Duration> {
    let Some(pause) = pause else { return timeout };
    thread::sleep(pause);
    timeout.map(|timeout| timeout.saturating_sub(pause))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MICRO: Duration = Duration::from_micros(1);

    #[test]
    fn who_is_woken_rarely_answers_at_once() {
        let mut now = Instant::now();
        let mut pace = Pace::new(now);
        for _ in 0..10 {
            assert_eq!(pace.pause(None, now), None);
            let began = now;
            now += TURN;
            pace.woke(began, None, now);
        }
    }

    #[test]
    fn who_is_woken_often_pauses_until_the_turn_is_over() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        pace.woke(start, None, start + 300 * MICRO);
        let began = start + 400 * MICRO;
        assert_eq!(pace.pause(None, began), Some(900 * MICRO));
        pace.woke(began, Some(900 * MICRO), began + 910 * MICRO);
        assert_eq!(pace.pause(None, began + 910 * MICRO), Some(TURN));
    }

    #[test]
    fn a_pause_after_which_nothing_comes_soon_is_the_last() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        pace.woke(start, None, start);
        pace.woke(start, Some(TURN), start + TURN + SOON);
        assert_eq!(pace.pause(None, start + TURN + SOON), None);
    }

    #[test]
    fn a_deadline_is_not_put_off() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        pace.woke(start, None, start);
        assert_eq!(pace.pause(Some(10 * MICRO), start), Some(10 * MICRO));
        assert_eq!(pace.pause(Some(Duration::ZERO), start), None);
    }

    #[test]
    fn who_is_behind_does_not_pause() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        pace.woke(start, None, start);
        assert_eq!(pace.pause(None, start + TURN), None);
    }
}
