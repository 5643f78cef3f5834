//! A message: what is read is read whole, what answers it is well-formed and copies what it must.

use tandem_sip::message::{HeaderName, Index, Message, NameAddr, ParseError, Start, StatusCode, Token};

use crate::planted::is_planted_for;

pub(crate) fn run(input: &[u8]) {
    let tag = Token::new("t").unwrap();
    let message = match Message::parse(input) {
        Ok(message) => message,
        Err(ParseError::Answerable(refusal)) => {
            let answer = refusal.to_response(&tag).to_bytes();
            let answer = Message::parse(&answer).expect("a refusal is well-formed");
            assert_eq!(answer.status(), Some(refusal.status));
            assert_eq!((answer.vias(), answer.cseq()), (refusal.vias, refusal.cseq));
            // The flaw may be a line break within the display name, which no answer can repeat.
            let display = refusal.from.display.map(|display| display.replace(['\r', '\n'], " ").into());
            assert_eq!(answer.from(), NameAddr { display, ..refusal.from });
            assert_eq!(answer.call_id(), refusal.call_id.as_str());
            assert!(answer.to_tag().is_some(), "a final answer has a tag");
            return;
        }
        Err(ParseError::KeepAlive | ParseError::NotSip | ParseError::Discard(_)) => return,
    };
    agrees_with_its_index(&message, input);
    read_all(&message);

    let mut vias = message.vias();
    if is_planted_for(vias.len() == 2 && message.max_forwards().is_none()) {
        vias.pop();
    }
    let status = StatusCode::new(200).unwrap();
    let response = message.to_response(status, Some(&tag)).to_bytes();
    let response = Message::parse(&response).expect("an answer is well-formed");
    assert_eq!(response.start(), Start::Response { status, reason: "OK".into() });
    assert_eq!((response.vias(), response.from(), response.cseq()), (vias, message.from(), message.cseq()));
    assert_eq!((response.call_id(), &response.to().uri), (message.call_id(), &message.to().uri));
    assert_eq!(response.to_tag(), Some(message.to_tag().unwrap_or("t")));
}

fn agrees_with_its_index(message: &Message<'_>, input: &[u8]) {
    let index = Index::new(input).expect("a message has an index");
    assert_eq!(index.branch(), message.top_via().branch());
    assert_eq!(index.from_tag(), message.from().tag());
    assert_eq!(index.to_tag(), message.to().tag());
    assert_eq!((index.method_name(), index.cseq_number()), (message.method().as_str(), message.cseq().number));
    assert_eq!((index.status(), index.is_request()), (message.status(), message.is_request()));
    assert_eq!(message.vias().first(), Some(&message.top_via()));
    let lines = index.raw_headers().iter();
    let octets: usize = lines.map(|header| header.name().as_str().len().min(1) + header.value().len()).sum();
    assert!(octets + index.body().len() <= input.len(), "nothing is there twice");
}

/// Whatever can be asked of a message has an answer.
fn read_all(message: &Message<'_>) {
    for header in message.raw_headers() {
        let name = header.name();
        assert!(message.header(&name).is_some(), "{name} is there");
        let _values = (message.text(&name), message.list(&name).count(), message.tokens(&name));
        let _typed = (message.addresses(&name), message.seconds(&name));
    }
    let _typed = (message.allow(), message.content_type(), message.is_contact_star(), message.request_uri());
    let _lists =
        (message.contacts(), message.routes(), message.record_routes(), message.headers(&HeaderName::Via).count());
}
