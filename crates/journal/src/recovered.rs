use crate::directory::ShardDirectory;
use crate::format::{FORMAT_VERSION, Parsed, UnknownVersion, decode_payload, parse_frame};
use crate::ledger::{Ledger, Subject};
use crate::segment::{Piece, read_segment, size};
use crate::{Damage, Entry, Kept, OpenError, Position};
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io;
use tandem_model::{CallId, CallRecord, LegId, LegRecord, NodeId, Record, Timestamp};

/// What an earlier process left open.
#[derive(Debug, Default)]
pub struct Recovered {
    /// The calls that are not over, or have a leg for which something is kept.
    pub open: BTreeMap<CallId, OpenCall>,
    /// When that process was last known to be alive; `None` in a new journal.
    pub last_heartbeat: Option<Timestamp>,
    /// What could not be read; the tailer sets it aside when it comes there.
    pub damaged: Vec<Damage>,
    /// Bytes of an unfinished write that were cut from the end. No append returned for them.
    pub cut_bytes: u64,
}

/// A call that was open when its process ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OpenCall {
    /// Its latest state, with the latest receipt. `None` only when all its states were lost to damage, or when it was over and forgotten before
    /// something was kept for one of its legs again: end the legs, there is nothing to close. A final state means that only legs
    /// are left to end.
    pub record: Option<CallRecord>,
    /// Its legs in order of their ids, so of their beginning.
    pub legs: Vec<OpenLeg>,
    /// Number of its last event; the next event has the number after it.
    pub events: u32,
}

/// A leg of an open call.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenLeg {
    /// Which.
    pub id: LegId,
    /// Its latest state. `None` when none was written yet, or all were lost to damage.
    pub record: Option<LegRecord>,
    /// What is needed to end it; `None` when it is over.
    pub kept: Option<Kept>,
}

/// Where a frame stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameRef {
    pub(crate) segment: u64,
    pub(crate) offset: u64,
    /// Of the whole frame.
    pub(crate) bytes: usize,
}

/// A journal that was read from the disk.
pub(crate) struct ReadBack {
    pub(crate) recovered: Recovered,
    pub(crate) ledger: Ledger<FrameRef>,
    /// Where the newest segment ends; zero when there is none.
    pub(crate) end: Position,
    /// The segments that the ledger points into.
    segments: BTreeMap<u64, Vec<u8>>,
}

/// Reads what is needed of a journal, and cuts an unfinished write from its end.
///
/// That is the newest segment, since it begins with a snapshot; only when its snapshot is damaged also those before it, down to the last
/// that has a whole one.
pub(crate) fn read_back(directory: &ShardDirectory, node: NodeId) -> Result<ReadBack, OpenError> {
    let io_error = |source| OpenError::Io { path: directory.path().to_owned(), source };
    let numbers = directory.segments().map_err(io_error)?;
    let mut back = ReadBack {
        recovered: Recovered::default(),
        ledger: Ledger::default(),
        end: Position::default(),
        segments: BTreeMap::new(),
    };
    for number in numbers.into_iter().rev() {
        let path = directory.segment_path(number);
        let bytes = fs::read(&path).map_err(|source| OpenError::Io { path: path.clone(), source })?;
        let mut reader = read_segment(&bytes).map_err(|UnknownVersion(version)| OpenError::UnknownVersion {
            path: path.clone(),
            version,
            known: FORMAT_VERSION,
        })?;
        let header = reader.header();
        if let Some(other) = header.filter(|header| header.node != node) {
            return Err(OpenError::OtherNode { path, found: other.node, expected: node });
        }
        let snapshot_end = header.map(|header| header.snapshot_end).filter(|end| *end <= size(bytes.len()));
        let is_whole = snapshot_end.is_some_and(|end| !reader.any(|piece| piece.is_damage_before(end)));
        back.segments.insert(number, bytes);
        if is_whole {
            break;
        }
    }
    back.fold();
    back.cut(directory).map_err(io_error)?;
    back.fill_recovered();
    Ok(back)
}

impl ReadBack {
    /// Adds a frame to a buffer; whether it is whole.
    pub(crate) fn copy_frame(&self, place: FrameRef, buffer: &mut Vec<u8>) -> bool {
        let frame = self.frame(place);
        buffer.extend_from_slice(frame.unwrap_or_default());
        frame.is_some()
    }

    fn frame(&self, place: FrameRef) -> Option<&[u8]> {
        let start = usize::try_from(place.offset).ok()?;
        self.segments.get(&place.segment)?.get(start..)?.get(..place.bytes)
    }

    fn entry(&self, place: FrameRef) -> Option<Entry> {
        match parse_frame(self.frame(place)?) {
            Parsed::Whole { payload, .. } => decode_payload(payload).ok(),
            Parsed::Incomplete | Parsed::Bad(_) => None,
        }
    }

    fn fold(&mut self) {
        for (number, bytes) in &self.segments {
            // Those of an unknown version were refused when they were read.
            let Ok(reader) = read_segment(bytes) else { continue };
            for piece in reader {
                match piece {
                    Piece::Entry { at, bytes, entry } => {
                        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
                        self.ledger.apply(Subject::from(&*entry), FrameRef { segment: *number, offset: at, bytes });
                    }
                    Piece::Damaged { at, bytes, reason } => {
                        let at = Position { segment: *number, offset: at };
                        self.recovered.damaged.push(Damage { at, bytes, reason });
                    }
                }
            }
        }
    }

    /// Cuts what an unfinished write left at the end of the newest segment. Older ones have no such end: they were closed by a writer.
    fn cut(&mut self, directory: &ShardDirectory) -> io::Result<()> {
        let Some((number, bytes)) = self.segments.last_key_value() else { return Ok(()) };
        let end = size(bytes.len());
        self.end = Position { segment: *number, offset: end };
        let is_tail = |damage: &mut Damage| {
            damage.at.segment == *number && damage.at.offset.saturating_add(damage.bytes) == end && damage.may_be_torn()
        };
        if let Some(tail) = self.recovered.damaged.pop_if(is_tail) {
            OpenOptions::new().write(true).open(directory.segment_path(*number))?.set_len(tail.at.offset)?;
            self.recovered.cut_bytes = tail.bytes;
            self.end = tail.at;
        }
        Ok(())
    }

    fn fill_recovered(&mut self) {
        let open = self.ledger.calls().map(|(id, call)| {
            let legs = call.legs.iter().map(|leg| OpenLeg {
                id: leg.id,
                record: leg.record.and_then(|place| leg_record(self.entry(place)?)),
                kept: leg.kept.and_then(|place| kept(self.entry(place)?)),
            });
            let state = |place| call_record(self.entry(place)?);
            let record = call.record().and_then(state).map(|mut record| {
                record.receipt = record.receipt.or_else(|| call.receipt().and_then(state)?.receipt);
                record
            });
            let open =
                OpenCall { record, legs: legs.collect(), events: call.last_event.map_or(0, |(number, _)| number) };
            (id, open)
        });
        self.recovered.open = open.collect();
        self.recovered.last_heartbeat = self.ledger.heartbeat().and_then(|place| heartbeat(&self.entry(place)?));
    }
}

fn call_record(entry: Entry) -> Option<CallRecord> {
    match entry {
        Entry::Record(Record::Call(call)) => Some(*call),
        Entry::Record(Record::Leg(_) | Record::Event(_) | Record::Refusal(_))
        | Entry::Keep { .. }
        | Entry::Forget { .. }
        | Entry::Heartbeat { .. } => None,
    }
}

fn leg_record(entry: Entry) -> Option<LegRecord> {
    match entry {
        Entry::Record(Record::Leg(leg)) => Some(*leg),
        Entry::Record(Record::Call(_) | Record::Event(_) | Record::Refusal(_))
        | Entry::Keep { .. }
        | Entry::Forget { .. }
        | Entry::Heartbeat { .. } => None,
    }
}

fn kept(entry: Entry) -> Option<Kept> {
    match entry {
        Entry::Keep { kept, .. } => Some(kept),
        Entry::Record(_) | Entry::Forget { .. } | Entry::Heartbeat { .. } => None,
    }
}

const fn heartbeat(entry: &Entry) -> Option<Timestamp> {
    match entry {
        Entry::Heartbeat { at } => Some(*at),
        Entry::Record(_) | Entry::Keep { .. } | Entry::Forget { .. } => None,
    }
}
