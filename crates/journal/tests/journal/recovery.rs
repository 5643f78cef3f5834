use crate::samples::{
    LONG_SEGMENTS, SHARD, SHORT_SEGMENTS, SLOW_SNAPSHOTS, answered_call, any_entry, at, call, call_id,
    call_with_receipt, event, forget, heartbeat, keep_dialog, leg, leg_id, node, open, segments, shard_directory,
    temporary,
};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::fs;
use tandem_journal::{AppendError, Entry, EntryError, Kept, MAX_PAYLOAD_BYTES, OpenError, Writer};
use tandem_model::{CallStatus, LegStatus, NodeId};

#[test]
fn tells_what_an_earlier_process_left_open() {
    let directory = temporary();
    let (mut writer, recovered) = open(directory.path(), LONG_SEGMENTS);
    assert!(recovered.open.is_empty() && recovered.last_heartbeat.is_none());
    writer.append(&answered_call()).unwrap();
    writer.append(&[call(2, CallStatus::Initiated), call(2, CallStatus::Busy), heartbeat(5)]).unwrap();
    drop(writer);

    let (_, recovered) = open(directory.path(), LONG_SEGMENTS);
    assert_eq!(recovered.open.keys().copied().collect::<Vec<_>>(), [call_id(1)]);
    let open_call = &recovered.open[&call_id(1)];
    assert_eq!(open_call.record.as_ref().unwrap().status, CallStatus::Answered);
    assert_eq!(open_call.events, 2);
    assert_eq!(open_call.legs.len(), 2);
    assert_eq!(open_call.legs[0].id, leg_id(1, 1));
    assert_eq!(open_call.legs[0].record.as_ref().unwrap().status, LegStatus::Answered);
    assert!(matches!(open_call.legs[0].kept, Some(Kept::Dialog { .. })));
    assert!(matches!(open_call.legs[1].kept, Some(Kept::WaitingCaller { .. })));
    assert_eq!(recovered.last_heartbeat, Some(at(5)));
    assert!(recovered.damaged.is_empty());
    assert_eq!(recovered.cut_bytes, 0);
}

#[test]
fn a_receipt_is_written_once_and_found_with_every_later_state() {
    let directory = temporary();
    let (mut writer, _) = open(directory.path(), LONG_SEGMENTS);
    writer.append(&[call_with_receipt(1, CallStatus::Initiated, 7), call(1, CallStatus::Ringing)]).unwrap();
    writer.append(&[call(1, CallStatus::Answered)]).unwrap();
    drop(writer);
    for _ in 0..2 {
        let found = open(directory.path(), LONG_SEGMENTS).1.open.remove(&call_id(1)).unwrap().record.unwrap();
        assert_eq!(found.status, CallStatus::Answered);
        assert_eq!(found.receipt.unwrap().as_str(), "7");
    }
}

#[test]
fn what_was_open_stays_known_until_it_is_closed() {
    let directory = temporary();
    open(directory.path(), LONG_SEGMENTS).0.append(&answered_call()).unwrap();
    let first = open(directory.path(), LONG_SEGMENTS).1;
    let (mut writer, second) = open(directory.path(), LONG_SEGMENTS);
    assert_eq!(first.open, second.open);
    writer.append(&[forget(1, 1), forget(1, 2), event(1, 3), call(1, CallStatus::Completed)]).unwrap();
    drop(writer);
    assert!(open(directory.path(), LONG_SEGMENTS).1.open.is_empty());
}

#[test]
fn one_directory_has_one_writer() {
    let directory = temporary();
    let (first, _) = open(directory.path(), LONG_SEGMENTS);
    let error = Writer::open(directory.path(), SHARD, node(), at(0), LONG_SEGMENTS).unwrap_err();
    assert!(matches!(error, OpenError::Locked { pid, .. } if pid == Some(std::process::id())), "{error}");
    Writer::open(directory.path(), SHARD + 1, node(), at(0), LONG_SEGMENTS).unwrap();
    drop(first);
    open(directory.path(), LONG_SEGMENTS);
}

#[test]
fn another_nodes_journal_is_refused() {
    let directory = temporary();
    open(directory.path(), LONG_SEGMENTS);
    let other = NodeId::new(at(0), [2; 10]);
    let error = Writer::open(directory.path(), SHARD, other, at(0), LONG_SEGMENTS).unwrap_err();
    assert!(matches!(error, OpenError::OtherNode { found, .. } if found == node()), "{error}");
}

#[test]
fn numbers_grow_even_when_the_directory_was_lost() {
    let directory = temporary();
    open(directory.path(), LONG_SEGMENTS);
    let (before, _) = segments(directory.path()).pop_last().unwrap();
    fs::remove_dir_all(shard_directory(directory.path())).unwrap();
    Writer::open(directory.path(), SHARD, node(), at(1), LONG_SEGMENTS).unwrap();
    let (after, _) = segments(directory.path()).pop_last().unwrap();
    assert!(before < after);
    // A clock that was set back does not matter while the directory is there.
    Writer::open(directory.path(), SHARD, node(), at(-100), LONG_SEGMENTS).unwrap();
    assert_eq!(segments(directory.path()).pop_last().unwrap().0, after + 1);
}

#[test]
fn an_entry_that_is_too_large_does_not_hold_up_the_others() {
    let directory = temporary();
    let (mut writer, _) = open(directory.path(), LONG_SEGMENTS);
    let text = "x".repeat(usize::try_from(MAX_PAYLOAD_BYTES).unwrap());
    let large = Entry::Keep { leg: leg_id(1, 1), call: call_id(1), kept: Kept::Dialog { text } };
    let error = writer.append(&[call(1, CallStatus::Initiated), large.clone(), keep_dialog(1, 2)]).unwrap_err();
    assert!(matches!(error, AppendError::Entry { index: 1, source: EntryError::TooLarge { .. } }), "{error}");
    assert!(matches!(writer.append(&[large]), Err(AppendError::Entry { index: 0, .. })));
    writer.append(&[heartbeat(8)]).unwrap();
    drop(writer);
    let (_, recovered) = open(directory.path(), LONG_SEGMENTS);
    assert_eq!(recovered.open[&call_id(1)].legs.len(), 1);
    assert_eq!(recovered.last_heartbeat, Some(at(8)));
    assert!(recovered.damaged.is_empty());
}

#[test]
fn snapshots_do_not_make_a_new_segment_of_every_append() {
    let directory = temporary();
    let (mut writer, _) = open(directory.path(), SHORT_SEGMENTS);
    // What is open fills a segment many times.
    for number in 0..100 {
        writer.append(&[call(number, CallStatus::Initiated), leg(number, 1, LegStatus::Trying)]).unwrap();
    }
    let files = segments(directory.path()).len();
    assert!((2..20).contains(&files), "{files} segments");
    assert!(writer.take_rotation_error().is_none());
    drop(writer);
    assert_eq!(open(directory.path(), SHORT_SEGMENTS).1.open.len(), 100);
}

#[test]
fn a_snapshot_that_takes_many_turns_has_what_happened_meanwhile() {
    let directory = temporary();
    let (mut writer, _) = open(directory.path(), SLOW_SNAPSHOTS);
    let mut expected = BTreeSet::new();
    for number in 0..12 {
        writer.append(&[call(number, CallStatus::Initiated), leg(number, 1, LegStatus::Trying)]).unwrap();
        expected.insert(call_id(number));
    }
    let first = writer.end().segment;
    let mut appends = 0;
    // Calls change, end and begin, whatever segments there are.
    for number in 0..200 {
        if number % 20 == 0 {
            writer.append(&[call(number / 20, CallStatus::Completed)]).unwrap();
            expected.remove(&call_id(number / 20));
            writer.append(&[call(20 + number, CallStatus::Initiated)]).unwrap();
            expected.insert(call_id(20 + number));
            appends += 2;
        }
        writer
            .append(&[call(11, CallStatus::Answered), keep_dialog(10, 1), forget(11, 1), keep_dialog(11, 1)])
            .unwrap();
        appends += 1;
    }
    assert!(writer.take_rotation_error().is_none());
    let segments_since = writer.end().segment - first;
    assert!((2..appends / 12).contains(&segments_since), "{segments_since} new segments");
    drop(writer);
    let newest = segments(directory.path()).pop_last().unwrap().1;
    for (_, path) in segments(directory.path()).into_iter().filter(|(_, path)| *path != newest) {
        fs::remove_file(path).unwrap();
    }
    let found = open(directory.path(), SLOW_SNAPSHOTS).1.open;
    assert!(found.keys().eq(&expected), "{:?}", found.keys());
    assert!(found.values().all(|call| call.record.is_some()));
    let kept = |number| found[&call_id(number)].legs.iter().filter(|leg| leg.kept.is_some()).count();
    assert_eq!((kept(10), kept(11)), (1, 1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn the_newest_segment_alone_tells_the_same_as_all_together(
        turns in prop::collection::vec(prop::collection::vec(any_entry(), 0..8), 1..40),
        options in prop::sample::select(vec![SHORT_SEGMENTS, SLOW_SNAPSHOTS]),
    ) {
        let long = temporary();
        let short = temporary();
        let mut in_one = open(long.path(), LONG_SEGMENTS).0;
        let mut in_many = open(short.path(), options).0;
        for turn in &turns {
            in_one.append(turn).unwrap();
            in_many.append(turn).unwrap();
        }
        drop((in_one, in_many));
        let newest = segments(short.path()).pop_last().unwrap().1;
        for (_, path) in segments(short.path()) {
            if path != newest {
                fs::remove_file(path).unwrap();
            }
        }
        let expected = open(long.path(), LONG_SEGMENTS).1;
        let recovered = open(short.path(), options).1;
        prop_assert_eq!(&recovered.open, &expected.open);
        prop_assert_eq!(recovered.last_heartbeat, expected.last_heartbeat);
        // Once more, from the snapshot that the last start wrote.
        prop_assert_eq!(open(short.path(), options).1.open, expected.open);
    }
}
