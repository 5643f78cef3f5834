//! The timers of RFC 3261 (table 4) and RFC 6026, by their letters.

use std::time::{Duration, Instant};

/// The estimate of a round trip: where every retransmission starts.
pub const T1: Duration = Duration::from_millis(500);

/// The longest pause between two retransmissions of a non-INVITE request or of a response to an INVITE.
pub const T2: Duration = Duration::from_secs(4);

/// How long a message may stay in the network.
pub const T4: Duration = Duration::from_secs(5);

/// The patience of the protocol: 64 × [`T1`], that is 32 s.
const T1_X64: Duration = T1.saturating_mul(64);

/// Timer A: the first pause before an INVITE is resent; doubles without a cap until timer B. UDP only.
pub const TIMER_A: Duration = T1;
/// Timer B: how long an INVITE waits for any response.
pub const TIMER_B: Duration = T1_X64;
/// Timer C belongs to proxies. What a UAS owes them (RFC 3261 §13.3.1.1): a provisional response every minute, for
/// as long as a call rings, so that theirs (above 3 minutes) never fires.
pub const TIMER_C_REFRESH: Duration = Duration::from_secs(60);
/// Timer D: how long a client absorbs repeats of a failure to its INVITE. UDP only.
pub const TIMER_D: Duration = Duration::from_secs(32);
/// Timer E: the first pause before a non-INVITE request is resent; doubles up to [`T2`]. UDP only.
pub const TIMER_E: Duration = T1;
/// Timer F: how long a non-INVITE request waits for its final response.
pub const TIMER_F: Duration = T1_X64;
/// Timer G: the first pause before a failure to an INVITE is resent; doubles up to [`T2`]. UDP only.
pub const TIMER_G: Duration = T1;
/// Timer H: how long a failure to an INVITE waits for its ACK.
pub const TIMER_H: Duration = T1_X64;
/// Timer I: how long a server absorbs repeats of that ACK. UDP only.
pub const TIMER_I: Duration = T4;
/// Timer J: how long a server absorbs repeats of a non-INVITE request. UDP only.
pub const TIMER_J: Duration = T1_X64;
/// Timer K: how long a client absorbs repeats of the final response to a non-INVITE request. UDP only.
pub const TIMER_K: Duration = T4;
/// Timer L: how long a server absorbs repeats of an INVITE that it accepted (RFC 6026 §7.1).
pub const TIMER_L: Duration = T1_X64;
/// Timer M: how long a client takes further 2xx, from forks or repeated (RFC 6026 §7.2).
pub const TIMER_M: Duration = T1_X64;

/// How long an INVITE is left without any response before the transaction itself says 100 (RFC 3261 §17.2.1).
pub const TRYING_DELAY: Duration = Duration::from_millis(200);

/// How long a 2xx is resent while its ACK is missing (RFC 3261 §13.3.1.4). After it the call ends with a BYE.
pub const ACK_WAIT: Duration = T1_X64;

/// How long a canceled INVITE waits for its final response once the CANCEL is out (RFC 3261 §9.1).
pub const CANCEL_WAIT: Duration = T1_X64;

/// How long a re-INVITE may stay without a final response once a provisional one has come: what timer C gives it on
/// proxies (RFC 3261 §16.6). Who does not answer by then has lost the dialog.
pub const REINVITE_WAIT: Duration = Duration::from_secs(180);

/// A retransmission timer: each pause twice as long as the one before, up to a cap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Backoff {
    due: Instant,
    pause: Duration,
    cap: Duration,
}

impl Backoff {
    pub(crate) fn new(first: Duration, cap: Duration, now: Instant) -> Self {
        Self { due: now + first, pause: first, cap }
    }

    pub(crate) fn due(&self) -> Instant {
        self.due
    }

    /// It fired: sets the next one.
    pub(crate) fn back_off(&mut self, now: Instant) {
        self.pause = self.pause.saturating_mul(2).min(self.cap);
        self.due = now + self.pause;
    }

    /// From here on it fires at the cap (timer E in Proceeding).
    pub(crate) fn slow_down(&mut self, now: Instant) {
        self.pause = self.cap;
        self.due = now + self.cap;
    }
}

/// What is to be done because time has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    /// Nothing is.
    Nothing,
    /// Send the last message again.
    Resend,
    /// Send a 100.
    Trying,
    /// The peer did not do its part in time (timers B, F, H); the transaction is over.
    GaveUp,
    /// The transaction has absorbed what there was to absorb and is over.
    Over,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_clock::start;

    #[test]
    fn pauses_double_up_to_the_cap() {
        let start = start();
        let mut backoff = Backoff::new(T1, T2, start);
        let mut fired = Vec::new();
        for _ in 0..6 {
            let due = backoff.due();
            fired.push((due - start).as_millis());
            backoff.back_off(due);
        }
        assert_eq!(fired, [500, 1_500, 3_500, 7_500, 11_500, 15_500]);
    }
}
