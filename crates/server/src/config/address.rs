use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};

/// Not an address and a port.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an address and a port, as 127.0.0.1:8080 or [::1]:8080")]
pub(crate) struct SocketError(String);

/// Why a text does not name one address of a host.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum AddressError {
    #[error("{0:?} is not an IP address")]
    Syntax(String),
    #[error("{0} names no single host; give the address itself")]
    NoHost(IpAddr),
}

/// Why a text is no list of networks.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NetworkError {
    #[error("{0:?} is not a network, as 10.0.0.0/8, nor an address")]
    Syntax(String),
    #[error("{written} has bits beyond its prefix; write {network} for the network, or {host} for the host")]
    HostBits { written: IpNet, network: IpNet, host: IpNet },
    #[error("more than {MAX_ITEMS} networks")]
    TooMany,
    #[error("{0} holds everybody, so that anybody could be whom they like; name the networks of the proxies")]
    Everybody(IpNet),
}

/// Why a text is no list of resolvers.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ResolverError {
    #[error("{0:?} is not the address of a resolver, as 9.9.9.9 or 9.9.9.9:53")]
    Syntax(String),
    #[error("more than {MAX_RESOLVERS} resolvers; each is asked in turn, so that a caller would wait too long")]
    TooMany,
}

/// Why a text is no pair of addresses for the simulated carrier.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PairError {
    #[error(transparent)]
    Socket(#[from] SocketError),
    #[error("takes two addresses, as 127.0.0.2:5060,127.0.0.3:5060")]
    NotTwo,
    #[error("its two addresses are the same; give the carrier two")]
    Same,
    #[error("one of its two addresses is IPv4 and one IPv6; the carrier's media have one family")]
    TwoFamilies,
}

/// An address and a port.
pub(super) fn socket(text: &str) -> Result<SocketAddr, SocketError> {
    text.parse().map_err(|_| SocketError(text.to_owned()))
}

/// One host's address: neither a wildcard nor a group.
pub(super) fn one(text: &str) -> Result<IpAddr, AddressError> {
    let address: IpAddr = text.parse().map_err(|_| AddressError::Syntax(text.to_owned()))?;
    let address = address.to_canonical();
    let is_broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    if address.is_unspecified() || address.is_multicast() || is_broadcast {
        return Err(AddressError::NoHost(address));
    }
    Ok(address)
}

/// Networks separated by commas; a bare address is a network of one.
pub(super) fn networks(text: &str) -> Result<Vec<IpNet>, NetworkError> {
    let mut networks = Vec::new();
    for item in items(text) {
        let network = item
            .parse::<IpNet>()
            .or_else(|_| item.parse::<IpAddr>().map(IpNet::from))
            .map_err(|_| NetworkError::Syntax(item.to_owned()))?;
        if network.trunc() != network {
            let host = IpNet::from(network.addr());
            return Err(NetworkError::HostBits { written: network, network: network.trunc(), host });
        }
        if networks.len() == MAX_ITEMS {
            return Err(NetworkError::TooMany);
        }
        networks.push(network);
    }
    Ok(networks)
}

/// Networks of proxies, which cannot be everybody's.
pub(super) fn proxies(text: &str) -> Result<Vec<IpNet>, NetworkError> {
    let networks = networks(text)?;
    match networks.iter().find(|network| network.prefix_len() == 0) {
        Some(everybody) => Err(NetworkError::Everybody(*everybody)),
        None => Ok(networks),
    }
}

/// Resolvers separated by commas, on port 53 unless they name another.
pub(super) fn resolvers(text: &str) -> Result<Vec<SocketAddr>, ResolverError> {
    let mut resolvers = Vec::new();
    for item in items(text) {
        let resolver = item
            .parse::<SocketAddr>()
            .or_else(|_| item.parse::<IpAddr>().map(|address| SocketAddr::new(address, DNS_PORT)))
            .map_err(|_| ResolverError::Syntax(item.to_owned()))?;
        if resolvers.len() == MAX_RESOLVERS {
            return Err(ResolverError::TooMany);
        }
        resolvers.push(resolver);
    }
    Ok(resolvers)
}

/// The two addresses of the simulated carrier.
pub(crate) fn carrier_pair(text: &str) -> Result<[SocketAddr; 2], PairError> {
    let addresses = items(text).map(socket).collect::<Result<Vec<_>, _>>()?;
    match *addresses.as_slice() {
        [first, second] if first == second && first.port() != 0 => Err(PairError::Same),
        [first, second] if first.is_ipv4() != second.is_ipv4() => Err(PairError::TwoFamilies),
        [first, second] => Ok([first, second]),
        _ => Err(PairError::NotTwo),
    }
}

/// The items of a list separated by commas; empty ones do not count.
pub(super) fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

const DNS_PORT: u16 = 53;
/// Every incoming target is compared with each of them.
const MAX_ITEMS: usize = 256;
const MAX_RESOLVERS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_address_is_a_network_of_one() {
        let networks = networks("127.0.0.0/8, 10.1.2.3,fd00::/8,").unwrap();
        let texts: Vec<_> = networks.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["127.0.0.0/8", "10.1.2.3/32", "fd00::/8"]);
    }

    #[test]
    fn a_network_with_host_bits_is_ambiguous() {
        let error = networks("10.1.2.3/8").unwrap_err().to_string();
        assert!(error.contains("10.0.0.0/8") && error.contains("10.1.2.3/32"), "{error}");
    }

    #[test]
    fn a_resolver_listens_on_port_53_unless_it_names_another() {
        let resolvers = resolvers("9.9.9.9,127.0.0.1:5353,2620:fe::fe,[::1]:5353").unwrap();
        let texts: Vec<_> = resolvers.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["9.9.9.9:53", "127.0.0.1:5353", "[2620:fe::fe]:53", "[::1]:5353"]);
    }

    #[test]
    fn lists_have_an_end() {
        assert_eq!(networks(&"10.0.0.0/8,".repeat(257)).unwrap_err(), NetworkError::TooMany);
        assert_eq!(resolvers(&"10.0.0.1,".repeat(9)).unwrap_err(), ResolverError::TooMany);
    }

    #[test]
    fn a_host_is_one_address() {
        for text in ["0.0.0.0", "::", "224.0.0.1", "255.255.255.255", "ff02::1"] {
            assert!(matches!(one(text), Err(AddressError::NoHost(_))), "{text}");
        }
        assert!(matches!(one("localhost"), Err(AddressError::Syntax(_))));
        assert_eq!(one("::1"), Ok(IpAddr::V6(std::net::Ipv6Addr::LOCALHOST)));
    }

    #[test]
    fn the_carrier_has_two_addresses() {
        assert!(carrier_pair("127.0.0.2:5060, 127.0.0.3:5060").is_ok());
        assert_eq!(carrier_pair("127.0.0.2:5060").unwrap_err(), PairError::NotTwo);
        assert_eq!(carrier_pair("127.0.0.2:1,127.0.0.2:1").unwrap_err(), PairError::Same);
        assert_eq!(carrier_pair("127.0.0.2:5060,[::1]:5060").unwrap_err(), PairError::TwoFamilies);
        assert!(matches!(carrier_pair("127.0.0.2,127.0.0.3").unwrap_err(), PairError::Socket(_)));
    }
}
