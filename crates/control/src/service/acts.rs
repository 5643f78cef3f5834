use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tandem_store::{Act, Change, Store};
use tokio::sync::Notify;

/// Writes down acts that have no transaction of their own: commands to live calls, sign-ins that failed.
///
/// Nobody waits for it: a call is placed and ended whether the database answers or not, and how long an answer takes must not tell
/// whether a user exists. What is noted is written by a task in the order of the notes, many in one transaction, and tried again
/// until the database takes it.
#[derive(Clone)]
pub(super) struct Acts {
    store: Store,
    notes: Arc<Notes>,
}

#[derive(Default)]
struct Notes {
    queue: Mutex<Queue>,
    /// Told whenever the queue is empty.
    written: Notify,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<(Act, Change)>,
    /// Whether a task writes.
    is_written: bool,
}

impl Acts {
    pub(super) fn new(store: Store) -> Self {
        Self { store, notes: Arc::default() }
    }

    /// Has an act written down soon.
    pub(super) fn note(&self, act: Act, change: Change) {
        if act.dry_run {
            return;
        }
        {
            let mut queue = self.notes.queue();
            if queue.waiting.len() >= MAX_WAITING {
                tracing::error!(action = change.action, resource = %change.resource, actor = %act.actor.name, "the audit log misses an act: the database has not answered for long");
                return;
            }
            queue.waiting.push_back((act, change));
            if std::mem::replace(&mut queue.is_written, true) {
                return;
            }
        }
        let acts = self.clone();
        tokio::spawn(async move { acts.write().await });
    }

    /// Waits until everything noted so far is written, but not for a database that does not answer.
    pub(super) async fn written(&self) {
        let all = async {
            loop {
                let written = self.notes.written.notified();
                if !self.notes.queue().is_written {
                    return;
                }
                written.await;
            }
        };
        if tokio::time::timeout(PATIENCE, all).await.is_err() {
            tracing::error!("the audit log misses the last acts: the database does not answer");
        }
    }

    async fn write(&self) {
        loop {
            let batch: Vec<(Act, Change)> = {
                let mut queue = self.notes.queue();
                if queue.waiting.is_empty() {
                    queue.is_written = false;
                    self.notes.written.notify_waiters();
                    return;
                }
                let size = queue.waiting.len().min(BATCH);
                queue.waiting.drain(..size).collect()
            };
            while let Err(error) = self.store.record_acts(&batch).await {
                if error.is_about_values() {
                    tracing::error!(%error, count = batch.len(), "the audit log misses acts that the database does not take");
                    break;
                }
                tracing::warn!(%error, count = batch.len(), "acts were not written down; that is tried again");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

impl Notes {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Acts that wait for a database that is away: some seconds of calls at the highest rate, and hours of what people do.
const MAX_WAITING: usize = 20_000;
/// Acts written in one transaction, so that it takes milliseconds.
const BATCH: usize = 200;
/// How long after a failure it is tried again.
const PAUSE: Duration = Duration::from_secs(1);
/// How long a node that stops waits for the database.
const PATIENCE: Duration = Duration::from_secs(5);
