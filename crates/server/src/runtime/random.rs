use tandem_sip::random::Randomness;

/// The operating system's generator, fetched in blocks: one system call for some hundred tags.
pub(crate) struct OsRandom {
    block: Box<[u8; BLOCK_BYTES]>,
    used: usize,
}

impl OsRandom {
    /// A source with nothing fetched yet.
    pub(crate) fn new() -> Self {
        Self { block: Box::new([0; BLOCK_BYTES]), used: BLOCK_BYTES }
    }
}

impl Randomness for OsRandom {
    fn fill(&mut self, octets: &mut [u8]) {
        for octet in octets {
            if self.used == BLOCK_BYTES {
                // The system's generator fails only where the system call is missing or forbidden; no call is safe then.
                getrandom::fill(self.block.as_mut_slice()).expect("the operating system gives random bytes");
                self.used = 0;
            }
            // Each byte is handed out once and wiped, so that memory never shows what was used.
            if let Some(fresh) = self.block.get_mut(self.used) {
                *octet = std::mem::take(fresh);
            }
            self.used += 1;
        }
    }
}

const BLOCK_BYTES: usize = 4_096;
