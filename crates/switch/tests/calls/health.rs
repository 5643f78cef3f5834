//! Probes that nobody asks for, the circuit breaker, and what routing makes of both.

use serde_json::json;
use tandem_lab::setup::{NUMBER, PCMU, order, sdp, trunk_id};
use tandem_model::{
    BreakerState, DialOrder, DialTarget, HealthReason, HealthSpan, HealthStatus, RefusalKind, TrunkStatus,
};

use crate::far_end::{Does, Hearing, Script};
use crate::lab::{Lab, Peer, outcomes, verdicts};

fn every(seconds: u64) -> impl Fn(&mut tandem_model::Trunk) {
    move |trunk| drop(trunk.advanced_config.insert("options_interval".into(), json!(seconds)))
}

fn answers() -> Script {
    vec![(20, Does::Answer(Some(sdp("192.0.2.11:4000", PCMU))))]
}

/// A trunk that is probed once a second, and one behind it that never is.
fn two_trunks() -> (Lab, Peer, Peer) {
    let mut lab = Lab::new();
    let (first, second) = (lab.far_end(answers()), lab.far_end(answers()));
    lab.trunk(first, every(1));
    lab.trunk(second, |_| {});
    (lab, first, second)
}

fn status(lab: &mut Lab) -> HealthStatus {
    lab.trunk_state(1).health.unwrap().health.status
}

fn first_choice(lab: &mut Lab) -> String {
    lab.explain(order(NUMBER)).considered[0].trunk_name.clone()
}

/// Waits in steps of 10 ms until it is of that status; how many milliseconds that took.
fn until(lab: &mut Lab, wanted: HealthStatus, at_most_ms: u64) -> u64 {
    let mut waited = 0;
    while status(lab) != wanted {
        assert!(waited < at_most_ms, "still {} after {waited} ms", status(lab));
        lab.pass(10);
        waited += 10;
    }
    waited
}

/// Probes end, so that nothing is left.
fn finish(mut lab: Lab) {
    for number in 1..=lab.trunks_made() {
        lab.change_trunk(number, every(0));
    }
    lab.finish();
}

#[test]
fn a_trunk_that_goes_silent_is_out_of_routing_within_two_intervals_and_back_within_two() {
    let (mut lab, first, _) = two_trunks();
    until(&mut lab, HealthStatus::Healthy, 1_100);
    lab.pass(5_000);
    assert_eq!(first_choice(&mut lab), "trunk-1");

    lab.peer(first).hearing = Hearing::Dead;
    until(&mut lab, HealthStatus::Unhealthy, 2_000);
    let receipt = lab.explain(order(NUMBER));
    assert_eq!(verdicts(&receipt), [("trunk-2", "ranked"), ("trunk-1", "trunk_unhealthy")]);
    let state = lab.trunk_state(1);
    assert_eq!(state.unroutable_reason.map(|reason| reason.code()), Some("trunk_unhealthy"));
    assert_eq!(state.health.unwrap().reason, HealthReason::NoAnswer);
    lab.pass(20_000);
    assert_eq!(status(&mut lab), HealthStatus::Unhealthy);

    lab.peer(first).hearing = Hearing::Awake;
    until(&mut lab, HealthStatus::Healthy, 2_000);
    assert_eq!(first_choice(&mut lab), "trunk-1");
    finish(lab);
}

#[test]
fn a_trunk_that_comes_and_goes_does_not_come_and_go_in_routing() {
    let (mut lab, first, _) = two_trunks();
    until(&mut lab, HealthStatus::Healthy, 1_100);
    let (mut changes, mut was_well) = (0, true);
    for second in 0..600 {
        // Three seconds there, three seconds away.
        lab.peer(first).hearing = if second % 6 < 3 { Hearing::Awake } else { Hearing::Dead };
        for _ in 0..4 {
            lab.pass(250);
            let is_well = status(&mut lab).is_routable();
            changes += u32::from(is_well != was_well);
            was_well = is_well;
        }
    }
    // Undamped it would be 200 times.
    assert!((1..=24).contains(&changes), "{changes} changes in ten minutes");
    finish(lab);
}

#[test]
fn what_a_person_set_stays_and_whoever_is_switched_off_is_not_probed() {
    let (mut lab, first, _) = two_trunks();
    until(&mut lab, HealthStatus::Healthy, 1_100);
    for status in [TrunkStatus::Maintenance, TrunkStatus::Suspended, TrunkStatus::Inactive, TrunkStatus::Error] {
        lab.change_trunk(1, |trunk| trunk.status = status);
        lab.pass(1_000);
        let before = lab.peer(first).heard_of("OPTIONS").len();
        lab.pass(10_000);
        assert_eq!(lab.peer(first).heard_of("OPTIONS").len(), before);
        assert_eq!(lab.trunk_state(1).health, None);
        assert_eq!(verdicts(&lab.explain(order(NUMBER)))[1], ("trunk-1", "trunk_not_active"));
    }
    lab.change_trunk(1, |trunk| trunk.status = TrunkStatus::Active);
    assert_eq!(first_choice(&mut lab), "trunk-1", "what is not known is tried");
    until(&mut lab, HealthStatus::Healthy, 1_100);
    finish(lab);
}

#[test]
fn a_trunk_that_is_not_well_is_passed_over_by_name_too_and_tried_last_for_help() {
    let (mut lab, first, _) = two_trunks();
    lab.change_trunk(1, |trunk| trunk.outbound.prefixes = vec!["911".into(), "+1".into()]);
    lab.change_trunk(2, |trunk| trunk.outbound.prefixes = vec!["911".into()]);
    lab.peer(first).hearing = Hearing::Dead;
    until(&mut lab, HealthStatus::Unhealthy, 3_000);
    let refused = lab.try_dial(DialOrder { trunk_id: Some(trunk_id(1)), ..order(NUMBER) }).unwrap_err();
    assert_eq!(refused.refusal.as_ref().unwrap().kind, RefusalKind::NoTrunkAvailable);
    let help = lab.explain(DialOrder { to: DialTarget::Emergency("911".into()), ..order(NUMBER) });
    assert_eq!(verdicts(&help), [("trunk-2", "ranked"), ("trunk-1", "ranked")]);
    finish(lab);
}

#[test]
fn a_new_target_is_of_unknown_health_and_probed_soon() {
    let (mut lab, first, second) = two_trunks();
    lab.peer(first).hearing = Hearing::Unreachable;
    until(&mut lab, HealthStatus::Unhealthy, 3_000);
    let elsewhere = lab.address(second).ip().to_string();
    lab.change_trunk(1, |trunk| trunk.sip_domain.clone_from(&elsewhere));
    assert_eq!(status(&mut lab), HealthStatus::Unknown);
    assert_eq!(first_choice(&mut lab), "trunk-1");
    until(&mut lab, HealthStatus::Healthy, 1_100);
    // Another change that leads nowhere else forgets nothing.
    lab.change_trunk(1, |trunk| trunk.max_concurrent_calls = 3);
    assert_eq!(status(&mut lab), HealthStatus::Healthy);
    finish(lab);
}

#[test]
fn many_trunks_are_probed_at_their_interval_and_not_all_at_once() {
    let mut lab = Lab::new();
    let peers: Vec<Peer> = (0..20).map(|_| lab.far_end(answers())).collect();
    for peer in &peers {
        lab.trunk(*peer, every(10));
    }
    lab.pass(100_000);
    let mut moments = Vec::new();
    for peer in &peers {
        let heard = lab.peer(*peer).heard_of("OPTIONS").iter().map(|heard| heard.at.as_millis()).collect::<Vec<_>>();
        assert!((9..=12).contains(&heard.len()), "{heard:?}");
        assert!(heard.windows(2).all(|pair| (9_000..=10_100).contains(&(pair[1] - pair[0]))), "{heard:?}");
        moments.extend(heard);
    }
    moments.sort_unstable();
    let most_in_a_second =
        moments.iter().map(|at| moments.iter().filter(|other| (*at..at + 1_000).contains(other)).count());
    assert!(most_in_a_second.max().unwrap() <= 10);
    finish(lab);
}

#[test]
fn the_history_has_the_changes_and_not_every_probe() {
    let (mut lab, first, _) = two_trunks();
    lab.pass(130_000);
    lab.peer(first).hearing = Hearing::Dead;
    lab.pass(130_000);
    let reports = lab.health.iter().filter(|report| report.trunk_id == trunk_id(1)).count();
    assert!((5..=8).contains(&reports), "{reports} reports of more than 200 probes");
    let mut spans: Vec<HealthSpan> = Vec::new();
    for span in lab.health.iter().flat_map(|report| &report.spans) {
        match spans.last_mut() {
            Some(last) if last.began_at == span.began_at => *last = *span,
            Some(_) | None => spans.push(*span),
        }
    }
    let told: Vec<_> = spans.iter().map(|span| (span.status, span.reason)).collect();
    assert_eq!(
        told,
        [(HealthStatus::Healthy, HealthReason::Answers), (HealthStatus::Unhealthy, HealthReason::NoAnswer)]
    );
    assert_eq!(spans[0].until, spans[1].began_at);
    finish(lab);
}

#[test]
fn calls_that_fail_in_a_row_open_the_circuit_and_one_trial_closes_it() {
    let mut lab = Lab::new();
    let refusing = lab.far_end(vec![(0, Does::Reject(503, Vec::new()))]);
    let second = lab.far_end(answers());
    lab.trunk(refusing, |_| {});
    lab.trunk(second, |_| {});
    for _ in 0..5 {
        assert_eq!(first_choice(&mut lab), "trunk-1");
        let call = lab.dial(order(NUMBER));
        lab.pass(100);
        lab.hang_up(call);
    }
    let receipt = lab.explain(order(NUMBER));
    assert_eq!(verdicts(&receipt), [("trunk-2", "ranked"), ("trunk-1", "circuit_open")]);
    assert_eq!(lab.trunk_state(1).health.unwrap().breaker, BreakerState::Open);

    lab.pass(30_000);
    assert_eq!(lab.trunk_state(1).health.unwrap().breaker, BreakerState::HalfOpen);
    // The trial rings, and others go elsewhere until it does.
    lab.peer(refusing).scripts =
        vec![vec![(1_000, Does::Progress(180, None)), (9_000, Does::Reject(486, Vec::new()))]].into();
    let trial = lab.dial(order(NUMBER));
    lab.pass(100);
    let other = lab.dial(order(NUMBER));
    let receipt = lab.inspect(other).unwrap().record.receipt.unwrap().read().unwrap();
    assert_eq!(verdicts(&receipt), [("trunk-2", "ranked"), ("trunk-1", "circuit_half_open")]);
    lab.pass(1_000);
    assert_eq!(lab.trunk_state(1).health.unwrap().breaker, BreakerState::Closed);
    lab.hang_up(other);
    lab.hang_up(trial);
    lab.finish();
}

#[test]
fn a_trial_that_is_hung_up_makes_room_for_the_next_one() {
    let mut lab = Lab::new();
    let silent = lab.far_end(Vec::new());
    lab.trunk(silent, |_| {});
    lab.peer(silent).hearing = Hearing::Dead;
    for _ in 0..5 {
        lab.dial(order(NUMBER));
        lab.pass(5_000);
    }
    let refused = lab.try_dial(order(NUMBER)).unwrap_err();
    assert_eq!(verdicts(&refused), [("trunk-1", "circuit_open")]);
    lab.pass(30_000);
    let trial = lab.dial(order(NUMBER));
    assert_eq!(verdicts(&lab.try_dial(order(NUMBER)).unwrap_err()), [("trunk-1", "circuit_half_open")]);
    lab.hang_up(trial);
    let next = lab.dial(order(NUMBER));
    lab.pass(5_000);
    assert_eq!(lab.ended(next).outcomes(), ["no_response"]);
    assert_eq!(verdicts(&lab.try_dial(order(NUMBER)).unwrap_err()), [("trunk-1", "circuit_open")]);

    // A probe by hand that is answered shows that it is there again.
    lab.peer(silent).hearing = Hearing::Awake;
    lab.probe(1);
    lab.pass(100);
    assert_eq!(lab.trunk_state(1).health.unwrap().breaker, BreakerState::Closed);
    lab.finish();
}

#[test]
fn callees_who_are_busy_or_nowhere_open_no_circuit() {
    let mut lab = Lab::new();
    let carrier = lab.far_end(Vec::new());
    lab.trunk(carrier, |_| {});
    for code in [486, 404, 480, 408, 500, 603, 486, 404] {
        lab.peer(carrier).scripts = vec![vec![(0, Does::Reject(code, Vec::new()))]].into();
        let call = lab.dial(order(NUMBER));
        lab.pass(100);
        assert_eq!(outcomes(&lab.ended(call).receipt()).len(), 1);
    }
    assert_eq!(lab.trunk_state(1).health.unwrap().breaker, BreakerState::Closed);
    lab.finish();
}
