//! Calls with far ends, hang-ups and a network that all behave at random: whatever happens, nothing leaks and every call is recorded once.

use std::net::SocketAddr;
use std::time::Duration;

use proptest::prelude::*;
use tandem_model::{CallId, Connect, DialOrder, InboundRouting, InboundRule, Timestamp};

use crate::far_end::Does::{self, Answer, Bye, Cancel, Progress, Reinvite, Reject};
use crate::far_end::{Calls, Hearing, Script};
use crate::lab::{Lab, Link, Peer};
use tandem_lab::setup::{PCMA, PCMU, Seeded, order, sdp, sdp_with, start, trunk_id};

/// Few cases in an ordinary run; `PROPTEST_CASES` asks for more.
const CASES: u32 = 48;

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_slot_is_given_back_once_and_every_call_recorded_once(seed in any::<u64>()) {
        run(seed >> 8, Crashes::Never);
    }

    #[test]
    fn a_process_that_dies_leaves_no_far_end_in_a_call_and_no_call_open(seed in any::<u64>()) {
        run(seed >> 8, Crashes::AtRandom);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Crashes {
    Never,
    AtRandom,
}

fn run(seed: u64, crashes: Crashes) {
    let mut random = Seeded(seed);
    let mut lab = Lab::seeded(seed);
    lab.link = Link {
        delay_ms: 1 + random.below(40),
        jitter_ms: random.below(60),
        loss_percent: random.below(30).saturating_sub(15),
    };
    lab.max_calls(6);
    for number in 1..=4 {
        let script = script(&mut random);
        let far_end = lab.far_end(script);
        lab.peer(far_end).hearing = hearing(&mut random);
        lab.trunk(far_end, |trunk| {
            trunk.max_concurrent_calls = 1 + u32::try_from(random.below(3)).unwrap();
            trunk.priority = 1 + u8::try_from(random.below(2)).unwrap();
            trunk.failover_trunk_id =
                (random.below(2) == 0).then(|| trunk_id(1 + u8::try_from(random.below(4)).unwrap()));
            trunk.outbound.progress_timeout = Duration::from_secs(1 + random.below(12));
            trunk.outbound.max_cps = (random.below(4) == 0).then_some(2);
            trunk.outbound.failover_on = vec![404];
            trunk.advanced_config.insert("rtp_timeout".into(), serde_json::json!(random.below(2) * 7));
            let rule = |to: &str, connect| InboundRule { to: Some(to.parse().unwrap()), from: None, connect };
            let rules = vec![rule("+12025550100", Connect::Forward), rule("+12025550107", Connect::Echo)];
            trunk.inbound = InboundRouting::new(None, rules, None);
            if number == 4 {
                trunk.sip_domain = "carrier.example.com".into();
            }
        });
    }
    let found = Ok(vec![std::net::IpAddr::from([192, 0, 2, 13])]);
    lab.names.insert("carrier.example.com".into(), crate::lab::Name::After(random.below(6_000), found));

    let mut calls: Vec<CallId> = Vec::new();
    for _ in 0..30 {
        match random.below(if crashes == Crashes::AtRandom { 6 } else { 5 }) {
            4 => {
                let peer = usize::try_from(random.below(4)).unwrap();
                let arriving = random_arrival(&mut random);
                calls.extend(lab.call_in(Peer(peer), arriving));
            }
            5 => {
                let open = lab.crash(random.below(2) == 0);
                let last_heartbeat = lab.now().utc.unix_micros() - i64::try_from(random.below(1_000_000)).unwrap();
                lab.pass(100 + random.below(2_000));
                lab.restart(open, Timestamp::from_unix_micros(last_heartbeat));
            }
            0 | 1 => {
                let order = random_order(&mut random);
                calls.extend(lab.try_dial(order));
            }
            2 if !calls.is_empty() => {
                let which = usize::try_from(random.below(u64::try_from(calls.len()).unwrap())).unwrap();
                lab.hang_up(calls[which]);
            }
            _ => lab.pass(random.below(5_000)),
        }
        let counts = lab.counts();
        assert!(counts.account_slots <= 6, "{counts:?}");
        for number in 1..=4 {
            let limit = 3;
            assert!(lab.trunk_state(number).active_calls <= limit);
        }
    }
    lab.pass(60_000);
    lab.pass_all();
    lab.expect_nothing_left();
    // Where messages get lost a far end may ring on: it is not canceled before it is known to have heard of the call.
    for far_end in lab.peers.iter().filter(|_| lab.link.loss_percent == 0) {
        assert_eq!(far_end.endpoint.counts().sessions, 0, "nobody is left in a call: {:#?}", far_end.kinds());
    }
    let allowed = |to: &SocketAddr| to.to_string().starts_with("192.0.2.");
    assert!(lab.audio.iter().all(|audio| allowed(&audio.to)), "media goes to nobody's inside");
}

/// To a number that is forwarded, to one that hears an echo, or to one that no rule names.
fn random_arrival(random: &mut Seeded) -> Calls {
    let to = ["+12025550100", "+12025550107", "+12025550109"][usize::try_from(random.below(3)).unwrap()];
    let at = random.below(20_000);
    let gives_up = if random.below(2) == 0 { Cancel } else { Bye };
    // Neither does anything at the wrong time; in the end everybody hangs up.
    let script = vec![(at, gives_up), (at + 40_000, Bye)];
    Calls {
        to: format!("sip:{to}@192.0.2.1"),
        from: "sip:+12025550199@192.0.2.99",
        offer: (random.below(4) > 0).then(|| description(random)),
        answer: (random.below(4) > 0).then(|| description(random)),
        max_forwards: 70,
        script,
    }
}

fn random_order(random: &mut Seeded) -> DialOrder {
    let connect = match random.below(4) {
        0 => Connect::Echo,
        1 => Connect::Play { tone: "440+480".into() },
        2 => Connect::Sip { uri: "sip:phone@192.0.2.10".into() },
        _ => Connect::Number { number: "+12025550111".parse().unwrap() },
    };
    let to = if random.below(5) == 0 { "sip:phone@192.0.2.11" } else { "+12025550100" };
    DialOrder {
        connect,
        ring_timeout: Duration::from_secs(1 + random.below(30)),
        max_duration: Duration::from_secs(1 + random.below(30)),
        trunk_id: (random.below(3) == 0).then(|| trunk_id(1 + u8::try_from(random.below(4)).unwrap())),
        ..order(to)
    }
}

fn hearing(random: &mut Seeded) -> Hearing {
    match random.below(8) {
        0 => Hearing::Dead,
        1 => Hearing::Unreachable,
        2 => Hearing::AsleepUntil(start() + Duration::from_millis(random.below(20_000))),
        _ => Hearing::Awake,
    }
}

fn script(random: &mut Seeded) -> Script {
    let mut at = random.below(6_000);
    let mut script: Script = Vec::new();
    for _ in 0..random.below(3) {
        let description = (random.below(2) == 0).then(|| description(random));
        script.push((at, Progress(180 + u16::try_from(random.below(4)).unwrap(), description)));
        at += random.below(4_000);
    }
    match random.below(4) {
        0 => {}
        1 => {
            let codes = [302, 403, 404, 408, 480, 486, 488, 500, 503, 600, 603];
            let code = codes[usize::try_from(random.below(11)).unwrap()];
            let headers =
                if random.below(2) == 0 { vec![("Retry-After", random.below(200).to_string())] } else { Vec::new() };
            script.push((at, Reject(code, headers)));
        }
        _ => {
            script.push((at, answer(random)));
            at += 500 + random.below(10_000);
            if random.below(2) == 0 {
                script.push((at, Bye));
            } else if random.below(2) == 0 {
                let offer = (random.below(2) == 0).then(|| description(random));
                script.push((at, Reinvite(offer, Some(description(random)))));
            }
        }
    }
    script
}

fn answer(random: &mut Seeded) -> Does {
    Answer((random.below(8) > 0).then(|| description(random)))
}

fn description(random: &mut Seeded) -> String {
    let media = format!("192.0.2.{}:4000", 10 + random.below(4));
    match random.below(6) {
        0 => sdp_with(&media, PCMU, "sendonly"),
        1 => sdp_with(&media, PCMU, "inactive"),
        2 => sdp("10.0.0.5:4000", PCMU),
        3 => sdp(&media, "18"),
        4 => sdp(&media, PCMA),
        _ => sdp(&media, PCMU),
    }
}
