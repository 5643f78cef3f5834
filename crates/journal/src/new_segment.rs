use crate::appender::Appender;
use crate::directory::{ShardDirectory, private_file};
use crate::format::{HEADER_END, SegmentHeader};
use crate::ledger::Ledger;
use crate::recovered::FrameRef;
use crate::segment::size;
use crate::{Position, Sync};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use tandem_model::NodeId;

/// Which segment to begin.
pub(crate) struct NewSegment<'a> {
    pub(crate) directory: &'a ShardDirectory,
    pub(crate) node: NodeId,
    pub(crate) shard: u16,
    pub(crate) number: u64,
    pub(crate) previous_end: Position,
}

/// A segment that has its snapshot and takes entries.
pub(crate) struct BegunSegment {
    pub(crate) appender: Appender<File>,
    /// The same last words, now all in this segment.
    pub(crate) ledger: Ledger<FrameRef>,
    /// Frames that could not be copied.
    pub(crate) left_behind: usize,
}

/// Begins a segment with a snapshot: the frames that the ledger names, copied by `copy`, which says whether it could. The segment gets its
/// name only when all that is in it, so whoever sees it sees a whole snapshot.
pub(crate) fn begin_segment(
    new: &NewSegment<'_>,
    ledger: &Ledger<FrameRef>,
    copy: impl FnMut(FrameRef, &mut Vec<u8>) -> bool,
    sync: Sync,
) -> io::Result<BegunSegment> {
    let path = new.directory.unfinished_path();
    let begun = write_segment(new, ledger, copy, sync);
    if begun.is_err() {
        // It may be what fills the disk. The next attempt overwrites it anyway.
        let _ = fs::remove_file(path);
    }
    begun
}

fn write_segment(
    new: &NewSegment<'_>,
    ledger: &Ledger<FrameRef>,
    mut copy: impl FnMut(FrameRef, &mut Vec<u8>) -> bool,
    sync: Sync,
) -> io::Result<BegunSegment> {
    let path = new.directory.unfinished_path();
    let file = private_file().read(true).write(true).create(true).truncate(true).open(&path)?;
    let mut copied = Ledger::default();
    let mut left_behind = 0;
    let mut buffer = Vec::new();
    let mut written = HEADER_END;
    for (subject, place) in ledger.last_words() {
        let start = buffer.len();
        if copy(place, &mut buffer) {
            let offset = written.saturating_add(size(start));
            copied.apply(subject, FrameRef { segment: new.number, offset, bytes: buffer.len() - start });
        } else {
            left_behind += 1;
        }
        if buffer.len() >= SNAPSHOT_WRITE_BYTES {
            file.write_all_at(&buffer, written)?;
            written = written.saturating_add(size(buffer.len()));
            buffer.clear();
        }
    }
    file.write_all_at(&buffer, written)?;
    let end = written.saturating_add(size(buffer.len()));
    let header = SegmentHeader {
        node: new.node,
        number: new.number,
        snapshot_end: end,
        previous_end: new.previous_end,
        shard: new.shard,
    };
    file.write_all_at(&header.encode(), 0)?;
    if sync == Sync::EveryTurn {
        file.sync_all()?;
    }
    fs::rename(&path, new.directory.segment_path(new.number))?;
    if sync == Sync::EveryTurn {
        new.directory.sync()?;
    }
    Ok(BegunSegment { appender: Appender::new(file, end), ledger: copied, left_behind })
}

/// Bytes of a snapshot that are gathered for one write.
const SNAPSHOT_WRITE_BYTES: usize = 256 * 1024;
