use crate::harness::{Api, full, trunk_body};
use axum::body::Body;
use axum::http::{Method, Request, header};
use serde_json::json;
use std::num::NonZeroU32;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

#[tokio::test]
async fn a_key_that_asks_too_often_is_told_when_to_come_again() {
    let api = Api::start().await.restarted_with_rate(NonZeroU32::new(1));
    let first = api.get("/trunks").await;
    assert_eq!(first.headers["ratelimit-policy"], "\"key\";q=2;w=2");
    assert_eq!(first.headers["ratelimit"], "\"key\";r=1;t=1");
    first.expect(200);
    let mut refused = None;
    // A machine that is slow enough to have a second between two requests is asked some more.
    for _ in 0..50 {
        let reply = api.get("/trunks").await;
        if reply.status == 429 {
            refused = Some(reply);
            break;
        }
    }
    let refused = refused.expect("the bucket ends");
    assert!(refused.headers["ratelimit"].to_str().unwrap().starts_with("\"key\";r=0;t="));
    assert_eq!(refused.headers[header::RETRY_AFTER], "1");
    refused.expect_problem(429, "rate_limited");
    let other = api.other.key.clone();
    api.send(Method::GET, "/trunks", None, Some(&other)).await.expect(200);
    for path in ["//health/live", "//health/ready"] {
        let reply = api.send(Method::GET, path, None, Some(&api.mine.key)).await;
        assert!(!reply.headers.contains_key("ratelimit"), "whoever watches the node is not limited");
        assert_ne!(reply.status, 429);
    }
}

#[tokio::test]
async fn an_address_without_a_good_key_has_a_limit_of_its_own() {
    let api = Api::start().await;
    let mut answers = Vec::new();
    for number in 0..400 {
        let key = format!("tdm_wrong_{number}");
        let bearer = (number % 2 == 0).then_some(key.as_str());
        let reply = api.send(Method::POST, "/trunks", Some(json!({})), bearer).await;
        assert_eq!(reply.headers["ratelimit-policy"], "\"source\";q=100;w=2");
        answers.push(reply.status.as_u16());
        if reply.status == 429 {
            break;
        }
    }
    assert_eq!(answers.last(), Some(&429), "{}", answers.len());
    assert!(answers.iter().rev().skip(1).all(|status| *status == 401));
    let right = api.get("/trunks").await;
    assert!(!right.headers.contains_key("ratelimit"), "no rate is set for keys here");
    right.expect(200);
}

#[tokio::test]
async fn an_account_that_changes_much_at_once_does_not_keep_others_waiting() {
    let api = Arc::new(Api::start().await);
    let gate = Arc::new(Semaphore::new(0));
    api.switchboard.script(|script| script.dial_gate = Some(Arc::clone(&gate)));
    // With a key a dial is written down, and so waits for its turn.
    let dial = |key: Option<usize>| {
        let api = Arc::clone(&api);
        let body = json!({"to_number": "+12025550100", "connect": {"type": "echo"}});
        let request = Request::post(full("/calls/dial"))
            .header(header::AUTHORIZATION, format!("Bearer {}", api.mine.key))
            .header("x-request-id", "flood");
        let request = match key {
            Some(key) => request.header("idempotency-key", key.to_string()),
            None => request,
        };
        async move { api.send_request(request.body(Body::from(body.to_string())).unwrap()).await }
    };
    let mut flood = JoinSet::new();
    for number in 0..80 {
        flood.spawn(dial(Some(number)));
    }
    for _ in 0..8 {
        let refused = flood.join_next().await.unwrap().unwrap();
        assert_eq!(refused.headers[header::RETRY_AFTER], "1");
        refused.expect_problem(429, "too_many_writes");
    }
    let orders = || api.switchboard.script(|script| script.orders.len());
    while orders() < 8 {
        tokio::task::yield_now().await;
    }
    let other = api.other.key.clone();
    api.send(Method::POST, "/trunks", Some(trunk_body(json!({}))), Some(&other)).await.expect(201);
    api.get("/trunks").await.expect(200);
    assert_eq!(orders(), 8, "so many at once");
    // What is not written waits for nobody.
    flood.spawn(dial(None));
    while orders() < 9 {
        tokio::task::yield_now().await;
    }
    gate.add_permits(100);
    while let Some(answer) = flood.join_next().await {
        answer.unwrap().expect(201);
    }
    assert_eq!(orders(), 73);
}

#[tokio::test]
async fn many_keys_of_an_account_share_its_limit() {
    let api = Api::start().await.restarted_with_rate(NonZeroU32::new(1));
    let mut refused = None;
    // Each key has two requests at once, and the account eight.
    'keys: for number in 0..50 {
        let key =
            api.store.create_api_key(&crate::harness::ACT, api.mine.account.id, &number.to_string()).await.unwrap().1;
        for _ in 0..2 {
            let reply = api.send(Method::GET, "/trunks", None, Some(key.expose())).await;
            if reply.status == 429 {
                refused = Some(reply);
                break 'keys;
            }
        }
    }
    let refused = refused.expect("the account has a limit");
    assert_eq!(refused.headers["ratelimit-policy"], "\"key\";q=2;w=2");
    assert_eq!(refused.headers[header::RETRY_AFTER], "1");
    let problem = refused.expect_problem(429, "rate_limited");
    assert!(problem["detail"].as_str().unwrap().contains("of the account"), "{problem}");
    api.send(Method::GET, "/trunks", None, Some(&api.other.key)).await.expect(200);
}
