use crate::harness::{ACT, Api};
use axum::body::Body;
use axum::http::{Method, Request, header};
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr};
use tandem_control::ClientAddress;
use tandem_store::NODE;

/// What the log of the caller's account tells, newest first.
async fn log(api: &Api, query: &str) -> Vec<Value> {
    api.services.write_down_acts().await;
    api.get(&format!("/audit-log{query}")).await.expect(200).as_array().unwrap().clone()
}

fn actions(log: &[Value]) -> Vec<&str> {
    log.iter().map(|entry| entry["action"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn whoever_acts_for_an_account_is_named_with_request_and_address() {
    let api = Api::start().await;
    let node = api.store.ensure_admin_account(&ACT, "admin").await.unwrap();
    let (key_id, key) = api.store.create_api_key(&ACT, node.id, "operator's").await.unwrap();
    let trunk = api.trunk(json!({})).await;
    let mine = api.mine.account.id.to_string();
    let mut request = Request::put(format!("/api/v1/telephony/trunks/{trunk}"))
        .header(header::AUTHORIZATION, format!("Bearer {}", key.expose()))
        .header("x-act-as", &mine)
        .header("x-request-id", "ticket-17")
        .body(Body::from(json!({"priority": 9, "sip_password": "never to be seen"}).to_string()))
        .unwrap();
    request.extensions_mut().insert(ClientAddress(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7))));
    api.send_request(request).await.expect(200);

    let log = log(&api, "?action=trunk.update").await;
    assert_eq!(log.len(), 1, "{log:?}");
    let actor = json!({
        "kind": "api_key", "id": key_id, "name": "operator's", "user_id": node.id, "on_behalf_of": mine, "source": "192.0.2.7",
    });
    assert_eq!(log[0]["actor"], actor);
    assert_eq!((&log[0]["request_id"], &log[0]["resource_id"]), (&json!("ticket-17"), &json!(trunk)));
    assert_eq!(log[0]["before"], json!({"priority": 1}));
    assert_eq!(log[0]["after"], json!({"priority": 9, "sip_password": "replaced"}));
    assert!(!format!("{log:?}").contains("never to be seen"));
}

#[tokio::test]
async fn each_change_by_the_api_is_in_the_log_of_its_account_alone() {
    let api = Api::start().await;
    let trunk = api.trunk(json!({})).await;
    let call = api.call(&trunk, "CA1").await;
    api.put(&format!("/calls/{call}"), json!({"status": "completed", "metadata": {"a": "b"}})).await.expect(200);
    api.put(&format!("/trunks/{trunk}"), json!({"name": ""})).await.expect_problem(422, "invalid_field");
    let key = api.post("/api-keys", json!({"name": "k", "scopes": ["read"]})).await.expect(201);
    api.delete(&format!("/api-keys/{}", key["id"].as_str().unwrap())).await.expect(204);
    let user = api.post("/users", json!({"email": "zoe@example.com", "role": "viewer"})).await.expect(201);
    let password = user["password"].as_str().unwrap().to_owned();
    let path = format!("/users/{}", user["id"].as_str().unwrap());
    let edit = Some(json!({"role": "operator"}));
    api.send(Method::PATCH, &path, edit, Some(&api.mine.key)).await.expect(200);
    let body = |password: &str| Some(json!({"email": "zoe@example.com", "password": password}));
    api.send(Method::POST, "/sessions", body("not this one, surely"), None).await.expect_problem(401, "sign_in_failed");
    api.send(Method::POST, "/sessions", body(&password), None).await.expect(201);
    api.delete(&path).await.expect(204);
    api.delete(&format!("/trunks/{trunk}")).await.expect(204);

    let log = log(&api, "").await;
    // A failed sign-in is written by a task of its own.
    let mut done = actions(&log);
    done.retain(|action| *action != "session.refuse");
    assert_eq!(done.len() + 1, log.len());
    done.reverse();
    let expected = [
        "account.create",
        "api_key.create",
        "trunk.create",
        "call.create",
        "call.update",
        "api_key.create",
        "api_key.revoke",
        "user.create",
        "user.update",
        "session.create",
        "user.delete",
        "trunk.delete",
    ];
    assert_eq!(done, expected);
    let text = format!("{log:?}");
    for secret in [password.as_str(), "not this one", key["key"].as_str().unwrap(), "s3cr3t-sip", "+1202555"] {
        assert!(!text.contains(secret), "{secret}");
    }
    let theirs = api.send(Method::GET, "/audit-log", None, Some(&api.other.key)).await.expect(200);
    assert_eq!(actions(theirs.as_array().unwrap()), ["api_key.create", "account.create"]);
    assert!(api.store.verify_audit_log().await.unwrap().is_whole());
}

#[tokio::test]
async fn a_call_is_placed_and_ended_by_somebody() {
    let api = Api::start().await;
    let trunk = api.trunk(json!({})).await;
    let body = json!({"to_number": "+12025550100", "connect": {"type": "echo"}, "sip_trunk_id": trunk});
    let call = api.post("/calls/dial", body).await.expect(201);
    let id = call["id"].as_str().unwrap();
    api.post(&format!("/calls/{id}/hangup"), json!({})).await.expect(200);
    let log = log(&api, &format!("?resource_id={id}")).await;
    assert_eq!(actions(&log), ["call.hang_up", "call.dial"]);
    assert!(log.iter().all(|entry| entry["actor"]["name"] == "test"), "{log:?}");
}

#[tokio::test]
async fn an_export_has_every_entry_a_line_oldest_first() {
    let api = Api::start().await;
    let acts: Vec<_> = (0..2_345)
        .map(|number| (ACT.clone(), tandem_store::Change::new(api.mine.account.id, "call.dial", &number)))
        .collect();
    api.store.record_acts(&acts).await.unwrap();
    let reply = api.get("/audit-log/export").await;
    assert_eq!(reply.headers[header::CONTENT_TYPE], "application/x-ndjson");
    let text = reply.expect(200).as_str().unwrap().to_owned();
    let numbers = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["number"].as_u64().unwrap());
    assert!(numbers.eq(1..=2_347));
    let reply = api.get("/audit-log/export?action=api_key.create").await.expect(200);
    assert_eq!(reply.as_str().unwrap().lines().count(), 1);
    let nothing = api.get("/audit-log/export?action=nothing").await;
    assert_eq!(nothing.expect(200), Value::Null);
}

#[tokio::test]
async fn the_nodes_log_is_for_the_operators_account() {
    let api = Api::start().await;
    let problem = api.get("/audit-log?log=node").await.expect_problem(403, "forbidden");
    assert!(problem["detail"].as_str().unwrap().contains("the node's own audit log"), "{problem}");
    api.get("/audit-log/export?log=node").await.expect_problem(403, "forbidden");
    let node = api.store.ensure_admin_account(&ACT, "admin").await.unwrap();
    let (_, key) = api.store.create_api_key(&ACT, node.id, "operator's").await.unwrap();
    let log = api.send(Method::GET, "/audit-log?log=node", None, Some(key.expose())).await.expect(200);
    let log = log.as_array().unwrap().clone();
    assert_eq!(actions(&log), ["audit_log.begin"; 3]);
    assert_eq!(api.store.audit_log(NODE, &tandem_store::AuditFilter::default(), 0, 10).await.unwrap().len(), 3);
    for (query, field) in [("log=all", "log"), ("from=yesterday", "from"), ("actor_id=me", "actor_id")] {
        api.get(&format!("/audit-log?{query}")).await.expect_wrong_field(field);
    }
}
