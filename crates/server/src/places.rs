//! Places for connections, counted in all and by whom they are from, so that nobody takes all of them.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tandem_control::network_of;

/// The places that are taken.
#[derive(Default)]
pub(crate) struct Places {
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    all: usize,
    by_peer: HashMap<IpAddr, usize>,
}

/// How many are taken when one more is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Count {
    pub(crate) all: usize,
    /// Of them, by the one who asks: an address, of IPv6 its /64.
    pub(crate) of_peer: usize,
}

/// A place for one connection, free again when it is dropped.
pub(crate) struct Place {
    places: Arc<Places>,
    peer: IpAddr,
}

impl Places {
    /// A place for a connection from there, if `has_place` says so.
    pub(crate) fn take(self: &Arc<Self>, address: IpAddr, has_place: impl FnOnce(Count) -> bool) -> Option<Place> {
        let peer = network_of(address);
        let mut taken = self.lock();
        let of_peer = taken.by_peer.get(&peer).copied().unwrap_or(0);
        if !has_place(Count { all: taken.all, of_peer }) {
            return None;
        }
        taken.all += 1;
        taken.by_peer.insert(peer, of_peer + 1);
        Some(Place { places: Arc::clone(self), peer })
    }

    /// How many are taken, and by how many.
    #[cfg(test)]
    pub(crate) fn taken(&self) -> (usize, usize) {
        let taken = self.lock();
        (taken.all, taken.by_peer.len())
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        // Two counts are right whoever panicked.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        taken.all -= 1;
        if let Some(own) = taken.by_peer.get_mut(&self.peer) {
            *own -= 1;
            if *own == 0 {
                taken.by_peer.remove(&self.peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_by_peer_and_in_all_and_come_back() {
        let places = Arc::new(Places::default());
        let take = |address: &str| places.take(address.parse().unwrap(), |taken| taken.all < 3 && taken.of_peer < 2);
        let first = take("2001:db8::1").unwrap();
        let _second = take("2001:db8::ffff").unwrap();
        assert!(take("2001:db8::2").is_none(), "the same /64");
        let _third = take("192.0.2.1").unwrap();
        assert!(take("192.0.2.2").is_none(), "no place is left");
        drop(first);
        let _fourth = take("2001:db8::3").unwrap();
    }
}
