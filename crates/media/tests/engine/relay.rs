//! What is heard at one port and said at another.

use tandem_media::engine::{Channel, Command, CommandError, Event, Payload, PortId, RemoteMedia, Sink};
use tandem_media::g711::{self, Law};
use tandem_media::rtp::Header;
use tandem_model::Codec;

use crate::rig::{A, B, PEER_A, PEER_B, Rig, Talker, packet, remote};

#[test]
fn a_packet_leaves_with_an_identity_of_ours() {
    let mut rig = Rig::call();
    let mut talker = Talker::new(7);
    let first = rig.hear(A, PEER_A, &talker.packet()).unwrap();
    assert_eq!((first.port, first.channel), (B, Channel::Rtp));
    assert_eq!(first.to.to_string(), PEER_B);
    assert_eq!(first.audio(), [0x21; 160]);
    assert!(first.header().marker);
    assert_ne!(first.header().ssrc, 7);
    rig.pass(20);
    let second = rig.hear(A, PEER_A, &talker.packet()).unwrap();
    assert_eq!(second.header().ssrc, first.header().ssrc);
    assert_eq!(second.header().sequence, first.header().sequence.wrapping_add(1));
    assert_eq!(second.header().timestamp, first.header().timestamp.wrapping_add(160));
    assert!(!second.header().marker);
}

#[test]
fn each_side_is_sent_its_own_payload_type_and_codec() {
    let mut rig = Rig::call();
    let alaw = RemoteMedia {
        codec: Codec::Pcma,
        send_payload_type: 97,
        receive_payload_types: vec![(8, Payload::Audio(Codec::Pcma)), (96, Payload::TelephoneEvent)],
        telephone_event: Some(110),
        ..remote(PEER_B)
    };
    rig.remote(B, alaw);
    let mut expected = [0x21; 160];
    g711::mu_to_a(&mut expected);
    let sent = rig.hear(A, PEER_A, &Talker::new(7).packet()).unwrap();
    assert_eq!((sent.header().payload_type, sent.audio()), (97, expected.as_slice()));

    let back = Header { payload_type: 8, ..Talker::new(8).header };
    let sent = rig.hear(B, PEER_B, &packet(back, &expected)).unwrap();
    assert_eq!(sent.header().payload_type, 0);
    assert_eq!(sent.audio(), [0x21; 160]);

    let event = Header { payload_type: 101, marker: true, sequence: 501, ..Talker::new(7).header };
    let sent = rig.hear(A, PEER_A, &packet(event, &[5, 10, 0, 160])).unwrap();
    assert_eq!((sent.header().payload_type, sent.header().marker), (110, true));
    assert_eq!(sent.audio(), [5, 10, 0, 160]);
}

#[test]
fn extension_csrcs_and_padding_do_not_pass() {
    let mut rig = Rig::call();
    let mut bytes = Talker::new(7).header.to_bytes().to_vec();
    bytes[0] = 0xb1; // padding, extension, one CSRC
    bytes.extend([0, 0, 0, 9, 0xbe, 0xde, 0, 1, 0x10, 0, 0, 0, 1, 2, 3, 4, 0, 2]);
    let sent = rig.hear(A, PEER_A, &bytes).unwrap();
    assert_eq!(sent.payload.len(), 16);
    assert_eq!((sent.payload[0], sent.audio()), (0x80, [1, 2, 3, 4].as_slice()));
}

#[test]
fn echo_comes_back_as_a_stream_of_ours() {
    let mut rig = Rig::one();
    rig.command(Command::SetSink { port: A, sink: Sink::Echo });
    let mut talker = Talker::new(7);
    let sent = rig.hear(A, PEER_A, &talker.packet()).unwrap();
    assert_eq!((sent.port, sent.to.to_string().as_str()), (A, PEER_A));
    assert_ne!(sent.header().ssrc, 7);
    // It may send A-law and is sent µ-law. The quietest step of A-law is not zero (ITU-T G.711, table 4).
    let alaw = Header { payload_type: 8, ..talker.header };
    let sent = rig.hear(A, PEER_A, &packet(alaw, &[Law::A.silence(); 160])).unwrap();
    assert_eq!((sent.header().payload_type, sent.audio()), (0, [0xfe; 160].as_slice()));
}

#[test]
fn a_hold_stops_one_direction_and_its_end_goes_on_in_sequence() {
    let mut rig = Rig::call();
    let mut talker = Talker::new(7);
    let before = rig.hear(A, PEER_A, &talker.packet()).unwrap().header();
    rig.remote(B, RemoteMedia { may_send: false, may_receive: false, ..remote(PEER_B) });
    for _ in 0..50 {
        rig.pass(20);
        assert_eq!(rig.hear(A, PEER_A, &talker.packet()), None);
    }
    assert_eq!(rig.hear(B, PEER_B, &Talker::new(8).packet()), None);
    rig.remote(B, remote(PEER_B));
    rig.pass(20);
    let after = rig.hear(A, PEER_A, &talker.packet()).unwrap().header();
    assert_eq!(after.sequence, before.sequence.wrapping_add(1));
    assert_eq!(after.timestamp, before.timestamp.wrapping_add(51 * 160));
    assert!(after.marker);
    assert_eq!(rig.stats(B).sent.dropped.held, 50);
    assert_eq!(rig.stats(B).received.dropped.held, 1);
}

#[test]
fn a_transfer_does_not_break_the_listener() {
    let mut rig = Rig::call();
    let third = PortId(2);
    let mut talker = Talker::new(7);
    let before = rig.hear(A, PEER_A, &talker.packet()).unwrap().header();
    rig.open(third, 3);
    rig.remote(third, remote("203.0.113.3:7000"));
    rig.command(Command::SetSink { port: third, sink: Sink::Relay { to: B } });
    rig.command(Command::SetSink { port: A, sink: Sink::Discard });
    rig.pass(20);
    assert_eq!(rig.hear(A, PEER_A, &talker.packet()), None);
    let after = rig.hear(third, "203.0.113.3:7000", &Talker::new(9).packet()).unwrap().header();
    assert_eq!(after.ssrc, before.ssrc);
    assert_eq!(after.sequence, before.sequence.wrapping_add(1));
    assert_eq!(after.timestamp, before.timestamp.wrapping_add(160));
}

#[test]
fn who_was_parked_goes_on_in_sequence() {
    let mut rig = Rig::call();
    let mut talker = Talker::new(7);
    let before = rig.hear(A, PEER_A, &talker.packet()).unwrap().header();
    rig.command(Command::SetSink { port: A, sink: Sink::Discard });
    for _ in 0..100 {
        rig.pass(20);
        assert_eq!(rig.hear(A, PEER_A, &talker.packet()), None);
    }
    rig.command(Command::SetSink { port: A, sink: Sink::Relay { to: B } });
    rig.pass(20);
    let after = rig.hear(A, PEER_A, &talker.packet()).unwrap().header();
    assert_eq!(after.sequence, before.sequence.wrapping_add(1));
    assert_eq!(after.timestamp, before.timestamp.wrapping_add(101 * 160));
}

#[test]
fn a_hold_without_an_address_ends_in_sequence_too() {
    let mut rig = Rig::call();
    let mut talker = Talker::new(7);
    let before = rig.hear(A, PEER_A, &talker.packet()).unwrap().header();
    rig.remote(B, RemoteMedia { rtp: None, rtcp: None, ..remote(PEER_B) });
    for _ in 0..100 {
        rig.pass(20);
        assert_eq!(rig.hear(A, PEER_A, &talker.packet()), None);
    }
    rig.remote(B, remote(PEER_B));
    rig.pass(20);
    let after = rig.hear(A, PEER_A, &talker.packet()).unwrap().header();
    assert_eq!(after.sequence, before.sequence.wrapping_add(1));
    assert_eq!(rig.stats(B).sent.dropped.no_remote, 100);
}

#[test]
fn what_is_not_agreed_is_dropped_and_leaves_no_gap() {
    let mut rig = Rig::call();
    let mut talker = Talker::new(7);
    let first = rig.hear(A, PEER_A, &talker.packet()).unwrap().header();
    // Comfort noise that nobody agreed to.
    let noise = packet(Header { payload_type: 13, ..talker.header }, &[40]);
    talker.packet();
    assert_eq!(rig.hear(A, PEER_A, &noise), None);
    rig.pass(40);
    let next = rig.hear(A, PEER_A, &talker.packet()).unwrap().header();
    assert_eq!(next.sequence, first.sequence.wrapping_add(1));
    assert_eq!(rig.stats(A).received.dropped.unknown_payload_type, 1);
    assert_eq!(rig.stats(A).received.lost, Some(0));
}

#[test]
fn counts_what_came_and_what_left() {
    let mut rig = Rig::call();
    assert_eq!(rig.stats(A).received.lost, None);
    assert_eq!(rig.stats(A).received.jitter_us, None);
    let mut talker = Talker::new(7);
    for step in 0..100 {
        let bytes = talker.packet();
        if step != 40 {
            rig.hear(A, PEER_A, &bytes);
        }
        rig.pass(20);
    }
    let (a, b) = (rig.stats(A), rig.stats(B));
    assert_eq!((a.received.packets, a.received.bytes, a.received.lost), (99, 99 * 160, Some(1)));
    assert_eq!((a.received.jitter_us, a.received.max_jitter_us), (Some(0), Some(0)));
    assert_eq!((b.sent.packets, b.sent.bytes), (99, 99 * 160));
    assert_eq!((a.sent.packets, b.received.packets), (0, 0));
}

#[test]
fn a_relay_to_a_port_that_is_closed_is_counted() {
    let mut rig = Rig::call();
    rig.command(Command::Close { port: B });
    assert_eq!(rig.hear(A, PEER_A, &Talker::new(7).packet()), None);
    assert_eq!(rig.stats(A).received.dropped.no_sink, 1);
    assert_eq!(rig.engine.ports(), 1);
}

#[test]
fn closing_tells_the_final_counters_and_frees_the_port() {
    let mut rig = Rig::call();
    rig.hear(A, PEER_A, &Talker::new(7).packet());
    rig.take_events();
    rig.command(Command::Close { port: A });
    let [Event::Closed { port: A, tag: 1, stats }] = &rig.take_events()[..] else { panic!("not closed") };
    assert_eq!(stats.received.packets, 1);
    assert_eq!(rig.engine.stats(A), None);
    rig.open(A, 9);
    assert_eq!(rig.stats(A).received.packets, 0);
}

#[test]
fn commands_that_do_not_fit_are_refused() {
    let mut rig = Rig::one();
    let open = |port| Command::Open { port, tag: 0, seed: 0 };
    assert_eq!(rig.try_command(open(A)), Err(CommandError::AlreadyOpen { port: A }));
    let outside = PortId(8);
    assert_eq!(rig.try_command(open(outside)), Err(CommandError::OutOfRange { port: outside, limit: 8 }));
    assert_eq!(rig.try_command(Command::Close { port: B }), Err(CommandError::NotOpen { port: B }));
    assert_eq!(rig.hear(B, PEER_B, &Talker::new(7).packet()), None);
    rig.hear_rtcp(B, PEER_B, &[0x80, 201, 0, 1, 0, 0, 0, 9]);
}
