use crate::format::{
    HEADER_BYTES, Parsed, SEARCH_BUDGET_BYTES, SegmentHeader, UnknownVersion, decode_payload, find_frame, parse_frame,
};
use crate::{DamageReason, Entry};

/// Reads the bytes of a segment: the frames that are whole, and what is damaged between them. Total for any input.
///
/// ```
/// let mut segment = tandem_journal::read_segment(b"no journal at all").unwrap();
/// assert!(matches!(segment.next(), Some(tandem_journal::Piece::Damaged { at: 0, bytes: 17, .. })));
/// assert!(segment.next().is_none());
/// ```
///
/// # Errors
/// [`UnknownVersion`] when the segment is of a newer build. A damaged header is a piece like any other.
pub fn read_segment(bytes: &[u8]) -> Result<SegmentReader<'_>, UnknownVersion> {
    let header = SegmentHeader::decode(bytes)?;
    let next = if header.is_some() { HEADER_BYTES } else { 0 };
    Ok(SegmentReader { bytes, next, header, budget: SEARCH_BUDGET_BYTES })
}

/// The pieces of a segment, in order; together they are all of it behind the header.
#[derive(Clone, Debug)]
pub struct SegmentReader<'a> {
    bytes: &'a [u8],
    next: usize,
    header: Option<SegmentHeader>,
    budget: u64,
}

/// A part of a segment.
#[derive(Clone, Debug, PartialEq)]
pub enum Piece {
    /// A frame with a known entry.
    Entry {
        /// Where the frame begins, in bytes from the beginning of the file.
        at: u64,
        /// Bytes of the frame.
        bytes: u64,
        /// What is in it.
        entry: Box<Entry>,
    },
    /// Something else.
    Damaged {
        /// Where it begins.
        at: u64,
        /// Its bytes, up to the next whole frame or the end of the file.
        bytes: u64,
        /// What is wrong with it.
        reason: DamageReason,
    },
}

impl SegmentReader<'_> {
    /// The header; `None` when it is damaged.
    #[must_use]
    pub const fn header(&self) -> Option<SegmentHeader> {
        self.header
    }

    fn advance(&mut self, by: usize) -> (u64, u64) {
        let at = self.next;
        self.next = at.saturating_add(by);
        (size(at), size(by))
    }
}

impl Iterator for SegmentReader<'_> {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        let rest = self.bytes.get(self.next..).filter(|rest| !rest.is_empty())?;
        if self.next < HEADER_BYTES {
            let (at, bytes) = self.advance(rest.len().min(HEADER_BYTES));
            return Some(Piece::Damaged { at, bytes, reason: DamageReason::Header });
        }
        let reason = match parse_frame(rest) {
            Parsed::Whole { payload, bytes } => {
                let content = decode_payload(payload);
                let (at, bytes) = self.advance(bytes);
                return Some(match content {
                    Ok(entry) => Piece::Entry { at, bytes, entry: Box::new(entry) },
                    Err(reason) => Piece::Damaged { at, bytes, reason },
                });
            }
            Parsed::Incomplete => DamageReason::Torn,
            Parsed::Bad(reason) => reason,
        };
        let bytes = find_frame(rest, &mut self.budget).unwrap_or(rest.len());
        let (at, bytes) = self.advance(bytes);
        Some(Piece::Damaged { at, bytes, reason })
    }
}

impl Piece {
    /// Whether it is damage that begins before this byte.
    pub(crate) const fn is_damage_before(&self, end: u64) -> bool {
        match self {
            Self::Entry { .. } => false,
            Self::Damaged { at, .. } => *at < end,
        }
    }
}

/// A size in memory as a size of a file.
pub(crate) fn size(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}
