//! Numbers of accounts: calls to them are put through as they say.

use serde_json::{Value, json};
use std::time::Duration;
use tandem_e2e::{Api, Network, Options, Scenario, Sipp, SippCalls, SippCounts, Tandem, eventually, text_at};
use tandem_model::Transport;

const NUMBER: &str = "+12025550100";
const SOON: Duration = Duration::from_secs(5);

/// Calls that came in, newest first.
fn calls(api: &Api, least: usize) -> Vec<Value> {
    eventually("calls in the log", SOON, || {
        api.get("/calls?direction=inbound").expect(200).as_array().filter(|calls| calls.len() >= least).cloned()
    })
}

/// Which state of the configuration calls are routed by.
fn revision(api: &Api) -> u64 {
    api.explain(NUMBER, &json!({}))["routing_revision"].as_u64().unwrap_or(0)
}

/// Waits until a change is in force, which is 100 ms on a machine with time.
fn changed(api: &Api, before: u64) -> u64 {
    eventually("routing by the change", SOON, || Some(revision(api)).filter(|now| *now > before))
}

#[test]
fn sipp_calls_a_number_that_an_account_has_and_no_rule_names() {
    let network = Network::claim();
    let tandem = Tandem::start(&network, &Options::default().env("TANDEM_SHARED_CARRIERS", &network.range()));
    let [owner, other] = ["owner", "other"].map(|name| tandem.add_account(name, &["--tier", "pro"]));
    let desk = Sipp::start(Scenario::Answer, network.sip(3), 3);
    // Both are at the same carrier, which is shared, and only the number tells whose call it is.
    let trunk = owner.create_trunk("mine", network.sip(2), &json!({}));
    let _ = other.create_trunk("theirs", network.sip(2), &json!({}));
    let body = json!({"number": NUMBER, "connect": {"type": "sip", "uri": format!("sip:desk@{}", network.sip(3))}});
    let before = revision(&owner);
    let path = format!("/numbers/{}", text_at(&owner.post("/numbers", &body).expect(201), "/id"));
    let before = changed(&owner, before);
    let taken = other.post("/numbers", &json!({"number": NUMBER, "connect": {"type": "echo"}}));
    assert_eq!(taken.code(), "number_taken");

    let call = |count| {
        let (from, to, transport) = (network.sip(2), tandem.sip(), Transport::Udp);
        Sipp::call(&SippCalls { from, to, transport, number: NUMBER, count, per_second: 5 }).finish(4 * SOON)
    };
    assert_eq!(call(3), SippCounts { successful: 3, failed: 0 });
    assert_eq!(desk.finish(SOON), SippCounts { successful: 3, failed: 0 });
    for call in calls(&owner, 3) {
        let id = text_at(&call, "/id");
        let call = owner.wait_for_end(&id, SOON);
        assert_eq!((&call["to_number"], &call["sip_trunk_id"]), (&json!(NUMBER), &json!(trunk)), "{call:#}");
        let inbound = owner.receipt(&id)["inbound"].clone();
        assert_eq!(inbound["rule"], format!("numbers[{NUMBER}]"), "{inbound:#}");
        assert_eq!(inbound["steps"][1]["by"], "called_number", "{inbound:#}");
    }
    assert_eq!(other.get("/calls").expect(200), json!([]));

    // Without it nothing tells whose call it is.
    assert_eq!(owner.delete(&path).status, 204);
    let _ = changed(&owner, before);
    assert_eq!(call(1), SippCounts { successful: 0, failed: 1 });
    assert_eq!(calls(&owner, 3).len(), 3);
}
