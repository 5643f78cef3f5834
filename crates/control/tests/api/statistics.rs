use crate::harness::{Api, call_body};
use axum::body::Body;
use axum::http::{Request, header};
use serde_json::{Value, json};
use std::time::Duration;
use tandem_model::{HealthReason, HealthReport, HealthSpan, HealthStatus, TrunkHealth, TrunkState};

/// Logs a call and changes it.
async fn logged(api: &Api, trunk: &str, id: &str, begin: Value, end: Value) {
    let mut body = call_body(trunk, json!({"call_id": id}));
    body.as_object_mut().unwrap().extend(begin.as_object().unwrap().clone());
    api.post("/calls", body).await.expect(201);
    if end != json!({}) {
        api.put(&format!("/calls/{id}"), end).await.expect(200);
    }
}

/// One call of each kind over a trunk, and one the day before.
async fn some_calls(api: &Api, trunk: &str) {
    let completed = json!({"status": "completed", "duration_seconds": 90, "cost": 0.25, "quality_score": 4});
    logged(api, trunk, "talked", json!({"started_at": "2026-01-31T11:10:00Z"}), completed).await;
    let busy = json!({"status": "busy", "hangup_cause": "user_busy"});
    logged(api, trunk, "busy", json!({"started_at": "2026-01-31T11:20:00Z", "to_number": "+442079460000"}), busy).await;
    let refused = json!({"status": "failed", "hangup_cause": "temporary_failure"});
    logged(api, trunk, "failed", json!({"started_at": "2026-01-31T10:20:00Z"}), refused).await;
    logged(api, trunk, "rings", json!({"started_at": "2026-01-31T11:59:00Z"}), json!({})).await;
    let earlier = json!({"status": "completed", "duration_seconds": 30, "cost": 0.05});
    logged(api, trunk, "earlier", json!({"started_at": "2026-01-30T11:00:00Z"}), earlier).await;
}

#[tokio::test]
async fn a_trunks_figures_are_measured_or_null() {
    let api = Api::start().await;
    let trunk = api.trunk(json!({"monthly_cost": 31})).await;
    let fresh = api.get(&format!("/trunks/{trunk}/stats")).await.expect(200);
    for unknown in
        ["uptime_percent", "asr_percent", "ner_percent", "acd_seconds", "pdd_ms", "mos", "quality_score_average"]
    {
        assert_eq!(fresh[unknown], Value::Null, "{unknown}");
    }
    assert_eq!(
        (&fresh["total_calls"], &fresh["last_24h_duration_minutes"], &fresh["total_cost"]),
        (&json!(0), &json!(0.0), &json!(0))
    );

    some_calls(&api, &trunk).await;
    let id = trunk.parse().unwrap();
    // And the one that was logged and rings.
    let state = TrunkState { active_calls: 2, ..TrunkState::default() };
    api.switchboard.script(|script| script.states.insert(id, state));
    let span = |began, until, status| HealthSpan {
        began_at: crate::harness::at(began),
        until: crate::harness::at(until),
        status,
        reason: HealthReason::Answers,
        latency_us: None,
        loss_basis_points: None,
    };
    let spans = vec![span(-400, -100, HealthStatus::Healthy), span(-100, 0, HealthStatus::Unhealthy)];
    let health = TrunkHealth { status: HealthStatus::Unhealthy, ..TrunkHealth::UNKNOWN };
    let report = HealthReport { trunk_id: id, account_id: api.mine.account.id, health, spans };
    api.store.record_health(&[report]).await.unwrap();
    // Half a day of a month of 31.
    api.clock.advance(12 * 3_600);
    let told = api.get(&format!("/trunks/{trunk}/stats")).await.expect(200);
    let expected = json!({
        "trunk_id": trunk, "trunk_name": "main", "from": "2026-01-02T00:00:00.000000Z", "to": "2026-02-01T00:00:00.000000Z",
        "total_calls": 5, "answered_calls": 2, "failed_calls": 2, "active_calls": 3, "utilization_percent": 30.0,
        "health_status": "unhealthy", "last_24h_calls": 4, "last_24h_duration_minutes": 1.5, "last_24h_cost": 0.25,
        "uptime_percent": 75.0, "asr_percent": 50.0, "ner_percent": 75.0, "acd_seconds": 60.0, "pdd_ms": null, "mos": null,
        "quality_score_average": 4.0, "total_duration_minutes": 2.0, "call_cost": 0.3, "monthly_cost": 0.5, "total_cost": 0.8,
        "currency": "USD",
    });
    assert_eq!(told, expected);

    let only = format!("/trunks/{trunk}/stats?start_date=2026-01-31T11:00:00Z&end_date=2026-01-31T12:00:00%2B00:00");
    let told = api.get(&only).await.expect(200);
    assert_eq!((&told["total_calls"], &told["from"]), (&json!(3), &json!("2026-01-31T11:00:00.000000Z")));
    assert_eq!(told["monthly_cost"], 0, "it was not there yet");
    let _ = api.get(&format!("/trunks/{trunk}/stats?start_date=yesterday")).await.expect_wrong_field("start_date");
    let backwards = format!("/trunks/{trunk}/stats?start_date=2026-02-01&end_date=2026-01-01");
    let _ = api.get(&backwards).await.expect_wrong_field("start_date");
    let eternal = format!("/trunks/{trunk}/stats?start_date=2000-01-01");
    let _ = api.get(&eternal).await.expect_wrong_field("start_date");
    api.get("/trunks/018f0000-0000-7000-8000-000000000000/stats").await.expect_problem(404, "not_found");
    api.get("/trunks/nonsense/stats").await.expect_problem(404, "not_found");
}

#[tokio::test]
async fn the_dashboard_shows_the_account() {
    let api = Api::start().await;
    let empty = api.get("/dashboard").await.expect(200);
    assert_eq!((&empty["total_trunks"], &empty["overall_utilization_percent"]), (&json!(0), &json!(0.0)));
    assert_eq!(empty["call_stats"]["answer_rate_percent"], Value::Null);
    assert_eq!(empty["call_stats"]["quality_score_average"], Value::Null);

    let trunk = api.trunk(json!({"monthly_cost": 31})).await;
    let spare = api.trunk(json!({"name": "spare", "max_concurrent_calls": 30, "priority": 2})).await;
    some_calls(&api, &trunk).await;
    api.switchboard.script(|script| {
        let state = TrunkState { active_calls: 3, ..TrunkState::default() };
        script.states.insert(trunk.parse().unwrap(), state);
    });
    api.clock.advance(12 * 3_600);
    let told = api.get("/dashboard").await.expect(200);
    assert_eq!(told["total_trunks"], 2);
    assert_eq!((&told["total_active_calls"], &told["total_capacity"]), (&json!(4), &json!(40)));
    assert_eq!(told["overall_utilization_percent"], 10.0);
    let names: Vec<_> = told["trunk_stats"].as_array().unwrap().iter().map(|trunk| &trunk["trunk_name"]).collect();
    assert_eq!(names, ["main", "spare"]);
    assert_eq!(told["trunk_stats"][0], api.get(&format!("/trunks/{trunk}/stats")).await.expect(200));
    assert_eq!(told["trunk_stats"][1], api.get(&format!("/trunks/{spare}/stats")).await.expect(200));
    assert_eq!(told["recent_calls"], api.get("/calls?limit=10").await.expect(200));
    let expected = json!({
        "from": "2026-01-02T00:00:00.000000Z", "to": "2026-02-01T00:00:00.000000Z", "total_calls": 5, "answered_calls": 2,
        "failed_calls": 2, "total_duration_minutes": 2.0, "total_cost": 0.8, "call_cost": 0.3, "monthly_cost": 0.5,
        "average_duration_seconds": 60.0, "answer_rate_percent": 50.0, "quality_score_average": 4.0, "currency": "USD",
    });
    assert_eq!(told["call_stats"], expected);

    // What a trunk has cost it has cost, also when it is gone.
    api.put("/calls/rings", json!({"status": "canceled"})).await.expect(200);
    api.switchboard.script(|script| script.states.clear());
    api.delete(&format!("/trunks/{trunk}")).await.expect(204);
    api.clock.advance(86_400);
    let told = api.get("/dashboard").await.expect(200);
    assert_eq!((&told["total_trunks"], &told["call_stats"]["monthly_cost"]), (&json!(1), &json!(0.5)));
    assert_eq!(told["call_stats"]["total_calls"], 5);
}

#[tokio::test]
async fn analytics_tell_apart_what_is_asked_for() {
    let api = Api::start().await;
    let trunk = api.trunk(json!({"monthly_cost": 31})).await;
    api.clock.advance(1);
    let spare = api.trunk(json!({"name": "a, \"b\""})).await;
    some_calls(&api, &trunk).await;
    logged(&api, &spare, "other", json!({"started_at": "2026-01-31T11:30:00Z", "direction": "inbound"}), json!({}))
        .await;
    let ask = async |query: &str| api.get(&format!("/analytics?{query}")).await.expect(200);
    let column = |told: &Value, column: &str| -> Vec<Value> {
        told["buckets"].as_array().unwrap().iter().map(|bucket| bucket[column].clone()).collect()
    };
    let range = "start_date=2026-01-30T10:00:00Z&end_date=2026-01-31T12:00:00Z";

    let hours = ask(&format!("{range}&group_by=hour")).await;
    assert_eq!(hours["totals"]["calls"], 6);
    assert_eq!(hours["buckets"].as_array().unwrap().len(), 26, "hours without a call as well");
    let calls = column(&hours, "calls");
    assert_eq!([&calls[0], &calls[1], &calls[24], &calls[25]], [&json!(0), &json!(1), &json!(1), &json!(4)]);
    assert_eq!(hours["buckets"][25]["began_at"], "2026-01-31T11:00:00.000000Z");

    let days = ask(range).await;
    assert_eq!(days["group_by"], json!(["day"]));
    assert_eq!(column(&days, "began_at"), ["2026-01-30T00:00:00.000000Z", "2026-01-31T00:00:00.000000Z"]);
    assert_eq!(column(&days, "calls"), [1, 5]);
    assert_eq!(column(&days, "call_cost"), [0.05, 0.25]);

    let trunks = ask(&format!("{range}&group_by=trunk")).await;
    assert_eq!(
        (column(&trunks, "attempts"), column(&trunks, "trunk_name")),
        (vec![json!(5), json!(1)], vec![json!("main"), json!("a, \"b\"")])
    );
    assert_eq!(trunks["buckets"][0]["ner_percent"], 75.0);
    assert_eq!(trunks["buckets"][1]["asr_percent"], Value::Null);

    let causes = ask(&format!("{range}&group_by=cause")).await;
    assert_eq!(column(&causes, "cause"), ["normal_clearing", "temporary_failure", "user_busy"]);
    assert_eq!(column(&causes, "calls"), [2, 1, 1]);
    assert_eq!(causes["buckets"][0]["monthly_cost"], Value::Null);
    let prefixes = ask(&format!("{range}&group_by=prefix")).await;
    assert_eq!(
        (column(&prefixes, "prefix"), column(&prefixes, "calls")),
        (vec![json!("1202"), json!("4420")], vec![json!(5), json!(1)])
    );

    let two = ask(&format!("{range}&group_by=day,prefix&trunk_id={trunk}&prefix=%2B44")).await;
    assert_eq!((column(&two, "prefix"), column(&two, "attempts")), (vec![json!("4420")], vec![json!(1)]));
    assert_eq!(two["totals"]["attempts"], 1);
    let inbound = ask(&format!("{range}&direction=inbound")).await;
    assert_eq!((&inbound["totals"]["calls"], &inbound["totals"]["monthly_cost"]), (&json!(1), &Value::Null));
    assert_eq!(ask(&format!("{range}&cause=user_busy&group_by=trunk")).await["totals"]["attempts"], 1);

    for (query, field) in [
        ("group_by=hour,day", "group_by"),
        ("group_by=hour,trunk,cause", "group_by"),
        ("group_by=week", "group_by"),
        ("group_by=prefix,cause", "group_by"),
        ("group_by=hour&start_date=2025-01-01", "group_by"),
        ("direction=bidirectional", "direction"),
        ("prefix=x", "prefix"),
        ("cause=bad_luck", "cause"),
        ("trunk_id=1", "trunk_id"),
        ("format=xml", "format"),
        ("end_date=soon", "end_date"),
    ] {
        let _ = api.get(&format!("/analytics?{query}")).await.expect_wrong_field(field);
    }
}

#[tokio::test]
async fn months_of_days_add_up_to_the_price_of_the_month() {
    let api = Api::start().await;
    let trunk = api.trunk(json!({"monthly_cost": 10.000_001})).await;
    api.clock.advance(Duration::from_secs(31 * 86_400 + 12 * 3_600).as_secs().cast_signed());
    let february = "start_date=2026-02-01&end_date=2026-03-01";
    let days = api.get(&format!("/analytics?{february}")).await.expect(200);
    let micros = |cost: &Value| (cost.as_f64().unwrap() * 1e6).round();
    let days: Vec<f64> = days["buckets"].as_array().unwrap().iter().map(|day| micros(&day["monthly_cost"])).collect();
    assert_eq!((days.len(), days.iter().sum::<f64>()), (28, 10_000_001.0));
    let stats = api.get(&format!("/trunks/{trunk}/stats?{february}")).await.expect(200);
    assert_eq!((&stats["monthly_cost"], &stats["total_cost"]), (&json!(10.000_001), &json!(10.000_001)));
    // A new price is of the time from now on.
    api.put(&format!("/trunks/{trunk}"), json!({"monthly_cost": 99})).await.expect(200);
    let after = api.get(&format!("/trunks/{trunk}/stats?{february}")).await.expect(200);
    assert_eq!(after["monthly_cost"], 10.000_001);
}

#[tokio::test]
async fn analytics_come_as_csv_and_as_lines_of_json() {
    let api = Api::start().await;
    let trunk = api.trunk(json!({"name": "a, \"b\""})).await;
    some_calls(&api, &trunk).await;
    let reply = api.get("/analytics?group_by=trunk&format=csv").await;
    assert_eq!(reply.headers[header::CONTENT_TYPE], "text/csv; charset=utf-8");
    let text = reply.expect(200).as_str().unwrap().to_owned();
    let lines: Vec<&str> = text.split("\r\n").collect();
    assert!(lines[0].starts_with("began_at,trunk_id,trunk_name,") && lines[2].is_empty(), "{text}");
    assert_eq!(lines[1], format!(",{trunk},\"a, \"\"b\"\"\",,,5,2,2,5,2,2,50,75,60,,,4,2,0,0.3,0,0.3"));
    assert_eq!(lines[0].split(',').count(), 22);

    let key = format!("Bearer {}", api.mine.key);
    let path = crate::harness::full("/analytics?group_by=cause");
    let request = Request::get(path).header(header::AUTHORIZATION, key).header(header::ACCEPT, "application/x-ndjson");
    let (status, kind, text) = api.text_of(request.body(Body::empty()).unwrap()).await;
    assert_eq!((status.as_u16(), kind.as_str()), (200, "application/x-ndjson"));
    let causes: Vec<String> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["cause"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(causes, ["normal_clearing", "temporary_failure", "user_busy"]);
}
