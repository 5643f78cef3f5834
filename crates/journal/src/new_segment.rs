use crate::appender::Appender;
use crate::directory::{ShardDirectory, private_file};
use crate::format::{HEADER_END, SegmentHeader};
use crate::ledger::{Ledger, Subject, Walk};
use crate::recovered::FrameRef;
use crate::segment::size;
use crate::{Position, Sync};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use tandem_model::NodeId;

/// Whose segment it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentName {
    pub(crate) node: NodeId,
    pub(crate) shard: u16,
    pub(crate) number: u64,
}

/// A segment that has its snapshot and takes entries.
pub(crate) struct BegunSegment {
    pub(crate) appender: Appender<File>,
    /// The same last words, now all in this segment.
    pub(crate) ledger: Ledger<FrameRef>,
    /// Frames that could not be copied.
    pub(crate) left_behind: usize,
}

/// A segment that is being begun, while the one before it, if there is one, is still written.
///
/// Its snapshot is copied a few calls at a time: thousands of calls are tens of milliseconds, for which no message may wait. What
/// happens meanwhile to calls that were copied, and to new ones, is appended to both segments: see [`Walk`]. So the snapshot may hold
/// words that later ones in it replace, and folds to what the whole journal folds to.
///
/// It gets its name only when all that is in it, so whoever sees it sees a whole snapshot.
#[derive(Debug)]
pub(crate) struct NewSegment {
    name: SegmentName,
    unfinished: PathBuf,
    file: File,
    /// How far the file is written, with what is in the buffer.
    end: u64,
    ledger: Ledger<FrameRef>,
    left_behind: usize,
    walk: Walk,
    buffer: Vec<u8>,
}

impl NewSegment {
    /// Begins one that is to take over from this ledger.
    pub(crate) fn begin(directory: &ShardDirectory, name: SegmentName, ledger: &Ledger<FrameRef>) -> io::Result<Self> {
        let unfinished = directory.unfinished_path();
        let file = private_file().read(true).write(true).create(true).truncate(true).open(&unfinished)?;
        Ok(Self {
            name,
            unfinished,
            file,
            end: HEADER_END,
            ledger: Ledger::default(),
            left_behind: 0,
            walk: Walk::over(ledger),
            buffer: Vec::new(),
        })
    }

    pub(crate) const fn number(&self) -> u64 {
        self.name.number
    }

    /// Takes a frame that was appended to the segment before, if it needs it.
    pub(crate) fn follow(&mut self, subject: Subject, frame: &[u8]) {
        if self.walk.takes(subject) {
            self.buffer.extend_from_slice(frame);
            self.enter(subject, frame.len());
        }
    }

    /// Copies the last words on some more calls, about so many bytes; whether those on all calls are copied. `copy` adds a frame to a
    /// buffer, and says whether it could.
    pub(crate) fn copy_some(
        &mut self,
        bytes: usize,
        ledger: &Ledger<FrameRef>,
        mut copy: impl FnMut(FrameRef, &mut Vec<u8>) -> bool,
    ) -> io::Result<bool> {
        let enough = self.buffer.len().saturating_add(bytes);
        let mut is_whole = true;
        for (id, call) in self.walk.ahead(ledger) {
            if self.buffer.len() >= enough {
                is_whole = false;
                break;
            }
            for (subject, place) in call.last_words(id) {
                self.copy(subject, place, &mut copy);
            }
            self.walk.pass(id);
        }
        self.write()?;
        Ok(is_whole)
    }

    /// Gives it its name. `previous_end` is where the segment before it ends for good.
    pub(crate) fn finish(
        mut self,
        directory: &ShardDirectory,
        previous_end: Position,
        heartbeat: Option<FrameRef>,
        mut copy: impl FnMut(FrameRef, &mut Vec<u8>) -> bool,
        sync: Sync,
    ) -> io::Result<BegunSegment> {
        if let Some(place) = heartbeat {
            self.copy(Subject::Heartbeat, place, &mut copy);
        }
        self.write()?;
        let SegmentName { node, shard, number } = self.name;
        let header = SegmentHeader { node, number, snapshot_end: self.end, previous_end, shard };
        self.file.write_all_at(&header.encode(), 0)?;
        if sync == Sync::EveryTurn {
            self.file.sync_all()?;
        }
        fs::rename(&self.unfinished, directory.segment_path(number))?;
        if sync == Sync::EveryTurn {
            directory.sync()?;
        }
        Ok(BegunSegment {
            appender: Appender::new(self.file, self.end),
            ledger: self.ledger,
            left_behind: self.left_behind,
        })
    }

    /// Removes it: it may be what fills the disk.
    pub(crate) fn give_up(self) {
        // The next attempt overwrites it anyway.
        let _ = fs::remove_file(self.unfinished);
    }

    fn copy(&mut self, subject: Subject, place: FrameRef, copy: &mut impl FnMut(FrameRef, &mut Vec<u8>) -> bool) {
        let start = self.buffer.len();
        if copy(place, &mut self.buffer) {
            self.enter(subject, self.buffer.len() - start);
        } else {
            self.left_behind += 1;
        }
    }

    /// What was just added to the buffer is the last word on its subject.
    fn enter(&mut self, subject: Subject, bytes: usize) {
        self.ledger.apply(subject, FrameRef { segment: self.name.number, offset: self.end, bytes });
        self.end = self.end.saturating_add(size(bytes));
    }

    fn write(&mut self) -> io::Result<()> {
        self.file.write_all_at(&self.buffer, self.end.saturating_sub(size(self.buffer.len())))?;
        self.buffer.clear();
        Ok(())
    }
}
