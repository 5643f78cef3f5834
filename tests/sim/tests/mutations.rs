//! With a rule of the switch switched off, the simulation must fail: else it would prove nothing.

#![expect(clippy::print_stdout, reason = "a test says how soon it was noticed")]

use tandem_sim::{Mutation, Options, run};
use tandem_sip::rules::Rule as Protocol;
use tandem_switch::rules::Rule;

/// So many seeds must be enough.
const SEEDS: u64 = 12;

fn expect_noticed(rule: Rule, expected: &[&str]) {
    let options = Options { mutation: Some(Mutation::Without(rule)), ..Options::default() };
    let mut found = None;
    for seed in 0..SEEDS {
        let report = run(seed, &options);
        found = report
            .faults
            .iter()
            .map(ToString::to_string)
            .find(|fault| expected.iter().any(|text| fault.contains(text)));
        if let Some(fault) = &found {
            println!("{rule:?}: noticed with seed {seed}: {}", fault.chars().take(200).collect::<String>());
            break;
        }
    }
    assert!(found.is_some(), "{SEEDS} seeds do not notice that {rule:?} is switched off");
}

#[test]
fn a_2xx_that_comes_again_is_acknowledged_again() {
    expect_noticed(Rule::Protocol(Protocol::AcknowledgesEachAnswer), &["got no ACK"]);
}

#[test]
fn a_cancel_waits_for_a_provisional_response() {
    expect_noticed(Rule::Protocol(Protocol::CancelsOnlyWhatIsHeardOf), &["a CANCEL before any provisional response"]);
}

#[test]
fn a_2xx_that_crosses_the_cancel_is_ended() {
    expect_noticed(Rule::Protocol(Protocol::EndsWhatIsAnsweredTooLate), &["after its late answer", "calls left"]);
}

#[test]
fn an_invite_that_is_canceled_gets_its_487() {
    expect_noticed(Rule::Protocol(Protocol::AnswersWhatIsCanceled), &["got no final answer"]);
}

#[test]
fn both_legs_end_together() {
    expect_noticed(Rule::EndsEveryLeg, &["its far end at"]);
}

#[test]
fn the_slot_of_an_attempt_that_is_given_up_goes_back() {
    expect_noticed(Rule::GivesSlotsBack, &["something is left"]);
}

#[test]
fn a_dialog_is_written_down() {
    expect_noticed(Rule::KeepsDialogs, &["its far end at", "calls left"]);
}

#[test]
fn events_have_numbers_of_their_own() {
    expect_noticed(Rule::NumbersEvents, &["events are numbered"]);
}

#[test]
fn time_is_rounded_up_once() {
    expect_noticed(Rule::BillsOnce, &["which may be"]);
}

#[test]
fn what_a_call_may_cost_is_reserved_first() {
    expect_noticed(Rule::ReservesCredit, &["more than the"]);
}

#[test]
fn audio_goes_to_the_other_leg() {
    expect_noticed(Rule::RelaysToTheOtherLeg, &["which is in another call", "has not heard"]);
}
