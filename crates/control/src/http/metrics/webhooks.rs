use super::exposition::{Exposition, Kind};
use crate::Services;

/// What webhooks are on their way. What is in the database is left out while that does not answer.
pub(super) async fn expose(services: &Services, exposition: &mut Exposition) {
    let help = "Attempts to deliver webhooks, by how they ended.";
    let mut attempts = exposition.family("tandem_webhook_attempts_total", Kind::Counter, help);
    for (outcome, count) in services.webhooks.attempts() {
        attempts.sample(&[("outcome", outcome)], count);
    }
    let backlog = services.webhooks.backlog().await;
    let pending = backlog.map(|backlog| backlog.pending);
    let help = "Webhooks that are to be delivered, on all nodes, at most 100,000.";
    exposition.gauge_if_known("tandem_webhooks_pending", help, pending);
    let help = "Webhooks that were given up and are still in the log, at most 100,000.";
    exposition.gauge_if_known("tandem_webhooks_dead", help, backlog.map(|backlog| backlog.dead));
    let help = "Age of the oldest webhook that is to be delivered; 0 when there is none.";
    let mut age = exposition.family("tandem_webhook_oldest_pending_seconds", Kind::Gauge, help);
    if let Some(backlog) = backlog {
        let oldest = backlog.oldest.map(|oldest| services.webhooks.now().since(oldest));
        age.seconds(&[], oldest.unwrap_or_default());
    }
}
