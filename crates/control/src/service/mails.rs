use crate::service::Core;
use crate::{MailError, Mailer};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tandem_model::Timestamp;
use tandem_store::{ClaimedMail, DatabaseError, MailBacklog, MailEnd};

/// What sends mails that were written.
#[derive(Clone)]
pub(crate) struct Mails {
    core: Arc<Core>,
    /// `None` where the operator has named no mail server.
    mailer: Option<Arc<dyn Mailer>>,
    counts: Arc<Counts>,
}

/// Attempts since the process began.
#[derive(Default)]
struct Counts {
    sent: AtomicU64,
    failed: AtomicU64,
    given_up: AtomicU64,
}

impl Mails {
    pub(super) fn new(core: Arc<Core>, mailer: Option<Arc<dyn Mailer>>) -> Self {
        Self { core, mailer, counts: Arc::default() }
    }

    /// Sends what is due, for as long as the process lives.
    pub(crate) async fn run(&self) {
        if self.mailer.is_none() {
            return std::future::pending().await;
        }
        let mut released = false;
        let mut is_failing = false;
        loop {
            let round = async {
                if !released {
                    self.core.store.release_mail_claims().await?;
                    released = true;
                }
                self.send_due().await
            };
            match round.await {
                Ok(_) => is_failing = false,
                Err(error) => {
                    if !std::mem::replace(&mut is_failing, true) {
                        tracing::warn!(%error, "mails cannot be read; that is tried again");
                    }
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Sends what is due now, one after the other; gives how many were tried.
    pub(crate) async fn send_due(&self) -> Result<usize, DatabaseError> {
        let Some(mailer) = &self.mailer else { return Ok(0) };
        let mut tried = 0;
        loop {
            // One at a time, so that none waits behind a slow server until its claim has run out.
            let claimed = self.core.store.claim_mails(self.core.now(), HOLD, 1).await?;
            let Some(mail) = claimed.first() else { return Ok(tried) };
            let end = self.attempt(mailer.as_ref(), mail).await;
            tried += 1;
            if !self.core.store.finish_mail(mail.id, self.core.now(), &end).await? {
                tracing::info!(mail = %mail.id, "a mail took so long that it is sent again");
            }
        }
    }

    async fn attempt(&self, mailer: &dyn Mailer, mail: &ClaimedMail) -> MailEnd {
        let outcome = mailer.send(mail).await;
        let end = match outcome {
            Ok(()) => MailEnd::Sent,
            Err(MailError::Never(error)) => MailEnd::Dead(error),
            Err(MailError::Later(error)) => after_failure(mail, self.core.now(), error),
        };
        let counter = match &end {
            MailEnd::Sent => &self.counts.sent,
            MailEnd::Again(_, error) => {
                // Once a mail, not once an attempt: it may be tried all day.
                if mail.attempts == 0 {
                    tracing::warn!(account = %mail.account_id, mail = %mail.id, error, "a mail was not taken; it is tried again");
                }
                &self.counts.failed
            }
            MailEnd::Dead(error) => {
                tracing::warn!(account = %mail.account_id, mail = %mail.id, error, "a mail was given up");
                &self.counts.given_up
            }
        };
        counter.fetch_add(1, Ordering::Relaxed);
        end
    }

    /// Attempts since the process began.
    pub(crate) fn attempts(&self) -> [(&'static str, u64); 3] {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Counts { sent, failed, given_up } = &*self.counts;
        [("sent", count(sent)), ("failed", count(failed)), ("given_up", count(given_up))]
    }

    /// What is to be sent, over all accounts; `None` when the database does not answer.
    pub(crate) async fn backlog(&self) -> Option<MailBacklog> {
        self.core.store.mail_backlog().await.ok()
    }

    /// Removes what was sent or given up a week ago.
    pub(crate) async fn remove_old(&self) -> Result<(), DatabaseError> {
        let before = self.core.now().saturating_sub(KEPT_FOR);
        while self.core.store.remove_mails_before(before).await? > 0 {}
        Ok(())
    }
}

/// What comes of an attempt that failed: another, later and later, the last one when the mail is given up.
fn after_failure(mail: &ClaimedMail, now: Timestamp, error: String) -> MailEnd {
    if now >= mail.give_up_at {
        return MailEnd::Dead(error);
    }
    let place = usize::try_from(mail.attempts).unwrap_or(usize::MAX);
    let pause = PAUSES.get(place).or(PAUSES.last()).copied().unwrap_or_default();
    MailEnd::Again(now.saturating_add(pause).min(mail.give_up_at), error)
}

/// Between two attempts: seconds for a server that was restarted, then as long as one does not mind to wait. The last one repeats.
const PAUSES: [Duration; 8] = [
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(20),
    Duration::from_secs(60),
    Duration::from_secs(5 * 60),
    Duration::from_secs(15 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(60 * 60),
];
/// How soon a mail is sent.
const LOOK_EVERY: Duration = Duration::from_secs(3);
/// Longer than an attempt takes.
const HOLD: Duration = Duration::from_secs(90);
/// As of webhooks.
const KEPT_FOR: Duration = Duration::from_secs(7 * 24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;
    use tandem_model::{AccountId, MailId};
    use tandem_store::MailText;
    use uuid::Uuid;

    #[test]
    fn a_mail_is_tried_for_a_day_and_then_given_up() {
        let end = Timestamp::from_unix_micros(0).saturating_add(Duration::from_secs(24 * 60 * 60));
        let mut mail = ClaimedMail {
            id: MailId::from_uuid(Uuid::from_u128(7)),
            account_id: AccountId::from_uuid(Uuid::from_u128(1)),
            recipient: "noc@example.com".to_owned(),
            text: MailText { subject: String::new(), body: String::new() },
            created_at: Timestamp::from_unix_micros(0),
            attempts: 0,
            give_up_at: end,
        };
        let (mut now, mut pauses) = (mail.created_at, Vec::new());
        while let MailEnd::Again(due, _) = after_failure(&mail, now, String::new()) {
            assert!(due > now && due <= end);
            pauses.push(due.since(now).as_secs());
            now = due;
            mail.attempts += 1;
        }
        assert_eq!(now, end);
        let (last, whole) = pauses.split_last().unwrap();
        assert!(whole.is_sorted() && *last <= 60 * 60, "{pauses:?}");
        assert_eq!(whole.iter().take(4).sum::<u64>(), 95, "a server that restarts is soon asked again: {pauses:?}");
        assert!((20..40).contains(&mail.attempts), "{}", mail.attempts);
    }
}
