//! Requests that are too large for a datagram (RFC 3261 §18.1.1).

use tandem_model::Transport;
use tandem_sip::endpoint::{EndpointConfig, Identity, OutgoingInvite};
use tandem_sip::message::{Header, HeaderName, HeaderValue};

use crate::lab::{Lab, SDP, Sent, US, address, response};

#[test]
fn a_large_request_goes_by_tcp_and_the_rest_of_its_call_does_not() {
    let mut lab = lab();
    let large = large(&lab);
    let (session, invite) = lab.call_with(large);
    assert_eq!(transport(&invite), (Transport::Tcp, "SIP/2.0/TCP"));
    lab.receive(&response(&invite, 200, "OK", "b", SDP));
    let ack = lab.sent_one();
    assert_eq!(transport(&ack), (Transport::Udp, "SIP/2.0/UDP"));
    lab.endpoint.bye(session, None, lab.now);
    assert_eq!(transport(&lab.sent_one()), (Transport::Udp, "SIP/2.0/UDP"));
}

#[test]
fn a_peer_that_takes_no_connection_gets_the_datagram_and_is_not_asked_again_soon() {
    let mut lab = lab();
    let invite = large(&lab);
    let (_, over_tcp) = lab.call_with(invite.clone());
    lab.endpoint.handle_transport_error(&over_tcp.flow, lab.now);
    let over_udp = lab.sent_one();
    assert_eq!(transport(&over_udp), (Transport::Udp, "SIP/2.0/UDP"));
    assert_eq!(over_udp.header("CSeq"), over_tcp.header("CSeq"));
    assert!(lab.told().is_empty());
    lab.pass(500);
    assert_eq!(lab.kinds(), ["INVITE"], "timer A");
    lab.receive(&response(&over_udp, 486, "Busy Here", "b", ""));
    assert_eq!(transport(&lab.sent_one()), (Transport::Udp, "SIP/2.0/UDP"), "the ACK");

    let (_, next) = lab.call_with(invite.clone());
    assert_eq!(next.flow.transport, Transport::Udp);
    lab.receive(&response(&next, 486, "Busy Here", "b", ""));
    lab.pass(600_000);
    lab.sent();
    let (_, later) = lab.call_with(invite);
    assert_eq!(later.flow.transport, Transport::Tcp);
}

#[test]
fn a_second_of_silence_over_tcp_brings_the_datagram() {
    let mut lab = lab();
    let large = large(&lab);
    lab.call_with(large);
    lab.pass(999);
    assert!(lab.sent().is_empty());
    lab.pass(1);
    assert_eq!(transport(&lab.sent_one()), (Transport::Udp, "SIP/2.0/UDP"));
}

#[test]
fn a_response_over_tcp_ends_the_wait() {
    let mut lab = lab();
    let large = large(&lab);
    let (_, invite) = lab.call_with(large);
    lab.receive(&response(&invite, 100, "Trying", "", ""));
    lab.pass(30_000);
    assert!(lab.sent().is_empty());
    lab.endpoint.handle_transport_error(&invite.flow, lab.now);
    assert_eq!(lab.told(), ["Provisional 100", "Failed Transport", "Ended Failed"]);
}

#[test]
fn a_call_that_was_given_up_is_not_begun_again() {
    let mut lab = lab();
    let large = large(&lab);
    let (session, invite) = lab.call_with(large);
    lab.endpoint.cancel(session, None, lab.now);
    lab.pass(5_000);
    assert!(lab.sent().is_empty());
    lab.endpoint.handle_transport_error(&invite.flow, lab.now);
    assert!(lab.sent().is_empty());
    assert_eq!(lab.told(), ["Ended Canceled"]);
    lab.finish();
}

#[test]
fn what_is_small_or_has_no_listener_stays_a_datagram() {
    let mut small = lab();
    assert_eq!(small.call().1.flow.transport, Transport::Udp);
    let mut deaf = Lab::new();
    let invite = large(&deaf);
    assert_eq!(deaf.call_with(invite).1.flow.transport, Transport::Udp);
}

fn lab() -> Lab {
    let mut config = EndpointConfig::new("Tandem", Identity { node: 1, shard: 2 });
    config.stream_listeners = vec![address("[2001:db8::1]:5060"), address(US)];
    Lab::with(config)
}

fn large(lab: &Lab) -> OutgoingInvite {
    let mut invite = lab.outgoing();
    let value = HeaderValue::cleaned(&"x".repeat(1_300));
    invite.headers.push(Header::new(HeaderName::Subject, value));
    invite
}

fn transport(sent: &Sent) -> (Transport, &str) {
    (sent.flow.transport, sent.header("Via").split(' ').next().unwrap_or_default())
}
