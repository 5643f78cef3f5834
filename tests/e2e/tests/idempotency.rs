//! `kill -9` after a deed and before its answer is kept for the idempotency key: the repeat finds what was made, and makes no second.

use serde_json::{Value, json};
use tandem_e2e::{Network, Options, Tandem, text_at};

const ROUNDS: u32 = 2;

/// Holds the node at the point where it is to be killed: the deed is committed, and its answer is not written down.
const KEEPS_NO_ANSWER: &str = "CREATE TRIGGER keeps_no_answer BEFORE UPDATE OF answer ON idempotency_keys
    WHEN NEW.answer IS NOT NULL BEGIN SELECT RAISE(ABORT, 'the node dies here'); END";

#[test]
fn what_was_made_before_the_node_died_is_not_made_twice() {
    let network = Network::claim();
    let mut tandem = Tandem::start(&network, &Options::default());
    let api = tandem.api();
    let account = text_at(&api.get("/credits").expect(200), "/user_id");
    let grants = format!("/accounts/{account}/credits");
    for round in 0..ROUNDS {
        let requests = [
            ("numbers", "/numbers", json!({"number": format!("+1202555010{round}"), "connect": {"type": "echo"}})),
            ("webhook_endpoints", "/webhook-endpoints", json!({"url": format!("https://example.com/{round}")})),
            ("credit_entries", grants.as_str(), json!({"amount": 25, "note": format!("invoice {round}")})),
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
    assert_eq!(api.get("/credits").expect(200)["granted"], Value::from(25 * ROUNDS));
}
