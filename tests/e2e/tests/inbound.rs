//! Calls that come in: whose they are, how they are refused, and what telephones do that call.

use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tandem_e2e::peer::{Audio, Script};
use tandem_e2e::{
    Api, Caller, Capture, Network, Options, Peer, SipText, Tandem, TcpConnection, eventually, text_at, trunk_body,
};

const SOON: Duration = Duration::from_secs(3);
const OURS: &str = "+12025550100";
const THEIRS: &str = "+12025550200";
const NOBODYS: &str = "+12025550300";

/// A trunk that answers one number with an echo.
fn echoes(number: &str) -> Value {
    json!({"inbound_routing": {"rules": [{"to": number, "connect": {"type": "echo"}}]}})
}

/// The reference that a refusal gave the caller.
fn reference(refusal: &SipText) -> String {
    let warning = refusal.header("Warning").unwrap_or_default();
    let id = warning.strip_prefix("399 tandem \"refused, reference ").and_then(|rest| rest.strip_suffix('"'));
    id.unwrap_or_else(|| panic!("no reference: {refusal:?}")).to_owned()
}

/// The refusal of this reference, as its account sees it.
fn refusal(api: &Api, id: &str) -> Value {
    eventually("refusal on record", SOON, || {
        let answer = api.get(&format!("/refusals/{id}"));
        (answer.status == 200).then_some(answer.json)
    })
}

fn reason(refusal: &Value) -> &Value {
    &refusal["receipt"]["refusal"]["reason"]
}

/// The one call that an account has had.
fn only_call(api: &Api) -> String {
    let calls = eventually("call in the log", SOON, || {
        api.get("/calls").expect(200).as_array().filter(|calls| !calls.is_empty()).cloned()
    });
    assert_eq!(calls.len(), 1, "{calls:#?}");
    text_at(&calls[0], "/id")
}

/// Two accounts whose trunks are at the same carrier, which is shared.
struct Shared {
    network: Network,
    tandem: Tandem,
    ours: Api,
    theirs: Api,
    our_trunk: String,
    their_trunk: String,
}

impl Shared {
    fn start(ours: &Value, theirs: &Value) -> Self {
        let network = Network::claim();
        let tandem = Tandem::start(&network, &Options::default().env("TANDEM_SHARED_CARRIERS", &network.range()));
        let [our_api, their_api] = ["ours", "theirs"].map(|name| tandem.add_account(name, &["--tier", "pro"]));
        let our_trunk = our_api.create_trunk("our-trunk", network.sip(2), ours);
        let their_trunk = their_api.create_trunk("their-trunk", network.sip(2), theirs);
        Self { network, tandem, ours: our_api, theirs: their_api, our_trunk, their_trunk }
    }

    /// A call from the carrier, answered and hung up.
    fn completed_call(&self, number: &str) -> String {
        let mut caller = Caller::at(self.network.sip(2), self.tandem.sip(), Audio::Tone(700));
        caller.invite(number);
        let _ = caller.wait_for("200 INVITE");
        caller.bye();
        caller.call_id()
    }
}

#[test]
fn each_account_of_one_carrier_gets_the_calls_to_its_numbers() {
    let shared = Shared::start(&echoes(OURS), &echoes(THEIRS));
    let called_ours = shared.completed_call(OURS);
    let called_theirs = shared.completed_call(THEIRS);
    let sides = [
        (&shared.ours, &shared.theirs, &shared.our_trunk, OURS, called_ours),
        (&shared.theirs, &shared.ours, &shared.their_trunk, THEIRS, called_theirs),
    ];
    for (api, other, trunk, number, sip_call_id) in sides {
        let id = only_call(api);
        let call = api.wait_for_end(&id, SOON);
        let seen = (&call["to_number"], &call["from_number"], &call["sip_trunk_id"], &call["direction"]);
        assert_eq!(seen, (&json!(number), &json!("+4930901820"), &json!(trunk), &json!("inbound")), "{call:#}");
        assert_eq!(api.legs(&id)[0]["sip_call_id"], sip_call_id);
        let steps = api.receipt(&id)["inbound"]["steps"].clone();
        let steps: Vec<&Value> = steps.as_array().into_iter().flatten().map(|step| &step["by"]).collect();
        assert_eq!(steps, ["target", "called_number"]);
        assert_eq!(other.get(&format!("/calls/{id}")).status, 404);
        assert_eq!(other.get(&format!("/calls/{id}/route")).status, 404);
    }
}

#[test]
fn a_call_that_could_be_of_two_accounts_is_refused_and_each_sees_its_own_trunk_only() {
    let shared = Shared::start(&echoes(OURS), &echoes(THEIRS));
    let bystander = shared.tandem.add_account("bystander", &["--tier", "pro"]);
    let mut caller = Caller::at(shared.network.sip(2), shared.tandem.sip(), Audio::Mute);
    caller.invite(NOBODYS);
    let id = reference(&caller.wait_for("403 INVITE"));
    assert_eq!(caller.received_within(Duration::from_millis(700)).len(), 1, "it was acknowledged");

    let log = eventually("refusal in the log", SOON, || {
        shared.tandem.log().lines().find(|line| line.contains(&id)).map(str::to_owned)
    });
    for trunk in [&shared.our_trunk, &shared.their_trunk] {
        assert!(log.contains(trunk.as_str()), "{log}");
    }
    let sides = [
        (&shared.ours, &shared.our_trunk, [&shared.their_trunk, "their-trunk"]),
        (&shared.theirs, &shared.their_trunk, [&shared.our_trunk, "our-trunk"]),
    ];
    for (api, trunk, of_others) in sides {
        let refused = refusal(api, &id);
        assert_eq!(*reason(&refused), json!({"code": "caller_ambiguous", "trunks": 1}), "{refused:#}");
        assert_eq!((&refused["sip_trunk_id"], &refused["sip_status"]), (&json!(trunk), &json!(403)));
        assert!(of_others.iter().all(|other| !refused.to_string().contains(*other)), "{refused:#}");
        assert_eq!(api.get("/refusals").expect(200), json!([refused]));
        assert_eq!(api.get("/calls").expect(200), json!([]));
    }
    assert_eq!(bystander.get(&format!("/refusals/{id}")).status, 404);
    assert_eq!(bystander.get("/refusals").expect(200), json!([]));
}

#[test]
fn no_trunk_of_another_account_takes_or_stops_calls_from_an_address_that_is_not_shared() {
    let network = Network::claim();
    let both = format!("udp:{0}:5060,tcp:{0}:5060", network.host(1));
    let tandem = Tandem::start(&network, &Options::default().env("TANDEM_SIP_LISTEN", &both));
    let [acme, bob] = ["acme", "bob"].map(|name| tandem.add_account(name, &["--tier", "pro"]));
    let (range, carrier, other) = (network.range(), network.host(2), network.host(5));
    let echo = json!({"default": {"type": "echo"}});
    let ours = json!({"allowed_ips": [range], "inbound_routing": echo});
    let trunk = acme.create_trunk("acme", network.sip(2), &ours);

    let rule = json!({"rules": [{"to": OURS, "connect": {"type": "echo"}}]});
    let elsewhere = "sip.invalid";
    let attempts = [
        ("longer", elsewhere.to_owned(), json!({"allowed_ips": [other], "inbound_routing": echo}), "allowed_ips"),
        ("target", carrier.to_string(), json!({"inbound_routing": echo}), "sip_domain"),
        ("number", elsewhere.to_owned(), json!({"allowed_ips": [range], "inbound_routing": rule}), "allowed_ips"),
        ("default", elsewhere.to_owned(), json!({"allowed_ips": [range], "inbound_routing": echo}), "allowed_ips"),
    ];
    for (name, domain, more, field) in &attempts {
        let mut body = trunk_body(name, domain, 5060, more);
        for path in ["/trunks?dry_run=true", "/trunks"] {
            let refused = bob.post(path, &body);
            assert_eq!(refused.code(), "source_taken", "{name}: {}", refused.text);
            assert_eq!(refused.json["errors"][0]["field"], *field, "{name}: {}", refused.text);
            assert!(!refused.text.contains("acme") && !refused.text.contains(&trunk), "{}", refused.text);
        }
        // A trunk that takes no calls may be there, and cannot become one that does.
        body["call_direction"] = json!("outbound");
        let made = text_at(&bob.post("/trunks", &body).expect(201), "/id");
        let changed = bob.put(&format!("/trunks/{made}"), &json!({"call_direction": "bidirectional"}));
        assert_eq!(changed.code(), "source_taken", "{name}: {}", changed.text);
    }
    assert_eq!(bob.post("/numbers", &json!({"number": OURS, "connect": {"type": "echo"}})).status, 201);

    // As if they were from before: who came first keeps the calls.
    let revision = || acme.explain(OURS, &json!({}))["routing_revision"].as_u64().unwrap_or(0);
    let before = revision();
    tandem.execute_behind_its_back("UPDATE trunks SET call_direction = 'bidirectional'");
    tandem.execute_behind_its_back("UPDATE routing_revision SET revision = revision + 1000");
    eventually("routing by the trunks from before", SOON, || (revision() >= before + 1_000).then_some(()));
    for (address, number) in [(carrier, OURS), (other, OURS), (other, NOBODYS)] {
        let mut caller = Caller::at(SocketAddr::new(address, 5060), tandem.sip(), Audio::Mute);
        caller.invite(number);
        let _ = caller.wait_for("200 INVITE");
        caller.bye();
        let mut connection = TcpConnection::connect_from(address, tandem.sip());
        connection.send(invite_over_tcp(address, tandem.sip(), number).as_bytes());
        let last = std::iter::repeat_with(|| connection.read()).find(|answer| answer.status() >= Some(200));
        assert_eq!(last.and_then(|answer| answer.status()), Some(200), "{address} {number}");
    }
    let calls = eventually("calls in the log", SOON, || {
        acme.get("/calls").expect(200).as_array().filter(|calls| calls.len() == 6).cloned()
    });
    for call in &calls {
        let steps = acme.receipt(&text_at(call, "/id"))["inbound"]["steps"].clone();
        assert_eq!((&call["sip_trunk_id"], &steps[0]["by"]), (&json!(trunk), &json!("account")), "{steps:#}");
    }
    assert_eq!((bob.get("/calls").expect(200), bob.get("/refusals").expect(200)), (json!([]), json!([])));
}

fn invite_over_tcp(from: std::net::IpAddr, to: SocketAddr, number: &str) -> String {
    let body = format!(
        "v=0\r\no=- 1 1 IN IP4 {from}\r\ns=-\r\nc=IN IP4 {from}\r\nt=0 0\r\nm=audio 30000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
    );
    let id = format!("tcp-{from}-{number}");
    format!(
        "INVITE sip:{number}@{to} SIP/2.0\r\nVia: SIP/2.0/TCP {from}:5060;branch=z9hG4bK{id}\r\n\
         From: <sip:+4930901820@{from}>;tag=a\r\nTo: <sip:{number}@{to}>\r\nCall-ID: {id}\r\nCSeq: 1 INVITE\r\n\
         Contact: <sip:a@{from}:5060;transport=tcp>\r\nMax-Forwards: 70\r\nContent-Type: application/sdp\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[test]
fn a_range_that_is_too_wide_is_not_taken_and_a_wide_one_takes_no_calls_of_an_exact_address() {
    let network = Network::claim();
    let tandem = Tandem::start(&network, &Options::default());
    let api = tandem.add_account("ours", &["--tier", "pro"]);
    let exact = api.create_trunk("exact", network.sip(2), &echoes(OURS));
    let wide = json!({
        "sip_domain": "127.0.0.9", "allowed_ips": ["127.0.0.0/8"],
        "inbound_routing": {"default": {"type": "echo"}},
    });
    let wide = api.create_trunk("wide", network.sip(2), &wide);
    for everybody in ["0.0.0.0/0", "::/0", "128.0.0.0/1"] {
        let new = trunk_body("everybody", "127.0.0.9", 5060, &json!({"allowed_ips": [everybody]}));
        assert_eq!(api.post("/trunks", &new).status, 422);
        let refused = api.put(&format!("/trunks/{wide}"), &json!({"allowed_ips": [everybody]}));
        assert_eq!(refused.status, 422, "{}", refused.text);
        assert!(refused.text.contains("allowed_ips"), "{}", refused.text);
    }
    // To a number that only the other's rules take: it stays a call of the trunk that names the address.
    for _ in 0..2 {
        let mut caller = Caller::at(network.sip(2), tandem.sip(), Audio::Mute);
        caller.invite(THEIRS);
        let id = reference(&caller.wait_for("404 INVITE"));
        assert_eq!(refusal(&api, &id)["sip_trunk_id"], exact);
    }
    // What nobody names exactly is of the range.
    let mut caller = Caller::at(network.sip(9), tandem.sip(), Audio::Mute);
    caller.invite(OURS);
    let _ = caller.wait_for("200 INVITE");
    caller.bye();
    let call = api.call(&only_call(&api));
    assert_eq!((&call["remote_ip"], &call["sip_trunk_id"]), (&json!(network.host(9)), &json!(wide)), "{call:#}");
}

#[test]
fn a_refused_caller_gets_a_reference_to_the_reason() {
    let network = Network::claim();
    let mut tandem = Tandem::start(&network, &Options::default().env("TANDEM_DRAIN_TIMEOUT", "3"));
    // The free tier has one trunk and two calls.
    let api = tandem.add_account("small", &[]);
    let trunk = api.create_trunk("small", network.sip(2), &echoes(OURS));
    let caller = || Caller::at(SocketAddr::new(network.host(2), 0), network.sip(1), Audio::Mute);
    let expect_refusal = |number: &str, sdp: Option<&str>, status: u16, retry_after: Option<&str>| {
        let mut caller = caller();
        match sdp {
            Some(sdp) => caller.invite_with(number, sdp),
            None => caller.invite(number),
        }
        let told = caller.wait_for(&format!("{status} INVITE"));
        assert_eq!(told.header("Retry-After"), retry_after, "{told:?}");
        let id = reference(&told);
        // A draining node still answers its API.
        let refused = refusal(&api, &id);
        let seen = (&refused["sip_status"], &refused["sip_trunk_id"], &refused["sip_call_id"], &refused["to_number"]);
        assert_eq!(seen, (&json!(status), &json!(trunk), &json!(caller.call_id()), &json!(number)), "{refused:#}");
        let answers =
            caller.received_within(Duration::from_millis(700)).iter().filter(|text| text.status() != Some(100));
        assert_eq!(answers.count(), 1, "it was acknowledged");
        (id, reason(&refused).clone())
    };
    let change = |what: &str, change: &Value| {
        let revision = api.explain(OURS, &json!({}))["routing_revision"].as_u64();
        api.change_trunk(&trunk, change);
        api.wait_for_routing(what, |receipt| receipt["routing_revision"].as_u64() > revision);
    };

    let (_, reason) = expect_refusal("+12025550109", None, 404, None);
    assert_eq!(reason, json!({"code": "no_inbound_rule", "nearest": OURS}));
    let (_, reason) = expect_refusal(OURS, Some(OPUS_ONLY), 488, None);
    assert_eq!(reason["code"], "unusable_offer");

    change("the smaller trunk", &json!({"max_concurrent_calls": 1}));
    let mut first = caller();
    first.invite(OURS);
    let _ = first.wait_for("200 INVITE");
    let (_, reason) = expect_refusal(OURS, None, 503, None);
    assert_eq!(reason, json!({"code": "trunk_full", "limit": 1}));
    change("the larger trunk", &json!({"max_concurrent_calls": 10}));
    let mut second = caller();
    second.invite(OURS);
    let _ = second.wait_for("200 INVITE");
    let (_, reason) = expect_refusal(OURS, None, 503, None);
    assert_eq!(reason, json!({"code": "tier_limit", "limit": 2}));
    second.bye();

    for status in ["inactive", "maintenance"] {
        change("the trunk that is off", &json!({"status": status}));
        let (_, reason) = expect_refusal(OURS, None, 403, None);
        assert_eq!(reason, json!({"code": "trunk_not_active", "status": status}));
    }
    change("the trunk that takes no calls", &json!({"status": "active", "call_direction": "outbound"}));
    let (_, reason) = expect_refusal(OURS, None, 403, None);
    assert_eq!(reason["code"], "outbound_only");
    change("the trunk that is as it was", &json!({"call_direction": "bidirectional"}));

    tandem.terminate();
    eventually("draining", SOON, || (api.get("/health/ready").status == 503).then_some(()));
    let (id, reason) = expect_refusal(OURS, None, 503, Some("10"));
    assert_eq!(reason["code"], "draining");
    let _ = first.wait_for("BYE");
    tandem.restart();
    assert_eq!(refusal(&api, &id)["sip_status"], 503);
    let refused = api.get("/refusals").expect(200);
    assert_eq!(refused.as_array().map(Vec::len), Some(8), "{refused:#}");
}

#[test]
fn a_stranger_gets_one_small_answer_and_leaves_nothing() {
    let network = Network::claim();
    let mut tandem = Tandem::start(&network, &Options::default());
    let api = tandem.api();
    let _ = api.create_trunk("somebody", network.sip(2), &echoes(OURS));
    let before = api.ready_numbers();
    let mut stranger = Caller::at(network.sip(9), tandem.sip(), Audio::Mute);
    stranger.invite(OURS);
    let told = stranger.wait_for("403 INVITE");
    let id = reference(&told);
    assert!(told.body.is_empty() && told.header("Contact").is_none(), "{told:?}");
    let all: Vec<String> = stranger.received_within(Duration::from_secs(1)).iter().map(SipText::what).collect();
    assert_eq!(all, ["403 INVITE"], "no 100, and no resend");
    assert_eq!(api.ready_numbers(), before);
    assert_eq!(api.get(&format!("/refusals/{id}")).status, 404);
    assert!(tandem.log().lines().any(|line| line.contains(&id) && line.contains(&network.sip(9).to_string())));
    tandem.terminate();
    let _ = tandem.wait_for_exit(Duration::from_secs(10));
    assert_eq!((tandem.count_rows("refusals"), tandem.count_rows("call_logs")), (0, 0));
}

#[test]
fn a_call_that_has_been_passed_on_too_often_goes_no_further() {
    let network = Network::claim();
    let tandem = Tandem::start(&network, &Options::default());
    let api = tandem.api();
    let carrier = Peer::start(network.sip(2));
    let forward = json!({"inbound_routing": {"default": {"type": "forward"}}});
    let _ = api.create_trunk("carrier", carrier.address(), &forward);
    let invite = |hops: u8| {
        let (from, to) = (carrier.address(), tandem.sip());
        let invite = format!(
            "INVITE sip:{OURS}@{to} SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bKhops{hops}\r\n\
             From: <sip:a@{from}>;tag=a\r\nTo: <sip:{OURS}@{to}>\r\nCall-ID: hops{hops}\r\nCSeq: 1 INVITE\r\n\
             Contact: <sip:a@{from}>\r\nMax-Forwards: {hops}\r\nContent-Length: 0\r\n\r\n"
        );
        carrier.send(to, invite.as_bytes());
    };
    invite(0);
    eventually("483", SOON, || carrier.others().iter().any(|(_, text)| text.status() == Some(483)).then_some(()));
    assert_eq!(api.get("/refusals").expect(200), json!([]), "nobody was asked");
    invite(9);
    let passed_on = carrier.wait_for_call("was passed on", SOON, |call| call.count("INVITE") > 0);
    assert_eq!(passed_on.invite.header("Max-Forwards"), Some("8"));
}

/// A caller by one trunk, who is forwarded to a peer behind another one; what the peer does is the script's.
struct Forwarded {
    network: Network,
    tandem: Tandem,
    api: Api,
    peer: Peer,
}

impl Forwarded {
    fn start(script: Script) -> Self {
        Self::start_on(Network::claim(), script)
    }

    fn start_on(network: Network, script: Script) -> Self {
        let tandem = Tandem::start(&network, &Options::default());
        let api = tandem.api();
        let peer = Peer::start_with(network.sip(3), move |_| script.clone());
        let forward = json!({"call_direction": "inbound", "inbound_routing": {"default": {"type": "forward"}}});
        let _ = api.create_trunk("in", network.sip(2), &forward);
        let _ = api.create_trunk("out", peer.address(), &json!({}));
        Self { network, tandem, api, peer }
    }

    fn caller(&self, audio: Audio) -> Caller {
        Caller::at(self.network.sip(2), self.tandem.sip(), audio)
    }

    /// The log of the one call, once it is over, and its legs.
    fn ended(&self) -> (Value, Vec<Value>) {
        let id = only_call(&self.api);
        (self.api.wait_for_end(&id, SOON), self.api.closed_legs(&id))
    }
}

fn ringing() -> Script {
    Script::silent().respond(100).respond(180)
}

fn directions(text: &SipText) -> Vec<String> {
    let known = ["sendrecv", "sendonly", "recvonly", "inactive"];
    text.sdp('a').into_iter().filter(|line| known.contains(&line.as_str())).collect()
}

#[test]
fn caller_and_callee_hear_each_other_and_either_may_hang_up() {
    for caller_hangs_up in [true, false] {
        let callee = ringing().answer(Audio::Tone(1_000)).wait(Duration::from_secs(1));
        let forwarded = Forwarded::start(if caller_hangs_up { callee } else { callee.bye() });
        let mut caller = forwarded.caller(Audio::Tone(700));
        caller.invite(OURS);
        let rung = caller.wait_for("180 INVITE");
        assert!(rung.body.is_empty(), "its own telephone gives it ringback");
        let answer = caller.wait_for("200 INVITE");
        assert_eq!(answer.sdp('m').len(), 1);
        let heard = caller.wait_to_hear(1_000);
        assert!(heard.windows(2).all(|pair| pair[1].sequence.wrapping_sub(pair[0].sequence) == 1));
        forwarded.peer.wait_for_call("hears the caller", SOON, |call| call.first_heard(700).is_some());
        if caller_hangs_up {
            caller.bye();
            forwarded.peer.wait_for_call("has a BYE", SOON, |call| call.count("BYE") == 1);
        } else {
            let _ = caller.wait_for("BYE");
        }
        let (call, legs) = forwarded.ended();
        let by = if caller_hangs_up { "caller" } else { "callee" };
        assert_eq!((&call["status"], &call["hung_up_by"]), (&json!("completed"), &json!(by)), "{call:#}");
        for leg in legs {
            assert_eq!((&leg["media"]["packets_lost"], &leg["media"]["packets_refused"]), (&json!(0), &json!(0)));
        }
    }
}

#[test]
fn a_caller_who_makes_no_offer_gets_one_and_answers_it_in_the_ack() {
    let forwarded = Forwarded::start(ringing().answer(Audio::Tone(1_000)));
    let mut caller = forwarded.caller(Audio::Tone(700)).offerless();
    caller.invite(OURS);
    let offer = caller.wait_for("200 INVITE");
    assert!(offer.sdp('m')[0].starts_with("audio ") && offer.sdp('m')[0].contains(" RTP/AVP 0 8"), "{offer:?}");
    let _ = caller.wait_to_hear(1_000);
    forwarded.peer.wait_for_call("hears the caller", SOON, |call| call.first_heard(700).is_some());
    caller.bye();
    let (call, legs) = forwarded.ended();
    assert_eq!((&call["status"], &call["codec_used"]), (&json!("completed"), &json!("PCMU")), "{call:#}");
    assert_eq!(legs.len(), 2);
}

#[test]
fn a_caller_who_gives_up_while_it_rings_is_told_so_and_so_is_the_callee() {
    let forwarded = Forwarded::start(ringing());
    let mut caller = forwarded.caller(Audio::Mute);
    caller.invite(OURS);
    let _ = caller.wait_for("180 INVITE");
    caller.cancel();
    let _ = caller.wait_for("200 CANCEL");
    let _ = caller.wait_for("487 INVITE");
    forwarded.peer.wait_for_call("is canceled", SOON, |call| call.count("CANCEL") == 1 && call.count("ACK") == 1);
    let (call, legs) = forwarded.ended();
    let seen = (&call["status"], &call["hangup_cause"], &call["hung_up_by"], &call["cost"]);
    assert_eq!(seen, (&json!("canceled"), &json!("canceled"), &json!("caller"), &json!(0)), "{call:#}");
    assert!(legs.iter().all(|leg| leg["status"] == "canceled"), "{legs:#?}");
}

#[test]
fn what_the_callee_answers_is_what_the_caller_is_told() {
    let forwarded = Forwarded::start(ringing().respond(486));
    let mut caller = forwarded.caller(Audio::Mute);
    caller.invite(OURS);
    let refused = caller.wait_for("486 INVITE");
    assert_eq!(refused.header("Warning"), None, "the call was taken: its reason is in the call log");
    let (call, _) = forwarded.ended();
    assert_eq!((&call["status"], &call["hangup_cause"]), (&json!("busy"), &json!("user_busy")), "{call:#}");
}

#[test]
fn early_media_is_heard_before_the_answer() {
    let early = Script::silent().respond(100).early_media(Audio::Tone(600)).wait(Duration::from_secs(1));
    let forwarded = Forwarded::start(early.answer(Audio::Tone(1_000)));
    let mut caller = forwarded.caller(Audio::Tone(700));
    caller.invite(OURS);
    let progress = caller.wait_for("183 INVITE");
    let early = caller.wait_to_hear(600);
    assert!(caller.received_within(Duration::from_millis(1)).iter().all(|text| text.status() != Some(200)));
    assert!(!early.is_empty());
    let answer = caller.wait_for("200 INVITE");
    assert_eq!(answer.body, progress.body, "one answer to one offer");
    let heard = caller.wait_to_hear(1_000);
    assert!(heard.iter().all(|packet| packet.ssrc == heard[0].ssrc), "one stream");
    assert!(heard.windows(2).all(|pair| pair[1].sequence.wrapping_sub(pair[0].sequence) == 1));
    caller.bye();
    let (call, _) = forwarded.ended();
    assert_eq!(call["status"], "completed", "{call:#}");
}

#[test]
fn a_caller_holds_and_takes_up_the_call_again() {
    let forwarded = Forwarded::start(ringing().answer(Audio::Tone(1_000)));
    let mut caller = forwarded.caller(Audio::Tone(700));
    caller.invite(OURS);
    let _ = caller.wait_for("200 INVITE");
    let _ = caller.wait_to_hear(1_000);
    let answer = caller.reinvite("inactive");
    assert_eq!(directions(&answer), ["inactive"]);
    // Nothing is sent to who does not want it, and the callee is not hung up upon.
    let held = caller.heard().len();
    let deadline = Instant::now() + Duration::from_millis(600);
    let _ = caller.received_within(deadline - Instant::now());
    let late = caller.heard().len() - held;
    assert!(late <= 2, "{late} packets to a caller who is on hold");
    let answer = caller.reinvite("sendonly");
    assert_eq!(directions(&answer), ["recvonly"]);
    let answer = caller.reinvite("sendrecv");
    assert!(directions(&answer).iter().all(|direction| direction == "sendrecv"), "{answer:?}");
    eventually("audio again", SOON, || (caller.heard().len() > held + 25).then_some(()));
    let call = &forwarded.peer.calls()[0];
    assert_eq!((call.count("BYE"), call.count("INVITE")), (0, 1), "the callee has not noticed");
    let id = only_call(&forwarded.api);
    let kinds: Vec<Value> = forwarded.api.timeline(&id).into_iter().map(|event| event["kind"].clone()).collect();
    let place = |kind: &str| kinds.iter().position(|known| known == kind);
    assert!(place("held").is_some() && place("held") < place("resumed"), "{kinds:?}");
    caller.bye();
    let (call, _) = forwarded.ended();
    assert_eq!((&call["status"], &call["hung_up_by"]), (&json!("completed"), &json!("caller")), "{call:#}");
}

#[test]
fn keys_that_a_caller_presses_reach_the_callee_as_telephone_events() {
    let network = Network::claim();
    let host = network.host(3);
    let answer = format!(
        "v=0\r\no=- 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0 101\r\n\
         a=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\n"
    );
    let capture = Capture::start(&network);
    let forwarded = Forwarded::start_on(network, ringing().answer_text(&answer));
    let to_callee = || capture.rtp(forwarded.network.host(1), host);
    let mut caller = forwarded.caller(Audio::Tone(700));
    caller.invite(OURS);
    let _ = caller.wait_for("200 INVITE");
    eventually("audio at the callee", SOON, || (!to_callee().is_empty()).then_some(()));
    caller.press(&[1, 5, 11]);
    let keys = || {
        let mut keys: Vec<(u32, u8)> = Vec::new();
        for packet in to_callee() {
            let payload = &packet.payload;
            if payload.len() == 16 && payload[1] & 0x7f == 101 {
                let timestamp = u32::from_be_bytes(payload[4..8].try_into().expect("four octets"));
                keys.push((timestamp, payload[12]));
            }
        }
        keys
    };
    let packets = eventually("keys at the callee", SOON, || Some(keys()).filter(|keys| keys.len() >= 15));
    let mut each = packets.clone();
    each.dedup();
    // Each event keeps one timestamp, so that a receiver knows its packets for one key (RFC 4733 §2.3.5).
    assert_eq!(each.iter().map(|(_, key)| *key).collect::<Vec<_>>(), [1, 5, 11], "{packets:?}");
    assert!(each.windows(2).all(|pair| pair[1].0.wrapping_sub(pair[0].0) < 8_000), "{packets:?}");
    caller.bye();
    let (call, _) = forwarded.ended();
    assert_eq!(call["status"], "completed", "{call:#}");
}

/// An offer without anything that this build carries.
const OPUS_ONLY: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.9\r\ns=-\r\nc=IN IP4 127.0.0.9\r\nt=0 0\r\n\
    m=audio 40000 RTP/AVP 111\r\na=rtpmap:111 opus/48000/2\r\n";
