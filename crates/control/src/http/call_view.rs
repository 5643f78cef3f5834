use crate::http::model_schema;
use crate::service;
use crate::wire::money_number;
use serde::Serialize;
use serde_json::{Map, Number, Value};
use std::net::SocketAddr;
use tandem_model::{
    CallDirection, CallEvent, CallRecord, CallStatus, CarriedBy, EventKind, HangupCause, HungUpBy, JsonText, LegKind,
    LegMedia, LegRecord, LegStatus, Timestamp, Transport,
};
use utoipa::ToSchema;
use uuid::Uuid;

/// A call in the call log.
#[derive(Serialize, ToSchema)]
#[schema(as = CallLog)]
pub(crate) struct CallView {
    id: Uuid,
    /// The account.
    user_id: Uuid,
    /// The trunk of its first trunk leg.
    sip_trunk_id: Option<Uuid>,
    conversation_id: Option<Uuid>,
    /// The client's id of the call; for calls placed here the text of `id`.
    call_id: String,
    #[schema(value_type = model_schema::CallDirection)]
    direction: CallDirection,
    from_number: String,
    to_number: String,
    /// All of a SIP target.
    to_uri: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    started_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    answered_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    ended_at: Option<Timestamp>,
    /// Answer to end, in whole seconds that have passed; `duration_ms` is exact.
    duration_seconds: Option<u64>,
    /// Answer to end, in milliseconds; none until the call is over.
    duration_ms: Option<u64>,
    #[schema(value_type = model_schema::CallStatus)]
    status: CallStatus,
    /// Why it ended.
    hangup_cause: Option<String>,
    /// The SIP code that ended it.
    sip_status: Option<u16>,
    /// Who ended it.
    #[schema(value_type = Option<model_schema::HungUpBy>)]
    hung_up_by: Option<HungUpBy>,
    /// 1 to 5, as the client says.
    quality_score: Option<f64>,
    codec_used: Option<String>,
    sip_call_id: Option<String>,
    remote_ip: Option<String>,
    /// Sum of its legs; none until the call is over.
    #[schema(value_type = Option<f64>)]
    cost: Option<Number>,
    #[schema(value_type = Option<f64>)]
    credits_used: Option<Number>,
    /// The currency of `cost`.
    currency: String,
    #[schema(value_type = Object)]
    metadata: Map<String, Value>,
    /// Whether the switch carries it, or something else.
    #[schema(value_type = model_schema::CarriedBy)]
    carried_by: CarriedBy,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// It was answered and is over.
    is_completed: bool,
    /// It was answered, though it may not be known when.
    was_answered: bool,
    /// What is worth knowing about the request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    warnings: Vec<String>,
}

impl CallView {
    pub(crate) fn new(call: CallRecord, currency: &str) -> Self {
        let was_answered = service::was_answered(&call);
        Self {
            id: call.id.as_uuid(),
            user_id: call.account_id.as_uuid(),
            sip_trunk_id: call.trunk_id.map(tandem_model::TrunkId::as_uuid),
            conversation_id: call.conversation_id,
            call_id: call.call_id,
            direction: call.direction,
            from_number: call.from_number,
            to_number: call.to_number,
            to_uri: call.to_uri,
            started_at: call.started_at,
            answered_at: call.answered_at,
            ended_at: call.ended_at,
            duration_seconds: call.duration_ms.map(|millis| millis / 1_000),
            duration_ms: call.duration_ms,
            status: call.status,
            hangup_cause: call.hangup_cause,
            sip_status: call.sip_status,
            hung_up_by: call.hung_up_by,
            quality_score: call.quality_score,
            codec_used: call.codec_used,
            sip_call_id: call.sip_call_id,
            remote_ip: call.remote_ip,
            cost: call.cost.map(money_number),
            credits_used: call.credits_used.map(money_number),
            currency: currency.to_owned(),
            metadata: call.metadata,
            carried_by: call.carried_by,
            created_at: call.created_at,
            is_completed: call.status == CallStatus::Completed,
            was_answered,
            warnings: Vec::new(),
        }
    }

    pub(crate) fn with_warnings(self, warnings: Vec<String>) -> Self {
        Self { warnings, ..self }
    }
}

/// One attempt or leg of a call.
#[derive(Serialize, ToSchema)]
#[schema(as = CallLeg)]
pub(crate) struct LegView {
    id: Uuid,
    call_id: Uuid,
    /// Place among the legs of the call, from 1.
    number: u32,
    #[schema(value_type = model_schema::LegKind)]
    kind: LegKind,
    sip_trunk_id: Option<Uuid>,
    /// Seen from the switch.
    #[schema(value_type = model_schema::CallDirection)]
    direction: CallDirection,
    request_uri: String,
    #[schema(value_type = String, format = DateTime)]
    started_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    ringing_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    answered_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    ended_at: Option<Timestamp>,
    /// Answer to end, in milliseconds; none until it is over.
    duration_ms: Option<u64>,
    #[schema(value_type = model_schema::LegStatus)]
    status: LegStatus,
    #[schema(value_type = Option<model_schema::HangupCause>)]
    hangup_cause: Option<HangupCause>,
    sip_status: Option<u16>,
    #[schema(value_type = Option<model_schema::HungUpBy>)]
    hung_up_by: Option<HungUpBy>,
    /// Agreed codec.
    codec: Option<&'static str>,
    /// The Call-ID header.
    sip_call_id: String,
    #[schema(value_type = model_schema::Transport)]
    transport: Transport,
    /// Far signalling address.
    #[schema(value_type = Option<String>)]
    remote_address: Option<SocketAddr>,
    /// Billed time; none until it is over.
    billed_seconds: Option<u64>,
    #[schema(value_type = Option<f64>)]
    cost: Option<Number>,
    /// What its media port counted; none until it is over, or without a port.
    media: Option<LegMediaView>,
    /// Mean opinion score of what came, from 1 to 4.41: the listening quality that the E-model (ITU-T G.107) expects of its loss. None
    /// before the end, when less than half a second came, and of other codecs than G.711.
    mos: Option<f64>,
}

/// What the media port of a leg counted. Values are measured, or null.
#[derive(Serialize, ToSchema)]
#[schema(as = LegMedia)]
pub(crate) struct LegMediaView {
    packets_received: u64,
    bytes_received: u64,
    packets_sent: u64,
    bytes_sent: u64,
    /// Lost on the way to the switch, by sequence number (RFC 3550 A.3); negative when packets came twice.
    packets_lost: Option<i64>,
    /// Interarrival jitter (RFC 3550 §6.4.1).
    jitter_us: Option<u64>,
    /// Round trip by RTCP.
    round_trip_us: Option<u64>,
    /// Wrong source, malformed, or of a payload type that was not agreed.
    packets_refused: u64,
    /// The address that audio came from.
    #[schema(value_type = Option<String>)]
    remote_rtp: Option<SocketAddr>,
}

impl From<LegRecord> for LegView {
    fn from(leg: LegRecord) -> Self {
        Self {
            mos: leg.listening_quality(),
            id: leg.id.as_uuid(),
            call_id: leg.call_id.as_uuid(),
            number: leg.number,
            kind: leg.kind,
            sip_trunk_id: leg.trunk_id.map(tandem_model::TrunkId::as_uuid),
            direction: leg.direction,
            request_uri: leg.request_uri,
            started_at: leg.started_at,
            ringing_at: leg.ringing_at,
            answered_at: leg.answered_at,
            ended_at: leg.ended_at,
            duration_ms: leg.duration_ms,
            status: leg.status,
            hangup_cause: leg.cause,
            sip_status: leg.sip_status,
            hung_up_by: leg.hung_up_by,
            codec: leg.codec.map(tandem_model::Codec::as_str),
            sip_call_id: leg.sip_call_id,
            transport: leg.transport,
            remote_address: leg.remote_address,
            billed_seconds: leg.billed_seconds,
            cost: leg.cost.map(money_number),
            media: leg.media.map(LegMediaView::from),
        }
    }
}

impl From<LegMedia> for LegMediaView {
    fn from(media: LegMedia) -> Self {
        Self {
            packets_received: media.packets_received,
            bytes_received: media.bytes_received,
            packets_sent: media.packets_sent,
            bytes_sent: media.bytes_sent,
            packets_lost: media.packets_lost,
            jitter_us: media.jitter_us,
            round_trip_us: media.round_trip_us,
            packets_refused: media.packets_refused,
            remote_rtp: media.remote_rtp,
        }
    }
}

/// One step of a call.
#[derive(Serialize, ToSchema)]
#[schema(as = CallEvent)]
pub(crate) struct EventView {
    /// Place in the timeline, from 1.
    number: u32,
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    #[schema(value_type = model_schema::EventKind)]
    kind: EventKind,
    leg_id: Option<Uuid>,
    /// More, per kind.
    #[schema(value_type = Object)]
    detail: JsonText<Map<String, Value>>,
}

impl From<CallEvent> for EventView {
    fn from(event: CallEvent) -> Self {
        Self {
            number: event.number,
            at: event.at,
            kind: event.kind,
            leg_id: event.leg_id.map(tandem_model::LegId::as_uuid),
            detail: event.detail,
        }
    }
}
