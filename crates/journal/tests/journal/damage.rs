use crate::samples::{
    LONG_SEGMENTS, SHARD, SHORT_SEGMENTS, all_records, answered_call, any_entry, call, call_id, event, heartbeat, open,
    read_all, records, segments, temporary,
};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use tandem_journal::{DamageReason, Entry, OpenError, Piece, Tailer, Writer, read_segment};
use tandem_model::{CallStatus, Record};

#[test]
fn cuts_an_unfinished_write_at_whatever_byte_it_ends() {
    let directory = temporary();
    let (mut writer, _) = open(directory.path(), LONG_SEGMENTS);
    writer.append(&answered_call()).unwrap();
    let whole = writer.end().offset;
    writer.append(&[call(1, CallStatus::Completed)]).unwrap();
    let end = writer.end().offset;
    drop(writer);
    let (_, path) = segments(directory.path()).pop_last().unwrap();
    let bytes = fs::read(path).unwrap();
    for cut in whole..end {
        let directory = temporary();
        drop(open(directory.path(), LONG_SEGMENTS));
        let (number, path) = segments(directory.path()).pop_last().unwrap();
        fs::write(&path, &bytes[..usize::try_from(cut).unwrap()]).unwrap();
        let (mut writer, recovered) = open(directory.path(), LONG_SEGMENTS);
        assert_eq!(recovered.cut_bytes, cut - whole);
        assert!(recovered.damaged.is_empty());
        assert_eq!(recovered.open[&call_id(1)].record.as_ref().unwrap().status, CallStatus::Answered);
        assert_eq!(fs::metadata(path).unwrap().len(), whole);
        writer.append(&[event(9, 1)]).unwrap();
        let position = tandem_journal::Position { segment: number, offset: whole };
        let mut tailer = Tailer::open(directory.path(), SHARD, Some(position)).unwrap();
        assert_eq!(all_records(&mut tailer).last(), records(&[event(9, 1)]).last());
    }
}

#[test]
fn waits_for_the_rest_of_a_frame_at_the_live_end() {
    let directory = temporary();
    let (mut writer, _) = open(directory.path(), LONG_SEGMENTS);
    writer.append(&[event(1, 1)]).unwrap();
    let start = usize::try_from(writer.end().offset).unwrap();
    writer.append(&[event(1, 2), event(1, 3)]).unwrap();
    let (_, path) = segments(directory.path()).pop_last().unwrap();
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..start]).unwrap();
    let mut tailer = Tailer::open(directory.path(), SHARD, None).unwrap();
    let mut seen = all_records(&mut tailer);
    for byte in &bytes[start..] {
        OpenOptions::new().append(true).open(&path).unwrap().write_all(&[*byte]).unwrap();
        seen.extend(all_records(&mut tailer));
    }
    assert_eq!(seen, records(&[event(1, 1), event(1, 2), event(1, 3)]));
    assert_eq!(tailer.position(), writer.end());
}

#[test]
fn passes_over_damage_in_the_live_segment_at_second_sight() {
    let directory = temporary();
    let (mut writer, _) = open(directory.path(), LONG_SEGMENTS);
    writer.append(&[event(1, 1)]).unwrap();
    let start = usize::try_from(writer.end().offset).unwrap();
    writer.append(&[event(1, 2), event(1, 3)]).unwrap();
    let (_, path) = segments(directory.path()).pop_last().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes[start + 20] ^= 1;
    fs::write(&path, &bytes).unwrap();

    let mut tailer = Tailer::open(directory.path(), SHARD, None).unwrap();
    let first = tailer.read_batch(100, 100_000).unwrap();
    assert_eq!(first.records, records(&[event(1, 1)]));
    assert!(first.set_aside.is_empty() && first.is_at_end);
    let second = tailer.read_batch(100, 100_000).unwrap();
    assert_eq!(second.records, records(&[event(1, 3)]));
    let [aside] = second.set_aside.as_slice() else { panic!("{:?}", second.set_aside) };
    assert_eq!(aside.damage.reason, DamageReason::Checksum);
    assert_eq!(aside.damage.at.offset, u64::try_from(start).unwrap());
    let copy = aside.copy.as_ref().unwrap();
    let damaged = start..start + usize::try_from(aside.damage.bytes).unwrap();
    assert_eq!(fs::read(copy).unwrap(), bytes[damaged]);
    assert!(fs::read_to_string(copy.with_extension("txt")).unwrap().contains("the checksum is wrong"));
}

#[test]
fn a_damaged_snapshot_is_replaced_by_the_segments_before_it() {
    let directory = temporary();
    open(directory.path(), LONG_SEGMENTS).0.append(&answered_call()).unwrap();
    let expected = open(directory.path(), LONG_SEGMENTS).1.open;
    let (_, path) = segments(directory.path()).pop_last().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x40;
    fs::write(&path, bytes).unwrap();
    let recovered = open(directory.path(), LONG_SEGMENTS).1;
    assert_eq!(recovered.open, expected);
    assert_eq!(recovered.damaged.len(), 1);
}

#[test]
fn a_segment_of_a_newer_build_is_refused_by_name() {
    let directory = temporary();
    drop(open(directory.path(), LONG_SEGMENTS));
    let (_, path) = segments(directory.path()).pop_last().unwrap();
    let mut header = b"TANDEM\rJ".to_vec();
    header.extend_from_slice(&7_u32.to_le_bytes());
    let checksum = crc32fast::hash(&header);
    header.extend_from_slice(&checksum.to_le_bytes());
    fs::write(&path, &header).unwrap();
    let error = Writer::open(directory.path(), SHARD, crate::samples::node(), crate::samples::at(0), LONG_SEGMENTS)
        .unwrap_err();
    assert!(matches!(error, OpenError::UnknownVersion { version: 7, .. }), "{error}");
    assert_eq!(Tailer::open(directory.path(), SHARD, None).unwrap_err().kind(), std::io::ErrorKind::InvalidData);
}

/// What happens to a file.
#[derive(Clone, Copy, Debug)]
enum Harm {
    Flip { at: usize, bit: u8 },
    Zero { at: usize, bytes: usize },
    Cut { at: usize },
}

fn harm() -> impl Strategy<Value = Harm> {
    prop_oneof![
        (any::<usize>(), 0..8_u8).prop_map(|(at, bit)| Harm::Flip { at, bit }),
        (any::<usize>(), 1..2_000_usize).prop_map(|(at, bytes)| Harm::Zero { at, bytes }),
        any::<usize>().prop_map(|at| Harm::Cut { at }),
    ]
}

fn apply(harm: Harm, bytes: &mut Vec<u8>) {
    let length = bytes.len().max(1);
    match harm {
        Harm::Flip { at, bit } => {
            if let Some(byte) = bytes.get_mut(at % length) {
                *byte ^= 1 << bit;
            }
        }
        Harm::Zero { at, bytes: count } => bytes.iter_mut().skip(at % length).take(count).for_each(|byte| *byte = 0),
        Harm::Cut { at } => bytes.truncate(at % length),
    }
}

/// The entries of a segment with their places.
fn entries(bytes: &[u8]) -> BTreeMap<u64, (u64, Entry)> {
    read_segment(bytes)
        .unwrap()
        .filter_map(|piece| match piece {
            Piece::Entry { at, bytes, entry } => Some((at, (bytes, *entry))),
            Piece::Damaged { .. } => None,
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn damage_costs_only_what_it_hit(
        turns in prop::collection::vec(prop::collection::vec(any_entry(), 0..6), 1..20),
        harms in prop::collection::vec((any::<prop::sample::Index>(), harm()), 1..6),
    ) {
        let directory = temporary();
        let mut writer = open(directory.path(), SHORT_SEGMENTS).0;
        for turn in &turns {
            writer.append(turn).unwrap();
        }
        drop(writer);
        let paths: Vec<_> = segments(directory.path()).into_values().collect();
        let before: Vec<_> = paths.iter().map(|path| fs::read(path).unwrap()).collect();
        let mut after = before.clone();
        for (index, harm) in harms {
            apply(harm, &mut after[index.index(paths.len())]);
        }
        let mut untouched: Vec<Record> = Vec::new();
        for ((path, old), new) in paths.iter().zip(&before).zip(&after) {
            fs::write(path, new).unwrap();
            let survivors: BTreeMap<_, _> = entries(old)
                .into_iter()
                .filter(|(at, (bytes, _))| {
                    let frame = usize::try_from(*at).unwrap()..usize::try_from(at + bytes).unwrap();
                    new.get(frame.clone()) == old.get(frame)
                })
                .collect();
            // Neither less nor anything else is read.
            prop_assert_eq!(&entries(new), &survivors);
            untouched.extend(survivors.into_values().flat_map(|(_, entry)| records(&[entry])));
        }
        let (mut writer, _) = open(directory.path(), SHORT_SEGMENTS);
        writer.append(&[event(3, 99), heartbeat(7)]).unwrap();
        untouched.extend(records(&[event(3, 99)]));
        let mut tailer = Tailer::open(directory.path(), SHARD, None).unwrap();
        let batches = read_all(&mut tailer);
        prop_assert!(batches.iter().flat_map(|batch| &batch.set_aside).all(|aside| aside.copy.is_ok()));
        let seen: Vec<Record> = batches.into_iter().flat_map(|batch| batch.records).collect();
        // Snapshots are left out where they repeat what was read, so equal records may be fewer, but none is missing.
        for record in &untouched {
            prop_assert!(seen.contains(record));
        }
        prop_assert_eq!(seen.last(), untouched.last());
        prop_assert_eq!(tailer.position(), writer.end());
    }

    #[test]
    fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..2_000), harms in prop::collection::vec(harm(), 0..4)) {
        let _ = read_segment(&bytes).map(Iterator::count);
        let directory = temporary();
        open(directory.path(), LONG_SEGMENTS).0.append(&answered_call()).unwrap();
        let mut segment = fs::read(segments(directory.path()).pop_last().unwrap().1).unwrap();
        segment.extend_from_slice(&bytes);
        harms.into_iter().for_each(|harm| apply(harm, &mut segment));
        let pieces: Vec<Piece> = read_segment(&segment).unwrap().collect();
        let total: u64 = pieces.iter().map(|piece| match piece { Piece::Entry { bytes, .. } | Piece::Damaged { bytes, .. } => bytes }).sum();
        let length = u64::try_from(segment.len()).unwrap();
        prop_assert!(total == length || total + 72 == length, "pieces are all of the segment");
    }
}
