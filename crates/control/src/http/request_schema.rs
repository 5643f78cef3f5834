//! Request bodies as the OpenAPI document shows them. `wire` reads them; a test keeps the two alike.
#![expect(dead_code, reason = "these types document JSON that wire reads field by field")]

use crate::http::model_schema;
use std::collections::BTreeMap;
use utoipa::ToSchema;
use uuid::Uuid;

/// A trunk to be made. Unknown fields are passed over, with a warning.
#[derive(ToSchema)]
pub(crate) struct TrunkCreate {
    /// Unique in the account.
    #[schema(min_length = 1, max_length = 100)]
    name: String,
    #[schema(inline, value_type = model_schema::Provider)]
    provider: (),
    /// Host of the Request-URI: a name or an address.
    #[schema(min_length = 1, max_length = 255)]
    sip_domain: String,
    /// Our account at the carrier.
    #[schema(min_length = 1, max_length = 100)]
    sip_username: String,
    #[schema(min_length = 1, max_length = 255, format = Password, write_only)]
    sip_password: String,
    #[schema(max_length = 1000)]
    description: Option<String>,
    #[schema(minimum = 1, maximum = 65535, default = 5060)]
    sip_port: Option<u16>,
    /// Next hop instead of `sip_domain`: `host`, `host:port` or a `sip:` URI.
    #[schema(max_length = 255)]
    sip_proxy: Option<String>,
    /// Overrides the digest user name.
    #[schema(max_length = 100)]
    auth_username: Option<String>,
    /// Overrides the digest password.
    #[schema(max_length = 255, format = Password, write_only)]
    auth_password: Option<String>,
    #[schema(value_type = Option<model_schema::CallDirection>, default = "bidirectional")]
    call_direction: (),
    #[schema(minimum = 1, maximum = 1000, default = 10)]
    max_concurrent_calls: Option<u32>,
    inbound_routing: Option<InboundRouting>,
    outbound_routing: Option<OutboundRouting>,
    /// Names of codecs in order; empty means PCMU, PCMA.
    codec_preferences: Option<Vec<String>>,
    #[schema(value_type = Option<model_schema::DtmfMode>, default = "rfc2833")]
    dtmf_mode: (),
    #[schema(minimum = 0, maximum = 1_000_000, default = 0.01)]
    cost_per_minute: Option<f64>,
    #[schema(minimum = 0, maximum = 1_000_000, default = 0)]
    monthly_cost: Option<f64>,
    /// IP addresses and ranges that the carrier calls from. A range has a prefix of at least 8 bits (IPv4) or 16 (IPv6).
    allowed_ips: Option<Vec<String>>,
    /// Encrypt where the transport allows.
    #[schema(default = true)]
    encryption_enabled: Option<bool>,
    /// Tried first when a call over this trunk fails.
    failover_trunk_id: Option<Uuid>,
    /// Sent with every INVITE.
    custom_headers: Option<BTreeMap<String, String>>,
    advanced_config: Option<AdvancedConfig>,
    /// The lower is tried first.
    #[schema(minimum = 1, maximum = 100, default = 1)]
    priority: Option<u8>,
}

/// A change of a trunk: only what is sent changes; `null` clears what may be empty.
#[derive(ToSchema)]
pub(crate) struct TrunkUpdate {
    #[schema(min_length = 1, max_length = 100)]
    name: Option<String>,
    #[schema(value_type = Option<model_schema::Provider>)]
    provider: (),
    #[schema(value_type = Option<model_schema::TrunkStatus>)]
    status: (),
    #[schema(min_length = 1, max_length = 255)]
    sip_domain: Option<String>,
    #[schema(min_length = 1, max_length = 100)]
    sip_username: Option<String>,
    #[schema(min_length = 1, max_length = 255, format = Password, write_only)]
    sip_password: Option<String>,
    #[schema(max_length = 1000)]
    description: Option<String>,
    #[schema(minimum = 1, maximum = 65535)]
    sip_port: Option<u16>,
    #[schema(max_length = 255)]
    sip_proxy: Option<String>,
    #[schema(max_length = 100)]
    auth_username: Option<String>,
    #[schema(max_length = 255, format = Password, write_only)]
    auth_password: Option<String>,
    #[schema(value_type = Option<model_schema::CallDirection>)]
    call_direction: (),
    #[schema(minimum = 1, maximum = 1000)]
    max_concurrent_calls: Option<u32>,
    inbound_routing: Option<InboundRouting>,
    outbound_routing: Option<OutboundRouting>,
    codec_preferences: Option<Vec<String>>,
    #[schema(value_type = Option<model_schema::DtmfMode>)]
    dtmf_mode: (),
    #[schema(minimum = 0, maximum = 1_000_000)]
    cost_per_minute: Option<f64>,
    #[schema(minimum = 0, maximum = 1_000_000)]
    monthly_cost: Option<f64>,
    allowed_ips: Option<Vec<String>>,
    encryption_enabled: Option<bool>,
    failover_trunk_id: Option<Uuid>,
    custom_headers: Option<BTreeMap<String, String>>,
    advanced_config: Option<AdvancedConfig>,
    #[schema(minimum = 1, maximum = 100)]
    priority: Option<u8>,
}

/// Who talks to callers who come in over a trunk. Without a rule that matches and without a default they are refused.
#[derive(ToSchema)]
pub(crate) struct InboundRouting {
    /// Country code of the national numbers that the carrier sends; without one, digits without + begin with theirs.
    #[schema(pattern = r"^\+?[1-9]\d{0,2}$", examples("1", "44"))]
    country_code: Option<String>,
    /// In order: the first that matches decides.
    #[schema(max_items = 1000)]
    rules: Option<Vec<InboundRule>>,
    default: Option<InboundConnect>,
}

/// Who talks to callers of one number. Unknown fields are refused.
#[derive(ToSchema)]
pub(crate) struct InboundRule {
    /// The called number, or its beginning and `*`; none matches every number.
    #[schema(max_length = 65, examples("+12025550100", "+1202*"))]
    to: Option<String>,
    /// The caller's number likewise.
    #[schema(max_length = 65)]
    from: Option<String>,
    connect: InboundConnect,
}

/// Which calls a trunk takes, and how it sends them.
#[derive(ToSchema)]
pub(crate) struct OutboundRouting {
    /// Called numbers begin with one of these; emergency numbers stand whole. Empty takes every number but those.
    prefixes: Option<Vec<String>>,
    /// Digits removed from the front, after the `+`.
    #[schema(minimum = 0, maximum = 20, default = 0)]
    strip: Option<u8>,
    /// Put in front after stripping.
    prepend: Option<String>,
    /// From when the order names none.
    caller_id: Option<String>,
    /// Sent with every INVITE, after `custom_headers`.
    headers: Option<BTreeMap<String, String>>,
    /// Final SIP codes, 300 to 699, that go on to the next trunk beside the usual ones.
    failover_on: Option<Vec<u16>>,
    /// Share among trunks of one priority.
    #[schema(minimum = 1, maximum = 1000, default = 1)]
    weight: Option<u32>,
    /// INVITEs a second.
    #[schema(minimum = 1, maximum = 1000)]
    max_cps: Option<u32>,
    /// Seconds after a 100 in which more must come.
    #[schema(minimum = 1, maximum = 180, default = 12)]
    progress_timeout: Option<f64>,
}

/// Fine tuning of a trunk. Unknown keys are kept; keys that look like secrets are refused.
#[derive(ToSchema)]
pub(crate) struct AdvancedConfig {
    /// This build speaks udp and tcp.
    #[schema(value_type = Option<model_schema::Transport>)]
    transport: (),
    /// This build takes off and allow.
    #[schema(value_type = Option<model_schema::SrtpPolicy>)]
    srtp: (),
    /// This build takes address.
    inbound_auth: Option<String>,
    /// Not built yet: false.
    register: Option<bool>,
    #[schema(minimum = 60, maximum = 86400)]
    register_expires: Option<u32>,
    /// Seconds between probes; 0 is never.
    #[schema(minimum = 0, maximum = 86400, default = 30)]
    options_interval: Option<u32>,
    /// Media goes to whoever sends first.
    comedia: Option<bool>,
    #[schema(minimum = 90, maximum = 86400)]
    session_expires: Option<u32>,
    /// Seconds.
    #[schema(minimum = 1, maximum = 3600, default = 1)]
    billing_increment: Option<u32>,
    #[schema(minimum = 1, maximum = 1000)]
    max_cps: Option<u32>,
    /// Seconds without RTP after which a call is ended; 0 is never.
    #[schema(minimum = 0, maximum = 3600, default = 60)]
    rtp_timeout: Option<u32>,
}

/// A call that something else carries, to be logged. Unknown fields are passed over, with a warning.
#[derive(ToSchema)]
pub(crate) struct CallCreate {
    /// The client's id, unique in the account.
    #[schema(min_length = 1, max_length = 100)]
    call_id: String,
    sip_trunk_id: Uuid,
    /// `inbound` or `outbound`.
    #[schema(pattern = "^(inbound|outbound)$")]
    direction: String,
    #[schema(min_length = 1, max_length = 20)]
    from_number: String,
    #[schema(min_length = 1, max_length = 20)]
    to_number: String,
    #[schema(format = DateTime)]
    started_at: String,
    /// A call status; spellings of providers are taken too.
    status: String,
    conversation_id: Option<Uuid>,
    #[schema(max_length = 255)]
    sip_call_id: Option<String>,
    #[schema(max_length = 45)]
    remote_ip: Option<String>,
    /// At most 16 KiB as JSON.
    #[schema(value_type = Option<Object>)]
    metadata: (),
}

/// A change of a logged call. What is not sent, or `null`, stays.
#[derive(ToSchema)]
pub(crate) struct CallUpdate {
    #[schema(format = DateTime)]
    answered_at: Option<String>,
    #[schema(format = DateTime)]
    ended_at: Option<String>,
    /// A call status; spellings of providers are taken too.
    status: Option<String>,
    #[schema(max_length = 50)]
    hangup_cause: Option<String>,
    #[schema(minimum = 1, maximum = 5)]
    quality_score: Option<f64>,
    #[schema(max_length = 20)]
    codec_used: Option<String>,
    #[schema(minimum = 0)]
    duration_seconds: Option<f64>,
    #[schema(minimum = 0)]
    cost: Option<f64>,
    #[schema(minimum = 0)]
    credits_used: Option<f64>,
    /// At most 16 KiB as JSON.
    #[schema(value_type = Option<Object>)]
    metadata: (),
}

/// A call to be placed. Unknown fields are refused.
#[derive(ToSchema)]
pub(crate) struct Dial {
    /// A number with + and country code, an emergency number, or a `sip:` URI.
    #[schema(examples("+12025550100", "sip:bob@192.0.2.1:5060"))]
    to_number: String,
    /// A number or a SIP user part; else the trunk's caller id.
    #[schema(min_length = 1, max_length = 64)]
    from_number: Option<String>,
    /// Only this trunk and its failover; else routing chooses.
    sip_trunk_id: Option<Uuid>,
    connect: ConnectTo,
    /// For the whole call until the answer.
    #[schema(minimum = 1, maximum = 300, default = 60)]
    ring_timeout_seconds: Option<u32>,
    /// From the answer on.
    #[schema(minimum = 1, maximum = 86400, default = 14400)]
    max_duration_seconds: Option<u32>,
    /// `X-…` and a short list of others.
    headers: Option<BTreeMap<String, String>>,
    /// Kept with the call log; at most 16 KiB as JSON.
    #[schema(value_type = Option<Object>)]
    metadata: (),
    conversation_id: Option<Uuid>,
    /// Not built yet: false.
    record: Option<bool>,
}

/// What is to be checked beside the probe.
#[derive(ToSchema)]
pub(crate) struct HealthCheckRequest {
    /// A telephone number to call for some seconds over the trunk, best one that answers with an echo. No emergency number.
    #[schema(examples("+12025550100"))]
    call: Option<String>,
}

/// Who talks once the call is answered.
#[derive(ToSchema)]
#[schema(as = Connect)]
#[derive(serde::Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum ConnectTo {
    /// The called one hears themselves.
    Echo,
    /// A tone, until somebody hangs up.
    Play {
        /// Frequencies in hertz, mixed with `+`, as `440+480`.
        tone: String,
    },
    /// Another SIP address.
    Sip {
        /// A `sip:` URI.
        uri: String,
    },
    /// Another number, over routing.
    Number {
        /// With + and country code.
        number: String,
    },
}

/// Who talks to somebody who calls.
#[derive(ToSchema, serde::Serialize)]
#[serde(untagged)]
pub(crate) enum InboundConnect {
    /// As for a call that is placed.
    Connect(ConnectTo),
    /// The called number, dialled on over routing.
    Forward(ForwardTo),
}

/// The called number, dialled on over routing: from trunk to trunk.
#[derive(ToSchema, serde::Serialize)]
#[schema(as = Forward)]
pub(crate) struct ForwardTo {
    #[schema(pattern = "^forward$")]
    r#type: String,
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_schemas_name_the_fields_that_are_read() {
        let document = serde_json::to_value(crate::openapi()).unwrap();
        for (schema, known) in crate::wire::known_fields() {
            let properties = document["components"]["schemas"][schema]["properties"].as_object().unwrap();
            let mut documented: Vec<_> = properties.keys().map(String::as_str).collect();
            documented.sort_unstable();
            assert_eq!(documented, known, "{schema}");
        }
    }
}
