use crate::service::{Caller, Core, ListRequest, Page};
use crate::wire::NewErasure;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tandem_model::{ErasureId, Timestamp};
use tandem_store::{DatabaseError, ErasedRows, Erasure, ErasureStep, InsertErasureError};
use tokio::sync::Notify;

/// Numbers that are taken out of what the account has of past calls.
#[derive(Clone)]
pub(crate) struct Erasures {
    core: Arc<Core>,
    /// One was asked for.
    asked: Arc<Notify>,
    counts: Arc<Counts>,
}

/// Rows that this process has changed.
#[derive(Default)]
struct Counts([AtomicU64; KINDS]);

/// Why an erasure is not shown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FindErasureError {
    #[error("no such erasure")]
    NotFound,
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl Erasures {
    pub(super) fn new(core: Arc<Core>) -> Self {
        Self { core, asked: Arc::default(), counts: Arc::default() }
    }

    /// The newest first.
    pub(crate) async fn list(
        &self,
        caller: &Caller,
        request: &ListRequest<()>,
    ) -> Result<Page<Erasure>, DatabaseError> {
        let (store, account) = (&self.core.store, caller.account_id());
        request.answer(store.erasures(account, &request.part), store.count_erasures(account)).await
    }

    /// One erasure.
    pub(crate) async fn read(&self, caller: &Caller, id: ErasureId) -> Result<Erasure, FindErasureError> {
        self.core.store.erasure(caller.account_id(), id).await?.ok_or(FindErasureError::NotFound)
    }

    /// Asks for one; the job of whichever node is first does it.
    pub(crate) async fn create(&self, caller: &Caller, new: &NewErasure) -> Result<Erasure, InsertErasureError> {
        let act = caller.act(self.core.now());
        let erasure = self.core.store.insert_erasure(&act, caller.account_id(), &new.number, &new.also).await?;
        if !act.dry_run {
            self.asked.notify_one();
        }
        Ok(erasure)
    }

    /// Rows that were changed since the process began, by kind.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.counts.0.iter().map(|count| count.load(Ordering::Relaxed));
        by_kind(ErasedRows::default()).map(|(kind, _)| kind).into_iter().zip(counts)
    }

    /// Does erasures. Never ends; drop it to stop: what is under way is gone on with.
    pub(crate) async fn run(&self) {
        loop {
            let pause = match self.work().await {
                Ok(true) => WAITING_PAUSE,
                Ok(false) => IDLE_PAUSE,
                Err(error) => {
                    tracing::warn!(%error, "an erasure was not gone on with; that is tried again");
                    IDLE_PAUSE
                }
            };
            tokio::select! {
                () = self.asked.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Does what can be done now; tells whether erasures go on.
    pub(crate) async fn work(&self) -> Result<bool, DatabaseError> {
        let store = &self.core.store;
        if !store.has_erasures().await? {
            return Ok(false);
        }
        if let Some(recorded_to) = self.recorded_to().await {
            store.tell_recorded_to(recorded_to).await?;
        }
        while let Some(mut claimed) = store.claim_erasure(self.core.now()).await? {
            loop {
                let before = claimed.erasure.erased;
                match store.advance_erasure(&mut claimed, self.core.now()).await {
                    Ok(ErasureStep::Advanced) => self.counts.add(before, claimed.erasure.erased),
                    Ok(ErasureStep::Waiting(_) | ErasureStep::Lost) => break,
                    Ok(ErasureStep::Finished) => {
                        let Erasure { id, account_id, .. } = claimed.erasure;
                        tracing::info!(%account_id, erasure = %id, "a number was erased");
                        break;
                    }
                    Err(error) => {
                        store.release_erasure(claimed).await?;
                        return Err(error);
                    }
                }
                // Who records calls is not to wait for long.
                tokio::time::sleep(STEP_PAUSE).await;
            }
        }
        Ok(true)
    }

    /// Up to when everything that this node has recorded is in the database; `None` when nobody can tell.
    async fn recorded_to(&self) -> Option<Timestamp> {
        let now = self.core.now();
        let readiness = self.core.switchboard.readiness().await;
        if readiness.journal.entries_unwritten > 0 || readiness.journal.backlog_bytes.is_none() {
            return None;
        }
        let age = readiness.journal.oldest_unstored_age_ms.map_or(Duration::ZERO, Duration::from_millis);
        Some(now.saturating_sub(age.saturating_add(UNREAD_FOR)))
    }
}

impl Counts {
    fn add(&self, before: ErasedRows, after: ErasedRows) {
        for ((count, (_, before)), (_, after)) in self.0.iter().zip(by_kind(before)).zip(by_kind(after)) {
            count.fetch_add(after.saturating_sub(before), Ordering::Relaxed);
        }
    }
}

fn by_kind(rows: ErasedRows) -> [(&'static str, u64); KINDS] {
    let ErasedRows {
        calls,
        legs,
        timelines,
        refusals,
        events,
        answers,
        credit_entries,
        trunks,
        alerts,
        mails,
        audit_entries,
    } = rows;
    [
        ("calls", calls),
        ("legs", legs),
        ("timelines", timelines),
        ("refusals", refusals),
        ("events", events),
        ("answers", answers),
        ("credit_entries", credit_entries),
        ("trunks", trunks),
        ("alerts", alerts),
        ("mails", mails),
        ("audit_entries", audit_entries),
    ]
}

/// Kinds of rows.
const KINDS: usize = 11;
/// How often a node looks for an erasure that another was asked for, which is one small query.
const IDLE_PAUSE: Duration = Duration::from_secs(5);
/// How often one that waits is looked at.
const WAITING_PAUSE: Duration = Duration::from_secs(1);
/// As long as the longest of its transactions takes.
const STEP_PAUSE: Duration = Duration::from_millis(50);
/// Several times as long as the recorder waits before it reads what the journal was given.
const UNREAD_FOR: Duration = Duration::from_secs(3);
