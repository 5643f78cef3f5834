//! RTP whose audio says who spoke, even after it has been turned from one law of G.711 into the other.

/// Who speaks: a call of a far end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Tag(pub(crate) u32);

/// A packet of 20 ms.
pub(crate) fn packet(tag: Tag, payload_type: u8, sequence: u16) -> Vec<u8> {
    let mut packet = vec![0x80, payload_type];
    packet.extend(sequence.to_be_bytes());
    packet.extend((u32::from(sequence) * SAMPLES_PER_SECOND).to_be_bytes());
    packet.extend(tag.0.to_be_bytes());
    let (loud, silence) = if payload_type == PCMA { (LOUD_A, SILENCE_A) } else { (LOUD_MU, SILENCE_MU) };
    let bits = u64::from(MAGIC) << 32 | u64::from(tag.0);
    // In both laws the highest bit is the sign of the sample, set for positive ones; a loud one keeps it when it is translated.
    let sample = |bit: u32| if bits >> (63 - bit) & 1 == 1 { loud } else { loud & 0x7f };
    packet.extend((0..64).map(sample));
    packet.resize(HEADER_LEN + SAMPLES, silence);
    packet
}

/// Who spoke in a packet; `None` where nobody of ours did: a tone, or silence.
pub(crate) fn speaker(packet: &[u8]) -> Option<Tag> {
    let marked = packet.get(HEADER_LEN..HEADER_LEN + 64)?;
    let bits = marked.iter().fold(0_u64, |bits, octet| bits << 1 | u64::from(octet >> 7));
    let (magic, tag) = (bits >> 32, bits & 0xffff_ffff);
    (magic == u64::from(MAGIC)).then(|| Tag(u32::try_from(tag).unwrap()))
}

pub(crate) const PCMU: u8 = 0;
pub(crate) const PCMA: u8 = 8;
const HEADER_LEN: usize = 12;
const SAMPLES: usize = 160;
/// A far end speaks once in so many samples, to spare the machine that simulates it.
const SAMPLES_PER_SECOND: u32 = 8_000;
/// No tone and no silence has samples with these signs.
const MAGIC: u32 = 0xa3c5_96f1;
const LOUD_MU: u8 = 0x80;
const SILENCE_MU: u8 = 0xff;
const LOUD_A: u8 = 0xaa;
const SILENCE_A: u8 = 0xd5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_speaker_is_known_in_either_law_and_after_translation() {
        for (payload_type, translate) in
            [(PCMU, tandem_media::g711::mu_to_a as fn(&mut [u8])), (PCMA, tandem_media::g711::a_to_mu as fn(&mut [u8]))]
        {
            let mut packet = packet(Tag(0xdead_0001), payload_type, 7);
            assert_eq!(speaker(&packet), Some(Tag(0xdead_0001)));
            translate(&mut packet[HEADER_LEN..]);
            assert_eq!(speaker(&packet), Some(Tag(0xdead_0001)));
        }
        assert_eq!(speaker(&[0xff; 172]), None);
    }
}
