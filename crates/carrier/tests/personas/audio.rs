//! What a caller hears, through a media engine.

use std::time::Duration;

use tandem_carrier::{Ending, Happening};
use tandem_media::g711::Law;
use tandem_media::tone::dominant_hz;

use crate::line::{FIRST, Line, media_port};

#[test]
fn a_caller_hears_its_own_voice_from_0100() {
    let mut line = Line::with_engine();
    let call = line.call("0100", FIRST);
    line.pass(Duration::from_secs(1));
    let mut voice = Voice::new();
    for _ in 0..50 {
        line.say(media_port(0).id, voice.next_packet());
        line.pass(PACKET);
    }
    line.bye(call);

    assert_eq!(line.audio.len(), 50);
    assert_eq!(dominant_hz(&heard(&line, 0, 10_000), CANDIDATES), Some(VOICE_HZ));
    let (ending, _, counted) = line.endings()[0];
    let counted = counted.unwrap();
    assert_eq!(ending, Ending::CallerHungUp);
    assert_eq!((counted.packets_received, counted.packets_lost, counted.packets_sent), (50, Some(0), 50));
    assert!(line.reports.iter().any(|report| report.happening == Happening::AudioArrived));
    line.expect_nothing_left();
}

#[test]
fn a_caller_hears_the_pattern_of_0101() {
    let mut line = Line::with_engine();
    line.call("0101", FIRST);
    line.pass(Duration::from_secs(6));

    for start in [0, 800, 1_600] {
        assert_eq!(dominant_hz(&heard(&line, start + 40, start + 360), CANDIDATES), Some(1_000));
        assert!(
            heard(&line, start + 440, start + 760).iter().all(|sample| sample.abs() < 16),
            "the pause after {start}"
        );
    }
    assert!(heard(&line, 5_020, 10_000).is_empty());
    let (ending, _, counted) = line.endings()[0];
    assert_eq!(ending, Ending::CarrierHungUp);
    assert!((248..=251).contains(&counted.unwrap().packets_sent), "50 packets a second, {counted:?}");
    line.expect_nothing_left();
}

#[test]
fn a_caller_hears_0106_before_and_after_the_answer() {
    let mut line = Line::with_engine();
    let call = line.call("0106", FIRST);
    let mut voice = Voice::new();
    for _ in 0..150 {
        line.say(media_port(0).id, voice.next_packet());
        line.pass(PACKET);
    }
    line.bye(call);

    assert_eq!(dominant_hz(&heard(&line, 0, 1_900), CANDIDATES), Some(600));
    assert_eq!(dominant_hz(&heard(&line, 2_100, 3_000), CANDIDATES), Some(VOICE_HZ));
    line.expect_nothing_left();
}

/// The samples that the caller got from `start_ms` to `end_ms`.
fn heard(line: &Line, start_ms: u64, end_ms: u64) -> Vec<i16> {
    let span = Duration::from_millis(start_ms)..Duration::from_millis(end_ms);
    let packets = line.audio.iter().filter(|(at, _)| span.contains(at));
    packets.flat_map(|(_, packet)| packet[RTP_HEADER..].iter().map(|octet| Law::Mu.decode(*octet))).collect()
}

/// The caller's voice: a steady tone in PCMU, as RTP.
struct Voice {
    sequence: u16,
}

impl Voice {
    fn new() -> Self {
        Self { sequence: 1_000 }
    }

    fn next_packet(&mut self) -> Vec<u8> {
        let timestamp = u32::from(self.sequence) * SAMPLES;
        let mut packet = vec![0x80, 0];
        packet.extend(self.sequence.to_be_bytes());
        packet.extend(timestamp.to_be_bytes());
        packet.extend(0x5eed_5eed_u32.to_be_bytes());
        packet.extend((timestamp..timestamp + SAMPLES).map(|time| {
            let angle = f64::from(time) * f64::from(VOICE_HZ) * std::f64::consts::TAU / 8_000.0;
            #[expect(clippy::cast_possible_truncation, reason = "8,000 is well within 16 bits")]
            let sample = (angle.sin() * 8_000.0) as i16;
            Law::Mu.encode(sample)
        }));
        self.sequence = self.sequence.wrapping_add(1);
        packet
    }
}

const VOICE_HZ: u16 = 700;
const CANDIDATES: &[u16] = &[600, VOICE_HZ, 1_000];
const PACKET: Duration = Duration::from_millis(20);
/// In one packet, at 8,000 a second.
const SAMPLES: u32 = 160;
/// Without CSRC and extension.
const RTP_HEADER: usize = 12;
