use crate::Services;
use crate::http::health_view::TrunkHealthView;
use crate::http::json::Json;
use crate::http::problem::Problem;
use crate::http::problem_schema::{InvalidFields, NoAnswer, NoSuchTrunk, Unauthorized};
use crate::http::query::{AskedList, BeginQuery, PageQuery, SortedByBegin};
use crate::http::trunks::trunk_id;
use crate::service::Caller;
use axum::extract::{Path, State};
use axum::http::HeaderMap;

/// The health of a trunk as it is measured, what its circuit breaker does, and how it was.
#[utoipa::path(
    get,
    path = "/trunks/{id}/health",
    operation_id = "read_trunk_health",
    tag = "trunks",
    params(("id" = Uuid, Path, description = "The trunk."), BeginQuery, PageQuery),
    responses(
        (status = 200, description = "Its health. Paging, sort and links are those of `history`.", body = TrunkHealthView),
        Unauthorized,
        NoSuchTrunk,
        InvalidFields,
        NoAnswer,
    )
)]
pub(crate) async fn read(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
    asked: AskedList<SortedByBegin>,
) -> Result<(HeaderMap, Json<TrunkHealthView>), Problem> {
    let shown = services.health.read(&caller, trunk_id(&id)?, &asked.request).await?;
    Ok((asked.headers(&shown.history)?, Json(shown.into())))
}
