//! The network: it delays, reorders, repeats and loses.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tandem_lab::setup::Seeded;

/// How the network treats a datagram.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    pub(crate) delay_ms: u64,
    /// Added at random, up to this; so one datagram overtakes the other.
    pub(crate) jitter_ms: u64,
    pub(crate) loss_percent: u64,
    pub(crate) repeat_percent: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Datagram {
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) content: Content,
}

#[derive(Clone, Debug)]
pub(crate) enum Content {
    Sip(Vec<u8>),
    Rtp(Vec<u8>),
}

pub(crate) struct Network {
    link: Link,
    random: Seeded,
    under_way: BTreeMap<(Instant, u64), Datagram>,
    sent: u64,
}

impl Network {
    pub(crate) const fn new(link: Link, random: Seeded) -> Self {
        Self { link, random, under_way: BTreeMap::new(), sent: 0 }
    }

    pub(crate) fn send(&mut self, datagram: &Datagram, now: Instant) {
        let copies = 1 + u64::from(self.random.below(100) < self.link.repeat_percent);
        for _ in 0..copies {
            self.sent += 1;
            if self.random.below(100) >= self.link.loss_percent {
                let delay = self.link.delay_ms + self.random.below(self.link.jitter_ms + 1);
                self.under_way.insert((now + Duration::from_millis(delay), self.sent), datagram.clone());
            }
        }
    }

    pub(crate) fn next_arrival(&self) -> Option<Instant> {
        self.under_way.keys().next().map(|(at, _)| *at)
    }

    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<Datagram> {
        self.under_way.first_entry().filter(|entry| entry.key().0 <= now).map(|entry| entry.remove())
    }

    pub(crate) const fn loses(&self) -> bool {
        self.link.loss_percent > 0
    }

    /// Datagrams so far, those included that were lost.
    pub(crate) const fn sent(&self) -> u64 {
        self.sent
    }
}
