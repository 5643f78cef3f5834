use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use tandem_model::Reason;
use tandem_switch::Answer;

/// Whether the node takes new calls: what the shard asks before each call, answered from what the process knows of itself.
#[derive(Debug)]
pub(crate) struct Admission {
    draining: AtomicBool,
    journal_writable: AtomicBool,
    /// Of the disk that the journal is on.
    free_bytes: AtomicU64,
    unstored_records: AtomicUsize,
}

impl Default for Admission {
    fn default() -> Self {
        Self {
            draining: AtomicBool::new(false),
            journal_writable: AtomicBool::new(true),
            // Not looked at yet: nobody is refused for it.
            free_bytes: AtomicU64::new(u64::MAX),
            unstored_records: AtomicUsize::new(0),
        }
    }
}

impl Admission {
    pub(crate) fn answer(&self) -> Answer {
        let free_bytes = self.free_bytes.load(Ordering::Relaxed);
        if self.is_draining() {
            Answer::Refuse(Reason::Draining)
        } else if !self.is_journal_writable() {
            Answer::Refuse(Reason::JournalUnwritable)
        } else if free_bytes < LEAST_FREE_BYTES {
            Answer::Refuse(Reason::LowDisk { free_mb: free_bytes / MEGABYTE })
        } else {
            Answer::Admit
        }
    }

    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    pub(crate) fn set_journal_writable(&self, writable: bool) {
        self.journal_writable.store(writable, Ordering::Relaxed);
    }

    pub(crate) fn is_journal_writable(&self) -> bool {
        self.journal_writable.load(Ordering::Relaxed)
    }

    /// Of the journal's disk; `None` before the first look.
    pub(crate) fn free_bytes(&self) -> Option<u64> {
        Some(self.free_bytes.load(Ordering::Relaxed)).filter(|bytes| *bytes != u64::MAX)
    }

    pub(crate) fn set_free_bytes(&self, bytes: u64) {
        self.free_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Records are about to be written to the journal.
    pub(crate) fn records_wait(&self, count: usize) {
        self.unstored_records.fetch_add(count, Ordering::Relaxed);
    }

    /// Records are stored, or were not written after all. Those of an earlier process may be among them, which were never counted.
    pub(crate) fn records_stored(&self, count: usize) {
        let less = |waiting: usize| Some(waiting.saturating_sub(count));
        // The closure never says no.
        let _ = self.unstored_records.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    pub(crate) fn unstored_records(&self) -> usize {
        self.unstored_records.load(Ordering::Relaxed)
    }
}

const MEGABYTE: u64 = 1_000_000;
/// What calls that are up may still write must fit: below this new ones are refused.
const LEAST_FREE_BYTES: u64 = 64 * MEGABYTE;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_with_the_reason_that_holds() {
        let admission = Admission::default();
        assert_eq!(admission.answer(), Answer::Admit);
        admission.set_free_bytes(LEAST_FREE_BYTES - 1);
        assert_eq!(admission.answer(), Answer::Refuse(Reason::LowDisk { free_mb: 63 }));
        admission.set_free_bytes(LEAST_FREE_BYTES);
        admission.set_journal_writable(false);
        assert_eq!(admission.answer(), Answer::Refuse(Reason::JournalUnwritable));
        admission.drain();
        assert_eq!(admission.answer(), Answer::Refuse(Reason::Draining));
    }

    #[test]
    fn counts_no_less_than_nothing() {
        let admission = Admission::default();
        admission.records_wait(1);
        admission.records_stored(5);
        assert_eq!(admission.unstored_records(), 0);
    }
}
