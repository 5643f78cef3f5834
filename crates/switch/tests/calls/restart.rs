//! What is kept so that a leg can be ended by another process, and what another process does with it.

use std::time::Duration;

use tandem_model::{CallStatus, Connect, DialOrder, HangupCause, HungUpBy, LegStatus, Record, Timestamp};
use tandem_switch::{Command, OpenCall};

use crate::far_end::Does::{Answer, Bye, Progress, Reject};
use crate::far_end::{Hearing, Script};
use crate::lab::{Lab, Name, Peer, US};
use tandem_lab::setup::{NUMBER, PCMU, order, sdp, start, start_utc};

fn answer() -> crate::far_end::Does {
    Answer(Some(sdp("192.0.2.10:4000", PCMU)))
}

fn challenge() -> crate::far_end::Does {
    Reject(407, vec![("Proxy-Authenticate", "Digest realm=\"carrier\", nonce=\"1\", algorithm=MD5".to_owned())])
}

fn one_trunk(script: Script) -> (Lab, Peer) {
    let mut lab = Lab::new();
    let carrier = lab.far_end(script);
    lab.trunk(carrier, |_| {});
    (lab, carrier)
}

/// A moment of the tests' clock.
fn at_ms(ms: u64) -> Timestamp {
    start_utc().saturating_add(Duration::from_millis(ms))
}

// What is kept.

#[test]
fn an_invite_is_kept_until_the_dialog_of_its_answer_is_and_that_until_the_far_end_knows_of_the_end() {
    let (mut lab, carrier) = one_trunk(vec![(100, Progress(180, None)), (500, answer())]);
    let call = lab.dial(order(NUMBER));
    assert_eq!(lab.keeping, ["keep invite 1"]);
    lab.pass(1_000);
    assert_eq!(lab.keeping, ["keep invite 1", "keep dialog 1"]);
    lab.hang_up(call);
    lab.pass(5);
    assert_eq!(lab.peer(carrier).heard_of("BYE").len(), 1);
    assert_eq!(lab.keeping.len(), 2, "the far end's 200 may still fail to come");
    lab.pass(5);
    assert_eq!(lab.keeping, ["keep invite 1", "keep dialog 1", "forget"]);
    lab.finish();
}

#[test]
fn nothing_is_kept_any_more_once_the_far_end_has_left_or_refused() {
    for script in [vec![(0, answer()), (500, Bye)], vec![(0, Reject(486, Vec::new()))]] {
        let (mut lab, carrier) = one_trunk(script);
        lab.dial(order(NUMBER));
        lab.pass(510);
        assert_eq!(lab.keeping.last().unwrap(), "forget");
        assert!(lab.kept.is_empty() && !lab.peer(carrier).heard.is_empty());
        lab.finish();
    }
}

#[test]
fn each_attempt_is_kept_and_forgotten_for_itself() {
    let (mut lab, _) = one_trunk(vec![(0, Reject(503, Vec::new()))]);
    let second = lab.far_end(vec![(0, answer())]);
    lab.trunk(second, |_| {});
    let call = lab.dial(order(NUMBER));
    lab.pass(1_000);
    assert_eq!(lab.keeping, ["keep invite 1", "forget", "keep invite 1", "keep dialog 1"]);
    lab.hang_up(call);
    lab.finish();
}

#[test]
fn the_invite_that_answers_a_challenge_takes_the_place_of_the_first_before_it_is_sent() {
    let (mut lab, carrier) = one_trunk(Vec::new());
    lab.peer(carrier).scripts = [vec![(100, challenge())], vec![(100, Progress(180, None)), (500, answer())]].into();
    let call = lab.dial(order(NUMBER));
    lab.pass(110);
    assert_eq!(lab.peer(carrier).heard_of("INVITE").len(), 1, "the second is on its way");
    assert_eq!(lab.keeping, ["keep invite 1", "keep invite 2"]);
    lab.pass(1_000);
    assert_eq!(lab.keeping, ["keep invite 1", "keep invite 2", "keep dialog 2"]);
    lab.hang_up(call);
    lab.finish();
}

#[test]
fn an_invite_given_up_before_anybody_heard_it_is_kept_until_its_transaction_is_over() {
    let (mut lab, carrier) = one_trunk(Vec::new());
    lab.peer(carrier).hearing = Hearing::Dead;
    lab.dial(order(NUMBER));
    lab.pass(5_000);
    assert_eq!(lab.counts().legs, 0);
    assert_eq!(lab.keeping, ["keep invite 1"], "a late ringing would still have to be canceled");
    lab.pass(60_000);
    assert_eq!(lab.keeping, ["keep invite 1", "forget"]);
    lab.finish();
}

#[test]
fn a_reinvite_that_moves_the_far_end_has_its_dialog_kept_anew() {
    let (mut lab, carrier) = one_trunk(vec![(0, answer())]);
    let call = lab.dial(order(NUMBER));
    lab.pass(1_000);
    let ack = lab.peer(carrier).heard_of("ACK")[0].clone();
    let reinvite = |cseq: u32, contact: &str| {
        let (from, to, call_id) = (ack.header("To"), ack.header("From"), ack.header("Call-ID"));
        format!(
            "INVITE sip:{US} SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bK{cseq}\nMax-Forwards: 70\nFrom: {from}\nTo: {to}\nCall-ID: {call_id}\nCSeq: {cseq} INVITE\nContact: <{contact}>\nContent-Type: application/sdp\nContent-Length: {}\n\n",
            sdp("192.0.2.10:4000", PCMU).len(),
        ) + &sdp("192.0.2.10:4000", PCMU).replace("\r\n", "\n")
    };
    let acked = |cseq: u32| {
        let (from, to, call_id) = (ack.header("To"), ack.header("From"), ack.header("Call-ID"));
        format!(
            "ACK sip:{US} SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bKa{cseq}\nFrom: {from}\nTo: {to}\nCall-ID: {call_id}\nCSeq: {cseq} ACK\nContent-Length: 0\n\n"
        )
    };
    for (cseq, kept) in [(10, 3), (11, 3)] {
        lab.receive_from("192.0.2.10:5060", &reinvite(cseq, "sip:moved@192.0.2.10:5060"));
        lab.receive_from("192.0.2.10:5060", &acked(cseq));
        assert_eq!(lab.keeping.len(), kept, "{:?}", lab.keeping);
    }
    let open = lab.crash(false);
    lab.restart(open, at_ms(1_000));
    lab.pass(10);
    assert!(lab.peer(carrier).heard_of("BYE")[0].text.starts_with("BYE sip:moved@192.0.2.10:5060 "));
    assert_eq!(lab.ended(call).cause(), "node_restarted");
    lab.finish();
}

// What the next process does.

#[test]
fn an_answered_call_gets_a_bye_in_its_dialog_and_ends_with_the_last_heartbeat() {
    let (mut lab, carrier) = one_trunk(vec![(100, Progress(180, None)), (490, answer())]);
    lab.change_trunk(1, |trunk| trunk.sip_proxy = Some("192.0.2.10".into()));
    let call = lab.dial(order(NUMBER));
    lab.pass(4_000);
    let (events, states) = (lab.inspect(call).unwrap().events.len(), lab.call_records(call).len());
    let open = lab.crash(false);
    lab.pass(5_000);
    lab.restart(open, at_ms(3_500));
    lab.pass(100);

    let peer = lab.peer(carrier);
    let (invite, ack, byes) = (peer.heard_of("INVITE")[0], peer.heard_of("ACK")[0], peer.heard_of("BYE"));
    assert_eq!(byes.len(), 1);
    let bye = byes[0];
    assert_eq!(bye.header("CSeq"), "2 BYE");
    for name in ["Call-ID", "From", "To", "Route"] {
        assert_eq!(bye.header(name), ack.header(name), "{name}");
    }
    assert_eq!(bye.header("Call-ID"), invite.header("Call-ID"));
    assert_eq!(bye.header("Reason"), "Q.850;cause=41");
    let sip_call_id = invite.header("Call-ID").to_owned();

    let ended = lab.ended(call);
    let record = &ended.record;
    assert_eq!((record.status, ended.cause()), (CallStatus::Completed, "node_restarted"));
    assert_eq!((record.hung_up_by, record.sip_status), (Some(HungUpBy::Switch), None));
    assert_eq!((record.answered_at, record.ended_at), (Some(at_ms(500)), Some(at_ms(3_500))));
    // 3 s of a trunk of which a second costs 1,000 micros.
    assert_eq!((record.duration_ms, record.cost.unwrap().micros()), (Some(3_000), 3_000));
    assert_eq!(record.sip_call_id.as_deref(), Some(sip_call_id.as_str()));
    let leg = &ended.legs[0];
    assert_eq!((leg.status, leg.cause), (LegStatus::Completed, Some(HangupCause::NodeRestarted)));
    assert_eq!((leg.hung_up_by, leg.sip_status), (Some(HungUpBy::Switch), Some(200)));
    assert_eq!((leg.ended_at, leg.duration_ms, leg.billed_seconds), (record.ended_at, Some(3_000), Some(3)));
    assert_eq!((ended.outcomes(), leg.media.clone()), (vec!["answered"], None));
    assert_eq!(ended.events.len(), events + 2);
    assert_eq!(ended.event_kinds()[events..], ["leg_ended", "ended"]);
    assert_eq!(lab.call_records(call).len(), states + 1, "it is written once");

    assert_eq!(lab.inspect(call).unwrap().record, ended.record, "it is shown until it is stored");
    lab.command(Command::Stored { call_ids: vec![call] });
    assert!(lab.inspect(call).is_none());
    assert_eq!(lab.counts().calls, 0);
}

#[test]
fn a_ringing_call_is_canceled() {
    let (mut lab, carrier) = one_trunk(vec![(100, Progress(180, None))]);
    let call = lab.dial(order(NUMBER));
    lab.pass(2_500);
    let open = lab.crash(false);
    lab.restart(open, at_ms(2_000));
    lab.pass(100);
    assert_eq!(lab.peer(carrier).kinds(), ["INVITE", "CANCEL", "ACK"]);
    let (invite, cancel) = (lab.peer(carrier).heard[0].clone(), lab.peer(carrier).heard[1].clone());
    assert_eq!((cancel.header("Via"), cancel.header("Call-ID")), (invite.header("Via"), invite.header("Call-ID")));

    let ended = lab.ended(call);
    assert_eq!((ended.record.status, ended.cause()), (CallStatus::Failed, "node_restarted"));
    assert_eq!((ended.record.duration_ms, ended.record.cost.unwrap().micros()), (Some(0), 0));
    assert_eq!(ended.record.ended_at, Some(at_ms(2_000)));
    assert_eq!((ended.legs[0].status, ended.legs[0].billed_seconds), (LegStatus::Canceled, Some(0)));
    assert_eq!(ended.outcomes(), ["canceled"]);
    assert_eq!(ended.receipt().attempts[0].target.as_deref(), Some("192.0.2.10:5060"));
    lab.finish();
}

#[test]
fn an_answer_that_comes_after_the_restart_is_acknowledged_and_ended() {
    // The far end's 200 crosses our CANCEL.
    let (mut lab, carrier) = one_trunk(vec![(100, Progress(180, None)), (2_004, answer())]);
    let call = lab.dial(order(NUMBER));
    lab.pass(1_500);
    let open = lab.crash(false);
    lab.pass(505);
    lab.restart(open, at_ms(1_000));
    lab.pass(1_000);
    assert_eq!(lab.peer(carrier).kinds(), ["INVITE", "CANCEL", "ACK", "BYE"]);
    assert_eq!(lab.ended(call).record.status, CallStatus::Failed);
    lab.finish();
}

#[test]
fn an_answer_that_came_while_nobody_listened_is_acknowledged_and_ended() {
    let (mut lab, carrier) = one_trunk(vec![(100, Progress(180, None)), (2_000, answer())]);
    lab.dial(order(NUMBER));
    lab.pass(1_500);
    let open = lab.crash(false);
    lab.pass(3_000);
    lab.restart(open, at_ms(1_000));
    lab.pass(5_000);
    assert_eq!(lab.peer(carrier).heard_of("BYE").len(), 1);
    lab.finish();
}

#[test]
fn an_answer_to_a_call_given_up_is_ended_by_the_next_process_if_its_bye_is_lost() {
    let (mut lab, carrier) = one_trunk(vec![(0, answer())]);
    lab.peer(carrier).hearing = Hearing::AsleepUntil(start() + Duration::from_secs(8));
    let call = lab.dial(order(NUMBER));
    lab.pass(8_005);
    assert_eq!(lab.ended(call).outcomes(), ["no_response"]);
    assert_eq!(lab.keeping, ["keep invite 1", "keep dialog 2"]);
    // The BYE is written down, and never leaves.
    let open = lab.crash(true);
    lab.restart(open, at_ms(8_000));
    lab.pass(100);
    assert_eq!(lab.peer(carrier).heard_of("BYE").len(), 1);
    assert_eq!(lab.peer(carrier).endpoint.counts().sessions, 0);
    lab.finish();
}

#[test]
fn a_challenged_call_is_canceled_by_its_second_invite() {
    let (mut lab, carrier) = one_trunk(Vec::new());
    lab.peer(carrier).scripts = [vec![(100, challenge())], vec![(300, Progress(180, None))]].into();
    lab.dial(order(NUMBER));
    lab.pass(120);
    let open = lab.crash(false);
    lab.pass(1_000);
    lab.restart(open, at_ms(0));
    lab.pass(100);
    let peer = lab.peer(carrier);
    assert_eq!(peer.heard_of("CANCEL")[0].header("Via"), peer.heard_of("INVITE")[1].header("Via"));
    assert_eq!(peer.endpoint.counts().sessions, 0);
    lab.finish();
}

#[test]
fn both_parties_get_a_bye_or_what_they_need() {
    let (mut lab, first) = one_trunk(vec![(0, answer())]);
    let second = lab.far_end(vec![(100, Progress(180, None))]);
    let call = lab.dial(DialOrder { connect: Connect::Sip { uri: "sip:phone@192.0.2.11".into() }, ..order(NUMBER) });
    lab.pass(3_000);
    let open = lab.crash(false);
    lab.restart(open, at_ms(2_010));
    lab.pass(100);
    assert_eq!(lab.peer(first).kinds(), ["INVITE", "ACK", "BYE"]);
    assert_eq!(lab.peer(second).kinds(), ["INVITE", "CANCEL", "ACK"]);
    let ended = lab.ended(call);
    assert_eq!((ended.record.status, ended.outcomes()), (CallStatus::Completed, vec!["answered", "canceled"]));
    assert_eq!(
        ended.legs.iter().map(|leg| leg.status).collect::<Vec<_>>(),
        [LegStatus::Completed, LegStatus::Canceled]
    );
    assert_eq!(ended.record.cost.unwrap().micros(), 2_000);
    lab.finish();
}

#[test]
fn what_a_call_cost_over_a_trunk_that_is_gone_is_not_made_up() {
    for (script, cost) in [(vec![(0, answer())], None), (vec![(0, Progress(180, None))], Some(0))] {
        let (mut lab, _) = one_trunk(script);
        let call = lab.dial(order(NUMBER));
        lab.pass(2_000);
        let open = lab.crash(false);
        lab.remove_trunks();
        lab.restart(open, at_ms(1_900));
        lab.pass(100);
        let ended = lab.ended(call);
        assert_eq!(ended.record.cost.map(tandem_model::Money::micros), cost);
        assert_eq!((ended.legs[0].cost, ended.legs[0].billed_seconds), (ended.record.cost, cost.map(|_| 0)));
        assert!(ended.legs[0].duration_ms.is_some());
        lab.finish();
    }
}

#[test]
fn no_call_ends_before_it_was_answered_or_began() {
    for (script, answered_at) in [(vec![(1_000, answer())], Some(at_ms(1_010))), (Vec::new(), None)] {
        let (mut lab, _) = one_trunk(script);
        lab.pass(500);
        let call = lab.dial(order(NUMBER));
        lab.pass(1_900);
        let open = lab.crash(false);
        lab.restart(open, at_ms(400));
        let ended = lab.ended(call);
        let answered_at = answered_at.map(|at| at.saturating_add(Duration::from_millis(500)));
        assert_eq!(ended.record.answered_at, answered_at);
        assert_eq!(ended.record.ended_at, Some(answered_at.unwrap_or(at_ms(500))));
        assert_eq!((ended.record.duration_ms, ended.record.cost.unwrap().micros()), (Some(0), 0));
        lab.finish();
    }
}

#[test]
fn a_call_whose_ports_had_yet_to_tell_their_counters_is_closed_as_it_ended() {
    for script in [vec![(0, answer()), (1_000, Bye)], vec![(0, Reject(486, Vec::new()))]] {
        let (mut lab, carrier) = one_trunk(script);
        let call = lab.dial(order(NUMBER));
        lab.pass(100);
        lab.media_is_stuck = true;
        lab.pass(1_000);
        let live = lab.inspect(call);
        let open = lab.crash(false);
        let heard = lab.peer(carrier).heard.len();
        lab.media_is_stuck = false;
        lab.restart(open, at_ms(900));
        lab.pass(1_000);
        assert_eq!(lab.peer(carrier).heard.len(), heard, "the far end knows");
        let ended = lab.ended(call);
        assert!(ended.cause() != "node_restarted" && ended.record.status.is_final());
        if let Some(live) = live {
            assert_eq!((ended.record, ended.events), (live.record, live.events));
        }
        lab.finish();
    }
}

#[test]
fn a_far_end_that_may_not_have_heard_our_bye_hears_it_again_and_the_record_stays() {
    let (mut lab, carrier) = one_trunk(vec![(0, answer())]);
    let call = lab.dial(order(NUMBER));
    lab.pass(1_000);
    lab.hang_up(call);
    let states = lab.call_records(call).len();
    // It is written that the call is over; the BYE never left.
    let open: Vec<OpenCall> = lab.crash(true);
    assert!(open.iter().all(|call| call.record.status == CallStatus::Completed));
    lab.restart(open, at_ms(1_000));
    lab.pass(100);
    assert_eq!(lab.peer(carrier).kinds(), ["INVITE", "ACK", "BYE"]);
    assert_eq!(lab.call_records(call).len(), states);
    assert_eq!(lab.ended(call).cause(), "normal_clearing");
    lab.finish();
}

#[test]
fn a_call_that_waited_for_an_address_is_closed_without_a_word_to_anybody() {
    let mut lab = Lab::new();
    let carrier = lab.far_end(vec![(0, answer())]);
    lab.trunk(carrier, |trunk| trunk.sip_domain = "carrier.example.com".into());
    lab.names.insert("carrier.example.com".into(), Name::Never);
    let call = lab.dial(order(NUMBER));
    lab.pass(1_000);
    assert_eq!(lab.keeping, Vec::<String>::new());
    let open = lab.crash(false);
    lab.restart(open, at_ms(1_000));
    lab.pass(100);
    assert!(lab.peer(carrier).heard.is_empty());
    let ended = lab.ended(call);
    assert_eq!((ended.legs[0].status, ended.record.status), (LegStatus::Failed, CallStatus::Failed));
    lab.finish();
}

#[test]
fn a_process_that_dies_at_once_again_leaves_it_to_the_third() {
    let (mut lab, carrier) = one_trunk(vec![(0, answer())]);
    let call = lab.dial(order(NUMBER));
    lab.pass(1_000);
    let open = lab.crash(false);
    lab.restart(open, at_ms(1_000));
    let states = lab.call_records(call).len();
    let open = lab.crash(true);
    lab.restart(open, at_ms(1_000));
    lab.pass(100);
    assert_eq!(lab.peer(carrier).kinds(), ["INVITE", "ACK", "BYE"]);
    assert_eq!(lab.call_records(call).len(), states);
    lab.finish();
}

#[test]
fn a_leg_is_on_record_as_soon_as_its_invite_is_out() {
    let (mut lab, _) = one_trunk(vec![(0, Progress(180, None))]);
    let call = lab.dial(order(NUMBER));
    let legs: Vec<_> = lab.records.iter().filter(|record| matches!(record, Record::Leg(_))).collect();
    assert!(matches!(legs[..], [Record::Leg(leg)] if !leg.sip_call_id.is_empty() && leg.remote_address.is_some()));
    assert!(lab.call_records(call)[0].sip_call_id.is_some(), "and so is its Call-ID on the call");
    lab.hang_up(call);
    lab.finish();
}
