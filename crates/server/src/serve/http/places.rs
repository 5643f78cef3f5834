use crate::places::{self, Count};
use ipnet::IpNet;
use std::net::IpAddr;
use std::sync::Arc;

/// The places that HTTP connections have, shared out so that nobody takes them all.
pub(super) struct Places {
    proxies: Vec<IpNet>,
    taken: Arc<places::Places>,
    /// Those that only health is seen by. They are counted by themselves: a host whose programs have many connections must not fill with
    /// them what is kept for others.
    for_health: Arc<places::Places>,
}

/// A place, until it is dropped.
pub(super) struct Place {
    _place: places::Place,
    /// Whether it is one of those that only whoever watches the node has.
    pub(super) is_for_health: bool,
}

impl Places {
    pub(super) fn new(proxies: Vec<IpNet>) -> Self {
        Self { proxies, taken: Arc::default(), for_health: Arc::default() }
    }

    /// A place for a connection from this address; `None` when there is none for it.
    ///
    /// An address (of IPv6 its /64) has [`MOST_OF_SOURCE`], a trusted proxy [`MOST_OF_PROXY`]. The last [`KEPT`] are for those who have few,
    /// so that somebody with many addresses does not take all. Beyond all of them, loopback has [`FOR_HEALTH`] to watch the node by.
    pub(super) fn take(&self, client: IpAddr) -> Option<Place> {
        let client = client.to_canonical();
        let is_proxy = self.proxies.iter().any(|network| network.contains(&client));
        let most = if is_proxy { MOST_OF_PROXY } else { MOST_OF_SOURCE };
        let ordinary = self.taken.take(client, |Count { all, of_peer }| {
            let open_to_it = if of_peer < FEW { MAX_CONNECTIONS } else { MAX_CONNECTIONS - KEPT };
            of_peer < most && all < open_to_it
        });
        if let Some(place) = ordinary {
            return Some(Place { _place: place, is_for_health: false });
        }
        let place = self.for_health.take(client, |Count { all, .. }| client.is_loopback() && all < FOR_HEALTH)?;
        Some(Place { _place: place, is_for_health: true })
    }
}

/// Clients at once: half of the files that are set aside for everything but media.
const MAX_CONNECTIONS: usize = 512;
/// Connections of one address: a browser has six, a service with a pool some dozens.
const MOST_OF_SOURCE: usize = 64;
/// Connections of a trusted proxy, behind which many clients are. What is left is for those who do not come through it.
const MOST_OF_PROXY: usize = 384;
/// Places for those who have fewer than [`FEW`].
const KEPT: usize = 64;
const FEW: usize = 4;
/// Places for probes of the node's health from the host itself. They answer nothing else, so that none is held for long.
const FOR_HEALTH: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn take(places: &Places, source: &str, most: usize) -> Vec<Place> {
        std::iter::from_fn(|| places.take(address(source))).take(most).collect()
    }

    #[test]
    fn a_source_has_its_share_and_gets_it_back() {
        let places = Places::new(vec!["198.51.100.0/24".parse().unwrap()]);
        let mut held = take(&places, "192.0.2.1", 1_000);
        assert_eq!(held.len(), MOST_OF_SOURCE);
        assert!(places.take(address("::ffff:192.0.2.1")).is_none(), "it is the same address");
        assert!(places.take(address("192.0.2.2")).is_some());
        held.truncate(MOST_OF_SOURCE - 3);
        assert_eq!(take(&places, "192.0.2.1", 1_000).len(), 3);
        drop(held);
        assert_eq!(take(&places, "198.51.100.7", 1_000).len(), MOST_OF_PROXY, "behind a proxy there are many");
        assert_eq!(places.taken.taken(), (0, 0), "who has left is forgotten");
    }

    #[test]
    fn a_network_of_ipv6_is_one_source() {
        let places = Places::new(Vec::new());
        let one: Vec<Place> =
            (0..1_000).filter_map(|host| places.take(address(&format!("2001:db8::{host:x}")))).collect();
        assert_eq!(one.len(), MOST_OF_SOURCE);
        assert!(places.take(address("2001:db8:0:1::1")).is_some());
    }

    #[test]
    fn who_has_many_addresses_leaves_places_to_who_has_few() {
        let places = Places::new(Vec::new());
        let many: Vec<Vec<Place>> = (1..=20).map(|host| take(&places, &format!("192.0.2.{host}"), 1_000)).collect();
        let taken: usize = many.iter().map(Vec::len).sum();
        assert!(taken < MAX_CONNECTIONS, "{taken}");
        let few = take(&places, "203.0.113.1", 1_000);
        assert_eq!(few.len(), FEW);
        assert!(few.iter().all(|place| !place.is_for_health));
    }

    #[test]
    fn loopback_sees_the_health_of_a_node_that_is_full() {
        let places = Places::new(Vec::new());
        let all: Vec<Place> = (0..=u8::MAX).flat_map(|host| take(&places, &format!("192.0.2.{host}"), 1_000)).collect();
        assert_eq!(all.len(), MAX_CONNECTIONS);
        assert!(places.take(address("203.0.113.1")).is_none());
        let probes = take(&places, "127.0.0.1", 1_000);
        assert_eq!(probes.len(), FOR_HEALTH);
        assert!(probes.iter().all(|place| place.is_for_health));
        drop((all, probes));

        // The same when it is somebody on the host who asks for much.
        let own = take(&places, "127.0.0.1", MOST_OF_SOURCE);
        assert!(own.iter().all(|place| !place.is_for_health));
        assert!(places.take(address("127.0.0.1")).is_some_and(|place| place.is_for_health));
    }

    #[test]
    fn the_host_itself_leaves_places_to_who_has_few() {
        let places = Places::new(Vec::new());
        let all: Vec<Place> = (1..=20).flat_map(|host| take(&places, &format!("127.0.1.{host}"), 1_000)).collect();
        assert_eq!(all.iter().filter(|place| place.is_for_health).count(), FOR_HEALTH);
        let few = take(&places, "127.0.2.1", 1_000);
        assert_eq!((few.len(), few.iter().any(|place| place.is_for_health)), (FEW, false));
    }
}
