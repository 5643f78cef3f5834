use crate::Services;
use crate::http::body::JsonObject;
use crate::http::call_view::CallView;
use crate::http::json::Json;
use crate::http::problem::{Problem, ProblemDocument};
use crate::http::problem_schema::{InvalidFields, NoAnswer, NoSuchCall, Unauthorized};
use crate::http::receipt_view::ReceiptView;
use crate::http::request_schema::Dial;
use crate::service::{Caller, Ticket};
use crate::wire::DialRequest;
use axum::Extension;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

/// Place a call. It answers as soon as the INVITE is on its way; the call is readable at once.
#[utoipa::path(
    post,
    path = "/calls/dial",
    operation_id = "dial",
    tag = "calls",
    request_body = Dial,
    responses(
        (status = 200, description = "With `dry_run=true`: how the call would be routed.", body = ReceiptView),
        (status = 201, description = "The call.", body = CallView),
        Unauthorized,
        (status = 404, description = "The account has no such trunk as `sip_trunk_id` names.", body = ProblemDocument,
            content_type = "application/problem+json"),
        (status = 422, description = "A field is wrong, or there is no route; then with the receipt.", body = ProblemDocument,
            content_type = "application/problem+json"),
        (status = 429, description = "The account or its trunks have their calls; with the receipt.", body = ProblemDocument,
            content_type = "application/problem+json"),
        (status = 503, description = "No trunk can take a call now; with the receipt. Or the call path does not answer, or nor does the database and the key is not known from the last hour: without a receipt, with `Retry-After`.", body = ProblemDocument,
            content_type = "application/problem+json"),
    )
)]
pub(crate) async fn dial(
    State(services): State<Services>,
    caller: Caller,
    ticket: Option<Extension<Ticket>>,
    JsonObject(body): JsonObject,
) -> Result<Response, Problem> {
    let request = DialRequest::parse(body)?;
    if caller.request.dry_run {
        let receipt = services.dialling.try_dial(&caller, request).await?;
        return Ok(Json(ReceiptView::from(&receipt)).into_response());
    }
    let ticket = ticket.map(|Extension(ticket)| ticket);
    let call = services.dialling.dial(&caller, request, ticket.as_ref()).await?;
    Ok((StatusCode::CREATED, Json(CallView::new(call, &services.currency))).into_response())
}

/// End a live call. It answers with the call's state at that moment; the BYE or CANCEL is on its way.
#[utoipa::path(
    post,
    path = "/calls/{id}/hangup",
    operation_id = "hang_up",
    tag = "calls",
    params(("id" = String, Path, description = "The call's `id` or `call_id`.")),
    responses(
        (status = 200, description = "The call.", body = CallView),
        Unauthorized,
        NoSuchCall,
        (status = 409, description = "The call is over, or something else carries it.", body = ProblemDocument,
            content_type = "application/problem+json"),
        NoAnswer,
    )
)]
pub(crate) async fn hang_up(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<CallView>, Problem> {
    let call = services.dialling.hang_up(&caller, &id).await?;
    Ok(Json(CallView::new(call, &services.currency)))
}

/// Tell how a call would be routed, without placing it.
#[utoipa::path(
    post,
    path = "/routing/explain",
    operation_id = "explain_routing",
    tag = "routing",
    request_body = Dial,
    responses(
        (status = 200, description = "The receipt; its `refusal` says why a call would be refused.", body = ReceiptView),
        Unauthorized,
        (status = 404, description = "The account has no such trunk as `sip_trunk_id` names.", body = ProblemDocument,
            content_type = "application/problem+json"),
        InvalidFields,
        NoAnswer,
    )
)]
pub(crate) async fn explain(
    State(services): State<Services>,
    caller: Caller,
    JsonObject(body): JsonObject,
) -> Result<Json<ReceiptView>, Problem> {
    let request = DialRequest::parse(body)?;
    let receipt = services.dialling.explain(&caller, request).await?;
    Ok(Json(ReceiptView::from(&receipt)))
}
