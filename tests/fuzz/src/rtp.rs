//! RTP and RTCP: what is read lies within the datagram, and an echo survives whatever comes and sends RTP.
//!
//! The input is read as one datagram, and as a sequence of them for a media port: a step of 4 octets (kind, length,
//! and how much time passes), then so many octets.

use std::net::SocketAddr;
use std::time::Duration;

use tandem_lab::setup::start;
use tandem_media::engine::{Channel, Command, Engine, Limits, Output, Payload, PortId, RemoteMedia, Sink};
use tandem_media::rtcp::{self, Packet};
use tandem_media::rtp;
use tandem_model::Codec;

use crate::planted::is_planted_for;

pub(crate) fn run(input: &[u8]) {
    read_rtp(input);
    read_rtcp(input);
    echo(input);
}

fn read_rtp(input: &[u8]) {
    let Ok((header, payload)) = rtp::parse(input) else { return };
    let mut end = payload.end;
    if is_planted_for(header.payload_type == 101 && header.marker && payload.len() == 4) {
        end += 1_500;
    }
    assert!(payload.start >= rtp::HEADER_LEN && payload.start <= end && end <= input.len(), "{payload:?}");
    let again = rtp::parse(&header.to_bytes()).expect("a header alone is a packet");
    assert_eq!(again, (header, rtp::HEADER_LEN..rtp::HEADER_LEN));
}

fn read_rtcp(input: &[u8]) {
    let Ok(packets) = rtcp::parse(input) else { return };
    let mut count = 0;
    for packet in packets {
        count += 1;
        let blocks = match packet {
            Packet::SenderReport(_, blocks) | Packet::ReceiverReport(_, blocks) => blocks.iter().count(),
            Packet::SourceDescription | Packet::Goodbye | Packet::Other(_) => 0,
        };
        assert!(blocks <= 31, "the count has five bits");
    }
    assert!(count * 4 <= input.len() && count > 0, "each packet has a header of its own");
}

const PORT: PortId = PortId(0);

fn echo(input: &[u8]) {
    let peer = SocketAddr::from(([192, 0, 2, 10], 4000));
    let mut now = start();
    let mut engine = Engine::new(Limits { ports: 1 }, now, Duration::from_secs(1_800_000_000));
    let remote = RemoteMedia {
        rtp: Some(peer),
        rtcp: None,
        rtcp_mux: true,
        codec: Codec::Pcmu,
        send_payload_type: 0,
        receive_payload_types: vec![(0, Payload::Audio(Codec::Pcmu)), (101, Payload::TelephoneEvent)],
        telephone_event: Some(101),
        ptime_ms: 20,
        may_send: true,
        may_receive: true,
        signalling_source: None,
        comedia: false,
    };
    for command in [
        Command::Open { port: PORT, tag: 1, seed: 7 },
        Command::SetRemote { port: PORT, remote },
        Command::SetSink { port: PORT, sink: Sink::Echo },
    ] {
        engine.handle_command(command, now).unwrap();
    }

    let mut rest = input;
    while let Some(([kind, length, slow, fast], after)) = rest.split_first_chunk::<4>() {
        let (datagram, after) = after.split_at(usize::from(*length).min(after.len()));
        rest = after;
        now += Duration::from_millis(u64::from(*fast) + 100 * u64::from(*slow));
        if engine.poll_timeout().is_some_and(|due| due <= now) {
            engine.handle_timeout(now);
        }
        if kind % 2 == 0 {
            let mut packet = datagram.to_vec();
            if let Some(transmit) = engine.forward(PORT, peer, &mut packet, now) {
                assert_eq!((transmit.port, transmit.to), (PORT, peer));
                rtp::parse(transmit.payload).expect("what is sent on is RTP");
            }
        } else {
            engine.handle_rtcp(PORT, peer, datagram, now);
        }
        drain(&mut engine);
    }
    engine.handle_command(Command::Close { port: PORT }, now).unwrap();
    drain(&mut engine);
    assert_eq!((engine.ports(), engine.poll_timeout()), (0, None), "a closed port waits for nothing");
}

fn drain(engine: &mut Engine) {
    while let Some(output) = engine.poll_output() {
        match output {
            Output::Transmit(transmit)
                if transmit.channel == Channel::Rtp && rtcp::parse(transmit.payload).is_err() =>
            {
                rtp::parse(transmit.payload).expect("what is sent is RTP");
            }
            Output::Transmit(_) | Output::Event(_) => {}
        }
    }
}
