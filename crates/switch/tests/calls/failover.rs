//! When the next trunk is tried, which one that is, and what is said of each.

use std::time::Duration;

use tandem_model::{CallStatus, HangupCause};

use crate::far_end::Does::{Answer, Progress, Reject};
use crate::far_end::{Hearing, Script};
use crate::lab::{Lab, Peer, verdicts};
use tandem_lab::setup::{NUMBER, PCMU, order, sdp, trunk_id};

fn answers() -> Script {
    vec![(0, Answer(Some(sdp("192.0.2.11:4000", PCMU))))]
}

fn refuses(code: u16) -> Script {
    vec![(0, Reject(code, Vec::new()))]
}

/// Two trunks, the second of which answers.
fn two_trunks(first: Script) -> (Lab, Peer, Peer) {
    let mut lab = Lab::new();
    let first = lab.far_end(first);
    let second = lab.far_end(answers());
    lab.trunk(first, |_| {});
    lab.trunk(second, |_| {});
    (lab, first, second)
}

#[test]
fn codes_that_speak_of_the_trunk_go_on_to_the_next_one() {
    for code in [408, 500, 502, 503, 504] {
        let (mut lab, _, second) = two_trunks(refuses(code));
        let call = lab.dial(order(NUMBER));
        lab.pass(1_000);
        assert_eq!(lab.peer(second).first_ms("INVITE"), Some(15), "{code}");
        assert_eq!(lab.inspect(call).unwrap().record.status, CallStatus::Answered);
        lab.hang_up(call);
        lab.pass(100);
        let ended = lab.ended(call);
        assert_eq!(ended.outcomes(), ["retryable_status", "answered"]);
        assert_eq!(verdicts(&ended.receipt()), [("trunk-1", "ranked"), ("trunk-2", "ranked")]);
        let first = &ended.receipt().attempts[0];
        assert_eq!((first.sip_status, first.cause), (Some(code), Some(HangupCause::from_sip_status(code))));
        assert_eq!((ended.legs[0].sip_status, ended.legs[0].trunk_id), (Some(code), Some(trunk_id(1))));
        assert_eq!(ended.legs[1].trunk_id, Some(trunk_id(2)));
        assert_ne!(ended.legs[0].sip_call_id, ended.legs[1].sip_call_id, "each attempt is a fresh dialog");
        lab.finish();
    }
}

#[test]
fn every_other_code_goes_back_to_who_placed_the_call_with_its_cause() {
    let retried = [408, 500, 502, 503, 504];
    let asks_again = [401, 407];
    for code in (300..=699).filter(|code| !retried.contains(code) && !asks_again.contains(code)) {
        let (mut lab, _, second) = two_trunks(refuses(code));
        let call = lab.dial(order(NUMBER));
        lab.pass(1_000);
        assert!(lab.peer(second).heard.is_empty(), "{code}");
        let ended = lab.ended(call);
        assert_eq!(ended.cause(), HangupCause::from_sip_status(code).as_str(), "{code}");
        assert_eq!((ended.record.sip_status, ended.outcomes()), (Some(code), vec!["final_status"]));
        let status = match code {
            486 | 600 => CallStatus::Busy,
            480 => CallStatus::NoAnswer,
            _ => CallStatus::Failed,
        };
        assert_eq!(ended.record.status, status, "{code}");
    }
}

#[test]
fn a_code_that_the_trunk_is_configured_for_goes_on_but_never_a_callees_word() {
    for (code, goes_on) in [(404, true), (480, true), (486, false), (600, false), (603, false)] {
        let (mut lab, _, second) = two_trunks(refuses(code));
        lab.change_trunk(1, |trunk| trunk.outbound.failover_on = vec![404, 480, 486, 600, 603]);
        lab.dial(order(NUMBER));
        lab.pass(1_000);
        assert_eq!(!lab.peer(second).heard.is_empty(), goes_on, "{code}");
    }
}

#[test]
fn a_network_that_refuses_goes_on_at_once() {
    let (mut lab, first, second) = two_trunks(answers());
    lab.peer(first).hearing = Hearing::Unreachable;
    let call = lab.dial(order(NUMBER));
    lab.pass(1_000);
    assert_eq!(lab.peer(second).first_ms("INVITE"), Some(10));
    lab.hang_up(call);
    lab.pass(100);
    assert_eq!(lab.ended(call).outcomes(), ["transport_error", "answered"]);
    lab.finish();
}

#[test]
fn silence_goes_on_after_four_seconds() {
    let (mut lab, first, second) = two_trunks(answers());
    lab.peer(first).hearing = Hearing::Dead;
    let call = lab.dial(order(NUMBER));
    lab.pass(5_000);
    assert_eq!(lab.peer(second).first_ms("INVITE"), Some(4_005));
    lab.hang_up(call);
    lab.pass(100);
    let ended = lab.ended(call);
    assert_eq!(ended.outcomes(), ["no_response", "answered"]);
    assert_eq!(ended.legs[0].cause, Some(HangupCause::RecoveryOnTimerExpiry));
    lab.finish();
}

#[test]
fn a_100_alone_goes_on_after_the_progress_timeout_and_is_canceled() {
    for (configured, waited) in [(None, 12_000), (Some(3), 3_000)] {
        let (mut lab, first, second) = two_trunks(Vec::new());
        lab.change_trunk(1, |trunk| {
            if let Some(seconds) = configured {
                trunk.outbound.progress_timeout = Duration::from_secs(seconds);
            }
        });
        let call = lab.dial(order(NUMBER));
        lab.pass(20_000);
        // The 100 of the far end goes out after 200 ms, and everything takes 5 ms.
        assert_eq!(lab.peer(second).first_ms("INVITE"), Some(210 + waited + 5));
        assert_eq!(lab.peer(first).kinds(), ["INVITE", "CANCEL", "ACK"]);
        lab.hang_up(call);
        lab.pass(100);
        assert_eq!(lab.ended(call).outcomes(), ["no_progress", "answered"]);
        lab.finish();
    }
}

#[test]
fn ringing_is_progress() {
    let (mut lab, _, second) = two_trunks(vec![(3_000, Progress(180, None))]);
    let call = lab.dial(order(NUMBER));
    lab.pass(50_000);
    assert!(lab.peer(second).heard.is_empty());
    assert_eq!(lab.inspect(call).unwrap().record.status, CallStatus::Ringing);
    lab.hang_up(call);
    lab.finish();
}

#[test]
fn the_failover_trunk_is_tried_before_the_next_in_order() {
    let mut lab = Lab::new();
    let refusing = lab.far_end(refuses(500));
    for _ in 0..4 {
        lab.trunk(refusing, |_| {});
    }
    lab.change_trunk(1, |trunk| trunk.failover_trunk_id = Some(trunk_id(4)));
    lab.change_trunk(4, |trunk| trunk.failover_trunk_id = Some(trunk_id(3)));
    lab.change_trunk(3, |trunk| trunk.failover_trunk_id = Some(trunk_id(1)));
    let call = lab.dial(order(NUMBER));
    lab.pass(1_000);
    let ended = lab.ended(call);
    let receipt = ended.receipt();
    let names: Vec<_> = receipt.attempts.iter().map(|attempt| attempt.trunk_name.as_deref().unwrap()).collect();
    assert_eq!(names, ["trunk-1", "trunk-4", "trunk-3", "trunk-2"]);
    assert_eq!(
        verdicts(&ended.receipt()),
        [("trunk-1", "ranked"), ("trunk-4", "failover_of"), ("trunk-3", "failover_of"), ("trunk-2", "ranked")]
    );
    assert_eq!((ended.record.sip_status, ended.cause()), (Some(500), "temporary_failure"));
    assert_eq!(ended.record.trunk_id, Some(trunk_id(1)), "the call log shows the first trunk leg");
    lab.finish();
}

#[test]
fn a_trunk_by_name_goes_on_to_its_failover_trunk_only() {
    let mut lab = Lab::new();
    let refusing = lab.far_end(refuses(503));
    for _ in 0..3 {
        lab.trunk(refusing, |_| {});
    }
    lab.change_trunk(2, |trunk| trunk.failover_trunk_id = Some(trunk_id(3)));
    let call = lab.dial(tandem_model::DialOrder { trunk_id: Some(trunk_id(2)), ..order(NUMBER) });
    lab.pass(1_000);
    let ended = lab.ended(call);
    assert_eq!(
        verdicts(&ended.receipt()),
        [("trunk-2", "requested"), ("trunk-3", "failover_of"), ("trunk-1", "not_requested")]
    );
    assert_eq!(ended.legs.len(), 2);
    lab.finish();
}

#[test]
fn a_trunk_by_name_that_is_full_goes_on_to_its_failover_trunk() {
    let (mut lab, _, second) = two_trunks(answers());
    lab.change_trunk(1, |trunk| {
        trunk.max_concurrent_calls = 1;
        trunk.failover_trunk_id = Some(trunk_id(2));
    });
    let by_name = || tandem_model::DialOrder { trunk_id: Some(trunk_id(1)), ..order(NUMBER) };
    let held = lab.dial(by_name());
    let next = lab.dial(by_name());
    lab.pass(100);
    assert_eq!(lab.peer(second).heard_of("INVITE").len(), 1);
    let receipt = lab.inspect(next).unwrap().record.receipt.unwrap().read().unwrap();
    assert_eq!(verdicts(&receipt), [("trunk-2", "failover_of"), ("trunk-1", "trunk_full")]);
    lab.hang_up(held);
    lab.hang_up(next);
    lab.finish();
}

#[test]
fn a_trunk_that_a_person_switched_off_is_not_replaced_when_it_is_asked_for_by_name() {
    let (mut lab, ..) = two_trunks(answers());
    lab.change_trunk(1, |trunk| {
        trunk.status = tandem_model::TrunkStatus::Inactive;
        trunk.failover_trunk_id = Some(trunk_id(2));
    });
    let receipt = lab.try_dial(tandem_model::DialOrder { trunk_id: Some(trunk_id(1)), ..order(NUMBER) }).unwrap_err();
    assert_eq!(receipt.refusal.as_ref().unwrap().reason.code(), "no_route");
    assert_eq!(verdicts(&receipt), [("trunk-2", "not_requested"), ("trunk-1", "trunk_not_active")]);
}

#[test]
fn nobody_else_is_tried_after_an_answer() {
    let (mut lab, first, second) = two_trunks(vec![(0, Answer(Some(sdp("192.0.2.10:4000", PCMU))))]);
    let call = lab.dial(order(NUMBER));
    lab.pass(1_000);
    // The far end's host goes away: our BYE is refused by the network.
    lab.peer(first).hearing = Hearing::Unreachable;
    lab.hang_up(call);
    lab.pass(60_000);
    assert!(lab.peer(second).heard.is_empty());
    assert_eq!(lab.ended(call).outcomes(), ["answered"]);
    lab.finish();
}

#[test]
fn refused_credentials_go_on_and_show_until_a_call_succeeds() {
    let challenge = || vec![("WWW-Authenticate", "Digest realm=\"carrier\", nonce=\"1\", algorithm=MD5".to_owned())];
    let (mut lab, first, second) = two_trunks(vec![(0, Reject(401, challenge()))]);
    let call = lab.dial(order(NUMBER));
    lab.pass(1_000);
    assert!(lab.trunk_state(1).auth_failed && !lab.trunk_state(2).auth_failed);
    let invites = lab.peer(first).heard_of("INVITE").len();
    assert_eq!(invites, 2, "once without and once with credentials");
    assert!(lab.peer(first).heard_of("INVITE")[1].header("Authorization").contains("username=\"tandem\""));
    assert_eq!(lab.peer(second).heard_of("INVITE").len(), 1);
    lab.hang_up(call);
    lab.pass(100);
    let ended = lab.ended(call);
    assert_eq!(ended.outcomes(), ["authentication_failed", "answered"]);
    assert_eq!((ended.legs[0].sip_status, ended.legs[0].cause), (Some(401), Some(HangupCause::AuthenticationFailed)));

    // The next time the credentials are good.
    lab.peer(first).scripts = [vec![(0, Reject(407, challenge_of_proxy()))], answers()].into();
    let call = lab.dial(order(NUMBER));
    lab.pass(1_000);
    assert!(!lab.trunk_state(1).auth_failed);
    lab.hang_up(call);
    lab.pass(100);
    assert_eq!(lab.ended(call).outcomes(), ["answered"]);
    lab.finish();
}

#[test]
fn a_403_after_credentials_goes_on_and_a_busy_callee_shows_that_they_are_taken() {
    let (mut lab, first, second) = two_trunks(vec![(0, Reject(407, challenge_of_proxy()))]);
    lab.peer(first).scripts.push_back(vec![(0, Reject(403, Vec::new()))]);
    let call = lab.dial(order(NUMBER));
    lab.pass(1_000);
    assert!(lab.trunk_state(1).auth_failed);
    assert_eq!(lab.peer(second).heard_of("INVITE").len(), 1);
    lab.hang_up(call);
    lab.pass(100);
    assert_eq!(lab.ended(call).outcomes(), ["authentication_failed", "answered"]);

    lab.peer(first).scripts = [vec![(0, Reject(407, challenge_of_proxy()))], vec![(0, Reject(486, Vec::new()))]].into();
    let call = lab.dial(order(NUMBER));
    lab.pass(1_000);
    assert!(!lab.trunk_state(1).auth_failed);
    assert_eq!(lab.ended(call).cause(), "user_busy");
    lab.finish();
}

fn challenge_of_proxy() -> Vec<(&'static str, String)> {
    vec![("Proxy-Authenticate", "Digest realm=\"carrier\", nonce=\"2\", algorithm=MD5".to_owned())]
}
