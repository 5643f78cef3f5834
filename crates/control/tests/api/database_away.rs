//! What the API does while the database is away.

use crate::harness::{Api, call_body, trunk_body};
use axum::http::{Method, header};
use serde_json::json;

#[tokio::test]
async fn what_needs_the_database_says_when_to_try_again_and_what_does_not_goes_on() {
    let api = Api::start().await;
    let trunk = api.trunk(json!({})).await;
    let logged = api.call(&trunk, "CA1").await;
    let order = json!({"to_number": "+12025550100", "connect": {"type": "echo"}});
    let live = api.post("/calls/dial", order.clone()).await.expect(201);
    let live = format!("/calls/{}", live["id"].as_str().unwrap());
    api.store.close().await;

    let (trunk_path, logged_path) = (format!("/trunks/{trunk}"), format!("/calls/{logged}"));
    let refusal = "/refusals/018f0000-0000-7000-8000-000000000000".to_owned();
    let needing = [
        (Method::GET, "/trunks".to_owned(), None),
        (Method::POST, "/trunks".to_owned(), Some(trunk_body(json!({"name": "another"})))),
        (Method::GET, trunk_path.clone(), None),
        (Method::PUT, trunk_path.clone(), Some(json!({"priority": 7}))),
        (Method::DELETE, trunk_path.clone(), None),
        (Method::POST, format!("{trunk_path}/health-check"), Some(json!({}))),
        (Method::GET, format!("{trunk_path}/health"), None),
        (Method::GET, "/calls".to_owned(), None),
        (Method::POST, "/calls".to_owned(), Some(call_body(&trunk, json!({"call_id": "CA2"})))),
        (Method::GET, logged_path.clone(), None),
        (Method::PUT, logged_path.clone(), Some(json!({"status": "completed"}))),
        (Method::GET, format!("{logged_path}/route"), None),
        (Method::GET, format!("{logged_path}/timeline"), None),
        (Method::GET, format!("{logged_path}/legs"), None),
        (Method::POST, format!("{logged_path}/hangup"), Some(json!({}))),
        (Method::GET, "/refusals".to_owned(), None),
        (Method::GET, refusal, None),
    ];
    for (method, path, body) in needing {
        let reply = api.send(method.clone(), &path, body, Some(&api.mine.key)).await;
        assert_eq!(
            reply.headers.get(header::RETRY_AFTER).map(|value| value.as_bytes()),
            Some(&b"2"[..]),
            "{method} {path}"
        );
        reply.expect_problem(503, "database_unavailable");
    }

    api.post("/calls/dial", order.clone()).await.expect(201);
    api.post("/routing/explain", order).await.expect(200);
    for path in [live.clone(), format!("{live}/route"), format!("{live}/timeline"), format!("{live}/legs")] {
        api.get(&path).await.expect(200);
    }
    api.post(&format!("{live}/hangup"), json!({})).await.expect(200);
    api.send(Method::GET, "//health/live", None, None).await.expect(200);
}
