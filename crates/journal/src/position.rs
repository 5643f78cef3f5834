use std::fmt;

/// A place in the journal of a shard. Ordered as the journal was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Number of the segment; grows.
    pub segment: u64,
    /// Byte in the segment's file.
    pub offset: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {} of segment {}", self.offset, self.segment)
    }
}

/// A part of a segment that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Where it begins.
    pub at: Position,
    /// How long it is, in bytes.
    pub bytes: u64,
    /// What is wrong.
    pub reason: DamageReason,
}

impl Damage {
    /// Whether it is what an unfinished write leaves at the end of a segment; a whole frame of unknown content is not.
    pub(crate) const fn may_be_torn(&self) -> bool {
        match self.reason {
            DamageReason::Length { .. } | DamageReason::Checksum | DamageReason::Torn => true,
            DamageReason::Header | DamageReason::Content { .. } => false,
        }
    }
}

/// What is wrong with a part of a segment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DamageReason {
    /// The header's magic or checksum is wrong. The frames after it are read all the same.
    #[error("the header is damaged")]
    Header,
    /// The length of a frame is impossible.
    #[error("a frame of {length} bytes is impossible")]
    Length {
        /// What the frame says.
        length: u32,
    },
    /// A checksum does not fit its frame.
    #[error("the checksum is wrong")]
    Checksum,
    /// The file ends within a frame.
    #[error("the file ends within a frame")]
    Torn,
    /// The frame is whole, but its content is none of this version.
    #[error("the content is unknown: {detail}")]
    Content {
        /// What the parser says.
        detail: String,
    },
}
