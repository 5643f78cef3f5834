//! Calls that are paid for by the account's credit. A second of a trunk costs 1,000 micro-units, a credit is 10,000.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;
use tandem_model::{CallId, Connect, DialOrder, DialTarget, Money, Record, RefusalKind, Trunk};
use tandem_switch::Command;

use crate::far_end::Does::{Answer, Bye, Progress, Reject};
use crate::far_end::{Calls, Script};
use crate::lab::{Lab, Peer};
use tandem_lab::setup::{NUMBER, PCMU, Seeded, order, sdp, start_utc};

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const SECOND_PARTY: &str = "+12025550111";

fn answers(after_ms: u64) -> Script {
    vec![(after_ms, Answer(Some(sdp("192.0.2.10:4000", PCMU))))]
}

/// Nobody speaks in these calls.
fn quiet(trunk: &mut Trunk) {
    trunk.advanced_config.insert("rtp_timeout".into(), json!(0));
}

/// A carrier with one trunk to it, and an account with so much credit.
fn lab_with(granted: i64, script: Script) -> (Lab, Peer) {
    let mut lab = Lab::new();
    let carrier = lab.far_end(script);
    lab.trunk(carrier, quiet);
    lab.credit(granted, 0);
    (lab, carrier)
}

fn refusal(lab: &mut Lab, order: DialOrder) -> (RefusalKind, serde_json::Value) {
    let explained = lab.explain(order.clone()).refusal.unwrap();
    let refusal = lab.try_dial(order).unwrap_err().refusal.unwrap();
    assert_eq!(explained, refusal);
    (refusal.kind, json!(refusal.reason))
}

fn available(lab: &mut Lab) -> i64 {
    lab.live_credit().available.micros()
}

/// The only call there is.
fn arrive(lab: &mut Lab, peer: Peer) -> Option<CallId> {
    let calls = Calls {
        to: format!("sip:{SECOND_PARTY}@192.0.2.1"),
        from: "sip:+4930901820@192.0.2.10",
        offer: Some(sdp("192.0.2.10:4000", PCMU)),
        answer: None,
        max_forwards: 70,
        script: Vec::new(),
    };
    lab.call_in(peer, calls)
}

#[test]
fn a_call_that_a_minute_of_is_not_paid_for_does_not_begin() {
    let (mut lab, _) = lab_with(2 * MINUTE - 1, answers(0));
    let call = lab.dial(order(NUMBER));
    assert_eq!((lab.live_credit().reserved.micros(), available(&mut lab)), (MINUTE, MINUTE - 1));
    let (kind, reason) = refusal(&mut lab, order(NUMBER));
    assert_eq!(kind, RefusalKind::CreditExhausted);
    assert_eq!(reason, json!({"code": "credit_exhausted", "needed_micros": MINUTE, "available_micros": MINUTE - 1}));
    lab.pass(2_500);
    lab.hang_up(call);
    assert_eq!((lab.live_credit().reserved.micros(), available(&mut lab)), (0, 2 * MINUTE - 1 - 3 * SECOND));
    lab.pass(100);
    let record = lab.ended(call).record;
    assert_eq!((record.cost.unwrap().micros(), record.credits_used), (3 * SECOND, Some(Money::from_micros(1_000_000))));
    lab.finish();
}

#[test]
fn a_call_that_is_not_answered_costs_nothing_and_what_it_held_goes_back() {
    let (mut lab, _) = lab_with(MINUTE, vec![(100, Reject(486, Vec::new()))]);
    let call = lab.dial(order(NUMBER));
    assert_eq!(available(&mut lab), 0);
    lab.pass(1_000);
    assert_eq!(available(&mut lab), MINUTE);
    assert_eq!(lab.ended(call).record.credits_used, Some(Money::ZERO));
    lab.finish();
}

#[test]
fn a_call_ends_on_both_legs_before_it_costs_more_than_there_is() {
    let (mut lab, one) = lab_with(200 * SECOND, answers(0));
    let other = lab.far_end(answers(1_000));
    lab.change_trunk(1, |trunk| trunk.outbound.prefixes = vec![NUMBER.into()]);
    lab.trunk(other, |trunk| {
        quiet(trunk);
        trunk.outbound.prefixes = vec![SECOND_PARTY.into()];
        trunk.cost_per_minute = Money::from_micros(2 * MINUTE);
    });
    let connect = Connect::Number { number: SECOND_PARTY.parse().unwrap() };
    let call = lab.dial(DialOrder { connect, ..order(NUMBER) });
    assert_eq!(lab.live_credit().reserved.micros(), MINUTE, "nobody knows yet whether the second party will be called");
    lab.pass(500);
    assert_eq!(lab.live_credit().reserved.micros(), 3 * MINUTE);
    lab.pass(120_000);
    assert_eq!((lab.peer(one).heard_of("BYE").len(), lab.peer(other).heard_of("BYE").len()), (1, 1));
    let ended = lab.ended(call);
    assert_eq!(ended.cause(), "credit_exhausted");
    assert_eq!(ended.event_kinds().last(), Some(&"ended"));
    let cost = ended.record.cost.unwrap().micros();
    // Of the last seconds one is not used, and pieces of six seconds for three units each need not come out even.
    assert!((200 * SECOND - 7 * 3 * SECOND..=200 * SECOND).contains(&cost), "{cost}");
    assert_eq!(available(&mut lab), 200 * SECOND - cost);
    lab.finish();
}

#[test]
fn what_is_added_while_a_call_goes_on_keeps_it_up() {
    let (mut lab, _) = lab_with(MINUTE, answers(0));
    let call = lab.dial(order(NUMBER));
    lab.pass(55_000);
    lab.credit(3 * MINUTE, 0);
    lab.pass(100_000);
    assert!(lab.inspect(call).unwrap().record.ended_at.is_none());
    lab.credit(0, 0);
    lab.pass(60_000);
    let ended = lab.ended(call);
    assert_eq!(ended.cause(), "credit_exhausted", "what was taken away is not there any more");
    assert!(ended.record.cost.unwrap().micros() <= 3 * MINUTE);
    lab.finish();
}

#[test]
fn the_dearest_trunk_that_may_be_tried_is_what_is_reserved_and_the_price_of_the_one_that_answers_what_counts() {
    let (mut lab, _) = lab_with(3 * MINUTE, vec![(10, Reject(503, Vec::new()))]);
    let second = lab.far_end(answers(0));
    lab.trunk(second, quiet);
    lab.change_trunk(1, |trunk| trunk.cost_per_minute = Money::from_micros(3 * MINUTE));
    let call = lab.dial(order(NUMBER));
    assert_eq!(available(&mut lab), 0);
    lab.pass(1_000);
    assert_eq!(available(&mut lab), 2 * MINUTE);
    lab.hang_up(call);
    lab.finish();
}

#[test]
fn a_trunk_that_bills_by_long_increments_needs_one_of_them() {
    let (mut lab, _) = lab_with(300 * SECOND - 1, answers(0));
    lab.change_trunk(1, |trunk| drop(trunk.advanced_config.insert("billing_increment".into(), json!(300))));
    assert_eq!(refusal(&mut lab, order(NUMBER)).1["needed_micros"], 300 * SECOND);
    lab.credit(300 * SECOND, 0);
    let call = lab.dial(order(NUMBER));
    lab.pass(310_000);
    let ended = lab.ended(call);
    assert_eq!((ended.cause(), ended.record.cost.unwrap().micros()), ("credit_exhausted", 300 * SECOND));
    assert!(ended.record.duration_ms.unwrap() > 290_000, "all of what is paid for is used");
    lab.finish();
}

#[test]
fn who_calls_for_help_is_not_held_back_and_what_costs_nothing_neither() {
    let (mut lab, carrier) = lab_with(-5 * MINUTE, answers(0));
    lab.change_trunk(1, |trunk| trunk.outbound.prefixes = vec!["911".into()]);
    lab.trunk(carrier, |trunk| trunk.cost_per_minute = Money::ZERO);
    let help = lab.dial(DialOrder { to: DialTarget::Emergency("911".into()), ..order(NUMBER) });
    let free = lab.dial(order(NUMBER));
    let direct = lab.dial(order("sip:phone@192.0.2.10"));
    lab.pass(100_000);
    assert!(lab.inspect(help).unwrap().record.ended_at.is_none(), "nor is the call ended");
    for call in [help, free, direct] {
        lab.hang_up(call);
    }
    lab.pass(100);
    assert_eq!(available(&mut lab), -5 * MINUTE - lab.costs());
    assert!(lab.costs() >= 100 * SECOND);
    lab.finish();
}

#[test]
fn a_call_that_comes_in_is_paid_for_too() {
    let mut lab = Lab::new();
    let caller = lab.far_end(Vec::new());
    let callee = lab.far_end(vec![(0, Progress(180, None)), (1_000, Answer(Some(sdp("192.0.2.11:4000", PCMU))))]);
    lab.trunk(caller, |trunk| {
        quiet(trunk);
        trunk.inbound.default = Some(Connect::Forward);
        trunk.outbound.prefixes = vec!["+999".into()];
    });
    lab.trunk(callee, quiet);
    lab.credit(MINUTE - 1, 0);
    assert_eq!(arrive(&mut lab, caller), None);
    assert_eq!(lab.refusals()[0].reason, "credit_exhausted");
    lab.pass(100);
    assert_eq!(lab.peer(caller).kinds().last(), Some(&"403"));

    // Enough for the caller, and not for who is called.
    lab.credit(MINUTE, 0);
    let call = arrive(&mut lab, caller).unwrap();
    lab.pass(100);
    assert_eq!(lab.ended(call).cause(), "credit_exhausted");
    assert_eq!(lab.peer(caller).kinds().last(), Some(&"403"));

    lab.credit(2 * MINUTE, 0);
    let call = arrive(&mut lab, caller).unwrap();
    lab.pass(100_000);
    let ended = lab.ended(call);
    assert_eq!(ended.cause(), "credit_exhausted");
    let cost = ended.record.cost.unwrap().micros();
    assert!((108 * SECOND..=2 * MINUTE).contains(&cost), "{cost}");
    lab.finish();
}

#[test]
fn a_cost_counts_once_while_the_database_learns_of_it() {
    let (mut lab, _) = lab_with(5 * MINUTE, answers(0));
    let call = lab.dial(order(NUMBER));
    lab.pass(10_500);
    lab.hang_up(call);
    for settled in [0, 11 * SECOND, 0, 11 * SECOND] {
        lab.credit(5 * MINUTE, settled);
        assert_eq!(available(&mut lab), 5 * MINUTE - 11 * SECOND);
    }
    lab.finish();
}

#[test]
fn what_a_process_that_dies_had_reserved_is_free_and_its_calls_cost_what_their_records_say() {
    let (mut lab, _) = lab_with(3 * MINUTE, answers(0));
    let (closed, open) = (lab.dial(order(NUMBER)), lab.dial(order(NUMBER)));
    lab.pass(5_500);
    lab.hang_up(closed);
    lab.pass(1_000);
    assert_eq!(available(&mut lab), 3 * MINUTE - 6 * SECOND - MINUTE);
    let was_open = lab.crash(false);
    // What was in the journal is in the database before the next process takes calls up.
    lab.credit(3 * MINUTE, 6 * SECOND);
    let last_heartbeat = lab.now().utc;
    lab.restart(was_open, last_heartbeat);
    lab.pass(100);
    let cost = lab.ended(open).record.cost.unwrap().micros();
    assert_eq!((lab.ended(open).cause(), cost), ("node_restarted", 7 * SECOND));
    let credit = lab.live_credit();
    assert_eq!((credit.reserved.micros(), credit.available.micros()), (0, 3 * MINUTE - 13 * SECOND));
    lab.finish();
}

#[test]
fn calls_from_before_are_not_paid_for_by_credit() {
    let (mut lab, _) = lab_with(0, answers(0));
    lab.command(Command::CreditTerms(Vec::new()));
    let call = lab.dial(order(NUMBER));
    lab.pass(10_000);
    lab.command(Command::CreditTerms(vec![tandem_model::CreditTerms {
        account_id: tandem_lab::setup::account_id(1),
        since: start_utc().saturating_add(Duration::from_secs(5)),
        granted: Money::ZERO,
        committed_elsewhere: Money::ZERO,
        settled_here: Money::ZERO,
    }]));
    lab.pass(100_000);
    assert!(lab.inspect(call).unwrap().record.ended_at.is_none());
    lab.hang_up(call);
    assert_eq!(available(&mut lab), 0);
    lab.finish();
}

/// A thousand calls, of prices, lengths and fates of their own, all for the last credit: never more is spent than there is, and what
/// is reserved by calls that are up is never more than what is left.
#[test]
fn a_thousand_calls_race_for_the_last_credit() {
    for seed in 0..2 {
        race(seed);
    }
}

fn race(seed: u64) {
    let mut random = Seeded(seed);
    let mut lab = Lab::with_ports(seed, 1_100);
    lab.max_calls(2_000);
    for _ in 0..4 {
        let carrier = lab.far_end(Vec::new());
        lab.peer(carrier).scripts = (0..400).map(|_| fate(&mut random)).collect();
        lab.trunk(carrier, |trunk| {
            quiet(trunk);
            trunk.priority = 1;
            trunk.max_concurrent_calls = 1_000;
            let increment = [1, 6, 30, 60][usize::try_from(random.below(4)).unwrap()];
            trunk.advanced_config.insert("billing_increment".into(), json!(increment));
            trunk.cost_per_minute = Money::from_micros(i64::try_from(1 + random.below(90_000)).unwrap());
        });
    }
    // Enough for some hundreds of minutes.
    let granted = i64::try_from(5_000_000 + random.below(10_000_000)).unwrap();
    lab.credit(granted, 0);
    let (mut placed, mut refused) = (Vec::new(), 0);
    for number in 0..1_000_u64 {
        match lab.try_dial(order(NUMBER)) {
            Ok(call) => placed.push(call),
            Err(receipt) => {
                assert_eq!(receipt.refusal.unwrap().kind, RefusalKind::CreditExhausted);
                refused += 1;
            }
        }
        if random.below(4) == 0 && !placed.is_empty() {
            let which = usize::try_from(random.below(u64::try_from(placed.len()).unwrap())).unwrap();
            lab.hang_up(placed[which]);
        }
        if number % 50 == 49 {
            lab.pass(random.below(2_000));
            let credit = lab.live_credit();
            assert!(credit.available >= Money::ZERO && credit.reserved >= Money::ZERO, "{credit:?}");
        }
    }
    assert!(refused > 0, "{refused} refused, seed {seed}");
    for _ in 0..40 {
        lab.pass(10_000);
        assert!(available(&mut lab) >= 0, "seed {seed}");
    }
    for call in &placed {
        lab.hang_up(*call);
    }
    lab.pass_all();
    let cut_off: BTreeSet<_> = lab.records.iter().filter_map(cut_off).collect();
    let (spent, cut_off) = (lab.costs(), cut_off.len());
    assert!(spent <= granted && cut_off > 0, "{spent} of {granted} spent, {cut_off} cut off, seed {seed}");
    assert_eq!(available(&mut lab), granted - spent, "seed {seed}");
    lab.finish();
}

fn cut_off(record: &Record) -> Option<CallId> {
    match record {
        Record::Call(call) if call.hangup_cause.as_deref() == Some("credit_exhausted") => Some(call.id),
        Record::Call(_) | Record::Leg(_) | Record::Event(_) | Record::Refusal(_) => None,
    }
}

fn fate(random: &mut Seeded) -> Script {
    let at = random.below(3_000);
    match random.below(8) {
        0 => vec![(at, Reject(486, Vec::new()))],
        1 => vec![(at, Progress(180, None))],
        2 | 3 => vec![(at, Answer(Some(sdp("192.0.2.10:4000", PCMU)))), (at + random.below(120_000), Bye)],
        _ => vec![(at, Answer(Some(sdp("192.0.2.10:4000", PCMU))))],
    }
}
