use crate::document::operations;
use crate::harness::{Api, call_body, full, raised_alert, trunk_body};
use axum::body::Body;
use axum::http::{Method, Request, header};
use serde_json::{Value, json};
use sqlx::{ConnectOptions, Connection, SqliteConnection};
use tandem_control::openapi;

/// Looks at the database from outside: its version changes whenever anybody commits anything, whatever it is.
struct Watcher(SqliteConnection);

impl Watcher {
    async fn of(api: &Api) -> Self {
        let options =
            sqlx::sqlite::SqliteConnectOptions::new().filename(api.folder().join("tandem.db")).read_only(true);
        Self(options.connect().await.unwrap())
    }

    async fn version(&mut self) -> i64 {
        sqlx::query_scalar("PRAGMA data_version").fetch_one(&mut self.0).await.unwrap()
    }

    /// Waits until what goes on in the background is over.
    async fn rest(&mut self, api: &Api) -> i64 {
        api.services.write_down_acts().await;
        let mut version = self.version().await;
        let mut same = 0;
        while same < 1_000 {
            let now = self.version().await;
            same = if now == version { same + 1 } else { 0 };
            version = now;
        }
        version
    }
}

/// Something of everything that can be changed.
struct Things {
    trunk: String,
    idle: String,
    external: String,
    number: String,
    live: String,
    key: String,
    user: String,
    session: String,
    access_token: String,
    /// The account, and the key of an admin of the node.
    hook: String,
    delivery: String,
    alert: String,
    account: String,
    node_key: String,
}

const EMAIL: &str = "zoe@example.com";
const PASSWORD: &str = "a password of hers";

impl Things {
    async fn make(api: &Api) -> Self {
        let text = |value: &Value, field: &str| value[field].as_str().unwrap().to_owned();
        let trunk = api.trunk(json!({})).await;
        let idle = api.trunk(json!({"name": "idle"})).await;
        let hook = api.post("/webhook-endpoints", json!({"url": "https://example.com/"})).await.expect(201);
        let hook = text(&hook, "id");
        let external = api.call(&trunk, "c-1").await;
        assert!(api.services.send_due_webhooks().await.unwrap() > 0);
        let delivered = api.get(&format!("/webhook-endpoints/{hook}/deliveries?state=delivered")).await.expect(200);
        let delivery = text(&delivered[0], "id");
        api.receiver.take();
        let number = json!({"number": "+12025550100", "connect": {"type": "echo"}});
        let number = text(&api.post("/numbers", number).await.expect(201), "id");
        let dialled = json!({"to_number": "+12025550100", "connect": {"type": "echo"}});
        let live = text(&api.post("/calls/dial", dialled).await.expect(201), "id");
        let made = api.post("/api-keys", json!({"name": "x", "scopes": ["read"]})).await.expect(201);
        let user = json!({"email": EMAIL, "role": "operator", "password": PASSWORD});
        let user = text(&api.post("/users", user).await.expect(201), "id");
        let credentials = json!({"email": EMAIL, "password": PASSWORD});
        let tokens = api.send(Method::POST, "/sessions", Some(credentials), None).await.expect(201);
        let (session, access_token) = (text(&tokens, "session_id"), text(&tokens, "access_token"));
        api.send(Method::GET, "/trunks", None, Some(&access_token)).await.expect(200);
        let node = api.store.ensure_admin_account(&crate::harness::ACT, "admin").await.unwrap();
        let (_, node_key) = api.store.create_api_key(&crate::harness::ACT, node.id, "node").await.unwrap();
        Self {
            trunk,
            idle,
            external,
            number,
            live,
            key: text(&made, "id"),
            user,
            session,
            access_token,
            hook,
            delivery,
            alert: raised_alert(api, "1").await,
            account: api.mine.account.id.to_string(),
            node_key: node_key.expose().to_owned(),
        }
    }

    /// How an operation is tried: its path, its body, and the status of its answer. `None` for one that nobody has thought of.
    fn case(&self, method: &str, path: &str) -> Option<(String, Value, u16)> {
        let Self { trunk, idle, external, number, live, key, user, session, hook, delivery, alert, account, .. } = self;
        let none = Value::Null;
        let dial = json!({"to_number": "+12025550100", "connect": {"type": "echo"}});
        let path = path.strip_prefix("/api/v1/telephony")?;
        Some(match (method, path) {
            ("POST", "/trunks") => (path.to_owned(), trunk_body(json!({"name": "another"})), 201),
            ("PUT", "/trunks/{id}") => {
                (format!("/trunks/{trunk}"), json!({"name": "renamed", "sip_domain": "127.0.0.77"}), 200)
            }
            ("DELETE", "/trunks/{id}") => (format!("/trunks/{idle}"), none, 204),
            ("POST", "/trunks/{id}/health-check") => (format!("/trunks/{trunk}/health-check"), none, 200),
            ("POST", "/calls") => (path.to_owned(), call_body(trunk, json!({"call_id": "c-2"})), 201),
            ("PUT", "/calls/{call_id}" | "/calls/{id}") => {
                (format!("/calls/{external}"), json!({"status": "completed", "metadata": {"a": 1}}), 200)
            }
            ("POST", "/erasures") => (path.to_owned(), json!({"number": "+12025550142"}), 202),
            ("POST", "/calls/dial" | "/routing/explain") => (path.to_owned(), dial, 200),
            ("POST", "/calls/{id}/hangup") => (format!("/calls/{live}/hangup"), none, 200),
            ("POST", "/numbers") => {
                (path.to_owned(), json!({"number": "+12025550101", "connect": {"type": "echo"}}), 201)
            }
            ("PATCH", "/numbers/{id}") => (format!("/numbers/{number}"), json!({"label": "renamed"}), 200),
            ("DELETE", "/numbers/{id}") => (format!("/numbers/{number}"), none, 204),
            ("POST", "/api-keys") => (path.to_owned(), json!({"name": "y", "scopes": ["read"]}), 201),
            ("DELETE", "/api-keys/{id}") => (format!("/api-keys/{key}"), none, 204),
            ("POST", "/users") => (path.to_owned(), json!({"email": "a@example.com", "role": "viewer"}), 201),
            ("PATCH", "/users/{id}") => (format!("/users/{user}"), json!({"name": "Z", "role": "viewer"}), 200),
            ("DELETE", "/users/{id}") => (format!("/users/{user}"), none, 204),
            ("PUT", "/users/current/password") => {
                (path.to_owned(), json!({"current_password": PASSWORD, "new_password": "another password"}), 204)
            }
            ("DELETE", "/sessions/current") => (path.to_owned(), none, 204),
            ("DELETE", "/sessions/{id}") => (format!("/sessions/{session}"), none, 204),
            ("POST", "/accounts/{id}/credits") => {
                (format!("/accounts/{account}/credits"), json!({"amount": 1, "note": "x"}), 201)
            }
            ("PATCH", "/accounts/{id}/credits") => {
                (format!("/accounts/{account}/credits"), json!({"credit_control": "on"}), 200)
            }
            ("POST", "/alerts/{id}/acknowledge" | "/alerts/{id}/resolve") => {
                (path.replace("{id}", alert), json!({"note": "x"}), 200)
            }
            ("PUT", "/alert-settings") => (path.to_owned(), json!({"mail_to": ["noc@example.com"]}), 200),
            ("PUT", "/retention") => (path.to_owned(), json!({"calls_days": 30}), 200),
            ("POST", "/webhook-endpoints") => (path.to_owned(), json!({"url": "https://example.com/a"}), 201),
            ("PATCH", "/webhook-endpoints/{id}") => {
                (format!("/webhook-endpoints/{hook}"), json!({"enabled": false, "description": "x"}), 200)
            }
            ("DELETE", "/webhook-endpoints/{id}") => (format!("/webhook-endpoints/{hook}"), none, 204),
            ("POST", "/webhook-endpoints/{id}/rotate-secret" | "/webhook-endpoints/{id}/test") => {
                (path.replace("{id}", hook), none, 200)
            }
            ("POST", "/webhook-endpoints/{id}/replay") => {
                (path.replace("{id}", hook), json!({"since": "2026-01-01T00:00:00Z"}), 202)
            }
            ("POST", "/webhook-endpoints/{id}/deliveries/{delivery_id}/replay") => {
                (path.replace("{id}", hook).replace("{delivery_id}", delivery), none, 202)
            }
            _ => return None,
        })
    }
}

#[tokio::test]
async fn every_mutation_can_be_tried_and_changes_nothing() {
    let api = Api::start().await;
    let things = Things::make(&api).await;
    let mut watcher = Watcher::of(&api).await;
    let document = serde_json::to_value(openapi()).unwrap();
    let mut tried = 0;
    for (path, method, operation) in operations(&document) {
        if method == "GET" || operation["security"][0]["bearer"].is_null() {
            continue;
        }
        let name = format!("{method} {path}");
        let declared = json!({"$ref": "#/components/parameters/DryRun"});
        assert!(operation["parameters"].as_array().unwrap().contains(&declared), "{name} does not declare dry_run");
        let Some((target, body, status)) = things.case(&method, &path) else { panic!("no case for {name}") };
        let needs_person = target.starts_with("/users/current") || target.starts_with("/sessions/current");
        let bearer = match target.as_str() {
            _ if needs_person => &things.access_token,
            target if target.starts_with("/accounts/") => &things.node_key,
            _ => &api.mine.key,
        };
        let (orders, probes, changes, slots) = api
            .switchboard
            .script(|script| (script.live.len(), script.probes.len(), script.routing_changes, script.slot_log.len()));
        // A look at who asks may note that the key is used, which nobody waits for.
        api.send(Method::GET, "/trunks", None, Some(bearer)).await.expect(200);
        let before = watcher.rest(&api).await;

        let send = async |query: &str| {
            let body = if body.is_null() { None } else { Some(body.clone()) };
            api.send(method.parse().unwrap(), &format!("{target}?{query}"), body, Some(bearer)).await
        };
        let problem = send("dry_run=yes").await.expect_problem(422, "invalid_field");
        assert_eq!(problem["errors"][0]["field"], "dry_run", "{name}");
        let problem = send("dryrun=true").await.expect_problem(422, "invalid_field");
        assert_eq!(problem["errors"][0]["field"], "dryrun", "{name}");
        let message = problem["errors"][0]["message"].as_str().unwrap();
        assert_eq!(message, "is no known parameter; did you mean dry_run?", "{name}");
        let reply = send("dry_run=true").await;
        assert_eq!(reply.status.as_u16(), status, "{name}: {}", reply.body);
        assert_eq!(reply.headers["dry-run"], "true", "{name}");

        let after = watcher.rest(&api).await;
        if target.ends_with("/password") {
            // An attempt at a password counts, and one that is right is forgotten.
            let credentials = json!({"email": EMAIL, "password": PASSWORD});
            api.send(Method::POST, "/sessions", Some(credentials), None).await.expect(201);
        } else {
            assert_eq!(after, before, "{name} has written something");
        }
        api.switchboard.script(|script| {
            let now = (script.live.len(), script.probes.len(), script.routing_changes, script.slot_log.len());
            assert_eq!(now, (orders, probes, changes, slots), "{name} has done something");
        });
        tried += 1;
    }
    assert!(tried >= 16, "{tried}");
    assert!(api.receiver.take().is_empty(), "no test was sent");
    api.get(&format!("/trunks/{}", things.trunk)).await.expect(200);
    watcher.0.close().await.unwrap();
}

#[tokio::test]
async fn a_dry_run_is_refused_as_the_real_one_would_be() {
    let api = Api::start().await;
    api.trunk(json!({"name": "main"})).await;
    api.post("/trunks?dry_run=true", trunk_body(json!({"name": "main"}))).await.expect_problem(422, "name_taken");
    api.post("/trunks?dry_run=true", json!({})).await.expect_problem(422, "invalid_field");
    let refusal = (tandem_model::RefusalKind::TierLimit, tandem_model::Reason::TierLimit { limit: 1 });
    api.switchboard.script(|script| script.refusal = Some(refusal));
    let dial = json!({"to_number": "+12025550100", "connect": {"type": "echo"}});
    let reply = api.post("/calls/dial?dry_run=true", dial).await;
    assert!(!reply.headers.contains_key("dry-run"));
    let problem = reply.expect_problem(429, "tier_limit");
    assert!(problem["receipt"].is_object());
    let credentials = json!({"email": EMAIL, "password": PASSWORD});
    let reply = api.send(Method::POST, "/sessions?dry_run=true", Some(credentials), None).await;
    assert_eq!(reply.expect_problem(422, "invalid_field")["errors"][0]["field"], "dry_run");
}

#[tokio::test]
async fn a_dry_run_uses_up_no_idempotency_key() {
    let api = Api::start().await;
    for (query, name) in [("?dry_run=true", "a"), ("?dry_run=true", "b"), ("", "c")] {
        let request = Request::post(full(&format!("/trunks{query}")))
            .header(header::AUTHORIZATION, format!("Bearer {}", api.mine.key))
            .header("idempotency-key", "k-1");
        let body = Body::from(trunk_body(json!({"name": name})).to_string());
        api.send_request(request.body(body).unwrap()).await.expect(201);
    }
    let trunks = api.get("/trunks").await.expect(200);
    assert_eq!((trunks.as_array().unwrap().len(), &trunks[0]["name"]), (1, &json!("c")));
}
