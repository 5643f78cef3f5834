//! Names that are looked up, and addresses that may not be called.

use tandem_model::{Connect, DialOrder, RefusalKind};
use tandem_switch::ResolveError;

use crate::far_end::Does::{Answer, Reject};
use crate::lab::{Lab, Name, Peer, address, verdicts};
use tandem_lab::setup::{NUMBER, PCMU, order, sdp};

const HOST: &str = "carrier.example.com";

fn named_trunk(name: Name) -> (Lab, Peer) {
    let mut lab = Lab::new();
    let carrier = lab.far_end(vec![(0, Answer(Some(sdp("192.0.2.10:4000", PCMU))))]);
    lab.names.insert(HOST.into(), name);
    lab.trunk(carrier, |trunk| trunk.sip_domain = HOST.into());
    (lab, carrier)
}

#[test]
fn a_name_is_looked_up_before_the_invite() {
    let (mut lab, carrier) = named_trunk(Name::After(300, Ok(vec!["192.0.2.10".parse().unwrap()])));
    let call = lab.dial(order(NUMBER));
    lab.pass(1_000);
    assert_eq!(lab.asked_names, [HOST, HOST], "once to know it when it calls, once to call it");
    assert_eq!(lab.peer(carrier).first_ms("INVITE"), Some(305));
    assert!(lab.peer(carrier).heard[0].text.starts_with("INVITE sip:+12025550100@carrier.example.com SIP/2.0"));
    let receipt = lab.inspect(call).unwrap().record.receipt.unwrap().read().unwrap();
    assert_eq!(receipt.attempts[0].target.as_deref(), Some("192.0.2.10:5060"));
    lab.hang_up(call);
    lab.finish();
}

#[test]
fn a_name_without_an_address_goes_on_to_the_next_trunk() {
    let not_found = Name::After(50, Err(ResolveError::NotFound));
    let empty = Name::After(50, Ok(Vec::new()));
    for (name, waited) in [(not_found, 50), (empty, 50), (Name::Never, 4_000)] {
        let (mut lab, _) = named_trunk(name);
        let second = lab.far_end(vec![(0, Answer(Some(sdp("192.0.2.11:4000", PCMU))))]);
        lab.trunk(second, |_| {});
        let call = lab.dial(order(NUMBER));
        lab.pass(5_000);
        assert_eq!(lab.peer(second).first_ms("INVITE"), Some(waited + 5));
        lab.hang_up(call);
        lab.pass(100);
        let ended = lab.ended(call);
        assert_eq!((ended.outcomes(), ended.legs[0].status.as_str()), (vec!["unresolvable", "answered"], "failed"));
        lab.finish();
    }
}

#[test]
fn a_late_address_is_of_no_use() {
    let (mut lab, carrier) = named_trunk(Name::After(6_000, Ok(vec!["192.0.2.10".parse().unwrap()])));
    let call = lab.dial(order(NUMBER));
    lab.pass(10_000);
    assert!(lab.peer(carrier).heard.is_empty());
    assert_eq!(lab.ended(call).cause(), "network_out_of_order");
    lab.finish();
}

#[test]
fn a_name_that_leads_inside_is_not_called() {
    let (mut lab, _) = named_trunk(Name::After(50, Ok(vec!["10.0.0.5".parse().unwrap()])));
    let call = lab.dial(order(NUMBER));
    lab.pass(1_000);
    let ended = lab.ended(call);
    assert_eq!((ended.outcomes(), ended.cause()), (vec!["peer_not_allowed"], "no_route_to_destination"));
    lab.finish();
}

#[test]
fn an_address_of_a_family_that_we_have_no_socket_for_is_passed_over() {
    let addresses = Ok(vec!["2606:4700::1111".parse().unwrap(), "192.0.2.10".parse().unwrap()]);
    let (mut lab, carrier) = named_trunk(Name::After(50, addresses));
    let call = lab.dial(order(NUMBER));
    lab.pass(1_000);
    assert_eq!(lab.peer(carrier).heard_of("INVITE").len(), 1);
    lab.hang_up(call);

    lab.names.insert(HOST.into(), Name::After(50, Ok(vec!["2606:4700::1111".parse().unwrap()])));
    let call = lab.dial(order(NUMBER));
    lab.pass(1_000);
    assert_eq!(lab.ended(call).outcomes(), ["no_local_address"]);
    lab.finish();
}

#[test]
fn a_literal_address_inside_is_refused_before_anything_is_sent() {
    let mut lab = Lab::new();
    let receipt = lab.try_dial(order("sip:bob@10.0.0.5")).unwrap_err();
    let refusal = receipt.refusal.as_ref().unwrap();
    assert_eq!((refusal.kind, refusal.reason.code()), (RefusalKind::TargetNotAllowed, "peer_not_allowed"));

    let carrier = lab.far_end(vec![(0, Answer(Some(sdp("192.0.2.10:4000", PCMU))))]);
    lab.trunk(carrier, |trunk| trunk.sip_domain = "10.0.0.5".into());
    let receipt = lab.try_dial(order(NUMBER)).unwrap_err();
    assert_eq!(
        (receipt.refusal.as_ref().unwrap().kind, verdicts(&receipt)),
        (RefusalKind::NoRoute, vec![("trunk-1", "peer_not_allowed")])
    );
    assert_eq!(lab.trunk_state(1).unroutable_reason.unwrap().code(), "peer_not_allowed");

    // As the second party it ends the call.
    lab.trunk(carrier, |_| {});
    let call = lab.dial(DialOrder { connect: Connect::Sip { uri: "sip:alice@10.0.0.5".into() }, ..order(NUMBER) });
    lab.pass(1_000);
    assert_eq!(lab.ended(call).cause(), "no_route_to_destination");
    lab.finish();
}

#[test]
fn a_transport_that_is_not_built_is_refused() {
    let mut lab = Lab::new();
    let receipt = lab.try_dial(order("sip:bob@192.0.2.10;transport=tls")).unwrap_err();
    assert_eq!(receipt.refusal.as_ref().unwrap().reason.code(), "transport_unsupported");
}

#[test]
fn media_is_never_sent_to_an_address_inside_but_to_where_the_peer_signals_from() {
    let mut lab = Lab::new();
    let behind_nat = lab.far_end(vec![(0, Answer(Some(sdp("10.0.0.5:4000", PCMU))))]);
    lab.trunk(behind_nat, |_| {});
    let call = lab.dial(DialOrder { connect: Connect::Play { tone: "1000".into() }, ..order(NUMBER) });
    lab.pass(1_000);
    assert!(!lab.audio.is_empty());
    assert!(lab.audio.iter().all(|audio| audio.to == address("192.0.2.10:4000")));
    // Once it is heard, to the port that its NAT gave it.
    lab.speak("192.0.2.10:31000", 20_000, 2);
    lab.audio.clear();
    lab.pass(100);
    assert!(lab.audio.iter().all(|audio| audio.to == address("192.0.2.10:31000")));
    assert_eq!(lab.inspect(call).unwrap().events.last().unwrap().kind.as_str(), "media_latched", "and it is not held");
    lab.hang_up(call);
    lab.finish();
}

#[test]
fn a_refusal_needs_no_media() {
    let mut lab = Lab::new();
    let carrier = lab.far_end(vec![(0, Reject(404, Vec::new()))]);
    lab.trunk(carrier, |_| {});
    lab.dial(order(NUMBER));
    lab.finish();
}
