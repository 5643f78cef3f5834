//! Messages out of a stream: TCP and TLS (RFC 3261 §18.3, RFC 5626 §3.5.1).

/// Cuts a stream of octets into whole messages.
///
/// Feed it what was read, then take frames until there is none. After an error the stream cannot be trusted any
/// more: answer nothing further, close it.
#[derive(Debug, Default)]
pub struct StreamDecoder {
    buffer: Vec<u8>,
}

/// What a stream held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// One whole message.
    Message(Vec<u8>),
    /// A double CRLF: to be answered with a single CRLF (RFC 5626 §3.5.1).
    Ping,
    /// A single CRLF: the answer to a ping of ours.
    Pong,
}

/// Why a stream must be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    /// Over [`MAX_MESSAGE_BYTES`](super::limits::MAX_MESSAGE_BYTES).
    #[error("message too large")]
    TooLarge,
    /// No Content-Length, or one that is no number, or two that differ.
    #[error("no usable Content-Length")]
    NoContentLength,
}

impl StreamDecoder {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds what was read.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next frame, if it is whole.
    ///
    /// # Errors
    ///
    /// [`FramingError`].
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FramingError> {
        todo!()
    }
}
