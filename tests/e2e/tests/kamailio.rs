//! Calls through Kamailio: the rules about proxies, proved by one that is not ours. Behind it SIPp calls or is called.

use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;
use tandem_e2e::{
    Api, Edge, Kamailio, Network, Options, SDP, Scene, SipText, Sipp, Tandem, digest, eventually, text_at,
};
use tandem_model::Transport;

/// A node on host 1, a SIPp on host 2, Kamailio on host 3.
struct Bench {
    network: Network,
    tandem: Tandem,
    api: Api,
}

fn bench() -> Bench {
    bench_at(&["udp", "tcp"])
}

fn bench_at(transports: &[&str]) -> Bench {
    let network = Network::claim();
    let sip = network.sip(1);
    let listen: Vec<String> = transports.iter().map(|transport| format!("{transport}:{sip}")).collect();
    let tandem = Tandem::start(
        &network,
        &Options::default().env("TANDEM_SIP_LISTEN", &listen.join(",")).env("TANDEM_LOG", "info"),
    );
    let api = tandem.api();
    Bench { network, tandem, api }
}

impl Bench {
    fn sipp(&self) -> SocketAddr {
        self.network.sip(2)
    }

    fn edge(&self) -> SocketAddr {
        self.network.sip(3)
    }

    /// An edge that sends what comes from the node to SIPp, after these statements, and everything else to the node.
    fn edge_with(&self, statements: &str) -> Edge {
        let (node, sipp) = (self.tandem.sip(), self.sipp());
        let onward = format!(
            "if ($si != \"{}\") {{ $du = \"sip:{node}\"; return; }}\n{statements}\n$du = \"sip:{sipp}\";\n",
            node.ip()
        );
        Edge::at(self.edge(), &onward)
    }

    fn kamailio(&self, statements: &str) -> Kamailio {
        Kamailio::start(&self.edge_with(statements))
    }

    /// A trunk to the edge, by which one number can be called in, too.
    fn trunk(&self, more: &Value) -> String {
        let mut body = json!({
            "auth_username": USERNAME, "auth_password": PASSWORD,
            "inbound_routing": {"rules": [{"to": INBOUND, "connect": {"type": "echo"}}]},
        });
        for (name, value) in more.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        self.api.create_trunk("edge", self.edge(), &body)
    }

    fn dial(&self, trunk: &str) -> String {
        text_at(&self.api.dial(OUTBOUND, &json!({"sip_trunk_id": trunk})), "/id")
    }

    fn answered(&self, trunk: &str) -> String {
        let id = self.dial(trunk);
        let _ = self.api.wait_for_status(&id, "answered", SOON);
        id
    }

    fn end(&self, id: &str) {
        let _ = self.api.hang_up(id).expect(200);
        let call = self.api.wait_for_end(id, SOON);
        assert_eq!(call["status"], "completed", "{call:#}");
    }

    /// The one call that there is, once it is up.
    fn only_call(&self) -> String {
        eventually("call that is up", SOON, || {
            let calls = self.api.get("/calls").expect(200);
            let calls = calls.as_array()?;
            calls.iter().find(|call| call["status"] == "answered").map(|call| text_at(call, "/id"))
        })
    }
}

/// Rings, answers, hears that it was heard.
fn answering() -> Scene {
    Scene::callee_behind_proxy().responds("180 Ringing", "", "").responds("200 OK", "", SDP).hears("ACK")
}

fn until_bye(scene: Scene) -> Scene {
    scene.hears("BYE").answers("200 OK", "", "")
}

fn branch(text: &SipText) -> &str {
    let via = text.header("Via").unwrap_or_default();
    via.split(';').find_map(|parameter| parameter.strip_prefix("branch=")).unwrap_or_else(|| panic!("{text:?}"))
}

/// All values of a header, whether in one line or in several.
fn values(text: &SipText, name: &str) -> Vec<String> {
    text.all(name).flat_map(|line| line.split(',')).map(|value| value.trim().to_owned()).collect()
}

#[test]
fn a_call_out_follows_the_route_set_of_a_proxy() {
    let bench = bench();
    let kamailio = bench.kamailio("");
    let trunk = bench.trunk(&json!({}));
    // The other side asks again in the middle of the call, by the route set as it sees it.
    let scene = answering().invites("", SDP).may_hear("100").hears("200").acknowledges("");
    let sipp = Sipp::take(Transport::Udp, &until_bye(scene), bench.sipp());
    let id = bench.answered(&trunk);
    let _ = kamailio.wait_for(bench.sipp(), "ACK");
    bench.end(&id);
    let heard = sipp.succeed();

    let invite = heard.iter().find(|message| message.text.method() == Some("INVITE")).expect("it was called");
    let routes = values(&invite.text, "Record-Route");
    assert_eq!(routes.len(), 1, "{invite:?}");
    for method in ["ACK", "BYE"] {
        let request = kamailio.wait_for(bench.tandem.sip(), method).text;
        assert_eq!(values(&request, "Route"), routes, "{method}");
        assert!(request.uri().is_some_and(|uri| uri.starts_with(&format!("sip:sipp@{}", bench.sipp()))), "{request:?}");
        // Which the proxy takes away.
        let passed = heard.iter().find(|message| message.came && message.text.method() == Some(method));
        assert!(passed.is_some_and(|message| message.text.header("Route").is_none()), "{passed:?}");
    }
    let _ = kamailio.wait_for(bench.tandem.sip(), "200 INVITE");
}

#[test]
fn a_call_in_follows_the_route_set_of_a_proxy() {
    let bench = bench();
    let kamailio = bench.kamailio("");
    let _ = bench.trunk(&json!({}));
    let scene = Scene::caller().invites("", SDP).may_hear("100").may_hear("180").hears("200").acknowledges("");
    let scene = scene.invites("", SDP).may_hear("100").hears("200").acknowledges("");
    let sipp = Sipp::place(Transport::Udp, &until_bye(scene), bench.sipp(), bench.edge(), INBOUND);
    let id = bench.only_call();
    eventually("ACK of the re-INVITE", SOON, || {
        kamailio.seen_from(bench.sipp(), "ACK").iter().any(|ack| ack.text.cseq() == Some((2, "ACK"))).then_some(())
    });
    bench.end(&id);
    let heard = sipp.succeed();

    let answer = kamailio.wait_for(bench.tandem.sip(), "200 INVITE").text;
    let routes = values(&answer, "Record-Route");
    assert_eq!(routes.len(), 1, "it copies the route to the caller: {answer:?}");
    let bye = kamailio.wait_for(bench.tandem.sip(), "BYE").text;
    assert_eq!(values(&bye, "Route"), routes);
    assert!(bye.uri().is_some_and(|uri| uri.starts_with(&format!("sip:sipp@{}", bench.sipp()))), "{bye:?}");
    assert!(heard.iter().any(|message| message.came && message.text.method() == Some("BYE")));
}

#[test]
fn a_route_set_may_change_the_transport() {
    let bench = bench();
    let edge = bench.edge_with(&format!("$fs = \"udp:{}\";", bench.edge())).and_at(Transport::Tcp, bench.edge());
    let kamailio = Kamailio::start(&edge);
    let trunk = bench.trunk(&json!({"advanced_config": {"transport": "tcp", "options_interval": 0}}));
    let scene = answering().invites("", SDP).may_hear("100").hears("200").acknowledges("");
    let sipp = Sipp::take(Transport::Udp, &until_bye(scene), bench.sipp());
    let id = bench.answered(&trunk);
    let _ = kamailio.wait_for(bench.sipp(), "ACK");
    bench.end(&id);
    let heard = sipp.succeed();

    // Two values of one proxy: what faces SIPp, and what faces us.
    let recorded = values(&heard[0].text, "Record-Route");
    assert_eq!(recorded.len(), 2, "{recorded:?}");
    let reversed: Vec<String> = recorded.into_iter().rev().collect();
    assert!(reversed[0].contains("transport=tcp") && !reversed[1].contains("transport=tcp"), "{reversed:?}");
    for method in ["INVITE", "ACK", "BYE"] {
        let request = kamailio.wait_for(bench.tandem.sip(), method);
        assert_eq!(request.transport, "tcp", "{method}");
        if method != "INVITE" {
            assert_eq!(values(&request.text, "Route"), reversed, "{method}");
        }
    }
    assert!(heard.iter().all(|message| message.text.header("Via").is_some_and(|via| via.contains("/UDP"))));
}

#[test]
fn a_call_in_may_change_the_transport_at_a_proxy() {
    let bench = bench();
    let onward = format!("$du = \"sip:{};transport=tcp\";", bench.tandem.sip());
    let edge = Edge::at(bench.edge(), &onward).and_at(Transport::Tcp, bench.edge());
    // Else it connects from whatever address of the loopback the kernel likes.
    let kamailio = Kamailio::start(&edge.with_blocks(&format!("tcp_source_ipv4={}\n", bench.edge().ip())));
    let _ = bench.trunk(&json!({"advanced_config": {"transport": "tcp", "options_interval": 0}}));
    let scene = Scene::caller().invites("", SDP).may_hear("100").may_hear("180").hears("200").acknowledges("");
    let sipp = Sipp::place(Transport::Udp, &until_bye(scene), bench.sipp(), bench.edge(), INBOUND);
    let id = bench.only_call();
    let _ = kamailio.wait_for(bench.sipp(), "ACK");
    bench.end(&id);
    let _ = sipp.succeed();
    let routes = values(&kamailio.wait_for(bench.tandem.sip(), "200 INVITE").text, "Record-Route");
    assert_eq!(routes.len(), 2, "{routes:?}");
    let bye = kamailio.wait_for(bench.tandem.sip(), "BYE");
    assert_eq!((bye.transport.as_str(), values(&bye.text, "Route")), ("tcp", routes));
}

#[test]
fn a_proxy_that_hides_its_topology_is_followed_blindly() {
    let bench = bench();
    let edge = bench.edge_with("").with_module("topoh", &["\"mask_key\", \"e2e\"", "\"mask_ip\", \"127.0.0.8\""]);
    let kamailio = Kamailio::start(&edge);
    let trunk = bench.trunk(&json!({}));
    let scene = answering().invites("", SDP).may_hear("100").hears("200").acknowledges("");
    let sipp = Sipp::take(Transport::Udp, &until_bye(scene), bench.sipp());
    let id = bench.answered(&trunk);
    let _ = kamailio.wait_for(bench.sipp(), "ACK");
    bench.end(&id);
    let _ = sipp.succeed();

    let scene = Scene::caller().invites("", SDP).may_hear("100").may_hear("180").hears("200").acknowledges("");
    let sipp = Sipp::place(Transport::Udp, &scene.asks("BYE", "").hears("200"), bench.sipp(), bench.edge(), INBOUND);
    let heard = sipp.succeed();
    // Nothing of the node's addresses is in what SIPp has read, so that only the proxy can have brought it to the node.
    let answer = heard.iter().find(|message| message.text.what() == "200 INVITE").expect("an answer");
    let contact = answer.text.header("Contact").unwrap_or_default();
    assert!(contact.contains("127.0.0.8"), "{contact}");
}

#[test]
fn an_outbound_proxy_is_a_route_and_the_request_uri_stays() {
    let bench = bench();
    let kamailio = bench.kamailio("");
    let proxy = json!({"sip_domain": "carrier.example.com", "sip_proxy": bench.edge().to_string()});
    let trunk = bench.trunk(&proxy);
    let sipp = Sipp::take(Transport::Udp, &until_bye(answering()), bench.sipp());
    let id = bench.answered(&trunk);
    bench.end(&id);
    let heard = sipp.succeed();
    let invite = kamailio.wait_for(bench.tandem.sip(), "INVITE").text;
    assert_eq!(invite.uri().and_then(|uri| uri.split('@').nth(1)), Some("carrier.example.com"), "{invite:?}");
    let routes = values(&invite, "Route");
    assert!(routes.len() == 1 && routes[0].starts_with(&format!("<sip:{};", bench.edge())), "{routes:?}");
    assert_eq!((heard[0].text.uri(), heard[0].text.header("Route")), (invite.uri(), None));
}

#[test]
fn a_proxy_finds_the_digest_for_its_407_right() {
    let bench = bench();
    let kamailio = Kamailio::start(&bench.edge_with(&challenge("proxy")).with_module("auth", &[]));
    let heard = challenged_call(&bench);
    let invites = kamailio.seen_from(bench.tandem.sip(), "INVITE");
    let credentials = invites.iter().find_map(|invite| invite.text.header("Proxy-Authorization")).expect("credentials");
    assert!(credentials.contains("qop=auth"), "{credentials}");
    // A request of its own, in the same call.
    let answers = |invite: &&tandem_e2e::EdgeMessage| invite.text.header("Proxy-Authorization").is_some();
    let (first, second) = (&invites[0].text, &invites.iter().find(answers).expect("credentials").text);
    assert!(branch(second) != branch(first) && second.call_id() == first.call_id());
    assert!(second.cseq() > first.cseq() && second.header("From") == first.header("From"));
    assert!(heard.header("Proxy-Authorization").is_none(), "credentials for the proxy end there: {heard:?}");
}

#[test]
fn a_proxy_finds_a_sha_256_digest_for_its_401_right() {
    let bench = bench();
    let auth = ["\"algorithm\", \"SHA-256\""];
    let kamailio = Kamailio::start(&bench.edge_with(&challenge("www")).with_module("auth", &auth));
    let _ = challenged_call(&bench);
    let invites = kamailio.seen_from(bench.tandem.sip(), "INVITE");
    let credentials = invites.iter().find_map(|invite| invite.text.header("Authorization")).expect("credentials");
    assert!(credentials.contains("algorithm=SHA-256"), "{credentials}");
}

#[test]
fn a_nonce_that_has_become_stale_is_answered_anew() {
    let bench = bench();
    // The first credentials wait until their nonce is too old.
    let wait = "if (is_present_hf(\"Proxy-Authorization\") && $shv(waited) == 0) {
            $shv(waited) = 1;
            t_newtran();
            async_route(\"LATER\", \"4\");
            exit;
        }";
    let later = format!("route[LATER] {{ {} $du = \"sip:{}\"; t_relay(); }}", challenge("proxy"), bench.sipp());
    let edge = bench.edge_with(&format!("{wait}\n{}", challenge("proxy")));
    let edge = edge.with_module("auth", &["\"nonce_expire\", 2"]).with_module("async", &["\"workers\", 1"]);
    let kamailio = Kamailio::start(&edge.with_blocks(&later));
    let _ = challenged_call(&bench);
    let invites = kamailio.seen_from(bench.tandem.sip(), "INVITE");
    let nonces: BTreeSet<_> =
        invites.iter().filter_map(|invite| nonce(invite.text.header("Proxy-Authorization")?)).collect();
    assert_eq!(nonces.len(), 2, "{nonces:?}");
}

#[test]
fn a_proxy_and_the_callee_behind_it_may_both_challenge() {
    let bench = bench();
    let kamailio = Kamailio::start(&bench.edge_with(&challenge("proxy")).with_module("auth", &[]));
    let trunk = bench.trunk(&json!({}));
    let ask =
        format!("WWW-Authenticate: Digest realm=\"{REALM}\", nonce=\"47364c23432d2e131a5fb210812c\", qop=\"auth\"");
    let scene = Scene::callee_behind_proxy().responds("401 Unauthorized", &ask, "").hears("ACK");
    let scene = scene.hears_with("INVITE", &[("Authorization:", "47364c23432d2e131a5fb210812c")]);
    let scene = until_bye(scene.responds("200 OK", "", SDP).hears("ACK"));
    let sipp = Sipp::take(Transport::Udp, &scene, bench.sipp());
    let id = bench.answered(&trunk);
    bench.end(&id);
    let heard = sipp.succeed();
    let credentials = heard.iter().find_map(|message| message.text.header("Authorization")).expect("credentials");
    assert!(digest::is_right(credentials, "INVITE", USERNAME, PASSWORD), "{credentials}");
    let last = kamailio.seen_from(bench.tandem.sip(), "INVITE").pop().expect("an INVITE").text;
    assert!(last.header("Proxy-Authorization").is_some() && last.header("Authorization").is_some(), "{last:?}");
}

#[test]
fn a_bye_may_be_challenged() {
    let bench = bench();
    // As it does with the INVITE, which is another request with another nonce.
    let ours = format!("if ($si == \"{}\") {{ {} }}", bench.tandem.sip().ip(), challenge("proxy"));
    let edge = bench.edge_with(&challenge("proxy")).inside(&ours).with_module("auth", &[]);
    let kamailio = Kamailio::start(&edge);
    let _ = challenged_call(&bench);
    let byes = kamailio.seen_from(bench.tandem.sip(), "BYE");
    let (first, last) = (&byes[0].text, &byes[byes.len() - 1].text);
    assert!(first.cseq() < last.cseq() && values(first, "Route") == values(last, "Route"), "{byes:#?}");
    assert!(last.header("Proxy-Authorization").is_some_and(|credentials| credentials.contains("uri=\"sip:sipp@")));
}

#[test]
fn a_route_set_outlives_the_process() {
    let mut bench = bench();
    let edge = bench.edge_with(&format!("$fs = \"udp:{}\";", bench.edge())).and_at(Transport::Tcp, bench.edge());
    let kamailio = Kamailio::start(&edge);
    let trunk = bench.trunk(&json!({"advanced_config": {"transport": "tcp", "options_interval": 0}}));
    let sipp = Sipp::take(Transport::Udp, &until_bye(answering()), bench.sipp());
    let id = bench.answered(&trunk);
    let ack = kamailio.wait_for(bench.tandem.sip(), "ACK").text;
    bench.tandem.kill();
    bench.tandem.restart();
    let _ = sipp.succeed();
    let bye = kamailio.wait_for(bench.tandem.sip(), "BYE").text;
    assert_eq!((values(&bye, "Route"), bye.uri()), (values(&ack, "Route"), ack.uri()));
    assert_eq!(bench.api.wait_for_end(&id, SOON)["hangup_cause"], "node_restarted");
}

#[test]
fn a_proxy_knows_the_cancel_of_a_process_that_has_begun_anew() {
    let mut bench = bench();
    let kamailio = bench.kamailio("");
    let trunk = bench.trunk(&json!({}));
    let scene = Scene::callee_behind_proxy().responds("180 Ringing", "", "").hears("CANCEL").answers("200 OK", "", "");
    let sipp =
        Sipp::take(Transport::Udp, &scene.responds_late("487 Request Terminated", "").hears("ACK"), bench.sipp());
    let id = bench.dial(&trunk);
    let _ = bench.api.wait_for_status(&id, "ringing", SOON);
    bench.tandem.kill();
    bench.tandem.restart();
    let _ = sipp.succeed();
    let [invite, cancel, ack] =
        ["INVITE", "CANCEL", "ACK"].map(|method| kamailio.wait_for(bench.tandem.sip(), method).text);
    assert_eq!((branch(&cancel), branch(&ack)), (branch(&invite), branch(&invite)));
    assert_eq!(bench.api.wait_for_end(&id, SOON)["hangup_cause"], "node_restarted");
}

#[test]
fn a_cancel_goes_hop_by_hop_and_its_487_is_acknowledged() {
    let bench = bench();
    let kamailio = bench.kamailio("");
    let trunk = bench.trunk(&json!({}));
    let scene = Scene::callee_behind_proxy().responds("180 Ringing", "", "").hears("CANCEL").answers("200 OK", "", "");
    let sipp =
        Sipp::take(Transport::Udp, &scene.responds_late("487 Request Terminated", "").hears("ACK"), bench.sipp());
    let id = bench.dial(&trunk);
    let _ = bench.api.wait_for_status(&id, "ringing", SOON);
    let _ = bench.api.hang_up(&id).expect(200);
    let call = bench.api.wait_for_end(&id, SOON);
    assert_eq!(call["status"], "canceled", "{call:#}");
    let heard = sipp.succeed();

    let of_node = |method: &str| kamailio.wait_for(bench.tandem.sip(), method).text;
    let (invite, cancel, ack) = (of_node("INVITE"), of_node("CANCEL"), of_node("ACK"));
    for request in [&cancel, &ack] {
        assert_eq!((branch(request), request.uri()), (branch(&invite), invite.uri()), "{request:?}");
        assert_eq!(request.cseq().map(|(number, _)| number), invite.cseq().map(|(number, _)| number), "{request:?}");
    }
    assert_eq!(cancel.header("To"), invite.header("To"), "no tag: it is of the request, not of a dialog");
    let passed = heard.iter().find(|message| message.text.method() == Some("CANCEL")).expect("a CANCEL");
    assert_eq!(values(&passed.text, "Via").len(), 1, "the proxy's own: {passed:?}");
    assert_eq!(values(&heard[0].text, "Via").len(), 2);
}

#[test]
fn a_200_that_crosses_the_cancel_at_a_proxy_is_acknowledged_and_ended() {
    let bench = bench();
    let kamailio = bench.kamailio("");
    let trunk = bench.trunk(&json!({}));
    let scene = Scene::callee_behind_proxy().responds("180 Ringing", "", "").hears("CANCEL").answers("200 OK", "", "");
    let scene = until_bye(scene.responds_late("200 OK", SDP).hears("ACK"));
    let sipp = Sipp::take(Transport::Udp, &scene, bench.sipp());
    let id = bench.dial(&trunk);
    let _ = bench.api.wait_for_status(&id, "ringing", SOON);
    let _ = bench.api.hang_up(&id).expect(200);
    let _ = sipp.succeed();
    let call = bench.api.wait_for_end(&id, SOON);
    assert_eq!((&call["status"], call["cost"].as_f64()), (&json!("canceled"), Some(0.0)), "{call:#}");
    let (ack, bye) =
        (kamailio.wait_for(bench.tandem.sip(), "ACK").text, kamailio.wait_for(bench.tandem.sip(), "BYE").text);
    assert!(!values(&ack, "Route").is_empty() && values(&ack, "Route") == values(&bye, "Route"), "{ack:?} {bye:?}");
}

#[test]
fn a_caller_behind_a_proxy_may_cancel() {
    let bench = bench();
    let kamailio = bench.kamailio("");
    let _ = bench.trunk(&json!({"inbound_routing": {"default": {"type": "forward"}}, "call_direction": "inbound"}));
    let far = bench.network.sip(4);
    let _ = bench.api.create_trunk("far", far, &json!({"call_direction": "outbound"}));
    let scene = Scene::callee().responds("180 Ringing", "", "").hears("CANCEL").answers("200 OK", "", "");
    let called = Sipp::take(Transport::Udp, &scene.responds_late("487 Request Terminated", "").hears("ACK"), far);
    let scene = Scene::caller().invites("", SDP).may_hear("100").hears("180").cancels().hears("200").hears("487");
    let calling =
        Sipp::place(Transport::Udp, &scene.acknowledges_failure(), bench.sipp(), bench.edge(), "+12025550177");
    let (_, _) = (calling.succeed(), called.succeed());
    let [ok, terminated] = ["200 CANCEL", "487 INVITE"].map(|what| kamailio.wait_for(bench.tandem.sip(), what).text);
    // RFC 3261 §9.2: one tag in both.
    assert_eq!(ok.header("To"), terminated.header("To"));
}

#[test]
fn of_the_answers_of_a_fork_the_first_is_taken_and_the_other_is_ended() {
    let bench = bench();
    let (one, two) = (bench.network.sip(4), bench.network.sip(5));
    let fork = format!("$ru = \"sip:one@{one}\"; append_branch(\"sip:two@{two}\"); t_relay(); exit;");
    let kamailio = bench.kamailio(&fork);
    let trunk = bench.trunk(&json!({}));
    // Both say something before they answer: two early dialogs. The proxy cancels the slower one, which answers nevertheless.
    let early = || Scene::callee_behind_proxy().responds("183 Session Progress", "", SDP);
    let slow = early().hears("CANCEL").answers("200 OK", "", "").responds_late("200 OK", SDP).hears("ACK");
    let fast = early().waits(Duration::from_millis(700)).responds("200 OK", "", SDP).hears("ACK");
    let slow = Sipp::take(Transport::Udp, &until_bye(slow), one);
    let fast = Sipp::take(Transport::Udp, &until_bye(fast), two);
    let id = bench.answered(&trunk);
    let lost = slow.succeed();
    assert_eq!(bench.api.call(&id)["status"], "answered");
    assert!(fast.messages().iter().all(|message| message.text.method() != Some("BYE")), "its call goes on");
    bench.end(&id);
    let won = fast.succeed();

    let ack = |heard: &[tandem_e2e::SippMessage]| {
        let found = heard.iter().find(|message| message.text.method() == Some("ACK")).expect("an ACK");
        found.text.header("To").map(str::to_owned)
    };
    assert_ne!(ack(&lost), ack(&won), "each has the ACK of its own dialog");
    for branch in [one, two] {
        let _ = kamailio.wait_for(branch, "183 INVITE");
    }
}

#[test]
fn a_proxy_that_tries_one_after_the_other_makes_one_call() {
    let bench = bench();
    let (one, two) = (bench.network.sip(4), bench.network.sip(5));
    let first = format!("t_on_failure(\"NEXT\"); $du = \"sip:{one}\"; t_relay(); exit;");
    let next = format!("failure_route[NEXT] {{ if (t_is_canceled()) exit; $du = \"sip:{two}\"; t_relay(); }}");
    let kamailio = Kamailio::start(&bench.edge_with(&first).with_blocks(&next));
    let trunk = bench.trunk(&json!({}));
    // Where a tone is heard shows whose description counts.
    let heard_at = SDP.replace("[media_port]", "7000");
    let ears = [one, two].map(|callee| UdpSocket::bind((callee.ip(), 7_000)).expect("the network is the test's own"));
    let early = || Scene::callee_behind_proxy().responds("183 Session Progress", "", &heard_at);
    let busy = Sipp::take(Transport::Udp, &early().responds("486 Busy Here", "", "").hears("ACK"), one);
    let free = Sipp::take(Transport::Udp, &until_bye(early().responds("200 OK", "", &heard_at).hears("ACK")), two);
    let order = json!({"sip_trunk_id": trunk, "connect": {"type": "play", "tone": "1000"}});
    let id = text_at(&bench.api.dial(OUTBOUND, &order), "/id");
    let _ = bench.api.wait_for_status(&id, "answered", SOON);
    let _ = busy.succeed();
    ears[1].set_read_timeout(Some(SOON)).expect("it is not zero");
    assert!(ears[1].recv(&mut [0; 1_500]).is_ok(), "who answered hears the tone");
    ears[0].set_nonblocking(true).expect("a socket can be told not to wait");
    while ears[0].recv(&mut [0; 1_500]).is_ok() {}
    for _ in 0..10 {
        assert!(ears[1].recv(&mut [0; 1_500]).is_ok(), "it goes on");
    }
    assert!(ears[0].recv(&mut [0; 1_500]).is_err(), "who was busy hears nothing");
    bench.end(&id);
    let heard = free.succeed();
    let tag = |text: &SipText| text.header("To").and_then(|to| to.split_once(";tag=")).map(|(_, tag)| tag.to_owned());
    let answer = heard.iter().find(|message| message.text.what() == "200 INVITE").expect("it answered");
    let bye = kamailio.wait_for(bench.tandem.sip(), "BYE").text;
    assert_eq!(tag(&bye), tag(&answer.text), "not that of the first early dialog");
}

#[test]
fn a_request_that_comes_over_two_paths_is_taken_once() {
    let network = Network::claim();
    let (node, other) = (network.sip(1), SocketAddr::new(network.host(1), 5_062));
    let options = Options::default().env("TANDEM_SIP_LISTEN", &format!("udp:{node},udp:{other}"));
    let tandem = Tandem::start(&network, &options);
    let bench = Bench { api: tandem.api(), network, tandem };
    let fork = format!("$ru = \"sip:{INBOUND}@{node}\"; append_branch(\"sip:{INBOUND}@{other}\"); t_relay(); exit;");
    let kamailio = Kamailio::start(&Edge::at(bench.edge(), &fork));
    let _ = bench.trunk(&json!({}));
    let scene = Scene::caller().invites("", SDP).may_hear("100").may_hear("180").hears("200").acknowledges("");
    let sipp = Sipp::place(Transport::Udp, &scene.asks("BYE", "").hears("200"), bench.sipp(), bench.edge(), INBOUND);
    let _ = sipp.succeed();
    for what in ["200 INVITE", "482 INVITE"] {
        let _ = kamailio.wait_for(node, what);
    }
    let calls = eventually("call in the log", SOON, || Some(bench.api.all_calls()).filter(|calls| !calls.is_empty()));
    assert_eq!(calls.len(), 1, "{calls:#?}");
}

#[test]
fn a_call_may_come_back_to_the_node_as_another() {
    let bench = bench();
    let kamailio = Kamailio::start(&Edge::at(
        bench.edge(),
        &format!("$rU = \"{INBOUND}\"; $du = \"sip:{}\";", bench.tandem.sip()),
    ));
    let trunk = bench.trunk(&json!({}));
    let id = bench.answered(&trunk);
    bench.end(&id);
    let calls = eventually("two calls that are over", SOON, || {
        let calls = bench.api.all_calls();
        (calls.len() == 2 && calls.iter().all(|call| call["status"] == "completed")).then_some(calls)
    });
    let mut directions: Vec<String> = calls.iter().map(|call| text_at(call, "/direction")).collect();
    directions.sort();
    assert_eq!(directions, ["inbound", "outbound"]);
    // One Call-ID, and each side of it has its own half of the dialog.
    let [invite, ok, bye, over] =
        ["INVITE", "200 INVITE", "BYE", "200 BYE"].map(|what| kamailio.wait_for(bench.tandem.sip(), what).text);
    assert!([&ok, &bye, &over].iter().all(|text| text.call_id() == invite.call_id()));
    assert_eq!((bye.header("From"), bye.header("To")), (ok.header("From"), ok.header("To")));
}

#[test]
fn a_request_without_a_hop_left_behind_a_proxy_gets_483() {
    let bench = bench();
    let kamailio = bench.kamailio("");
    let _ = bench.trunk(&json!({}));
    let scene = Scene::caller().invites("Max-Forwards: 1", SDP).may_hear("100").hears("483").acknowledges_failure();
    let _ = Sipp::place(Transport::Udp, &scene, bench.sipp(), bench.edge(), INBOUND).succeed();
    // It is not the proxy's own.
    let _ = kamailio.wait_for(bench.tandem.sip(), "483 INVITE");
}

#[test]
fn a_100_of_a_proxy_ends_the_repeats() {
    let bench = bench();
    let kamailio = bench.kamailio("");
    let trunk = bench.trunk(&json!({}));
    // Without it there would be four (RFC 3261 §17.1.1.2: after 0.5, 1.5 and 3.5 s).
    let scene = Scene::callee_behind_proxy().waits(Duration::from_millis(3_800)).responds("180 Ringing", "", "");
    let sipp = Sipp::take(Transport::Udp, &until_bye(scene.responds("200 OK", "", SDP).hears("ACK")), bench.sipp());
    let id = bench.answered(&trunk);
    bench.end(&id);
    let _ = sipp.succeed();
    // A busy proxy may say it late.
    let sent = kamailio.seen_from(bench.tandem.sip(), "INVITE").len();
    assert!(sent <= 2, "{sent} INVITEs");
}

#[test]
fn a_request_too_large_for_a_datagram_goes_to_a_proxy_by_tcp() {
    let bench = bench();
    let edge = bench.edge_with(&format!("$fs = \"udp:{}\";", bench.edge())).and_at(Transport::Tcp, bench.edge());
    let kamailio = Kamailio::start(&edge);
    let large = "x".repeat(500);
    let trunk = bench.trunk(&json!({"custom_headers": {"X-One": large, "X-Two": large}}));
    let sipp = Sipp::take(Transport::Udp, &until_bye(answering()), bench.sipp());
    let id = bench.answered(&trunk);
    bench.end(&id);
    let _ = sipp.succeed();
    let invites = kamailio.seen_from(bench.tandem.sip(), "INVITE");
    assert_eq!(invites[0].transport, "tcp", "{invites:#?}");
    assert!(invites[0].text.header("Via").is_some_and(|via| via.starts_with("SIP/2.0/TCP")), "{invites:?}");
}

#[test]
fn a_503_of_a_proxy_is_a_rest_for_as_long_as_it_says() {
    let bench = bench();
    let refuse = "append_to_reply(\"Retry-After: 30\\r\\n\"); sl_send_reply(\"503\", \"Full\"); exit;";
    let kamailio = bench.kamailio(refuse);
    let trunk = bench.trunk(&json!({}));
    let first = bench.api.wait_for_end(&bench.dial(&trunk), SOON);
    assert_eq!(first["status"], "failed", "{first:#}");
    let second = bench.api.try_dial(OUTBOUND, &json!({"sip_trunk_id": trunk}));
    assert_eq!(second.status, 503, "{}", second.text);
    assert!(second.text.contains("trunk_resting"), "{}", second.text);
    let invites = kamailio.seen_from(bench.tandem.sip(), "INVITE");
    let calls: BTreeSet<&str> = invites.iter().map(|invite| invite.text.call_id()).collect();
    assert_eq!(calls.len(), 1, "{}", kamailio.ladder());
}

#[test]
fn a_dispatcher_that_probes_finds_the_node_alive() {
    let bench = bench();
    let list = format!("1 sip:{} 9\n", bench.tandem.sip());
    let parameters = [
        "\"list_file\", \"dispatcher.list\"",
        "\"ds_ping_interval\", 1",
        "\"ds_probing_mode\", 1",
        "\"ds_ping_reply_codes\", \"code=200\"",
    ];
    let edge = bench.edge_with("").with_module("dispatcher", &parameters).with_file("dispatcher.list", &list);
    let up = "event_route[dispatcher:dst-up] { xlog(\"L_NOTICE\", \"the node is up: $ru\\n\"); }";
    let _ = bench.trunk(&json!({}));
    let kamailio = Kamailio::start(&edge.with_blocks(up));
    eventually("node that is up", SOON, || kamailio.log().contains("the node is up").then_some(()));
    let answer = kamailio.wait_for(bench.tandem.sip(), "200 OPTIONS").text;
    let allowed = values(&answer, "Allow");
    for method in ["INVITE", "ACK", "CANCEL", "BYE", "OPTIONS"] {
        assert!(allowed.iter().any(|known| known == method), "{answer:?}");
    }
    assert_eq!(answer.header("Accept"), Some("application/sdp"));
}

/// Asks for a digest as a proxy (407) or as a server (401), until it is right.
fn challenge(kind: &str) -> String {
    format!(
        "if (!pv_{kind}_authenticate(\"{REALM}\", \"{PASSWORD}\", \"0\")) {{
            # Its nonce has expired: stale is 16, qop is 1.
            if ($rc == -4) {kind}_challenge(\"{REALM}\", \"17\");
            else {kind}_challenge(\"{REALM}\", \"1\");
            exit;
        }}
        if ($au != \"{USERNAME}\") {{ sl_send_reply(\"403\", \"Not you\"); exit; }}
        consume_credentials();"
    )
}

/// A call that is answered once the edge was content; gives the INVITE that came through.
fn challenged_call(bench: &Bench) -> SipText {
    let trunk = bench.trunk(&json!({}));
    let sipp = Sipp::take(Transport::Udp, &until_bye(answering()), bench.sipp());
    let id = bench.answered(&trunk);
    bench.end(&id);
    sipp.succeed().swap_remove(0).text
}

fn nonce(credentials: &str) -> Option<&str> {
    credentials.split_once("nonce=\"")?.1.split('"').next()
}

const REALM: &str = "carrier.example";
const USERNAME: &str = "e2e";
const PASSWORD: &str = "digest-password";
const OUTBOUND: &str = "+12025550100";
const INBOUND: &str = "+12025550122";
/// On a busy machine.
const SOON: Duration = Duration::from_secs(15);
