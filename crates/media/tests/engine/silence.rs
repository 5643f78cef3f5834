//! A peer that falls silent.

use std::time::Duration;

use tandem_media::engine::{Command, Event, RemoteMedia};

use crate::rig::{A, PEER_A, Rig, Talker, remote};

fn timeouts(rig: &mut Rig) -> Vec<Duration> {
    let silent = |event| match event {
        Event::RtpTimeout { silent_for, .. } => Some(silent_for),
        Event::Latched { .. }
        | Event::FirstPacket { .. }
        | Event::Digit { .. }
        | Event::DigitsSent { .. }
        | Event::Heard { .. }
        | Event::Closed { .. } => None,
    };
    rig.take_events().into_iter().filter_map(silent).collect()
}

fn watched(seconds: u64) -> Rig {
    let mut rig = Rig::one();
    let after = Some(Duration::from_secs(seconds));
    rig.command(Command::SetRtpTimeout { port: A, after });
    rig
}

#[test]
fn a_silence_is_told_once_and_again_after_more_was_heard() {
    let mut rig = watched(30);
    let mut talker = Talker::new(7);
    for _ in 0..100 {
        rig.hear(A, PEER_A, &talker.packet());
        rig.pass(20);
    }
    rig.pass(29_979);
    assert_eq!(timeouts(&mut rig), []);
    rig.pass(1);
    assert_eq!(timeouts(&mut rig), [Duration::from_secs(30)]);
    rig.pass(300_000);
    assert_eq!(timeouts(&mut rig), []);
    rig.hear(A, PEER_A, &talker.packet());
    rig.pass(30_000);
    assert_eq!(timeouts(&mut rig), [Duration::from_secs(30)]);
}

#[test]
fn a_peer_that_never_speaks_is_silent_from_the_answer_on() {
    let mut rig = watched(10);
    rig.pass(10_000);
    assert_eq!(timeouts(&mut rig).len(), 1);
}

#[test]
fn a_hold_is_no_silence() {
    let mut rig = watched(10);
    rig.pass(5_000);
    rig.remote(A, RemoteMedia { may_receive: false, ..remote(PEER_A) });
    rig.pass(3_600_000);
    assert_eq!(timeouts(&mut rig), []);
    // After it the whole time runs.
    rig.remote(A, remote(PEER_A));
    rig.pass(9_999);
    assert_eq!(timeouts(&mut rig), []);
    rig.pass(1);
    assert_eq!(timeouts(&mut rig).len(), 1);
}

#[test]
fn packets_of_strangers_do_not_break_the_silence() {
    let mut rig = watched(10);
    let mut talker = Talker::new(7);
    for _ in 0..10 {
        rig.hear(A, "203.0.113.66:1", &talker.packet());
        rig.pass(1_000);
    }
    assert_eq!(timeouts(&mut rig).len(), 1);
}

#[test]
fn a_time_out_can_be_switched_off() {
    let mut rig = watched(10);
    rig.command(Command::SetRtpTimeout { port: A, after: None });
    rig.pass(60_000);
    assert_eq!(timeouts(&mut rig), []);
}
