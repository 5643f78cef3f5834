//! Messages out of a stream: TCP and TLS (RFC 3261 §18.3, RFC 5626 §3.5.1).

use super::error::{BadHeader, Flaw, ParseError, Refusal};
use super::header_name::HeaderName;
use super::limits::MAX_MESSAGE_BYTES;
use super::salvage;
use super::scan;
use super::start_line::{self, Nature};

/// Cuts a stream of octets into whole messages.
///
/// Feed it what was read, then take frames until there is none; it then holds less than one message. After an error
/// the stream cannot be trusted any more: close it. How long a message may take to arrive is the caller's affair.
#[derive(Debug, Default)]
pub struct StreamDecoder {
    buffer: Vec<u8>,
    /// Where the next frame begins in the buffer.
    start: usize,
    /// How much of the frame was searched for the end of its headers.
    searched: usize,
    /// The first line of the frame is there and looks like SIP.
    saw_line: bool,
    /// The length of the frame, once its headers are there.
    length: Option<usize>,
    /// The last frame was a lone CRLF, which may be the first half of a ping.
    after_crlf: bool,
}

/// What a stream held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// One whole message, for [`Message::parse`](super::Message::parse).
    Message(Vec<u8>),
    /// A double CRLF: to be answered with a single CRLF (RFC 5626 §3.5.1).
    Ping,
    /// A single CRLF: the answer to a ping of ours, or the first half of a ping that came in two pieces.
    Pong,
}

/// Why a stream must be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    /// Over [`MAX_MESSAGE_BYTES`].
    #[error("message too large")]
    TooLarge,
    /// No Content-Length, or one that is no number, or two: nobody knows where the next message begins.
    #[error("no usable Content-Length")]
    NoContentLength,
    /// The first line is neither a request line nor a status line.
    #[error("not SIP")]
    NotSip,
}

impl StreamDecoder {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds what was read.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next frame, if it is whole.
    ///
    /// # Errors
    ///
    /// [`FramingError`].
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FramingError> {
        let pending = self.buffer.get(self.start..).unwrap_or_default();
        if pending == b"\r\n\r" && !self.after_crlf {
            return Ok(None); // a ping but for its last octet
        }
        if let Some((frame, length)) = keep_alive(pending, self.after_crlf) {
            self.after_crlf = frame == Frame::Pong;
            self.start += length;
            return Ok(Some(frame));
        }
        if self.length.is_none() {
            // The end may lie across what was searched and what was not.
            let from = self.searched.saturating_sub(HEAD_END.len() - 1);
            let unsearched = pending.get(from..).unwrap_or_default();
            let head_end = unsearched.windows(HEAD_END.len()).position(|octets| octets == HEAD_END);
            if !self.saw_line && has_line(pending.get(self.searched.saturating_sub(1)..).unwrap_or_default()) {
                self.saw_line = true;
                match start_line::nature(pending).0 {
                    Nature::Request { .. } | Nature::Response { .. } => {}
                    // A line of blanks or NULs is none of the keep-alives of a stream, whatever comes after it.
                    Nature::KeepAlive | Nature::NotSip => return Err(FramingError::NotSip),
                }
            }
            self.searched = pending.len();
            if let Some(at) = head_end {
                let head_length = from + at + HEAD_END.len();
                let body_length = content_length(pending.get(..head_length).unwrap_or_default())?;
                self.length = Some(head_length.saturating_add(body_length));
            }
        }
        match self.length {
            Some(length) if length > MAX_MESSAGE_BYTES => Err(FramingError::TooLarge),
            None if pending.len() > MAX_MESSAGE_BYTES => Err(FramingError::TooLarge),
            Some(length) if length <= pending.len() => {
                let message = pending.get(..length).unwrap_or_default().to_vec();
                self.start += length;
                self.searched = 0;
                self.saw_line = false;
                self.length = None;
                self.after_crlf = false;
                Ok(Some(Frame::Message(message)))
            }
            Some(_) | None => Ok(None),
        }
    }

    /// Whether a frame has begun and is not whole.
    pub fn is_mid_frame(&self) -> bool {
        self.start < self.buffer.len()
    }

    /// After an error: what its sender can still be told before the stream is closed (RFC 3261 §18.3). `None` for
    /// responses and ACKs, and when the headers are not all there or unreadable.
    pub fn refusal(&self, error: FramingError) -> Option<Refusal> {
        let flaw = match error {
            FramingError::TooLarge => Flaw::TooLarge,
            FramingError::NoContentLength => Flaw::BadHeader(BadHeader(HeaderName::ContentLength)),
            FramingError::NotSip => return None,
        };
        let pending = self.buffer.get(self.start..)?;
        let head_length = pending.windows(HEAD_END.len()).position(|octets| octets == HEAD_END)? + HEAD_END.len();
        let head = pending.get(..head_length)?;
        let (nature, after_line) = start_line::nature(head);
        match salvage::refuse(head, nature, after_line, flaw) {
            ParseError::Answerable(refusal) => Some(*refusal),
            ParseError::KeepAlive | ParseError::NotSip | ParseError::Discard(_) => None,
        }
    }
}

const HEAD_END: &[u8] = b"\r\n\r\n";

/// The keep-alive at the beginning of a frame, and its length.
fn keep_alive(pending: &[u8], after_crlf: bool) -> Option<(Frame, usize)> {
    match pending {
        [b'\r', b'\n', b'\r', b'\n', ..] if !after_crlf => Some((Frame::Ping, 4)),
        [b'\r', b'\n', ..] if after_crlf => Some((Frame::Ping, 2)),
        [b'\r', b'\n', ..] => Some((Frame::Pong, 2)),
        _ => None,
    }
}

fn has_line(pending: &[u8]) -> bool {
    pending.windows(2).any(|pair| pair == b"\r\n")
}

/// The one Content-Length of a header block. Whether the rest of it is right is for the parser to say.
fn content_length(head: &[u8]) -> Result<usize, FramingError> {
    let mut found = None;
    let mut rest = head;
    while let Some(end) = rest.windows(2).position(|pair| pair == b"\r\n") {
        let (line, next) = rest.split_at(end);
        rest = next.get(2..).unwrap_or_default();
        let Some(colon) = line.iter().position(|&c| c == b':') else { continue };
        let (name, value) = line.split_at(colon);
        if !HeaderName::ContentLength.is(scan::trim_end(name)) {
            continue;
        }
        // A folded value is on the next line.
        let fold = if rest.first().is_some_and(|c| matches!(c, b' ' | b'\t')) { first_line(rest) } else { b"" };
        let digits = [scan::trim(value.get(1..).unwrap_or_default()), scan::trim(fold)].concat();
        let length = scan::number(&digits).and_then(|length| usize::try_from(length).ok());
        if found.is_some() || length.is_none() {
            return Err(FramingError::NoContentLength);
        }
        found = length;
    }
    found.ok_or(FramingError::NoContentLength)
}

fn first_line(text: &[u8]) -> &[u8] {
    let end = text.windows(2).position(|pair| pair == b"\r\n").unwrap_or(text.len());
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: &[u8] = b"OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK1\r\nl : 3\r\n\r\nabc";

    #[test]
    fn a_message_comes_out_whole_however_it_was_cut() {
        for cut in 0..=OPTIONS.len() {
            let mut decoder = StreamDecoder::new();
            decoder.push(&OPTIONS[..cut]);
            let mut frames = drain(&mut decoder);
            decoder.push(&OPTIONS[cut..]);
            frames.extend(drain(&mut decoder));
            assert_eq!(frames, [Frame::Message(OPTIONS.to_vec())], "{cut}");
        }
    }

    #[test]
    fn messages_in_one_segment_come_out_one_by_one() {
        let mut decoder = StreamDecoder::new();
        decoder.push(&[OPTIONS, OPTIONS, &OPTIONS[..9]].concat());
        assert_eq!(drain(&mut decoder).len(), 2);
        decoder.push(&OPTIONS[9..]);
        assert_eq!(drain(&mut decoder), [Frame::Message(OPTIONS.to_vec())]);
    }

    #[test]
    fn keep_alives_are_told_from_messages() {
        let mut decoder = StreamDecoder::new();
        decoder.push(&[b"\r\n\r\n", OPTIONS, b"\r\n", OPTIONS].concat());
        let message = Frame::Message(OPTIONS.to_vec());
        assert_eq!(drain(&mut decoder), [Frame::Ping, message.clone(), Frame::Pong, message]);
    }

    #[test]
    fn a_ping_in_two_pieces_is_still_answered() {
        for cut in 1..4 {
            let mut decoder = StreamDecoder::new();
            decoder.push(&b"\r\n\r\n"[..cut]);
            let mut frames = drain(&mut decoder);
            decoder.push(&b"\r\n\r\n"[cut..]);
            frames.extend(drain(&mut decoder));
            assert_eq!(frames.last(), Some(&Frame::Ping), "{cut}");
        }
    }

    #[test]
    fn without_a_usable_length_the_stream_is_lost() {
        for length in ["", "l: 0x1\r\n", "l: 1\r\nContent-Length: 1\r\n", "l: -1\r\n", "l:\r\n"] {
            let mut decoder = StreamDecoder::new();
            decoder.push(format!("OPTIONS sip:a@b SIP/2.0\r\n{length}\r\n").as_bytes());
            assert_eq!(decoder.next_frame(), Err(FramingError::NoContentLength), "{length}");
        }
    }

    #[test]
    fn what_is_too_large_is_refused_before_it_is_read() {
        let mut decoder = StreamDecoder::new();
        decoder.push(b"OPTIONS sip:a@b SIP/2.0\r\nContent-Length: 18446744073709551615\r\n\r\n");
        assert_eq!(decoder.next_frame(), Err(FramingError::TooLarge));

        let mut decoder = StreamDecoder::new();
        decoder.push(b"OPTIONS sip:a@b SIP/2.0\r\nX: ");
        let mut error = None;
        for _ in 0..=MAX_MESSAGE_BYTES / 1024 {
            decoder.push(&[b'x'; 1024]);
            error = error.or(decoder.next_frame().err());
        }
        assert_eq!(error, Some(FramingError::TooLarge));
    }

    #[test]
    fn other_protocols_are_refused_at_their_first_line() {
        for line in ["SSH-2.0-OpenSSH_9.2\r\n", "GET / HTTP/1.1\r\n", "\x16\x03\x01\r\n"] {
            let mut decoder = StreamDecoder::new();
            decoder.push(line.as_bytes());
            assert_eq!(decoder.next_frame(), Err(FramingError::NotSip));
        }
    }

    #[test]
    fn a_line_of_nothing_is_refused_however_it_is_cut() {
        for line in ["\0\0\r\n", "  \r\n"] {
            let stream = [line.as_bytes(), OPTIONS].concat();
            for cut in 0..stream.len() {
                let mut decoder = StreamDecoder::new();
                decoder.push(&stream[..cut]);
                let first = decoder.next_frame();
                decoder.push(&stream[cut..]);
                assert_eq!(first.and(decoder.next_frame()), Err(FramingError::NotSip), "{line:?} {cut}");
            }
        }
    }

    #[test]
    fn a_request_that_ends_the_stream_can_be_answered_and_an_ack_cannot() {
        let head = |method: &str, length: &str| {
            format!(
                "{method} sip:a@b SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK1\r\nFrom: <sip:c@d>;tag=1\r\nTo: <sip:a@b>\r\n\
                 Call-ID: 1\r\nCSeq: 1 {method}\r\n{length}\r\n"
            )
        };
        let status = |text: &str| {
            let mut decoder = StreamDecoder::new();
            decoder.push(text.as_bytes());
            let error = decoder.next_frame().unwrap_err();
            decoder.refusal(error).map(|refusal| refusal.status.as_u16())
        };
        assert_eq!(status(&head("OPTIONS", "")), Some(400));
        assert_eq!(status(&head("OPTIONS", "Content-Length: 99999999\r\n")), Some(513));
        assert_eq!(status(&head("ACK", "")), None);
        assert_eq!(status("OPTIONS sip:a@b SIP/2.0\r\n\r\n"), None);
        assert_eq!(status("GET / HTTP/1.1\r\n\r\n"), None);
    }

    #[test]
    fn a_frame_that_has_begun_is_told_from_silence() {
        let mut decoder = StreamDecoder::new();
        assert!(!decoder.is_mid_frame());
        decoder.push(&[OPTIONS, b"OPT"].concat());
        assert_eq!(drain(&mut decoder).len(), 1);
        assert!(decoder.is_mid_frame());
        decoder.push(&OPTIONS[3..]);
        assert_eq!(drain(&mut decoder).len(), 1);
        assert!(!decoder.is_mid_frame());
    }

    fn drain(decoder: &mut StreamDecoder) -> Vec<Frame> {
        std::iter::from_fn(|| decoder.next_frame().expect("a good stream")).collect()
    }
}
