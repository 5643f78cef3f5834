use crate::http::call_view::CallView;
use crate::http::csv;
use crate::http::model_schema;
use crate::http::trunk_view::{percent, utilization_percent};
use crate::service::{Analytics, Bucket, Dashboard, Figures, TrunkStatistics};
use crate::wire::money_number;
use serde::Serialize;
use serde_json::Number;
use tandem_model::{HangupCause, HealthStatus, Money, Timestamp, TrunkStatus};
use utoipa::ToSchema;
use uuid::Uuid;

/// How a trunk does. Calls of a trunk are its attempts: the legs that went or came over it, and the calls over it that something else
/// carries.
#[derive(Serialize, ToSchema)]
#[schema(as = TrunkStats)]
pub(crate) struct TrunkStatsView {
    trunk_id: Uuid,
    trunk_name: String,
    /// The time that it is about, in whole hours.
    #[schema(value_type = String, format = DateTime)]
    from: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    to: Timestamp,
    /// Those that began in that time.
    total_calls: i64,
    answered_calls: i64,
    /// Those that ended without an answer.
    failed_calls: i64,
    /// Those that go on now.
    active_calls: u32,
    /// 100 × active ÷ most at once.
    utilization_percent: f64,
    #[schema(value_type = model_schema::HealthStatus)]
    health_status: HealthStatus,
    /// Of the last 24 hours, from the whole minute.
    last_24h_calls: i64,
    last_24h_duration_minutes: f64,
    /// What the calls of the last 24 hours cost, without the price of the month.
    #[schema(value_type = f64)]
    last_24h_cost: Number,
    /// Share of the time in which it was healthy or degraded, of that in which its health is known; none if it is not.
    uptime_percent: Option<f64>,
    /// Answer-seizure ratio (ITU-T E.411).
    asr_percent: Option<f64>,
    /// Network effectiveness ratio (ITU-T E.425).
    ner_percent: Option<f64>,
    /// Average duration of a call that was answered.
    acd_seconds: Option<f64>,
    /// Mean time from INVITE to ringing.
    pdd_ms: Option<f64>,
    /// Mean opinion score of what came over it: the listening quality that the E-model (ITU-T G.107) expects, of G.711 alone.
    mos: Option<f64>,
    /// Mean of the quality scores that were given.
    quality_score_average: Option<f64>,
    total_duration_minutes: f64,
    /// What its calls cost.
    #[schema(value_type = f64)]
    call_cost: Number,
    /// The share of its price of a month, up to now.
    #[schema(value_type = Option<f64>)]
    monthly_cost: Option<Number>,
    /// Both.
    #[schema(value_type = f64)]
    total_cost: Number,
    currency: String,
}

/// How an account does.
#[derive(Serialize, ToSchema)]
#[schema(as = Dashboard)]
pub(crate) struct DashboardView {
    total_trunks: usize,
    /// Of them, those that are `active` and healthy.
    active_trunks: usize,
    total_active_calls: u64,
    /// Most calls at once over all trunks.
    total_capacity: u64,
    /// 100 × active ÷ capacity.
    overall_utilization_percent: f64,
    trunk_stats: Vec<TrunkStatsView>,
    /// The newest ten.
    recent_calls: Vec<CallView>,
    call_stats: CallStatsView,
}

/// How the calls of an account do.
#[derive(Serialize, ToSchema)]
#[schema(as = CallStats)]
pub(crate) struct CallStatsView {
    /// The time that it is about, in whole hours.
    #[schema(value_type = String, format = DateTime)]
    from: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    to: Timestamp,
    /// Those that began in that time.
    total_calls: i64,
    /// Those that were answered, also those that go on.
    answered_calls: i64,
    /// Those that ended without an answer.
    failed_calls: i64,
    total_duration_minutes: f64,
    /// What calls and trunks cost together.
    #[schema(value_type = f64)]
    total_cost: Number,
    /// What calls cost.
    #[schema(value_type = f64)]
    call_cost: Number,
    /// The share of the prices of a month of all trunks, up to now.
    #[schema(value_type = Option<f64>)]
    monthly_cost: Option<Number>,
    /// Of calls that were answered and are over.
    average_duration_seconds: Option<f64>,
    /// Answered calls of those that were answered or are over.
    answer_rate_percent: Option<f64>,
    /// Mean of the scores that were given.
    quality_score_average: Option<f64>,
    currency: String,
}

/// What calls add up to.
#[derive(Serialize, ToSchema)]
#[schema(as = Analytics)]
pub(crate) struct AnalyticsView {
    /// The time that it is about, in whole hours.
    #[schema(value_type = String, format = DateTime)]
    from: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    to: Timestamp,
    /// What is told apart.
    group_by: Vec<&'static str>,
    currency: String,
    /// Of all of it.
    totals: FiguresView,
    /// Its parts: each hour or day where time alone is told apart, each trunk where trunks alone are, and else what there is.
    buckets: Vec<BucketView>,
}

/// A part of it. What is not told apart is null.
#[derive(Serialize, ToSchema)]
#[schema(as = AnalyticsBucket)]
pub(crate) struct BucketView {
    /// When its hour or day began.
    #[schema(value_type = Option<String>, format = DateTime)]
    began_at: Option<Timestamp>,
    trunk_id: Option<Uuid>,
    trunk_name: Option<String>,
    /// Country code and two digits, or the area code in North America; null also of what is no international number.
    prefix: Option<String>,
    /// Why they ended.
    #[schema(value_type = Option<model_schema::HangupCause>)]
    cause: Option<HangupCause>,
    #[serde(flatten)]
    figures: FiguresView,
}

/// Figures of calls and attempts, as `docs/statistics.md` defines them. Null is what nothing was measured of.
#[derive(Serialize, ToSchema)]
#[schema(as = Figures)]
pub(crate) struct FiguresView {
    /// Calls that began; by trunk, of their first trunk.
    calls: i64,
    answered_calls: i64,
    failed_calls: i64,
    /// Legs of calls that the switch carries, and calls that something else carries.
    attempts: i64,
    answered_attempts: i64,
    failed_attempts: i64,
    /// Answer-seizure ratio (ITU-T E.411), of attempts.
    asr_percent: Option<f64>,
    /// Network effectiveness ratio (ITU-T E.425), of attempts.
    ner_percent: Option<f64>,
    /// Average duration of an attempt that was answered.
    acd_seconds: Option<f64>,
    /// Mean time from INVITE to ringing, of outbound attempts.
    pdd_ms: Option<f64>,
    /// Mean opinion score of what came from the far ends: the listening quality that the E-model (ITU-T G.107) expects, of G.711 alone.
    mos: Option<f64>,
    /// Mean of the quality scores that clients gave.
    quality_score_average: Option<f64>,
    /// Time that calls were connected; as soon as a trunk is asked for, that attempts were.
    minutes: f64,
    /// Time that was billed, of attempts that the switch carried.
    billed_seconds: i64,
    /// What calls cost; as soon as a trunk is asked for, what attempts cost.
    #[schema(value_type = f64)]
    call_cost: Number,
    /// The share of the prices of a month, up to now; null where it belongs to no part of the calls.
    #[schema(value_type = Option<f64>)]
    monthly_cost: Option<Number>,
    /// Both.
    #[schema(value_type = f64)]
    total_cost: Number,
}

impl TrunkStatsView {
    pub(crate) fn new(statistics: TrunkStatistics, currency: &str) -> Self {
        let TrunkStatistics { shown, range, figures, last_day, uptime_basis_points } = statistics;
        let active_calls = shown.state.active_calls;
        Self {
            trunk_id: shown.trunk.id.as_uuid(),
            from: range.0,
            to: range.1,
            total_calls: figures.sums.attempts,
            answered_calls: figures.sums.attempts_answered,
            failed_calls: figures.sums.attempts_failed,
            active_calls,
            utilization_percent: utilization_percent(active_calls.into(), shown.trunk.max_concurrent_calls.into()),
            health_status: shown.trunk.health.status,
            last_24h_calls: last_day.sums.attempts,
            last_24h_duration_minutes: last_day.minutes(),
            last_24h_cost: money_number(last_day.call_cost()),
            uptime_percent: percent(uptime_basis_points),
            asr_percent: figures.asr_percent(),
            ner_percent: figures.ner_percent(),
            acd_seconds: figures.acd_seconds(),
            pdd_ms: figures.pdd_ms(),
            mos: figures.mos(),
            quality_score_average: figures.quality_score_average(),
            total_duration_minutes: figures.minutes(),
            call_cost: money_number(figures.call_cost()),
            monthly_cost: figures.monthly_cost.map(money_number),
            total_cost: money_number(figures.total_cost()),
            currency: currency.to_owned(),
            trunk_name: shown.trunk.name,
        }
    }
}

impl DashboardView {
    pub(crate) fn new(dashboard: Dashboard, currency: &str) -> Self {
        let Dashboard { trunks, recent_calls, range, figures } = dashboard;
        let is_active = |trunk: &&TrunkStatistics| {
            let trunk = &trunk.shown.trunk;
            trunk.status == TrunkStatus::Active && trunk.health.status == HealthStatus::Healthy
        };
        let total_active_calls = trunks.iter().map(|trunk| u64::from(trunk.shown.state.active_calls)).sum();
        let total_capacity = trunks.iter().map(|trunk| u64::from(trunk.shown.trunk.max_concurrent_calls)).sum();
        Self {
            total_trunks: trunks.len(),
            active_trunks: trunks.iter().filter(is_active).count(),
            total_active_calls,
            total_capacity,
            overall_utilization_percent: utilization_percent(total_active_calls, total_capacity),
            trunk_stats: trunks.into_iter().map(|trunk| TrunkStatsView::new(trunk, currency)).collect(),
            recent_calls: recent_calls.into_iter().map(|call| CallView::new(call, currency)).collect(),
            call_stats: CallStatsView::new(&figures, range, currency),
        }
    }
}

impl CallStatsView {
    fn new(figures: &Figures, (from, to): (Timestamp, Timestamp), currency: &str) -> Self {
        Self {
            from,
            to,
            total_calls: figures.sums.calls,
            answered_calls: figures.sums.calls_answered,
            failed_calls: figures.sums.calls_failed,
            total_duration_minutes: figures.minutes(),
            total_cost: money_number(figures.total_cost()),
            call_cost: money_number(figures.call_cost()),
            monthly_cost: figures.monthly_cost.map(money_number),
            average_duration_seconds: figures.average_duration_seconds(),
            answer_rate_percent: figures.answer_rate_percent(),
            quality_score_average: figures.quality_score_average(),
            currency: currency.to_owned(),
        }
    }
}

impl AnalyticsView {
    pub(crate) fn new(analytics: Analytics, currency: &str) -> Self {
        let Analytics { range, group_by, totals, buckets } = analytics;
        Self {
            from: range.0,
            to: range.1,
            group_by: group_by.into_iter().map(crate::service::GroupBy::as_str).collect(),
            currency: currency.to_owned(),
            totals: FiguresView::new(&totals),
            buckets: buckets.into_iter().map(BucketView::new).collect(),
        }
    }
}

impl BucketView {
    pub(crate) fn new(bucket: Bucket) -> Self {
        let Bucket { began_at, trunk, trunk_name, prefix, cause, figures } = bucket;
        Self {
            began_at,
            trunk_id: trunk.map(tandem_model::TrunkId::as_uuid),
            trunk_name,
            prefix: prefix.map(|prefix| prefix.to_string()),
            cause,
            figures: FiguresView::new(&figures),
        }
    }

    /// Its line of CSV, in the order of [`CSV_COLUMNS`].
    pub(crate) fn csv(&self) -> [String; CSV_COLUMNS.len()] {
        let figures = &self.figures;
        [
            text(self.began_at.map(|at| at.to_string())),
            text(self.trunk_id.map(|id| id.to_string())),
            text(self.trunk_name.clone()),
            text(self.prefix.clone()),
            text(self.cause.map(|cause| cause.as_str().to_owned())),
            figures.calls.to_string(),
            figures.answered_calls.to_string(),
            figures.failed_calls.to_string(),
            figures.attempts.to_string(),
            figures.answered_attempts.to_string(),
            figures.failed_attempts.to_string(),
            number(figures.asr_percent),
            number(figures.ner_percent),
            number(figures.acd_seconds),
            number(figures.pdd_ms),
            number(figures.mos),
            number(figures.quality_score_average),
            figures.minutes.to_string(),
            figures.billed_seconds.to_string(),
            figures.call_cost.to_string(),
            figures.monthly_cost.as_ref().map(Number::to_string).unwrap_or_default(),
            figures.total_cost.to_string(),
        ]
    }
}

impl FiguresView {
    fn new(figures: &Figures) -> Self {
        let sums = &figures.sums;
        Self {
            calls: sums.calls,
            answered_calls: sums.calls_answered,
            failed_calls: sums.calls_failed,
            attempts: sums.attempts,
            answered_attempts: sums.attempts_answered,
            failed_attempts: sums.attempts_failed,
            asr_percent: figures.asr_percent(),
            ner_percent: figures.ner_percent(),
            acd_seconds: figures.acd_seconds(),
            pdd_ms: figures.pdd_ms(),
            mos: figures.mos(),
            quality_score_average: figures.quality_score_average(),
            minutes: figures.minutes(),
            billed_seconds: sums.billed_seconds,
            call_cost: money_number(figures.call_cost()),
            monthly_cost: figures.monthly_cost.map(|cost: Money| money_number(cost)),
            total_cost: money_number(figures.total_cost()),
        }
    }
}

/// The columns of CSV.
pub(crate) const CSV_COLUMNS: [&str; 22] = [
    "began_at",
    "trunk_id",
    "trunk_name",
    "prefix",
    "cause",
    "calls",
    "answered_calls",
    "failed_calls",
    "attempts",
    "answered_attempts",
    "failed_attempts",
    "asr_percent",
    "ner_percent",
    "acd_seconds",
    "pdd_ms",
    "mos",
    "quality_score_average",
    "minutes",
    "billed_seconds",
    "call_cost",
    "monthly_cost",
    "total_cost",
];

fn number(value: Option<f64>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

fn text(value: Option<String>) -> String {
    value.map(|text| csv::text(&text)).unwrap_or_default()
}
