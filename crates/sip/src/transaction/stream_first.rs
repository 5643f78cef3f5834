use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tandem_model::Transport;

use crate::endpoint::{Flow, Transmit};

/// Requests that are too large for a datagram (RFC 3261 §18.1.1): they go by TCP where we listen for it, and as the
/// datagram after all when the peer takes no connection, or says nothing for a second.
pub(crate) struct StreamFirst {
    listeners: Vec<SocketAddr>,
    /// Peers that lately took no stream, and until when they are not asked again.
    failed: HashMap<SocketAddr, Instant>,
}

/// A request as the datagram that it may have to be.
pub(crate) struct Fallback {
    transmit: Transmit,
    due: Instant,
}

impl StreamFirst {
    /// With our own listeners. Without one everything goes as it is.
    pub(crate) fn new(listeners: Vec<SocketAddr>) -> Self {
        Self { listeners, failed: HashMap::new() }
    }

    /// The stream by which a request of that many octets goes in place of `flow`.
    pub(crate) fn stream_for(&self, flow: &Flow, octets: usize, now: Instant) -> Option<Flow> {
        let is_large = flow.transport == Transport::Udp && octets > MAX_DATAGRAM_REQUEST;
        if !is_large || self.failed.get(&flow.remote).is_some_and(|until| now < *until) {
            return None;
        }
        let mut same = self.listeners.iter().filter(|local| local.is_ipv4() == flow.local.is_ipv4());
        let exact = same.clone().find(|local| local.ip() == flow.local.ip());
        let local = exact.or_else(|| same.find(|local| local.ip().is_unspecified()))?;
        Some(Flow { transport: Transport::Tcp, local: *local, remote: flow.remote })
    }

    pub(super) fn note_failure(&mut self, remote: SocketAddr, now: Instant) {
        if self.failed.len() >= MAX_FAILED {
            self.failed.retain(|_, until| now < *until);
        }
        if self.failed.len() < MAX_FAILED {
            self.failed.insert(remote, now + FAILED_REST);
        }
    }
}

impl Fallback {
    pub(crate) fn new(transmit: Transmit, now: Instant) -> Self {
        Self { transmit, due: now + STREAM_WAIT }
    }

    pub(super) fn due(&self) -> Instant {
        self.due
    }

    pub(super) fn into_transmit(self) -> Transmit {
        self.transmit
    }
}

/// RFC 3261 §18.1.1: the largest request that may be a datagram when nothing is known of the path.
const MAX_DATAGRAM_REQUEST: usize = 1_300;
/// A connection over the longest path takes a third of it; a trunk has four times that before the next is tried.
const STREAM_WAIT: Duration = Duration::from_secs(1);
/// How long a peer without TCP is not asked for it: its calls should not all wait, and it may learn it.
const FAILED_REST: Duration = Duration::from_secs(600);
/// Peers that are remembered; others wait that second again.
const MAX_FAILED: usize = 1_024;
