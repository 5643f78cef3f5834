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

#[test]
fn a_caller_of_0110_misses_one_packet_of_twenty_and_the_others_have_30_ms_of_jitter() {
    let mut line = Line::with_engine();
    let call = line.call("0110", FIRST);
    line.pass(PACKET * SENT);
    line.bye(call);

    let (_, _, counted) = line.endings()[0];
    let sent = counted.unwrap().packets_sent;
    assert!((u64::from(SENT)..=u64::from(SENT) + 1).contains(&sent), "{sent} were sent");
    let lost = sent - u64::try_from(line.audio.len()).unwrap();
    // Of 3,000 that are each lost with 5 %: 150, and within three deviations, each the root of 3,000 × 0.05 × 0.95, 36 more or less.
    assert!((114..=186).contains(&lost), "{lost} of {sent} were lost");

    let jitter = Jitter::of(&line);
    assert!((25.0..=35.0).contains(&jitter.mean_ms), "{jitter:?}");
    assert!((15.0..=50.0).contains(&jitter.last_ms), "{jitter:?}");
    assert_eq!(dominant_hz(&heard(&line, 0, 60_000), CANDIDATES), Some(800));
    let sequences: Vec<u16> = line.audio.iter().map(|(_, packet)| u16::from_be_bytes([packet[2], packet[3]])).collect();
    assert!(sequences.windows(2).any(|pair| pair[1].wrapping_sub(pair[0]) > 0x8000), "some overtake others");
    line.expect_nothing_left();
}

#[test]
fn a_caller_of_another_number_misses_nothing_while_somebody_has_0110() {
    let mut line = Line::with_engine();
    let bad = line.call("0110", FIRST);
    line.bye(bad);
    line.pass(Duration::from_secs(1));
    line.audio.clear();
    // Eight ports: it comes round to the one that had the bad line.
    for _ in 0..8 {
        line.call("0101", FIRST);
        line.pass(Duration::from_secs(6));
    }

    for (_, _, counted) in &line.endings()[1..] {
        assert!((248..=251).contains(&counted.unwrap().packets_sent), "{counted:?}");
    }
    let sent: u64 = line.endings()[1..].iter().map(|(_, _, counted)| counted.unwrap().packets_sent).sum();
    assert_eq!(u64::try_from(line.audio.len()).unwrap(), sent);
    line.expect_nothing_left();
}

/// Interarrival jitter (RFC 3550 §6.4.1), written down once more: the receiver of the product is not asked.
#[derive(Debug)]
struct Jitter {
    /// Of all that the estimator said.
    mean_ms: f64,
    /// What it said last.
    last_ms: f64,
}

impl Jitter {
    fn of(line: &Line) -> Self {
        let transits = line.audio.iter().map(|(at, packet)| {
            let timestamp = u32::from_be_bytes([packet[4], packet[5], packet[6], packet[7]]);
            (at.as_secs_f64() * 1_000.0, timestamp)
        });
        let (mut jitter, mut said) = (0.0, Vec::new());
        let transits: Vec<(f64, u32)> = transits.collect();
        for pair in transits.windows(2) {
            let [(before_ms, before), (ms, timestamp)] = pair else { continue };
            let sent_apart = f64::from(timestamp.wrapping_sub(*before).cast_signed()) / 8.0;
            let difference: f64 = (ms - before_ms) - sent_apart;
            jitter += (difference.abs() - jitter) / 16.0;
            said.push(jitter);
        }
        // It begins at 0, and has found its place after a few times its memory of 16 packets.
        let settled = &said[100..];
        #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
        let mean_ms = settled.iter().sum::<f64>() / settled.len() as f64;
        Self { mean_ms, last_ms: jitter }
    }
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
const CANDIDATES: &[u16] = &[600, VOICE_HZ, 800, 1_000];
const PACKET: Duration = Duration::from_millis(20);
/// A minute of packets.
const SENT: u32 = 3_000;
/// In one packet, at 8,000 a second.
const SAMPLES: u32 = 160;
/// Without CSRC and extension.
const RTP_HEADER: usize = 12;
