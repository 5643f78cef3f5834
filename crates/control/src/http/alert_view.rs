use crate::http::model_schema;
use crate::service::advice;
use serde::Serialize;
use serde_json::{Map, Value};
use tandem_model::{Alert, AlertRule, AlertSettings, AlertSeverity, AlertState, AlertThresholds, JsonText, Timestamp};
use utoipa::ToSchema;
use uuid::Uuid;

/// Something that somebody should look at.
#[derive(Serialize, ToSchema)]
#[schema(as = Alert)]
pub(crate) struct AlertView {
    id: Uuid,
    /// The account.
    user_id: Uuid,
    /// Which rule raised it.
    #[schema(value_type = model_schema::AlertRule)]
    rule: AlertRule,
    /// What it is about: its path below `/api/v1/telephony/`, or `accounts/` or `nodes/` with an id.
    #[schema(examples("trunks/0198f2b4-5c00-7a3e-9d2b-3f1c5e8a7b10"))]
    subject: String,
    #[schema(value_type = model_schema::AlertSeverity)]
    severity: AlertSeverity,
    #[schema(value_type = model_schema::AlertState)]
    state: AlertState,
    /// What was found when it was raised, for people.
    summary: String,
    /// The same in numbers.
    #[schema(value_type = Object)]
    measured: JsonText<Map<String, Value>>,
    /// What it was measured against, in the unit of the rule's threshold in the settings.
    threshold: u32,
    /// What to do about it.
    what_to_do: &'static str,
    /// Since when it is so.
    #[schema(value_type = String, format = DateTime)]
    raised_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    acknowledged_at: Option<Timestamp>,
    /// The name of the key, or the e-mail address of the user.
    acknowledged_by: Option<String>,
    #[schema(value_type = Option<String>, format = DateTime)]
    resolved_at: Option<Timestamp>,
    /// The same; `rule` when what was measured says so.
    resolved_by: Option<String>,
    /// What people wrote about it.
    note: Option<String>,
}

impl From<Alert> for AlertView {
    fn from(alert: Alert) -> Self {
        Self {
            id: alert.id.as_uuid(),
            user_id: alert.account_id.as_uuid(),
            rule: alert.rule,
            subject: alert.subject,
            severity: alert.severity,
            state: alert.state,
            summary: alert.summary,
            measured: alert.measured,
            threshold: alert.threshold,
            what_to_do: advice(alert.rule),
            raised_at: alert.raised_at,
            acknowledged_at: alert.acknowledged_at,
            acknowledged_by: alert.acknowledged_by,
            resolved_at: alert.resolved_at,
            resolved_by: alert.resolved_by,
            note: alert.note,
        }
    }
}

/// What an account is told of, with everything said.
#[derive(Serialize, ToSchema)]
#[schema(as = AlertSettings)]
pub(crate) struct AlertSettingsView {
    trunk_utilisation: UtilisationRule,
    account_utilisation: UtilisationRule,
    probes_failing: ProbesRule,
    success_rate: SuccessRateRule,
    cost_spike: CostSpikeRule,
    provider_errors: ProviderErrorsRule,
    /// Counts in the operator's own account only.
    journal_backlog: JournalBacklogRule,
    /// Counts in the operator's own account only.
    database_away: DatabaseAwayRule,
    /// Where mails about alerts go.
    mail_to: Vec<String>,
}

impl From<AlertSettings> for AlertSettingsView {
    fn from(settings: AlertSettings) -> Self {
        Self {
            trunk_utilisation: settings.of(AlertRule::TrunkUtilisation).into(),
            account_utilisation: settings.of(AlertRule::AccountUtilisation).into(),
            probes_failing: settings.of(AlertRule::ProbesFailing).into(),
            success_rate: settings.of(AlertRule::SuccessRate).into(),
            cost_spike: settings.of(AlertRule::CostSpike).into(),
            provider_errors: settings.of(AlertRule::ProviderErrors).into(),
            journal_backlog: settings.of(AlertRule::JournalBacklog).into(),
            database_away: settings.of(AlertRule::DatabaseAway).into(),
            mail_to: settings.mail_to,
        }
    }
}

/// A rule about calls of what may be: from above so many percent on.
#[derive(Serialize, ToSchema)]
pub(crate) struct UtilisationRule {
    /// Whether it is watched.
    enabled: bool,
    threshold_percent: u32,
}

impl From<AlertThresholds> for UtilisationRule {
    fn from(of: AlertThresholds) -> Self {
        Self { enabled: of.enabled, threshold_percent: of.threshold }
    }
}

/// A rule about probes that fail one after the other: from so many on.
#[derive(Serialize, ToSchema)]
pub(crate) struct ProbesRule {
    /// Whether it is watched.
    enabled: bool,
    threshold_probes: u32,
}

impl From<AlertThresholds> for ProbesRule {
    fn from(of: AlertThresholds) -> Self {
        Self { enabled: of.enabled, threshold_probes: of.threshold }
    }
}

/// A rule about attempts within 15 minutes: fewer than so many percent are answered, of at least so many.
#[derive(Serialize, ToSchema)]
pub(crate) struct SuccessRateRule {
    /// Whether it is watched.
    enabled: bool,
    threshold_percent: u32,
    minimum_attempts: u32,
}

impl From<AlertThresholds> for SuccessRateRule {
    fn from(of: AlertThresholds) -> Self {
        Self { enabled: of.enabled, threshold_percent: of.threshold, minimum_attempts: of.minimum }
    }
}

/// A rule about what the calls of an hour cost: more than so many times what is usual, and more than so many whole units of the currency.
#[derive(Serialize, ToSchema)]
pub(crate) struct CostSpikeRule {
    /// Whether it is watched.
    enabled: bool,
    threshold_factor: u32,
    minimum_amount: u32,
}

impl From<AlertThresholds> for CostSpikeRule {
    fn from(of: AlertThresholds) -> Self {
        Self { enabled: of.enabled, threshold_factor: of.threshold, minimum_amount: of.minimum }
    }
}

/// A rule about calls out within 15 minutes: more than so many percent are refused by the far end, or it fails; at least so many.
#[derive(Serialize, ToSchema)]
pub(crate) struct ProviderErrorsRule {
    /// Whether it is watched.
    enabled: bool,
    threshold_percent: u32,
    minimum_errors: u32,
}

impl From<AlertThresholds> for ProviderErrorsRule {
    fn from(of: AlertThresholds) -> Self {
        Self { enabled: of.enabled, threshold_percent: of.threshold, minimum_errors: of.minimum }
    }
}

/// A rule about the oldest record that waits for the database: from so many seconds on.
#[derive(Serialize, ToSchema)]
pub(crate) struct JournalBacklogRule {
    /// Whether it is watched.
    enabled: bool,
    threshold_seconds: u32,
}

impl From<AlertThresholds> for JournalBacklogRule {
    fn from(of: AlertThresholds) -> Self {
        Self { enabled: of.enabled, threshold_seconds: of.threshold }
    }
}

/// A rule about a database that does not answer: from so many seconds on.
#[derive(Serialize, ToSchema)]
pub(crate) struct DatabaseAwayRule {
    /// Whether it is watched.
    enabled: bool,
    threshold_seconds: u32,
}

impl From<AlertThresholds> for DatabaseAwayRule {
    fn from(of: AlertThresholds) -> Self {
        Self { enabled: of.enabled, threshold_seconds: of.threshold }
    }
}
