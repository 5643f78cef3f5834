use crate::Services;
use crate::http::body::JsonObject;
use crate::http::etag::Tagged;
use crate::http::json::Json;
use crate::http::number_view::{NoSuchNumber, NumberCreate, NumberUpdate, NumberView};
use crate::http::problem::{Problem, ProblemCode, ProblemDocument};
use crate::http::problem_schema::{InvalidFields, NoAnswer, Unauthorized};
use crate::http::query::{AskedList, List, NumberFilterQuery, NumberQuery, PageQuery};
use crate::service::{Caller, FindNumberError, Ticket};
use crate::wire::{NewNumber, NumberEdit};
use axum::Extension;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use tandem_model::NumberId;
use tandem_store::{ChangeNumberError, InsertNumberError, MAX_NUMBERS, Versioned};

/// Numbers of the account, in their order.
#[utoipa::path(
    get,
    path = "/numbers",
    operation_id = "list_numbers",
    tag = "numbers",
    params(NumberFilterQuery, PageQuery),
    responses(
        (status = 200, description = "The numbers.", body = Vec<NumberView>),
        Unauthorized,
        InvalidFields,
        NoAnswer,
    )
)]
pub(crate) async fn list(
    State(services): State<Services>,
    caller: Caller,
    asked: AskedList<NumberQuery>,
) -> Result<List<NumberView>, Problem> {
    let page = services.numbers.list(&caller, &asked.request).await?;
    asked.answer(page, NumberView::from)
}

/// Add a number. Calls to it that come in by the account's trunks are put through as `connect` says, from within 100 ms, unless a rule
/// of the trunk's `inbound_routing` names it; the trunk's `default` is for what neither names. No two accounts have the same number.
#[utoipa::path(
    post,
    path = "/numbers",
    operation_id = "create_number",
    tag = "numbers",
    request_body = NumberCreate,
    responses(
        (status = 201, description = "The number.", body = NumberView),
        Unauthorized,
        (status = 409, description = "The account has all its numbers.", body = ProblemDocument,
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
) -> Result<Tagged<(StatusCode, Json<NumberView>)>, Problem> {
    let new = NewNumber::parse(body)?;
    let number = services.numbers.create(&caller, new, ticket.as_deref()).await?;
    Ok(Tagged(number.version(), (StatusCode::CREATED, Json(number.into()))))
}

/// One number.
#[utoipa::path(
    get,
    path = "/numbers/{id}",
    operation_id = "read_number",
    tag = "numbers",
    params(("id" = Uuid, Path, description = "The number's id.")),
    responses(
        (status = 200, description = "The number.", body = NumberView),
        Unauthorized,
        NoSuchNumber,
        NoAnswer,
    )
)]
pub(crate) async fn read(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Tagged<Json<NumberView>>, Problem> {
    let number = services.numbers.read(&caller, number_id(&id)?).await?;
    Ok(Tagged(number.version(), Json(number.into())))
}

/// Change a number: only the fields that are sent; `null` clears one that may be empty.
#[utoipa::path(
    patch,
    path = "/numbers/{id}",
    operation_id = "update_number",
    tag = "numbers",
    params(("id" = Uuid, Path, description = "The number's id.")),
    request_body = NumberUpdate,
    responses(
        (status = 200, description = "The number.", body = NumberView),
        Unauthorized,
        NoSuchNumber,
        InvalidFields,
        NoAnswer,
    )
)]
pub(crate) async fn update(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
    JsonObject(body): JsonObject,
) -> Result<Tagged<Json<NumberView>>, Problem> {
    let id = number_id(&id)?;
    let edit = NumberEdit::parse(body)?;
    let number = services.numbers.update(&caller, id, edit).await?;
    Ok(Tagged(number.version(), Json(number.into())))
}

/// Remove a number. Another account may have it then.
#[utoipa::path(
    delete,
    path = "/numbers/{id}",
    operation_id = "delete_number",
    tag = "numbers",
    params(("id" = Uuid, Path, description = "The number's id.")),
    responses(
        (status = 204, description = "It is gone."),
        Unauthorized,
        NoSuchNumber,
        NoAnswer,
    )
)]
pub(crate) async fn delete(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    services.numbers.delete(&caller, number_id(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What is no UUID is no number of anybody.
fn number_id(text: &str) -> Result<NumberId, Problem> {
    text.parse().map_err(|_| Problem::no_such("number"))
}

fn unknown_trunk() -> Problem {
    Problem::of_field(ProblemCode::InvalidField, "sip_trunk_id", "names no trunk of the account")
}

impl From<InsertNumberError> for Problem {
    fn from(error: InsertNumberError) -> Self {
        match error {
            // Whose it is, is not told.
            InsertNumberError::Taken => {
                let message = "is a number already; each belongs to one account, and is there once";
                Self::of_field(ProblemCode::NumberTaken, "number", message)
            }
            InsertNumberError::TooMany => Self::new(
                ProblemCode::NumberLimitReached,
                format!("the account has its {MAX_NUMBERS} numbers; remove some"),
            ),
            InsertNumberError::UnknownTrunk => unknown_trunk(),
            InsertNumberError::Database(error) => error.into(),
        }
    }
}

impl From<ChangeNumberError> for Problem {
    fn from(error: ChangeNumberError) -> Self {
        match error {
            ChangeNumberError::NotFound => Self::no_such("number"),
            ChangeNumberError::UnknownTrunk => unknown_trunk(),
            ChangeNumberError::Stale(error) => error.into(),
            ChangeNumberError::Database(error) => error.into(),
        }
    }
}

impl From<FindNumberError> for Problem {
    fn from(error: FindNumberError) -> Self {
        match error {
            FindNumberError::NotFound => Self::no_such("number"),
            FindNumberError::Database(error) => error.into(),
        }
    }
}
