//! Live events: what is in the outbox, told to whoever is connected.

mod envelope;
mod filter;
mod latest;
mod stream;

pub(crate) use envelope::envelope;
pub(crate) use filter::EventFilter;
pub(crate) use stream::Told;

use crate::service::{Access, Caller, Core};
use latest::Latest;
use std::sync::{Arc, Mutex, PoisonError};
use stream::Follower;
use tandem_model::Secret;
use tandem_store::DatabaseError;
use tokio::sync::{mpsc, watch};

/// What somebody wants to hear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EventsWanted {
    /// The number of the last event that is known; without it only what is new is told.
    pub(crate) after: Option<u64>,
    /// Which of them.
    pub(crate) filter: EventFilter,
    /// Whether to go on with what happens from now on, or to end after what is kept.
    pub(crate) follow: bool,
}

/// Why nothing is told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenEventsError {
    /// The account has as many streams as it may have.
    #[error("the account has its {MAX_STREAMS_OF_ACCOUNT} streams")]
    AccountFull,
    /// The node has.
    #[error("the node has its {MAX_STREAMS} streams")]
    NodeFull,
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// Tells events as they become visible.
#[derive(Clone)]
pub(crate) struct Events {
    core: Arc<Core>,
    access: Access,
    latest: Arc<Latest>,
    end: Arc<watch::Sender<bool>>,
}

impl Events {
    pub(super) fn new(core: Arc<Core>, access: Access) -> Self {
        Self {
            latest: Arc::new(Latest::new(core.store.clone())),
            core,
            access,
            end: Arc::new(watch::Sender::new(false)),
        }
    }

    /// Begins to tell; the receiver ends with the stream. `bearer` is that of the caller: once it is good no more, nothing more is told.
    pub(crate) async fn open(
        &self,
        caller: Caller,
        bearer: Secret,
        wanted: EventsWanted,
    ) -> Result<mpsc::Receiver<Told>, OpenEventsError> {
        let account = caller.account_id();
        let place = self.latest.join(account)?;
        let now = self.core.store.listen(account).await?;
        let (sender, receiver) = mpsc::channel(BUFFERED + 1);
        let follower = Follower {
            core: Arc::clone(&self.core),
            access: self.access.clone(),
            caller,
            bearer,
            position: wanted.after.unwrap_or(now),
            filter: wanted.filter,
            follow: wanted.follow,
            place,
            end: self.end.subscribe(),
        };
        tokio::spawn(follower.run(sender));
        Ok(receiver)
    }

    /// Ends every stream, and each that is opened from now on.
    pub(crate) fn end(&self) {
        self.end.send_replace(true);
    }

    /// How many streams are open.
    pub(crate) fn open_streams(&self) -> usize {
        self.latest.followers()
    }
}

/// Locks what no panic leaves half done.
fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Streams of one account at once: a few consoles and services.
const MAX_STREAMS_OF_ACCOUNT: usize = 16;
/// Streams of the node at once: a quarter of its HTTP connections, so that requests always find one.
const MAX_STREAMS: usize = 128;
/// Events that wait for a client to read them; what is beyond stays in the database.
const BUFFERED: usize = 64;
