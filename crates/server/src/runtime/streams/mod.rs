//! SIP over TCP: connections in tokio tasks, and the table by which a signalling shard reaches them.
//!
//! ```text
//!  shard thread                                tokio
//!  StreamTable ──── outbox, one a connection ────► write half ──► peer
//!      ▲                                           read half ◄─── peer
//!      └─────────── events, one queue ◄──────────────┘ ▲
//!                                        acceptor ─────┘ one a listener
//! ```
//!
//! Both arrows are bounded. A full event queue makes the connections wait that have something to tell, and so their peers;
//! a full outbox means that a peer does not read, and ends its connection. The shard never waits.
//!
//! A flow is named by our listener and the peer's address: a connection that we open says so in Via and Contact, though it
//! leaves from a port of its own.

mod acceptor;
mod connection;
mod limits;
mod outbox;
mod table;

#[cfg(test)]
mod tests;

pub(super) use acceptor::{BoundListener, bind};
pub(crate) use limits::MAX_CONNECTIONS;
pub(super) use limits::StreamLimits;
pub(super) use table::{Arrival, StreamTable};

use outbox::Outbox;
use tandem_netio::Waker;
use tandem_sip::endpoint::Flow;
use tokio::sync::mpsc;

/// One connection, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ConnectionId(u64);

/// What the tasks tell the shard.
enum StreamEvent {
    /// A peer has connected.
    Accepted { id: ConnectionId, flow: Flow, outbox: Outbox },
    /// A whole message.
    Message { id: ConnectionId, flow: Flow, octets: Vec<u8> },
    /// Nothing has come for long.
    Idle { id: ConnectionId, flow: Flow },
    /// The connection is gone, or could not be made.
    Closed { id: ConnectionId, flow: Flow },
}

/// A task's end of the queue to the shard.
#[derive(Clone)]
struct ShardLink {
    events: mpsc::Sender<StreamEvent>,
    waker: Waker,
}

/// The shard has stopped.
struct ShardGone;

impl ShardLink {
    /// Waits while the queue is full: so the peer's own sending is held up.
    async fn tell(&self, event: StreamEvent) -> Result<(), ShardGone> {
        self.events.send(event).await.map_err(|_| ShardGone)?;
        if let Err(error) = self.waker.wake() {
            tracing::error!(%error, "a signalling shard cannot be woken");
        }
        Ok(())
    }
}
