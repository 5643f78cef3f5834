use crate::Services;
use crate::http::body::JsonObject;
use crate::http::erasure_view::{ErasureCreate, ErasureView, NoSuchErasure};
use crate::http::json::Json;
use crate::http::problem::{Problem, ProblemCode, ProblemDocument};
use crate::http::problem_schema::{InvalidFields, NoAnswer, Unauthorized};
use crate::http::query::{AskedList, List, PageQuery, RequestQuery, SortedByRequest};
use crate::service::{Caller, FindErasureError};
use crate::wire::NewErasure;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use tandem_model::ErasureId;
use tandem_store::{InsertErasureError, MAX_RUNNING_ERASURES};

/// Erasures of the account, the newest first.
#[utoipa::path(
    get,
    path = "/erasures",
    operation_id = "list_erasures",
    tag = "audit",
    params(RequestQuery, PageQuery),
    responses(
        (status = 200, description = "The erasures.", body = Vec<ErasureView>),
        Unauthorized,
        InvalidFields,
        NoAnswer,
    )
)]
pub(crate) async fn list(
    State(services): State<Services>,
    caller: Caller,
    asked: AskedList<SortedByRequest>,
) -> Result<List<ErasureView>, Problem> {
    let page = services.erasures.list(&caller, &asked.request).await?;
    asked.answer(page, ErasureView::from)
}

/// Erase a number from all that the account has of calls that have begun by now: calls, legs, receipts, timelines, metadata, refusals,
/// events, kept answers, and details of the audit log. A pseudonym takes its place. It cannot be brought back, and is not told by the
/// answer. Statistics and costs stay. It goes on by itself, also when the node is restarted; calls that are up are waited for.
#[utoipa::path(
    post,
    path = "/erasures",
    operation_id = "create_erasure",
    tag = "audit",
    request_body = ErasureCreate,
    responses(
        (status = 202, description = "It goes on.", body = ErasureView),
        Unauthorized,
        (status = 409, description = "As many erasures of the account go on as may.", body = ProblemDocument,
            content_type = "application/problem+json"),
        InvalidFields,
        NoAnswer,
    )
)]
pub(crate) async fn create(
    State(services): State<Services>,
    caller: Caller,
    JsonObject(body): JsonObject,
) -> Result<(StatusCode, Json<ErasureView>), Problem> {
    let new = NewErasure::parse(body)?;
    Ok((StatusCode::ACCEPTED, Json(services.erasures.create(&caller, &new).await?.into())))
}

/// One erasure: how far it is.
#[utoipa::path(
    get,
    path = "/erasures/{id}",
    operation_id = "read_erasure",
    tag = "audit",
    params(("id" = Uuid, Path, description = "The erasure's id.")),
    responses(
        (status = 200, description = "The erasure.", body = ErasureView),
        Unauthorized,
        NoSuchErasure,
        NoAnswer,
    )
)]
pub(crate) async fn read(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<ErasureView>, Problem> {
    // What is no UUID is no erasure of anybody.
    let id: ErasureId = id.parse().map_err(|_| Problem::no_such("erasure"))?;
    Ok(Json(services.erasures.read(&caller, id).await?.into()))
}

impl From<InsertErasureError> for Problem {
    fn from(error: InsertErasureError) -> Self {
        match error {
            InsertErasureError::OwnNumber => Self::of_field(
                ProblemCode::NumberInUse,
                "number",
                "is one of the account's own numbers, which are no traces of somebody; remove it from /numbers first",
            ),
            InsertErasureError::Configured { places } => Self::of_field(
                ProblemCode::NumberInUse,
                "number",
                format!("is named by {}; take it out there first, or it would come back", places.join(", ")),
            ),
            InsertErasureError::TooMany => Self::new(
                ProblemCode::ErasureLimitReached,
                format!("{MAX_RUNNING_ERASURES} erasures of the account go on; wait until some are finished"),
            ),
            InsertErasureError::Database(error) => error.into(),
        }
    }
}

impl From<FindErasureError> for Problem {
    fn from(error: FindErasureError) -> Self {
        match error {
            FindErasureError::NotFound => Self::no_such("erasure"),
            FindErasureError::Database(error) => error.into(),
        }
    }
}
