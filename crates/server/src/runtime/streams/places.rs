use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many connections peers may have, in all and each.
pub(super) struct Places {
    taken: Mutex<Taken>,
    total: usize,
    per_peer: usize,
}

#[derive(Default)]
struct Taken {
    total: usize,
    by_peer: HashMap<IpAddr, usize>,
}

/// A place for one connection, free again when it is dropped.
pub(super) struct Place {
    places: Arc<Places>,
    peer: IpAddr,
}

impl Places {
    pub(super) fn new(total: usize, per_peer: usize) -> Self {
        Self { taken: Mutex::new(Taken::default()), total, per_peer }
    }

    /// A place for a connection from there, if one is left.
    pub(super) fn take(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let peer = peer_of(address);
        let mut taken = self.lock();
        let count = taken.by_peer.get(&peer).copied().unwrap_or_default();
        if taken.total >= self.total || count >= self.per_peer {
            return None;
        }
        taken.total += 1;
        taken.by_peer.insert(peer, count + 1);
        Some(Place { places: Arc::clone(self), peer })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        // Two counts are right whoever panicked.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        taken.total = taken.total.saturating_sub(1);
        if let Some(count) = taken.by_peer.get_mut(&self.peer) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                taken.by_peer.remove(&self.peer);
            }
        }
    }
}

/// Who has an IPv6 address has all of its /64.
fn peer_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() & PREFIX_64).into()),
    }
}

const PREFIX_64: u128 = !(u64::MAX as u128);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_by_peer_and_in_all_and_come_back() {
        let places = Arc::new(Places::new(3, 2));
        let take = |address: &str| places.take(address.parse().unwrap());
        let first = take("2001:db8::1").unwrap();
        let _second = take("2001:db8::ffff").unwrap();
        assert!(take("2001:db8::2").is_none(), "the same /64");
        let _third = take("192.0.2.1").unwrap();
        assert!(take("192.0.2.2").is_none(), "no place is left");
        drop(first);
        let _fourth = take("2001:db8::3").unwrap();
    }
}
