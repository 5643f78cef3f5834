use crate::traffic::prefix::DestinationPrefix;
use crate::traffic::sums::Sums;
use tandem_model::{
    AccountId, CallDirection, CallRecord, CallStatus, CarriedBy, HangupCause, LONGEST_CALL, LegRecord, LegStatus,
    Money, Timestamp, TrunkId,
};

/// What one row of the call log adds to the statistics: a pure function of the row, so that a row's share can be taken away again when
/// the row changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) cell: Cell,
    pub(crate) sums: Sums,
}

/// What is told apart most finely.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Cell {
    pub(crate) account: AccountId,
    /// The whole minute in which it began, in microseconds since 1970.
    pub(crate) minute: i64,
    pub(crate) trunk: Option<TrunkId>,
    pub(crate) direction: CallDirection,
    pub(crate) prefix: Option<DestinationPrefix>,
    /// Why it ended; `None` while it has not.
    pub(crate) cause: Option<HangupCause>,
}

/// The part of a call that statistics read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallFacts<'a> {
    pub(crate) account: AccountId,
    pub(crate) trunk: Option<TrunkId>,
    pub(crate) direction: CallDirection,
    pub(crate) carried_by: CarriedBy,
    pub(crate) to_number: &'a str,
    pub(crate) started_at: i64,
    pub(crate) is_answered: bool,
    pub(crate) is_over: bool,
    pub(crate) duration_ms: Option<i64>,
    pub(crate) status: CallStatus,
    pub(crate) hangup_cause: Option<&'a str>,
    pub(crate) quality_score: Option<f64>,
    pub(crate) cost_micros: Option<i64>,
}

/// The part of a leg that statistics read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LegFacts<'a> {
    pub(crate) account: AccountId,
    pub(crate) trunk: Option<TrunkId>,
    pub(crate) direction: CallDirection,
    pub(crate) request_uri: &'a str,
    pub(crate) started_at: i64,
    pub(crate) ringing_at: Option<i64>,
    pub(crate) answered_at: Option<i64>,
    pub(crate) is_over: bool,
    pub(crate) duration_ms: Option<i64>,
    pub(crate) status: LegStatus,
    pub(crate) cause: Option<HangupCause>,
    pub(crate) billed_seconds: Option<i64>,
    pub(crate) cost_micros: Option<i64>,
    /// Listening quality as a mean opinion score, in thousandths. A column of its own, since rows of earlier builds have counted none.
    pub(crate) mos_millis: Option<i64>,
}

impl<'a> From<&'a CallRecord> for CallFacts<'a> {
    fn from(call: &'a CallRecord) -> Self {
        Self {
            account: call.account_id,
            trunk: call.trunk_id,
            direction: call.direction,
            carried_by: call.carried_by,
            to_number: &call.to_number,
            started_at: call.started_at.unix_micros(),
            is_answered: call.answered_at.is_some(),
            is_over: call.ended_at.is_some(),
            duration_ms: call.duration_ms.map(crate::row::stored),
            status: call.status,
            hangup_cause: call.hangup_cause.as_deref(),
            quality_score: call.quality_score,
            cost_micros: call.cost.map(Money::micros),
        }
    }
}

impl<'a> From<&'a LegRecord> for LegFacts<'a> {
    fn from(leg: &'a LegRecord) -> Self {
        Self {
            account: leg.account_id,
            trunk: leg.trunk_id,
            direction: leg.direction,
            request_uri: &leg.request_uri,
            started_at: leg.started_at.unix_micros(),
            ringing_at: leg.ringing_at.map(Timestamp::unix_micros),
            answered_at: leg.answered_at.map(Timestamp::unix_micros),
            is_over: leg.ended_at.is_some(),
            duration_ms: leg.duration_ms.map(crate::row::stored),
            status: leg.status,
            cause: leg.cause,
            billed_seconds: leg.billed_seconds.map(crate::row::stored),
            cost_micros: leg.cost.map(Money::micros),
            mos_millis: mos_millis(leg),
        }
    }
}

impl CallFacts<'_> {
    /// A call that something else carries is its own and only attempt.
    pub(crate) fn share(self) -> Share {
        let is_answered = self.is_answered || self.status.says_answered();
        let is_failed = self.is_over && !is_answered;
        let duration = self.duration_ms.filter(|_| self.is_over && is_answered).map(bounded_ms);
        let cost = self.cost_micros.map_or(0, bounded_cost);
        let score = self.quality_score.filter(|score| score.is_finite()).map(score_millis);
        let cause = self.is_over.then(|| cause_of(self.hangup_cause, self.status));
        let mut sums = Sums {
            calls: 1,
            calls_answered: i64::from(is_answered),
            calls_failed: i64::from(is_failed),
            calls_timed: i64::from(duration.is_some()),
            calls_ms: duration.unwrap_or(0),
            calls_cost_micros: cost,
            scores: i64::from(score.is_some()),
            scores_millis: score.unwrap_or(0),
            ..Sums::default()
        };
        if self.carried_by == CarriedBy::External {
            // Whether it rang before it was given up nobody told us.
            let is_effective = is_answered || cause.is_some_and(|cause| reached_the_callee(cause, false));
            sums = Sums {
                attempts: 1,
                attempts_answered: sums.calls_answered,
                attempts_failed: sums.calls_failed,
                attempts_effective: i64::from(is_effective),
                attempts_timed: sums.calls_timed,
                attempts_ms: sums.calls_ms,
                attempts_cost_micros: cost,
                ..sums
            };
        }
        let cell = Cell {
            account: self.account,
            minute: minute_of(self.started_at),
            trunk: self.trunk,
            direction: self.direction,
            prefix: DestinationPrefix::of_number(self.to_number),
            cause,
        };
        Share { cell, sums }
    }
}

impl LegFacts<'_> {
    pub(crate) fn share(self) -> Share {
        let is_answered = self.answered_at.is_some();
        let is_failed = self.is_over && !is_answered;
        let duration = self.duration_ms.filter(|_| self.is_over && is_answered).map(bounded_ms);
        let cause = self.is_over.then(|| {
            self.cause.unwrap_or(match self.status {
                LegStatus::Completed => HangupCause::NormalClearing,
                LegStatus::Canceled => HangupCause::Canceled,
                LegStatus::Trying | LegStatus::Ringing | LegStatus::Answered | LegStatus::Failed => {
                    HangupCause::NormalUnspecified
                }
            })
        });
        let rang = self.ringing_at.is_some();
        let is_effective = is_answered || cause.is_some_and(|cause| reached_the_callee(cause, rang));
        // RFC 6076 §4.3.1: from the INVITE to the first answer of the far end, which is ringing, or the 200 itself.
        let rung = self.ringing_at.or(self.answered_at).filter(|_| self.direction == CallDirection::Outbound);
        let rung_us = rung.map(|at| at.saturating_sub(self.started_at).clamp(0, LONGEST_RINGING_US));
        let sums = Sums {
            attempts: 1,
            attempts_answered: i64::from(is_answered),
            attempts_failed: i64::from(is_failed),
            attempts_effective: i64::from(is_effective),
            attempts_timed: i64::from(duration.is_some()),
            attempts_ms: duration.unwrap_or(0),
            attempts_cost_micros: self.cost_micros.map_or(0, bounded_cost),
            billed_seconds: self.billed_seconds.map_or(0, |seconds| seconds.clamp(0, LONGEST_CALL_MS / 1_000)),
            rung: i64::from(rung_us.is_some()),
            rung_us: rung_us.unwrap_or(0),
            heard: i64::from(self.mos_millis.is_some()),
            heard_mos_millis: self.mos_millis.unwrap_or(0),
            ..Sums::default()
        };
        let cell = Cell {
            account: self.account,
            minute: minute_of(self.started_at),
            trunk: self.trunk,
            direction: self.direction,
            prefix: DestinationPrefix::of_uri(self.request_uri),
            cause,
        };
        Share { cell, sums }
    }
}

/// The whole minute of a time, in microseconds.
pub(crate) const fn minute_of(micros: i64) -> i64 {
    micros.saturating_sub(micros.rem_euclid(MINUTE_US))
}

/// What a client wrote may be any text. One that is no cause of ours is told by the status, so that causes are a short list.
fn cause_of(written: Option<&str>, status: CallStatus) -> HangupCause {
    written.and_then(|text| text.parse().ok()).unwrap_or(match status {
        CallStatus::Completed | CallStatus::Answered => HangupCause::NormalClearing,
        CallStatus::Busy => HangupCause::UserBusy,
        CallStatus::NoAnswer => HangupCause::NoAnswer,
        CallStatus::Canceled => HangupCause::Canceled,
        CallStatus::Initiated | CallStatus::Ringing | CallStatus::Failed => HangupCause::NormalUnspecified,
    })
}

/// Whether the network did its part though nobody answered (ITU-T E.425, network effectiveness ratio): the callee was busy, it rang
/// without answer, or the callee's side rejected the call. Who hangs up before it rings proves nothing.
const fn reached_the_callee(cause: HangupCause, rang: bool) -> bool {
    match cause {
        HangupCause::UserBusy | HangupCause::NoUserResponding | HangupCause::NoAnswer | HangupCause::CallRejected => {
            true
        }
        HangupCause::Canceled => rang,
        HangupCause::UnallocatedNumber
        | HangupCause::NoRouteToDestination
        | HangupCause::NormalClearing
        | HangupCause::NumberChanged
        | HangupCause::ExchangeRoutingError
        | HangupCause::InvalidNumberFormat
        | HangupCause::NormalUnspecified
        | HangupCause::NoCircuitAvailable
        | HangupCause::NetworkOutOfOrder
        | HangupCause::TemporaryFailure
        | HangupCause::ServiceOrOptionUnavailable
        | HangupCause::ServiceOrOptionNotImplemented
        | HangupCause::IncompatibleDestination
        | HangupCause::RecoveryOnTimerExpiry
        | HangupCause::Interworking
        | HangupCause::AuthenticationFailed
        | HangupCause::MaxDuration
        | HangupCause::CreditExhausted
        | HangupCause::MediaTimeout
        | HangupCause::NodeShutdown
        | HangupCause::NodeRestarted
        | HangupCause::Stale
        | HangupCause::ProtocolError => false,
    }
}

fn bounded_ms(duration_ms: i64) -> i64 {
    duration_ms.clamp(0, LONGEST_CALL_MS)
}

fn bounded_cost(micros: i64) -> i64 {
    Money::from_micros(micros).as_call_cost().micros()
}

/// The listening quality of a leg, as its row holds it.
pub(crate) fn mos_millis(leg: &LegRecord) -> Option<i64> {
    leg.listening_quality().map(score_millis)
}

/// A score as whole thousandths, so that sums are exact whatever is added and taken away.
#[expect(clippy::cast_possible_truncation, reason = "at most 5,000")]
fn score_millis(score: f64) -> i64 {
    (score.clamp(0.0, 5.0) * 1_000.0).round() as i64
}

/// A minute in microseconds.
pub(crate) const MINUTE_US: i64 = 60_000_000;
/// Of what a client of an earlier build has written, too: one duration that overflows a sum would fail the batch of everybody else.
const LONGEST_CALL_MS: i64 = LONGEST_CALL.as_secs().cast_signed() * 1_000;
/// An hour; no ringing time-out is as long.
const LONGEST_RINGING_US: i64 = 3_600_000_000;
