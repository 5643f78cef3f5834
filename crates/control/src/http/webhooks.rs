use crate::Services;
use crate::http::body::JsonObject;
use crate::http::etag::Tagged;
use crate::http::problem::{Problem, ProblemCode, ProblemDocument};
use crate::http::problem_schema::{InvalidFields, NoAnswer, Unauthorized};
use crate::http::query::Parameters;
use crate::http::webhook_schema::{
    NoSuchWebhook, WebhookEndpointCreate, WebhookEndpointUpdate, WebhookReplay as ReplayBody,
};
use crate::http::webhook_view::{
    WebhookDeliveryView, WebhookEndpointView, WebhookReplayedView, WebhookSecretView, WebhookTestedView,
};
use crate::service::{Caller, CreateWebhookError, EditWebhookError, MAX_ENDPOINTS};
use crate::wire::{NewWebhookEndpoint, WebhookEndpointEdit, WebhookReplay};
use axum::Json;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use tandem_model::WebhookEndpointId;
use tandem_store::{DeliveryState, FindWebhookError, Replay, Versioned};

/// How much of a list is asked for, as the OpenAPI document shows it.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "the fields are documentation; they are read by Parameters")]
pub(crate) struct PartQuery {
    /// How many to pass over.
    #[param(minimum = 0, maximum = 100_000, default = 0)]
    skip: Option<u32>,
    /// How many to give.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
}

/// Which part of a list is asked for.
#[derive(Clone, Copy)]
pub(crate) struct Page {
    skip: u32,
    limit: u32,
}

impl Page {
    fn read(parameters: &mut Parameters) -> Self {
        let skip = parameters.read("skip", SKIP_MESSAGE).unwrap_or(0);
        if skip > MAX_SKIP {
            parameters.refuse("skip", SKIP_MESSAGE);
        }
        let limit = parameters.read("limit", LIMIT_MESSAGE).unwrap_or(DEFAULT_LIMIT);
        if !(1..=MAX_LIMIT).contains(&limit) {
            parameters.refuse("limit", LIMIT_MESSAGE);
        }
        Self { skip, limit }
    }
}

impl<S: Sync> FromRequestParts<S> for Page {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let mut parameters = Parameters::of(parts);
        let page = Self::read(&mut parameters);
        parameters.finish(page)
    }
}

/// The query of a list of deliveries, as the OpenAPI document shows it.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "the field is documentation; it is read by Parameters")]
pub(crate) struct DeliveriesQuery {
    /// Only those that are `pending`, `delivered` or `dead`.
    state: Option<String>,
}

/// Which deliveries are asked for.
pub(crate) struct DeliveriesWanted {
    state: Option<DeliveryState>,
    page: Page,
}

impl<S: Sync> FromRequestParts<S> for DeliveriesWanted {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let mut parameters = Parameters::of(parts);
        let page = Page::read(&mut parameters);
        let state = parameters.read("state", "must be pending, delivered or dead");
        parameters.finish(Self { state, page })
    }
}

/// Webhook endpoints, oldest first.
#[utoipa::path(
    get,
    path = "/webhook-endpoints",
    operation_id = "list_webhook_endpoints",
    tag = "events",
    params(PartQuery),
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
    Page { skip, limit }: Page,
) -> Result<Json<Vec<WebhookEndpointView>>, Problem> {
    let endpoints = services.webhooks.list(&caller, skip, limit).await?;
    Ok(Json(endpoints.into_iter().map(WebhookEndpointView::from).collect()))
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
    JsonObject(body): JsonObject,
) -> Result<Tagged<(StatusCode, Json<WebhookSecretView>)>, Problem> {
    let new = NewWebhookEndpoint::parse(body)?;
    let (endpoint, secret) = services.webhooks.create(&caller, new).await?;
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
    params(("id" = Uuid, Path, description = "The endpoint."), DeliveriesQuery, PartQuery),
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
    DeliveriesWanted { state, page }: DeliveriesWanted,
) -> Result<Json<Vec<WebhookDeliveryView>>, Problem> {
    let id = endpoint_id(&id)?;
    let deliveries = services.webhooks.deliveries(&caller, id, state, page.skip, page.limit).await?;
    Ok(Json(deliveries.into_iter().map(WebhookDeliveryView::from).collect()))
}

/// Send an event again that was delivered or given up.
#[utoipa::path(
    post,
    path = "/webhook-endpoints/{id}/deliveries/{delivery_id}/replay",
    operation_id = "replay_webhook_delivery",
    tag = "events",
    params(("id" = Uuid, Path, description = "The endpoint."),
        ("delivery_id" = Uuid, Path, description = "The delivery.")),
    responses(
        (status = 202, description = "It is sent again, unless it is on its way.", body = WebhookReplayedView),
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

/// Send events again that happened since then and were delivered or given up: the oldest 10,000 that are kept.
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

/// Bounds as of every list.
const DEFAULT_LIMIT: u32 = 100;
const MAX_LIMIT: u32 = 1_000;
const LIMIT_MESSAGE: &str = "must be a whole number from 1 to 1000";
/// What is passed over is read all the same.
const MAX_SKIP: u32 = 100_000;
const SKIP_MESSAGE: &str = "must be a whole number from 0 to 100000";

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
