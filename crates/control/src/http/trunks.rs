use crate::Services;
use crate::http::body::{JsonObject, OptionalJsonObject};
use crate::http::etag::Tagged;
use crate::http::json::Json;
use crate::http::problem::{Problem, ProblemDocument};
use crate::http::problem_schema::{InvalidFields, NoAnswer, NoSuchTrunk, Unauthorized};
use crate::http::query::{AskedList, List, PageQuery, TrunkFilterQuery, TrunkQuery};
use crate::http::request_schema::{HealthCheckRequest, TrunkCreate, TrunkUpdate};
use crate::http::trunk_view::{HealthCheckView, TrunkView};
use crate::service::{Caller, Ticket};
use crate::wire::{HealthCheck, NewTrunk, TrunkChange};
use axum::Extension;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use tandem_model::TrunkId;
use tandem_store::Versioned;

/// Trunks by priority, then age. With `health` a page may be short, or empty, though there is more, and then has a `next` link.
#[utoipa::path(
    get,
    path = "/trunks",
    operation_id = "list_trunks",
    tag = "trunks",
    params(TrunkFilterQuery, PageQuery),
    responses(
        (status = 200, description = "The trunks.", body = Vec<TrunkView>),
        Unauthorized,
        InvalidFields,
        NoAnswer,
    )
)]
pub(crate) async fn list(
    State(services): State<Services>,
    caller: Caller,
    asked: AskedList<TrunkQuery>,
) -> Result<List<TrunkView>, Problem> {
    let page = services.trunks.list(&caller, &asked.request).await?;
    asked.answer(page, |trunk| TrunkView::new(trunk, &services.currency))
}

/// Make a trunk. It takes calls at once (`routable`), and is probed once in the background, so that its health is not known yet.
#[utoipa::path(
    post,
    path = "/trunks",
    operation_id = "create_trunk",
    tag = "trunks",
    request_body = TrunkCreate,
    responses(
        (status = 201, description = "The trunk.", body = TrunkView),
        (status = 400, description = "The account has all its trunks.", body = ProblemDocument,
            content_type = "application/problem+json"),
        Unauthorized,
        (status = 403, description = "The caller lacks the permission `write`, may not act for the account, or sets a price that is the operator's to set: see `prices_are_the_operators`.", body = ProblemDocument,
            content_type = "application/problem+json"),
        InvalidFields,
        NoAnswer,
    )
)]
pub(crate) async fn create(
    State(services): State<Services>,
    caller: Caller,
    ticket: Option<Extension<Ticket>>,
    JsonObject(body): JsonObject,
) -> Result<Tagged<(StatusCode, Json<TrunkView>)>, Problem> {
    let new = NewTrunk::parse(body)?;
    let trunk = services.trunks.create(&caller, new, ticket.as_deref()).await?;
    let version = trunk.trunk.version();
    Ok(Tagged(version, (StatusCode::CREATED, Json(TrunkView::new(trunk, &services.currency)))))
}

/// One trunk.
#[utoipa::path(
    get,
    path = "/trunks/{id}",
    operation_id = "read_trunk",
    tag = "trunks",
    params(("id" = Uuid, Path, description = "The trunk.")),
    responses(
        (status = 200, description = "The trunk.", body = TrunkView),
        Unauthorized,
        NoSuchTrunk,
        NoAnswer,
    )
)]
pub(crate) async fn read(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Tagged<Json<TrunkView>>, Problem> {
    let trunk = services.trunks.read(&caller, trunk_id(&id)?).await?;
    Ok(Tagged(trunk.trunk.version(), Json(TrunkView::new(trunk, &services.currency))))
}

/// Change a trunk: only the fields that are sent; `null` clears one that may be empty.
#[utoipa::path(
    put,
    path = "/trunks/{id}",
    operation_id = "update_trunk",
    tag = "trunks",
    params(("id" = Uuid, Path, description = "The trunk.")),
    request_body = TrunkUpdate,
    responses(
        (status = 200, description = "The trunk.", body = TrunkView),
        Unauthorized,
        (status = 403, description = "The caller lacks the permission `write`, may not act for the account, or sets a price that is the operator's to set: see `prices_are_the_operators`.", body = ProblemDocument,
            content_type = "application/problem+json"),
        NoSuchTrunk,
        InvalidFields,
        NoAnswer,
    )
)]
pub(crate) async fn update(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
    JsonObject(body): JsonObject,
) -> Result<Tagged<Json<TrunkView>>, Problem> {
    let id = trunk_id(&id)?;
    let change = TrunkChange::parse(body)?;
    let trunk = services.trunks.update(&caller, id, change).await?;
    Ok(Tagged(trunk.trunk.version(), Json(TrunkView::new(trunk, &services.currency))))
}

/// Delete a trunk without active calls. Its calls stay in the log.
#[utoipa::path(
    delete,
    path = "/trunks/{id}",
    operation_id = "delete_trunk",
    tag = "trunks",
    params(("id" = Uuid, Path, description = "The trunk.")),
    responses(
        (status = 204, description = "It is gone."),
        (status = 400, description = "It has active calls.", body = ProblemDocument,
            content_type = "application/problem+json"),
        Unauthorized,
        NoSuchTrunk,
        NoAnswer,
    )
)]
pub(crate) async fn delete(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    services.trunks.delete(&caller, trunk_id(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Probe a trunk now: a real OPTIONS, answered or given up before this answers.
///
/// With `call` a short call to that number follows over this trunk and no other, also when the trunk is not well: a tone is played for
/// some seconds, and what comes back is listened to for it. That takes 10 s at most, costs what the carrier takes for it, counts as any call, and
/// needs the permission `calls`.
#[utoipa::path(
    post,
    path = "/trunks/{id}/health-check",
    operation_id = "check_trunk_health",
    tag = "trunks",
    params(("id" = Uuid, Path, description = "The trunk.")),
    request_body = Option<HealthCheckRequest>,
    responses(
        (status = 200, description = "What the probe found, and the call.", body = HealthCheckView),
        Unauthorized,
        (status = 402, description = "The account's credit does not pay for the call.", body = ProblemDocument,
            content_type = "application/problem+json"),
        NoSuchTrunk,
        InvalidFields,
        (status = 429, description = "The account, or the trunk in this second, has all its calls.", body = ProblemDocument,
            content_type = "application/problem+json"),
        (status = 503, description = "The call path or the database does not answer, or too many probes are under way. Nothing was found; `Retry-After` says when to try again.", body = ProblemDocument,
            content_type = "application/problem+json"),
    )
)]
pub(crate) async fn check_health(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
    OptionalJsonObject(body): OptionalJsonObject,
) -> Result<Json<HealthCheckView>, Problem> {
    let id = trunk_id(&id)?;
    let check = HealthCheck::parse(body)?;
    let (found, tested) = services.trunks.check_health(&caller, id, check).await?;
    Ok(Json(HealthCheckView::new(id.as_uuid(), found, tested.as_ref())))
}

/// What is no UUID is no trunk of anybody.
pub(super) fn trunk_id(text: &str) -> Result<TrunkId, Problem> {
    text.parse().map_err(|_| Problem::no_such("trunk"))
}
