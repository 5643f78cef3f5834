//! Tandem calls: what a carrier calls in goes out by another trunk, with SIPp at both ends.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::{Duration, Instant};
use tandem_e2e::peer::Script;
use tandem_e2e::{
    Api, Edge, Kamailio, Network, Options, Peer, Scenario, Sipp, SippCalls, SippCounts, Tandem, eventually,
    free_on_ipv6_loopback, text_at,
};
use tandem_model::Transport;

/// A carrier, and how it speaks.
#[derive(Clone, Copy, Debug)]
struct Carrier {
    /// What a trunk names, and calls come from.
    address: SocketAddr,
    /// Where its SIPp is: there, or behind the proxy that is there.
    sipp: SocketAddr,
    transport: Transport,
}

/// Calls from one carrier to another.
#[derive(Clone, Copy, Debug)]
struct Passing {
    caller: Carrier,
    callee: Carrier,
    count: u32,
}

/// A node on host 1 and on `::1`, over UDP and TCP, with an account that may have a thousand calls.
struct Node {
    tandem: Tandem,
    api: Api,
    network: Network,
    sip_v6: SocketAddr,
    /// What it held before the first call.
    before: BTreeMap<String, u64>,
}

impl Carrier {
    const fn at(address: SocketAddr, transport: Transport) -> Self {
        Self { address, sipp: address, transport }
    }
}

impl Node {
    /// All tests have the same `::1`, so that each has RTP ports of its own.
    fn start(rtp_ports: &str) -> Self {
        let network = Network::claim();
        let (sip, sip_v6) = (network.sip(1), free_on_ipv6_loopback());
        let options = Options::default()
            .env("TANDEM_SIP_LISTEN", &format!("udp:{sip},tcp:{sip},udp:{sip_v6},tcp:{sip_v6}"))
            .env("TANDEM_MEDIA_ADDRESS", &format!("{},::1", sip.ip()))
            .env("TANDEM_RTP_PORTS", rtp_ports)
            .env("TANDEM_PEER_ALLOW", "127.0.0.0/8,::1")
            .env("TANDEM_LOG", "info");
        let tandem = Tandem::start(&network, &options);
        let api = tandem.add_account("busy", &["--tier", "enterprise", "--max-calls", "1000"]);
        let before = api.ready_numbers();
        Self { tandem, api, network, sip_v6, before }
    }

    fn v4(&self, host: u8, transport: Transport) -> Carrier {
        Carrier::at(self.network.sip(host), transport)
    }

    /// Whom the SIPp of a carrier calls.
    fn called_by(&self, carrier: Carrier) -> SocketAddr {
        match carrier.address {
            proxy if proxy != carrier.sipp => proxy,
            SocketAddr::V4(_) => self.tandem.sip(),
            SocketAddr::V6(_) => self.sip_v6,
        }
    }

    /// Has calls pass through, each by the trunks of its own two carriers, and looks at every record that they leave.
    fn pass(&self, passing: Passing) {
        let Passing { caller, callee, count } = passing;
        let trunk = |name: &str, carrier: Carrier, more: &Value| {
            let body = json!({
                "max_concurrent_calls": 1_000, "cost_per_minute": 0.6,
                "advanced_config": {"transport": carrier.transport.as_str()},
            });
            self.api.create_trunk(name, carrier.address, &merge(&body, more))
        };
        let forward = json!({"call_direction": "inbound", "inbound_routing": {"default": {"type": "forward"}}});
        let trunks = [trunk("in", caller, &forward), trunk("out", callee, &json!({"call_direction": "outbound"}))];
        let active = || trunks.each_ref().map(|trunk| self.api.get(&format!("/trunks/{trunk}")).expect(200));
        let active = || active().map(|trunk| trunk["current_active_calls"].as_u64().expect("a number"));

        // One crowd at a time: on two processors the programs of several keep each other from answering in time.
        let turn = eventually("turn of this crowd", TURN, || TcpListener::bind(TURNSTILE).ok());
        let called = Sipp::start_over(callee.transport, Scenario::Answer, callee.sipp, count);
        let calling = Sipp::call(&SippCalls {
            from: caller.sipp,
            to: self.called_by(caller),
            transport: caller.transport,
            number: NUMBER,
            count,
            per_second: PER_SECOND,
        });
        eventually("calls that are up", SOON, || active().iter().all(|active| *active > 0).then_some(()));

        let all = SippCounts { successful: count.into(), failed: 0 };
        let takes = Duration::from_secs(u64::from(count / PER_SECOND));
        assert_eq!((calling.finish(takes + PATIENCE), called.finish(PATIENCE)), (all, all));
        drop(turn);
        eventually("slots that are free again", SOON, || (active() == [0, 0]).then_some(()));
        self.expect_records(passing, &trunks);
        for trunk in trunks {
            assert_eq!(self.api.delete(&format!("/trunks/{trunk}")).status, 204);
        }
    }

    /// Every number is back where it was. SIP keeps transactions for 32 s (timers D, H, I, J, L of RFC 3261 and 6026).
    fn expect_rest(&self) {
        let mut now = self.api.ready_numbers();
        let deadline = Instant::now() + Duration::from_secs(42);
        while now != self.before && Instant::now() < deadline {
            now = self.api.ready_numbers();
        }
        assert_eq!(now, self.before);
        let log = self.tandem.log();
        let complaints: Vec<&str> =
            log.lines().filter(|line| line.contains(" WARN ") || line.contains(" ERROR ")).collect();
        assert!(complaints.is_empty(), "{complaints:#?}");
    }

    /// Every call is in the log, completed, with a leg by each trunk, and costs what these cost.
    fn expect_records(&self, passing: Passing, trunks: &[String; 2]) {
        let Passing { caller, callee, count } = passing;
        let calls = eventually("call log with all calls over", SOON, || {
            let calls = self.api.get(&format!("/calls?limit=1000&trunk_id={}", trunks[0])).expect(200);
            let calls = calls.as_array().cloned().unwrap_or_default();
            // Until its ports have told what they counted, a call that has ended is not closed.
            let over = calls.iter().filter(|call| call["status"] != "answered" && !call["ended_at"].is_null()).count();
            (over == usize::try_from(count).expect("a small number")).then_some(calls)
        });
        let mut outcomes: BTreeMap<String, usize> = BTreeMap::new();
        for call in &calls {
            let legs = self.api.legs(&text_at(call, "/id"));
            let of_leg = |leg: &Value| {
                let transport = text_at(leg, "/transport");
                let direction = text_at(leg, "/direction");
                format!("{direction} {} {} {transport}", leg["status"], leg["hangup_cause"])
            };
            let mut seen: Vec<String> = legs.iter().map(of_leg).collect();
            seen.sort();
            let by: Vec<&Value> = legs.iter().map(|leg| &leg["sip_trunk_id"]).collect();
            assert_eq!(by, trunks.each_ref(), "{legs:#?}");
            let micros = |value: &Value| value.as_f64().map(|cost| (cost * 1e6).round());
            let sum: Option<f64> = legs.iter().map(|leg| micros(&leg["cost"])).sum();
            assert_eq!(micros(&call["cost"]), sum, "{call:#} {legs:#?}");
            assert!(sum.is_some_and(|sum| sum >= 20_000.0), "each leg is a second at least: {call:#}");
            let host = |leg: &Value| text_at(leg, "/remote_address").parse().map(|far: SocketAddr| far.ip());
            let hosts: Vec<_> = legs.iter().map(host).collect();
            assert_eq!(hosts, [Ok(caller.address.ip()), Ok(callee.address.ip())], "{legs:#?}");
            let of_call = ["direction", "status", "hangup_cause", "hung_up_by", "from_number", "to_number"];
            let of_call: Vec<&str> = of_call.iter().filter_map(|name| call[*name].as_str()).collect();
            *outcomes.entry(format!("{of_call:?} {seen:?}")).or_default() += 1;
        }
        let leg = |direction: &str, carrier: Carrier| {
            format!("{direction} \"completed\" \"normal_clearing\" {}", carrier.transport)
        };
        let legs = [leg("inbound", caller), leg("outbound", callee)];
        let of_call = ["inbound", "completed", "normal_clearing", "callee", "+4930901820", NUMBER];
        let expected = BTreeMap::from([(format!("{of_call:?} {legs:?}"), calls.len())]);
        assert_eq!(outcomes, expected);
    }
}

fn v6(transport: Transport) -> Carrier {
    Carrier::at(free_on_ipv6_loopback(), transport)
}

#[test]
fn a_thousand_calls_at_100_a_second_over_udp_and_over_tcp() {
    let node = Node::start("22000-23999");
    for transport in [Transport::Udp, Transport::Tcp] {
        node.pass(Passing { caller: node.v4(2, transport), callee: node.v4(3, transport), count: 1_000 });
    }
    node.expect_rest();
}

#[test]
fn a_thousand_calls_at_100_a_second_over_udp_and_over_tcp_by_ipv6() {
    let node = Node::start("24000-25999");
    for transport in [Transport::Udp, Transport::Tcp] {
        node.pass(Passing { caller: v6(transport), callee: v6(transport), count: 1_000 });
    }
    node.expect_rest();
}

#[test]
fn a_thousand_calls_at_100_a_second_through_proxies_that_record_routes() {
    let node = Node::start("27000-28999");
    let udp = |edge: u8, sipp: u8| Carrier { sipp: node.network.sip(sipp), ..node.v4(edge, Transport::Udp) };
    let (caller, callee) = (udp(4, 2), udp(5, 3));
    // One program is the edge of both carriers, each at an address of its own.
    let (sip, far) = (node.tandem.sip(), callee.sipp);
    let onward = format!("if ($si == \"{}\") $du = \"sip:{far}\"; else $du = \"sip:{sip}\";", sip.ip());
    let edge = Edge::at(caller.address, &onward).and_at(Transport::Udp, callee.address).quiet();
    let _kamailio = Kamailio::start(&edge);
    node.pass(Passing { caller, callee, count: 1_000 });
    node.expect_rest();
}

#[test]
fn a_hundred_calls_from_one_family_or_transport_to_the_other() {
    let node = Node::start("26000-26999");
    let (udp, tcp) = (node.v4(2, Transport::Udp), node.v4(3, Transport::Tcp));
    node.pass(Passing { caller: udp, callee: v6(Transport::Udp), count: 100 });
    node.pass(Passing { caller: v6(Transport::Udp), callee: node.v4(4, Transport::Udp), count: 100 });
    node.pass(Passing { caller: udp, callee: tcp, count: 100 });
    node.pass(Passing { caller: node.v4(5, Transport::Tcp), callee: node.v4(6, Transport::Udp), count: 100 });
    node.expect_rest();
}

#[test]
fn a_node_that_was_late_reads_what_has_come_before_it_resends() {
    let network = Network::claim();
    let tandem = Tandem::start(&network, &Options::default().env("TANDEM_LOG", "info"));
    let api = tandem.add_account("busy", &["--tier", "enterprise"]);
    let slow = || Script::silent().wait(Duration::from_millis(300)).respond(180).respond(480);
    let (caller, callee) = (Peer::start(network.sip(2)), Peer::start_with(network.sip(3), move |_| slow()));
    let forward = json!({"call_direction": "inbound", "inbound_routing": {"default": {"type": "forward"}}});
    let many = json!({"max_concurrent_calls": CROWD});
    let _ = api.create_trunk("in", caller.address(), &merge(&forward, &many));
    let _ = api.create_trunk("out", callee.address(), &many);

    let (from, to) = (caller.address(), tandem.sip());
    for call in 0..CROWD {
        let invite = format!(
            "INVITE sip:{NUMBER}@{to} SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bK{call}\r\n\
             From: <sip:a@{from}>;tag=a\r\nTo: <sip:{NUMBER}@{to}>\r\nCall-ID: {call}@{from}\r\nCSeq: 1 INVITE\r\n\
             Contact: <sip:a@{from}>\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
        );
        caller.send(to, invite.as_bytes());
    }
    // All are on their way, for what a turn had not sent yet when it was stopped would be sent and be due to be resent at once. The
    // answers come while it is away, and the time to resend (T1, 500 ms) is over when it is back.
    eventually("every INVITE at the callee", SOON, || (callee.calls().len() == CROWD).then_some(()));
    tandem.freeze(Duration::from_millis(900));
    eventually("end of every call", SOON, || {
        let ended = callee.calls().iter().filter(|call| call.count("ACK") > 0).count();
        (ended == CROWD).then_some(())
    });
    let resent = callee.calls().iter().filter(|call| call.count("INVITE") > 1).count();
    assert!(resent < CROWD / 4, "{resent} of {CROWD} INVITEs were resent although their answers were there");
}

fn merge(one: &Value, other: &Value) -> Value {
    let fields = [one, other].into_iter().filter_map(Value::as_object).flatten();
    Value::Object(fields.map(|(name, value)| (name.clone(), value.clone())).collect())
}

/// Calls at once: their answers are more than the node reads in one go.
const CROWD: usize = 40;
const NUMBER: &str = "+12025550111";
const PER_SECOND: u32 = 100;
const SOON: Duration = Duration::from_secs(5);
/// Beyond the time that the calls take: SIPp ends within a second or two.
const PATIENCE: Duration = Duration::from_secs(15);
/// Bound by who has the turn; outside of every test's network.
const TURNSTILE: (Ipv4Addr, u16) = (Ipv4Addr::new(127, 0, 0, 1), 5_999);
/// The other crowds, on a busy machine.
const TURN: Duration = Duration::from_secs(180);
