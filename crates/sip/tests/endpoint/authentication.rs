//! Challenges, and when they are not answered.

use crate::lab::*;
use tandem_sip::endpoint::{Credentials, OutgoingInvite, OutgoingRequest};
use tandem_sip::message::{Body, Method};

fn with_credentials(lab: &Lab) -> OutgoingInvite {
    OutgoingInvite { credentials: credentials(), ..lab.outgoing() }
}

fn challenge(to: &Sent, code: u16, realm: &str, nonce: &str, more: &str) -> String {
    let name = if code == 401 { "WWW-Authenticate" } else { "Proxy-Authenticate" };
    let header = format!("{name}: Digest realm=\"{realm}\", nonce=\"{nonce}\", qop=\"auth\", algorithm=MD5{more}\n");
    response_with(to, code, "Challenge", "c", &header, "")
}

#[test]
fn a_401_and_a_407_are_answered_with_a_new_invite() {
    for (code, name) in [(401, "Authorization"), (407, "Proxy-Authorization")] {
        let mut lab = Lab::new();
        let outgoing = with_credentials(&lab);
        let (_, first) = lab.call_with(outgoing);
        assert!(first.headers(name).is_empty());
        lab.receive(&challenge(&first, code, "peer.example.net", "n1", ""));
        let sent = lab.sent();
        assert_eq!(sent.iter().map(Sent::kind).collect::<Vec<_>>(), ["ACK", "INVITE"]);
        let second = &sent[1];
        assert_eq!(second.header("CSeq"), "2 INVITE");
        assert_eq!(second.header("Call-ID"), first.header("Call-ID"));
        assert_eq!(second.tag("From"), first.tag("From"));
        assert!(!second.header("To").contains("tag"));
        assert_ne!(second.header("Via"), first.header("Via"));
        let value = second.header(name);
        for part in ["username=\"trunk\"", "realm=\"peer.example.net\"", "nonce=\"n1\"", "nc=00000001", "qop=auth"] {
            assert!(value.contains(part), "{value}");
        }
        assert!(lab.told().is_empty(), "a first challenge is normal");

        lab.receive(&response(second, 200, "OK", "b", SDP));
        let ack = lab.sent_one();
        assert_eq!(ack.header("CSeq"), "2 ACK");
        assert_eq!(ack.header(name), value, "the ACK repeats the credentials (RFC 3261 §22.1)");
        assert_eq!(lab.told(), ["Answered"]);
    }
}

#[test]
fn a_proxy_and_the_server_behind_it_may_both_challenge() {
    let mut lab = Lab::new();
    let outgoing = with_credentials(&lab);
    let (_, first) = lab.call_with(outgoing);
    lab.receive(&challenge(&first, 407, "r", "n1", ""));
    let second = lab.sent().pop().unwrap();
    lab.receive(&challenge(&second, 401, "r", "n2", ""));
    let third = lab.sent().pop().unwrap();
    assert_eq!(third.header("CSeq"), "3 INVITE");
    assert!(third.header("Authorization").contains("nonce=\"n2\""));
    let proxy = third.header("Proxy-Authorization");
    assert!(proxy.contains("nonce=\"n1\""));
    assert!(proxy.contains("nc=00000002"), "the nonce is used again: {proxy}");
}

#[test]
fn a_stale_nonce_is_tried_once_more() {
    let mut lab = Lab::new();
    let outgoing = with_credentials(&lab);
    let (_, first) = lab.call_with(outgoing);
    lab.receive(&challenge(&first, 401, "r", "n1", ""));
    let second = lab.sent().pop().unwrap();
    lab.receive(&challenge(&second, 401, "r", "n2", ", stale=true"));
    let third = lab.sent().pop().unwrap();
    assert_eq!(third.kind(), "INVITE");
    assert!(third.header("Authorization").contains("nonce=\"n2\""));
    assert!(third.header("Authorization").contains("nc=00000001"));
    lab.receive(&challenge(&third, 401, "r", "n3", ", stale=true"));
    assert_eq!(lab.kinds(), ["ACK"]);
    assert_eq!(lab.told(), ["Failed TooManyChallenges", "Ended Failed"]);
    lab.finish();
}

#[test]
fn credentials_that_were_refused_are_not_sent_again() {
    let mut lab = Lab::new();
    let outgoing = with_credentials(&lab);
    let (_, first) = lab.call_with(outgoing);
    lab.receive(&challenge(&first, 401, "r", "n1", ""));
    let second = lab.sent().pop().unwrap();
    lab.receive(&challenge(&second, 401, "r", "n2", ""));
    assert_eq!(lab.kinds(), ["ACK"]);
    assert_eq!(lab.told(), ["Failed AuthenticationRejected { status: StatusCode(401) }", "Ended Failed"]);
    lab.finish();
}

#[test]
fn twelve_challenges_in_a_row_get_three_invites_at_most() {
    for stale in ["", ", stale=true"] {
        let mut lab = Lab::new();
        let outgoing = with_credentials(&lab);
        let (_, mut invite) = lab.call_with(outgoing);
        let mut invites = 1;
        for round in 0..12 {
            lab.receive(&challenge(&invite, 401, "r", &format!("n{round}"), stale));
            match lab.sent().into_iter().find(|sent| sent.kind() == "INVITE") {
                Some(next) => {
                    invites += 1;
                    invite = next;
                }
                None => break,
            }
        }
        assert!(invites <= 3);
        lab.finish();
    }
}

#[test]
fn only_the_configured_realm_is_answered() {
    let mut lab = Lab::new();
    let mut outgoing = with_credentials(&lab);
    outgoing.credentials = outgoing.credentials.map(|one| Credentials { realm: Some("trunk".into()), ..one });
    let (_, invite) = lab.call_with(outgoing);
    lab.receive(&challenge(&invite, 401, "other", "n1", ""));
    assert_eq!(lab.kinds(), ["ACK"]);
    assert_eq!(lab.told(), ["Failed AuthenticationRejected { status: StatusCode(401) }", "Ended Failed"]);
}

#[test]
fn the_strongest_challenge_of_the_realm_is_answered() {
    let mut lab = Lab::new();
    let outgoing = with_credentials(&lab);
    let (_, invite) = lab.call_with(outgoing);
    let offers = concat!(
        "WWW-Authenticate: Digest realm=\"r\", nonce=\"weak\", algorithm=MD5\r\n",
        "WWW-Authenticate: Digest realm=\"other\", nonce=\"foreign\", algorithm=SHA-512-256\r\n",
        "WWW-Authenticate: Digest realm=\"r\", nonce=\"strong\", algorithm=SHA-512-256\r\n",
        "WWW-Authenticate: Digest realm=\"r\", nonce=\"middle\", algorithm=SHA-256\r\n",
    );
    lab.receive(
        &response(&invite, 401, "Unauthorized", "b", "").replace("Content-Length", &format!("{offers}Content-Length")),
    );
    let answers: Vec<_> = lab.sent().into_iter().filter(|sent| sent.kind() == "INVITE").collect();
    assert_eq!(answers.len(), 1);
    assert!(answers[0].header("Authorization").contains("nonce=\"strong\""), "{}", answers[0].header("Authorization"));
}

#[test]
fn a_403_after_credentials_is_a_refusal_of_the_credentials() {
    let mut lab = Lab::new();
    let outgoing = with_credentials(&lab);
    let (_, invite) = lab.call_with(outgoing);
    lab.receive(&challenge(&invite, 401, "r", "n1", ""));
    let second = lab.sent().pop().unwrap();
    lab.receive(&response(&second, 403, "Forbidden", "b", ""));
    assert_eq!(lab.told(), ["Failed AuthenticationRejected { status: StatusCode(403) }", "Ended Failed"]);
}

#[test]
fn without_a_configured_realm_the_first_one_stays_the_only_one() {
    let mut lab = Lab::new();
    let outgoing = with_credentials(&lab);
    let (session, invite) = lab.call_with(outgoing);
    lab.receive(&challenge(&invite, 407, "r", "n1", ""));
    let second = lab.sent().pop().unwrap();
    lab.receive(&response(&second, 200, "OK", "b", SDP));
    lab.sent();
    lab.told();
    lab.endpoint.bye(session, None, lab.now);
    let bye = lab.sent_one();
    lab.receive(&challenge(&bye, 407, "another", "n2", ""));
    assert!(lab.sent().is_empty());
    assert_eq!(lab.told(), ["Ended LocalByeUnconfirmed"]);
    lab.finish();
}

#[test]
fn a_challenge_of_our_bye_is_answered_on_calls_that_we_placed() {
    let mut lab = Lab::new();
    let outgoing = with_credentials(&lab);
    let (session, invite) = lab.call_with(outgoing);
    lab.receive(&response(&invite, 200, "OK", "b", SDP));
    lab.sent();
    lab.told();
    lab.endpoint.bye(session, None, lab.now);
    let bye = lab.sent_one();
    lab.receive(&challenge(&bye, 401, "r", "n1", ""));
    let again = lab.sent_one();
    assert_eq!(again.kind(), "BYE");
    assert_eq!(again.header("CSeq"), "3 BYE");
    assert!(again.header("Authorization").contains("username=\"trunk\""));
    lab.receive(&response(&again, 200, "OK", "", ""));
    assert_eq!(lab.told(), ["Ended LocalBye"]);
    lab.finish();
}

#[test]
fn a_caller_that_challenges_our_bye_gets_no_credentials() {
    let mut lab = Lab::new();
    let (session, _) = lab.answered_call();
    lab.endpoint.bye(session, None, lab.now);
    let bye = lab.sent_one();
    lab.receive(&challenge(&bye, 407, "r", "n1", ""));
    assert!(lab.sent().is_empty());
    assert_eq!(lab.told(), ["Ended LocalByeUnconfirmed"]);
    lab.finish();
}

#[test]
fn a_challenged_reinvite_is_sent_again() {
    let mut lab = Lab::new();
    let outgoing = with_credentials(&lab);
    let (session, invite) = lab.call_with(outgoing);
    lab.receive(&response(&invite, 200, "OK", "b", SDP));
    lab.sent();
    lab.told();
    lab.endpoint.reinvite(session, Some(Body::sdp(SDP.into())), lab.now).unwrap();
    let reinvite = lab.sent_one();
    lab.receive(&challenge(&reinvite, 407, "r", "n1", ""));
    let sent = lab.sent();
    assert_eq!(sent.iter().map(Sent::kind).collect::<Vec<_>>(), ["ACK", "INVITE"]);
    lab.receive(&response(&sent[1], 200, "OK", "b", SDP));
    let ack = lab.sent_one();
    assert_eq!(ack.header("Proxy-Authorization"), sent[1].header("Proxy-Authorization"));
    assert_eq!(lab.told(), ["ReinviteAnswered"]);
}

#[test]
fn a_challenge_after_a_cancel_ends_the_call() {
    let mut lab = Lab::new();
    let outgoing = with_credentials(&lab);
    let (session, invite) = lab.call_with(outgoing);
    lab.endpoint.cancel(session, None, lab.now);
    lab.receive(&challenge(&invite, 401, "r", "n1", ""));
    assert_eq!(lab.kinds(), ["ACK"]);
    assert_eq!(lab.told(), ["Ended Canceled"]);
    lab.finish();
}

#[test]
fn a_probe_answers_a_challenge_when_it_can() {
    let mut lab = Lab::new();
    let OutgoingInvite { flow, request_uri, from, to, .. } = lab.outgoing();
    let probe = OutgoingRequest {
        flow,
        method: Method::Options,
        request_uri,
        routes: Vec::new(),
        from,
        to,
        headers: Vec::new(),
        credentials: credentials(),
        body: None,
        max_forwards: 70,
    };
    lab.endpoint.request(probe.clone(), lab.now);
    let first = lab.sent_one();
    lab.receive(&challenge(&first, 401, "r", "n1", ""));
    let second = lab.sent_one();
    assert_eq!(second.header("Contact"), "<sip:000102@192.0.2.1:5060>");
    assert_eq!(second.header("Accept"), "application/sdp");
    assert!(second.header("Authorization").contains("uri=\"sip:+12025550100@peer.example.net\""));
    lab.receive(&response(&second, 200, "OK", "b", ""));
    assert_eq!(lab.told(), ["Response 200"]);

    lab.endpoint.request(OutgoingRequest { credentials: None, ..probe }, lab.now);
    let first = lab.sent_one();
    lab.receive(&challenge(&first, 401, "r", "n1", ""));
    assert_eq!(lab.told(), ["Response 401"], "an answer all the same: the peer is there");
    lab.finish();
}
