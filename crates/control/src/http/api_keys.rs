use crate::Services;
use crate::http::access_schema::{ApiKeyCreate, NoSuchKey};
use crate::http::access_view::{ApiKeyCreatedView, ApiKeyView};
use crate::http::body::JsonObject;
use crate::http::etag::Tagged;
use crate::http::json::Json;
use crate::http::problem::{Problem, ProblemDocument};
use crate::http::problem_schema::{InvalidFields, NoAnswer, Unauthorized};
use crate::http::query::{AskedList, KeyFilterQuery, KeyQuery, List, PageQuery};
use crate::service::{Caller, Ticket};
use crate::wire::NewKey;
use axum::Extension;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use tandem_model::ApiKeyId;
use tandem_store::Versioned;

/// API keys, newest first, revoked ones too. The keys themselves are not kept.
#[utoipa::path(
    get,
    path = "/api-keys",
    operation_id = "list_api_keys",
    tag = "access",
    params(KeyFilterQuery, PageQuery),
    responses(
        (status = 200, description = "The keys.", body = Vec<ApiKeyView>),
        Unauthorized,
        InvalidFields,
        NoAnswer,
    )
)]
pub(crate) async fn list(
    State(services): State<Services>,
    caller: Caller,
    asked: AskedList<KeyQuery>,
) -> Result<List<ApiKeyView>, Problem> {
    let page = services.api_keys.list(&caller, &asked.request).await?;
    asked.answer(page, ApiKeyView::from)
}

/// Make a key, which may do no more than who makes it, and does not outlive the key that makes it. It is shown this once.
#[utoipa::path(
    post,
    path = "/api-keys",
    operation_id = "create_api_key",
    tag = "access",
    request_body = ApiKeyCreate,
    responses(
        (status = 201, description = "The key.", body = ApiKeyCreatedView),
        Unauthorized,
        (status = 409, description = "The account has all its keys, or an earlier try of the same request has made one that is used or revoked.", body = ProblemDocument,
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
) -> Result<Tagged<(StatusCode, Json<ApiKeyCreatedView>)>, Problem> {
    let new = NewKey::parse(body)?;
    let (key, secret) = services.api_keys.create(&caller, new, ticket.as_deref()).await?;
    Ok(Tagged(key.version(), (StatusCode::CREATED, Json(ApiKeyCreatedView::new(key, &secret)))))
}

/// One key, without the key.
#[utoipa::path(
    get,
    path = "/api-keys/{id}",
    operation_id = "read_api_key",
    tag = "access",
    params(("id" = Uuid, Path, description = "The key's id.")),
    responses(
        (status = 200, description = "The key.", body = ApiKeyView),
        Unauthorized,
        NoSuchKey,
        NoAnswer,
    )
)]
pub(crate) async fn read(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Tagged<Json<ApiKeyView>>, Problem> {
    let key = services.api_keys.read(&caller, key_id(&id)?).await?;
    Ok(Tagged(key.version(), Json(key.into())))
}

/// Revoke a key, and with it the keys that it has made, and theirs. They stop working within 100 ms and stay in the list.
#[utoipa::path(
    delete,
    path = "/api-keys/{id}",
    operation_id = "revoke_api_key",
    tag = "access",
    params(("id" = Uuid, Path, description = "The key's id.")),
    responses(
        (status = 204, description = "It is revoked."),
        Unauthorized,
        NoSuchKey,
        NoAnswer,
    )
)]
pub(crate) async fn revoke(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    services.api_keys.revoke(&caller, key_id(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What is no UUID is no key of anybody.
fn key_id(text: &str) -> Result<ApiKeyId, Problem> {
    text.parse().map_err(|_| Problem::no_such("API key"))
}
