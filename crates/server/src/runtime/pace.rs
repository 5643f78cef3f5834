use std::thread;
use std::time::{Duration, Instant};

/// Keeps the turns of a busy thread apart, so that each has more to do: waking up, writing the journal and telling other threads cost the
/// same for one message as for ten.
///
/// A thread that hears little is never kept waiting; the more it hears, the longer its turns.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// From the beginning of one turn to that of the next, at least; `None` when the thread is not busy.
    turn: Option<Duration>,
    /// When the next turn may begin.
    next: Option<Instant>,
    /// Messages are counted since then.
    counted_from: Option<Instant>,
    heard: u32,
}

impl Pace {
    pub(crate) fn turn_began(&mut self, now: Instant) {
        let counted = self.counted_from.map(|from| now.saturating_duration_since(from));
        if counted.is_none_or(|counted| counted >= COUNTED) {
            self.turn = counted.and_then(|counted| turn_for(counted / self.heard.max(1)));
            self.counted_from = Some(now);
            self.heard = 0;
        }
        self.next = self.turn.map(|turn| now + turn);
    }

    /// So many messages came in this turn.
    pub(crate) fn heard(&mut self, messages: usize) {
        self.heard = self.heard.saturating_add(u32::try_from(messages).unwrap_or(u32::MAX));
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

/// How long turns are when so much time is between messages. What a message is kept waiting by it is far below what a caller could notice
/// and what timers of SIP count in.
fn turn_for(between: Duration) -> Option<Duration> {
    if between < MUCH {
        Some(LONG_TURN)
    } else if between < SOME {
        Some(TURN)
    } else {
        None
    }
}

const TURN: Duration = Duration::from_micros(500);
const LONG_TURN: Duration = Duration::from_millis(1);
/// At some 300 calls a second half of the messages come while the thread is awake anyway.
const SOME: Duration = Duration::from_micros(550);
/// At some 700 calls a second a turn of a millisecond costs a third less than two of half.
const MUCH: Duration = Duration::from_micros(240);
/// For how long messages are counted before the turn is chosen anew.
const COUNTED: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    /// The pause that a thread makes which hears so many messages in a millisecond, for half a second.
    fn pause_at(pace: &mut Pace, now: &mut Instant, messages: usize) -> Duration {
        let mut waiting = Duration::ZERO;
        for _ in 0..500 {
            *now += Duration::from_millis(1);
            pace.turn_began(*now);
            pace.heard(messages);
            waiting = pace.pause(*now);
        }
        waiting
    }

    #[test]
    fn turns_are_the_longer_the_more_is_heard() {
        let (mut pace, mut now) = (Pace::default(), Instant::now());
        for (messages, turn) in [(1, Duration::ZERO), (3, TURN), (6, LONG_TURN), (40, LONG_TURN), (3, TURN)] {
            assert_eq!(pause_at(&mut pace, &mut now, messages), turn, "{messages} a millisecond");
        }
        assert_eq!(pace.pause(now + TURN / 5), TURN * 4 / 5);
        assert_eq!(pace.pause(now + TURN * 2), Duration::ZERO);
    }

    #[test]
    fn who_was_busy_and_is_not_waits_no_more() {
        let (mut pace, mut now) = (Pace::default(), Instant::now());
        pause_at(&mut pace, &mut now, 6);
        now += Duration::from_secs(1);
        pace.turn_began(now);
        assert_eq!(pace.pause(now), Duration::ZERO);
    }
}
