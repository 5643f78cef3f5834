//! G.711: 8,000 samples a second, eight bits each, in two laws (ITU-T G.711).
//!
//! Linear samples are 16 bits wide with the 14 (µ-law) or 13 bits (A-law) of the recommendation at the top.

use tandem_model::Codec;

/// One of the two companding laws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Law {
    /// µ-law, PCMU: North America and Japan.
    Mu,
    /// A-law, PCMA: the rest of the world and international links.
    A,
}

impl Law {
    /// The law of a codec, if it is G.711.
    #[must_use]
    pub fn of(codec: Codec) -> Option<Self> {
        match codec {
            Codec::Pcmu => Some(Self::Mu),
            Codec::Pcma => Some(Self::A),
            Codec::G722 | Codec::G729 | Codec::Opus => None,
        }
    }

    /// The octet for a linear sample.
    #[must_use]
    pub const fn encode(self, sample: i16) -> u8 {
        match self {
            Self::Mu => encode_mu(sample),
            Self::A => encode_a(sample),
        }
    }

    /// The linear sample of an octet.
    #[must_use]
    pub fn decode(self, octet: u8) -> i16 {
        let table = match self {
            Self::Mu => &MU_TO_LINEAR,
            Self::A => &A_TO_LINEAR,
        };
        table[usize::from(octet)] // 256 entries, so that every octet has one
    }

    /// The octet for no sound.
    #[must_use]
    pub const fn silence(self) -> u8 {
        match self {
            Self::Mu => 0xff,
            Self::A => 0xd5,
        }
    }
}

/// Turns µ-law into A-law in place.
pub fn mu_to_a(payload: &mut [u8]) {
    translate(payload, &MU_TO_A);
}

/// Turns A-law into µ-law in place.
pub fn a_to_mu(payload: &mut [u8]) {
    translate(payload, &A_TO_MU);
}

fn translate(payload: &mut [u8], table: &[u8; 256]) {
    for octet in payload {
        *octet = table[usize::from(*octet)];
    }
}

/// Added to a magnitude before its segment is found, so that segments are powers of two (µ-law).
const MU_BIAS: u16 = 0x84;
/// The largest magnitude that µ-law can carry: with the bias it just fits 15 bits.
const MU_CLIP: u16 = 32_635;

static MU_TO_LINEAR: [i16; 256] = linear_table(Law::Mu);
static A_TO_LINEAR: [i16; 256] = linear_table(Law::A);
static MU_TO_A: [u8; 256] = law_table(Law::Mu, Law::A);
static A_TO_MU: [u8; 256] = law_table(Law::A, Law::Mu);

#[expect(clippy::cast_possible_truncation, reason = "sign, segment and step are masked to their bits")]
const fn encode_mu(sample: i16) -> u8 {
    let sign: u8 = if sample < 0 { 0x80 } else { 0 };
    let magnitude = sample.unsigned_abs();
    let clipped = if magnitude > MU_CLIP { MU_CLIP } else { magnitude };
    let biased = clipped + MU_BIAS;
    let segment = 8 - biased.leading_zeros(); // the bias sets bit 7 at least, the clip leaves bit 15 clear
    let step = (biased >> (segment + 3)) & 0x0f;
    !(sign | (segment as u8) << 4 | step as u8)
}

#[expect(clippy::cast_possible_truncation, reason = "sign, segment and step are masked to their bits")]
const fn encode_a(sample: i16) -> u8 {
    let sign: u8 = if sample < 0 { 0 } else { 0x80 };
    // One's complement, so that the two halves mirror each other and the lowest negative step is not zero.
    let magnitude = if sample < 0 { !sample } else { sample }.unsigned_abs();
    let octet = if magnitude < 0x100 {
        magnitude >> 4
    } else {
        let segment = 8 - magnitude.leading_zeros();
        let step = (magnitude >> (segment + 3)) & 0x0f;
        (segment as u16) << 4 | step
    };
    (sign | octet as u8) ^ 0x55
}

const fn decode_mu(octet: u8) -> i16 {
    let bits = !octet;
    let step = (bits & 0x0f) as i16;
    let segment = (bits & 0x70) >> 4;
    let magnitude = (((step << 3) + MU_BIAS.cast_signed()) << segment) - MU_BIAS.cast_signed();
    if bits & 0x80 == 0 { magnitude } else { -magnitude }
}

const fn decode_a(octet: u8) -> i16 {
    let bits = octet ^ 0x55;
    let step = (bits & 0x0f) as i16;
    let magnitude = match (bits & 0x70) >> 4 {
        0 => (step << 4) + 0x08,
        segment => ((step << 4) + 0x108) << (segment - 1),
    };
    if bits & 0x80 == 0 { -magnitude } else { magnitude }
}

const fn linear_table(law: Law) -> [i16; 256] {
    let mut table = [0; 256];
    let mut octet: u8 = 0;
    loop {
        table[octet as usize] = match law {
            Law::Mu => decode_mu(octet),
            Law::A => decode_a(octet),
        };
        if octet == u8::MAX {
            return table;
        }
        octet += 1;
    }
}

const fn law_table(from: Law, to: Law) -> [u8; 256] {
    let linear = linear_table(from);
    let mut table = [0; 256];
    let mut octet = 0;
    while octet < table.len() {
        table[octet] = to.encode(linear[octet]);
        octet += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_octet_survives_decoding_and_encoding() {
        for octet in 0..=u8::MAX {
            assert_eq!(Law::A.encode(Law::A.decode(octet)), octet);
            // µ-law has two zeros; the negative one becomes the positive one.
            let expected = if octet == 0x7f { 0xff } else { octet };
            assert_eq!(Law::Mu.encode(Law::Mu.decode(octet)), expected);
        }
    }

    #[test]
    fn known_values_of_the_recommendation() {
        // The ends of the scale and the steps beside zero: 8031 × 4 and 2 × 4 in 14 bits, 4032 × 8 and 1 × 8 in 13.
        assert_eq!(Law::Mu.decode(0x80), 32_124);
        assert_eq!(Law::Mu.decode(0x00), -32_124);
        assert_eq!(Law::Mu.decode(0xfe), 8);
        assert_eq!(Law::Mu.decode(0xff), 0);
        assert_eq!(Law::A.decode(0xaa), 32_256);
        assert_eq!(Law::A.decode(0x2a), -32_256);
        assert_eq!(Law::A.decode(0xd5), 8);
        assert_eq!(Law::A.decode(0x55), -8);
        assert_eq!(Law::Mu.encode(i16::MAX), 0x80);
        assert_eq!(Law::Mu.encode(i16::MIN), 0x00);
        assert_eq!(Law::A.encode(i16::MAX), 0xaa);
        assert_eq!(Law::A.encode(i16::MIN), 0x2a);
    }

    #[test]
    fn encoding_never_strays_further_than_half_a_step() {
        for sample in i16::MIN..=i16::MAX {
            for law in [Law::Mu, Law::A] {
                let error = i32::from(law.decode(law.encode(sample))) - i32::from(sample);
                let step = (i32::from(sample).abs() / 16).max(16);
                assert!(error.abs() <= step, "{law:?} {sample} {error}");
            }
        }
    }

    #[test]
    fn transcoding_there_and_back_keeps_the_sound() {
        let mut payload: Vec<u8> = (0..=u8::MAX).collect();
        mu_to_a(&mut payload);
        a_to_mu(&mut payload);
        for (before, after) in (0..=u8::MAX).zip(payload) {
            let before = i32::from(Law::Mu.decode(before));
            let after = i32::from(Law::Mu.decode(after));
            assert!((before - after).abs() <= (before.abs() / 16).max(16));
        }
    }

    #[test]
    fn silence_stays_silence() {
        let mut payload = [Law::Mu.silence(); 4];
        mu_to_a(&mut payload);
        assert_eq!(payload, [Law::A.silence(); 4]);
    }
}
