use crate::harness::{Api, Reply, full};
use axum::body::Body;
use axum::http::{Method, Request, header};
use serde_json::{Value, json};
use std::net::IpAddr;
use tandem_control::ClientAddress;

/// Within the network that the node trusts.
const PROXY: &str = "192.0.2.200";
const STRANGER: &str = "192.0.2.1";
const XFF: &str = "x-forwarded-for";
const EMAIL: &str = "zoe@example.com";
const PASSWORD: &str = "correct horse battery";

/// A request that comes from this peer with this header.
async fn ask(
    api: &Api,
    (peer, name, value): (&str, &str, &str),
    method: Method,
    path: &str,
    body: Value,
    key: Option<&str>,
) -> Reply {
    let mut request = Request::builder().method(method).uri(full(path)).header(name, value);
    if let Some(key) = key {
        request = request.header(header::AUTHORIZATION, format!("Bearer {key}"));
    }
    let mut request = request.body(Body::from(body.to_string())).unwrap();
    request.extensions_mut().insert(ClientAddress(peer.parse::<IpAddr>().unwrap()));
    api.send_request(request).await
}

async fn sign_in(api: &Api, from: (&str, &str, &str), email: &str, password: &str) -> Reply {
    ask(api, from, Method::POST, "/sessions", json!({"email": email, "password": password}), None).await
}

#[tokio::test]
async fn clients_of_a_proxy_are_bounded_each_for_itself() {
    let api = Api::start().await;
    let one = (PROXY, XFF, "198.51.100.1");
    for number in 0..20 {
        sign_in(&api, one, &format!("{number}@example.com"), "wrong password")
            .await
            .expect_problem(401, "sign_in_failed");
    }
    sign_in(&api, one, "20@example.com", "wrong password").await.expect_problem(429, "too_many_attempts");
    let invented = (PROXY, XFF, "203.0.113.9, 198.51.100.1");
    sign_in(&api, invented, "20@example.com", "wrong password").await.expect_problem(429, "too_many_attempts");
    let other = (PROXY, "forwarded", r#"for="[2001:db8::1]:4711";proto=https"#);
    sign_in(&api, other, "20@example.com", "wrong password").await.expect_problem(401, "sign_in_failed");
}

#[tokio::test]
async fn a_stranger_cannot_be_another_by_a_header() {
    let api = Api::start().await;
    for number in 0..20 {
        let value = format!("198.51.100.{number}");
        let email = format!("{number}@example.com");
        sign_in(&api, (STRANGER, XFF, &value), &email, "wrong password").await.expect_problem(401, "sign_in_failed");
    }
    let again = sign_in(&api, (STRANGER, XFF, "198.51.100.200"), "20@example.com", "wrong password").await;
    again.expect_problem(429, "too_many_attempts");
    // Nor by one that is read only from a proxy, and hides who it is.
    let hidden = sign_in(&api, (STRANGER, "forwarded", "for=_hidden"), "20@example.com", "wrong password").await;
    hidden.expect_problem(429, "too_many_attempts");
}

#[tokio::test]
async fn sessions_and_the_audit_log_name_the_client_behind_the_proxy() {
    let api = Api::start().await;
    let body = json!({"email": EMAIL, "name": "Zoë", "role": "admin", "password": PASSWORD});
    api.post("/users", body).await.expect(201);
    let from = (PROXY, XFF, "198.51.100.1, 192.0.2.201");
    let tokens = sign_in(&api, from, EMAIL, PASSWORD).await.expect(201);
    let token = tokens["access_token"].as_str();
    let sessions = ask(&api, from, Method::GET, "/sessions", Value::Null, token).await.expect(200);
    assert_eq!(sessions[0]["client_address"], "198.51.100.1");
    let entries =
        ask(&api, from, Method::GET, "/audit-log?action=session.create", Value::Null, token).await.expect(200);
    assert_eq!(entries[0]["actor"]["source"], "198.51.100.1", "{entries}");
    // What cannot be read is the proxy's.
    api.clock.advance(1);
    let unread = sign_in(&api, (PROXY, XFF, "unknown"), EMAIL, PASSWORD).await.expect(201);
    let sessions =
        ask(&api, from, Method::GET, "/sessions", Value::Null, unread["access_token"].as_str()).await.expect(200);
    assert_eq!(sessions[0]["client_address"], PROXY);
}

#[tokio::test]
async fn requests_without_a_key_are_counted_by_client() {
    let api = Api::start().await;
    let one = (PROXY, XFF, "198.51.100.1");
    let mut is_limited = false;
    for _ in 0..300 {
        is_limited |= ask(&api, one, Method::GET, "/trunks", Value::Null, None).await.status == 429;
    }
    assert!(is_limited);
    let other = ask(&api, (PROXY, XFF, "198.51.100.2"), Method::GET, "/trunks", Value::Null, None).await;
    other.expect_problem(401, "unauthorized");
}
