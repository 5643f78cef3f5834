//! What peers send: answers to what they heard, requests of their own, and either of them damaged.

use tandem_lab::setup::{sdp, sdp_with};
use tandem_sip::message::{
    Body, Header, HeaderName, HeaderValue, Host, Message, Method, NameAddr, Request, Response, SipCallId, SipUri,
    StatusCode, Token, Uri, Via, ViaTransport,
};

use super::input::Input;

/// An answer to a request of the switch.
pub(super) fn response(request: &[u8], input: &mut Input<'_>) -> Option<Vec<u8>> {
    let request = Message::parse(request).ok().filter(Message::is_request)?;
    let codes = [
        100, 180, 183, 199, 200, 200, 200, 202, 302, 401, 403, 404, 407, 408, 415, 420, 481, 486, 487, 488, 491, 500,
        503, 504, 600, 603,
    ];
    let status = StatusCode::new(input.one_of(codes)).unwrap();
    let tag = Token::hex(&[input.octet() % 3]);
    let mut response: Response = request.to_response(status, Some(&tag));
    if input.flag() || request.method() == Method::Invite {
        response.contacts = vec![NameAddr::new(contact(input))];
    }
    if input.flag() {
        response.body = Some(Body::sdp(description(input).into_bytes()));
    }
    if matches!(status.as_u16(), 401 | 407) {
        let name = if status.as_u16() == 401 { HeaderName::WwwAuthenticate } else { HeaderName::ProxyAuthenticate };
        let qop = input.one_of(["", ", qop=\"auth\"", ", qop=\"auth-int\", stale=true"]);
        let value = format!("Digest realm=\"r{}\", nonce=\"n{}\"{qop}", input.octet() % 2, input.octet() % 2);
        response.headers.push(Header::new(name, HeaderValue::new(&value).unwrap()));
    }
    if status.as_u16() == 503 && input.flag() {
        response.headers.push(Header::new(HeaderName::RetryAfter, HeaderValue::from(u32::from(input.octet()))));
    }
    Some(damaged(response.to_bytes(), input))
}

/// A request within the dialog of a message that went either way: our request with that tag of the peer's, or our
/// answer to a request of the peer's.
pub(super) fn request_within(heard: &[u8], input: &mut Input<'_>) -> Option<Vec<u8>> {
    let heard = Message::parse(heard).ok()?;
    // In a request of the switch From is the switch; in an answer of it To is.
    let (us, mut peer) = if heard.is_request() { (heard.from(), heard.to()) } else { (heard.to(), heard.from()) };
    if peer.tag().is_none() {
        peer = peer.with_tag(&Token::hex(&[input.octet() % 3]));
    }
    let method = input.one_of(["BYE", "BYE", "INVITE", "CANCEL", "OPTIONS", "INFO", "UPDATE", "ACK"]);
    let of_that = matches!(method, "CANCEL" | "ACK");
    let number = if of_that { heard.cseq().number } else { u32::from(input.octet()) + 1 };
    let method = Method::new(method).unwrap();
    let mut request = request(method, peer, us, heard.call_id(), number, input);
    if !heard.is_request() && of_that {
        request.vias = heard.vias();
    }
    Some(damaged(request.to_bytes(), input))
}

/// The ACK of a final answer of the switch.
pub(super) fn ack(answer: &[u8], input: &mut Input<'_>) -> Option<Vec<u8>> {
    let answer = Message::parse(answer).ok().filter(|answer| answer.status().is_some_and(StatusCode::is_final))?;
    let mut ack = request(Method::Ack, answer.from(), answer.to(), answer.call_id(), answer.cseq().number, input);
    if answer.status().is_some_and(|status| status.as_u16() >= 300) {
        ack.vias = answer.vias();
    }
    Some(ack.to_bytes())
}

/// A call to the switch.
pub(super) fn invite(input: &mut Input<'_>) -> Vec<u8> {
    let user = input.one_of(["+12025550100", "+12025550107", "+12025550109", "x"]);
    let from = NameAddr::new(uri("+12025550199", 99)).with_tag(&Token::hex(&[input.octet() % 4]));
    let call_id = format!("in-{}", input.octet() % 4);
    let number = u32::from(input.octet() % 4) + 1;
    request(Method::Invite, from, NameAddr::new(uri(user, 1)), &call_id, number, input).to_bytes()
}

fn request(method: Method, from: NameAddr, to: NameAddr, call_id: &str, number: u32, input: &mut Input<'_>) -> Request {
    let to_us = Uri::Sip(uri("tandem", 1));
    let target = if to.tag().is_none() { to.uri.clone() } else { to_us };
    let branch = Token::hex(&[number.to_le_bytes()[0], input.octet() % 8]);
    let mut request = Request::new(method, target, from, to, SipCallId::new(call_id).unwrap(), number);
    request.vias = vec![Via::new(ViaTransport::Udp, Host::V4([192, 0, 2, 10].into()), Some(5060), &branch)];
    if request.method == Method::Invite {
        request.contact = Some(NameAddr::new(contact(input)));
        request.body = input.flag().then(|| Body::sdp(description(input).into_bytes()));
        request.max_forwards = input.one_of([70, 70, 1, 0]);
    }
    request
}

fn contact(input: &mut Input<'_>) -> SipUri {
    uri("peer", input.one_of([10, 11, 99]))
}

fn uri(user: &str, host: u8) -> SipUri {
    SipUri::new(Host::V4([192, 0, 2, host].into())).with_user(user).with_port(Some(5060))
}

fn description(input: &mut Input<'_>) -> String {
    let media = format!("192.0.2.{}:4000", 10 + input.octet() % 4);
    match input.below(6) {
        0 => sdp_with(&media, "0", "sendonly"),
        1 => sdp_with(&media, "0", "inactive"),
        2 => sdp("10.0.0.5:4000", "0"),
        3 => sdp(&media, "18"),
        4 => sdp(&media, "8"),
        _ => sdp(&media, "0 101"),
    }
}

/// Mostly as it is; else with some octets changed.
fn damaged(mut octets: Vec<u8>, input: &mut Input<'_>) -> Vec<u8> {
    let count = input.octet();
    if count < 248 {
        return octets;
    }
    for _ in 248..=count {
        let at = usize::from(u16::from_be_bytes([input.octet(), input.octet()])) % octets.len().max(1);
        if let Some(octet) = octets.get_mut(at) {
            *octet = input.octet();
        }
    }
    octets
}
