use crate::http::model_schema;
use crate::http::trunk_view::{milliseconds, percent};
use crate::service::ShownHealth;
use serde::Serialize;
use tandem_model::{BreakerState, HealthReason, HealthSpan, HealthStatus, Reason, Timestamp};
use utoipa::ToSchema;
use uuid::Uuid;

/// The health of a trunk: how it is, and how it was.
#[derive(Serialize, ToSchema)]
#[schema(as = TrunkHealth)]
pub(crate) struct TrunkHealthView {
    trunk_id: Uuid,
    #[schema(value_type = model_schema::HealthStatus)]
    status: HealthStatus,
    /// Why it is that; none of a trunk that is not in service.
    #[schema(value_type = Option<model_schema::HealthReason>)]
    reason: Option<HealthReason>,
    /// Since when its status is what it is, as far as this process has seen it.
    #[schema(value_type = Option<String>, format = DateTime)]
    since: Option<Timestamp>,
    /// When it was last probed.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_health_check: Option<Timestamp>,
    /// Seconds between probes; 0 is never.
    options_interval: u64,
    /// Round trip of probes, smoothed, in milliseconds with its fraction.
    latency_ms: Option<f64>,
    /// What 95 of 100 round trips are not above, of the last probes.
    latency_p95_ms: Option<f64>,
    /// Lost audio if any was due, else lost probes.
    packet_loss_percent: Option<f64>,
    /// Unanswered probes of the last twenty; none of fewer than ten.
    probe_loss_percent: Option<f64>,
    /// Audio lost on its way to us in calls that ended within five minutes.
    audio_loss_percent: Option<f64>,
    circuit: CircuitView,
    /// Whether routing considers the trunk.
    routable: bool,
    /// Code of the reason why not, as on receipts.
    unroutable_reason: Option<&'static str>,
    /// Share of the time of the last 30 days in which it was healthy or degraded, of the time in which its health is known.
    uptime_percent: Option<f64>,
    /// How it was, newest first.
    history: Vec<HealthSpanView>,
}

/// What the circuit breaker of a trunk does with calls.
#[derive(Serialize, ToSchema)]
#[schema(as = Circuit)]
pub(crate) struct CircuitView {
    #[schema(value_type = model_schema::BreakerState)]
    state: BreakerState,
    /// Until when it keeps calls away, while it is open.
    #[schema(value_type = Option<String>, format = DateTime)]
    until: Option<Timestamp>,
}

/// A span of time in which a trunk was of one status; at most an hour and its last probe.
#[derive(Serialize, ToSchema)]
#[schema(as = HealthSpan)]
pub(crate) struct HealthSpanView {
    #[schema(value_type = String, format = DateTime)]
    began_at: Timestamp,
    /// Until when it is known to have lasted.
    #[schema(value_type = String, format = DateTime)]
    until: Timestamp,
    #[schema(value_type = model_schema::HealthStatus)]
    status: HealthStatus,
    #[schema(value_type = model_schema::HealthReason)]
    reason: HealthReason,
    /// As it was in the end.
    latency_ms: Option<f64>,
    /// As it was in the end.
    packet_loss_percent: Option<f64>,
}

impl From<ShownHealth> for TrunkHealthView {
    fn from(shown: ShownHealth) -> Self {
        let ShownHealth { trunk: shown, measured, uptime_basis_points, history } = shown;
        let unroutable = shown.unroutable_reason();
        let (trunk, measured) = (shown.trunk, measured.as_deref());
        Self {
            trunk_id: trunk.id.as_uuid(),
            status: trunk.health.status,
            reason: measured.map(|measured| measured.reason),
            since: measured.map(|measured| measured.since),
            last_health_check: trunk.health.checked_at,
            options_interval: trunk.options_interval().map_or(0, |interval| interval.as_secs()),
            latency_ms: milliseconds(trunk.health.latency_us),
            latency_p95_ms: milliseconds(measured.and_then(|measured| measured.latency_p95_us)),
            packet_loss_percent: percent(trunk.health.loss_basis_points),
            probe_loss_percent: percent(measured.and_then(|measured| measured.probe_loss_basis_points)),
            audio_loss_percent: percent(measured.and_then(|measured| measured.audio_loss_basis_points)),
            circuit: CircuitView {
                state: measured.map_or(BreakerState::Closed, |measured| measured.breaker),
                until: measured.and_then(|measured| measured.breaker_until),
            },
            routable: unroutable.is_none(),
            unroutable_reason: unroutable.as_ref().map(Reason::code),
            uptime_percent: percent(uptime_basis_points),
            history: history.rows.into_iter().map(HealthSpanView::from).collect(),
        }
    }
}

impl From<HealthSpan> for HealthSpanView {
    fn from(span: HealthSpan) -> Self {
        let HealthSpan { began_at, until, status, reason, latency_us, loss_basis_points } = span;
        Self {
            began_at,
            until,
            status,
            reason,
            latency_ms: milliseconds(latency_us),
            packet_loss_percent: percent(loss_basis_points),
        }
    }
}
