//! What far ends and networks do to a call, and that each call and each dialog comes to its end all the same.

use serde_json::json;
use std::net::UdpSocket;
use std::time::Duration;
use tandem_e2e::peer::{Audio, Script};
use tandem_e2e::{Api, CallView, Network, Options, Peer, SipText, Tandem, eventually, pause, text_at};

const SOON: Duration = Duration::from_secs(3);

struct Bench {
    network: Network,
    _tandem: Tandem,
    api: Api,
}

fn bench() -> Bench {
    let network = Network::claim();
    let tandem = Tandem::start(&network, &Options::default());
    let api = tandem.api();
    Bench { network, _tandem: tandem, api }
}

impl Bench {
    /// A far end that always does the same.
    fn peer(&self, script: Script) -> Peer {
        Peer::start_with(self.network.sip(2), move |_| script.clone())
    }

    /// Calls the far end straight.
    fn call(&self, peer: &Peer) -> String {
        text_at(&self.api.dial(&peer.uri("x"), &json!({})), "/id")
    }

    fn answered(&self, peer: &Peer) -> String {
        let id = self.call(peer);
        let _ = self.api.wait_for_status(&id, "answered", SOON);
        id
    }

    /// Hangs up and waits for the record.
    fn end(&self, id: &str) {
        let _ = self.api.hang_up(id).expect(200);
        let call = self.api.wait_for_end(id, SOON);
        assert_eq!(call["status"], "completed", "{call:#}");
    }
}

fn request<'a>(call: &'a CallView, method: &str) -> &'a SipText {
    let found = call.received.iter().find(|(_, text)| text.method() == Some(method));
    &found.unwrap_or_else(|| panic!("no {method} in {:?}", call.received)).1
}

#[test]
fn requests_in_a_dialog_follow_its_route_set() {
    let bench = bench();
    let (proxy, elsewhere) = (bench.network.sip(2), bench.network.sip(4));
    let route = format!("<sip:{proxy};lr;session=7>");
    let contact = format!("<sip:gateway@{elsewhere};x=1>");
    let script =
        Script::silent().respond(180).answer_with(Audio::Echo, &[("Record-Route", &route), ("Contact", &contact)]);
    let peer = bench.peer(script);
    let id = bench.answered(&peer);
    bench.end(&id);
    let call = peer.wait_for_call("has a BYE", SOON, |call| call.count("BYE") > 0);
    for method in ["ACK", "BYE"] {
        let text = request(&call, method);
        assert_eq!(text.uri(), Some(format!("sip:gateway@{elsewhere};x=1").as_str()), "{method}");
        assert_eq!(text.header("Route"), Some(route.as_str()), "{method}");
    }
    assert_eq!(request(&call, "BYE").header("From"), request(&call, "INVITE").header("From"));
    assert!(
        request(&call, "BYE").cseq().map(|(number, _)| number)
            > request(&call, "INVITE").cseq().map(|(number, _)| number)
    );
}

#[test]
fn an_answer_is_acknowledged_as_often_as_it_comes() {
    let bench = bench();
    let peer = bench.peer(Script::silent().respond(180).answer(Audio::Echo).lose("ACK", 2));
    let id = bench.answered(&peer);
    let call = peer.wait_for_call("has its third ACK", SOON, |call| call.count("ACK") == 3);
    assert!(call.acknowledged_at.is_some());
    bench.end(&id);
}

#[test]
fn a_lost_bye_is_sent_again() {
    let bench = bench();
    let peer = bench.peer(Script::silent().answer(Audio::Echo).lose("BYE", 2));
    let id = bench.answered(&peer);
    bench.end(&id);
    let call = peer.wait_for_call("has its third BYE", SOON, |call| call.count("BYE") == 3);
    let branch = |text: &SipText| text.header("Via").map(str::to_owned);
    let byes: Vec<_> =
        call.received.iter().filter(|(_, text)| text.method() == Some("BYE")).map(|(_, text)| branch(text)).collect();
    assert!(byes.windows(2).all(|pair| pair[0] == pair[1]), "{byes:?}");
}

#[test]
fn an_answer_that_crosses_a_cancel_is_acknowledged_and_ended() {
    let bench = bench();
    let peer = bench.peer(Script::silent().respond(180).answer_when_canceled());
    let id = bench.call(&peer);
    let _ = bench.api.wait_for_status(&id, "ringing", SOON);
    let _ = bench.api.hang_up(&id).expect(200);
    let call = peer.wait_for_call("has ACK and BYE", SOON, |call| call.count("ACK") > 0 && call.count("BYE") > 0);
    assert!(call.first("ACK") <= call.first("BYE") && call.first("CANCEL") < call.first("ACK"));
    let record = bench.api.wait_for_end(&id, SOON);
    assert_eq!((&record["status"], record["cost"].as_f64()), (&json!("canceled"), Some(0.0)), "{record:#}");
}

#[test]
fn a_late_ring_of_an_attempt_that_was_given_up_is_canceled() {
    let bench = bench();
    let peer = bench.peer(Script::silent().wait(Duration::from_millis(5_000)).respond(180));
    let id = bench.call(&peer);
    let record = bench.api.wait_for_end(&id, Duration::from_secs(5));
    assert_eq!(record["hangup_cause"], "recovery_on_timer_expiry", "{record:#}");
    let call = peer.wait_for_call("has a CANCEL", SOON, |call| call.count("CANCEL") > 0);
    assert!(call.count("ACK") > 0 || call.count("INVITE") > 0);
    peer.wait_for_call("has the ACK of its 487", SOON, |call| call.count("ACK") > 0);
}

#[test]
fn of_a_fork_the_first_answer_is_taken_and_the_others_are_ended() {
    let bench = bench();
    let script = Script::silent().respond_as("one", 180).respond_as("two", 183).respond_as("two", 200);
    let peer = bench.peer(script.wait(Duration::from_millis(100)).respond_as("three", 200));
    let id = bench.answered(&peer);
    let to_three = |text: &SipText| text.header("To").is_some_and(|to| to.ends_with(";tag=three"));
    let call = peer.wait_for_call("has ended the other answer", SOON, |call| {
        call.received.iter().any(|(_, text)| text.method() == Some("BYE") && to_three(text))
    });
    assert!(call.received.iter().any(|(_, text)| text.method() == Some("ACK") && to_three(text)));
    assert_eq!(bench.api.call(&id)["status"], "answered");
    let byes = |call: &CallView, tag: &str| {
        let is_it =
            |text: &SipText| text.method() == Some("BYE") && text.header("To").is_some_and(|to| to.ends_with(tag));
        call.received.iter().filter(|(_, text)| is_it(text)).count()
    };
    assert_eq!(byes(&call, ";tag=two"), 0);
    bench.end(&id);
    peer.wait_for_call("has a BYE of its own", SOON, |call| byes(call, ";tag=two") > 0);
}

#[test]
fn audio_of_a_stranger_is_not_heard() {
    let bench = bench();
    let peer = bench.peer(Script::silent().answer(Audio::Tone(1_000)));
    let id = bench.answered(&peer);
    peer.wait_for_call("hears its echo", SOON, |call| call.first_heard(1_000).is_some());
    let call = &peer.calls()[0];
    let media = &call.invite.sdp('m')[0];
    let port: u16 = media.split(' ').nth(1).and_then(|port| port.parse().ok()).expect("an offer has a port");
    let stranger = UdpSocket::bind((bench.network.host(9), 0)).expect("the network is the test's own");
    stranger.set_read_timeout(Some(Duration::from_millis(300))).expect("the time-out is not zero");
    let mut packet = vec![0x80, 0, 0, 1, 0, 0, 0, 1, 9, 9, 9, 9];
    packet.extend([0x33; 160]);
    for _ in 0..20 {
        stranger.send_to(&packet, (bench.network.host(1), port)).expect("loopback takes datagrams");
    }
    let mut buffer = [0; 1_500];
    assert!(stranger.recv_from(&mut buffer).is_err(), "nothing comes to a stranger");
    let heard = peer.calls()[0].heard.len();
    peer.wait_for_call("goes on hearing", SOON, |call| call.heard.len() > heard + 10);
    bench.end(&id);
    let legs = bench.api.closed_legs(&id);
    assert_eq!(legs[0]["media"]["packets_refused"], 20, "{legs:#?}");
}

#[test]
fn a_re_invite_moves_the_audio() {
    let bench = bench();
    let pause = Duration::from_millis(300);
    let peer = bench.peer(Script::silent().answer(Audio::Tone(1_000)).wait(pause).move_media());
    let id = bench.answered(&peer);
    let call = peer.wait_for_call("has its re-INVITE answered", SOON, |call| call.count("200 INVITE") > 0);
    // The echo follows to the new port.
    let moved = call.first("200 INVITE");
    peer.wait_for_call("hears at the new port", SOON, |call| {
        call.heard.iter().filter(|heard| Some(heard.at) > moved).count() > 25
    });
    let call = &peer.calls()[0];
    let sources: std::collections::BTreeSet<u32> = call.heard.iter().map(|heard| heard.ssrc).collect();
    assert_eq!(sources.len(), 1, "one stream to the far end");
    bench.end(&id);
}

#[test]
fn a_re_invite_without_an_offer_is_answered_with_one() {
    let bench = bench();
    let pause = Duration::from_millis(200);
    let peer = bench.peer(Script::silent().answer(Audio::Tone(1_000)).wait(pause).ask_for_offer());
    let id = bench.answered(&peer);
    let call = peer.wait_for_call("has its re-INVITE answered", SOON, |call| call.count("200 INVITE") > 0);
    let answer = call
        .received
        .iter()
        .find(|(_, text)| text.status() == Some(200))
        .map(|(_, text)| text.clone())
        .expect("it came");
    assert_eq!(answer.sdp('m').len(), 1, "{answer:?}");
    let before = peer.calls()[0].heard.len();
    peer.wait_for_call("goes on hearing", SOON, |call| call.heard.len() > before + 25);
    assert_eq!(bench.api.call(&id)["status"], "answered");
    bench.end(&id);
}

#[test]
fn what_a_trunk_and_an_order_say_is_on_the_wire() {
    let bench = bench();
    let peer = bench.peer(Script::silent().respond(180).answer(Audio::Echo));
    let trunk = json!({
        "sip_domain": "carrier.example.com", "sip_proxy": peer.address().to_string(),
        "custom_headers": {"X-Account": "acme", "X-Both": "trunk"},
        "outbound_routing": {"strip": 1, "prepend": "0011", "caller_id": "+12025550177", "headers": {"X-Route": "blue"}},
        "codec_preferences": ["PCMA", "PCMU"],
    });
    let trunk = bench.api.create_trunk("proxied", peer.address(), &trunk);
    let order = json!({"headers": {"X-Both": "order", "X-Order": "42"}, "sip_trunk_id": trunk});
    let id = text_at(&bench.api.dial("+12025550100", &order), "/id");
    let record = bench.api.wait_for_status(&id, "answered", SOON);
    assert_eq!((&record["from_number"], &record["to_number"]), (&json!("+12025550177"), &json!("+12025550100")));
    let call = peer.calls().remove(0);
    let invite = &call.invite;
    assert_eq!(invite.uri(), Some("sip:00112025550100@carrier.example.com"));
    assert_eq!(invite.address("From"), Some("sip:+12025550177@carrier.example.com"));
    assert!(
        invite
            .header("Route")
            .is_some_and(|route| route.contains(";lr") && route.contains(&peer.address().to_string()))
    );
    for (name, value) in [("X-Account", "acme"), ("X-Both", "order"), ("X-Route", "blue"), ("X-Order", "42")] {
        assert_eq!(invite.all(name).collect::<Vec<_>>(), [value], "{name}");
    }
    assert!(invite.header("User-Agent").is_some_and(|agent| agent.starts_with("Tandem/")));
    assert!(invite.sdp('m')[0].contains("RTP/AVP 8 0"), "{:?}", invite.sdp('m'));
    assert_eq!(record["codec_used"], "PCMA");
    bench.end(&id);

    let named = json!({"from_number": "+12025550188", "sip_trunk_id": trunk});
    let id = text_at(&bench.api.dial("+12025550100", &named), "/id");
    let _ = bench.api.wait_for_status(&id, "answered", SOON);
    assert_eq!(peer.calls()[1].invite.address("From"), Some("sip:+12025550188@carrier.example.com"));
    bench.end(&id);
}

#[test]
fn a_health_check_asks_the_carrier_and_leaves_the_status_alone() {
    let bench = bench();
    let peer = bench.peer(Script::silent());
    let good = bench.api.create_trunk("good", peer.address(), &json!({}));
    let dead = bench.api.create_trunk("dead", bench.network.sip(99), &json!({}));
    assert!(peer.others().is_empty(), "options_interval 0 means never probed");
    let check = |id: &str| bench.api.post(&format!("/trunks/{id}/health-check"), &json!({})).expect(200);
    let (well, ill) = (check(&good), check(&dead));
    assert_eq!((&well["status"], &well["trunk_id"]), (&json!("healthy"), &json!(good)), "{well:#}");
    assert!(well["latency_ms"].as_f64().is_some_and(|latency| latency < 500.0), "{well:#}");
    assert!(well["details"]["latency_us"].as_u64().is_some_and(|latency| latency > 0), "{well:#}");
    assert_eq!(peer.others().iter().filter(|(_, text)| text.method() == Some("OPTIONS")).count(), 1);
    assert_eq!((&ill["status"], &ill["latency_ms"]), (&json!("unhealthy"), &json!(null)), "{ill:#}");
    let shown = bench.api.get(&format!("/trunks/{good}")).expect(200);
    assert_eq!((&shown["health_status"], &shown["is_active"]), (&json!("healthy"), &json!(true)), "{shown:#}");
    let shown = bench.api.get(&format!("/trunks/{dead}")).expect(200);
    let seen = (&shown["status"], &shown["health_status"], &shown["is_active"]);
    assert_eq!(seen, (&json!("active"), &json!("unhealthy"), &json!(false)), "{shown:#}");
}

#[test]
fn a_new_trunk_is_probed_once_at_once() {
    let bench = bench();
    let peer = bench.peer(Script::silent());
    let id = bench.api.create_trunk("probed", peer.address(), &json!({"advanced_config": {"options_interval": null}}));
    eventually("healthy trunk", SOON, || {
        (bench.api.get(&format!("/trunks/{id}")).expect(200)["health_status"] == "healthy").then_some(())
    });
    pause(Duration::from_millis(300));
    assert_eq!(peer.others().len(), 1);
}

#[test]
fn a_call_that_something_else_carries_takes_a_slot_until_it_ends_even_over_a_restart() {
    let network = Network::claim();
    let mut tandem = Tandem::start(&network, &Options::default());
    let api = tandem.api();
    let peer = Peer::start(network.sip(2));
    let trunk = api.create_trunk("shared", peer.address(), &json!({"max_concurrent_calls": 1, "cost_per_minute": 0.6}));
    let log = json!({
        "call_id": "their-1", "sip_trunk_id": trunk, "direction": "inbound", "from_number": "1", "to_number": "2",
        "started_at": "2026-01-01T00:00:00Z", "status": "in-progress",
    });
    let logged = api.post("/calls", &log).expect(201);
    assert_eq!((&logged["status"], &logged["carried_by"]), (&json!("answered"), &json!("external")), "{logged:#}");
    assert_eq!(api.post("/calls", &log).status, 409);
    let active = || api.get(&format!("/trunks/{trunk}")).expect(200)["current_active_calls"].clone();
    let refused = || api.try_dial("+12025550100", &json!({}));
    assert_eq!((active(), refused().status), (json!(1), 503));
    tandem.terminate();
    tandem.restart();
    assert_eq!((active(), refused().status), (json!(1), 503), "after a restart");

    let change = json!({
        "status": "completed", "answered_at": "2026-01-01T00:00:00Z", "ended_at": "2026-01-01T00:01:30Z", "hangup_cause": "bye",
    });
    for _ in 0..2 {
        let ended = api.put("/calls/their-1", &change).expect(200);
        let seen = (&ended["duration_seconds"], ended["cost"].as_f64());
        assert_eq!(seen, (&json!(90), Some(0.9)), "{ended:#}");
        assert_eq!(active(), json!(0), "freed once");
    }
    let id = text_at(&api.dial("+12025550100", &json!({})), "/id");
    let _ = api.wait_for_status(&id, "answered", SOON);
    assert_eq!(active(), json!(1));
    let _ = api.put("/calls/their-1", &json!({"ended_at": "2026-01-01T00:02:00Z"}));
    assert_eq!(active(), json!(1), "another call's slot is not freed");
    let _ = api.hang_up(&id).expect(200);
}

#[test]
fn a_carrier_of_several_addresses_is_one_peer() {
    let bench = bench();
    let gateway = Peer::start(bench.network.sip(4));
    let contact = format!("<sip:gateway@{}>", gateway.address());
    let peer = bench.peer(Script::silent().respond(180).answer_with(Audio::Echo, &[("Contact", &contact)]));
    let trunk = json!({"allowed_ips": [bench.network.range()]});
    let trunk = bench.api.create_trunk("cluster", peer.address(), &trunk);
    let order = json!({"sip_trunk_id": trunk});
    let came =
        |method: &str| gateway.others().into_iter().map(|(_, text)| text).find(|text| text.method() == Some(method));

    // ACK and BYE go to the Contact, which is another address of the same carrier.
    let id = text_at(&bench.api.dial(&peer.uri("x"), &order), "/id");
    let _ = bench.api.wait_for_status(&id, "answered", SOON);
    let ack = eventually("ACK at the gateway", SOON, || came("ACK"));
    bench.end(&id);
    eventually("BYE at the gateway", SOON, || came("BYE"));
    assert_eq!(peer.calls()[0].count("BYE"), 0);

    // And the carrier hangs up from there.
    let id = text_at(&bench.api.dial(&peer.uri("x"), &order), "/id");
    let _ = bench.api.wait_for_status(&id, "answered", SOON);
    let acks = || gateway.others().into_iter().map(|(_, text)| text).filter(|text| text.method() == Some("ACK"));
    let second = eventually("second ACK", SOON, || acks().find(|text| text.call_id() != ack.call_id()));
    let (us, them) = (bench.network.sip(1), gateway.address());
    let header = |name| second.header(name).unwrap_or_default();
    let bye = format!(
        "BYE {} SIP/2.0\r\nVia: SIP/2.0/UDP {them};branch=z9hG4bKgateway;rport\r\nMax-Forwards: 70\r\nFrom: {}\r\nTo: {}\r\n\
         Call-ID: {}\r\nCSeq: 1 BYE\r\nContent-Length: 0\r\n\r\n",
        peer.calls()[1].invite.address("Contact").unwrap_or_default(),
        header("To"),
        header("From"),
        second.call_id(),
    );
    gateway.send(us, bye.as_bytes());
    let call = bench.api.wait_for_end(&id, SOON);
    assert_eq!((&call["hung_up_by"], &call["status"]), (&json!("callee"), &json!("completed")), "{call:#}");
}
