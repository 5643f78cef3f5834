use crate::Services;
use crate::http::access_schema::{NoSuchSession, SessionRefresh, SignIn, SignInFailed, TooManyAttempts};
use crate::http::access_view::{SessionView, SignedInView};
use crate::http::body::JsonObject;
use crate::http::json::Json;
use crate::http::problem::Problem;
use crate::http::problem_schema::{InvalidFields, NoAnswer, Unauthorized};
use crate::http::query::{AgeQuery, AskedList, List, PageQuery, SortedByAge};
use crate::service::{Asked, Caller, SignedIn};
use crate::wire::{Credentials, Refresh};
use axum::extract::{Path, State};
use axum::http::{HeaderName, StatusCode, header};
use tandem_model::SessionId;

/// Sign in, with e-mail address and password or with the token of a one-time link.
#[utoipa::path(
    post,
    path = "/sessions",
    operation_id = "sign_in",
    tag = "access",
    security(()),
    request_body = SignIn,
    responses(
        (status = 201, description = "The tokens of the session. They are not kept and cannot be shown again.", body = SignedInView),
        SignInFailed,
        InvalidFields,
        TooManyAttempts,
        NoAnswer,
    )
)]
pub(crate) async fn create(
    State(services): State<Services>,
    asked: Asked,
    JsonObject(body): JsonObject,
) -> Result<Tokens, Problem> {
    let credentials = Credentials::parse(body)?;
    let signed_in = services.sessions.sign_in(credentials, &asked).await?;
    Ok(tokens(StatusCode::CREATED, signed_in))
}

/// New tokens for a refresh token. Each is good once: one that is used again ends the session, as somebody else has it.
#[utoipa::path(
    post,
    path = "/sessions/refresh",
    operation_id = "refresh_session",
    tag = "access",
    security(()),
    request_body = SessionRefresh,
    responses(
        (status = 200, description = "New tokens of the session.", body = SignedInView),
        SignInFailed,
        InvalidFields,
        NoAnswer,
    )
)]
pub(crate) async fn refresh(
    State(services): State<Services>,
    asked: Asked,
    JsonObject(body): JsonObject,
) -> Result<Tokens, Problem> {
    let Refresh(token) = Refresh::parse(body)?;
    Ok(tokens(StatusCode::OK, services.sessions.refresh(&token, &asked).await?))
}

/// Sessions that have not ended, newest first: one's own, or all of the account for its admins.
#[utoipa::path(
    get,
    path = "/sessions",
    operation_id = "list_sessions",
    tag = "access",
    params(AgeQuery, PageQuery),
    responses(
        (status = 200, description = "The sessions.", body = Vec<SessionView>),
        Unauthorized,
        InvalidFields,
        NoAnswer,
    )
)]
pub(crate) async fn list(
    State(services): State<Services>,
    caller: Caller,
    asked: AskedList<SortedByAge>,
) -> Result<List<SessionView>, Problem> {
    let page = services.sessions.list(&caller, &asked.request).await?;
    let current = caller.user().map(|(_, session)| session);
    asked.answer(page, |session| SessionView::new(session, current))
}

/// Sign out: the session by which this is asked ends, and its tokens stop working within 100 ms.
#[utoipa::path(
    delete,
    path = "/sessions/current",
    operation_id = "sign_out",
    tag = "access",
    responses(
        (status = 204, description = "It is over."),
        Unauthorized,
        NoSuchSession,
        NoAnswer,
    )
)]
pub(crate) async fn end_current(State(services): State<Services>, caller: Caller) -> Result<StatusCode, Problem> {
    services.sessions.end_current(&caller).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// End a session: one's own, or any of the account for its admins. Its tokens stop working within 100 ms.
#[utoipa::path(
    delete,
    path = "/sessions/{id}",
    operation_id = "end_session",
    tag = "access",
    params(("id" = Uuid, Path, description = "The session.")),
    responses(
        (status = 204, description = "It is over."),
        Unauthorized,
        NoSuchSession,
        NoAnswer,
    )
)]
pub(crate) async fn end(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    // What is no UUID is no session of anybody.
    let id: SessionId = id.parse().map_err(|_| Problem::no_such("session"))?;
    services.sessions.end(&caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// No cache may keep tokens (RFC 6749 §5.1).
type Tokens = (StatusCode, [(HeaderName, &'static str); 1], Json<SignedInView>);

fn tokens(status: StatusCode, signed_in: SignedIn) -> Tokens {
    (status, [(header::CACHE_CONTROL, "no-store")], Json(signed_in.into()))
}
