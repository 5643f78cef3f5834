use crate::Services;
use crate::http::problem::Problem;
use crate::http::problem_schema::{InvalidFields, NoAnswer, NoSuchRefusal, Unauthorized};
use crate::http::query::{PageQuery, TrunkFilterQuery};
use crate::http::refusal_view::RefusalView;
use crate::service::{Caller, LogPage};
use axum::Json;
use axum::extract::{Path, State};
use tandem_model::RefusalId;

/// Refused INVITEs, newest first. One that was refused a moment ago may not be among them yet.
#[utoipa::path(
    get,
    path = "/refusals",
    operation_id = "list_refusals",
    tag = "refusals",
    params(TrunkFilterQuery, PageQuery),
    responses(
        (status = 200, description = "The refusals.", body = Vec<RefusalView>),
        Unauthorized,
        InvalidFields,
        NoAnswer,
    )
)]
pub(crate) async fn list(
    State(services): State<Services>,
    caller: Caller,
    page: LogPage,
) -> Result<Json<Vec<RefusalView>>, Problem> {
    let refusals = services.refusals.list(&caller, page).await?;
    Ok(Json(refusals.into_iter().map(RefusalView::try_from).collect::<Result<_, _>>()?))
}

/// One refused INVITE, by the reference that its answer gave the caller.
#[utoipa::path(
    get,
    path = "/refusals/{id}",
    operation_id = "read_refusal",
    tag = "refusals",
    params(("id" = Uuid, Path, description = "The refusal.")),
    responses(
        (status = 200, description = "The refusal.", body = RefusalView),
        Unauthorized,
        NoSuchRefusal,
        NoAnswer,
    )
)]
pub(crate) async fn read(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<RefusalView>, Problem> {
    // What is no UUID is no refusal of anybody.
    let id: RefusalId = id.parse().map_err(|_| Problem::no_such("refusal"))?;
    Ok(Json(services.refusals.read(&caller, id).await?.try_into()?))
}
