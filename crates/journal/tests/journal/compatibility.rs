use crate::samples::{LONG_SEGMENTS, answered_call, node, open, segments, temporary};
use std::fs;
use std::path::Path;
use tandem_journal::{Entry, Piece, read_segment};

fn sample() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/version-1.journal")
}

fn entries(bytes: &[u8]) -> Vec<Entry> {
    let pieces = read_segment(bytes).unwrap().map(|piece| match piece {
        Piece::Entry { entry, .. } => *entry,
        Piece::Damaged { at, reason, .. } => panic!("byte {at}: {reason}"),
    });
    pieces.collect()
}

/// An update must not strand the calls of the build before it. When records get new fields, this file stays as it is.
#[test]
fn reads_what_the_first_version_wrote() {
    let bytes = fs::read(sample()).unwrap();
    assert_eq!(read_segment(&bytes).unwrap().header().unwrap().node, node());
    assert_eq!(entries(&bytes), answered_call());
}

#[test]
fn reads_what_it_writes() {
    let directory = temporary();
    open(directory.path(), LONG_SEGMENTS).0.append(&answered_call()).unwrap();
    let (_, path) = segments(directory.path()).pop_last().unwrap();
    let bytes = fs::read(path).unwrap();
    assert_eq!(entries(&bytes), answered_call());
    if std::env::var_os("TANDEM_TEST_WRITE_SAMPLE").is_some() {
        fs::write(sample(), bytes).unwrap();
    }
}
