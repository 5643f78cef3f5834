//! Two accounts on one node: what is one's does not exist for the other.

use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;
use tandem_e2e::{Answer, Api, Network, Options, Peer, Tandem, text_at, trunk_body};

/// What the owner has, and ids of the same shape that nobody has.
struct Things {
    account: String,
    trunk: String,
    call: String,
    refusal: String,
    key: String,
    user: String,
    session: String,
    hook: String,
    number: String,
    erasure: String,
    alert: String,
    nothing: String,
    peer: Peer,
}

/// Asks with the owner's id and with nobody's: the stranger must get the same answer, and it must be a refusal.
fn like_nothing(ask: impl Fn(&str) -> Answer, owners: &str, nothing: &str) -> Answer {
    let (hidden, missing) = (ask(owners), ask(nothing));
    let told = |answer: &Answer, id: &str| {
        let mut body = answer.json.clone();
        if let Some(body) = body.as_object_mut() {
            body.remove("request_id");
            if let Some(receipt) = body.get_mut("receipt").and_then(Value::as_object_mut) {
                receipt.remove("decided_at");
            }
        }
        (answer.status, body.to_string().replace(id, "ID"))
    };
    assert_eq!(told(&hidden, owners), told(&missing, nothing));
    hidden
}

/// One endpoint as a stranger meets it. `None` when there is no case for it.
fn meets_nothing(method: &str, path: &str, stranger: &Api, things: &Things) -> Option<()> {
    let Things { account, trunk, call, refusal, key, user, session, hook, number, erasure, alert, nothing, peer } =
        things;
    let not_found = |ask: &dyn Fn(&str) -> Answer, id: &str| {
        let answer = like_nothing(ask, id, nothing);
        assert_eq!(answer.status, 404, "{method} {path}: {}", answer.text);
    };
    let refused = |ask: &dyn Fn(&str) -> Answer, status: u16| {
        let answer = like_nothing(ask, trunk, nothing);
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text);
    };
    let get = |rest: &'static str| move |id: &str| stranger.get(&format!("{}{id}{rest}", collection(path)));
    match (method, without_names(path).as_str()) {
        ("get", "/trunks" | "/calls" | "/refusals") => {
            let listed = stranger.get(short(path)).expect(200);
            assert_eq!(listed, json!([]), "{path}");
            if !path.ends_with("/trunks") {
                let listed = |id: &str| stranger.get(&format!("{}?trunk_id={id}", short(path)));
                let _ = like_nothing(listed, trunk, nothing);
                assert_eq!(listed(trunk).json, json!([]));
            }
        }
        ("post", "/trunks") => {
            let body = |id: &str| trunk_body("over", "127.0.0.9", 5060, &json!({"failover_trunk_id": id}));
            refused(&|id| stranger.post("/trunks", &body(id)), 422);
        }
        ("get", "/trunks/{}") => not_found(&get(""), trunk),
        ("get", "/trunks/{}/stats") => not_found(&get("/stats"), trunk),
        ("get", "/dashboard") => {
            let shown = stranger.get("/dashboard").expect(200);
            assert_eq!((&shown["trunk_stats"], &shown["recent_calls"]), (&json!([]), &json!([])), "{shown:#}");
            assert_eq!(shown["call_stats"]["total_calls"], 0, "{shown:#}");
        }
        ("get", "/analytics") => {
            for query in ["", "group_by=trunk&trunk_id=ID", "group_by=cause&trunk_id=ID"] {
                let asked = |id: &str| stranger.get(&format!("/analytics?{}", query.replace("ID", id)));
                let shown = like_nothing(asked, trunk, nothing);
                assert_eq!((shown.status, &shown.json["totals"]["attempts"]), (200, &json!(0)), "{}", shown.text);
            }
        }
        ("get", "/trunks/{}/health") => not_found(&get("/health"), trunk),
        ("put", "/trunks/{}") => {
            not_found(&|id| stranger.put(&format!("/trunks/{id}"), &json!({"name": "mine now"})), trunk);
        }
        ("delete", "/trunks/{}") => not_found(&|id| stranger.delete(&format!("/trunks/{id}")), trunk),
        ("post", "/trunks/{}/health-check") => {
            not_found(&|id| stranger.post(&format!("/trunks/{id}/health-check"), &json!({})), trunk);
        }
        ("post", "/calls") => {
            let body = |id: &str| {
                json!({
                    "call_id": "x", "sip_trunk_id": id, "direction": "outbound", "from_number": "1", "to_number": "2",
                    "started_at": "2026-01-01T00:00:00Z", "status": "initiated",
                })
            };
            refused(&|id| stranger.post("/calls", &body(id)), 400);
        }
        ("put", "/calls/{}") => {
            not_found(&|id| stranger.put(&format!("/calls/{id}"), &json!({"quality_score": 1})), call);
        }
        ("get", "/numbers") => assert_eq!(stranger.get("/numbers").expect(200), json!([]), "{path}"),
        ("post", "/numbers") => {
            let body = json!({"number": "+12025550199", "connect": {"type": "echo"}});
            assert_eq!(stranger.post("/numbers", &body).code(), "number_taken", "it is the owner's");
        }
        ("get", "/numbers/{}") => not_found(&get(""), number),
        ("get", "/erasures") => {
            assert!(!stranger.get("/erasures").expect(200).to_string().contains(erasure.as_str()), "{path}");
        }
        ("post", "/erasures") => drop(stranger.post("/erasures", &json!({"number": "+12025550142"})).expect(202)),
        ("get", "/erasures/{}") => not_found(&get(""), erasure),
        ("patch", "/numbers/{}") => {
            let body = json!({"label": "mine now"}).to_string();
            not_found(&|id| stranger.send("PATCH", &format!("/numbers/{id}"), Some(body.clone())), number);
        }
        ("delete", "/numbers/{}") => not_found(&|id| stranger.delete(&format!("/numbers/{id}")), number),
        ("get", "/calls/export") => assert_eq!(stranger.get("/calls/export").text, "", "{path}"),
        ("get", "/calls/{}") => not_found(&get(""), call),
        ("get", "/calls/{}/route") => not_found(&get("/route"), call),
        ("get", "/calls/{}/timeline") => not_found(&get("/timeline"), call),
        ("get", "/calls/{}/legs") => not_found(&get("/legs"), call),
        ("get", "/refusals/{}") => not_found(&get(""), refusal),
        ("post", "/calls/{}/hangup") => not_found(&|id| stranger.hang_up(id), call),
        ("post", "/calls/dial") => {
            let placed = peer.calls().len();
            refused(&|id| stranger.try_dial(&peer.uri("echo"), &json!({"sip_trunk_id": id})), 404);
            assert_eq!(peer.calls().len(), placed, "nothing was sent");
        }
        ("post", "/routing/explain") => {
            let body = |id: &str| json!({"to_number": "+12025550100", "connect": {"type": "echo"}, "sip_trunk_id": id});
            refused(&|id| stranger.post("/routing/explain", &body(id)), 404);
        }
        ("get", "/webhook-endpoints") => assert_eq!(stranger.get(short(path)).expect(200), json!([])),
        ("post", "/webhook-endpoints") => {
            let body = json!({"url": "https://example.com/", "user_id": user});
            assert_eq!(stranger.post("/webhook-endpoints", &body).code(), "invalid_field");
        }
        ("get", "/webhook-endpoints/{}") => not_found(&get(""), hook),
        ("get", "/webhook-endpoints/{}/deliveries") => not_found(&get("/deliveries"), hook),
        ("patch", "/webhook-endpoints/{}") => {
            let body = json!({"enabled": false}).to_string();
            not_found(&|id| stranger.send("PATCH", &format!("/webhook-endpoints/{id}"), Some(body.clone())), hook);
        }
        ("delete", "/webhook-endpoints/{}") => {
            not_found(&|id| stranger.delete(&format!("/webhook-endpoints/{id}")), hook);
        }
        (
            "post",
            "/webhook-endpoints/{}/rotate-secret" | "/webhook-endpoints/{}/test" | "/webhook-endpoints/{}/replay",
        ) => {
            let rest = path.rsplit('/').next().unwrap_or_default();
            let body = json!({"since": "2026-01-01T00:00:00Z"});
            not_found(&|id| stranger.post(&format!("/webhook-endpoints/{id}/{rest}"), &body), hook);
        }
        ("post", "/webhook-endpoints/{}/deliveries/{}/replay") => {
            not_found(
                &|id| stranger.post(&format!("/webhook-endpoints/{id}/deliveries/{nothing}/replay"), &json!({})),
                hook,
            );
        }
        ("get", "/events") => {
            let told = stranger.get("/events?follow=false&last_event_id=0");
            assert!(
                told.status == 200 && [trunk, call].iter().all(|id| !told.text.contains(id.as_str())),
                "{}",
                told.text
            );
        }
        ("get", "/credits") => {
            let credit = stranger.get("/credits").expect(200);
            assert_eq!((&credit["balance"], &credit["credit_control"]), (&json!(0), &json!("off")), "{credit}");
            assert_ne!(credit["user_id"], account.as_str());
        }
        ("post", "/accounts/{}/credits") => {
            let body = json!({"amount": 5, "note": "mine now"});
            not_found(&|id| stranger.post(&format!("/accounts/{id}/credits"), &body), account);
        }
        ("patch", "/accounts/{}/credits") => {
            let body = json!({"credit_control": "on"}).to_string();
            not_found(&|id| stranger.send("PATCH", &format!("/accounts/{id}/credits"), Some(body.clone())), account);
        }
        ("get", "/credits/ledger") => assert_eq!(stranger.get("/credits/ledger").expect(200), json!([])),
        ("get", "/users" | "/sessions") => assert_eq!(stranger.get(short(path)).expect(200), json!([]), "{path}"),
        ("get", "/audit-log" | "/audit-log/export") => {
            // Their own log is there, and nothing of the owner's in it; the node's is the operator's.
            let shown = stranger.get(&format!("{}?resource_id={trunk}", short(path))).text;
            assert!(shown.is_empty() || shown == "[]", "{shown}");
            let all = stranger.get(short(path)).text;
            assert!(!all.contains(trunk.as_str()) && !all.contains(key.as_str()), "{all}");
            assert_eq!(stranger.get(&format!("{}?log=node", short(path))).status, 403);
        }
        ("get", "/alerts") => assert_eq!(stranger.get(short(path)).expect(200), json!([])),
        ("get", "/alerts/{}") => not_found(&get(""), alert),
        ("post", "/alerts/{}/acknowledge" | "/alerts/{}/resolve") => {
            let rest = path.rsplit('/').next().unwrap_or_default();
            not_found(&|id| stranger.post(&format!("/alerts/{id}/{rest}"), &json!({})), alert);
        }
        ("get" | "put", "/alert-settings") => {
            let _ = stranger.put("/alert-settings", &json!({"user_id": user, "mail_to": []})).expect(422);
            let _ = stranger.put("/alert-settings", &json!({"mail_to": ["me@example.com"]})).expect(200);
            assert_eq!(stranger.get("/alert-settings").expect(200)["mail_to"], json!(["me@example.com"]));
        }
        ("get" | "put", "/retention") => {
            // One's own only: the node's is the operator's.
            let _ = stranger.put("/retention", &json!({"user_id": user, "calls_days": 1})).expect(422);
            assert_eq!(stranger.get("/retention?of=node").status, 403);
        }
        ("get", "/api-keys") => {
            let listed = stranger.get("/api-keys").expect(200);
            let owners: Vec<&Value> = listed.as_array().into_iter().flatten().map(|key| &key["user_id"]).collect();
            assert!(!owners.is_empty() && owners.iter().all(|owner| *owner == owners[0]), "{listed:#}");
            assert!(!listed.to_string().contains(key.as_str()), "{listed:#}");
        }
        ("post", "/api-keys" | "/users") => {
            // Whose it will be is not for the client to say.
            let body =
                json!({"user_id": user, "name": "x", "scopes": ["read"], "email": "x@example.com", "role": "viewer"});
            let _ = stranger.post(short(path), &body).expect(422);
        }
        ("get", "/api-keys/{}") => not_found(&get(""), key),
        ("delete", "/api-keys/{}") => not_found(&|id| stranger.delete(&format!("/api-keys/{id}")), key),
        ("get", "/users/{}") => not_found(&get(""), user),
        ("patch", "/users/{}") => {
            let body = json!({"name": "mine now"}).to_string();
            not_found(&|id| stranger.send("PATCH", &format!("/users/{id}"), Some(body.clone())), user);
        }
        ("delete", "/users/{}") => not_found(&|id| stranger.delete(&format!("/users/{id}")), user),
        ("put", "/users/current/password") => {
            let body = json!({"current_password": PASSWORD, "new_password": PASSWORD});
            assert_eq!(stranger.put("/users/current/password", &body).code(), "forbidden");
        }
        ("delete", "/sessions/{}") => not_found(&|id| stranger.delete(&format!("/sessions/{id}")), session),
        ("delete", "/sessions/current") => drop(stranger.delete("/sessions/current").expect(404)),
        ("post", "/sessions") => {
            let body = json!({"email": EMAIL, "password": "a password that is wrong"});
            assert_eq!(stranger.post("/sessions", &body).code(), "sign_in_failed");
        }
        ("post", "/sessions/refresh") => {
            let body = json!({"refresh_token": session});
            assert_eq!(stranger.post("/sessions/refresh", &body).code(), "sign_in_failed");
        }
        // Open to everybody: they show nothing of any account.
        ("get", "/health/live" | "/health/ready" | "/openapi.json") => {
            let shown = stranger.get(path).text;
            assert!([trunk, call, refusal].iter().all(|id| !shown.contains(id.as_str())));
        }
        // Numbers of the whole node. The test asks from its host, where they need no key; elsewhere a stranger gets a 403, as the
        // tests of the API show.
        ("get", "/metrics") => {}
        _ => return None,
    }
    Some(())
}

/// The path under the API's base.
fn short(path: &str) -> &str {
    path.strip_prefix("/api/v1/telephony").unwrap_or(path)
}

/// `/trunks/{trunk_id}/x` as `/trunks/{}/x`.
fn without_names(path: &str) -> String {
    let part = |part: &str| if part.starts_with('{') { "{}".to_owned() } else { part.to_owned() };
    short(path).split('/').map(part).collect::<Vec<_>>().join("/")
}

/// What comes before an id: `/trunks/`.
fn collection(path: &str) -> &str {
    short(path).split('{').next().unwrap_or_default()
}

/// Calls in over the trunk of the peer, which has no rule for it, and gives the id of the refusal.
fn refused_call(peer: &Peer, node: SocketAddr, owner: &Api) -> String {
    let from = peer.address();
    let invite = format!(
        "INVITE sip:+12025550100@{node} SIP/2.0\r\n\
         Via: SIP/2.0/UDP {from};branch=z9hG4bKrefused\r\n\
         From: <sip:+12025550199@{from}>;tag=a\r\n\
         To: <sip:+12025550100@{node}>\r\n\
         Call-ID: refused@{from}\r\n\
         CSeq: 1 INVITE\r\n\
         Contact: <sip:{from}>\r\n\
         Max-Forwards: 70\r\n\
         Content-Length: 0\r\n\r\n"
    );
    peer.send(node, invite.as_bytes());
    let refused = tandem_e2e::eventually("refusal on record", Duration::from_secs(3), || {
        owner.get("/refusals").expect(200).as_array().and_then(|refusals| refusals.first().cloned())
    });
    let id = text_at(&refused, "/id");
    assert_eq!(owner.get(&format!("/refusals/{id}")).expect(200), refused);
    assert_eq!(refused["receipt"]["refusal"]["reason"]["code"], "no_inbound_rule", "{refused}");
    let told = tandem_e2e::eventually("answer to the caller", Duration::from_secs(1), || {
        peer.others().into_iter().map(|(_, message)| message).find(|message| message.status() == Some(404))
    });
    assert!(told.header("Warning").is_some_and(|warning| warning.contains(&id)), "{}", told.summary());
    id
}

const EMAIL: &str = "zoe@example.com";
const PASSWORD: &str = "a password of the owner's";

#[test]
fn every_endpoint_hides_what_belongs_to_another_account() {
    let network = Network::claim();
    let tandem = Tandem::start(&network, &Options::default());
    let owner = tandem.api();
    let peer = Peer::start(network.sip(2));
    let account = text_at(&owner.get("/credits").expect(200), "/user_id");
    let grant = json!({"amount": 1.5, "note": "of the owner"});
    let _ = owner.post(&format!("/accounts/{account}/credits"), &grant).expect(201);
    let trunk = owner.create_trunk("mine", peer.address(), &json!({}));
    // Nobody is there: its probes fail, and an alert is raised meanwhile.
    let _ = owner.create_trunk("nobody", network.sip(9), &json!({"advanced_config": {"options_interval": 1}}));
    let call = text_at(&owner.dial(&peer.uri("echo"), &json!({"sip_trunk_id": trunk})), "/id");
    let _ = owner.wait_for_status(&call, "answered", Duration::from_secs(3));
    let over = text_at(&owner.dial(&peer.uri("s486"), &json!({"sip_trunk_id": trunk})), "/id");
    let _ = owner.wait_for_end(&over, Duration::from_secs(3));
    let refusal = refused_call(&peer, network.sip(1), &owner);
    let body = json!({"email": EMAIL, "role": "viewer", "password": PASSWORD});
    let user = text_at(&owner.post("/users", &body).expect(201), "/id");
    let tokens = owner.post("/sessions", &json!({"email": EMAIL, "password": PASSWORD})).expect(201);
    let session = text_at(&tokens, "/session_id");
    let key = text_at(&owner.get("/api-keys").expect(200), "/0/id");
    let number = json!({"number": "+12025550199", "connect": {"type": "echo"}});
    let number = text_at(&owner.post("/numbers", &number).expect(201), "/id");
    let erasure = text_at(&owner.post("/erasures", &json!({"number": "+12025550142"})).expect(202), "/id");
    let alert = tandem_e2e::eventually("alert of the trunk where nobody is", Duration::from_secs(30), || {
        owner.get("/alerts").json.pointer("/0/id").and_then(Value::as_str).map(str::to_owned)
    });
    let stranger = tandem.add_account("stranger", &["--tier", "pro"]);
    let before = [owner.get(&format!("/trunks/{trunk}")).expect(200), owner.call(&over)];

    let document = owner.get("/openapi.json").expect(200);
    let paths = document["paths"].as_object().expect("an OpenAPI document has paths");
    let hook = owner.post("/webhook-endpoints", &json!({"url": "https://example.com/"})).expect(201);
    let hook = text_at(&hook, "/id");
    let mut without_case = Vec::new();
    let nothing = "0198f000-0000-7000-8000-000000000000".to_owned();
    let mut things =
        Things { account, trunk, call, refusal, key, user, session, hook, number, erasure, alert, nothing, peer };
    // Live and over: the former is known to the shard, the latter to the store.
    for call in [things.call.clone(), over.clone()] {
        things.call = call;
        for (path, methods) in paths {
            for method in methods.as_object().into_iter().flatten().map(|(name, _)| name) {
                if meets_nothing(method, path, &stranger, &things).is_none() {
                    without_case.push(format!("{method} {path}"));
                }
            }
        }
    }
    assert!(without_case.is_empty(), "no case for {without_case:?}");
    assert!(paths.len() >= 15, "{:?}", paths.keys());

    let after = [owner.get(&format!("/trunks/{}", things.trunk)).expect(200), owner.call(&over)];
    assert_eq!(before[1], after[1]);
    assert_eq!((&before[0]["name"], &before[0]["updated_at"]), (&after[0]["name"], &after[0]["updated_at"]));
    assert_eq!(owner.get(&format!("/users/{}", things.user)).expect(200)["email"], EMAIL);
    assert_eq!(owner.get("/sessions").expect(200)[0]["id"], things.session.as_str());
    assert_eq!(owner.get(&format!("/api-keys/{}", things.key)).expect(200)["revoked_at"], Value::Null);
    let live = owner.get("/calls").expect(200);
    assert!(live.as_array().is_some_and(|calls| !calls.is_empty()));
}

#[test]
fn a_request_without_a_right_key_is_refused_everywhere() {
    let network = Network::claim();
    let tandem = Tandem::start(&network, &Options::default());
    let wrong = tandem.api().with_key("tdm_0000000000000000000000000000000000000000000000000000000000000000");
    let document = wrong.get("/openapi.json").expect(200);
    let mut asked = 0;
    let mut open = Vec::new();
    for (path, methods) in document["paths"].as_object().expect("an OpenAPI document has paths") {
        if !path.starts_with("/api/") {
            continue;
        }
        let path = without_names(path).replace("{}", "0198f000-0000-7000-8000-000000000000");
        for (method, operation) in methods.as_object().into_iter().flatten() {
            // Whoever signs in has nothing yet.
            if operation["security"][0] == json!({}) {
                open.push(format!("{method} {path}"));
                continue;
            }
            let answer = wrong.send(&method.to_uppercase(), &path, Some("{}".to_owned()));
            assert_eq!(answer.status, 401, "{method} {path}: {}", answer.text);
            assert!(answer.headers.contains_key("www-authenticate"), "{method} {path}");
            asked += 1;
        }
    }
    assert!(asked >= 27, "{asked}");
    assert_eq!(open, ["post /sessions", "post /sessions/refresh"]);
}

#[test]
fn a_revoked_key_is_refused_within_a_moment() {
    let network = Network::claim();
    let tandem = Tandem::start(&network, &Options::default());
    let api = tandem.add_account("leaver", &[]);
    assert_eq!(api.get("/trunks").status, 200);
    let keys = tandem.cli(&["--json", "key", "list", "--account", "leaver"]);
    let keys: Value = serde_json::from_str(&keys.stdout).unwrap_or_else(|error| panic!("{error}: {keys:?}"));
    let revoked = tandem.cli(&["key", "revoke", &text_at(&keys, "/0/id")]);
    assert!(revoked.status.success(), "{revoked:?}");
    tandem_e2e::eventually("refusal of the key", Duration::from_millis(500), || {
        (api.get("/trunks").status == 401).then_some(())
    });
}
