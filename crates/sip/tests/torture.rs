//! Walks the torture corpus: what the parser must accept, refuse or drop, and what it must see in what it accepts.

#![expect(clippy::unwrap_used, reason = "a failing test may panic")]

use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;
use tandem_sip::message::framing::{Frame, StreamDecoder};
use tandem_sip::message::{
    HeaderName, Message, NameAddr, ParseError, Request, Response, Start, StatusCode, Token, Uri,
};

#[test]
fn the_corpus_is_read_as_it_should_be() {
    let cases = index();
    assert!(cases.len() > 200, "the corpus is here");
    let mut faults = String::new();
    for case in &cases {
        let bytes = std::fs::read(torture_file(text(case, "file"))).unwrap();
        for fault in judge(case, &bytes) {
            if case["must"] == true {
                writeln!(faults, "{}: {fault}", text(case, "file")).unwrap();
            }
        }
    }
    assert!(faults.is_empty(), "\n{faults}");
}

#[test]
fn what_is_written_from_the_corpus_reads_the_same() {
    for case in &index() {
        let bytes = std::fs::read(torture_file(text(case, "file"))).unwrap();
        let Ok(message) = Message::parse(&bytes) else { continue };
        let written = match message.start() {
            Start::Request { method, uri } => {
                let mut request = Request::new(
                    method,
                    uri,
                    message.from(),
                    message.to(),
                    tandem_sip::message::SipCallId::new(message.call_id()).unwrap(),
                    message.cseq().number,
                );
                request.vias = message.vias();
                request.to_bytes()
            }
            Start::Response { status, .. } => Response {
                status,
                reason: None,
                vias: message.vias(),
                record_routes: Vec::new(),
                from: message.from(),
                to: message.to(),
                call_id: tandem_sip::message::SipCallId::new(message.call_id()).unwrap(),
                cseq: message.cseq(),
                contacts: Vec::new(),
                headers: Vec::new(),
                body: None,
            }
            .to_bytes(),
        };
        // An INVITE is not one without Contact, nor a REFER or NOTIFY without their own headers.
        let again = match Message::parse(&written) {
            Ok(again) => again,
            Err(ParseError::Answerable(refusal)) => {
                assert!(refusal.flaw.to_string().starts_with("missing"), "{}: {}", text(case, "file"), refusal.flaw);
                assert_eq!(refusal.vias, message.vias());
                continue;
            }
            Err(error) => panic!("{}: {error}\n{}", text(case, "file"), String::from_utf8_lossy(&written)),
        };
        assert_eq!(without_reason(again.start()), without_reason(message.start()));
        assert_eq!(again.vias(), message.vias());
        assert_eq!(again.from(), message.from());
        assert_eq!(again.to(), message.to());
        assert_eq!(again.cseq(), message.cseq());
    }
}

#[test]
fn every_refusal_can_be_written_and_is_well_formed() {
    let tag = Token::new("t").unwrap();
    let mut answered = 0;
    for case in &index() {
        let bytes = std::fs::read(torture_file(text(case, "file"))).unwrap();
        let Err(ParseError::Answerable(refusal)) = Message::parse(&bytes) else { continue };
        let written = refusal.to_response(&tag).to_bytes();
        let message = Message::parse(&written).unwrap_or_else(|e| panic!("{}: {e}", text(case, "file")));
        assert_eq!(message.status(), Some(refusal.status));
        assert!(message.to_tag().is_some());
        let wanted = &case["answer"]["any_of"];
        let is_wanted = wanted.as_array().is_none_or(|codes| codes.contains(&refusal.status.as_u16().into()));
        assert!(is_wanted, "{}: {} is not in {wanted}", text(case, "file"), refusal.status);
        answered += 1;
    }
    assert!(answered >= 20, "{answered}");
}

#[test]
fn streams_give_whole_messages_or_an_error() {
    for case in &index() {
        let is_stream = case["carrier"].as_array().is_some_and(|carriers| carriers.contains(&"tcp".into()));
        if !is_stream || text(case, "parse") != "accept" {
            continue;
        }
        let bytes = std::fs::read(torture_file(text(case, "file"))).unwrap();
        for size in [1, 7, 1400] {
            let mut decoder = StreamDecoder::new();
            let mut messages = 0;
            for segment in bytes.chunks(size) {
                decoder.push(segment);
                while let Some(frame) = decoder.next_frame().unwrap_or_else(|e| panic!("{}: {e}", text(case, "file"))) {
                    if let Frame::Message(message) = frame {
                        Message::parse(&message).unwrap_or_else(|e| panic!("{}: {e}", text(case, "file")));
                        messages += 1;
                    }
                }
            }
            assert_eq!(messages, 1, "{} in segments of {size}", text(case, "file"));
        }
    }
}

#[test]
fn a_stream_without_content_length_is_given_up() {
    let bytes = std::fs::read(torture_file("sip/cl-missing-stream.dat")).unwrap();
    let mut decoder = StreamDecoder::new();
    decoder.push(&bytes);
    assert!(decoder.next_frame().is_err());
}

/// No input may make the parser panic: files cut at many lengths, and with many octets damaged in turn.
#[test]
fn damaged_messages_never_panic() {
    /// Coprime to line lengths and cheap enough for every run; the fuzz target goes everywhere.
    const STRIDE: usize = 23;
    for case in &index() {
        let bytes = std::fs::read(torture_file(text(case, "file"))).unwrap();
        let limit = bytes.len().min(1200);
        for cut in (0..limit).step_by(STRIDE) {
            let _outcome = Message::parse(&bytes[..cut]);
        }
        let mut damaged = bytes.clone();
        for at in (0..limit).step_by(STRIDE) {
            for octet in [0, b'\r', b'\n', b'"', b'<', b',', b'%', 0xff] {
                damaged[at] = octet;
                if let Ok(message) = Message::parse(&damaged) {
                    let _values = (
                        message.vias(),
                        message.contacts(),
                        message.routes(),
                        message.to_response(StatusCode::OK, None),
                    );
                }
            }
            damaged[at] = bytes[at];
        }
    }
}

/// Wrong in what a transaction or the application knows, not in what one message shows; judged there.
const NOT_THE_PARSERS: [&str; 2] = ["sip/auth-dup-param.dat", "sip/cl-missing-stream.dat"];

fn judge(case: &Value, bytes: &[u8]) -> Vec<String> {
    let parsed = Message::parse(bytes);
    match (text(case, "parse"), &parsed) {
        ("accept", Ok(message)) => return fields(case, message),
        ("accept", Err(error)) => return vec![format!("refused: {error}")],
        ("reject", Ok(_)) if !NOT_THE_PARSERS.contains(&text(case, "file")) => return vec!["accepted".to_owned()],
        // A stray response or ACK is sound; that it belongs to nothing is for the transaction layer to see.
        ("discard", Ok(message)) if message.is_request() && message.method().as_str() != "ACK" => {
            return vec!["accepted".to_owned()];
        }
        ("discard", Err(ParseError::Answerable(_))) => return vec!["would be answered".to_owned()],
        _ => {}
    }
    Vec::new()
}

fn fields(case: &Value, message: &Message<'_>) -> Vec<String> {
    let mut faults = Vec::new();
    let Some(fields) = case["fields"].as_object() else { return faults };
    for (name, expected) in fields {
        let Some(seen) = see(name, message, expected) else { continue };
        if seen != *expected {
            faults.push(format!("{name} is {seen}, not {expected}"));
        }
    }
    faults
}

/// What the parser sees under that name; `None` for what it does not judge (SDP, numbers, our answers, multipart).
fn see(name: &str, message: &Message<'_>, expected: &Value) -> Option<Value> {
    let request_uri = message.request_uri();
    let sip = request_uri.as_ref().and_then(Uri::as_sip);
    let contacts = || message.contacts().unwrap();
    Some(match name {
        "method" => message.method().as_str().into(),
        "uri" => same_uri(&request_uri?, expected),
        "uri_host" => same_host(&sip?.host.to_string(), expected),
        "uri_port" => sip?.port.into(),
        "uri_user" | "uri_user_decoded" => sip?.user().into(),
        "status" => message.status()?.as_u16().into(),
        "reason" => match message.start() {
            Start::Response { reason, .. } => String::from(reason).into(),
            Start::Request { .. } => return None,
        },
        "via_count" => message.vias().len().into(),
        "via_transports" => message.vias().iter().map(|via| via.transport.as_str().to_owned()).collect(),
        "top_via_branch" => message.branch().into(),
        "top_via_transport" => message.top_via().transport.as_str().into(),
        "top_via_received" => message.top_via().received().map(|address| address.to_string()).into(),
        "from_tag" => message.from_tag().into(),
        "to_tag" => message.to_tag().into(),
        "from_display" => display(&message.from()),
        "to_display" => display(&message.to()),
        "from_uri" => same_uri(&message.from().uri, expected),
        "to_uri" => same_uri(&message.to().uri, expected),
        "to_user_decoded_hex" => hex::encode(message.to().uri.as_sip()?.user.as_ref()?.decoded()).into(),
        "call_id" => message.call_id().into(),
        "cseq_number" => message.cseq().number.into(),
        "cseq_method" => message.cseq().method.as_str().into(),
        "max_forwards" => message.max_forwards().into(),
        "content_length" => match message.header(&HeaderName::ContentLength) {
            Some(_) => message.body().len().into(),
            None => Value::Null,
        },
        "content_type" => message.content_type().unwrap().into(),
        "contact_count" => contacts().len().into(),
        "contact_uri" => same_uri(&contacts().first()?.uri, expected),
        "contact_q" => contacts().first()?.params.get("q").into(),
        "contact_header_params" => contacts().first()?.params.iter().map(|param| param.name.to_string()).collect(),
        "contact_uri_params" => {
            let contacts = contacts();
            contacts.first()?.uri.as_sip()?.params.iter().map(|param| param.name.as_str().to_owned()).collect()
        }
        "subject" => message.text(&HeaderName::Subject).into(),
        "route" => message.routes().unwrap().iter().map(NameAddr::to_string).collect(),
        "headers" => {
            let names = expected.as_object()?.keys();
            let seen = names.map(|name| (name.clone(), message.text(&HeaderName::new(name).unwrap()).into()));
            Value::Object(seen.collect())
        }
        "boundary" | "body_parts" | "response_headers" | "e164" | "sdp_connection" | "sdp_media" => return None,
        other => panic!("what is {other}?"),
    })
}

/// The reason phrase is for people; we write our own.
fn without_reason(start: Start) -> Start {
    match start {
        Start::Request { .. } => start,
        Start::Response { status, .. } => Start::Response { status, reason: "".into() },
    }
}

fn display(address: &NameAddr) -> Value {
    address.display.as_deref().into()
}

/// The expected text if the URI is the one it names: how an address or an escape is spelt does not matter.
fn same_uri(uri: &Uri, expected: &Value) -> Value {
    let named = expected.as_str().and_then(|text| Uri::parse(text.as_bytes()).ok());
    if named.as_ref() == Some(uri) { expected.clone() } else { uri.to_string().into() }
}

fn same_host(host: &str, expected: &Value) -> Value {
    let parse = |text: &str| tandem_sip::message::Host::new(text);
    if expected.as_str().is_some_and(|text| parse(text) == parse(host)) { expected.clone() } else { host.into() }
}

fn index() -> Vec<Value> {
    let text = std::fs::read_to_string(torture_file("index.json")).unwrap();
    let index: Value = serde_json::from_str(&text).unwrap();
    index["cases"].as_array().cloned().unwrap()
}

fn text<'v>(case: &'v Value, field: &str) -> &'v str {
    case[field].as_str().unwrap()
}

fn torture_file(name: &str) -> std::path::PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/torture")).join(name)
}
