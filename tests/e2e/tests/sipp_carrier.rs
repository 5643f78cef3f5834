//! SIPp as the carrier behind a trunk.

use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tandem_e2e::{
    Capture, Network, Options, Packet, Scenario, SipText, Sipp, SippCounts, Tandem, digest, eventually, pause, text_at,
};

#[test]
fn sipp_answers_200_calls_at_20_a_second() {
    place_calls(Scenario::Answer, 200);
}

#[test]
fn sipp_answers_200_calls_at_20_a_second_after_a_407() {
    let seen = place_calls(Scenario::ProxyChallenge, 200);
    let credentials: Vec<&str> = seen.iter().filter_map(|(_, text)| text.header("Proxy-Authorization")).collect();
    assert!(credentials.len() >= 200, "{} INVITEs with credentials", credentials.len());
    for credentials in credentials {
        assert!(digest::is_right(credentials, "INVITE", USERNAME, PASSWORD), "{credentials}");
    }
}

#[test]
fn sipp_finds_the_credentials_for_its_401_right() {
    place_calls(Scenario::Challenge, 20);
}

/// Places so many calls at 20 a second, and returns what was sent over the wire.
fn place_calls(scenario: Scenario, count: u32) -> Vec<(Packet, SipText)> {
    let network = Network::claim();
    let capture = Capture::start(&network);
    let tandem = Tandem::start(&network, &Options::default().env("TANDEM_LOG", "info"));
    let api = tandem.api();
    let sipp = Sipp::start(scenario, network.sip(2), count);
    let body = json!({
        "max_concurrent_calls": 100, "cost_per_minute": 0.6, "auth_username": USERNAME, "auth_password": PASSWORD,
    });
    let trunk = api.create_trunk("sipp", network.sip(2), &body);

    let begun = Instant::now();
    let ids: Vec<String> = (0..count)
        .map(|number| {
            pause((begun + INTERVAL * number).saturating_duration_since(Instant::now()));
            text_at(&api.dial("+12025550100", &json!({"sip_trunk_id": trunk})), "/id")
        })
        .collect();
    assert!(begun.elapsed() < INTERVAL * count + Duration::from_secs(2), "dialling took {:?}", begun.elapsed());

    let counts = sipp.finish(Duration::from_secs(20));
    assert_eq!(counts, SippCounts { successful: count.into(), failed: 0 });

    // Each call is in the call log as SIPp saw it.
    let logged = eventually("call log with all calls", Duration::from_secs(5), || {
        let calls = api.get("/calls?limit=1000").expect(200);
        let calls = calls.as_array().cloned().unwrap_or_default();
        let over = calls.iter().filter(|call| !call["ended_at"].is_null()).count();
        (over == ids.len()).then_some(calls)
    });
    for call in &logged {
        assert!(ids.iter().any(|id| call["id"] == id.as_str()));
        let seen = (call["status"].as_str(), call["hangup_cause"].as_str(), call["hung_up_by"].as_str());
        assert_eq!(seen, (Some("completed"), Some("normal_clearing"), Some("callee")), "{call:#}");
        let duration = call["duration_ms"].as_u64();
        assert!(duration.is_some_and(|duration| (300..3_000).contains(&duration)), "{call:#}");
        assert!(call["cost"].as_f64().is_some_and(|cost| (0.0099..0.0301).contains(&cost)), "{call:#}");
        assert_eq!(call["codec_used"], "PCMU");
    }
    let shown = api.get(&format!("/trunks/{trunk}")).expect(200);
    assert_eq!(shown["current_active_calls"], 0, "{shown:#}");
    assert_ne!(shown["auth_failed"], Value::Bool(true), "{shown:#}");
    capture.sip()
}

const USERNAME: &str = "e2e";
const PASSWORD: &str = "digest-password";
/// 20 a second.
const INTERVAL: Duration = Duration::from_millis(50);
