use crate::Services;
use crate::http::body::JsonObject;
use crate::http::etag::Tagged;
use crate::http::json::Json;
use crate::http::problem::{Problem, ProblemCode};
use crate::http::problem_schema::{InvalidFields, NoAnswer, Unauthorized};
use crate::http::query::Parameters;
use crate::service::{Caller, RetentionError, ShownRetention};
use crate::wire::RetentionEdit;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use serde::Serialize;
use tandem_store::{Retention, Versioned};
use utoipa::ToSchema;

/// For how many days data is kept.
#[derive(Serialize, ToSchema)]
#[schema(as = Retention)]
pub(crate) struct RetentionView {
    /// What is set; `null` is as for the node, and for the node for ever.
    set: DaysView,
    /// What counts; `null` is for ever.
    in_force: DaysView,
}

/// Days, by kind of data.
#[derive(Serialize, ToSchema)]
#[schema(as = RetentionDays)]
pub(crate) struct DaysView {
    /// Calls that have ended, with their legs and timelines, from when they began. Statistics and costs stay.
    #[schema(minimum = 1, maximum = 36500)]
    calls_days: Option<u32>,
    /// Timelines of calls, from when the call began; the calls stay.
    #[schema(minimum = 1, maximum = 36500)]
    timelines_days: Option<u32>,
    /// Refused INVITEs.
    #[schema(minimum = 1, maximum = 36500)]
    refusals_days: Option<u32>,
    /// Events; at most 7 days when nothing is set.
    #[schema(minimum = 3, maximum = 7)]
    events_days: Option<u32>,
    /// The health of trunks; at most 32 days when nothing is set.
    #[schema(minimum = 1, maximum = 32)]
    trunk_health_days: Option<u32>,
    /// Entries of the account's audit log.
    #[schema(minimum = 1, maximum = 36500)]
    audit_log_days: Option<u32>,
}

/// What to change: the fields that are sent; `null` is as for the node. Unknown fields are refused.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the fields are documentation; RetentionEdit reads them")]
pub(crate) struct RetentionUpdate {
    #[schema(minimum = 1, maximum = 36500)]
    calls_days: Option<u32>,
    #[schema(minimum = 1, maximum = 36500)]
    timelines_days: Option<u32>,
    #[schema(minimum = 1, maximum = 36500)]
    refusals_days: Option<u32>,
    #[schema(minimum = 3, maximum = 7)]
    events_days: Option<u32>,
    #[schema(minimum = 1, maximum = 32)]
    trunk_health_days: Option<u32>,
    #[schema(minimum = 1, maximum = 36500)]
    audit_log_days: Option<u32>,
}

/// Whose, as the OpenAPI document shows it.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "the field is documentation; OfNode reads it")]
pub(crate) struct RetentionQuery {
    /// `account`, or `node` for every account for which nothing else is set, which only the operator's own account may do.
    #[param(default = "account")]
    of: Option<String>,
}

/// Whether the node's is meant.
pub(crate) struct OfNode(bool);

impl<S: Sync> FromRequestParts<S> for OfNode {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let mut sent = Parameters::of(parts);
        let of_node = sent.read_with("of", |text| match text {
            "account" => Ok(false),
            "node" => Ok(true),
            _ => Err("must be account or node"),
        });
        sent.finish(Self(of_node.unwrap_or(false)))
    }
}

/// For how long data is kept. What is older is removed within the hour.
#[utoipa::path(
    get,
    path = "/retention",
    operation_id = "read_retention",
    tag = "audit",
    params(RetentionQuery),
    responses(
        (status = 200, description = "What is set and what counts.", body = RetentionView),
        Unauthorized,
        InvalidFields,
        NoAnswer,
    )
)]
pub(crate) async fn read(
    State(services): State<Services>,
    caller: Caller,
    OfNode(of_node): OfNode,
) -> Result<Tagged<Json<RetentionView>>, Problem> {
    let shown = services.keeping.read(&caller, of_node).await?;
    Ok(Tagged(shown.set.version(), Json(shown.into())))
}

/// Change for how long data is kept. What is removed cannot be brought back.
#[utoipa::path(
    put,
    path = "/retention",
    operation_id = "update_retention",
    tag = "audit",
    params(RetentionQuery),
    request_body = RetentionUpdate,
    responses(
        (status = 200, description = "What is set and what counts then.", body = RetentionView),
        Unauthorized,
        InvalidFields,
        NoAnswer,
    )
)]
pub(crate) async fn update(
    State(services): State<Services>,
    caller: Caller,
    OfNode(of_node): OfNode,
    JsonObject(body): JsonObject,
) -> Result<Tagged<Json<RetentionView>>, Problem> {
    let edit = RetentionEdit::parse(body)?;
    let shown = services.keeping.change(&caller, of_node, edit).await?;
    Ok(Tagged(shown.set.version(), Json(shown.into())))
}

impl From<ShownRetention> for RetentionView {
    fn from(ShownRetention { set, in_force }: ShownRetention) -> Self {
        let days = |kept: Retention| {
            let Retention { calls_days, timelines_days, refusals_days, events_days, trunk_health_days, audit_log_days } =
                kept;
            DaysView { calls_days, timelines_days, refusals_days, events_days, trunk_health_days, audit_log_days }
        };
        Self { set: days(set), in_force: days(in_force) }
    }
}

impl From<RetentionError> for Problem {
    fn from(error: RetentionError) -> Self {
        match error {
            RetentionError::Forbidden(forbidden) => Self::new(ProblemCode::Forbidden, forbidden.to_string()),
            RetentionError::Stale(error) => error.into(),
            RetentionError::Database(error) => error.into(),
        }
    }
}
