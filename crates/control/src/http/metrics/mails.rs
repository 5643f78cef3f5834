use super::exposition::{Exposition, Kind};
use crate::Services;

/// What mails are on their way. What is in the database is left out while that does not answer.
pub(super) async fn expose(services: &Services, exposition: &mut Exposition) {
    let help = "Attempts to send mails, by how they ended.";
    let mut attempts = exposition.family("tandem_mail_attempts_total", Kind::Counter, help);
    for (outcome, count) in services.mails.attempts() {
        attempts.sample(&[("outcome", outcome)], count);
    }
    let backlog = services.mails.backlog().await;
    let help = "Mails that are to be sent, on all nodes, at most 100,000.";
    exposition.gauge_if_known("tandem_mails_pending", help, backlog.map(|backlog| backlog.pending));
    let help = "Mails that were given up within the last week, at most 100,000.";
    exposition.gauge_if_known("tandem_mails_dead", help, backlog.map(|backlog| backlog.dead));
}
