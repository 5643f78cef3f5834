use crate::text_enum::text_enum;
use crate::{AccountId, Timestamp, TrunkId};

text_enum! {
    /// What probes of a trunk, and the calls over it, say.
    pub enum HealthStatus, error ParseHealthStatusError("health status") {
        /// Never probed.
        Unknown = "unknown",
        /// Answers.
        Healthy = "healthy",
        /// Answers, but badly: slowly, not always, or with audio that loses packets.
        Degraded = "degraded",
        /// Does not answer, or says 503.
        Unhealthy = "unhealthy",
        /// Could not be probed: its name does not resolve, or no transport leads there.
        Error = "error",
    }
}

impl HealthStatus {
    /// Whether routing considers a trunk of this health. What is not known is tried.
    #[must_use]
    pub const fn is_routable(self) -> bool {
        match self {
            Self::Unknown | Self::Healthy | Self::Degraded => true,
            Self::Unhealthy | Self::Error => false,
        }
    }
}

text_enum! {
    /// Why a trunk is of the health that it is of. What each means to an operator stands in `docs/health.md`.
    pub enum HealthReason, error ParseHealthReasonError("reason of a health") {
        /// Never probed.
        NotProbed = "not_probed",
        /// It answers, soon enough and often enough.
        Answers = "answers",
        /// Its answers take long.
        SlowAnswers = "slow_answers",
        /// Too many probes had no answer.
        ProbesLost = "probes_lost",
        /// Too many packets of the audio of its calls were lost.
        AudioLost = "audio_lost",
        /// Probes have no answer.
        NoAnswer = "no_answer",
        /// The network refuses probes.
        TransportError = "transport_error",
        /// It answers 503.
        ServiceUnavailable = "service_unavailable",
        /// Its name does not resolve.
        Unresolvable = "unresolvable",
        /// It cannot be reached as it is configured.
        Unroutable = "unroutable",
    }
}

text_enum! {
    /// What the circuit breaker of a trunk does with calls.
    pub enum BreakerState, error ParseBreakerStateError("state of a circuit breaker") {
        /// They go.
        Closed = "closed",
        /// They are kept away.
        Open = "open",
        /// One goes, to see how it fares.
        HalfOpen = "half_open",
    }
}

/// What is kept of the health of a trunk; `None` is "not measured".
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrunkHealth {
    /// The verdict.
    pub status: HealthStatus,
    /// When it was last probed.
    pub checked_at: Option<Timestamp>,
    /// Round trip of answered probes in microseconds: of one, or smoothed over many.
    pub latency_us: Option<u64>,
    /// What is lost, in percent times 100 (0 to 10,000): audio of calls where there were any, else probes.
    pub loss_basis_points: Option<u16>,
}

impl TrunkHealth {
    /// Never probed.
    pub const UNKNOWN: Self =
        Self { status: HealthStatus::Unknown, checked_at: None, latency_us: None, loss_basis_points: None };
}

/// The health of a trunk as the call path knows it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MeasuredHealth {
    /// The verdict with its numbers; the latency is smoothed.
    pub health: TrunkHealth,
    /// Why it is that.
    pub reason: HealthReason,
    /// Since when its status is what it is.
    pub since: Timestamp,
    /// What 95 of 100 round trips are not above, in microseconds, of the last probes.
    pub latency_p95_us: Option<u64>,
    /// Unanswered probes among the last ones, in percent times 100.
    pub probe_loss_basis_points: Option<u16>,
    /// Packets lost on their way to us in calls that ended within minutes, in percent times 100.
    pub audio_loss_basis_points: Option<u16>,
    /// What the breaker does with calls.
    pub breaker: BreakerState,
    /// Until when it keeps them away, while it is open.
    pub breaker_until: Option<Timestamp>,
}

/// A span of time in which a trunk was of one status. A trunk of one status for long has a span for each hour of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HealthSpan {
    /// When it began.
    pub began_at: Timestamp,
    /// Until when it is known to have lasted.
    pub until: Timestamp,
    /// The status.
    pub status: HealthStatus,
    /// Why it was that, in the end.
    pub reason: HealthReason,
    /// The smoothed round trip in the end, in microseconds.
    pub latency_us: Option<u64>,
    /// What was lost in the end, in percent times 100.
    pub loss_basis_points: Option<u16>,
}

/// What is to be kept of the health of a trunk.
#[derive(Clone, Debug, PartialEq)]
pub struct HealthReport {
    /// Which trunk.
    pub trunk_id: TrunkId,
    /// Whose.
    pub account_id: AccountId,
    /// How it is now.
    pub health: TrunkHealth,
    /// The span that has ended, if one has, and the one that goes on. A span of the same trunk and beginning takes the place of what
    /// was kept of it.
    pub spans: Vec<HealthSpan>,
}
