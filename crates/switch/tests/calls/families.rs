//! Far ends that are reached over IPv6, beside those that are reached over IPv4.

use tandem_model::{CallId, Connect, DialOrder};

use crate::far_end::Does::{Answer, Reinvite};
use crate::lab::{Lab, Name, Peer, US, US_V6, address};
use tandem_lab::setup::{NUMBER, PCMU, order, sdp};

const V4: &str = "192.0.2.10:4000";
const V6: &str = "[2001:db8::10]:4000";
const SECOND_V4: &str = "192.0.2.11:4000";
const SECOND_V6: &str = "[2001:db8::11]:4000";
const HOST: &str = "carrier.example.com";

/// What every line of an INVITE that says where we are has to say.
fn expect_our_address(lab: &mut Lab, peer: Peer, us: &str) {
    let (host, network) = match address(us) {
        std::net::SocketAddr::V4(us) => (us.ip().to_string(), format!("IN IP4 {}", us.ip())),
        std::net::SocketAddr::V6(us) => (format!("[{}]", us.ip()), format!("IN IP6 {}", us.ip())),
    };
    let invite = lab.peer(peer).heard_of("INVITE")[0].clone();
    assert!(invite.header("Via").starts_with(&format!("SIP/2.0/UDP {host}:5060;")), "{}", invite.text);
    assert_eq!(invite.header("Contact"), format!("<sip:000100@{host}:5060>"));
    assert_eq!(invite.sdp_line("c="), format!("c={network}"));
    assert!(invite.sdp_line("o=").ends_with(&network), "{}", invite.sdp_line("o="));
}

/// A call whose first party has answered, to be connected with a second one that answers too.
fn bridge(first: &str, second: &str) -> (Lab, [Peer; 2], CallId) {
    let mut lab = Lab::of_both_families(8);
    let mut far_end = |media: &str| {
        let script = vec![(0, Answer(Some(sdp(media, PCMU))))];
        if address(media).is_ipv4() { lab.far_end(script) } else { lab.far_end_v6(script) }
    };
    let peers = [far_end(first), far_end(second)];
    let [to, connect] = peers.map(|peer| lab.address(peer));
    let connect = Connect::Sip { uri: format!("sip:alice@{connect}") };
    let call = lab.dial(DialOrder { connect, ..order(&format!("sip:bob@{to}")) });
    lab.pass(1_000);
    (lab, peers, call)
}

#[test]
fn a_trunk_is_called_over_ipv6_under_our_address_of_that_family() {
    let mut lab = Lab::of_both_families(8);
    let carrier = lab.far_end_v6(vec![(0, Answer(Some(sdp(V6, PCMU))))]);
    lab.trunk(carrier, |_| {});
    let call = lab.dial(order(NUMBER));
    lab.pass(1_000);
    expect_our_address(&mut lab, carrier, US_V6);
    let invite = lab.peer(carrier).heard_of("INVITE")[0].clone();
    assert!(invite.header("To").starts_with("<sip:+12025550100@[2001:db8::10]>"), "{}", invite.text);
    assert!(invite.header("From").starts_with("<sip:+12025550199@[2001:db8::10]>"), "the trunk's domain");
    assert_eq!(lab.speak(V6, 20_000, 5), 5);
    assert!(lab.audio.iter().all(|audio| audio.to == address(V6)));
    assert_eq!((lab.counts().ports_in_use, lab.counts().ports_total), (1, 16));
    lab.hang_up(call);
    lab.pass(100);
    assert_eq!(lab.peer(carrier).heard_of("BYE").len(), 1);
    assert_eq!(lab.ended(call).record.remote_ip.as_deref(), Some("2001:db8::10"));
    lab.finish();
}

#[test]
fn parties_of_two_families_hear_each_other() {
    for (first, second) in [(V4, SECOND_V6), (V6, SECOND_V4)] {
        let (mut lab, peers, call) = bridge(first, second);
        for (peer, media) in peers.into_iter().zip([first, second]) {
            let us = if address(media).is_ipv4() { US } else { US_V6 };
            expect_our_address(&mut lab, peer, us);
            let from = format!("<sip:+12025550199@{}>", us.strip_suffix(":5060").unwrap());
            let invite = lab.peer(peer).heard_of("INVITE")[0].clone();
            assert!(invite.header("From").starts_with(&from), "{}", invite.header("From"));
        }
        lab.audio.clear();
        // Either leg has the first port of its family.
        assert_eq!((lab.speak(first, 20_000, 5), lab.speak(second, 20_000, 5)), (5, 5));
        for media in [first, second] {
            assert_eq!(lab.audio.iter().filter(|audio| audio.to == address(media)).count(), 5);
        }
        lab.hang_up(call);
        lab.finish();
    }
}

#[test]
fn a_name_is_called_at_an_address_of_a_family_that_we_have() {
    for (addresses, us) in [(["2001:db8::10", "192.0.2.10"], US_V6), (["192.0.2.10", "2001:db8::10"], US)] {
        let mut lab = Lab::of_both_families(8);
        let answer = |media| vec![(0, Answer(Some(sdp(media, PCMU))))];
        let carrier = if us == US { lab.far_end(answer(V4)) } else { lab.far_end_v6(answer(V6)) };
        lab.names.insert(HOST.into(), Name::After(50, Ok(addresses.map(|text| text.parse().unwrap()).into())));
        lab.trunk(carrier, |trunk| trunk.sip_domain = HOST.into());
        let call = lab.dial(order(NUMBER));
        assert_eq!(lab.counts().ports_in_use, 0, "which port it needs is not known yet");
        lab.pass(1_000);
        expect_our_address(&mut lab, carrier, us);
        assert_eq!(lab.counts().ports_in_use, 1);
        lab.hang_up(call);
        lab.finish();
    }
}

#[test]
fn an_ipv4_address_in_ipv6_clothes_is_called_over_ipv4() {
    let mut lab = Lab::of_both_families(8);
    let phone = lab.far_end(vec![(0, Answer(Some(sdp(V4, PCMU))))]);
    let call = lab.dial(order("sip:bob@[::ffff:192.0.2.10]"));
    lab.pass(1_000);
    expect_our_address(&mut lab, phone, US);
    lab.hang_up(call);
    lab.finish();
}

#[test]
fn ports_of_one_family_are_no_use_to_the_other() {
    let mut lab = Lab::of_both_families(1);
    let one = lab.far_end_v6(vec![(0, Answer(Some(sdp(V6, PCMU))))]);
    let other = lab.far_end(vec![(0, Answer(Some(sdp(SECOND_V4, PCMU))))]);
    lab.trunk(one, |_| {});
    let first = lab.dial(order(NUMBER));
    let refused = lab.try_dial(order(NUMBER)).unwrap_err();
    assert_eq!(refused.refusal.unwrap().reason.code(), "node_full");

    // A name that leads to a family without a free port goes on to the next trunk.
    lab.names.insert(HOST.into(), Name::After(50, Ok(vec!["2001:db8::10".parse().unwrap()])));
    lab.change_trunk(1, |trunk| trunk.sip_domain = HOST.into());
    lab.trunk(other, |_| {});
    let second = lab.dial(order(NUMBER));
    lab.pass(1_000);
    expect_our_address(&mut lab, other, US);
    lab.hang_up(first);
    lab.hang_up(second);
    lab.pass(100);
    assert_eq!(lab.ended(second).outcomes(), ["node_full", "answered"]);
    lab.finish();
}

#[test]
fn a_family_that_the_node_does_not_speak_is_named_as_the_reason() {
    let mut lab = Lab::new();
    let carrier = lab.far_end_v6(Vec::new());
    lab.trunk(carrier, |_| {});
    let call = lab.dial(order(NUMBER));
    lab.pass(1_000);
    let ended = lab.ended(call);
    assert_eq!((ended.outcomes(), ended.cause()), (vec!["no_local_address"], "no_route_to_destination"));
    let explanation = ended.receipt().attempts[0].outcome.as_ref().unwrap().explanation();
    assert!(explanation.contains("2001:db8::10") && explanation.contains("IPv6"), "{explanation}");
    assert!(lab.peer(carrier).heard.is_empty());
    lab.finish();
}

#[test]
fn media_named_in_the_other_family_go_to_where_the_peer_signals_from() {
    let mut lab = Lab::of_both_families(8);
    let moves = vec![(0, Answer(Some(sdp(V6, PCMU)))), (1_000, Reinvite(Some(sdp(SECOND_V4, PCMU)), None))];
    let carrier = lab.far_end_v6(moves);
    lab.trunk(carrier, |_| {});
    let call = lab.dial(DialOrder { connect: Connect::Play { tone: "1000".into() }, ..order(NUMBER) });
    lab.pass(3_000);
    assert!(!lab.audio.is_empty());
    assert!(lab.audio.iter().all(|audio| audio.to == address(V6)));
    lab.hang_up(call);
    lab.finish();
}
