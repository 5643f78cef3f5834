use crate::Services;
use crate::http::json::Json;
use crate::http::problem::Problem;
use crate::http::problem_schema::{InvalidFields, NoAnswer, NoSuchRefusal, Unauthorized};
use crate::http::query::{AskedList, List, PageQuery, RefusalFilterQuery, RefusalQuery};
use crate::http::refusal_view::RefusalView;
use crate::service::Caller;
use axum::extract::{Path, State};
use tandem_model::RefusalId;

/// Refused INVITEs, newest first. One that was refused a moment ago may not be among them yet.
///
/// `from`, `to` and `reason` are looked for in 10,000 refusals at a time: a page may be short, or empty, though there is more, and then
/// has a `next` link as every page but the last.
#[utoipa::path(
    get,
    path = "/refusals",
    operation_id = "list_refusals",
    tag = "refusals",
    params(RefusalFilterQuery, PageQuery),
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
    asked: AskedList<RefusalQuery>,
) -> Result<List<RefusalView>, Problem> {
    let page = services.refusals.list(&caller, &asked.request).await?;
    let headers = asked.headers(&page)?;
    Ok((headers, Json(page.rows.into_iter().map(RefusalView::try_from).collect::<Result<_, _>>()?)))
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
