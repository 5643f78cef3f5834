use crate::harness::{Api, live_call, metadata};
use serde_json::{Value, json};
use std::time::Duration;
use tandem_model::{Connect, DialTarget, Reason, Record, RefusalKind};

fn body(changes: Value) -> Value {
    crate::harness::merged(json!({"to_number": "+12025550100", "connect": {"type": "echo"}}), changes)
}

#[tokio::test]
async fn an_order_reaches_the_switch_as_it_was_meant() {
    let api = Api::start().await;
    let trunk = api.trunk(json!({})).await;
    let sent = body(json!({
        "to_number": "+1 (202) 555-0100", "from_number": "+1 202 555 0199", "sip_trunk_id": trunk, "connect": {"type": "play", "tone": "440+480"},
        "ring_timeout_seconds": 300, "max_duration_seconds": 86_400, "headers": {"X-Tag": "1", "Subject": "hello"},
        "metadata": {"a": 1}, "conversation_id": "0b8f8c5e-0000-4000-8000-000000000001", "record": false,
    }));
    let call = api.post("/calls/dial", sent).await.expect(201);
    assert_eq!(
        (&call["status"], &call["carried_by"], &call["direction"]),
        (&json!("initiated"), &json!("tandem"), &json!("outbound"))
    );
    assert_eq!((&call["metadata"], &call["call_id"]), (&json!({"a": 1}), &call["id"]));
    let order = api.switchboard.script(|script| script.orders.remove(0));
    assert_eq!(order.account_id, api.mine.account.id);
    assert_eq!(order.to, DialTarget::Number("+12025550100".parse().unwrap()));
    assert_eq!(order.from.as_deref(), Some("+12025550199"));
    assert_eq!(order.trunk_id.map(|id| id.to_string()), Some(trunk));
    assert_eq!(order.connect, Connect::Play { tone: "440+480".into() });
    assert_eq!((order.ring_timeout, order.max_duration), (Duration::from_secs(300), Duration::from_secs(86_400)));
    assert_eq!(order.headers["X-Tag"], "1");
}

#[tokio::test]
async fn whom_to_call_has_three_forms() {
    let api = Api::start().await;
    for (written, meant) in [
        ("+44 (0)20 7183 8750", DialTarget::Number("+442071838750".parse().unwrap())),
        ("911", DialTarget::Emergency("911".into())),
        ("sip:bob@127.0.0.3:5080", DialTarget::Uri("sip:bob@127.0.0.3:5080".into())),
    ] {
        api.post("/calls/dial", body(json!({"to_number": written}))).await.expect(201);
        assert_eq!(api.switchboard.script(|script| script.orders.pop().unwrap().to), meant);
    }
}

#[tokio::test]
async fn every_field_has_its_bounds() {
    let api = Api::start().await;
    for path in ["/calls/dial", "/routing/explain"] {
        for (field, wrong) in [
            (
                "to_number",
                vec![
                    json!("2025550100"),
                    json!("+1"),
                    json!(""),
                    json!(5),
                    json!("tel:+12025550100"),
                    json!("sip:a b@c"),
                    json!(null),
                ],
            ),
            ("from_number", vec![json!("a b"), json!("x".repeat(65)), json!("+1x"), json!("a\r\nb")]),
            ("sip_trunk_id", vec![json!("x")]),
            ("connect", vec![json!(null), json!("echo")]),
            ("connect.type", vec![]),
            ("ring_timeout_seconds", vec![json!(0), json!(301), json!("60"), json!(1.5)]),
            ("max_duration_seconds", vec![json!(0), json!(86_401)]),
            (
                "headers",
                vec![json!({"Via": "x"}), json!({"X-A": "a\r\nb"}), json!({"P-Asserted-Identity": "x"}), json!([])],
            ),
            ("metadata", vec![json!([]), metadata(16_385)]),
            ("conversation_id", vec![json!("x")]),
            ("record", vec![json!(true), json!("no")]),
        ] {
            for value in wrong {
                api.post(path, body(json!({field: value}))).await.expect_wrong_field(field);
            }
        }
        let message = api
            .post(path, body(json!({"connect": {"type": "stream", "url": "wss://agent"}})))
            .await
            .expect_wrong_field("connect.type");
        assert!(message.contains("not built yet"), "{message}");
        let message = api.post(path, body(json!({"to_numbr": "+1"}))).await.expect_wrong_field("to_numbr");
        assert!(message.contains("to_number"), "{message}");
        let message = api
            .post(path, body(json!({"connect": {"type": "play", "tone": "1000", "tune": 1}})))
            .await
            .expect_wrong_field("connect.tune");
        assert!(message.contains("tone"), "{message}");
    }
    let message =
        api.post("/calls/dial", body(json!({"metadata": metadata(16_385)}))).await.expect_wrong_field("metadata");
    assert!(message.contains("16384"), "{message}");
    assert!(api.switchboard.script(|script| script.orders.is_empty()), "nothing wrong reaches the switch");
    api.post("/calls/dial", body(json!({"metadata": metadata(16_384)}))).await.expect(201);
}

#[tokio::test]
async fn a_refusal_comes_with_its_receipt() {
    let api = Api::start().await;
    for (kind, reason, status) in [
        (RefusalKind::NoRoute, Reason::NoRoute, 422),
        (RefusalKind::EmergencyNotRouted, Reason::EmergencyNotRouted, 422),
        (RefusalKind::TargetNotAllowed, Reason::PeerNotAllowed { address: "10.0.0.1".parse().unwrap() }, 422),
        (RefusalKind::TierLimit, Reason::TierLimit { limit: 2 }, 429),
        (RefusalKind::CpsLimit, Reason::TrunkCpsLimit { max_cps: 1 }, 429),
        (RefusalKind::NoTrunkAvailable, Reason::NoTrunkAvailable, 503),
        (RefusalKind::NodeUnavailable, Reason::Draining, 503),
    ] {
        api.switchboard.script(|script| script.refusal = Some((kind, reason.clone())));
        let problem = api.post("/calls/dial", body(json!({}))).await.expect_problem(status, kind.code());
        assert_eq!(problem["receipt"]["refusal"]["kind"], kind.code());
        assert_eq!(problem["receipt"]["refusal"]["reason"]["code"], reason.code());
        assert_eq!(problem["receipt"]["to"], "+12025550100");
        assert_eq!(problem["detail"], reason.explanation());
        let explained = api.post("/routing/explain", body(json!({}))).await.expect(200);
        assert_eq!(explained, problem["receipt"]);
    }
}

#[tokio::test]
async fn a_trunk_that_is_not_the_accounts_is_not_found() {
    let api = Api::start().await;
    let mine = api.trunk(json!({})).await;
    let nowhere = "018f0000-0000-7000-8000-000000000000";
    let key = Some(api.other.key.as_str());
    let trunk = Some(crate::harness::trunk_body(json!({})));
    let theirs = api.send(axum::http::Method::POST, "/trunks", trunk, key).await.expect(201);
    for path in ["/calls/dial", "/routing/explain"] {
        // The call path knows the trunks of an account, and takes no other.
        api.switchboard.script(|script| script.refusal = Some((RefusalKind::NoRoute, Reason::NoRoute)));
        for id in [nowhere, theirs["id"].as_str().unwrap()] {
            let problem =
                api.post(path, body(json!({"sip_trunk_id": id}))).await.expect_problem(404, "trunk_not_found");
            assert_eq!(problem["errors"][0]["field"], "sip_trunk_id");
            assert_eq!(problem.get("receipt"), None);
        }
        let refused = api.post(path, body(json!({"sip_trunk_id": mine}))).await;
        assert_ne!(refused.status, 404, "{}", refused.body);
    }
    api.store.close().await;
    let unanswered = api.post("/calls/dial", body(json!({"sip_trunk_id": nowhere}))).await;
    unanswered.expect_problem(422, "no_route");
}

#[tokio::test]
async fn explaining_places_no_call() {
    let api = Api::start().await;
    let receipt = api.post("/routing/explain", body(json!({}))).await.expect(200);
    assert_eq!((&receipt["refusal"], &receipt["routing_revision"]), (&json!(null), &json!(3)));
    assert!(api.switchboard.script(|script| script.live.is_empty()));
}

#[tokio::test]
async fn hangs_up_live_calls_only() {
    let api = Api::start().await;
    let trunk = api.trunk(json!({})).await;
    let external = api.call(&trunk, "CA1").await;
    let placed = api.post("/calls/dial", body(json!({}))).await.expect(201);
    let path = format!("/calls/{}/hangup", placed["id"].as_str().unwrap());
    assert_eq!(api.post(&path, json!({})).await.expect(200)["id"], placed["id"]);
    // The body is not read: a POST without one works.
    let bare = api.send(axum::http::Method::POST, &path, None, Some(&api.mine.key)).await;
    bare.expect(200);

    let order = api.switchboard.script(|script| script.orders[0].clone());
    api.store.write_records(&[Record::Call(Box::new(live_call(&order).record))]).await.unwrap();
    api.switchboard.script(|script| script.live.clear());
    api.post(&path, json!({})).await.expect_problem(409, "call_over");
    api.post(&format!("/calls/{external}/hangup"), json!({})).await.expect_problem(409, "call_carried_elsewhere");
    api.post("/calls/CA1/hangup", json!({})).await.expect_problem(409, "call_carried_elsewhere");
    api.post("/calls/018f0000-0000-7000-8000-000000000000/hangup", json!({})).await.expect_problem(404, "not_found");
}

#[tokio::test]
async fn a_call_that_ended_a_moment_ago_is_over() {
    let api = Api::start().await;
    let placed = api.post("/calls/dial", body(json!({}))).await.expect(201);
    let id = placed["id"].as_str().unwrap();
    api.switchboard.script(|script| script.ended.insert(id.parse().unwrap()));
    api.post(&format!("/calls/{id}/hangup"), json!({})).await.expect_problem(409, "call_over");
}

#[tokio::test]
async fn a_silent_call_path_is_told() {
    let api = Api::start().await;
    api.switchboard.script(|script| script.silent = true);
    api.post("/calls/dial", body(json!({}))).await.expect_problem(503, "call_path_unavailable");
    api.post("/routing/explain", body(json!({}))).await.expect_problem(503, "call_path_unavailable");
    api.post("/calls/018f0000-0000-7000-8000-000000000000/hangup", json!({}))
        .await
        .expect_problem(503, "call_path_unavailable");
}

#[tokio::test]
async fn calls_go_on_while_the_database_fails() {
    let api = Api::start().await;
    api.post("/calls/dial", body(json!({}))).await.expect(201);
    api.store.close().await;
    api.post("/calls/dial", body(json!({}))).await.expect(201);
    api.get("/trunks").await.expect_problem(503, "database_unavailable");
    let unknown = api.send(axum::http::Method::GET, "/trunks", None, Some("tdm_unknown")).await;
    unknown.expect_problem(503, "database_unavailable");
}
