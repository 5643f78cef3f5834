//! Calls that are given up before an answer, and what becomes of the attempt.

use std::time::Duration;

use tandem_model::{CallStatus, DialOrder, HungUpBy, LegStatus};

use crate::far_end::Does::{Answer, Progress};
use crate::far_end::Hearing;
use crate::lab::Lab;
use tandem_lab::setup::{NUMBER, PCMU, order, sdp, start};

fn answer() -> crate::far_end::Does {
    Answer(Some(sdp("192.0.2.10:4000", PCMU)))
}

fn ring_for(seconds: u64) -> DialOrder {
    DialOrder { ring_timeout: Duration::from_secs(seconds), ..order(NUMBER) }
}

#[test]
fn a_hang_up_before_the_answer_cancels() {
    let mut lab = Lab::new();
    let carrier = lab.far_end(vec![(100, Progress(180, None))]);
    lab.trunk(carrier, |_| {});
    let call = lab.dial(order(NUMBER));
    lab.pass(5_000);
    let record = lab.hang_up(call).unwrap();
    assert_eq!(record.status, CallStatus::Canceled);
    lab.pass(100);
    assert_eq!(lab.peer(carrier).kinds(), ["INVITE", "CANCEL", "ACK"]);
    let ended = lab.ended(call);
    assert_eq!((ended.cause(), ended.record.hung_up_by), ("canceled", Some(HungUpBy::Api)));
    assert_eq!((ended.outcomes(), ended.legs[0].status), (vec!["canceled"], LegStatus::Canceled));
    assert_eq!(ended.record.cost.unwrap().micros(), 0);
    lab.finish();
}

#[test]
fn the_ring_timeout_is_for_the_whole_call() {
    let mut lab = Lab::new();
    let silent = lab.far_end(Vec::new());
    let ringing = lab.far_end(vec![(0, Progress(180, None))]);
    lab.peer(silent).hearing = Hearing::Dead;
    lab.trunk(silent, |_| {});
    lab.trunk(ringing, |_| {});
    let call = lab.dial(ring_for(10));
    lab.pass(11_000);
    assert_eq!(lab.peer(ringing).first_ms("INVITE"), Some(4_005));
    assert_eq!(lab.peer(ringing).first_ms("CANCEL"), Some(10_005));
    let ended = lab.ended(call);
    assert_eq!((ended.record.status, ended.cause()), (CallStatus::NoAnswer, "no_answer"));
    assert_eq!(ended.outcomes(), ["no_response", "ring_timeout"]);
    assert_eq!(ended.record.ended_at.unwrap().since(ended.record.started_at), Duration::from_secs(10));
    lab.finish();
}

#[test]
fn no_trunk_is_tried_once_the_ring_time_is_over() {
    let mut lab = Lab::new();
    let silent = lab.far_end(Vec::new());
    let second = lab.far_end(vec![(0, answer())]);
    lab.peer(silent).hearing = Hearing::Dead;
    lab.trunk(silent, |_| {});
    lab.trunk(second, |_| {});
    let call = lab.dial(ring_for(4));
    lab.pass(10_000);
    assert!(lab.peer(second).heard.is_empty());
    assert_eq!(lab.ended(call).legs.len(), 1);
    lab.finish();
}

#[test]
fn a_late_ringing_of_an_attempt_given_up_is_canceled() {
    let mut lab = Lab::new();
    let late = lab.far_end(vec![(0, Progress(180, None))]);
    let second = lab.far_end(vec![(0, answer())]);
    lab.peer(late).hearing = Hearing::AsleepUntil(start() + Duration::from_secs(8));
    lab.trunk(late, |_| {});
    lab.trunk(second, |_| {});
    let call = lab.dial(order(NUMBER));
    lab.pass(7_900);
    assert_eq!(lab.trunk_state(1).active_calls, 0, "its slot is free though its INVITE is not over");
    assert!(lab.peer(late).heard_of("CANCEL").is_empty(), "before a provisional answer nothing may be canceled");
    lab.pass(1_000);
    assert_eq!(lab.peer(late).first_ms("CANCEL"), Some(8_010));
    assert!(lab.peer(late).heard_of("BYE").is_empty());
    assert_eq!(lab.inspect(call).unwrap().record.status, CallStatus::Answered);
    lab.hang_up(call);
    lab.finish();
}

#[test]
fn a_late_answer_of_an_attempt_given_up_is_acknowledged_and_ended() {
    let mut lab = Lab::new();
    let late = lab.far_end(vec![(0, answer())]);
    let second = lab.far_end(vec![(0, answer())]);
    lab.peer(late).hearing = Hearing::AsleepUntil(start() + Duration::from_secs(8));
    lab.trunk(late, |_| {});
    lab.trunk(second, |_| {});
    let call = lab.dial(order(NUMBER));
    lab.pass(9_000);
    assert_eq!((lab.peer(late).first_ms("ACK"), lab.peer(late).first_ms("BYE")), (Some(8_010), Some(8_010)));
    let live = lab.inspect(call).unwrap();
    assert_eq!((live.record.status, live.legs.len()), (CallStatus::Answered, 2), "the call is the second one's");
    lab.hang_up(call);
    lab.pass(100);
    assert_eq!(lab.ended(call).legs[0].cost.unwrap().micros(), 0);
    lab.finish();
}

#[test]
fn an_answer_that_crosses_the_hang_up_is_ended() {
    let mut lab = Lab::new();
    let carrier = lab.far_end(vec![(0, Progress(180, None)), (1_000, answer())]);
    lab.trunk(carrier, |_| {});
    let call = lab.dial(order(NUMBER));
    // The 200 has left, and is still on its way.
    lab.pass(1_007);
    lab.hang_up(call);
    lab.pass(1_000);
    let kinds = lab.peer(carrier).kinds().join(" ");
    assert!(kinds.contains("ACK") && kinds.contains("BYE"), "{kinds}");
    assert_eq!(lab.ended(call).record.status, CallStatus::Canceled);
    lab.finish();
}

#[test]
fn a_hang_up_while_the_name_is_looked_up_sends_nothing() {
    let mut lab = Lab::new();
    let carrier = lab.far_end(vec![(0, answer())]);
    let found = Ok(vec![lab.address(carrier).ip()]);
    lab.names.insert("carrier.example.com".into(), crate::lab::Name::After(2_000, found));
    lab.trunk(carrier, |trunk| trunk.sip_domain = "carrier.example.com".into());
    let call = lab.dial(order(NUMBER));
    lab.pass(1_000);
    lab.hang_up(call);
    lab.pass(5_000);
    assert!(lab.peer(carrier).heard.is_empty());
    assert_eq!(lab.ended(call).outcomes(), ["canceled"]);
    lab.finish();
}
