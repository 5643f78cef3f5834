//! Making a tone, sample by sample and without allocating.

use std::f64::consts::FRAC_PI_2;

use super::{Beat, SAMPLE_RATE, ToneSpec};
use crate::g711::Law;

/// The sound of a [`ToneSpec`], at 8,000 samples a second.
#[derive(Clone, Debug)]
pub struct Oscillator {
    partials: Vec<Partial>,
    cadence: Vec<Step>,
    /// Which step of the cadence it is, and how many samples of it are over.
    step: usize,
    elapsed: u32,
}

#[derive(Clone, Debug)]
struct Partial {
    /// A turn is 2^32, so that it wraps by itself and never drifts.
    phase: u32,
    per_sample: u32,
    /// The peak as a linear sample.
    amplitude: i32,
}

/// A [`Beat`] in samples.
#[derive(Clone, Debug)]
struct Step {
    on: u32,
    total: u32,
}

impl Oscillator {
    /// Starts at the beginning of the cadence.
    #[must_use]
    pub fn new(spec: &ToneSpec) -> Self {
        let amplitude = amplitude(spec.level_dbm0());
        let partial = |hz: &u16| {
            let turns = (u64::from(*hz) << 32) / u64::from(SAMPLE_RATE);
            let per_sample = u32::try_from(turns).expect("below half a turn by MAX_FREQUENCY_HZ");
            Partial { phase: 0, per_sample, amplitude }
        };
        Self {
            partials: spec.frequencies_hz().iter().map(partial).collect(),
            cadence: spec.cadence().iter().map(Step::from).collect(),
            step: 0,
            elapsed: 0,
        }
    }

    /// The next sample.
    pub fn next_sample(&mut self) -> i16 {
        let sounding = match self.cadence.get(self.step) {
            None => true,
            Some(step) => {
                let sounding = self.elapsed < step.on;
                self.elapsed += 1;
                if self.elapsed >= step.total {
                    self.elapsed = 0;
                    self.step = (self.step + 1) % self.cadence.len();
                }
                sounding
            }
        };
        let mut sum: i32 = 0;
        for partial in &mut self.partials {
            sum += (partial.amplitude * i32::from(sine(partial.phase))) >> 15;
            partial.phase = partial.phase.wrapping_add(partial.per_sample);
        }
        if !sounding {
            return 0;
        }
        let clipped = sum.clamp(i32::from(i16::MIN), i32::from(i16::MAX));
        i16::try_from(clipped).expect("clamped to 16 bits")
    }

    /// Fills a payload with the next samples.
    pub fn fill(&mut self, law: Law, payload: &mut [u8]) {
        for octet in payload {
            *octet = law.encode(self.next_sample());
        }
    }

    /// Passes over samples that nobody is to hear.
    pub(crate) fn skip(&mut self, samples: u32) {
        for partial in &mut self.partials {
            partial.phase = partial.phase.wrapping_add(partial.per_sample.wrapping_mul(samples));
        }
        let round: u32 = self.cadence.iter().map(|step| step.total).sum();
        let mut left = samples.checked_rem(round).unwrap_or(0);
        while let Some(step) = self.cadence.get(self.step) {
            let rest = step.total - self.elapsed;
            if left < rest {
                self.elapsed += left;
                return;
            }
            left -= rest; // less than a round, so that this ends
            self.elapsed = 0;
            self.step = (self.step + 1) % self.cadence.len();
        }
    }
}

impl From<&Beat> for Step {
    fn from(beat: &Beat) -> Self {
        let samples = |duration| crate::rtp::media_time(duration, SAMPLE_RATE);
        let on = samples(beat.on);
        Self { on, total: on + samples(beat.off) }
    }
}

/// The peak of a sine of this level. One of 3.17 dBm0 just reaches the overload point of µ-law (ITU-T G.711 §4, table 6).
#[expect(clippy::cast_possible_truncation, reason = "at most MU_PEAK, by MAX_LEVEL_DBM0")]
fn amplitude(level_dbm0: i8) -> i32 {
    const MU_PEAK: f64 = 32_636.0;
    (MU_PEAK * 10_f64.powf((f64::from(level_dbm0) - 3.17) / 20.0)) as i32
}

/// The sine of a phase, where 2^32 is a turn, with a peak of 32,767.
fn sine(phase: u32) -> i16 {
    let [high, low, ..] = phase.to_be_bytes();
    let index = usize::from(u16::from_be_bytes([high, low]) >> 4); // 12 bits: quadrant and place in it
    let place = index % QUARTER;
    match index / QUARTER {
        0 => QUARTER_WAVE[place],
        1 => QUARTER_WAVE[QUARTER - place],
        2 => -QUARTER_WAVE[place],
        _ => -QUARTER_WAVE[QUARTER - place],
    }
}

/// A quarter of a turn: with 4,096 steps a turn the error is 10 dB beneath the noise of G.711.
const QUARTER: usize = 1_024;
static QUARTER_WAVE: [i16; QUARTER + 1] = quarter_wave();

#[expect(clippy::cast_possible_truncation, reason = "a sine is at most 1")]
#[expect(clippy::cast_precision_loss, reason = "1,024 is exact")]
const fn quarter_wave() -> [i16; QUARTER + 1] {
    let mut wave = [0; QUARTER + 1];
    let mut place = 0;
    while place <= QUARTER {
        let x = FRAC_PI_2 * (place as f64) / (QUARTER as f64);
        // The Taylor series: with eight terms the error is below 1e-12 on this quarter.
        let mut term = x;
        let mut sum = x;
        let mut n = 1.0;
        while n < 16.0 {
            term = -term * x * x / ((n + 1.0) * (n + 2.0));
            sum += term;
            n += 2.0;
        }
        wave[place] = (sum * 32_767.0 + 0.5) as i16;
        place += 1;
    }
    wave
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::tone::{DEFAULT_LEVEL_DBM0, dominant_hz};

    fn samples(oscillator: &mut Oscillator, count: usize) -> Vec<i16> {
        (0..count).map(|_| oscillator.next_sample()).collect()
    }

    #[test]
    fn the_table_is_a_sine() {
        for step in 0..4_096_u32 {
            let phase = step << 20;
            let expected = (f64::from(phase) / 2_f64.powi(32) * std::f64::consts::TAU).sin();
            assert!((f64::from(sine(phase)) / 32_767.0 - expected).abs() < 1e-4, "{step}");
        }
    }

    #[test]
    fn sounds_at_its_frequency_and_level() {
        let spec = ToneSpec::new(&[1_000], &[], 0).unwrap();
        let heard = samples(&mut Oscillator::new(&spec), 8_000);
        assert_eq!(dominant_hz(&heard, &[440, 1_000, 2_000]), Some(1_000));
        let peak = heard.iter().max().unwrap();
        // 3.17 dB beneath the overload point.
        assert!((22_500..22_800).contains(peak), "{peak}");
    }

    #[test]
    fn follows_its_cadence_also_when_samples_are_passed_over() {
        let beat = |on, off| Beat { on: Duration::from_millis(on), off: Duration::from_millis(off) };
        let spec = ToneSpec::new(&[500], &[beat(40, 20), beat(20, 40)], DEFAULT_LEVEL_DBM0).unwrap();
        let whole = samples(&mut Oscillator::new(&spec), 4_000);
        let sounds = |at: usize| whole[at..at + 16].iter().any(|sample| *sample != 0);
        let pattern: Vec<bool> = (0..12).map(|packet| sounds(packet * 160)).collect();
        let round = [true, true, false, true, false, false];
        assert_eq!(pattern, [round, round].concat());

        for skipped in [1, 159, 480, 959, 960, 2_000] {
            let mut oscillator = Oscillator::new(&spec);
            samples(&mut oscillator, 700);
            oscillator.skip(skipped);
            let from = 700 + usize::try_from(skipped).unwrap();
            assert_eq!(samples(&mut oscillator, 1_000), whole[from..from + 1_000], "{skipped}");
        }
    }

    #[test]
    fn a_loud_mix_is_clipped_and_does_not_wrap() {
        let spec = ToneSpec::new(&[500, 500, 500, 500], &[], 3).unwrap();
        let heard = samples(&mut Oscillator::new(&spec), 16);
        assert_eq!(heard.iter().max(), Some(&i16::MAX));
        assert!(heard[1..8].iter().all(|sample| *sample > 0));
    }
}
