use crate::text_enum::text_enum;
use crate::{
    AccountId, CallDirection, CallId, Codec, HangupCause, JsonText, LegId, Money, Receipt, RefusedInvite, Timestamp,
    Transport, TrunkId,
};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use uuid::Uuid;

text_enum! {
    /// Where a call is, or how it ended, as call logs say it.
    pub enum CallStatus, error ParseCallStatusError("call status") {
        /// Begun.
        Initiated = "initiated",
        /// The far end rings, or plays early media.
        Ringing = "ringing",
        /// Answered.
        Answered = "answered",
        /// Was answered, is over.
        Completed = "completed",
        /// The far end was busy.
        Busy = "busy",
        /// Nobody answered in time.
        NoAnswer = "no_answer",
        /// Could not be connected.
        Failed = "failed",
        /// Hung up before the answer.
        Canceled = "canceled",
    }
}

impl CallStatus {
    /// Whether the call is over.
    #[must_use]
    pub const fn is_final(self) -> bool {
        match self {
            Self::Initiated | Self::Ringing | Self::Answered => false,
            Self::Completed | Self::Busy | Self::NoAnswer | Self::Failed | Self::Canceled => true,
        }
    }

    /// Whether somebody answered, as far as the status tells.
    #[must_use]
    pub const fn says_answered(self) -> bool {
        match self {
            Self::Answered | Self::Completed => true,
            Self::Initiated | Self::Ringing | Self::Busy | Self::NoAnswer | Self::Failed | Self::Canceled => false,
        }
    }

    /// Reads the spellings of providers too: `no-answer`, `in-progress`, `queued`, `cancelled`, `hangup`, ….
    ///
    /// # Errors
    /// [`ParseCallStatusError`] with the known spellings.
    pub fn parse_lenient(text: &str) -> Result<Self, ParseCallStatusError> {
        let normal = text.trim().to_ascii_lowercase().replace(['-', ' '], "_");
        match normal.as_str() {
            "queued" | "started" | "created" | "trying" | "originating" => Ok(Self::Initiated),
            "early" | "early_media" => Ok(Self::Ringing),
            "in_progress" | "active" | "connected" | "bridged" => Ok(Self::Answered),
            "complete" | "ended" | "hangup" | "finished" => Ok(Self::Completed),
            "unanswered" | "noanswer" | "timeout" => Ok(Self::NoAnswer),
            "cancelled" | "cancel" => Ok(Self::Canceled),
            "error" | "rejected" => Ok(Self::Failed),
            other => other.parse(),
        }
    }
}

text_enum! {
    /// Who carries a call.
    pub enum CarriedBy, error ParseCarriedByError("carrier of a call") {
        /// This switch.
        Tandem = "tandem",
        /// Something else; only logged here.
        External = "external",
    }
}

text_enum! {
    /// Who ended a call or leg.
    pub enum HungUpBy, error ParseHungUpByError("end of a call") {
        /// Who placed it, or is called in by the API.
        Caller = "caller",
        /// Who was called.
        Callee = "callee",
        /// A request to the API.
        Api = "api",
        /// The switch: a time-out, a limit, a stop.
        Switch = "switch",
    }
}

text_enum! {
    /// What a leg is.
    pub enum LegKind, error ParseLegKindError("kind of leg") {
        /// A SIP dialog, or an attempt at one.
        Sip = "sip",
    }
}

text_enum! {
    /// Where a leg is, or how it ended.
    pub enum LegStatus, error ParseLegStatusError("leg status") {
        /// INVITE sent.
        Trying = "trying",
        /// 180, or early media.
        Ringing = "ringing",
        /// 2xx.
        Answered = "answered",
        /// Was answered, is over.
        Completed = "completed",
        /// Ended without an answer.
        Failed = "failed",
        /// Given up by us before an answer.
        Canceled = "canceled",
    }
}

/// A call: one row of the call log. Each state of it is written whole; the last one wins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CallRecord {
    /// Our id.
    pub id: CallId,
    /// On whose account; `user_id` on the wire.
    pub account_id: AccountId,
    /// The client's id of the call, 1 to 100 characters, unique in the account; for calls placed by us the text of `id`.
    pub call_id: String,
    /// Trunk of its first trunk leg.
    pub trunk_id: Option<TrunkId>,
    /// Direction of its first trunk leg.
    pub direction: CallDirection,
    /// Who carries it.
    pub carried_by: CarriedBy,
    /// Opaque.
    pub conversation_id: Option<Uuid>,
    /// As shown to the far end.
    pub from_number: String,
    /// As dialled.
    pub to_number: String,
    /// All of a SIP target.
    pub to_uri: Option<String>,
    /// When it began.
    pub started_at: Timestamp,
    /// When it was answered.
    pub answered_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Answer to end by the monotonic clock, in milliseconds; 0 when never answered, `None` until it ended. By UTC where another process
    /// than that of the answer closed it.
    pub duration_ms: Option<u64>,
    /// Where it is.
    pub status: CallStatus,
    /// Why it ended: for our calls the name of a [`HangupCause`], for external ones what the client wrote (at most 50 characters).
    pub hangup_cause: Option<String>,
    /// The SIP code that ended it.
    pub sip_status: Option<u16>,
    /// Who ended it.
    pub hung_up_by: Option<HungUpBy>,
    /// 1 to 5, as the client says; never made up.
    pub quality_score: Option<f64>,
    /// Codec of its first answered leg.
    pub codec_used: Option<String>,
    /// Call-ID of its first trunk leg.
    pub sip_call_id: Option<String>,
    /// Far address of its first trunk leg.
    pub remote_ip: Option<String>,
    /// Sum of its legs; `None` until it ended, and when that of a leg is not known.
    pub cost: Option<Money>,
    /// Its cost in credits, rounded up to whole ones once it ended, or what the client says instead.
    pub credits_used: Option<Money>,
    /// The client's.
    #[serde(with = "crate::json_text::object")]
    pub metadata: serde_json::Map<String, serde_json::Value>,
    /// How it was routed; none for external calls. Absent in a later state of a call means unchanged.
    pub receipt: Option<JsonText<Receipt>>,
    /// When the row was made.
    pub created_at: Timestamp,
}

/// One attempt or leg of a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LegRecord {
    /// Its id.
    pub id: LegId,
    /// Of which call.
    pub call_id: CallId,
    /// On whose account.
    pub account_id: AccountId,
    /// Place among the legs of the call, from 1.
    pub number: u32,
    /// What it is.
    pub kind: LegKind,
    /// Over which trunk.
    pub trunk_id: Option<TrunkId>,
    /// Seen from us.
    pub direction: CallDirection,
    /// The Request-URI.
    pub request_uri: String,
    /// When its INVITE went out or came.
    pub started_at: Timestamp,
    /// First 18x.
    pub ringing_at: Option<Timestamp>,
    /// 2xx.
    pub answered_at: Option<Timestamp>,
    /// BYE, final code, or given up.
    pub ended_at: Option<Timestamp>,
    /// Answer to end, as of a call; `None` until it ended.
    pub duration_ms: Option<u64>,
    /// Where it is.
    pub status: LegStatus,
    /// Why it ended.
    pub cause: Option<HangupCause>,
    /// Final SIP code.
    pub sip_status: Option<u16>,
    /// Who ended it.
    pub hung_up_by: Option<HungUpBy>,
    /// Agreed codec.
    pub codec: Option<Codec>,
    /// The Call-ID header.
    pub sip_call_id: String,
    /// What was used.
    pub transport: Transport,
    /// Far signalling address.
    pub remote_address: Option<SocketAddr>,
    /// Billed time in seconds; `None` until it ended, and where the cost is not known.
    pub billed_seconds: Option<u64>,
    /// `None` until it ended; zero when never answered. Not known, so `None`, when the process died during the call and its trunk was
    /// deleted before the next one closed it.
    pub cost: Option<Money>,
    /// What its media port counted; `None` until it ended, or without a port.
    pub media: Option<LegMedia>,
}

/// What the media port of a leg counted. Values are measured, or `None`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LegMedia {
    /// RTP packets heard and accepted.
    pub packets_received: u64,
    /// Their payload bytes.
    pub bytes_received: u64,
    /// RTP packets sent.
    pub packets_sent: u64,
    /// Their payload bytes.
    pub bytes_sent: u64,
    /// Packets lost on the way to us, by sequence number (RFC 3550 A.3).
    pub packets_lost: Option<i64>,
    /// Interarrival jitter (RFC 3550 §6.4.1), in microseconds.
    pub jitter_us: Option<u64>,
    /// Round trip by RTCP, in microseconds.
    pub round_trip_us: Option<u64>,
    /// Packets refused: wrong source, malformed, or of a payload type that was not agreed.
    pub packets_refused: u64,
    /// The address that audio came from.
    pub remote_rtp: Option<SocketAddr>,
}

text_enum! {
    /// What a call event tells.
    pub enum EventKind, error ParseEventKindError("call event") {
        /// The call began.
        Initiated = "initiated",
        /// Routing decided.
        Routed = "routed",
        /// A leg's INVITE went out.
        LegStarted = "leg_started",
        /// A leg rings.
        LegRinging = "leg_ringing",
        /// A leg has early media.
        LegEarlyMedia = "leg_early_media",
        /// A leg answered.
        LegAnswered = "leg_answered",
        /// A leg ended or was given up.
        LegEnded = "leg_ended",
        /// Two legs hear each other, or a leg hears what it was connected to.
        Connected = "connected",
        /// The far end put us on hold.
        Held = "held",
        /// The far end took us from hold.
        Resumed = "resumed",
        /// A leg's audio came from this address first.
        MediaLatched = "media_latched",
        /// What a call that tests a trunk has heard.
        AudioChecked = "audio_checked",
        /// The call ended.
        Ended = "ended",
    }
}

/// One step of a call, for its timeline. Written once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CallEvent {
    /// Of which call.
    pub call_id: CallId,
    /// On whose account.
    pub account_id: AccountId,
    /// Place in the call's timeline, from 1; unique in the call.
    pub number: u32,
    /// Of which leg.
    pub leg_id: Option<LegId>,
    /// When.
    pub at: Timestamp,
    /// What.
    pub kind: EventKind,
    /// More, per kind.
    pub detail: JsonText<serde_json::Map<String, serde_json::Value>>,
}

/// A call with its legs and events.
#[derive(Clone, Debug, PartialEq)]
pub struct LiveCall {
    /// The call.
    pub record: CallRecord,
    /// Its legs, in order.
    pub legs: Vec<LegRecord>,
    /// Its timeline, in order.
    pub events: Vec<CallEvent>,
}

/// What the call path gives to the store. Calls and legs are states that replace the earlier one of the same id; events are added.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Record {
    /// A state of a call.
    Call(Box<CallRecord>),
    /// A state of a leg.
    Leg(Box<LegRecord>),
    /// A step.
    Event(CallEvent),
    /// An INVITE that was refused, so that no call began. Written once.
    Refusal(Box<RefusedInvite>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_spellings_of_providers() {
        assert_eq!(CallStatus::parse_lenient("no-answer"), Ok(CallStatus::NoAnswer));
        assert_eq!(CallStatus::parse_lenient("in-progress"), Ok(CallStatus::Answered));
        assert_eq!(CallStatus::parse_lenient("Completed"), Ok(CallStatus::Completed));
        assert!(CallStatus::parse_lenient("gone").unwrap_err().to_string().contains("initiated, ringing"));
    }
}
