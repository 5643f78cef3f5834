//! Messages that cross each other (RFC 3261 §9, §15; RFC 5407).

use crate::lab::*;
use tandem_sip::endpoint::{Event, SessionId};
use tandem_sip::message::{Body, StatusCode};
use tandem_sip::session::{ReasonHeader, ReasonProtocol};

fn cancel(lab: &mut Lab, session: SessionId) {
    lab.endpoint.cancel(session, Some(&ReasonHeader::q850(16)), lab.now);
}

#[test]
fn a_cancel_goes_out_at_once_when_a_provisional_response_was_seen() {
    let mut lab = Lab::new();
    let (session, invite) = lab.call();
    lab.receive(&response(&invite, 100, "Trying", "", ""));
    lab.receive(&response(&invite, 180, "Ringing", "b", ""));
    assert_eq!(lab.told(), ["Provisional 100", "Provisional 180"]);
    cancel(&mut lab, session);
    let cancel = lab.sent_one();
    assert_eq!(cancel.kind(), "CANCEL");
    assert_eq!(cancel.start_line().replace("CANCEL", "INVITE"), invite.start_line());
    assert_eq!(cancel.header("Via"), invite.header("Via"));
    assert_eq!(cancel.header("To"), invite.header("To"));
    assert_eq!(cancel.header("CSeq"), "1 CANCEL");
    assert_eq!(cancel.header("Reason"), "Q.850;cause=16");
    lab.receive(&response(&cancel, 200, "OK", "b", ""));
    assert!(lab.told().is_empty(), "the CANCEL was heard; the INVITE is not over");
    lab.receive(&response(&invite, 487, "Request Terminated", "b", ""));
    assert_eq!(lab.kinds(), ["ACK"]);
    assert_eq!(lab.told(), ["Ended Canceled"]);
    lab.finish();
}

#[test]
fn a_cancel_waits_for_a_provisional_response_and_the_invite_is_not_resent() {
    let mut lab = Lab::new();
    let (session, invite) = lab.call();
    cancel(&mut lab, session);
    lab.pass(3_000);
    assert!(lab.sent().is_empty());
    lab.receive(&response(&invite, 180, "Ringing", "b", ""));
    assert_eq!(lab.kinds(), ["CANCEL"]);
    assert!(lab.told().is_empty());
    lab.receive(&response(&invite, 487, "Request Terminated", "b", ""));
    assert_eq!(lab.told(), ["Ended Canceled"]);
    lab.finish();
}

#[test]
fn a_canceled_call_that_nobody_answers_ends_by_itself() {
    let mut lab = Lab::new();
    let (session, _) = lab.call();
    cancel(&mut lab, session);
    lab.pass(32_000);
    assert_eq!(lab.told(), ["Ended Canceled"]);

    let (session, invite) = lab.call();
    lab.receive(&response(&invite, 180, "Ringing", "b", ""));
    lab.pass(1_000);
    cancel(&mut lab, session);
    lab.pass(31_999);
    assert_eq!(lab.told(), ["Provisional 180"]);
    lab.pass(1);
    assert_eq!(lab.told(), ["Ended Canceled"]);
    lab.finish();
}

#[test]
fn a_200_that_crosses_the_cancel_is_acknowledged_and_ended() {
    for provisional in [true, false] {
        let mut lab = Lab::new();
        let (session, invite) = lab.call();
        if provisional {
            lab.receive(&response(&invite, 180, "Ringing", "b", ""));
        }
        cancel(&mut lab, session);
        lab.told();
        lab.sent();
        let ok = response(&invite, 200, "OK", "b", SDP);
        lab.receive(&ok);
        let sent = lab.sent();
        assert_eq!(sent.iter().map(Sent::kind).collect::<Vec<_>>(), ["ACK", "BYE"]);
        assert_eq!(sent[1].header("Reason"), "Q.850;cause=16");
        assert_eq!(sent[1].header("CSeq"), "2 BYE");
        assert_eq!(lab.told(), ["AnsweredLate"], "the user gave up: no Answered");
        lab.receive(&ok);
        assert_eq!(lab.kinds(), ["ACK"]);
        lab.receive(&response(&sent[1], 200, "OK", "b", ""));
        assert_eq!(lab.told(), ["Ended AnsweredThenCanceled"]);
        lab.receive(&ok);
        assert_eq!(lab.kinds(), ["ACK"], "also when the session is over");
        lab.finish();
    }
}

#[test]
fn a_late_failure_after_a_2xx_changes_nothing() {
    let mut lab = Lab::new();
    let (_, invite) = lab.established_call();
    lab.receive(&response(&invite, 486, "Busy Here", "c", ""));
    assert!(lab.sent().is_empty());
    assert!(lab.told().is_empty());
    assert_eq!(lab.counts().dialogs, 1);
}

#[test]
fn of_forked_answers_the_first_wins_and_the_others_are_ended() {
    let mut lab = Lab::new();
    let (_, invite) = lab.call();
    lab.receive(&response(&invite, 180, "Ringing", "b", ""));
    lab.receive(&response(&invite, 180, "Ringing", "c", ""));
    lab.receive(&response(&invite, 200, "OK", "c", SDP));
    assert_eq!(lab.kinds(), ["ACK"]);
    let other = response(&invite, 200, "OK", "b", SDP).replace("sip:peer@", "sip:other@");
    lab.receive(&other);
    let sent = lab.sent();
    assert_eq!(sent.iter().map(Sent::kind).collect::<Vec<_>>(), ["ACK", "BYE"]);
    for message in &sent {
        assert!(message.start_line().contains("sip:other@"));
        assert_eq!(message.tag("To"), "b");
    }
    lab.receive(&other);
    assert_eq!(lab.kinds(), ["ACK"]);
    lab.receive(&response(&sent[1], 200, "OK", "", ""));
    assert_eq!(lab.told(), ["Provisional 180", "Provisional 180", "Answered"]);
    assert_eq!(lab.counts().dialogs, 1);
}

#[test]
fn a_flood_of_forked_answers_is_not_followed_for_ever() {
    let mut lab = Lab::new();
    let (_, invite) = lab.established_call();
    for fork in 0..100 {
        lab.receive(&response(&invite, 200, "OK", &format!("fork{fork}"), SDP));
    }
    assert!(lab.sent().len() <= 16);
    assert!(lab.counts().client_transactions <= 10);
}

#[test]
fn a_fork_that_answers_after_the_call_is_over_is_ended() {
    let mut lab = Lab::new();
    let (session, invite) = lab.established_call();
    lab.endpoint.bye(session, None, lab.now);
    let bye = lab.sent_one();
    lab.receive(&response(&bye, 200, "OK", "", ""));
    assert_eq!(lab.told(), ["Ended LocalBye"]);
    lab.receive(&response(&invite, 200, "OK", "late", SDP));
    assert_eq!(lab.kinds(), ["ACK", "BYE"]);
    lab.finish();
}

#[test]
fn a_peer_that_cancels_gets_200_and_487() {
    let mut lab = Lab::new();
    lab.receive(&invite("a"));
    let session = lab.invited();
    lab.endpoint.progress(session, StatusCode::RINGING, None, lab.now);
    let tag = lab.sent_one().tag("To").to_owned();
    let cancel = request("CANCEL", "a", 1, "", "Reason: Q.850;cause=16;text=\"Terminated\"\n", "");
    lab.receive(&cancel);
    let sent = lab.sent();
    assert_eq!(sent.iter().map(Sent::kind).collect::<Vec<_>>(), ["200", "487"]);
    assert_eq!(sent[0].header("CSeq"), "1 CANCEL");
    assert_eq!(sent[0].tag("To"), tag, "all answers to the call have one tag");
    match lab.events().as_slice() {
        [Event::Canceled { reason: Some(reason), .. }, Event::Ended { .. }] => {
            assert_eq!(reason.protocol, ReasonProtocol::Q850);
            assert_eq!(reason.cause, Some(16));
        }
        other => panic!("{other:#?}"),
    }
    lab.receive(&cancel);
    assert_eq!(lab.kinds(), ["200"], "a repeat gets its answer again");
    lab.receive(&request("ACK", "a", 1, &tag, "", ""));
    lab.endpoint.accept(session, None, Vec::new(), lab.now);
    assert!(lab.sent().is_empty(), "too late to answer");
    lab.finish();
}

#[test]
fn a_cancel_that_crosses_our_200_changes_nothing() {
    let mut lab = Lab::new();
    lab.receive(&invite("a"));
    let session = lab.invited();
    lab.endpoint.accept(session, Some(Body::sdp(SDP.into())), Vec::new(), lab.now);
    let ok = lab.sent_one();
    lab.receive(&request("CANCEL", "a", 1, "", "", ""));
    assert_eq!(lab.kinds(), ["200"]);
    assert!(lab.told().is_empty());
    // The caller acknowledges and hangs up.
    lab.receive(&in_dialog("ACK", 1, ok.tag("To"), ""));
    lab.receive(&in_dialog("BYE", 2, ok.tag("To"), ""));
    assert_eq!(lab.told(), ["Acknowledged", "Bye", "Ended RemoteBye"]);
    lab.finish();
}

#[test]
fn a_cancel_from_another_address_is_not_one_of_the_call() {
    let mut lab = Lab::new();
    lab.receive(&invite("a"));
    lab.invited();
    lab.receive_from(STRANGER, &request("CANCEL", "a", 1, "", "", ""));
    assert_eq!(lab.kinds(), ["481"]);
    assert!(lab.told().is_empty());
}

#[test]
fn a_bye_waits_for_the_ack_of_our_200() {
    let mut lab = Lab::new();
    lab.receive(&invite("a"));
    let session = lab.invited();
    lab.endpoint.accept(session, Some(Body::sdp(SDP.into())), Vec::new(), lab.now);
    let tag = lab.sent_one().tag("To").to_owned();
    lab.endpoint.bye(session, Some(&ReasonHeader::q850(16)), lab.now);
    assert!(lab.sent().is_empty());
    lab.pass(500);
    assert_eq!(lab.kinds(), ["200"]);
    lab.receive(&in_dialog("ACK", 1, &tag, ""));
    let bye = lab.sent_one();
    assert_eq!(bye.kind(), "BYE");
    assert_eq!(bye.header("Reason"), "Q.850;cause=16");
    lab.receive(&response(&bye, 200, "OK", "", ""));
    assert_eq!(lab.told(), ["Ended LocalBye"]);
    lab.finish();
}

#[test]
fn a_bye_that_waits_for_an_ack_that_never_comes_goes_out_in_the_end() {
    let mut lab = Lab::new();
    lab.receive(&invite("a"));
    let session = lab.invited();
    lab.endpoint.accept(session, Some(Body::sdp(SDP.into())), Vec::new(), lab.now);
    lab.endpoint.bye(session, None, lab.now);
    lab.pass(32_000);
    let bye = lab.sent().pop().unwrap();
    assert_eq!(bye.kind(), "BYE");
    lab.receive(&response(&bye, 200, "OK", "", ""));
    assert_eq!(lab.told(), ["Ended LocalBye"]);
    lab.finish();
}

#[test]
fn a_bye_that_crosses_our_200_ends_the_call() {
    let mut lab = Lab::new();
    lab.receive(&invite("a"));
    let session = lab.invited();
    lab.endpoint.accept(session, Some(Body::sdp(SDP.into())), Vec::new(), lab.now);
    let tag = lab.sent_one().tag("To").to_owned();
    // The ACK is lost, the BYE is not.
    lab.receive(&in_dialog("BYE", 2, &tag, ""));
    assert_eq!(lab.kinds(), ["200"]);
    assert_eq!(lab.told(), ["Bye", "Ended RemoteBye"]);
    lab.pass(32_000);
    assert!(lab.sent().is_empty(), "our 200 is not resent any more");
    lab.receive(&in_dialog("ACK", 1, &tag, ""));
    lab.finish();
}

#[test]
fn a_bye_in_the_early_dialog_cancels_the_call() {
    let mut lab = Lab::new();
    lab.receive(&invite("a"));
    let session = lab.invited();
    lab.endpoint.progress(session, StatusCode::RINGING, None, lab.now);
    let tag = lab.sent_one().tag("To").to_owned();
    lab.receive(&in_dialog("BYE", 2, &tag, ""));
    assert_eq!(lab.kinds(), ["200", "487"]);
    assert_eq!(lab.told(), ["Canceled", "Ended Canceled"]);
    lab.finish();
}

#[test]
fn two_byes_that_cross_are_both_answered() {
    let mut lab = Lab::new();
    let (session, invite) = lab.established_call();
    lab.endpoint.bye(session, None, lab.now);
    let ours = lab.sent_one();
    lab.receive(&from_callee("BYE", 1, &invite, "", ""));
    assert_eq!(lab.kinds(), ["200"]);
    assert_eq!(lab.told(), ["Ended LocalBye"]);
    lab.receive(&response(&ours, 481, "Call/Transaction Does Not Exist", "", ""));
    assert!(lab.told().is_empty());
    lab.finish();
}

#[test]
fn a_bye_that_nobody_answers_ends_the_session_all_the_same() {
    let mut lab = Lab::new();
    let (session, _) = lab.established_call();
    lab.endpoint.bye(session, None, lab.now);
    lab.pass(32_000);
    assert_eq!(lab.told(), ["Ended LocalByeUnconfirmed"]);
    lab.finish();
}

#[test]
fn a_broken_flow_fails_what_waits_on_it() {
    let mut lab = Lab::new();
    lab.call();
    let flow = lab.flow(PEER);
    lab.endpoint.handle_transport_error(&flow, lab.now);
    assert_eq!(lab.told(), ["Failed Transport", "Ended Failed"]);

    let (session, _) = lab.established_call();
    lab.endpoint.handle_transport_error(&flow, lab.now);
    assert!(lab.told().is_empty(), "a call with nothing under way goes on");
    lab.endpoint.bye(session, None, lab.now);
    lab.endpoint.handle_transport_error(&flow, lab.now);
    assert_eq!(lab.told(), ["Ended LocalByeUnconfirmed"]);
    lab.finish();
}

#[test]
fn stray_responses_do_nothing() {
    let mut lab = Lab::new();
    let (_, invite) = lab.call();
    let ok = response(&invite, 200, "OK", "b", SDP);
    let other_branch = ok.replace("z9hG4bK000102", "z9hG4bKffffff0");
    lab.receive(&other_branch);
    lab.receive(
        &ok.replace("1 INVITE", "1 OPTIONS").replace(invite.header("Via"), "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK-no"),
    );
    assert!(lab.sent().is_empty());
    assert_eq!(lab.endpoint.drops().stray, 2);
    lab.receive(&ok.replace("From:", "Via: SIP/2.0/UDP 192.0.2.99;branch=z9hG4bK-more\nFrom:"));
    assert!(lab.sent().is_empty());
    assert_eq!(lab.endpoint.drops().stray, 3, "a response with a second Via is for another");
    lab.receive_from(STRANGER, &ok);
    assert!(lab.sent().is_empty());
    assert_eq!(lab.endpoint.drops().foreign, 1);
    assert!(lab.told().is_empty());
}
