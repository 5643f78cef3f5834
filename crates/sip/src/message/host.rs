//! Hosts, as they stand in URIs and Via.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::decimal::write_ipv4;
use super::scan::{self, Cursor};

/// A host: a name or an address (RFC 3261 §25.1, `host`).
#[derive(Debug, Clone)]
pub enum Host {
    /// A domain name, as it was spelt. Compared without regard to case.
    Name(Box<str>),
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address; in brackets on the wire.
    V6(Ipv6Addr),
}

/// The text is neither a host name nor an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a host")]
pub struct InvalidHost;

impl Host {
    /// Reads a host; an IPv6 address must be in brackets.
    ///
    /// # Errors
    ///
    /// [`InvalidHost`].
    pub fn new(text: &str) -> Result<Self, InvalidHost> {
        HostRef::parse(text.as_bytes()).map(HostRef::to_owned).ok_or(InvalidHost)
    }

    pub(crate) fn write(&self, f: &mut impl fmt::Write) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::V4(address) => write_ipv4(f, *address),
            Self::V6(address) => write!(f, "[{address}]"),
        }
    }

    /// The address, unless it is a name.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Name(_) => None,
            Self::V4(address) => Some(IpAddr::V4(*address)),
            Self::V6(address) => Some(IpAddr::V6(*address)),
        }
    }
}

impl PartialEq for Host {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Name(one), Self::Name(two)) => one.eq_ignore_ascii_case(two),
            (Self::V4(one), Self::V4(two)) => one == two,
            (Self::V6(one), Self::V6(two)) => one == two,
            (Self::Name(_) | Self::V4(_) | Self::V6(_), _) => false,
        }
    }
}

impl Eq for Host {}

impl From<IpAddr> for Host {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => Self::V6(address),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f)
    }
}

/// A host as it stands in a received message.
#[derive(Debug, Clone, Copy)]
pub(crate) enum HostRef<'a> {
    /// ASCII.
    Name(&'a [u8]),
    V4(Ipv4Addr),
    V6(Ipv6Addr),
}

/// DNS allows no longer name.
const MAX_NAME_BYTES: usize = 255;

impl<'a> HostRef<'a> {
    /// Takes the host that is next.
    #[inline]
    pub(crate) fn take(cursor: &mut Cursor<'a>) -> Option<Self> {
        if cursor.eat(b'[') {
            let address = cursor.take_until(|c| c == b']');
            return if cursor.eat(b']') { scan::ascii(address).parse().ok().map(Self::V6) } else { None };
        }
        let name = cursor.take(scan::HOST);
        // The last label of a name is never a number, so one look at the end tells most names from addresses.
        if name.last()?.is_ascii_digit()
            && let Some(address) = ipv4(name)
        {
            return Some(Self::V4(address));
        }
        is_name(name).then_some(Self::Name(name))
    }

    fn parse(text: &'a [u8]) -> Option<Self> {
        let mut cursor = Cursor::new(text);
        let host = Self::take(&mut cursor)?;
        cursor.is_done().then_some(host)
    }

    pub(crate) fn to_owned(self) -> Host {
        match self {
            Self::Name(name) => Host::Name(scan::ascii(name).into()),
            Self::V4(address) => Host::V4(address),
            Self::V6(address) => Host::V6(address),
        }
    }
}

/// Takes a port. Port 0 is none: nothing can be sent there.
#[inline]
pub(crate) fn take_port(cursor: &mut Cursor<'_>) -> Option<u16> {
    let digits = cursor.take_until(|c| !c.is_ascii_digit());
    scan::number(digits).and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0)
}

/// Dotted decimal without leading zeros, as the standard library reads it but in a fraction of the time.
#[inline]
fn ipv4(text: &[u8]) -> Option<Ipv4Addr> {
    let mut octets = [0u8; 4];
    let mut rest = text;
    let (last, others) = octets.split_last_mut()?;
    for octet in others {
        // An octet has one to three digits, so its dot is one of the next ones.
        let (digits, after) = match rest {
            [_, b'.', after @ ..] => (&rest[..1], after),
            [_, _, b'.', after @ ..] => (&rest[..2], after),
            [_, _, _, b'.', after @ ..] => (&rest[..3], after),
            _ => return None,
        };
        *octet = ipv4_octet(digits)?;
        rest = after;
    }
    *last = ipv4_octet(rest)?;
    Some(Ipv4Addr::from(octets))
}

#[inline]
fn ipv4_octet(digits: &[u8]) -> Option<u8> {
    let digit = |c: u8| u16::from(c.wrapping_sub(b'0'));
    let octet = match *digits {
        [c] if c.is_ascii_digit() => digit(c),
        [b'1'..=b'9', c] if c.is_ascii_digit() => digit(digits[0]) * 10 + digit(c),
        [b'1' | b'2', b, c] if b.is_ascii_digit() && c.is_ascii_digit() => {
            digit(digits[0]) * 100 + digit(b) * 10 + digit(c)
        }
        _ => return None,
    };
    u8::try_from(octet).ok()
}

/// `hostname`, one dot at the end allowed. A last label of digits only would be a broken address.
fn is_name(name: &[u8]) -> bool {
    let name = name.strip_suffix(b".").unwrap_or(name);
    let mut last = b'.';
    let mut is_number = true;
    for &c in name {
        if c == b'.' {
            if last == b'.' {
                return false;
            }
            is_number = true;
        } else if !c.is_ascii_digit() {
            is_number = false;
        }
        last = c;
    }
    !is_number
        && last.is_ascii_alphanumeric()
        && name.first().is_some_and(u8::is_ascii_alphanumeric)
        && name.len() <= MAX_NAME_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_names_and_addresses() {
        assert_eq!(Host::new("sw.Example.com"), Ok(Host::Name("SW.example.COM".into())));
        assert_eq!(Host::new("192.0.2.1"), Ok(Host::V4(Ipv4Addr::new(192, 0, 2, 1))));
        assert_eq!(Host::new("[2001:db8::1]").unwrap().to_string(), "[2001:db8::1]");
        assert_eq!(Host::new("host_1-x.").unwrap().to_string(), "host_1-x.");
    }

    #[test]
    fn reads_ipv4_as_the_standard_library_does() {
        for text in [
            "0.0.0.0",
            "255.255.255.255",
            "1.2.3.4",
            "01.2.3.4",
            "00.0.0.0",
            "256.1.1.1",
            "1.2.3",
            "1.2.3.4.5",
            "1..2.3",
            "1.2.3.",
        ] {
            assert_eq!(ipv4(text.as_bytes()), text.parse().ok(), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_neither() {
        for text in [
            "",
            ".",
            "a..b",
            "-a",
            "a-",
            "256.1.1.1",
            "1.2.3",
            "2001:db8::1",
            "[::1",
            "[1.2.3.4]",
            "b\u{fc}cher",
            "a b",
        ] {
            assert_eq!(Host::new(text), Err(InvalidHost), "{text}");
        }
    }
}
