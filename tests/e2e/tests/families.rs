//! IPv4 and IPv6 on one node.

use serde_json::json;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tandem_e2e::peer::{Audio, Script};
use tandem_e2e::{
    Dns, Network, Options, Peer, Scenario, SipText, Sipp, SippCounts, Tandem, TcpCarrier, eventually,
    free_on_ipv6_loopback, text_at,
};
use tandem_model::Transport;

const SOON: Duration = Duration::from_secs(3);

/// A node on host 1 and on `::1`, over UDP and TCP. All tests have the same `::1`, so that each has RTP ports of its own.
struct Node {
    tandem: Tandem,
    network: Network,
    sip_v6: SocketAddr,
}

impl Node {
    fn start(rtp_ports: &str) -> Self {
        Self::start_with(rtp_ports, |options| options)
    }

    fn start_with(rtp_ports: &str, more: impl FnOnce(Options) -> Options) -> Self {
        let network = Network::claim();
        let (sip, sip_v6) = (network.sip(1), free_on_ipv6_loopback());
        let options = Options::default()
            .env("TANDEM_SIP_LISTEN", &format!("udp:{sip},tcp:{sip},udp:{sip_v6},tcp:{sip_v6}"))
            .env("TANDEM_MEDIA_ADDRESS", &format!("{},::1", sip.ip()))
            .env("TANDEM_RTP_PORTS", rtp_ports)
            .env("TANDEM_PEER_ALLOW", "127.0.0.0/8,::1");
        Self { tandem: Tandem::start(&network, &more(options)), network, sip_v6 }
    }

    fn our(&self, family_of: SocketAddr) -> SocketAddr {
        if family_of.is_ipv4() { self.network.sip(1) } else { self.sip_v6 }
    }
}

/// Via, Contact and SDP of an INVITE say this address.
fn expect_our_address(invite: &SipText, transport: &str, sip: SocketAddr, media: IpAddr) {
    let (via, contact) = (invite.header("Via").unwrap_or_default(), invite.address("Contact").unwrap_or_default());
    assert!(via.starts_with(&format!("SIP/2.0/{transport} {sip};")), "{via}");
    assert!(contact.contains(&format!("@{sip}")), "{contact}");
    let network = format!("IN {} {media}", if media.is_ipv4() { "IP4" } else { "IP6" });
    assert_eq!(invite.sdp('c').join(" "), network);
    assert!(invite.sdp('o')[0].ends_with(&network), "{:?}", invite.sdp('o'));
}

#[test]
fn parties_of_two_families_hear_each_other() {
    for first_is_v4 in [true, false] {
        let node = Node::start("21100-21139");
        let api = node.tandem.api();
        let tone = |hz| move |_: &str| Script::silent().answer(Audio::Tone(hz));
        let (v4, v6) = (node.network.sip(2), free_on_ipv6_loopback());
        let (first, second) = if first_is_v4 { (v4, v6) } else { (v6, v4) };
        let (one, other) = (Peer::start_with(first, tone(1_000)), Peer::start_with(second, tone(700)));
        let connect = json!({"connect": {"type": "sip", "uri": other.uri("b")}});
        let id = text_at(&api.dial(&one.uri("a"), &connect), "/id");
        for (peer, hz) in [(&one, 700), (&other, 1_000)] {
            let call = peer.wait_for_call("hears the other", SOON, |call| call.first_heard(hz).is_some());
            let us = node.our(peer.address());
            expect_our_address(&call.invite, "UDP", us, us.ip());
            // Nobody was named as the caller, and no trunk's domain says where: it is us.
            let from = call.invite.address("From").unwrap_or_default().to_owned();
            let host = us.to_string();
            assert!(from.ends_with(&format!("@{}", host.strip_suffix(&format!(":{}", us.port())).unwrap())), "{from}");
        }
        let _ = api.hang_up(&id).expect(200);
        assert_eq!(api.wait_for_end(&id, SOON)["status"], "completed");
        for peer in [&one, &other] {
            peer.wait_for_call("has a BYE", SOON, |call| call.count("BYE") > 0);
        }
        for leg in api.closed_legs(&id) {
            let media = &leg["media"];
            assert_eq!((&media["packets_lost"], &media["packets_refused"]), (&json!(0), &json!(0)), "{leg:#}");
        }
    }
}

#[test]
fn sipp_is_called_over_ipv6_by_udp_and_tcp() {
    let node = Node::start("21200-21239");
    let api = node.tandem.api();
    for transport in [Transport::Udp, Transport::Tcp] {
        let address = free_on_ipv6_loopback();
        let sipp = Sipp::start_over(transport, Scenario::Answer, address, CALLS);
        let transport = transport.as_str();
        let trunk = api.create_trunk(transport, address, &json!({"advanced_config": {"transport": transport}}));
        let ids: Vec<String> =
            (0..CALLS).map(|_| text_at(&api.dial("+12025550100", &json!({"sip_trunk_id": trunk})), "/id")).collect();
        assert_eq!(sipp.finish(Duration::from_secs(20)), SippCounts { successful: CALLS.into(), failed: 0 });
        for id in &ids {
            let call = api.wait_for_end(id, SOON);
            assert_eq!((&call["status"], &call["remote_ip"]), (&json!("completed"), &json!("::1")), "{call:#}");
            assert_eq!(api.closed_legs(id)[0]["transport"], transport);
        }
    }
}

#[test]
fn a_connection_over_ipv6_carries_our_address_of_that_family() {
    let node = Node::start("21300-21339");
    let api = node.tandem.api();
    let address = free_on_ipv6_loopback();
    let carrier = TcpCarrier::listen(address);
    let id = text_at(&api.dial(&format!("sip:bob@{address};transport=tcp"), &json!({})), "/id");
    let mut connection = carrier.accept();
    let invite = connection.read();
    expect_our_address(&invite, "TCP", node.sip_v6, IpAddr::V6(Ipv6Addr::LOCALHOST));
    assert!(invite.address("Contact").is_some_and(|contact| contact.ends_with(";transport=tcp")));
    connection.answer(&invite, 486, "");
    assert_eq!(connection.read().method(), Some("ACK"));
    assert_eq!(api.wait_for_end(&id, SOON)["hangup_cause"], "user_busy");
}

#[test]
fn a_name_is_called_at_the_address_that_it_has() {
    let network = Network::claim();
    let (v4, v6) = (network.sip(2), free_on_ipv6_loopback());
    let names = [("four.test", v4.ip()), ("six.test", v6.ip())];
    let dns = Dns::start(SocketAddr::new(network.host(53), 53), &names);
    let dns_address = dns.address().to_string();
    let node = Node::start_with("21400-21439", |options| options.env("TANDEM_DNS_SERVERS", &dns_address));
    let api = node.tandem.api();
    for (name, address) in [("four.test", v4), ("six.test", v6)] {
        let peer = Peer::start(address);
        let id = text_at(&api.dial(&format!("sip:echo@{name}:{}", address.port()), &json!({})), "/id");
        let _ = api.wait_for_status(&id, "answered", SOON);
        let us = node.our(address);
        expect_our_address(&peer.calls()[0].invite, "UDP", us, us.ip());
        let _ = api.hang_up(&id).expect(200);
        peer.wait_for_call("has a BYE", SOON, |call| call.count("BYE") > 0);
    }
}

#[test]
fn a_wildcard_of_each_family_says_the_public_address_of_its_own() {
    let network = Network::claim();
    let (sip, sip_v6) = (free_on_ipv6_loopback().port(), free_on_ipv6_loopback().port());
    let options = Options::default()
        .env("TANDEM_SIP_LISTEN", &format!("udp:0.0.0.0:{sip},udp:[::]:{sip_v6}"))
        .env("TANDEM_MEDIA_ADDRESS", &format!("{},::1", network.host(1)))
        .env("TANDEM_PUBLIC_ADDRESS", "2001:db8::7,198.51.100.7")
        .env("TANDEM_RTP_PORTS", "21000-21009")
        .env("TANDEM_PEER_ALLOW", "127.0.0.0/8,::1");
    let tandem = Tandem::start(&network, &options);
    let api = tandem.api();
    assert_eq!(api.ready_numbers()["media_ports_total"], 10, "five of each family");
    for (address, public) in [(network.sip(2), "198.51.100.7"), (free_on_ipv6_loopback(), "2001:db8::7")] {
        let peer = Peer::start(address);
        let id = text_at(&api.dial(&peer.uri("echo"), &json!({})), "/id");
        let _ = api.wait_for_status(&id, "answered", SOON);
        let public: IpAddr = public.parse().unwrap();
        let port = if public.is_ipv4() { sip } else { sip_v6 };
        let invite = peer.wait_for_call("is acknowledged", SOON, |call| call.acknowledged_at.is_some()).invite;
        expect_our_address(&invite, "UDP", SocketAddr::new(public, port), public);
        let _ = api.hang_up(&id).expect(200);
        peer.wait_for_call("has a BYE", SOON, |call| call.count("BYE") > 0);
    }
    eventually("ports that are free again", SOON, || (api.ready_numbers()["media_ports_in_use"] == 0).then_some(()));
}

const CALLS: u32 = 5;
