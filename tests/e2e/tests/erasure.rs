//! A number is erased while a node carries calls, and is found nowhere afterwards.

use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;
use tandem_e2e::peer::{Audio, Script};
use tandem_e2e::{Caller, Network, Options, Peer, Tandem, eventually, files_below, pause, text_at};

/// Of every [`Caller`].
const NUMBER: &str = "+4930901820";
const DIGITS: &str = "4930901820";
const OURS: &str = "+12025550100";

/// The files of the data directory that hold the number.
fn holding(tandem: &Tandem) -> Vec<String> {
    let holds = |octets: &[u8]| octets.windows(DIGITS.len()).any(|window| window == DIGITS.as_bytes());
    let files = files_below(&tandem.data_dir());
    let read = files.iter().filter(|path| std::fs::read(path).is_ok_and(|octets| holds(&octets)));
    read.map(|path| path.display().to_string()).collect()
}

#[test]
fn a_number_is_found_nowhere_after_its_erasure_which_survives_a_kill() {
    let network = Network::claim();
    let mut tandem = Tandem::start(&network, &Options::default());
    let api = tandem.api();
    let peer = Peer::start_with(network.sip(2), |_| Script::silent().respond(180).answer(Audio::Mute));
    let routing = json!({"rules": [{"to": OURS, "connect": {"type": "echo"}}]});
    let trunk = api.create_trunk("carrier", peer.address(), &json!({"inbound_routing": routing}));
    // Nobody is there to take them: what is to be sent waits.
    let hook = json!({"url": format!("http://{}:9/hooks", network.host(4)), "event_types": ["call.*"]});
    let hook = text_at(&api.post("/webhook-endpoints", &hook).expect(201), "/id");

    let caller = |number: &str, answer: &str| {
        let mut caller = Caller::at(SocketAddr::new(network.host(2), 0), network.sip(1), Audio::Mute);
        caller.invite(number);
        let _ = caller.wait_for(answer);
        caller
    };
    caller(OURS, "200 INVITE").bye();
    drop(caller("+12025550300", "404 INVITE"));
    let metadata = json!({"customer": "+49 (30) 90-1820", "phone": 4_930_901_820_u64});
    let dialled = |to: &str| {
        let order = json!({"sip_trunk_id": trunk, "metadata": metadata, "from_number": OURS});
        let id = text_at(&api.dial(to, &order), "/id");
        let _ = api.wait_for_status(&id, "answered", Duration::from_secs(5));
        id
    };
    let ended = dialled(NUMBER);
    let _ = api.hang_up(&ended);
    let spoken_of = dialled("+442079460000");
    let _ = api.hang_up(&spoken_of);
    let up = dialled(NUMBER);
    let stored = || {
        let calls = api.all_calls();
        let over = calls.iter().filter(|call| call["ended_at"].is_string()).count();
        // What has been answered is told sooner than it is in the log.
        let up = calls.iter().filter(|call| call["status"] == "answered").count();
        (calls.len() == 4 && over == 3 && up == 1).then_some(calls)
    };
    let before = eventually("the calls in the log", Duration::from_secs(10), stored);
    let told = |calls: &[Value]| {
        let costs =
            calls.iter().map(|call| (call["id"].to_string(), call["status"].to_string(), call["cost"].to_string()));
        costs.collect::<Vec<_>>()
    };
    let dashboard = api.get("/analytics?group_by=prefix").expect(200);

    let erasure = api.post("/erasures", &json!({"number": NUMBER})).expect(202);
    let path = format!("/erasures/{}", text_at(&erasure, "/id"));
    eventually("it waits for the call that is up", Duration::from_secs(30), || {
        let shown = api.get(&path).expect(200);
        (shown["waits_for"] == "calls" && shown["erased"]["calls"].as_u64() >= Some(2)).then_some(())
    });
    assert_eq!(told(&eventually("the calls", Duration::from_secs(5), stored)), told(&before), "money stays");
    assert_eq!(api.get("/analytics?group_by=prefix").expect(200), dashboard, "and so do statistics");
    tandem.kill();
    tandem.restart();
    let done = eventually("an end", Duration::from_secs(60), || {
        let shown = api.get(&path).expect(200);
        (shown["state"] == "finished").then_some(shown)
    });
    // What tells of the call that was cut off has gone into a new file of the journal, which goes at the next start.
    tandem.terminate();
    tandem.restart();
    // The file before this start's is removed once it is read.
    for _ in 0..50 {
        if !holding(&tandem).is_empty() {
            pause(Duration::from_millis(100));
        }
    }
    assert_eq!(holding(&tandem), [""; 0]);

    let rows = &done["erased"];
    assert_eq!((&rows["calls"], &rows["refusals"]), (&json!(4), &json!(1)), "{done:#}");
    for kind in ["legs", "timelines", "events"] {
        assert!(rows[kind].as_u64() > Some(1), "{done:#}");
    }
    for rest in ["", "/route", "/legs", "/timeline"] {
        for id in [&ended, &spoken_of, &up] {
            let shown = api.get(&format!("/calls/{id}{rest}")).text;
            assert!(!shown.contains(DIGITS) && !shown.contains("90-1820"), "{shown}");
        }
    }
    let call = api.call(&ended);
    let letters = text_at(&done, "/pseudonym").trim_start_matches("erased-").to_owned();
    assert_eq!(call["to_number"], format!("erased-4930-{letters}"));
    assert_eq!(call["metadata"]["phone"], done["pseudonym"]);
    let waiting = api.get(&format!("/webhook-endpoints/{hook}/deliveries?state=pending")).expect(200);
    assert!(!waiting.to_string().contains(DIGITS));
    let verified = tandem.cli(&["--json", "audit", "verify"]);
    assert!(verified.status.success(), "{verified:?}");
    // Who calls again is no longer forgotten.
    let again = dialled(NUMBER);
    assert_eq!(api.call(&again)["to_number"], NUMBER);
}
