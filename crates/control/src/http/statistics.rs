use crate::Services;
use crate::http::csv;
use crate::http::json::Json;
use crate::http::problem::Problem;
use crate::http::problem_schema::{InvalidFields, NoAnswer, NoSuchTrunk, Unauthorized};
use crate::http::statistics_query::{AnalyticsParameters, AnalyticsRequest, Format, PeriodQuery};
use crate::http::statistics_view::{AnalyticsView, BucketView, CSV_COLUMNS, DashboardView, TrunkStatsView};
use crate::http::trunks::trunk_id;
use crate::service::{Bucket, Caller, Period, ReadStatisticsError};
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use std::convert::Infallible;

/// How a trunk does: its calls, its health, what it costs.
#[utoipa::path(
    get,
    path = "/trunks/{id}/stats",
    operation_id = "read_trunk_stats",
    tag = "statistics",
    params(("id" = Uuid, Path, description = "The trunk."), PeriodQuery),
    responses(
        (status = 200, description = "Its figures.", body = TrunkStatsView),
        Unauthorized,
        NoSuchTrunk,
        InvalidFields,
        NoAnswer,
    )
)]
pub(crate) async fn of_trunk(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
    period: Period,
) -> Result<Json<TrunkStatsView>, Problem> {
    let statistics = services.statistics.of_trunk(&caller, trunk_id(&id)?, period).await?;
    Ok(Json(TrunkStatsView::new(statistics, &services.currency)))
}

/// How the account does: its trunks, its newest calls, its figures.
#[utoipa::path(
    get,
    path = "/dashboard",
    operation_id = "read_dashboard",
    tag = "statistics",
    params(PeriodQuery),
    responses(
        (status = 200, description = "The dashboard.", body = DashboardView),
        Unauthorized,
        InvalidFields,
        NoAnswer,
    )
)]
pub(crate) async fn dashboard(
    State(services): State<Services>,
    caller: Caller,
    period: Period,
) -> Result<Json<DashboardView>, Problem> {
    let dashboard = services.statistics.dashboard(&caller, period).await?;
    Ok(Json(DashboardView::new(dashboard, &services.currency)))
}

/// What calls add up to, by hour, day, trunk, prefix or cause. A call counts from when it is stored, which is a moment after it began.
#[utoipa::path(
    get,
    path = "/analytics",
    operation_id = "read_analytics",
    tag = "statistics",
    params(PeriodQuery, AnalyticsParameters),
    responses(
        (status = 200, description = "The figures; as CSV and as lines of JSON, those of the parts.", content(
            (AnalyticsView = "application/json"),
            (String = "text/csv"),
            (BucketView = "application/x-ndjson"),
        )),
        Unauthorized,
        InvalidFields,
        NoAnswer,
    )
)]
pub(crate) async fn analytics(
    State(services): State<Services>,
    caller: Caller,
    AnalyticsRequest { query, format }: AnalyticsRequest,
) -> Result<Response, Problem> {
    let analytics = services.statistics.analytics(&caller, query).await?;
    Ok(match format {
        Format::Json => Json(AnalyticsView::new(analytics, &services.currency)).into_response(),
        Format::Csv => {
            let head = csv::lines([CSV_COLUMNS]).unwrap_or_default();
            lines(csv::CSV, Some(head), analytics.buckets, |part| csv::lines([part.csv()]).unwrap_or_default())
        }
        Format::Ndjson => lines("application/x-ndjson", None, analytics.buckets, |part| {
            let mut line = serde_json::to_vec(part).expect("a part has text keys only");
            line.push(b'\n');
            line
        }),
    })
}

/// An answer that is written a line at a time, as fast as the client takes it.
fn lines(
    kind: &'static str,
    head: Option<Vec<u8>>,
    buckets: Vec<Bucket>,
    print: impl Fn(&BucketView) -> Vec<u8> + Send + 'static,
) -> Response {
    let lines = head.into_iter().chain(buckets.into_iter().map(move |bucket| print(&BucketView::new(bucket))));
    let body = Body::from_stream(futures_util::stream::iter(lines.map(Ok::<_, Infallible>)));
    ([(header::CONTENT_TYPE, kind)], body).into_response()
}

impl From<ReadStatisticsError> for Problem {
    fn from(error: ReadStatisticsError) -> Self {
        match error {
            ReadStatisticsError::NoSuchTrunk => Self::no_such("trunk"),
            ReadStatisticsError::Invalid(invalid) => invalid.into(),
            ReadStatisticsError::Unavailable(error) => error.into(),
            ReadStatisticsError::Database(error) => error.into(),
        }
    }
}
