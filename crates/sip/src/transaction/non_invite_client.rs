use std::time::Instant;

use super::OnResponse;
use crate::message::StatusCode;
use crate::timer::{Backoff, Due, T2, TIMER_E, TIMER_F, TIMER_K};

/// Non-INVITE client transaction: RFC 3261 §17.1.2.
///
/// ```text
///            1xx               200-699
///  Trying ───────► Proceeding ─────────► Completed ── timer K ──► Terminated
///   │  └─────── 200-699 ──────────────────▲                        ▲
///   └─────────── timer F (both) ────────────────────────────────────┘
/// ```
#[derive(Debug)]
pub(crate) struct NonInviteClient {
    reliable: bool,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Timer E doubles up to T2. Not set over a reliable transport.
    Trying {
        timer_e: Option<Backoff>,
        timer_f: Instant,
    },
    /// A provisional response has come: timer E fires every T2.
    Proceeding {
        timer_e: Option<Backoff>,
        timer_f: Instant,
    },
    /// The final response has come.
    Completed {
        timer_k: Instant,
    },
    Terminated,
}

impl NonInviteClient {
    pub(crate) fn new(reliable: bool, now: Instant) -> Self {
        let timer_e = (!reliable).then(|| Backoff::new(TIMER_E, T2, now));
        Self { reliable, state: State::Trying { timer_e, timer_f: now + TIMER_F } }
    }

    pub(crate) fn handle_response(&mut self, status: StatusCode, now: Instant) -> OnResponse {
        match &mut self.state {
            State::Trying { .. } | State::Proceeding { .. } if status.is_final() => {
                self.state =
                    if self.reliable { State::Terminated } else { State::Completed { timer_k: now + TIMER_K } };
                OnResponse::Deliver
            }
            State::Trying { timer_e, timer_f } => {
                let mut timer_e = *timer_e;
                if let Some(timer_e) = &mut timer_e {
                    timer_e.slow_down(now);
                }
                self.state = State::Proceeding { timer_e, timer_f: *timer_f };
                OnResponse::Deliver
            }
            State::Proceeding { .. } => OnResponse::Deliver,
            State::Completed { .. } | State::Terminated => OnResponse::Ignore,
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::Trying { timer_e, timer_f } | State::Proceeding { timer_e, timer_f } => {
                Some(timer_e.as_ref().map_or(*timer_f, |timer_e| timer_e.due().min(*timer_f)))
            }
            State::Completed { timer_k } => Some(*timer_k),
            State::Terminated => None,
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Due {
        if self.poll_timeout().is_none_or(|due| now < due) {
            return Due::Nothing;
        }
        match &mut self.state {
            State::Trying { timer_e: Some(timer_e), timer_f }
            | State::Proceeding { timer_e: Some(timer_e), timer_f }
                if now < *timer_f =>
            {
                timer_e.back_off(now);
                Due::Resend
            }
            State::Trying { .. } | State::Proceeding { .. } => {
                self.state = State::Terminated;
                Due::GaveUp
            }
            State::Completed { .. } => {
                self.state = State::Terminated;
                Due::Over
            }
            State::Terminated => Due::Nothing,
        }
    }

    /// Whether the final response is still awaited.
    pub(crate) fn is_waiting(&self) -> bool {
        matches!(self.state, State::Trying { .. } | State::Proceeding { .. })
    }

    pub(crate) fn is_terminated(&self) -> bool {
        matches!(self.state, State::Terminated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_clock::{after_ms, start};

    fn run(machine: &mut NonInviteClient) -> Vec<(u128, Due)> {
        let mut log = Vec::new();
        while let Some(due) = machine.poll_timeout() {
            log.push(((due - start()).as_millis(), machine.handle_timeout(due)));
        }
        log
    }

    #[test]
    fn timer_e_doubles_up_to_t2_and_timer_f_gives_up() {
        let mut machine = NonInviteClient::new(false, start());
        let log = run(&mut machine);
        let resent: Vec<u128> = log.iter().filter(|(_, due)| *due == Due::Resend).map(|(at, _)| *at).collect();
        assert_eq!(resent, [500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500]);
        assert_eq!(log.last(), Some(&(32_000, Due::GaveUp)));
    }

    #[test]
    fn timer_e_is_not_set_over_a_reliable_transport() {
        let mut machine = NonInviteClient::new(true, start());
        assert_eq!(run(&mut machine), [(32_000, Due::GaveUp)]);
    }

    #[test]
    fn timer_e_fires_every_t2_once_a_provisional_response_came() {
        let mut machine = NonInviteClient::new(false, start());
        assert_eq!(machine.handle_response(StatusCode::TRYING, after_ms(100)), OnResponse::Deliver);
        let resent: Vec<u128> =
            run(&mut machine).iter().filter(|(_, due)| *due == Due::Resend).map(|(at, _)| *at).collect();
        assert_eq!(resent, [4_100, 8_100, 12_100, 16_100, 20_100, 24_100, 28_100]);
    }

    #[test]
    fn timer_k_absorbs_repeats_of_the_final_response() {
        let mut machine = NonInviteClient::new(false, start());
        assert_eq!(machine.handle_response(StatusCode::OK, start()), OnResponse::Deliver);
        assert_eq!(machine.handle_response(StatusCode::OK, after_ms(100)), OnResponse::Ignore);
        assert_eq!(run(&mut machine), [(5_000, Due::Over)]);
    }

    #[test]
    fn timer_k_is_zero_over_a_reliable_transport() {
        let mut machine = NonInviteClient::new(true, start());
        assert_eq!(machine.handle_response(StatusCode::OK, start()), OnResponse::Deliver);
        assert!(machine.is_terminated());
    }
}
