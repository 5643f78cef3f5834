//! Listening for a tone in what a port hears.

use super::stats::HeardStats;
use crate::g711::Law;
use crate::tone::{Detector, SAMPLE_RATE};
use std::time::{Duration, Instant};

/// Listens for one tone, a tenth of a second at a time, and tells once what it has heard.
#[derive(Debug)]
pub(crate) struct Ear {
    hz: u16,
    /// `None` once it has told.
    tell_at: Option<Instant>,
    detector: Detector,
    /// Samples since the detector began anew.
    in_window: u32,
    samples: u64,
    windows_with_tone: u64,
    energy: f64,
}

impl Ear {
    pub(crate) fn new(hz: u16, now: Instant) -> Self {
        Self {
            hz,
            tell_at: Some(now + LISTENING_TIME),
            detector: Detector::new(&[hz]),
            in_window: 0,
            samples: 0,
            windows_with_tone: 0,
            energy: 0.0,
        }
    }

    pub(crate) const fn deadline(&self) -> Option<Instant> {
        self.tell_at
    }

    /// What was heard, when it is time to tell.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Option<HeardStats> {
        self.tell_at.take_if(|due| *due <= now).map(|_| self.stats())
    }

    /// Takes in the payload of a packet of audio.
    pub(crate) fn hear(&mut self, law: Law, payload: &[u8]) {
        for octet in payload {
            let sample = law.decode(*octet);
            self.detector.hear(&[sample]);
            self.energy += f64::from(sample) * f64::from(sample);
            self.samples += 1;
            self.in_window += 1;
            if self.in_window == WINDOW_SAMPLES {
                self.windows_with_tone += u64::from(self.detector.dominant_hz() == Some(self.hz));
                self.detector.reset();
                self.in_window = 0;
            }
        }
    }

    fn stats(&self) -> HeardStats {
        HeardStats {
            audio_ms: self.samples * 1_000 / u64::from(SAMPLE_RATE),
            tone_ms: self.windows_with_tone * WINDOW_MS,
            level_dbm0: self.level_dbm0(),
        }
    }

    /// Of all that was heard, pauses included. `None` for digital silence, and for nothing.
    fn level_dbm0(&self) -> Option<i8> {
        if self.samples == 0 || self.energy == 0.0 {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "a call of a year has fewer samples than a float has integers")]
        let mean_square = self.energy / self.samples as f64;
        let level = FULL_SCALE_DBM0 + 10.0 * (mean_square / (PEAK * PEAK / 2.0)).log10();
        #[expect(clippy::cast_possible_truncation, reason = "it is clamped to what fits")]
        Some(level.round().clamp(-120.0, 10.0) as i8)
    }
}

/// How long a port listens before it tells: time for the tone to come back over satellites, and some seconds of it.
pub const LISTENING_TIME: Duration = Duration::from_millis(2_500);
const WINDOW_MS: u64 = 100;
/// Enough to tell the tone from another one 10 Hz away.
const WINDOW_SAMPLES: u32 = SAMPLE_RATE / 10;
/// The largest sample of 16 bits.
const PEAK: f64 = 32_768.0;
/// The level of the loudest sine that G.711 can hold (ITU-T G.711 table 5).
const FULL_SCALE_DBM0: f64 = 3.17;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tone::{Oscillator, ToneSpec};

    #[expect(clippy::disallowed_methods, reason = "an Instant can only be had from the clock; it is read once")]
    fn heard(notation: Option<&str>, hz: u16) -> HeardStats {
        let start = Instant::now();
        let mut ear = Ear::new(hz, start);
        let mut payload = [0xff; 160];
        let mut oscillator = notation.map(|notation| Oscillator::new(&ToneSpec::parse(notation).unwrap()));
        for _ in 0..50 {
            if let Some(oscillator) = &mut oscillator {
                oscillator.fill(Law::Mu, &mut payload);
            }
            ear.hear(Law::Mu, &payload);
        }
        assert_eq!(ear.handle_timeout(start + LISTENING_TIME / 2), None);
        let heard = ear.handle_timeout(start + LISTENING_TIME).unwrap();
        assert_eq!(ear.deadline(), None, "it tells once");
        heard
    }

    #[test]
    fn tells_its_tone_from_another_and_from_silence() {
        let tone = heard(Some("1020"), 1_020);
        assert_eq!((tone.audio_ms, tone.tone_ms), (1_000, 1_000));
        assert!(tone.level_dbm0.is_some_and(|level| (-20..=0).contains(&level)), "{tone:?}");
        let other = heard(Some("1000"), 1_020);
        assert_eq!((other.audio_ms, other.tone_ms), (1_000, 0));
        let silence = heard(None, 1_020);
        assert_eq!((silence.audio_ms, silence.tone_ms, silence.level_dbm0), (1_000, 0, None));
    }
}
