use crate::Services;
use crate::http::access_schema::{
    NoSuchUser, PasswordChange as PasswordChangeBody, TooManyAttempts, UserCreate, UserUpdate,
};
use crate::http::access_view::{UserCreatedView, UserView};
use crate::http::body::JsonObject;
use crate::http::etag::Tagged;
use crate::http::json::Json;
use crate::http::problem::{Problem, ProblemDocument};
use crate::http::problem_schema::{InvalidFields, NoAnswer, Unauthorized};
use crate::http::query::{AskedList, List, PageQuery, UserFilterQuery, UserQuery};
use crate::service::{Caller, Ticket};
use crate::wire::{NewUser, PasswordChange, UserEdit};
use axum::Extension;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use tandem_model::UserId;
use tandem_store::Versioned;

/// Users of the account, by e-mail address.
#[utoipa::path(
    get,
    path = "/users",
    operation_id = "list_users",
    tag = "access",
    params(UserFilterQuery, PageQuery),
    responses(
        (status = 200, description = "The users.", body = Vec<UserView>),
        Unauthorized,
        InvalidFields,
        NoAnswer,
    )
)]
pub(crate) async fn list(
    State(services): State<Services>,
    caller: Caller,
    asked: AskedList<UserQuery>,
) -> Result<List<UserView>, Problem> {
    let page = services.users.list(&caller, &asked.request).await?;
    asked.answer(page, UserView::from)
}

/// Add a user, who may do no more than who adds them. A password that is left out is made, and shown this once.
#[utoipa::path(
    post,
    path = "/users",
    operation_id = "create_user",
    tag = "access",
    request_body = UserCreate,
    responses(
        (status = 201, description = "The user.", body = UserCreatedView),
        Unauthorized,
        (status = 409, description = "The account has all its users.", body = ProblemDocument,
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
) -> Result<Tagged<(StatusCode, Json<UserCreatedView>)>, Problem> {
    let new = NewUser::parse(body)?;
    let (user, password) = services.users.create(&caller, new, ticket.as_deref()).await?;
    Ok(Tagged(user.version(), (StatusCode::CREATED, Json(UserCreatedView::new(user, password.as_ref())))))
}

/// One user.
#[utoipa::path(
    get,
    path = "/users/{id}",
    operation_id = "read_user",
    tag = "access",
    params(("id" = Uuid, Path, description = "The user.")),
    responses(
        (status = 200, description = "The user.", body = UserView),
        Unauthorized,
        NoSuchUser,
        NoAnswer,
    )
)]
pub(crate) async fn read(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Tagged<Json<UserView>>, Problem> {
    let user = services.users.read(&caller, user_id(&id)?).await?;
    Ok(Tagged(user.version(), Json(user.into())))
}

/// Change a user: only the fields that are sent. A new role counts within 100 ms.
#[utoipa::path(
    patch,
    path = "/users/{id}",
    operation_id = "update_user",
    tag = "access",
    params(("id" = Uuid, Path, description = "The user.")),
    request_body = UserUpdate,
    responses(
        (status = 200, description = "The user.", body = UserView),
        Unauthorized,
        NoSuchUser,
        (status = 409, description = "It is the last admin of the account.", body = ProblemDocument,
            content_type = "application/problem+json"),
        InvalidFields,
        NoAnswer,
    )
)]
pub(crate) async fn update(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
    JsonObject(body): JsonObject,
) -> Result<Tagged<Json<UserView>>, Problem> {
    let id = user_id(&id)?;
    let edit = UserEdit::parse(body)?;
    let user = services.users.update(&caller, id, edit).await?;
    Ok(Tagged(user.version(), Json(user.into())))
}

/// Remove a user. Their sessions end within 100 ms.
#[utoipa::path(
    delete,
    path = "/users/{id}",
    operation_id = "delete_user",
    tag = "access",
    params(("id" = Uuid, Path, description = "The user.")),
    responses(
        (status = 204, description = "They are gone."),
        Unauthorized,
        NoSuchUser,
        (status = 409, description = "It is the last admin of the account.", body = ProblemDocument,
            content_type = "application/problem+json"),
        NoAnswer,
    )
)]
pub(crate) async fn delete(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    services.users.delete(&caller, user_id(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Change one's own password. Every session ends, the one by which this was asked too.
#[utoipa::path(
    put,
    path = "/users/current/password",
    operation_id = "change_password",
    tag = "access",
    request_body = PasswordChangeBody,
    responses(
        (status = 204, description = "It is changed; sign in again."),
        Unauthorized,
        InvalidFields,
        TooManyAttempts,
        NoAnswer,
    )
)]
pub(crate) async fn change_password(
    State(services): State<Services>,
    caller: Caller,
    JsonObject(body): JsonObject,
) -> Result<StatusCode, Problem> {
    let change = PasswordChange::parse(body)?;
    services.users.change_password(&caller, change).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What is no UUID is no user of anybody.
fn user_id(text: &str) -> Result<UserId, Problem> {
    text.parse().map_err(|_| Problem::no_such("user"))
}
