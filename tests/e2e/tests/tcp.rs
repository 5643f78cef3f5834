//! Trunks whose carriers speak TCP.

use serde_json::json;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};
use tandem_e2e::{
    Network, Options, Scenario, Sipp, SippCounts, Tandem, TcpCarrier, TcpConnection, eventually, pause, text_at,
};
use tandem_model::Transport;

#[test]
fn sipp_answers_200_calls_at_20_a_second_over_tcp() {
    let network = Network::claim();
    let tandem = start(&network, &Options::default());
    let api = tandem.api();
    let sipp = Sipp::start_over(Transport::Tcp, Scenario::Answer, network.sip(2), CALLS);
    let trunk = api.create_trunk("sipp", network.sip(2), &over_tcp());
    assert_eq!(api.get(&format!("/trunks/{trunk}")).expect(200)["effective_transport"], "tcp");

    let begun = Instant::now();
    let ids: Vec<String> = (0..CALLS)
        .map(|number| {
            pause((begun + INTERVAL * number).saturating_duration_since(Instant::now()));
            text_at(&api.dial("+12025550100", &json!({"sip_trunk_id": trunk})), "/id")
        })
        .collect();
    let counts = sipp.finish(Duration::from_secs(20));
    assert_eq!(counts, SippCounts { successful: CALLS.into(), failed: 0 });

    let logged = eventually("call log with all calls", Duration::from_secs(5), || {
        let calls = api.get("/calls?limit=1000").expect(200);
        let calls = calls.as_array().cloned().unwrap_or_default();
        let over = calls.iter().filter(|call| !call["ended_at"].is_null()).count();
        (over == ids.len()).then_some(calls)
    });
    for call in &logged {
        let seen = (call["status"].as_str(), call["hangup_cause"].as_str(), call["hung_up_by"].as_str());
        assert_eq!(seen, (Some("completed"), Some("normal_clearing"), Some("callee")), "{call:#}");
    }
    let legs = api.closed_legs(&ids[0]);
    assert_eq!(legs[0]["transport"], "tcp", "{legs:#?}");
    assert_eq!(api.get(&format!("/trunks/{trunk}")).expect(200)["current_active_calls"], 0);
}

#[test]
fn the_simulated_carrier_answers_over_tcp() {
    let network = Network::claim();
    let tandem = start(&network, &Options::demo());
    let api = tandem.api();
    let trunk = api.create_trunk("tcp", network.sip(2), &over_tcp());
    let id = text_at(&api.dial("+12025550100", &json!({"sip_trunk_id": trunk})), "/id");
    let _ = api.wait_for_status(&id, "answered", Duration::from_secs(5));
    let _ = api.hang_up(&id).expect(200);
    assert_eq!(api.wait_for_end(&id, Duration::from_secs(5))["status"], "completed");

    let busy = text_at(&api.dial("+12025550102", &json!({"sip_trunk_id": trunk})), "/id");
    assert_eq!(api.wait_for_end(&busy, Duration::from_secs(5))["hangup_cause"], "user_busy");
}

#[test]
fn a_carrier_that_closes_a_quiet_connection_is_reached_over_another() {
    let network = Network::claim();
    let tandem = start(&network, &Options::default());
    let api = tandem.api();
    let carrier = TcpCarrier::listen(network.sip(2));
    let probed = json!({"advanced_config": {"transport": "tcp", "options_interval": null}});
    let trunk = api.create_trunk("quiet", network.sip(2), &probed);
    let mut first = carrier.accept();
    let probe = first.read();
    assert_eq!(probe.method(), Some("OPTIONS"));
    assert!(probe.header("Via").is_some_and(|via| via.starts_with(&format!("SIP/2.0/TCP {};", tandem.sip()))));
    first.answer(&probe, 200, "");

    // The call takes the connection that the probe has made.
    let id = text_at(&api.dial("+12025550100", &json!({"sip_trunk_id": trunk})), "/id");
    let invite = first.read();
    assert_eq!(invite.method(), Some("INVITE"));
    assert!(invite.address("Contact").is_some_and(|contact| contact.ends_with(";transport=tcp")));
    first.answer(&invite, 200, &sdp(network.sip(2)));
    assert_eq!(first.read().method(), Some("ACK"));
    let _ = api.wait_for_status(&id, "answered", Duration::from_secs(5));
    drop(first);

    // The connection is gone, the call is not; the next request opens another.
    let _ = api.wait_for_status(&id, "answered", Duration::from_secs(1));
    let _ = api.hang_up(&id).expect(200);
    let mut second = carrier.accept();
    let bye = second.read();
    assert_eq!((bye.method(), bye.call_id()), (Some("BYE"), invite.call_id()));
    second.answer(&bye, 200, "");
    assert_eq!(api.wait_for_end(&id, Duration::from_secs(5))["status"], "completed");
}

#[test]
fn calls_over_tcp_are_released_over_a_new_connection_after_a_crash() {
    let network = Network::claim();
    let mut tandem = start(&network, &Options::default());
    let api = tandem.api();
    let carrier = TcpCarrier::listen(network.sip(2));
    let trunk = api.create_trunk("tcp", network.sip(2), &over_tcp());
    let dial = || text_at(&api.dial("+12025550100", &json!({"sip_trunk_id": trunk})), "/id");
    let answered = dial();
    let mut first = carrier.accept();
    let invite = first.read();
    first.answer(&invite, 200, &sdp(network.sip(2)));
    assert_eq!(first.read().method(), Some("ACK"));
    let _ = api.wait_for_status(&answered, "answered", Duration::from_secs(5));
    let ringing = dial();
    let ringing_invite = first.read();
    first.answer(&ringing_invite, 180, "");
    let _ = api.wait_for_status(&ringing, "ringing", Duration::from_secs(5));

    tandem.kill();
    drop(first);
    tandem.restart();
    let mut second = carrier.accept();
    // In whichever order. The INVITE may be sent again, because nobody knows how far it had come.
    let mut seen = Vec::new();
    while !["BYE", "CANCEL"].iter().all(|method| seen.iter().any(|known| known == method)) {
        let request = second.read();
        let of = if request.method() == Some("BYE") { &invite } else { &ringing_invite };
        assert_eq!(request.call_id(), of.call_id(), "{request:?}");
        match request.method() {
            Some("INVITE") => second.answer(&request, 180, ""),
            Some("ACK") => {}
            _ => second.answer(&request, 200, ""),
        }
        if request.method() == Some("CANCEL") {
            assert_eq!(request.header("Via"), ringing_invite.header("Via"));
            second.answer(&ringing_invite, 487, "");
        }
        seen.extend(request.method().map(str::to_owned));
    }
    for (id, status) in [(&answered, "completed"), (&ringing, "failed")] {
        let call = api.wait_for_end(id, Duration::from_secs(5));
        assert_eq!((&call["status"], &call["hangup_cause"]), (&json!(status), &json!("node_restarted")), "{call:#}");
    }
}

#[test]
fn a_carrier_that_takes_no_connection_costs_no_time() {
    let network = Network::claim();
    let tandem = start(&network, &Options::default());
    let api = tandem.api();
    let carrier = TcpCarrier::listen(network.sip(3));
    let mut more = over_tcp();
    more["priority"] = json!(2);
    let _ = api.create_trunk("spare", network.sip(3), &more);
    more["priority"] = json!(1);
    let closed = api.create_trunk("closed", network.sip(2), &more);

    let begun = Instant::now();
    let id = text_at(&api.dial("+12025550100", &json!({})), "/id");
    let mut connection = carrier.accept();
    let invite = connection.read();
    assert_eq!(invite.method(), Some("INVITE"));
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    connection.answer(&invite, 486, "");
    assert_eq!(connection.read().method(), Some("ACK"));
    assert_eq!(api.wait_for_end(&id, PATIENCE)["hangup_cause"], "user_busy");
    let legs = api.closed_legs(&id);
    assert_eq!((legs.len(), legs[0]["sip_trunk_id"].as_str()), (2, Some(closed.as_str())), "{legs:#?}");
}

#[test]
fn what_is_no_sip_is_cut_off_and_calls_go_on() {
    let network = Network::claim();
    let tandem = start(&network, &Options::demo());
    let mut garbage = TcpStream::connect(tandem.sip()).unwrap();
    garbage.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    garbage.set_read_timeout(Some(PATIENCE)).unwrap();
    match garbage.read(&mut [0; 64]) {
        Ok(length) => assert_eq!(length, 0),
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
    let mut half = TcpStream::connect(tandem.sip()).unwrap();
    half.write_all(b"INVITE sip:a@b SIP/2.0\r\nVia: ").unwrap();

    let mut stranger = TcpConnection::connect(tandem.sip());
    let options = format!(
        "OPTIONS sip:{0} SIP/2.0\r\nVia: SIP/2.0/TCP {0};branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:{0}>\r\n\
         Call-ID: stranger\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n",
        tandem.sip()
    );
    stranger.send(options.as_bytes());
    assert_eq!(stranger.read().status(), Some(200));
}

fn start(network: &Network, options: &Options) -> Tandem {
    let sip = network.sip(1);
    Tandem::start(network, &options.clone().env("TANDEM_SIP_LISTEN", &format!("udp:{sip},tcp:{sip}")))
}

fn over_tcp() -> serde_json::Value {
    json!({"max_concurrent_calls": 100, "advanced_config": {"transport": "tcp"}})
}

fn sdp(address: SocketAddr) -> String {
    let ip = address.ip();
    format!(
        "v=0\r\no=far 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio 30000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
    )
}

const CALLS: u32 = 200;
/// 20 a second.
const INTERVAL: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(5);
