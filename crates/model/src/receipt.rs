use crate::{
    AccountId, HangupCause, HealthReason, HealthStatus, JsonText, Money, RefusalId, Timestamp, Transport, TrunkId,
    TrunkStatus,
};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// How a call was routed: what was asked, every trunk that was looked at with its verdict, every attempt with its outcome.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// On whose account.
    pub account_id: AccountId,
    /// When it was decided.
    pub decided_at: Timestamp,
    /// What was dialled.
    pub to: String,
    /// The caller id that was asked for.
    pub from: Option<String>,
    /// How a call that came in was taken; none for a call that goes out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inbound: Option<InboundReceipt>,
    /// Revision of the routing table that decided.
    pub routing_revision: u64,
    /// Every trunk of the account (at most 64 are listed), those taken first, in the order in which they are tried.
    pub considered: Vec<Considered>,
    /// What was tried, in order.
    pub attempts: Vec<AttemptReceipt>,
    /// Why there was no call, when there was none.
    pub refusal: Option<Refusal>,
}

/// How a call that came in found its trunk and its rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InboundReceipt {
    /// The address and port it came from.
    pub source: String,
    /// Its Request-URI.
    pub request_uri: String,
    /// Each step that left fewer trunks to choose from, in order; the last one left the trunk that took the call, or several.
    pub steps: Vec<Identified>,
    /// The trunk that took it.
    pub trunk_name: Option<String>,
    /// Which rule of its `inbound_routing` decided: `rules[0]`, or `default`.
    pub rule: Option<String>,
    /// Where none did: the `to` of the rule that comes nearest to the number.
    pub nearest: Option<String>,
}

/// One step in finding the trunk by which a call came in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Identified {
    /// What was compared.
    pub by: IdentifiedBy,
    /// With what it agreed: an address, a range, a host, a number.
    pub matched: String,
    /// How many trunks of the node were left.
    pub trunks_left: u32,
}

/// What tells which trunk is calling, in the order in which it is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdentifiedBy {
    /// Calls from the source are one account's: of those whose trunks know it, the one that has done so for longest.
    Account,
    /// The source is the very address and port that the trunk calls.
    Target,
    /// The source is in the longest range of `allowed_ips`; the trunk's own address counts as a range of one.
    AllowedIps,
    /// The Request-URI names its `sip_domain` or `sip_username`.
    RequestUri,
    /// Its rules name the called number.
    CalledNumber,
}

/// An INVITE that was refused: no call began, and this is what is kept of it for the account concerned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RefusedInvite {
    /// Also in the answer to the peer, so that both sides can speak of it.
    pub id: RefusalId,
    /// Whose.
    pub account_id: AccountId,
    /// When.
    pub at: Timestamp,
    /// The trunk it came in by; none where several were left.
    pub trunk_id: Option<TrunkId>,
    /// The caller's number or name.
    pub from_number: String,
    /// The called number or name.
    pub to_number: String,
    /// Its Call-ID.
    pub sip_call_id: String,
    /// What it was answered with.
    pub sip_status: u16,
    /// The code of the reason.
    pub reason: String,
    /// Why, with its steps.
    pub receipt: JsonText<Receipt>,
}

/// One trunk that was looked at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Considered {
    /// Which.
    pub trunk_id: TrunkId,
    /// Its name, for people.
    pub trunk_name: String,
    /// Taken or not.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
}

/// Whether a trunk is among those that are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is tried, in this order.
    Taken,
    /// It is not.
    Skipped,
}

/// One attempt as it went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttemptReceipt {
    /// Over which trunk; none for a call straight to a SIP address.
    pub trunk_id: Option<TrunkId>,
    /// Its name.
    pub trunk_name: Option<String>,
    /// The Request-URI.
    pub request_uri: String,
    /// The address it was sent to, once known.
    pub target: Option<String>,
    /// When it began.
    pub started_at: Timestamp,
    /// When it was decided: answered, failed or given up.
    pub decided_at: Option<Timestamp>,
    /// How it went; `None` while it goes on.
    pub outcome: Option<Reason>,
    /// The final SIP code, if one came.
    pub sip_status: Option<u16>,
    /// The cause, when it failed.
    pub cause: Option<HangupCause>,
}

/// Why there was no call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Refusal {
    /// The class of the refusal, which gives the HTTP status.
    pub kind: RefusalKind,
    /// The decisive reason.
    pub reason: Reason,
}

/// Classes of refusals; each is a `code` of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalKind {
    /// 422: no trunk leads there.
    NoRoute,
    /// 422: an emergency number that no trunk is configured for.
    EmergencyNotRouted,
    /// 422: the SIP target is in a range that is not allowed.
    TargetNotAllowed,
    /// 402: the account's credit does not pay for the call.
    CreditExhausted,
    /// 429: the account has all the calls it may have.
    TierLimit,
    /// 429: every trunk that leads there has had its calls of this second.
    CpsLimit,
    /// 503: trunks lead there, none can take a call now.
    NoTrunkAvailable,
    /// 503: the node is stopping, or out of a resource.
    NodeUnavailable,
}

impl RefusalKind {
    /// The stable `code` in answers.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::NoRoute => "no_route",
            Self::EmergencyNotRouted => "emergency_not_routed",
            Self::TargetNotAllowed => "target_not_allowed",
            Self::CreditExhausted => "credit_exhausted",
            Self::TierLimit => "tier_limit",
            Self::CpsLimit => "cps_limit",
            Self::NoTrunkAvailable => "no_trunk_available",
            Self::NodeUnavailable => "node_unavailable",
        }
    }

    /// The HTTP status.
    #[must_use]
    pub const fn http_status(self) -> u16 {
        match self {
            Self::NoRoute | Self::EmergencyNotRouted | Self::TargetNotAllowed => 422,
            Self::CreditExhausted => 402,
            Self::TierLimit | Self::CpsLimit => 429,
            Self::NoTrunkAvailable | Self::NodeUnavailable => 503,
        }
    }
}

macro_rules! reasons {
    ($( $(#[$meta:meta])* $variant:ident $({ $( $(#[$field_meta:meta])* $field:ident: $type:ty ),+ $(,)? })? = $code:literal ),+ $(,)?) => {
        /// One reason on a receipt: why a trunk was taken or not, how an attempt went, why there was no call.
        ///
        /// The list, with what each means to an operator, stands in `docs/reasons.md`.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(tag = "code")]
        pub enum Reason {
            $( $(#[$meta])* #[serde(rename = $code)] $variant $({ $( $(#[$field_meta])* $field: $type ),+ })? ),+
        }

        impl Reason {
            /// The code of every reason, in order of declaration.
            pub const CODES: &'static [&'static str] = &[$( $code ),+];

            /// The stable code.
            #[must_use]
            pub const fn code(&self) -> &'static str {
                match self { $( Self::$variant $({ $( $field: _ ),+ })? => $code ),+ }
            }
        }
    };
}

reasons! {
    // Why a trunk is tried.
    /// The order names it.
    Requested = "requested",
    /// Its place by priority and load.
    Ranked {
        /// 1 to 100.
        priority: u8,
        /// Legs it carries now.
        active: u32,
        /// Legs it may carry.
        limit: u32,
        /// Its weight.
        weight: u32,
    } = "ranked",
    /// The trunk tried before names it as its failover trunk.
    FailoverOf {
        /// That trunk's name.
        trunk: String,
    } = "failover_of",
    // Why a trunk is not tried.
    /// The order names another trunk.
    NotRequested = "not_requested",
    /// A person has switched it off.
    TrunkNotActive {
        /// What it is set to.
        status: TrunkStatus,
    } = "trunk_not_active",
    /// It takes inbound calls only.
    InboundOnly = "inbound_only",
    /// None of its prefixes begins the number.
    PrefixMismatch {
        /// The prefix that shares most digits with the number.
        nearest: String,
    } = "prefix_mismatch",
    /// All its slots are taken.
    TrunkFull {
        /// Legs it may carry.
        limit: u32,
    } = "trunk_full",
    /// It answered 503 with Retry-After and rests.
    TrunkResting {
        /// Until when.
        until: Timestamp,
    } = "trunk_resting",
    /// It has had its INVITEs of this second.
    TrunkCpsLimit {
        /// INVITEs a second.
        max_cps: u32,
    } = "trunk_cps_limit",
    /// Probes say that it would take no call.
    TrunkUnhealthy {
        /// Its health: unhealthy or error.
        status: HealthStatus,
        /// Why.
        reason: HealthReason,
    } = "trunk_unhealthy",
    /// Calls over it failed one after the other, and its circuit breaker keeps them away.
    CircuitOpen {
        /// Until when, at least.
        until: Timestamp,
    } = "circuit_open",
    /// Its circuit breaker lets one call through to try it, which is under way.
    CircuitHalfOpen = "circuit_half_open",
    /// Its transport is not built yet.
    TransportUnsupported {
        /// Which.
        transport: Transport,
    } = "transport_unsupported",
    /// It names only codecs that this build does not carry.
    NoUsableCodec = "no_usable_codec",
    /// Its target is an address in a private or loopback range that is not allowed.
    PeerNotAllowed {
        /// The address.
        address: IpAddr,
    } = "peer_not_allowed",
    // How an attempt went.
    /// Answered.
    Answered = "answered",
    /// The host does not resolve.
    Unresolvable {
        /// Which.
        host: String,
    } = "unresolvable",
    /// This node has no listener, or no media address, by which such an address could be reached.
    NoLocalAddress {
        /// Over what.
        transport: Transport,
        /// The address.
        address: IpAddr,
    } = "no_local_address",
    /// The network refused the INVITE.
    TransportError = "transport_error",
    /// No answer at all.
    NoResponse {
        /// How long we waited.
        after_ms: u64,
    } = "no_response",
    /// A 100, then nothing.
    NoProgress {
        /// How long we waited.
        after_ms: u64,
    } = "no_progress",
    /// A final code that goes on to the next trunk.
    RetryableStatus {
        /// The code.
        status: u16,
    } = "retryable_status",
    /// A final code that goes back to who placed the call.
    FinalStatus {
        /// The code.
        status: u16,
    } = "final_status",
    /// The trunk refused our credentials.
    AuthenticationFailed {
        /// The code.
        status: u16,
    } = "authentication_failed",
    /// It rang until the ring time-out.
    RingTimeout {
        /// The time-out.
        after_ms: u64,
    } = "ring_timeout",
    /// Hung up before the answer.
    Canceled = "canceled",
    /// The answer has no usable media.
    UnusableAnswer = "unusable_answer",
    // Why there was no call.
    /// The account has no trunk at all, or none leads there.
    NoRoute = "no_route",
    /// No trunk names this emergency number.
    EmergencyNotRouted = "emergency_not_routed",
    /// Trunks lead there; none can take a call now.
    NoTrunkAvailable = "no_trunk_available",
    /// The account has all its calls.
    TierLimit {
        /// Concurrent calls.
        limit: u32,
    } = "tier_limit",
    /// The account's credit does not pay for as long as a call is paid in advance.
    CreditExhausted {
        /// What would be reserved, in millionths of the currency unit.
        needed_micros: i64,
        /// What is left beside calls that are up, in millionths of the currency unit.
        available_micros: i64,
    } = "credit_exhausted",
    /// The node is out of RTP ports or sessions, or the store is so far behind that more records might be lost.
    NodeFull = "node_full",
    /// The disk that the journal is on is almost full: a call that began might not be on record.
    LowDisk {
        /// What is free, in millions of bytes.
        free_mb: u64,
    } = "low_disk",
    /// The journal could not be written: a call that began might not be on record.
    JournalUnwritable = "journal_unwritable",
    /// The node is stopping.
    Draining = "draining",
    // Why a call that came in was refused.
    /// Several trunks could be the one that is calling.
    CallerAmbiguous {
        /// How many of the account.
        trunks: u32,
    } = "caller_ambiguous",
    /// The trunk that is calling takes no calls that come in.
    OutboundOnly = "outbound_only",
    /// No rule of the trunk names the called number, and it has no default.
    NoInboundRule {
        /// The `to` that comes nearest; empty when there is none.
        nearest: String,
    } = "no_inbound_rule",
    /// Its SDP offers no audio that can be used.
    UnusableOffer = "unusable_offer",
}

impl Reason {
    /// The reason as a sentence, with what would change it where something would.
    #[must_use]
    pub fn explanation(&self) -> String {
        match self {
            Self::Requested => "the order names this trunk".into(),
            Self::Ranked { priority, active, limit, weight } => {
                format!("priority {priority}, {active} of {limit} slots in use, weight {weight}")
            }
            Self::FailoverOf { trunk } => format!("named as the failover trunk of {trunk:?}"),
            Self::NotRequested => "the order names another trunk; leave sip_trunk_id out to let routing choose".into(),
            Self::TrunkNotActive { status } => format!("its status is {status}; set it to active to use it"),
            Self::InboundOnly => {
                "its call_direction is inbound; set it to bidirectional or outbound to dial over it".into()
            }
            Self::PrefixMismatch { nearest } if nearest.is_empty() => {
                "it has no outbound_routing.prefixes; this number goes only where they name it whole".into()
            }
            Self::PrefixMismatch { nearest } => {
                format!("none of its outbound_routing.prefixes begins the number; the nearest is {nearest:?}")
            }
            Self::TrunkFull { limit } => {
                format!("all its {limit} slots are taken; raise max_concurrent_calls if the carrier allows more")
            }
            Self::TrunkResting { until } => format!("it answered 503 with Retry-After and rests until {until}"),
            Self::TrunkCpsLimit { max_cps } => format!("it has had its {max_cps} INVITEs of this second (max_cps)"),
            Self::TrunkUnhealthy { status, reason } => {
                format!("its health is {status} ({reason}); it is tried again once its probes are answered")
            }
            Self::CircuitOpen { until } => {
                format!("calls over it failed one after the other; none is tried before {until}")
            }
            Self::CircuitHalfOpen => {
                "calls over it failed one after the other; the one that tries it now has not been answered yet".into()
            }
            Self::TransportUnsupported { transport } => {
                format!(
                    "its transport is {transport}, which this build does not carry yet; set advanced_config.transport to udp or tcp"
                )
            }
            Self::NoUsableCodec => {
                "its codec_preferences name only codecs that this build does not carry; add PCMU or PCMA".into()
            }
            Self::PeerNotAllowed { address } => {
                format!("{address} is in a private or reserved range; add its range to TANDEM_PEER_ALLOW to allow it")
            }
            Self::Answered => "answered".into(),
            Self::Unresolvable { host } => {
                format!("the host {host:?} does not resolve; check sip_domain and the DNS servers")
            }
            Self::NoLocalAddress { transport, address } => {
                let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
                format!(
                    "this node cannot reach {address} over {transport}: give TANDEM_SIP_LISTEN a {transport}: place of {family}, and TANDEM_MEDIA_ADDRESS an address of it"
                )
            }
            Self::TransportError => {
                "the network refused the INVITE: nothing listens there, or no route leads there".into()
            }
            Self::NoResponse { after_ms } => {
                format!("no answer at all in {after_ms} ms; check the address, the port and the firewall")
            }
            Self::NoProgress { after_ms } => format!("100 Trying, then nothing for {after_ms} ms"),
            Self::RetryableStatus { status } => format!("answered {status}, which goes on to the next trunk"),
            Self::FinalStatus { status } => format!("answered {status}, which goes back to who placed the call"),
            Self::AuthenticationFailed { status } => {
                format!(
                    "answered {status} to our credentials; check sip_username and sip_password (or auth_username and auth_password)"
                )
            }
            Self::RingTimeout { after_ms } => format!("not answered within {after_ms} ms"),
            Self::Canceled => "hung up before the answer".into(),
            Self::UnusableAnswer => "its SDP has no audio that was offered".into(),
            Self::NoRoute => "no trunk of the account leads there; see the verdicts on its trunks".into(),
            Self::EmergencyNotRouted => {
                "an emergency number goes only over a trunk whose outbound_routing.prefixes names it whole".into()
            }
            Self::NoTrunkAvailable => {
                "trunks lead there, but none can take a call now; see the verdicts on them".into()
            }
            Self::TierLimit { limit } => format!("the account has all its {limit} concurrent calls"),
            Self::CreditExhausted { needed_micros, available_micros } => {
                let decimal = |micros: &i64| Money::from_micros(*micros).to_decimal();
                format!(
                    "the account's credit is used up: {} would be reserved for the call, {} is available; an admin of the node can add some",
                    decimal(needed_micros),
                    decimal(available_micros)
                )
            }
            Self::NodeFull => {
                "the node is full: no RTP port is free (widen TANDEM_RTP_PORTS, raise the limit of open files), or the database is far behind".into()
            }
            Self::LowDisk { free_mb } => {
                format!(
                    "only {free_mb} MB are free where the journal is, too little to be sure that a new call gets on record; free some space in the data directory"
                )
            }
            Self::JournalUnwritable => {
                "the journal cannot be written, so a new call would not get on record; see the log for the error, and check the disk and the rights of the data directory".into()
            }
            Self::Draining => "the node is stopping and takes no new calls".into(),
            Self::CallerAmbiguous { trunks } => {
                format!(
                    "{trunks} trunks of this account, or trunks of others beside them, could be the one that is calling; put the called number down in /numbers, or tell trunks of one account apart by inbound_routing.rules or allowed_ips"
                )
            }
            Self::OutboundOnly => {
                "its call_direction is outbound; set it to bidirectional or inbound to take calls over it".into()
            }
            Self::NoInboundRule { nearest } if nearest.is_empty() => {
                "the trunk has no inbound_routing.rules and no inbound_routing.default; add one to take its calls".into()
            }
            Self::NoInboundRule { nearest } => {
                format!(
                    "none of its inbound_routing.rules names the called number, and it has no default; the nearest is {nearest:?}"
                )
            }
            Self::UnusableOffer => {
                "its SDP offers no audio that can be used; the trunk's codec_preferences and the caller's must share one".into()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_carries_its_code_on_the_wire() {
        let json = serde_json::to_value(Reason::TrunkFull { limit: 3 }).unwrap();
        assert_eq!(json, serde_json::json!({"code": "trunk_full", "limit": 3}));
        let back: Reason = serde_json::from_value(json).unwrap();
        assert_eq!(back.code(), "trunk_full");
    }
}
