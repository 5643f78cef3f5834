use crate::family::Family;
use std::collections::VecDeque;
use std::net::SocketAddr;
use tandem_media::engine::PortId;

/// The RTP ports that may be taken, of either address family. The longest unused one is given out first, so that a peer which
/// still sends to an ended call does not reach the next one.
#[derive(Debug)]
pub struct PortPool {
    free_v4: VecDeque<LocalPort>,
    free_v6: VecDeque<LocalPort>,
    total: usize,
}

/// A port taken from a [`PortPool`]; it goes back with [`PortPool::release`].
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub(crate) struct LocalPort {
    pub(crate) id: PortId,
    /// Whom it can hear, and be heard by.
    pub(crate) family: Family,
    /// The even UDP port number that SDP names.
    pub(crate) rtp_port: u16,
}

/// No port of the family is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no RTP port is free")]
pub struct PortsExhausted;

impl PortPool {
    /// A pool of bound ports: the id by which the media thread knows the sockets, and where the one for RTP is bound.
    #[must_use]
    pub fn new(ports: impl IntoIterator<Item = (PortId, SocketAddr)>) -> Self {
        let mut pool = Self { free_v4: VecDeque::new(), free_v6: VecDeque::new(), total: 0 };
        for (id, bound) in ports {
            let family = Family::of(bound.ip());
            pool.free(family).push_back(LocalPort { id, family, rtp_port: bound.port() });
            pool.total += 1;
        }
        pool
    }

    /// A port for a peer that is reached over this family.
    pub(crate) fn take(&mut self, family: Family) -> Result<LocalPort, PortsExhausted> {
        self.free(family).pop_front().ok_or(PortsExhausted)
    }

    pub(crate) fn release(&mut self, port: LocalPort) {
        let free = self.free(port.family);
        debug_assert!(!free.contains(&port), "a port goes back once");
        free.push_back(port);
    }

    const fn free(&mut self, family: Family) -> &mut VecDeque<LocalPort> {
        match family {
            Family::V4 => &mut self.free_v4,
            Family::V6 => &mut self.free_v6,
        }
    }

    /// How many there are, of both families together.
    #[must_use]
    pub const fn total(&self) -> usize {
        self.total
    }

    /// How many are taken, of both families together.
    #[must_use]
    pub fn in_use(&self) -> usize {
        self.total - self.free_v4.len() - self.free_v6.len()
    }

    /// Whether no port is free, of whichever family.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.in_use() == self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_the_longest_unused_port() {
        let mut pool = pool(&["192.0.2.1:20000", "192.0.2.1:20002"]);
        let first = pool.take(Family::V4).unwrap();
        pool.release(first);
        assert_eq!(pool.take(Family::V4).unwrap().rtp_port, 20_002);
        assert_eq!(pool.in_use(), 1);
        assert_eq!(pool.take(Family::V4).unwrap().rtp_port, 20_000);
        assert_eq!(pool.take(Family::V4), Err(PortsExhausted));
    }

    #[test]
    fn gives_a_port_of_the_family_that_is_asked_for() {
        let mut pool = pool(&["192.0.2.1:20000", "[2001:db8::1]:20000"]);
        let v6 = pool.take(Family::V6).unwrap();
        assert_eq!((v6.id, v6.rtp_port), (PortId(1), 20_000));
        assert_eq!(pool.take(Family::V6), Err(PortsExhausted));
        assert_eq!((pool.total(), pool.in_use(), pool.is_exhausted()), (2, 1, false));
        let v4 = pool.take(Family::V4).unwrap();
        assert!(pool.is_exhausted());
        pool.release(v6);
        pool.release(v4);
        assert_eq!(pool.take(Family::V6), Ok(v6), "each goes back to its own");
    }

    fn pool(bound: &[&str]) -> PortPool {
        PortPool::new((0..).map(PortId).zip(bound.iter().map(|address| address.parse().unwrap())))
    }
}
