//! What a crash leaves behind, and that the next start closes it: at the far ends and on record.

use serde_json::{Value, json};
use std::time::{Duration, Instant, UNIX_EPOCH};
use tandem_e2e::peer::Script;
use tandem_e2e::{
    Api, CallView, CalleeManners, CallerManners, FarCall, FarEnd, Network, Options, Peer, Tandem, eventually, pause,
    text_at,
};
use tandem_model::{Timestamp, Transport};

const SOON: Duration = Duration::from_secs(3);

fn time_at(value: &Value, name: &str) -> Timestamp {
    text_at(value, name).parse().unwrap_or_else(|error| panic!("{name} is a time ({error}): {value:#}"))
}

fn now() -> Timestamp {
    let since_epoch = UNIX_EPOCH.elapsed().expect("the clock is right");
    Timestamp::from_unix_micros(i64::try_from(since_epoch.as_micros()).expect("a time of this age"))
}

/// The sides of a request's dialog: From, To, Call-ID.
fn dialog(call: &CallView, method: &str) -> [Option<String>; 3] {
    let request = call.received.iter().find(|(_, text)| text.method() == Some(method));
    ["From", "To", "Call-ID"].map(|name| request.and_then(|(_, text)| text.header(name)).map(str::to_owned))
}

fn assert_closed(api: &Api, id: &str, status: &str) -> Value {
    let call = api.wait_for_end(id, SOON);
    assert_eq!((&call["status"], &call["hangup_cause"]), (&json!(status), &json!("node_restarted")), "{call:#}");
    assert_eq!(call["hung_up_by"], "switch", "{call:#}");
    let legs = api.legs(id);
    assert_eq!(legs.len(), 1, "{legs:#?}");
    for leg in &legs {
        assert!(leg["ended_at"].is_string(), "{leg:#}");
        assert_eq!(leg["hangup_cause"], "node_restarted", "{leg:#}");
    }
    let timeline = eventually("stored end", SOON, || {
        let timeline = api.timeline(id);
        // No event is missing, and none is told twice.
        let numbers = timeline.iter().map(|event| event["number"].as_u64());
        numbers.eq((1..).map(Some).take(timeline.len())).then_some(timeline)
    });
    let kinds: Vec<&Value> = timeline.iter().map(|event| &event["kind"]).collect();
    for kind in ["initiated", "leg_ended", "ended"] {
        assert_eq!(kinds.iter().filter(|known| **known == kind).count(), 1, "{kind}: {timeline:#?}");
    }
    assert_eq!((kinds.first(), kinds.last()), (Some(&&json!("initiated")), Some(&&json!("ended"))), "{timeline:#?}");
    call
}

/// Nothing is held any more for calls; SIP keeps transactions, and what they belong to, for 32 s.
fn assert_nothing_is_open(api: &Api) {
    eventually("node that holds nothing", SOON, || {
        let numbers = api.ready_numbers();
        let held = ["calls", "media_ports_in_use", "trunk_slots", "account_slots", "legs", "unstored_records"];
        held.iter().all(|name| numbers.get(*name).is_none_or(|value| *value == 0)).then_some(())
    });
    assert_eq!(api.open_calls(), Vec::<Value>::new());
}

#[test]
fn an_answered_call_ends_with_a_bye_after_a_crash() {
    let network = Network::claim();
    let mut tandem = Tandem::start(&network, &Options::default());
    let api = tandem.api();
    let peer = Peer::start(network.sip(2));
    let trunk = api.create_trunk("peer", peer.address(), &json!({}));
    let id = text_at(&api.dial(&peer.uri("echo"), &json!({"sip_trunk_id": trunk})), "/id");
    let _ = api.wait_for_status(&id, "answered", SOON);
    peer.wait_for_call("has its ACK", SOON, |call| call.acknowledged_at.is_some());
    // Long enough for signs of life: the end is told by the last of them.
    pause(Duration::from_millis(2_300));

    tandem.kill();
    let killed = Instant::now();
    let killed_at = now();
    tandem.restart();
    let call = peer.wait_for_call("has a BYE", SOON, |call| call.count("BYE") > 0);
    assert!(call.first("BYE").is_some_and(|at| at > killed));
    assert_eq!(dialog(&call, "BYE"), dialog(&call, "ACK"));
    let cseq = |method: &str| {
        let request = call.received.iter().find(|(_, text)| text.method() == Some(method));
        request.and_then(|(_, text)| text.cseq()).map(|(number, _)| number)
    };
    assert!(cseq("BYE") > cseq("INVITE"), "{:?}", call.received);
    let reason =
        call.received.iter().find_map(|(_, text)| text.header("Reason").filter(|_| text.method() == Some("BYE")));
    assert!(reason.is_some_and(|reason| reason.contains("cause=41")), "{reason:?}");

    let record = assert_closed(&api, &id, "completed");
    let ended_at = time_at(&record, "/ended_at");
    assert!(ended_at >= time_at(&record, "/answered_at"), "{record:#}");
    assert!(ended_at <= killed_at && killed_at.since(ended_at) < Duration::from_secs(2), "{killed_at:?}: {record:#}");
    let connected = ended_at.since(time_at(&record, "/answered_at")).as_millis();
    assert!(
        record["duration_ms"].as_u64().is_some_and(|duration| u128::from(duration).abs_diff(connected) <= 1),
        "{record:#}"
    );
    assert_eq!(api.receipt(&id)["attempts"][0]["outcome"]["code"], "answered");
    assert_nothing_is_open(&api);

    // Once is enough: a second start finds nothing to do.
    let byes = call.count("BYE");
    tandem.kill();
    tandem.restart();
    pause(Duration::from_millis(700));
    assert_eq!(peer.calls()[0].count("BYE"), byes);
    assert_eq!(api.call(&id), record);
}

#[test]
fn a_ringing_call_is_canceled_after_a_crash_and_a_late_answer_is_ended() {
    let network = Network::claim();
    let mut tandem = Tandem::start(&network, &Options::default());
    let api = tandem.api();
    let peer = Peer::start_with(network.sip(2), |user| match user {
        "late" => Script::silent().respond(180).answer_when_canceled(),
        _ => Script::silent().respond(180),
    });
    let ids = ["ring", "late"].map(|user| text_at(&api.dial(&peer.uri(user), &json!({})), "/id"));
    for id in &ids {
        let _ = api.wait_for_status(id, "ringing", SOON);
    }
    tandem.kill();
    tandem.restart();
    let ring = peer.wait_for_call("is canceled", SOON, |call| {
        call.user() == "ring" && call.count("CANCEL") > 0 && call.count("ACK") > 0
    });
    assert_eq!(ring.count("BYE"), 0, "{:?}", ring.received);
    // A CANCEL is of its INVITE: same branch, same numbers (RFC 3261 §9.1).
    for name in ["Via", "From", "To", "Call-ID"] {
        let of = |method: &str| {
            let request = ring.received.iter().find(|(_, text)| text.method() == Some(method));
            request.and_then(|(_, text)| text.header(name)).map(str::to_owned)
        };
        assert_eq!(of("CANCEL"), of("INVITE"), "{name}");
    }
    let late = peer.wait_for_call("has ACK and BYE", SOON, |call| {
        call.user() == "late" && call.count("ACK") > 0 && call.count("BYE") > 0
    });
    assert!(late.first("CANCEL") < late.first("ACK") && late.first("ACK") <= late.first("BYE"), "{:?}", late.received);
    for id in &ids {
        let record = assert_closed(&api, id, "failed");
        assert_eq!((&record["answered_at"], record["cost"].as_f64()), (&Value::Null, Some(0.0)), "{record:#}");
    }
    assert_nothing_is_open(&api);
}

#[test]
fn both_parties_of_a_call_are_released_after_a_crash() {
    let network = Network::claim();
    let mut tandem = Tandem::start(&network, &Options::default());
    let api = tandem.api();
    let (first, second) = (Peer::start(network.sip(2)), Peer::start(network.sip(3)));
    let dial = |second_user: &str| {
        let connect = json!({"type": "sip", "uri": second.uri(second_user)});
        text_at(&api.dial(&first.uri("echo"), &json!({"connect": connect})), "/id")
    };
    let (talking, half) = (dial("echo"), dial("ring"));
    second.wait_for_call("is up", SOON, |call| call.user() == "echo" && call.acknowledged_at.is_some());
    second.wait_for_call("rings", SOON, |call| call.user() == "ring");
    let _ = api.wait_for_status(&half, "answered", SOON);
    tandem.kill();
    tandem.restart();
    eventually("release of both first parties", SOON, || {
        let calls = first.calls();
        (calls.len() == 2 && calls.iter().all(|call| call.count("BYE") > 0)).then_some(())
    });
    let _ = second.wait_for_call("has a BYE", SOON, |call| call.user() == "echo" && call.count("BYE") > 0);
    let _ = second.wait_for_call("has a CANCEL", SOON, |call| call.user() == "ring" && call.count("CANCEL") > 0);
    for id in [&talking, &half] {
        let call = api.wait_for_end(id, SOON);
        assert_eq!(
            (&call["status"], &call["hangup_cause"]),
            (&json!("completed"), &json!("node_restarted")),
            "{call:#}"
        );
        let legs = api.legs(id);
        assert_eq!(legs.len(), 2, "{legs:#?}");
        assert!(legs.iter().all(|leg| leg["ended_at"].is_string()), "{legs:#?}");
    }
    assert_nothing_is_open(&api);
}

#[test]
fn a_release_that_nobody_confirmed_is_repeated_by_the_next_process() {
    let network = Network::claim();
    let mut tandem = Tandem::start(&network, &Options::default());
    let api = tandem.api();
    let peer = Peer::start_with(network.sip(2), |user| match user {
        "ring" => Script::silent().respond(180).lose("CANCEL", LOST),
        _ => Script::named(user).lose("BYE", LOST),
    });
    let answered = text_at(&api.dial(&peer.uri("echo"), &json!({})), "/id");
    let ringing = text_at(&api.dial(&peer.uri("ring"), &json!({})), "/id");
    let _ = api.wait_for_status(&answered, "answered", SOON);
    let _ = api.wait_for_status(&ringing, "ringing", SOON);
    tandem.kill();
    tandem.restart();
    let _ = peer.wait_for_call("lost a BYE", SOON, |call| call.count("BYE") > 0);
    let _ = peer.wait_for_call("lost a CANCEL", SOON, |call| call.count("CANCEL") > 0);
    tandem.kill();
    let sent = peer.calls().iter().map(|call| call.count("BYE") + call.count("CANCEL")).collect::<Vec<_>>();
    assert!(sent.iter().all(|sent| *sent <= LOST), "none of {sent:?} was to be heard");
    tandem.restart();
    let _ = peer.wait_for_call("has a BYE", SOON, |call| call.count("BYE") > LOST);
    let _ = peer.wait_for_call("is canceled", SOON, |call| call.count("CANCEL") > LOST && call.count("ACK") > 0);
    for (id, status) in [(&answered, "completed"), (&ringing, "failed")] {
        // What the process before had closed and not yet stored is stored at the start.
        eventually("stored call", SOON, || (api.get(&format!("/calls/{id}")).status == 200).then_some(()));
        let _ = assert_closed(&api, id, status);
    }
    assert_nothing_is_open(&api);
}

#[test]
fn a_hangup_that_was_promised_is_kept_through_a_crash() {
    let network = Network::claim();
    let mut tandem = Tandem::start(&network, &Options::default());
    let api = tandem.api();
    let peer = Peer::start(network.sip(2));
    let id = text_at(&api.dial(&peer.uri("echo"), &json!({})), "/id");
    let _ = api.wait_for_status(&id, "answered", SOON);
    let _ = api.hang_up(&id).expect(200);
    tandem.kill();
    tandem.restart();
    let _ = peer.wait_for_call("has a BYE", SOON, |call| call.count("BYE") > 0);
    eventually("stored call", SOON, || (api.get(&format!("/calls/{id}")).status == 200).then_some(()));
    let call = api.wait_for_end(&id, SOON);
    let ending = [&call["status"], &call["hangup_cause"], &call["hung_up_by"]];
    assert_eq!(ending, ["completed", "normal_clearing", "api"], "{call:#}");
    assert!(api.legs(&id).iter().all(|leg| leg["ended_at"].is_string()));
    assert_nothing_is_open(&api);
}

/// A node that takes calls from host 3: an echo for `+12025550100`, and ringing for all others.
fn answering(transport: Transport) -> (Network, Tandem, FarEnd, FarEnd) {
    let network = Network::claim();
    let listen = format!("{transport}:{}", network.sip(1));
    let tandem = Tandem::start(&network, &Options::default().env("TANDEM_SIP_LISTEN", &listen));
    let ringing = CalleeManners { rings: true, ..CalleeManners::default() };
    let callee = FarEnd::start(transport, network.sip(2), move |_| ringing);
    let caller = FarEnd::start(transport, network.sip(3), |_| CalleeManners::default());
    let over = json!({"transport": transport.to_string()});
    let _ = tandem.api().create_trunk(
        "callee",
        callee.address(),
        &json!({"call_direction": "outbound", "advanced_config": over}),
    );
    let rules = json!({
        "rules": [{"to": "+12025550100", "connect": {"type": "echo"}}],
        "default": {"type": "forward"},
    });
    let more = json!({"call_direction": "inbound", "inbound_routing": rules, "advanced_config": over});
    let _ = tandem.api().create_trunk("caller", caller.address(), &more);
    (network, tandem, callee, caller)
}

fn wait_for(end: &FarEnd, what: &str, is_so: impl Fn(&FarCall) -> bool) -> FarCall {
    eventually(&format!("call that {what}"), SOON, || end.calls().into_iter().find(|call| is_so(call)))
}

#[test]
fn a_waiting_caller_is_told_of_a_crash_and_whoever_was_called_for_it_is_canceled() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let (_network, mut tandem, callee, caller) = answering(transport);
        let _ = caller.call(1, tandem.sip(), "+12025550101", CallerManners::default());
        let _ = wait_for(&caller, "rings", |call| call.received("180 INVITE").is_some());
        tandem.kill();
        tandem.restart();
        let told = wait_for(&caller, "is told", |call| call.final_answer().is_some());
        assert_eq!(told.final_answer().map(|(_, status)| status), Some(500), "{transport}");
        let _ = wait_for(&callee, "is canceled", |call| {
            call.received("CANCEL").is_some() && call.received("ACK").is_some()
        });
        let calls = tandem.api().all_calls();
        assert_eq!(calls.len(), 1, "{calls:#?}");
        let call = tandem.api().wait_for_end(&text_at(&calls[0], "/id"), SOON);
        assert_eq!((&call["status"], &call["hangup_cause"]), (&json!("failed"), &json!("node_restarted")), "{call:#}");
        assert_nothing_is_open(&tandem.api());
    }
}

#[test]
fn an_answered_caller_gets_a_bye_after_a_crash() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let (_network, mut tandem, _callee, caller) = answering(transport);
        let _ = caller.call(1, tandem.sip(), "+12025550100", CallerManners::default());
        let _ = wait_for(&caller, "is answered", |call| call.sent("ACK").is_some());
        // The node has heard of the ACK too.
        pause(Duration::from_millis(100));
        tandem.kill();
        tandem.restart();
        let ended = wait_for(&caller, "has a BYE", |call| call.received("BYE").is_some());
        assert_eq!(ended.final_answer().map(|(_, status)| status), Some(200), "{transport}");
        assert!(ended.received("500 INVITE").is_none(), "it was answered: {}", ended.history(Instant::now()));
        assert_nothing_is_open(&tandem.api());
    }
}

#[test]
fn a_caller_whose_answer_was_lost_in_a_crash_is_not_left_waiting() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let (_network, mut tandem, _callee, caller) = answering(transport);
        let _ = caller.call(
            1,
            tandem.sip(),
            "+12025550100",
            CallerManners { loses_answers: 100, ..CallerManners::default() },
        );
        let _ = wait_for(&caller, "lost its answer", |call| call.received("200 INVITE").is_some());
        tandem.kill();
        tandem.restart();
        // Whoever missed the answer hears of the end as an answer, whoever did not as a BYE: nobody knows which it is.
        let _ = wait_for(&caller, "is told", |call| {
            call.received("500 INVITE").is_some() && call.received("BYE").is_some()
        });
        assert_nothing_is_open(&tandem.api());
    }
}

/// Releases that get lost: as many as a process sends in the second and a half before it is killed on a machine that is busy.
const LOST: usize = 3;
