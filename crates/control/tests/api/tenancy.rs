use crate::document::operations;
use crate::harness::{Api, call_body, raised_alert, refused_invite, trunk_body};
use axum::http::Method;
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr};
use tandem_control::{ClientAddress, openapi};
use tandem_model::Record;

/// What another account gets from each operation of the document, with ids and bodies that work for the owner.
enum Stranger {
    /// Exactly what an unknown id gets.
    NotFound,
    /// An answer about the stranger's own account.
    OwnOnly,
    /// It needs no key.
    Open,
}

#[tokio::test]
async fn another_accounts_ids_are_unknown_everywhere() {
    let api = Api::start().await;
    let trunk = api.trunk(json!({})).await;
    api.call(&trunk, "CA1").await;
    let dial = json!({"to_number": "+12025550100", "connect": {"type": "echo"}});
    let live = api.post("/calls/dial", dial.clone()).await.expect(201)["id"].as_str().unwrap().to_owned();
    let refused = refused_invite(api.mine.account.id, 1);
    api.store.write_records(&[Record::Refusal(Box::new(refused.clone()))]).await.unwrap();
    let refusal = refused.id.to_string();
    let user = api.post("/users", json!({"email": "zoe@example.com", "role": "viewer"})).await.expect(201);
    let (user, password) = (user["id"].as_str().unwrap().to_owned(), user["password"].clone());
    let credentials = json!({"email": "zoe@example.com", "password": password});
    let session = api.send(Method::POST, "/sessions", Some(credentials), None).await.expect(201);
    let session = session["session_id"].as_str().unwrap().to_owned();
    let key = api.get("/api-keys").await.expect(200)[0]["id"].as_str().unwrap().to_owned();
    let hook = api.post("/webhook-endpoints", json!({"url": "https://example.com/"})).await.expect(201);
    let hook = hook["id"].as_str().unwrap().to_owned();
    let number = json!({"number": "+12025550100", "connect": {"type": "echo"}});
    let erasure = api.post("/erasures", json!({"number": "+12025550143"})).await.expect(202);
    let erasure = erasure["id"].as_str().unwrap().to_owned();
    let number = api.post("/numbers", number).await.expect(201)["id"].as_str().unwrap().to_owned();
    let alert = raised_alert(&api, &trunk).await;
    let nowhere = "018f0000-0000-7000-8000-000000000000";
    let before = everything(&api).await;

    for (place, (path, method, _)) in (1..).zip(operations(&serde_json::to_value(openapi()).unwrap())) {
        let short = path.strip_prefix("/api/v1/telephony").unwrap_or(&path);
        let (body, ids, stranger): (Option<Value>, Vec<&str>, Stranger) = match (method.as_str(), short) {
            ("GET", "/trunks" | "/calls" | "/refusals") => (None, vec![], Stranger::OwnOnly),
            ("POST", "/trunks") => (Some(trunk_body(json!({}))), vec![], Stranger::OwnOnly),
            ("GET", "/trunks/{id}/stats") => (None, vec![&trunk], Stranger::NotFound),
            // Figures of the stranger's own account: there are none.
            ("GET", "/dashboard" | "/analytics") => {
                let mut told = api.send(Method::GET, short, None, Some(&api.other.key)).await.expect(200);
                assert_eq!(
                    told["trunk_stats"].take(),
                    told["recent_calls"].take(),
                    "{path}: both empty, or neither there"
                );
                let calls = told.pointer("/call_stats/total_calls").or(told.pointer("/totals/calls"));
                assert_eq!(calls, Some(&json!(0)), "{path}");
                let wrong = "tdm_0000000000000000000000000000000000000000000000000000000000000000";
                for key in [None, Some(wrong)] {
                    api.send(Method::GET, short, None, key).await.expect_problem(401, "unauthorized");
                }
                continue;
            }
            ("GET", "/trunks/{id}/health") => (None, vec![&trunk], Stranger::NotFound),
            ("GET" | "DELETE", "/trunks/{id}") => (None, vec![&trunk], Stranger::NotFound),
            ("PUT", "/trunks/{id}") => (Some(json!({"priority": 9})), vec![&trunk], Stranger::NotFound),
            ("POST", "/trunks/{id}/health-check") => (Some(json!({})), vec![&trunk], Stranger::NotFound),
            // The trunk in its body is another account's: see the tests of calls.
            ("POST", "/calls") => (Some(call_body(nowhere, json!({}))), vec![], Stranger::OwnOnly),
            ("GET", "/calls/{id}" | "/calls/{id}/legs" | "/calls/{id}/timeline" | "/calls/{id}/route") => {
                (None, vec![&live, "CA1"], Stranger::NotFound)
            }
            ("GET", "/erasures") => (None, vec![], Stranger::OwnOnly),
            ("POST", "/erasures") => (Some(json!({"number": "+12025550142"})), vec![], Stranger::OwnOnly),
            ("GET", "/erasures/{id}") => (None, vec![&erasure], Stranger::NotFound),
            ("GET", "/events") => (None, vec![], Stranger::OwnOnly),
            ("GET", "/webhook-endpoints") => (None, vec![], Stranger::OwnOnly),
            ("POST", "/webhook-endpoints") => (Some(json!({"url": "https://example.com/"})), vec![], Stranger::OwnOnly),
            ("GET" | "DELETE", "/webhook-endpoints/{id}") | ("GET", "/webhook-endpoints/{id}/deliveries") => {
                (None, vec![&hook], Stranger::NotFound)
            }
            ("PATCH", "/webhook-endpoints/{id}") => (Some(json!({"enabled": false})), vec![&hook], Stranger::NotFound),
            ("POST", "/webhook-endpoints/{id}/rotate-secret" | "/webhook-endpoints/{id}/test") => {
                (Some(json!({})), vec![&hook], Stranger::NotFound)
            }
            ("POST", "/webhook-endpoints/{id}/replay") => {
                (Some(json!({"since": "2026-01-01T00:00:00Z"})), vec![&hook], Stranger::NotFound)
            }
            ("POST", "/webhook-endpoints/{id}/deliveries/{delivery_id}/replay") => {
                (Some(json!({})), vec![&hook], Stranger::NotFound)
            }
            ("GET", "/alerts") => (None, vec![], Stranger::OwnOnly),
            ("GET", "/alerts/{id}") => (None, vec![&alert], Stranger::NotFound),
            ("POST", "/alerts/{id}/acknowledge" | "/alerts/{id}/resolve") => {
                (Some(json!({"note": "mine now"})), vec![&alert], Stranger::NotFound)
            }
            ("GET", "/alert-settings") => (None, vec![], Stranger::OwnOnly),
            ("PUT", "/alert-settings") => (Some(json!({"mail_to": ["me@example.com"]})), vec![], Stranger::OwnOnly),
            ("GET", "/refusals/{id}") => (None, vec![&refusal], Stranger::NotFound),
            ("PUT", "/calls/{id}") => (Some(json!({"quality_score": 5})), vec![&live, "CA1"], Stranger::NotFound),
            ("POST", "/calls/{id}/hangup") => (Some(json!({})), vec![&live, "CA1"], Stranger::NotFound),
            ("POST", "/calls/dial" | "/routing/explain") => (Some(dial.clone()), vec![], Stranger::OwnOnly),
            // The stranger's own key is there.
            ("GET", "/api-keys") => (None, vec![], Stranger::OwnOnly),
            ("POST", "/api-keys") => (Some(json!({"name": "x", "scopes": ["read"]})), vec![], Stranger::OwnOnly),
            ("GET" | "DELETE", "/api-keys/{id}") => (None, vec![&key], Stranger::NotFound),
            // What the stranger did themselves is there.
            ("GET", "/audit-log" | "/audit-log/export") => (None, vec![], Stranger::OwnOnly),
            ("GET", "/credits/ledger") => (None, vec![], Stranger::OwnOnly),
            // One's own, or the operator's affair: see the tests of credits.
            ("GET", "/credits") | ("POST" | "PATCH", "/accounts/{id}/credits") => continue,
            ("GET", "/numbers") => (None, vec![], Stranger::OwnOnly),
            ("POST", "/numbers") => {
                (Some(json!({"number": "+12025550101", "connect": {"type": "echo"}})), vec![], Stranger::OwnOnly)
            }
            ("GET" | "DELETE", "/numbers/{id}") => (None, vec![&number], Stranger::NotFound),
            ("PATCH", "/numbers/{id}") => (Some(json!({"label": "mine now"})), vec![&number], Stranger::NotFound),
            ("GET", "/calls/export") => (None, vec![], Stranger::OwnOnly),
            ("GET", "/retention") => (None, vec![], Stranger::OwnOnly),
            ("PUT", "/retention") => (Some(json!({"calls_days": 9})), vec![], Stranger::OwnOnly),
            ("GET", "/users" | "/sessions") => (None, vec![], Stranger::OwnOnly),
            ("POST", "/users") => {
                (Some(json!({"email": "other@example.com", "role": "viewer"})), vec![], Stranger::OwnOnly)
            }
            ("GET" | "DELETE", "/users/{id}") => (None, vec![&user], Stranger::NotFound),
            ("PATCH", "/users/{id}") => (Some(json!({"name": "mine now"})), vec![&user], Stranger::NotFound),
            ("PUT", "/users/current/password") => {
                let body = json!({"current_password": password, "new_password": "0123456789ab"});
                (Some(body), vec![], Stranger::OwnOnly)
            }
            ("DELETE", "/sessions/{id}") => (None, vec![&session], Stranger::NotFound),
            ("DELETE", "/sessions/current") => (None, vec![], Stranger::OwnOnly),
            // Who signs in needs no key: what they get is a matter of the tests of sessions.
            ("POST", "/sessions" | "/sessions/refresh") => continue,
            ("GET", "/health/live" | "/health/ready" | "/openapi.json") => (None, vec![], Stranger::Open),
            // Numbers of all accounts, for the operator only: see the tests of metrics.
            ("GET", "/metrics") => continue,
            _ => panic!("{method} {path} has no case here: say what another account gets from it"),
        };
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let outside = if path.starts_with("/api/") { short.to_owned() } else { format!("/{path}") };
        if matches!(stranger, Stranger::Open) {
            let reply = api.send(method, &outside, body, None).await;
            assert_ne!(reply.status, 401, "{path}");
            continue;
        }
        for key in [None, Some("tdm_0000000000000000000000000000000000000000000000000000000000000000")] {
            // Each time from another host: one alone may not try so often.
            let host = ClientAddress(IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + place)));
            let path = outside.replace("{id}", &trunk);
            let reply = api.send_from(host, method.clone(), &path, body.clone(), key).await;
            reply.expect_problem(401, "unauthorized");
        }
        for id in ids {
            let ask = async |id: &str| {
                let reply =
                    api.send(method.clone(), &outside.replace("{id}", id), body.clone(), Some(&api.other.key)).await;
                let mut problem = reply.expect_problem(404, "not_found");
                problem.as_object_mut().unwrap().remove("request_id");
                problem
            };
            assert_eq!(ask(id).await, ask(nowhere).await, "{method} {path}");
        }
        if path.ends_with("/events") {
            // Without its end the stream would go on.
            let query = format!("{outside}?follow=false&last_event_id=0");
            let told = api.send(method, &query, None, Some(&api.other.key)).await.expect(200);
            assert!(!told.as_str().unwrap().contains(&api.mine.account.id.to_string()), "{told}");
            continue;
        }
        if matches!(stranger, Stranger::OwnOnly) && method == Method::GET {
            let mut reply = api.send(method, &outside, body, Some(&api.other.key)).await.expect(200);
            if path.contains("/audit-log") {
                assert!(!reply.to_string().contains(&trunk), "{path}: {reply}");
                continue;
            }
            // Their own, of which nothing is set.
            if path.ends_with("/retention") {
                assert_eq!(reply["set"]["calls_days"], Value::Null);
                continue;
            }
            if path.ends_with("/alert-settings") {
                assert_eq!(reply["mail_to"], json!([]));
                continue;
            }
            if path.ends_with("/calls/export") {
                assert_eq!(reply, Value::Null, "{path}");
                continue;
            }
            if path.ends_with("/api-keys") {
                let keys = reply.as_array_mut().unwrap();
                keys.retain(|key| key["user_id"] != api.other.account.id.to_string());
            }
            assert_eq!(reply, json!([]), "{path}");
        }
    }
    assert_eq!(everything(&api).await, before, "nothing of the account has changed");
}

async fn everything(api: &Api) -> Value {
    let calls = api.get("/calls").await.expect(200);
    let mut trunks = api.get("/trunks").await.expect(200);
    // The first probe may come in between.
    for trunk in trunks.as_array_mut().unwrap() {
        trunk.as_object_mut().unwrap().retain(|name, _| {
            !matches!(
                name.as_str(),
                "health_status"
                    | "last_health_check"
                    | "latency_ms"
                    | "latency_us"
                    | "packet_loss_percent"
                    | "is_active"
                    | "can_handle_call"
            )
        });
    }
    let users = api.get("/users").await.expect(200);
    let sessions = api.get("/sessions").await.expect(200);
    let mut keys = api.get("/api-keys").await.expect(200);
    for key in keys.as_array_mut().unwrap() {
        // It is in use here.
        key.as_object_mut().unwrap().remove("last_used_at");
    }
    json!({"trunks": trunks, "calls": calls, "users": users, "sessions": sessions, "keys": keys})
}
