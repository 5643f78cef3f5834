use crate::text_enum::text_enum;

text_enum! {
    /// Why a call or a leg ended: the names of Q.850 causes, and ours for what Q.850 does not know.
    ///
    /// The list, with what each means to an operator, stands in `docs/causes.md`.
    pub enum HangupCause, error ParseHangupCauseError("hangup cause") {
        /// Q.850 1, SIP 404, 485 and 604: no such number.
        UnallocatedNumber = "unallocated_number",
        /// Q.850 3: no trunk leads there.
        NoRouteToDestination = "no_route_to_destination",
        /// Q.850 16: somebody hung up.
        NormalClearing = "normal_clearing",
        /// Q.850 17, SIP 486 and 600.
        UserBusy = "user_busy",
        /// Q.850 18, SIP 480: the far end does not respond.
        NoUserResponding = "no_user_responding",
        /// Q.850 19: it rang until the ring time-out.
        NoAnswer = "no_answer",
        /// Q.850 21, SIP 401, 402, 403, 407 and 603.
        CallRejected = "call_rejected",
        /// Q.850 22, SIP 410.
        NumberChanged = "number_changed",
        /// Q.850 25, SIP 482 and 483.
        ExchangeRoutingError = "exchange_routing_error",
        /// Q.850 28, SIP 484.
        InvalidNumberFormat = "invalid_number_format",
        /// Q.850 31: any other final answer.
        NormalUnspecified = "normal_unspecified",
        /// Q.850 34: no trunk had a free slot.
        NoCircuitAvailable = "no_circuit_available",
        /// Q.850 38, SIP 502; also a transport that failed, or a name that does not resolve.
        NetworkOutOfOrder = "network_out_of_order",
        /// Q.850 41, SIP 400, 481, 500 and 503.
        TemporaryFailure = "temporary_failure",
        /// Q.850 63, SIP 405.
        ServiceOrOptionUnavailable = "service_or_option_unavailable",
        /// Q.850 79, SIP 406, 415 and 501.
        ServiceOrOptionNotImplemented = "service_or_option_not_implemented",
        /// Q.850 88, SIP 488 and 606: no codec in common.
        IncompatibleDestination = "incompatible_destination",
        /// Q.850 102, SIP 408 and 504; also no answer at all.
        RecoveryOnTimerExpiry = "recovery_on_timer_expiry",
        /// Q.850 127, SIP 413, 414, 416, 420, 421, 423, 505 and 513.
        Interworking = "interworking",
        /// Ours: hung up before the answer by who placed it.
        Canceled = "canceled",
        /// Ours: the trunk refused our credentials.
        AuthenticationFailed = "authentication_failed",
        /// Ours: `max_duration_seconds` was reached.
        MaxDuration = "max_duration",
        /// Ours: the account's credit did not reach any further.
        CreditExhausted = "credit_exhausted",
        /// Ours: no RTP came for too long.
        MediaTimeout = "media_timeout",
        /// Ours: the node was stopped and the drain time was over.
        NodeShutdown = "node_shutdown",
        /// Ours: the process that carried the call died, and the next one closed it.
        NodeRestarted = "node_restarted",
        /// Ours: an external call of which nothing was heard for four hours.
        Stale = "stale",
        /// Ours: the far end sent something that breaks the protocol, such as an answer without SDP.
        ProtocolError = "protocol_error",
    }
}

impl HangupCause {
    /// The Q.850 number that goes into a Reason header (RFC 3326). Ours map to the nearest.
    #[must_use]
    pub const fn q850(self) -> u8 {
        match self {
            Self::UnallocatedNumber => 1,
            Self::NoRouteToDestination => 3,
            Self::NormalClearing | Self::MaxDuration => 16,
            Self::UserBusy => 17,
            Self::NoUserResponding => 18,
            Self::NoAnswer => 19,
            Self::CallRejected | Self::AuthenticationFailed | Self::CreditExhausted => 21,
            Self::NumberChanged => 22,
            Self::ExchangeRoutingError => 25,
            Self::InvalidNumberFormat => 28,
            Self::NormalUnspecified | Self::Canceled | Self::Stale => 31,
            Self::NoCircuitAvailable => 34,
            Self::NetworkOutOfOrder => 38,
            Self::TemporaryFailure | Self::NodeShutdown | Self::NodeRestarted => 41,
            Self::ServiceOrOptionUnavailable => 63,
            Self::ServiceOrOptionNotImplemented => 79,
            Self::IncompatibleDestination => 88,
            Self::RecoveryOnTimerExpiry | Self::MediaTimeout => 102,
            Self::ProtocolError => 111,
            Self::Interworking => 127,
        }
    }

    /// What a peer means by a Q.850 number, 1 to 127; `None` for others, which Q.850 does not have. One that has no cause of its own here is
    /// the unspecified one of its class, as Q.850 §2.2.7 has the switches of ISDN take what they do not know. Never one of ours that Q.850
    /// does not know, except for a protocol error.
    #[must_use]
    pub const fn from_q850(number: u16) -> Option<Self> {
        Some(match number {
            1 => Self::UnallocatedNumber,
            2 | 3 => Self::NoRouteToDestination,
            16 => Self::NormalClearing,
            17 => Self::UserBusy,
            18 => Self::NoUserResponding,
            19 => Self::NoAnswer,
            21 => Self::CallRejected,
            22 => Self::NumberChanged,
            25 => Self::ExchangeRoutingError,
            28 => Self::InvalidNumberFormat,
            34 => Self::NoCircuitAvailable,
            38 => Self::NetworkOutOfOrder,
            88 => Self::IncompatibleDestination,
            102 => Self::RecoveryOnTimerExpiry,
            // Classes: normal event, resource unavailable, service not available, not implemented, invalid message, protocol error,
            // interworking.
            _ => match number {
                1..=31 => Self::NormalUnspecified,
                32..=47 => Self::TemporaryFailure,
                48..=63 => Self::ServiceOrOptionUnavailable,
                64..=79 => Self::ServiceOrOptionNotImplemented,
                80..=111 => Self::ProtocolError,
                112..=127 => Self::Interworking,
                0 | 128.. => return None,
            },
        })
    }

    /// The cause of a final answer of 300 to 699 (RFC 3398 §8.2.6.1).
    #[must_use]
    pub const fn from_sip_status(status: u16) -> Self {
        match status {
            404 | 485 | 604 => Self::UnallocatedNumber,
            486 | 600 => Self::UserBusy,
            480 => Self::NoUserResponding,
            401 | 402 | 403 | 407 | 603 => Self::CallRejected,
            410 => Self::NumberChanged,
            482 | 483 => Self::ExchangeRoutingError,
            484 => Self::InvalidNumberFormat,
            502 => Self::NetworkOutOfOrder,
            400 | 481 | 500 | 503 => Self::TemporaryFailure,
            405 => Self::ServiceOrOptionUnavailable,
            406 | 415 | 501 => Self::ServiceOrOptionNotImplemented,
            488 | 606 => Self::IncompatibleDestination,
            408 | 504 => Self::RecoveryOnTimerExpiry,
            413 | 414 | 416 | 420 | 421 | 423 | 505 | 513 => Self::Interworking,
            _ => Self::NormalUnspecified,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_we_say_in_a_reason_is_what_we_hear_in_it() {
        // Ours that Q.850 does not know share their number with one that it knows.
        let ours = |cause: HangupCause| {
            matches!(
                cause,
                HangupCause::Canceled
                    | HangupCause::AuthenticationFailed
                    | HangupCause::MaxDuration
                    | HangupCause::CreditExhausted
                    | HangupCause::MediaTimeout
                    | HangupCause::NodeShutdown
                    | HangupCause::NodeRestarted
                    | HangupCause::Stale
            )
        };
        for cause in HangupCause::ALL.iter().copied() {
            let heard = HangupCause::from_q850(u16::from(cause.q850())).unwrap();
            assert_eq!(heard == cause, !ours(cause), "{cause} is heard as {heard}");
        }
    }

    #[test]
    fn numbers_beyond_q850_mean_nothing() {
        assert!((1..=127).all(|number| HangupCause::from_q850(number).is_some()));
        assert!([0, 128, 200, 603, u16::MAX].into_iter().all(|number| HangupCause::from_q850(number).is_none()));
    }
}
