//! Dialogs: headers, route sets, targets, re-INVITE, and being taken up again.

use crate::lab::*;
use std::net::SocketAddr;
use tandem_model::Transport;
use tandem_sip::endpoint::{EndpointConfig, Event, Flow, Identity, PeerPolicy, PublicAddress, SentBy};
use tandem_sip::message::{Body, HeaderName, Host, NameAddr, StatusCode};

#[test]
fn an_invite_carries_what_every_message_of_ours_must() {
    let mut lab = Lab::new();
    let (session, invite) = lab.call();
    assert_eq!(invite.start_line(), "INVITE sip:+12025550100@peer.example.net SIP/2.0");
    assert!(invite.header("Via").starts_with("SIP/2.0/UDP 192.0.2.1:5060;"));
    assert!(invite.header("Via").contains(";rport"));
    assert!(invite.header("Via").contains("branch=z9hG4bK000102"), "a branch names the node and the shard");
    assert!(invite.tag("From").starts_with("000102"));
    assert!(invite.header("Call-ID").starts_with("000102"));
    assert_eq!(invite.header("Contact"), "<sip:000102@192.0.2.1:5060>");
    assert_eq!(invite.header("User-Agent"), "Tandem");
    assert_eq!(invite.header("Allow"), "INVITE, ACK, CANCEL, BYE, OPTIONS");
    assert!(invite.headers("Supported").iter().all(|value| !value.contains("100rel")));
    assert_eq!(lab.endpoint.call_id(session), Some(invite.header("Call-ID")));

    let (_, second) = lab.call();
    assert_ne!(invite.tag("From"), second.tag("From"), "a new From tag for each call");
    assert_ne!(invite.header("Call-ID"), second.header("Call-ID"));
}

#[test]
fn a_public_address_replaces_the_local_one() {
    let mut config = EndpointConfig::new("Tandem", Identity::default());
    let public = |host| Some(PublicAddress { host: Host::new(host).unwrap(), port: None });
    config.sent_by = SentBy { v4: public("198.51.100.1"), v6: public("[2001:db8::1]") };
    let mut lab = Lab::with(config);
    let (_, invite) = lab.call();
    assert!(invite.header("Via").starts_with("SIP/2.0/UDP 198.51.100.1:5060;"));
    assert_eq!(invite.header("Contact"), "<sip:000000@198.51.100.1:5060>");
}

#[test]
fn over_a_stream_the_contact_says_so() {
    let mut lab = Lab::new();
    lab.transport = Transport::Tcp;
    let (_, invite) = lab.call();
    assert!(invite.header("Via").starts_with("SIP/2.0/TCP "));
    assert_eq!(invite.header("Contact"), "<sip:000102@192.0.2.1:5060;transport=tcp>");
}

const ROUTES: &str = "Record-Route: <sip:192.0.2.2:5062;lr>, <sip:192.0.2.77;lr>\n";

#[test]
fn the_route_set_of_an_outgoing_call_is_the_record_route_reversed() {
    let mut lab = Lab::new();
    let (session, invite) = lab.call();
    let content = format!("{ROUTES}Contact: <sip:peer@10.0.0.7:5080>\nContent-Type: application/sdp\n");
    lab.receive(&response_with(&invite, 200, "OK", "b", &content, SDP));
    lab.endpoint.bye(session, None, lab.now);
    for message in lab.sent() {
        assert!(message.start_line().contains(" sip:peer@10.0.0.7:5080 "), "{}", message.text);
        assert_eq!(message.headers("Route").join(", "), "<sip:192.0.2.77;lr>, <sip:192.0.2.2:5062;lr>");
        // 192.0.2.77 is not known to be the peer's, so the message goes where the peer answered from.
        assert_eq!(message.flow.remote, address(PEER));
    }
}

#[test]
fn the_route_set_of_an_incoming_call_is_the_record_route_and_its_first_hop_is_followed() {
    let mut lab = Lab::new();
    lab.receive(&invite("a").replace("Contact", &format!("{ROUTES}Contact")));
    let session = lab.invited();
    lab.endpoint.accept(session, Some(Body::sdp(SDP.into())), Vec::new(), lab.now);
    let ok = lab.sent_one();
    assert_eq!(ok.headers("Record-Route").join(", "), "<sip:192.0.2.2:5062;lr>, <sip:192.0.2.77;lr>");
    lab.receive(&in_dialog("ACK", 1, ok.tag("To"), ""));
    lab.endpoint.bye(session, None, lab.now);
    let bye = lab.sent_one();
    assert_eq!(bye.start_line(), "BYE sip:peer@192.0.2.2:5060 SIP/2.0");
    assert_eq!(bye.headers("Route").join(", "), "<sip:192.0.2.2:5062;lr>, <sip:192.0.2.77;lr>");
    assert_eq!(bye.flow.remote, address("192.0.2.2:5062"), "the same host, another port");
    assert_eq!(bye.header("From"), ok.header("To"));
    assert_eq!(bye.header("To"), ok.header("From"));
}

#[test]
fn a_strict_router_gets_what_it_wants() {
    let mut lab = Lab::new();
    lab.receive(&invite("a").replace("Contact", "Record-Route: <sip:192.0.2.2:5062>, <sip:192.0.2.77;lr>\nContact"));
    let session = lab.invited();
    lab.endpoint.accept(session, Some(Body::sdp(SDP.into())), Vec::new(), lab.now);
    let ok = lab.sent_one();
    lab.receive(&in_dialog("ACK", 1, ok.tag("To"), ""));
    lab.endpoint.bye(session, None, lab.now);
    let bye = lab.sent_one();
    assert_eq!(bye.start_line(), "BYE sip:192.0.2.2:5062 SIP/2.0");
    assert_eq!(bye.headers("Route").join(", "), "<sip:192.0.2.77;lr>, <sip:peer@192.0.2.2:5060>");
}

#[test]
fn a_pre_loaded_route_goes_out_and_is_repeated_in_ack_and_cancel() {
    let mut lab = Lab::new();
    let mut outgoing = lab.outgoing();
    outgoing.routes = vec![uri("sip:proxy.example.net;lr")];
    let (session, invite) = lab.call_with(outgoing);
    assert_eq!(invite.header("Route"), "<sip:proxy.example.net;lr>");
    lab.receive(&response(&invite, 180, "Ringing", "b", ""));
    lab.endpoint.cancel(session, None, lab.now);
    lab.receive(&response(&invite, 487, "Request Terminated", "b", ""));
    for message in lab.sent() {
        assert_eq!(message.header("Route"), "<sip:proxy.example.net;lr>", "{}", message.text);
    }
}

#[test]
fn the_route_set_stays_and_the_target_follows_a_reinvite() {
    let mut lab = Lab::new();
    let (session, invite) = lab.established_call();
    let moved =
        "Record-Route: <sip:192.0.2.99;lr>\nContact: <sip:moved@192.0.2.2:5090>\nContent-Type: application/sdp\n";
    lab.receive(&from_callee("INVITE", 1, &invite, moved, SDP));
    assert_eq!(lab.told(), ["Reinvite"]);
    lab.endpoint.answer_reinvite(session, Some(Body::sdp(SDP.into())), lab.now);
    assert_eq!(lab.kinds(), ["200"]);
    lab.receive(&from_callee("ACK", 1, &invite, "", ""));
    assert_eq!(lab.told(), ["Acknowledged"]);
    lab.endpoint.bye(session, None, lab.now);
    let bye = lab.sent_one();
    assert_eq!(bye.start_line(), "BYE sip:moved@192.0.2.2:5090 SIP/2.0");
    assert!(bye.headers("Route").is_empty());
    assert_eq!(bye.flow.remote, address("192.0.2.2:5090"));
}

#[test]
fn a_contact_that_points_elsewhere_is_named_but_not_followed() {
    let mut lab = Lab::new();
    for host in ["169.254.169.254", "127.0.0.1:6379", "10.0.0.1", "192.0.2.2.example.org", "[2001:db8::1]"] {
        lab.receive(&invite("a").replace("sip:peer@192.0.2.2:5060", &format!("sip:peer@{host}")));
        let session = lab.invited();
        lab.endpoint.accept(session, None, Vec::new(), lab.now);
        let ok = lab.sent_one();
        lab.receive(&in_dialog("ACK", 1, ok.tag("To"), ""));
        lab.endpoint.bye(session, None, lab.now);
        let bye = lab.sent_one();
        assert_eq!(bye.start_line(), format!("BYE sip:peer@{host} SIP/2.0"));
        assert_eq!(bye.flow.remote, address(PEER));
        lab.receive(&response(&bye, 200, "OK", "", ""));
        lab.pass(40_000);
        lab.events();
        lab.sent();
    }
}

struct Cluster;

impl PeerPolicy for Cluster {
    fn is_same_peer(&self, _: &Flow, other: SocketAddr) -> bool {
        other.ip().to_string().starts_with("192.0.2.")
    }
}

#[test]
fn the_policy_says_which_addresses_are_one_peer() {
    let mut config = EndpointConfig::new("Tandem", Identity { node: 1, shard: 2 });
    config.peers = Box::new(Cluster);
    let mut lab = Lab::with(config);
    let (_, ok) = lab.answered_call();
    lab.receive_from(STRANGER, &in_dialog("BYE", 2, ok.tag("To"), ""));
    assert_eq!(lab.kinds(), ["403"]);
    assert!(lab.told().is_empty());
    assert_eq!(lab.endpoint.drops().foreign, 1);
    lab.receive_from("192.0.2.3:5060", &in_dialog("BYE", 3, ok.tag("To"), ""));
    assert_eq!(lab.kinds(), ["200"]);
    assert_eq!(lab.told(), ["Bye", "Ended RemoteBye"]);
}

#[test]
fn a_closed_stream_is_left_for_the_address_that_the_peer_named() {
    let mut lab = Lab::new();
    lab.transport = Transport::Tcp;
    let ephemeral = "192.0.2.2:49152";
    lab.receive_from(ephemeral, &invite("a"));
    let session = lab.invited();
    lab.endpoint.accept(session, None, Vec::new(), lab.now);
    let ok = lab.sent_one();
    assert_eq!(ok.flow.remote, address(ephemeral));
    lab.receive_from(ephemeral, &in_dialog("ACK", 1, ok.tag("To"), ""));
    let flow = lab.flow(ephemeral);
    lab.endpoint.handle_transport_error(&flow, lab.now);
    lab.endpoint.bye(session, None, lab.now);
    assert_eq!(lab.sent_one().flow.remote, address(PEER));
}

#[test]
fn a_stream_that_closes_while_it_rings_is_left_as_well() {
    let mut lab = Lab::new();
    lab.transport = Transport::Tcp;
    let ephemeral = "192.0.2.2:49152";
    lab.receive_from(ephemeral, &invite("a"));
    let session = lab.invited();
    let flow = lab.flow(ephemeral);
    assert!(lab.endpoint.uses_stream(&flow));
    lab.endpoint.handle_transport_error(&flow, lab.now);
    lab.endpoint.accept(session, None, Vec::new(), lab.now);
    let ok = lab.sent_one();
    lab.receive_from("192.0.2.2:49153", &in_dialog("ACK", 1, ok.tag("To"), ""));
    lab.endpoint.bye(session, None, lab.now);
    let bye = lab.sent_one();
    assert_eq!(bye.flow.remote, address(PEER));
    lab.receive(&response(&bye, 200, "OK", "", ""));
    assert!(!lab.endpoint.uses_stream(&flow) && !lab.endpoint.uses_stream(&bye.flow));
}

#[test]
fn a_bye_under_which_the_stream_breaks_is_sent_once_more() {
    let mut lab = Lab::new();
    lab.transport = Transport::Tcp;
    let (session, _) = lab.established_call();
    lab.endpoint.bye(session, None, lab.now);
    let bye = lab.sent_one();
    lab.endpoint.handle_transport_error(&bye.flow, lab.now);
    let again = lab.sent_one();
    assert_eq!(again.kind(), "BYE");
    assert_ne!((again.header("CSeq"), again.header("Via")), (bye.header("CSeq"), bye.header("Via")));
    assert!(lab.told().is_empty());
    assert!(lab.endpoint.uses_stream(&again.flow));
    lab.endpoint.handle_transport_error(&again.flow, lab.now);
    assert!(lab.sent().is_empty());
    assert_eq!(lab.told(), ["Ended LocalByeUnconfirmed"]);
    lab.finish();
}

#[test]
fn requests_out_of_order_get_500() {
    let mut lab = Lab::new();
    let (_, ok) = lab.answered_call();
    let tag = ok.tag("To");
    lab.receive(&in_dialog("OPTIONS", 5, tag, ""));
    lab.receive(&in_dialog("BYE", 4, tag, ""));
    assert_eq!(lab.kinds(), ["200", "500"]);
    assert!(lab.told().is_empty());
    lab.receive(&in_dialog("BYE", 6, tag, ""));
    assert_eq!(lab.kinds(), ["200"]);
}

#[test]
fn an_offerless_invite_of_the_peer_has_its_answer_in_the_ack() {
    let mut lab = Lab::new();
    let offerless = request("INVITE", "a", 1, "", "Contact: <sip:peer@192.0.2.2>\n", "");
    lab.receive(&offerless);
    let session = match lab.events().as_slice() {
        [Event::Invite { session, request }] => {
            assert_eq!(request.sdp, None);
            *session
        }
        other => panic!("{other:#?}"),
    };
    lab.endpoint.accept(session, Some(Body::sdp(SDP.into())), Vec::new(), lab.now);
    let ok = lab.sent_one();
    lab.receive(&request("ACK", "ack", 1, ok.tag("To"), "Content-Type: application/sdp\n", SDP));
    match lab.events().as_slice() {
        [Event::Acknowledged { body: Some(body), .. }] => assert_eq!(body, SDP.as_bytes()),
        other => panic!("{other:#?}"),
    }
}

#[test]
fn an_offerless_invite_of_ours_is_acknowledged_by_the_user() {
    let mut lab = Lab::new();
    let mut outgoing = lab.outgoing();
    outgoing.body = None;
    let (session, invite) = lab.call_with(outgoing);
    let ok = response(&invite, 200, "OK", "b", SDP);
    lab.receive(&ok);
    lab.receive(&ok);
    assert!(lab.sent().is_empty());
    match lab.events().as_slice() {
        [Event::Answered { answer, .. }] => {
            assert!(answer.needs_ack);
            assert_eq!(answer.body.as_deref(), Some(SDP.as_bytes()));
        }
        other => panic!("{other:#?}"),
    }
    lab.endpoint.ack(session, Some(Body::sdp(SDP.into())));
    let ack = lab.sent_one();
    assert_eq!(ack.header("Content-Type"), "application/sdp");
    lab.receive(&ok);
    assert_eq!(lab.sent_one().text, ack.text);
}

#[test]
fn hanging_up_on_an_offer_acknowledges_it_first() {
    let mut lab = Lab::new();
    let mut outgoing = lab.outgoing();
    outgoing.body = None;
    let (session, invite) = lab.call_with(outgoing);
    lab.receive(&response(&invite, 200, "OK", "b", SDP));
    lab.endpoint.bye(session, None, lab.now);
    assert_eq!(lab.kinds(), ["ACK", "BYE"]);
}

#[test]
fn an_answer_without_a_contact_is_ended_at_once() {
    let mut lab = Lab::new();
    let (_, invite) = lab.call();
    lab.receive(&response_with(&invite, 200, "OK", "b", "Content-Type: application/sdp\n", SDP));
    assert_eq!(lab.kinds(), ["ACK", "BYE"]);
    assert_eq!(lab.told(), ["Failed BadAnswer", "Ended Failed"]);
    lab.finish();
}

#[test]
fn early_media_comes_with_the_provisional_response() {
    let mut lab = Lab::new();
    let (_, invite) = lab.call();
    lab.receive(&response(&invite, 183, "Session Progress", "b", SDP));
    match lab.events().as_slice() {
        [Event::Provisional { body: Some(body), status, .. }] => {
            assert_eq!(body, SDP.as_bytes());
            assert_eq!(*status, StatusCode::SESSION_PROGRESS);
        }
        other => panic!("{other:#?}"),
    }
}

#[test]
fn a_reinvite_of_ours_is_acknowledged_and_refreshes_the_target() {
    let mut lab = Lab::new();
    let (session, invite) = lab.established_call();
    lab.endpoint.reinvite(session, Some(Body::sdp(SDP.into())), lab.now).unwrap();
    assert!(lab.endpoint.reinvite(session, None, lab.now).is_err(), "one at a time");
    let reinvite = lab.sent_one();
    assert_eq!(reinvite.header("CSeq"), "2 INVITE");
    assert_eq!(reinvite.header("Call-ID"), invite.header("Call-ID"));
    assert_eq!(reinvite.tag("To"), "b");
    let ok = response(&reinvite, 200, "OK", "b", SDP).replace("sip:peer@", "sip:moved@");
    lab.receive(&ok);
    let ack = lab.sent_one();
    assert_eq!(ack.header("CSeq"), "2 ACK");
    assert!(ack.start_line().contains("sip:moved@"));
    lab.receive(&ok);
    assert_eq!(lab.sent_one().text, ack.text);
    assert_eq!(lab.told(), ["ReinviteAnswered"]);
    lab.endpoint.bye(session, None, lab.now);
    let bye = lab.sent_one();
    assert_eq!(bye.header("CSeq"), "3 BYE", "one counter for all requests");
    assert!(bye.start_line().contains("sip:moved@"));
}

#[test]
fn reinvites_that_cross_get_491_and_a_pause() {
    let mut lab = Lab::new();
    let (session, invite) = lab.established_call();
    lab.endpoint.reinvite(session, Some(Body::sdp(SDP.into())), lab.now).unwrap();
    let ours = lab.sent_one();
    let content = "Contact: <sip:peer@192.0.2.2:5060>\nContent-Type: application/sdp\n";
    lab.receive(&from_callee("INVITE", 1, &invite, content, SDP));
    assert_eq!(lab.kinds(), ["491"]);
    lab.receive(&response(&ours, 491, "Request Pending", "", ""));
    assert_eq!(lab.kinds(), ["ACK"]);
    match lab.events().as_slice() {
        [Event::ReinviteFailed { glare_retry: Some(pause), .. }] => {
            assert!((2_100..=4_000).contains(&pause.as_millis()), "we own the Call-ID: {pause:?}");
        }
        other => panic!("{other:#?}"),
    }
    assert_eq!(lab.counts().dialogs, 1);
}

#[test]
fn a_reinvite_that_got_491_gets_no_other_answer_when_it_comes_again() {
    let mut lab = Lab::new();
    let (session, invite) = lab.established_call();
    lab.endpoint.reinvite(session, Some(Body::sdp(SDP.into())), lab.now).unwrap();
    let ours = lab.sent_one();
    let content = "Contact: <sip:peer@192.0.2.2:5060>\nContent-Type: application/sdp\n";
    let theirs = from_callee("INVITE", 1, &invite, content, SDP);
    lab.receive(&theirs);
    assert_eq!(lab.kinds(), ["491"]);
    lab.receive(&response(&ours, 491, "Request Pending", "", ""));
    assert_eq!(lab.kinds(), ["ACK"]);
    assert_eq!(lab.told(), ["ReinviteFailed"]);
    lab.receive(&theirs);
    assert_eq!(lab.kinds(), ["491"], "by now it could be answered, but its sender has heard that it is not");
    assert!(lab.told().is_empty());
}

#[test]
fn a_second_reinvite_before_the_first_is_answered_gets_500_with_retry_after() {
    let mut lab = Lab::new();
    let (session, invite) = lab.established_call();
    let content = "Contact: <sip:peer@192.0.2.2:5060>\nContent-Type: application/sdp\n";
    lab.receive(&from_callee("INVITE", 1, &invite, content, SDP));
    lab.receive(&from_callee("INVITE", 2, &invite, content, SDP));
    let refusal = lab.sent_one();
    assert_eq!(refusal.kind(), "500");
    assert!(refusal.header("Retry-After").parse::<u32>().unwrap() <= 10);
    lab.endpoint.reject_reinvite(session, StatusCode::NOT_ACCEPTABLE_HERE, lab.now);
    assert_eq!(lab.kinds(), ["488"]);
    assert_eq!(lab.told(), ["Reinvite"]);
    assert_eq!(lab.counts().dialogs, 1);
}

#[test]
fn a_reinvite_may_be_canceled_and_the_call_goes_on() {
    let mut lab = Lab::new();
    let (_, invite) = lab.established_call();
    let content = "Contact: <sip:peer@192.0.2.2:5060>\nContent-Type: application/sdp\n";
    let reinvite = from_callee("INVITE", 1, &invite, content, SDP);
    lab.receive(&reinvite);
    let cancel = from_callee("CANCEL", 1, &invite, "", "").replace("callee-CANCEL-1", "callee-INVITE-1");
    lab.receive(&cancel);
    assert_eq!(lab.kinds(), ["200", "487"]);
    assert_eq!(lab.told(), ["Reinvite", "ReinviteCanceled"]);
    assert_eq!(lab.counts().dialogs, 1);
}

#[test]
fn a_bye_during_the_peers_reinvite_answers_both() {
    let mut lab = Lab::new();
    let (_, invite) = lab.established_call();
    let content = "Contact: <sip:peer@192.0.2.2:5060>\nContent-Type: application/sdp\n";
    lab.receive(&from_callee("INVITE", 1, &invite, content, SDP));
    lab.receive(&from_callee("BYE", 2, &invite, "", ""));
    assert_eq!(lab.kinds(), ["200", "487"]);
    assert_eq!(lab.told(), ["Reinvite", "Bye", "Ended RemoteBye"]);
    lab.finish();
}

#[test]
fn a_reinvite_answered_with_481_or_by_nobody_ends_the_dialog() {
    for silent in [true, false] {
        let mut lab = Lab::new();
        let (session, _) = lab.established_call();
        lab.endpoint.reinvite(session, Some(Body::sdp(SDP.into())), lab.now).unwrap();
        let reinvite = lab.sent_one();
        if silent {
            lab.pass(32_000);
        } else {
            lab.receive(&response(&reinvite, 481, "Call/Transaction Does Not Exist", "", ""));
        }
        let bye = lab.sent().pop().unwrap();
        assert_eq!(bye.kind(), "BYE");
        lab.receive(&response(&bye, 481, "Call/Transaction Does Not Exist", "", ""));
        assert_eq!(lab.told(), ["ReinviteFailed", "Ended DialogLost"]);
        lab.finish();
    }
}

#[test]
fn a_2xx_to_a_reinvite_that_comes_after_the_call_is_over_is_acknowledged() {
    let mut lab = Lab::new();
    let (session, invite) = lab.established_call();
    lab.endpoint.reinvite(session, Some(Body::sdp(SDP.into())), lab.now).unwrap();
    let reinvite = lab.sent_one();
    lab.receive(&from_callee("BYE", 1, &invite, "", ""));
    assert_eq!(lab.kinds(), ["200"]);
    lab.receive(&response(&reinvite, 200, "OK", "b", SDP));
    assert_eq!(lab.kinds(), ["ACK"]);
    assert_eq!(lab.told(), ["Bye", "Ended RemoteBye"]);
    lab.finish();
}

#[test]
fn an_established_call_can_be_ended_by_another_process() {
    let mut lab = Lab::new();
    let (session, invite) = lab.established_call();
    // Through the journal, as text.
    let record = lab.endpoint.dialog(session).unwrap().to_string().parse().unwrap();

    let mut next = Lab::new();
    let resumed = next.endpoint.resume_dialog(record);
    next.endpoint.bye(resumed, None, next.now);
    let bye = next.sent_one();
    assert_eq!(bye.kind(), "BYE");
    assert_eq!(bye.header("Call-ID"), invite.header("Call-ID"));
    assert_eq!(bye.header("CSeq"), "2 BYE");
    assert_eq!(bye.header("From"), invite.header("From"));
    next.receive(&from_callee("BYE", 1, &invite, "", ""));
    assert_eq!(next.kinds(), ["200"], "the tag finds the dialog here as it did there");
    next.finish();
}

#[test]
fn a_ringing_call_can_be_canceled_by_another_process() {
    for answered in [false, true] {
        let mut lab = Lab::new();
        let (session, invite) = lab.call();
        let (flow, octets) = lab.endpoint.invite_sent(session).unwrap();

        let mut next = Lab::new();
        let resumed = next.endpoint.resume_invite(flow, &octets).unwrap();
        next.endpoint.cancel(resumed, None, next.now);
        let cancel = next.sent_one();
        assert_eq!(cancel.kind(), "CANCEL");
        assert_eq!(cancel.header("Via"), invite.header("Via"));
        if answered {
            next.receive(&response(&invite, 200, "OK", "b", SDP));
            assert_eq!(next.kinds(), ["ACK", "BYE"]);
        } else {
            next.receive(&response(&invite, 487, "Request Terminated", "b", ""));
            assert_eq!(next.kinds(), ["ACK"]);
        }
        next.finish();
    }
}

#[test]
fn our_own_invite_that_comes_back_is_known() {
    let mut lab = Lab::new();
    let (session, ours) = lab.call();
    let back = ours.text.replace("Via:", "Via: SIP/2.0/UDP 192.0.2.2:5060;rport;branch=z9hG4bK-proxy\r\nVia:");
    lab.receive(&back);
    match lab.events().as_slice() {
        [Event::Invite { request, .. }] => assert_eq!(request.own_session, Some(session)),
        other => panic!("{other:#?}"),
    }
}

#[test]
fn the_user_can_ask_for_any_header_of_an_invite() {
    let mut lab = Lab::new();
    let headers = "P-Asserted-Identity: <sip:+12025550100@peer.example.net>\nX-Thing: one\nMax-Forwards";
    lab.receive(&invite("a").replace("Max-Forwards", headers));
    let events = lab.events();
    let name = HeaderName::PAssertedIdentity;
    assert_eq!(header_of(&events[0], &name), ["<sip:+12025550100@peer.example.net>"]);
    match &events[0] {
        Event::Invite { request, .. } => {
            assert_eq!(request.flow, lab.flow(PEER));
            assert_eq!(request.from.tag(), Some("their"));
            assert_eq!(request.contact, uri("sip:peer@192.0.2.2:5060"));
            assert_eq!(request.max_forwards, 70);
            assert_eq!(request.call_id, "call-1");
            assert_eq!(request.to, NameAddr::new(uri("sip:+12025550199@us.example.com")));
            assert_eq!(request.sdp.as_deref(), Some(SDP.as_bytes()));
        }
        other => panic!("{other:#?}"),
    }
}

#[test]
fn a_request_in_the_early_dialog_does_not_confuse_the_ack() {
    let mut lab = Lab::new();
    lab.receive(&invite("a"));
    let session = lab.invited();
    lab.endpoint.progress(session, StatusCode::RINGING, None, lab.now);
    let tag = lab.sent_one().tag("To").to_owned();
    lab.receive(&in_dialog("OPTIONS", 2, &tag, ""));
    assert_eq!(lab.kinds(), ["200"]);
    lab.endpoint.accept(session, Some(Body::sdp(SDP.into())), Vec::new(), lab.now);
    lab.receive(&in_dialog("ACK", 1, &tag, ""));
    assert_eq!(lab.told(), ["Acknowledged"]);
}

#[test]
fn an_endpoint_may_be_moved_to_its_thread() {
    fn is_send<T: Send>() {}
    is_send::<tandem_sip::endpoint::Endpoint>();
}

#[test]
fn the_session_description_is_found_in_a_multipart_body() {
    let mut lab = Lab::new();
    let body = format!(
        "--b\r\nContent-Type: application/isup\r\nContent-Disposition: signal;handling=optional\r\n\r\nxx\r\n\
         --b\r\nContent-Type: application/sdp\r\n\r\n{SDP}\r\n--b--\r\n"
    );
    let headers = "Contact: <sip:peer@192.0.2.2>\nContent-Type: multipart/mixed;boundary=b\n";
    lab.receive(&request("INVITE", "a", 1, "", headers, &body));
    match lab.events().as_slice() {
        [Event::Invite { request, .. }] => assert_eq!(request.sdp.as_deref(), Some(SDP.as_bytes())),
        other => panic!("{other:#?}"),
    }
}

#[test]
fn over_tcp_nothing_is_resent_but_the_2xx() {
    let mut lab = Lab::new();
    lab.transport = Transport::Tcp;
    let (session, invite) = lab.call();
    lab.receive(&response(&invite, 200, "OK", "b", SDP));
    lab.endpoint.bye(session, None, lab.now);
    let bye = lab.sent().pop().unwrap();
    lab.pass(20_000);
    assert!(lab.sent().is_empty());
    lab.receive(&response(&bye, 200, "OK", "", ""));
    assert_eq!(lab.told(), ["Answered", "Ended LocalBye"]);

    lab.receive(&crate::lab::invite("a"));
    let session = lab.invited();
    lab.endpoint.reject(session, StatusCode::BUSY_HERE, Vec::new(), lab.now);
    lab.pass(20_000);
    assert_eq!(lab.kinds(), ["486"]);
    lab.finish();
}

#[test]
fn a_reinvite_that_is_only_said_to_be_worked_on_is_not_waited_for_for_ever() {
    let mut lab = Lab::new();
    let (session, _) = lab.established_call();
    lab.endpoint.reinvite(session, Some(Body::sdp(SDP.into())), lab.now).unwrap();
    let reinvite = lab.sent_one();
    lab.receive(&response(&reinvite, 100, "Trying", "", ""));
    lab.pass(179_999);
    assert!(lab.told().is_empty());
    lab.pass(1);
    assert_eq!(lab.kinds(), ["BYE"]);
    assert_eq!(lab.told(), ["ReinviteFailed"]);
    lab.finish();

    // Nor after the call is over.
    let mut lab = Lab::new();
    let (session, invite) = lab.established_call();
    lab.endpoint.reinvite(session, Some(Body::sdp(SDP.into())), lab.now).unwrap();
    let reinvite = lab.sent_one();
    lab.receive(&response(&reinvite, 100, "Trying", "", ""));
    lab.receive(&from_callee("BYE", 1, &invite, "", ""));
    lab.pass(32_000);
    assert_eq!(lab.counts().client_transactions, 0);
    lab.finish();
}
