use crate::harness::{Api, at, trunk_body};
use axum::http::Method;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tandem_model::{
    BreakerState, HealthReason, HealthReport, HealthSpan, HealthStatus, MeasuredHealth, Reason, Tier, TrunkHealth,
    TrunkId, TrunkState,
};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

#[tokio::test]
async fn a_new_trunk_has_the_defaults_and_every_field_of_the_contract() {
    let api = Api::start().await;
    let reply = api.post("/trunks", trunk_body(json!({"advanced_config": {"options_interval": 0}}))).await;
    let trunk = reply.expect(201);
    let expected = json!({
        "user_id": api.mine.account.id.to_string(), "name": "main", "description": null, "provider": "custom", "status": "active",
        "sip_domain": "127.0.0.2", "sip_username": "tandem", "sip_port": 5060, "sip_proxy": null, "auth_username": null,
        "call_direction": "bidirectional", "max_concurrent_calls": 10, "current_active_calls": 0, "last_health_check": null,
        "health_status": "unknown", "latency_ms": null, "packet_loss_percent": null, "cost_per_minute": 0.01, "monthly_cost": 0,
        "encryption_enabled": true, "priority": 1, "created_at": "2026-01-31T12:00:00.000000Z",
        "updated_at": "2026-01-31T12:00:00.000000Z", "utilization_percent": 0.0, "is_active": false, "can_handle_call": false,
        "inbound_routing": {}, "outbound_routing": {}, "codec_preferences": [], "dtmf_mode": "rfc2833", "allowed_ips": [],
        "failover_trunk_id": null, "custom_headers": {}, "advanced_config": {"options_interval": 0},
        "effective_transport": "udp", "effective_srtp": "off", "routable": true, "unroutable_reason": null,
        "auth_failed": false, "resting_until": null, "warnings": [], "currency": "USD",
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(trunk.get(name), Some(value), "{name}");
    }
    let id = trunk["id"].as_str().unwrap();
    assert_eq!(api.get(&format!("/trunks/{id}")).await.expect(200), trunk);
    assert_eq!(api.switchboard.script(|script| script.routing_changes), 1);
}

#[tokio::test]
async fn every_field_is_kept_as_it_was_sent_but_the_passwords() {
    let api = Api::start().await;
    let backup = api.trunk(json!({"name": "backup"})).await;
    let sent = json!({
        "name": "all", "provider": "telnyx", "description": "all of it", "sip_domain": "sip.example.com", "sip_port": 5080,
        "sip_proxy": "sip:edge.example.com:5070;lr", "sip_username": "acct-1", "sip_password": "pw-one", "auth_username": "digest@realm",
        "auth_password": "pw-two", "call_direction": "outbound", "max_concurrent_calls": 1000,
        "inbound_routing": {"rules": [], "x": 1}, "outbound_routing": {"prefixes": ["+1", "911"], "strip": 2, "prepend": "00",
            "caller_id": "+12025550199", "headers": {"X-A": "b"}, "failover_on": [404, 480], "weight": 5, "max_cps": 7, "progress_timeout": 6.5},
        "codec_preferences": ["PCMA", "PCMU"], "dtmf_mode": "auto", "cost_per_minute": 0.0042, "monthly_cost": 12.5,
        "allowed_ips": ["192.0.2.1", "198.51.100.0/24", "2001:db8::/32"], "encryption_enabled": false, "failover_trunk_id": backup,
        "custom_headers": {"X-Tenant": "7"}, "advanced_config": {"comedia": true, "mine": {"a": [1]}, "billing_increment": 6}, "priority": 100,
    });
    let reply = api.post("/trunks", sent.clone()).await.expect(201);
    for (name, value) in sent.as_object().unwrap() {
        if name.ends_with("_password") {
            assert_eq!(reply.get(name), None);
        } else {
            assert_eq!(reply.get(name), Some(value), "{name}");
        }
    }
    assert!(!reply.to_string().contains("pw-"), "no password in an answer");
    let id: TrunkId = reply["id"].as_str().unwrap().parse().unwrap();
    let stored = api.store.trunk(api.mine.account.id, id).await.unwrap().unwrap();
    assert_eq!((stored.sip_password.expose(), stored.auth_password.unwrap().expose()), ("pw-one", "pw-two"));
    assert_eq!((stored.outbound.strip, stored.outbound.progress_timeout), (2, Duration::from_millis(6_500)));
    assert_eq!(stored.outbound.failover_on, [404, 480]);
}

/// Fields, a value that is right, and values that are wrong.
fn bounds() -> Vec<(&'static str, Vec<Value>, Vec<Value>)> {
    let text = |length: usize| Value::from("a".repeat(length));
    vec![
        (
            "name",
            vec![text(1), text(100), json!("Kölner Büro")],
            vec![text(0), text(101), json!(" "), json!(5), json!("a\nb")],
        ),
        ("provider", vec![json!("twilio"), json!("vonage")], vec![json!("acme"), json!(1)]),
        ("description", vec![text(1_000), json!(null), json!("")], vec![text(1_001), json!([])]),
        (
            "sip_domain",
            vec![json!("sip.example.com"), json!("8.8.8.8"), json!("[2606:4700::1]")],
            vec![json!(""), json!("a b"), json!("sip:x.com"), json!("x.com:5060"), text(256)],
        ),
        (
            "sip_username",
            vec![text(1), text(100), json!("user@domain"), json!("acct#7"), json!("50% Büro 7")],
            vec![text(0), text(101), json!("a\r\nVia: x"), json!("a\u{7f}")],
        ),
        ("sip_password", vec![text(1), text(255), json!("ü \" \\")], vec![text(0), text(256)]),
        (
            "sip_port",
            vec![json!(1), json!(65_535), json!(5060.0)],
            vec![json!(0), json!(65_536), json!("5060"), json!(5060.5), json!(-1)],
        ),
        (
            "sip_proxy",
            vec![json!("edge.example.com:5060"), json!(""), json!(null)],
            vec![json!("http://x"), json!("a b"), json!("sips:edge.example.com"), text(256)],
        ),
        ("auth_username", vec![text(100), json!(null), json!("")], vec![text(101), json!("a\r\nb")]),
        ("auth_password", vec![text(255), json!(null)], vec![text(256)]),
        ("call_direction", vec![json!("inbound")], vec![json!("sideways")]),
        ("max_concurrent_calls", vec![json!(1), json!(1000)], vec![json!(0), json!(1001), json!(1.5)]),
        ("inbound_routing", vec![json!({"default": {"type": "echo"}}), json!(null)], vec![json!([]), json!("x")]),
        ("codec_preferences", vec![json!([]), json!(["opus", "PCMU", "what"])], vec![json!("PCMU"), json!([1])]),
        ("dtmf_mode", vec![json!("info"), json!("inband")], vec![json!("morse")]),
        (
            "cost_per_minute",
            vec![json!(0), json!(0.0042), json!("0.0100")],
            vec![json!(-0.01), json!("x"), json!(1e12)],
        ),
        ("monthly_cost", vec![json!(0), json!(1.5)], vec![json!(-1)]),
        (
            "allowed_ips",
            vec![json!(["192.0.2.1", "2001:db8::1", "10.0.0.0/8", "2600::/16"]), json!(null)],
            vec![
                json!(["host.example.com"]),
                json!(["192.0.2.1/33"]),
                json!("192.0.2.1"),
                json!(["192.0.2.1", "10.0.0.0/7"]),
                json!(["0.0.0.0/0"]),
                json!(["2600::/15"]),
                json!(["::/0"]),
                json!(["::ffff:0.0.0.0/96"]),
            ],
        ),
        ("encryption_enabled", vec![json!(false)], vec![json!("yes"), json!(1)]),
        ("failover_trunk_id", vec![json!(null)], vec![json!("x"), json!("018f0000-0000-7000-8000-000000000000")]),
        (
            "custom_headers",
            vec![json!({"X-A": "b"}), json!({})],
            vec![json!({"Via": "x"}), json!({"X-A": 1}), json!({"X-A": "a\r\nb"}), json!({"X A": "b"}), json!([])],
        ),
        ("priority", vec![json!(1), json!(100)], vec![json!(0), json!(101)]),
    ]
}

#[tokio::test]
async fn every_field_has_its_bounds_in_both_bodies() {
    let api = Api::start_with(Tier::Enterprise).await;
    for (field, right, wrong) in bounds() {
        for value in right {
            let created = api.post("/trunks", trunk_body(json!({field: value}))).await.expect(201);
            let path = format!("/trunks/{}", created["id"].as_str().unwrap());
            api.put(&path, json!({field: value})).await.expect(200);
            api.delete(&path).await.expect(204);
        }
        let id = api.trunk(json!({})).await;
        for value in wrong {
            api.post("/trunks", trunk_body(json!({"name": "new", field: value}))).await.expect_wrong_field(field);
            api.put(&format!("/trunks/{id}"), json!({field: value})).await.expect_wrong_field(field);
        }
        api.delete(&format!("/trunks/{id}")).await.expect(204);
    }
}

#[tokio::test]
async fn nested_settings_are_checked_too() {
    let api = Api::start().await;
    for (field, object, key) in [
        ("advanced_config", json!({"transport": "tls"}), "transport"),
        ("advanced_config", json!({"transport": "WSS"}), "transport"),
        ("advanced_config", json!({"transport": "carrier-pigeon"}), "transport"),
        ("advanced_config", json!({"srtp": "require"}), "srtp"),
        ("advanced_config", json!({"srtp": "maybe"}), "srtp"),
        ("advanced_config", json!({"inbound_auth": "digest"}), "inbound_auth"),
        ("advanced_config", json!({"inbound_auth": "both"}), "inbound_auth"),
        ("advanced_config", json!({"register": true}), "register"),
        ("advanced_config", json!({"register_expires": 5}), "register_expires"),
        ("advanced_config", json!({"options_interval": -1}), "options_interval"),
        ("advanced_config", json!({"comedia": "yes"}), "comedia"),
        ("advanced_config", json!({"session_expires": 89}), "session_expires"),
        ("advanced_config", json!({"billing_increment": 0}), "billing_increment"),
        ("advanced_config", json!({"billing_increment": 3601}), "billing_increment"),
        ("advanced_config", json!({"max_cps": 0}), "max_cps"),
        ("advanced_config", json!({"rtp_timeout": 3601}), "rtp_timeout"),
        ("advanced_config", json!({"api_key": "x"}), "api_key"),
        ("advanced_config", json!({"deep": {"client-secret": "x"}}), "deep.client-secret"),
        ("outbound_routing", json!({"prefixes": ["+1a"]}), "prefixes"),
        ("outbound_routing", json!({"prefixes": "+1"}), "prefixes"),
        ("outbound_routing", json!({"strip": 21}), "strip"),
        ("outbound_routing", json!({"prepend": "abc"}), "prepend"),
        ("outbound_routing", json!({"caller_id": "a b"}), "caller_id"),
        ("outbound_routing", json!({"headers": {"To": "x"}}), "headers"),
        ("outbound_routing", json!({"failover_on": [200]}), "failover_on"),
        ("outbound_routing", json!({"weight": 0}), "weight"),
        ("outbound_routing", json!({"max_cps": 1001}), "max_cps"),
        ("outbound_routing", json!({"progress_timeout": 0.5}), "progress_timeout"),
    ] {
        api.post("/trunks", trunk_body(json!({field: object}))).await.expect_wrong_field(&format!("{field}.{key}"));
    }
    for object in [
        json!({"transport": "UDP"}),
        json!({"srtp": "allow", "inbound_auth": "address", "register": false, "rtp_timeout": 0}),
    ] {
        let id = api.trunk(json!({"advanced_config": object})).await;
        api.delete(&format!("/trunks/{id}")).await.expect(204);
    }
}

#[tokio::test]
async fn tells_every_missing_field_at_once() {
    let api = Api::start().await;
    let body = api.post("/trunks", json!({"sip_port": 0})).await.expect_problem(422, "invalid_field");
    let mut fields: Vec<_> =
        body["errors"].as_array().unwrap().iter().map(|error| error["field"].as_str().unwrap()).collect();
    fields.sort_unstable();
    assert_eq!(fields, ["name", "provider", "sip_domain", "sip_password", "sip_port", "sip_username"]);
}

#[tokio::test]
async fn unknown_fields_are_passed_over_and_told() {
    let api = Api::start().await;
    let trunk = api
        .post("/trunks", trunk_body(json!({"colour": "red", "outbound_routing": {"prefix": ["+1"]}})))
        .await
        .expect(201);
    let warnings = trunk["warnings"].to_string();
    assert!(warnings.contains("colour") && warnings.contains("outbound_routing.prefix"), "{warnings}");
    let path = format!("/trunks/{}", trunk["id"].as_str().unwrap());
    assert_eq!(api.get(&path).await.expect(200)["warnings"], json!([]));
}

#[tokio::test]
async fn what_is_not_built_is_accepted_with_a_warning_when_it_only_follows() {
    let api = Api::start().await;
    let tls = api.post("/trunks", trunk_body(json!({"name": "tls", "sip_port": 5061}))).await.expect(201);
    assert_eq!(
        (&tls["effective_transport"], &tls["unroutable_reason"]),
        (&json!("tls"), &json!("transport_unsupported"))
    );
    assert_eq!(tls["routable"], false);
    assert!(tls["warnings"][0].as_str().unwrap().contains("5061"));
    let opus =
        api.post("/trunks", trunk_body(json!({"name": "opus", "codec_preferences": ["opus"]}))).await.expect(201);
    assert_eq!((&opus["routable"], &opus["unroutable_reason"]), (&json!(false), &json!("no_usable_codec")));
    let both = api
        .post("/trunks", trunk_body(json!({"name": "both", "codec_preferences": ["opus", "PCMU"]})))
        .await
        .expect(201);
    assert_eq!(both["routable"], true);
    assert_eq!(both["warnings"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn the_tier_limits_how_many_there_are() {
    let api = Api::start_with(Tier::Free).await;
    let first = api.trunk(json!({"name": "first"})).await;
    let problem =
        api.post("/trunks", trunk_body(json!({"name": "second"}))).await.expect_problem(400, "trunk_limit_reached");
    assert!(problem["detail"].as_str().unwrap().contains('1'));
    api.delete(&format!("/trunks/{first}")).await.expect(204);
    api.trunk(json!({"name": "second"})).await;
}

#[tokio::test]
async fn a_name_is_free_once_in_an_account() {
    let api = Api::start().await;
    let id = api.trunk(json!({"name": "a"})).await;
    let problem = api.post("/trunks", trunk_body(json!({"name": "a"}))).await.expect_problem(422, "name_taken");
    assert_eq!(problem["errors"][0]["field"], "name");
    assert!(problem["detail"].as_str().unwrap().contains("unique"), "{problem}");
    api.trunk(json!({"name": "b"})).await;
    api.put(&format!("/trunks/{id}"), json!({"name": "b"})).await.expect_problem(422, "name_taken");
    api.put(&format!("/trunks/{id}"), json!({"name": "a"})).await.expect(200);
    let other = Some(api.other.key.as_str());
    api.send(Method::POST, "/trunks", Some(trunk_body(json!({"name": "a"}))), other).await.expect(201);
}

#[tokio::test]
async fn a_change_touches_only_what_was_sent() {
    let api = Api::start().await;
    let id = api.trunk(json!({"description": "d", "auth_username": "au", "auth_password": "ap", "sip_proxy": "127.0.0.9",
        "advanced_config": {"comedia": true}, "custom_headers": {"X-A": "1"}, "codec_preferences": ["PCMA"], "cost_per_minute": 0.02})).await;
    let path = format!("/trunks/{id}");
    let before = api.get(&path).await.expect(200);
    api.clock.advance(60);
    let after = api.put(&path, json!({"status": "maintenance", "description": null, "auth_password": null, "sip_proxy": null, "custom_headers": null})).await.expect(200);
    for (name, value) in before.as_object().unwrap() {
        match name.as_str() {
            "status" => assert_eq!(after[name], "maintenance"),
            "description" | "sip_proxy" => assert_eq!(after[name], Value::Null),
            "custom_headers" => assert_eq!(after[name], json!({})),
            "updated_at" => assert_eq!(after[name], "2026-01-31T12:01:00.000000Z"),
            "routable" => assert_eq!(after[name], false),
            "unroutable_reason" => assert_eq!(after[name], "trunk_not_active"),
            "unroutable_explanation" => assert!(after[name].is_string()),
            // The first probe may come in between.
            "last_health_check"
            | "health_status"
            | "latency_ms"
            | "latency_us"
            | "packet_loss_percent"
            | "is_active"
            | "can_handle_call" => {}
            _ => assert_eq!(after[name], *value, "{name}"),
        }
    }
    let stored = api.store.trunk(api.mine.account.id, id.parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(stored.sip_password.expose(), "s3cr3t-sip");
    assert!(stored.auth_password.is_none());
    assert_eq!(stored.auth_username.as_deref(), Some("au"));
    for field in [
        "name",
        "provider",
        "status",
        "sip_domain",
        "sip_port",
        "sip_username",
        "sip_password",
        "max_concurrent_calls",
        "call_direction",
        "dtmf_mode",
        "cost_per_minute",
        "monthly_cost",
        "encryption_enabled",
        "priority",
    ] {
        api.put(&path, json!({field: null})).await.expect_wrong_field(field);
    }
    api.put("/trunks/018f0000-0000-7000-8000-000000000000", json!({})).await.expect_problem(404, "not_found");
    api.put("/trunks/nonsense", json!({})).await.expect_problem(404, "not_found");
}

#[tokio::test]
async fn changes_at_the_same_time_lose_nothing() {
    let api = Api::start().await;
    let path = format!("/trunks/{}", api.trunk(json!({})).await);
    let (a, b, c) = tokio::join!(
        api.put(&path, json!({"description": "d"})),
        api.put(&path, json!({"priority": 9})),
        api.put(&path, json!({"sip_port": 5099})),
    );
    assert!([a, b, c].iter().all(|reply| reply.status == 200));
    let trunk = api.get(&path).await.expect(200);
    assert_eq!((&trunk["description"], &trunk["priority"], &trunk["sip_port"]), (&json!("d"), &json!(9), &json!(5099)));
}

#[tokio::test]
async fn a_trunk_with_calls_stays() {
    let api = Api::start().await;
    let id = api.trunk(json!({})).await;
    let path = format!("/trunks/{id}");
    api.call(&id, "CA1").await;
    assert_eq!(api.get(&path).await.expect(200)["current_active_calls"], 1);
    api.delete(&path).await.expect_problem(400, "trunk_in_use");
    api.put("/calls/CA1", json!({"status": "completed"})).await.expect(200);
    api.delete(&path).await.expect(204);
    api.delete(&path).await.expect_problem(404, "not_found");
    api.get(&path).await.expect_problem(404, "not_found");
}

#[tokio::test]
async fn lists_by_priority_then_age() {
    let api = Api::start().await;
    for (name, priority) in [("c", 5), ("a", 1), ("d", 5), ("b", 1)] {
        api.clock.advance(1);
        api.trunk(json!({"name": name, "priority": priority})).await;
    }
    let names = |body: Value| {
        body.as_array().unwrap().iter().map(|trunk| trunk["name"].as_str().unwrap().to_owned()).collect::<String>()
    };
    assert_eq!(names(api.get("/trunks").await.expect(200)), "abcd");
    assert_eq!(names(api.get("/trunks?skip=1&limit=2").await.expect(200)), "bc");
    assert_eq!(names(api.get("/trunks?limit=1000&extra=1").await.expect(200)), "abcd");
    for (query, field) in
        [("limit=0", "limit"), ("limit=1001", "limit"), ("limit=x", "limit"), ("skip=-1", "skip"), ("skip=1.5", "skip")]
    {
        api.get(&format!("/trunks?{query}")).await.expect_wrong_field(field);
    }
}

#[tokio::test]
async fn shows_what_is_going_on_at_a_trunk() {
    let api = Api::start().await;
    let id = api.trunk(json!({"max_concurrent_calls": 3})).await;
    let path = format!("/trunks/{id}");
    api.post(&format!("{path}/health-check"), json!({})).await.expect(200);
    let state = TrunkState { active_calls: 1, resting_until: Some(at(30)), auth_failed: true, ..TrunkState::default() };
    let trunk: TrunkId = id.parse().unwrap();
    api.switchboard.script(|script| script.states.insert(trunk, state));
    let shown = api.get(&path).await.expect(200);
    assert_eq!((&shown["current_active_calls"], &shown["utilization_percent"]), (&json!(1), &json!(33.33)));
    assert_eq!((&shown["is_active"], &shown["can_handle_call"]), (&json!(true), &json!(true)));
    assert_eq!((&shown["auth_failed"], &shown["resting_until"]), (&json!(true), &json!("2026-01-31T12:00:30.000000Z")));
    assert_eq!((&shown["routable"], &shown["unroutable_reason"]), (&json!(false), &json!("trunk_resting")));
    api.switchboard.script(|script| script.states.get_mut(&trunk).unwrap().active_calls = 3);
    assert_eq!(api.get(&path).await.expect(200)["can_handle_call"], false);
    api.switchboard.script(|script| script.silent = true);
    api.get(&path).await.expect_problem(503, "call_path_unavailable");
}

#[tokio::test]
async fn a_health_check_is_real_and_kept() {
    let api = Api::start().await;
    let id = api.trunk(json!({"advanced_config": {"options_interval": 0}})).await;
    let path = format!("/trunks/{id}");
    let misspelt = api.post(&format!("{path}/health-check"), json!({"cal": "+12025550100"})).await;
    assert_eq!(misspelt.expect_wrong_field("cal"), "is no known field; did you mean call?");
    let found = api.post(&format!("{path}/health-check"), json!({})).await.expect(200);
    assert_eq!(
        found,
        json!({
            "trunk_id": id, "status": "healthy", "latency_ms": 1.6, "packet_loss_percent": 0.0, "timestamp": "2026-01-31T12:00:01.000000Z",
            "details": {"sip_status": 200, "target": "127.0.0.2:5060", "failure": null, "latency_us": 1600},
        })
    );
    let trunk = api.get(&path).await.expect(200);
    assert_eq!(
        (&trunk["health_status"], &trunk["latency_ms"], &trunk["latency_us"]),
        (&json!("healthy"), &json!(1.6), &json!(1600))
    );
    assert_eq!(
        (&trunk["last_health_check"], &trunk["status"]),
        (&json!("2026-01-31T12:00:01.000000Z"), &json!("active"))
    );
    assert_eq!(api.switchboard.script(|script| script.probes.len()), 1, "options_interval 0 is never probed by itself");
    api.switchboard.script(|script| script.silent = true);
    api.post(&format!("{path}/health-check"), json!({})).await.expect_problem(503, "call_path_unavailable");
    api.post("/trunks/018f0000-0000-7000-8000-000000000000/health-check", json!({}))
        .await
        .expect_problem(404, "not_found");
}

#[tokio::test]
async fn a_new_trunk_is_probed_at_once() {
    let api = Api::start().await;
    let path = format!("/trunks/{}", api.trunk(json!({})).await);
    let probed = async {
        while api.get(&path).await.expect(200)["health_status"] != "healthy" {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), probed).await.expect("the first probe comes by itself");
}

#[tokio::test]
async fn a_trunk_is_probed_again_when_its_target_changes() {
    let api = Api::start().await;
    let path = format!("/trunks/{}", api.trunk(json!({})).await);
    let probes = async |count: usize| {
        let probed = async {
            while api.switchboard.script(|script| script.probes.len()) < count {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), probed).await.expect("the probe comes by itself");
    };
    probes(1).await;
    api.put(&path, json!({"priority": 5, "sip_domain": "127.0.0.2"})).await.expect(200);
    api.put(&path, json!({"sip_domain": "127.0.0.3"})).await.expect(200);
    probes(2).await;
    assert_eq!(api.switchboard.script(|script| script.probes.len()), 2);
}

#[tokio::test]
async fn a_new_target_is_of_unknown_health() {
    let api = Api::start().await;
    let path = format!("/trunks/{}", api.trunk(json!({"advanced_config": {"options_interval": 0}})).await);
    for change in [json!({"sip_domain": "127.0.0.3"}), json!({"sip_port": 5070}), json!({"sip_proxy": "127.0.0.4"})] {
        api.post(&format!("{path}/health-check"), json!({})).await.expect(200);
        let same = api.put(&path, json!({"description": "d"})).await.expect(200);
        assert_eq!((&same["health_status"], &same["is_active"]), (&json!("healthy"), &json!(true)));
        let changed = api.put(&path, change).await.expect(200);
        let stored = api.get(&path).await.expect(200);
        for shown in [changed, stored] {
            assert_eq!((&shown["health_status"], &shown["is_active"]), (&json!("unknown"), &json!(false)));
            assert_eq!((&shown["last_health_check"], &shown["latency_us"]), (&json!(null), &json!(null)));
        }
    }
}

#[tokio::test]
async fn what_a_former_target_answers_is_not_kept() {
    let api = Api::start().await;
    let path = format!("/trunks/{}", api.trunk(json!({"advanced_config": {"options_interval": 0}})).await);
    let gate = Arc::new(Semaphore::new(0));
    api.switchboard.script(|script| script.probe_gate = Some(Arc::clone(&gate)));
    let probe = format!("{path}/health-check");
    let moved = async {
        while api.switchboard.script(|script| script.probes.is_empty()) {
            tokio::task::yield_now().await;
        }
        api.put(&path, json!({"sip_domain": "127.0.0.3"})).await.expect(200);
        gate.add_permits(1);
    };
    let (found, ()) = tokio::join!(api.post(&probe, json!({})), moved);
    assert_eq!(found.expect(200)["status"], "healthy", "whoever asked is told");
    assert_eq!(api.get(&path).await.expect(200)["health_status"], "unknown");
}

#[tokio::test]
async fn a_probe_that_was_not_made_says_nothing_of_the_trunk() {
    let api = Api::start().await;
    let path = format!("/trunks/{}", api.trunk(json!({"advanced_config": {"options_interval": 0}})).await);
    api.post(&format!("{path}/health-check"), json!({})).await.expect(200);
    let before = api.get(&path).await.expect(200);
    api.switchboard.script(|script| script.probes_busy = true);
    let busy = api.post(&format!("{path}/health-check"), json!({})).await;
    assert_eq!(busy.headers["retry-after"], "1");
    busy.expect_problem(503, "probes_busy");
    assert_eq!(api.get(&path).await.expect(200), before);
}

#[tokio::test]
async fn one_account_does_not_take_the_probes_of_all() {
    let api = Arc::new(Api::start().await);
    let config = || trunk_body(json!({"advanced_config": {"options_interval": 0}}));
    let key = Some(api.other.key.as_str());
    let mine = api.post("/trunks", config()).await.expect(201);
    let theirs = api.send(Method::POST, "/trunks", Some(config()), key).await.expect(201);
    let path = |trunk: &Value| format!("/trunks/{}/health-check", trunk["id"].as_str().unwrap());
    let gate = Arc::new(Semaphore::new(0));
    api.switchboard.script(|script| script.probe_gate = Some(Arc::clone(&gate)));
    let mut probes = JoinSet::new();
    for _ in 0..64 {
        let (api, path) = (Arc::clone(&api), path(&mine));
        probes.spawn(async move { api.post(&path, json!({})).await.status });
    }
    while api.switchboard.script(|script| script.probes.len()) < 64 {
        tokio::task::yield_now().await;
    }
    api.post(&path(&mine), json!({})).await.expect_problem(503, "probes_busy");
    gate.add_permits(66);
    api.send(Method::POST, &path(&theirs), Some(json!({})), key).await.expect(200);
    assert!(probes.join_all().await.iter().all(|status| *status == 200));
    api.post(&path(&mine), json!({})).await.expect(200);
}

#[tokio::test]
async fn addresses_inside_need_the_operators_word() {
    let api = Api::start().await;
    for domain in ["10.0.0.1", "192.168.1.1", "169.254.169.254", "[::1]", "0.0.0.0"] {
        let message =
            api.post("/trunks", trunk_body(json!({"sip_domain": domain}))).await.expect_wrong_field("sip_domain");
        assert!(message.contains("TANDEM_PEER_ALLOW"), "{message}");
    }
    api.post("/trunks", trunk_body(json!({"sip_domain": "sip.example.com", "sip_proxy": "10.0.0.1:5060"})))
        .await
        .expect_wrong_field("sip_proxy");
    let id = api.trunk(json!({"sip_domain": "10.0.0.1", "sip_proxy": "127.0.0.4"})).await;
    api.put(&format!("/trunks/{id}"), json!({"sip_proxy": null})).await.expect_wrong_field("sip_domain");
}

#[tokio::test]
async fn a_failover_is_another_trunk_of_the_account() {
    let api = Api::start().await;
    let id = api.trunk(json!({})).await;
    let path = format!("/trunks/{id}");
    api.put(&path, json!({"failover_trunk_id": id})).await.expect_wrong_field("failover_trunk_id");
    let key = Some(api.other.key.as_str());
    let theirs = api.send(Method::POST, "/trunks", Some(trunk_body(json!({}))), key).await.expect(201);
    api.put(&path, json!({"failover_trunk_id": theirs["id"]})).await.expect_wrong_field("failover_trunk_id");
    let second = api.trunk(json!({"name": "second", "failover_trunk_id": id})).await;
    assert_eq!(api.get(&format!("/trunks/{second}")).await.expect(200)["failover_trunk_id"], json!(id));
}

#[tokio::test]
async fn the_health_of_a_trunk_is_shown_as_the_call_path_measures_it_with_its_history() {
    let api = Api::start().await;
    let id = api.trunk(json!({"advanced_config": {"options_interval": 0}})).await;
    let (trunk, path): (TrunkId, _) = (id.parse().unwrap(), format!("/trunks/{id}"));
    let unknown = api.get(&format!("{path}/health")).await.expect(200);
    assert_eq!(
        unknown,
        json!({
            "trunk_id": id, "status": "unknown", "reason": null, "since": null, "last_health_check": null, "options_interval": 0,
            "latency_ms": null, "latency_p95_ms": null, "packet_loss_percent": null, "probe_loss_percent": null,
            "audio_loss_percent": null, "circuit": {"state": "closed", "until": null}, "routable": true,
            "unroutable_reason": null, "uptime_percent": null, "history": [],
        })
    );

    let health = TrunkHealth {
        status: HealthStatus::Unhealthy,
        checked_at: Some(at(7)),
        latency_us: Some(20_500),
        loss_basis_points: Some(125),
    };
    let measured = MeasuredHealth {
        health,
        reason: HealthReason::NoAnswer,
        since: at(5),
        latency_p95_us: Some(31_000),
        probe_loss_basis_points: Some(500),
        audio_loss_basis_points: Some(125),
        breaker: BreakerState::Open,
        breaker_until: Some(at(30)),
    };
    let sick = Reason::TrunkUnhealthy { status: HealthStatus::Unhealthy, reason: HealthReason::NoAnswer };
    let state = TrunkState { unroutable_reason: Some(sick), health: Some(Box::new(measured)), ..TrunkState::default() };
    api.switchboard.script(|script| script.states.insert(trunk, state));
    let span = |began, until, status, reason| HealthSpan {
        began_at: at(began),
        until: at(until),
        status,
        reason,
        latency_us: Some(1_500),
        loss_basis_points: None,
    };
    let spans = vec![
        span(-25, -5, HealthStatus::Healthy, HealthReason::Answers),
        span(-5, 0, HealthStatus::Unhealthy, HealthReason::NoAnswer),
    ];
    let report = HealthReport { trunk_id: trunk, account_id: api.mine.account.id, health, spans };
    api.store.record_health(&[report]).await.unwrap();
    let shown = api.get(&format!("{path}/health?limit=1")).await.expect(200);
    assert_eq!(
        shown,
        json!({
            "trunk_id": id, "status": "unhealthy", "reason": "no_answer", "since": "2026-01-31T12:00:05.000000Z",
            "last_health_check": "2026-01-31T12:00:07.000000Z", "options_interval": 0, "latency_ms": 20.5, "latency_p95_ms": 31.0,
            "packet_loss_percent": 1.25, "probe_loss_percent": 5.0, "audio_loss_percent": 1.25,
            "circuit": {"state": "open", "until": "2026-01-31T12:00:30.000000Z"}, "routable": false,
            "unroutable_reason": "trunk_unhealthy", "uptime_percent": 80.0,
            "history": [{
                "began_at": "2026-01-31T11:59:55.000000Z", "until": "2026-01-31T12:00:00.000000Z", "status": "unhealthy",
                "reason": "no_answer", "latency_ms": 1.5, "packet_loss_percent": null,
            }],
        })
    );
    let trunk = api.get(&path).await.expect(200);
    let seen = (&trunk["status"], &trunk["health_status"], &trunk["routable"], &trunk["packet_loss_percent"]);
    assert_eq!(seen, (&json!("active"), &json!("unhealthy"), &json!(false), &json!(1.25)));
    api.get(&format!("{path}/health?limit=0")).await.expect_wrong_field("limit");
}
