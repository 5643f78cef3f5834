//! What happens when nothing is left, and that everything comes back.

use serde_json::json;
use std::time::Duration;
use tandem_e2e::{Network, Options, Peer, Tandem, eventually, text_at};

#[test]
fn a_full_trunk_refuses_with_its_receipt_and_every_number_comes_back() {
    let network = Network::claim();
    let tandem = Tandem::start(&network, &Options::default());
    let api = tandem.api();
    let peer = Peer::start(network.sip(2));
    let trunk = api.create_trunk("small", peer.address(), &json!({"max_concurrent_calls": 2}));
    let before = api.ready_numbers();
    assert!(before.len() >= 8, "{before:?}");

    let order = json!({"sip_trunk_id": trunk});
    let calls: Vec<String> = (0..2).map(|_| text_at(&api.dial(&peer.uri("echo"), &order), "/id")).collect();
    for id in &calls {
        let _ = api.wait_for_status(id, "answered", Duration::from_secs(3));
    }
    let held = api.ready_numbers();
    assert_eq!((held["trunk_slots"], held["account_slots"], held["calls"]), (2, 2, 2), "{held:?}");
    assert_eq!(held["media_ports_in_use"], before["media_ports_in_use"] + 2, "{held:?}");

    let refused = api.try_dial(&peer.uri("echo"), &order);
    assert_eq!((refused.status, refused.code()), (503, "no_trunk_available"), "{}", refused.text);
    assert_eq!(refused.headers.get("content-type").map(String::as_str), Some("application/problem+json"));
    assert!(!refused.headers.contains_key("retry-after"), "upstream would stop all its traffic");
    let receipt = &refused.json["receipt"];
    assert_eq!(receipt["considered"][0]["reason"], json!({"code": "trunk_full", "limit": 2}), "{receipt:#}");
    assert_eq!(receipt["refusal"]["reason"]["code"], "no_trunk_available", "{receipt:#}");
    assert_eq!(peer.calls().len(), 2, "nothing was sent");

    // One is ended by us, one by the far end's answer to nothing: both free their places.
    for id in &calls {
        let _ = api.hang_up(id).expect(200);
        let call = api.wait_for_end(id, Duration::from_secs(3));
        assert_eq!(call["status"], "completed", "{call:#}");
    }
    let again = text_at(&api.dial(&peer.uri("s486"), &order), "/id");
    let _ = api.wait_for_end(&again, Duration::from_secs(3));
    let canceled = text_at(&api.dial(&peer.uri("ring"), &order), "/id");
    let _ = api.wait_for_status(&canceled, "ringing", Duration::from_secs(3));
    let _ = api.hang_up(&canceled).expect(200);
    let call = api.wait_for_end(&canceled, Duration::from_secs(3));
    assert_eq!(call["status"], "canceled", "{call:#}");

    // Slots and ports at once; SIP keeps transactions for 32 s (timers D, H and M of RFC 3261 and 6026).
    let kept = ["client_transactions", "server_transactions", "dialogs", "sessions", "legs"];
    eventually("free slots and ports", Duration::from_secs(3), || {
        let now = api.ready_numbers();
        now.iter().all(|(name, value)| kept.contains(&name.as_str()) || before.get(name) == Some(value)).then_some(())
    });
    let mut last = before.clone();
    let deadline = std::time::Instant::now() + Duration::from_secs(42);
    while std::time::Instant::now() < deadline {
        last = api.ready_numbers();
        if last == before {
            return;
        }
    }
    assert_eq!(last, before);
}

#[test]
fn trunks_of_one_priority_share_calls_by_load() {
    let network = Network::claim();
    let tandem = Tandem::start(&network, &Options::default());
    let api = tandem.api();
    let (one, other) = (Peer::start(network.sip(2)), Peer::start(network.sip(3)));
    let _ = api.create_trunk("one", one.address(), &json!({"max_concurrent_calls": 2}));
    let _ = api.create_trunk("other", other.address(), &json!({"max_concurrent_calls": 4}));
    let calls: Vec<String> = (0..6).map(|_| text_at(&api.dial("+12025550111", &json!({})), "/id")).collect();
    for id in &calls {
        let _ = api.wait_for_status(id, "answered", Duration::from_secs(3));
    }
    assert_eq!((one.calls().len(), other.calls().len()), (2, 4));
    let full = api.try_dial("+12025550111", &json!({}));
    assert_eq!((full.status, full.code()), (503, "no_trunk_available"), "{}", full.text);
    for id in &calls {
        let _ = api.hang_up(id).expect(200);
    }
}
