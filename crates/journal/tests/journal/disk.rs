use crate::samples::{Mount, SHARD, SHORT_SEGMENTS, all_records, event, open, records};
use std::fs;
use tandem_journal::{AppendError, Tailer};

/// A file system of its own with little room takes root; that appends survive any short write is tested without it beside the appender.
#[test]
fn a_full_disk_refuses_appends_and_takes_them_again_when_there_is_room() {
    let Some(disk) = Mount::of_bytes(512 * 1024) else { return };
    let (mut writer, _) = open(disk.path(), SHORT_SEGMENTS);
    let ballast = disk.path().join("ballast");
    fs::write(&ballast, vec![0; 256 * 1024]).unwrap();
    let mut appended = Vec::new();
    let mut number = 0;
    let mut turn = || {
        let turn: Vec<_> = (number..number + 40).map(|number| event(1, number)).collect();
        number += 40;
        turn
    };
    let full = loop {
        let entries = turn();
        match writer.append(&entries) {
            Ok(()) => appended.extend(entries),
            Err(AppendError::Write { written, source }) => {
                appended.extend_from_slice(&entries[..written]);
                break source;
            }
            Err(other) => panic!("{other}"),
        }
    };
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    assert!(matches!(writer.append(&turn()), Err(AppendError::Write { written: 0, .. })));
    fs::remove_file(ballast).unwrap();
    let entries = turn();
    writer.append(&entries).unwrap();
    appended.extend(entries);
    let mut tailer = Tailer::open(disk.path(), SHARD, None).unwrap();
    assert_eq!(all_records(&mut tailer), records(&appended));
    drop(writer);
    let recovered = open(disk.path(), SHORT_SEGMENTS).1;
    assert!(recovered.damaged.is_empty());
    assert_eq!(recovered.cut_bytes, 0);
}
