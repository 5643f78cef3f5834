use crate::harness::Api;
use axum::http::{Method, header};
use serde_json::json;
use std::num::NonZeroU32;

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
