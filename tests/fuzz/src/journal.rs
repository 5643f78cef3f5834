//! A segment of the journal: every octet of it is accounted for, whole frames are found behind damage, and an entry
//! is the same when it is written again.
//!
//! The first octet of the input says what it is: a segment as it is, or payloads, one to a line, for which header and
//! checksums are made here, as no fuzzer guesses those.

use tandem_journal::{Entry, FORMAT_VERSION, Piece, read_segment};

use crate::planted::is_planted_for;

pub(crate) fn run(input: &[u8]) {
    let Some((kind, rest)) = input.split_first() else { return };
    if *kind == b'p' {
        let payloads: Vec<&[u8]> = rest.split(|&octet| octet == b'\n').filter(|payload| !payload.is_empty()).collect();
        let segment = segment_of(&payloads);
        let pieces = read(&segment);
        // The header, and then each payload as what it is. One that has octets of no JSON may hold what looks like a
        // frame, but nothing hides a whole one.
        assert!(pieces.len() >= payloads.len(), "{} payloads, {pieces:?}", payloads.len());
    } else {
        read(rest);
    }
}

fn read(segment: &[u8]) -> Vec<Piece> {
    let Ok(reader) = read_segment(segment) else { return Vec::new() };
    let mut next = if reader.header().is_some() { HEADER_BYTES } else { 0 };
    let mut pieces = Vec::new();
    for piece in reader {
        let (at, bytes) = match &piece {
            Piece::Entry { at, bytes, entry } => {
                let written = serde_json::to_vec(entry).unwrap();
                let mut again: Entry = serde_json::from_slice(&written).expect("what is written is an entry");
                if is_planted_for(matches!(again, Entry::Heartbeat { at } if at.unix_micros() % 10 == 7)) {
                    again = Entry::Heartbeat { at: tandem_lab::setup::start_utc() };
                }
                assert_eq!(again, **entry);
                (*at, *bytes)
            }
            Piece::Damaged { at, bytes, .. } => (*at, *bytes),
        };
        assert_eq!(at, next, "no octet is left out or read twice");
        assert!(bytes > 0, "a piece is of something");
        next = at + bytes;
        pieces.push(piece);
    }
    assert_eq!(next, u64::try_from(segment.len()).unwrap().max(next), "all of it was read");
    pieces
}

/// Octets of the header of a segment.
const HEADER_BYTES: u64 = 72;

/// A segment with these payloads, as `tandem_journal` lays it out.
fn segment_of(payloads: &[&[u8]]) -> Vec<u8> {
    let mut segment = b"TANDEM\rJ".to_vec();
    segment.extend(FORMAT_VERSION.to_le_bytes());
    push_checksum(&mut segment);
    segment.extend([7; 16]); // node
    segment.extend([0; 32]); // numbers and ends
    segment.extend([0; 4]); // shard
    push_checksum(&mut segment);
    for payload in payloads {
        let length = u32::try_from(payload.len()).unwrap().to_le_bytes();
        let checksum = crc32fast::hash(&[&length, *payload].concat());
        segment.extend(length);
        segment.extend(checksum.to_le_bytes());
        segment.extend(*payload);
    }
    segment
}

fn push_checksum(segment: &mut Vec<u8>) {
    let checksum = crc32fast::hash(segment);
    segment.extend(checksum.to_le_bytes());
}
