use crate::{Entry, Recovered};
use std::io;
use std::path::{Path, PathBuf};
use tandem_model::{NodeId, Timestamp};

/// The writing end of the journal of one shard. There is one per shard and directory at a time, in all processes.
#[derive(Debug)]
pub struct Writer {}

/// How a journal is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// A segment that has this many bytes is followed by a new one.
    pub segment_bytes: u64,
    /// Whether to wait for the disk.
    pub sync: Sync,
}

impl Default for Options {
    fn default() -> Self {
        Self { segment_bytes: DEFAULT_SEGMENT_BYTES, sync: Sync::Never }
    }
}

/// Whether an append waits until the disk has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// No: what was appended survives the end of the process, not that of the machine.
    Never,
    /// Yes: it survives the end of the machine too. Each turn then takes as long as the disk does.
    EveryTurn,
}

/// Why a journal cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it, or another writer of this one.
    #[error("{directory:?} is in use by another server{}; stop it, or give this one a data directory of its own",
        pid.map_or_else(String::new, |pid| format!(" (process {pid})")))]
    Locked {
        /// The shard's directory.
        directory: PathBuf,
        /// Who has it, where that is known.
        pid: Option<u32>,
    },
    /// A segment was written by a newer build.
    #[error(
        "{path:?} has version {version} of the journal format, this build reads up to {known}; start the newer build once more"
    )]
    UnknownVersion {
        /// Which file.
        path: PathBuf,
        /// Its version.
        version: u32,
        /// The highest version that this build reads.
        known: u32,
    },
    /// A segment belongs to another node: its calls are not ours to end.
    #[error("{path:?} belongs to node {found}, this is node {expected}; a node has a data directory of its own")]
    OtherNode {
        /// Which file.
        path: PathBuf,
        /// Whose it is.
        found: NodeId,
        /// Who we are.
        expected: NodeId,
    },
    /// The disk says no.
    #[error("{path:?} cannot be read or written: {source}")]
    Io {
        /// What was touched.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Why entries are not, or not all, in the journal. Later appends work again.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The file did not take all. The first entries are in the journal and need not be appended again.
    #[error("the journal cannot be written: {source}")]
    Write {
        /// How many entries are in the journal.
        written: usize,
        /// What the system said; `StorageFull` when the disk is.
        source: io::Error,
    },
    /// All entries are in the file, but the disk may not have them ([`Sync::EveryTurn`]).
    #[error("the journal could not be brought to the disk: {0}")]
    Sync(io::Error),
    /// One entry has more bytes than an entry may have, or cannot be written as JSON. All others are in the journal.
    #[error("entry {index} of the turn is too large for the journal ({bytes} bytes)")]
    TooLarge {
        /// Its place in the slice.
        index: usize,
        /// Its encoded size.
        bytes: usize,
    },
}

/// What went wrong when a new segment was begun. Appends are not affected.
#[derive(Debug, thiserror::Error)]
pub enum RotationError {
    /// There is no new segment; the old one grows on, and the next attempt comes after some more bytes.
    #[error("no new journal segment could be begun: {0}")]
    Io(#[from] io::Error),
    /// There is one, but what was kept in these frames of the old one can no longer be read.
    #[error("{frames} frames of the old journal segment are damaged and were left behind")]
    LeftBehind {
        /// How many.
        frames: usize,
    },
}

impl Writer {
    /// Opens the journal of a shard in `directory`, which is made if it is missing: takes its lock, cuts an unfinished write from
    /// the end, tells what was open, and begins a new segment.
    ///
    /// `now` numbers the first segment, so that the numbers grow even when the directory was lost.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(
        directory: &Path,
        _shard: u16,
        _node: NodeId,
        _now: Timestamp,
        _options: Options,
    ) -> Result<(Self, Recovered), OpenError> {
        Err(OpenError::Locked { directory: directory.to_owned(), pid: None })
    }

    /// Appends the entries of one turn, in order, in one write.
    ///
    /// # Errors
    /// [`AppendError`].
    pub fn append(&mut self, _entries: &[Entry]) -> Result<(), AppendError> {
        Err(AppendError::Sync(io::ErrorKind::Unsupported.into()))
    }

    /// What went wrong when the last segment was begun, if it was not asked for yet.
    pub fn take_rotation_error(&mut self) -> Option<RotationError> {
        None
    }
}

/// Large enough that a new segment, with its snapshot, is a rare event; small enough that stored ones free the disk soon.
pub const DEFAULT_SEGMENT_BYTES: u64 = 32 * 1024 * 1024;
