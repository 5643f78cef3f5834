use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::text::Text;

/// Longest host name in bytes (RFC 1035 §2.3.4).
const MAX_HOST_BYTES: usize = 253;

/// Where media goes: the value of `c=` (RFC 8866 §5.7) and the end of `a=rtcp` (RFC 3605).
///
/// Only the Internet (`IN`) is understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// `IP4` or `IP6`; an address is always of this family.
    pub family: AddressFamily,
    /// The address or name.
    pub host: Host,
    /// `/ttl` and `/count` of multicast, without the first slash.
    pub multicast_scope: Option<Text>,
}

/// The address type of a `c=` line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressFamily {
    /// `IP4`
    V4,
    /// `IP6`
    V6,
}

/// The host of a `c=` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// A literal address.
    Address(IpAddr),
    /// A host name (RFC 8866 §5.7 allows it), of letters, digits, hyphens and dots.
    Name(Box<str>),
}

impl Connection {
    /// The line for a unicast address.
    pub fn unicast(address: IpAddr) -> Self {
        let family = match address {
            IpAddr::V4(_) => AddressFamily::V4,
            IpAddr::V6(_) => AddressFamily::V6,
        };
        Self { family, host: Host::Address(address), multicast_scope: None }
    }

    /// Reads `IN IP4 192.0.2.1`; `None` when it is no Internet address of the family that it names.
    pub(crate) fn parse(value: &str) -> Option<Self> {
        let mut words = value.split_ascii_whitespace();
        let (network, family, address) = (words.next()?, words.next()?, words.next()?);
        if words.next().is_some() || !network.eq_ignore_ascii_case("IN") {
            return None;
        }
        let (host, scope) = match address.split_once('/') {
            Some((host, scope)) => (host, Some(scope)),
            None => (address, None),
        };
        let (family, literal) = if family.eq_ignore_ascii_case("IP4") {
            (AddressFamily::V4, host.parse::<Ipv4Addr>().map(IpAddr::from))
        } else if family.eq_ignore_ascii_case("IP6") {
            (AddressFamily::V6, host.parse::<Ipv6Addr>().map(IpAddr::from))
        } else {
            return None;
        };
        let host = match literal {
            Ok(address) => Host::Address(address),
            Err(_) if is_host_name(host) => Host::Name(host.into()),
            Err(_) => return None,
        };
        if scope.is_some_and(|scope| !is_multicast_scope(scope)) {
            return None;
        }
        Some(Self { family, host, multicast_scope: scope.map(Text::from) })
    }
}

impl fmt::Display for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IN {} {}", self.family, self.host)?;
        match &self.multicast_scope {
            Some(scope) => write!(f, "/{scope}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for AddressFamily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IP4",
            Self::V6 => "IP6",
        })
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// True for the host names of RFC 1123 §2.1. The last label has a letter, so that `300.1.2.3` is a broken address rather
/// than a name to ask the DNS for.
fn is_host_name(host: &str) -> bool {
    let labels = host.strip_suffix('.').unwrap_or(host);
    let label_is_sound = |label: &str| {
        let alphanumeric = |octet: Option<&u8>| octet.is_some_and(u8::is_ascii_alphanumeric);
        alphanumeric(label.as_bytes().first())
            && alphanumeric(label.as_bytes().last())
            && label.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-')
    };
    let top = labels.rsplit('.').next().unwrap_or(labels);
    host.len() <= MAX_HOST_BYTES
        && labels.split('.').all(label_is_sound)
        && top.bytes().any(|octet| octet.is_ascii_alphabetic())
}

/// One or two numbers: a time to live, a count of addresses.
fn is_multicast_scope(scope: &str) -> bool {
    scope.split('/').count() <= 2 && scope.split('/').all(|number| number.parse::<u32>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_of_the_family_that_it_names() {
        assert_eq!(Connection::parse("IN IP4 192.0.2.1"), Some(Connection::unicast([192, 0, 2, 1].into())));
        assert_eq!(Connection::parse("in ip6 2001:db8::2").unwrap().host.to_string(), "2001:db8::2");
        for bad in
            ["IN IP4 2001:db8::1", "IN IP6 192.0.2.1", "IN IP4 300.1.2.3", "IN IP4 1.2.3", "ATM NSAP 47.0091", ""]
        {
            assert_eq!(Connection::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_name_is_kept_and_must_look_like_one() {
        let host = |text| Connection::parse(text).map(|connection| connection.host);
        assert_eq!(host("IN IP4 host.atlanta.example.com"), Some(Host::Name("host.atlanta.example.com".into())));
        for bad in
            ["IN IP4 -a.example", "IN IP4 a..example", "IN IP4 a_b.example", "IN IP4 .", "IN IP4 a\u{e9}.example"]
        {
            assert_eq!(host(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_multicast_scope_is_printed_again() {
        for line in ["IN IP4 224.2.36.42/127", "IN IP4 224.2.1.1/127/3", "IN IP6 ff15::101/3"] {
            assert_eq!(Connection::parse(line).unwrap().to_string(), line);
        }
        assert_eq!(Connection::parse("IN IP4 224.2.1.1/127/3/4"), None);
        assert_eq!(Connection::parse("IN IP4 224.2.1.1/x"), None);
    }
}
