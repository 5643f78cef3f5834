//! Whom a port listens and talks to.

use tandem_media::engine::{Command, Event, RemoteMedia, Source};

use crate::rig::{A, B, PEER_A, PEER_B, Rig, Talker, packet, remote};

#[test]
fn locks_to_the_first_valid_packet_and_sends_there() {
    let mut rig = Rig::call();
    let before = rig.hear(B, PEER_B, &Talker::new(8).packet()).unwrap();
    assert_eq!(before.to.to_string(), PEER_A);

    let behind_nat = "192.0.2.1:61000";
    let mut talker = Talker::new(7);
    assert!(rig.hear(A, behind_nat, &talker.packet()).is_some());
    let latched = Event::Latched { port: A, tag: 1, source: behind_nat.parse().unwrap() };
    let events = rig.take_events();
    assert!(events.contains(&latched));
    assert!(events.contains(&Event::FirstPacket { port: A, tag: 1 }));

    let mut other = Talker::new(8);
    other.packet();
    assert_eq!(rig.hear(B, PEER_B, &other.packet()).unwrap().to.to_string(), behind_nat);
    // Nobody can take over, not even from the signalled address.
    assert_eq!(rig.hear(A, PEER_A, &talker.packet()), None);
    assert_eq!(rig.hear(A, "203.0.113.66:4000", &talker.packet()), None);
    assert_eq!(rig.stats(A).received.dropped.wrong_source, 2);
    assert_eq!(rig.take_events(), []);
}

#[test]
fn rubbish_and_what_was_not_agreed_do_not_lock() {
    let mut rig = Rig::call();
    let talker = Talker::new(7);
    assert_eq!(rig.hear(A, "192.0.2.1:1", &[0x80]), None);
    let mut unknown = talker.header;
    unknown.payload_type = 77;
    assert_eq!(rig.hear(A, "192.0.2.1:2", &packet(unknown, &[0; 160])), None);
    assert_eq!(rig.take_events(), []);
    assert_eq!(rig.stats(A).received.packets, 0);
    // A keep-alive without payload does (RFC 6263), though it is not relayed.
    assert_eq!(rig.hear(A, "192.0.2.1:3", &packet(talker.header, &[])), None);
    assert_eq!(rig.stats(A).source, Some("192.0.2.1:3".parse().unwrap()));
    assert_eq!(rig.stats(A).received.dropped.empty, 1);
}

#[test]
fn another_address_in_a_reinvite_moves_the_call() {
    let mut rig = Rig::call();
    let mut talker = Talker::new(7);
    rig.hear(A, PEER_A, &talker.packet());
    rig.take_events();

    let moved = "192.0.2.1:5000";
    rig.remote(A, remote(moved));
    let mut other = Talker::new(8);
    assert_eq!(rig.hear(B, PEER_B, &other.packet()).unwrap().to.to_string(), moved);
    // What was on the way from the old port is heard, but does not lock.
    assert!(rig.hear(A, PEER_A, &talker.packet()).is_some());
    assert_eq!(rig.hear(B, PEER_B, &other.packet()).unwrap().to.to_string(), moved);
    assert!(rig.hear(A, moved, &talker.packet()).is_some());
    assert_eq!(rig.hear(A, PEER_A, &talker.packet()), None);
    let source = moved.parse().unwrap();
    assert_eq!(
        rig.take_events(),
        [
            Event::Latched { port: B, tag: 2, source: PEER_B.parse().unwrap() },
            Event::FirstPacket { port: B, tag: 2 },
            Event::Latched { port: A, tag: 1, source },
        ]
    );
}

#[test]
fn the_host_that_signals_may_send_media_too() {
    let mut rig = Rig::call();
    let signals = "203.0.113.9".parse().unwrap();
    rig.remote(A, RemoteMedia { signalling_source: Some(signals), ..remote("10.0.0.5:4000") });
    assert!(rig.hear(A, "203.0.113.9:40000", &Talker::new(7).packet()).is_some());
}

#[test]
fn without_comedia_a_stranger_is_not_heard_and_with_it_only_at_once() {
    let mut rig = Rig::call();
    let private = remote("10.0.0.5:4000");
    rig.remote(A, private.clone());
    let mut talker = Talker::new(7);
    assert_eq!(rig.hear(A, "203.0.113.9:40000", &talker.packet()), None);
    rig.remote(A, RemoteMedia { comedia: true, ..private });
    rig.pass(5_001);
    assert_eq!(rig.hear(A, "203.0.113.9:40000", &talker.packet()), None);
    rig.remote(A, RemoteMedia { comedia: true, ..remote("10.0.0.6:4000") });
    assert!(rig.hear(A, "203.0.113.9:40000", &talker.packet()).is_some());
    assert_eq!(rig.hear(A, "203.0.113.9:40001", &talker.packet()), None);
}

#[test]
fn nothing_is_said_to_a_peer_that_names_no_address() {
    let mut rig = Rig::call();
    rig.remote(A, RemoteMedia { rtp: None, rtcp: None, ..remote(PEER_A) });
    assert_eq!(rig.hear(B, PEER_B, &Talker::new(8).packet()), None);
    rig.command(Command::SetSource { port: A, source: Source::Silence });
    rig.pass(1_000);
    assert_eq!(rig.take_rtp(), []);
    // A new address ends that, and the source begins.
    rig.remote(A, remote(PEER_A));
    rig.pass(100);
    assert!(!rig.take_rtp().is_empty());
}

#[test]
fn media_before_the_answer_is_not_heard() {
    let mut rig = Rig::empty();
    rig.open(A, 1);
    assert_eq!(rig.hear(A, PEER_A, &Talker::new(7).packet()), None);
    assert_eq!(rig.stats(A).received.dropped.held, 1);
    assert_eq!(rig.take_events(), []);
}
