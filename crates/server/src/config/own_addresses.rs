use super::address::{self, AddressError};
use super::listen::SipListen;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use tandem_switch::{Family, OwnAddresses};

/// Why a text does not name our addresses.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum OwnAddressesError {
    #[error("names no address")]
    Empty,
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error("{first} and {second} are both {}; give one of each family at most", name(*.second))]
    SameFamily { first: IpAddr, second: IpAddr },
}

/// One address of each family at most, separated by a comma.
pub(super) fn parse(text: &str) -> Result<OwnAddresses, OwnAddressesError> {
    let mut own = OwnAddresses::default();
    for item in address::items(text) {
        let second = address::one(item)?;
        if let Some(first) = own.of(Family::of(second)) {
            return Err(OwnAddressesError::SameFamily { first, second });
        }
        match second {
            IpAddr::V4(address) => own.v4 = Some(address),
            IpAddr::V6(address) => own.v6 = Some(address),
        }
    }
    if own == OwnAddresses::default() { Err(OwnAddressesError::Empty) } else { Ok(own) }
}

/// Where RTP is bound unless somebody says where: an address of each family that SIP is heard in, by preference one of `here`, the
/// host's addresses, that others can reach. Of IPv6 there is none when the host has no such address and SIP is heard elsewhere than
/// on `::1`.
pub(super) fn default_media(listeners: &[SipListen], here: &[IpAddr]) -> OwnAddresses {
    let hears = |family| listeners.iter().any(|listen| Family::of(listen.address.ip()) == family);
    let global = || here.iter().copied().filter(is_global);
    let mut own = OwnAddresses::default();
    if hears(Family::V4) {
        let first = global().find_map(|address| OwnAddresses::from(address).v4);
        own.v4 = Some(first.unwrap_or(Ipv4Addr::LOCALHOST));
    }
    if hears(Family::V6) {
        let first = global().find_map(|address| OwnAddresses::from(address).v6);
        let is_local = listeners.iter().any(|listen| listen.address.ip() == Ipv6Addr::LOCALHOST);
        own.v6 = first.or_else(|| is_local.then_some(Ipv6Addr::LOCALHOST));
    }
    own
}

/// `public`, with that of `media` for a family that it leaves out.
pub(super) fn or_of(public: OwnAddresses, media: OwnAddresses) -> OwnAddresses {
    OwnAddresses { v4: public.v4.or(media.v4), v6: public.v6.or(media.v6) }
}

/// What people call the family of an address.
pub(crate) const fn name(address: IpAddr) -> &'static str {
    match Family::of(address) {
        Family::V4 => "IPv4",
        Family::V6 => "IPv6",
    }
}

/// Private addresses count: it is what media binds to, not what the Internet sees.
fn is_global(address: &IpAddr) -> bool {
    let is_link_local = match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    !(address.is_loopback() || address.is_unspecified() || is_link_local)
}

#[cfg(test)]
mod tests {
    use super::super::listen;
    use super::*;

    #[test]
    fn takes_one_address_of_each_family() {
        assert_eq!(shown(parse("192.0.2.1").unwrap()), ["192.0.2.1"]);
        assert_eq!(shown(parse("2001:db8::1, 192.0.2.1").unwrap()), ["192.0.2.1", "2001:db8::1"]);
        assert_eq!(shown(parse("::ffff:192.0.2.1").unwrap()), ["192.0.2.1"], "an IPv4 address in IPv6 clothes");
        for (text, expected) in [
            ("192.0.2.1,192.0.2.2", "192.0.2.1 and 192.0.2.2 are both IPv4"),
            ("192.0.2.1,2001:db8::1,2001:db8::2", "2001:db8::1 and 2001:db8::2 are both IPv6"),
            ("192.0.2.1,::", "names no single host"),
            ("192.0.2.1;::1", "not an IP address"),
            (",", "names no address"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text:?}: {error}");
        }
    }

    #[test]
    fn media_are_of_the_families_that_sip_is_heard_in() {
        let here = ["127.0.0.1", "fe80::1", "169.254.0.1", "2001:db8::7", "10.0.0.7", "192.0.2.7"];
        for (listeners, here, expected) in [
            ("udp:0.0.0.0:5060", &here[..], &["10.0.0.7"][..]),
            ("udp:0.0.0.0:5060,tcp:[::]:5060", &here[..], &["10.0.0.7", "2001:db8::7"]),
            ("udp:[::]:5060", &here[..], &["2001:db8::7"]),
            ("udp:0.0.0.0:5060,udp:[::]:5060", &here[..3], &["127.0.0.1"]),
            ("udp:0.0.0.0:5060,udp:[::1]:5060", &here[..3], &["127.0.0.1", "::1"]),
            ("udp:[::1]:5060", &here[..], &["2001:db8::7"]),
        ] {
            let here: Vec<IpAddr> = here.iter().map(|text| text.parse().unwrap()).collect();
            assert_eq!(shown(default_media(&listen::list(listeners).unwrap(), &here)), expected, "{listeners}");
        }
    }

    fn shown(own: OwnAddresses) -> Vec<String> {
        own.iter().map(|address| address.to_string()).collect()
    }
}
