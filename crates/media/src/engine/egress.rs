//! What leaves by one port: one SSRC, one sequence and one time for the whole call, whoever speaks.

use std::time::Instant;

use super::command::PortId;
use crate::rtp::{Header, MAX_DROPOUT, MAX_MISORDER, media_time, sequence_distance, timestamp_distance};

/// Maps the packets of changing speakers into one continuous stream.
///
/// A speaker's numbers are mapped by an offset, so that its loss and reordering show at the far end as they are. When
/// the speaker changes, or sets its own numbers anew, a new offset lets the sequence go on with the next number and the
/// time with what the wall clock says has passed (RFC 3550 §7.1, as a mixer would).
#[derive(Debug)]
pub(crate) struct Egress {
    ssrc: u32,
    /// The newest number that was sent.
    sequence: u16,
    has_sent: bool,
    anchor: Anchor,
    feed: Option<Feed>,
}

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The port itself. The number counts the times it began to.
    Own { turn: u32 },
    /// A peer, through the port that hears it.
    Relayed { from: PortId, ssrc: u32 },
}

/// A moment at which both the wall clock and the time of the stream are known.
#[derive(Debug)]
struct Anchor {
    timestamp: u32,
    at: Instant,
    /// How much audio was sent then: the next sound cannot begin earlier.
    span: u32,
}

#[derive(Debug)]
struct Feed {
    origin: Origin,
    /// The speaker's newest numbers.
    newest: u16,
    newest_timestamp: u32,
    /// What to add to get ours.
    sequence_offset: u16,
    timestamp_offset: u32,
    /// Our first number for this speaker, if another one spoke before: those below are taken.
    floor: Option<u16>,
}

/// The place of a packet in our stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    /// The first packet of this speaker.
    pub(crate) is_first: bool,
}

impl Egress {
    /// `sequence` and `timestamp` are random (RFC 3550 §5.1).
    pub(crate) fn new(ssrc: u32, sequence: u16, timestamp: u32, now: Instant) -> Self {
        let anchor = Anchor { timestamp, at: now, span: 0 };
        Self { ssrc, sequence, has_sent: false, anchor, feed: None }
    }

    pub(crate) fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// The time of the stream at `now`.
    pub(crate) fn media_now(&self, clock_rate: u32, now: Instant) -> u32 {
        let elapsed = media_time(now.saturating_duration_since(self.anchor.at), clock_rate);
        self.anchor.timestamp.wrapping_add(elapsed)
    }

    /// Finds the place of a speaker's packet. `audio_span` is how much audio is in it; `None` for what carries the time
    /// of its beginning, as telephone-events do. No place is left for what is late behind a change of speakers.
    pub(crate) fn place(
        &mut self,
        origin: Origin,
        header: &Header,
        audio_span: Option<u32>,
        clock_rate: u32,
        now: Instant,
    ) -> Option<Place> {
        let is_first = !self.goes_on(origin, header, audio_span, clock_rate, now);
        if is_first {
            self.change_speaker(origin, header, clock_rate, now);
        }
        let feed = self.feed.as_mut()?;
        let sequence = header.sequence.wrapping_add(feed.sequence_offset);
        let timestamp = header.timestamp.wrapping_add(feed.timestamp_offset);
        if feed.floor.is_some_and(|floor| sequence_distance(floor, sequence) < 0) {
            return None;
        }
        if is_first || sequence_distance(feed.newest, header.sequence) > 0 {
            feed.newest = header.sequence;
            self.sequence = sequence;
            if let Some(span) = audio_span {
                feed.newest_timestamp = header.timestamp;
                self.anchor = Anchor { timestamp, at: now, span };
            }
        }
        self.has_sent = true;
        Some(Place { sequence, timestamp, is_first })
    }

    /// Closes the gap that a speaker's packet leaves which is not to be sent: it must not look lost.
    pub(crate) fn pass_over(&mut self, origin: Origin, sequence: u16) {
        let Some(feed) = self.feed.as_mut().filter(|feed| feed.origin == origin) else { return };
        if (1..MAX_DROPOUT).contains(&sequence_distance(feed.newest, sequence)) {
            feed.newest = sequence;
            feed.sequence_offset = feed.sequence_offset.wrapping_sub(1);
        }
    }

    /// Lets the next packet be the first of its speaker: its numbers went on while it could not be sent.
    pub(crate) fn interrupt(&mut self) {
        self.feed = None;
    }

    fn goes_on(&self, origin: Origin, header: &Header, audio_span: Option<u32>, clock_rate: u32, now: Instant) -> bool {
        let Some(feed) = self.feed.as_ref().filter(|feed| feed.origin == origin) else {
            return false;
        };
        let steps = sequence_distance(feed.newest, header.sequence);
        if !(-MAX_MISORDER..MAX_DROPOUT).contains(&steps) {
            return false;
        }
        if steps <= 0 || audio_span.is_none() {
            return true;
        }
        // Its time must go as the wall clock does, through silence too. Else the sender has set it anew.
        let passed = timestamp_distance(feed.newest_timestamp, header.timestamp);
        let elapsed = media_time(now.saturating_duration_since(self.anchor.at), clock_rate);
        let slack = MAX_CLOCK_SLACK_SECONDS.saturating_mul(clock_rate);
        passed.wrapping_sub(elapsed.cast_signed()).unsigned_abs() <= slack
    }

    fn change_speaker(&mut self, origin: Origin, header: &Header, clock_rate: u32, now: Instant) {
        let elapsed = media_time(now.saturating_duration_since(self.anchor.at), clock_rate);
        let timestamp = self.anchor.timestamp.wrapping_add(elapsed.max(self.anchor.span));
        let sequence = self.sequence.wrapping_add(1);
        self.anchor = Anchor { timestamp, at: now, span: 0 };
        self.feed = Some(Feed {
            origin,
            newest: header.sequence,
            newest_timestamp: header.timestamp,
            sequence_offset: sequence.wrapping_sub(header.sequence),
            timestamp_offset: timestamp.wrapping_sub(header.timestamp),
            floor: self.has_sent.then_some(sequence),
        });
    }
}

/// How far a speaker's time may be from the wall clock since its last packet. More than a network stalls, less than a
/// random new timestamp is off in all but one of 50,000 cases.
const MAX_CLOCK_SLACK_SECONDS: u32 = 5;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const RATE: u32 = 8_000;
    const ONE: Origin = Origin::Relayed { from: PortId(1), ssrc: 11 };
    const TWO: Origin = Origin::Relayed { from: PortId(2), ssrc: 22 };

    struct Stream {
        egress: Egress,
        start: Instant,
    }

    impl Stream {
        fn new() -> Self {
            let start = crate::test_clock::start();
            Self { egress: Egress::new(7, 65_535, 1_000, start), start }
        }

        /// A packet of 20 ms at `ms`; what is sent, if anything, as sequence, timestamp and marker.
        fn audio(&mut self, origin: Origin, sequence: u16, time: u32, ms: u64) -> Option<(u16, u32, bool)> {
            self.send(origin, sequence, time, Some(160), ms)
        }

        fn send(
            &mut self,
            origin: Origin,
            sequence: u16,
            timestamp: u32,
            span: Option<u32>,
            ms: u64,
        ) -> Option<(u16, u32, bool)> {
            let header = Header { marker: false, payload_type: 0, sequence, timestamp, ssrc: 0 };
            let now = self.start + Duration::from_millis(ms);
            let place = self.egress.place(origin, &header, span, RATE, now)?;
            Some((place.sequence, place.timestamp, place.is_first))
        }
    }

    #[test]
    fn loss_and_reordering_show_through() {
        let mut stream = Stream::new();
        assert_eq!(stream.audio(ONE, 500, 90_000, 0), Some((0, 1_000, true)));
        assert_eq!(stream.audio(ONE, 503, 90_480, 60), Some((3, 1_480, false)));
        assert_eq!(stream.audio(ONE, 502, 90_320, 61), Some((2, 1_320, false)));
        assert_eq!(stream.audio(ONE, 499, 89_840, 62), Some((65_535, 840, false)));
        assert_eq!(stream.audio(ONE, 504, 90_640, 80), Some((4, 1_640, false)));
    }

    #[test]
    fn another_speaker_goes_on_with_the_next_number_and_the_time_that_has_passed() {
        let mut stream = Stream::new();
        stream.audio(ONE, 500, 90_000, 0);
        stream.audio(ONE, 501, 90_160, 20);
        // One second of nothing, then another speaker: 8,000 units after the last packet.
        assert_eq!(stream.audio(TWO, 7, 5, 1_020), Some((2, 1_160 + 8_000, true)));
        assert_eq!(stream.audio(TWO, 8, 165, 1_040), Some((3, 1_160 + 8_160, false)));
        // And at once: not before the audio sent so far is over.
        assert_eq!(stream.audio(ONE, 552, 98_400, 1_041), Some((4, 1_160 + 8_320, true)));
    }

    #[test]
    fn what_is_late_behind_a_change_does_not_take_a_number_twice() {
        let mut stream = Stream::new();
        stream.audio(ONE, 500, 90_000, 0);
        stream.audio(TWO, 7, 1_000, 20);
        assert_eq!(stream.audio(TWO, 6, 840, 21), None);
        assert_eq!(stream.audio(TWO, 8, 1_160, 40), Some((2, 1_320, false)));
    }

    #[test]
    fn a_jump_in_sequence_or_time_does_not_reach_the_listener() {
        let mut stream = Stream::new();
        stream.audio(ONE, 500, 90_000, 0);
        assert_eq!(stream.audio(ONE, 30_500, 90_160, 20), Some((1, 1_160, true)));
        assert_eq!(stream.audio(ONE, 30_501, 4_000_000_000, 40), Some((2, 1_320, true)));
        assert_eq!(stream.audio(ONE, 30_502, 4_000_000_160, 60), Some((3, 1_480, false)));
    }

    #[test]
    fn a_pause_of_the_speaker_is_kept() {
        let mut stream = Stream::new();
        stream.audio(ONE, 500, 90_000, 0);
        // Silence suppression: the sequence goes on, the time has jumped by a minute as the clock has.
        let minute = 60 * RATE;
        assert_eq!(stream.audio(ONE, 501, 90_000 + minute, 60_005), Some((1, 1_000 + minute, false)));
    }

    #[test]
    fn events_keep_the_time_of_their_beginning() {
        let mut stream = Stream::new();
        stream.audio(ONE, 500, 90_000, 0);
        assert_eq!(stream.send(ONE, 501, 90_160, None, 20), Some((1, 1_160, false)));
        assert_eq!(stream.send(ONE, 502, 90_160, None, 6_000), Some((2, 1_160, false)));
        assert_eq!(stream.audio(ONE, 503, 138_160, 6_020), Some((3, 49_160, false)));
    }

    #[test]
    fn a_packet_that_is_not_sent_leaves_no_gap() {
        let mut stream = Stream::new();
        stream.audio(ONE, 500, 90_000, 0);
        stream.egress.pass_over(ONE, 501);
        stream.egress.pass_over(TWO, 501);
        assert_eq!(stream.audio(ONE, 502, 90_320, 40), Some((1, 1_320, false)));
    }

    #[test]
    fn numbers_go_on_after_an_interruption() {
        let mut stream = Stream::new();
        stream.audio(ONE, 500, 90_000, 0);
        stream.egress.interrupt();
        assert_eq!(stream.audio(ONE, 1_000, 170_000, 10_000), Some((1, 81_000, true)));
    }
}
