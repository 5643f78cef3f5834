//! The corpus that the parser is tested with: its files, octet for octet, and what its index says of each.

use crate::rules::Or;
use serde_json::Value;
use std::path::Path;
use tandem_sip::message::{Message, ParseError, Via};

/// One message, and what a server may say to it.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) id: String,
    pub(crate) octets: Vec<u8>,
    pub(crate) carriers: Vec<Carrier>,
    pub(crate) sender: Sender,
    /// False where the product may choose.
    pub(crate) must: bool,
    /// `None` for the messages of call flows, which have no verdict of their own in the index.
    pub(crate) answer: Option<Answer>,
}

/// What a server may answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) any_of: Option<Vec<u16>>,
    pub(crate) not: Option<Vec<u16>>,
    pub(crate) or: Option<Or>,
    pub(crate) silence: Option<Silence>,
    pub(crate) prefer: Option<u16>,
}

/// When no answer is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Silence {
    Required,
    IfPeerNotAllowed,
    IfUnanswerable,
}

/// How a message travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carrier {
    Udp,
    Tcp,
    Tls,
}

/// Who sends it: the state that `context` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sender {
    /// An address of a trunk.
    Trunk,
    /// An address that no trunk names.
    Stranger,
}

impl Case {
    /// Reads the index and all files that are SIP messages.
    pub(crate) fn all() -> Vec<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/sip/tests/data/torture");
        let index = std::fs::read(folder.join("index.json")).unwrap();
        let index: Value = serde_json::from_slice(&index).unwrap();
        let cases = index["cases"].as_array().unwrap().iter();
        let of_layers = cases.filter(|case| ["syntax", "transaction", "application"].contains(&text(case, "layer")));
        let mut cases: Vec<Self> = of_layers.map(|case| Self::read(case, &folder)).collect();
        cases.push(Self::header_of_a_megabyte());
        cases.push(Self::controls_in_numbers("own/controls-in-numbers", "0", vec![200]));
        cases.push(Self::controls_in_numbers("own/controls-in-numbers-refused", "111", vec![488]));
        cases
    }

    fn read(case: &Value, folder: &Path) -> Self {
        let context = case.get("context").filter(|context| !context.is_null());
        let sender = match context.map(|context| context.as_str().unwrap()) {
            None => Sender::Trunk,
            Some("Send from an address that belongs to no trunk.") => Sender::Stranger,
            Some(other) => panic!("{}: nobody sets this up: {other}", case["id"]),
        };
        Self {
            id: text(case, "id").to_owned(),
            octets: std::fs::read(folder.join(text(case, "file"))).unwrap(),
            carriers: case["carrier"].as_array().unwrap().iter().map(Carrier::read).collect(),
            sender,
            must: case["must"].as_bool().unwrap(),
            answer: case.get("answer").map(|answer| Answer::read(case, answer)),
        }
    }

    /// Too large for a file: a header of 1 MiB, on a stream. What is kept of one message is bounded.
    fn header_of_a_megabyte() -> Self {
        let head = "INVITE sip:+15551230000@sw.example.com SIP/2.0\r\n\
            Via: SIP/2.0/TCP 192.0.2.7:5060;branch=z9hG4bK-1m\r\nMax-Forwards: 70\r\n\
            From: \"Caller\" <sip:+15557654321@peer.example.net>;tag=1027\r\nTo: <sip:+15551230000@sw.example.com>\r\n\
            Call-ID: x1027@192.0.2.7\r\nCSeq: 1 INVITE\r\nContact: <sip:+15557654321@192.0.2.7:5060>\r\nX-Long: ";
        let mut octets = head.as_bytes().to_vec();
        octets.resize(octets.len() + (1 << 20), b'a');
        octets.extend_from_slice(b"\r\nContent-Length: 0\r\n\r\n");
        let answer = Answer {
            any_of: Some(vec![400, 413, 513]),
            not: None,
            or: Some(Or::StreamClosed),
            silence: None,
            prefer: None,
        };
        Self {
            id: "sip/header-1m".to_owned(),
            octets,
            carriers: vec![Carrier::Tcp],
            sender: Sender::Trunk,
            must: true,
            answer: Some(answer),
        }
    }

    /// Called and calling name hide a NUL, a line break and an escape sequence behind their escapes; the call is taken or refused for
    /// what it offers, and either is on record.
    fn controls_in_numbers(id: &str, payload_type: &str, wanted: Vec<u16>) -> Self {
        let sdp = format!(
            "v=0\r\no=- 1 1 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\n\
             m=audio 40000 RTP/AVP {payload_type}\r\na=rtpmap:111 opus/48000/2\r\n"
        );
        let text = format!(
            "INVITE sip:nul%00break%0D%0AX-Injected:%201@sw.example.com SIP/2.0\r\n\
             Via: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bK-controls-{payload_type}\r\nMax-Forwards: 70\r\n\
             From: <sip:red%1B%5B31m%00@peer.example.net>;tag=1\r\nTo: <sip:nul%00@sw.example.com>\r\n\
             Call-ID: controls-{payload_type}\r\nCSeq: 1 INVITE\r\nContact: <sip:red%1B@192.0.2.7>\r\n\
             Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}",
            sdp.len()
        );
        let answer = Answer { any_of: Some(wanted), not: None, or: None, silence: None, prefer: None };
        Self {
            id: id.to_owned(),
            octets: text.into_bytes(),
            carriers: vec![Carrier::Udp, Carrier::Tcp],
            sender: Sender::Trunk,
            must: true,
            answer: Some(answer),
        }
    }

    /// What it says it is; empty for what is no request line.
    pub(crate) fn method(&self) -> &str {
        let is_letter = |octet: &u8| octet.is_ascii_uppercase();
        let end = self.octets.iter().position(|octet| !is_letter(octet)).unwrap_or_default();
        std::str::from_utf8(&self.octets[..end]).unwrap_or_default()
    }

    /// Its topmost Via, if it can be read.
    pub(crate) fn via(&self) -> Option<Via> {
        match Message::parse(&self.octets) {
            Ok(message) => Some(message.top_via()),
            Err(ParseError::Answerable(refusal)) => refusal.vias.first().cloned(),
            Err(ParseError::KeepAlive | ParseError::NotSip | ParseError::Discard(_)) => None,
        }
    }

    /// Whether it says it belongs to a dialog.
    pub(crate) fn is_in_dialog(&self) -> bool {
        Message::parse(&self.octets).is_ok_and(|message| message.to_tag().is_some())
    }

    /// Whether it says it is a response, or is the one request that is never answered.
    pub(crate) fn is_response_or_ack(&self) -> bool {
        self.octets.starts_with(b"SIP/2.0 ") || self.method() == "ACK"
    }
}

impl Answer {
    fn read(case: &Value, answer: &Value) -> Self {
        let known = ["any_of", "not", "or", "silence", "prefer"];
        let unknown: Vec<&String> =
            answer.as_object().unwrap().keys().filter(|key| !known.contains(&key.as_str())).collect();
        assert!(unknown.is_empty(), "{}: what is {unknown:?}?", case["id"]);
        let codes = |name: &str| -> Option<Vec<u16>> {
            let codes = answer[name].as_array()?;
            Some(codes.iter().map(|code| u16::try_from(code.as_u64().unwrap()).unwrap()).collect())
        };
        Self {
            any_of: codes("any_of"),
            not: codes("not"),
            or: answer["or"].as_str().map(Or::read),
            silence: answer["silence"].as_str().map(|silence| match silence {
                "required" => Silence::Required,
                "if-peer-not-allowed" => Silence::IfPeerNotAllowed,
                "ok-if-unanswerable" => Silence::IfUnanswerable,
                other => panic!("{}: what silence is {other}?", case["id"]),
            }),
            prefer: answer["prefer"].as_u64().map(|code| u16::try_from(code).unwrap()),
        }
    }
}

impl Carrier {
    fn read(name: &Value) -> Self {
        match name.as_str() {
            Some("udp") => Self::Udp,
            Some("tcp") => Self::Tcp,
            Some("tls") => Self::Tls,
            _ => panic!("what carrier is {name}?"),
        }
    }
}

fn text<'v>(case: &'v Value, field: &str) -> &'v str {
    case[field].as_str().unwrap()
}
