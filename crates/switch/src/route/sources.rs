use super::table::RoutedTrunk;
use ipnet::IpNet;
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use tandem_model::{TrunkId, can_identify};

/// From which addresses each trunk may call.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    /// The very addresses and ports that trunks call.
    targets: HashMap<SocketAddr, Vec<TrunkId>>,
    /// The ranges of each family and length, the longest first, by their network.
    ranges: BTreeMap<(bool, Reverse<u8>), HashMap<IpAddr, Vec<TrunkId>>>,
}

/// How a source agrees with what trunks name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Match {
    /// The address and port that the trunk calls.
    Target(SocketAddr),
    /// A range that has the source in it.
    Range(IpNet),
}

impl Sources {
    /// The addresses that a trunk names as such; its host may also be a name.
    pub(super) fn add_trunk(&mut self, entry: &RoutedTrunk) {
        if let Some(address) = entry.next_hop.host.ip() {
            self.add_target(entry.trunk.id, SocketAddr::new(address, entry.next_hop.port));
        }
        for range in entry.trunk.allowed_ips.iter().filter(|range| can_identify(range)) {
            self.add_range(entry.trunk.id, *range);
        }
    }

    /// The trunk calls this address and port: it may call from there, and its host from any port, as connections come from any.
    pub(crate) fn add_target(&mut self, trunk: TrunkId, target: SocketAddr) {
        let target = canonical(target);
        push(self.targets.entry(target).or_default(), trunk);
        self.add_range(trunk, IpNet::from(target.ip()));
    }

    /// The trunk names this range in `allowed_ips`.
    pub(crate) fn add_range(&mut self, trunk: TrunkId, range: IpNet) {
        let of_length = self.ranges.entry((range.addr().is_ipv6(), Reverse(range.prefix_len()))).or_default();
        push(of_length.entry(range.network()).or_default(), trunk);
    }

    /// Whether any trunk agrees with a source.
    pub(crate) fn knows(&self, source: SocketAddr) -> bool {
        self.matching(source).next().is_some()
    }

    /// The trunks that agree with a source, in groups: the exact target first, then by the length of the range.
    pub(crate) fn matching(&self, source: SocketAddr) -> impl Iterator<Item = (Match, &[TrunkId])> {
        let source = canonical(source);
        let exact = self.targets.get(&source).map(|trunks| (Match::Target(source), trunks.as_slice()));
        let is_of_family = move |key: &(bool, Reverse<u8>)| key.0 == source.is_ipv6();
        let ranges = self.ranges.iter().filter(move |(key, _)| is_of_family(key));
        let ranges = ranges.filter_map(move |((_, Reverse(length)), networks)| {
            let range = IpNet::new(source.ip(), *length).ok()?.trunc();
            networks.get(&range.network()).map(|trunks| (Match::Range(range), trunks.as_slice()))
        });
        exact.into_iter().chain(ranges)
    }
}

impl Match {
    /// Groups that come first are the closer ones: a target, then the longer range.
    pub(crate) fn distance(&self) -> u8 {
        match self {
            Self::Target(_) => 0,
            Self::Range(range) => u8::MAX - range.prefix_len(),
        }
    }
}

/// A peer over a socket of both families is the IPv4 host that it is.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

fn push(trunks: &mut Vec<TrunkId>, trunk: TrunkId) {
    if !trunks.contains(&trunk) {
        trunks.push(trunk);
    }
}
