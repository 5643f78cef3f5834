use crate::ProbeResult;
use crate::http::model_schema;
use crate::service::{ShownTrunk, TestedCall};
use crate::wire::money_number;
use ipnet::IpNet;
use serde::Serialize;
use serde_json::{Map, Number, Value};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use tandem_model::{
    CallDirection, CallStatus, DtmfMode, HealthStatus, LegRecord, Provider, Reason, SrtpPolicy, Timestamp, Transport,
    TrunkStatus,
};
use utoipa::ToSchema;
use uuid::Uuid;

/// A trunk: its configuration, and what is going on at it. Passwords are never shown.
#[derive(Serialize, ToSchema)]
#[schema(as = Trunk)]
pub(crate) struct TrunkView {
    id: Uuid,
    /// The account.
    user_id: Uuid,
    name: String,
    description: Option<String>,
    #[schema(value_type = model_schema::Provider)]
    provider: Provider,
    #[schema(value_type = model_schema::TrunkStatus)]
    status: TrunkStatus,
    sip_domain: String,
    sip_username: String,
    sip_port: u16,
    sip_proxy: Option<String>,
    auth_username: Option<String>,
    #[schema(value_type = model_schema::CallDirection)]
    call_direction: CallDirection,
    max_concurrent_calls: u32,
    /// Calls over it now, with those that something else carries.
    current_active_calls: u32,
    /// When it was last probed.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_health_check: Option<Timestamp>,
    #[schema(value_type = model_schema::HealthStatus)]
    health_status: HealthStatus,
    /// Round trip of probes, smoothed, in milliseconds with its fraction.
    latency_ms: Option<f64>,
    /// The same in microseconds.
    latency_us: Option<u64>,
    /// Audio that was lost on its way to us in calls that ended within five minutes; where there were none, unanswered probes. None
    /// until there were enough to tell.
    packet_loss_percent: Option<f64>,
    /// Price of a minute.
    #[schema(value_type = f64)]
    cost_per_minute: Number,
    /// Price of a month.
    #[schema(value_type = f64)]
    monthly_cost: Number,
    /// The currency of its prices.
    currency: String,
    encryption_enabled: bool,
    priority: u8,
    #[schema(value_type = Object)]
    inbound_routing: Value,
    #[schema(value_type = Object)]
    outbound_routing: Value,
    codec_preferences: Vec<String>,
    #[schema(value_type = model_schema::DtmfMode)]
    dtmf_mode: DtmfMode,
    allowed_ips: Vec<String>,
    failover_trunk_id: Option<Uuid>,
    custom_headers: BTreeMap<String, String>,
    #[schema(value_type = Object)]
    advanced_config: Map<String, Value>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
    /// 100 × current ÷ max.
    utilization_percent: f64,
    /// Status `active` and health `healthy`. A trunk whose health is not known yet takes calls all the same: `routable` says so.
    is_active: bool,
    /// `is_active`, and a slot is free.
    can_handle_call: bool,
    /// The SIP transport in force.
    #[schema(value_type = model_schema::Transport)]
    effective_transport: Transport,
    /// The media encryption in force.
    #[schema(value_type = model_schema::SrtpPolicy)]
    effective_srtp: SrtpPolicy,
    /// Whether routing considers it. A full trunk is routable; so is one whose health is not known.
    routable: bool,
    /// Code of the reason why not, as on receipts.
    unroutable_reason: Option<&'static str>,
    /// The reason as a sentence, with what would change it.
    unroutable_explanation: Option<String>,
    /// The carrier refused our credentials, and has taken none since.
    auth_failed: bool,
    /// It asked for a rest, and takes no calls until then.
    #[schema(value_type = Option<String>, format = DateTime)]
    resting_until: Option<Timestamp>,
    /// What is worth knowing about the request and the configuration.
    warnings: Vec<String>,
}

impl TrunkView {
    pub(crate) fn new(shown: ShownTrunk, currency: &str) -> Self {
        let unroutable = shown.unroutable_reason();
        let ShownTrunk { trunk, state, warnings } = shown;
        let is_active = trunk.status == TrunkStatus::Active && trunk.health.status == HealthStatus::Healthy;
        Self {
            id: trunk.id.as_uuid(),
            user_id: trunk.account_id.as_uuid(),
            effective_transport: trunk.transport(),
            effective_srtp: trunk.effective_srtp(),
            current_active_calls: state.active_calls,
            last_health_check: trunk.health.checked_at,
            health_status: trunk.health.status,
            latency_ms: milliseconds(trunk.health.latency_us),
            latency_us: trunk.health.latency_us,
            packet_loss_percent: percent(trunk.health.loss_basis_points),
            cost_per_minute: money_number(trunk.cost_per_minute),
            monthly_cost: money_number(trunk.monthly_cost),
            currency: currency.to_owned(),
            utilization_percent: utilization_percent(state.active_calls.into(), trunk.max_concurrent_calls.into()),
            is_active,
            can_handle_call: is_active && state.active_calls < trunk.max_concurrent_calls,
            routable: unroutable.is_none(),
            unroutable_reason: unroutable.as_ref().map(Reason::code),
            unroutable_explanation: unroutable.as_ref().map(Reason::explanation),
            auth_failed: state.auth_failed,
            resting_until: state.resting_until,
            allowed_ips: trunk.allowed_ips.iter().map(network_text).collect(),
            failover_trunk_id: trunk.failover_trunk_id.map(tandem_model::TrunkId::as_uuid),
            name: trunk.name,
            description: trunk.description,
            provider: trunk.provider,
            status: trunk.status,
            sip_domain: trunk.sip_domain,
            sip_username: trunk.sip_username,
            sip_port: trunk.sip_port,
            sip_proxy: trunk.sip_proxy,
            auth_username: trunk.auth_username,
            call_direction: trunk.call_direction,
            max_concurrent_calls: trunk.max_concurrent_calls,
            encryption_enabled: trunk.encryption_enabled,
            priority: trunk.priority,
            inbound_routing: trunk.inbound_routing,
            outbound_routing: trunk.outbound_routing,
            codec_preferences: trunk.codec_preferences,
            dtmf_mode: trunk.dtmf_mode,
            custom_headers: trunk.custom_headers,
            advanced_config: trunk.advanced_config,
            created_at: trunk.created_at,
            updated_at: trunk.updated_at,
            warnings,
        }
    }
}

/// What a probe found.
#[derive(Serialize, ToSchema)]
#[schema(as = HealthCheck)]
pub(crate) struct HealthCheckView {
    trunk_id: Uuid,
    #[schema(value_type = model_schema::HealthStatus)]
    status: HealthStatus,
    /// Round trip in milliseconds with its fraction; none without an answer.
    latency_ms: Option<f64>,
    /// What one probe cannot tell: see `GET /trunks/{id}/health`.
    packet_loss_percent: Option<f64>,
    /// When it was probed.
    #[schema(value_type = Option<String>, format = DateTime)]
    timestamp: Option<Timestamp>,
    details: HealthCheckDetails,
    /// How the call went that was asked for; absent when none was.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    call: Option<TestedCallView>,
}

/// How a short call over a trunk went.
#[derive(Serialize, ToSchema)]
#[schema(as = TestedCall)]
pub(crate) struct TestedCallView {
    /// The call, as any: `GET /calls/{id}`.
    id: Uuid,
    /// Whether it was answered and the tone that was played came back.
    passed: bool,
    #[schema(value_type = model_schema::CallStatus)]
    status: CallStatus,
    /// Why it ended; `normal_clearing` when it was heard out.
    hangup_cause: Option<String>,
    /// The SIP code that its INVITE was answered with.
    sip_status: Option<u16>,
    /// From the INVITE until something was heard of the far telephone: ringing, or the answer.
    setup_ms: Option<u64>,
    /// From the INVITE to the answer.
    answer_ms: Option<u64>,
    /// `tone`: what was played came back, as from an echo. `sound`: something else was to be heard. `silence`: packets of it. `nothing`: no
    /// audio came. None when it was not answered.
    #[schema(value_type = Option<String>, pattern = "^(tone|sound|silence|nothing)$")]
    heard: Option<&'static str>,
    /// How much audio came, in milliseconds.
    audio_ms: Option<u64>,
    /// In how much of it the tone was to be heard.
    tone_ms: Option<u64>,
    /// The tone, in hertz.
    tone_hz: Option<u64>,
    /// How loud what came was, in dBm0; the tone is sent at -10.
    level_dbm0: Option<i64>,
    packets_sent: Option<u64>,
    packets_received: Option<u64>,
    /// Packets lost on the way to us.
    packets_lost: Option<i64>,
    /// Interarrival jitter (RFC 3550), in microseconds.
    jitter_us: Option<u64>,
    /// Mean opinion score of what came, from 1 to 4.41: the listening quality that the E-model (ITU-T G.107) expects of its codec and loss.
    /// None when less than half a second came.
    mos: Option<f64>,
}

/// How a probe went.
#[derive(Serialize, ToSchema)]
pub(crate) struct HealthCheckDetails {
    /// The SIP answer, if one came.
    sip_status: Option<u16>,
    /// Where the OPTIONS went, once the name was resolved.
    #[schema(value_type = Option<String>)]
    target: Option<SocketAddr>,
    /// What went wrong.
    failure: Option<String>,
    /// Round trip in microseconds.
    latency_us: Option<u64>,
}

impl HealthCheckView {
    pub(crate) fn new(trunk_id: Uuid, found: ProbeResult, tested: Option<&TestedCall>) -> Self {
        Self {
            trunk_id,
            call: tested.map(TestedCallView::from),
            status: found.health.status,
            latency_ms: milliseconds(found.health.latency_us),
            packet_loss_percent: percent(found.health.loss_basis_points),
            timestamp: found.health.checked_at,
            details: HealthCheckDetails {
                sip_status: found.sip_status,
                target: found.target,
                failure: found.failure,
                latency_us: found.health.latency_us,
            },
        }
    }
}

impl From<&TestedCall> for TestedCallView {
    fn from(tested: &TestedCall) -> Self {
        let TestedCall { record, leg, heard } = tested;
        let since = |at: Option<Timestamp>| {
            let began = leg.as_ref()?.started_at;
            Some(u64::try_from(at?.since(began).as_millis()).unwrap_or(u64::MAX))
        };
        let leg_times = leg.as_ref().map(|leg| (leg.ringing_at.or(leg.answered_at), leg.answered_at));
        let (heard_of_at, answered_at) = leg_times.unwrap_or_default();
        let media = leg.as_ref().and_then(|leg| leg.media.as_ref()).filter(|_| answered_at.is_some());
        let word = heard.map(|heard| match (heard.has_tone(), heard.has_sound(), heard.audio_ms) {
            (true, ..) => "tone",
            (false, true, _) => "sound",
            (false, false, 0) => "nothing",
            (false, false, _) => "silence",
        });
        Self {
            id: record.id.as_uuid(),
            passed: answered_at.is_some() && heard.is_some_and(|heard| heard.has_tone()),
            status: record.status,
            hangup_cause: record.hangup_cause.clone(),
            sip_status: leg.as_ref().and_then(|leg| leg.sip_status).or(record.sip_status),
            setup_ms: since(heard_of_at),
            answer_ms: since(answered_at),
            heard: word,
            audio_ms: heard.map(|heard| heard.audio_ms),
            tone_ms: heard.map(|heard| heard.tone_ms),
            tone_hz: heard.map(|heard| heard.tone_hz),
            level_dbm0: heard.and_then(|heard| heard.level_dbm0),
            packets_sent: media.map(|media| media.packets_sent),
            packets_received: media.map(|media| media.packets_received),
            packets_lost: media.and_then(|media| media.packets_lost),
            jitter_us: media.and_then(|media| media.jitter_us),
            mos: leg.as_ref().and_then(LegRecord::listening_quality),
        }
    }
}

/// As a fraction: most round trips within one data centre are shorter than a millisecond.
pub(super) fn milliseconds(latency_us: Option<u64>) -> Option<f64> {
    // The quotient of whole numbers is the float nearest to the decimal. An hour, where u32 ends, is longer than any probe waits.
    latency_us.map(|micros| f64::from(u32::try_from(micros).unwrap_or(u32::MAX)) / 1_000.0)
}

/// With two decimals, as it is measured.
pub(super) fn percent(basis_points: Option<u16>) -> Option<f64> {
    basis_points.map(|points| f64::from(points) / 100.0)
}

/// To two decimals.
#[expect(clippy::cast_precision_loss, reason = "calls at once are far fewer than 2^53")]
pub(super) fn utilization_percent(active: u64, limit: u64) -> f64 {
    (active as f64 * 10_000.0 / limit.max(1) as f64).round() / 100.0
}

/// A single address is written without its prefix length.
fn network_text(network: &IpNet) -> String {
    if network.prefix_len() == network.max_prefix_len() { network.addr().to_string() } else { network.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latency_is_shown_to_the_microsecond() {
        for (micros, shown) in [(489, "0.489"), (1_600, "1.6"), (3, "0.003"), (2_000, "2.0"), (123_456, "123.456")] {
            assert_eq!(serde_json::to_string(&milliseconds(Some(micros))).unwrap(), shown);
        }
    }
}
