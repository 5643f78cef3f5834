use crate::{Damage, Position};
use std::io;
use std::path::{Path, PathBuf};
use tandem_model::Record;

/// The reading end of the journal of one shard: gives its records to the store, in order.
///
/// It reads while the writer writes, in the same or another process. The owner asks again after a while, or when it knows that
/// something was appended. Open it after the writer, which cuts an unfinished write.
#[derive(Debug)]
pub struct Tailer {}

/// Some records in the order in which they were appended.
#[derive(Debug)]
pub struct Batch {
    /// The records; may be empty although the position moved, as not all entries are records.
    pub records: Vec<Record>,
    /// Where the next batch begins: what to write to the store together with the records.
    pub end: Position,
    /// What could not be read on the way.
    pub set_aside: Vec<SetAside>,
    /// Whether there was no more to read.
    pub is_at_end: bool,
}

/// Something unreadable that was passed over.
#[derive(Debug)]
pub struct SetAside {
    /// What and where.
    pub damage: Damage,
    /// The file that holds a copy of it, or why there is none.
    pub copy: io::Result<PathBuf>,
}

impl Tailer {
    /// Opens the journal of a shard in `directory`, the one given to the writer, at the position that the store has; `None` is
    /// its beginning, and so is a position that is not in it.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(_directory: &Path, _shard: u16, _position: Option<Position>) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Reads on, until there are `max_records` records, or `max_bytes` bytes were read (one entry is read always), or there is no
    /// more. What was read is not read again by this tailer: keep the batch until it is stored.
    ///
    /// # Errors
    /// What the system says; the same batch can be asked for again. `InvalidData` for a segment of a newer build.
    pub fn read_batch(&mut self, _max_records: usize, _max_bytes: u64) -> io::Result<Batch> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Bytes of the journal that were not read yet.
    ///
    /// # Errors
    /// What the system says.
    pub fn backlog_bytes(&self) -> io::Result<u64> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Removes the segments that are wholly before a position that the store has, and says how many they were.
    ///
    /// # Errors
    /// What the system says.
    pub fn remove_stored(&mut self, _position: Position) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Keeps a record that the store does not take, with the reason, for a person to look at. Says in which file.
    ///
    /// # Errors
    /// What the system says; `QuotaExceeded` when enough was set aside.
    pub fn set_aside(&mut self, _record: &Record, _reason: &str) -> io::Result<PathBuf> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
