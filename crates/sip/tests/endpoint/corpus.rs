//! Odd and hostile messages, one by one, and then bent at random: none harms, each gets the answer it may get.

use std::path::Path;

use crate::lab::*;
use serde_json::Value;
use tandem_sip::endpoint::{Counts, Event};
use tandem_sip::message::{Body, StatusCode};

fn cases() -> Vec<(Value, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/torture");
    let index: Value = serde_json::from_slice(&std::fs::read(folder.join("index.json")).unwrap()).unwrap();
    let list = index["cases"].as_array().or(index.as_array()).unwrap().clone();
    assert!(list.len() > 200, "the corpus is here");
    list.into_iter()
        .map(|case| {
            let octets = std::fs::read(folder.join(case["file"].as_str().unwrap())).unwrap();
            (case, octets)
        })
        .collect()
}

fn codes(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().map(Value::to_string).collect()
}

/// What is wrong with the answer to a case, if something is.
fn fault(case: &Value, sent: &[Sent], events: &[Event]) -> Option<String> {
    let kinds: Vec<&str> = sent.iter().map(Sent::kind).collect();
    let answer = &case["answer"];
    if case["must"] != true || answer.is_null() {
        return None;
    }
    if answer["silence"] == "required" && !(kinds.is_empty() && events.is_empty()) {
        return Some(format!("answered {kinds:?}"));
    }
    if kinds.len() > 1 {
        return Some(format!("more than one answer: {kinds:?}"));
    }
    let kind = kinds.first()?;
    if codes(&answer["not"]).iter().any(|code| code == kind) {
        return Some(format!("answered {kind}"));
    }
    let good = codes(&answer["any_of"]);
    // A bare cookie is matched as RFC 2543 did, which the case allows.
    if !good.is_empty() && !good.iter().any(|code| code == kind) && answer["or"].is_null() {
        return Some(format!("answered {kind}, not one of {good:?}"));
    }
    None
}

#[test]
fn every_message_of_the_corpus_gets_an_answer_that_it_may_get() {
    let mut faults = Vec::new();
    for (case, octets) in cases() {
        let mut lab = Lab::new();
        lab.receive_octets(PEER, &octets);
        let (sent, events) = (lab.sent(), lab.events());
        faults.extend(fault(&case, &sent, &events).map(|fault| format!("{}: {fault}", case["file"])));
        for message in &sent {
            assert_eq!(message.flow.remote.ip(), address(PEER).ip(), "{}: nothing goes to others", case["file"]);
        }
        for event in events {
            if let Event::Invite { session, .. } = event {
                lab.endpoint.reject(session, StatusCode::NOT_FOUND, Vec::new(), lab.now);
            }
        }
        lab.sent();
        lab.receive(&request("OPTIONS", "alive", 1, "", "", ""));
        assert_eq!(lab.kinds(), ["200"], "{}: still there", case["file"]);
        lab.finish();
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// The two copies of a bad branch are different requests.
#[test]
fn requests_with_a_bare_cookie_are_told_apart() {
    let mut lab = Lab::new();
    let first = invite("a").replace("z9hG4bK-a", "z9hG4bK");
    lab.receive(&first);
    lab.receive(&first);
    assert_eq!(lab.told(), ["Invite"], "a repeat is a repeat");
    lab.receive(&first.replace("call-1", "call-2"));
    assert_eq!(lab.told(), ["Invite"]);
    assert_eq!(lab.counts().sessions, 2);
}

#[test]
fn an_rfc_2543_peer_is_canceled_and_acknowledged_without_branches() {
    let mut lab = Lab::new();
    let bare = |text: String| text.replace(";rport;branch=z9hG4bK-a", "");
    lab.receive(&bare(invite("a")));
    let session = lab.invited();
    lab.receive(&bare(request("CANCEL", "a", 1, "", "", "")));
    let sent = lab.sent();
    assert_eq!(sent.iter().map(Sent::kind).collect::<Vec<_>>(), ["200", "487"]);
    lab.receive(&bare(request("ACK", "a", 1, sent[1].tag("To"), "", "")));
    lab.pass(10_000);
    assert!(lab.sent().is_empty());
    assert_eq!(lab.told(), ["Canceled", "Ended Canceled"]);

    lab.receive(&bare(invite("a").replace("call-1", "call-2")));
    let second = lab.invited();
    assert_ne!(session, second);
    lab.endpoint.accept(second, Some(Body::sdp(SDP.into())), Vec::new(), lab.now);
    let tag = lab.sent_one().tag("To").to_owned();
    lab.receive(&bare(request("ACK", "a", 1, &tag, "", "").replace("call-1", "call-2")));
    assert_eq!(lab.told(), ["Acknowledged"]);
}

#[test]
fn bent_messages_in_the_middle_of_calls_do_no_harm() {
    let corpus: Vec<Vec<u8>> = cases().into_iter().map(|(_, octets)| octets).collect();
    for seed in 0..40 {
        let mut random = Seeded(seed);
        let mut lab = Lab::new();
        let mut sessions = Vec::new();
        let mut seen: Vec<Vec<u8>> = Vec::new();
        for round in 0..150 {
            match random.below(12) {
                0 => sessions.push(lab.endpoint.invite(lab.outgoing(), lab.now)),
                1 => seen.push(invite(&format!("{seed}-{round}")).replace('\n', "\r\n").into_bytes()),
                2 => lab.pass(random.below(3_000)),
                _ => {}
            }
            if let Some(session) = sessions.get(index(&mut random, sessions.len() + 1)).copied() {
                match random.below(8) {
                    0 => lab.endpoint.accept(session, Some(Body::sdp(SDP.into())), Vec::new(), lab.now),
                    1 => lab.endpoint.bye(session, None, lab.now),
                    2 => lab.endpoint.cancel(session, None, lab.now),
                    3 => drop(lab.endpoint.reinvite(session, None, lab.now)),
                    4 => lab.endpoint.answer_reinvite(session, None, lab.now),
                    5 => lab.endpoint.progress(session, StatusCode::RINGING, None, lab.now),
                    _ => {}
                }
            }
            for sent in lab.sent() {
                // Our own requests come back as responses, our responses as ACK and BYE.
                if sent.text.starts_with("SIP/2.0") {
                    let tag = sent.header("To").split(";tag=").nth(1).unwrap_or("x").to_owned();
                    for method in ["ACK", "BYE", "INVITE"] {
                        let text =
                            in_dialog(method, 1 + u32::try_from(round).unwrap(), &tag, "Contact: <sip:x@192.0.2.2>\n");
                        seen.push(text.replace('\n', "\r\n").into_bytes());
                    }
                } else {
                    for code in [180, 200, 401, 486] {
                        let text = response(&sent, code, "X", "b", SDP).replace("\r\n", "\n");
                        seen.push(text.replace('\n', "\r\n").into_bytes());
                    }
                }
            }
            for event in lab.events() {
                if let Event::Invite { session, .. } = event {
                    sessions.push(session);
                }
            }
            let pool = if seen.is_empty() || random.below(4) == 0 { &corpus } else { &seen };
            let mut octets = pool[index(&mut random, pool.len())].clone();
            if random.below(2) == 0 {
                bend(&mut random, &mut octets);
            }
            lab.receive_octets(PEER, &octets);
        }
        for event in lab.events() {
            if let Event::Invite { session, .. } = event {
                sessions.push(session);
            }
        }
        for session in sessions {
            lab.endpoint.cancel(session, None, lab.now);
            lab.endpoint.reject(session, StatusCode::BUSY_HERE, Vec::new(), lab.now);
            lab.endpoint.bye(session, None, lab.now);
        }
        lab.pass(400_000);
        assert_eq!(lab.counts(), Counts::default(), "seed {seed}");
    }
}

fn index(random: &mut Seeded, bound: usize) -> usize {
    usize::try_from(random.below(u64::try_from(bound).unwrap())).unwrap()
}

/// Changes, drops, doubles or cuts a few octets.
fn bend(random: &mut Seeded, octets: &mut Vec<u8>) {
    for _ in 0..=random.below(3) {
        if octets.is_empty() {
            return;
        }
        let at = index(random, octets.len());
        match random.below(5) {
            0 => octets[at] = random.next().to_le_bytes()[0],
            1 => drop(octets.remove(at)),
            2 => octets.insert(at, b"\0\r\n:;,<>\"% \t@"[index(random, 13)]),
            3 => octets.truncate(at),
            _ => {
                let until = (at + index(random, 40)).min(octets.len());
                let copy = octets[at..until].to_vec();
                octets.splice(at..at, copy);
            }
        }
    }
}
