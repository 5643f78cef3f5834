//! Every reason and every cause that the build knows is one that can be met, and the documents list exactly these.

use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;
use tandem_e2e::peer::Audio;
use tandem_e2e::{Api, Caller, Dns, Network, Options, Peer, SmallDisk, Tandem, eventually, text_at};
use tandem_model::{HangupCause, Reason};

/// What was met so far.
#[derive(Default)]
struct Met {
    reasons: BTreeSet<String>,
    causes: BTreeSet<String>,
}

impl Met {
    /// A receipt: verdicts, outcomes, refusal.
    fn receipt(&mut self, receipt: &Value) {
        let list = |name: &str| receipt[name].as_array().cloned().unwrap_or_default();
        let considered = list("considered").into_iter().map(|trunk| trunk["reason"]["code"].clone());
        let attempts = list("attempts").into_iter().map(|attempt| attempt["outcome"]["code"].clone());
        let refusal = std::iter::once(receipt["refusal"]["reason"]["code"].clone());
        let codes = considered.chain(attempts).chain(refusal);
        self.reasons.extend(codes.filter_map(|code| code.as_str().map(str::to_owned)));
    }

    /// A call that is over: its log, its legs, its receipt.
    fn call(&mut self, api: &Api, id: &str) {
        let call = api.wait_for_end(id, Duration::from_secs(10));
        let legs = api.legs(id).into_iter().map(|leg| leg["hangup_cause"].clone());
        let causes = legs.chain([call["hangup_cause"].clone()]);
        self.causes.extend(causes.filter_map(|cause| cause.as_str().map(str::to_owned)));
        self.receipt(&api.receipt(id));
    }

    /// A dial that must be refused.
    fn refusal(&mut self, api: &Api, to: &str, more: &Value, kind: &str) {
        let refused = api.try_dial(to, more);
        assert_eq!(refused.code(), kind, "{to} {more}: {}", refused.text);
        self.receipt(&refused.json["receipt"]);
    }
}

#[test]
fn every_reason_and_every_cause() {
    let parts: [fn(&mut Met); 8] = [
        final_answers_and_timers,
        routing,
        refused_callers,
        small_node,
        stopping_node,
        forgotten_call,
        killed_node,
        full_disk,
    ];
    let mut met = Met::default();
    // Each has a node of its own and mostly waits.
    std::thread::scope(|scope| {
        let run = |part: fn(&mut Met)| {
            scope.spawn(move || {
                let mut met = Met::default();
                part(&mut met);
                met
            })
        };
        for running in parts.map(run) {
            let Met { reasons, causes } = running.join().expect("each part passes");
            met.reasons.extend(reasons);
            met.causes.extend(causes);
        }
    });

    let known: BTreeSet<String> = Reason::CODES.iter().map(|code| (*code).to_owned()).collect();
    let never: Vec<&String> = known.difference(&met.reasons).collect();
    let unknown: Vec<&String> = met.reasons.difference(&known).collect();
    assert!(
        never.is_empty() && unknown.is_empty(),
        "reasons that nothing provoked: {never:?}; unknown ones: {unknown:?}"
    );

    let known: BTreeSet<String> = HangupCause::ALL.iter().map(|cause| cause.as_str().to_owned()).collect();
    let never: Vec<&String> = known.difference(&met.causes).collect();
    let unknown: Vec<&String> = met.causes.difference(&known).collect();
    assert!(
        never.is_empty() && unknown.is_empty(),
        "causes that nothing provoked: {never:?}; unknown ones: {unknown:?}"
    );
}

#[test]
fn the_documents_list_exactly_the_codes_that_exist() {
    let reasons: Vec<String> = Reason::CODES.iter().map(|code| (*code).to_owned()).collect();
    assert_eq!(documented("reasons.md"), sorted(reasons));
    let causes: Vec<String> = HangupCause::ALL.iter().map(|cause| cause.as_str().to_owned()).collect();
    assert_eq!(documented("causes.md"), sorted(causes));
}

/// The first cells of the tables' rows, as far as they are code.
fn documented(name: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let code = |line: &str| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned());
    sorted(text.lines().filter_map(code).collect())
}

fn sorted(mut list: Vec<String>) -> Vec<String> {
    list.sort();
    list
}

/// What far ends answer, and what they leave undone.
fn final_answers_and_timers(met: &mut Met) {
    let network = Network::claim();
    let dns = Dns::start(
        std::net::SocketAddr::new(network.host(53), 53),
        &[("inside.test", Ipv4Addr::new(10, 1, 2, 3).into())],
    );
    let options = Options::default().env("TANDEM_DNS_SERVERS", &dns.address().to_string());
    let tandem = Tandem::start(&network, &options);
    let api = tandem.api();
    let peer = Peer::start(network.sip(2));
    let quick = json!({
        "advanced_config": {"rtp_timeout": 1},
        "outbound_routing": {"prefixes": ["+1"], "progress_timeout": 1},
        "max_concurrent_calls": 50,
    });
    let trunk = api.create_trunk("peer", peer.address(), &quick);
    let nobody = network.sip(200);

    let over_trunk = json!({"sip_trunk_id": trunk});
    let mut calls: Vec<String> = Vec::new();
    let mut place = |to: &str, more: &Value| {
        let id = text_at(&api.dial(to, more), "/id");
        calls.push(id.clone());
        id
    };
    for status in [404, 480, 486, 603, 410, 482, 484, 433, 502, 500, 405, 501, 488, 408, 513] {
        let _ = place(&peer.uri(&format!("s{status}")), &json!({}));
    }
    for user in ["nosdp", "opusonly"] {
        let _ = place(&peer.uri(user), &json!({}));
    }
    for user in ["silent", "trying", "authbad", "mute"] {
        let _ = place(&peer.uri(user), &over_trunk);
    }
    let _ = place(&peer.uri("ring"), &json!({"ring_timeout_seconds": 1}));
    let _ = place(&peer.uri("echo"), &json!({"max_duration_seconds": 1}));
    let _ = place(&format!("sip:x@{nobody}"), &json!({}));
    // The node speaks IPv4 only.
    let _ = place("sip:x@[2606:4700::1111]", &json!({}));
    let _ = place("sip:x@nowhere.test", &json!({}));
    let _ = place("sip:x@inside.test", &json!({}));
    // The second party's number has no trunk: only +1 has.
    let _ = place(&peer.uri("echo"), &json!({"connect": {"type": "number", "number": "+442079460018"}}));
    let hung_up = place(&peer.uri("echo"), &json!({}));
    let canceled = place(&peer.uri("ring"), &json!({}));
    let _ = api.wait_for_status(&hung_up, "answered", Duration::from_secs(5));
    let _ = api.wait_for_status(&canceled, "ringing", Duration::from_secs(5));
    for id in [&hung_up, &canceled] {
        let _ = api.hang_up(id).expect(200);
    }
    for id in &calls {
        met.call(&api, id);
    }
    met.refusal(&api, "sip:x@10.9.9.9", &json!({}), "target_not_allowed");
}

/// What routing finds against a trunk, and for it.
fn routing(met: &mut Met) {
    let network = Network::claim();
    let tandem = Tandem::start(&network, &Options::default());
    let api = tandem.api();
    let peer = Peer::start(network.sip(2));
    let to_peer = |name: &str, more: &Value| api.create_trunk(name, peer.address(), more);
    let second = to_peer("second", &json!({"priority": 2}));
    let first = to_peer("first", &json!({"failover_trunk_id": second}));
    let inactive = to_peer("inactive", &json!({}));
    api.change_trunk(&inactive, &json!({"status": "inactive"}));
    let _ = to_peer("inbound", &json!({"call_direction": "inbound"}));
    let _ = to_peer("elsewhere", &json!({"outbound_routing": {"prefixes": ["+44"]}}));
    let _ = to_peer("opus", &json!({"codec_preferences": ["opus"]}));
    let _ = to_peer("tls", &json!({"sip_port": 5061}));
    let small = to_peer("small", &json!({"max_concurrent_calls": 1, "priority": 3}));
    let slow = to_peer("slow", &json!({"outbound_routing": {"max_cps": 1}, "priority": 3}));
    let resting = to_peer("resting", &json!({"priority": 3}));
    api.wait_for_routing("the inactive trunk", |receipt| receipt.to_string().contains("trunk_not_active"));

    let mut calls = Vec::new();
    for (trunk, user) in [(&small, "echo"), (&slow, "s486"), (&resting, "s503r9"), (&first, "s404")] {
        calls.push(text_at(&api.dial(&peer.uri(user), &json!({"sip_trunk_id": trunk})), "/id"));
    }
    // The one INVITE of this second is used up.
    met.refusal(&api, &peer.uri("echo"), &json!({"sip_trunk_id": slow}), "cps_limit");
    let _ = api.wait_for_status(&calls[0], "answered", Duration::from_secs(3));
    let _ = api.wait_for_end(&calls[2], Duration::from_secs(3));
    met.refusal(&api, &peer.uri("echo"), &json!({"sip_trunk_id": small}), "no_trunk_available");
    met.receipt(&api.explain("+12025550100", &json!({})));
    met.receipt(&api.explain("+12025550100", &json!({"sip_trunk_id": first})));
    met.refusal(&api, "911", &json!({}), "emergency_not_routed");
    let _ = api.hang_up(&calls[0]).expect(200);
    for id in &calls {
        met.call(&api, id);
    }

    // Nobody is there who would answer probes.
    let _ = api.create_trunk("gone", network.sip(99), &json!({"advanced_config": {"options_interval": 1}}));
    eventually("a trunk that is not well", Duration::from_secs(9), || {
        let receipt = api.explain("+12025550100", &json!({}));
        met.receipt(&receipt);
        receipt.to_string().contains("trunk_unhealthy").then_some(())
    });
    // Five calls that are refused open the circuit; an answered probe lets one try it, which is left waiting.
    let broken = to_peer("broken", &json!({"priority": 3}));
    let over_broken = json!({"sip_trunk_id": broken});
    for _ in 0..5 {
        let id = text_at(&api.dial(&peer.uri("s503"), &over_broken), "/id");
        let _ = api.wait_for_end(&id, Duration::from_secs(3));
    }
    met.receipt(&api.explain(&peer.uri("echo"), &over_broken));
    let _ = api.post(&format!("/trunks/{broken}/health-check"), &json!({})).expect(200);
    let trial = text_at(&api.dial(&peer.uri("silent"), &over_broken), "/id");
    met.receipt(&api.explain(&peer.uri("echo"), &over_broken));
    let _ = api.hang_up(&trial).expect(200);

    // An account of the free tier has two calls, and here no trunk.
    let poor = tandem.add_account("poor", &["--tier", "free"]);
    met.refusal(&poor, "+12025550100", &json!({}), "no_route");
    let held: Vec<String> = (0..2).map(|_| text_at(&poor.dial(&peer.uri("echo"), &json!({})), "/id")).collect();
    met.refusal(&poor, &peer.uri("echo"), &json!({}), "tier_limit");
    for id in &held {
        let _ = poor.hang_up(id).expect(200);
    }
    used_up_credit(met, &tandem, &poor, &peer);
}

/// Calls that credit pays for: one that does not begin, and one whose second party is too dear.
fn used_up_credit(met: &mut Met, tandem: &Tandem, poor: &Api, peer: &Peer) {
    let dear = json!({"call_direction": "outbound", "cost_per_minute": 1, "outbound_routing": {"prefixes": ["+44"]}});
    let _ = poor.create_trunk("dear", peer.address(), &dear);
    for change in [
        ["account", "set", "poor", "--credit-control", "on"].as_slice(),
        ["account", "credit", "poor", "--add", "0.99", "--note", "not enough"].as_slice(),
    ] {
        let done = tandem.cli(change);
        assert!(done.status.success(), "{done:?}");
    }
    eventually("credit at the call path", Duration::from_secs(5), || {
        (poor.get("/credits").expect(200)["available"] == 0.99).then_some(())
    });
    met.refusal(poor, "+442079460018", &json!({}), "credit_exhausted");
    let connect = json!({"connect": {"type": "number", "number": "+442079460018"}});
    let id = text_at(&poor.dial(&peer.uri("echo"), &connect), "/id");
    met.call(poor, &id);
}

/// Why calls that come in are not taken.
fn refused_callers(met: &mut Met) {
    let network = Network::claim();
    let tandem = Tandem::start(&network, &Options::default());
    let api = tandem.api();
    let one_number = json!({"inbound_routing": {"rules": [{"to": "+12025550100", "connect": {"type": "echo"}}]}});
    let _ = api.create_trunk("one-number", network.sip(2), &one_number);
    let takes_any = json!({"inbound_routing": {"default": {"type": "echo"}}});
    for name in ["either", "or"] {
        let _ = api.create_trunk(name, network.sip(3), &takes_any);
    }
    let _ = api.create_trunk("outbound", network.sip(4), &json!({"call_direction": "outbound"}));
    let video = "v=0\r\no=- 1 1 IN IP4 127.0.0.9\r\ns=-\r\nc=IN IP4 127.0.0.9\r\nt=0 0\r\nm=video 4000 RTP/AVP 31\r\n";
    let callers = [(2, "+12025550109", "", 404), (2, "+12025550100", video, 488), (3, "5", "", 403), (4, "5", "", 403)];
    for (host, number, sdp, status) in callers {
        let mut caller = Caller::at(network.sip(host), tandem.sip(), Audio::Mute);
        caller.invite_with(number, sdp);
        let _ = caller.wait_for(&format!("{status} INVITE"));
    }
    let refusals = eventually("refusals on record", Duration::from_secs(3), || {
        let refusals = api.get("/refusals").expect(200);
        refusals.as_array().filter(|refusals| refusals.len() == callers.len()).cloned()
    });
    for refusal in &refusals {
        met.receipt(&refusal["receipt"]);
    }
}

/// A node with the ports of two legs.
fn small_node(met: &mut Met) {
    let network = Network::claim();
    let tandem = Tandem::start(&network, &Options::default().env("TANDEM_RTP_PORTS", "20000-20003"));
    let api = tandem.api();
    let peer = Peer::start(network.sip(2));
    let held: Vec<String> = (0..2).map(|_| text_at(&api.dial(&peer.uri("echo"), &json!({})), "/id")).collect();
    met.refusal(&api, &peer.uri("echo"), &json!({}), "node_unavailable");
    let _ = api.wait_for_status(&held[0], "answered", Duration::from_secs(3));
    let _ = api.hang_up(&held[0]).expect(200);
    met.call(&api, &held[0]);
    // The first party takes the port that the second one would need.
    let id =
        text_at(&api.dial(&peer.uri("echo"), &json!({"connect": {"type": "sip", "uri": peer.uri("echo")}})), "/id");
    met.call(&api, &id);
    let call = api.call(&id);
    assert_eq!(call["hangup_cause"], "no_circuit_available", "{call:#}");
    let _ = api.hang_up(&held[1]).expect(200);
}

/// A node that stops with a call up.
fn stopping_node(met: &mut Met) {
    let network = Network::claim();
    let mut tandem = Tandem::start(&network, &Options::default().env("TANDEM_DRAIN_TIMEOUT", "2"));
    let api = tandem.api();
    let peer = Peer::start(network.sip(2));
    let id = text_at(&api.dial(&peer.uri("echo"), &json!({})), "/id");
    let _ = api.wait_for_status(&id, "answered", Duration::from_secs(3));
    tandem.terminate();
    eventually("draining", Duration::from_secs(1), || (api.get("/health/ready").status == 503).then_some(()));
    met.refusal(&api, &peer.uri("echo"), &json!({}), "node_unavailable");
    tandem.restart();
    met.call(&api, &id);
}

/// A call that something else carried, and of which nothing was heard for hours.
fn forgotten_call(met: &mut Met) {
    let network = Network::claim();
    let mut tandem = Tandem::start(&network, &Options::default());
    let api = tandem.api();
    let trunk = api.create_trunk("shared", network.sip(2), &json!({}));
    let log = json!({
        "call_id": "forgotten", "sip_trunk_id": trunk, "direction": "inbound", "from_number": "1", "to_number": "2",
        "started_at": "2026-01-01T00:00:00Z", "status": "answered", "answered_at": "2026-01-01T00:00:00Z",
    });
    let _ = api.post("/calls", &log).expect(201);
    tandem.terminate();
    let _ = tandem.wait_for_exit(Duration::from_secs(10));
    tandem.age_calls(Duration::from_secs(5 * 60 * 60));
    tandem.restart();
    let call = api.wait_for_end("forgotten", Duration::from_secs(10));
    assert_eq!(call["cost"], Value::Null, "nobody knows what it cost: {call:#}");
    let freed = || (api.get(&format!("/trunks/{trunk}")).expect(200)["current_active_calls"] == 0).then_some(());
    eventually("free slot", Duration::from_secs(3), freed);
    met.causes.extend(call["hangup_cause"].as_str().map(str::to_owned));
}

/// A node that dies with a call up.
fn killed_node(met: &mut Met) {
    let network = Network::claim();
    let mut tandem = Tandem::start(&network, &Options::default());
    let api = tandem.api();
    let peer = Peer::start(network.sip(2));
    let id = text_at(&api.dial(&peer.uri("echo"), &json!({})), "/id");
    let _ = api.wait_for_status(&id, "answered", Duration::from_secs(3));
    tandem.kill();
    tandem.restart();
    met.call(&api, &id);
}

/// A node whose disk fills up, with its database on another one.
fn full_disk(met: &mut Met) {
    let network = Network::claim();
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    // More than the 64 MB below which new calls are refused.
    let disk = SmallDisk::mount(folder.path().join("disk"), 80_000_000);
    let database = format!("sqlite://{}", folder.path().join("tandem.db").display());
    let data_dir = disk.path().display().to_string();
    let options = Options::default().env("TANDEM_DATA_DIR", &data_dir).env("DATABASE_URL", &database);
    let tandem = Tandem::start(&network, &options);
    let api = tandem.api();
    let peer = Peer::start(network.sip(2));
    let held: Vec<String> = (0..10).map(|_| text_at(&api.dial(&peer.uri("echo"), &json!({})), "/id")).collect();
    for id in &held {
        let _ = api.wait_for_status(id, "answered", Duration::from_secs(3));
    }
    let wait_for_reason = |met: &mut Met, reason: &str| {
        eventually(reason, Duration::from_secs(4), || {
            let refused = api.try_dial(&peer.uri("s486"), &json!({}));
            if refused.status == 201 {
                return None;
            }
            assert_eq!((refused.status, refused.code()), (503, "node_unavailable"), "{}", refused.text);
            met.receipt(&refused.json["receipt"]);
            let given = refused.json["receipt"]["refusal"]["reason"].clone();
            (given["code"] == reason).then_some(given)
        })
    };
    disk.fill(40_000_000);
    let given = wait_for_reason(met, "low_disk");
    assert!(given["free_mb"].as_u64().is_some_and(|free| (20..64).contains(&free)), "{given}");
    // What calls write at their ends finds no room; they end all the same.
    disk.fill_up();
    for id in &held {
        let _ = api.hang_up(id).expect(200);
    }
    let _ = wait_for_reason(met, "journal_unwritable");
    for call in peer.calls() {
        let is_this = |known: &tandem_e2e::CallView| known.invite.call_id() == call.invite.call_id();
        if call.user() == "echo" {
            let _ = peer
                .wait_for_call("has its BYE", Duration::from_secs(3), |known| is_this(known) && known.count("BYE") > 0);
        }
    }
    // With room again the node takes calls, and nothing of the earlier ones is lost.
    disk.free();
    let id = eventually("call that is taken again", Duration::from_secs(4), || {
        let answer = api.try_dial(&peer.uri("s486"), &json!({}));
        (answer.status == 201).then(|| text_at(&answer.json, "/id"))
    });
    met.call(&api, &id);
    for id in &held {
        met.call(&api, id);
        let call = api.call(id);
        assert_eq!((&call["status"], &call["hung_up_by"]), (&json!("completed"), &json!("api")), "{call:#}");
    }
}
