//! A call between two telephones that are somebody else's program, from trunk to trunk.

use serde_json::json;
use std::time::{Duration, Instant};
use tandem_e2e::{Api, Baresip, Lan, Network, Options, Tandem, eventually, pause, text_at};
use tandem_media::tone::dominant_hz;

#[test]
fn two_baresips_hear_each_other_hold_and_resume() {
    let (network, lan) = (Network::claim(), Lan::claim());
    let mut caller = Baresip::start(&lan, 2, "+12025550199", CALLER_HZ);
    let callee = Baresip::start(&lan, 3, CALLED, CALLEE_HZ);
    let (tandem, api) = between(&network, &lan, &caller, &callee);
    caller.dial(&format!("sip:{CALLED}@{}", lan.host(1)));
    let id = call_that_is_up(&api);
    let mut heard = Heard::default();
    let up = Instant::now();
    heard.next(&caller, &callee);
    assert_eq!(heard.tones, [Some(CALLEE_HZ), Some(CALLER_HZ)], "both hear the other");

    caller.hold();
    let held = Instant::now();
    wait_for_event(&tandem, &id, "held");
    // What was under way has arrived.
    pause(Duration::from_millis(500));
    heard.next(&caller, &callee);
    assert_eq!(heard.tones[0], None, "who holds does not hear the other");

    caller.resume();
    wait_for_event(&tandem, &id, "resumed");
    let resumed = Instant::now();
    pause(Duration::from_millis(500));
    heard.next(&caller, &callee);
    assert_eq!(heard.tones[1], Some(CALLER_HZ), "who was held hears the other again");

    let talked = (held - up) + resumed.elapsed();
    caller.hang_up();
    let call = api.wait_for_end(&id, SOON);
    let ending = [&call["status"], &call["hangup_cause"], &call["hung_up_by"], &call["direction"]];
    assert_eq!(ending, ["completed", "normal_clearing", "caller", "inbound"], "{call:#}");
    let legs = api.closed_legs(&id);
    assert_eq!(legs.len(), 2, "{legs:#?}");
    // A baresip 1.0 that has held a call plays and records nothing of it any more, with any other telephone too. That it is talked to
    // again shows in what was sent: as much as before the hold and after it, and nothing meanwhile.
    let sent = legs[0]["media"]["packets_sent"].as_u64().unwrap_or_else(|| panic!("no count: {legs:#?}"));
    let [least, most] = [talked, talked + SOON / 10].map(|span| u64::try_from(span.as_millis()).expect("seconds") / 20);
    assert!((least * 4 / 5..=most).contains(&sent), "{sent} packets in {talked:?}: {legs:#?}");
}

#[test]
fn a_key_of_a_baresip_is_told_to_the_other_once() {
    let (network, lan) = (Network::claim(), Lan::claim());
    let mut caller = Baresip::start(&lan, 2, "+12025550199", CALLER_HZ);
    let mut callee = Baresip::start(&lan, 3, CALLED, CALLEE_HZ);
    let (_tandem, api) = between(&network, &lan, &caller, &callee);
    caller.dial(&format!("sip:{CALLED}@{}", lan.host(1)));
    let id = call_that_is_up(&api);
    for key in KEYS.chars() {
        caller.press(key);
        pause(Duration::from_millis(300));
    }
    assert_eq!(callee.wait_for_keys(KEYS.len()), KEYS);
    caller.hang_up();
    let _ = api.wait_for_end(&id, SOON);
}

/// A node that has each of them behind a trunk of its own, and passes on what the caller's brings.
fn between(network: &Network, lan: &Lan, caller: &Baresip, callee: &Baresip) -> (Tandem, Api) {
    let node = lan.host(1);
    let options = Options::default()
        .env("TANDEM_SIP_LISTEN", &format!("udp:{node}:5060"))
        .env("TANDEM_MEDIA_ADDRESS", &node.to_string())
        .env("TANDEM_PEER_ALLOW", &lan.range());
    let tandem = Tandem::start(network, &options);
    let api = tandem.api();
    let _ = api.create_trunk("callee", callee.address(), &json!({"call_direction": "outbound"}));
    let forward = json!({"call_direction": "inbound", "inbound_routing": {"default": {"type": "forward"}}});
    let _ = api.create_trunk("caller", caller.address(), &forward);
    (tandem, api)
}

fn call_that_is_up(api: &Api) -> String {
    eventually("call that is up", SOON, || {
        let calls = api.get("/calls").expect(200);
        calls
            .as_array()
            .and_then(|calls| calls.first())
            .filter(|call| call["status"] == "answered")
            .map(|call| text_at(call, "/id"))
    })
}

/// What the telephones have heard, piece by piece.
#[derive(Default)]
struct Heard {
    /// How many samples of the caller's and the callee's recording are known.
    known: [usize; 2],
    /// What the caller and the callee heard in the last piece, if it was a tone.
    tones: [Option<u16>; 2],
}

impl Heard {
    /// Listens for a while.
    fn next(&mut self, caller: &Baresip, callee: &Baresip) {
        self.known = [caller.heard().len(), callee.heard().len()];
        pause(PIECE);
        for (place, telephone) in [caller, callee].into_iter().enumerate() {
            let heard = telephone.heard();
            let piece = heard.get(self.known[place]..).unwrap_or_default();
            // The middle of it: codec and jitter buffer have settled.
            let middle = piece.get(piece.len() / 4..piece.len() * 3 / 4).unwrap_or_default();
            self.tones[place] = dominant_hz(middle, &[CALLER_HZ, CALLEE_HZ]);
        }
    }
}

fn wait_for_event(tandem: &Tandem, id: &str, kind: &str) {
    eventually(&format!("event {kind}"), SOON, || {
        tandem.api().timeline(id).iter().any(|event| event["kind"] == kind).then_some(())
    });
}

const CALLED: &str = "+12025550100";
const KEYS: &str = "5#09";
const CALLER_HZ: u16 = 600;
const CALLEE_HZ: u16 = 1_100;
/// A second of speech, and what a busy machine adds to it.
const PIECE: Duration = Duration::from_millis(1_500);
/// On a busy machine.
const SOON: Duration = Duration::from_secs(10);
