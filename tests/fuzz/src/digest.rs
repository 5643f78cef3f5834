//! Challenges: what is made of them can be answered, and the answer is one header line.

use tandem_sip::digest::{Answer, challenges, strongest};
use tandem_sip::message::{Message, Method};

use crate::planted::is_planted_for;

/// The input is the value of WWW-Authenticate.
pub(crate) fn run(input: &[u8]) {
    let head = b"SIP/2.0 401 Unauthorized\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n\
        To: <sip:c@d>;tag=2\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\nWWW-Authenticate: ";
    let response = [&head[..], input, b"\r\n\r\n"].concat();
    let Ok(response) = Message::parse(&response) else { return };
    let challenges = challenges(&response);
    for challenge in &challenges {
        let mut written = answer(challenge);
        if is_planted_for(challenge.stale && challenge.opaque.as_deref().is_some_and(|opaque| opaque.len() == 2)) {
            written.push('\n');
        }
        assert!(!written.chars().any(char::is_control), "an answer is one line: {written:?}");
        assert!(written.starts_with("Digest "), "{written}");
        assert_eq!(written.matches("response=").count().min(1), 1, "{written}");
        let quotes = written.replace(r"\\", "").replace("\\\"", "").matches('"').count();
        assert_eq!(quotes % 2, 0, "quotes are closed: {written}");
    }
    let count = challenges.len();
    let chosen = strongest(challenges, |_| true);
    assert_eq!(chosen.is_some(), count > 0, "of some challenges one is chosen");
}

fn answer(challenge: &tandem_sip::digest::Challenge) -> String {
    let answer = Answer {
        username: "tandem\"",
        password: "s3cret",
        method: &Method::Invite,
        uri: "sip:a@b",
        body: b"",
        cnonce: "0123456789abcdef",
        nonce_count: 1,
    };
    challenge.answer(&answer).as_str().to_owned()
}
