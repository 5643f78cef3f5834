use std::time::{Duration, Instant};

use crate::message::StatusCode;
use crate::timer::{Backoff, Due, TIMER_A, TIMER_B, TIMER_D, TIMER_M};

/// INVITE client transaction: RFC 3261 §17.1.1, with the Accepted state of RFC 6026 §7.2.
///
/// ```text
///            1xx                 300-699 (ACK)
///  Calling ───────► Proceeding ────────────────► Completed ── timer D ──► Terminated
///   │  │ └──────────────│──── 300-699 (ACK) ──────────▲                     ▲  ▲
///   │  └───── 2xx ──────┴── 2xx ──► Accepted ─────────────────── timer M ───┘  │
///   └─────────────── timer B ──────────────────────────────────────────────────┘
/// ```
#[derive(Debug)]
pub(crate) struct InviteClient {
    reliable: bool,
    /// How long a final response may take once a provisional one has come; for ever, while a phone rings.
    patience: Option<Duration>,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Nothing has come yet. Without timer A over a reliable transport, and once the call has been canceled.
    Calling {
        timer_a: Option<Backoff>,
        timer_b: Instant,
    },
    /// A provisional response has come. No timer, unless there is a limit to our patience.
    Proceeding {
        give_up: Option<Instant>,
    },
    /// A failure has come and was acknowledged.
    Completed {
        timer_d: Instant,
    },
    /// A 2xx has come. It and others are for the user.
    Accepted {
        timer_m: Instant,
    },
    Terminated,
}

/// What to do with a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnResponse {
    /// A repeat, or out of place.
    Ignore,
    /// The user must have it.
    Deliver,
    /// The user must have it, and it must be acknowledged by the transaction.
    DeliverAndAck,
    /// A repeat of what was acknowledged: acknowledge it again.
    Ack,
}

impl InviteClient {
    pub(crate) fn new(reliable: bool, now: Instant) -> Self {
        let timer_a = (!reliable).then(|| Backoff::new(TIMER_A, NO_CAP, now));
        Self { reliable, patience: None, state: State::Calling { timer_a, timer_b: now + TIMER_B } }
    }

    /// One whose INVITE was sent, and answered with a provisional response, before.
    pub(crate) fn proceeding(reliable: bool) -> Self {
        Self { reliable, patience: None, state: State::Proceeding { give_up: None } }
    }

    /// Begins again as a datagram, for nothing has come of it over a stream.
    pub(crate) fn restart_unreliable(&mut self, now: Instant) {
        *self = Self { patience: self.patience, ..Self::new(false, now) };
    }

    pub(crate) fn handle_response(&mut self, status: StatusCode, now: Instant) -> OnResponse {
        match self.state {
            State::Calling { .. } | State::Proceeding { .. } if status.is_success() => {
                self.state = State::Accepted { timer_m: now + TIMER_M };
                OnResponse::Deliver
            }
            State::Calling { .. } | State::Proceeding { .. } if status.is_final() => {
                // Timer D is zero over a reliable transport: there are no repeats to absorb.
                self.state =
                    if self.reliable { State::Terminated } else { State::Completed { timer_d: now + TIMER_D } };
                OnResponse::DeliverAndAck
            }
            State::Calling { .. } => {
                self.state = State::Proceeding { give_up: self.patience.map(|patience| now + patience) };
                OnResponse::Deliver
            }
            State::Proceeding { .. } => OnResponse::Deliver,
            State::Completed { .. } if status.as_u16() >= 300 => OnResponse::Ack,
            State::Accepted { .. } if status.is_success() => OnResponse::Deliver,
            State::Completed { .. } | State::Accepted { .. } | State::Terminated => OnResponse::Ignore,
        }
    }

    /// Whether a CANCEL may be sent: a provisional response has come and no final one (RFC 3261 §9.1).
    pub(crate) fn is_proceeding(&self) -> bool {
        matches!(self.state, State::Proceeding { .. })
    }

    /// Whether no response has come at all.
    pub(crate) fn is_calling(&self) -> bool {
        matches!(self.state, State::Calling { .. })
    }

    /// The call has been canceled before any response: a CANCEL may not be sent yet, and more copies of the INVITE
    /// would only start what is to be stopped.
    pub(crate) fn stop_resending(&mut self) {
        if let State::Calling { timer_a, .. } = &mut self.state {
            *timer_a = None;
        }
    }

    /// From now on, or from the first provisional response on, the final one must come in this time: the CANCEL is
    /// out, or there is nobody left who waits for it.
    pub(crate) fn limit_patience(&mut self, patience: Duration, now: Instant) {
        self.patience = Some(patience);
        if let State::Proceeding { give_up } = &mut self.state {
            let limit = now + patience;
            *give_up = Some(give_up.map_or(limit, |give_up| give_up.min(limit)));
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::Calling { timer_a, timer_b } => {
                Some(timer_a.as_ref().map_or(*timer_b, |timer_a| timer_a.due().min(*timer_b)))
            }
            State::Proceeding { give_up } => *give_up,
            State::Completed { timer_d: due } | State::Accepted { timer_m: due } => Some(*due),
            State::Terminated => None,
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Due {
        if self.poll_timeout().is_none_or(|due| now < due) {
            return Due::Nothing;
        }
        match &mut self.state {
            State::Calling { timer_b, timer_a: Some(timer_a) } if now < *timer_b => {
                timer_a.back_off(now);
                Due::Resend
            }
            State::Calling { .. } | State::Proceeding { .. } => {
                self.state = State::Terminated;
                Due::GaveUp
            }
            State::Completed { .. } | State::Accepted { .. } => {
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

/// Timer A doubles until timer B fires.
const NO_CAP: Duration = TIMER_B;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_clock::{after_ms, start};

    const RINGING: StatusCode = StatusCode::RINGING;
    const OK: StatusCode = StatusCode::OK;
    const BUSY: StatusCode = StatusCode::BUSY_HERE;

    /// When what became due, in milliseconds from the start.
    fn run(machine: &mut InviteClient) -> Vec<(u128, Due)> {
        let mut log = Vec::new();
        while let Some(due) = machine.poll_timeout() {
            log.push(((due - start()).as_millis(), machine.handle_timeout(due)));
        }
        log
    }

    #[test]
    fn timer_a_doubles_and_timer_b_gives_up() {
        let mut machine = InviteClient::new(false, start());
        let expected = [500, 1_500, 3_500, 7_500, 15_500, 31_500].map(|at| (at, Due::Resend));
        let log = run(&mut machine);
        assert_eq!(log.get(..6), Some(expected.as_slice()));
        assert_eq!(log.get(6..), Some([(32_000, Due::GaveUp)].as_slice()));
        assert!(machine.is_terminated());
    }

    #[test]
    fn timer_a_is_not_set_over_a_reliable_transport() {
        let mut machine = InviteClient::new(true, start());
        assert_eq!(run(&mut machine), [(32_000, Due::GaveUp)]);
    }

    #[test]
    fn a_provisional_response_stops_timers_a_and_b() {
        let mut machine = InviteClient::new(false, start());
        assert_eq!(machine.handle_response(RINGING, after_ms(10)), OnResponse::Deliver);
        assert_eq!(machine.poll_timeout(), None);
        assert_eq!(machine.handle_response(RINGING, after_ms(90_000)), OnResponse::Deliver);
    }

    #[test]
    fn timer_d_acknowledges_repeats_of_a_failure() {
        let mut machine = InviteClient::new(false, start());
        assert_eq!(machine.handle_response(BUSY, start()), OnResponse::DeliverAndAck);
        assert_eq!(machine.handle_response(BUSY, after_ms(500)), OnResponse::Ack);
        assert_eq!(machine.handle_response(OK, after_ms(600)), OnResponse::Ignore);
        assert_eq!(run(&mut machine), [(32_000, Due::Over)]);
    }

    #[test]
    fn timer_d_is_zero_over_a_reliable_transport() {
        let mut machine = InviteClient::new(true, start());
        assert_eq!(machine.handle_response(BUSY, start()), OnResponse::DeliverAndAck);
        assert!(machine.is_terminated());
    }

    #[test]
    fn timer_m_lets_every_2xx_through() {
        let mut machine = InviteClient::new(false, start());
        assert_eq!(machine.handle_response(OK, start()), OnResponse::Deliver);
        assert_eq!(machine.handle_response(OK, after_ms(31_999)), OnResponse::Deliver);
        assert_eq!(machine.handle_response(BUSY, after_ms(31_999)), OnResponse::Ignore);
        assert_eq!(machine.handle_response(RINGING, after_ms(31_999)), OnResponse::Ignore);
        assert_eq!(run(&mut machine), [(32_000, Due::Over)]);
        assert_eq!(machine.handle_response(OK, after_ms(32_001)), OnResponse::Ignore);
    }

    #[test]
    fn a_canceled_invite_is_not_resent_but_waits_for_timer_b() {
        let mut machine = InviteClient::new(false, start());
        machine.stop_resending();
        assert_eq!(run(&mut machine), [(32_000, Due::GaveUp)]);
    }

    #[test]
    fn a_limit_that_was_set_before_counts_from_the_provisional_response() {
        let mut machine = InviteClient::new(false, start());
        machine.limit_patience(Duration::from_secs(10), start());
        machine.handle_response(RINGING, after_ms(2_000));
        assert_eq!(machine.poll_timeout(), Some(after_ms(12_000)));
        machine.limit_patience(Duration::from_secs(1), after_ms(3_000));
        assert_eq!(run(&mut machine), [(4_000, Due::GaveUp)]);
    }

    #[test]
    fn after_a_cancel_the_final_response_has_64_t1() {
        let mut machine = InviteClient::new(false, start());
        machine.handle_response(RINGING, start());
        machine.limit_patience(crate::timer::CANCEL_WAIT, after_ms(1_000));
        assert_eq!(run(&mut machine), [(33_000, Due::GaveUp)]);
    }
}
