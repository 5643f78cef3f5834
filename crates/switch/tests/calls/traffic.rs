//! What is counted for metrics: each thing once, at the trunk where it happened.

use std::collections::BTreeMap;
use std::time::Duration;

use tandem_model::{
    CallDirection, CallStatus, Connect, HangupCause, InboundRouting, InboundRule, RefusedPeer, Traffic, TrunkPlace,
    TrunkTraffic,
};
use tandem_switch::{Command, Reply};

use crate::far_end::Calls;
use crate::far_end::Does::{Answer, Bye, Progress, Reject};
use crate::lab::Lab;
use tandem_lab::setup::{NUMBER, PCMU, order, sdp, trunk_id};

fn traffic(lab: &mut Lab) -> Traffic {
    let reply = lab.ask(|reply| Command::Traffic { reply });
    match lab.reply(reply) {
        Reply::Traffic(traffic, _) => *traffic,
        other => panic!("{other:?}"),
    }
}

fn at_trunk(traffic: &Traffic, number: u8) -> &TrunkTraffic {
    let place = TrunkPlace::Trunk(trunk_id(number));
    traffic.places().find(|(at, _)| *at == place).unwrap().1
}

#[test]
fn attempts_are_counted_at_their_trunk_with_what_came_of_them() {
    let mut lab = Lab::new();
    let first = lab.far_end(vec![(0, Reject(503, Vec::new()))]);
    let answer = Answer(Some(sdp("192.0.2.11:4000", PCMU)));
    let second = lab.far_end(vec![(500, Progress(180, None)), (1_000, Progress(183, None)), (2_000, answer)]);
    lab.trunk(first, |_| {});
    lab.trunk(second, |_| {});
    let call = lab.dial(order(NUMBER));
    lab.pass(5_000);
    let during = traffic(&mut lab);
    assert_eq!(at_trunk(&during, 2).outbound.answered, 1, "at the answer, not at the end");
    assert_eq!(at_trunk(&during, 2).outbound.connected_us, 0);
    lab.hang_up(call);
    lab.pass(100);
    let counted = traffic(&mut lab);

    let one = at_trunk(&counted, 1);
    assert_eq!(one.outbound.unanswered, BTreeMap::from([(HangupCause::TemporaryFailure, 1)]));
    assert_eq!((one.outbound.answered, one.setup_delay.count()), (0, 0));
    let two = at_trunk(&counted, 2);
    assert_eq!((two.outbound.answered, two.outbound.unanswered.len()), (1, 0));
    // Sent after 10 ms, answered 2,010 ms later, hung up after 5 s.
    assert_eq!(two.outbound.connected_us, 2_980_000);
    // To the first ringing, and the way of both messages.
    assert_eq!((two.setup_delay.count(), two.setup_delay.sum()), (1, Duration::from_millis(510)));
    assert_eq!(counted.calls, BTreeMap::from([((CallDirection::Outbound, CallStatus::Completed), 1)]));
    lab.finish();
}

#[test]
fn calls_that_come_in_and_those_that_are_refused_are_counted() {
    let mut lab = Lab::new();
    let carrier = lab.far_end(vec![]);
    let echo = InboundRule { to: Some("+12025550111".parse().unwrap()), from: None, connect: Connect::Echo };
    lab.trunk(carrier, |trunk| trunk.inbound = InboundRouting::new(None, vec![echo], None));
    let stranger = lab.far_end(vec![]);
    let calls = |number: &str, script| Calls {
        to: format!("sip:{number}@192.0.2.1"),
        from: "sip:+4930901820@192.0.2.10",
        offer: Some(sdp("192.0.2.10:4000", PCMU)),
        answer: None,
        max_forwards: 70,
        script,
    };
    lab.call_in(carrier, calls("+12025550111", vec![(1_000, Bye)])).unwrap();
    assert!(lab.call_in(carrier, calls("+12025550112", vec![])).is_none());
    assert!(lab.call_in(stranger, calls("+12025550111", vec![])).is_none());
    lab.pass(3_000);
    let counted = traffic(&mut lab);
    let one = at_trunk(&counted, 1);
    assert_eq!((one.inbound.answered, one.outbound.answered), (1, 0));
    assert!(one.inbound.connected_us > 900_000);
    assert_eq!(one.setup_delay.count(), 0, "that is for INVITEs of ours");
    assert_eq!((one.answer_delay.count(), one.answer_delay.sum()), (1, Duration::ZERO), "an echo answers at once");
    assert_eq!(counted.calls, BTreeMap::from([((CallDirection::Inbound, CallStatus::Completed), 1)]));
    let refused =
        [(true, 403), (false, 404)].map(|(is_stranger, sip_status)| (RefusedPeer { is_stranger, sip_status }, 1));
    assert_eq!(counted.refused_invites, BTreeMap::from(refused));
    lab.finish();
}

#[test]
fn an_order_that_no_call_came_of_is_counted_by_its_code() {
    let mut lab = Lab::new();
    lab.try_dial(order(NUMBER)).unwrap_err();
    let counted = traffic(&mut lab);
    assert_eq!(counted.refused_orders, BTreeMap::from([("no_route", 1)]));
    assert!(counted.calls.is_empty());
    lab.finish();
}
