use std::time::Instant;

use crate::timer::{Due, TIMER_J};

/// Non-INVITE server transaction: RFC 3261 §17.2.2, with RFC 4320: no provisional responses, and no final one
/// after the client has given up (§4.2: neither a 408 nor anything late helps it).
///
/// ```text
///          200-699
///  Trying ─────────► Completed ── timer J ──► Terminated
///     └── 64 × T1 without an answer ────────────▲
/// ```
#[derive(Debug)]
pub(crate) struct NonInviteServer {
    reliable: bool,
    state: State,
}

#[derive(Debug)]
enum State {
    /// The user is to answer. After `give_up` the client's timer F has fired.
    Trying {
        give_up: Instant,
    },
    /// The final response was sent. Timer J absorbs repeats of the request, each of which gets it again.
    Completed {
        timer_j: Instant,
    },
    Terminated,
}

impl NonInviteServer {
    pub(crate) fn new(reliable: bool, now: Instant) -> Self {
        Self { reliable, state: State::Trying { give_up: now + TIMER_J } }
    }

    /// The final response is sent. False when there has been one, or it is too late.
    pub(crate) fn respond(&mut self, now: Instant) -> bool {
        let State::Trying { .. } = self.state else { return false };
        self.state = if self.reliable { State::Terminated } else { State::Completed { timer_j: now + TIMER_J } };
        true
    }

    /// The request came again. Whether the final response is to be sent again.
    pub(crate) fn handle_retransmission(&self) -> bool {
        matches!(self.state, State::Completed { .. })
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Trying { give_up: due } | State::Completed { timer_j: due } => Some(due),
            State::Terminated => None,
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Due {
        if self.poll_timeout().is_none_or(|due| now < due) {
            return Due::Nothing;
        }
        self.state = State::Terminated;
        Due::Over
    }

    pub(crate) fn is_terminated(&self) -> bool {
        matches!(self.state, State::Terminated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_clock::{after_ms, start};

    #[test]
    fn timer_j_answers_repeats_with_the_same_response() {
        let mut machine = NonInviteServer::new(false, start());
        assert!(!machine.handle_retransmission());
        assert!(machine.respond(start()));
        assert!(machine.handle_retransmission());
        assert_eq!(machine.handle_timeout(after_ms(31_999)), Due::Nothing);
        assert_eq!(machine.handle_timeout(after_ms(32_000)), Due::Over);
        assert!(machine.is_terminated());
    }

    #[test]
    fn timer_j_is_zero_over_a_reliable_transport() {
        let mut machine = NonInviteServer::new(true, start());
        assert!(machine.respond(start()));
        assert!(machine.is_terminated());
    }

    #[test]
    fn an_answer_after_the_client_gave_up_is_not_sent() {
        let mut machine = NonInviteServer::new(false, start());
        assert_eq!(machine.handle_timeout(after_ms(32_000)), Due::Over);
        assert!(!machine.respond(after_ms(32_001)));
    }
}
