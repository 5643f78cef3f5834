//! RTCP of one port: it ends here, and reports of our own go out (RFC 3550 §6).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::seed::Seeded;
use super::stats::PeerReport;
use crate::rtcp::{Packet, Packets, Report, ReportBlock, SenderInfo};
use crate::rtp::{ReportBase, media_time_us, wrap};

/// The wall clock, as sender reports carry it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WallClock {
    started: Instant,
    /// Since 1970, at that moment.
    unix_time: Duration,
}

impl WallClock {
    pub(crate) fn new(started: Instant, unix_time: Duration) -> Self {
        Self { started, unix_time }
    }

    /// Seconds since 1900 and a fraction of 32 bits (RFC 3550 §4).
    fn ntp(&self, now: Instant) -> u64 {
        let since_1970 = self.unix_time + now.saturating_duration_since(self.started);
        let seconds = u64::from(wrap(since_1970.as_secs().wrapping_add(SECONDS_1900_TO_1970)));
        let fraction = (u64::from(since_1970.subsec_nanos()) << 32) / 1_000_000_000;
        seconds << 32 | fraction
    }
}

#[derive(Debug)]
pub(crate) struct Reporting {
    random: Seeded,
    cname: [u8; CNAME_LEN],
    due: Option<Instant>,
    /// Where the peer's RTCP comes from.
    source: Option<SocketAddr>,
    /// The last sender report of the peer: its SSRC, the middle of its clock, and when it came.
    peer_sender: Option<(u32, u32, Instant)>,
    /// The middle of our clock in our last two sender reports: the peer's answer to one may cross the next.
    own_senders: [Option<u32>; 2],
    packets_at_report: u64,
    peer_report: Option<PeerReport>,
    round_trip_us: Option<u32>,
    received: u64,
    sent: u64,
}

/// Our side of a report.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    pub(crate) ssrc: u32,
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    /// The time of our stream now.
    pub(crate) rtp_timestamp: u32,
}

impl Reporting {
    pub(crate) fn new(mut random: Seeded) -> Self {
        // 96 random bits for each session, so that a name does not follow a caller (RFC 7022 §4.2).
        let mut cname = [0; CNAME_LEN];
        for character in &mut cname {
            let index = usize::try_from(random.below(16)).unwrap_or(0);
            *character = b"0123456789abcdef".get(index).copied().unwrap_or(b'0');
        }
        Self {
            random,
            cname,
            due: None,
            source: None,
            peer_sender: None,
            own_senders: [None; 2],
            packets_at_report: 0,
            peer_report: None,
            round_trip_us: None,
            received: 0,
            sent: 0,
        }
    }

    /// Starts the clock of reports. The first comes after half the time (RFC 3550 §6.2).
    pub(crate) fn start(&mut self, now: Instant) {
        if self.due.is_none() {
            self.due = Some(now + self.interval() / 2);
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.due
    }

    /// Whether a report is due; the next one is planned.
    pub(crate) fn is_due(&mut self, now: Instant) -> bool {
        let is_due = self.due.is_some_and(|due| due <= now);
        if is_due {
            self.due = Some(now + self.interval());
        }
        is_due
    }

    /// The first address that the peer's RTCP came from.
    pub(crate) fn source(&self) -> Option<SocketAddr> {
        self.source
    }

    /// The peer is elsewhere now.
    pub(crate) fn forget_source(&mut self) {
        self.source = None;
    }

    /// Takes in a datagram of the peer. A goodbye says nothing about the call, and feedback is for video.
    pub(crate) fn receive(
        &mut self,
        from: SocketAddr,
        packets: Packets<'_>,
        own_ssrc: u32,
        clock_rate: u32,
        clock: &WallClock,
        now: Instant,
    ) {
        self.received += 1;
        self.source.get_or_insert(from);
        for packet in packets {
            let blocks = match packet {
                Packet::SenderReport(sender, blocks) => {
                    self.peer_sender = Some((sender.ssrc, middle(sender.ntp), now));
                    blocks
                }
                Packet::ReceiverReport(_, blocks) => blocks,
                Packet::SourceDescription | Packet::Goodbye | Packet::Other(_) => continue,
            };
            for block in blocks.iter().filter(|block| block.ssrc == own_ssrc) {
                self.take_block(&block, clock_rate, middle(clock.ntp(now)));
            }
        }
    }

    /// Makes the report that is due, or with `goodbye` the last one.
    pub(crate) fn report(
        &mut self,
        sent: Sent,
        heard: Option<ReportBase>,
        goodbye: bool,
        clock: &WallClock,
        now: Instant,
    ) -> Report<'_> {
        let has_sent = sent.packets > self.packets_at_report;
        self.packets_at_report = sent.packets;
        let sender = has_sent.then(|| {
            let ntp = clock.ntp(now);
            self.own_senders = [Some(middle(ntp)), self.own_senders[0]];
            SenderInfo {
                ssrc: sent.ssrc,
                ntp,
                rtp_timestamp: sent.rtp_timestamp,
                packet_count: wrap(sent.packets),
                octet_count: wrap(sent.bytes),
            }
        });
        let block = heard.map(|heard| {
            let last = self.peer_sender.filter(|(ssrc, ..)| *ssrc == heard.ssrc);
            ReportBlock {
                ssrc: heard.ssrc,
                fraction_lost: heard.fraction_lost,
                cumulative_lost: heard.cumulative_lost,
                highest_sequence: heard.highest_sequence,
                jitter: heard.jitter,
                last_sender_report: last.map_or(0, |(_, middle, _)| middle),
                delay_since_last: last
                    .map_or(0, |(.., at)| crate::rtp::media_time(now.saturating_duration_since(at), NTP_UNITS)),
            }
        });
        Report { ssrc: sent.ssrc, sender, block, cname: &self.cname, goodbye }
    }

    pub(crate) fn count_sent(&mut self) {
        self.sent += 1;
    }

    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    pub(crate) fn peer_report(&self) -> Option<PeerReport> {
        self.peer_report
    }

    pub(crate) fn round_trip_us(&self) -> Option<u32> {
        self.round_trip_us
    }

    fn take_block(&mut self, block: &ReportBlock, clock_rate: u32, now: u32) {
        let jitter_us = media_time_us(block.jitter, clock_rate);
        self.peer_report = Some(PeerReport {
            lost: block.cumulative_lost,
            fraction_lost: block.fraction_lost,
            jitter_us: Some(jitter_us).filter(|jitter| *jitter < MAX_JITTER_US),
        });
        // Only an answer to what we did send is a measurement.
        if !self.own_senders.contains(&Some(block.last_sender_report)) {
            return;
        }
        let turnaround = now.wrapping_sub(block.last_sender_report);
        let round_trip = turnaround.wrapping_sub(block.delay_since_last).cast_signed();
        // The peer's delay is rounded, so that on a short way the difference may fall just below zero.
        if (-NTP_ROUNDING..MAX_ROUND_TRIP).contains(&round_trip) {
            let units = round_trip.max(0).unsigned_abs();
            self.round_trip_us = Some(media_time_us(units, NTP_UNITS));
        }
    }

    /// 5 s, from half to one and a half of it by chance, so that reports do not fall into step (RFC 3550 §6.3.1).
    fn interval(&mut self) -> Duration {
        Duration::from_millis(INTERVAL_MS / 2 + self.random.below(INTERVAL_MS))
    }
}

/// The middle 32 bits of a clock: whole seconds above, 1/65536 s below (RFC 3550 §4).
fn middle(ntp: u64) -> u32 {
    wrap(ntp >> 16)
}

const CNAME_LEN: usize = 24;
/// 70 years with 17 leap days.
const SECONDS_1900_TO_1970: u64 = 2_208_988_800;
/// The least mean time between reports (RFC 3550 §6.2).
const INTERVAL_MS: u64 = 5_000;
/// The units of short clocks in RTCP, a second.
const NTP_UNITS: u32 = 65_536;
/// A millisecond.
const NTP_ROUNDING: i32 = 66;
/// 10 s. No call is held over a longer way.
const MAX_ROUND_TRIP: i32 = 655_360;
/// A minute. No receiver measures that in a call.
const MAX_JITTER_US: u32 = 60_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtcp::{parse, write_report};

    struct Side {
        reporting: Reporting,
        ssrc: u32,
    }

    impl Side {
        fn new(ssrc: u32) -> Self {
            Self { reporting: Reporting::new(Seeded::new(u64::from(ssrc))), ssrc }
        }

        fn report(&mut self, heard: u32, packets: u64, clock: &WallClock, now: Instant) -> Vec<u8> {
            let sent = Sent { ssrc: self.ssrc, packets, bytes: 160 * packets, rtp_timestamp: 0 };
            let base =
                ReportBase { ssrc: heard, fraction_lost: 5, cumulative_lost: 6, highest_sequence: 7, jitter: 80 };
            let mut out = Vec::new();
            write_report(&self.reporting.report(sent, Some(base), false, clock, now), &mut out);
            out
        }

        fn receive(&mut self, datagram: &[u8], clock: &WallClock, now: Instant) {
            let from = "192.0.2.1:9".parse().unwrap();
            let packets = parse(datagram).unwrap();
            self.reporting.receive(from, packets, self.ssrc, 8_000, clock, now);
        }
    }

    #[test]
    fn the_round_trip_is_measured_without_a_common_clock() {
        let start = crate::test_clock::start();
        let ms = |ms| start + Duration::from_millis(ms);
        let ours = WallClock::new(start, Duration::from_secs(1_700_000_000));
        let theirs = WallClock::new(start, Duration::from_secs(3));
        let (mut we, mut they) = (Side::new(1), Side::new(2));
        they.receive(&we.report(2, 10, &ours, ms(0)), &theirs, ms(40));
        we.receive(&they.report(1, 10, &theirs, ms(1_040)), &ours, ms(1_090));
        let measured = we.reporting.round_trip_us().unwrap();
        assert!(measured.abs_diff(90_000) < 50, "{measured}");
        let report = we.reporting.peer_report().unwrap();
        assert_eq!(report, PeerReport { lost: 6, fraction_lost: 5, jitter_us: Some(10_000) });
        assert_eq!(they.reporting.round_trip_us(), None);
    }

    #[test]
    fn an_answer_to_what_was_never_sent_measures_nothing() {
        let now = crate::test_clock::start();
        let clock = WallClock::new(now, Duration::from_secs(1_700_000_000));
        let mut side = Side::new(2);
        let mut datagram = vec![0x81, 201, 0, 7, 0, 0, 0, 1, 0, 0, 0, 2];
        datagram.extend([0xff; 20]);
        side.receive(&datagram, &clock, now);
        assert_eq!(side.reporting.round_trip_us(), None);
        let report = side.reporting.peer_report().unwrap();
        assert_eq!(report, PeerReport { lost: -1, fraction_lost: 255, jitter_us: None });
    }

    #[test]
    fn the_clock_counts_from_1900() {
        let start = crate::test_clock::start();
        let clock = WallClock::new(start, Duration::from_secs(1));
        let ntp = clock.ntp(start + Duration::from_millis(500));
        assert_eq!(ntp, 2_208_988_801 << 32 | 1 << 31);
    }

    #[test]
    fn reports_come_every_five_seconds_or_so() {
        let mut now = crate::test_clock::start();
        let start = now;
        let mut side = Side::new(3);
        side.reporting.start(now);
        for _ in 0..100 {
            let due = side.reporting.deadline().unwrap();
            assert!((1_250..7_500).contains(&(due - now).as_millis()));
            now = due;
            assert!(side.reporting.is_due(now));
        }
        assert!((450..550).contains(&(now - start).as_secs()));
    }
}
