//! Alerts: what somebody should look at, and what accounts want to be told of.
//!
//! A row holds as long as its condition has not been away since it was raised, whatever people do with it. Of an account, a rule and a
//! subject only one row holds: of several nodes that see the same, one raises.

mod figures;
mod people;
mod rules;
mod settings;

pub use figures::{HourlyCost, RecentTraffic};
pub use people::{ALERTS_KEY, AlertFilter, ChangeAlertError};
pub use rules::OpenAlert;
pub use settings::ChangeAlertSettingsError;
pub(crate) use settings::FIND_SETTINGS;

use crate::DatabaseError;
use crate::event::Draft;
use crate::row::Columns;
use serde_json::json;
use tandem_model::{AccountId, Alert, AlertId, EventType, JsonText, NodeId, Timestamp};

/// The event that tells of an alert as it is now.
fn told(alert: &Alert, kind: EventType, at: Timestamp) -> Result<Draft, DatabaseError> {
    let measured: serde_json::Value = serde_json::from_str(alert.measured.as_str()).unwrap_or_default();
    let data = json!({
        "id": alert.id,
        "rule": alert.rule,
        "about": alert.subject,
        "severity": alert.severity,
        "state": alert.state,
        "summary": alert.summary,
        "measured": measured,
        "threshold": alert.threshold,
        "raised_at": alert.raised_at.to_string(),
        "acknowledged_at": alert.acknowledged_at.map(|at| at.to_string()),
        "acknowledged_by": alert.acknowledged_by,
        "resolved_at": alert.resolved_at.map(|at| at.to_string()),
        "resolved_by": alert.resolved_by,
        "note": alert.note,
    });
    Ok(Draft::new(alert.account_id, kind, format!("alerts/{}", alert.id), at, &data)?)
}

fn read_alert<R: Columns>(row: &R) -> Result<Alert, DatabaseError> {
    Ok(Alert {
        id: AlertId::from_uuid(row.uuid("id")?),
        account_id: AccountId::from_uuid(row.uuid("account_id")?),
        rule: row.parsed("rule")?,
        subject: row.text("subject")?,
        severity: row.parsed("severity")?,
        state: row.parsed("state")?,
        summary: row.text("summary")?,
        measured: JsonText::from_stored(row.text("measured")?),
        threshold: row.number("threshold")?,
        node_id: NodeId::from_uuid(row.uuid("node_id")?),
        raised_at: row.time("raised_at")?,
        acknowledged_at: row.time_opt("acknowledged_at")?,
        acknowledged_by: row.text_opt("acknowledged_by")?,
        resolved_at: row.time_opt("resolved_at")?,
        resolved_by: row.text_opt("resolved_by")?,
        note: row.text_opt("note")?,
    })
}
