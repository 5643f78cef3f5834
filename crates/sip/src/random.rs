//! The source of randomness, which the owner of an endpoint injects.

/// Fills buffers with random octets.
///
/// In production a cryptographically secure generator seeded from the operating system, for tags, branches and
/// Call-IDs are what keeps strangers out of a dialog (RFC 3261 §19.3, §26); in tests a seeded one, so that a run
/// repeats.
pub trait Randomness: Send {
    /// Overwrites all of `octets`.
    fn fill(&mut self, octets: &mut [u8]);
}
