//! A node whose database is a PostgreSQL.

use serde_json::{Value, json};
use std::time::Duration;
use tandem_e2e::{Network, Options, Postgres, Tandem, eventually, pause, text_at};

const SOON: Duration = Duration::from_secs(5);

#[test]
fn calls_are_on_record_in_postgresql_and_are_closed_there_after_a_crash() {
    let network = Network::claim();
    let postgres = Postgres::start();
    let mut tandem = Tandem::start(&network, &Options::demo().env("DATABASE_URL", &postgres.url()));
    let api = tandem.api();
    let dial = || {
        let id = text_at(&api.dial("+12025550100", &json!({})), "/id");
        let _ = api.wait_for_status(&id, "answered", SOON);
        id
    };
    let text = |query: &'static str, id: &str| postgres.column(query, id).pop().flatten();
    let has_ended = |id: &str| {
        eventually("end on record", SOON, || {
            text("SELECT hangup_cause FROM tandem.call_logs WHERE id = $1::uuid AND ended_at IS NOT NULL", id)
        })
    };

    let id = dial();
    pause(Duration::from_millis(300));
    let _ = api.hang_up(&id).expect(200);
    let call = api.wait_for_end(&id, SOON);
    let legs = api.closed_legs(&id);
    assert_eq!(has_ended(&id), "normal_clearing");
    // The counters of a leg are stored a moment after the end of its call.
    eventually("counters on record", SOON, || {
        text("SELECT media FROM tandem.call_legs WHERE call_log_id = $1::uuid", &id)
    });
    let micros = format!("{:.0}", call["cost"].as_f64().expect("a cost is a number") * 1e6);
    for (query, expected) in [
        ("SELECT status FROM tandem.call_logs WHERE id = $1::uuid", text_at(&call, "/status")),
        ("SELECT duration_ms::text FROM tandem.call_logs WHERE id = $1::uuid", call["duration_ms"].to_string()),
        ("SELECT cost_micros::text FROM tandem.call_logs WHERE id = $1::uuid", micros),
        ("SELECT count(*)::text FROM tandem.call_legs WHERE call_log_id = $1::uuid", legs.len().to_string()),
        ("SELECT cause FROM tandem.call_legs WHERE call_log_id = $1::uuid", text_at(&legs[0], "/hangup_cause")),
        ("SELECT sip_call_id FROM tandem.call_legs WHERE call_log_id = $1::uuid", text_at(&legs[0], "/sip_call_id")),
        (
            "SELECT sum(json_array_length(events::json))::text FROM tandem.call_timelines WHERE call_log_id = $1::uuid",
            api.timeline(&id).len().to_string(),
        ),
    ] {
        assert_eq!(text(query, &id).as_ref(), Some(&expected), "{query}");
    }
    let receipt = text("SELECT receipt FROM tandem.call_logs WHERE id = $1::uuid", &id).expect("a call has a receipt");
    let receipt: Value = serde_json::from_str(&receipt).expect("a receipt is JSON");
    assert_eq!(receipt["attempts"][0]["outcome"]["code"], "answered", "{receipt:#}");
    assert!(!tandem.data_dir().join("tandem.db").exists(), "nothing is kept elsewhere");

    let open = dial();
    tandem.kill();
    tandem.restart();
    assert_eq!(has_ended(&open), "node_restarted");
    assert_eq!(tandem.api().call(&id), call);
    assert_eq!(
        text("SELECT count(*)::text FROM tandem.call_logs WHERE ended_at IS NULL AND $1 <> ''", "all").as_deref(),
        Some("0")
    );
}
