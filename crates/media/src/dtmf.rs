//! Keys of a telephone and the RTP payload that carries them (RFC 4733).

use std::fmt;
use std::time::{Duration, Instant};

use crate::rtp::{media_time_us, timestamp_distance};

/// A key: `0` to `9`, `*`, `#`, `A` to `D` (RFC 4733 §3.2).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digit(u8);

impl Digit {
    /// The key of an event code, if it is a key.
    #[must_use]
    pub fn from_event(event: u8) -> Option<Self> {
        (usize::from(event) < KEYS.len()).then_some(Self(event))
    }

    /// The event code, 0 to 15.
    #[must_use]
    pub fn event(self) -> u8 {
        self.0
    }

    /// The key of a character; letters in either case.
    #[must_use]
    pub fn from_char(key: char) -> Option<Self> {
        let key = u8::try_from(key).ok()?.to_ascii_uppercase();
        (0..).zip(KEYS).find_map(|(event, known)| (*known == key).then_some(Self(event)))
    }

    /// The two frequencies that make up the key in audio, in Hz.
    #[must_use]
    pub fn frequencies_hz(self) -> [u16; 2] {
        FREQUENCIES_HZ[usize::from(self.0)] // a digit exists only below 16
    }

    /// The character on the key.
    #[must_use]
    pub fn as_char(self) -> char {
        KEYS.get(usize::from(self.0)).map_or('?', |key| char::from(*key))
    }
}

impl fmt::Debug for Digit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digit({})", self.as_char())
    }
}

impl fmt::Display for Digit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.as_char())
    }
}

/// Keys in the order of their event codes.
const KEYS: &[u8; 16] = b"0123456789*#ABCD";

/// The two frequencies of each key in Hz (ITU-T Q.23), by its event code.
const FREQUENCIES_HZ: [[u16; 2]; 16] = [
    [941, 1_336],
    [697, 1_209],
    [697, 1_336],
    [697, 1_477],
    [770, 1_209],
    [770, 1_336],
    [770, 1_477],
    [852, 1_209],
    [852, 1_336],
    [852, 1_477],
    [941, 1_209],
    [941, 1_477],
    [697, 1_633],
    [770, 1_633],
    [852, 1_633],
    [941, 1_633],
];

/// The payload of a telephone-event (RFC 4733 §2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventPayload {
    /// What happens; 0 to 15 are keys.
    pub event: u8,
    /// It is over; the duration is final.
    pub end: bool,
    /// How far below 0 dBm0, 0 to 63.
    pub volume: u8,
    /// Since the timestamp of the packet, in its clock.
    pub duration: u16,
}

impl EventPayload {
    /// Octets on the wire.
    pub const LEN: usize = 4;

    /// Reads a payload. What follows the first event is passed over, and `None` means there is no whole one.
    #[must_use]
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let [event, flags, duration0, duration1] = *payload.first_chunk::<{ Self::LEN }>()?;
        Some(Self {
            event,
            end: flags & 0x80 != 0,
            volume: flags & 0x3f,
            duration: u16::from_be_bytes([duration0, duration1]),
        })
    }

    /// The payload as octets.
    #[must_use]
    pub fn to_bytes(self) -> [u8; Self::LEN] {
        let [duration0, duration1] = self.duration.to_be_bytes();
        let flags = u8::from(self.end) << 7 | (self.volume & 0x3f);
        [self.event, flags, duration0, duration1]
    }
}

/// A key that was pressed and is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Press {
    pub(crate) digit: Digit,
    pub(crate) duration: Duration,
    pub(crate) end_heard: bool,
}

/// Finds the keys in the events of one peer: each once, however often its packets are repeated or lost.
///
/// The packets of one key share a timestamp (RFC 4733 §2.2). A key is over at its end bit, when another key begins, or
/// when nothing more is heard of it for [`EVENT_SILENCE`].
#[derive(Debug, Default)]
pub(crate) struct PressDecoder {
    held: Option<Held>,
    /// The timestamp of the last key that is over: its repeated end packets are not another key.
    finished: Option<u32>,
}

#[derive(Debug)]
struct Held {
    digit: Digit,
    /// The timestamp of the segment at hand, and how long it is so far.
    segment: u32,
    duration: u16,
    /// In the segments before it (RFC 4733 §2.5.1.3).
    earlier: u32,
    heard_at: Instant,
}

impl PressDecoder {
    /// Takes in an event. Up to two keys may be over because of it: the one held so far, and its own.
    pub(crate) fn hear(&mut self, timestamp: u32, payload: EventPayload, now: Instant) -> [Option<Press>; 2] {
        let Some(digit) = Digit::from_event(payload.event) else { return [None, None] };
        if self.finished.is_some_and(|finished| is_shortly_before(timestamp, finished)) {
            return [None, None];
        }
        let mut interrupted = None;
        match &mut self.held {
            Some(held) if held.segment == timestamp => held.hear(payload.duration, now),
            Some(held) if held.continues_at(timestamp, digit) => {
                held.earlier += u32::from(u16::MAX);
                held.segment = timestamp;
                held.duration = 0;
                held.hear(payload.duration, now);
            }
            Some(held) if is_shortly_before(timestamp, held.segment) => return [None, None],
            Some(_) | None => {
                interrupted = self.finish(false);
                self.held =
                    Some(Held { digit, segment: timestamp, duration: payload.duration, earlier: 0, heard_at: now });
            }
        }
        [interrupted, if payload.end { self.finish(true) } else { None }]
    }

    /// When a key whose end was lost counts as over.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.held.as_ref().map(|held| held.heard_at + EVENT_SILENCE)
    }

    /// The key whose end was lost, if it is due.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Option<Press> {
        self.deadline().filter(|due| *due <= now).and_then(|_| self.finish(false))
    }

    /// A new stream begins, with times of its own: a key that is held is over.
    pub(crate) fn restart(&mut self) -> Option<Press> {
        let press = self.finish(false);
        self.finished = None;
        press
    }

    fn finish(&mut self, end_heard: bool) -> Option<Press> {
        let held = self.held.take()?;
        self.finished = Some(held.segment);
        let units = held.earlier.saturating_add(u32::from(held.duration));
        let micros = media_time_us(units, EVENT_CLOCK_RATE);
        Some(Press { digit: held.digit, duration: Duration::from_micros(u64::from(micros)), end_heard })
    }
}

impl Held {
    fn hear(&mut self, duration: u16, now: Instant) {
        self.duration = self.duration.max(duration); // an older packet may come late
        self.heard_at = now;
    }

    /// A key held for longer than its duration can count goes on in a segment that begins where the last one ended.
    fn continues_at(&self, timestamp: u32, digit: Digit) -> bool {
        self.digit == digit && timestamp.wrapping_sub(self.segment) == u32::from(u16::MAX)
    }
}

/// Whether a timestamp is that of `reference` or an earlier one of the same stream. One from far away is another time.
fn is_shortly_before(timestamp: u32, reference: u32) -> bool {
    (0..=STALE_EVENT).contains(&timestamp_distance(timestamp, reference))
}

/// The clock of telephone-events beside G.711.
pub(crate) const EVENT_CLOCK_RATE: u32 = 8_000;
/// A key is over after this long without a packet of it. Senders repeat them every 20 to 50 ms, so several were lost.
const EVENT_SILENCE: Duration = Duration::from_millis(200);
/// How old an event may be and be known as a late one: 10 s, longer than any packet stays on the way.
const STALE_EVENT: i32 = 80_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(event: u8, end: bool, duration: u16) -> EventPayload {
        EventPayload { event, end, volume: 10, duration }
    }

    fn press(key: char, ms: u64, end_heard: bool) -> Option<Press> {
        let digit = Digit::from_char(key).unwrap();
        Some(Press { digit, duration: Duration::from_millis(ms), end_heard })
    }

    #[test]
    fn keys_have_a_code_and_a_character() {
        for (event, key) in (0..16).zip("0123456789*#ABCD".chars()) {
            let digit = Digit::from_event(event).unwrap();
            assert_eq!((digit.as_char(), digit.event()), (key, event));
            assert_eq!(Digit::from_char(key), Some(digit));
        }
        assert_eq!(Digit::from_char('d'), Digit::from_event(15));
        assert_eq!(Digit::from_char('E'), None);
        assert_eq!(Digit::from_event(16), None);
    }

    #[test]
    fn what_is_written_is_read_back() {
        let event = payload(5, true, 0x0500);
        assert_eq!(event.to_bytes(), [5, 0x8a, 5, 0]);
        assert_eq!(EventPayload::parse(&event.to_bytes()), Some(event));
        assert_eq!(EventPayload::parse(&[5, 0x8a, 5]), None);
    }

    #[test]
    fn a_key_is_told_once_though_its_end_comes_three_times() {
        let now = crate::test_clock::start();
        let mut decoder = PressDecoder::default();
        assert_eq!(decoder.hear(1_000, payload(5, false, 160), now), [None, None]);
        let end = payload(5, true, 800);
        assert_eq!(decoder.hear(1_000, end, now), [None, press('5', 100, true)]);
        assert_eq!(decoder.hear(1_000, end, now), [None, None]);
        assert_eq!(decoder.hear(1_000, payload(5, false, 640), now), [None, None]);
        assert_eq!(decoder.deadline(), None);
        // The same key again is another press.
        assert_eq!(decoder.hear(2_600, end, now), [None, press('5', 100, true)]);
    }

    #[test]
    fn a_lost_end_is_inferred_from_the_next_key() {
        let now = crate::test_clock::start();
        let mut decoder = PressDecoder::default();
        decoder.hear(1_000, payload(1, false, 480), now);
        let both = decoder.hear(3_000, payload(2, true, 400), now);
        assert_eq!(both, [press('1', 60, false), press('2', 50, true)]);
    }

    #[test]
    fn a_lost_end_is_inferred_from_silence() {
        let now = crate::test_clock::start();
        let mut decoder = PressDecoder::default();
        decoder.hear(1_000, payload(11, false, 480), now);
        assert_eq!(decoder.handle_timeout(now + Duration::from_millis(199)), None);
        let late = now + Duration::from_millis(200);
        assert_eq!(decoder.handle_timeout(late), press('#', 60, false));
        assert_eq!(decoder.hear(1_000, payload(11, true, 500), late), [None, None]);
    }

    #[test]
    fn a_long_press_in_segments_is_one_key() {
        let now = crate::test_clock::start();
        let mut decoder = PressDecoder::default();
        decoder.hear(0, payload(7, false, u16::MAX), now);
        decoder.hear(65_535, payload(7, false, 160), now);
        let last = decoder.hear(65_535, payload(7, true, 8_001), now);
        let duration = Duration::from_micros((65_535 + 8_001) * 125);
        let digit = Digit::from_char('7').unwrap();
        assert_eq!(last, [None, Some(Press { digit, duration, end_heard: true })]);
    }

    #[test]
    fn times_of_a_new_stream_are_not_taken_for_late_ones() {
        let now = crate::test_clock::start();
        let mut decoder = PressDecoder::default();
        decoder.hear(50_000, payload(1, true, 800), now);
        assert_eq!(decoder.restart(), None);
        assert_eq!(decoder.hear(40_000, payload(2, true, 800), now), [None, press('2', 100, true)]);
        // And far back in the same stream is not late either, but a clock set anew.
        let set_anew = 40_000_u32.wrapping_sub(8_000_000);
        let heard = decoder.hear(set_anew, payload(3, true, 800), now);
        assert_eq!(heard, [None, press('3', 100, true)]);
    }

    #[test]
    fn what_is_not_a_key_is_passed_over() {
        let now = crate::test_clock::start();
        let mut decoder = PressDecoder::default();
        assert_eq!(decoder.hear(1, payload(255, true, 800), now), [None, None]);
        assert_eq!(decoder.hear(1, payload(16, true, 800), now), [None, None]);
    }
}
