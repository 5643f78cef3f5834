//! Torture packets of RTP and RTCP against a live call (tests/data/torture), and random ones.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::Value;
use tandem_media::engine::{Command, Engine, Event, Limits, Output, Payload, PortId, RemoteMedia, Sink};
use tandem_media::rtcp::{Packet, SenderInfo};
use tandem_media::rtp::{self, Header};
use tandem_media::{dtmf, rtcp};
use tandem_model::Codec;

const CALLER: PortId = PortId(0);
const CALLEE: PortId = PortId(1);
/// Packets before anything odd comes: a second.
const TALKED: u64 = 50;

#[test]
fn each_packet_of_the_corpus_is_relayed_or_dropped_as_it_must_be() {
    let mut relayed = 0;
    for case in cases("rtp/") {
        let mut call = Call::new();
        let source = match case.id.as_str() {
            "rtp/inject-other-port" => "192.0.2.1:4444",
            _ => "192.0.2.1:4000",
        };
        let before = call.say(source, &case.bytes);
        match case.parse.as_str() {
            "relay" => assert!(before.is_some(), "{} is not relayed", case.id),
            "drop" => assert_eq!(before, None, "{}", case.id),
            "either" => {}
            other => panic!("{}: {other}?", case.id),
        }
        if let Some(sent) = &before {
            assert_well_formed(sent, &case.id);
            relayed += 1;
        }
        call.assert_goes_on(&case.id);
    }
    assert!(relayed >= 9, "{relayed}");
}

#[test]
fn all_packets_of_the_corpus_may_come_in_one_call() {
    let mut call = Call::new();
    for case in cases("rtp/") {
        let sent = call.say("192.0.2.1:4000", &case.bytes);
        if let Some(sent) = &sent {
            assert_well_formed(sent, &case.id);
        }
        if case.parse == "relay" {
            assert!(sent.is_some(), "{} is not relayed", case.id);
        }
        call.assert_goes_on(&case.id);
    }
}

#[test]
fn keys_of_the_corpus_are_told() {
    let mut call = Call::new();
    for case in cases("rtp/").iter().filter(|case| case.id.starts_with("rtp/dtmf")) {
        call.say("192.0.2.1:4000", &case.bytes);
    }
    call.pass(Duration::from_secs(1));
    let fives = call.events.iter().filter(|event| {
        let five = dtmf::Digit::from_char('5').unwrap();
        matches!(event, Event::Digit { digit, .. } if *digit == five)
    });
    // Begin, end and what comes late in eight octets are one key; the long one is another.
    assert_eq!(fives.count(), 2);
}

#[test]
fn each_report_of_the_corpus_is_read_or_refused_as_it_must_be() {
    for case in cases("rtcp/") {
        let read = rtcp::parse(&case.bytes);
        match case.parse.as_str() {
            "accept" => assert!(read.is_ok(), "{} {read:?}", case.id),
            "drop" | "reject" => assert!(read.is_err(), "{}", case.id),
            "either" => {}
            other => panic!("{}: {other}?", case.id),
        }
        if let Some(fields) = &case.fields {
            let sender = read.unwrap().find_map(sender_info).expect("a sender report");
            assert_eq!(u64::from(sender.ssrc), fields["ssrc"]);
            assert_eq!(u64::from(sender.packet_count), fields["packet_count"]);
        }

        for multiplexed in [false, true] {
            let mut call = Call::new();
            call.set_rtcp_mux(multiplexed);
            if multiplexed {
                assert_eq!(call.say("192.0.2.1:4000", &case.bytes), None, "{}", case.id);
            } else {
                let from = "192.0.2.1:4001".parse().unwrap();
                call.engine.handle_rtcp(CALLER, from, &case.bytes, call.now);
            }
            call.assert_goes_on(&case.id);
            let stats = call.engine.stats(CALLER).unwrap();
            assert_eq!(stats.round_trip_us, None, "{}", case.id);
            match case.parse.as_str() {
                "accept" => assert_eq!(stats.received.rtcp_packets, 1, "{}", case.id),
                "drop" => assert_eq!(stats.received.rtcp_packets, 0, "{}", case.id),
                _ => {}
            }
        }
    }
}

proptest! {
    #[test]
    fn random_datagrams_never_break_a_call(
        datagrams in proptest::collection::vec(
            (datagram(), any::<bool>(), 0_u64..200), 1..40,
        ),
    ) {
        let mut call = Call::new();
        call.set_rtcp_mux(true);
        for (datagram, is_rtcp, wait) in datagrams {
            if is_rtcp {
                let from = "192.0.2.1:4001".parse().unwrap();
                call.engine.handle_rtcp(CALLER, from, &datagram, call.now);
            } else if let Some(sent) = call.say("192.0.2.1:4000", &datagram) {
                assert_well_formed(&sent, "random");
            }
            call.pass(Duration::from_millis(wait));
        }
        call.assert_goes_on("random");
    }

    #[test]
    fn any_order_of_a_stream_is_counted_right(
        mut order in Just((0..60_u16).collect::<Vec<_>>()).prop_shuffle(),
        kept in 1..60_usize,
        first: u16,
    ) {
        order.truncate(kept);
        let mut call = Call::new();
        for step in &order {
            let header = Header {
                marker: false,
                payload_type: 0,
                sequence: first.wrapping_add(*step),
                timestamp: u32::from(*step) * 160,
                ssrc: 77,
            };
            call.say("192.0.2.1:4000", &[header.to_bytes().as_slice(), &[1; 160]].concat());
        }
        let received = call.engine.stats(CALLER).unwrap().received;
        let span = order.iter().max().unwrap() - order.iter().min().unwrap() + 1;
        let kept = u64::try_from(kept).unwrap();
        prop_assert_eq!(received.packets, TALKED + kept);
        prop_assert_eq!(received.lost, Some(u64::from(span) - kept));
        prop_assert_eq!(received.duplicates, 0);
    }
}

/// Octets that are often nearly RTP or RTCP.
fn datagram() -> impl Strategy<Value = Vec<u8>> {
    let kinds = prop_oneof![Just(0_u8), Just(8), Just(101), Just(229), 200_u8..208, any::<u8>()];
    let body = proptest::collection::vec(any::<u8>(), 0..80);
    (0x80_u8..=0xbf, kinds, body, any::<bool>()).prop_map(|(first, kind, body, framed)| {
        let words = if framed { u16::try_from(body.len().saturating_sub(2) / 4).unwrap() } else { 7 };
        [&[first, kind], words.to_be_bytes().as_slice(), &body].concat()
    })
}

fn sender_info(packet: Packet<'_>) -> Option<SenderInfo> {
    match packet {
        Packet::SenderReport(sender, _) => Some(sender),
        Packet::ReceiverReport(..) | Packet::SourceDescription | Packet::Goodbye | Packet::Other(_) => None,
    }
}

/// What the listener gets is plain RTP of a type that it agreed to.
fn assert_well_formed(sent: &[u8], id: &str) {
    assert_eq!(sent[0], 0x80, "{id}");
    let (header, payload) = rtp::parse(sent).unwrap();
    match header.payload_type {
        0 => assert!((1..=1_440).contains(&payload.len()), "{id}"),
        101 => assert_eq!(payload.len(), 4, "{id}"),
        other => panic!("{id}: payload type {other}"),
    }
}

struct Call {
    engine: Engine,
    now: Instant,
    talker: Header,
    events: Vec<Event>,
}

impl Call {
    /// A call that has been going on for a second.
    fn new() -> Self {
        let now = start();
        let engine = Engine::new(Limits { ports: 2 }, now, Duration::ZERO);
        let talker = Header { marker: false, payload_type: 0, sequence: 5, timestamp: 0, ssrc: 0x5555 };
        let mut call = Self { engine, now, talker, events: Vec::new() };
        for (port, to) in [(CALLER, CALLEE), (CALLEE, CALLER)] {
            call.command(Command::Open { port, tag: 0, seed: u64::from(port.0) });
            call.command(Command::SetRemote { port, remote: remote(port) });
            call.command(Command::SetSink { port, sink: Sink::Relay { to } });
        }
        for _ in 0..TALKED {
            call.talk();
        }
        call
    }

    fn command(&mut self, command: Command) {
        self.engine.handle_command(command, self.now).unwrap();
    }

    fn set_rtcp_mux(&mut self, rtcp_mux: bool) {
        let remote = RemoteMedia { rtcp_mux, ..remote(CALLER) };
        self.command(Command::SetRemote { port: CALLER, remote });
    }

    fn say(&mut self, from: &str, datagram: &[u8]) -> Option<Vec<u8>> {
        let from: SocketAddr = from.parse().unwrap();
        let mut datagram = datagram.to_vec();
        let transmit = self.engine.forward(CALLER, from, &mut datagram, self.now);
        transmit.map(|transmit| transmit.payload.to_vec())
    }

    fn talk(&mut self) -> Option<Vec<u8>> {
        self.talker.sequence = self.talker.sequence.wrapping_add(1);
        self.talker.timestamp = self.talker.timestamp.wrapping_add(160);
        let packet = [self.talker.to_bytes().as_slice(), &[0x33; 160]].concat();
        self.pass(Duration::from_millis(20));
        self.say("192.0.2.1:4000", &packet)
    }

    fn assert_goes_on(&mut self, id: &str) {
        for _ in 0..3 {
            assert!(self.talk().is_some(), "{id} has muted the call");
        }
        assert_eq!(self.engine.ports(), 2, "{id}");
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.engine.handle_timeout(self.now);
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Event(event) => self.events.push(event),
                Output::Transmit(_) => {}
            }
        }
    }
}

/// As the contexts of the corpus say: PCMU 0, PCMA 8, telephone-event 101.
fn remote(port: PortId) -> RemoteMedia {
    let host = if port == CALLER { [192, 0, 2, 1] } else { [192, 0, 2, 2] };
    RemoteMedia {
        rtp: Some(SocketAddr::from((host, 4_000))),
        rtcp: Some(SocketAddr::from((host, 4_001))),
        rtcp_mux: false,
        codec: Codec::Pcmu,
        send_payload_type: 0,
        receive_payload_types: vec![
            (0, Payload::Audio(Codec::Pcmu)),
            (8, Payload::Audio(Codec::Pcma)),
            (101, Payload::TelephoneEvent),
        ],
        telephone_event: Some(101),
        ptime_ms: 20,
        may_send: true,
        may_receive: true,
        signalling_source: None,
        comedia: false,
    }
}

struct Case {
    id: String,
    parse: String,
    fields: Option<Value>,
    bytes: Vec<u8>,
}

fn cases(folder: &str) -> Vec<Case> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/torture");
    let index: Value = serde_json::from_slice(&fs::read(root.join("packets.json")).unwrap()).unwrap();
    let text = |case: &Value, key: &str| case[key].as_str().unwrap().to_owned();
    let cases: Vec<Case> = index["cases"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|case| text(case, "file").starts_with(folder))
        .map(|case| Case {
            id: text(case, "id"),
            parse: text(case, "parse"),
            fields: case.get("fields").cloned(),
            bytes: fs::read(root.join(text(case, "file"))).unwrap(),
        })
        .collect();
    assert!(cases.len() >= 12);
    cases
}

#[expect(clippy::disallowed_methods, reason = "an Instant cannot be made otherwise; nothing waits")]
fn start() -> Instant {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    *START
}
