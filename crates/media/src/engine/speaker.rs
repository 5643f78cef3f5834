//! What a port says by itself: tones, silence and keys, on a clock of its own.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::command::Source;
use crate::dtmf::{Digit, EventPayload};
use crate::g711::Law;
use crate::tone::{Oscillator, SAMPLE_RATE, ToneSpec};

#[derive(Debug)]
pub(crate) struct Speaker {
    voice: Voice,
    waiting: VecDeque<Key>,
    pressed: Option<Pressed>,
    pace: Option<Pace>,
    turn: u32,
}

#[derive(Debug)]
enum Voice {
    None,
    Silence,
    Tone(Oscillator),
}

/// A key to be pressed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    pub(crate) digit: Digit,
    pub(crate) duration: Duration,
    pub(crate) gap: Duration,
}

/// A key that is being sent, counted in packets.
#[derive(Debug)]
struct Pressed {
    digit: Digit,
    hold: u16,
    gap: u16,
    elapsed: u16,
    /// The time of its beginning, which all its events carry.
    timestamp: u32,
    /// The sound of the key, if the peer takes no events.
    sound: Option<Oscillator>,
}

/// The clock: each packet is due one packet's time after the one before, however late that was sent.
#[derive(Debug)]
struct Pace {
    next: Instant,
    sequence: u16,
    timestamp: u32,
    /// Sound begins with the next packet.
    begins: bool,
}

/// How to speak to the peer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) law: Law,
    /// Whether keys are sent as telephone-events.
    pub(crate) events: bool,
    /// How long a packet is.
    pub(crate) packet: Duration,
}

impl Terms {
    /// Audio in a packet, which is as many octets.
    pub(crate) fn samples(&self) -> u16 {
        u16::try_from(crate::rtp::media_time(self.packet, SAMPLE_RATE)).unwrap_or(u16::MAX)
    }
}

/// A packet that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Utterance {
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
    pub(crate) sound: Sound,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sound {
    /// The payload was filled with audio.
    Audio,
    /// A telephone-event.
    Event(EventPayload),
    /// Nothing is to be sent in this packet's time.
    Pause,
}

impl Speaker {
    pub(crate) fn new() -> Self {
        Self { voice: Voice::None, waiting: VecDeque::new(), pressed: None, pace: None, turn: 0 }
    }

    pub(crate) fn set_source(&mut self, source: &Source) {
        self.voice = match source {
            Source::None => Voice::None,
            Source::Silence => Voice::Silence,
            Source::Tone(spec) => Voice::Tone(Oscillator::new(spec)),
        };
        if let Some(pace) = &mut self.pace {
            pace.begins = true;
        }
    }

    pub(crate) fn press(&mut self, keys: impl Iterator<Item = Key>) {
        self.waiting.extend(keys);
    }

    /// Keys that are not begun.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Whether it speaks, so that others may not.
    pub(crate) fn has_the_floor(&self) -> bool {
        self.is_dialling() || !matches!(self.voice, Voice::None)
    }

    /// Whether keys are being sent or wait.
    pub(crate) fn is_dialling(&self) -> bool {
        self.pressed.is_some() || !self.waiting.is_empty()
    }

    /// How often it has begun to speak.
    pub(crate) fn turn(&self) -> u32 {
        self.turn
    }

    /// Starts and stops the clock. While nothing can be sent, keys wait and tones stand still.
    pub(crate) fn keep_pace(&mut self, can_send: bool, now: Instant) {
        if !(can_send && self.has_the_floor()) {
            self.pace = None;
        } else if self.pace.is_none() {
            self.turn = self.turn.wrapping_add(1);
            self.pace = Some(Pace { next: now, sequence: 0, timestamp: 0, begins: true });
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.pace.as_ref().map(|pace| pace.next)
    }

    /// The next packet, if its time has come; audio is written to `payload`, which holds [`Terms::samples`].
    ///
    /// After a short stall it makes up for what is due. After a long one that would be a burst: it goes on with what is
    /// due now, and leaves the rest out of the stream.
    pub(crate) fn speak(&mut self, terms: &Terms, payload: &mut [u8], now: Instant) -> Option<Utterance> {
        let pace = self.pace.as_mut().filter(|pace| pace.next <= now)?;
        let samples = u32::from(terms.samples());
        let missed = whole_packets(now.saturating_duration_since(pace.next), terms.packet);
        if missed > MAX_CATCH_UP {
            pace.next += terms.packet.saturating_mul(missed);
            let passed = samples.wrapping_mul(missed);
            pace.timestamp = pace.timestamp.wrapping_add(passed);
            pace.begins = true;
            if let Voice::Tone(oscillator) = &mut self.voice {
                oscillator.skip(passed);
            }
        }
        pace.next += terms.packet;
        let timestamp = pace.timestamp;
        pace.timestamp = timestamp.wrapping_add(samples);
        if self.pressed.is_none() {
            let key = self.waiting.pop_front();
            self.pressed = key.map(|key| Pressed::begin(&key, terms, timestamp));
        }

        let mut utterance = Utterance { sequence: pace.sequence, timestamp, marker: pace.begins, sound: Sound::Audio };
        if let Some(pressed) = &mut self.pressed {
            utterance.marker &= pressed.sound.is_some();
            utterance.sound = pressed.send(terms, payload);
            pressed.elapsed += 1;
            if let Sound::Event(_) = utterance.sound {
                utterance.timestamp = pressed.timestamp;
                utterance.marker = pressed.elapsed == 1; // RFC 4733 §2.5.1.2
            }
            pace.begins = false;
            if pressed.elapsed >= pressed.hold + pressed.gap {
                self.pressed = None;
                pace.begins = true;
            }
        } else {
            pace.begins = false;
            match &mut self.voice {
                Voice::Tone(oscillator) => oscillator.fill(terms.law, payload),
                Voice::Silence | Voice::None => payload.fill(terms.law.silence()),
            }
        }
        if utterance.sound != Sound::Pause {
            pace.sequence = pace.sequence.wrapping_add(1);
        }
        Some(utterance)
    }
}

impl Pressed {
    fn begin(key: &Key, terms: &Terms, timestamp: u32) -> Self {
        let packets = |duration: Duration| {
            let rounded_up = duration.clamp(MIN_KEY, MAX_KEY) + terms.packet - TICK;
            u16::try_from(whole_packets(rounded_up, terms.packet)).unwrap_or(u16::MAX / 2)
        };
        let sound = (!terms.events).then(|| {
            let spec = ToneSpec::new(&key.digit.frequencies_hz(), &[], KEY_LEVEL_DBM0);
            Oscillator::new(&spec.expect("the frequencies of keys are within the telephone band"))
        });
        Self {
            digit: key.digit,
            hold: packets(key.duration),
            // The end goes out twice more, before anything else.
            gap: packets(key.gap).max(END_REPEATS),
            elapsed: 0,
            timestamp,
            sound,
        }
    }

    fn send(&mut self, terms: &Terms, payload: &mut [u8]) -> Sound {
        let held = self.elapsed < self.hold;
        if let Some(oscillator) = &mut self.sound {
            if held {
                oscillator.fill(terms.law, payload);
            } else {
                payload.fill(terms.law.silence());
            }
            return Sound::Audio;
        }
        if self.elapsed >= self.hold + END_REPEATS {
            return Sound::Pause;
        }
        Sound::Event(EventPayload {
            event: self.digit.event(),
            end: self.elapsed + 1 >= self.hold,
            volume: KEY_LEVEL_DBM0.unsigned_abs(),
            duration: (self.elapsed + 1).min(self.hold).saturating_mul(terms.samples()),
        })
    }
}

fn whole_packets(duration: Duration, packet: Duration) -> u32 {
    let count = duration.as_nanos().checked_div(packet.as_nanos()).unwrap_or(0);
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// The most packets that are sent late, in a burst. A receiver's jitter buffer takes in three, and drops more.
const MAX_CATCH_UP: u32 = 3;
/// How often the end of a key is sent again (RFC 4733 §2.5.1.4).
const END_REPEATS: u16 = 2;
/// The shortest key and the shortest gap that receivers must notice (ITU-T Q.24).
const MIN_KEY: Duration = Duration::from_millis(40);
/// The longest: within what one event can count at 8,000 a second, 8.19 s.
const MAX_KEY: Duration = Duration::from_secs(5);
/// The level of each of the two frequencies of a key.
const KEY_LEVEL_DBM0: i8 = -8;
/// The finest that a [`Duration`] can tell.
const TICK: Duration = Duration::from_nanos(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tone::dominant_hz;

    const TERMS: Terms = Terms { law: Law::Mu, events: true, packet: Duration::from_millis(20) };

    fn key(key: char, duration: u64, gap: u64) -> Key {
        Key {
            digit: Digit::from_char(key).unwrap(),
            duration: Duration::from_millis(duration),
            gap: Duration::from_millis(gap),
        }
    }

    /// All that is due at a moment.
    fn due(speaker: &mut Speaker, terms: &Terms, now: Instant) -> Vec<Utterance> {
        let mut payload = [0; 160];
        std::iter::from_fn(|| speaker.speak(terms, &mut payload, now)).collect()
    }

    #[test]
    fn keeps_its_clock_whenever_it_is_called() {
        let start = crate::test_clock::start();
        let mut speaker = Speaker::new();
        speaker.set_source(&Source::Silence);
        speaker.keep_pace(true, start);
        let mut times = Vec::new();
        for late in [0, 7, 19, 3, 20, 0] {
            let due_at = speaker.deadline().unwrap();
            times.push(due_at - start);
            assert!(!due(&mut speaker, &TERMS, due_at + Duration::from_millis(late)).is_empty());
        }
        let twenty = Duration::from_millis(20);
        // 20 ms late means that two were due at once.
        assert_eq!(times, [0, 1, 2, 3, 4, 6].map(|packets| packets * twenty));
    }

    #[test]
    fn a_long_stall_is_left_out_and_not_made_up_for() {
        let start = crate::test_clock::start();
        let mut speaker = Speaker::new();
        speaker.set_source(&Source::Tone(ToneSpec::parse("1000").unwrap()));
        speaker.keep_pace(true, start);
        assert_eq!(due(&mut speaker, &TERMS, start).len(), 1);
        let after = due(&mut speaker, &TERMS, start + Duration::from_millis(1_005));
        assert_eq!(after.len(), 1);
        assert_eq!((after[0].sequence, after[0].timestamp), (1, 50 * 160));
        assert!(after[0].marker);
        let short = due(&mut speaker, &TERMS, start + Duration::from_millis(1_060));
        assert_eq!(short.iter().map(|sent| sent.sequence).collect::<Vec<_>>(), [2, 3, 4]);
    }

    #[test]
    fn a_key_is_sent_as_the_rfc_says() {
        let start = crate::test_clock::start();
        let mut speaker = Speaker::new();
        speaker.press([key('5', 50, 90)].into_iter());
        speaker.keep_pace(true, start);
        let mut sent = Vec::new();
        for packet in 0..8 {
            sent.extend(due(&mut speaker, &TERMS, start + packet * TERMS.packet));
        }
        let events = sent.iter().filter_map(|utterance| match utterance.sound {
            Sound::Event(event) => Some((event.event, event.end, event.duration, utterance.marker)),
            Sound::Audio | Sound::Pause => None,
        });
        assert_eq!(
            events.collect::<Vec<_>>(),
            [
                (5, false, 160, true),
                (5, false, 320, false),
                (5, true, 480, false),
                (5, true, 480, false),
                (5, true, 480, false),
            ]
        );
        assert!(sent.iter().take(5).all(|utterance| utterance.timestamp == 0));
        assert!(!speaker.is_dialling());
    }

    #[test]
    fn without_events_a_key_is_heard() {
        let start = crate::test_clock::start();
        let mut speaker = Speaker::new();
        let terms = Terms { events: false, ..TERMS };
        speaker.press([key('7', 100, 40)].into_iter());
        speaker.keep_pace(true, start);
        let mut payload = [0; 160];
        let mut heard = Vec::new();
        for packet in 0..7 {
            let now = start + packet * TERMS.packet;
            let utterance = speaker.speak(&terms, &mut payload, now).unwrap();
            assert_eq!(utterance.sound, Sound::Audio);
            heard.extend(payload.map(|octet| Law::Mu.decode(octet)));
        }
        assert_eq!(dominant_hz(&heard[..800], &[697, 770, 852, 941]), Some(852));
        assert_eq!(dominant_hz(&heard[..800], &[1_209, 1_336, 1_477, 1_633]), Some(1_209));
        assert!(heard[800..].iter().all(|sample| *sample == 0));
    }

    #[test]
    fn while_nothing_can_be_sent_keys_wait() {
        let start = crate::test_clock::start();
        let mut speaker = Speaker::new();
        speaker.press([key('1', 40, 40)].into_iter());
        speaker.keep_pace(false, start);
        assert_eq!(speaker.deadline(), None);
        speaker.keep_pace(true, start + Duration::from_secs(9));
        assert_eq!(speaker.deadline(), Some(start + Duration::from_secs(9)));
        assert_eq!(speaker.turn(), 1);
    }
}
