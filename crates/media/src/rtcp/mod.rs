//! RTCP: reading and writing the packets that report on a stream (RFC 3550 §6).

mod parse;
mod write;

pub use parse::{Packet, Packets, ReportBlock, ReportBlocks, RtcpError, SenderInfo, parse};
pub(crate) use write::{Report, write_report};

/// Sender report.
const SR: u8 = 200;
/// Receiver report.
const RR: u8 = 201;
/// Source description.
const SDES: u8 = 202;
/// End of a source.
const BYE: u8 = 203;
/// Defined by an application.
const APP: u8 = 204;
/// Transport feedback (RFC 4585).
const RTPFB: u8 = 205;
/// Payload-specific feedback (RFC 4585).
const PSFB: u8 = 206;
/// Extended report (RFC 3611).
const XR: u8 = 207;

const VERSION: u8 = 2;
/// The first word of every packet.
const HEADER_LEN: usize = 4;

/// Whether a datagram on a port that carries both is RTCP (RFC 5761 §4).
pub(crate) fn is_rtcp(datagram: &[u8]) -> bool {
    datagram.get(1).is_some_and(|kind| (192..=223).contains(kind))
}
