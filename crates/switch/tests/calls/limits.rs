//! What is full, what rests, what is too fast, and that emergencies are not held back by it.

use tandem_model::{DialOrder, DialTarget, RefusalKind};

use crate::far_end::Does::{Answer, Progress, Reject};
use crate::far_end::Script;
use crate::lab::{Lab, outcomes, verdicts};
use tandem_lab::setup::{NUMBER, PCMU, order, sdp, trunk_id};

fn answers() -> Script {
    vec![(0, Answer(Some(sdp("192.0.2.10:4000", PCMU))))]
}

fn emergency() -> DialOrder {
    DialOrder { to: DialTarget::Emergency("911".into()), ..order(NUMBER) }
}

#[test]
fn a_trunk_takes_as_many_legs_as_it_has_slots_and_takes_again_when_one_ends() {
    let mut lab = Lab::new();
    let carrier = lab.far_end(answers());
    lab.trunk(carrier, |trunk| trunk.max_concurrent_calls = 2);
    // Reserved before the attempts are answered, or even sent.
    let calls = [lab.dial(order(NUMBER)), lab.dial(order(NUMBER))];
    let receipt = lab.try_dial(order(NUMBER)).unwrap_err();
    assert_eq!(receipt.refusal.as_ref().unwrap().kind, RefusalKind::NoTrunkAvailable);
    assert_eq!(verdicts(&receipt), [("trunk-1", "trunk_full")]);
    assert_eq!(lab.trunk_state(1).active_calls, 2);
    lab.pass(100);
    lab.hang_up(calls[0]);
    let third = lab.dial(order(NUMBER));
    lab.hang_up(calls[1]);
    lab.hang_up(third);
    lab.finish();
}

#[test]
fn a_full_trunk_is_passed_over() {
    let mut lab = Lab::new();
    let carrier = lab.far_end(answers());
    lab.trunk(carrier, |trunk| trunk.max_concurrent_calls = 1);
    lab.trunk(carrier, |_| {});
    let held = lab.dial(order(NUMBER));
    let next = lab.dial(order(NUMBER));
    let receipt = lab.inspect(next).unwrap().record.receipt.unwrap().read().unwrap();
    assert_eq!(verdicts(&receipt), [("trunk-2", "ranked"), ("trunk-1", "trunk_full")]);
    lab.hang_up(held);
    lab.hang_up(next);
    lab.finish();
}

#[test]
fn a_trunk_that_fills_up_before_its_turn_is_passed_over_and_the_receipt_says_so() {
    let mut lab = Lab::new();
    let slow = lab.far_end(vec![(1_000, Reject(500, Vec::new()))]);
    let carrier = lab.far_end(answers());
    lab.trunk(slow, |_| {});
    lab.trunk(carrier, |trunk| trunk.max_concurrent_calls = 1);
    lab.trunk(carrier, |_| {});
    let call = lab.dial(order(NUMBER));
    lab.pass(500);
    let other = lab.dial(DialOrder { trunk_id: Some(trunk_id(2)), ..order(NUMBER) });
    lab.pass(1_000);
    let receipt = lab.inspect(call).unwrap().record.receipt.unwrap().read().unwrap();
    assert_eq!(outcomes(&receipt), ["retryable_status", "answered"]);
    assert_eq!(receipt.attempts[1].trunk_name.as_deref(), Some("trunk-3"));
    assert_eq!(verdicts(&receipt), [("trunk-1", "ranked"), ("trunk-2", "trunk_full"), ("trunk-3", "ranked")]);
    assert_eq!(receipt.considered[1].verdict, tandem_model::Verdict::Skipped);
    lab.hang_up(call);
    lab.hang_up(other);
    lab.finish();
}

#[test]
fn an_account_has_as_many_calls_as_its_tier_allows() {
    let mut lab = Lab::new();
    let carrier = lab.far_end(answers());
    lab.trunk(carrier, |_| {});
    lab.max_calls(1);
    let call = lab.dial(order(NUMBER));
    let receipt = lab.try_dial(order(NUMBER)).unwrap_err();
    assert_eq!(receipt.refusal.as_ref().unwrap().reason.code(), "tier_limit");
    assert_eq!(lab.explain(order(NUMBER)).refusal.unwrap().kind, RefusalKind::TierLimit);
    assert!(receipt.attempts.is_empty());
    lab.pass(100);
    lab.hang_up(call);
    let next = lab.dial(order(NUMBER));
    lab.hang_up(next);
    lab.finish();
}

#[test]
fn a_trunk_gets_no_more_invites_a_second_than_it_allows() {
    let mut lab = Lab::new();
    let carrier = lab.far_end(answers());
    lab.trunk(carrier, |trunk| trunk.outbound.max_cps = Some(2));
    let mut calls = vec![lab.dial(order(NUMBER))];
    lab.pass(600);
    calls.push(lab.dial(order(NUMBER)));
    let receipt = lab.try_dial(order(NUMBER)).unwrap_err();
    assert_eq!(receipt.refusal.as_ref().unwrap().kind, RefusalKind::CpsLimit);
    assert_eq!(verdicts(&receipt), [("trunk-1", "trunk_cps_limit")]);
    lab.pass(400);
    calls.push(lab.dial(order(NUMBER)));
    for call in calls {
        lab.hang_up(call);
    }
    lab.finish();
}

#[test]
fn a_failover_does_not_break_the_next_trunks_rate() {
    let mut lab = Lab::new();
    let refusing = lab.far_end(vec![(0, Reject(500, Vec::new()))]);
    let carrier = lab.far_end(answers());
    lab.trunk(refusing, |_| {});
    lab.trunk(carrier, |trunk| trunk.outbound.max_cps = Some(1));
    let calls = [lab.dial(order(NUMBER)), lab.dial(order(NUMBER))];
    lab.pass(100);
    assert_eq!(lab.peer(carrier).heard_of("INVITE").len(), 1);
    let ended = lab.ended(calls[1]);
    assert_eq!((ended.outcomes(), ended.record.sip_status), (vec!["retryable_status"], Some(500)));
    assert_eq!(verdicts(&ended.receipt()), [("trunk-1", "ranked"), ("trunk-2", "trunk_cps_limit")]);
    lab.hang_up(calls[0]);
    lab.finish();
}

#[test]
fn a_503_with_retry_after_rests_the_trunk_for_that_long_and_at_most_a_minute() {
    for (retry_after, rests_ms) in [(None, 0), (Some("0"), 0), (Some("2"), 2_000), (Some("86400"), 60_000)] {
        let mut lab = Lab::new();
        let headers = retry_after.map(|seconds| ("Retry-After", seconds.to_owned())).into_iter().collect();
        let full = lab.far_end(vec![(0, Reject(503, headers))]);
        lab.trunk(full, |_| {});
        lab.dial(order(NUMBER));
        lab.pass(10);
        let until = lab.trunk_state(1).resting_until;
        assert_eq!(until.map_or(0, |until| until.since(lab.now().utc).as_millis()), rests_ms);
        if rests_ms > 0 {
            let receipt = lab.try_dial(order(NUMBER)).unwrap_err();
            assert_eq!(receipt.refusal.as_ref().unwrap().kind, RefusalKind::NoTrunkAvailable);
            assert_eq!(verdicts(&receipt), [("trunk-1", "trunk_resting")]);
            lab.pass(u64::try_from(rests_ms).unwrap());
        }
        assert_eq!(lab.trunk_state(1).resting_until, None);
        lab.dial(order(NUMBER));
        lab.finish();
    }
}

#[test]
fn only_a_503_rests_a_trunk() {
    let mut lab = Lab::new();
    let busy = lab.far_end(vec![(0, Reject(486, vec![("Retry-After", "30".to_owned())]))]);
    lab.trunk(busy, |_| {});
    lab.dial(order(NUMBER));
    lab.pass(100);
    assert_eq!(lab.trunk_state(1).resting_until, None);
}

#[test]
fn without_a_free_port_there_is_no_call_and_no_slot_is_taken() {
    let mut lab = Lab::with_ports(7, 1);
    let carrier = lab.far_end(answers());
    lab.trunk(carrier, |_| {});
    lab.trunk(carrier, |_| {});
    let call = lab.dial(order(NUMBER));
    let receipt = lab.try_dial(order(NUMBER)).unwrap_err();
    let refusal = receipt.refusal.as_ref().unwrap();
    assert_eq!((refusal.kind, refusal.reason.code()), (RefusalKind::NodeUnavailable, "node_full"));
    assert_eq!((lab.counts().trunk_slots, lab.counts().account_slots), (1, 1));
    lab.pass(100);
    lab.hang_up(call);
    lab.finish();
}

#[test]
fn a_port_is_free_again_once_the_media_thread_has_let_go_of_it() {
    let mut lab = Lab::with_ports(7, 1);
    let carrier = lab.far_end(answers());
    lab.trunk(carrier, |_| {});
    let call = lab.dial(order(NUMBER));
    lab.pass(100);
    lab.media_is_stuck = true;
    lab.hang_up(call);
    lab.pass(1_900);
    assert_eq!(lab.counts().calls, 1);
    assert!(lab.try_dial(order(NUMBER)).is_err(), "the port is not given away while it may still send");
    // The record does not wait for ever.
    lab.pass(200);
    assert_eq!(lab.counts().calls, 0);
    assert_eq!(lab.ended(call).legs[0].media, None);
    assert_eq!(lab.counts().ports_in_use, 1);
    lab.free_media();
    assert_eq!(lab.counts().ports_in_use, 0);
    lab.finish();
}

#[test]
fn an_emergency_number_goes_only_over_a_trunk_that_names_it_whole() {
    let mut lab = Lab::new();
    let carrier = lab.far_end(answers());
    lab.trunk(carrier, |_| {});
    lab.trunk(carrier, |trunk| trunk.outbound.prefixes = vec!["9".into()]);
    let receipt = lab.try_dial(emergency()).unwrap_err();
    assert_eq!(receipt.refusal.as_ref().unwrap().kind, RefusalKind::EmergencyNotRouted);
    assert_eq!(verdicts(&receipt), [("trunk-1", "prefix_mismatch"), ("trunk-2", "prefix_mismatch")]);

    lab.change_trunk(2, |trunk| {
        trunk.outbound.prefixes.push("911".into());
        trunk.outbound.prepend = "1".into();
    });
    let call = lab.dial(emergency());
    lab.pass(100);
    let invite = lab.peer(carrier).heard_of("INVITE")[0].clone();
    assert!(invite.text.starts_with("INVITE sip:911@"), "{}", invite.text);
    lab.hang_up(call);
    lab.finish();
}

#[test]
fn an_emergency_call_is_not_held_back_by_tier_slots_or_rate() {
    let mut lab = Lab::new();
    let carrier = lab.far_end(vec![(0, Progress(180, None))]);
    lab.trunk(carrier, |trunk| {
        trunk.max_concurrent_calls = 1;
        trunk.outbound.max_cps = Some(1);
        trunk.outbound.prefixes = vec!["+1".into(), "911".into()];
    });
    lab.max_calls(1);
    let held = lab.dial(order(NUMBER));
    assert!(lab.try_dial(order(NUMBER)).is_err());
    assert_eq!(lab.explain(emergency()).refusal, None);
    let call = lab.dial(emergency());
    lab.pass(100);
    assert_eq!(lab.peer(carrier).heard_of("INVITE").len(), 2);
    lab.hang_up(call);
    lab.hang_up(held);
    lab.finish();
}
