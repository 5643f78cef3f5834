use crate::harness::{Api, at, call_body, live_call, metadata, trunk_body};
use serde_json::{Value, json};
use tandem_model::{CallEvent, CallId, CallRecord, DialOrder, EventKind, Record, Tier};
use tandem_store::CallKey;

#[tokio::test]
async fn logs_a_call_that_something_else_carries() {
    let api = Api::start().await;
    let trunk = api.trunk(json!({})).await;
    let sent = call_body(
        &trunk,
        json!({
            "conversation_id": "0b8f8c5e-0000-4000-8000-000000000001", "sip_call_id": "abc@host", "remote_ip": "192.0.2.1",
            "metadata": {"a": [1, {"b": null}]}, "started_at": "2026-01-31T13:00:00.5+01:00",
        }),
    );
    let call = api.post("/calls", sent).await.expect(201);
    let expected = json!({
        "user_id": api.mine.account.id.to_string(), "sip_trunk_id": trunk, "conversation_id": "0b8f8c5e-0000-4000-8000-000000000001",
        "call_id": "CA1", "direction": "outbound", "from_number": "+12025550199", "to_number": "+12025550100",
        "started_at": "2026-01-31T12:00:00.500000Z", "answered_at": null, "ended_at": null, "duration_seconds": null, "duration_ms": null,
        "status": "initiated", "hangup_cause": null, "quality_score": null, "codec_used": null, "sip_call_id": "abc@host",
        "remote_ip": "192.0.2.1", "cost": null, "credits_used": null, "metadata": {"a": [1, {"b": null}]},
        "created_at": "2026-01-31T12:00:00.000000Z", "is_completed": false, "was_answered": false, "carried_by": "external",
        "to_uri": null, "hung_up_by": null, "sip_status": null,
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(call.get(name), Some(value), "{name}");
    }
    let id = call["id"].as_str().unwrap();
    assert_eq!(api.get(&format!("/calls/{id}")).await.expect(200), call);
    assert_eq!(api.get("/calls/CA1").await.expect(200), call);
}

#[tokio::test]
async fn every_field_of_a_new_call_has_its_bounds() {
    let api = Api::start().await;
    let trunk = api.trunk(json!({})).await;
    let text = |length: usize| Value::from("a".repeat(length));
    let mut number = 0;
    for (field, right, wrong) in [
        ("call_id", vec![text(1), text(100)], vec![text(0), text(101), json!(5), json!(null)]),
        ("sip_trunk_id", vec![], vec![json!("x"), json!(null)]),
        ("direction", vec![json!("inbound"), json!("outbound")], vec![json!("bidirectional"), json!("up")]),
        ("from_number", vec![text(1), text(20), json!("anonymous")], vec![text(0), text(21)]),
        ("to_number", vec![text(1), text(20)], vec![text(0), text(21)]),
        (
            "started_at",
            vec![json!("2026-01-31T12:00:00"), json!("2026-01-31T12:00:00+00:00")],
            vec![json!("yesterday"), json!(1)],
        ),
        (
            "status",
            vec![json!("in-progress"), json!("no-answer"), json!("queued"), json!("canceled")],
            vec![json!("gone"), json!("")],
        ),
        ("conversation_id", vec![json!(null), json!("0b8f8c5e-0000-4000-8000-000000000001")], vec![json!("x")]),
        ("sip_call_id", vec![text(255), json!(null)], vec![text(256)]),
        ("remote_ip", vec![text(45), json!(null)], vec![text(46)]),
        (
            "metadata",
            vec![json!({"a": 1}), json!(null), metadata(16_384)],
            vec![json!([]), json!("x"), metadata(16_385)],
        ),
    ] {
        for value in right {
            number += 1;
            let body = call_body(&trunk, json!({"call_id": format!("n{number}"), field: value}));
            api.post("/calls", body).await.expect(201);
        }
        for value in wrong {
            api.post("/calls", call_body(&trunk, json!({"call_id": "wrong", field: value})))
                .await
                .expect_wrong_field(field);
        }
    }
    for field in ["call_id", "sip_trunk_id", "direction", "from_number", "to_number", "started_at", "status"] {
        api.post("/calls", call_body(&trunk, json!({"__remove": field}))).await.expect_wrong_field(field);
    }
}

#[tokio::test]
async fn spellings_of_providers_are_normalised() {
    let api = Api::start().await;
    let trunk = api.trunk(json!({})).await;
    let body = call_body(&trunk, json!({"status": "in-progress", "extra": 1}));
    let call = api.post("/calls", body).await.expect(201);
    assert_eq!((&call["status"], &call["was_answered"]), (&json!("answered"), &json!(true)));
    assert!(call["warnings"][0].as_str().unwrap().contains("extra"));
    let call = api.put("/calls/CA1", json!({"status": "no-answer", "more": 1})).await.expect(200);
    assert_eq!(call["status"], "no_answer");
    assert!(call["warnings"][0].as_str().unwrap().contains("more"));
}

#[tokio::test]
async fn refuses_an_unknown_trunk_and_a_second_log() {
    let api = Api::start().await;
    let trunk = api.trunk(json!({})).await;
    let nowhere = "018f0000-0000-7000-8000-000000000000";
    api.post("/calls", call_body(nowhere, json!({}))).await.expect_problem(400, "unknown_trunk");
    api.call(&trunk, "CA1").await;
    api.post("/calls", call_body(&trunk, json!({}))).await.expect_problem(409, "call_id_taken");
    let log = api.switchboard.script(|script| script.slot_log.clone());
    assert_eq!(log.len(), 1, "only the first took a slot: {log:?}");
    let key = Some(api.other.key.as_str());
    let theirs =
        api.send(axum::http::Method::POST, "/calls", Some(call_body(&trunk, json!({"call_id": "x"}))), key).await;
    theirs.expect_problem(400, "unknown_trunk");
}

#[tokio::test]
async fn is_never_refused_for_capacity() {
    let api = Api::start_with(Tier::Free).await;
    let trunk = api.trunk(json!({"max_concurrent_calls": 1})).await;
    for number in 0..5 {
        api.call(&trunk, &format!("CA{number}")).await;
    }
    let shown = api.get(&format!("/trunks/{trunk}")).await.expect(200);
    assert_eq!((&shown["current_active_calls"], &shown["utilization_percent"]), (&json!(5), &json!(500.0)));
}

#[tokio::test]
async fn ending_a_call_frees_its_slot_once_and_fills_duration_and_cost() {
    let api = Api::start().await;
    let trunk = api.trunk(json!({"cost_per_minute": 0.0042, "advanced_config": {"billing_increment": 6}})).await;
    let id = api.call(&trunk, "CA1").await;
    let answered = api
        .put("/calls/CA1", json!({"status": "answered", "answered_at": "2026-01-31T12:00:10Z", "codec_used": "PCMU"}))
        .await
        .expect(200);
    assert_eq!(
        (&answered["was_answered"], &answered["cost"], &answered["duration_seconds"]),
        (&json!(true), &json!(null), &json!(null))
    );
    let end = json!({"status": "completed", "ended_at": "2026-01-31T12:01:05.250Z", "hangup_cause": "normal_clearing"});
    let ended = api.put(&format!("/calls/{id}"), end.clone()).await.expect(200);
    assert_eq!((&ended["duration_seconds"], &ended["duration_ms"]), (&json!(55), &json!(55_250)));
    // 55.25 s are billed as 60 s.
    assert_eq!((&ended["cost"], &ended["is_completed"]), (&json!(0.0042), &json!(true)));
    assert_eq!((&ended["codec_used"], &ended["hangup_cause"]), (&json!("PCMU"), &json!("normal_clearing")));
    api.put("/calls/CA1", end).await.expect(200);
    let call: CallId = id.parse().unwrap();
    assert_eq!(api.switchboard.script(|script| script.slot_log.clone()), [("taken", call), ("freed", call)]);
    api.put("/calls/CA1", json!({"status": "ringing"})).await.expect_wrong_field("status");
}

#[tokio::test]
async fn ends_at_the_same_time_free_one_slot() {
    let api = Api::start().await;
    let trunk = api.trunk(json!({})).await;
    api.call(&trunk, "CA1").await;
    let end = || api.put("/calls/CA1", json!({"status": "failed"}));
    let (a, b, c) = tokio::join!(end(), end(), end());
    assert!([a, b, c].iter().all(|reply| reply.status == 200));
    assert_eq!(api.switchboard.script(|script| script.slot_log.iter().filter(|(what, _)| *what == "freed").count()), 1);
}

#[tokio::test]
async fn a_call_that_is_over_when_it_is_logged_takes_no_slot() {
    let api = Api::start().await;
    let trunk = api.trunk(json!({})).await;
    let call = api.post("/calls", call_body(&trunk, json!({"status": "busy"}))).await.expect(201);
    assert_eq!((&call["cost"], &call["duration_seconds"]), (&json!(0), &json!(0)));
    assert!(call["ended_at"].is_string());
    assert!(api.switchboard.script(|script| script.slot_log.is_empty()));
}

#[tokio::test]
async fn what_was_not_measured_is_not_made_up() {
    let api = Api::start().await;
    let trunk = api.trunk(json!({"cost_per_minute": 0.06})).await;
    let hour_ago = "2026-01-31T11:00:00Z";
    let log = async |call_id: &str, status: &str, started_at: &str| {
        let body = call_body(&trunk, json!({"call_id": call_id, "status": status, "started_at": started_at}));
        let call = api.post("/calls", body).await.expect(201);
        assert_eq!(api.get(&format!("/calls/{call_id}")).await.expect(200), call);
        call
    };
    let measured = |call: &Value| {
        ["was_answered", "answered_at", "duration_ms", "duration_seconds", "cost"].map(|name| call[name].clone())
    };

    let completed = log("completed", "completed", hour_ago).await;
    assert_eq!(measured(&completed), [json!(true), json!(null), json!(null), json!(null), json!(null)]);
    assert_eq!((&completed["is_completed"], completed["ended_at"].is_string()), (&json!(true), true));
    let told = api.put("/calls/completed", json!({"duration_seconds": 30})).await.expect(200);
    assert_eq!(measured(&told), [json!(true), json!(null), json!(30_000), json!(30), json!(0.03)]);

    log("answered", "answered", hour_ago).await;
    let noted = api.put("/calls/answered", json!({"metadata": {"a": 1}})).await.expect(200);
    assert_eq!(measured(&noted), [json!(true), json!(null), json!(null), json!(null), json!(null)]);
    let ended = api.put("/calls/answered", json!({"ended_at": "2026-01-31T12:00:00Z"})).await.expect(200);
    assert_eq!(ended["status"], "completed");
    assert_eq!(measured(&ended), [json!(true), json!(null), json!(null), json!(null), json!(null)]);
    let told = api.put("/calls/answered", json!({"answered_at": "2026-01-31T11:59:00Z"})).await.expect(200);
    assert_eq!((&told["duration_seconds"], &told["cost"]), (&json!(60), &json!(0.06)));

    let heard = log("heard", "answered", "2026-01-31T11:59:50Z").await;
    assert_eq!(heard["answered_at"], "2026-01-31T12:00:00.000000Z");
    for status in ["busy", "no_answer", "failed", "canceled"] {
        let call = log(status, status, hour_ago).await;
        assert_eq!(measured(&call), [json!(false), json!(null), json!(0), json!(0), json!(0)], "{status}");
    }
}

#[tokio::test]
async fn a_change_waits_a_moment_for_the_call_to_be_stored() {
    let api = Api::start().await;
    let placed =
        api.post("/calls/dial", json!({"to_number": "+12025550100", "connect": {"type": "echo"}})).await.expect(201);
    let path = format!("/calls/{}", placed["id"].as_str().unwrap());
    let stored = async {
        while api.switchboard.script(|script| script.inspections) == 0 {
            tokio::task::yield_now().await;
        }
        api.store.write_records(&[Record::Call(Box::new(live_call(&last_order(&api)).record))]).await.unwrap();
    };
    let (changed, ()) = tokio::join!(api.put(&path, json!({"metadata": {"a": 1}})), stored);
    assert_eq!(changed.expect(200)["metadata"], json!({"a": 1}));
}

#[tokio::test]
async fn an_account_has_so_many_open_calls_at_most() {
    let api = Api::start().await;
    let trunk = api.trunk(json!({})).await;
    let first: CallId = api.call(&trunk, "first").await.parse().unwrap();
    let logged = api.store.call(api.mine.account.id, &CallKey::Id(first)).await.unwrap().unwrap();
    let mut more = Vec::new();
    let id_of = |number: u16| {
        let [high, low] = number.to_be_bytes();
        CallId::new(at(0), [0, 0, 0, 0, 0, 0, 0, 0, high, low])
    };
    for number in 1..10_000_u16 {
        let call = CallRecord { id: id_of(number), call_id: format!("n{number}"), ..logged.clone() };
        more.push(Record::Call(Box::new(call)));
    }
    api.store.write_records(&more).await.unwrap();
    // What was open before the node began counts, so the count begins anew.
    let api = api.restarted();
    let slots = |api: &Api| api.switchboard.script(|script| script.slot_log.len());
    let before = slots(&api);
    let one_more = || call_body(&trunk, json!({"call_id": "one more"}));
    api.post("/calls", one_more()).await.expect_problem(429, "external_call_limit");
    assert_eq!(slots(&api), before, "a refused call takes no slot");
    // One that is over needs no place.
    api.post("/calls", call_body(&trunk, json!({"call_id": "over", "status": "busy"}))).await.expect(201);
    let key = Some(api.other.key.as_str());
    let theirs = api.send(axum::http::Method::POST, "/trunks", Some(trunk_body(json!({}))), key).await.expect(201);
    let body = call_body(theirs["id"].as_str().unwrap(), json!({}));
    api.send(axum::http::Method::POST, "/calls", Some(body), key).await.expect(201);
    api.put(&format!("/calls/{}", id_of(7)), json!({"status": "completed"})).await.expect(200);
    api.post("/calls", one_more()).await.expect(201);
}

#[tokio::test]
async fn every_field_of_a_change_has_its_bounds() {
    let api = Api::start().await;
    let trunk = api.trunk(json!({})).await;
    let text = |length: usize| Value::from("a".repeat(length));
    for (field, right, wrong) in [
        (
            "answered_at",
            vec![json!("2026-01-31T12:00:01Z"), json!(null)],
            vec![json!("x"), json!(5), json!("2026-01-31T11:00:00Z")],
        ),
        ("ended_at", vec![json!("2026-01-31T12:00:05.25+00:00")], vec![json!("x"), json!("2026-01-31T11:00:00Z")]),
        ("status", vec![json!("ringing"), json!("hangup")], vec![json!("x"), json!(1)]),
        ("hangup_cause", vec![text(50), json!(null)], vec![text(51), json!(16)]),
        ("quality_score", vec![json!(1), json!(4.37), json!(5)], vec![json!(0.99), json!(5.01), json!("4")]),
        ("codec_used", vec![text(20)], vec![text(21)]),
        ("duration_seconds", vec![json!(0), json!(12), json!(12.5)], vec![json!(-1), json!("12")]),
        ("cost", vec![json!(0), json!(0.123456), json!("0.5")], vec![json!(-0.1), json!("x")]),
        ("credits_used", vec![json!(0), json!(3)], vec![json!(-1)]),
        ("metadata", vec![json!({"k": "v"}), metadata(16_384)], vec![json!([]), metadata(16_385)]),
    ] {
        for (place, value) in right.into_iter().enumerate() {
            let call_id = format!("{field}{place}");
            api.call(&trunk, &call_id).await;
            let call = api.put(&format!("/calls/{call_id}"), json!({field: value})).await.expect(200);
            if matches!(field, "hangup_cause" | "codec_used" | "metadata") {
                assert_eq!(call[field], value);
            } else if matches!(field, "quality_score" | "credits_used") {
                assert_eq!(call[field].as_f64(), value.as_f64());
            }
        }
        let call_id = format!("{field}-wrong");
        api.call(&trunk, &call_id).await;
        for value in wrong {
            api.put(&format!("/calls/{call_id}"), json!({field: value})).await.expect_wrong_field(field);
        }
    }
    api.put("/calls/nobody", json!({})).await.expect_problem(404, "not_found");
}

#[tokio::test]
async fn amounts_are_exact() {
    let api = Api::start().await;
    let trunk = api.trunk(json!({"cost_per_minute": 0.000001})).await;
    api.call(&trunk, "CA1").await;
    let call = api.put("/calls/CA1", json!({"cost": 0.123456, "credits_used": 999_999.999_999_f64})).await.expect(200);
    assert_eq!(
        (call["cost"].to_string(), call["credits_used"].to_string()),
        ("0.123456".into(), "999999.999999".into())
    );
    assert_eq!(api.get(&format!("/trunks/{trunk}")).await.expect(200)["cost_per_minute"].as_f64(), Some(0.000_001));
}

#[tokio::test]
async fn lists_newest_first_and_by_trunk() {
    let api = Api::start().await;
    let (first, second) = (api.trunk(json!({"name": "1"})).await, api.trunk(json!({"name": "2"})).await);
    for (call_id, trunk, minute) in [("a", &first, 1), ("c", &second, 3), ("b", &first, 2)] {
        let started_at = format!("2026-01-31T12:0{minute}:00Z");
        api.post("/calls", call_body(trunk, json!({"call_id": call_id, "started_at": started_at}))).await.expect(201);
    }
    let ids = |body: Value| {
        body.as_array().unwrap().iter().map(|call| call["call_id"].as_str().unwrap().to_owned()).collect::<String>()
    };
    assert_eq!(ids(api.get("/calls").await.expect(200)), "cba");
    assert_eq!(ids(api.get(&format!("/calls?trunk_id={first}")).await.expect(200)), "ba");
    assert_eq!(ids(api.get("/calls?skip=1&limit=1").await.expect(200)), "b");
    assert_eq!(ids(api.get("/calls?trunk_id=018f0000-0000-7000-8000-000000000000").await.expect(200)), "");
    for (query, field) in
        [("limit=0", "limit"), ("limit=1001", "limit"), ("skip=x", "skip"), ("trunk_id=x", "trunk_id")]
    {
        api.get(&format!("/calls?{query}")).await.expect_wrong_field(field);
    }
}

#[tokio::test]
async fn a_call_that_was_taken_up_shows_what_came_before_too() {
    let api = Api::start().await;
    let placed =
        api.post("/calls/dial", json!({"to_number": "+12025550100", "connect": {"type": "echo"}})).await.expect(201);
    let id = placed["id"].as_str().unwrap();
    let live = live_call(&last_order(&api));
    let first = live.events[0].clone();
    let later = CallEvent { number: 2, kind: EventKind::Ended, ..first.clone() };
    let records = [Record::Call(Box::new(live.record.clone())), Record::Event(first), Record::Event(later.clone())];
    api.store.write_records(&records).await.unwrap();

    api.switchboard.script(|script| script.live.get_mut(&live.record.id).unwrap().events = vec![later]);
    let timeline = api.get(&format!("/calls/{id}/timeline")).await.expect(200);
    let numbers: Vec<_> = timeline.as_array().unwrap().iter().map(|event| event["number"].as_u64()).collect();
    assert_eq!(numbers, [Some(1), Some(2)]);
}

#[tokio::test]
async fn a_live_call_is_asked_before_the_store() {
    let api = Api::start().await;
    let placed =
        api.post("/calls/dial", json!({"to_number": "+12025550100", "connect": {"type": "echo"}})).await.expect(201);
    let id = placed["id"].as_str().unwrap();
    assert_eq!(api.get(&format!("/calls/{id}")).await.expect(200), placed);
    let timeline = api.get(&format!("/calls/{id}/timeline")).await.expect(200);
    assert_eq!((&timeline[0]["kind"], &timeline[0]["number"]), (&json!("initiated"), &json!(1)));
    let legs = api.get(&format!("/calls/{id}/legs")).await.expect(200);
    assert_eq!((&legs[0]["status"], &legs[0]["remote_address"]), (&json!("trying"), &json!("127.0.0.2:5060")));
    let route = api.get(&format!("/calls/{id}/route")).await.expect(200);
    assert_eq!((&route["to"], &route["user_id"]), (&json!("+12025550100"), &json!(api.mine.account.id.to_string())));
    // It is not stored yet, so what is the client's cannot be changed yet.
    let early = api.put(&format!("/calls/{id}"), json!({"quality_score": 4})).await;
    assert_eq!(early.headers["retry-after"], "1");
    early.expect_problem(503, "call_not_stored_yet");

    let live = live_call(&last_order(&api));
    let records = [
        Record::Call(Box::new(live.record)),
        Record::Leg(Box::new(live.legs[0].clone())),
        Record::Event(live.events[0].clone()),
    ];
    api.store.write_records(&records).await.unwrap();
    api.switchboard.script(|script| script.live.clear());
    assert_eq!(api.get(&format!("/calls/{id}")).await.expect(200), placed);
    assert_eq!(api.get(&format!("/calls/{id}/timeline")).await.expect(200), timeline);
    assert_eq!(api.get(&format!("/calls/{id}/legs")).await.expect(200), legs);
    assert_eq!(api.get(&format!("/calls/{id}/route")).await.expect(200), route);
}

#[tokio::test]
async fn of_a_call_that_the_switch_carries_only_the_clients_fields_change() {
    let api = Api::start().await;
    let id = stored_call(&api).await;
    let path = format!("/calls/{id}");
    let changed =
        api.put(&path, json!({"metadata": {"a": 1}, "quality_score": 4.5, "credits_used": 2.25})).await.expect(200);
    assert_eq!(
        (&changed["quality_score"], &changed["credits_used"], &changed["metadata"]),
        (&json!(4.5), &json!(2.25), &json!({"a": 1}))
    );
    for (field, value) in [
        ("status", json!("completed")),
        ("ended_at", json!("2026-01-31T12:00:01Z")),
        ("answered_at", json!("2026-01-31T12:00:01Z")),
        ("hangup_cause", json!("x")),
        ("codec_used", json!("x")),
        ("duration_seconds", json!(1)),
        ("cost", json!(1)),
    ] {
        api.put(&path, json!({field: value, "quality_score": 1})).await.expect_wrong_field(field);
    }
    assert_eq!(api.get(&path).await.expect(200)["quality_score"], 4.5, "a refused change changes nothing");
    assert!(api.switchboard.script(|script| script.slot_log.is_empty()));
}

#[tokio::test]
async fn a_silent_call_path_is_told_unless_the_call_is_over() {
    let api = Api::start().await;
    let trunk = api.trunk(json!({})).await;
    let external = api.call(&trunk, "CA1").await;
    let live = stored_call(&api).await;
    api.switchboard.script(|script| script.silent = true);
    api.get(&format!("/calls/{live}")).await.expect_problem(503, "call_path_unavailable");
    api.get(&format!("/calls/{external}")).await.expect(200);
    api.get("/calls/CA1").await.expect(200);
    api.get("/calls/018f0000-0000-7000-8000-000000000000").await.expect_problem(503, "call_path_unavailable");
    api.get("/calls/nobody").await.expect_problem(404, "not_found");
}

#[tokio::test]
async fn an_external_call_was_not_routed_here() {
    let api = Api::start().await;
    let trunk = api.trunk(json!({})).await;
    let id = api.call(&trunk, "CA 1/2").await;
    assert_eq!(api.get("/calls/CA%201%2F2").await.expect(200)["id"], json!(id));
    api.get(&format!("/calls/{id}/route")).await.expect_problem(404, "no_receipt");
    assert_eq!(api.get(&format!("/calls/{id}/legs")).await.expect(200), json!([]));
    assert_eq!(api.get(&format!("/calls/{id}/timeline")).await.expect(200), json!([]));
}

fn last_order(api: &Api) -> DialOrder {
    api.switchboard.script(|script| script.orders.last().unwrap().clone())
}

/// A call of the switch that is in the store and not live; gives its id.
async fn stored_call(api: &Api) -> CallId {
    api.post("/calls/dial", json!({"to_number": "+12025550100", "connect": {"type": "echo"}})).await.expect(201);
    let record = live_call(&last_order(api)).record;
    let id = record.id;
    api.store.write_records(&[Record::Call(Box::new(record))]).await.unwrap();
    api.switchboard.script(|script| script.live.clear());
    id
}

#[tokio::test]
async fn a_live_call_shows_what_the_client_has_set() {
    let api = Api::start().await;
    let placed =
        api.post("/calls/dial", json!({"to_number": "+12025550100", "connect": {"type": "echo"}})).await.expect(201);
    let path = format!("/calls/{}", placed["id"].as_str().unwrap());
    api.store.write_records(&[Record::Call(Box::new(live_call(&last_order(&api)).record))]).await.unwrap();
    api.put(&path, json!({"metadata": {"a": 1}, "quality_score": 3.5})).await.expect(200);
    let shown = api.get(&path).await.expect(200);
    assert_eq!((&shown["metadata"], &shown["quality_score"]), (&json!({"a": 1}), &json!(3.5)));
}

#[tokio::test]
async fn times_and_costs_of_logged_calls_have_bounds() {
    let api = Api::start().await;
    let trunk = api.trunk(json!({"cost_per_minute": 1_000_000})).await;
    let ahead = call_body(&trunk, json!({"started_at": "2026-02-01T12:00:01Z"}));
    api.post("/calls", ahead).await.expect_wrong_field("started_at");
    let began = json!({"call_id": "CA1", "started_at": "2026-02-01T11:59:59Z"});
    api.post("/calls", call_body(&trunk, began)).await.expect(201);
    api.call(&trunk, "CA2").await;
    for (change, field) in [
        (json!({"ended_at": "2043-01-01T00:00:00Z"}), "ended_at"),
        (json!({"answered_at": "2043-01-01T00:00:00Z"}), "answered_at"),
        (json!({"status": "completed", "duration_seconds": 316_224_001}), "duration_seconds"),
        (json!({"status": "completed", "duration_seconds": 660}), "cost"),
        (json!({"cost": 1_000_001}), "cost"),
    ] {
        api.put("/calls/CA2", change).await.expect_wrong_field(field);
    }
    let ended = api.put("/calls/CA2", json!({"status": "completed", "duration_seconds": 600})).await.expect(200);
    assert_eq!(ended["cost"], 10_000_000);
    let old = json!({"call_id": "CA3", "started_at": "1990-01-01T00:00:00Z"});
    api.post("/calls", call_body(&trunk, old)).await.expect(201);
    let times = json!({"answered_at": "1990-01-01T00:00:00Z", "ended_at": "2026-01-01T00:00:00Z"});
    api.put("/calls/CA3", times).await.expect_wrong_field("ended_at");
    for price in ["cost_per_minute", "monthly_cost"] {
        for wrong in [json!(1_000_001), json!(1e300), json!(-1)] {
            api.put(&format!("/trunks/{trunk}"), json!({price: wrong})).await.expect_wrong_field(price);
        }
    }
}
