//! What is learned from the packets of one peer: loss, jitter, order (RFC 3550 A.1, A.3, A.8).

use std::time::Instant;

use super::{Header, MAX_DROPOUT, MAX_MISORDER, media_time, media_time_us, sequence_distance, timestamp_distance};

/// The packets of one peer over the life of a port. Streams may follow each other; the sums go on.
///
/// RFC 3550 A.1 puts a new source on probation for two packets. Here the peer's address is known already, so a
/// stream counts from its first packet, and one that jumps starts anew at once instead of being muted.
#[derive(Debug)]
pub(crate) struct Reception {
    /// When media time zero was. Any moment will do: only differences of transit times count.
    epoch: Instant,
    stream: Option<Stream>,
    /// Lost in the streams before this one.
    lost_before: u64,
    packets: u64,
    duplicates: u64,
    out_of_order: u64,
    restarts: u64,
    max_jitter_us: Option<u32>,
}

/// How a packet stands to those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// The first of a stream: the very first, another SSRC, or a jump in the sequence.
    Start,
    /// Newer than all before.
    Newest,
    /// Later than a newer one.
    Late,
    /// Its number was there before.
    Duplicate,
}

/// What a report block says about a stream (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReportBase {
    pub(crate) ssrc: u32,
    pub(crate) fraction_lost: u8,
    /// Within the 24 bits of the wire, two's complement.
    pub(crate) cumulative_lost: i32,
    pub(crate) highest_sequence: u32,
    /// In media time.
    pub(crate) jitter: u32,
}

#[derive(Debug)]
struct Stream {
    ssrc: u32,
    /// The first number, extended. Counting starts at one cycle, so that a late packet may come before the first.
    base: u64,
    /// The newest number, extended.
    newest: u64,
    /// Bit n: the number n before the newest has been received.
    window: u128,
    /// Without duplicates.
    distinct: u64,
    /// With duplicates, as RFC 3550 A.3 counts.
    received: u64,
    expected_at_report: u64,
    received_at_report: u64,
    jitter: Option<Jitter>,
}

#[derive(Debug)]
struct Jitter {
    clock_rate: u32,
    transit: u32,
    /// The estimate in 1/16 of media time, once there are two packets.
    scaled: Option<u32>,
}

impl Reception {
    pub(crate) fn new(epoch: Instant) -> Self {
        Self {
            epoch,
            stream: None,
            lost_before: 0,
            packets: 0,
            duplicates: 0,
            out_of_order: 0,
            restarts: 0,
            max_jitter_us: None,
        }
    }

    /// Takes in a valid packet. `audio_clock` is the clock rate of audio; `None` for what does not move with time,
    /// such as the telephone-events of one key, which would falsify the jitter.
    pub(crate) fn receive(&mut self, header: &Header, audio_clock: Option<u32>, now: Instant) -> Arrival {
        self.packets += 1;
        let arrival = match &mut self.stream {
            Some(stream) if stream.ssrc == header.ssrc => stream.place(header.sequence),
            Some(_) | None => None,
        };
        match arrival {
            Some(Arrival::Late) => self.out_of_order += 1,
            Some(Arrival::Duplicate) => self.duplicates += 1,
            Some(Arrival::Newest | Arrival::Start) => {}
            None => {
                if let Some(ended) = self.stream.replace(Stream::starting_with(header)) {
                    self.lost_before += ended.lost();
                    self.restarts += 1;
                }
            }
        }
        if let (Some(clock_rate), Some(stream)) = (audio_clock, &mut self.stream) {
            let arrived = media_time(now.saturating_duration_since(self.epoch), clock_rate);
            stream.measure_jitter(arrived.wrapping_sub(header.timestamp), clock_rate);
            self.max_jitter_us = self.max_jitter_us.max(stream.jitter_us());
        }
        arrival.unwrap_or(Arrival::Start)
    }

    pub(crate) fn packets(&self) -> u64 {
        self.packets
    }

    pub(crate) fn duplicates(&self) -> u64 {
        self.duplicates
    }

    pub(crate) fn out_of_order(&self) -> u64 {
        self.out_of_order
    }

    pub(crate) fn restarts(&self) -> u64 {
        self.restarts
    }

    pub(crate) fn lost(&self) -> Option<u64> {
        self.stream.as_ref().map(|stream| self.lost_before + stream.lost())
    }

    pub(crate) fn jitter_us(&self) -> Option<u32> {
        self.stream.as_ref().and_then(Stream::jitter_us)
    }

    pub(crate) fn max_jitter_us(&self) -> Option<u32> {
        self.max_jitter_us
    }

    /// The content of a report block. The fraction is that since the call before.
    pub(crate) fn report(&mut self) -> Option<ReportBase> {
        self.stream.as_mut().map(Stream::report)
    }
}

impl Stream {
    fn starting_with(header: &Header) -> Self {
        let first = SEQUENCES + u64::from(header.sequence);
        Self {
            ssrc: header.ssrc,
            base: first,
            newest: first,
            window: 1,
            distinct: 1,
            received: 1,
            expected_at_report: 0,
            received_at_report: 0,
            jitter: None,
        }
    }

    /// Finds a number's place. `None` when it is so far off that it must be another stream.
    fn place(&mut self, sequence: u16) -> Option<Arrival> {
        let [.., high, low] = self.newest.to_be_bytes();
        let distance = sequence_distance(u16::from_be_bytes([high, low]), sequence);
        if !(-MAX_MISORDER..MAX_DROPOUT).contains(&distance) {
            return None;
        }
        self.received += 1;
        let steps = u32::from(distance.unsigned_abs());
        if distance > 0 {
            self.newest += u64::from(steps);
            self.window = self.window.checked_shl(steps).unwrap_or(0) | 1;
            self.distinct += 1;
            return Some(Arrival::Newest);
        }
        let seen = 1_u128 << steps; // at most MAX_MISORDER
        if self.window & seen != 0 {
            return Some(Arrival::Duplicate);
        }
        self.window |= seen;
        self.distinct += 1;
        self.base = self.base.min(self.newest - u64::from(steps));
        Some(Arrival::Late)
    }

    fn expected(&self) -> u64 {
        self.newest - self.base + 1
    }

    fn lost(&self) -> u64 {
        self.expected().saturating_sub(self.distinct)
    }

    fn measure_jitter(&mut self, transit: u32, clock_rate: u32) {
        let Some(jitter) = self.jitter.as_mut().filter(|jitter| jitter.clock_rate == clock_rate) else {
            self.jitter = Some(Jitter { clock_rate, transit, scaled: None });
            return;
        };
        let difference = timestamp_distance(jitter.transit, transit).unsigned_abs();
        jitter.transit = transit;
        if difference <= MAX_TRANSIT_STEP_SECONDS.saturating_mul(clock_rate) {
            let scaled = jitter.scaled.unwrap_or(0);
            jitter.scaled = Some(scaled + difference - ((scaled + 8) >> 4));
        }
    }

    fn jitter_us(&self) -> Option<u32> {
        let jitter = self.jitter.as_ref()?;
        Some(media_time_us(jitter.scaled? >> 4, jitter.clock_rate))
    }

    fn report(&mut self) -> ReportBase {
        let expected = self.expected();
        let expected_now = expected - self.expected_at_report.min(expected);
        let received_now = self.received - self.received_at_report;
        self.expected_at_report = expected;
        self.received_at_report = self.received;

        let lost_now = expected_now.saturating_sub(received_now);
        let fraction = (lost_now << 8).checked_div(expected_now).unwrap_or(0);
        let lost = i128::from(expected) - i128::from(self.received);
        let clamped = lost.clamp(-i128::from(MAX_LOST), i128::from(MAX_LOST));
        ReportBase {
            ssrc: self.ssrc,
            fraction_lost: u8::try_from(fraction).unwrap_or(u8::MAX),
            cumulative_lost: i32::try_from(clamped).expect("clamped to 24 bits"),
            highest_sequence: super::wrap(self.newest - SEQUENCES),
            jitter: self.jitter.as_ref().and_then(|jitter| jitter.scaled).unwrap_or(0) >> 4,
        }
    }
}

/// How many sequence numbers there are.
const SEQUENCES: u64 = 1 << 16;
/// The most that the signed 24 bits of a report block hold (RFC 3550 §6.4.1).
const MAX_LOST: i32 = 0x7f_ffff;
/// A larger change of the transit time from one packet to the next is a sender that set its timestamp anew, no jitter.
const MAX_TRANSIT_STEP_SECONDS: u32 = 5;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn header(sequence: u16, timestamp: u32) -> Header {
        Header { marker: false, payload_type: 0, sequence, timestamp, ssrc: 1 }
    }

    /// Feeds sequence numbers, each sent 20 ms after the one before it and received without delay.
    fn received(sequences: &[u16], epoch: Instant) -> Reception {
        let mut reception = Reception::new(epoch);
        for sequence in sequences {
            let steps = u32::from(sequence.wrapping_sub(65_000));
            let now = epoch + steps * Duration::from_millis(20);
            reception.receive(&header(*sequence, steps * 160), Some(8_000), now);
        }
        reception
    }

    fn epoch() -> Instant {
        crate::test_clock::start()
    }

    #[test]
    fn loss_is_counted_across_the_wrap() {
        let reception = received(&[65_533, 65_534, 0, 1, 4], epoch());
        assert_eq!(reception.lost(), Some(3));
        assert_eq!(reception.packets(), 5);
        assert_eq!(reception.jitter_us(), Some(0));
    }

    #[test]
    fn nothing_is_known_before_anything_came() {
        let mut reception = Reception::new(epoch());
        assert_eq!(reception.lost(), None);
        assert_eq!(reception.jitter_us(), None);
        assert_eq!(reception.report(), None);
    }

    #[test]
    fn late_and_repeated_packets_are_told_apart_and_are_not_lost() {
        let mut reception = received(&[100, 103, 101], epoch());
        let now = epoch() + Duration::from_secs(1);
        assert_eq!(reception.receive(&header(101, 0), None, now), Arrival::Duplicate);
        assert_eq!(reception.receive(&header(102, 0), None, now), Arrival::Late);
        assert_eq!(reception.receive(&header(99, 0), None, now), Arrival::Late);
        assert_eq!(reception.receive(&header(104, 0), None, now), Arrival::Newest);
        assert_eq!(reception.lost(), Some(0));
        assert_eq!(reception.out_of_order(), 3);
        assert_eq!(reception.duplicates(), 1);
    }

    #[test]
    fn a_jump_or_another_ssrc_starts_a_new_stream_and_keeps_the_loss_so_far() {
        let mut reception = received(&[10, 12], epoch());
        let now = epoch() + Duration::from_secs(1);
        assert_eq!(reception.receive(&header(30_000, 0), None, now), Arrival::Start);
        assert_eq!(reception.receive(&header(30_002, 0), None, now), Arrival::Newest);
        let other = Header { ssrc: 2, ..header(30_003, 0) };
        assert_eq!(reception.receive(&other, None, now), Arrival::Start);
        assert_eq!(reception.lost(), Some(2));
        assert_eq!(reception.restarts(), 2);
    }

    #[test]
    fn jitter_follows_the_formula_of_the_rfc() {
        let start = epoch();
        let mut reception = Reception::new(start);
        // Every other packet comes 10 ms late, so that the transit time always changes by 80.
        let mut scaled: u32 = 0;
        for step in 0..50_u16 {
            let late = Duration::from_millis(if step % 2 == 0 { 0 } else { 10 });
            let now = start + u32::from(step) * Duration::from_millis(20) + late;
            reception.receive(&header(step, u32::from(step) * 160), Some(8_000), now);
            if step > 0 {
                scaled = scaled + 80 - ((scaled + 8) >> 4);
            }
        }
        assert_eq!(reception.jitter_us(), Some((scaled >> 4) * 125));
        assert_eq!(reception.max_jitter_us(), reception.jitter_us());
    }

    #[test]
    fn a_timestamp_set_anew_is_no_jitter() {
        let mut reception = received(&[1, 2, 3], epoch());
        let now = epoch() + Duration::from_secs(1);
        reception.receive(&header(4, 4_000_000_000), Some(8_000), now);
        assert_eq!(reception.jitter_us(), Some(0));
    }

    #[test]
    fn reports_say_the_fraction_since_the_last_one() {
        let mut reception = received(&[0, 1, 2, 4], epoch());
        let report = reception.report().unwrap();
        assert_eq!((report.fraction_lost, report.cumulative_lost), (51, 1));
        assert_eq!(report.highest_sequence, 4);
        let now = epoch() + Duration::from_secs(1);
        reception.receive(&header(5, 0), None, now);
        reception.receive(&header(5, 0), None, now);
        reception.receive(&header(5, 0), None, now);
        let report = reception.report().unwrap();
        // Duplicates count as received there (RFC 3550 §6.4.1), so that the sum goes below zero.
        assert_eq!((report.fraction_lost, report.cumulative_lost), (0, -1));
    }
}
