//! The fixed header, and where the payload is (RFC 3550 §5.1, §5.3.1).

use std::ops::Range;

/// The fixed header that every RTP packet begins with, in octets.
pub const HEADER_LEN: usize = 12;

/// The fixed header without what only says where the payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// In audio: the first packet after a silence (RFC 3551 §4.1).
    pub marker: bool,
    /// 0 to 127.
    pub payload_type: u8,
    /// Goes up by one with each packet, and wraps.
    pub sequence: u16,
    /// In units of the clock of the payload type; wraps.
    pub timestamp: u32,
    /// Who sends.
    pub ssrc: u32,
}

impl Header {
    /// The header as octets, without CSRCs, extension and padding.
    #[must_use]
    pub fn to_bytes(self) -> [u8; HEADER_LEN] {
        let [seq0, seq1] = self.sequence.to_be_bytes();
        let [ts0, ts1, ts2, ts3] = self.timestamp.to_be_bytes();
        let [ssrc0, ssrc1, ssrc2, ssrc3] = self.ssrc.to_be_bytes();
        let kind = u8::from(self.marker) << 7 | (self.payload_type & 0x7f);
        [VERSION << 6, kind, seq0, seq1, ts0, ts1, ts2, ts3, ssrc0, ssrc1, ssrc2, ssrc3]
    }
}

/// Why a datagram is not an RTP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RtpError {
    /// Shorter than its own header says, with CSRCs and extension.
    #[error("the packet ends within its header")]
    Truncated,
    /// Another version than 2.
    #[error("the packet is of version {version}")]
    Version {
        /// 0, 1 or 3.
        version: u8,
    },
    /// It claims padding, and the count is zero or more than there is.
    #[error("a padding of {count} octets does not fit")]
    Padding {
        /// What the last octet says.
        count: u8,
    },
}

/// Reads the header. The range is where the payload is: after CSRCs and extension, before padding.
///
/// # Errors
///
/// When it is not RTP or contradicts itself.
pub fn parse(datagram: &[u8]) -> Result<(Header, Range<usize>), RtpError> {
    let (fixed, rest) = datagram.split_first_chunk::<HEADER_LEN>().ok_or(RtpError::Truncated)?;
    let [first, kind, s0, s1, t0, t1, t2, t3, i0, i1, i2, i3] = *fixed;
    let version = first >> 6;
    if version != VERSION {
        return Err(RtpError::Version { version });
    }
    let csrcs = usize::from(first & 0x0f) * 4;
    let mut body = rest.get(csrcs..).ok_or(RtpError::Truncated)?;
    if first & EXTENSION != 0 {
        let ([_, _, len0, len1], after) = body.split_first_chunk().ok_or(RtpError::Truncated)?;
        let words = usize::from(u16::from_be_bytes([*len0, *len1]));
        body = after.get(words * 4..).ok_or(RtpError::Truncated)?;
    }
    let start = datagram.len() - body.len();
    let mut end = datagram.len();
    if first & PADDING != 0 {
        let count = body.last().copied().unwrap_or(0);
        if count == 0 || usize::from(count) > body.len() {
            return Err(RtpError::Padding { count });
        }
        end -= usize::from(count);
    }
    let header = Header {
        marker: kind & 0x80 != 0,
        payload_type: kind & 0x7f,
        sequence: u16::from_be_bytes([s0, s1]),
        timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
        ssrc: u32::from_be_bytes([i0, i1, i2, i3]),
    };
    Ok((header, start..end))
}

const VERSION: u8 = 2;
const PADDING: u8 = 0x20;
const EXTENSION: u8 = 0x10;

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: Header =
        Header { marker: true, payload_type: 101, sequence: 0xfffe, timestamp: 0x0102_0304, ssrc: 0xdead_beef };

    #[test]
    fn what_is_written_is_read_back() {
        let mut packet = HEADER.to_bytes().to_vec();
        packet.extend([1, 2, 3]);
        assert_eq!(parse(&packet), Ok((HEADER, 12..15)));
    }

    #[test]
    fn the_payload_lies_between_extension_and_padding() {
        let mut packet = HEADER.to_bytes().to_vec();
        packet[0] |= PADDING | EXTENSION | 2;
        packet.extend([0; 8]); // two CSRCs
        packet.extend([0xbe, 0xde, 0, 1, 0x10, 0xff, 0, 0]);
        packet.extend([7, 7, 7, 0, 2]);
        assert_eq!(parse(&packet), Ok((HEADER, 28..31)));
    }

    #[test]
    fn padding_may_fill_the_payload_but_not_exceed_it() {
        let mut packet = HEADER.to_bytes().to_vec();
        packet[0] |= PADDING;
        assert_eq!(parse(&packet), Err(RtpError::Padding { count: 0 }));
        packet.extend([0, 2]);
        assert_eq!(parse(&packet), Ok((HEADER, 12..12)));
        packet[13] = 3;
        assert_eq!(parse(&packet), Err(RtpError::Padding { count: 3 }));
    }

    #[test]
    fn every_truncation_is_refused() {
        let mut packet = HEADER.to_bytes().to_vec();
        packet[0] |= EXTENSION | 1;
        packet.extend([0, 0, 0, 0, 0xbe, 0xde, 0, 1, 0, 0, 0, 0]);
        for len in 0..packet.len() {
            assert_eq!(parse(&packet[..len]), Err(RtpError::Truncated), "{len}");
        }
        assert!(parse(&packet).is_ok());
    }
}
