use crate::Services;
use std::time::Duration;
use tandem_store::DatabaseError;
use tokio::time::MissedTickBehavior;

impl Services {
    /// Does what nobody asks for: closes external calls that were forgotten, removes what has expired or is kept no longer, erases
    /// numbers, and counts the calls of an earlier build. Never ends; drop it to stop.
    pub async fn run_jobs(&self) {
        tokio::join!(
            self.run_each_minute(),
            self.run_each_hour(),
            self.run_audit_notes(),
            self.run_alerts(),
            self.statistics.count_earlier_calls(),
            self.erasures.run(),
        );
    }

    async fn run_alerts(&self) {
        let mut interval = tokio::time::interval(ALERTS_EVERY);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_failing = false;
        loop {
            interval.tick().await;
            match self.look_for_alerts().await {
                Ok(()) => is_failing = false,
                Err(error) => {
                    if !std::mem::replace(&mut is_failing, true) {
                        tracing::warn!(%error, "alerts were not looked for; that is tried again");
                    }
                }
            }
        }
    }

    async fn run_each_minute(&self) {
        let mut interval = tokio::time::interval(STALE_CALLS_EVERY);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            if let Err(error) = self.sessions.remove_expired().await {
                tracing::warn!(%error, "expired sessions were not removed; that is tried again");
            }
            if let Err(error) = self.statistics.remove_old_minutes().await {
                tracing::warn!(%error, "old minutes were not removed from the statistics; that is tried again");
            }
            if let Err(error) = self.idempotency.remove_old().await {
                tracing::warn!(%error, "old idempotency keys were not removed; that is tried again");
            }
            if let Err(error) = self.webhooks.remove_old().await {
                tracing::warn!(%error, "old events were not removed; that is tried again");
            }
            if let Err(error) = self.mails.remove_old().await {
                tracing::warn!(%error, "old mails were not removed; that is tried again");
            }
            if let Err(error) = self.alerts.tell_left_out().await {
                tracing::warn!(%error, "what was left out of mails was not told; that is tried again");
            }
            if let Err(error) = self.close_stale_calls().await {
                tracing::warn!(%error, "stale calls were not closed; they are tried again");
            }
        }
    }

    async fn run_audit_notes(&self) {
        let mut interval = tokio::time::interval(AUDIT_NOTES_EVERY);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // What was done before the start was noted by who ran then, or is soon.
        interval.reset();
        loop {
            interval.tick().await;
            if let Err(error) = self.audit_log.note_heads().await {
                tracing::warn!(%error, "the ends of audit logs were not noted; that is tried again");
            }
        }
    }

    async fn run_each_hour(&self) {
        let mut interval = tokio::time::interval(OLD_DATA_EVERY);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            if let Err(error) = self.alerts.remove_old().await {
                tracing::warn!(%error, "old alerts were not removed; that is tried again");
            }
            if let Err(error) = self.remove_old_data().await {
                tracing::warn!(%error, "data that is no longer kept was not removed; that is tried again");
            }
        }
    }

    /// Looks once at what alerts are raised by, and raises and clears what is to be. [`Services::run_jobs`] does it every ten seconds.
    ///
    /// # Errors
    /// [`DatabaseError`]; the next look finds what this one has not written.
    pub async fn look_for_alerts(&self) -> Result<(), DatabaseError> {
        self.alerts.turn().await
    }

    /// Removes what is no longer kept; gives how many calls, refusals and entries of the audit log. [`Services::run_jobs`] does it each
    /// hour.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn remove_old_data(&self) -> Result<u64, DatabaseError> {
        self.keeping.remove_old().await
    }

    /// Does what can be done of erasures now; tells whether some go on. [`Services::run_jobs`] does it as they are asked for.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn go_on_with_erasures(&self) -> Result<bool, DatabaseError> {
        self.erasures.work().await
    }

    /// Closes external calls that nobody has written for four hours; gives how many. [`Services::run_jobs`] does it each minute.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn close_stale_calls(&self) -> Result<usize, DatabaseError> {
        self.calls.close_stale().await
    }
}

/// How often the node's log notes where others end: what somebody with the database does to them in between may go unnoticed.
const AUDIT_NOTES_EVERY: Duration = Duration::from_secs(10 * 60);
/// How often alerts are looked for: sooner than anybody could see to them, and seldom enough to cost nothing.
const ALERTS_EVERY: Duration = Duration::from_secs(10);
/// How often old data is looked for: days are told in days.
const OLD_DATA_EVERY: Duration = Duration::from_secs(60 * 60);
/// How often stale calls are looked for: a slot is held at most this much longer than four hours.
const STALE_CALLS_EVERY: Duration = Duration::from_secs(60);
