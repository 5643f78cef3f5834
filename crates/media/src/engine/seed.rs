//! Random values of one port, from the seed that came with it.

/// SplitMix64: every seed gives a full sequence of well-mixed values.
///
/// The secret is in the seed, which the owner draws from a cryptographic source; these values are seen by the peer only.
#[derive(Debug)]
pub(crate) struct Seeded(u64);

impl Seeded {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn next_u32(&mut self) -> u32 {
        crate::rtp::wrap(self.next_u64() >> 32)
    }

    /// Uniform from 0 to `limit`, which is at most 2^32, without it.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        (u64::from(self.next_u32()) * limit) >> 32
    }
}
