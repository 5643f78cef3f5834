use super::acceptor::{BoundListener, Connections, accept};
use super::connection::{Connection, Side};
use super::outbox::{Outbox, OutboxError, outbox};
use super::{ConnectionId, ShardLink, StreamEvent, StreamLimits};
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use tandem_netio::Waker;
use tandem_sip::endpoint::{Flow, Transmit};
use tandem_sip::message::Message;
use tokio::runtime;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

/// All connections of a shard, owned by its thread.
pub(crate) struct StreamTable {
    runtime: runtime::Handle,
    shared: Arc<Connections>,
    events: mpsc::Receiver<StreamEvent>,
    acceptors: Vec<AbortHandle>,
    /// By the peer's address: seldom more than one each.
    entries: HashMap<SocketAddr, Vec<Entry>>,
    opened: usize,
    failed: VecDeque<Flow>,
}

struct Entry {
    id: ConnectionId,
    side: Side,
    /// As the connection knows itself.
    flow: Flow,
    /// Whether the peer is there: it has made the connection, or sent something over it.
    is_peer_there: bool,
    outbox: Outbox,
    /// The names under which the machine has used it: what fails with it. None yet, and nobody needs to hear of its end.
    used_as: Vec<Flow>,
}

/// What the shard's machine must hear of.
pub(crate) enum Arrival {
    /// A whole message.
    Message { flow: Flow, octets: Vec<u8> },
    /// A path is broken.
    Failed(Flow),
    /// Nothing comes over a connection: [`StreamTable::release`] it unless it is needed.
    Idle(IdleConnection),
}

/// A connection that may be closed.
pub(crate) struct IdleConnection {
    id: ConnectionId,
    remote: SocketAddr,
    /// The names by which calls may depend on it.
    pub(crate) flows: Vec<Flow>,
}

impl StreamTable {
    /// Starts to take connections on these listeners; `waker` ends the shard's wait when there is something to poll.
    pub(crate) fn start(
        listeners: Vec<BoundListener>,
        runtime: runtime::Handle,
        waker: Waker,
        limits: StreamLimits,
    ) -> Self {
        let (sender, events) = mpsc::channel(EVENT_QUEUE);
        let shared = Arc::new(Connections::new(ShardLink { events: sender, waker }, limits));
        let start = |listener| runtime.spawn(accept(listener, Arc::clone(&shared))).abort_handle();
        let acceptors = listeners.into_iter().map(start).collect();
        Self { acceptors, runtime, shared, events, entries: HashMap::new(), opened: 0, failed: VecDeque::new() }
    }

    /// Sends a message over a connection that there is, else over one that is opened for it. What cannot be sent comes back
    /// as [`Arrival::Failed`].
    pub(crate) fn send(&mut self, transmit: &Transmit) {
        let flow = transmit.flow;
        if self.find(&flow).is_some_and(|entry| entry.is_peer_there) {
            return self.push(transmit);
        }
        // No request came over a connection of ours on which nothing has come: what is there may be under way to a port that the
        // peer has closed since.
        match return_address(transmit) {
            Some(remote) if remote != flow.remote => {
                self.push(&Transmit { flow: Flow { remote, ..flow }, payload: Arc::clone(&transmit.payload) });
            }
            Some(_) | None => self.push(transmit),
        }
    }

    fn push(&mut self, transmit: &Transmit) {
        let flow = transmit.flow;
        let Some(entry) = self.find(&flow) else { return self.open(transmit) };
        entry.note_use(flow);
        let Err(error) = entry.outbox.push(Arc::clone(&transmit.payload)) else { return };
        let (id, remote) = (entry.id, flow.remote);
        if error == OutboxError::Full {
            tracing::warn!(%remote, %error, "a connection is given up");
        }
        self.remove(id, remote);
    }

    fn open(&mut self, transmit: &Transmit) {
        let flow = transmit.flow;
        if self.opened >= self.shared.limits.opened {
            tracing::warn!(remote = %flow.remote, "no more connections may be opened");
            self.failed.push_back(flow);
            return;
        }
        let (outbox, unsent) = outbox(self.shared.limits.outbox_bytes);
        // An empty outbox takes a message.
        let _ = outbox.push(Arc::clone(&transmit.payload));
        let (id, shared) = (self.shared.next_id(), Arc::clone(&self.shared));
        self.runtime.spawn(async move {
            Connection { id, flow, side: Side::Opened, connections: &shared }.open(unsent).await;
        });
        self.opened += 1;
        let entry = Entry { id, side: Side::Opened, flow, is_peer_there: false, outbox, used_as: vec![flow] };
        self.entries.entry(flow.remote).or_default().push(entry);
    }

    /// The connection of that name, else another one to the same peer: a live connection is used again whatever name it
    /// has.
    fn find(&mut self, flow: &Flow) -> Option<&mut Entry> {
        let entries = self.entries.get_mut(&flow.remote)?;
        let place = entries.iter().position(|entry| entry.flow == *flow || entry.used_as.contains(flow));
        entries.get_mut(place.unwrap_or_default())
    }

    /// The next thing that has happened.
    pub(crate) fn poll(&mut self) -> Option<Arrival> {
        loop {
            if let Some(flow) = self.failed.pop_front() {
                return Some(Arrival::Failed(flow));
            }
            match self.events.try_recv().ok()? {
                StreamEvent::Accepted { id, flow, outbox } => {
                    let entry =
                        Entry { id, side: Side::Accepted, flow, is_peer_there: true, outbox, used_as: Vec::new() };
                    self.entries.entry(flow.remote).or_default().push(entry);
                }
                StreamEvent::Message { id, flow, octets } => {
                    if let Some(entry) = self.entry(id, flow.remote) {
                        entry.note_use(flow);
                        entry.is_peer_there = true;
                    }
                    return Some(Arrival::Message { flow, octets });
                }
                StreamEvent::Idle { id, flow } => {
                    if let Some(entry) = self.entry(id, flow.remote) {
                        let flows = entry.used_as.clone();
                        return Some(Arrival::Idle(IdleConnection { id, remote: flow.remote, flows }));
                    }
                }
                StreamEvent::Closed { id, flow } => self.remove(id, flow.remote),
            }
        }
    }

    /// A path that broke while something was sent, without what the tasks have to tell.
    pub(crate) fn poll_failed(&mut self) -> Option<Flow> {
        self.failed.pop_front()
    }

    /// Whether [`Self::poll`] has something.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.failed.is_empty() || !self.events.is_empty()
    }

    /// Closes a connection that nothing depends on.
    pub(crate) fn release(&mut self, idle: &IdleConnection) {
        if let Some(entry) = self.entry(idle.id, idle.remote) {
            entry.used_as.clear();
            self.remove(idle.id, idle.remote);
        }
    }

    fn entry(&mut self, id: ConnectionId, remote: SocketAddr) -> Option<&mut Entry> {
        self.entries.get_mut(&remote)?.iter_mut().find(|entry| entry.id == id)
    }

    /// Forgets a connection, which closes it unless it is closed; its flows have failed.
    fn remove(&mut self, id: ConnectionId, remote: SocketAddr) {
        let Some(entries) = self.entries.get_mut(&remote) else { return };
        let Some(place) = entries.iter().position(|entry| entry.id == id) else { return };
        let entry = entries.swap_remove(place);
        if entries.is_empty() {
            self.entries.remove(&remote);
        }
        match entry.side {
            Side::Accepted => {}
            Side::Opened => self.opened = self.opened.saturating_sub(1),
        }
        self.failed.extend(entry.used_as);
    }
}

impl Drop for StreamTable {
    fn drop(&mut self) {
        for acceptor in &self.acceptors {
            acceptor.abort();
        }
    }
}

impl Entry {
    fn note_use(&mut self, flow: Flow) {
        if !self.used_as.contains(&flow) {
            self.used_as.push(flow);
        }
    }
}

/// Where a response goes whose connection is gone: the address it came from and the port of `sent-by` (RFC 3261 §18.2.2),
/// never another host. `None` for requests.
fn return_address(transmit: &Transmit) -> Option<SocketAddr> {
    if !transmit.payload.starts_with(RESPONSE_START) {
        return None;
    }
    let via = Message::parse(&transmit.payload).ok()?.top_via();
    let port = via.port.filter(|port| *port != 0).unwrap_or_else(|| via.transport.default_port());
    Some(SocketAddr::new(transmit.flow.remote.ip(), port))
}

/// What the connections of a shard may have told it that it has not looked at; beyond it they wait, and so do their peers. One
/// turn's worth: of the largest messages 64 MiB.
const EVENT_QUEUE: usize = 1_024;
const RESPONSE_START: &[u8] = b"SIP/2.0 ";
