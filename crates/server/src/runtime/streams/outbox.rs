use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::mpsc;

/// The shard's end of what waits to be written to a connection. Dropping it closes the connection once all is written.
pub(super) struct Outbox {
    queue: mpsc::Sender<Arc<[u8]>>,
    waiting_bytes: Arc<AtomicUsize>,
    max_bytes: usize,
}

/// The connection's end.
pub(super) struct Unsent {
    queue: mpsc::Receiver<Arc<[u8]>>,
    waiting_bytes: Arc<AtomicUsize>,
}

/// Why a message cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum OutboxError {
    #[error("the peer does not read")]
    Full,
    #[error("the connection is gone")]
    Gone,
}

/// An empty outbox for so many octets.
pub(super) fn outbox(max_bytes: usize) -> (Outbox, Unsent) {
    let (sender, receiver) = mpsc::channel(OUTBOX_MESSAGES);
    let waiting_bytes = Arc::new(AtomicUsize::new(0));
    let unsent = Unsent { queue: receiver, waiting_bytes: Arc::clone(&waiting_bytes) };
    (Outbox { queue: sender, waiting_bytes, max_bytes }, unsent)
}

impl Outbox {
    /// Hands a message over without waiting. One is always taken when nothing else waits.
    pub(super) fn push(&self, message: Arc<[u8]>) -> Result<(), OutboxError> {
        if self.waiting_bytes.load(Ordering::Relaxed) >= self.max_bytes {
            return Err(OutboxError::Full);
        }
        let length = message.len();
        // Counted first: the other end may write it, and take it off, at once.
        self.waiting_bytes.fetch_add(length, Ordering::Relaxed);
        self.queue.try_send(message).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => OutboxError::Full,
            mpsc::error::TrySendError::Closed(_) => OutboxError::Gone,
        })
    }
}

impl Unsent {
    /// Appends what waits to `octets`; false when no more will come. Until it is ready nothing is taken, so that it may be
    /// dropped.
    pub(super) async fn take(&mut self, octets: &mut Vec<u8>) -> bool {
        let Some(first) = self.queue.recv().await else { return false };
        octets.extend_from_slice(&first);
        for _ in 1..MESSAGES_PER_WRITE {
            let Ok(message) = self.queue.try_recv() else { break };
            octets.extend_from_slice(&message);
        }
        true
    }

    /// So many octets were written.
    pub(super) fn written(&self, octets: usize) {
        self.waiting_bytes.fetch_sub(octets, Ordering::Relaxed);
    }
}

/// A burst of calls to one peer, each with an INVITE; more wait in the shard's own queues.
const OUTBOX_MESSAGES: usize = 4_096;
/// Messages that share a segment.
const MESSAGES_PER_WRITE: usize = 32;
