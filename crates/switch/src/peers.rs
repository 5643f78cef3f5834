use crate::route::RouteTable;
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};
use tandem_model::{AddressPolicy, Trunk};
use tandem_sip::endpoint::{Flow, PeerPolicy};

/// Which addresses belong to one carrier: those that one trunk names, as its next hop and in `allowed_ips`.
///
/// Carriers answer a call from one address of theirs and hang it up from another, and name a third one in Contact or Record-Route.
#[derive(Debug)]
pub(crate) struct TrunkPeers {
    /// One entry a trunk that names more than one address.
    trunks: Vec<Vec<IpNet>>,
    policy: AddressPolicy,
}

impl TrunkPeers {
    pub(crate) fn new(table: &RouteTable, policy: AddressPolicy) -> Self {
        let named = table.trunks().map(|entry| addresses_of(&entry.trunk, entry.next_hop.host.ip()));
        Self { trunks: named.filter(|ranges| !ranges.is_empty()).collect(), policy }
    }
}

impl PeerPolicy for TrunkPeers {
    fn is_same_peer(&self, flow: &Flow, other: SocketAddr) -> bool {
        let (known, other) = (flow.remote.ip().to_canonical(), other.ip().to_canonical());
        if known == other {
            return true;
        }
        let names = |ranges: &Vec<IpNet>, address: &IpAddr| ranges.iter().any(|range| range.contains(address));
        // An address that must not be called must not be made to be called by a Contact either.
        self.policy.permits(other) && self.trunks.iter().any(|ranges| names(ranges, &known) && names(ranges, &other))
    }
}

fn addresses_of(trunk: &Trunk, next_hop: Option<IpAddr>) -> Vec<IpNet> {
    let allowed = trunk.allowed_ips.iter().copied().filter(is_of_one_carrier);
    allowed.chain(next_hop.map(IpNet::from)).collect()
}

/// A wide range lets inbound calls in, but does not make strangers one carrier: it would let any of its addresses speak for another
/// in calls of every account.
fn is_of_one_carrier(range: &IpNet) -> bool {
    range.prefix_len() >= if range.addr().is_ipv4() { WIDEST_V4_PREFIX } else { WIDEST_V6_PREFIX }
}

/// The widest IPv4 block that carriers publish for signalling is far below a /16.
const WIDEST_V4_PREFIX: u8 = 16;
/// What one site gets (RFC 6177 §2).
const WIDEST_V6_PREFIX: u8 = 48;

#[cfg(test)]
mod tests {
    use super::*;
    use tandem_model::Transport;

    fn one_carrier(ranges: &[&str]) -> TrunkPeers {
        let ranges = ranges.iter().map(|range| range.parse().unwrap());
        TrunkPeers { trunks: vec![ranges.filter(is_of_one_carrier).collect()], policy: AddressPolicy::default() }
    }

    fn are_one(peers: &TrunkPeers, known: &str, other: &str) -> bool {
        let at = |address: &str| SocketAddr::new(address.parse().unwrap(), 5_060);
        let flow = Flow { transport: Transport::Udp, local: at("8.8.8.8"), remote: at(known) };
        peers.is_same_peer(&flow, at(other))
    }

    #[test]
    fn addresses_that_one_trunk_names_are_one_peer() {
        let peers = one_carrier(&["54.172.60.0/30", "54.244.51.1/32"]);
        assert!(are_one(&peers, "54.172.60.1", "54.244.51.1"));
        assert!(are_one(&peers, "54.172.60.1", "::ffff:54.172.60.2"));
        assert!(!are_one(&peers, "54.172.60.1", "54.172.60.4"));
        assert!(!are_one(&peers, "1.1.1.1", "54.172.60.1"));
        assert!(are_one(&peers, "1.1.1.1", "1.1.1.1"));
    }

    #[test]
    fn a_wide_range_makes_nobody_one_peer() {
        let peers = one_carrier(&["0.0.0.0/0", "54.0.0.0/8"]);
        assert!(!are_one(&peers, "54.172.60.1", "54.172.60.2"));
    }

    #[test]
    fn an_address_that_must_not_be_called_is_nobodys() {
        let peers = one_carrier(&["54.172.60.1/32", "10.0.0.0/24"]);
        assert!(!are_one(&peers, "54.172.60.1", "10.0.0.5"));
    }
}
