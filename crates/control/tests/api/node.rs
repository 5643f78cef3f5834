use crate::harness::Api;
use axum::http::Method;
use serde_json::json;
use tandem_control::{LiveNumbers, Readiness};

#[tokio::test]
async fn readiness_has_all_the_numbers() {
    let api = Api::start().await;
    let live = LiveNumbers { calls: 2, legs: 3, media_ports_total: 10_000, max_calls: 2_500, ..LiveNumbers::default() };
    api.switchboard.script(|script| script.readiness = Readiness { ready: true, draining: false, live });
    let ready = api.send(Method::GET, "//health/ready", None, None).await.expect(200);
    assert_eq!(
        (&ready["ready"], &ready["draining"], &ready["live"]["calls"]),
        (&json!(true), &json!(false), &json!(2))
    );
    assert_eq!(ready["live"]["queues"], json!({"commands": 0, "records": 0, "media_commands": 0}));
    for name in [
        "legs",
        "dialogs",
        "client_transactions",
        "server_transactions",
        "media_ports_in_use",
        "media_ports_total",
        "max_calls",
        "trunk_slots",
        "account_slots",
        "records_unstored",
    ] {
        assert!(ready["live"][name].is_u64(), "{name}");
    }
    api.switchboard.script(|script| script.readiness = Readiness { ready: false, draining: true, live });
    let draining = api.send(Method::GET, "//health/ready", None, None).await.expect(503);
    assert_eq!((&draining["draining"], &draining["live"]["legs"]), (&json!(true), &json!(3)));
}

#[tokio::test]
async fn liveness_needs_nothing() {
    let api = Api::start().await;
    api.store.close().await;
    assert_eq!(api.send(Method::GET, "//health/live", None, None).await.expect(200), json!({"status": "live"}));
}
