use crate::harness::{ACT, Api, full};
use axum::body::Body;
use axum::http::{Method, Request, header};
use serde_json::json;
use std::time::{Duration, Instant};

#[tokio::test]
async fn what_is_not_there_is_a_problem_too() {
    let api = Api::start().await;
    for path in ["//", "//nothing", "/nothing", "/trunks/a/b", "/webrtc/offer"] {
        api.get(path).await.expect_problem(404, "unknown_path");
    }
    let reply = api.delete("/trunks").await;
    assert!(reply.headers[header::ALLOW].to_str().unwrap().contains("POST"));
    reply.expect_problem(405, "method_not_allowed");
    api.get("/calls/%ff").await.expect_problem(400, "bad_request");
}

#[tokio::test]
async fn a_body_that_cannot_be_read_is_told() {
    let api = Api::start().await;
    let send = async |body: Vec<u8>| {
        let request = Request::post(full("/trunks")).header(header::AUTHORIZATION, format!("Bearer {}", api.mine.key));
        api.send_request(request.body(Body::from(body)).unwrap()).await
    };
    for body in ["", "{", "[]", "\"text\"", "null", "{\"name\": nope}", "\u{feff}{}"] {
        send(body.as_bytes().to_vec()).await.expect_problem(422, "malformed_body");
    }
    send(vec![0xff, 0xfe]).await.expect_problem(422, "malformed_body");
    send("[".repeat(10_000).into_bytes()).await.expect_problem(422, "malformed_body");
    let huge = format!("{{\"name\": \"{}\"}}", "a".repeat(300 * 1024));
    send(huge.into_bytes()).await.expect_problem(413, "body_too_large");
}

#[tokio::test]
async fn a_fit_request_id_of_the_client_is_kept() {
    let api = Api::start().await;
    let ask = async |id: &str| {
        let request = Request::get(full("/trunks/x")).header("x-request-id", id).body(Body::empty()).unwrap();
        let reply = api.send_request(request).await;
        let shown = reply.headers["x-request-id"].to_str().unwrap().to_owned();
        assert_eq!(reply.body["request_id"], json!(shown));
        shown
    };
    assert_eq!(ask("trace-1.2_3").await, "trace-1.2_3");
    for unfit in ["", "a b", "a\"b", &"x".repeat(65)] {
        assert_ne!(ask(unfit).await, unfit);
    }
    assert_ne!(ask("").await, ask("").await);
}

#[tokio::test]
async fn a_panic_tells_nothing_of_the_inside() {
    let api = Api::start().await;
    api.switchboard.script(|script| script.panics = true);
    let reply = api.send(Method::GET, "//health/ready", None, None).await;
    let problem = reply.expect_problem(500, "internal");
    assert!(!problem.to_string().contains("secret"), "{problem}");
}

#[tokio::test]
async fn a_key_is_needed_and_must_be_right() {
    let api = Api::start().await;
    let right = format!("bearer  {} ", api.mine.key);
    for (value, status) in [
        (None, 401),
        (Some(""), 401),
        (Some("Bearer"), 401),
        (Some("Bearer "), 401),
        (Some("Basic dGFuZGVt"), 401),
        (Some("Bearer tdm_wrong"), 401),
        (Some(api.mine.key.as_str()), 401),
        (Some(right.as_str()), 200),
    ] {
        let mut request = Request::get(full("/trunks"));
        if let Some(value) = value {
            request = request.header(header::AUTHORIZATION, value);
        }
        let reply = api.send_request(request.body(Body::empty()).unwrap()).await;
        assert_eq!(reply.status.as_u16(), status, "{value:?}");
        if status == 401 {
            assert!(reply.headers[header::WWW_AUTHENTICATE].to_str().unwrap().starts_with("Bearer"));
            reply.expect_problem(401, "unauthorized");
        }
    }
}

#[tokio::test]
async fn a_revoked_key_stops_working_soon() {
    let api = Api::start().await;
    api.get("/trunks").await.expect(200);
    let keys = api.store.api_keys(api.mine.account.id, 0, 10).await.unwrap();
    api.store.revoke_api_key(&ACT, api.mine.account.id, keys[0].id).await.unwrap();
    let revoked_at = Instant::now();
    // The contract is 100 ms; a loaded machine may take its time to ask.
    while api.get("/trunks").await.status != 401 {
        assert!(revoked_at.elapsed() < Duration::from_secs(2), "the key still works");
    }
}

#[tokio::test]
async fn answers_say_what_browsers_and_caches_may_do_with_them() {
    let api = Api::start().await;
    let trunk = api.trunk(json!({})).await;
    let path = format!("/trunks/{trunk}");
    let read = api.get(&path).await;
    assert!(read.headers.contains_key(header::ETAG));
    for (reply, caching) in [
        (read, "private, no-cache"),
        (api.get("/trunks/nothing").await, "private, no-cache"),
        (api.get("//health/live").await, "private, no-cache"),
        (api.get("//nowhere").await, "private, no-cache"),
        (api.post("/api-keys", json!({"name": "x", "scopes": ["read"]})).await, "no-store"),
        (api.post("/trunks", json!({})).await, "no-store"),
        (api.put(&path, json!({"description": "x"})).await, "no-store"),
        (api.delete(&path).await, "no-store"),
        (api.get("//docs").await, "public, max-age=300"),
    ] {
        assert_eq!(reply.headers[header::CACHE_CONTROL], caching, "{}", reply.body);
        assert_eq!(reply.headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff", "{}", reply.body);
    }
}
