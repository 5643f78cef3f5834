use crate::Services;
use crate::http::body::JsonObject;
use crate::http::credit_schema::{CreditGrant as CreditGrantBody, CreditSetting as CreditSettingBody, NoSuchAccount};
use crate::http::credit_view::{CreditEntryView, CreditView};
use crate::http::json::Json;
use crate::http::problem::{Problem, ProblemCode};
use crate::http::problem_schema::{InvalidFields, NoAnswer, Unauthorized};
use crate::http::query::{AskedList, EntryQuery, List, PageQuery, SortedByEntry};
use crate::service::{Caller, EditCreditError, Ticket};
use crate::wire::{CreditGrant, CreditSetting, Invalid};
use axum::Extension;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use tandem_model::AccountId;

/// The credit of the account: what there is, and what calls that are up hold of it.
#[utoipa::path(
    get,
    path = "/credits",
    operation_id = "read_credit",
    tag = "credits",
    responses(
        (status = 200, description = "The credit.", body = CreditView),
        Unauthorized,
        NoAnswer,
    )
)]
pub(crate) async fn read(State(services): State<Services>, caller: Caller) -> Result<Json<CreditView>, Problem> {
    let credit = services.credits.read(&caller).await?;
    Ok(Json(CreditView::new(&credit, services.credits.credit_value)))
}

/// What has changed the credit, newest first. All entries sum to the balance.
#[utoipa::path(
    get,
    path = "/credits/ledger",
    operation_id = "list_credit_entries",
    tag = "credits",
    params(EntryQuery, PageQuery),
    responses(
        (status = 200, description = "The entries.", body = Vec<CreditEntryView>),
        Unauthorized,
        InvalidFields,
        NoAnswer,
    )
)]
pub(crate) async fn ledger(
    State(services): State<Services>,
    caller: Caller,
    asked: AskedList<SortedByEntry>,
) -> Result<List<CreditEntryView>, Problem> {
    let page = services.credits.ledger(&caller, &asked.request).await?;
    asked.answer(page, CreditEntryView::from)
}

/// Add credit to an account, or take some away with an amount below zero; the balance may fall below zero by it. For admins of the node.
#[utoipa::path(
    post,
    path = "/accounts/{id}/credits",
    operation_id = "grant_credit",
    tag = "credits",
    params(("id" = Uuid, Path, description = "The account.")),
    request_body = CreditGrantBody,
    responses(
        (status = 201, description = "What was written into the ledger.", body = CreditEntryView),
        Unauthorized,
        NoSuchAccount,
        InvalidFields,
        NoAnswer,
    )
)]
pub(crate) async fn grant(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
    ticket: Option<Extension<Ticket>>,
    JsonObject(body): JsonObject,
) -> Result<(StatusCode, Json<CreditEntryView>), Problem> {
    let account = account_id(&id)?;
    let grant = CreditGrant::parse(body)?;
    let entry = services.credits.grant(&caller, account, &grant, ticket.as_deref()).await?;
    Ok((StatusCode::CREATED, Json(entry.into())))
}

/// Have the calls of an account paid for by its credit, or no longer: calls that begin from now on. For admins of the node.
#[utoipa::path(
    patch,
    path = "/accounts/{id}/credits",
    operation_id = "set_credit_control",
    tag = "credits",
    params(("id" = Uuid, Path, description = "The account.")),
    request_body = CreditSettingBody,
    responses(
        (status = 200, description = "The credit.", body = CreditView),
        Unauthorized,
        NoSuchAccount,
        InvalidFields,
        NoAnswer,
    )
)]
pub(crate) async fn set(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
    JsonObject(body): JsonObject,
) -> Result<Json<CreditView>, Problem> {
    let account = account_id(&id)?;
    let setting = CreditSetting::parse(body)?;
    let credit = services.credits.set(&caller, account, setting).await?;
    Ok(Json(CreditView::new(&credit, services.credits.credit_value)))
}

/// What is no UUID is no account.
fn account_id(text: &str) -> Result<AccountId, Problem> {
    text.parse().map_err(|_| Problem::new(ProblemCode::AccountNotFound, NO_ACCOUNT))
}

impl From<EditCreditError> for Problem {
    fn from(error: EditCreditError) -> Self {
        match error {
            EditCreditError::Forbidden(error) => error.into(),
            EditCreditError::UnknownAccount => Self::new(ProblemCode::AccountNotFound, NO_ACCOUNT),
            EditCreditError::Overflow => {
                Invalid::field("amount", "must not make the credit more than an amount can hold").into()
            }
            EditCreditError::Database(error) => error.into(),
        }
    }
}

const NO_ACCOUNT: &str = "the node has no such account";
