//! Short calls that test a trunk, over the simulated carrier.

use serde_json::{Value, json};
use std::time::Duration;
use tandem_e2e::{Network, Options, Tandem, eventually};

fn check(api: &tandem_e2e::Api, trunk: &str, number: &str) -> Value {
    let found = api.post(&format!("/trunks/{trunk}/health-check"), &json!({"call": number})).expect(200);
    assert_eq!(found["status"], "healthy", "{found:#}");
    found["call"].clone()
}

#[test]
fn a_test_call_tells_an_echo_from_a_tone_a_busy_line_and_one_that_rings_for_ever() {
    let network = Network::claim();
    let tandem = Tandem::start(&network, &Options::demo());
    let api = tandem.api();
    let trunks = api.get("/trunks").expect(200);
    let trunk = trunks[0]["id"].as_str().expect("the demo has trunks").to_owned();

    let echo = check(&api, &trunk, "+12025550100");
    assert_eq!((&echo["passed"], &echo["heard"], &echo["status"]), (&json!(true), &json!("tone"), &json!("completed")));
    // It rings for a second, and the tone is played for three.
    assert!(
        echo["answer_ms"].as_u64() >= Some(900) && echo["setup_ms"].as_u64() <= echo["answer_ms"].as_u64(),
        "{echo:#}"
    );
    assert!(
        echo["tone_ms"].as_u64() >= Some(1_500) && echo["audio_ms"].as_u64() >= echo["tone_ms"].as_u64(),
        "{echo:#}"
    );
    assert!(echo["level_dbm0"].as_i64().is_some_and(|level| (-16..=-6).contains(&level)), "{echo:#}");
    assert_eq!(echo["hangup_cause"], "normal_clearing");

    assert!(echo["mos"].as_f64().is_some_and(|mos| (4.0..=4.41).contains(&mos)), "{echo:#}");
    assert!(echo["jitter_us"].is_number() && echo["packets_lost"].is_number(), "{echo:#}");

    let other = check(&api, &trunk, "+12025550101");
    assert_eq!((&other["passed"], &other["heard"]), (&json!(false), &json!("sound")), "{other:#}");

    let busy = check(&api, &trunk, "+12025550102");
    assert_eq!((&busy["passed"], &busy["heard"], &busy["sip_status"]), (&json!(false), &Value::Null, &json!(486)));
    assert_eq!(busy["mos"], Value::Null, "nothing was heard");

    // It is a call as any, which says what it was for.
    let id = echo["id"].as_str().unwrap_or_default();
    let call = api.call(id);
    assert_eq!((&call["metadata"], &call["sip_trunk_id"]), (&json!({"trunk_test": true}), &json!(trunk)));
    let steps = api.timeline(id);
    let heard = steps.iter().find(|step| step["kind"] == "audio_checked").unwrap_or_else(|| panic!("{steps:#?}"));
    assert_eq!(heard["detail"]["tone_hz"], 1_020, "{heard:#}");

    // So is how it sounded. The statistics of its trunk have it as soon as all three are stored.
    let legs = api.get(&format!("/calls/{id}/legs")).expect(200);
    assert_eq!(legs[0]["mos"], echo["mos"], "{legs:#}");
    let told = eventually("the trunk's calls in its statistics", Duration::from_secs(10), || {
        let told = api.get(&format!("/analytics?group_by=trunk&trunk_id={trunk}")).expect(200);
        (told["totals"]["attempts"] == 3 && told["totals"]["failed_attempts"] == 1).then_some(told)
    });
    let mean = f64::midpoint(echo["mos"].as_f64().unwrap_or(0.0), other["mos"].as_f64().unwrap_or(0.0));
    let mos = told["buckets"][0]["mos"].as_f64();
    assert!(mos.is_some_and(|mos| (mos - mean).abs() < 0.001), "{mean} of {told:#}");

    for wrong in ["911", "sip:x@127.0.0.2", "nobody"] {
        let body = json!({"call": wrong});
        assert_eq!(api.post(&format!("/trunks/{trunk}/health-check"), &body).code(), "invalid_field", "{wrong}");
    }
    // A person's status holds: nobody is called over a trunk that is switched off.
    api.change_trunk(&trunk, &json!({"status": "inactive"}));
    let refused = api.post(&format!("/trunks/{trunk}/health-check"), &json!({"call": "+12025550100"}));
    assert_eq!(refused.code(), "no_route", "{}", refused.text);
}

#[test]
fn the_command_shows_how_the_call_went_and_ends_as_it_did() {
    let network = Network::claim();
    let tandem = Tandem::start(&network, &Options::demo());
    let api = format!("http://{}:8080", network.host(1));
    let test = |more: &[&str], number: &str| {
        tandem.cli(&[more, &["trunk", "test", "demo-first", "--call", number, "--api", &api]].concat())
    };

    let echo = test(&[], "+12025550100");
    assert!(echo.status.success(), "{echo:?}");
    let [.., heading, row] = echo.stdout.lines().collect::<Vec<_>>()[..] else { panic!("{echo:?}") };
    let headings: Vec<&str> = heading.split_whitespace().collect();
    let expected = ["CALL", "SIP", "SETUP", "ANSWER", "HEARD", "TONE", "LEVEL", "LOST", "JITTER", "MOS", "ENDED"];
    assert_eq!(headings, expected, "{echo:?}");
    for told in ["completed  200", "tone", "dBm0", "4.", "normal_clearing"] {
        assert!(row.contains(told), "{told}: {row}");
    }

    // Who answers with a tone of their own is heard, and is no echo.
    let other = test(&["--json"], "+12025550101");
    assert_eq!(other.status.code(), Some(1), "{other:?}");
    let told: Value = serde_json::from_str(&other.stdout).unwrap_or_else(|error| panic!("{error}: {other:?}"));
    assert_eq!((&told["call"]["heard"], &told["call"]["passed"]), (&json!("sound"), &json!(false)), "{told:#}");
    assert!(told["call"]["mos"].as_f64().is_some_and(|mos| (1.0..=4.41).contains(&mos)), "{told:#}");

    let busy = test(&["--json"], "+12025550102");
    assert_eq!(busy.status.code(), Some(1), "{busy:?}");
    let told: Value = serde_json::from_str(&busy.stdout).unwrap_or_else(|error| panic!("{error}: {busy:?}"));
    assert_eq!((&told["call"]["sip_status"], &told["call"]["passed"]), (&json!(486), &json!(false)), "{told:#}");
    assert!(busy.stderr.contains("busy"), "{busy:?}");
    let usage = tandem.cli(&["trunk", "test", "demo-first", "--call"]);
    assert_eq!(usage.status.code(), Some(2), "{usage:?}");
}
