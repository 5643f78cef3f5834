//! What the protocol refuses before the user hears of it.

use crate::lab::*;
use tandem_sip::endpoint::{Counts, EndpointConfig, Event, Identity, Limits};
use tandem_sip::message::{Method, StatusCode};

/// The answer to one request, which must be stateless and unheard.
fn answer(text: &str) -> Sent {
    let mut lab = Lab::new();
    lab.receive(text);
    assert!(lab.told().is_empty());
    assert_eq!(lab.counts(), Counts::default(), "nothing is kept");
    let first = lab.sent_one();
    lab.receive(text);
    assert_eq!(lab.sent_one().text, first.text, "the same request gets the same answer");
    first
}

#[test]
fn methods_that_are_known_get_405_with_allow_and_others_501() {
    for method in ["REGISTER", "MESSAGE", "SUBSCRIBE", "NOTIFY", "REFER", "INFO", "PRACK", "UPDATE", "PUBLISH"] {
        let refusal = answer(&request(
            method,
            "a",
            1,
            "",
            "Event: presence\nContact: <sip:peer@192.0.2.2>\nRefer-To: <sip:x@y>\n",
            "",
        ));
        assert_eq!(refusal.start_line(), "SIP/2.0 405 Method Not Allowed", "{method}");
        assert_eq!(refusal.header("Allow"), "INVITE, ACK, CANCEL, BYE, OPTIONS");
        assert_eq!(refusal.header("Server"), "Tandem");
        assert!(refusal.header("To").contains(";tag="));
    }
    // What a method must have is asked of those who take it.
    for method in ["SUBSCRIBE", "NOTIFY", "REFER"] {
        let refusal = answer(&request(method, "a", 1, "", "Contact: <sip:peer@192.0.2.2>\n", ""));
        assert_eq!(refusal.start_line(), "SIP/2.0 405 Method Not Allowed", "{method}");
        assert_eq!(refusal.header("Allow"), "INVITE, ACK, CANCEL, BYE, OPTIONS");
    }
    let mut config = EndpointConfig::new("Tandem", Identity::default());
    config.user_methods = vec![Method::Subscribe];
    let mut lab = Lab::with(config);
    lab.receive(&request("SUBSCRIBE", "a", 1, "", "Contact: <sip:peer@192.0.2.2>\n", ""));
    assert_eq!(lab.kinds(), ["489"], "who takes SUBSCRIBE wants an Event");
    for method in ["invite", "NEWMETHOD"] {
        assert_eq!(answer(&request(method, "a", 1, "", "", "")).kind(), "501", "{method}");
    }
}

#[test]
fn options_are_answered_with_what_we_can_do() {
    let ok = answer(&request("OPTIONS", "a", 1, "", "", ""));
    assert_eq!(ok.kind(), "200");
    assert_eq!(ok.header("Allow"), "INVITE, ACK, CANCEL, BYE, OPTIONS");
    assert_eq!(ok.header("Accept"), "application/sdp");
    let last_hop = request("OPTIONS", "a", 1, "", "", "").replace("Max-Forwards: 70", "Max-Forwards: 0");
    assert_eq!(answer(&last_hop).kind(), "200", "it is for us");
}

#[test]
fn a_tag_of_no_dialog_gets_481() {
    for method in ["BYE", "INVITE", "INFO", "OPTIONS"] {
        let contact = "Contact: <sip:peer@192.0.2.2>\n";
        assert_eq!(answer(&in_dialog(method, 2, "none", contact)).kind(), "481", "{method}");
        assert_eq!(answer(&in_dialog(method, 2, "0001020000000000000000", contact)).kind(), "481", "{method}");
    }
    assert_eq!(answer(&request("BYE", "a", 2, "", "", "")).kind(), "481");
}

#[test]
fn a_tag_of_a_dialog_with_another_call_id_or_peer_tag_gets_481() {
    let mut lab = Lab::new();
    let (_, ok) = lab.answered_call();
    let bye = in_dialog("BYE", 2, ok.tag("To"), "");
    for wrong in [bye.replace("call-1", "call-2"), bye.replace("tag=their", "tag=other")] {
        lab.receive(&wrong);
        assert_eq!(lab.kinds(), ["481"]);
    }
    assert_eq!(lab.counts().dialogs, 1);
}

#[test]
fn a_cancel_of_nothing_gets_481() {
    assert_eq!(answer(&request("CANCEL", "a", 1, "", "", "")).kind(), "481");
}

#[test]
fn an_ack_of_nothing_gets_no_answer() {
    let mut lab = Lab::new();
    lab.receive(&request("ACK", "a", 1, "", "", ""));
    lab.receive(&request("ACK", "a", 1, "0001020000000000000000", "", ""));
    assert!(lab.sent().is_empty());
    assert_eq!(lab.endpoint.drops().stray, 2);
    lab.finish();
}

#[test]
fn an_invite_that_has_no_hop_left_gets_483() {
    assert_eq!(answer(&invite("a").replace("Max-Forwards: 70", "Max-Forwards: 0")).kind(), "483");
}

#[test]
fn a_required_extension_gets_420() {
    let refusal = answer(&invite("a").replace("Max-Forwards", "Require: 100rel, precondition\nMax-Forwards"));
    assert_eq!(refusal.kind(), "420");
    assert_eq!(refusal.header("Unsupported"), "100rel, precondition");
}

#[test]
fn an_unknown_scheme_gets_416_and_tel_is_known() {
    assert_eq!(answer(&invite("a").replace("INVITE sip:+12025550199@192.0.2.1", "INVITE soap.beep://x")).kind(), "416");
    let mut lab = Lab::new();
    lab.receive(&invite("a").replace("INVITE sip:+12025550199@192.0.2.1", "INVITE tel:+12025550199"));
    assert_eq!(lab.told(), ["Invite"]);
}

#[test]
fn an_invite_needs_one_contact() {
    assert_eq!(answer(&invite("a").replace("Contact: <sip:peer@192.0.2.2:5060>\n", "")).kind(), "400");
}

#[test]
fn a_body_that_is_no_session_description_gets_415() {
    let refusal = answer(&invite("a").replace("application/sdp", "application/unknown"));
    assert_eq!(refusal.kind(), "415");
    assert_eq!(refusal.header("Accept"), "application/sdp");
    let encoded = invite("a").replace("Content-Type", "Content-Encoding: gzip\nContent-Type");
    assert_eq!(answer(&encoded).kind(), "415");
}

#[test]
fn a_caller_that_takes_no_session_description_gets_406() {
    assert_eq!(answer(&invite("a").replace("Max-Forwards", "Accept: text/x-other\nMax-Forwards")).kind(), "406");
}

#[test]
fn a_session_interval_that_is_too_small_gets_422() {
    let headers = "Supported: timer\nSession-Expires: 30;refresher=uac\nMax-Forwards";
    let refusal = answer(&invite("a").replace("Max-Forwards", headers));
    assert_eq!(refusal.kind(), "422");
    assert_eq!(refusal.header("Min-SE"), "90");
}

#[test]
fn a_request_that_cannot_be_read_gets_what_its_flaw_deserves() {
    let mut lab = Lab::new();
    lab.receive(&invite("a").replace("CSeq: 1 INVITE", "CSeq: one INVITE"));
    lab.receive(&invite("b").replace("SIP/2.0\nVia", "SIP/7.0\nVia"));
    lab.receive("ACK sip:x@192.0.2.1 SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.2;branch=z9hG4bK-x\n\n");
    lab.receive("GET / HTTP/1.1\n\n");
    lab.receive("\n\n");
    lab.receive_octets(PEER, b"");
    lab.receive_octets(PEER, &[0; 40]);
    assert_eq!(lab.kinds().last().map(String::as_str), Some("505"));
    assert!(lab.told().is_empty());
    lab.finish();
}

#[test]
fn the_same_request_over_another_path_gets_482() {
    let mut lab = Lab::new();
    lab.receive(&invite("a"));
    let session = lab.invited();
    lab.receive(&invite("b"));
    assert_eq!(lab.kinds(), ["482"]);
    lab.endpoint.reject(session, StatusCode::BUSY_HERE, Vec::new(), lab.now);
    lab.finish();
}

#[test]
fn a_full_endpoint_says_503_and_keeps_nothing() {
    let mut config = EndpointConfig::new("Tandem", Identity::default());
    config.limits = Limits { sessions: 1, ..Limits::default() };
    let mut lab = Lab::with(config);
    lab.receive(&invite("a"));
    lab.invited();
    lab.receive(&invite("b").replace("call-1", "call-2"));
    let refusal = lab.sent_one();
    assert_eq!(refusal.kind(), "503");
    assert_eq!(refusal.header("Retry-After"), "5");
    assert_eq!(lab.counts().sessions, 1);
    assert_eq!(lab.endpoint.drops().over_limit, 1);

    let outgoing = lab.outgoing();
    lab.endpoint.invite(outgoing, lab.now);
    assert_eq!(lab.told(), ["Failed Full", "Ended Failed"]);
    assert!(lab.sent().is_empty());
}

#[test]
fn a_bye_is_answered_even_when_there_is_no_room_for_transactions() {
    let mut config = EndpointConfig::new("Tandem", Identity::default());
    config.limits = Limits { server_transactions: 1, ..Limits::default() };
    let mut lab = Lab::with(config);
    let (_, ok) = lab.answered_call();
    lab.receive(&in_dialog("BYE", 2, ok.tag("To"), ""));
    assert_eq!(lab.kinds(), ["200"]);
    assert_eq!(lab.told(), ["Bye", "Ended RemoteBye"]);
    lab.finish();
}

#[test]
fn an_endpoint_that_is_not_drained_stops_listening() {
    let mut config = EndpointConfig::new("Tandem", Identity::default());
    config.limits = Limits { outputs: 3, ..Limits::default() };
    let mut lab = Lab::with(config);
    let flow = lab.flow(PEER);
    let text = request("OPTIONS", "a", 1, "", "", "").replace('\n', "\r\n");
    for _ in 0..5 {
        lab.endpoint.handle_datagram(flow, text.as_bytes(), lab.now);
    }
    assert_eq!(lab.sent().len(), 3);
    assert_eq!(lab.endpoint.drops().over_limit, 2);
}

#[test]
fn a_stranger_is_refused_once_and_forgotten() {
    let mut lab = Lab::new();
    lab.receive_from(STRANGER, &invite("a"));
    let session = lab.invited();
    lab.endpoint.refuse(session, StatusCode::FORBIDDEN, Vec::new(), lab.now);
    assert_eq!(lab.kinds(), ["403"]);
    assert_eq!(lab.told(), ["Ended Rejected"]);
    assert_eq!(lab.counts(), Counts::default());
    lab.pass(60_000);
    assert!(lab.sent().is_empty());
    lab.finish();
}

#[test]
fn an_invite_is_turned_away_without_a_trace_and_each_repeat_alike() {
    let mut lab = Lab::new();
    let flow = lab.flow(STRANGER);
    let knock = invite("a").replace('\n', "\r\n");
    for _ in 0..2 {
        let told = lab.endpoint.turn_away(&flow, knock.as_bytes(), StatusCode::FORBIDDEN, Vec::new());
        assert!(told.is_some());
    }
    let answers = lab.sent();
    assert_eq!(answers.len(), 2);
    assert_eq!(answers[0].header("To"), answers[1].header("To"));
    assert_eq!(lab.counts(), Counts::default());

    // What is no new call is for the endpoint: another method, a request in a dialog, an INVITE that is known.
    lab.receive_from(STRANGER, &invite("b"));
    lab.sent();
    for text in [request("OPTIONS", "o", 1, "", "", ""), request("INVITE", "i", 2, "x", "", ""), invite("b")] {
        let text = text.replace('\n', "\r\n");
        assert!(lab.endpoint.turn_away(&flow, text.as_bytes(), StatusCode::FORBIDDEN, Vec::new()).is_none(), "{text}");
    }
}

#[test]
fn user_methods_are_the_users_to_answer() {
    let mut config = EndpointConfig::new("Tandem", Identity::default());
    config.user_methods = vec![Method::Info, Method::Message];
    let mut lab = Lab::with(config);
    let (session, ok) = lab.answered_call();
    assert_eq!(ok.header("Allow"), "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, MESSAGE");
    let info = request("INFO", "i", 2, ok.tag("To"), "Content-Type: application/dtmf-relay\n", "Signal=1\r\n");
    lab.receive(&info);
    let id = match lab.events().as_slice() {
        [Event::Request { id, request }] => {
            assert_eq!(request.session, Some(session));
            assert_eq!(request.body(), b"Signal=1\r\n");
            *id
        }
        other => panic!("{other:#?}"),
    };
    lab.receive(&info);
    assert!(lab.sent().is_empty(), "a repeat waits for the answer like the first");
    lab.endpoint.respond(id, StatusCode::OK, Vec::new(), None, lab.now);
    assert_eq!(lab.kinds(), ["200"]);
    lab.receive(&info);
    assert_eq!(lab.kinds(), ["200"]);

    // Never a late answer (RFC 4320 §4.2), and never a 408.
    lab.receive(&request("MESSAGE", "m", 1, "", "", ""));
    let id = match lab.events().as_slice() {
        [Event::Request { id, .. }] => *id,
        other => panic!("{other:#?}"),
    };
    lab.pass(32_000);
    lab.endpoint.respond(id, StatusCode::OK, Vec::new(), None, lab.now);
    assert!(lab.sent().is_empty());
}

#[test]
fn answers_go_to_the_source_whatever_via_says() {
    let mut lab = Lab::new();
    let forged = "Via: SIP/2.0/UDP 198.51.100.9:9;rport=9;received=198.51.100.9;maddr=198.51.100.8;branch=z9hG4bK-a";
    let text = request("OPTIONS", "a", 1, "", "", "")
        .replace("Via: SIP/2.0/UDP 192.0.2.2:5060;rport;branch=z9hG4bK-a", forged);
    lab.receive_from("192.0.2.2:4711", &text);
    let ok = lab.sent_one();
    assert_eq!(ok.flow.remote, address("192.0.2.2:4711"));
    assert!(ok.header("Via").contains("received=192.0.2.2"));
    assert!(ok.header("Via").contains("rport=4711"));
    assert!(!ok.header("Via").contains("received=198.51.100.9"));

    // Without rport the port is that of sent-by (RFC 3261 §18.2.2), the address still the source's.
    lab.receive_from("192.0.2.2:4711", &text.replace(";rport=9", ""));
    let ok = lab.sent_one();
    assert_eq!(ok.flow.remote, address("192.0.2.2:9"));
    assert!(!ok.header("Via").contains("rport"));
}
