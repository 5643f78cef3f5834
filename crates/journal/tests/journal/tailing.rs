use crate::samples::{
    LONG_SEGMENTS, SHARD, SHORT_SEGMENTS, SLOW_SNAPSHOTS, all_records, answered_call, at, call, event, heartbeat, open,
    records, segments, shard_directory, temporary,
};
use proptest::prelude::*;
use std::fs;
use tandem_journal::{Batch, Options, Position, Tailer, Writer, bytes_behind};
use tandem_model::{CallStatus, Record};

#[test]
fn follows_the_writer_over_segments_without_repeating_snapshots() {
    follow_over_segments(SHORT_SEGMENTS);
    follow_over_segments(SLOW_SNAPSHOTS);
}

fn follow_over_segments(options: Options) {
    let directory = temporary();
    let (mut writer, _) = open(directory.path(), options);
    let mut tailer = Tailer::open(directory.path(), SHARD, None).unwrap();
    let mut appended = Vec::new();
    let mut seen = Vec::new();
    for number in 0..100 {
        let turn = [call(number, CallStatus::Initiated), event(number, 1), heartbeat(1)];
        writer.append(&turn).unwrap();
        appended.extend(records(&turn));
        seen.extend(all_records(&mut tailer));
        assert_eq!(tailer.position(), writer.end());
        assert_eq!(tailer.backlog_bytes().unwrap(), 0);
    }
    assert!(segments(directory.path()).len() > 2);
    assert_eq!(seen, appended);
    tailer.remove_stored(tailer.position()).unwrap();
    assert_eq!(segments(directory.path()).len(), 1);
}

#[test]
fn a_batch_keeps_to_its_limits() {
    let directory = temporary();
    let (mut writer, _) = open(directory.path(), LONG_SEGMENTS);
    let entries: Vec<_> = (1..=50).map(|number| event(1, number)).collect();
    writer.append(&entries).unwrap();
    let mut tailer = Tailer::open(directory.path(), SHARD, None).unwrap();
    let backlog = tailer.backlog_bytes().unwrap();
    let by_records = tailer.read_batch(10, u64::MAX).unwrap();
    assert_eq!(by_records.records, records(&entries[..10]));
    assert!(!by_records.is_at_end);
    let by_bytes = tailer.read_batch(usize::MAX, backlog / 10).unwrap();
    assert!((4..=7).contains(&by_bytes.records.len()), "{}", by_bytes.records.len());
    assert_eq!(tailer.read_batch(0, 0).unwrap().records.len(), 1);
    let rest = tailer.read_batch(usize::MAX, u64::MAX).unwrap();
    assert!(rest.is_at_end);
    assert_eq!(rest.end, writer.end());
    assert_eq!(tailer.backlog_bytes().unwrap(), 0);
}

#[test]
fn a_batch_tells_how_old_it_is_by_the_signs_of_life() {
    let directory = temporary();
    let (mut writer, _) = open(directory.path(), LONG_SEGMENTS);
    let mut tailer = Tailer::open(directory.path(), SHARD, None).unwrap();
    let mut oldest = |entries: &[_], max_records| {
        writer.append(entries).unwrap();
        tailer.read_batch(max_records, u64::MAX).unwrap().oldest
    };
    assert_eq!(oldest(&[event(1, 1)], 9), None, "nothing is known of it");
    assert_eq!(oldest(&[heartbeat(1)], 9), None, "there is no record");
    assert_eq!(oldest(&[event(1, 2), heartbeat(2), event(1, 3), heartbeat(3), event(1, 4)], 1), Some(at(1)));
    assert_eq!(oldest(&[], 1), Some(at(2)));
    assert_eq!(oldest(&[], 1), Some(at(3)));
}

#[test]
fn bytes_behind_a_position_are_those_that_a_tailer_has_not_read() {
    let directory = temporary();
    let (mut writer, _) = open(directory.path(), SHORT_SEGMENTS);
    let mut tailer = Tailer::open(directory.path(), SHARD, None).unwrap();
    let begin = tailer.position();
    let events: Vec<_> = (1..=60).map(|number| event(1, number)).collect();
    for turn in events.chunks(3) {
        writer.append(turn).unwrap();
    }
    assert!(segments(directory.path()).len() > 2);
    let all = tailer.backlog_bytes().unwrap();
    assert_eq!(bytes_behind(directory.path(), SHARD, begin).unwrap(), all);
    let batch = tailer.read_batch(20, u64::MAX).unwrap();
    let rest = bytes_behind(directory.path(), SHARD, batch.end).unwrap();
    assert!(rest < all && rest == tailer.backlog_bytes().unwrap());
    assert_eq!(bytes_behind(directory.path(), SHARD, writer.end()).unwrap(), 0);
}

#[test]
fn starts_at_the_beginning_when_the_position_is_of_a_lost_journal() {
    let directory = temporary();
    let (mut writer, _) = open(directory.path(), LONG_SEGMENTS);
    writer.append(&[event(1, 1)]).unwrap();
    let end = writer.end();
    for lost in [
        Position { segment: end.segment - 5, offset: 77 },
        Position { segment: end.segment + 5, offset: 77 },
        Position { segment: end.segment, offset: end.offset + 1 },
    ] {
        let mut tailer = Tailer::open(directory.path(), SHARD, Some(lost)).unwrap();
        assert_eq!(all_records(&mut tailer), records(&[event(1, 1)]), "{lost}");
    }
}

#[test]
fn waits_for_a_journal_that_is_not_there_yet() {
    let directory = temporary();
    let mut tailer = Tailer::open(directory.path(), SHARD, None).unwrap();
    let batch = tailer.read_batch(10, 10_000).unwrap();
    assert!(batch.records.is_empty() && batch.is_at_end);
    let (mut writer, _) = open(directory.path(), LONG_SEGMENTS);
    writer.append(&[event(1, 1)]).unwrap();
    assert_eq!(all_records(&mut tailer), records(&[event(1, 1)]));
}

#[test]
fn the_snapshot_makes_up_for_segments_that_are_gone() {
    let directory = temporary();
    open(directory.path(), LONG_SEGMENTS).0.append(&answered_call()).unwrap();
    let (oldest, path) = segments(directory.path()).pop_first().unwrap();
    let (_writer, _) = open(directory.path(), LONG_SEGMENTS);
    fs::remove_file(path).unwrap();
    let mut tailer = Tailer::open(directory.path(), SHARD, Some(Position { segment: oldest, offset: 60 })).unwrap();
    let seen = all_records(&mut tailer);
    assert!(seen.contains(&records(&[call(1, CallStatus::Answered)])[0]));
}

#[test]
fn a_snapshot_makes_up_for_what_a_cut_segment_lost() {
    let directory = temporary();
    open(directory.path(), LONG_SEGMENTS).0.append(&answered_call()).unwrap();
    let (mut writer, _) = open(directory.path(), LONG_SEGMENTS);
    // Cut within its snapshot, and between two frames, where nothing tells of the loss.
    let cuts = [100, writer.end().offset];
    writer.append(&[call(1, CallStatus::Ringing)]).unwrap();
    let (_, cut) = segments(directory.path()).pop_last().unwrap();
    drop(writer);
    let _writer = open(directory.path(), LONG_SEGMENTS).0;
    for length in cuts.into_iter().rev() {
        fs::OpenOptions::new().write(true).open(&cut).unwrap().set_len(length).unwrap();
        let mut tailer = Tailer::open(directory.path(), SHARD, None).unwrap();
        let lost = &records(&[call(1, CallStatus::Ringing)])[0];
        assert!(all_records(&mut tailer).contains(lost), "cut at {length}");
    }
}

#[test]
fn keeps_a_record_that_the_store_does_not_take() {
    let directory = temporary();
    let mut tailer = Tailer::open(directory.path(), SHARD, None).unwrap();
    let record = &records(&[event(1, 1)])[0];
    let path = tailer.set_aside(record, "no such account").unwrap();
    assert!(path.starts_with(directory.path().join("set-aside")));
    let kept: serde_json::Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    assert_eq!(kept["reason"], "no such account");
    assert_eq!(serde_json::from_value::<Record>(kept["record"].clone()).unwrap(), *record);
}

#[test]
fn unfinished_segments_are_no_segments() {
    let directory = temporary();
    let (mut writer, _) = open(directory.path(), LONG_SEGMENTS);
    writer.append(&[event(1, 1)]).unwrap();
    drop(writer);
    fs::write(shard_directory(directory.path()).join("unfinished"), b"half a snapshot").unwrap();
    let (_writer, recovered) = open(directory.path(), LONG_SEGMENTS);
    assert!(recovered.damaged.is_empty());
    let mut tailer = Tailer::open(directory.path(), SHARD, None).unwrap();
    assert_eq!(all_records(&mut tailer), records(&[event(1, 1)]));
}

/// A step of a shard, its tailer and the store, each of which may be the last before a crash.
#[derive(Clone, Copy, Debug)]
enum Step {
    Append { events: u8 },
    Read { records: usize },
    Store,
    Remove,
    CrashTailer,
    CrashAll,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..12_u8).prop_map(|events| Step::Append { events }),
        4 => (1..20_usize).prop_map(|records| Step::Read { records }),
        4 => Just(Step::Store),
        2 => Just(Step::Remove),
        1 => Just(Step::CrashTailer),
        1 => Just(Step::CrashAll),
    ]
}

/// A store that takes records and position in one transaction.
#[derive(Default)]
struct Stored {
    records: Vec<Record>,
    position: Option<Position>,
}

struct System {
    directory: tempfile::TempDir,
    writer: Option<Writer>,
    tailer: Tailer,
    unstored: Option<Batch>,
    stored: Stored,
    appended: Vec<Record>,
}

impl System {
    fn new() -> Self {
        let directory = temporary();
        let writer = open(directory.path(), SLOW_SNAPSHOTS).0;
        let tailer = Tailer::open(directory.path(), SHARD, None).unwrap();
        Self {
            directory,
            writer: Some(writer),
            tailer,
            unstored: None,
            stored: Stored::default(),
            appended: Vec::new(),
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Append { events } => {
                let first = u32::try_from(self.appended.len()).unwrap();
                // Events of calls that the journal does not follow, so that no snapshot repeats them.
                let turn: Vec<_> = (0..u32::from(events)).map(|number| event(1, first + number)).collect();
                self.writer.as_mut().unwrap().append(&turn).unwrap();
                self.appended.extend(records(&turn));
            }
            Step::Read { records } => {
                if self.unstored.is_none() {
                    self.unstored = Some(self.tailer.read_batch(records, 100_000).unwrap());
                }
            }
            Step::Store => {
                if let Some(batch) = self.unstored.take() {
                    self.stored.records.extend(batch.records);
                    self.stored.position = Some(batch.end);
                }
            }
            Step::Remove => {
                if let Some(position) = self.stored.position {
                    self.tailer.remove_stored(position).unwrap();
                }
            }
            Step::CrashTailer => self.restart_tailer(),
            Step::CrashAll => {
                self.writer = None;
                self.writer = Some(open(self.directory.path(), SLOW_SNAPSHOTS).0);
                self.restart_tailer();
            }
        }
    }

    fn restart_tailer(&mut self) {
        self.unstored = None;
        self.tailer = Tailer::open(self.directory.path(), SHARD, self.stored.position).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn the_store_gets_every_record_exactly_once_whatever_crashes(steps in prop::collection::vec(step(), 1..120)) {
        let mut system = System::new();
        for step in steps {
            system.step(step);
            prop_assert_eq!(&system.stored.records[..], &system.appended[..system.stored.records.len()]);
        }
        let rest = system.unstored.take().map_or_else(Vec::new, |batch| batch.records);
        system.stored.records.extend(rest);
        system.stored.records.extend(all_records(&mut system.tailer));
        prop_assert_eq!(system.stored.records, system.appended);
    }
}
