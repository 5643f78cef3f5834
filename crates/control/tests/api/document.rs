use crate::harness::Api;
use axum::http::Method;
use serde_json::Value;
use std::collections::HashSet;
use tandem_control::openapi;
use tandem_model::Permission;

/// What everybody may do who reaches the node.
const OPEN: &[&str] = &[
    "GET /health/live",
    "GET /health/ready",
    "GET /openapi.json",
    "POST /api/v1/telephony/sessions",
    "POST /api/v1/telephony/sessions/refresh",
];

/// The document as it is checked in, for clients that are generated from it. `UPDATE_OPENAPI=1` writes it anew.
#[test]
fn the_document_is_the_one_that_is_checked_in() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
    let document = openapi().to_pretty_json().unwrap() + "\n";
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(path, &document).unwrap();
    }
    let checked_in = std::fs::read_to_string(path).unwrap_or_default();
    assert!(document == checked_in, "openapi.json is not up to date: run this test with UPDATE_OPENAPI=1");
}

#[tokio::test]
async fn the_node_serves_its_document() {
    let api = Api::start().await;
    let served = api.send(Method::GET, "//openapi.json", None, None).await.expect(200);
    assert_eq!(served, serde_json::to_value(openapi()).unwrap());
    assert!(served["openapi"].as_str().unwrap().starts_with("3.1"));
}

#[test]
fn every_operation_is_described_and_says_who_may_use_it() {
    let document = serde_json::to_value(openapi()).unwrap();
    assert_eq!(document["components"]["securitySchemes"]["bearer"]["scheme"], "bearer");
    let mut ids = HashSet::new();
    for (path, method, operation) in operations(&document) {
        let name = format!("{method} {path}");
        assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{name} has no summary");
        assert!(operation["security"].is_array(), "{name} says nothing of security");
        let is_open = operation["security"][0].as_object().is_some_and(serde_json::Map::is_empty);
        assert_eq!(is_open, OPEN.contains(&name.as_str()), "{name}");
        if !is_open {
            let needed = operation["security"][0]["bearer"].as_array().map_or(&[][..], Vec::as_slice);
            let is_permission = |name: &Value| name.as_str().unwrap_or_default().parse::<Permission>().is_ok();
            assert!(!needed.is_empty() && needed.iter().all(is_permission), "{name} needs {needed:?}");
            assert_eq!(operation["security"].as_array().map(Vec::len), Some(1), "{name}");
        }
        let answers = operation["responses"].as_object().unwrap();
        assert!(is_open || answers.contains_key("401"), "{name} does not tell of 401");
        assert!(is_open || answers.contains_key("403"), "{name} does not tell of 403");
        assert!(
            answers.values().all(|answer| answer["description"].is_string() || answer["$ref"].is_string()),
            "{name} has an answer without description"
        );
        assert!(ids.insert(operation["operationId"].clone()), "{name} has the operationId of another");
        assert!(answers.keys().any(|status| status.starts_with('2')), "{name} never works");
    }
}

#[test]
fn every_operation_tells_of_the_conventions() {
    let document = serde_json::to_value(openapi()).unwrap();
    for (path, method, operation) in operations(&document) {
        let name = format!("{method} {path}");
        let is_limited = !path.starts_with("/health/") && path != "/metrics";
        assert!(!is_limited || operation["responses"]["429"].is_object(), "{name} does not tell of 429");
        for (status, answer) in operation["responses"].as_object().unwrap() {
            let headers = &answer["headers"];
            assert!(!status.starts_with('2') || headers["x-request-id"].is_object(), "{name} {status}");
            assert_eq!(status.starts_with('2') && is_limited, headers["RateLimit"].is_object(), "{name} {status}");
        }
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        let key = serde_json::json!({"$ref": "#/components/parameters/IdempotencyKey"});
        let is_keyed = method == "POST" && !OPEN.contains(&name.as_str()) && path != EXPLAIN;
        assert_eq!(parameters.contains(&key), is_keyed, "{name}");
        assert!(!is_keyed || operation["responses"]["409"].is_object(), "{name} does not tell of 409");
    }
    // Nothing is referred to that is not there.
    let text = document.to_string();
    for target in text.split("\"$ref\":\"#").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert!(document.pointer(target).is_some(), "{target}");
    }
}

#[tokio::test]
async fn every_post_of_somebody_heeds_an_idempotency_key() {
    let api = Api::start().await;
    let document = serde_json::to_value(openapi()).unwrap();
    for (path, method, operation) in operations(&document) {
        if method != "POST" || operation["security"][0]["bearer"].is_null() || path == EXPLAIN {
            continue;
        }
        // Whoever sends a key has an answer stored: who may only read stores nothing.
        let needed = operation["security"][0]["bearer"].as_array().unwrap();
        assert!(needed.iter().any(|permission| permission != "read"), "{path} needs {needed:?}");
        let id = "0198f000-0000-7000-8000-000000000000";
        let path =
            path.split('/').map(|part| if part.starts_with('{') { id } else { part }).collect::<Vec<_>>().join("/");
        let request = axum::http::Request::post(&path)
            .header("authorization", format!("Bearer {}", api.mine.key))
            .header("idempotency-key", "x".repeat(256));
        let problem = api.send_request(request.body("{}".into()).unwrap()).await.expect_problem(422, "invalid_field");
        assert_eq!(problem["errors"][0]["field"], "Idempotency-Key", "{path}");
    }
}

#[tokio::test]
async fn every_operation_refuses_what_it_does_not_take() {
    let api = Api::start().await;
    let document = serde_json::to_value(openapi()).unwrap();
    for (path, method, operation) in operations(&document) {
        let name = format!("{method} {path}");
        let body = (method != "GET" && method != "DELETE").then(|| serde_json::json!({}));
        let (id, method) = ("0198f000-0000-7000-8000-000000000000", method.parse().unwrap());
        let target: Vec<&str> = path.split('/').map(|part| if part.starts_with('{') { id } else { part }).collect();
        let reply = api.send(method, &format!("/{}?bogus=1", target.join("/")), body, Some(&api.mine.key)).await;
        // Lists whose clients may be older pass it over, and say so.
        if ["GET /api/v1/telephony/trunks", "GET /api/v1/telephony/calls"].contains(&name.as_str()) {
            assert!(reply.headers["warning"].to_str().unwrap().contains("bogus is no known parameter"), "{name}");
            reply.expect(200);
            continue;
        }
        // What probes and scrapers ask for is no matter of theirs.
        if !path.starts_with("/api/") {
            assert_ne!(reply.status, 422, "{name}");
            continue;
        }
        assert_eq!(reply.status, 422, "{name}: {}", reply.body);
        assert!(reply.expect_wrong_field("bogus").starts_with("is no known parameter"), "{name}");
        assert!(operation["responses"]["422"].is_object(), "{name} does not tell of 422");
    }
}

/// It only asks, and keeps no answer.
const EXPLAIN: &str = "/api/v1/telephony/routing/explain";

/// Every path, method and operation of the document.
pub(crate) fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            if operation.is_object() {
                found.push((path.clone(), method.to_uppercase(), operation.clone()));
            }
        }
    }
    found
}
