//! Numbers as clients see them and send them.

use crate::http::problem::ProblemDocument;
use crate::http::request_schema::InboundConnect;
use serde::Serialize;
use serde_json::{Map, Value};
use tandem_model::{Connect, PhoneNumber, Timestamp, TrunkId};
use utoipa::{IntoResponses, ToSchema};
use uuid::Uuid;

/// A number of the account.
#[derive(Serialize, ToSchema)]
#[schema(as = Number)]
pub(crate) struct NumberView {
    id: Uuid,
    /// The account.
    user_id: Uuid,
    /// With `+` and country code.
    number: String,
    label: Option<String>,
    /// Who talks to those who call it, unless a rule of the trunk names it.
    #[schema(value_type = InboundConnect)]
    connect: Connect,
    /// The only trunk by which calls to it are taken so; any of the account's without one.
    sip_trunk_id: Option<Uuid>,
    #[schema(value_type = Object)]
    metadata: Map<String, Value>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

impl From<PhoneNumber> for NumberView {
    fn from(number: PhoneNumber) -> Self {
        Self {
            id: number.id.as_uuid(),
            user_id: number.account_id.as_uuid(),
            number: number.number.as_str().to_owned(),
            label: number.label,
            connect: number.connect,
            sip_trunk_id: number.trunk_id.map(TrunkId::as_uuid),
            metadata: number.metadata,
            created_at: number.created_at,
            updated_at: number.updated_at,
        }
    }
}

/// A number to be added. Unknown fields are refused.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents JSON that wire reads field by field")]
pub(crate) struct NumberCreate {
    /// With `+` and country code; spaces and the like are dropped.
    #[schema(min_length = 1, max_length = 40)]
    number: String,
    #[schema(min_length = 1, max_length = 100)]
    label: Option<String>,
    /// Who talks to those who call it.
    connect: InboundConnect,
    /// The only trunk by which calls to it are taken so.
    sip_trunk_id: Option<Uuid>,
    /// At most 16 KiB as JSON.
    metadata: Option<Map<String, Value>>,
}

/// A change of a number: only what is sent changes; `null` clears what may be empty. Unknown fields are refused.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents JSON that wire reads field by field")]
pub(crate) struct NumberUpdate {
    #[schema(min_length = 1, max_length = 100)]
    label: Option<String>,
    #[schema(nullable = false)]
    connect: Option<InboundConnect>,
    sip_trunk_id: Option<Uuid>,
    /// At most 16 KiB as JSON.
    metadata: Option<Map<String, Value>>,
}

/// The account has no such number.
#[derive(IntoResponses)]
#[response(status = 404, content_type = "application/problem+json")]
#[expect(dead_code, reason = "documents an answer that Problem gives")]
pub(crate) struct NoSuchNumber(ProblemDocument);
