//! Commands beside dial and hang-up, and INVITEs from strangers.

use tandem_model::{CallId, CallStatus, HangupCause, HungUpBy, Reason, RefusalKind};
use tandem_switch::{Answer, Command, Reply, ReplyId};

use crate::far_end::Does::{self, Progress};
use crate::far_end::Hearing;
use crate::lab::Lab;
use tandem_lab::setup::{NUMBER, PCMU, account_id, order, sdp, start_utc, trunk_id};

fn answer() -> Does {
    Does::Answer(Some(sdp("192.0.2.10:4000", PCMU)))
}

const INVITE: &str = "INVITE sip:+12025550199@192.0.2.1 SIP/2.0\n\
    Via: SIP/2.0/UDP 192.0.2.77:5060;rport;branch=z9hG4bK-stranger\n\
    Max-Forwards: 70\n\
    From: <sip:somebody@192.0.2.77>;tag=s\n\
    To: <sip:+12025550199@192.0.2.1>\n\
    Call-ID: stranger-1\n\
    CSeq: 1 INVITE\n\
    Contact: <sip:somebody@192.0.2.77>\n\
    Content-Length: 0\n\n";

#[test]
fn a_stranger_gets_one_403_and_nothing_is_kept_of_it() {
    let mut lab = Lab::new();
    lab.receive_from("192.0.2.77:5060", INVITE);
    let refused: Vec<_> =
        lab.refused.iter().map(|refusal| (refusal.sip_call_id.as_str(), refusal.sip_status)).collect();
    assert_eq!(refused, [("stranger-1", 403)]);
    assert!(lab.records.is_empty());
    assert_eq!(lab.counts().sip.server_transactions, 0);
    lab.finish();
}

#[test]
fn a_call_that_is_not_admitted_has_not_begun() {
    let mut lab = Lab::new();
    let carrier = lab.far_end(vec![(0, answer())]);
    lab.trunk(carrier, |_| {});
    lab.answer = Some(Answer::Refuse(Reason::Draining));
    let receipt = lab.try_dial(order(NUMBER)).unwrap_err();
    let refusal = receipt.refusal.as_ref().unwrap();
    assert_eq!((refusal.kind, refusal.reason.code()), (RefusalKind::NodeUnavailable, "draining"));
    assert!(lab.records.is_empty() && lab.counts().calls == 0);
    lab.finish();
}

#[test]
fn every_call_ends_when_the_node_stops() {
    let mut lab = Lab::new();
    let answering = lab.far_end(vec![(0, answer())]);
    let ringing = lab.far_end(vec![(0, Progress(180, None))]);
    lab.trunk(answering, |trunk| trunk.max_concurrent_calls = 1);
    lab.trunk(ringing, |_| {});
    let calls = [lab.dial(order(NUMBER)), lab.dial(order(NUMBER))];
    lab.pass(1_000);
    lab.command(Command::EndAll { cause: HangupCause::NodeShutdown });
    lab.pass(100);
    assert!(lab.switch.is_idle());
    assert_eq!(lab.peer(answering).heard_of("BYE").len(), 1);
    assert_eq!(lab.peer(ringing).heard_of("CANCEL").len(), 1);
    let [answered, unanswered] = calls.map(|call| lab.ended(call));
    assert_eq!((answered.record.status, answered.cause()), (CallStatus::Completed, "node_shutdown"));
    assert_eq!((unanswered.record.status, unanswered.cause()), (CallStatus::Failed, "node_shutdown"));
    assert_eq!(unanswered.record.hung_up_by, Some(HungUpBy::Switch));
    lab.finish();
}

#[test]
fn a_call_that_waits_for_its_admission_is_refused_when_the_node_stops() {
    let mut lab = Lab::new();
    let carrier = lab.far_end(vec![(0, answer())]);
    lab.trunk(carrier, |_| {});
    lab.answer = None;
    let reply = lab.begin_dial(order(NUMBER));
    lab.pass(1_000);
    lab.command(Command::EndAll { cause: HangupCause::NodeShutdown });
    match lab.reply(reply) {
        Reply::Dialled(Err(receipt)) => assert_eq!(receipt.refusal.unwrap().reason.code(), "draining"),
        other => panic!("{other:?}"),
    }
    lab.finish();
}

#[test]
fn a_call_is_shown_until_the_store_has_it_and_only_to_its_account() {
    let mut lab = Lab::new();
    let carrier = lab.far_end(vec![(0, answer())]);
    lab.trunk(carrier, |_| {});
    let call = lab.dial(order(NUMBER));
    lab.pass(100);
    assert!(lab.inspect(call).is_some());
    lab.command(Command::Hangup { account_id: account_id(2), call_id: call, reply: ReplyId(900) });
    assert_eq!(lab.inspect(call).unwrap().record.status, CallStatus::Answered, "not another account's to end");
    lab.hang_up(call);
    lab.pass(100);
    assert_eq!(lab.inspect(call).unwrap().record.status, CallStatus::Completed);
    assert_eq!((lab.counts().calls, lab.counts().unstored_calls), (0, 1));
    assert_eq!(lab.hang_up(call), None);
    lab.command(Command::Stored { call_ids: vec![call] });
    assert_eq!((lab.inspect(call), lab.counts().unstored_calls), (None, 0));
}

#[test]
fn explaining_a_call_takes_and_sends_nothing() {
    let mut lab = Lab::new();
    let carrier = lab.far_end(vec![(0, answer())]);
    lab.trunk(carrier, |_| {});
    let receipt = lab.explain(order(NUMBER));
    assert_eq!((receipt.refusal, receipt.attempts.len(), receipt.considered.len()), (None, 0, 1));
    assert_eq!(receipt.routing_revision, lab.counts().routing_revision);
    assert_eq!(lab.counts().trunk_slots, 0);
    lab.pass(100);
    assert!(lab.peer(carrier).heard.is_empty());
    lab.finish();
}

#[test]
fn calls_that_something_else_carries_take_places_and_are_never_refused() {
    let mut lab = Lab::new();
    let carrier = lab.far_end(vec![(0, answer())]);
    lab.trunk(carrier, |trunk| trunk.max_concurrent_calls = 1);
    let ids = [1, 2].map(|number| CallId::new(start_utc(), [number; 10]));
    for call_id in ids {
        for _twice in 0..2 {
            lab.command(Command::ExternalStarted { account_id: account_id(1), trunk_id: trunk_id(1), call_id });
        }
    }
    let counts = lab.counts();
    assert_eq!((counts.external_calls, counts.trunk_slots, counts.account_slots), (2, 2, 2));
    assert!(lab.try_dial(order(NUMBER)).is_err(), "the trunk is full");
    for call_id in ids {
        for _twice in 0..2 {
            lab.command(Command::ExternalEnded { call_id });
        }
    }
    let counts = lab.counts();
    assert_eq!((counts.external_calls, counts.trunk_slots, counts.account_slots), (0, 0, 0));
    let call = lab.dial(order(NUMBER));
    lab.hang_up(call);
    lab.finish();
}

#[test]
fn a_trunk_that_is_taken_away_carries_its_calls_to_their_end() {
    let mut lab = Lab::new();
    let carrier = lab.far_end(vec![(0, answer())]);
    lab.trunk(carrier, |_| {});
    let call = lab.dial(order(NUMBER));
    lab.pass(100);
    lab.change_trunk(1, |trunk| trunk.status = tandem_model::TrunkStatus::Inactive);
    assert_eq!(lab.trunk_state(1).active_calls, 1);
    lab.command(Command::Routes(std::sync::Arc::default()));
    assert_eq!(lab.trunk_state(1).active_calls, 1);
    lab.pass(1_000);
    lab.hang_up(call);
    lab.pass(100);
    assert_eq!(lab.ended(call).record.status, CallStatus::Completed);
    lab.finish();
}

#[test]
fn a_broken_path_under_thousands_of_calls_is_survived() {
    let mut lab = Lab::with_ports(7, 3_000);
    let carrier = lab.far_end(vec![]);
    lab.peer(carrier).hearing = Hearing::Dead;
    lab.trunk(carrier, |trunk| trunk.max_concurrent_calls = 3_000);
    lab.max_calls(3_000);
    let calls: Vec<_> = (0..3_000).map(|_| lab.dial(order(NUMBER))).collect();
    lab.pass(10);
    lab.peer(carrier).hearing = Hearing::Unreachable;
    lab.pass(1_000);
    assert_eq!(lab.counts().calls, 0);
    assert_eq!(lab.ended(calls[2_999]).cause(), "network_out_of_order");
}
