/// Why a body is no session description. Lines count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Nothing is there.
    #[error("empty body")]
    Empty,
    /// Longer than [`MAX_BYTES`](super::MAX_BYTES).
    #[error("{bytes} bytes are too many")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// More lines than [`MAX_LINES`](super::MAX_LINES).
    #[error("too many lines")]
    TooManyLines,
    /// A line longer than [`MAX_LINE_BYTES`](super::MAX_LINE_BYTES).
    #[error("line {line} is too long")]
    LineTooLong {
        /// Which.
        line: usize,
    },
    /// More `m=` lines than [`MAX_MEDIA`](super::MAX_MEDIA), or more formats in one than
    /// [`MAX_FORMATS`](super::MAX_FORMATS).
    #[error("line {line} has one medium or format too many")]
    TooManyMedia {
        /// Which.
        line: usize,
    },
    /// Not of the form `x=value`, or with a NUL or CR inside.
    #[error("line {line} is not of the form x=value")]
    NotALine {
        /// Which.
        line: usize,
    },
    /// A letter that RFC 8866 does not know, or not in this place: the whole is to be refused (RFC 8866 §5).
    #[error("line {line} cannot be of type {:?}", char::from(*letter))]
    UnexpectedType {
        /// Which.
        line: usize,
        /// The letter, ASCII.
        letter: u8,
    },
    /// A second line of a kind that may be there once: readers would disagree on which one counts.
    #[error("line {line} repeats {:?}", char::from(*letter))]
    Repeated {
        /// Which.
        line: usize,
        /// The letter, ASCII.
        letter: u8,
    },
    /// `v=` or `o=` is not there.
    #[error("no {:?} line", char::from(*letter))]
    Missing {
        /// The letter, ASCII.
        letter: u8,
    },
    /// A value that breaks the grammar: a version other than 0, an address that is none, a port over 65535, ...
    #[error("line {line} has a bad value for {:?}", char::from(*letter))]
    BadValue {
        /// Which.
        line: usize,
        /// The letter, ASCII.
        letter: u8,
    },
}
