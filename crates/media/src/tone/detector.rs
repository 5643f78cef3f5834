//! Hearing a tone: the energy at a few frequencies, by Goertzel's algorithm.

use std::f64::consts::TAU;

use super::SAMPLE_RATE;

/// Listens for one of a few frequencies in audio of 8,000 samples a second.
#[derive(Clone, Debug)]
pub struct Detector {
    bins: Vec<Bin>,
    energy: f64,
    samples: f64,
}

#[derive(Clone, Debug)]
struct Bin {
    hz: u16,
    coefficient: f64,
    last: f64,
    before_last: f64,
}

impl Detector {
    /// Listens for `candidates_hz`. To tell two apart, as many milliseconds are needed as 1,000 ÷ their distance in Hz.
    #[must_use]
    pub fn new(candidates_hz: &[u16]) -> Self {
        let bin = |hz: &u16| {
            let coefficient = 2.0 * (TAU * f64::from(*hz) / f64::from(SAMPLE_RATE)).cos();
            Bin { hz: *hz, coefficient, last: 0.0, before_last: 0.0 }
        };
        Self { bins: candidates_hz.iter().map(bin).collect(), energy: 0.0, samples: 0.0 }
    }

    /// Takes in the next samples.
    pub fn hear(&mut self, samples: &[i16]) {
        for sample in samples {
            let sample = f64::from(*sample);
            self.energy += sample * sample;
            self.samples += 1.0;
            for bin in &mut self.bins {
                let next = sample + bin.coefficient * bin.last - bin.before_last;
                bin.before_last = bin.last;
                bin.last = next;
            }
        }
    }

    /// The candidate that most of what was heard so far consists of.
    ///
    /// `None` when it was quieter than about −50 dBm0, or when no candidate holds at least [`MIN_SHARE`] of the energy.
    #[must_use]
    pub fn dominant_hz(&self) -> Option<u16> {
        if self.samples == 0.0 || self.energy / self.samples < MIN_MEAN_SQUARE {
            return None;
        }
        let shares = self.bins.iter().map(|bin| (bin.hz, self.share(bin)));
        let loudest = shares.max_by(|(_, one), (_, other)| one.total_cmp(other));
        loudest.filter(|(_, share)| *share >= MIN_SHARE).map(|(hz, _)| hz)
    }

    /// Forgets what was heard.
    pub fn reset(&mut self) {
        self.energy = 0.0;
        self.samples = 0.0;
        for bin in &mut self.bins {
            bin.last = 0.0;
            bin.before_last = 0.0;
        }
    }

    /// Which part of the energy a sine of this frequency makes up, 0 to about 1.
    fn share(&self, bin: &Bin) -> f64 {
        let power =
            bin.last * bin.last + bin.before_last * bin.before_last - bin.coefficient * bin.last * bin.before_last;
        // A sine of peak A has a power of (A × n ÷ 2)² here, and an energy of A² × n ÷ 2.
        2.0 * power / (self.samples * self.energy)
    }
}

/// The loudest of `candidates_hz` in `samples`, as [`Detector::dominant_hz`] tells it.
#[must_use]
pub fn dominant_hz(samples: &[i16], candidates_hz: &[u16]) -> Option<u16> {
    let mut detector = Detector::new(candidates_hz);
    detector.hear(samples);
    detector.dominant_hz()
}

/// In a mix of two each holds half.
pub const MIN_SHARE: f64 = 0.3;
/// The mean square of a sine whose peak is 70 of 32,768.
const MIN_MEAN_SQUARE: f64 = 70.0 * 70.0 / 2.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::g711::Law;
    use crate::tone::{Oscillator, ToneSpec};

    fn heard(notation: &str, law: Law) -> Vec<i16> {
        let mut oscillator = Oscillator::new(&ToneSpec::parse(notation).unwrap());
        let mut payload = [0; 1_600];
        oscillator.fill(law, &mut payload);
        payload.iter().map(|octet| law.decode(*octet)).collect()
    }

    #[test]
    fn finds_a_tone_through_either_law() {
        for law in [Law::Mu, Law::A] {
            for hz in [400, 1_000, 1_004, 2_600] {
                let samples = heard(&hz.to_string(), law);
                assert_eq!(dominant_hz(&samples, &[697, hz, 3_000]), Some(hz));
            }
        }
    }

    #[test]
    fn hears_nothing_in_silence_or_in_another_tone() {
        assert_eq!(dominant_hz(&[0; 1_600], &[1_000]), None);
        assert_eq!(dominant_hz(&[], &[1_000]), None);
        assert_eq!(dominant_hz(&heard("1500", Law::Mu), &[1_000, 2_000]), None);
    }

    #[test]
    fn finds_a_part_of_a_mix_and_forgets_on_reset() {
        let mut detector = Detector::new(&[440, 1_000]);
        detector.hear(&heard("440+480", Law::A));
        assert_eq!(detector.dominant_hz(), Some(440));
        detector.reset();
        assert_eq!(detector.dominant_hz(), None);
    }
}
