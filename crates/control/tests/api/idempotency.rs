use crate::harness::{Api, Reply, call_body, full, trunk_body};
use axum::body::Body;
use axum::http::{Method, Request, header};
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};
use std::sync::Arc;
use tandem_model::{Reason, RefusalKind};
use tokio::sync::Semaphore;

async fn post_as(api: &Api, bearer: &str, path: &str, key: &str, body: &Value) -> Reply {
    let request = Request::builder()
        .method(Method::POST)
        .uri(full(path))
        .header(header::AUTHORIZATION, format!("Bearer {bearer}"))
        .header("Idempotency-Key", key)
        .body(Body::from(body.to_string()))
        .unwrap();
    api.send_request(request).await
}

async fn post(api: &Api, path: &str, key: &str, body: &Value) -> Reply {
    post_as(api, &api.mine.key, path, key, body).await
}

fn is_replay(reply: &Reply) -> bool {
    reply.headers.get("idempotency-replayed").is_some_and(|value| value == "true")
}

fn dial() -> Value {
    json!({"to_number": "+12025550100", "connect": {"type": "echo"}})
}

#[tokio::test]
async fn a_repeat_is_answered_as_the_first_was() {
    let api = Api::start().await;
    let body = trunk_body(json!({}));
    let first = post(&api, "/trunks", "k-1", &body).await;
    assert!(!is_replay(&first));
    let again = post(&api, "/trunks", "k-1", &body).await;
    assert!(is_replay(&again));
    assert_eq!(again.headers[header::CONTENT_TYPE], first.headers[header::CONTENT_TYPE]);
    assert_ne!(again.headers["x-request-id"], first.headers["x-request-id"], "it is a request of its own");
    let made = first.expect(201);
    assert_eq!(again.expect(201), made);
    assert_eq!(api.get("/trunks").await.expect(200).as_array().unwrap().len(), 1);

    let api = api.restarted();
    assert_eq!(post(&api, "/trunks", "k-1", &body).await.expect(201), made, "another process knows it too");
    api.clock.advance(24 * 60 * 60);
    post(&api, "/trunks", "k-1", &body).await.expect_problem(422, "name_taken");
}

#[tokio::test]
async fn a_key_is_for_one_request_of_one_caller() {
    let api = Api::start().await;
    let made = post(&api, "/trunks", "k-1", &trunk_body(json!({}))).await.expect(201);
    for (path, body) in [
        ("/trunks", trunk_body(json!({"name": "other"}))),
        ("/trunks?dry_run=false", trunk_body(json!({}))),
        ("/calls/dial", trunk_body(json!({}))),
    ] {
        let problem = post(&api, path, "k-1", &body).await.expect_problem(422, "idempotency_key_reused");
        assert_eq!(problem["errors"][0]["field"], "Idempotency-Key");
    }
    let other = api.other.key.clone();
    let theirs = post_as(&api, &other, "/trunks", "k-1", &trunk_body(json!({}))).await.expect(201);
    assert_ne!(theirs["id"], made["id"]);
    let body = json!({"name": "second", "scopes": ["read", "write"]});
    let second = api.post("/api-keys", body).await.expect(201)["key"].as_str().unwrap().to_owned();
    let reply = post_as(&api, &second, "/trunks", "k-1", &trunk_body(json!({}))).await;
    assert!(!is_replay(&reply), "a colleague's key is another");
    reply.expect_problem(422, "name_taken");
    for unfit in ["", "a b", "ä", &"x".repeat(256)] {
        let problem = post(&api, "/trunks", unfit, &trunk_body(json!({}))).await.expect_problem(422, "invalid_field");
        assert_eq!(problem["errors"][0]["field"], "Idempotency-Key");
    }
    post(&api, "/trunks", &"x".repeat(255), &trunk_body(json!({"name": "long"}))).await.expect(201);
}

#[tokio::test]
async fn what_only_asks_keeps_no_answer() {
    let api = Api::start().await;
    let reader = api.post("/api-keys", json!({"name": "reader", "scopes": ["read"]})).await.expect(201);
    let reader = reader["key"].as_str().unwrap();
    let ask = async |key: &str, number: &str| {
        let body = json!({"to_number": number, "connect": {"type": "echo"}});
        post_as(&api, reader, "/routing/explain", key, &body).await
    };
    for number in ["+12025550100", "+12025550100", "+12025550101"] {
        let reply = ask("k-1", number).await;
        assert!(!is_replay(&reply));
        assert_eq!(reply.expect(200)["to"], number, "another question under the same key is answered");
    }
    // It is not even looked at.
    ask(&"x".repeat(256), "+12025550100").await.expect(200);
    let options = SqliteConnectOptions::new().filename(api.folder().join("tandem.db"));
    let mut database = options.connect().await.unwrap();
    let kept: i64 = sqlx::query_scalar("SELECT count(*) FROM idempotency_keys").fetch_one(&mut database).await.unwrap();
    assert_eq!(kept, 0);
    database.close().await.unwrap();
}

#[tokio::test]
async fn who_may_not_do_it_learns_no_answer() {
    let api = Api::start().await;
    let made = post(&api, "/api-keys", "k-1", &json!({"name": "x", "scopes": ["read"]})).await.expect(201);
    let reader = made["key"].as_str().unwrap();
    let asked = post_as(&api, reader, "/trunks", "k-2", &trunk_body(json!({}))).await;
    asked.expect_problem(403, "forbidden");
    let asked = post_as(&api, "tdm_wrong", "/trunks", "k-1", &trunk_body(json!({}))).await;
    asked.expect_problem(401, "unauthorized");
    let again = post(&api, "/api-keys", "k-1", &json!({"name": "x", "scopes": ["read"]})).await;
    assert_eq!(again.expect(201), made, "the caller who made it is told its secret again");
}

/// A13: the same key twice in parallel.
#[tokio::test]
async fn the_same_request_twice_at_once_is_done_once_and_answered_twice() {
    let api = Api::start().await;
    let gate = Arc::new(Semaphore::new(0));
    api.switchboard.script(|script| script.dial_gate = Some(Arc::clone(&gate)));
    let body = dial();
    let open = async {
        while api.switchboard.script(|script| script.orders.is_empty()) {
            tokio::task::yield_now().await;
        }
        gate.add_permits(2);
    };
    let (one, other, ()) =
        tokio::join!(post(&api, "/calls/dial", "k", &body), post(&api, "/calls/dial", "k", &body), open);
    assert_ne!(is_replay(&one), is_replay(&other));
    assert_eq!(one.expect(201), other.expect(201));
    assert_eq!(api.switchboard.script(|script| script.orders.len()), 1);
}

#[tokio::test]
async fn who_waits_too_long_for_the_answer_is_told_to_come_again() {
    let api = Api::start().await;
    let gate = Arc::new(Semaphore::new(0));
    api.switchboard.script(|script| script.dial_gate = Some(Arc::clone(&gate)));
    let body = dial();
    let second = async {
        while api.switchboard.script(|script| script.orders.is_empty()) {
            tokio::task::yield_now().await;
        }
        let reply = post(&api, "/calls/dial", "k", &body).await;
        gate.add_permits(1);
        reply
    };
    let (first, second) = tokio::join!(post(&api, "/calls/dial", "k", &body), second);
    assert_eq!(second.headers[header::RETRY_AFTER], "1");
    second.expect_problem(409, "idempotency_key_in_use");
    first.expect(201);
}

#[tokio::test]
async fn what_was_refused_is_judged_anew() {
    let api = Api::start().await;
    let refusal = (RefusalKind::TierLimit, Reason::TierLimit { limit: 1 });
    api.switchboard.script(|script| script.refusal = Some(refusal));
    post(&api, "/calls/dial", "k", &dial()).await.expect_problem(429, "tier_limit");
    api.switchboard.script(|script| script.refusal = None);
    post(&api, "/calls/dial", "k", &dial()).await.expect(201);
    post(&api, "/trunks", "t", &json!({})).await.expect_problem(422, "invalid_field");
    post(&api, "/trunks", "t", &trunk_body(json!({}))).await.expect(201);
}

#[tokio::test]
async fn a_repeat_finds_the_call_whose_answer_was_lost() {
    let api = Api::start().await;
    api.switchboard.script(|script| script.loses_answers = true);
    post(&api, "/calls/dial", "k", &dial()).await.expect_problem(503, "call_path_unavailable");
    let placed = api.switchboard.script(|script| {
        script.loses_answers = false;
        script.orders[0].call_id.unwrap().to_string()
    });
    let changed = json!({"to_number": "+12025550101", "connect": {"type": "echo"}});
    post(&api, "/calls/dial", "k", &changed).await.expect_problem(422, "idempotency_key_reused");
    let reply = post(&api, "/calls/dial", "k", &dial()).await;
    assert!(!is_replay(&reply), "it was found, not kept");
    assert_eq!(reply.expect(201)["id"], placed);
    assert_eq!(api.switchboard.script(|script| script.orders.len()), 1, "no second call was placed");
    assert!(is_replay(&post(&api, "/calls/dial", "k", &dial()).await));
}

/// What a crash leaves of all requests: claims that have run out.
async fn forget_answers(api: &Api) {
    let file = api.folder().join("tandem.db");
    let mut database = SqliteConnectOptions::new().filename(&file).connect().await.unwrap();
    sqlx::query("UPDATE idempotency_keys SET answer = NULL, claimed_until = 0").execute(&mut database).await.unwrap();
    database.close().await.unwrap();
}

/// The node dies after the deed and before its answer is kept: what is left is a claim that has run out.
#[tokio::test]
async fn what_was_made_before_a_crash_is_found_by_its_key_and_not_made_twice() {
    let api = Api::start().await;
    for (path, body) in [
        ("/trunks", trunk_body(json!({}))),
        ("/numbers", json!({"number": "+12025550100", "connect": {"type": "echo"}})),
        ("/webhook-endpoints", json!({"url": "https://example.com/hooks"})),
        ("/users", json!({"email": "zoe@example.com", "role": "viewer", "password": "correct horse battery"})),
    ] {
        let first = post(&api, path, path, &body).await.expect(201);
        forget_answers(&api).await;
        let again = post(&api, path, path, &body).await;
        assert!(!is_replay(&again), "{path}");
        let again = again.expect(201);
        assert_eq!((&again["id"], &again["secret"]), (&first["id"], &first["secret"]), "{path}");
        assert_eq!(api.get(path).await.expect(200).as_array().unwrap().len(), 1, "{path}");
        assert!(is_replay(&post(&api, path, path, &body).await), "{path}");
    }
}

#[tokio::test]
async fn a_call_that_was_logged_before_a_crash_is_found_and_has_one_slot() {
    let api = Api::start().await;
    let body = call_body(&api.trunk(json!({})).await, json!({}));
    let first = post(&api, "/calls", "k", &body).await.expect(201);
    let slots = |api: &Api| api.switchboard.script(|script| script.slots.len());
    forget_answers(&api).await;
    let colleague = json!({"name": "colleague", "scopes": ["calls", "read", "write"]});
    let colleague = api.post("/api-keys", colleague).await.expect(201)["key"].as_str().unwrap().to_owned();
    post_as(&api, &colleague, "/calls", "k", &body).await.expect_problem(409, "call_id_taken");
    let other = call_body(first["sip_trunk_id"].as_str().unwrap(), json!({"call_id": "CA2"}));
    post(&api, "/calls", "k", &other).await.expect_problem(422, "idempotency_key_reused");
    let again = post(&api, "/calls", "k", &body).await;
    assert!(!is_replay(&again));
    assert_eq!(again.expect(201)["id"], first["id"]);
    assert_eq!(slots(&api), 1);
    api.put("/calls/CA1", json!({"status": "completed"})).await.expect(200);
    forget_answers(&api).await;
    assert_eq!(post(&api, "/calls", "k", &body).await.expect(201)["status"], "completed");
    assert_eq!(slots(&api), 0, "a call that is over has none");
    assert_eq!(api.get("/calls").await.expect(200).as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_key_that_was_made_before_a_crash_has_another_secret_unless_it_was_used() {
    let api = Api::start().await;
    let body = json!({"name": "dialler", "scopes": ["admin", "read", "write"]});
    let first = post(&api, "/api-keys", "k", &body).await.expect(201);
    let colleague = api.post("/api-keys", body.clone()).await.expect(201)["key"].as_str().unwrap().to_owned();
    forget_answers(&api).await;
    let theirs = post_as(&api, &colleague, "/api-keys", "k", &body).await.expect(201);
    assert_ne!(theirs["id"], first["id"], "what a colleague asks for is another");
    let more = json!({"name": "dialler", "scopes": ["admin", "read", "write", "calls"]});
    post(&api, "/api-keys", "k", &more).await.expect_problem(422, "idempotency_key_reused");
    let keys = || async { api.get("/api-keys").await.expect(200).as_array().unwrap().len() };
    let before = keys().await;

    let again = post(&api, "/api-keys", "k", &body).await;
    assert!(!is_replay(&again));
    let again = again.expect(201);
    assert_eq!((&again["id"], &again["scopes"]), (&first["id"], &first["scopes"]));
    assert_ne!(again["key"], first["key"]);
    assert_eq!(keys().await, before, "there is one key");
    let ask = async |made: &Value| api.send(Method::GET, "/trunks", None, made["key"].as_str()).await;
    ask(&first).await.expect_problem(401, "unauthorized");
    let log = api.get("/audit-log?action=api_key.replace_secret").await.expect(200);
    assert_eq!(log[0]["resource_id"], first["id"], "{log:#}");
    assert_eq!(log[0]["after"]["key"], "replaced", "{log:#}");

    ask(&again).await.expect(200);
    let id = first["id"].as_str().unwrap();
    while api.get(&format!("/api-keys/{id}")).await.expect(200)["last_used_at"].is_null() {
        tokio::task::yield_now().await;
    }
    forget_answers(&api).await;
    for _ in 0..2 {
        post(&api, "/api-keys", "k", &body).await.expect_problem(409, "api_key_in_use");
    }
    ask(&again).await.expect(200);
    assert_eq!(keys().await, before, "a refusal does not make the request as new");
}

#[tokio::test]
async fn a_user_who_was_added_before_a_crash_has_another_password_unless_they_were_touched() {
    let api = Api::start().await;
    let add = async |name: &str| {
        let body = json!({"email": format!("{name}@example.com"), "role": "viewer"});
        (post(&api, "/users", name, &body).await, body)
    };
    let sign_in = async |user: &Value| {
        let body = json!({"email": user["email"], "password": user["password"]});
        api.send(Method::POST, "/sessions", Some(body), None).await
    };
    let (first, body) = add("zoe").await;
    let first = first.expect(201);
    forget_answers(&api).await;
    let more = json!({"email": "zoe@example.com", "role": "admin"});
    post(&api, "/users", "zoe", &more).await.expect_problem(422, "idempotency_key_reused");
    let colleague = json!({"name": "colleague", "scopes": ["admin", "read"]});
    let colleague = api.post("/api-keys", colleague).await.expect(201)["key"].as_str().unwrap().to_owned();
    post_as(&api, &colleague, "/users", "zoe", &body).await.expect_problem(422, "email_taken");

    let again = add("zoe").await.0;
    assert!(!is_replay(&again));
    let again = again.expect(201);
    assert_eq!(again["id"], first["id"]);
    assert_ne!(again["password"], first["password"]);
    sign_in(&first).await.expect_problem(401, "sign_in_failed");
    forget_answers(&api).await;
    let again = add("zoe").await.0.expect(201);
    sign_in(&again).await.expect(201);
    forget_answers(&api).await;
    add("zoe").await.0.expect_problem(422, "email_taken");
    sign_in(&again).await.expect(201);

    // Somebody with more rights has raised them: the password of an admin is not for who may give a viewer one.
    let raised = add("yan").await.0.expect(201);
    let path = format!("/users/{}", raised["id"].as_str().unwrap());
    api.send(Method::PATCH, &path, Some(json!({"role": "admin"})), Some(&api.mine.key)).await.expect(200);
    forget_answers(&api).await;
    for _ in 0..2 {
        add("yan").await.0.expect_problem(422, "email_taken");
    }
    sign_in(&raised).await.expect(201);
    assert_eq!(api.get("/users").await.expect(200).as_array().unwrap().len(), 2);
}
