//! What a stream of events looks like.
#![expect(dead_code, reason = "the fields are documentation; the text is written by the service")]

use crate::http::model_schema;
use utoipa::ToSchema;
use uuid::Uuid;

/// Something that happened. The `data` of each type is in `docs/events.md`.
#[derive(ToSchema)]
#[schema(as = Event)]
pub(crate) struct EventView {
    /// The same wherever the event is told and however often.
    id: Uuid,
    #[schema(value_type = model_schema::EventType)]
    r#type: (),
    /// When it happened.
    #[schema(format = DateTime)]
    timestamp: String,
    /// The account.
    user_id: Uuid,
    /// Its place among the events of the account, from 1.
    sequence: u64,
    /// What it is about: a path below `/api/v1/telephony/`.
    subject: String,
    /// What is told, per type.
    #[schema(value_type = Object)]
    data: (),
}
