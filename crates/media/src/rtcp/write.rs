//! Writing a report with the name of its source.

use super::{BYE, RR, SDES, SR, SenderInfo, VERSION};
use crate::rtcp::ReportBlock;

/// What one compound datagram says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Report<'a> {
    /// Our SSRC.
    pub(crate) ssrc: u32,
    /// Our clock and counters, if we sent since the last report. Its `ssrc` is the one above.
    pub(crate) sender: Option<SenderInfo>,
    /// What we hear.
    pub(crate) block: Option<ReportBlock>,
    /// At most 255 octets.
    pub(crate) cname: &'a [u8],
    /// We leave.
    pub(crate) goodbye: bool,
}

/// Appends a sender or receiver report and a source description: the least that a datagram must hold (RFC 3550 §6.1).
pub(crate) fn write_report(report: &Report<'_>, out: &mut Vec<u8>) {
    let blocks = u8::from(report.block.is_some());
    let words = 1 + u16::from(blocks) * 6;
    match report.sender {
        Some(sender) => {
            write_header(blocks, SR, words + 5, out);
            write_words([report.ssrc], out);
            out.extend_from_slice(&sender.ntp.to_be_bytes());
            write_words([sender.rtp_timestamp, sender.packet_count, sender.octet_count], out);
        }
        None => {
            write_header(blocks, RR, words, out);
            write_words([report.ssrc], out);
        }
    }
    if let Some(block) = report.block {
        let lost = block.cumulative_lost.cast_unsigned() & 0x00ff_ffff;
        write_words(
            [
                block.ssrc,
                u32::from(block.fraction_lost) << 24 | lost,
                block.highest_sequence,
                block.jitter,
                block.last_sender_report,
                block.delay_since_last,
            ],
            out,
        );
    }

    let cname_len = u8::try_from(report.cname.len()).unwrap_or(u8::MAX);
    let items = u16::from(cname_len) + 2;
    // The SSRC, the item, and at least one zero up to a whole word.
    write_header(1, SDES, 1 + items / 4 + 1, out);
    write_words([report.ssrc], out);
    out.extend([CNAME, cname_len]);
    out.extend(report.cname.iter().take(usize::from(cname_len)));
    out.extend((0..4 - items % 4).map(|_| 0));

    if report.goodbye {
        write_header(1, BYE, 1, out);
        write_words([report.ssrc], out);
    }
}

/// The SDES item that every source sends (RFC 3550 §6.5.1).
const CNAME: u8 = 1;

fn write_header(count: u8, packet_type: u8, words_after: u16, out: &mut Vec<u8>) {
    out.extend([VERSION << 6 | count, packet_type]);
    out.extend(words_after.to_be_bytes());
}

fn write_words<const N: usize>(words: [u32; N], out: &mut Vec<u8>) {
    for word in words {
        out.extend(word.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtcp::{Packet, parse};

    const BLOCK: ReportBlock = ReportBlock {
        ssrc: 2,
        fraction_lost: 3,
        cumulative_lost: -4,
        highest_sequence: 5,
        jitter: 6,
        last_sender_report: 7,
        delay_since_last: 8,
    };

    #[test]
    fn what_is_written_is_read_back_with_a_name_of_any_length() {
        let sender = SenderInfo { ssrc: 1, ntp: 1 << 40, rtp_timestamp: 9, packet_count: 10, octet_count: 11 };
        for len in 0..=255 {
            let name = vec![b'n'; len];
            let mut out = Vec::new();
            let report = Report { ssrc: 1, sender: Some(sender), block: Some(BLOCK), cname: &name, goodbye: len == 9 };
            write_report(&report, &mut out);
            let mut packets = parse(&out).unwrap();
            let Some(Packet::SenderReport(read, blocks)) = packets.next() else { panic!("no sender report") };
            assert_eq!(read, sender);
            assert_eq!(blocks.iter().collect::<Vec<_>>(), [BLOCK]);
            assert_eq!(packets.next(), Some(Packet::SourceDescription));
            assert_eq!(packets.next(), (len == 9).then_some(Packet::Goodbye));
            assert_eq!(packets.next(), None);
        }
    }

    #[test]
    fn who_has_not_sent_reports_as_a_receiver() {
        let mut out = Vec::new();
        let report = Report { ssrc: 1, sender: None, block: None, cname: b"x", goodbye: false };
        write_report(&report, &mut out);
        let mut packets = parse(&out).unwrap();
        let Some(Packet::ReceiverReport(1, blocks)) = packets.next() else { panic!("no receiver report") };
        assert_eq!(blocks.iter().count(), 0);
    }
}
