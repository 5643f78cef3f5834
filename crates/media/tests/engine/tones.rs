//! What a port says by itself.

use std::time::Duration;

use tandem_media::engine::{Channel, Command, RemoteMedia, Source};
use tandem_media::g711::Law;
use tandem_media::tone::{ToneSpec, dominant_hz};
use tandem_model::Codec;

use crate::rig::{A, B, PEER_A, PEER_B, Rig, Sent, Talker, remote};

fn tone(notation: &str) -> Source {
    Source::Tone(ToneSpec::parse(notation).unwrap())
}

fn decoded(sent: &[Sent], law: Law) -> Vec<i16> {
    sent.iter().flat_map(Sent::audio).map(|octet| law.decode(*octet)).collect()
}

#[test]
fn a_tone_is_paced_and_sounds_right() {
    let mut rig = Rig::one();
    rig.command(Command::SetSource { port: A, source: tone("440+1000") });
    rig.pass(999);
    let sent = rig.take_rtp();
    assert_eq!(sent.len(), 50);
    for (one, next) in sent.iter().zip(&sent[1..]) {
        assert_eq!(next.at - one.at, Duration::from_millis(20));
        assert_eq!(next.header().sequence, one.header().sequence.wrapping_add(1));
        assert_eq!(next.header().timestamp, one.header().timestamp.wrapping_add(160));
    }
    assert!(sent[0].header().marker && !sent[1].header().marker);
    let heard = decoded(&sent, Law::Mu);
    assert_eq!(dominant_hz(&heard, &[440, 700]), Some(440));
    assert_eq!(dominant_hz(&heard, &[700, 1_000]), Some(1_000));
}

#[test]
fn a_tone_is_made_for_the_peer_with_its_law_and_packet_time() {
    let mut rig = Rig::one();
    let alaw = RemoteMedia { codec: Codec::Pcma, send_payload_type: 8, ptime_ms: 30, ..remote(PEER_A) };
    rig.remote(A, alaw);
    rig.command(Command::SetSource { port: A, source: tone("1000") });
    rig.pass(299);
    let sent = rig.take_rtp();
    assert_eq!((sent.len(), sent[0].audio().len()), (10, 240));
    assert_eq!(sent[0].header().payload_type, 8);
    assert_eq!(dominant_hz(&decoded(&sent, Law::A), &[900, 1_000]), Some(1_000));
}

#[test]
fn relay_then_tone_then_relay_is_one_stream_to_the_listener() {
    let mut rig = Rig::call();
    let mut talker = Talker::new(7);
    let mut heard = Vec::new();
    for step in 0..30 {
        match step {
            10 => rig.command(Command::SetSource { port: B, source: tone("1000") }),
            20 => rig.command(Command::SetSource { port: B, source: Source::None }),
            _ => {}
        }
        heard.extend(rig.hear(A, PEER_A, &talker.packet()));
        rig.pass(20);
        heard.extend(rig.take_rtp());
    }
    let ssrc = heard[0].header().ssrc;
    for (one, next) in heard.iter().zip(&heard[1..]) {
        let (one, next) = (one.header(), next.header());
        assert_eq!(next.ssrc, ssrc);
        assert_eq!(next.sequence, one.sequence.wrapping_add(1));
        let passed = next.timestamp.wrapping_sub(one.timestamp);
        assert!((160..=320).contains(&passed), "{passed}");
    }
    // The beginning of each of the three is marked.
    assert_eq!(heard.iter().filter(|sent| sent.header().marker).count(), 3);
    assert_eq!(rig.stats(B).sent.dropped.overridden, 10);
}

#[test]
fn ringback_keeps_its_cadence() {
    let mut rig = Rig::one();
    let source = Source::Tone(ToneSpec::ringback());
    rig.command(Command::SetSource { port: A, source });
    rig.pass(12_000);
    let sent = rig.take_rtp();
    let sounds = |sent: &Sent| sent.audio().iter().any(|octet| Law::Mu.decode(*octet) != 0);
    let pattern: Vec<bool> = sent.iter().take(600).map(sounds).collect();
    let expected: Vec<bool> = (0..600).map(|packet| packet % 300 < 100).collect();
    assert_eq!(pattern, expected);
}

#[test]
fn a_late_shell_does_not_make_a_burst() {
    let mut rig = Rig::one();
    rig.command(Command::SetSource { port: A, source: tone("1000") });
    rig.pass(100);
    rig.take_rtp();
    let before = rig.stats(A).sent.packets;
    rig.now += Duration::from_secs(10);
    rig.pass(0);
    let sent = rig.take_rtp();
    assert_eq!(sent.len(), 1);
    assert!(sent[0].header().marker);
    assert_eq!(rig.stats(A).sent.packets, before + 1);
}

#[test]
fn silence_opens_the_path() {
    let mut rig = Rig::one();
    rig.command(Command::SetSource { port: A, source: Source::Silence });
    rig.pass(50);
    let sent = rig.take_rtp();
    assert_eq!(sent.len(), 3);
    assert!(sent.iter().all(|sent| sent.audio() == [0xff; 160]));
    assert_eq!((sent[0].to.to_string().as_str(), sent[0].channel), (PEER_A, Channel::Rtp));
}

#[test]
fn a_hold_pauses_a_tone() {
    let mut rig = Rig::call();
    rig.command(Command::SetSource { port: B, source: tone("1000") });
    rig.pass(100);
    let before = rig.take_rtp().last().unwrap().header();
    rig.remote(B, RemoteMedia { may_send: false, ..remote(PEER_B) });
    rig.pass(10_000);
    assert_eq!(rig.take_rtp(), []);
    rig.remote(B, remote(PEER_B));
    rig.pass(0);
    let after = rig.take_rtp()[0].header();
    assert_eq!(after.sequence, before.sequence.wrapping_add(1));
    assert_eq!(after.timestamp, before.timestamp.wrapping_add(10_000 * 8));
    assert!(after.marker);
}
