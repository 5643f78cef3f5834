//! `tandem serve --demo`: what a newcomer does first.

use serde_json::Value;
use std::process::Command;
use std::time::Duration;
use tandem_e2e::{Capture, Network, Options, Tandem, eventually, text_at};
use tandem_model::Timestamp;

#[test]
fn the_printed_curl_line_places_a_call_that_is_answered_heard_and_billed() {
    let network = Network::claim();
    let capture = Capture::start(&network);
    let tandem = Tandem::start(&network, &Options::demo());
    let api = tandem.api();

    let printed = tandem.stdout();
    let line = printed.lines().find(|line| line.trim_start().starts_with("curl ")).expect("a curl line is printed");
    let ran = Command::new("sh").args(["-c", line]).output().expect("there is a shell");
    assert!(ran.status.success(), "{line}\nsays {}", String::from_utf8_lossy(&ran.stderr));
    let call: Value = serde_json::from_slice(&ran.stdout).expect("the answer is JSON");
    assert_eq!(call["to_number"], "+12025550100", "{call:#}");
    assert_eq!(call["status"], "initiated", "{call:#}");
    let id = text_at(&call, "/id");

    let answered = api.wait_for_status(&id, "answered", Duration::from_secs(10));
    let time = |name| text_at(&answered, name).parse::<Timestamp>().expect("a time is RFC 3339");
    let waited = time("/answered_at").since(time("/started_at"));
    assert!(waited < Duration::from_secs(3), "answered after {waited:?}");
    // Audio goes both ways for a second: what is played comes back.
    let (us, carrier) = (network.host(1), network.host(2));
    eventually("RTP both ways", Duration::from_secs(5), || {
        let (sent, heard) = (capture.rtp(us, carrier).len(), capture.rtp(carrier, us).len());
        (sent > 50 && heard > 50).then_some(())
    });
    let hung_up = api.hang_up(&id).expect(200);
    assert_eq!(hung_up["id"], call["id"]);
    let ended = api.wait_for_end(&id, Duration::from_secs(3));

    assert_eq!(ended["status"], "completed", "{ended:#}");
    assert_eq!((&ended["hangup_cause"], &ended["hung_up_by"]), (&Value::from("normal_clearing"), &Value::from("api")));
    let duration = ended["duration_ms"].as_u64().expect("a duration is a number");
    assert!((900..10_000).contains(&duration), "{ended:#}");
    assert_eq!(ended["duration_seconds"], duration / 1_000);
    // 0.0042 a minute, by whole seconds begun.
    let seconds = duration.div_ceil(1_000);
    let cost = ended["cost"].as_f64().expect("a cost is a number");
    #[expect(clippy::cast_precision_loss, reason = "a few seconds")]
    let expected = (0.0042 * seconds as f64 / 60.0 * 1e6).round() / 1e6;
    assert!((cost - expected).abs() < 1e-9, "{cost} is not {expected}");

    let receipt = api.receipt(&id);
    assert_eq!(receipt["considered"][0]["trunk_name"], "demo-first", "{receipt:#}");
    assert_eq!(receipt["considered"][0]["verdict"], "taken");
    assert_eq!(receipt["considered"][0]["reason"]["code"], "ranked");
    assert!(receipt["considered"][0]["explanation"].as_str().is_some_and(|text| text.contains("priority 1")));
    assert_eq!(receipt["attempts"][0]["outcome"]["code"], "answered", "{receipt:#}");
    assert_eq!(receipt["considered"][1]["trunk_name"], "demo-second");

    for what in ["INVITE", "ACK", "BYE"] {
        capture.wait_for(what, Duration::from_secs(2), |packet, text| {
            packet.from.ip() == us && packet.to == network.sip(2) && text.method() == Some(what)
        });
    }
    capture.wait_for("200 to the INVITE", Duration::from_secs(2), |packet, text| {
        packet.from == network.sip(2) && text.status() == Some(200) && text.cseq().is_some_and(|(_, of)| of == "INVITE")
    });
}
