//! Whom a port listens to.
//!
//! ```text
//!              first valid packet of a candidate
//!   Unlocked ───────────────────────────────────► Locked
//!      ▲                                             │
//!      └───────── the peer signals another address ──┘
//! ```
//!
//! A candidate comes from the signalled host or from the host that its signalling comes from, whatever the port: a
//! phone behind a NAT signals one and sends from another. With comedia it is whoever comes first within
//! [`COMEDIA_WINDOW`]. Once locked, only that address and port is heard, so that nobody can steal the stream.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::COMEDIA_WINDOW;
use super::command::RemoteMedia;

#[derive(Debug, Default)]
pub(crate) struct Latch {
    /// Where the peer says it receives, at present.
    signalled: Option<SocketAddr>,
    /// The last address that it ever named: a hold with `c=0.0.0.0` and its end do not unlock.
    last_named: Option<SocketAddr>,
    signalled_rtcp: Option<IpAddr>,
    signalling_source: Option<IpAddr>,
    comedia_until: Option<Instant>,
    locked: Option<SocketAddr>,
    /// Where the peer sent from until it named another address, and how long its last packets may still come from there.
    former: Option<(SocketAddr, Instant)>,
}

/// Who sent a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sender {
    /// The peer.
    Peer,
    /// Whoever may become the peer.
    Candidate,
    /// The peer, from the address that it has just left.
    Leaving,
    Stranger,
}

impl Latch {
    /// Takes over what was signalled. True when the lock, if there was one, is open again.
    pub(crate) fn signal(&mut self, remote: &RemoteMedia, now: Instant) -> bool {
        let moved = remote.rtp.is_some() && remote.rtp != self.last_named;
        self.signalled = remote.rtp;
        self.last_named = remote.rtp.or(self.last_named);
        self.signalled_rtcp = remote.rtcp.map(|rtcp| rtcp.ip());
        self.signalling_source = remote.signalling_source.map(|ip| ip.to_canonical());
        if moved {
            self.former = self.locked.take().map(|source| (source, now + LEAVING_TIME));
        }
        if self.locked.is_none() {
            self.comedia_until = remote.comedia.then(|| now + COMEDIA_WINDOW);
        }
        moved
    }

    pub(crate) fn judge(&self, from: SocketAddr, now: Instant) -> Sender {
        if let Some(locked) = self.locked {
            return if locked == from { Sender::Peer } else { Sender::Stranger };
        }
        if self.is_leaving(from, now) {
            return Sender::Leaving;
        }
        let comedia = self.comedia_until.is_some_and(|until| now <= until);
        if comedia || self.is_known_host(from) { Sender::Candidate } else { Sender::Stranger }
    }

    /// RTCP is judged by its host alone: its port is another one, and a NAT may have changed it.
    pub(crate) fn may_report(&self, from: SocketAddr) -> bool {
        let host = from.ip().to_canonical();
        let is_host = |known: Option<IpAddr>| known.is_some_and(|ip| ip.to_canonical() == host);
        is_host(self.locked.map(|source| source.ip())) || is_host(self.signalled_rtcp) || self.is_known_host(from)
    }

    pub(crate) fn lock(&mut self, source: SocketAddr) {
        self.locked = Some(source);
        self.former = None;
        self.comedia_until = None;
    }

    pub(crate) fn locked(&self) -> Option<SocketAddr> {
        self.locked
    }

    /// Where to send: to where the peer sends from, else to where it says. Nowhere while it names no address.
    pub(crate) fn destination(&self) -> Option<SocketAddr> {
        self.signalled.map(|signalled| self.locked.unwrap_or(signalled))
    }

    /// Whether the peer has turned out not to be at the host that it names: nothing else is there either.
    pub(crate) fn is_elsewhere(&self) -> bool {
        let host = |address: SocketAddr| address.ip().to_canonical();
        self.locked.is_some() && self.locked.map(host) != self.last_named.map(host)
    }

    /// After a re-INVITE the last packets of the old path are still on the way. They may come from the same host and must
    /// not lock the port to an address that is about to fall silent. Where the peer now says it is, it is not leaving.
    fn is_leaving(&self, from: SocketAddr, now: Instant) -> bool {
        self.former.is_some_and(|(source, until)| source == from && now <= until) && self.signalled != Some(from)
    }

    fn is_known_host(&self, from: SocketAddr) -> bool {
        let host = from.ip().to_canonical();
        self.last_named.is_some_and(|named| named.ip().to_canonical() == host) || self.signalling_source == Some(host)
    }
}

/// Longer than any packet is on the way, and short enough for a peer that only says that it moved.
const LEAVING_TIME: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::test_support::remote;

    fn at(address: &str) -> SocketAddr {
        address.parse().unwrap()
    }

    fn latch(signalled: &str, now: Instant) -> Latch {
        let mut latch = Latch::default();
        latch.signal(&remote(signalled), now);
        latch
    }

    #[test]
    fn any_port_of_the_signalled_or_the_signalling_host_may_become_the_peer() {
        let now = crate::test_clock::start();
        let mut latch = latch("192.0.2.1:4000", now);
        latch.signalling_source = Some("203.0.113.9".parse().unwrap());
        assert_eq!(latch.judge(at("192.0.2.1:9"), now), Sender::Candidate);
        assert_eq!(latch.judge(at("203.0.113.9:9"), now), Sender::Candidate);
        assert_eq!(latch.judge(at("[::ffff:192.0.2.1]:9"), now), Sender::Candidate);
        assert_eq!(latch.judge(at("192.0.2.2:4000"), now), Sender::Stranger);
        assert_eq!(latch.destination(), Some(at("192.0.2.1:4000")));
    }

    #[test]
    fn once_locked_not_even_another_port_is_heard() {
        let now = crate::test_clock::start();
        let mut latch = latch("192.0.2.1:4000", now);
        latch.lock(at("192.0.2.1:5000"));
        assert_eq!(latch.judge(at("192.0.2.1:5000"), now), Sender::Peer);
        assert_eq!(latch.judge(at("192.0.2.1:4000"), now), Sender::Stranger);
        assert_eq!(latch.destination(), Some(at("192.0.2.1:5000")));
        assert!(latch.may_report(at("192.0.2.1:7")));
        assert!(!latch.may_report(at("192.0.2.7:7")));
    }

    #[test]
    fn comedia_takes_the_first_sender_for_a_while() {
        let now = crate::test_clock::start();
        let mut latch = Latch::default();
        latch.signal(&RemoteMedia { comedia: true, ..remote("10.0.0.1:4000") }, now);
        let late = now + COMEDIA_WINDOW + Duration::from_millis(1);
        assert_eq!(latch.judge(at("198.51.100.1:7"), now + COMEDIA_WINDOW), Sender::Candidate);
        assert_eq!(latch.judge(at("198.51.100.1:7"), late), Sender::Stranger);
        assert_eq!(latch.judge(at("10.0.0.1:4000"), late), Sender::Candidate);
    }

    #[test]
    fn another_address_unlocks_and_the_old_one_cannot_lock_again() {
        let now = crate::test_clock::start();
        let mut latch = latch("192.0.2.1:4000", now);
        latch.lock(at("192.0.2.1:4000"));
        assert!(!latch.signal(&remote("192.0.2.1:4000"), now));
        assert_eq!(latch.judge(at("192.0.2.1:4000"), now), Sender::Peer);

        assert!(latch.signal(&remote("192.0.2.1:6000"), now));
        assert_eq!(latch.judge(at("192.0.2.1:4000"), now), Sender::Leaving);
        assert_eq!(latch.judge(at("192.0.2.1:6000"), now), Sender::Candidate);
        assert_eq!(latch.destination(), Some(at("192.0.2.1:6000")));
        let later = now + LEAVING_TIME + Duration::from_millis(1);
        assert_eq!(latch.judge(at("192.0.2.1:4000"), later), Sender::Candidate);
    }

    #[test]
    fn a_hold_without_an_address_keeps_the_lock_and_stops_sending() {
        let now = crate::test_clock::start();
        let mut latch = latch("192.0.2.1:4000", now);
        latch.lock(at("192.0.2.1:4002"));
        latch.signal(&RemoteMedia { rtp: None, ..remote("192.0.2.1:4000") }, now);
        assert_eq!(latch.destination(), None);
        assert!(!latch.signal(&remote("192.0.2.1:4000"), now));
        assert_eq!(latch.destination(), Some(at("192.0.2.1:4002")));
    }
}
