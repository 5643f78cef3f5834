//! An engine with its peers, in virtual time.

use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use tandem_media::engine::{
    Channel, Command, CommandError, Engine, Event, Limits, Output, Payload, PortId, PortStats, RemoteMedia, Sink,
    Transmit,
};
use tandem_media::rtp::{self, Header};
use tandem_model::Codec;

pub(crate) const A: PortId = PortId(0);
pub(crate) const B: PortId = PortId(1);
/// Where the peers of A and B are.
pub(crate) const PEER_A: &str = "192.0.2.1:4000";
pub(crate) const PEER_B: &str = "198.51.100.2:6000";

pub(crate) struct Rig {
    pub(crate) engine: Engine,
    pub(crate) now: Instant,
    pub(crate) events: Vec<Event>,
    pub(crate) sent: Vec<Sent>,
}

/// A datagram that left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) port: PortId,
    pub(crate) channel: Channel,
    pub(crate) to: SocketAddr,
    pub(crate) payload: Vec<u8>,
    pub(crate) at: Instant,
}

impl Sent {
    fn new(transmit: &Transmit<'_>, at: Instant) -> Self {
        let payload = transmit.payload.to_vec();
        Self { port: transmit.port, channel: transmit.channel, to: transmit.to, payload, at }
    }

    pub(crate) fn header(&self) -> Header {
        rtp::parse(&self.payload).unwrap().0
    }

    pub(crate) fn audio(&self) -> &[u8] {
        let (_, range) = rtp::parse(&self.payload).unwrap();
        &self.payload[range]
    }
}

impl Rig {
    /// Nothing is open.
    pub(crate) fn empty() -> Self {
        let now = start();
        let engine = Engine::new(Limits { ports: 8 }, now, Duration::from_secs(1_700_000_000));
        Self { engine, now, events: Vec::new(), sent: Vec::new() }
    }

    /// One port, agreed with its peer, that discards what it hears.
    pub(crate) fn one() -> Self {
        let mut rig = Self::empty();
        rig.open(A, 1);
        rig.remote(A, remote(PEER_A));
        rig
    }

    /// A call: two ports that relay to each other, both with PCMU.
    pub(crate) fn call() -> Self {
        let mut rig = Self::one();
        rig.open(B, 2);
        rig.remote(B, remote(PEER_B));
        rig.command(Command::SetSink { port: A, sink: Sink::Relay { to: B } });
        rig.command(Command::SetSink { port: B, sink: Sink::Relay { to: A } });
        rig
    }

    pub(crate) fn open(&mut self, port: PortId, tag: u64) {
        self.command(Command::Open { port, tag, seed: tag });
    }

    pub(crate) fn remote(&mut self, port: PortId, remote: RemoteMedia) {
        self.command(Command::SetRemote { port, remote });
    }

    pub(crate) fn command(&mut self, command: Command) {
        self.try_command(command).unwrap();
    }

    pub(crate) fn try_command(&mut self, command: Command) -> Result<(), CommandError> {
        let done = self.engine.handle_command(command, self.now);
        self.drain();
        done
    }

    /// A packet arrives; what is sent because of it.
    pub(crate) fn hear(&mut self, port: PortId, from: &str, packet: &[u8]) -> Option<Sent> {
        let mut packet = packet.to_vec();
        let from = from.parse().unwrap();
        let transmit = self.engine.forward(port, from, &mut packet, self.now);
        let sent = transmit.map(|transmit| Sent::new(&transmit, self.now));
        self.drain();
        sent
    }

    pub(crate) fn hear_rtcp(&mut self, port: PortId, from: &str, packet: &[u8]) {
        self.engine.handle_rtcp(port, from.parse().unwrap(), packet, self.now);
        self.drain();
    }

    /// Lets time pass, with all that is due in it.
    pub(crate) fn pass(&mut self, ms: u64) {
        let end = self.now + Duration::from_millis(ms);
        while let Some(due) = self.engine.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.engine.handle_timeout(self.now);
            self.drain();
        }
        self.now = end;
    }

    /// What left by the RTP channel so far.
    pub(crate) fn take_rtp(&mut self) -> Vec<Sent> {
        let (rtp, rest) = self.sent.drain(..).partition(|sent| sent.channel == Channel::Rtp);
        self.sent = rest;
        rtp
    }

    pub(crate) fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    pub(crate) fn stats(&self, port: PortId) -> PortStats {
        self.engine.stats(port).unwrap()
    }

    fn drain(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Transmit(transmit) => self.sent.push(Sent::new(&transmit, self.now)),
                Output::Event(event) => self.events.push(event),
            }
        }
    }
}

/// A peer that takes PCMU and telephone-events at 101, and may send PCMA too.
pub(crate) fn remote(rtp: &str) -> RemoteMedia {
    let rtp: SocketAddr = rtp.parse().unwrap();
    RemoteMedia {
        rtp: Some(rtp),
        rtcp: Some(SocketAddr::new(rtp.ip(), rtp.port() + 1)),
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

/// A peer that talks: PCMU of 20 ms, all octets alike.
pub(crate) struct Talker {
    pub(crate) header: Header,
}

impl Talker {
    pub(crate) fn new(ssrc: u32) -> Self {
        let header = Header { marker: false, payload_type: 0, sequence: 500, timestamp: 90_000, ssrc };
        Self { header }
    }

    /// The next packet.
    pub(crate) fn packet(&mut self) -> Vec<u8> {
        let packet = packet(self.header, &[0x21; 160]);
        self.header.sequence = self.header.sequence.wrapping_add(1);
        self.header.timestamp = self.header.timestamp.wrapping_add(160);
        packet
    }
}

pub(crate) fn packet(header: Header, payload: &[u8]) -> Vec<u8> {
    [&header.to_bytes(), payload].concat()
}

#[expect(clippy::disallowed_methods, reason = "an Instant cannot be made otherwise; nothing waits")]
fn start() -> Instant {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    *START
}
