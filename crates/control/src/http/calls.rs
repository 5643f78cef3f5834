use crate::Services;
use crate::http::body::JsonObject;
use crate::http::call_view::{CallView, EventView, LegView};
use crate::http::etag::Tagged;
use crate::http::json::Json;
use crate::http::problem::{Problem, ProblemDocument};
use crate::http::problem_schema::{InvalidFields, NoAnswer, NoSuchCall, Unauthorized};
use crate::http::query::{AskedList, CallFilterQuery, CallQuery, List, PageQuery};
use crate::http::receipt_view::ReceiptView;
use crate::http::request_schema::{CallCreate, CallUpdate};
use crate::service::{Caller, Ticket};
use crate::wire::{CallChange, NewCall};
use axum::Extension;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use tandem_store::Versioned;

/// Log a call that something else carries. It takes a slot of its trunk until it ends, and is never refused for the trunk's capacity.
/// One that is over ends when it is logged; how long it was connected and what it cost can be told with PUT.
#[utoipa::path(
    post,
    path = "/calls",
    operation_id = "log_call",
    tag = "calls",
    request_body = CallCreate,
    responses(
        (status = 201, description = "The call.", body = CallView),
        (status = 400, description = "The account has no such trunk.", body = ProblemDocument,
            content_type = "application/problem+json"),
        Unauthorized,
        (status = 409, description = "The call is logged already, or the account's ledger cannot hold what it costs.", body = ProblemDocument,
            content_type = "application/problem+json"),
        InvalidFields,
        (status = 429, description = "The account has 10,000 logged calls that are not over.", body = ProblemDocument,
            content_type = "application/problem+json"),
        NoAnswer,
    )
)]
pub(crate) async fn create(
    State(services): State<Services>,
    caller: Caller,
    ticket: Option<Extension<Ticket>>,
    JsonObject(body): JsonObject,
) -> Result<Tagged<(StatusCode, Json<CallView>)>, Problem> {
    let new = NewCall::parse(body)?;
    let call = services.calls.create(&caller, new.value, ticket.as_deref()).await?;
    let version = call.version();
    Ok(Tagged(
        version,
        (StatusCode::CREATED, Json(CallView::new(call, &services.currency).with_warnings(new.warnings))),
    ))
}

/// Logged calls, newest first. A call that goes on shows its state of a moment ago.
///
/// Beside the parameters below, `metadata.KEY=VALUE` finds calls by a member of their metadata, up to five of them; a number, `true` or
/// `false` is written as JSON has it. `status`, `direction`, `hangup_cause`, `metadata.KEY`, and the second and further of
/// `conversation_id`, `to`, `from` and `trunk_id` are looked for in 10,000 calls at a time: a page may be short, or empty, though there
/// is more, and then has a `next` link as every page but the last. Unknown parameters are passed over, with a `Warning` header.
#[utoipa::path(
    get,
    path = "/calls",
    operation_id = "list_calls",
    tag = "calls",
    params(CallFilterQuery, PageQuery),
    responses(
        (status = 200, description = "The calls.", body = Vec<CallView>),
        Unauthorized,
        InvalidFields,
        NoAnswer,
    )
)]
pub(crate) async fn list(
    State(services): State<Services>,
    caller: Caller,
    asked: AskedList<CallQuery>,
) -> Result<List<CallView>, Problem> {
    let page = services.calls.list(&caller, &asked.request).await?;
    asked.answer(page, |call| CallView::new(call, &services.currency))
}

/// One call as it is now.
#[utoipa::path(
    get,
    path = "/calls/{id}",
    operation_id = "read_call",
    tag = "calls",
    params(("id" = String, Path, description = "The call's `id` or `call_id`.")),
    responses(
        (status = 200, description = "The call.", body = CallView),
        Unauthorized,
        NoSuchCall,
        NoAnswer,
    )
)]
pub(crate) async fn read(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Tagged<Json<CallView>>, Problem> {
    let call = services.calls.read(&caller, &id).await?;
    Ok(Tagged(call.version(), Json(CallView::new(call, &services.currency))))
}

/// Change a logged call. Ending it frees its slot, once. Of a call that the switch carries, only what is the client's can change.
#[utoipa::path(
    put,
    path = "/calls/{id}",
    operation_id = "update_call",
    tag = "calls",
    params(("id" = String, Path, description = "The call's `id` or `call_id`.")),
    request_body = CallUpdate,
    responses(
        (status = 200, description = "The call.", body = CallView),
        Unauthorized,
        NoSuchCall,
        (status = 409, description = "The account's ledger cannot hold what the call costs.", body = ProblemDocument,
            content_type = "application/problem+json"),
        InvalidFields,
        (status = 503, description = "The call began a moment ago and is not stored yet, or the database does not answer; `Retry-After` says when to try again.", body = ProblemDocument,
            content_type = "application/problem+json"),
    )
)]
pub(crate) async fn update(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
    JsonObject(body): JsonObject,
) -> Result<Tagged<Json<CallView>>, Problem> {
    let change = CallChange::parse(body)?;
    let call = services.calls.update(&caller, &id, change.value).await?;
    Ok(Tagged(call.version(), Json(CallView::new(call, &services.currency).with_warnings(change.warnings))))
}

/// How a call was routed: every trunk with its verdict, every attempt with its outcome.
#[utoipa::path(
    get,
    path = "/calls/{id}/route",
    operation_id = "read_call_route",
    tag = "calls",
    params(("id" = String, Path, description = "The call's `id` or `call_id`.")),
    responses(
        (status = 200, description = "The receipt.", body = ReceiptView),
        Unauthorized,
        (status = 404, description = "The account has no such call, or something else carries it.", body = ProblemDocument,
            content_type = "application/problem+json"),
        NoAnswer,
    )
)]
pub(crate) async fn route(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<ReceiptView>, Problem> {
    let receipt = services.calls.receipt(&caller, &id).await?;
    Ok(Json(ReceiptView::from(&receipt)))
}

/// The steps of a call, in order.
#[utoipa::path(
    get,
    path = "/calls/{id}/timeline",
    operation_id = "read_call_timeline",
    tag = "calls",
    params(("id" = String, Path, description = "The call's `id` or `call_id`.")),
    responses(
        (status = 200, description = "The steps.", body = Vec<EventView>),
        Unauthorized,
        NoSuchCall,
        NoAnswer,
    )
)]
pub(crate) async fn timeline(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Vec<EventView>>, Problem> {
    let events = services.calls.events(&caller, &id).await?;
    Ok(Json(events.into_iter().map(EventView::from).collect()))
}

/// The attempts and legs of a call, in order.
#[utoipa::path(
    get,
    path = "/calls/{id}/legs",
    operation_id = "read_call_legs",
    tag = "calls",
    params(("id" = String, Path, description = "The call's `id` or `call_id`.")),
    responses(
        (status = 200, description = "The legs.", body = Vec<LegView>),
        Unauthorized,
        NoSuchCall,
        NoAnswer,
    )
)]
pub(crate) async fn legs(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Vec<LegView>>, Problem> {
    let legs = services.calls.legs(&caller, &id).await?;
    Ok(Json(legs.into_iter().map(LegView::from).collect()))
}
