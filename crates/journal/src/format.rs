//! How a segment is laid out: a header, then frames. All numbers are little-endian.
//!
//! ```text
//! header   magic 8 | version 4 | CRC-32 of these two 4 | node 16 | number 8 | snapshot end 8
//!          | previous number 8 | previous end 8 | shard 4 | CRC-32 of all before 4
//! frame    length of the payload 4 | CRC-32 of length and payload 4 | payload: an entry in postcard's format, in version 1 as JSON
//! ```
//!
//! The first checksum lets a build tell a newer version from damage, whatever follows in that version.
//!
//! A length of at most [`MAX_PAYLOAD_BYTES`] ends in a zero byte behind one of at most 0x10. What clients and peers write is in an entry
//! as text without control characters, as JSON, or in base64: so nothing that they write within a payload can pass for a frame when a
//! reader looks for the next whole one behind a damaged place.

use crate::{DamageReason, Entry, Position};
use tandem_model::NodeId;

/// What a segment says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Whose calls are in it.
    pub node: NodeId,
    /// Its number, which also is its name.
    pub number: u64,
    /// Where its snapshot ends, in bytes from the beginning of the file.
    pub snapshot_end: u64,
    /// Where the writer left the segment before; zero when there was none. A reader that got there has read all that this snapshot
    /// repeats, unless it passed over damage.
    pub previous_end: Position,
    /// Of which shard.
    pub shard: u16,
}

/// A segment was written by a newer build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("version {0} of the journal format is unknown; this build reads version {FORMAT_VERSION}")]
pub struct UnknownVersion(pub u32);

impl SegmentHeader {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        push_checksum(&mut bytes);
        bytes.extend_from_slice(self.node.as_uuid().as_bytes());
        bytes.extend_from_slice(&self.number.to_le_bytes());
        bytes.extend_from_slice(&self.snapshot_end.to_le_bytes());
        bytes.extend_from_slice(&self.previous_end.segment.to_le_bytes());
        bytes.extend_from_slice(&self.previous_end.offset.to_le_bytes());
        bytes.extend_from_slice(&u32::from(self.shard).to_le_bytes());
        push_checksum(&mut bytes);
        bytes
    }

    /// `None` when it is too short, no header of a journal, or its checksum is wrong.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Option<Self>, UnknownVersion> {
        match format_version(bytes) {
            Some(FIRST_VERSION..=FORMAT_VERSION) => Ok(Self::decode_fields(bytes)),
            Some(newer) => Err(UnknownVersion(newer)),
            None => Ok(None),
        }
    }

    fn decode_fields(bytes: &[u8]) -> Option<Self> {
        let (covered, checksum) = bytes.get(..HEADER_BYTES)?.split_last_chunk()?;
        if crc32fast::hash(covered) != u32::from_le_bytes(*checksum) {
            return None;
        }
        let mut rest = covered.get(PREFIX_BYTES..)?;
        Some(Self {
            node: NodeId::from_uuid(uuid::Uuid::from_bytes(take(&mut rest)?)),
            number: u64::from_le_bytes(take(&mut rest)?),
            snapshot_end: u64::from_le_bytes(take(&mut rest)?),
            previous_end: Position {
                segment: u64::from_le_bytes(take(&mut rest)?),
                offset: u64::from_le_bytes(take(&mut rest)?),
            },
            shard: u16::try_from(u32::from_le_bytes(take(&mut rest)?)).ok()?,
        })
    }
}

/// The version of a segment, if the part of its header that no version changes is whole.
fn format_version(bytes: &[u8]) -> Option<u32> {
    let (covered, checksum) = bytes.get(..PREFIX_BYTES)?.split_last_chunk()?;
    let (magic, version) = covered.split_last_chunk()?;
    let is_whole = magic == MAGIC && crc32fast::hash(covered) == u32::from_le_bytes(*checksum);
    is_whole.then(|| u32::from_le_bytes(*version))
}

fn push_checksum(bytes: &mut Vec<u8>) {
    let checksum = crc32fast::hash(bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, left) = rest.split_first_chunk()?;
    *rest = left;
    Some(*taken)
}

/// Why an entry is not written.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    /// It has more bytes than an entry may have.
    #[error("{bytes} bytes are more than the {MAX_PAYLOAD_BYTES} of an entry")]
    TooLarge {
        /// Its encoded size.
        bytes: usize,
    },
    /// It cannot be encoded.
    #[error("it cannot be encoded: {0}")]
    Encoding(#[from] postcard::Error),
}

/// Adds the frame of an entry to a buffer, or nothing.
pub(crate) fn push_frame(buffer: &mut Vec<u8>, entry: &Entry) -> Result<(), EntryError> {
    let start = buffer.len();
    let pushed = try_push_frame(buffer, entry);
    if pushed.is_err() {
        buffer.truncate(start);
    }
    pushed
}

fn try_push_frame(buffer: &mut Vec<u8>, entry: &Entry) -> Result<(), EntryError> {
    let start = buffer.len();
    buffer.extend_from_slice(&[0; FRAME_HEAD_BYTES]);
    postcard::serialize_with_flavor(entry, Appended(buffer))?;
    let (_, frame) = buffer.split_at_mut(start);
    let (head, payload) = frame.split_at_mut(FRAME_HEAD_BYTES);
    let length = match u32::try_from(payload.len()) {
        Ok(length) if length <= MAX_PAYLOAD_BYTES => length,
        Ok(_) | Err(_) => return Err(EntryError::TooLarge { bytes: payload.len() }),
    };
    let (length_field, checksum_field) = head.split_at_mut(LENGTH_BYTES);
    length_field.copy_from_slice(&length.to_le_bytes());
    checksum_field.copy_from_slice(&frame_checksum(length, payload).to_le_bytes());
    Ok(())
}

/// Puts what is encoded behind what a buffer holds.
struct Appended<'a>(&'a mut Vec<u8>);

impl postcard::ser_flavors::Flavor for Appended<'_> {
    type Output = ();

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

/// What stands at the beginning of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Parsed<'a> {
    /// A frame whose checksum fits.
    Whole { payload: &'a [u8], bytes: usize },
    /// The beginning of a frame, as far as can be seen; so are no bytes at all.
    Incomplete,
    /// No frame.
    Bad(DamageReason),
}

pub(crate) fn parse_frame(bytes: &[u8]) -> Parsed<'_> {
    let mut rest = bytes;
    let Some(length) = take(&mut rest).map(u32::from_le_bytes) else { return Parsed::Incomplete };
    // A length of zero is what a file system leaves behind when it lost a block.
    if length == 0 || length > MAX_PAYLOAD_BYTES {
        return Parsed::Bad(DamageReason::Length { length });
    }
    let checksum = take(&mut rest).map(u32::from_le_bytes);
    let payload = usize::try_from(length).ok().and_then(|length| rest.get(..length));
    let (Some(checksum), Some(payload)) = (checksum, payload) else { return Parsed::Incomplete };
    if frame_checksum(length, payload) == checksum {
        Parsed::Whole { payload, bytes: FRAME_HEAD_BYTES + payload.len() }
    } else {
        Parsed::Bad(DamageReason::Checksum)
    }
}

fn frame_checksum(length: u32, payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&length.to_le_bytes());
    hasher.update(payload);
    hasher.finalize()
}

pub(crate) fn decode_payload(payload: &[u8]) -> Result<Entry, DamageReason> {
    // The first byte of an entry is the number of its variant, and none of JSON is that small.
    let decoded = match payload.first() {
        Some(b'{' | b'"') => serde_json::from_slice(payload).map_err(|error| error.to_string()),
        Some(_) | None => postcard::from_bytes(payload).map_err(|error| error.to_string()),
    };
    decoded.map_err(|detail| DamageReason::Content { detail })
}

/// Whether it is what is kept of a leg, or that nothing is any more: for a later process, not for the store.
pub(crate) fn is_about_keeping(payload: &[u8]) -> bool {
    matches!(payload.first(), Some(&KEEP | &FORGET))
}

/// The numbers of the variants [`Entry::Keep`] and [`Entry::Forget`].
const KEEP: u8 = 1;
const FORGET: u8 = 2;

/// How far behind the beginning of `bytes`, at least one byte, the next whole frame begins. `budget` is how many bytes may still be
/// summed up in such searches.
pub(crate) fn find_frame(bytes: &[u8], budget: &mut u64) -> Option<usize> {
    let mut at = 1;
    while let Some(rest) = bytes.get(at..).filter(|rest| rest.len() > FRAME_HEAD_BYTES) {
        match parse_frame(rest) {
            Parsed::Whole { .. } => return Some(at),
            Parsed::Incomplete | Parsed::Bad(DamageReason::Length { .. }) => {}
            Parsed::Bad(_) => {
                // The length was possible, so the payload was summed up.
                let length = rest.first_chunk().map_or(0, |length| u32::from_le_bytes(*length));
                *budget = budget.checked_sub(u64::from(length))?;
            }
        }
        at += 1;
    }
    None
}

/// Bytes that a search for whole frames may sum up in one segment, some times its size: a damaged place made of possible lengths must not
/// keep a start or the store waiting for minutes.
pub(crate) const SEARCH_BUDGET_BYTES: u64 = 256 * 1024 * 1024;

/// What is written. A reader of a later version reads this one too.
pub const FORMAT_VERSION: u32 = 2;

/// Entries were JSON.
const FIRST_VERSION: u32 = 1;

/// Bytes of an encoded entry: four times what a request to the API may have (the metadata of a call), and more than a SIP message
/// of 64 KiB in base64. The format relies on it being below 0x2000_0000.
pub const MAX_PAYLOAD_BYTES: u32 = 1024 * 1024;

pub(crate) const HEADER_BYTES: usize = 72;
pub(crate) const HEADER_END: u64 = 72;
pub(crate) const MAX_FRAME_BYTES: usize = FRAME_HEAD_BYTES + 1024 * 1024;
const FRAME_HEAD_BYTES: usize = LENGTH_BYTES + CHECKSUM_BYTES;
const LENGTH_BYTES: usize = 4;
const CHECKSUM_BYTES: usize = 4;
const MAGIC: [u8; 8] = *b"TANDEM\rJ";
const PREFIX_BYTES: usize = MAGIC.len() + 4 + CHECKSUM_BYTES;

#[cfg(test)]
mod tests {
    use super::*;
    use tandem_model::{CallId, LegId, Timestamp};

    #[test]
    fn reads_back_its_header_and_knows_damage_from_a_newer_version() {
        let header = SegmentHeader {
            node: NodeId::new(Timestamp::from_unix_micros(1), [7; 10]),
            number: 12,
            snapshot_end: 900,
            previous_end: Position { segment: 11, offset: 4_000 },
            shard: 3,
        };
        let bytes = header.encode();
        assert_eq!(bytes.len(), HEADER_BYTES);
        assert_eq!(SegmentHeader::decode(&bytes), Ok(Some(header)));
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            assert_eq!(SegmentHeader::decode(&damaged), Ok(None), "byte {at}");
            assert_eq!(SegmentHeader::decode(&bytes[..at]), Ok(None), "{at} bytes");
        }
        let mut newer = bytes[..8].to_vec();
        newer.extend_from_slice(&3_u32.to_le_bytes());
        push_checksum(&mut newer);
        assert_eq!(SegmentHeader::decode(&newer), Err(UnknownVersion(3)));
    }

    #[test]
    fn what_is_kept_of_a_leg_is_told_by_its_first_byte() {
        let leg = LegId::new(Timestamp::from_unix_micros(1), [7; 10]);
        let call = CallId::new(Timestamp::from_unix_micros(1), [8; 10]);
        let is_about_keeping = |entry: &Entry| {
            let mut frame = Vec::new();
            push_frame(&mut frame, entry).unwrap();
            is_about_keeping(&frame[FRAME_HEAD_BYTES..])
        };
        assert!(is_about_keeping(&Entry::Keep { leg, call, kept: crate::Kept::Dialog { text: String::new() } }));
        assert!(is_about_keeping(&Entry::Forget { leg }));
        assert!(!is_about_keeping(&Entry::Heartbeat { at: Timestamp::from_unix_micros(1) }));
    }

    #[test]
    fn a_moment_that_nobody_could_write_down_is_damage() {
        // A heartbeat whose time is years beyond what RFC 3339 has.
        let far = postcard::to_allocvec(&(3_u8, i64::MIN)).unwrap();
        assert!(matches!(decode_payload(&far), Err(DamageReason::Content { .. })));
        let near = postcard::to_allocvec(&(3_u8, 1_i64)).unwrap();
        assert_eq!(decode_payload(&near), Ok(Entry::Heartbeat { at: Timestamp::from_unix_micros(1) }));
    }

    #[test]
    fn a_lost_block_is_no_frame() {
        assert_eq!(parse_frame(&[0; 64]), Parsed::Bad(DamageReason::Length { length: 0 }));
        assert_eq!(find_frame(&[0; 4096], &mut 1_000), None);
    }

    #[test]
    fn a_search_gives_up_when_it_has_cost_enough() {
        // Every offset reads as a length of some thousand bytes.
        let lengths: Vec<u8> = [0, 0x10, 0, 0].into_iter().cycle().take(64 * 1024).collect();
        let mut budget = 10_000;
        assert_eq!(find_frame(&lengths, &mut budget), None);
        assert!(budget < 10_000);
    }
}
