//! Retransmission and patience: the timers by their letters, seen from outside.

use crate::lab::*;
use tandem_model::Transport;
use tandem_sip::endpoint::OutgoingRequest;
use tandem_sip::message::{Body, Method, StatusCode};

#[test]
fn timer_a_resends_the_invite_and_timer_b_fails_the_call() {
    let mut lab = Lab::new();
    let (_, invite) = lab.call();
    lab.pass(31_999);
    let sent = lab.sent();
    assert_eq!(sent.iter().map(|sent| sent.at_ms).collect::<Vec<_>>(), [500, 1_500, 3_500, 7_500, 15_500, 31_500]);
    assert!(sent.iter().all(|sent| sent.text == invite.text), "every copy is the same");
    assert!(lab.told().is_empty());
    lab.pass(1);
    assert_eq!(lab.told(), ["Failed Timeout", "Ended Failed"]);
    lab.finish();
}

#[test]
fn timer_a_is_not_used_over_tcp() {
    let mut lab = Lab::new();
    lab.transport = Transport::Tcp;
    lab.call();
    lab.pass(32_000);
    assert!(lab.kinds().is_empty());
    assert_eq!(lab.told(), ["Failed Timeout", "Ended Failed"]);
    lab.finish();
}

#[test]
fn timer_c_of_proxies_is_kept_from_firing_by_a_provisional_every_minute() {
    let mut lab = Lab::new();
    lab.receive(&invite("a"));
    let session = lab.invited();
    lab.endpoint.progress(session, StatusCode::RINGING, None, lab.now);
    lab.pass(200_000);
    assert_eq!(lab.times("180"), [0, 60_000, 120_000, 180_000]);
    lab.endpoint.reject(session, StatusCode::BUSY_HERE, Vec::new(), lab.now);
    lab.finish();
}

#[test]
fn timer_d_acknowledges_a_repeated_failure() {
    let mut lab = Lab::new();
    let (_, invite) = lab.call();
    let busy = response(&invite, 486, "Busy Here", "b", "");
    lab.receive(&busy);
    let ack = lab.sent_one();
    assert_eq!(ack.kind(), "ACK");
    assert_eq!(ack.header("Via"), invite.header("Via"), "the ACK of a failure is part of the transaction");
    assert_eq!(ack.header("CSeq"), "1 ACK");
    assert!(ack.header("To").ends_with(";tag=b"));
    lab.pass(31_000);
    lab.receive(&busy);
    assert_eq!(lab.sent_one().text, ack.text);
    lab.pass(1_001);
    lab.receive(&busy);
    assert!(lab.sent().is_empty(), "the transaction is gone");
    assert_eq!(lab.told(), ["Failed 486", "Ended Failed"]);
    lab.finish();
}

fn options(lab: &Lab) -> OutgoingRequest {
    OutgoingRequest {
        flow: lab.flow(PEER),
        method: Method::Options,
        request_uri: uri("sip:peer.example.net"),
        routes: Vec::new(),
        from: lab.outgoing().from,
        to: lab.outgoing().to,
        headers: Vec::new(),
        credentials: None,
        body: None,
        max_forwards: 70,
    }
}

#[test]
fn timer_e_resends_a_request_and_timer_f_gives_up() {
    let mut lab = Lab::new();
    lab.endpoint.request(options(&lab), lab.now);
    lab.pass(32_000);
    assert_eq!(lab.times("OPTIONS"), [0, 500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500]);
    assert_eq!(lab.told(), ["Response Timeout"]);
    lab.finish();
}

#[test]
fn timer_k_absorbs_a_repeated_response() {
    let mut lab = Lab::new();
    lab.endpoint.request(options(&lab), lab.now);
    let options = lab.sent_one();
    let ok = response(&options, 200, "OK", "b", "");
    lab.receive(&ok);
    lab.receive(&ok);
    assert_eq!(lab.told(), ["Response 200"]);
    assert_eq!(lab.endpoint.drops().stray, 0);
    lab.pass(5_000);
    lab.receive(&ok);
    assert_eq!(lab.endpoint.drops().stray, 1);
    lab.finish();
}

#[test]
fn timer_g_resends_a_refusal_and_timer_h_gives_up_on_its_ack() {
    let mut lab = Lab::new();
    lab.receive(&invite("a"));
    let session = lab.invited();
    lab.endpoint.reject(session, StatusCode::BUSY_HERE, Vec::new(), lab.now);
    assert_eq!(lab.told(), ["Ended Rejected"]);
    lab.pass(32_000);
    assert_eq!(lab.times("486"), [0, 500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500]);
    assert_eq!(lab.counts().server_transactions, 0);
    lab.finish();
}

#[test]
fn timer_i_absorbs_repeats_of_the_ack() {
    let mut lab = Lab::new();
    lab.receive(&invite("a"));
    let session = lab.invited();
    lab.endpoint.reject(session, StatusCode::BUSY_HERE, Vec::new(), lab.now);
    let busy = lab.sent_one();
    let ack = request("ACK", "a", 1, busy.tag("To"), "", "");
    lab.receive(&ack);
    lab.receive(&ack);
    lab.pass(4_999);
    assert!(lab.kinds().is_empty(), "the ACK stopped timer G");
    assert_eq!(lab.counts().server_transactions, 1);
    lab.pass(1);
    assert_eq!(lab.counts().server_transactions, 0);
    lab.finish();
}

#[test]
fn timer_j_answers_a_repeated_bye_as_before() {
    let mut lab = Lab::new();
    let (_, ok) = lab.answered_call();
    let bye = in_dialog("BYE", 2, ok.tag("To"), "");
    lab.receive(&bye);
    let first = lab.sent_one();
    assert_eq!(first.kind(), "200");
    lab.pass(31_000);
    lab.receive(&bye);
    assert_eq!(lab.sent_one().text, first.text);
    assert_eq!(lab.told(), ["Bye", "Ended RemoteBye"]);
    lab.pass(1_000);
    lab.receive(&bye);
    assert_eq!(lab.kinds(), ["481"]);
    lab.finish();
}

#[test]
fn timer_l_absorbs_repeats_of_an_accepted_invite() {
    let mut lab = Lab::new();
    lab.answered_call();
    lab.receive(&invite("a"));
    lab.pass(31_000);
    lab.receive(&invite("a"));
    assert!(lab.kinds().is_empty());
    assert!(lab.told().is_empty());
}

#[test]
fn timer_m_acknowledges_every_repeat_of_the_2xx() {
    let mut lab = Lab::new();
    let (_, invite) = lab.call();
    let ok = response(&invite, 200, "OK", "b", SDP);
    lab.receive(&ok);
    let ack = lab.sent_one();
    assert_eq!(ack.kind(), "ACK");
    assert_ne!(ack.header("Via"), invite.header("Via"), "the ACK of a 2xx is a transaction of its own");
    // Our ACK was lost: the peer repeats itself.
    for _ in 0..3 {
        lab.pass(4_000);
        lab.receive(&ok);
        assert_eq!(lab.sent_one().text, ack.text);
    }
    assert_eq!(lab.told(), ["Answered"]);
    lab.pass(32_000);
    lab.receive(&ok);
    assert!(lab.sent().is_empty());
    assert_eq!(lab.endpoint.drops().stray, 1);
}

#[test]
fn a_100_goes_out_after_200_ms_of_silence() {
    let mut lab = Lab::new();
    lab.receive(&invite("a").replace("Max-Forwards", "Timestamp: 54\nMax-Forwards"));
    let session = lab.invited();
    lab.pass(199);
    assert!(lab.sent().is_empty());
    lab.pass(1);
    let trying = lab.sent_one();
    assert_eq!(trying.kind(), "100");
    assert!(!trying.header("To").contains("tag"), "a 100 makes no dialog");
    assert_eq!(trying.header("Timestamp"), "54");
    lab.receive(&invite("a"));
    assert_eq!(lab.sent_one().text, trying.text, "a repeat gets the last response");
    lab.endpoint.reject(session, StatusCode::NOT_FOUND, Vec::new(), lab.now);
    lab.finish();
}

#[test]
fn no_100_goes_out_when_something_better_does() {
    let mut lab = Lab::new();
    lab.receive(&invite("a"));
    let session = lab.invited();
    lab.endpoint.progress(session, StatusCode::RINGING, None, lab.now);
    lab.pass(5_000);
    assert_eq!(lab.kinds(), ["180"]);
    lab.endpoint.reject(session, StatusCode::NOT_FOUND, Vec::new(), lab.now);
    lab.finish();
}

#[test]
fn a_2xx_is_resent_from_t1_to_t2_until_the_ack_comes() {
    let mut lab = Lab::new();
    lab.receive(&invite("a"));
    let session = lab.invited();
    lab.endpoint.accept(session, Some(Body::sdp(SDP.into())), Vec::new(), lab.now);
    let tag = lab.sent_one().tag("To").to_owned();
    lab.pass(8_000);
    assert_eq!(lab.times("200"), [500, 1_500, 3_500, 7_500]);
    lab.receive(&in_dialog("ACK", 1, &tag, ""));
    lab.pass(30_000);
    assert!(lab.kinds().is_empty());
    assert_eq!(lab.told(), ["Acknowledged"]);
}

#[test]
fn a_2xx_that_is_never_acknowledged_ends_with_a_bye() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut lab = Lab::new();
        lab.transport = transport;
        lab.receive(&invite("a"));
        let session = lab.invited();
        lab.endpoint.accept(session, Some(Body::sdp(SDP.into())), Vec::new(), lab.now);
        lab.pass(31_999);
        let sent = lab.sent();
        assert!(sent.iter().all(|sent| sent.kind() == "200"));
        assert_eq!(sent.len(), 11, "a 2xx is resent over any transport");
        lab.pass(1);
        let bye = lab.sent_one();
        assert_eq!(bye.kind(), "BYE");
        assert_eq!(lab.told(), ["Unacknowledged"], "it is not waited for the answer to the BYE");
        lab.receive(&response(&bye, 200, "OK", "", ""));
        assert_eq!(lab.told(), ["Ended NoAck"]);
        lab.finish();
    }
}
