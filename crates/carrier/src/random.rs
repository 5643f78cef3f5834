//! Numbers for media ports, session descriptions and bad lines.

use tandem_sip::random::Randomness;

/// SplitMix64 (Steele, Lea, Flood 2014), started from the injected source, which itself goes to the endpoint.
///
/// RTP's first sequence numbers and `o=` ids must differ, not resist: a simulated carrier has no secrets in them. Tags and
/// branches, which must resist, are drawn by the endpoint from the injected source.
#[derive(Debug)]
pub(crate) struct Seeds(u64);

impl Seeds {
    pub(crate) fn new(random: &mut dyn Randomness) -> Self {
        let mut octets = [0; 8];
        random.fill(&mut octets);
        Self(u64::from_le_bytes(octets))
    }

    pub(crate) fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Evenly from 0 to below `limit`; 0 where that is 0.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        let product = u128::from(self.next()) * u128::from(limit);
        u64::try_from(product >> 64).expect("a product of two numbers of 64 bits has 128")
    }
}
