//! What people are told of alerts.

use tandem_model::{Alert, AlertRule, AlertState};
use tandem_store::MailText;

/// What to do about an alert.
pub(crate) const fn advice(rule: AlertRule) -> &'static str {
    match rule {
        AlertRule::TrunkUtilisation => {
            "Raise the trunk's max_concurrent_calls if the carrier allows more, or give its calls another trunk; full, it takes none."
        }
        AlertRule::AccountUtilisation => {
            "Look whether the calls are meant (GET /calls); if so, have the operator raise the account's max_calls. Full, its calls are refused."
        }
        AlertRule::ProbesFailing => {
            "Test the trunk (tandem trunk test, or POST /trunks/{id}/health-check). If it is the carrier, set its status to maintenance: its failover takes over."
        }
        AlertRule::SuccessRate => {
            "See why calls end (GET /analytics with group_by=cause and this trunk), compare with other trunks, and ask the carrier."
        }
        AlertRule::CostSpike => {
            "Look at where calls go (GET /analytics with group_by=prefix). If they are not meant, revoke the key or disable the trunk that they use: it may be fraud."
        }
        AlertRule::ProviderErrors => {
            "Check the trunk's credentials and the source address that the carrier expects, then ask the carrier: it refuses calls, or fails."
        }
        AlertRule::JournalBacklog => {
            "See that the database answers and has room. Calls go on; the journal keeps their records until its disk has 64 MB left."
        }
        AlertRule::DatabaseAway => {
            "Bring the database back. Calls go on and are placed; the API answers 503 to what needs the database."
        }
    }
}

/// A mail about an alert as it is now.
pub(super) fn mail(alert: &Alert) -> MailText {
    let rule = alert.rule;
    let is_over = alert.state == AlertState::Resolved;
    let subject = if is_over {
        format!("[Tandem] resolved: {rule}, {}", alert.subject)
    } else {
        format!("[Tandem] {}: {rule}, {}", alert.severity, alert.subject)
    };
    let mut lines = vec![alert.summary.clone(), String::new(), format!("since:     {}", alert.raised_at)];
    if let (Some(at), Some(by)) = (alert.resolved_at, &alert.resolved_by) {
        lines.push(format!("resolved:  {at}, by {by}"));
    }
    lines.push(format!("severity:  {}", alert.severity));
    lines.push(format!("about:     {}", alert.subject));
    lines.push(format!("threshold: {} ({})", alert.threshold, rule.threshold().name.trim_start_matches("threshold_")));
    lines.push(format!("measured:  {}", alert.measured.as_str()));
    lines.push(format!("account:   {}", alert.account_id));
    lines.push(format!("alert:     {}", alert.id));
    lines.extend(alert.note.as_ref().map(|note| format!("note:      {note}")));
    if !is_over {
        lines.extend([String::new(), "What to do:".to_owned(), advice(rule).to_owned()]);
    }
    MailText { subject, body: lines.join("\n") }
}

/// A mail about alerts of which there were too many.
pub(super) fn left_out(count: u64) -> MailText {
    MailText {
        subject: format!("[Tandem] {count} more alerts"),
        body: format!(
            "{count} changes of alerts were not told by mail, because there were too many within an hour.\n\n\
             GET /alerts, or tandem alerts, shows all of them."
        ),
    }
}
