use crate::document::operations;
use crate::harness::{ACT, Api, at};
use axum::body::Body;
use axum::http::{Method, Request, header};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tandem_control::openapi;
use tandem_model::{Permission, Permissions, Role};
use tandem_store::NewApiKey;

/// Every endpoint that changes something and that a viewer may nevertheless use: one's own sessions and password.
const OWN: &[&str] = &[
    "DELETE /sessions/current",
    "DELETE /sessions/{id}",
    "PUT /users/current/password",
    // It asks, and changes nothing.
    "POST /routing/explain",
];

/// Adds a user of this role and signs in; gives the access token.
async fn signed_in(api: &Api, role: Role) -> String {
    let email = format!("{role}@example.com");
    let user = api.post("/users", json!({"email": email, "role": role})).await.expect(201);
    let credentials = json!({"email": email, "password": user["password"]});
    let tokens = api.send(Method::POST, "/sessions", Some(credentials), None).await.expect(201);
    tokens["access_token"].as_str().unwrap().to_owned()
}

/// Every operation that needs permissions, by method and path below the API, with those.
fn guarded() -> BTreeMap<(String, String), Permissions> {
    let document = serde_json::to_value(openapi()).unwrap();
    let needs = |(path, method, operation): (String, String, Value)| {
        let named = operation["security"][0]["bearer"].as_array()?;
        let needed = named.iter().map(|name| name.as_str().unwrap().parse::<Permission>().unwrap()).collect();
        // What is outside is for the operator's account only, and has tests of its own.
        let short = path.strip_prefix("/api/v1/telephony")?.to_owned();
        Some(((method, short), needed))
    };
    operations(&document).into_iter().filter_map(needs).collect()
}

#[tokio::test]
async fn each_role_may_do_what_it_holds_and_nothing_else() {
    let api = Api::start().await;
    let mut bearers = Vec::new();
    for role in Role::ALL {
        bearers.push((role.permissions(), signed_in(&api, *role).await));
    }
    for scope in Permission::ALL {
        let scopes = Permissions::of(&[*scope]);
        let new = NewApiKey { account_id: api.mine.account.id, name: "scoped", scopes, expires_at: None };
        let (_, key) = api.store.create_limited_api_key(&ACT, new).await.unwrap();
        bearers.push((scopes, key.expose().to_owned()));
    }
    let guarded = guarded();
    assert!(guarded.len() >= 27, "{guarded:?}");
    let nowhere = "018f0000-0000-7000-8000-000000000000";
    for (permissions, bearer) in &bearers {
        for ((method, path), needed) in &guarded {
            let name = format!("{permissions:?} {method} {path}");
            // It would end the session with which the others are tried.
            if path == "/sessions/current" {
                continue;
            }
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            // A stream of events would go on.
            let path = if path == "/events" { "/events?follow=false" } else { path };
            let reply = api.send(method, &path.replace("{id}", nowhere), Some(json!({})), Some(bearer)).await;
            match permissions.first_missing(*needed) {
                None => {
                    let status = reply.status.as_u16();
                    assert!(!matches!(status, 401 | 403 | 500), "{name}: {status} {}", reply.body);
                }
                Some(missing) => {
                    let problem = reply.expect_problem(403, "forbidden");
                    assert!(problem["detail"].as_str().unwrap().contains(missing.as_str()), "{name}: {problem}");
                }
            }
        }
    }
}

#[test]
fn a_viewer_changes_nothing_of_the_account() {
    for ((method, path), needed) in guarded() {
        let changes = method != "GET" && !OWN.contains(&format!("{method} {path}").as_str());
        assert!(!changes || Role::Viewer.permissions().first_missing(needed).is_some(), "{method} {path}");
    }
}

/// Whoever says where events go reads them.
#[tokio::test]
async fn who_may_not_read_has_no_events_sent() {
    let guarded = guarded();
    let both = Permissions::of(&[Permission::Read, Permission::Write]);
    let of_endpoints = guarded.iter().filter(|((_, path), _)| path.starts_with("/webhook-endpoints"));
    let changes = of_endpoints.filter(|((method, _), _)| method != "GET" && method != "DELETE");
    assert_eq!(changes.clone().count(), 6);
    for ((method, path), needed) in changes {
        assert_eq!(*needed, both, "{method} {path}");
    }
    let api = Api::start().await;
    let writer = api.post("/api-keys", json!({"name": "writer", "scopes": ["write"]})).await.expect(201);
    let writer = writer["key"].as_str();
    let body = json!({"url": "https://203.0.113.7/events", "event_types": ["call.*"]});
    let made = api.send(Method::POST, "/webhook-endpoints", Some(body.clone()), writer).await;
    let problem = made.expect_problem(403, "forbidden");
    assert!(problem["detail"].as_str().unwrap().contains("read"), "{problem}");
    let both = api.post("/api-keys", json!({"name": "both", "scopes": ["write", "read"]})).await.expect(201);
    let made = api.send(Method::POST, "/webhook-endpoints", Some(body), both["key"].as_str()).await.expect(201);
    // It may be taken away by who could not have made it.
    let path = format!("/webhook-endpoints/{}", made["id"].as_str().unwrap());
    api.send(Method::DELETE, &path, None, writer).await.expect(204);
}

#[tokio::test]
async fn a_new_role_counts_at_once_and_a_removed_user_is_nobody() {
    let api = Api::start().await;
    let token = signed_in(&api, Role::Operator).await;
    let body = || Some(json!({}));
    api.send(Method::POST, "/trunks", body(), Some(&token)).await.expect_problem(422, "invalid_field");
    let users = api.get("/users").await.expect(200);
    let path = format!("/users/{}", users[0]["id"].as_str().unwrap());
    let demoted =
        api.send(Method::PATCH, &path, Some(json!({"role": "viewer"})), Some(&api.mine.key)).await.expect(200);
    assert_eq!(demoted["role"], "viewer");

    let api = api.restarted();
    api.send(Method::POST, "/trunks", body(), Some(&token)).await.expect_problem(403, "forbidden");
    api.send(Method::GET, "/trunks", None, Some(&token)).await.expect(200);
    api.delete(&path).await.expect(204);
    let api = api.restarted();
    api.send(Method::GET, "/trunks", None, Some(&token)).await.expect_problem(401, "unauthorized");
}

#[tokio::test]
async fn a_key_is_made_shown_once_listed_and_revoked() {
    let api = Api::start().await;
    let made = api.post("/api-keys", json!({"name": "dialler", "scopes": ["read", "calls"]})).await.expect(201);
    let key = made["key"].as_str().unwrap().to_owned();
    assert!(key.starts_with("tdm_") && key.starts_with(made["prefix"].as_str().unwrap()));
    assert_eq!((&made["scopes"], &made["expires_at"]), (&json!(["read", "calls"]), &Value::Null));
    let path = format!("/api-keys/{}", made["id"].as_str().unwrap());
    let shown = api.get(&path).await.expect(200);
    assert!(shown.get("key").is_none() && shown["name"] == "dialler");
    assert_eq!(api.get("/api-keys").await.expect(200)[0]["id"], made["id"]);
    api.send(Method::GET, "/calls", None, Some(&key)).await.expect(200);

    api.delete(&path).await.expect(204);
    let api = api.restarted();
    api.send(Method::GET, "/calls", None, Some(&key)).await.expect_problem(401, "unauthorized");
    assert!(api.get(&path).await.expect(200)["revoked_at"].is_string());
}

#[tokio::test]
async fn a_key_counts_until_it_expires() {
    let api = Api::start().await;
    let body = json!({"name": "short", "scopes": ["read"], "expires_at": at(60).to_string()});
    let key = api.post("/api-keys", body).await.expect(201)["key"].as_str().unwrap().to_owned();
    api.clock.advance(59);
    api.send(Method::GET, "/calls", None, Some(&key)).await.expect(200);
    // What is remembered of it has not been looked up again, and yet does not count.
    api.clock.advance(1);
    api.send(Method::GET, "/calls", None, Some(&key)).await.expect_problem(401, "unauthorized");
    let past = json!({"name": "late", "scopes": ["read"], "expires_at": at(60).to_string()});
    api.post("/api-keys", past).await.expect_wrong_field("expires_at");
}

#[tokio::test]
async fn nobody_gives_what_they_do_not_have() {
    let api = Api::start().await;
    let keeper = json!({"name": "keeper", "scopes": ["read", "admin"]});
    let keeper = api.post("/api-keys", keeper).await.expect(201)["key"].as_str().unwrap().to_owned();
    let admin = api.post("/users", json!({"email": "chief@example.com", "role": "admin"})).await.expect(201);
    let viewer = api.post("/users", json!({"email": "v@example.com", "role": "viewer"})).await.expect(201);
    let path = |user: &Value| format!("/users/{}", user["id"].as_str().unwrap());
    for (method, path, body) in [
        (Method::POST, "/api-keys".to_owned(), json!({"name": "more", "scopes": ["read", "write"]})),
        (Method::POST, "/users".to_owned(), json!({"email": "o@example.com", "role": "operator"})),
        (Method::PATCH, path(&viewer), json!({"role": "operator"})),
        // With a new password they would be the admin.
        (Method::PATCH, path(&admin), json!({"password": "0123456789ab"})),
    ] {
        let problem = api.send(method, &path, Some(body), Some(&keeper)).await.expect_problem(403, "forbidden");
        assert!(problem["detail"].as_str().unwrap().contains("permission"), "{problem}");
    }
    let less = json!({"name": "less", "scopes": ["read"]});
    api.send(Method::POST, "/api-keys", Some(less), Some(&keeper)).await.expect(201);
    let rename = json!({"name": "V"});
    api.send(Method::PATCH, &path(&viewer), Some(rename), Some(&keeper)).await.expect(200);
}

#[tokio::test]
async fn nobody_removes_who_may_do_more() {
    let api = Api::start().await;
    let keeper = json!({"name": "keeper", "scopes": ["read", "admin"]});
    let keeper = api.post("/api-keys", keeper).await.expect(201);
    let keeper = keeper["key"].as_str();
    let chief = signed_in(&api, Role::Admin).await;
    let _ = signed_in(&api, Role::Viewer).await;
    let own = api.send(Method::GET, "/sessions", None, Some(&chief)).await.expect(200);
    let current = |session: &Value| session["current"] == true;
    let (chiefs, viewers) = match own.as_array().unwrap().as_slice() {
        [one, other] if current(one) => (one.clone(), other.clone()),
        [other, one] if current(one) => (one.clone(), other.clone()),
        others => panic!("{others:?}"),
    };
    let users = api.get("/users").await.expect(200);
    let user = |role: &str| users.as_array().unwrap().iter().find(|user| user["role"] == role).unwrap()["id"].clone();
    let writer = api.post("/api-keys", json!({"name": "writer", "scopes": ["write"]})).await.expect(201);
    let reader = api.post("/api-keys", json!({"name": "reader", "scopes": ["read"]})).await.expect(201);
    let path = |kind: &str, id: &Value| format!("/{kind}/{}", id.as_str().unwrap());
    for (more, less) in [
        (path("sessions", &chiefs["id"]), path("sessions", &viewers["id"])),
        (path("users", &user("admin")), path("users", &user("viewer"))),
        (path("api-keys", &writer["id"]), path("api-keys", &reader["id"])),
    ] {
        let problem = api.send(Method::DELETE, &more, None, keeper).await.expect_problem(403, "forbidden");
        assert!(problem["detail"].as_str().unwrap().contains("permission"), "{more}: {problem}");
        let asked = api.send(Method::DELETE, &format!("{more}?dry_run=true"), None, keeper).await;
        asked.expect_problem(403, "forbidden");
        api.send(Method::DELETE, &less, None, keeper).await.expect(204);
    }
    api.send(Method::GET, "/trunks", None, Some(&chief)).await.expect(200);
}

#[tokio::test]
async fn a_key_that_a_key_makes_ends_with_it() {
    let api = Api::start().await;
    let short = json!({"name": "short", "scopes": ["read", "admin"], "expires_at": at(60).to_string()});
    let short = api.post("/api-keys", short).await.expect(201);
    let make = async |end: Option<i64>| {
        let mut body = json!({"name": "made", "scopes": ["read"]});
        if let Some(end) = end {
            body["expires_at"] = at(end).to_string().into();
        }
        api.send(Method::POST, "/api-keys", Some(body), short["key"].as_str()).await
    };
    let message = make(Some(61)).await.expect_wrong_field("expires_at");
    assert!(message.contains(&at(60).to_string()), "{message}");
    let made = make(None).await.expect(201);
    assert_eq!(
        (&made["expires_at"], make(Some(59)).await.expect(201)["expires_at"].as_str()),
        (&short["expires_at"], Some(at(59).to_string().as_str()))
    );
    assert_eq!(made["created_by"], json!({"kind": "api_key", "id": short["id"]}));
    let shown = api.get(&format!("/api-keys/{}", made["id"].as_str().unwrap())).await.expect(200);
    assert_eq!(shown["created_by"], made["created_by"]);
    // One that a person makes has no end unless they say so.
    let chief = signed_in(&api, Role::Admin).await;
    let theirs = json!({"name": "theirs", "scopes": ["read"]});
    let theirs = api.send(Method::POST, "/api-keys", Some(theirs), Some(&chief)).await.expect(201);
    assert_eq!((&theirs["expires_at"], &theirs["created_by"]["kind"]), (&Value::Null, &json!("user")));

    api.delete(&format!("/api-keys/{}", short["id"].as_str().unwrap())).await.expect(204);
    let api = api.restarted();
    api.send(Method::GET, "/trunks", None, made["key"].as_str()).await.expect_problem(401, "unauthorized");
    api.send(Method::GET, "/trunks", None, theirs["key"].as_str()).await.expect(200);
    assert!(
        api.get(&format!("/api-keys/{}", made["id"].as_str().unwrap())).await.expect(200)["revoked_at"].is_string()
    );
}

/// What is remembered of a bearer must not be enough to leave a key behind.
#[tokio::test]
async fn a_key_that_was_revoked_a_moment_ago_makes_none() {
    let api = Api::start().await;
    let maker = api.post("/api-keys", json!({"name": "maker", "scopes": ["read", "admin"]})).await.expect(201);
    let make = async || {
        let body = json!({"name": "made", "scopes": ["read"]});
        api.send(Method::POST, "/api-keys", Some(body), maker["key"].as_str()).await
    };
    make().await.expect(201);
    api.delete(&format!("/api-keys/{}", maker["id"].as_str().unwrap())).await.expect(204);
    make().await.expect_problem(401, "unauthorized");
}

#[tokio::test]
async fn bodies_are_strict() {
    let api = Api::start().await;
    let wrong = [
        ("/api-keys", json!({"name": "x", "scopes": []}), "scopes"),
        ("/api-keys", json!({"name": "x", "scopes": ["everything"]}), "scopes"),
        ("/api-keys", json!({"name": " x", "scopes": ["read"]}), "name"),
        ("/api-keys", json!({"name": "x", "scopes": ["read"], "expires": null}), "expires"),
        ("/api-keys", json!({"name": "x", "scopes": ["read"], "account_id": "y"}), "account_id"),
        ("/users", json!({"email": "nobody", "role": "viewer"}), "email"),
        ("/users", json!({"email": "a@b", "role": "owner"}), "role"),
        ("/users", json!({"email": "a@b", "role": "viewer", "password": "short"}), "password"),
        ("/users", json!({"email": "a@b", "role": "viewer", "user_id": "x"}), "user_id"),
        ("/sessions", json!({"email": "a@b"}), "password"),
        ("/sessions", json!({"link_token": "x", "email": "a@b"}), "email"),
        ("/sessions/refresh", json!({}), "refresh_token"),
    ];
    for (path, body, field) in wrong {
        api.post(path, body).await.expect_wrong_field(field);
    }
}

#[tokio::test]
async fn an_admin_of_the_node_acts_for_an_account_when_they_say_so() {
    let api = Api::start().await;
    let node = api.store.ensure_admin_account(&ACT, "admin").await.unwrap();
    let (_, all) = api.store.create_api_key(&ACT, node.id, "operator's").await.unwrap();
    let no_admin = Permissions::of(&[Permission::Read, Permission::Calls, Permission::Write]);
    let limited = NewApiKey { account_id: node.id, name: "limited", scopes: no_admin, expires_at: None };
    let (_, limited) = api.store.create_limited_api_key(&ACT, limited).await.unwrap();
    let trunk = api.trunk(json!({})).await;
    let ask = async |key: &str, account: &str| {
        let request = Request::builder()
            .uri(format!("/api/v1/telephony/trunks/{trunk}"))
            .header(header::AUTHORIZATION, format!("Bearer {key}"))
            .header("x-act-as", account);
        api.send_request(request.body(Body::empty()).unwrap()).await
    };
    let mine = api.mine.account.id.to_string();
    assert_eq!(ask(all.expose(), &mine).await.expect(200)["user_id"], mine);
    // Without saying so, it is another account's.
    let path = format!("/trunks/{trunk}");
    api.send(Method::GET, &path, None, Some(all.expose())).await.expect_problem(404, "not_found");

    ask(&api.other.key, &mine).await.expect_problem(403, "forbidden");
    ask(limited.expose(), &mine).await.expect_problem(403, "forbidden");
    // Not even for oneself, unless one is an admin of the node.
    ask(&api.mine.key, &mine).await.expect_problem(403, "forbidden");
    for unknown in ["018f0000-0000-7000-8000-000000000000", "x", ""] {
        ask(all.expose(), unknown).await.expect_problem(404, "account_not_found");
    }
}
