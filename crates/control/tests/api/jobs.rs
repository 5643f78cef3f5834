use crate::harness::Api;
use serde_json::json;

#[tokio::test]
async fn a_forgotten_call_is_closed_and_its_slot_freed() {
    let api = Api::start().await;
    let trunk = api.trunk(json!({})).await;
    api.call(&trunk, "CA1").await;
    api.clock.advance(-LONG);
    assert_eq!(api.services.close_stale_calls().await.unwrap(), 0);
    // The store stamps rows by its own clock, so the test goes well beyond it.
    api.clock.advance(2 * LONG);
    assert_eq!(api.services.close_stale_calls().await.unwrap(), 1);
    assert_eq!(api.services.close_stale_calls().await.unwrap(), 0);
    let call = api.get("/calls/CA1").await.expect(200);
    assert_eq!((&call["status"], &call["hangup_cause"]), (&json!("failed"), &json!("stale")));
    let states = api.switchboard.script(|script| (script.slots.len(), script.slot_log.len()));
    assert_eq!(states, (0, 2));
}

/// Thirty years, in seconds.
const LONG: i64 = 946_080_000;
