use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use tandem_journal::{Position, bytes_behind};
use tandem_model::Timestamp;

/// How far the journal is written and stored: kept by the shard and the recorder, shown by `/health/ready`.
#[derive(Debug)]
pub(crate) struct JournalGauge {
    directory: PathBuf,
    shard: u16,
    /// Entries that the disk did not take yet.
    unwritten: AtomicUsize,
    /// Refusals that were not written down, because the disk took nothing and too many waited.
    refusals_lost: AtomicUsize,
    /// Whether the database took what it was last given.
    takes_records: AtomicBool,
    stored: Mutex<Stored>,
}

#[derive(Debug)]
struct Stored {
    /// All before it is stored, or nothing that is.
    position: Position,
    /// When the oldest record was written that the store was given and did not take yet.
    oldest_unstored: Option<Timestamp>,
}

impl JournalGauge {
    /// Of the journal of a shard in a directory, which is stored up to a position.
    pub(crate) fn new(directory: PathBuf, shard: u16, position: Position) -> Self {
        Self {
            directory,
            shard,
            unwritten: AtomicUsize::new(0),
            refusals_lost: AtomicUsize::new(0),
            takes_records: AtomicBool::new(true),
            stored: Mutex::new(Stored { position, oldest_unstored: None }),
        }
    }

    pub(crate) fn set_unwritten(&self, entries: usize) {
        self.unwritten.store(entries, Ordering::Relaxed);
    }

    pub(crate) fn unwritten(&self) -> usize {
        self.unwritten.load(Ordering::Relaxed)
    }

    pub(crate) fn refusal_lost(&self) {
        self.refusals_lost.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn refusals_lost(&self) -> usize {
        self.refusals_lost.load(Ordering::Relaxed)
    }

    /// The store is given records, the oldest of which is so old.
    pub(crate) fn storing(&self, oldest: Option<Timestamp>) {
        self.stored.lock().unwrap_or_else(PoisonError::into_inner).oldest_unstored = oldest;
    }

    /// The store did not take them.
    pub(crate) fn not_stored(&self) {
        self.takes_records.store(false, Ordering::Relaxed);
    }

    /// The store has taken what it was given.
    pub(crate) fn stored(&self, position: Position) {
        self.takes_records.store(true, Ordering::Relaxed);
        self.passed(position);
    }

    /// Up to here there was nothing to store.
    pub(crate) fn passed(&self, position: Position) {
        *self.stored.lock().unwrap_or_else(PoisonError::into_inner) = Stored { position, oldest_unstored: None };
    }

    pub(crate) fn takes_records(&self) -> bool {
        self.takes_records.load(Ordering::Relaxed)
    }

    /// When the oldest record was written that is not stored.
    pub(crate) fn oldest_unstored(&self) -> Option<Timestamp> {
        self.stored.lock().unwrap_or_else(PoisonError::into_inner).oldest_unstored
    }

    /// Bytes of the journal that are not stored. Asks the file system.
    pub(crate) fn backlog_bytes(&self) -> io::Result<u64> {
        let position = self.stored.lock().unwrap_or_else(PoisonError::into_inner).position;
        bytes_behind(&self.directory, self.shard, position)
    }
}
