use crate::row::to_json;
use serde::Serialize;
use tandem_model::{AccountId, EventId, EventType, Timestamp};

/// An event before it has its place.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) id: EventId,
    pub(crate) account: AccountId,
    pub(crate) kind: EventType,
    pub(crate) subject: String,
    /// When what it tells happened.
    pub(crate) at: Timestamp,
    /// JSON.
    pub(crate) data: String,
}

impl Draft {
    /// An event about what stands at `subject` below the path of the API: `calls/0199…`. There must be no secret in its data.
    pub(crate) fn new(
        account: AccountId,
        kind: EventType,
        subject: String,
        at: Timestamp,
        data: &impl Serialize,
    ) -> Result<Self, getrandom::Error> {
        let id = EventId::new(at, crate::store::random()?);
        Ok(Self { id, account, kind, subject, at, data: to_json(data) })
    }
}
