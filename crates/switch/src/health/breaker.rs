use std::time::{Duration, Instant};
use tandem_model::{BreakerState, Now, Timestamp};

/// Keeps calls away from a trunk over which they fail one after the other, and lets one through from time to time to see.
#[derive(Debug)]
pub(crate) struct Breaker {
    state: State,
}

#[derive(Debug)]
enum State {
    Closed {
        /// Calls that failed in a row.
        failures: u32,
    },
    Open {
        until: Instant,
        until_utc: Timestamp,
        by: CallFailure,
        /// How often a trial has failed since it opened.
        failed_trials: u32,
        /// A call is under way that shows whether calls fare better now.
        is_tried: bool,
    },
}

/// How a call failed, where that tells something of its trunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallFailure {
    /// Nobody answered, or the network refused it.
    Silence,
    /// 503.
    Refused,
}

/// What becomes of a call at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BreakerVerdict {
    /// It goes.
    Passes,
    /// It is kept away until then at least.
    Open(Timestamp),
    /// Another call is tried at this moment.
    Tried,
}

/// Names the trial that a call is, so that its end is not taken for that of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trial(u32);

impl Default for Breaker {
    fn default() -> Self {
        Self { state: State::Closed { failures: 0 } }
    }
}

impl Breaker {
    pub(crate) fn verdict(&self, now: Instant) -> BreakerVerdict {
        match self.state {
            State::Closed { .. } => BreakerVerdict::Passes,
            State::Open { until, until_utc, .. } if now < until => BreakerVerdict::Open(until_utc),
            State::Open { is_tried, .. } if is_tried => BreakerVerdict::Tried,
            State::Open { .. } => BreakerVerdict::Passes,
        }
    }

    /// What it is called, and until when it keeps calls away.
    pub(crate) fn shown(&self, now: Instant) -> (BreakerState, Option<Timestamp>) {
        match (&self.state, self.verdict(now)) {
            (State::Closed { .. }, _) => (BreakerState::Closed, None),
            (State::Open { .. }, BreakerVerdict::Open(until)) => (BreakerState::Open, Some(until)),
            (State::Open { .. }, BreakerVerdict::Passes | BreakerVerdict::Tried) => (BreakerState::HalfOpen, None),
        }
    }

    /// A call begins that was let pass. If it is the trial, the next one waits for it.
    pub(crate) fn call_begins(&mut self, now: Instant) -> Option<Trial> {
        match &mut self.state {
            State::Open { until, failed_trials, is_tried, .. } if *until <= now && !*is_tried => {
                *is_tried = true;
                Some(Trial(*failed_trials))
            }
            State::Open { .. } | State::Closed { .. } => None,
        }
    }

    /// The call that was the trial is over, whatever it showed: if nothing, another one is tried.
    pub(crate) const fn trial_over(&mut self, trial: Trial) {
        if let State::Open { failed_trials, is_tried, .. } = &mut self.state
            && *failed_trials == trial.0
        {
            *is_tried = false;
        }
    }

    pub(crate) fn call_failed(&mut self, by: CallFailure, now: Now) {
        let failed_trials = match &mut self.state {
            State::Closed { failures } => {
                *failures = failures.saturating_add(1);
                if *failures < FAILURES_TO_OPEN {
                    return;
                }
                0
            }
            // A call that began before it opened tells nothing new.
            State::Open { is_tried: false, .. } => return,
            State::Open { failed_trials, .. } => failed_trials.saturating_add(1),
        };
        let span = OPEN_FIRST.saturating_mul(1_u32.checked_shl(failed_trials).unwrap_or(u32::MAX)).min(OPEN_LONGEST);
        self.state = State::Open {
            until: now.instant + span,
            until_utc: now.utc.saturating_add(span),
            by,
            failed_trials,
            is_tried: false,
        };
    }

    pub(crate) const fn call_succeeded(&mut self) {
        self.state = State::Closed { failures: 0 };
    }

    /// A probe was answered. Whoever was silent is there again; whoever refused calls has only shown that it answers probes, which
    /// it may have done all the time: a call may try it.
    pub(crate) fn probe_succeeded(&mut self, now: Now) {
        match &mut self.state {
            State::Open { by: CallFailure::Silence, .. } => self.call_succeeded(),
            State::Open { by: CallFailure::Refused, until, until_utc, .. } if *until > now.instant => {
                *until = now.instant;
                *until_utc = now.utc;
            }
            State::Open { by: CallFailure::Refused, .. } | State::Closed { .. } => {}
        }
    }
}

/// Calls in a row that must fail. Two or three may be of one customer who dials what the carrier has no circuits for.
const FAILURES_TO_OPEN: u32 = 5;
/// How long calls are kept away before the first trial.
const OPEN_FIRST: Duration = Duration::from_secs(30);
/// Each failed trial doubles the time, up to this: a carrier that is back must not wait for long.
const OPEN_LONGEST: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::LazyLock;

    fn at(seconds: u64) -> Now {
        static START: LazyLock<Instant> = LazyLock::new(crate::route::tests::instant);
        let span = Duration::from_secs(seconds);
        Now { instant: *START + span, utc: Timestamp::from_unix_micros(0).saturating_add(span) }
    }

    fn opened(by: CallFailure) -> Breaker {
        let mut breaker = Breaker::default();
        for _ in 0..FAILURES_TO_OPEN {
            assert_eq!(breaker.verdict(at(0).instant), BreakerVerdict::Passes);
            breaker.call_failed(by, at(0));
        }
        assert_eq!(breaker.verdict(at(0).instant), BreakerVerdict::Open(at(30).utc));
        breaker
    }

    #[test]
    fn a_success_between_failures_keeps_it_closed() {
        let mut breaker = Breaker::default();
        for _ in 0..10 {
            (1..FAILURES_TO_OPEN).for_each(|_| breaker.call_failed(CallFailure::Silence, at(0)));
            breaker.call_succeeded();
        }
        assert_eq!(breaker.shown(at(0).instant), (BreakerState::Closed, None));
    }

    #[test]
    fn half_open_lets_one_call_through_whose_success_closes_it() {
        let mut breaker = opened(CallFailure::Silence);
        assert_eq!(breaker.call_begins(at(29).instant), None);
        assert_eq!(breaker.shown(at(30).instant), (BreakerState::HalfOpen, None));
        assert_eq!(breaker.verdict(at(30).instant), BreakerVerdict::Passes);
        assert!(breaker.call_begins(at(30).instant).is_some());
        assert_eq!(breaker.verdict(at(31).instant), BreakerVerdict::Tried);
        assert_eq!(breaker.call_begins(at(31).instant), None);
        breaker.call_succeeded();
        assert_eq!(breaker.shown(at(31).instant), (BreakerState::Closed, None));
    }

    #[test]
    fn each_failed_trial_doubles_the_wait_up_to_five_minutes() {
        let mut breaker = opened(CallFailure::Refused);
        let mut now = 30;
        for wait in [60, 120, 240, 300, 300] {
            assert!(breaker.call_begins(at(now).instant).is_some());
            breaker.call_failed(CallFailure::Refused, at(now));
            assert_eq!(breaker.verdict(at(now).instant), BreakerVerdict::Open(at(now + wait).utc));
            now += wait;
        }
    }

    #[test]
    fn a_trial_that_shows_nothing_makes_room_for_another() {
        let mut breaker = opened(CallFailure::Silence);
        let first = breaker.call_begins(at(30).instant).unwrap();
        breaker.trial_over(first);
        let second = breaker.call_begins(at(31).instant).unwrap();
        breaker.call_failed(CallFailure::Silence, at(31));
        // The end of a trial that has failed says nothing of the next one.
        let third = breaker.call_begins(at(91).instant).unwrap();
        breaker.trial_over(second);
        assert_eq!(breaker.verdict(at(91).instant), BreakerVerdict::Tried);
        breaker.trial_over(third);
        assert_eq!(breaker.verdict(at(91).instant), BreakerVerdict::Passes);
    }

    #[test]
    fn an_answered_probe_closes_it_after_silence_and_half_opens_it_after_503() {
        let mut silent = opened(CallFailure::Silence);
        silent.probe_succeeded(at(1));
        assert_eq!(silent.shown(at(1).instant), (BreakerState::Closed, None));
        let mut refusing = opened(CallFailure::Refused);
        refusing.probe_succeeded(at(1));
        assert_eq!(refusing.shown(at(1).instant), (BreakerState::HalfOpen, None));
        assert!(refusing.call_begins(at(1).instant).is_some());
        refusing.call_failed(CallFailure::Refused, at(1));
        assert_eq!(refusing.verdict(at(1).instant), BreakerVerdict::Open(at(61).utc));
    }
}
