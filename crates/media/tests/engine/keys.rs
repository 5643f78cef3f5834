//! Keys, heard and pressed.

use std::time::Duration;

use tandem_media::dtmf::{Digit, EventPayload};
use tandem_media::engine::{Command, CommandError, Event, MAX_QUEUED_DIGITS, RemoteMedia, Source};
use tandem_media::g711::Law;
use tandem_media::rtp::Header;
use tandem_media::tone::dominant_hz;

use crate::rig::{A, B, PEER_A, PEER_B, Rig, Sent, Talker, packet, remote};

fn digits(keys: &str) -> Vec<Digit> {
    keys.chars().map(|key| Digit::from_char(key).unwrap()).collect()
}

fn press(keys: &str) -> Command {
    let duration = Duration::from_millis(100);
    Command::SendDigits { port: A, digits: digits(keys), duration, gap: duration }
}

fn heard(events: &[Event]) -> String {
    let key = |event: &Event| match event {
        Event::Digit { digit, .. } => Some(digit.as_char()),
        Event::Latched { .. }
        | Event::FirstPacket { .. }
        | Event::DigitsSent { .. }
        | Event::Heard { .. }
        | Event::RtpTimeout { .. }
        | Event::Closed { .. } => None,
    };
    events.iter().filter_map(key).collect()
}

/// Packets of one key as a phone sends them, 20 ms apart.
fn key_packets(from: Header, event: u8) -> Vec<Vec<u8>> {
    let payload = |step: u16| EventPayload { event, end: step >= 4, volume: 10, duration: (step + 1).min(5) * 160 };
    let step = |step: u16| {
        let sequence = from.sequence + step;
        let header = Header { payload_type: 101, marker: step == 0, sequence, ..from };
        packet(header, &payload(step).to_bytes())
    };
    (0..7).map(step).collect()
}

#[test]
fn a_relayed_key_is_told_once_and_passes() {
    let mut rig = Rig::call();
    let mut talker = Talker::new(7);
    rig.hear(A, PEER_A, &talker.packet());
    let mut passed: Vec<Sent> = Vec::new();
    for bytes in key_packets(talker.header, 5) {
        rig.pass(20);
        passed.extend(rig.hear(A, PEER_A, &bytes));
    }
    assert_eq!(passed.len(), 7);
    let first = passed[0].header();
    assert!(passed.iter().all(|sent| sent.header().timestamp == first.timestamp));
    let event = Event::Digit {
        port: A,
        tag: 1,
        digit: Digit::from_char('5').unwrap(),
        duration: Duration::from_millis(100),
        end_heard: true,
    };
    assert_eq!(rig.take_events().iter().filter(|told| **told == event).count(), 1);
}

#[test]
fn a_key_whose_end_is_lost_is_told_after_a_silence() {
    let mut rig = Rig::call();
    let talker = Talker::new(7);
    for bytes in &key_packets(talker.header, 11)[..3] {
        rig.hear(A, PEER_A, bytes);
        rig.pass(20);
    }
    assert_eq!(heard(&rig.take_events()), "");
    rig.pass(200);
    assert_eq!(heard(&rig.take_events()), "#");
}

#[test]
fn a_key_that_is_held_at_the_end_of_the_call_is_told() {
    let mut rig = Rig::call();
    rig.hear(A, PEER_A, &key_packets(Talker::new(7).header, 9)[0]);
    rig.command(Command::Close { port: A });
    assert_eq!(heard(&rig.take_events()), "9");
}

#[test]
fn keys_of_one_engine_are_understood_by_another() {
    let mut sender = Rig::one();
    sender.command(press("1234#"));
    sender.pass(2_000);
    let sent = sender.take_rtp();
    assert_eq!(sender.take_events(), [Event::DigitsSent { port: A, tag: 1, as_events: true }]);
    // Each end is sent three times, and all numbers differ.
    assert_eq!(sent.len(), 5 * 7);

    for lost in [None, Some(4), Some(0)] {
        let mut receiver = Rig::call();
        for (index, packet) in sent.iter().enumerate() {
            if lost.is_none_or(|lost| index % 7 < lost) || lost == Some(0) && index % 7 == 6 {
                receiver.hear(A, PEER_A, &packet.payload);
            }
        }
        receiver.pass(300);
        assert_eq!(heard(&receiver.take_events()), "1234#", "{lost:?}");
    }
}

#[test]
fn keys_hold_back_what_is_relayed_and_the_stream_stays_whole() {
    let mut rig = Rig::call();
    let mut talker = Talker::new(8);
    let mut heard = Vec::new();
    for step in 0..40 {
        if step == 10 {
            rig.command(press("7"));
        }
        heard.extend(rig.hear(B, PEER_B, &talker.packet()));
        rig.pass(20);
        heard.extend(rig.take_rtp());
    }
    assert_eq!(heard.iter().filter(|sent| sent.header().payload_type == 101).count(), 7);
    for (one, next) in heard.iter().zip(&heard[1..]) {
        assert_eq!(next.header().sequence, one.header().sequence.wrapping_add(1));
        assert!(next.header().timestamp.wrapping_sub(one.header().timestamp) < 12 * 160);
    }
    // The time has gone on as the clock did.
    let passed = heard[heard.len() - 1].header().timestamp.wrapping_sub(heard[0].header().timestamp);
    assert!(passed.abs_diff(39 * 160) <= 160, "{passed}");
}

#[test]
fn a_peer_without_events_hears_the_keys() {
    let mut rig = Rig::one();
    rig.remote(A, RemoteMedia { telephone_event: None, ..remote(PEER_A) });
    rig.command(press("5"));
    rig.pass(400);
    let sent = rig.take_rtp();
    let audio: Vec<i16> = sent.iter().take(5).flat_map(Sent::audio).map(|octet| Law::Mu.decode(*octet)).collect();
    assert_eq!(dominant_hz(&audio, &[697, 770, 852, 941]), Some(770));
    assert_eq!(rig.take_events(), [Event::DigitsSent { port: A, tag: 1, as_events: false }]);
}

#[test]
fn a_tone_goes_on_after_keys() {
    let mut rig = Rig::one();
    rig.command(Command::SetSource { port: A, source: Source::Silence });
    rig.pass(100);
    rig.command(press("5"));
    rig.pass(1_000);
    let types: Vec<u8> = rig.take_rtp().iter().map(|sent| sent.header().payload_type).collect();
    assert_eq!(types.iter().filter(|payload_type| **payload_type == 101).count(), 7);
    assert_eq!(types.last(), Some(&0));
}

#[test]
fn events_that_the_other_side_did_not_agree_to_leave_no_gap() {
    let mut rig = Rig::call();
    rig.remote(B, RemoteMedia { telephone_event: None, ..remote(PEER_B) });
    let mut talker = Talker::new(7);
    let before = rig.hear(A, PEER_A, &talker.packet()).unwrap().header();
    for bytes in key_packets(talker.header, 5) {
        assert_eq!(rig.hear(A, PEER_A, &bytes), None);
        talker.packet();
        rig.pass(20);
    }
    let after = rig.hear(A, PEER_A, &talker.packet()).unwrap().header();
    assert_eq!(after.sequence, before.sequence.wrapping_add(1));
    assert_eq!(rig.stats(B).sent.dropped.no_telephone_event, 7);
    assert_eq!(heard(&rig.take_events()), "5");
}

#[test]
fn too_many_keys_are_refused_as_a_whole() {
    let mut rig = Rig::one();
    let many = "1".repeat(MAX_QUEUED_DIGITS);
    rig.command(press(&many));
    let refused = rig.try_command(press("2"));
    assert_eq!(refused, Err(CommandError::TooManyDigits { port: A, waiting: MAX_QUEUED_DIGITS }));
}
