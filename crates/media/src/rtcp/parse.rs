//! Reading a compound datagram. All of it is checked first, so that a part is never believed while the rest is wrong.

use super::{APP, BYE, HEADER_LEN, PSFB, RR, RTPFB, SDES, SR, VERSION, XR};

/// One packet of a compound datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// The sender's clock and counters, and what it hears.
    SenderReport(SenderInfo, ReportBlocks<'a>),
    /// What a receiver hears. The first field is its own SSRC.
    ReceiverReport(u32, ReportBlocks<'a>),
    /// Names of sources; checked, not read.
    SourceDescription,
    /// Sources that end.
    Goodbye,
    /// Something else that is well-formed, by its packet type.
    Other(u8),
}

/// The sender's part of a sender report (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderInfo {
    /// The sender.
    pub ssrc: u32,
    /// Its clock: seconds since 1900 and a 32-bit fraction.
    pub ntp: u64,
    /// The same moment in the time of its stream.
    pub rtp_timestamp: u32,
    /// Packets sent so far; wraps.
    pub packet_count: u32,
    /// Octets of payload sent so far; wraps.
    pub octet_count: u32,
}

/// What a peer says about one stream that it receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportBlock {
    /// The stream.
    pub ssrc: u32,
    /// Loss since the report before, in 1/256.
    pub fraction_lost: u8,
    /// Loss since the start; 24 bits, negative with duplicates.
    pub cumulative_lost: i32,
    /// Sequence number with its cycles in the upper half.
    pub highest_sequence: u32,
    /// In the clock of the stream.
    pub jitter: u32,
    /// The middle 32 bits of the `ntp` of the last sender report; 0 without one.
    pub last_sender_report: u32,
    /// From its arrival to this report, in 1/65536 s.
    pub delay_since_last: u32,
}

/// Why a datagram is not RTCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RtcpError {
    /// Nothing there.
    #[error("the datagram is empty")]
    Empty,
    /// A packet is longer than the datagram.
    #[error("a packet reaches past the end of the datagram")]
    Truncated,
    /// Another version than 2.
    #[error("a packet is of version {version}")]
    Version {
        /// 0, 1 or 3.
        version: u8,
    },
    /// A packet is too short for what it claims to hold.
    #[error("a packet of type {packet_type} is too short for its content")]
    Content {
        /// Its packet type.
        packet_type: u8,
    },
    /// Padding that does not fit, or not in the last packet.
    #[error("the padding does not fit")]
    Padding,
    /// Not the number of an RTCP packet (RFC 5761 §4).
    #[error("{packet_type} is not the type of an RTCP packet")]
    PacketType {
        /// What was found in its place.
        packet_type: u8,
    },
}

/// Checks a whole datagram and lists its packets.
///
/// # Errors
///
/// When any packet in it is not well-formed. A datagram may hold a single packet of any type (RFC 5506).
pub fn parse(datagram: &[u8]) -> Result<Packets<'_>, RtcpError> {
    if datagram.is_empty() {
        return Err(RtcpError::Empty);
    }
    let mut rest = datagram;
    while !rest.is_empty() {
        (_, rest) = split_packet(rest)?; // at least the header goes, so that this ends
    }
    Ok(Packets { rest: datagram })
}

/// The packets of a checked datagram, in order.
#[derive(Clone, Debug)]
pub struct Packets<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Packets<'a> {
    type Item = Packet<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let (packet, rest) = split_packet(self.rest).ok()?;
        self.rest = rest;
        Some(packet)
    }
}

/// The report blocks of one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportBlocks<'a> {
    blocks: &'a [[u8; BLOCK_LEN]],
}

impl ReportBlocks<'_> {
    /// Reads them in order.
    pub fn iter(&self) -> impl Iterator<Item = ReportBlock> + '_ {
        self.blocks.iter().map(read_block)
    }
}

const BLOCK_LEN: usize = 24;
const SENDER_INFO_LEN: usize = 24;

fn split_packet(datagram: &[u8]) -> Result<(Packet<'_>, &[u8]), RtcpError> {
    let ([first, packet_type, len0, len1], _) =
        datagram.split_first_chunk::<HEADER_LEN>().ok_or(RtcpError::Truncated)?;
    let (first, packet_type) = (*first, *packet_type);
    if first >> 6 != VERSION {
        return Err(RtcpError::Version { version: first >> 6 });
    }
    let len = (usize::from(u16::from_be_bytes([*len0, *len1])) + 1) * 4;
    let (packet, rest) = datagram.split_at_checked(len).ok_or(RtcpError::Truncated)?;
    let mut body = packet.get(HEADER_LEN..).unwrap_or_default();
    if first & 0x20 != 0 {
        // Only the last packet is padded, by whole words (RFC 3550 §6.4.1).
        let count = usize::from(body.last().copied().unwrap_or(0));
        let kept = body.len().checked_sub(count).ok_or(RtcpError::Padding)?;
        if count == 0 || !count.is_multiple_of(4) || !rest.is_empty() {
            return Err(RtcpError::Padding);
        }
        body = body.get(..kept).unwrap_or_default();
    }
    let content = read_content(packet_type, usize::from(first & 0x1f), body);
    content.map(|packet| (packet, rest))
}

fn read_content(packet_type: u8, count: usize, body: &[u8]) -> Result<Packet<'_>, RtcpError> {
    let packet = match packet_type {
        SR => body.split_first_chunk::<SENDER_INFO_LEN>().and_then(|(info, blocks)| {
            Some(Packet::SenderReport(read_sender_info(info), report_blocks(blocks, count)?))
        }),
        RR => body.split_first_chunk().and_then(|(ssrc, blocks)| {
            Some(Packet::ReceiverReport(u32::from_be_bytes(*ssrc), report_blocks(blocks, count)?))
        }),
        SDES => chunks_are_whole(body, count).then_some(Packet::SourceDescription),
        BYE => goodbye_is_whole(body, count).then_some(Packet::Goodbye),
        APP | RTPFB | PSFB => (body.len() >= 8).then_some(Packet::Other(packet_type)),
        XR => extended_blocks_are_whole(body).then_some(Packet::Other(packet_type)),
        192..=199 | 208..=223 => Some(Packet::Other(packet_type)),
        0..=191 | 224..=255 => return Err(RtcpError::PacketType { packet_type }),
    };
    packet.ok_or(RtcpError::Content { packet_type })
}

/// What follows the blocks is an extension of a profile and is passed over (RFC 3550 §6.4.3).
fn report_blocks(body: &[u8], count: usize) -> Option<ReportBlocks<'_>> {
    let (blocks, _) = body.as_chunks::<BLOCK_LEN>();
    blocks.get(..count).map(|blocks| ReportBlocks { blocks })
}

fn read_sender_info(info: &[u8; SENDER_INFO_LEN]) -> SenderInfo {
    let [ssrc, ntp_seconds, ntp_fraction, rtp_timestamp, packet_count, octet_count] = words(info);
    SenderInfo {
        ssrc,
        ntp: u64::from(ntp_seconds) << 32 | u64::from(ntp_fraction),
        rtp_timestamp,
        packet_count,
        octet_count,
    }
}

fn read_block(block: &[u8; BLOCK_LEN]) -> ReportBlock {
    let [ssrc, loss, highest_sequence, jitter, last_sender_report, delay_since_last] = words(block);
    let [fraction_lost, ..] = loss.to_be_bytes();
    ReportBlock {
        ssrc,
        fraction_lost,
        // Shifted up and down again, so that the sign of the 24 bits is kept.
        cumulative_lost: (loss << 8).cast_signed() >> 8,
        highest_sequence,
        jitter,
        last_sender_report,
        delay_since_last,
    }
}

fn words(bytes: &[u8; 24]) -> [u32; 6] {
    let mut words = [0; 6];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks().0) {
        *word = u32::from_be_bytes(*bytes);
    }
    words
}

/// Each chunk: an SSRC, items of type, length and text, a zero, and zeros up to the next word (RFC 3550 §6.5).
fn chunks_are_whole(body: &[u8], count: usize) -> bool {
    let mut at = 0;
    for _ in 0..count {
        at += 4;
        loop {
            match body.get(at) {
                None => return false,
                Some(0) => break,
                Some(_) => {}
            }
            let Some(len) = body.get(at + 1) else { return false };
            at += 2 + usize::from(*len);
        }
        at = (at / 4 + 1) * 4;
    }
    at <= body.len()
}

/// The SSRCs, and perhaps a reason with its length (RFC 3550 §6.6).
fn goodbye_is_whole(body: &[u8], count: usize) -> bool {
    let Some(reason) = body.get(count * 4..) else { return false };
    reason.split_first().is_none_or(|(len, text)| text.len() >= usize::from(*len))
}

/// An SSRC and blocks, each with its length in words (RFC 3611 §2 and §3).
fn extended_blocks_are_whole(body: &[u8]) -> bool {
    let Some(mut blocks) = body.get(4..) else { return false };
    while !blocks.is_empty() {
        let Some(([_, _, len0, len1], after)) = blocks.split_first_chunk() else { return false };
        let len = usize::from(u16::from_be_bytes([*len0, *len1])) * 4;
        let Some(rest) = after.get(len..) else { return false };
        blocks = rest;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_sign_of_the_loss() {
        let mut block = [0; BLOCK_LEN];
        block[4..8].copy_from_slice(&[0x80, 0xff, 0xff, 0xfe]);
        let block = read_block(&block);
        assert_eq!((block.fraction_lost, block.cumulative_lost), (0x80, -2));
    }

    #[test]
    fn one_bad_packet_spoils_the_datagram() {
        let good = [0x80, RR, 0, 1, 0, 0, 0, 9];
        assert_eq!(parse(&good).unwrap().count(), 1);
        let bad = [good.as_slice(), &[0x81, RR, 0, 1, 0, 0, 0, 9]].concat();
        assert_eq!(parse(&bad).unwrap_err(), RtcpError::Content { packet_type: RR });
    }

    #[test]
    fn padding_is_only_for_the_last_packet() {
        let padded = [0xa0, RR, 0, 2, 0, 0, 0, 9, 0, 0, 0, 4];
        assert_eq!(parse(&padded).unwrap().count(), 1);
        let twice = [padded, padded].concat();
        assert_eq!(parse(&twice).unwrap_err(), RtcpError::Padding);
    }

    #[test]
    fn names_must_end_within_their_packet() {
        let whole = [0x81, SDES, 0, 2, 0, 0, 0, 9, 1, 1, b'x', 0];
        assert_eq!(parse(&whole).unwrap().next(), Some(Packet::SourceDescription));
        let mut over = whole;
        over[9] = 2;
        assert_eq!(parse(&over).unwrap_err(), RtcpError::Content { packet_type: SDES });
    }

    #[test]
    fn a_reason_for_goodbye_must_fit() {
        let whole = [0x81, BYE, 0, 2, 0, 0, 0, 9, 3, b'e', b'n', b'd'];
        assert_eq!(parse(&whole).unwrap().next(), Some(Packet::Goodbye));
        let mut over = whole;
        over[8] = 4;
        assert_eq!(parse(&over).unwrap_err(), RtcpError::Content { packet_type: BYE });
    }
}
