//! Probes that nobody asks for: a carrier that is gone leaves routing by itself and comes back by itself.

use serde_json::{Value, json};
use std::net::UdpSocket;
use std::time::{Duration, Instant};
use tandem_e2e::peer::Script;
use tandem_e2e::{Api, Network, Options, Peer, Tandem, eventually, pause, text_at};

const NUMBER: &str = "+12025550100";
/// Two probe intervals of a second, and what a busy machine may take.
const TWO_INTERVALS: Duration = Duration::from_secs(6);

/// A node with a trunk that is probed each second, and one behind it that never is.
struct Bench {
    network: Network,
    tandem: Tandem,
    api: Api,
    first: String,
}

fn bench() -> Bench {
    let network = Network::claim();
    let tandem = Tandem::start(&network, &Options::default());
    let api = tandem.api();
    let probed = json!({"advanced_config": {"options_interval": 1}});
    let first = api.create_trunk("first", network.sip(2), &probed);
    let _ = api.create_trunk("second", network.sip(3), &json!({"priority": 2}));
    Bench { network, tandem, api, first }
}

impl Bench {
    fn health(&self) -> Value {
        self.api.get(&format!("/trunks/{}/health", self.first)).expect(200)
    }

    fn wait_for(&self, status: &str, timeout: Duration) -> Value {
        eventually(&format!("a trunk that is {status}"), timeout, || {
            let health = self.health();
            (health["status"] == status).then_some(health)
        })
    }

    /// What routing says of the first trunk.
    fn verdict(&self) -> (String, String) {
        let receipt = self.api.explain(NUMBER, &json!({}));
        let considered = receipt["considered"].as_array().expect("a list").clone();
        let of_first = considered.iter().find(|trunk| trunk["trunk_name"] == "first").expect("it is looked at");
        (text_at(of_first, "/verdict"), text_at(of_first, "/reason/code"))
    }
}

#[test]
fn a_trunk_that_is_blackholed_is_out_of_routing_within_two_intervals_and_back_within_two() {
    let bench = bench();
    let peer = Peer::start_with(bench.network.sip(2), |_| Script::silent());
    let health = bench.wait_for("healthy", TWO_INTERVALS);
    assert!(health["latency_ms"].as_f64().is_some_and(|latency| latency < 900.0), "{health:#}");
    assert_eq!((&health["options_interval"], &health["circuit"]["state"]), (&json!(1), &json!("closed")));
    assert_eq!(bench.verdict(), ("taken".into(), "ranked".into()));

    // Somebody has the port, and says nothing.
    drop(peer);
    let blackhole = UdpSocket::bind(bench.network.sip(2)).expect("the peer is gone");
    let health = bench.wait_for("unhealthy", TWO_INTERVALS);
    assert_eq!((&health["reason"], &health["routable"]), (&json!("no_answer"), &json!(false)), "{health:#}");
    assert_eq!(bench.verdict(), ("skipped".into(), "trunk_unhealthy".into()));
    let refused = bench.api.try_dial(NUMBER, &json!({"sip_trunk_id": bench.first}));
    assert_eq!(refused.code(), "no_trunk_available", "{}", refused.text);
    let trunk = bench.api.get(&format!("/trunks/{}", bench.first)).expect(200);
    assert_eq!((&trunk["status"], &trunk["health_status"]), (&json!("active"), &json!("unhealthy")), "{trunk:#}");
    assert_eq!(trunk["unroutable_reason"], "trunk_unhealthy");

    drop(blackhole);
    let _peer = Peer::start_with(bench.network.sip(2), |_| Script::silent());
    let _ = bench.wait_for("healthy", TWO_INTERVALS);
    assert_eq!(bench.verdict(), ("taken".into(), "ranked".into()));

    // All of it is on record, newest first.
    let health = eventually("history", TWO_INTERVALS, || {
        let health = bench.health();
        (health["history"].as_array().is_some_and(|spans| spans.len() >= 3)).then_some(health)
    });
    let statuses: Vec<String> =
        health["history"].as_array().expect("a list").iter().map(|span| text_at(span, "/status")).collect();
    assert_eq!(statuses, ["healthy", "unhealthy", "healthy"], "{health:#}");
    assert!(health["uptime_percent"].as_f64().is_some_and(|share| share > 0.0 && share < 100.0), "{health:#}");
    let page = bench.api.get(&format!("/trunks/{}/health?skip=1&limit=1", bench.first)).expect(200);
    assert_eq!(page["history"], json!([health["history"][1]]));
}

#[test]
fn a_carrier_that_comes_and_goes_does_not_come_and_go_in_routing() {
    let bench = bench();
    let began = Instant::now();
    let (mut changes, mut was_well) = (0, true);
    while began.elapsed() < Duration::from_secs(36) {
        let peer = Peer::start_with(bench.network.sip(2), |_| Script::silent());
        let mut watch = |length: Duration| {
            let until = Instant::now() + length;
            while Instant::now() < until {
                let is_well = bench.health()["status"] != "unhealthy";
                changes += u32::from(is_well != was_well);
                was_well = is_well;
                pause(Duration::from_millis(50));
            }
        };
        watch(Duration::from_millis(1_200));
        drop(peer);
        watch(Duration::from_millis(1_800));
    }
    // It came and went twelve times; each time it left routing, it stayed away twice as long as before.
    assert!((1..=12).contains(&changes), "routing changed {changes} times");
}

#[test]
fn a_status_that_a_person_set_stays() {
    let bench = bench();
    let peer = Peer::start_with(bench.network.sip(2), |_| Script::silent());
    let _ = bench.wait_for("healthy", TWO_INTERVALS);
    bench.api.change_trunk(&bench.first, &json!({"status": "maintenance"}));
    bench.api.wait_for_routing("maintenance", |receipt| receipt.to_string().contains("trunk_not_active"));
    pause(Duration::from_millis(200));
    let probes = peer.others().len();
    pause(Duration::from_millis(2_500));
    assert_eq!(peer.others().len(), probes, "whoever is switched off is left alone");
    drop(peer);
    let check = bench.api.post(&format!("/trunks/{}/health-check", bench.first), &json!({})).expect(200);
    assert_eq!(check["status"], "unhealthy", "{check:#}");
    let trunk = bench.api.get(&format!("/trunks/{}", bench.first)).expect(200);
    assert_eq!(trunk["status"], "maintenance", "{trunk:#}");

    bench.api.change_trunk(&bench.first, &json!({"status": "active"}));
    let _peer = Peer::start_with(bench.network.sip(2), |_| Script::silent());
    let _ = bench.wait_for("healthy", TWO_INTERVALS);
    drop(bench.tandem);
}
