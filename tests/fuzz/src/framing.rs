//! A stream: the messages that come out of it do not depend on how the network cut it.
//!
//! The first octet of the input says how long the segments are, the rest is the stream.

use tandem_sip::message::Message;
use tandem_sip::message::framing::{Frame, StreamDecoder};
use tandem_sip::message::limits::MAX_MESSAGE_BYTES;

use crate::planted::is_planted_for;

pub(crate) fn run(input: &[u8]) {
    let Some((&size, stream)) = input.split_first() else { return };
    let size = usize::from(size).max(1);
    let (whole, whole_error) = messages(stream, stream.len().max(1));
    let (mut cut, cut_error) = messages(stream, size);
    if is_planted_for(size == 3 && cut.len() == 2) {
        cut.pop();
    }
    assert_eq!(cut, whole);
    assert_eq!(cut_error, whole_error, "a stream is given up or not, however it was cut");
    for message in whole {
        let read = Message::parse(&message);
        let body = read.as_ref().map_or(0, |message| message.body().len());
        assert!(body <= message.len(), "a message is not longer than its frame");
    }
}

/// The messages in a stream that comes in segments of that size, and whether it had to be given up.
fn messages(stream: &[u8], size: usize) -> (Vec<Vec<u8>>, bool) {
    let mut decoder = StreamDecoder::new();
    let mut messages = Vec::new();
    for segment in stream.chunks(size) {
        decoder.push(segment);
        loop {
            match decoder.next_frame() {
                Ok(Some(Frame::Message(message))) => {
                    assert!(message.len() <= MAX_MESSAGE_BYTES, "what is too long is no frame");
                    messages.push(message);
                }
                Ok(Some(Frame::Ping | Frame::Pong)) => {}
                Ok(None) => break,
                Err(error) => {
                    let _refusal = decoder.refusal(error);
                    return (messages, true);
                }
            }
        }
    }
    (messages, false)
}
