use crate::harness::Api;
use axum::http::Method;
use serde_json::json;
use std::time::Duration;
use tandem_control::{JournalState, LiveNumbers, Readiness};

#[tokio::test]
async fn readiness_has_all_the_numbers() {
    let api = Api::start().await;
    let live = LiveNumbers {
        calls: 2,
        legs: 3,
        sessions: 4,
        external_calls: 5,
        unstored_calls: 6,
        media_ports_total: 10_000,
        max_calls: 2_500,
        ..LiveNumbers::default()
    };
    api.switchboard.script(|script| script.readiness = Readiness { ready: true, live, ..Readiness::default() });
    let ready = api.send(Method::GET, "//health/ready", None, None).await.expect(200);
    assert_eq!(
        (&ready["ready"], &ready["draining"], &ready["live"]["calls"]),
        (&json!(true), &json!(false), &json!(2))
    );
    assert_eq!(ready["live"]["queues"], json!({"commands": 0, "records": 0, "media_commands": 0}));
    for name in [
        "legs",
        "sessions",
        "dialogs",
        "client_transactions",
        "server_transactions",
        "media_ports_in_use",
        "media_ports_total",
        "max_calls",
        "trunk_slots",
        "account_slots",
        "external_calls",
        "unstored_calls",
        "records_unstored",
    ] {
        assert!(ready["live"][name].is_u64(), "{name}");
    }
    assert_eq!(ready["media_io"], json!("epoll"));
    let numbers = ["sessions", "external_calls", "unstored_calls"].map(|name| ready["live"][name].clone());
    assert_eq!(numbers, [json!(4), json!(5), json!(6)]);
}

#[tokio::test]
async fn readiness_tells_what_the_database_does_not_have_yet() {
    let api = Api::start().await;
    let journal = JournalState { writable: true, backlog_bytes: Some(7_000), ..JournalState::default() };
    api.switchboard.script(|script| script.readiness = Readiness { ready: true, journal, ..Readiness::default() });
    let ready = api.send(Method::GET, "//health/ready", None, None).await.expect(200);
    let expected = json!({
        "writable": true, "free_bytes": null, "backlog_bytes": 7_000, "oldest_unstored_age_ms": null,
        "entries_unwritten": 0, "refusals_lost": 0,
    });
    assert_eq!(ready["journal"], expected);
    assert_eq!(ready["database"], json!({"answers": false, "takes_records": false}));
    assert_eq!(ready["refuses_because"], json!(null));
}

#[tokio::test]
async fn a_node_that_takes_no_calls_says_so() {
    let api = Api::start().await;
    let live = LiveNumbers { legs: 3, ..LiveNumbers::default() };
    api.switchboard.script(|script| script.readiness = Readiness { draining: true, live, ..Readiness::default() });
    let draining = api.send(Method::GET, "//health/ready", None, None).await.expect(503);
    assert_eq!((&draining["draining"], &draining["live"]["legs"]), (&json!(true), &json!(3)));
}

#[tokio::test]
async fn the_call_path_is_asked_once_for_all_who_ask_at_a_time() {
    let api = Api::start().await;
    tokio::time::pause();
    let ask = || api.send(Method::GET, "//health/ready", None, None);
    let asked = || api.switchboard.script(|script| script.readiness_asked);
    tokio::join!(ask(), ask(), ask());
    assert_eq!(asked(), 1);
    tokio::time::advance(Duration::from_millis(199)).await;
    ask().await;
    assert_eq!(asked(), 1);
    tokio::time::advance(Duration::from_millis(1)).await;
    ask().await;
    assert_eq!(asked(), 2);
}

#[tokio::test]
async fn liveness_needs_nothing() {
    let api = Api::start().await;
    api.store.close().await;
    assert_eq!(api.send(Method::GET, "//health/live", None, None).await.expect(200), json!({"status": "live"}));
}
