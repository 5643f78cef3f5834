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
async fn a_number_is_changed_and_removed_by_its_version() {
    let api = Api::start().await;
    let made = api.post("/numbers", json!({"number": "+12025550100", "connect": {"type": "echo"}})).await;
    let first = tag(&made);
    let path = format!("/numbers/{}", made.expect(201)["id"].as_str().unwrap());
    assert_eq!(tag(&api.get(&path).await), first);
    let changes = [json!({"label": "Desk"}), json!({"metadata": {"a": 1}})];
    let now = only_the_first_of_two_changes_counts(&api, Method::PATCH, &path, changes).await;
    send_if(&api, Method::DELETE, &path, &first, json!({})).await.expect_problem(412, "precondition_failed");
    send_if(&api, Method::DELETE, &path, &now, json!({})).await.expect(204);
}

#[tokio::test]
async fn a_webhook_endpoint_is_changed_and_removed_by_its_version() {
    let api = Api::start().await;
    let made = api.post("/webhook-endpoints", json!({"url": "https://example.com/hooks"})).await;
    let first = tag(&made);
    let path = format!("/webhook-endpoints/{}", made.expect(201)["id"].as_str().unwrap());
    assert_eq!(tag(&api.get(&path).await), first);
    let changes = [json!({"description": "ours"}), json!({"enabled": false})];
    let now = only_the_first_of_two_changes_counts(&api, Method::PATCH, &path, changes).await;
    let rotated = tag(&api.post(&format!("{path}/rotate-secret"), json!({})).await);
    assert_ne!(rotated, now, "a secret that nobody sees counts too");
    assert_eq!(tag(&api.get(&path).await), rotated);
    send_if(&api, Method::DELETE, &path, &now, json!({})).await.expect_problem(412, "precondition_failed");
    send_if(&api, Method::DELETE, &path, &rotated, json!({})).await.expect(204);
}

#[tokio::test]
async fn a_key_is_revoked_by_its_version() {
    let api = Api::start().await;
    let made = api.post("/api-keys", json!({"name": "x", "scopes": ["read"]})).await;
    let first = tag(&made);
    let path = format!("/api-keys/{}", made.expect(201)["id"].as_str().unwrap());
    assert_eq!(tag(&api.get(&path).await), first);
    send_if(&api, Method::DELETE, &path, "\"1\"", json!({})).await.expect_problem(412, "precondition_failed");
    assert_eq!(api.get(&path).await.expect(200)["revoked_at"], Value::Null);
    send_if(&api, Method::DELETE, &path, &first, json!({})).await.expect(204);
    assert_ne!(tag(&api.get(&path).await), first);
}

#[tokio::test]
async fn for_how_long_data_is_kept_is_changed_by_its_version() {
    let api = Api::start().await;
    let changes = [json!({"calls_days": 30}), json!({"calls_days": 60})];
    only_the_first_of_two_changes_counts(&api, Method::PUT, "/retention", changes).await;
}

#[tokio::test]
async fn what_has_no_versions_says_so() {
    let api = Api::start().await;
    let credit = format!("/accounts/{}/credits", api.mine.account.id);
    send_if(&api, Method::PATCH, &credit, "\"1\"", json!({"credit_control": "on"}))
        .await
        .expect_problem(412, "precondition_failed");
    send_if(&api, Method::GET, "/trunks", "\"1\"", json!({})).await.expect(200);
}

/// Makes one of each kind of thing that has an id and can be read by it: its path by that of the document.
async fn one_of_each(api: &Api) -> Vec<(&'static str, String)> {
    // One that has a call that is up is not deleted.
    let (trunk, busy) = (api.trunk(json!({})).await, api.trunk(json!({"name": "busy"})).await);
    let made = async |path: &'static str, body: Value| {
        let id = api.post(path, body).await.expect(201)["id"].as_str().unwrap().to_owned();
        format!("{path}/{id}")
    };
    vec![
        ("/trunks/{id}", format!("/trunks/{trunk}")),
        ("/calls/{id}", format!("/calls/{}", api.call(&busy, "c-1").await)),
        ("/numbers/{id}", made("/numbers", json!({"number": "+12025550100", "connect": {"type": "echo"}})).await),
        ("/webhook-endpoints/{id}", made("/webhook-endpoints", json!({"url": "https://example.com/hooks"})).await),
        ("/api-keys/{id}", made("/api-keys", json!({"name": "x", "scopes": ["read"]})).await),
        ("/retention", "/retention".to_owned()),
        ("/alert-settings", "/alert-settings".to_owned()),
        ("/users/{id}", made("/users", json!({"email": "zoe@example.com", "role": "viewer"})).await),
    ]
}

#[tokio::test]
async fn whatever_is_read_and_changed_at_one_path_has_a_version() {
    let api = Api::start().await;
    let document = serde_json::to_value(tandem_control::openapi()).unwrap();
    let made = one_of_each(&api).await;
    let mut seen = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        let changing: Vec<&str> = ["put", "patch", "delete"].into_iter().filter(|way| item[way].is_object()).collect();
        if !item["get"].is_object() || changing.is_empty() {
            continue;
        }
        let header = &item["get"]["responses"]["200"]["headers"]["ETag"];
        assert!(header.is_object(), "GET {path} shows no ETag in the document");
        let short = path.trim_start_matches("/api/v1/telephony");
        let known = made.iter().find(|(known, _)| *known == short);
        let (_, concrete) = known.unwrap_or_else(|| panic!("this test makes nothing that is at {path}"));
        let before = api.get(concrete).await;
        let current = tag(&before);
        let before = before.expect(200);
        for way in changing {
            let parameters = item[way]["parameters"].to_string();
            assert!(parameters.contains("#/components/parameters/IfMatch"), "{way} {path} shows no If-Match");
            assert!(item[way]["responses"]["412"].is_object(), "{way} {path} tells of no 412");
            let media = &item[way]["requestBody"]["content"]["application/json"];
            let method = way.to_uppercase().parse().unwrap();
            let reply = send_if(&api, method, concrete, "\"abc\"", media["example"].clone()).await;
            assert_eq!(reply.status, 412, "{way} {path}: {}", reply.body);
            assert_eq!(tag(&reply), current, "{way} {path} says what it is now");
            reply.expect_problem(412, "precondition_failed");
        }
        let after = api.get(concrete).await;
        assert_eq!(tag(&after), current, "{path} was changed");
        assert_eq!(after.expect(200), before, "{path} was changed");
        seen += 1;
    }
    assert!(seen >= made.len(), "{seen} of {}", made.len());
}
