//! `kill -9` after a deed and before its answer is kept for the idempotency key: the repeat finds what was made, and makes no second.

use serde_json::{Value, json};
use std::time::Duration;
use tandem_e2e::{Network, Options, Tandem, eventually, text_at};

const ROUNDS: u32 = 2;

/// Holds the node at the point where it is to be killed: the deed is committed, and its answer is not written down.
const KEEPS_NO_ANSWER: &str = "CREATE TRIGGER keeps_no_answer BEFORE UPDATE OF answer ON idempotency_keys
    WHEN NEW.answer IS NOT NULL BEGIN SELECT RAISE(ABORT, 'the node dies here'); END";

const PASSWORD: &str = "correct horse battery";

fn logged_call(trunk: &str, round: u32) -> Value {
    json!({
        "call_id": format!("CA{round}"), "sip_trunk_id": trunk, "direction": "outbound", "from_number": "1", "to_number": "2",
        "started_at": "2026-01-01T00:00:00Z", "status": "initiated",
    })
}

#[test]
fn what_was_made_before_the_node_died_is_not_made_twice() {
    let network = Network::claim();
    let mut tandem = Tandem::start(&network, &Options::default());
    let api = tandem.api();
    let account = text_at(&api.get("/credits").expect(200), "/user_id");
    let grants = format!("/accounts/{account}/credits");
    let trunk = api.create_trunk("line", network.sip(2), &json!({"advanced_config": {"options_interval": 0}}));
    for round in 0..ROUNDS {
        let requests = [
            ("numbers", "/numbers", json!({"number": format!("+1202555010{round}"), "connect": {"type": "echo"}})),
            ("webhook_endpoints", "/webhook-endpoints", json!({"url": format!("https://example.com/{round}")})),
            ("credit_entries", grants.as_str(), json!({"amount": 25, "note": format!("invoice {round}")})),
            ("call_logs", "/calls", logged_call(&trunk, round)),
            (
                "users",
                "/users",
                json!({"email": format!("a{round}@example.com"), "role": "viewer", "password": PASSWORD}),
            ),
        ];
        let keyed = |table: &str| api.with_header("idempotency-key", &format!("{table}-{round}"));
        let before = requests.each_ref().map(|(table, ..)| tandem.count_rows(table));
        tandem.execute_behind_its_back(KEEPS_NO_ANSWER);
        let made = requests.each_ref().map(|(table, path, body)| keyed(table).post(path, body).expect(201));
        tandem.kill();
        tandem.execute_behind_its_back("DROP TRIGGER keeps_no_answer");
        tandem.restart();
        for (((table, path, body), before), made) in requests.iter().zip(before).zip(made) {
            assert_eq!(tandem.count_rows(table), before + 1, "{table} {round}");
            let again = keyed(table).post(path, body);
            assert!(!again.headers.contains_key("idempotency-replayed"), "{table} {round}: its answer was kept");
            assert_eq!(again.expect(201)["id"], made["id"], "{table} {round}");
            assert_eq!(tandem.count_rows(table), before + 1, "{table} {round}: it was made twice");
            assert!(keyed(table).post(path, body).headers.contains_key("idempotency-replayed"), "{table} {round}");
        }
    }
    let calls = api.get("/calls").expect(200);
    assert_eq!(calls.as_array().map(Vec::len), Some(ROUNDS as usize));
    let line = api.get(&format!("/trunks/{trunk}/stats")).expect(200);
    assert_eq!(line["active_calls"], Value::from(ROUNDS), "each call that is logged has one slot");
    assert_eq!(api.get("/credits").expect(200)["granted"], Value::from(25 * ROUNDS));
}

#[test]
fn a_secret_that_nobody_has_seen_is_replaced_by_the_repeat_and_one_that_was_used_stays() {
    let network = Network::claim();
    let mut tandem = Tandem::start(&network, &Options::default());
    let api = tandem.api();
    let requests = ["unseen", "used"].map(|name| {
        (
            name,
            json!({"name": name, "scopes": ["read"]}),
            json!({"email": format!("{name}@example.com"), "role": "viewer"}),
        )
    });
    let post = |path: &str, name: &str, body: &Value| {
        api.with_header("idempotency-key", &format!("{path}-{name}")).post(path, body)
    };
    let ask = |key: &Value| api.with_key(&text_at(key, "/key")).get("/trunks").status;
    let sign_in = |user: &Value| {
        let body = json!({"email": user["email"], "password": user["password"]});
        api.post("/sessions", &body).status
    };
    tandem.execute_behind_its_back(KEEPS_NO_ANSWER);
    let made = requests
        .each_ref()
        .map(|(name, key, user)| (post("/api-keys", name, key).expect(201), post("/users", name, user).expect(201)));
    let [unseen, used] = &made;
    assert_eq!((ask(&used.0), sign_in(&used.1)), (200, 201));
    let path = format!("/api-keys/{}", text_at(&used.0, "/id"));
    eventually("use of the key", Duration::from_secs(20), || {
        api.get(&path).expect(200)["last_used_at"].is_string().then_some(())
    });
    let counts = |tandem: &Tandem| (tandem.count_rows("api_keys"), tandem.count_rows("users"));
    let before = counts(&tandem);
    tandem.kill();
    tandem.execute_behind_its_back("DROP TRIGGER keeps_no_answer");
    tandem.restart();

    let [(name, key, user), (other, other_key, other_user)] = &requests;
    let again = (post("/api-keys", name, key).expect(201), post("/users", name, user).expect(201));
    assert_eq!((&again.0["id"], &again.1["id"]), (&unseen.0["id"], &unseen.1["id"]));
    assert_eq!((ask(&unseen.0), sign_in(&unseen.1)), (401, 401), "what nobody has seen counts no more");
    assert_eq!((ask(&again.0), sign_in(&again.1)), (200, 201));
    let replayed = (post("/api-keys", name, key).expect(201), post("/users", name, user).expect(201));
    assert_eq!(replayed, again);

    for _ in 0..2 {
        assert_eq!(post("/api-keys", other, other_key).code(), "api_key_in_use");
        assert_eq!(post("/users", other, other_user).code(), "email_taken");
    }
    assert_eq!((ask(&used.0), sign_in(&used.1)), (200, 201), "what somebody has used goes on");
    assert_eq!(counts(&tandem), before, "nothing was made twice");
}
