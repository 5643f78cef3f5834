//! The pool of media ports.

use std::collections::VecDeque;

use tandem_media::engine::PortId;

/// A media port that the shell has sockets for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MediaPort {
    /// Its id in the media engine.
    pub id: PortId,
    /// The UDP port of its RTP socket; RTCP is on the next one.
    pub rtp_port: u16,
}

/// The ports that no call has. The one that rested longest is taken first, so that late packets of an old call do
/// not reach a new one.
#[derive(Debug)]
pub(crate) struct Ports {
    free: VecDeque<MediaPort>,
    total: usize,
}

impl Ports {
    pub(crate) fn new(ports: Vec<MediaPort>) -> Self {
        Self { total: ports.len(), free: ports.into() }
    }

    pub(crate) fn take(&mut self) -> Option<MediaPort> {
        self.free.pop_front()
    }

    pub(crate) fn give_back(&mut self, port: MediaPort) {
        self.free.push_back(port);
    }

    pub(crate) fn in_use(&self) -> usize {
        self.total - self.free.len()
    }
}
