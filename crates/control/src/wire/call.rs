use crate::wire::fields::{Fields, Invalid, Parsed, UnknownFields, string_of};
use crate::wire::money::money_of;
use serde_json::{Map, Value};
use std::time::Duration;
use tandem_model::{CallDirection, CallStatus, LONGEST_CALL, Money, Timestamp, TrunkId};
use uuid::Uuid;

/// A call that something else carries, to be logged.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NewCall {
    pub(crate) call_id: String,
    pub(crate) trunk_id: TrunkId,
    pub(crate) direction: CallDirection,
    pub(crate) from_number: String,
    pub(crate) to_number: String,
    pub(crate) started_at: Timestamp,
    pub(crate) status: CallStatus,
    pub(crate) conversation_id: Option<Uuid>,
    pub(crate) sip_call_id: Option<String>,
    pub(crate) remote_ip: Option<String>,
    pub(crate) metadata: Map<String, Value>,
}

/// A change of a logged call. `None` leaves a field, and so does `null`: clients send whole objects with what they know.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct CallChange {
    pub(crate) answered_at: Option<Timestamp>,
    pub(crate) ended_at: Option<Timestamp>,
    pub(crate) status: Option<CallStatus>,
    pub(crate) hangup_cause: Option<String>,
    pub(crate) quality_score: Option<f64>,
    pub(crate) codec_used: Option<String>,
    pub(crate) duration: Option<Duration>,
    pub(crate) cost: Option<Money>,
    pub(crate) credits_used: Option<Money>,
    pub(crate) metadata: Option<Map<String, Value>>,
}

impl NewCall {
    /// Reads the body of `POST /calls`.
    pub(crate) fn parse(body: Map<String, Value>) -> Result<Parsed<Self>, Invalid> {
        let mut fields = Fields::new(body, UnknownFields::Warn);
        let new = Self::read(&mut fields);
        fields.finish(new)
    }

    pub(super) fn read(fields: &mut Fields) -> Option<Self> {
        let call_id = fields.text("call_id", 1..=100);
        let call_id = fields.require("call_id", call_id);
        let trunk_id = fields.choice("sip_trunk_id");
        let trunk_id = fields.require("sip_trunk_id", trunk_id);
        let direction = fields.read("direction", direction_of);
        let direction = fields.require("direction", direction);
        let from_number = fields.text("from_number", 1..=20);
        let from_number = fields.require("from_number", from_number);
        let to_number = fields.text("to_number", 1..=20);
        let to_number = fields.require("to_number", to_number);
        let started_at = fields.choice("started_at");
        let started_at = fields.require("started_at", started_at);
        let status = fields.read("status", status_of);
        let status = fields.require("status", status);
        let conversation_id = fields.read("conversation_id", uuid_of).value();
        let sip_call_id = fields.text("sip_call_id", 0..=255).value();
        let remote_ip = fields.text("remote_ip", 0..=45).value();
        let metadata = fields.metadata().value().unwrap_or_default();
        Some(Self {
            call_id: call_id?,
            trunk_id: trunk_id?,
            direction: direction?,
            from_number: from_number?,
            to_number: to_number?,
            started_at: started_at?,
            status: status?,
            conversation_id,
            sip_call_id,
            remote_ip,
            metadata,
        })
    }
}

impl CallChange {
    /// Reads the body of `PUT /calls/{call_id}`.
    pub(crate) fn parse(body: Map<String, Value>) -> Result<Parsed<Self>, Invalid> {
        let mut fields = Fields::new(body, UnknownFields::Warn);
        let change = Self::read(&mut fields);
        fields.finish(Some(change))
    }

    pub(super) fn read(fields: &mut Fields) -> Self {
        Self {
            answered_at: fields.choice("answered_at").value(),
            ended_at: fields.choice("ended_at").value(),
            status: fields.read("status", status_of).value(),
            hangup_cause: fields.text("hangup_cause", 0..=50).value(),
            quality_score: fields.read("quality_score", quality_of).value(),
            codec_used: fields.text("codec_used", 0..=20).value(),
            duration: fields.read("duration_seconds", duration_of).value(),
            cost: fields.read("cost", money_of).value(),
            credits_used: fields.read("credits_used", money_of).value(),
            metadata: fields.metadata().value(),
        }
    }

    /// Names of the fields that only who carries the call can know, as far as the change has them.
    pub(crate) fn carriers_fields(&self) -> Vec<&'static str> {
        let sent = [
            ("answered_at", self.answered_at.is_some()),
            ("ended_at", self.ended_at.is_some()),
            ("status", self.status.is_some()),
            ("hangup_cause", self.hangup_cause.is_some()),
            ("codec_used", self.codec_used.is_some()),
            ("duration_seconds", self.duration.is_some()),
            ("cost", self.cost.is_some()),
        ];
        sent.into_iter().filter(|(_, sent)| *sent).map(|(name, _)| name).collect()
    }
}

pub(crate) fn uuid_of(value: &Value) -> Result<Uuid, String> {
    Uuid::try_parse(string_of(value)?).map_err(|_| "must be a UUID".to_owned())
}

fn direction_of(value: &Value) -> Result<CallDirection, String> {
    match string_of(value)?.parse() {
        Ok(CallDirection::Bidirectional) => Err("a call is inbound or outbound".to_owned()),
        Ok(direction @ (CallDirection::Inbound | CallDirection::Outbound)) => Ok(direction),
        Err(error) => Err(format!("{error}")),
    }
}

fn status_of(value: &Value) -> Result<CallStatus, String> {
    CallStatus::parse_lenient(string_of(value)?).map_err(|error| error.to_string())
}

fn quality_of(value: &Value) -> Result<f64, &'static str> {
    value.as_f64().filter(|score| (1.0..=5.0).contains(score)).ok_or("must be a number from 1 to 5")
}

fn duration_of(value: &Value) -> Result<Duration, String> {
    let longest = LONGEST_CALL.as_secs_f64();
    let wrong = || format!("must be a number of seconds from 0 to {longest}");
    let seconds = value.as_f64().filter(|seconds| (0.0..=longest).contains(seconds)).ok_or_else(wrong)?;
    Duration::try_from_secs_f64(seconds).map_err(|_| wrong())
}
