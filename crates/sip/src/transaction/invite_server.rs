use std::time::Instant;

use crate::message::StatusCode;
use crate::timer::{Backoff, Due, T2, TIMER_G, TIMER_H, TIMER_I, TIMER_L, TRYING_DELAY};

/// INVITE server transaction: RFC 3261 §17.2.1, with the Accepted state of RFC 6026 §7.1.
///
/// ```text
///               300-699            ACK
///  Proceeding ──────────► Completed ───► Confirmed ── timer I ──► Terminated
///      │                      └─────────── timer H ────────────────▲  ▲
///      └── 2xx ──► Accepted ───────────────────────── timer L ────────┘
/// ```
#[derive(Debug)]
pub(crate) struct InviteServer {
    reliable: bool,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Not finally answered. A 100 is sent at `trying` unless something else was sent before.
    Proceeding {
        trying: Option<Instant>,
    },
    /// A failure was sent. Timer G resends it (never over a reliable transport); timer H gives up on the ACK.
    Completed {
        timer_g: Option<Backoff>,
        timer_h: Instant,
    },
    /// The ACK came. Timer I absorbs its repeats.
    Confirmed {
        timer_i: Instant,
    },
    /// A 2xx was sent; the session resends it. Timer L absorbs repeats of the INVITE.
    Accepted {
        timer_l: Instant,
    },
    Terminated,
}

impl InviteServer {
    pub(crate) fn new(reliable: bool, now: Instant) -> Self {
        Self { reliable, state: State::Proceeding { trying: Some(now + TRYING_DELAY) } }
    }

    /// The user sends a response. False when the transaction cannot take it any more.
    pub(crate) fn respond(&mut self, status: StatusCode, now: Instant) -> bool {
        let State::Proceeding { trying } = &mut self.state else { return false };
        if status.is_provisional() {
            *trying = None;
        } else if status.is_success() {
            self.state = State::Accepted { timer_l: now + TIMER_L };
        } else {
            let timer_g = (!self.reliable).then(|| Backoff::new(TIMER_G, T2, now));
            self.state = State::Completed { timer_g, timer_h: now + TIMER_H };
        }
        true
    }

    /// The INVITE came again. Whether the last response is to be sent again.
    pub(crate) fn handle_retransmission(&self) -> bool {
        match self.state {
            State::Proceeding { .. } | State::Completed { .. } => true,
            State::Confirmed { .. } | State::Accepted { .. } | State::Terminated => false,
        }
    }

    /// An ACK that matches this transaction, so one for a failure.
    pub(crate) fn handle_ack(&mut self, now: Instant) {
        if let State::Completed { .. } = self.state {
            self.state = if self.reliable { State::Terminated } else { State::Confirmed { timer_i: now + TIMER_I } };
        }
    }

    /// Whether a 2xx was sent.
    pub(crate) fn is_accepted(&self) -> bool {
        matches!(self.state, State::Accepted { .. })
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::Proceeding { trying } => *trying,
            State::Completed { timer_g, timer_h } => {
                Some(timer_g.as_ref().map_or(*timer_h, |timer_g| timer_g.due().min(*timer_h)))
            }
            State::Confirmed { timer_i: due } | State::Accepted { timer_l: due } => Some(*due),
            State::Terminated => None,
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Due {
        if self.poll_timeout().is_none_or(|due| now < due) {
            return Due::Nothing;
        }
        match &mut self.state {
            State::Proceeding { trying } => {
                *trying = None;
                Due::Trying
            }
            State::Completed { timer_g: Some(timer_g), timer_h } if now < *timer_h => {
                timer_g.back_off(now);
                Due::Resend
            }
            State::Completed { .. } => {
                self.state = State::Terminated;
                Due::GaveUp
            }
            State::Confirmed { .. } | State::Accepted { .. } => {
                self.state = State::Terminated;
                Due::Over
            }
            State::Terminated => Due::Nothing,
        }
    }

    pub(crate) fn is_terminated(&self) -> bool {
        matches!(self.state, State::Terminated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_clock::{after_ms, start};

    fn run(machine: &mut InviteServer) -> Vec<(u128, Due)> {
        let mut log = Vec::new();
        while let Some(due) = machine.poll_timeout() {
            log.push(((due - start()).as_millis(), machine.handle_timeout(due)));
        }
        log
    }

    #[test]
    fn says_trying_after_200_ms_of_silence() {
        let mut machine = InviteServer::new(false, start());
        assert_eq!(run(&mut machine), [(200, Due::Trying)]);

        let mut machine = InviteServer::new(false, start());
        assert!(machine.respond(StatusCode::RINGING, after_ms(100)));
        assert_eq!(run(&mut machine), []);
    }

    #[test]
    fn timer_g_doubles_up_to_t2_and_timer_h_gives_up() {
        let mut machine = InviteServer::new(false, start());
        assert!(machine.respond(StatusCode::BUSY_HERE, start()));
        let log = run(&mut machine);
        let resent: Vec<u128> = log.iter().filter(|(_, due)| *due == Due::Resend).map(|(at, _)| *at).collect();
        assert_eq!(resent, [500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500]);
        assert_eq!(log.last(), Some(&(32_000, Due::GaveUp)));
    }

    #[test]
    fn timer_g_is_not_set_over_a_reliable_transport() {
        let mut machine = InviteServer::new(true, start());
        machine.respond(StatusCode::BUSY_HERE, start());
        assert_eq!(run(&mut machine), [(32_000, Due::GaveUp)]);
    }

    #[test]
    fn timer_i_absorbs_repeats_of_the_ack() {
        let mut machine = InviteServer::new(false, start());
        machine.respond(StatusCode::BUSY_HERE, start());
        assert!(machine.handle_retransmission());
        machine.handle_ack(after_ms(300));
        machine.handle_ack(after_ms(400));
        assert!(!machine.handle_retransmission());
        assert_eq!(run(&mut machine), [(5_300, Due::Over)]);
    }

    #[test]
    fn timer_i_is_zero_over_a_reliable_transport() {
        let mut machine = InviteServer::new(true, start());
        machine.respond(StatusCode::BUSY_HERE, start());
        machine.handle_ack(after_ms(1));
        assert!(machine.is_terminated());
    }

    #[test]
    fn timer_l_absorbs_repeats_of_an_accepted_invite() {
        let mut machine = InviteServer::new(false, start());
        assert!(machine.respond(StatusCode::OK, start()));
        assert!(!machine.handle_retransmission());
        assert!(!machine.respond(StatusCode::BUSY_HERE, start()));
        assert_eq!(run(&mut machine), [(32_000, Due::Over)]);
    }
}
