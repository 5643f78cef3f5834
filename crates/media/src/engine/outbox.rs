//! What the shell has yet to fetch. Datagrams are kept in one buffer, which is used again once all are fetched.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::ops::Range;

use super::command::{Channel, PortId};
use super::event::{Event, Output, Transmit};

#[derive(Debug)]
pub(crate) struct Outbox {
    entries: VecDeque<Entry>,
    bytes: Vec<u8>,
}

#[derive(Debug)]
enum Entry {
    Transmit { port: PortId, channel: Channel, to: SocketAddr, payload: Range<usize> },
    Event(Event),
}

impl Outbox {
    /// Has room for the turns of a few ports, so that those do not allocate.
    pub(crate) fn new() -> Self {
        Self {
            entries: VecDeque::with_capacity(USUAL_ENTRIES),
            bytes: Vec::with_capacity(USUAL_ENTRIES * USUAL_DATAGRAM),
        }
    }

    /// Adds a datagram that `write` appends. False, without calling it, when too much waits already.
    pub(crate) fn transmit(
        &mut self,
        port: PortId,
        channel: Channel,
        to: SocketAddr,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> bool {
        if self.entries.is_empty() {
            self.bytes.clear();
        }
        if self.bytes.len() >= MAX_BACKLOG_BYTES {
            return false;
        }
        let start = self.bytes.len();
        write(&mut self.bytes);
        let payload = start..self.bytes.len();
        self.entries.push_back(Entry::Transmit { port, channel, to, payload });
        true
    }

    /// Adds an event. Each answers a command or a state that a command made, or is a key of a peer; what a peer can
    /// cause goes through [`Self::tell_if_fetched`].
    pub(crate) fn tell(&mut self, event: Event) {
        self.entries.push_back(Entry::Event(event));
    }

    /// Adds an event that a peer can cause at will, unless nobody fetches them.
    pub(crate) fn tell_if_fetched(&mut self, event: Event) {
        if self.entries.len() < MAX_BACKLOG_ENTRIES {
            self.tell(event);
        }
    }

    pub(crate) fn pop(&mut self) -> Option<Output<'_>> {
        match self.entries.pop_front()? {
            Entry::Event(event) => Some(Output::Event(event)),
            Entry::Transmit { port, channel, to, payload } => {
                let payload = self.bytes.get(payload).unwrap_or_default();
                Some(Output::Transmit(Transmit { port, channel, to, payload }))
            }
        }
    }
}

/// How many outputs a turn of a busy thread leaves.
const USUAL_ENTRIES: usize = 64;
/// 20 ms of G.711 with its header.
const USUAL_DATAGRAM: usize = 172;
/// One turn of 8,000 ports that all make up for a stall; a shell that leaves more behind does not fetch any.
const MAX_BACKLOG_BYTES: usize = 4 << 20;
/// Far more events than one turn of a shell can cause.
const MAX_BACKLOG_ENTRIES: usize = 65_536;
