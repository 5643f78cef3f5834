//! Control messages (`cmsg(3)`), read and written as bytes in the kernel's layout: length (`size_t`), level, type,
//! data, padded to the size of a `size_t`.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use libc::c_int;

use crate::address;

const WORD: usize = size_of::<usize>();
const HEADER: usize = WORD + 2 * size_of::<c_int>();
/// `sizeof(struct in_pktinfo)`.
const PKTINFO_V4: usize = 12;
/// `sizeof(struct in6_pktinfo)`.
const PKTINFO_V6: usize = 20;

/// Room for the control messages of one datagram.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub(crate) struct Control<const N: usize> {
    pub(crate) bytes: [u8; N],
}

impl<const N: usize> Control<N> {
    pub(crate) const EMPTY: Self = Self { bytes: [0; N] };
}

/// Room for the one control message that signalling datagrams carry: `IP_PKTINFO` or `IPV6_PKTINFO`, 40 bytes.
pub(crate) type PacketControl = Control<64>;

/// A control message: its level, its type and its data.
pub(crate) type Message<'a> = (c_int, c_int, &'a [u8]);

/// The control messages in `bytes`; ends at the first that does not fit.
pub(crate) fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let (length, rest) = bytes.split_first_chunk::<WORD>()?;
        let (level, rest) = rest.split_first_chunk::<{ size_of::<c_int>() }>()?;
        let (kind, _) = rest.split_first_chunk::<{ size_of::<c_int>() }>()?;
        let length = usize::from_ne_bytes(*length);
        let data = bytes.get(HEADER..length)?;
        bytes = bytes.get(length.next_multiple_of(WORD)..).unwrap_or_default();
        Some((c_int::from_ne_bytes(*level), c_int::from_ne_bytes(*kind), data))
    })
}

impl PacketControl {
    /// Writes the packet information that makes `source` the source address and returns its length, 0 where the kernel
    /// shall choose (`source` is unspecified).
    pub(crate) fn write_source(&mut self, source: SocketAddr) -> usize {
        match source {
            SocketAddr::V4(v4) if v4.ip().is_unspecified() => 0,
            SocketAddr::V4(v4) => {
                // in_pktinfo: interface index, the local address, the header's destination (ignored when sending).
                let mut data = [0; PKTINFO_V4];
                data[4..8].copy_from_slice(&v4.ip().octets());
                self.write(libc::IPPROTO_IP, libc::IP_PKTINFO, &data)
            }
            SocketAddr::V6(v6) if v6.ip().is_unspecified() => 0,
            SocketAddr::V6(v6) => {
                // in6_pktinfo: address, interface index (0 but for link-local addresses).
                let mut data = [0; PKTINFO_V6];
                data[..16].copy_from_slice(&v6.ip().octets());
                data[16..].copy_from_slice(&v6.scope_id().to_ne_bytes());
                self.write(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &data)
            }
        }
    }

    fn write<const D: usize>(&mut self, level: c_int, kind: c_int, data: &[u8; D]) -> usize {
        const { assert!((HEADER + D).next_multiple_of(WORD) <= size_of::<Self>(), "the message fits") };
        self.bytes[..WORD].copy_from_slice(&(HEADER + D).to_ne_bytes());
        self.bytes[WORD..WORD + 4].copy_from_slice(&level.to_ne_bytes());
        self.bytes[WORD + 4..HEADER].copy_from_slice(&kind.to_ne_bytes());
        self.bytes[HEADER..HEADER + D].copy_from_slice(data);
        (HEADER + D).next_multiple_of(WORD)
    }
}

/// The local address that a datagram was sent to, usable as the source of the answer, with `port`.
///
/// For IPv4 this is the kernel's `ipi_spec_dst`: the header's destination, or for a broadcast the interface's own
/// address. An IPv6 multicast destination yields `None`, as nothing can be sent from it.
pub(crate) fn asked_address(control: &[u8], port: u16) -> Option<SocketAddr> {
    messages(control).find_map(|(level, kind, data)| match (level, kind) {
        (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
            let [_, _, _, _, a, b, c, d, ..] = *data.first_chunk::<PKTINFO_V4>()?;
            Some(SocketAddr::from((Ipv4Addr::new(a, b, c, d), port)))
        }
        (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
            let [ip @ .., s0, s1, s2, s3] = *data.first_chunk::<PKTINFO_V6>()?;
            let asked = address::v6(Ipv6Addr::from(ip), port, u32::from_ne_bytes([s0, s1, s2, s3]));
            Some(asked).filter(|asked| !asked.ip().is_multicast())
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_written_source_reads_back_as_the_asked_address() {
        for text in ["127.0.0.2:5060", "[2001:db8::7]:5060", "[fe80::1%3]:5060"] {
            let mut control = PacketControl::EMPTY;
            let length = control.write_source(parse(text));
            assert_eq!(asked_address(&control.bytes[..length], 5060), Some(parse(text)), "{text}");
        }
    }

    #[test]
    fn an_unspecified_source_needs_no_message() {
        let mut control = PacketControl::EMPTY;
        assert_eq!(control.write_source(parse("0.0.0.0:5060")), 0);
        assert_eq!(control.write_source(parse("[::]:5060")), 0);
    }

    #[test]
    fn nothing_is_answered_from_a_multicast_address() {
        let mut control = PacketControl::EMPTY;
        let length = control.write_source(parse("[ff02::1%2]:5060"));
        assert_eq!(asked_address(&control.bytes[..length], 5060), None);
    }

    #[test]
    fn cut_and_lying_messages_end_the_list() {
        let mut control = PacketControl::EMPTY;
        let length = control.write_source(parse("127.0.0.2:5060"));
        for cut in 0..HEADER + PKTINFO_V4 {
            assert_eq!(messages(&control.bytes[..cut]).count(), 0, "{cut}");
        }
        for lie in [0, 1, HEADER - 1, length + WORD, usize::MAX] {
            control.bytes[..WORD].copy_from_slice(&lie.to_ne_bytes());
            assert_eq!(messages(&control.bytes[..length]).count(), 0, "{lie}");
        }
    }

    #[test]
    fn messages_follow_each_other() {
        let mut first = PacketControl::EMPTY;
        let length = first.write_source(parse("127.0.0.2:1"));
        let mut second = PacketControl::EMPTY;
        let more = second.write_source(parse("[::1]:1"));
        let both = [&first.bytes[..length], &second.bytes[..more]].concat();
        let kinds: Vec<_> = messages(&both).map(|(level, kind, data)| (level, kind, data.len())).collect();
        assert_eq!(
            kinds,
            [(libc::IPPROTO_IP, libc::IP_PKTINFO, PKTINFO_V4), (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, PKTINFO_V6)]
        );
    }

    #[test]
    fn the_layout_is_that_of_libc() {
        assert_eq!(size_of::<libc::cmsghdr>(), HEADER);
        assert_eq!(size_of::<libc::in_pktinfo>(), PKTINFO_V4);
        assert_eq!(size_of::<libc::in6_pktinfo>(), PKTINFO_V6);
    }
}
