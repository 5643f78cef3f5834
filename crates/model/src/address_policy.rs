use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Which addresses SIP targets, media and outgoing requests may name: all that are global, and the private or loopback ranges that
/// the operator allows (`TANDEM_PEER_ALLOW`). It keeps a tenant from turning the node against its own network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressPolicy {
    allowed: Vec<IpNet>,
}

impl AddressPolicy {
    /// Global addresses, and these ranges.
    #[must_use]
    pub const fn new(allowed: Vec<IpNet>) -> Self {
        Self { allowed }
    }

    /// Whether the address may be named. IPv4-mapped addresses are judged as the IPv4 address they stand for.
    #[must_use]
    pub fn permits(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        is_global(address) || self.allowed.iter().any(|range| range.contains(&address))
    }

    /// Whether the operator has opened the range of this address by name, global or not.
    #[must_use]
    pub fn opens(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.allowed.iter().any(|range| range.contains(&address))
    }

    /// Whether the operator has opened no range.
    #[must_use]
    pub fn opens_nothing(&self) -> bool {
        self.allowed.is_empty()
    }
}

fn is_global(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_global_v4(v4),
        IpAddr::V6(v6) => is_global_v6(v6),
    }
}

/// The ranges of the IANA IPv4 special-purpose registry that are not globally reachable (RFC 6890), multicast and class E.
fn is_global_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let shared = a == 100 && (64..128).contains(&b);
    let protocol_assignments = a == 192 && b == 0 && c == 0;
    let benchmarking = a == 198 && (b == 18 || b == 19);
    !(a == 0
        || a >= 224
        || shared
        || protocol_assignments
        || benchmarking
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation())
}

/// Global unicast is 2000::/3 (RFC 4291 §2.4), less what embeds IPv4 addresses, Teredo, documentation and benchmarking.
fn is_global_v6(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    let unicast = first & 0xe000 == 0x2000;
    let embeds_v4 = first == 0x2002 || (first == 0x2001 && second == 0);
    let special = (first == 0x2001 && (second == 0x0db8 || second == 2)) || first == 0x3fff;
    unicast && !embeds_v4 && !special
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_is_inside() {
        let policy = AddressPolicy::default();
        for inside in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "198.18.0.1",
            "192.0.0.8",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "2001:db8::1",
            "2002:7f00:1::",
            "64:ff9b::7f00:1",
        ] {
            assert!(!policy.permits(inside.parse().unwrap()), "{inside}");
        }
        for outside in ["8.8.8.8", "54.172.60.0", "2606:4700::1111", "::ffff:8.8.8.8"] {
            assert!(policy.permits(outside.parse().unwrap()), "{outside}");
        }
    }

    #[test]
    fn allows_the_ranges_of_the_operator() {
        let policy = AddressPolicy::new(vec!["127.0.0.0/8".parse().unwrap()]);
        assert!(policy.permits("127.0.0.3".parse().unwrap()));
        assert!(policy.permits("::ffff:127.0.0.3".parse().unwrap()));
        assert!(!policy.permits("10.0.0.1".parse().unwrap()));
    }
}
