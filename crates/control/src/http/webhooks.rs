use crate::Services;
use crate::http::body::JsonObject;
use crate::http::etag::Tagged;
use crate::http::json::Json;
use crate::http::problem::{Problem, ProblemCode, ProblemDocument};
use crate::http::problem_schema::{InvalidFields, NoAnswer, Unauthorized};
use crate::http::query::{
    AskedList, DeliveryFilterQuery, DeliveryQuery, List, PageQuery, WebhookFilterQuery, WebhookQuery,
};
use crate::http::webhook_schema::{
    NoSuchWebhook, WebhookEndpointCreate, WebhookEndpointUpdate, WebhookReplay as ReplayBody,
};
use crate::http::webhook_view::{
    WebhookDeliveryView, WebhookEndpointView, WebhookReplayedView, WebhookSecretView, WebhookTestedView,
};
use crate::service::{Caller, CreateWebhookError, EditWebhookError, MAX_ENDPOINTS, Ticket};
use crate::wire::{NewWebhookEndpoint, WebhookEndpointEdit, WebhookReplay};
use axum::Extension;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use tandem_model::WebhookEndpointId;
use tandem_store::{FindWebhookError, Replay, Versioned};

/// Webhook endpoints, oldest first.
#[utoipa::path(
    get,
    path = "/webhook-endpoints",
    operation_id = "list_webhook_endpoints",
    tag = "events",
    params(WebhookFilterQuery, PageQuery),
    responses(
        (status = 200, description = "The endpoints.", body = Vec<WebhookEndpointView>),
        Unauthorized,
        InvalidFields,
        NoAnswer,
    )
)]
pub(crate) async fn list(
    State(services): State<Services>,
    caller: Caller,
    asked: AskedList<WebhookQuery>,
) -> Result<List<WebhookEndpointView>, Problem> {
    let page = services.webhooks.list(&caller, &asked.request).await?;
    asked.answer(page, WebhookEndpointView::from)
}

/// Make a webhook endpoint. Its secret is shown this once.
#[utoipa::path(
    post,
    path = "/webhook-endpoints",
    operation_id = "create_webhook_endpoint",
    tag = "events",
    request_body = WebhookEndpointCreate,
    responses(
        (status = 201, description = "The endpoint.", body = WebhookSecretView),
        (status = 409, description = "The account has all its endpoints.", body = ProblemDocument,
            content_type = "application/problem+json"),
        Unauthorized,
        InvalidFields,
        NoAnswer,
    )
)]
pub(crate) async fn create(
    State(services): State<Services>,
    caller: Caller,
    ticket: Option<Extension<Ticket>>,
    JsonObject(body): JsonObject,
) -> Result<Tagged<(StatusCode, Json<WebhookSecretView>)>, Problem> {
    let new = NewWebhookEndpoint::parse(body)?;
    let (endpoint, secret) = services.webhooks.create(&caller, new, ticket.as_deref()).await?;
    Ok(Tagged(endpoint.version(), (StatusCode::CREATED, Json(WebhookSecretView::new(endpoint, &secret)))))
}

/// One webhook endpoint.
#[utoipa::path(
    get,
    path = "/webhook-endpoints/{id}",
    operation_id = "read_webhook_endpoint",
    tag = "events",
    params(("id" = Uuid, Path, description = "The endpoint.")),
    responses(
        (status = 200, description = "The endpoint.", body = WebhookEndpointView),
        Unauthorized,
        NoSuchWebhook,
        NoAnswer,
    )
)]
pub(crate) async fn read(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Tagged<Json<WebhookEndpointView>>, Problem> {
    let endpoint = services.webhooks.read(&caller, endpoint_id(&id)?).await?;
    Ok(Tagged(endpoint.version(), Json(endpoint.into())))
}

/// Change a webhook endpoint.
#[utoipa::path(
    patch,
    path = "/webhook-endpoints/{id}",
    operation_id = "update_webhook_endpoint",
    tag = "events",
    params(("id" = Uuid, Path, description = "The endpoint.")),
    request_body = WebhookEndpointUpdate,
    responses(
        (status = 200, description = "The endpoint.", body = WebhookEndpointView),
        Unauthorized,
        NoSuchWebhook,
        InvalidFields,
        NoAnswer,
    )
)]
pub(crate) async fn update(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
    JsonObject(body): JsonObject,
) -> Result<Tagged<Json<WebhookEndpointView>>, Problem> {
    let id = endpoint_id(&id)?;
    let edit = WebhookEndpointEdit::parse(body)?;
    let endpoint = services.webhooks.edit(&caller, id, edit).await?;
    Ok(Tagged(endpoint.version(), Json(endpoint.into())))
}

/// Remove a webhook endpoint with its deliveries.
#[utoipa::path(
    delete,
    path = "/webhook-endpoints/{id}",
    operation_id = "delete_webhook_endpoint",
    tag = "events",
    params(("id" = Uuid, Path, description = "The endpoint.")),
    responses(
        (status = 204, description = "It is removed."),
        Unauthorized,
        NoSuchWebhook,
        NoAnswer,
    )
)]
pub(crate) async fn delete(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    services.webhooks.delete(&caller, endpoint_id(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Give an endpoint another secret, which is shown this once. For 24 hours events are signed with both.
#[utoipa::path(
    post,
    path = "/webhook-endpoints/{id}/rotate-secret",
    operation_id = "rotate_webhook_secret",
    tag = "events",
    params(("id" = Uuid, Path, description = "The endpoint.")),
    responses(
        (status = 200, description = "The endpoint.", body = WebhookSecretView),
        Unauthorized,
        NoSuchWebhook,
        NoAnswer,
    )
)]
pub(crate) async fn rotate_secret(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Tagged<Json<WebhookSecretView>>, Problem> {
    let (endpoint, secret) = services.webhooks.rotate_secret(&caller, endpoint_id(&id)?).await?;
    Ok(Tagged(endpoint.version(), Json(WebhookSecretView::new(endpoint, &secret))))
}

/// Send a test event, `webhook.test`, and wait for the answer. It is in no log.
#[utoipa::path(
    post,
    path = "/webhook-endpoints/{id}/test",
    operation_id = "test_webhook_endpoint",
    tag = "events",
    params(("id" = Uuid, Path, description = "The endpoint.")),
    responses(
        (status = 200, description = "What became of it.", body = WebhookTestedView),
        Unauthorized,
        NoSuchWebhook,
        NoAnswer,
    )
)]
pub(crate) async fn test(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<WebhookTestedView>, Problem> {
    Ok(Json(services.webhooks.test(&caller, endpoint_id(&id)?).await?.into()))
}

/// Deliveries of an endpoint, those of the newest events first. They are kept for a week.
#[utoipa::path(
    get,
    path = "/webhook-endpoints/{id}/deliveries",
    operation_id = "list_webhook_deliveries",
    tag = "events",
    params(("id" = Uuid, Path, description = "The endpoint."), DeliveryFilterQuery, PageQuery),
    responses(
        (status = 200, description = "The deliveries.", body = Vec<WebhookDeliveryView>),
        Unauthorized,
        NoSuchWebhook,
        InvalidFields,
        NoAnswer,
    )
)]
pub(crate) async fn deliveries(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
    asked: AskedList<DeliveryQuery>,
) -> Result<List<WebhookDeliveryView>, Problem> {
    let page = services.webhooks.deliveries(&caller, endpoint_id(&id)?, &asked.request).await?;
    asked.answer(page, WebhookDeliveryView::from)
}

/// Send an event again that was delivered or given up, or that waits for another attempt.
#[utoipa::path(
    post,
    path = "/webhook-endpoints/{id}/deliveries/{delivery_id}/replay",
    operation_id = "replay_webhook_delivery",
    tag = "events",
    params(("id" = Uuid, Path, description = "The endpoint."),
        ("delivery_id" = Uuid, Path, description = "The delivery.")),
    responses(
        (status = 202, description = "It is sent again, unless it is on its way: then `deliveries` is 0.", body = WebhookReplayedView),
        Unauthorized,
        NoSuchWebhook,
        NoAnswer,
    )
)]
pub(crate) async fn replay_one(
    State(services): State<Services>,
    caller: Caller,
    Path((id, delivery)): Path<(String, String)>,
) -> Result<(StatusCode, Json<WebhookReplayedView>), Problem> {
    let id = endpoint_id(&id)?;
    let delivery = delivery.parse().map_err(|_| Problem::from(FindWebhookError::NotFound))?;
    let deliveries = services.webhooks.replay(&caller, id, Replay::One(delivery)).await?;
    Ok((StatusCode::ACCEPTED, Json(WebhookReplayedView { deliveries })))
}

/// Send events again that happened since then: the oldest 10,000 that are kept and are not on their way. Those that wait for another
/// attempt need not wait.
#[utoipa::path(
    post,
    path = "/webhook-endpoints/{id}/replay",
    operation_id = "replay_webhook_deliveries",
    tag = "events",
    params(("id" = Uuid, Path, description = "The endpoint.")),
    request_body = ReplayBody,
    responses(
        (status = 202, description = "They are sent again.", body = WebhookReplayedView),
        Unauthorized,
        NoSuchWebhook,
        InvalidFields,
        NoAnswer,
    )
)]
pub(crate) async fn replay(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
    JsonObject(body): JsonObject,
) -> Result<(StatusCode, Json<WebhookReplayedView>), Problem> {
    let id = endpoint_id(&id)?;
    let WebhookReplay { since } = WebhookReplay::parse(body)?;
    let deliveries = services.webhooks.replay(&caller, id, Replay::Since(since)).await?;
    Ok((StatusCode::ACCEPTED, Json(WebhookReplayedView { deliveries })))
}

/// What is no UUID is no endpoint of anybody.
fn endpoint_id(text: &str) -> Result<WebhookEndpointId, Problem> {
    text.parse().map_err(|_| FindWebhookError::NotFound.into())
}

impl From<FindWebhookError> for Problem {
    fn from(error: FindWebhookError) -> Self {
        match error {
            FindWebhookError::NotFound => Self::no_such("webhook endpoint or delivery"),
            FindWebhookError::Stale(error) => error.into(),
            FindWebhookError::Database(error) => error.into(),
        }
    }
}

impl From<CreateWebhookError> for Problem {
    fn from(error: CreateWebhookError) -> Self {
        match error {
            CreateWebhookError::Invalid(invalid) => invalid.into(),
            CreateWebhookError::LimitReached => Self::new(
                ProblemCode::WebhookLimitReached,
                format!("the account has its {MAX_ENDPOINTS} webhook endpoints; remove those that nobody uses"),
            ),
            CreateWebhookError::Database(error) => error.into(),
        }
    }
}

impl From<EditWebhookError> for Problem {
    fn from(error: EditWebhookError) -> Self {
        match error {
            EditWebhookError::NotFound => FindWebhookError::NotFound.into(),
            EditWebhookError::Invalid(invalid) => invalid.into(),
            EditWebhookError::Stale(error) => error.into(),
            EditWebhookError::Database(error) => error.into(),
        }
    }
}
