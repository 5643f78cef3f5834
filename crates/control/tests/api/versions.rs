use crate::harness::{Api, Reply, full};
use axum::body::Body;
use axum::http::{Method, Request, header};
use serde_json::{Value, json};

async fn send_if(api: &Api, method: Method, path: &str, tag: &str, body: Value) -> Reply {
    let request = Request::builder()
        .method(method)
        .uri(full(path))
        .header(header::AUTHORIZATION, format!("Bearer {}", api.mine.key))
        .header(header::IF_MATCH, tag);
    api.send_request(request.body(Body::from(body.to_string())).unwrap()).await
}

fn tag(reply: &Reply) -> String {
    reply.headers[header::ETAG].to_str().unwrap().to_owned()
}

/// Changes one thing by its version, as two clients would who have both read it.
async fn only_the_first_of_two_changes_counts(api: &Api, method: Method, path: &str, changes: [Value; 2]) -> String {
    let read = tag(&api.get(path).await);
    assert!(read.starts_with('"') && read.ends_with('"') && read.len() > 2, "{read}");
    let [first, second] = changes;
    let changed = send_if(api, method.clone(), path, &read, first.clone()).await;
    let now = tag(&changed);
    assert_ne!(now, read, "{path}");
    changed.expect(200);
    assert_eq!(tag(&api.get(path).await), now, "{path}");
    let refused = send_if(api, method.clone(), path, &read, second.clone()).await;
    assert_eq!(tag(&refused), now, "the answer says what it is now");
    let problem = refused.expect_problem(412, "precondition_failed");
    assert!(problem["detail"].as_str().unwrap().contains(&now), "{problem}");
    assert_eq!(tag(&api.get(path).await), now, "nothing was changed");
    for foreign in ["\"zz\"", "\"1\"", "W/\"1\"", "x"] {
        send_if(api, method.clone(), path, foreign, second.clone()).await.expect_problem(412, "precondition_failed");
    }
    let problem = send_if(api, method.clone(), path, "\"1\", \"2\"", second.clone()).await;
    assert_eq!(problem.expect_problem(422, "invalid_field")["errors"][0]["field"], "If-Match");
    let tried = send_if(api, method.clone(), &format!("{path}?dry_run=true"), &read, second.clone()).await;
    tried.expect_problem(412, "precondition_failed");
    send_if(api, method.clone(), path, "*", second).await.expect(200);
    let last = tag(&api.get(path).await);
    assert_ne!(last, now, "{path}");
    last
}

#[tokio::test]
async fn a_trunk_is_changed_and_deleted_by_its_version() {
    let api = Api::start().await;
    let path = format!("/trunks/{}", api.trunk(json!({})).await);
    let changes = [json!({"priority": 7}), json!({"priority": 8})];
    let now = only_the_first_of_two_changes_counts(&api, Method::PUT, &path, changes).await;
    let same = tag(&api.put(&path, json!({"sip_password": "another"})).await);
    assert_ne!(same, now, "a secret that nobody sees counts too");
    send_if(&api, Method::DELETE, &path, &now, json!({})).await.expect_problem(412, "precondition_failed");
    send_if(&api, Method::DELETE, &path, &same, json!({})).await.expect(204);
}

#[tokio::test]
async fn a_trunk_that_loses_its_failover_has_another_version() {
    let api = Api::start().await;
    let spare = api.trunk(json!({"name": "spare"})).await;
    let path = format!("/trunks/{}", api.trunk(json!({"failover_trunk_id": spare})).await);
    let before = tag(&api.get(&path).await);
    api.delete(&format!("/trunks/{spare}")).await.expect(204);
    assert_ne!(tag(&api.get(&path).await), before);
}

#[tokio::test]
async fn a_user_is_changed_and_removed_by_their_version() {
    let api = Api::start().await;
    let made = api.post("/users", json!({"email": "zoe@example.com", "role": "viewer"})).await;
    let first = tag(&made);
    let path = format!("/users/{}", made.expect(201)["id"].as_str().unwrap());
    assert_eq!(tag(&api.get(&path).await), first);
    let changes = [json!({"name": "Zoë"}), json!({"name": "Z", "role": "operator"})];
    let now = only_the_first_of_two_changes_counts(&api, Method::PATCH, &path, changes).await;
    send_if(&api, Method::DELETE, &path, &first, json!({})).await.expect_problem(412, "precondition_failed");
    send_if(&api, Method::DELETE, &path, &now, json!({})).await.expect(204);
}

#[tokio::test]
async fn a_logged_call_is_changed_by_its_version() {
    let api = Api::start().await;
    let trunk = api.trunk(json!({})).await;
    let path = format!("/calls/{}", api.call(&trunk, "c-1").await);
    let changes = [json!({"status": "ringing"}), json!({"metadata": {"a": 1}})];
    only_the_first_of_two_changes_counts(&api, Method::PUT, &path, changes).await;
}

#[tokio::test]
async fn what_has_no_versions_says_so() {
    let api = Api::start().await;
    let made = api.post("/api-keys", json!({"name": "x", "scopes": ["read"]})).await.expect(201);
    let path = format!("/api-keys/{}", made["id"].as_str().unwrap());
    send_if(&api, Method::DELETE, &path, "\"1\"", json!({})).await.expect_problem(412, "precondition_failed");
    assert_eq!(api.get(&path).await.expect(200)["revoked_at"], Value::Null);
    send_if(&api, Method::GET, "/trunks", "\"1\"", json!({})).await.expect(200);
}
