use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tandem_model::Reason;
use tandem_switch::Answer;

/// Whether the node takes new calls: what the shard asks before each call, answered from what the process knows of itself.
#[derive(Debug, Default)]
pub(crate) struct Admission {
    draining: AtomicBool,
    unstored_records: AtomicUsize,
}

impl Admission {
    pub(crate) fn answer(&self) -> Answer {
        if self.is_draining() {
            return Answer::Refuse(Reason::Draining);
        }
        // The store is far behind: a call whose record may not fit into memory is better not begun.
        if self.unstored_records() >= MAX_UNSTORED_RECORDS {
            return Answer::Refuse(Reason::NodeFull);
        }
        Answer::Admit
    }

    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    pub(crate) fn record_waits(&self) {
        self.unstored_records.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn records_stored(&self, count: usize) {
        self.unstored_records.fetch_sub(count, Ordering::Relaxed);
    }

    pub(crate) fn unstored_records(&self) -> usize {
        self.unstored_records.load(Ordering::Relaxed)
    }
}

/// About 1 GiB of records, or minutes of full load.
const MAX_UNSTORED_RECORDS: usize = 500_000;
