//! Tones: what they are, how they are made and how they are heard.

mod detector;
mod oscillator;

pub use detector::{Detector, MIN_SHARE, dominant_hz};
pub use oscillator::Oscillator;

use std::time::Duration;

/// A tone or a mix of tones, steady or with a cadence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToneSpec {
    frequencies_hz: Vec<u16>,
    cadence: Vec<Beat>,
    level_dbm0: i8,
}

/// One step of a cadence: sound, then silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beat {
    /// How long it sounds.
    pub on: Duration,
    /// How long it is silent after that.
    pub off: Duration,
}

/// Why a tone cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ToneError {
    /// No frequency at all, or more than [`MAX_FREQUENCIES`].
    #[error("a tone mixes 1 to {MAX_FREQUENCIES} frequencies, not {count}")]
    FrequencyCount {
        /// How many were named.
        count: usize,
    },
    /// Outside of what a telephone carries.
    #[error("{hz} Hz is outside of {MIN_FREQUENCY_HZ} to {MAX_FREQUENCY_HZ} Hz")]
    Frequency {
        /// What was asked for.
        hz: u32,
    },
    /// Not a number.
    #[error("a frequency must be a whole number of Hz")]
    NotANumber,
    /// Too loud or too quiet.
    #[error("{level_dbm0} dBm0 is outside of {MIN_LEVEL_DBM0} to {MAX_LEVEL_DBM0} dBm0")]
    Level {
        /// What was asked for.
        level_dbm0: i8,
    },
    /// More steps than [`MAX_BEATS`], or a step outside of [`MIN_BEAT`] to [`MAX_BEAT`].
    #[error("a cadence has up to {MAX_BEATS} steps, each from 20 ms to 60 s")]
    Cadence,
}

impl ToneSpec {
    /// A mix of `frequencies_hz`, each at `level_dbm0`. With an empty cadence it is steady, else the cadence repeats.
    ///
    /// # Errors
    ///
    /// When a frequency, the level, the cadence or the number of them is out of range.
    pub fn new(frequencies_hz: &[u16], cadence: &[Beat], level_dbm0: i8) -> Result<Self, ToneError> {
        if frequencies_hz.is_empty() || frequencies_hz.len() > MAX_FREQUENCIES {
            return Err(ToneError::FrequencyCount { count: frequencies_hz.len() });
        }
        if let Some(hz) = frequencies_hz.iter().find(|hz| !(MIN_FREQUENCY_HZ..=MAX_FREQUENCY_HZ).contains(*hz)) {
            return Err(ToneError::Frequency { hz: u32::from(*hz) });
        }
        if !(MIN_LEVEL_DBM0..=MAX_LEVEL_DBM0).contains(&level_dbm0) {
            return Err(ToneError::Level { level_dbm0 });
        }
        let fits = |beat: &Beat| (MIN_BEAT..=MAX_BEAT).contains(&beat.on) && (MIN_BEAT..=MAX_BEAT).contains(&beat.off);
        if cadence.len() > MAX_BEATS || !cadence.iter().all(fits) {
            return Err(ToneError::Cadence);
        }
        Ok(Self { frequencies_hz: frequencies_hz.to_vec(), cadence: cadence.to_vec(), level_dbm0 })
    }

    /// A steady tone from its short notation: whole Hz, `+` mixes, such as `1000` or `350+440`, at [`DEFAULT_LEVEL_DBM0`].
    ///
    /// # Errors
    ///
    /// When it is not that notation, or a frequency or their number is out of range.
    pub fn parse(notation: &str) -> Result<Self, ToneError> {
        let count = notation.split('+').count();
        if count > MAX_FREQUENCIES {
            return Err(ToneError::FrequencyCount { count });
        }
        let mut frequencies = Vec::with_capacity(count);
        for part in notation.split('+') {
            let hz: u32 = part.trim().parse().map_err(|_| ToneError::NotANumber)?;
            frequencies.push(u16::try_from(hz).map_err(|_| ToneError::Frequency { hz })?);
        }
        Self::new(&frequencies, &[], DEFAULT_LEVEL_DBM0)
    }

    /// Ringback as heard in North America: 440 and 480 Hz, 2 s in 6 s.
    #[must_use]
    pub fn ringback() -> Self {
        let beat = Beat { on: Duration::from_secs(2), off: Duration::from_secs(4) };
        Self { frequencies_hz: vec![440, 480], cadence: vec![beat], level_dbm0: -19 }
    }

    /// What is mixed, in Hz.
    #[must_use]
    pub fn frequencies_hz(&self) -> &[u16] {
        &self.frequencies_hz
    }

    /// The steps that repeat; empty when steady.
    #[must_use]
    pub fn cadence(&self) -> &[Beat] {
        &self.cadence
    }

    /// The level of each frequency, in dBm0.
    #[must_use]
    pub fn level_dbm0(&self) -> i8 {
        self.level_dbm0
    }
}

/// Enough for DTMF (two) and for the call progress tones of all countries (ITU-T E.180 supplement 2).
pub const MAX_FREQUENCIES: usize = 4;
/// The lowest frequency. Below, the telephone band carries little.
pub const MIN_FREQUENCY_HZ: u16 = 50;
/// The highest frequency. Half of the sampling rate is 4,000 Hz.
pub const MAX_FREQUENCY_HZ: u16 = 3_900;
/// The quietest tone: beneath lies the noise of G.711 itself.
pub const MIN_LEVEL_DBM0: i8 = -60;
/// The loudest tone: 3.17 dBm0 is the overload point of G.711.
pub const MAX_LEVEL_DBM0: i8 = 3;
/// A level that is easily heard and does not hurt.
pub const DEFAULT_LEVEL_DBM0: i8 = -10;
/// The most steps of a cadence; the longest national ones have four.
pub const MAX_BEATS: usize = 8;
/// The shortest step: one packet.
pub const MIN_BEAT: Duration = Duration::from_millis(20);
/// The longest step.
pub const MAX_BEAT: Duration = Duration::from_secs(60);

/// Samples a second of all audio here.
pub(crate) const SAMPLE_RATE: u32 = 8_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_short_notation() {
        assert_eq!(ToneSpec::parse("1000").unwrap().frequencies_hz(), [1_000]);
        assert_eq!(ToneSpec::parse("350+440").unwrap().frequencies_hz(), [350, 440]);
        assert_eq!(ToneSpec::parse("350 + 440").unwrap().frequencies_hz(), [350, 440]);
        assert_eq!(ToneSpec::parse(""), Err(ToneError::NotANumber));
        assert_eq!(ToneSpec::parse("440+"), Err(ToneError::NotANumber));
        assert_eq!(ToneSpec::parse("70000"), Err(ToneError::Frequency { hz: 70_000 }));
        assert_eq!(ToneSpec::parse("4000"), Err(ToneError::Frequency { hz: 4_000 }));
        let five = ToneSpec::parse("100+200+300+400+500");
        assert_eq!(five, Err(ToneError::FrequencyCount { count: 5 }));
    }

    #[test]
    fn refuses_what_cannot_be_heard_or_would_hurt() {
        assert_eq!(ToneSpec::new(&[], &[], -10), Err(ToneError::FrequencyCount { count: 0 }));
        assert_eq!(ToneSpec::new(&[440], &[], 4), Err(ToneError::Level { level_dbm0: 4 }));
        let endless = Beat { on: Duration::from_secs(61), off: MIN_BEAT };
        assert_eq!(ToneSpec::new(&[440], &[endless], -10), Err(ToneError::Cadence));
        let steady = Beat { on: MIN_BEAT, off: Duration::ZERO };
        assert_eq!(ToneSpec::new(&[440], &[steady], -10), Err(ToneError::Cadence));
    }
}
