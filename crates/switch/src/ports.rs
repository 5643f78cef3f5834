use std::collections::VecDeque;
use tandem_media::engine::PortId;

/// The RTP ports that may be taken. The longest unused one is given out first, so that a peer which still sends to an
/// ended call does not reach the next one.
#[derive(Debug)]
pub struct PortPool {
    free: VecDeque<LocalPort>,
    total: usize,
}

/// A port taken from a [`PortPool`]; it goes back with [`PortPool::release`].
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub(crate) struct LocalPort {
    pub(crate) id: PortId,
    /// The even UDP port number that SDP names.
    pub(crate) rtp_port: u16,
}

/// No port is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no RTP port is free")]
pub struct PortsExhausted;

impl PortPool {
    /// A pool of bound ports: the id by which the media thread knows the sockets, and the RTP port number.
    #[must_use]
    pub fn new(ports: impl IntoIterator<Item = (PortId, u16)>) -> Self {
        let free: VecDeque<LocalPort> = ports.into_iter().map(|(id, rtp_port)| LocalPort { id, rtp_port }).collect();
        Self { total: free.len(), free }
    }

    pub(crate) fn take(&mut self) -> Result<LocalPort, PortsExhausted> {
        self.free.pop_front().ok_or(PortsExhausted)
    }

    pub(crate) fn release(&mut self, port: LocalPort) {
        debug_assert!(!self.free.contains(&port), "a port goes back once");
        self.free.push_back(port);
    }

    /// How many there are.
    #[must_use]
    pub const fn total(&self) -> usize {
        self.total
    }

    /// How many are taken.
    #[must_use]
    pub fn in_use(&self) -> usize {
        self.total - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_the_longest_unused_port() {
        let mut pool = PortPool::new([(PortId(0), 20_000), (PortId(1), 20_002)]);
        let first = pool.take().unwrap();
        pool.release(first);
        assert_eq!(pool.take().unwrap().rtp_port, 20_002);
        assert_eq!(pool.in_use(), 1);
        assert_eq!(pool.take().unwrap().rtp_port, 20_000);
        assert_eq!(pool.take(), Err(PortsExhausted));
    }
}
