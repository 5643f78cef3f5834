//! Digest against published and own vectors, and the odd challenges that servers send.

#![expect(clippy::unwrap_used, reason = "a failing test may panic")]

use serde_json::Value;
use tandem_sip::digest::{Algorithm, Answer, Challenge, Qop, challenges};
use tandem_sip::message::{Message, Method};

#[test]
fn the_response_is_that_of_the_vectors() {
    let vectors = read("vectors.json");
    assert!(vectors.len() >= 11, "the vectors are here");
    for vector in &vectors {
        let field = |name: &str| vector[name].as_str();
        let challenge = Challenge {
            proxy: false,
            realm: field("realm").unwrap().to_owned(),
            nonce: field("nonce").unwrap().to_owned(),
            opaque: None,
            algorithm: field("algorithm").map_or(Algorithm::Md5, |name| Algorithm::from_name(name).unwrap()),
            names_algorithm: field("algorithm").is_some(),
            qop: field("qop").map(|qop| if qop == "auth" { Qop::Auth } else { Qop::AuthInt }),
            stale: false,
        };
        let method = Method::new(field("method").unwrap()).unwrap();
        let value = challenge.answer(&Answer {
            username: field("username").unwrap(),
            password: field("password").unwrap(),
            method: &method,
            uri: field("uri").unwrap(),
            body: field("body").unwrap_or_default().as_bytes(),
            cnonce: field("cnonce").unwrap_or_default(),
            nonce_count: u32::from_str_radix(field("nc").unwrap_or("1"), 16).unwrap(),
        });
        let expected = format!("response=\"{}\"", field("response").unwrap());
        assert!(value.as_str().contains(&expected), "{}: {value}", field("id").unwrap());
    }
}

/// Each edge case that is a header; the others are about several requests and are tested where those are made.
#[test]
fn odd_challenges_are_read_as_meant() {
    let mut seen = 0;
    for case in &read("edge.json") {
        let header = case["header"].as_str().unwrap();
        if !header.starts_with("WWW-Authenticate") {
            continue;
        }
        let read = read_challenges(&header.replace("\nWWW", "\r\nWWW"));
        let first = read.first();
        match case["id"].as_str().unwrap() {
            "digest-edge/alg-list" => {
                let nonces: Vec<_> = read.iter().map(|challenge| challenge.nonce.as_str()).collect();
                assert_eq!(nonces, ["a", "b", "c"], "topmost first");
                assert_eq!(first.unwrap().algorithm, Algorithm::Sha512Trunc256);
            }
            "digest-edge/alg-unknown-only" | "digest-edge/no-nonce" => assert!(read.is_empty()),
            "digest-edge/qop-unquoted" | "digest-edge/qop-list-spaces" => {
                assert_eq!(first.unwrap().qop, Some(Qop::Auth));
            }
            "digest-edge/stale-true" => assert!(first.unwrap().stale),
            "digest-edge/realm-empty" => {
                assert_eq!(first.unwrap().realm, "");
                assert!(answer(first.unwrap()).contains("realm=\"\""));
            }
            "digest-edge/odd-spacing" => {
                let challenge = first.unwrap();
                assert_eq!((challenge.realm.as_str(), challenge.nonce.as_str()), ("r", "n"));
                assert_eq!(challenge.opaque.as_deref(), Some(""));
            }
            "digest-edge/comma-in-quotes" => {
                let challenge = first.unwrap();
                assert_eq!((challenge.realm.as_str(), challenge.nonce.as_str()), ("a,b=\"c\"", "n,1"));
                assert!(answer(challenge).contains(r#"realm="a,b=\"c\"""#));
            }
            "digest-edge/opaque-echo" => assert!(answer(first.unwrap()).contains(r#"opaque="x y\"z""#)),
            other => panic!("what is expected of {other}?"),
        }
        seen += 1;
    }
    assert!(seen >= 9, "{seen}");
}

#[test]
fn an_answer_without_qop_has_no_count_and_no_algorithm_that_was_not_named() {
    let challenges = read_challenges("WWW-Authenticate: Digest realm=\"r\",nonce=\"n\"");
    let value = answer(challenges.first().unwrap());
    for name in ["nc=", "qop=", "cnonce=", "algorithm=", "opaque="] {
        assert!(!value.contains(name), "{value}");
    }
}

#[test]
fn auth_int_is_chosen_only_when_it_is_all_there_is() {
    let qop = |offer: &str| {
        let header = format!("Proxy-Authenticate: Digest realm=\"r\",nonce=\"n\",qop=\"{offer}\"");
        read_challenges(&header).first().map(|challenge| (challenge.proxy, challenge.qop))
    };
    assert_eq!(qop("auth-int,auth"), Some((true, Some(Qop::Auth))));
    assert_eq!(qop("auth-int"), Some((true, Some(Qop::AuthInt))));
    assert_eq!(qop("auth-conf"), None, "cannot be answered");
    assert_eq!(qop(""), Some((true, None)));
}

#[test]
fn a_user_name_cannot_break_out_of_its_quotes() {
    let challenges = read_challenges("WWW-Authenticate: Digest realm=\"r\",nonce=\"n\"");
    let value = challenges[0].answer(&Answer { username: "a\", uri=\"x\r\nX: y", ..ANSWER });
    assert!(value.as_str().starts_with(r#"Digest username="a\", uri=\"x  X: y", realm="r""#), "{value}");
}

const ANSWER: Answer<'static> = Answer {
    username: "u",
    password: "p",
    method: &Method::Register,
    uri: "sip:r",
    body: b"",
    cnonce: "c",
    nonce_count: 1,
};

fn answer(challenge: &Challenge) -> String {
    challenge.answer(&ANSWER).as_str().to_owned()
}

fn read_challenges(headers: &str) -> Vec<Challenge> {
    let response = format!(
        "SIP/2.0 401 Unauthorized\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>;tag=2\r\n\
         Call-ID: c\r\nCSeq: 1 REGISTER\r\n{headers}\r\nContent-Length: 0\r\n\r\n"
    );
    challenges(&Message::parse(response.as_bytes()).unwrap())
}

fn read(name: &str) -> Vec<Value> {
    let path = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/digest")).join(name);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}
