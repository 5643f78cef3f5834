use crate::appender::Appender;
use crate::directory::ShardDirectory;
use crate::format::{EntryError, Parsed, parse_frame, push_frame};
use crate::ledger::{Ledger, Subject};
use crate::new_segment::{BegunSegment, NewSegment, SegmentName};
use crate::recovered::{FrameRef, ReadBack, read_back};
use crate::segment::size;
use crate::{Entry, Position, Recovered};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use tandem_model::{NodeId, Timestamp};

/// The writing end of the journal of one shard. There is one per shard and directory at a time, in all processes.
#[derive(Debug)]
pub struct Writer {
    directory: ShardDirectory,
    /// Held as long as the writer lives.
    _lock: File,
    node: NodeId,
    shard: u16,
    options: Options,
    segment: u64,
    appender: Appender<File>,
    ledger: Ledger<FrameRef>,
    /// Where the current segment is long enough.
    rotate_at: u64,
    /// The one that is to follow the current one, while its snapshot is copied.
    successor: Option<NewSegment>,
    /// The ledger of the segment before the current one: thousands of calls take a while to free.
    discarded: Ledger<FrameRef>,
    rotation_error: Option<RotationError>,
    /// Frames of one turn, and where each ends. Kept to spare the allocation.
    buffer: Vec<u8>,
    ends: Vec<usize>,
}

/// How a journal is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// A segment that has this many bytes is followed by a new one, unless most of it is its snapshot.
    pub segment_bytes: u64,
    /// How much of the next segment's snapshot one append copies at most, so that none takes long.
    pub snapshot_bytes_per_turn: usize,
    /// Whether to wait for the disk.
    pub sync: Sync,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: DEFAULT_SEGMENT_BYTES,
            snapshot_bytes_per_turn: DEFAULT_SNAPSHOT_BYTES_PER_TURN,
            sync: Sync::Never,
        }
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
        "{path:?} has version {version} of the journal format, this build reads version {known}; start the newer build once more"
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
    /// One entry cannot be in a journal. All others are in it. The first such entry of the turn is named.
    #[error("entry {index} of the turn is not in the journal: {source}")]
    Entry {
        /// Its place in the slice.
        index: usize,
        /// Why.
        source: EntryError,
    },
}

/// What went wrong when a new segment was begun. Appends are not affected.
#[derive(Debug, thiserror::Error)]
pub enum RotationError {
    /// There is no new segment; the old one grows on, and the next attempt comes after some more bytes.
    #[error("no new journal segment could be begun: {0}")]
    Io(#[from] io::Error),
    /// There is one, but some frames of the old one that belong into its snapshot can no longer be read.
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
    /// `now` numbers the first segment, so that numbers grow even when the directory was lost and a position in the store was not.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(
        directory: &Path,
        shard: u16,
        node: NodeId,
        now: Timestamp,
        options: Options,
    ) -> Result<(Self, Recovered), OpenError> {
        let directory = ShardDirectory::new(directory, shard);
        let io_error = |source| OpenError::Io { path: directory.path().to_owned(), source };
        directory.create().map_err(io_error)?;
        let lock = match directory.lock().map_err(io_error)? {
            Ok(lock) => lock,
            Err(pid) => return Err(OpenError::Locked { directory: directory.path().to_owned(), pid }),
        };
        let back = read_back(&directory, node)?;
        let segment = back.end.segment.saturating_add(1).max(now.unix_millis() / 1_000);
        let begun = begin_at_once(&directory, SegmentName { node, shard, number: segment }, &back).map_err(io_error)?;
        let mut writer = Self {
            _lock: lock,
            node,
            shard,
            options,
            segment,
            appender: begun.appender,
            ledger: begun.ledger,
            rotate_at: 0,
            successor: None,
            discarded: Ledger::default(),
            rotation_error: left_behind(begun.left_behind),
            buffer: Vec::new(),
            ends: Vec::new(),
            directory,
        };
        writer.plan_rotation();
        Ok((writer, back.recovered))
    }

    /// Appends the entries of one turn, in order, in one write.
    ///
    /// # Errors
    /// [`AppendError`].
    pub fn append(&mut self, entries: &[Entry]) -> Result<(), AppendError> {
        let refused = self.encode(entries);
        if self.ends.is_empty() {
            return refused.map_or(Ok(()), Err);
        }
        let start = self.appender.end();
        let appended = self.appender.append(&self.buffer, &self.ends);
        let frames = appended.as_ref().map_or_else(|short| short.frames, |()| self.ends.len());
        let written = self.follow(entries, frames, start);
        self.spare_memory();
        self.discarded.discard(CALLS_FREED_PER_TURN);
        if let Err(short) = appended {
            self.give_up_successor();
            return Err(AppendError::Write { written, source: short.source });
        }
        if self.options.sync == Sync::EveryTurn {
            self.appender.medium().sync_data().map_err(AppendError::Sync)?;
        }
        if self.successor.is_some() || self.appender.end() >= self.rotate_at {
            self.rotate();
        }
        refused.map_or(Ok(()), Err)
    }

    /// The end of the journal: what a tailer has reached when it has read all.
    #[must_use]
    pub const fn end(&self) -> Position {
        Position { segment: self.segment, offset: self.appender.end() }
    }

    /// What went wrong when the last segment was begun, if it was not asked for yet.
    pub const fn take_rotation_error(&mut self) -> Option<RotationError> {
        self.rotation_error.take()
    }

    /// Fills the buffer. An entry that cannot be encoded gets no bytes, so its frame ends where it begins.
    fn encode(&mut self, entries: &[Entry]) -> Option<AppendError> {
        self.buffer.clear();
        self.ends.clear();
        let mut refused = None;
        for (index, entry) in entries.iter().enumerate() {
            if let Err(source) = push_frame(&mut self.buffer, entry) {
                refused = refused.or(Some(AppendError::Entry { index, source }));
            }
            self.ends.push(self.buffer.len());
        }
        if self.buffer.is_empty() {
            self.ends.clear();
        }
        refused
    }

    /// Enters the first frames, which are in the file, into the ledger.
    fn follow(&mut self, entries: &[Entry], frames: usize, start: u64) -> usize {
        let mut begin = 0;
        for (entry, end) in entries.iter().zip(&self.ends).take(frames) {
            let bytes = end - begin;
            if bytes > 0 {
                let place = FrameRef { segment: self.segment, offset: start.saturating_add(size(begin)), bytes };
                let subject = Subject::from(entry);
                self.ledger.apply(subject, place);
                if let (Some(successor), Some(frame)) = (&mut self.successor, self.buffer.get(begin..*end)) {
                    successor.follow(subject, frame);
                }
            }
            begin = *end;
        }
        frames
    }

    /// Goes on with the next segment, and over to it once it has its snapshot.
    fn rotate(&mut self) {
        match self.advance_successor() {
            Ok(None) => {}
            Ok(Some((number, begun))) => {
                self.segment = number;
                self.appender = begun.appender;
                self.discarded = std::mem::replace(&mut self.ledger, begun.ledger);
                self.rotation_error = left_behind(begun.left_behind);
                self.plan_rotation();
            }
            Err(error) => {
                self.give_up_successor();
                self.rotation_error = Some(RotationError::Io(error));
            }
        }
    }

    fn advance_successor(&mut self) -> io::Result<Option<(u64, BegunSegment)>> {
        let mut successor = match self.successor.take() {
            Some(successor) => successor,
            None => {
                let name = SegmentName { node: self.node, shard: self.shard, number: self.segment.saturating_add(1) };
                NewSegment::begin(&self.directory, name, &self.ledger)?
            }
        };
        let old = self.appender.medium();
        let copy = |place: FrameRef, buffer: &mut Vec<u8>| copy_frame(old, place, buffer);
        match successor.copy_some(self.options.snapshot_bytes_per_turn, &self.ledger, copy) {
            Ok(true) => {
                let number = successor.number();
                let (end, heartbeat, sync) = (self.end(), self.ledger.heartbeat(), self.options.sync);
                let begun = successor.finish(&self.directory, end, heartbeat, copy, sync)?;
                Ok(Some((number, begun)))
            }
            Ok(false) => {
                self.successor = Some(successor);
                Ok(None)
            }
            Err(error) => {
                successor.give_up();
                Err(error)
            }
        }
    }

    /// The next attempt comes after some more bytes: it costs a snapshot.
    fn give_up_successor(&mut self) {
        if let Some(successor) = self.successor.take() {
            successor.give_up();
        }
        self.rotate_at = self.rotate_at.max(self.appender.end().saturating_add(ROTATION_RETRY_BYTES));
    }

    fn plan_rotation(&mut self) {
        self.rotate_at = self.options.segment_bytes.max(self.appender.end().saturating_mul(SNAPSHOT_SHARE));
    }

    fn spare_memory(&mut self) {
        if self.buffer.capacity() > KEPT_BUFFER_BYTES {
            self.buffer = Vec::new();
        }
    }
}

/// Begins the first segment of a process: nothing happens meanwhile.
fn begin_at_once(directory: &ShardDirectory, name: SegmentName, back: &ReadBack) -> io::Result<BegunSegment> {
    let copy = |place: FrameRef, buffer: &mut Vec<u8>| back.copy_frame(place, buffer);
    let mut segment = NewSegment::begin(directory, name, &back.ledger)?;
    loop {
        match segment.copy_some(SNAPSHOT_WRITE_BYTES, &back.ledger, copy) {
            Ok(true) => return segment.finish(directory, back.end, back.ledger.heartbeat(), copy, Sync::EveryTurn),
            Ok(false) => {}
            Err(error) => {
                segment.give_up();
                return Err(error);
            }
        }
    }
}

/// Adds a frame of a file to a buffer; whether it is whole.
fn copy_frame(file: &File, place: FrameRef, buffer: &mut Vec<u8>) -> bool {
    let start = buffer.len();
    buffer.resize(start.saturating_add(place.bytes), 0);
    let frame = buffer.get_mut(start..).unwrap_or_default();
    let is_whole = file.read_exact_at(frame, place.offset).is_ok()
        && matches!(parse_frame(frame), Parsed::Whole { bytes, .. } if bytes == place.bytes);
    if !is_whole {
        buffer.truncate(start);
    }
    is_whole
}

fn left_behind(frames: usize) -> Option<RotationError> {
    (frames > 0).then_some(RotationError::LeftBehind { frames })
}

/// Large enough that a new segment, with its snapshot, is a rare event; small enough that stored ones free the disk soon.
pub const DEFAULT_SEGMENT_BYTES: u64 = 32 * 1024 * 1024;
/// Some fifty frames, which a shard has read and written in a fifth of a millisecond.
pub const DEFAULT_SNAPSHOT_BYTES_PER_TURN: usize = 64 * 1024;
/// Bytes of the first snapshot of a process that are gathered for one write.
const SNAPSHOT_WRITE_BYTES: usize = 256 * 1024;
/// Calls of an old ledger that one append frees.
const CALLS_FREED_PER_TURN: usize = 64;
/// A segment is at least so many times as long as its snapshot, so that snapshots are at most a quarter of what is written.
const SNAPSHOT_SHARE: u64 = 4;
/// How much a segment grows after one could not be begun until the next attempt.
const ROTATION_RETRY_BYTES: u64 = 4 * 1024 * 1024;
/// A turn's buffer that is larger was an exception; its memory is given back.
const KEPT_BUFFER_BYTES: usize = 1024 * 1024;
