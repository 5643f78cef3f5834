//! Socket addresses in the kernel's layout (`sockaddr_in`, `sockaddr_in6`), read and written as bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use libc::socklen_t;

/// `sizeof(struct sockaddr_in)`: family, port, address, eight bytes of padding.
const LENGTH_V4: socklen_t = 16;
/// `sizeof(struct sockaddr_in6)`: family, port, flow information, address, scope.
const LENGTH_V6: socklen_t = 28;

/// `AF_INET` in the width that a socket address gives it.
const FAMILY_V4: u16 = 2;
/// `AF_INET6`.
const FAMILY_V6: u16 = 10;

/// Room for an IPv4 or IPv6 socket address as the kernel lays it out.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(8))]
pub(crate) struct RawAddress {
    bytes: [u8; LENGTH_V6 as usize],
}

impl RawAddress {
    pub(crate) const EMPTY: Self = Self { bytes: [0; LENGTH_V6 as usize] };
    /// How much the kernel may write.
    pub(crate) const CAPACITY: socklen_t = LENGTH_V6;

    /// What the kernel wrote elsewhere.
    pub(crate) const fn from_bytes(bytes: [u8; LENGTH_V6 as usize]) -> Self {
        Self { bytes }
    }

    /// The kernel's form of `address` and its length.
    pub(crate) fn new(address: SocketAddr) -> (Self, socklen_t) {
        let mut raw = Self::EMPTY;
        let (head, rest) = raw.bytes.split_at_mut(4);
        head[2..].copy_from_slice(&address.port().to_be_bytes());
        match address {
            SocketAddr::V4(v4) => {
                head[..2].copy_from_slice(&FAMILY_V4.to_ne_bytes());
                rest[..4].copy_from_slice(&v4.ip().octets());
                (raw, LENGTH_V4)
            }
            SocketAddr::V6(v6) => {
                head[..2].copy_from_slice(&FAMILY_V6.to_ne_bytes());
                rest[4..20].copy_from_slice(&v6.ip().octets());
                rest[20..].copy_from_slice(&v6.scope_id().to_ne_bytes());
                (raw, LENGTH_V6)
            }
        }
    }

    /// What the kernel wrote; `None` for another family. An IPv4-mapped address comes back as IPv4.
    pub(crate) fn decode(&self) -> Option<SocketAddr> {
        let [f0, f1, p0, p1, a0, a1, a2, a3, rest @ ..] = self.bytes;
        let port = u16::from_be_bytes([p0, p1]);
        match u16::from_ne_bytes([f0, f1]) {
            FAMILY_V4 => Some(SocketAddr::from((Ipv4Addr::new(a0, a1, a2, a3), port))),
            FAMILY_V6 => {
                let [ip @ .., s0, s1, s2, s3] = rest;
                Some(v6(Ipv6Addr::from(ip), port, u32::from_ne_bytes([s0, s1, s2, s3])))
            }
            _ => None,
        }
    }

    pub(crate) fn as_ptr(&self) -> *const libc::sockaddr {
        (&raw const *self).cast()
    }

    pub(crate) fn as_mut_ptr(&mut self) -> *mut libc::sockaddr {
        (&raw mut *self).cast()
    }
}

/// An IPv6 socket address, canonical: a mapped one is IPv4, and only a link-local one has a scope. Flow information is
/// left out, so that two datagrams of one peer compare equal.
pub(crate) fn v6(ip: Ipv6Addr, port: u16, scope: u32) -> SocketAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => SocketAddr::from((ip, port)),
        IpAddr::V6(ip) => {
            let scope = if ip.is_unicast_link_local() || ip.is_multicast() { scope } else { 0 };
            SocketAddr::V6(SocketAddrV6::new(ip, port, 0, scope))
        }
    }
}

/// `address` with a mapped IPv4 address as IPv4 and without flow information.
pub(crate) fn canonical(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(_) => address,
        SocketAddr::V6(address) => v6(*address.ip(), address.port(), address.scope_id()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_the_kernels_layout() {
        for text in ["127.0.0.2:5060", "[2001:db8::7]:5061", "[fe80::1%3]:9", "0.0.0.0:0", "[::]:65535"] {
            let address: SocketAddr = text.parse().expect("an address");
            let (raw, _) = RawAddress::new(address);
            assert_eq!(raw.decode(), Some(address), "{text}");
        }
    }

    #[test]
    fn the_layout_is_that_of_libc() {
        assert_eq!(i32::from(FAMILY_V4), libc::AF_INET);
        assert_eq!(i32::from(FAMILY_V6), libc::AF_INET6);
        assert_eq!(size_of::<libc::sockaddr_in>(), LENGTH_V4 as usize);
        assert_eq!(size_of::<libc::sockaddr_in6>(), LENGTH_V6 as usize);
        assert!(size_of::<RawAddress>() >= RawAddress::CAPACITY as usize);
        assert!(align_of::<RawAddress>() >= align_of::<libc::sockaddr_in6>());
    }

    #[test]
    fn a_mapped_address_is_ipv4() {
        let mapped: SocketAddr = "[::ffff:192.0.2.9]:5060".parse().expect("an address");
        let (raw, _) = RawAddress::new(mapped);
        assert_eq!(raw.decode(), Some("192.0.2.9:5060".parse().expect("an address")));
        assert_eq!(canonical(mapped), "192.0.2.9:5060".parse().expect("an address"));
    }

    #[test]
    fn a_scope_on_a_global_address_is_dropped() {
        let scoped = SocketAddr::V6(SocketAddrV6::new("2001:db8::1".parse().expect("an address"), 1, 7, 3));
        assert_eq!(canonical(scoped), "[2001:db8::1]:1".parse().expect("an address"));
    }

    #[test]
    fn another_family_is_no_address() {
        assert_eq!(RawAddress::EMPTY.decode(), None);
    }
}
