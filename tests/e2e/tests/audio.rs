//! What two parties hear of each other.

use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tandem_e2e::peer::Script;
use tandem_e2e::{Network, Options, Peer, Tandem, text_at};

#[test]
fn two_parties_hear_each_other_within_200_ms_of_the_answer() {
    let network = Network::claim();
    let tandem = Tandem::start(&network, &Options::default());
    let api = tandem.api();
    let (one, other) = (Peer::start(network.sip(2)), Peer::start(network.sip(3)));
    let trunk = api.create_trunk("one", one.address(), &json!({}));

    let order = json!({"sip_trunk_id": trunk, "connect": {"type": "sip", "uri": other.uri("tone700")}});
    let id = text_at(&api.dial(&one.uri("tone1000"), &order), "/id");
    let by_one = one.wait_for_call("hears 700 Hz", Duration::from_secs(5), |call| call.first_heard(700).is_some());
    let by_other =
        other.wait_for_call("hears 1000 Hz", Duration::from_secs(5), |call| call.first_heard(1_000).is_some());

    // The path is complete once the second party has answered.
    let answered = by_other.answered_at.expect("the second party answered");
    let late = |heard: Option<Instant>| heard.map(|at| at.saturating_duration_since(answered));
    let (first, second) = (late(by_one.first_heard(700)), late(by_other.first_heard(1_000)));
    assert!(first.is_some_and(|late| late < Duration::from_millis(200)), "700 Hz at the first party after {first:?}");
    assert!(
        second.is_some_and(|late| late < Duration::from_millis(200)),
        "1000 Hz at the second party after {second:?}"
    );

    // One stream to each: continuous over ringback and relay.
    let by_one = one.wait_for_call("hears for a while", Duration::from_secs(3), |call| call.heard.len() > 60);
    let sources: std::collections::BTreeSet<u32> = by_one.heard.iter().map(|heard| heard.ssrc).collect();
    assert_eq!(sources.len(), 1, "SSRCs at the first party: {sources:x?}");
    for pair in by_one.heard.windows(2) {
        let step = pair[1].sequence.wrapping_sub(pair[0].sequence);
        assert_eq!(step, 1, "sequence {} after {}", pair[1].sequence, pair[0].sequence);
    }

    let _ = api.hang_up(&id).expect(200);
    let call = api.wait_for_end(&id, Duration::from_secs(3));
    assert_eq!(call["status"], "completed", "{call:#}");
    for peer in [&one, &other] {
        peer.wait_for_call("has a BYE", Duration::from_secs(2), |call| call.count("BYE") > 0);
    }
    let legs = api.closed_legs(&id);
    assert_eq!(legs.len(), 2);
    for leg in &legs {
        assert_eq!(leg["codec"], "PCMU", "{leg:#}");
        assert!(leg["media"]["packets_received"].as_u64().is_some_and(|packets| packets > 20), "{leg:#}");
        assert_eq!(leg["media"]["packets_lost"], 0, "{leg:#}");
        assert_eq!(leg["media"]["packets_refused"], 0, "{leg:#}");
    }
}

#[test]
fn parties_of_different_codecs_hear_each_other() {
    let network = Network::claim();
    let tandem = Tandem::start(&network, &Options::default());
    let api = tandem.api();
    // The second party is called by a number.
    let one = Peer::start(network.sip(2));
    let other = Peer::start_with(network.sip(3), |_| Script::named("tone700"));
    let elsewhere = json!({"codec_preferences": ["PCMA"], "outbound_routing": {"prefixes": ["+44"]}});
    let a_law = api.create_trunk("a-law", one.address(), &elsewhere);
    let _ = api.create_trunk("u-law", other.address(), &json!({"codec_preferences": ["PCMU"]}));

    let order = json!({"sip_trunk_id": a_law, "connect": {"type": "number", "number": "+12025550123"}});
    let id = text_at(&api.dial(&one.uri("tone1000"), &order), "/id");
    one.wait_for_call("hears 700 Hz", Duration::from_secs(5), |call| call.first_heard(700).is_some());
    other.wait_for_call("hears 1000 Hz", Duration::from_secs(5), |call| call.first_heard(1_000).is_some());
    let codecs: Vec<Value> = api.legs(&id).into_iter().map(|leg| leg["codec"].clone()).collect();
    assert_eq!(codecs, ["PCMA", "PCMU"]);
    let _ = api.hang_up(&id).expect(200);
}

#[test]
fn a_tone_is_played_to_who_was_called() {
    let network = Network::claim();
    let tandem = Tandem::start(&network, &Options::default());
    let api = tandem.api();
    let peer = Peer::start(network.sip(2));
    let id = text_at(&api.dial(&peer.uri("mute"), &json!({"connect": {"type": "play", "tone": "1000"}})), "/id");
    let call = peer.wait_for_call("hears 1000 Hz", Duration::from_secs(3), |call| call.first_heard(1_000).is_some());
    assert!(call.acknowledged_at.is_some());
    let _ = api.hang_up(&id).expect(200);
}

#[test]
fn a_call_that_is_held_is_answered_so_and_resumes() {
    let network = Network::claim();
    let tandem = Tandem::start(&network, &Options::default());
    let api = tandem.api();
    let peer = Peer::start(network.sip(2));
    let id = text_at(&api.dial(&peer.uri("hold"), &json!({})), "/id");
    let call = peer.wait_for_call("was held and resumed", Duration::from_secs(5), |call| call.count("200 INVITE") >= 2);
    let directions: Vec<String> = call
        .received
        .iter()
        .filter(|(_, text)| text.status() == Some(200))
        .map(|(_, text)| {
            let known = ["sendrecv", "sendonly", "recvonly", "inactive"];
            let found = text.sdp('a').into_iter().find(|line| known.contains(&line.as_str()));
            found.unwrap_or_else(|| "sendrecv".to_owned())
        })
        .collect();
    assert_eq!(directions, ["recvonly", "sendrecv"]);
    let kinds: Vec<Value> = api.timeline(&id).into_iter().map(|event| event["kind"].clone()).collect();
    let place = |kind: &str| kinds.iter().position(|known| known == kind);
    assert!(place("held").is_some() && place("held") < place("resumed"), "{kinds:?}");
    assert_eq!(api.call(&id)["status"], "answered");
    let _ = api.hang_up(&id).expect(200);
    let ended = api.wait_for_end(&id, Duration::from_secs(3));
    assert_eq!(ended["hangup_cause"], "normal_clearing", "{ended:#}");
}
