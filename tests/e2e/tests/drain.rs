//! How a node stops.

use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tandem_e2e::{Network, Options, Peer, Tandem, eventually, text_at};

#[test]
fn a_stopping_node_takes_no_new_calls_and_lets_live_ones_end_by_themselves() {
    let network = Network::claim();
    let mut tandem = Tandem::start(&network, &Options::default().env("TANDEM_DRAIN_TIMEOUT", "20"));
    let api = tandem.api();
    let peer = Peer::start(network.sip(2));
    let trunk = api.create_trunk("peer", peer.address(), &json!({}));
    let id = text_at(&api.dial(&peer.uri("hangup2000"), &json!({"sip_trunk_id": trunk})), "/id");
    let _ = api.wait_for_status(&id, "answered", Duration::from_secs(3));

    let stopped = Instant::now();
    tandem.terminate();
    let ready = eventually("readiness that is over", Duration::from_secs(1), || {
        let ready = api.get("/health/ready");
        (ready.status == 503).then_some(ready)
    });
    assert_eq!(
        (&ready.json["ready"], &ready.json["draining"]),
        (&Value::Bool(false), &Value::Bool(true)),
        "{}",
        ready.text
    );
    assert_eq!(api.get("/health/live").status, 200);
    let refused = api.try_dial(&peer.uri("echo"), &json!({"sip_trunk_id": trunk}));
    assert_eq!((refused.status, refused.code()), (503, "node_unavailable"), "{}", refused.text);
    assert_eq!(refused.json["receipt"]["refusal"]["reason"]["code"], "draining", "{}", refused.text);

    // The live call is left alone until its far end hangs up, and is known after a restart.
    let call =
        peer.wait_for_call("was told that its BYE is right", Duration::from_secs(4), |call| call.count("200 BYE") > 0);
    assert_eq!(call.count("BYE"), 0);
    let status = tandem.wait_for_exit(Duration::from_secs(15));
    assert!(status.success(), "{status}");
    assert!(stopped.elapsed() < Duration::from_secs(18), "it waited for nothing: {:?}", stopped.elapsed());
    tandem.restart();
    let call = api.call(&id);
    assert_eq!((&call["status"], &call["hangup_cause"]), (&json!("completed"), &json!("normal_clearing")), "{call:#}");
    assert_eq!(call["hung_up_by"], "callee", "{call:#}");
}

#[test]
fn at_the_drain_timeout_live_calls_get_a_bye_and_ringing_ones_a_cancel() {
    let network = Network::claim();
    let mut tandem = Tandem::start(&network, &Options::default().env("TANDEM_DRAIN_TIMEOUT", "1"));
    let api = tandem.api();
    let peer = Peer::start(network.sip(2));
    let trunk = api.create_trunk("peer", peer.address(), &json!({}));
    let order = json!({"sip_trunk_id": trunk});
    let up = text_at(&api.dial(&peer.uri("echo"), &order), "/id");
    let ringing = text_at(&api.dial(&peer.uri("ring"), &order), "/id");
    let _ = api.wait_for_status(&up, "answered", Duration::from_secs(3));
    let _ = api.wait_for_status(&ringing, "ringing", Duration::from_secs(3));

    let stopped = Instant::now();
    tandem.terminate();
    let call = peer.wait_for_call("has a BYE", Duration::from_secs(4), |call| call.count("BYE") > 0);
    assert!(call.first("BYE").is_some_and(|at| at - stopped >= Duration::from_millis(900)), "not before the time-out");
    let bye = call.received.iter().find(|(_, text)| text.method() == Some("BYE"));
    assert!(
        bye.and_then(|(_, text)| text.header("Reason")).is_some_and(|reason| reason.contains("cause=41")),
        "{bye:?}"
    );
    peer.wait_for_call("has a CANCEL", Duration::from_secs(4), |call| call.count("CANCEL") > 0);
    let status = tandem.wait_for_exit(Duration::from_secs(15));
    assert!(status.success(), "{status}");

    tandem.restart();
    for (id, status) in [(&up, "completed"), (&ringing, "failed")] {
        let call = api.call(id);
        assert_eq!((&call["status"], &call["hangup_cause"]), (&json!(status), &json!("node_shutdown")), "{call:#}");
        assert_eq!(call["hung_up_by"], "switch", "{call:#}");
    }
}
