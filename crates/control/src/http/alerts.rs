use crate::Services;
use crate::http::alert_schema::{AlertIsOver, AlertNote as NoteBody, AlertSettingsUpdate, NoSuchAlert};
use crate::http::alert_view::{AlertSettingsView, AlertView};
use crate::http::body::{JsonObject, OptionalJsonObject};
use crate::http::etag::Tagged;
use crate::http::json::Json;
use crate::http::problem::{Problem, ProblemCode};
use crate::http::problem_schema::{InvalidFields, NoAnswer, Unauthorized};
use crate::http::query::{AlertFilterQuery, AlertQuery, AskedList, List, PageQuery};
use crate::service::{Caller, FindAlertError};
use crate::wire::{AlertNote, AlertSettingsEdit};
use axum::extract::{Path, State};
use tandem_model::AlertId;
use tandem_store::{ChangeAlertError, ChangeAlertSettingsError, Versioned};

/// Alerts, newest first.
///
/// `state`, `rule`, `severity` and `subject` are looked for in 10,000 alerts at a time: a page may be short, or empty, though there is
/// more, and then has a `next` link as every page but the last.
#[utoipa::path(
    get,
    path = "/alerts",
    operation_id = "list_alerts",
    tag = "alerts",
    params(AlertFilterQuery, PageQuery),
    responses(
        (status = 200, description = "The alerts.", body = Vec<AlertView>),
        Unauthorized,
        InvalidFields,
        NoAnswer,
    )
)]
pub(crate) async fn list(
    State(services): State<Services>,
    caller: Caller,
    asked: AskedList<AlertQuery>,
) -> Result<List<AlertView>, Problem> {
    let page = services.alerts.list(&caller, &asked.request).await?;
    asked.answer(page, AlertView::from)
}

/// One alert.
#[utoipa::path(
    get,
    path = "/alerts/{id}",
    operation_id = "read_alert",
    tag = "alerts",
    params(("id" = Uuid, Path, description = "The alert.")),
    responses(
        (status = 200, description = "The alert.", body = AlertView),
        Unauthorized,
        NoSuchAlert,
        NoAnswer,
    )
)]
pub(crate) async fn read(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<AlertView>, Problem> {
    Ok(Json(services.alerts.read(&caller, alert_id(&id)?).await?.into()))
}

/// Take an alert on, so that others know that somebody sees to it. One that somebody has taken on stays theirs.
#[utoipa::path(
    post,
    path = "/alerts/{id}/acknowledge",
    operation_id = "acknowledge_alert",
    tag = "alerts",
    params(("id" = Uuid, Path, description = "The alert.")),
    request_body = Option<NoteBody>,
    responses(
        (status = 200, description = "The alert.", body = AlertView),
        Unauthorized,
        NoSuchAlert,
        AlertIsOver,
        InvalidFields,
        NoAnswer,
    )
)]
pub(crate) async fn acknowledge(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
    OptionalJsonObject(body): OptionalJsonObject,
) -> Result<Json<AlertView>, Problem> {
    let id = alert_id(&id)?;
    let AlertNote { note } = AlertNote::parse(body)?;
    Ok(Json(services.alerts.acknowledge(&caller, id, note).await?.into()))
}

/// Say that an alert is over. While its condition holds, nothing like it is raised; once that was away, it is raised anew.
#[utoipa::path(
    post,
    path = "/alerts/{id}/resolve",
    operation_id = "resolve_alert",
    tag = "alerts",
    params(("id" = Uuid, Path, description = "The alert.")),
    request_body = Option<NoteBody>,
    responses(
        (status = 200, description = "The alert.", body = AlertView),
        Unauthorized,
        NoSuchAlert,
        AlertIsOver,
        InvalidFields,
        NoAnswer,
    )
)]
pub(crate) async fn resolve(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
    OptionalJsonObject(body): OptionalJsonObject,
) -> Result<Json<AlertView>, Problem> {
    let id = alert_id(&id)?;
    let AlertNote { note } = AlertNote::parse(body)?;
    Ok(Json(services.alerts.resolve(&caller, id, note).await?.into()))
}

/// What the account is told of: each rule with its thresholds, and where mails go.
#[utoipa::path(
    get,
    path = "/alert-settings",
    operation_id = "read_alert_settings",
    tag = "alerts",
    responses(
        (status = 200, description = "The settings.", body = AlertSettingsView),
        Unauthorized,
        NoAnswer,
    )
)]
pub(crate) async fn settings(
    State(services): State<Services>,
    caller: Caller,
) -> Result<Tagged<Json<AlertSettingsView>>, Problem> {
    let settings = services.alerts.settings(&caller).await?;
    Ok(Tagged(settings.version(), Json(settings.into())))
}

/// Change what the account is told of. An alert of a rule that is switched off is over.
#[utoipa::path(
    put,
    path = "/alert-settings",
    operation_id = "update_alert_settings",
    tag = "alerts",
    request_body = AlertSettingsUpdate,
    responses(
        (status = 200, description = "The settings.", body = AlertSettingsView),
        Unauthorized,
        InvalidFields,
        NoAnswer,
    )
)]
pub(crate) async fn update_settings(
    State(services): State<Services>,
    caller: Caller,
    JsonObject(body): JsonObject,
) -> Result<Tagged<Json<AlertSettingsView>>, Problem> {
    let edit = AlertSettingsEdit::parse(body)?;
    let settings = services.alerts.change_settings(&caller, edit).await?;
    Ok(Tagged(settings.version(), Json(settings.into())))
}

/// What is no UUID is no alert of anybody.
fn alert_id(text: &str) -> Result<AlertId, Problem> {
    text.parse().map_err(|_| Problem::no_such("alert"))
}

impl From<FindAlertError> for Problem {
    fn from(error: FindAlertError) -> Self {
        match error {
            FindAlertError::NotFound => Self::no_such("alert"),
            FindAlertError::Database(error) => error.into(),
        }
    }
}

impl From<ChangeAlertSettingsError> for Problem {
    fn from(error: ChangeAlertSettingsError) -> Self {
        match error {
            ChangeAlertSettingsError::Stale(error) => error.into(),
            ChangeAlertSettingsError::Database(error) => error.into(),
        }
    }
}

impl From<ChangeAlertError> for Problem {
    fn from(error: ChangeAlertError) -> Self {
        match error {
            ChangeAlertError::NotFound => Self::no_such("alert"),
            ChangeAlertError::Resolved => {
                Self::new(ProblemCode::AlertOver, "the alert is over; should it be so again, it is raised anew")
            }
            ChangeAlertError::Database(error) => error.into(),
        }
    }
}
