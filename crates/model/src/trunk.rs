use crate::text_enum::text_enum;
use crate::{
    AccountId, Codec, InboundRouting, MeasuredHealth, Money, Reason, Secret, SrtpPolicy, Timestamp, Transport,
    TrunkHealth, TrunkId,
};
use ipnet::IpNet;
use std::collections::BTreeMap;
use std::time::Duration;

text_enum! {
    /// What a person, or the system on their behalf, has set a trunk to.
    pub enum TrunkStatus, error ParseTrunkStatusError("trunk status") {
        /// In service.
        Active = "active",
        /// Switched off.
        Inactive = "inactive",
        /// Switched off for a reason of business.
        Suspended = "suspended",
        /// Switched off for works.
        Maintenance = "maintenance",
        /// Out of order.
        Error = "error",
    }
}

text_enum! {
    /// Whose trunk it is: chooses defaults, never behaviour that a setting could not choose.
    pub enum Provider, error ParseProviderError("provider") {
        /// Twilio Elastic SIP Trunking.
        Twilio = "twilio",
        /// Telnyx.
        Telnyx = "telnyx",
        /// Bandwidth.
        Bandwidth = "bandwidth",
        /// Vonage.
        Vonage = "vonage",
        /// Any SIP carrier.
        Custom = "custom",
    }
}

text_enum! {
    /// A direction seen from us.
    pub enum CallDirection, error ParseCallDirectionError("call direction") {
        /// To us.
        Inbound = "inbound",
        /// From us.
        Outbound = "outbound",
        /// Both; only a trunk can be this.
        Bidirectional = "bidirectional",
    }
}

text_enum! {
    /// How digits travel.
    pub enum DtmfMode, error ParseDtmfModeError("DTMF mode") {
        /// RTP telephone-event (RFC 4733).
        Rfc2833 = "rfc2833",
        /// SIP INFO.
        Info = "info",
        /// Tones in the audio.
        Inband = "inband",
        /// As the peer offers.
        Auto = "auto",
    }
}

/// One trunk: an account's connection to a carrier, as configured.
#[derive(Clone, Debug)]
pub struct Trunk {
    /// Its id.
    pub id: TrunkId,
    /// Whose it is.
    pub account_id: AccountId,
    /// 1 to 100 characters, unique in the account.
    pub name: String,
    /// At most 1,000 characters.
    pub description: Option<String>,
    /// Whose network it leads to.
    pub provider: Provider,
    /// What a person set it to.
    pub status: TrunkStatus,
    /// Host of the Request-URI: a name or an address, 1 to 255 characters.
    pub sip_domain: String,
    /// Port of the target, 1 to 65535.
    pub sip_port: u16,
    /// Next hop instead of `sip_domain`, as `host[:port]` or a `sip:` URI: a loose route (RFC 3261 §16.12.1).
    pub sip_proxy: Option<String>,
    /// Our account at the peer.
    pub sip_username: String,
    /// Its password.
    pub sip_password: Secret,
    /// Overrides the digest user name, in both directions.
    pub auth_username: Option<String>,
    /// Overrides the digest password, in both directions.
    pub auth_password: Option<Secret>,
    /// Which way calls may go.
    pub call_direction: CallDirection,
    /// Legs at once, 1 to 1,000.
    pub max_concurrent_calls: u32,
    /// As the client sent it, for answers; [`Trunk::inbound`] is what it means.
    pub inbound_routing: serde_json::Value,
    /// `inbound_routing`, parsed.
    pub inbound: InboundRouting,
    /// As the client sent it, for answers; [`Trunk::outbound`] is what it means.
    pub outbound_routing: serde_json::Value,
    /// `outbound_routing`, parsed.
    pub outbound: OutboundRouting,
    /// Names as the client sent them; [`Trunk::codecs`] are those we know.
    pub codec_preferences: Vec<String>,
    /// How digits travel.
    pub dtmf_mode: DtmfMode,
    /// Price of a minute.
    pub cost_per_minute: Money,
    /// Price of a month.
    pub monthly_cost: Money,
    /// Addresses the peer calls from.
    pub allowed_ips: Vec<IpNet>,
    /// Encrypt where the transport allows.
    pub encryption_enabled: bool,
    /// Tried first when a call over this trunk fails.
    pub failover_trunk_id: Option<TrunkId>,
    /// Sent with every INVITE.
    pub custom_headers: BTreeMap<String, String>,
    /// As the client sent it, unknown keys kept.
    pub advanced_config: serde_json::Map<String, serde_json::Value>,
    /// 1 to 100; the lower is tried first.
    pub priority: u8,
    /// What probes found.
    pub health: TrunkHealth,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed by a person.
    pub updated_at: Timestamp,
}

/// What a trunk carries now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TrunkState {
    /// Legs, with those of external calls.
    pub active_calls: u32,
    /// Until when it rests.
    pub resting_until: Option<Timestamp>,
    /// It refused our credentials and has not accepted them since.
    pub auth_failed: bool,
    /// Why no call can go out over it: as it is configured, or by its health.
    pub unroutable_reason: Option<Reason>,
    /// How it is, if it is watched.
    pub health: Option<Box<MeasuredHealth>>,
}

/// `outbound_routing`, parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboundRouting {
    /// Called numbers begin with one of these (digits with `+`, or whole emergency numbers); empty takes every number.
    pub prefixes: Vec<String>,
    /// Digits removed from the front of the dialled number (after its `+` is removed when `strip` is not 0), 0 to 20.
    pub strip: u8,
    /// Put in front after stripping.
    pub prepend: String,
    /// From when the order names none.
    pub caller_id: Option<String>,
    /// Sent with every INVITE, after `custom_headers`.
    pub headers: BTreeMap<String, String>,
    /// Final codes (300 to 699) that go on to the next trunk beside the usual ones.
    pub failover_on: Vec<u16>,
    /// Share among trunks of one priority, 1 to 1,000 (default 1).
    pub weight: u32,
    /// INVITEs a second, 1 to 1,000.
    pub max_cps: Option<u32>,
    /// A 100 but nothing more in this time goes on to the next trunk.
    pub progress_timeout: Duration,
}

impl Default for OutboundRouting {
    fn default() -> Self {
        Self {
            prefixes: Vec::new(),
            strip: 0,
            prepend: String::new(),
            caller_id: None,
            headers: BTreeMap::new(),
            failover_on: Vec::new(),
            weight: 1,
            max_cps: None,
            progress_timeout: DEFAULT_PROGRESS_TIMEOUT,
        }
    }
}

/// How long a peer may stay at 100 Trying before the next trunk is tried.
pub const DEFAULT_PROGRESS_TIMEOUT: Duration = Duration::from_secs(12);
/// The port that means TLS when nothing else names a transport (RFC 3261 §19.1.2).
const SIPS_PORT: u16 = 5061;

impl Trunk {
    /// Codecs in the order in which they are offered and chosen, only those this build carries.
    #[must_use]
    pub fn codecs(&self) -> Vec<Codec> {
        if self.codec_preferences.is_empty() {
            return Codec::DEFAULT_PREFERENCES.to_vec();
        }
        let mut codecs = Vec::new();
        for name in &self.codec_preferences {
            if let Ok(codec) = Codec::parse_lenient(name)
                && codec.is_supported()
                && !codecs.contains(&codec)
            {
                codecs.push(codec);
            }
        }
        codecs
    }

    /// The transport in force: `advanced_config.transport`, else port 5061 means TLS, else UDP.
    #[must_use]
    pub fn transport(&self) -> Transport {
        let named = self.advanced_config.get("transport").and_then(serde_json::Value::as_str);
        match named.and_then(|name| name.to_ascii_lowercase().parse().ok()) {
            Some(transport) => transport,
            None if self.sip_port == SIPS_PORT => Transport::Tls,
            None => Transport::Udp,
        }
    }

    /// The media encryption in force. This build carries plain RTP only, so it is [`SrtpPolicy::Off`].
    #[must_use]
    pub const fn effective_srtp(&self) -> SrtpPolicy {
        SrtpPolicy::Off
    }

    /// The digest identity: the overrides, else our account at the peer.
    #[must_use]
    pub fn digest_identity(&self) -> (&str, &Secret) {
        (
            self.auth_username.as_deref().unwrap_or(&self.sip_username),
            self.auth_password.as_ref().unwrap_or(&self.sip_password),
        )
    }

    /// `advanced_config.comedia`: media goes to whoever sends first, not to the address in the SDP.
    #[must_use]
    pub fn comedia(&self) -> bool {
        self.advanced_config.get("comedia").and_then(serde_json::Value::as_bool).unwrap_or(false)
    }

    /// `advanced_config.billing_increment` in seconds, default 1.
    #[must_use]
    pub fn billing_increment_seconds(&self) -> u32 {
        let configured = self.advanced_config.get("billing_increment").and_then(serde_json::Value::as_u64);
        configured
            .and_then(|seconds| u32::try_from(seconds).ok())
            .filter(|seconds| (1..=MAX_BILLING_INCREMENT).contains(seconds))
            .unwrap_or(1)
    }

    /// `advanced_config.rtp_timeout` in seconds, default 60: a call that hears no RTP for so long is ended. `None` for 0, which is never.
    #[must_use]
    pub fn rtp_timeout(&self) -> Option<Duration> {
        let configured = self.advanced_config.get("rtp_timeout").and_then(serde_json::Value::as_u64);
        let seconds = configured.filter(|seconds| *seconds <= MAX_RTP_TIMEOUT_SECONDS);
        seconds.map_or(Some(DEFAULT_RTP_TIMEOUT), |seconds| (seconds > 0).then(|| Duration::from_secs(seconds)))
    }

    /// `advanced_config.options_interval` in seconds, default 30: how often the trunk is probed. `None` for 0, which is never.
    #[must_use]
    pub fn options_interval(&self) -> Option<Duration> {
        let configured = self.advanced_config.get("options_interval");
        let whole = configured.and_then(|value| value.as_u64().or_else(|| value.as_f64().and_then(whole_seconds)));
        let seconds = whole.filter(|seconds| *seconds <= MAX_OPTIONS_INTERVAL_SECONDS);
        seconds.map_or(Some(DEFAULT_OPTIONS_INTERVAL), |seconds| (seconds > 0).then(|| Duration::from_secs(seconds)))
    }

    /// INVITEs a second that the carrier allows: `outbound_routing.max_cps`, else `advanced_config.max_cps`.
    #[must_use]
    pub fn max_cps(&self) -> Option<u32> {
        let advanced = || {
            self.advanced_config
                .get("max_cps")
                .and_then(serde_json::Value::as_u64)
                .and_then(|cps| u32::try_from(cps).ok())
        };
        self.outbound.max_cps.or_else(advanced).filter(|cps| *cps > 0)
    }
}

/// Whether a range of `allowed_ips` is narrow enough to tell who is calling by it alone: who names half of the internet must not get
/// calls that are another's.
#[must_use]
pub const fn can_identify(range: &IpNet) -> bool {
    match range {
        IpNet::V4(range) => range.prefix_len() >= SHORTEST_V4_PREFIX,
        IpNet::V6(range) => range.prefix_len() >= SHORTEST_V6_PREFIX,
    }
}

/// The shortest IPv4 prefix that [identifies](can_identify).
pub const SHORTEST_V4_PREFIX: u8 = 8;
/// The shortest IPv6 prefix that [identifies](can_identify): regional registries allocate /12s to themselves and far less to any network.
pub const SHORTEST_V6_PREFIX: u8 = 16;

/// Longest billing increment: one hour, in seconds.
pub const MAX_BILLING_INCREMENT: u32 = 3_600;

/// How long a call may hear nothing. Carriers that suppress silence still send comfort noise or keep-alives within this time.
pub const DEFAULT_RTP_TIMEOUT: Duration = Duration::from_secs(60);

/// Longest `advanced_config.rtp_timeout`: one hour.
pub const MAX_RTP_TIMEOUT_SECONDS: u64 = 3_600;

/// How often a trunk is probed: a carrier that is gone is out of routing within a minute, and nobody takes two OPTIONS a minute amiss.
pub const DEFAULT_OPTIONS_INTERVAL: Duration = Duration::from_secs(30);

/// Longest `advanced_config.options_interval`: one day.
pub const MAX_OPTIONS_INTERVAL_SECONDS: u64 = 86_400;

/// JSON may write a whole number with a fraction of zero.
fn whole_seconds(seconds: f64) -> Option<u64> {
    Duration::try_from_secs_f64(seconds).ok().filter(|span| span.subsec_nanos() == 0).map(|span| span.as_secs())
}
