use crate::directory::ShardDirectory;
use crate::format::{
    HEADER_BYTES, HEADER_END, MAX_FRAME_BYTES, Parsed, SEARCH_BUDGET_BYTES, SegmentHeader, decode_payload, find_frame,
    is_about_keeping, parse_frame,
};
use crate::segment::size;
use crate::set_aside::SetAsideDirectory;
use crate::{Damage, DamageReason, Entry, Position};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use tandem_model::{Record, Timestamp};

/// The reading end of the journal of one shard: gives its records to the store, in order.
///
/// It reads while the writer writes, in the same or another process. The owner asks again after a while, or when it knows that
/// something was appended. Open it after the writer, which cuts an unfinished write.
#[derive(Debug)]
pub struct Tailer {
    directory: ShardDirectory,
    set_aside: SetAsideDirectory,
    /// `None` until there is a segment.
    current: Option<Current>,
    /// What was asked for, while there is no segment.
    start: Option<Position>,
    /// What was set aside since the last batch was given out.
    passed_over: Vec<SetAside>,
    /// The last sign of life that was read.
    heartbeat: Option<Timestamp>,
    chunk: Vec<u8>,
}

/// The segment that is read.
#[derive(Debug)]
struct Current {
    number: u64,
    file: File,
    /// Where the next frame begins.
    next: u64,
    /// Whether all of it was read, without damage. Then the snapshot of the next one tells nothing new.
    is_whole: bool,
    /// A bad frame that was seen here while the writer may have been at it.
    suspect: Option<u64>,
}

/// Some records in the order in which they were appended.
#[derive(Debug)]
pub struct Batch {
    /// The records; may be empty although the position moved, as not all entries are records.
    pub records: Vec<Record>,
    /// The last sign of life before the first record, which is at most a second younger; `None` when there is no record, or no sign of
    /// life was read before it.
    pub oldest: Option<Timestamp>,
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

/// How much more a batch may take, and how old its first record is.
struct Room {
    records: usize,
    bytes: u64,
    oldest: Option<Timestamp>,
}

/// Why reading stopped.
enum Stop {
    /// The file ends behind a whole frame.
    End,
    /// The file ends within a frame.
    Torn,
    /// No frame here.
    Bad(DamageReason),
}

/// What was taken of a chunk.
struct Taken {
    bytes: usize,
    /// `None` when the batch has all it may have.
    stop: Option<Stop>,
}

impl Tailer {
    /// Opens the journal of a shard in `directory`, the one given to the writer, at the position that the store has; `None` is
    /// its beginning, and so is a position that is not in it.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(directory: &Path, shard: u16, position: Option<Position>) -> io::Result<Self> {
        let directory = ShardDirectory::new(directory, shard);
        directory.create()?;
        let set_aside = SetAsideDirectory::open(directory.set_aside(), shard)?;
        let mut tailer = Self {
            directory,
            set_aside,
            current: None,
            start: position,
            passed_over: Vec::new(),
            heartbeat: None,
            chunk: Vec::new(),
        };
        tailer.begin()?;
        Ok(tailer)
    }

    /// Reads on, until there are `max_records` records, or `max_bytes` bytes or a little more were read, or there is no more. What was read is not read again by this tailer: keep the batch until it is stored.
    ///
    /// # Errors
    /// What the system says: nothing is lost, ask again. `InvalidData` for a segment of a newer build.
    pub fn read_batch(&mut self, max_records: usize, max_bytes: u64) -> io::Result<Batch> {
        let mut records = Vec::new();
        let mut room = Room { records: max_records.max(1), bytes: max_bytes.max(1), oldest: None };
        let read = self.read_into(&mut records, &mut room);
        let is_at_end = match read {
            Ok(is_at_end) => is_at_end,
            // The position is behind these records already.
            Err(_) if !records.is_empty() => false,
            Err(error) => return Err(error),
        };
        let end = self.position();
        Ok(Batch { records, oldest: room.oldest, end, set_aside: std::mem::take(&mut self.passed_over), is_at_end })
    }

    /// Bytes of the journal that were not read yet.
    ///
    /// # Errors
    /// What the system says.
    pub fn backlog_bytes(&self) -> io::Result<u64> {
        bytes_in(&self.directory, self.position())
    }

    /// Removes the segments that are wholly before a position that the store has, and says how many they were.
    ///
    /// # Errors
    /// What the system says.
    pub fn remove_stored(&mut self, position: Position) -> io::Result<usize> {
        // What this tailer has not entered is not on the disk for certain.
        let before = position.segment.min(self.position().segment);
        let stored: Vec<u64> = self.directory.segments()?.into_iter().filter(|number| *number < before).collect();
        for number in &stored {
            fs::remove_file(self.directory.segment_path(*number))?;
        }
        Ok(stored.len())
    }

    /// Keeps a record that the store does not take, with the reason, for a person to look at. Says in which file.
    ///
    /// # Errors
    /// What the system says; `QuotaExceeded` when enough was set aside.
    pub fn set_aside(&mut self, record: &Record, reason: &str) -> io::Result<PathBuf> {
        self.set_aside.keep_record(record, reason)
    }

    /// Where the next batch begins.
    #[must_use]
    pub fn position(&self) -> Position {
        let of_current =
            self.current.as_ref().map(|current| Position { segment: current.number, offset: current.next });
        of_current.or(self.start).unwrap_or_default()
    }

    /// Finds the first segment to read.
    fn begin(&mut self) -> io::Result<()> {
        let segments = self.directory.segments()?;
        let Some(oldest) = segments.first() else { return Ok(()) };
        if let Some(start) = self.start.filter(|start| segments.contains(&start.segment)) {
            let file = File::open(self.directory.segment_path(start.segment))?;
            // The newest has only grown since its position was stored; an older one may have lost its end with the machine.
            let is_newest = segments.last() == Some(&start.segment);
            if !is_newest || start.offset <= file.metadata()?.len() {
                let next = start.offset.max(HEADER_END);
                self.current = Some(Current { number: start.segment, file, next, is_whole: false, suspect: None });
                return Ok(());
            }
        }
        let following = self.start.and_then(|start| segments.iter().find(|number| **number > start.segment));
        let first = *following.unwrap_or(oldest);
        self.enter(first, None)
    }

    /// Goes to a segment; behind its snapshot, if everything before it was read. `read_until` is where the one before ended, if all of it
    /// was read.
    ///
    /// It and its name are brought to the disk first: no position that the store gets may name a segment that can vanish with the
    /// machine, and no segment may be removed while its successor can. That wait is on this thread, not on the shard's.
    fn enter(&mut self, number: u64, read_until: Option<Position>) -> io::Result<()> {
        let file = File::open(self.directory.segment_path(number))?;
        file.sync_all()?;
        self.directory.sync()?;
        let mut header = [0; HEADER_BYTES];
        let filled = fill(&file, 0, &mut header)?;
        let header = header.get(..filled).unwrap_or_default();
        let decoded =
            SegmentHeader::decode(header).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        let mut current = Current { number, file, next: HEADER_END, is_whole: true, suspect: None };
        let length = current.file.metadata()?.len();
        match decoded {
            // It was cut within its snapshot: what was behind that is lost, and the next snapshot has to make up for it.
            Some(header) if header.snapshot_end > length => current.is_whole = false,
            Some(header) if read_until == Some(header.previous_end) => {
                current.next = header.snapshot_end.max(HEADER_END);
            }
            Some(_) => {}
            None => {
                current.is_whole = false;
                self.pass_over(Position { segment: number, offset: 0 }, DamageReason::Header, header);
            }
        }
        self.current = Some(current);
        Ok(())
    }

    /// Whether the end was reached.
    fn read_into(&mut self, records: &mut Vec<Record>, room: &mut Room) -> io::Result<bool> {
        if self.current.is_none() {
            self.begin()?;
        }
        loop {
            let Some(stop) = self.read_run(records, room)? else { return Ok(false) };
            let Some(successor) = self.successor()? else {
                if self.skip_live_damage(stop)? {
                    continue;
                }
                return Ok(true);
            };
            // Something may have been appended since that read, but nothing after the successor appeared: this read sees the end.
            match self.read_run(records, room)? {
                None => return Ok(false),
                Some(Stop::End) => self.leave_for(successor)?,
                Some(Stop::Torn) => self.skip_damage(DamageReason::Torn)?,
                Some(Stop::Bad(reason)) => self.skip_damage(reason)?,
            }
        }
    }

    /// Reads whole frames of the current segment; `None` when the batch has all it may have.
    fn read_run(&mut self, records: &mut Vec<Record>, room: &mut Room) -> io::Result<Option<Stop>> {
        let mut chunk_bytes = CHUNK_BYTES;
        loop {
            let Some(current) = &self.current else { return Ok(Some(Stop::End)) };
            let mut chunk = std::mem::take(&mut self.chunk);
            chunk.resize(chunk_bytes, 0);
            let filled = fill(&current.file, current.next, &mut chunk);
            let taken = filled.map(|filled| {
                let taken = self.take_frames(chunk.get(..filled).unwrap_or_default(), records, room);
                (taken, filled < chunk_bytes)
            });
            self.chunk = chunk;
            let (taken, is_file_end) = taken?;
            match taken {
                Taken { stop: None, .. } => return Ok(None),
                Taken { stop: Some(Stop::End | Stop::Torn), bytes } if !is_file_end => {
                    // A frame may be larger than a chunk.
                    chunk_bytes = if bytes == 0 { MAX_FRAME_BYTES } else { CHUNK_BYTES };
                }
                Taken { stop, .. } => return Ok(stop),
            }
        }
    }

    fn take_frames(&mut self, chunk: &[u8], records: &mut Vec<Record>, room: &mut Room) -> Taken {
        let mut taken = 0;
        loop {
            if room.records == 0 || room.bytes == 0 {
                return Taken { bytes: taken, stop: None };
            }
            let rest = chunk.get(taken..).unwrap_or_default();
            let (payload, bytes) = match parse_frame(rest) {
                Parsed::Whole { payload, bytes } => (payload, bytes),
                Parsed::Incomplete if rest.is_empty() => return Taken { bytes: taken, stop: Some(Stop::End) },
                Parsed::Incomplete => return Taken { bytes: taken, stop: Some(Stop::Torn) },
                Parsed::Bad(reason) => return Taken { bytes: taken, stop: Some(Stop::Bad(reason)) },
            };
            let entry = if is_about_keeping(payload) { None } else { Some(decode_payload(payload)) };
            match entry {
                Some(Ok(Entry::Record(record))) => {
                    if records.is_empty() {
                        room.oldest = self.heartbeat;
                    }
                    records.push(record);
                    room.records -= 1;
                }
                Some(Ok(Entry::Heartbeat { at })) => self.heartbeat = Some(at),
                // In the first version of the format these are told only when they are read.
                None | Some(Ok(Entry::Keep { .. } | Entry::Forget { .. })) => {}
                Some(Err(reason)) => self.pass_over(self.position(), reason, rest.get(..bytes).unwrap_or_default()),
            }
            taken += bytes;
            room.bytes = room.bytes.saturating_sub(size(bytes));
            self.advance(size(bytes));
        }
    }

    fn advance(&mut self, bytes: u64) {
        if let Some(current) = &mut self.current {
            current.next = current.next.saturating_add(bytes);
        }
    }

    /// Sets a part aside. It does not wait for room on a full disk: reading on is what frees the disk.
    fn pass_over(&mut self, at: Position, reason: DamageReason, bytes: &[u8]) {
        let damage = Damage { at, bytes: size(bytes.len()), reason };
        let copy = self.set_aside.keep_damage(&damage, bytes);
        self.passed_over.push(SetAside { damage, copy });
        if let Some(current) = &mut self.current {
            current.is_whole = false;
        }
    }

    /// Passes over a bad frame in a segment that is written no more, up to the next whole frame or the end.
    fn skip_damage(&mut self, reason: DamageReason) -> io::Result<()> {
        let rest = self.rest()?;
        let mut budget = SEARCH_BUDGET_BYTES;
        let bytes = find_frame(&rest, &mut budget).unwrap_or(rest.len());
        self.pass_over(self.position(), reason, rest.get(..bytes).unwrap_or_default());
        self.advance(size(bytes));
        Ok(())
    }

    /// At the live end something half-written is not there yet. A bad frame is damage only if whole ones follow it, and only if
    /// it is still there at the next call: the writer may have cut and rewritten it under this read.
    fn skip_live_damage(&mut self, stop: Stop) -> io::Result<bool> {
        let Stop::Bad(reason) = stop else { return Ok(false) };
        let rest = self.rest()?;
        let Some(current) = &mut self.current else { return Ok(false) };
        if current.suspect != Some(current.next) {
            current.suspect = Some(current.next);
            return Ok(false);
        }
        let mut budget = SEARCH_BUDGET_BYTES;
        let Some(bytes) = find_frame(&rest, &mut budget) else { return Ok(false) };
        self.pass_over(self.position(), reason, rest.get(..bytes).unwrap_or_default());
        self.advance(size(bytes));
        Ok(true)
    }

    /// All that is behind the current position in its segment.
    fn rest(&self) -> io::Result<Vec<u8>> {
        let Some(current) = &self.current else { return Ok(Vec::new()) };
        let length = current.file.metadata()?.len().saturating_sub(current.next);
        let mut rest = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
        let filled = fill(&current.file, current.next, &mut rest)?;
        rest.truncate(filled);
        Ok(rest)
    }

    fn successor(&self) -> io::Result<Option<u64>> {
        let Some(current) = &self.current else { return Ok(None) };
        Ok(self.directory.segments()?.into_iter().find(|number| *number > current.number))
    }

    fn leave_for(&mut self, successor: u64) -> io::Result<()> {
        let is_whole = self.current.as_ref().is_some_and(|current| current.is_whole);
        self.enter(successor, is_whole.then(|| self.position()))
    }
}

/// Bytes of the journal of a shard that are behind a position, for who has no tailer at hand. `directory` is the one given to the writer.
///
/// # Errors
/// What the system says.
pub fn bytes_behind(directory: &Path, shard: u16, position: Position) -> io::Result<u64> {
    bytes_in(&ShardDirectory::new(directory, shard), position)
}

fn bytes_in(directory: &ShardDirectory, at: Position) -> io::Result<u64> {
    let mut bytes = 0_u64;
    for number in directory.segments()?.into_iter().filter(|number| *number >= at.segment) {
        let length = match fs::metadata(directory.segment_path(number)) {
            Ok(file) => file.len(),
            // It is stored, and was removed just now.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let read = if number == at.segment { at.offset } else { HEADER_END };
        bytes = bytes.saturating_add(length.saturating_sub(read));
    }
    Ok(bytes)
}

/// Fills a buffer from a file and says how far; not to its end at the end of the file.
fn fill(file: &File, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset.saturating_add(size(filled))) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Bytes that are read at once: some hundred entries.
const CHUNK_BYTES: usize = 256 * 1024;
