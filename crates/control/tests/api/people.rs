use crate::harness::{ACT, Api, Reply, at};
use axum::http::{Method, header};
use serde_json::{Value, json};
use tandem_control::ClientAddress;
use tandem_model::{Role, UserId};
use tandem_store::User;

const EMAIL: &str = "zoe@example.com";
const PASSWORD: &str = "correct horse battery";

async fn with_user(api: &Api, role: &str) -> String {
    let body = json!({"email": EMAIL, "name": "Zoë", "role": role, "password": PASSWORD});
    let user = api.post("/users", body).await.expect(201);
    assert_eq!(user["password"], Value::Null, "what was sent is not shown");
    user["id"].as_str().unwrap().to_owned()
}

async fn sign_in(api: &Api, email: &str, password: &str) -> Reply {
    let body = json!({"email": email, "password": password});
    api.send(Method::POST, "/sessions", Some(body), None).await
}

async fn refresh(api: &Api, tokens: &Value) -> Reply {
    let body = json!({"refresh_token": tokens["refresh_token"]});
    api.send(Method::POST, "/sessions/refresh", Some(body), None).await
}

async fn ask(api: &Api, tokens: &Value) -> u16 {
    let token = tokens["access_token"].as_str().unwrap();
    api.send(Method::GET, "/trunks", None, Some(token)).await.status.as_u16()
}

#[tokio::test]
async fn a_person_signs_in_stays_and_signs_out() {
    let api = Api::start().await;
    let user = with_user(&api, "viewer").await;
    let reply = sign_in(&api, "ZOE@example.com", PASSWORD).await;
    assert_eq!(reply.headers[header::CACHE_CONTROL], "no-store");
    let tokens = reply.expect(201);
    assert_eq!((&tokens["user"]["id"], &tokens["user"]["role"]), (&json!(user), &json!("viewer")));
    assert_eq!((&tokens["token_type"], &tokens["expires_in"]), (&json!("Bearer"), &json!(900)));
    assert_eq!(ask(&api, &tokens).await, 200);

    let token = tokens["access_token"].as_str().unwrap();
    let listed = api.send(Method::GET, "/sessions", None, Some(token)).await.expect(200);
    assert_eq!((&listed[0]["id"], &listed[0]["current"]), (&tokens["session_id"], &json!(true)));
    api.send(Method::DELETE, "/sessions/current", None, Some(token)).await.expect(204);
    let api = api.restarted();
    assert_eq!(ask(&api, &tokens).await, 401, "the access token dies with the session");
    refresh(&api, &tokens).await.expect_problem(401, "sign_in_failed");
    // A key is no session.
    api.delete("/sessions/current").await.expect_problem(404, "not_found");
}

#[tokio::test]
async fn an_access_token_lives_a_quarter_of_an_hour_and_the_session_on() {
    let api = Api::start().await;
    with_user(&api, "viewer").await;
    let first = sign_in(&api, EMAIL, PASSWORD).await.expect(201);
    api.clock.advance(15 * 60 + 59);
    assert_eq!(ask(&api, &first).await, 200, "clocks differ by a minute at most");
    api.clock.advance(1);
    assert_eq!(ask(&api, &first).await, 401);
    let second = refresh(&api, &first).await.expect(200);
    assert_eq!(second["session_id"], first["session_id"]);
    assert_eq!(ask(&api, &second).await, 200);

    api.clock.advance(30 * 24 * 60 * 60);
    refresh(&api, &second).await.expect_problem(401, "sign_in_failed");
}

#[tokio::test]
async fn a_refresh_token_that_is_used_twice_ends_the_session() {
    let api = Api::start().await;
    with_user(&api, "viewer").await;
    let first = sign_in(&api, EMAIL, PASSWORD).await.expect(201);
    let second = refresh(&api, &first).await.expect(200);
    refresh(&api, &first).await.expect_problem(401, "sign_in_failed");
    refresh(&api, &second).await.expect_problem(401, "sign_in_failed");
    let api = api.restarted();
    assert_eq!(ask(&api, &second).await, 401);
}

#[tokio::test]
async fn an_answer_does_not_tell_whether_there_is_such_a_user() {
    let api = Api::start().await;
    with_user(&api, "viewer").await;
    let without_password = User {
        id: UserId::new(at(0), [9; 10]),
        account_id: api.mine.account.id,
        name: "New".to_owned(),
        email: "new@example.com".to_owned(),
        role: Role::Viewer,
        created_at: at(0),
    };
    api.store.insert_user(&ACT, &without_password, None).await.unwrap();
    let answers = async |email: &str| {
        let mut answers = Vec::new();
        for _ in 0..7 {
            let mut reply = sign_in(&api, email, "wrong password").await;
            reply.body.as_object_mut().unwrap().remove("request_id");
            answers.push((reply.status, reply.headers.get(header::RETRY_AFTER).cloned(), reply.body));
        }
        answers
    };
    let known = answers(EMAIL).await;
    assert_eq!(answers("nobody@example.com").await, known);
    assert_eq!(known[4].0, 401);
    assert_eq!((known[5].0.as_u16(), known[5].1.as_ref().unwrap()), (429, &header::HeaderValue::from(30)));
    // The bucket of the source is nearly empty.
    api.clock.advance(15);
    assert_eq!(answers("new@example.com").await[..5], known[..5]);
}

#[tokio::test]
async fn wrong_passwords_lock_the_user_and_a_right_one_ends_the_count() {
    let api = Api::start().await;
    with_user(&api, "viewer").await;
    for _ in 0..4 {
        sign_in(&api, EMAIL, "wrong password").await.expect_problem(401, "sign_in_failed");
    }
    sign_in(&api, EMAIL, PASSWORD).await.expect(201);
    for _ in 0..5 {
        sign_in(&api, EMAIL, "wrong password").await.expect_problem(401, "sign_in_failed");
    }
    let locked = sign_in(&api, EMAIL, PASSWORD).await;
    assert_eq!(locked.headers[header::RETRY_AFTER], "30");
    locked.expect_problem(429, "too_many_attempts");
    // Whoever is signed in already stays so, and others are not locked.
    api.clock.advance(30);
    sign_in(&api, EMAIL, "wrong password").await.expect_problem(401, "sign_in_failed");
    let locked = sign_in(&api, EMAIL, PASSWORD).await;
    assert_eq!(locked.headers[header::RETRY_AFTER], "60", "twice as long");
    api.clock.advance(60);
    sign_in(&api, EMAIL, PASSWORD).await.expect(201);
}

async fn sign_in_from(api: &Api, host: &str, email: &str, password: &str) -> Reply {
    let body = json!({"email": email, "password": password});
    let host = ClientAddress(host.parse().unwrap());
    api.send_from(host, Method::POST, "/sessions", Some(body), None).await
}

#[tokio::test]
async fn a_stranger_who_guesses_locks_out_only_themselves() {
    let api = Api::start().await;
    with_user(&api, "viewer").await;
    for host in ["203.0.113.1", "2001:db8::1"] {
        for _ in 0..5 {
            sign_in_from(&api, host, EMAIL, "wrong password").await.expect_problem(401, "sign_in_failed");
        }
        sign_in_from(&api, host, EMAIL, PASSWORD).await.expect_problem(429, "too_many_attempts");
    }
    let neighbour = sign_in_from(&api, "2001:db8::2:0:0:1", EMAIL, PASSWORD).await;
    neighbour.expect_problem(429, "too_many_attempts");
    for host in ["203.0.113.2", "2001:db8:0:1::1"] {
        sign_in_from(&api, host, EMAIL, PASSWORD).await.expect(201);
    }
    let stranger = sign_in_from(&api, "203.0.113.1", EMAIL, PASSWORD).await;
    stranger.expect_problem(429, "too_many_attempts");
}

#[tokio::test]
async fn guesses_from_many_places_have_a_bound_and_tell_nothing() {
    let api = Api::start().await;
    with_user(&api, "viewer").await;
    sign_in_from(&api, "203.0.113.1", EMAIL, PASSWORD).await.expect(201);
    for email in [EMAIL, "nobody@example.com"] {
        for number in 0..50 {
            let host = format!("198.51.100.{number}");
            sign_in_from(&api, &host, email, "wrong password").await.expect_problem(401, "sign_in_failed");
        }
        let held = sign_in_from(&api, "198.51.100.100", email, PASSWORD).await;
        assert_eq!(held.headers[header::RETRY_AFTER], "3600");
        held.expect_problem(429, "too_many_attempts");
    }
    sign_in_from(&api, "203.0.113.1", EMAIL, PASSWORD).await.expect(201);
    let stranger = sign_in_from(&api, "203.0.113.2", EMAIL, PASSWORD).await;
    stranger.expect_problem(429, "too_many_attempts");
}

#[tokio::test]
async fn a_source_that_guesses_at_many_users_is_slowed_down() {
    let api = Api::start().await;
    with_user(&api, "viewer").await;
    for number in 0..20 {
        sign_in(&api, &format!("user{number}@example.com"), "wrong password").await.expect(401);
    }
    let slowed = sign_in(&api, EMAIL, PASSWORD).await;
    assert_eq!(slowed.headers[header::RETRY_AFTER], "3");
    slowed.expect_problem(429, "too_many_attempts");
    api.clock.advance(3);
    for _ in 0..3 {
        sign_in(&api, EMAIL, PASSWORD).await.expect(201);
    }
}

#[tokio::test]
async fn a_person_changes_the_password_and_every_session_ends() {
    let api = Api::start().await;
    with_user(&api, "viewer").await;
    let (one, other) =
        (sign_in(&api, EMAIL, PASSWORD).await.expect(201), sign_in(&api, EMAIL, PASSWORD).await.expect(201));
    let change = async |api: &Api, current: &str, new: &str| {
        let body = json!({"current_password": current, "new_password": new});
        let token = one["access_token"].as_str().unwrap();
        api.send(Method::PUT, "/users/current/password", Some(body), Some(token)).await
    };
    change(&api, "wrong password", "a new one altogether").await.expect_wrong_field("current_password");
    change(&api, PASSWORD, "short").await.expect_wrong_field("new_password");
    change(&api, PASSWORD, "a new one altogether").await.expect(204);
    let api = api.restarted();
    assert_eq!((ask(&api, &one).await, ask(&api, &other).await), (401, 401));
    sign_in(&api, EMAIL, PASSWORD).await.expect_problem(401, "sign_in_failed");
    sign_in(&api, EMAIL, "a new one altogether").await.expect(201);
    // A key has no password.
    let body = json!({"current_password": "x", "new_password": "0123456789ab"});
    api.put("/users/current/password", body).await.expect_problem(403, "forbidden");
}

#[tokio::test]
async fn sessions_are_seen_and_ended_by_their_user_and_by_admins() {
    let api = Api::start().await;
    with_user(&api, "viewer").await;
    let colleague = json!({"email": "ann@example.com", "role": "operator", "password": PASSWORD});
    api.post("/users", colleague).await.expect(201);
    let (zoe, ann) = (
        sign_in(&api, EMAIL, PASSWORD).await.expect(201),
        sign_in(&api, "ann@example.com", PASSWORD).await.expect(201),
    );
    let token = |tokens: &Value| tokens["access_token"].as_str().unwrap().to_owned();
    let path = |tokens: &Value| format!("/sessions/{}", tokens["session_id"].as_str().unwrap());
    let own = api.send(Method::GET, "/sessions", None, Some(&token(&zoe))).await.expect(200);
    assert_eq!(own.as_array().unwrap().len(), 1);
    assert_eq!(api.get("/sessions").await.expect(200).as_array().unwrap().len(), 2, "for admins, all of the account");
    let foreign = api.send(Method::DELETE, &path(&ann), None, Some(&token(&zoe))).await;
    foreign.expect_problem(404, "not_found");
    api.send(Method::DELETE, &path(&zoe), None, Some(&token(&zoe))).await.expect(204);
    api.delete(&path(&ann)).await.expect(204);
    let api = api.restarted();
    assert_eq!((ask(&api, &zoe).await, ask(&api, &ann).await), (401, 401));
}

#[tokio::test]
async fn the_account_keeps_an_admin() {
    let api = Api::start().await;
    let id = with_user(&api, "admin").await;
    let path = format!("/users/{id}");
    let demote = || json!({"role": "operator"});
    let patch = async |body: Value| api.send(Method::PATCH, &path, Some(body), Some(&api.mine.key)).await;
    patch(demote()).await.expect_problem(409, "last_admin");
    api.delete(&path).await.expect_problem(409, "last_admin");
    api.post("/users", json!({"email": "ann@example.com", "role": "admin"})).await.expect(201);
    patch(demote()).await.expect(200);
    let taken = api.post("/users", json!({"email": "ZOE@example.com", "role": "viewer"})).await;
    taken.expect_problem(422, "email_taken");
}

#[tokio::test]
async fn a_link_signs_in_once() {
    let api = Api::start().await;
    let id: UserId = with_user(&api, "admin").await.parse().unwrap();
    let link = |end: i64| api.store.make_sign_in_link(&ACT, api.mine.account.id, id, at(end));
    let (link, late) = (link(600).await.unwrap(), link(600).await.unwrap());
    let take = async |token: &str| api.send(Method::POST, "/sessions", Some(json!({"link_token": token})), None).await;
    let tokens = take(link.expose()).await.expect(201);
    assert_eq!(tokens["user"]["email"], EMAIL);
    assert_eq!(ask(&api, &tokens).await, 200);
    take(link.expose()).await.expect_problem(401, "sign_in_failed");
    api.clock.advance(600);
    take(late.expose()).await.expect_problem(401, "sign_in_failed");
}

/// A counter of the node.
async fn counted(api: &Api, name: &str) -> u64 {
    let host = ClientAddress("127.0.0.1".parse().unwrap());
    let reply = api.send_from(host, Method::GET, "//metrics", None, None).await;
    let text = reply.body.as_str().map(str::to_owned).unwrap_or_default();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("{text}")).parse().unwrap()
}

#[tokio::test]
async fn whoever_signs_in_has_one_hash_computed_and_no_more() {
    let api = Api::start().await;
    with_user(&api, "viewer").await;
    let compared = async || counted(&api, "tandem_passwords_compared_total").await;
    let mut before = compared().await;
    for (email, password) in [("nobody@example.com", PASSWORD), (EMAIL, "wrong password"), (EMAIL, PASSWORD)] {
        drop(sign_in(&api, email, password).await);
        let after = compared().await;
        assert_eq!(after - before, 1, "{email} {password}");
        before = after;
    }
}

#[tokio::test]
async fn who_is_refused_or_only_tries_has_no_hash_computed() {
    let api = Api::start().await;
    let id = with_user(&api, "admin").await;
    let hashed = async || counted(&api, "tandem_passwords_hashed_total").await;
    assert_eq!(hashed().await, 1);
    let new = |email: &str| json!({"email": email, "role": "viewer", "password": PASSWORD});
    let patch = async |path: &str, body: Value| api.send(Method::PATCH, path, Some(body), Some(&api.mine.key)).await;
    let path = format!("/users/{id}");

    api.post("/users?dry_run=true", new("ann@example.com")).await.expect(201);
    api.post("/users", new(EMAIL)).await.expect_problem(422, "email_taken");
    patch(&format!("{path}?dry_run=true"), json!({"password": PASSWORD})).await.expect(200);
    patch(&path, json!({"role": "viewer", "password": PASSWORD})).await.expect_problem(409, "last_admin");
    let stale = axum::http::Request::patch(format!("/api/v1/telephony{path}"))
        .header(header::AUTHORIZATION, format!("Bearer {}", api.mine.key))
        .header(header::IF_MATCH, "\"1\"");
    let body = axum::body::Body::from(json!({"password": PASSWORD}).to_string());
    api.send_request(stale.body(body).unwrap()).await.expect_problem(412, "precondition_failed");
    let tokens = sign_in(&api, EMAIL, PASSWORD).await.expect(201);
    let change = json!({"current_password": PASSWORD, "new_password": "a new one altogether"});
    let token = tokens["access_token"].as_str();
    api.send(Method::PUT, "/users/current/password?dry_run=true", Some(change), token).await.expect(204);
    assert_eq!(hashed().await, 1);

    patch(&path, json!({"password": "a new one altogether"})).await.expect(200);
    assert_eq!(hashed().await, 2);
    sign_in(&api, EMAIL, PASSWORD).await.expect_problem(401, "sign_in_failed");
    sign_in(&api, EMAIL, "a new one altogether").await.expect(201);
}
