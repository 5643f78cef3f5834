use super::leg::LegEnding;
use crate::health::CallFailure;
use crate::route::RoutedTrunk;
use std::net::IpAddr;
use std::time::Duration;
use tandem_media::offer_answer::NegotiationError;
use tandem_model::{HangupCause, HungUpBy, Reason, Transport};
use tandem_sip::endpoint::{Failure, Refused};

/// How an attempt went, and what follows from it.
#[derive(Debug, Clone)]
pub(super) struct Outcome {
    pub(super) reason: Reason,
    pub(super) cause: HangupCause,
    /// `Callee` where the peer's final answer ended it.
    pub(super) by: HungUpBy,
    pub(super) sip_status: Option<u16>,
    pub(super) failed: bool,
    /// Whether we gave it up, so that the far end must be told; else it is over already, or never began.
    pub(super) gives_up: bool,
    /// Whether the next trunk is tried.
    pub(super) may_retry: bool,
    /// How long the trunk asked to be left alone.
    pub(super) rest: Option<Duration>,
}

impl Outcome {
    /// A failure on our side of the wire, after which the next trunk is tried.
    pub(super) const fn local(reason: Reason, cause: HangupCause) -> Self {
        Self {
            reason,
            cause,
            by: HungUpBy::Switch,
            sip_status: None,
            failed: true,
            gives_up: false,
            may_retry: true,
            rest: None,
        }
    }

    /// The far end could still have answered, but is not waited for.
    fn given_up(reason: Reason, cause: HangupCause) -> Self {
        Self { gives_up: true, ..Self::local(reason, cause) }
    }

    pub(super) fn answered(status: u16) -> Self {
        Self {
            sip_status: Some(status),
            failed: false,
            may_retry: false,
            ..Self::local(Reason::Answered, HangupCause::NormalClearing)
        }
    }

    pub(super) const fn unresolvable(host: String) -> Self {
        Self::local(Reason::Unresolvable { host }, HangupCause::NetworkOutOfOrder)
    }

    pub(super) const fn peer_not_allowed(address: IpAddr) -> Self {
        Self::local(Reason::PeerNotAllowed { address }, HangupCause::NoRouteToDestination)
    }

    pub(super) const fn transport_error() -> Self {
        Self::local(Reason::TransportError, HangupCause::NetworkOutOfOrder)
    }

    pub(super) const fn no_local_address(transport: Transport, address: IpAddr) -> Self {
        Self::local(Reason::NoLocalAddress { transport, address }, HangupCause::NoRouteToDestination)
    }

    pub(super) const fn node_full() -> Self {
        Self::local(Reason::NodeFull, HangupCause::NoCircuitAvailable)
    }

    pub(super) fn no_response(waited: Duration) -> Self {
        Self::given_up(Reason::NoResponse { after_ms: millis(waited) }, HangupCause::RecoveryOnTimerExpiry)
    }

    pub(super) fn no_progress(waited: Duration) -> Self {
        Self::given_up(Reason::NoProgress { after_ms: millis(waited) }, HangupCause::RecoveryOnTimerExpiry)
    }

    pub(super) fn ring_timeout(waited: Duration) -> Self {
        Self {
            may_retry: false,
            ..Self::given_up(Reason::RingTimeout { after_ms: millis(waited) }, HangupCause::NoAnswer)
        }
    }

    pub(super) fn canceled(cause: HangupCause) -> Self {
        Self { may_retry: false, ..Self::given_up(Reason::Canceled, cause) }
    }

    /// The 200 has no description, nor had a 18x: after an answer nobody else is tried.
    pub(super) fn no_description() -> Self {
        Self { may_retry: false, ..Self::given_up(Reason::UnusableAnswer, HangupCause::ProtocolError) }
    }

    /// The 200 has a description that cannot be used.
    pub(super) fn of_answer(error: &NegotiationError) -> Self {
        let cause = match error {
            NegotiationError::Malformed(_) | NegotiationError::AnswerNotFromOffer | NegotiationError::NoAddress => {
                HangupCause::ProtocolError
            }
            NegotiationError::NoAudio
            | NegotiationError::NoCommonCodec { .. }
            | NegotiationError::EncryptionRequired { .. }
            | NegotiationError::UnsupportedTransport { .. }
            | NegotiationError::NotUnicast { .. }
            | NegotiationError::Refused => HangupCause::IncompatibleDestination,
        };
        Self { may_retry: false, ..Self::given_up(Reason::UnusableAnswer, cause) }
    }

    pub(super) fn of_failure(failure: Failure, trunk: Option<&RoutedTrunk>) -> Self {
        match failure {
            Failure::Status(refused) => Self::of_status(&refused, trunk),
            Failure::Timeout => Self { gives_up: false, ..Self::no_response(TIMER_B) },
            Failure::Transport => Self::transport_error(),
            Failure::AuthenticationRejected { status } => Self::authentication_failed(status.as_u16()),
            Failure::TooManyChallenges => Self::authentication_failed(PROXY_AUTHENTICATION_REQUIRED),
            Failure::BadAnswer => Self { by: HungUpBy::Callee, gives_up: false, ..Self::no_description() },
            Failure::Full => Self::node_full(),
        }
    }

    /// The end of a leg, or of the call, that it means.
    pub(super) const fn ending(&self) -> LegEnding {
        LegEnding { cause: self.cause, by: self.by, sip_status: self.sip_status }
    }

    /// Whether the trunk refused our credentials, or took them as far as to speak of the callee; `None` when it said neither.
    pub(super) const fn credentials_refused(&self) -> Option<bool> {
        match (&self.reason, self.sip_status) {
            (Reason::AuthenticationFailed { .. }, _) => Some(true),
            (_, Some(UNAUTHORIZED | FORBIDDEN | PROXY_AUTHENTICATION_REQUIRED | 500..=599) | None) => None,
            (_, Some(_)) => Some(false),
        }
    }

    /// How the trunk failed, where that is what came of it: the callee has no part in that.
    pub(super) const fn call_failure(&self) -> Option<CallFailure> {
        match (&self.reason, self.sip_status) {
            (Reason::TransportError | Reason::NoResponse { .. } | Reason::NoProgress { .. }, _) => {
                Some(CallFailure::Silence)
            }
            (_, Some(SERVICE_UNAVAILABLE)) => Some(CallFailure::Refused),
            (_, _) => None,
        }
    }

    /// Whether somebody at the far end has decided about the call, if only to refuse it.
    pub(super) fn got_through(&self) -> bool {
        self.sip_status.is_some_and(|status| !ALWAYS_RETRIED.contains(&status))
    }

    fn authentication_failed(status: u16) -> Self {
        Self {
            by: HungUpBy::Callee,
            sip_status: Some(status),
            ..Self::local(Reason::AuthenticationFailed { status }, HangupCause::AuthenticationFailed)
        }
    }

    fn of_status(refused: &Refused, trunk: Option<&RoutedTrunk>) -> Self {
        let status = refused.status.as_u16();
        let configured = || trunk.is_some_and(|trunk| trunk.trunk.outbound.failover_on.contains(&status));
        let may_retry = !NEVER_RETRIED.contains(&status) && (ALWAYS_RETRIED.contains(&status) || configured());
        let reason = if may_retry { Reason::RetryableStatus { status } } else { Reason::FinalStatus { status } };
        Self {
            by: HungUpBy::Callee,
            sip_status: Some(status),
            may_retry,
            rest: refused.retry_after.filter(|_| status == SERVICE_UNAVAILABLE),
            ..Self::local(reason, HangupCause::from_sip_status(status))
        }
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// Codes that say something of the trunk, not of the callee.
const ALWAYS_RETRIED: [u16; 5] = [408, 500, 502, 503, 504];
/// Codes by which the callee has spoken: nobody else is asked, whatever `failover_on` says.
const NEVER_RETRIED: [u16; 3] = [486, 600, 603];
const UNAUTHORIZED: u16 = 401;
const FORBIDDEN: u16 = 403;
const SERVICE_UNAVAILABLE: u16 = 503;
const PROXY_AUTHENTICATION_REQUIRED: u16 = 407;
/// RFC 3261 §17.1.1.2.
const TIMER_B: Duration = Duration::from_secs(32);
