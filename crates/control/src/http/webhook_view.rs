use crate::http::model_schema;
use crate::http::shown_once::ShownOnce;
use crate::service::Tested;
use serde::Serialize;
use tandem_model::{EventType, Secret, Timestamp};
use tandem_store::{DeliveryState, WebhookDelivery, WebhookEndpoint};
use utoipa::ToSchema;
use uuid::Uuid;

/// Where events of the account are sent.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookEndpoint)]
pub(crate) struct WebhookEndpointView {
    id: Uuid,
    /// The account.
    user_id: Uuid,
    url: String,
    description: String,
    /// All when empty.
    #[schema(value_type = Vec<model_schema::EventType>)]
    event_types: Vec<EventType>,
    enabled: bool,
    /// Why the node has disabled it: `gone` after an answer of 410. None when a person did.
    disabled_reason: Option<String>,
    /// Attempts in a row that failed.
    consecutive_failures: u32,
    /// Until when events are signed with the secret before, too.
    #[schema(value_type = Option<String>, format = DateTime)]
    previous_secret_until: Option<Timestamp>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

/// An endpoint with its secret, which is not shown again.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookEndpointWithSecret)]
pub(crate) struct WebhookSecretView {
    #[serde(flatten)]
    endpoint: WebhookEndpointView,
    /// What events are signed with.
    #[schema(value_type = String)]
    secret: ShownOnce,
}

/// An event on its way to an endpoint.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookDelivery)]
pub(crate) struct WebhookDeliveryView {
    id: Uuid,
    endpoint_id: Uuid,
    /// The `webhook-id` that it has.
    event_id: Uuid,
    #[schema(value_type = model_schema::EventType)]
    event_type: EventType,
    /// The event's place among those of the account.
    sequence: u64,
    subject: String,
    #[schema(value_type = model_schema::DeliveryState)]
    state: DeliveryStateText,
    attempts: u32,
    /// When it is tried next; none while an earlier event of its subject is pending.
    #[schema(value_type = Option<String>, format = DateTime)]
    next_attempt_at: Option<Timestamp>,
    /// When it is given up.
    #[schema(value_type = String, format = DateTime)]
    give_up_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    attempted_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    finished_at: Option<Timestamp>,
    /// The HTTP status of the last answer.
    last_status: Option<u16>,
    /// Why the last attempt failed.
    last_error: Option<String>,
    last_duration_ms: Option<u64>,
}

/// How many deliveries are sent again.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookReplayed)]
pub(crate) struct WebhookReplayedView {
    pub(crate) deliveries: u64,
}

/// What became of a test.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookTested)]
pub(crate) struct WebhookTestedView {
    /// The `webhook-id` that was sent.
    id: Uuid,
    /// Whether the endpoint took it.
    delivered: bool,
    /// The HTTP status, if there was an answer.
    status: Option<u16>,
    /// Why it failed.
    error: Option<String>,
    duration_ms: u64,
}

/// By its spelling.
#[derive(Clone, Copy, Debug)]
struct DeliveryStateText(DeliveryState);

impl Serialize for DeliveryStateText {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.as_str())
    }
}

impl From<WebhookEndpoint> for WebhookEndpointView {
    fn from(endpoint: WebhookEndpoint) -> Self {
        Self {
            id: endpoint.id.as_uuid(),
            user_id: endpoint.account_id.as_uuid(),
            url: endpoint.url,
            description: endpoint.description,
            event_types: endpoint.event_types,
            enabled: endpoint.enabled,
            disabled_reason: endpoint.disabled_reason,
            consecutive_failures: endpoint.failures,
            previous_secret_until: endpoint.previous_secret_until,
            created_at: endpoint.created_at,
            updated_at: endpoint.updated_at,
        }
    }
}

impl WebhookSecretView {
    pub(crate) fn new(endpoint: WebhookEndpoint, secret: &Secret) -> Self {
        Self { endpoint: endpoint.into(), secret: secret.into() }
    }
}

impl From<WebhookDelivery> for WebhookDeliveryView {
    fn from(delivery: WebhookDelivery) -> Self {
        Self {
            id: delivery.id.as_uuid(),
            endpoint_id: delivery.endpoint_id.as_uuid(),
            event_id: delivery.event_id.as_uuid(),
            event_type: delivery.kind,
            sequence: delivery.sequence,
            subject: delivery.subject,
            state: DeliveryStateText(delivery.state),
            attempts: delivery.attempts,
            next_attempt_at: delivery.due_at,
            give_up_at: delivery.give_up_at,
            created_at: delivery.created_at,
            attempted_at: delivery.attempted_at,
            finished_at: delivery.finished_at,
            last_status: delivery.last_status,
            last_error: delivery.last_error,
            last_duration_ms: delivery.last_duration_ms,
        }
    }
}

impl From<Tested> for WebhookTestedView {
    fn from(tested: Tested) -> Self {
        Self {
            id: tested.id.as_uuid(),
            delivered: tested.error.is_none(),
            status: tested.status,
            error: tested.error,
            duration_ms: u64::try_from(tested.duration.as_millis()).unwrap_or(u64::MAX),
        }
    }
}
