//! Reading the files that tcpdump writes: enough of pcap to get at UDP over IPv4.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// One UDP datagram of a capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Datagram {
    /// Since the epoch, by the capturing host's clock.
    pub(crate) at: Duration,
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) payload: Vec<u8>,
}

/// All whole UDP datagrams of a capture file; a record that is still being written is left out.
pub(crate) fn datagrams(file: &[u8]) -> Vec<Datagram> {
    let mut found = Vec::new();
    let Some(header) = file.get(..24) else { return found };
    let Some(reader) = Reader::of(header) else { return found };
    let mut rest = file.get(24..).unwrap_or_default();
    while let Some((record, after)) = rest.split_at_checked(16) {
        let length = usize::try_from(reader.number(record.get(8..12))).unwrap_or(usize::MAX);
        let Some((frame, after)) = after.split_at_checked(length) else { break };
        let seconds = Duration::from_secs(u64::from(reader.number(record.get(..4))));
        let at = seconds + reader.fraction(reader.number(record.get(4..8)));
        found.extend(reader.udp(frame, at));
        rest = after;
    }
    found
}

#[derive(Clone, Copy)]
struct Reader {
    big_endian: bool,
    nanoseconds: bool,
    /// Octets before the IP header.
    link_header: usize,
}

impl Reader {
    /// Reads the file header (draft-ietf-opsawg-pcap §4).
    fn of(header: &[u8]) -> Option<Self> {
        let (big_endian, nanoseconds) = match header.get(..4)? {
            [0xd4, 0xc3, 0xb2, 0xa1] => (false, false),
            [0xa1, 0xb2, 0xc3, 0xd4] => (true, false),
            [0x4d, 0x3c, 0xb2, 0xa1] => (false, true),
            [0xa1, 0xb2, 0x3c, 0x4d] => (true, true),
            _ => return None,
        };
        let mut reader = Self { big_endian, nanoseconds, link_header: 0 };
        reader.link_header = match reader.number(header.get(20..24)) & 0xffff {
            0 => 4,    // BSD loopback
            1 => 14,   // Ethernet
            101 => 0,  // raw IP
            113 => 16, // Linux cooked
            276 => 20, // Linux cooked, version 2
            _ => return None,
        };
        Some(reader)
    }

    fn number(self, octets: Option<&[u8]>) -> u32 {
        let octets: [u8; 4] = octets.and_then(|octets| octets.try_into().ok()).unwrap_or_default();
        if self.big_endian { u32::from_be_bytes(octets) } else { u32::from_le_bytes(octets) }
    }

    fn fraction(self, value: u32) -> Duration {
        let value = u64::from(value);
        if self.nanoseconds { Duration::from_nanos(value) } else { Duration::from_micros(value) }
    }

    /// RFC 791 and RFC 768; fragments but the first have no UDP header and are left out.
    fn udp(self, frame: &[u8], at: Duration) -> Option<Datagram> {
        let ip = frame.get(self.link_header..)?;
        let first = *ip.first()?;
        let is_fragment = ip.get(6..8)? != [0, 0] && ip.get(6..8)? != [0x40, 0];
        if first >> 4 != 4 || *ip.get(9)? != 17 || is_fragment {
            return None;
        }
        let total = usize::from(short(ip.get(2..4)?)?);
        let header = usize::from(first & 0x0f) * 4;
        let udp = ip.get(header..total)?;
        let address = |at: usize| -> Option<Ipv4Addr> {
            let octets: [u8; 4] = ip.get(at..at + 4)?.try_into().ok()?;
            Some(octets.into())
        };
        let from = SocketAddr::from((address(12)?, short(udp.get(..2)?)?));
        let to = SocketAddr::from((address(16)?, short(udp.get(2..4)?)?));
        Some(Datagram { at, from, to, payload: udp.get(8..)?.to_vec() })
    }
}

fn short(octets: &[u8]) -> Option<u16> {
    octets.try_into().ok().map(u16::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_datagram_and_leaves_out_what_is_half_written() {
        let mut file = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0];
        let mut frame = vec![0; 14];
        frame.extend([0x45, 0, 0, 31, 0, 0, 0x40, 0, 64, 17, 0, 0, 127, 0, 0, 1, 127, 0, 0, 2]);
        frame.extend([0x13, 0xc4, 0x13, 0xc5, 0, 11, 0, 0, b'a', b'b', b'c']);
        let mut record = vec![7, 0, 0, 0, 5, 0, 0, 0, 45, 0, 0, 0, 45, 0, 0, 0];
        record.extend(frame);
        file.extend(&record);
        file.extend(record.get(..30).unwrap());

        let found = datagrams(&file);
        let expected = Datagram {
            at: Duration::new(7, 5_000),
            from: "127.0.0.1:5060".parse().unwrap(),
            to: "127.0.0.2:5061".parse().unwrap(),
            payload: b"abc".to_vec(),
        };
        assert_eq!(found, [expected]);
    }
}
