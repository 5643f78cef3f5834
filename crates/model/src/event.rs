use crate::text_enum::text_enum;
use crate::{AccountId, EventId, JsonText, Timestamp};
use serde_json::{Map, Value};

text_enum! {
    /// What an event tells. `docs/events.md` says what each has in its data.
    pub enum EventType, error ParseEventTypeError("type of event") {
        /// A call began.
        CallInitiated = "call.initiated",
        /// The far end of a call rings.
        CallRinging = "call.ringing",
        /// A call was answered.
        CallAnswered = "call.answered",
        /// A call is over, however it ended.
        CallCompleted = "call.completed",
        /// An INVITE was refused, so that no call began.
        CallRefused = "call.refused",
        /// A trunk was added.
        TrunkCreated = "trunk.created",
        /// A trunk was changed.
        TrunkUpdated = "trunk.updated",
        /// A trunk was deleted.
        TrunkDeleted = "trunk.deleted",
        /// A trunk is of another health than before.
        TrunkHealthChanged = "trunk.health_changed",
        /// A number was added.
        NumberCreated = "number.created",
        /// A number was changed.
        NumberUpdated = "number.updated",
        /// A number was removed.
        NumberDeleted = "number.deleted",
        /// Credit was added.
        CreditToppedUp = "credit.topped_up",
        /// Credit was taken away.
        CreditAdjusted = "credit.adjusted",
        /// A call was refused or ended as the credit does not pay for it, for the first time since some was added.
        CreditExhausted = "credit.exhausted",
        /// An alert was raised.
        AlertRaised = "alert.raised",
        /// Somebody has taken an alert on.
        AlertAcknowledged = "alert.acknowledged",
        /// An alert is over.
        AlertResolved = "alert.resolved",
    }
}

/// Something that happened in an account, written in the transaction that changed it.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its id, the same wherever it is sent and however often.
    pub id: EventId,
    /// Whose.
    pub account_id: AccountId,
    /// Its place among the events of the account, from 1. Nothing is ever put before what could be read.
    pub sequence: u64,
    /// What it tells.
    pub kind: EventType,
    /// What it is about: the path of it below that of the API, as `calls/0199…`.
    pub subject: String,
    /// When it happened.
    pub at: Timestamp,
    /// What is told, per type. No secrets.
    pub data: JsonText<Map<String, Value>>,
}
