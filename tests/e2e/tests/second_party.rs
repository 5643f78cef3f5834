//! Calls that connect whom was called with somebody else.

use serde_json::{Value, json};
use std::time::Duration;
use tandem_e2e::peer::{Audio, Script};
use tandem_e2e::{Api, CallView, Network, Options, Peer, Tandem, text_at};

const SOON: Duration = Duration::from_secs(3);

struct Two {
    _tandem: Tandem,
    api: Api,
    one: Peer,
    other: Peer,
}

/// A first party that listens, and a second one that does as the test says.
fn two(first: Script, second: Script) -> Two {
    two_at(&Options::default(), first, second)
}

/// As [`two`], at a node started this way.
fn two_at(options: &Options, first: Script, second: Script) -> Two {
    let network = Network::claim();
    let tandem = Tandem::start(&network, options);
    let api = tandem.api();
    let one = Peer::start_with(network.sip(2), move |_| first.clone());
    let other = Peer::start_with(network.sip(3), move |_| second.clone());
    Two { _tandem: tandem, api, one, other }
}

impl Two {
    fn dial(&self, more: &Value) -> String {
        let mut order = json!({"connect": {"type": "sip", "uri": self.other.uri("b")}});
        for (name, value) in more.as_object().into_iter().flatten() {
            order[name] = value.clone();
        }
        text_at(&self.api.dial(&self.one.uri("a"), &order), "/id")
    }

    fn legs(&self, id: &str) -> Vec<(String, String)> {
        let text = |leg: &Value, name: &str| leg[name].as_str().unwrap_or_default().to_owned();
        self.api.legs(id).iter().map(|leg| (text(leg, "status"), text(leg, "hangup_cause"))).collect()
    }
}

fn listening() -> Script {
    Script::silent().answer(Audio::Mute)
}

fn pair(one: &str, other: &str) -> (String, String) {
    (one.to_owned(), other.to_owned())
}

fn has_bye(call: &CallView) -> bool {
    call.count("BYE") > 0
}

#[test]
fn the_first_party_hears_ringback_then_early_media_then_the_second_party() {
    let second = Script::silent().respond(180).wait(Duration::from_millis(700)).early_media(Audio::Tone(600));
    let two = two(listening(), second.wait(Duration::from_millis(700)).answer(Audio::Tone(1_000)));
    let id = two.dial(&json!({}));
    let call = two.one.wait_for_call("hears 1000 Hz", SOON, |call| call.first_heard(1_000).is_some());
    let (ringback, early, answer) = (call.first_heard(440), call.first_heard(600), call.first_heard(1_000));
    assert!(ringback.is_some() && ringback < early && early < answer, "{ringback:?} {early:?} {answer:?}");
    let late = early.zip(two.other.calls()[0].first("INVITE")).map(|(heard, asked)| heard - asked);
    assert!(late.is_some_and(|late| late < Duration::from_millis(1_000)), "{late:?}");
    let _ = two.api.hang_up(&id).expect(200);
}

#[test]
fn either_party_ends_the_call_for_both() {
    for second_leaves in [false, true] {
        let leaves = Script::silent().answer(Audio::Echo).wait(Duration::from_millis(800)).bye();
        let stays = Script::silent().answer(Audio::Echo);
        let two = if second_leaves { two(stays, leaves) } else { two(leaves, stays) };
        let id = two.dial(&json!({}));
        let call = two.api.wait_for_end(&id, SOON);
        let seen = (&call["status"], &call["hangup_cause"], &call["hung_up_by"]);
        assert_eq!(seen, (&json!("completed"), &json!("normal_clearing"), &json!("callee")), "{call:#}");
        let stayed = if second_leaves { &two.one } else { &two.other };
        stayed.wait_for_call("has a BYE", SOON, has_bye);
        let ended = pair("completed", "normal_clearing");
        assert_eq!(two.legs(&id), [ended.clone(), ended]);
    }
}

#[test]
fn a_second_party_that_is_busy_ends_the_call() {
    let two = two(listening(), Script::silent().respond(486));
    let id = two.dial(&json!({}));
    let call = two.api.wait_for_end(&id, SOON);
    let seen = (&call["status"], &call["hangup_cause"], &call["sip_status"]);
    assert_eq!(seen, (&json!("completed"), &json!("user_busy"), &json!(486)), "{call:#}");
    two.one.wait_for_call("has a BYE", SOON, has_bye);
    assert_eq!(two.legs(&id)[1], pair("failed", "user_busy"));
}

#[test]
fn a_first_party_that_leaves_while_the_second_rings_cancels_it() {
    let leaves = Script::silent().answer(Audio::Mute).wait(Duration::from_millis(600)).bye();
    let two = two(leaves, Script::silent().respond(180));
    let id = two.dial(&json!({}));
    let call = two.api.wait_for_end(&id, SOON);
    assert_eq!((&call["status"], &call["hung_up_by"]), (&json!("completed"), &json!("callee")), "{call:#}");
    two.other.wait_for_call("has a CANCEL", SOON, |call| call.count("CANCEL") > 0 && call.count("ACK") > 0);
    assert_eq!(two.legs(&id)[1].0, "canceled");
}

#[test]
fn a_second_party_that_does_not_answer_in_time_ends_the_call() {
    let two = two(listening(), Script::silent().respond(180));
    let id = two.dial(&json!({"ring_timeout_seconds": 1}));
    let call = two.api.wait_for_end(&id, SOON);
    assert_eq!((&call["status"], &call["hangup_cause"]), (&json!("completed"), &json!("no_answer")), "{call:#}");
    two.one.wait_for_call("has a BYE", SOON, has_bye);
    two.other.wait_for_call("has a CANCEL", SOON, |call| call.count("CANCEL") > 0);
}

#[test]
fn the_longest_duration_ends_a_call_for_both() {
    let two = two(listening(), Script::silent().answer(Audio::Tone(1_000)));
    let id = two.dial(&json!({"max_duration_seconds": 1}));
    let call = two.api.wait_for_end(&id, SOON);
    let seen = (&call["status"], &call["hangup_cause"], &call["hung_up_by"]);
    assert_eq!(seen, (&json!("completed"), &json!("max_duration"), &json!("switch")), "{call:#}");
    let duration = call["duration_ms"].as_u64();
    assert!(duration.is_some_and(|duration| (1_000..1_200).contains(&duration)), "{call:#}");
    for peer in [&two.one, &two.other] {
        peer.wait_for_call("has a BYE", SOON, has_bye);
    }
}

#[test]
fn forty_calls_at_once_hear_each_other_without_loss() {
    forty_calls_hear_each_other(&Options::default());
}

#[test]
fn forty_calls_at_once_hear_each_other_over_epoll_too() {
    let options = Options::default().env("TANDEM_MEDIA_IO", "epoll");
    let two = forty_calls_hear_each_other(&options);
    assert_eq!(two.api.get("/health/ready").json["media_io"], "epoll");
}

fn forty_calls_hear_each_other(options: &Options) -> Two {
    let two = two_at(options, Script::silent().answer(Audio::Tone(1_000)), Script::silent().answer(Audio::Tone(700)));
    let ids: Vec<String> = (0..40).map(|_| two.dial(&json!({}))).collect();
    for (peer, hz) in [(&two.one, 700), (&two.other, 1_000)] {
        tandem_e2e::eventually("40 calls that hear each other", Duration::from_secs(10), || {
            let calls = peer.calls();
            (calls.len() == 40 && calls.iter().all(|call| call.first_heard(hz).is_some())).then_some(())
        });
    }
    for id in &ids {
        let _ = two.api.hang_up(id).expect(200);
    }
    for id in &ids {
        let call = two.api.wait_for_end(id, SOON);
        assert_eq!(call["status"], "completed", "{call:#}");
        for leg in two.api.closed_legs(id) {
            let media = &leg["media"];
            assert_eq!((&media["packets_lost"], &media["packets_refused"]), (&json!(0), &json!(0)), "{leg:#}");
        }
    }
    two
}
