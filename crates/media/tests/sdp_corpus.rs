//! Walks the corpus of session descriptions in `tests/data/sdp`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fmt::Write as _;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tandem_media::offer_answer::{Agreement, LocalMedia, NegotiationError, accept_answer, answer, offer};
use tandem_media::sdp::{Direction, Session};
use tandem_model::Codec;

/// What became of one description.
struct Outcome {
    case: Value,
    body: Vec<u8>,
    parsed: Result<Session, String>,
    as_offer: Result<(Session, Agreement), NegotiationError>,
    as_answer: Result<Agreement, NegotiationError>,
}

#[test]
fn every_description_is_taken_or_refused_as_listed() {
    for outcome in walk() {
        let id = outcome.id();
        match outcome.text("parse") {
            "accept" => assert!(outcome.parsed.is_ok(), "{id}: {:?}", outcome.parsed),
            "reject" => {
                assert!(outcome.as_offer.is_err(), "{id}: taken as an offer");
                assert!(outcome.as_answer.is_err(), "{id}: taken as an answer");
            }
            "either" => {}
            other => panic!("{id}: unknown expectation {other}"),
        }
    }
}

#[test]
fn every_listed_field_is_seen() {
    let mut seen = 0;
    for outcome in walk() {
        let Some(fields) = outcome.case["fields"].as_object() else { continue };
        let session = outcome.parsed.as_ref().unwrap();
        for (name, expected) in fields {
            seen += 1;
            assert_eq!(field(session, name), *expected, "{}: {name}", outcome.id());
        }
    }
    assert_eq!(seen, 5);
}

#[test]
fn offers_and_answers_come_to_what_is_listed() {
    for outcome in walk() {
        let id = outcome.id();
        let tags = outcome.case["tags"].as_array().into_iter().flatten();
        // What is encrypted is refused whole.
        let encrypted = tags.into_iter().any(|tag| tag == "srtp" || tag == "webrtc");
        match outcome.case["answer"]["as_offer"].as_str() {
            Some("answer made") if !encrypted => assert!(outcome.as_offer.is_ok(), "{id}: {:?}", outcome.as_offer),
            Some("answer recvonly") => {
                assert_eq!(outcome.as_offer.as_ref().unwrap().1.direction, Direction::RecvOnly, "{id}");
            }
            Some("488") => assert!(outcome.as_offer.is_err(), "{id}"),
            _ => {}
        }
        match outcome.case["answer"]["as_answer"].as_str() {
            Some("call goes on") if !encrypted => assert!(outcome.as_answer.is_ok(), "{id}: {:?}", outcome.as_answer),
            Some("call ended" | "call ended cleanly") => assert!(outcome.as_answer.is_err(), "{id}"),
            _ => {}
        }
        if let Ok((answered, _)) = &outcome.as_offer {
            let offered = outcome.parsed.as_ref().unwrap();
            assert_eq!(answered.media.len(), offered.media.len(), "{id}: as many streams as the offer");
            assert_eq!(answered.media.iter().filter(|media| media.port != 0).count(), 1, "{id}: one is taken");
            assert_eq!(answered.times, offered.times, "{id}");
        }
    }
}

#[test]
fn what_is_read_is_written_again_without_loss() {
    for outcome in walk() {
        let Ok(session) = &outcome.parsed else { continue };
        let printed = session.to_bytes();
        assert_eq!(Session::parse(&printed).as_ref(), Ok(session), "{}", outcome.id());

        let lines_of = |body: &[u8]| -> Vec<String> {
            String::from_utf8_lossy(body).trim_end().lines().map(|line| line.replace('\t', " ")).collect()
        };
        let (mut read, mut written) = (lines_of(&outcome.body), lines_of(&printed));
        match outcome.id() {
            // Comes without a line that we write.
            "no-t" => read.push("t=0 0".into()),
            "c-media-only" | "b-overflow" => {}
            _ => {
                assert_eq!(read, written, "{}", outcome.id());
                continue;
            }
        }
        // Their lines are in another order than that of the RFC.
        read.sort();
        written.sort();
        assert_eq!(read, written, "{}", outcome.id());
    }
}

#[test]
fn the_outcomes_are_these() {
    let mut table = String::new();
    for outcome in walk() {
        writeln!(table, "{}", outcome.id()).unwrap();
        match &outcome.parsed {
            Err(reason) => writeln!(table, "  malformed: {reason}").unwrap(),
            Ok(_) => {
                let as_offer = outcome.as_offer.as_ref().map(|(_, agreement)| agreement);
                writeln!(table, "  as offer:  {}", show(as_offer)).unwrap();
                writeln!(table, "  as answer: {}", show(outcome.as_answer.as_ref())).unwrap();
            }
        }
    }
    insta::assert_snapshot!("sdp_corpus", table);
}

fn show(result: Result<&Agreement, &NegotiationError>) -> String {
    let agreement = match result {
        Ok(agreement) => agreement,
        Err(reason) => return reason.to_string(),
    };
    let address = |address: Option<std::net::SocketAddr>| address.map_or("nowhere".into(), |known| known.to_string());
    let event = agreement
        .telephone_event
        .map(|event| format!(", events {}/{}", event.send_payload_type, event.receive_payload_type));
    format!(
        "{} as {} to {} and {}, {} ms, {}{}{}",
        agreement.codec,
        agreement.send_payload_type,
        address(agreement.remote_rtp),
        address(agreement.remote_rtcp),
        agreement.ptime_ms,
        agreement.direction,
        event.unwrap_or_default(),
        if agreement.rtcp_mux { ", rtcp-mux" } else { "" },
    )
}

fn field(session: &Session, name: &str) -> Value {
    match name {
        "media" => session
            .media
            .iter()
            .map(|media| {
                serde_json::json!({
                    "type": media.kind.to_string(),
                    "port": media.port,
                    "proto": media.protocol.to_string(),
                    "fmt": media.formats.iter().map(ToString::to_string).collect::<Vec<_>>(),
                })
            })
            .collect(),
        "media_count" => session.media.len().into(),
        "session_c" => session.connection.as_ref().map(ToString::to_string).into(),
        "media_2_c" => session.connection_of(&session.media[2]).map(ToString::to_string).into(),
        "g722_clock" => session.media[0].rtp_map(9).map(|map| map.clock_rate).into(),
        other => panic!("unknown field {other}"),
    }
}

impl Outcome {
    fn id(&self) -> &str {
        self.text("id")
    }

    fn text(&self, name: &str) -> &str {
        self.case[name].as_str().unwrap()
    }
}

fn walk() -> Vec<Outcome> {
    let folder: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/sdp");
    let index: Value = serde_json::from_slice(&fs::read(folder.join("index.json")).unwrap()).unwrap();
    let local = LocalMedia {
        address: IpAddr::from([198, 51, 100, 5]),
        rtp_port: 20_000,
        codecs: vec![Codec::Pcmu, Codec::Pcma],
        telephone_event: true,
        direction: Direction::SendRecv,
        ptime_ms: 20,
        session_id: 7,
        session_version: 1,
    };
    let outcomes: Vec<Outcome> = index["cases"]
        .as_array()
        .unwrap()
        .iter()
        .map(|case| {
            let body = fs::read(folder.join(case["file"].as_str().unwrap())).unwrap();
            assert_eq!(body.len() as u64, case["bytes"].as_u64().unwrap(), "{}", case["id"]);
            Outcome {
                case: case.clone(),
                parsed: Session::parse(&body).map_err(|reason| reason.to_string()),
                as_offer: answer(&body, &local).map(|(bytes, agreement)| (Session::parse(&bytes).unwrap(), agreement)),
                as_answer: accept_answer(&offer(&local), &body),
                body,
            }
        })
        .collect();
    assert_eq!(outcomes.len(), 61);
    outcomes
}
