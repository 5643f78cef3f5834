//! A caller and a carrier on one line, in virtual time.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use tandem_carrier::{
    Address, Carrier, CarrierConfig, Counts, Ending, Happening, Heard, Limits, LineCommand, Lines, MediaPort, Output,
    Report,
};
use tandem_media::engine::{
    self, Channel, Command, Engine, Event as MediaEvent, Output as MediaOutput, PortId, PortStats,
};
use tandem_media::offer_answer::{self, DEFAULT_PTIME_MS, LocalMedia, Offer};
use tandem_media::sdp::Direction;
use tandem_model::{Codec, Now, Timestamp, Transport};
use tandem_sip::endpoint::{
    self, Answer, Endpoint, EndpointConfig, Event, Flow, Identity, OutgoingInvite, SessionId, Transmit,
};
use tandem_sip::message::{Body, NameAddr, StatusCode, Uri};
use tandem_sip::random::Randomness;

pub(crate) const FIRST: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)), 5080);
pub(crate) const SECOND: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3)), 5080);
pub(crate) const CALLER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5060);
/// Where the caller wants audio, and sends it from.
pub(crate) const CALLER_MEDIA: SocketAddr = SocketAddr::new(CALLER.ip(), 30_000);

/// What ports without an engine say they counted.
pub(crate) const HEARD: Heard = Heard { packets_received: 100, packets_lost: Some(1), packets_sent: 99 };

pub(crate) struct Line {
    pub(crate) carrier: Carrier,
    pub(crate) caller: Endpoint,
    start: Instant,
    elapsed: Duration,
    /// What the caller sends is lost.
    pub(crate) caller_unheard: bool,
    /// Where it is drawn which fifth of the datagrams, either way, is lost.
    loss: Option<Seeded>,
    /// First lines of what was sent by the carrier, with the time.
    pub(crate) carrier_sent: Vec<(Duration, String)>,
    pub(crate) events: Vec<(Duration, Event)>,
    pub(crate) reports: Vec<Report>,
    pub(crate) commands: Vec<Command>,
    pub(crate) line_commands: Vec<LineCommand>,
    /// What the engine sends goes through these.
    pub(crate) lines: Lines,
    /// Without one, ports do nothing, and count [`HEARD`].
    engine: Option<Engine>,
    /// RTP packets that the caller got, with the time.
    pub(crate) audio: Vec<(Duration, Vec<u8>)>,
}

/// SplitMix64 from a fixed seed.
struct Seeded(u64);

impl Line {
    /// With enough of everything.
    pub(crate) fn new() -> Self {
        Self::with(Limits::default(), 8)
    }

    pub(crate) fn with(limits: Limits, ports: u32) -> Self {
        let config = CarrierConfig {
            addresses: [FIRST, SECOND],
            media_address: FIRST.ip(),
            media_ports: (0..ports).map(media_port).collect(),
            identity: Identity { node: 0xca, shard: 0 },
            callers: vec!["127.0.0.0/8".parse().unwrap()],
            limits,
        };
        Self {
            carrier: Carrier::new(config, Box::new(Seeded(1))),
            caller: Endpoint::new(EndpointConfig::new("caller", Identity::default()), Box::new(Seeded(2))),
            start: start(),
            elapsed: Duration::ZERO,
            caller_unheard: false,
            loss: None,
            carrier_sent: Vec::new(),
            events: Vec::new(),
            reports: Vec::new(),
            commands: Vec::new(),
            line_commands: Vec::new(),
            lines: Lines::default(),
            engine: None,
            audio: Vec::new(),
        }
    }

    /// On which a fifth of all datagrams is lost.
    pub(crate) fn lossy(seed: u64) -> Self {
        let mut line = Self::with(Limits::default(), 64);
        line.loss = Some(Seeded(seed));
        line
    }

    /// With a media engine in place of ports that do nothing.
    pub(crate) fn with_engine() -> Self {
        let mut line = Self::new();
        line.engine = Some(Engine::new(engine::Limits { ports: 8 }, line.now().instant, Duration::ZERO));
        line
    }

    /// An RTP packet of the caller's reaches a port of the carrier.
    pub(crate) fn say(&mut self, port: PortId, mut packet: Vec<u8>) {
        let now = self.now().instant;
        let engine = self.engine.as_mut().expect("only a line with an engine carries audio");
        let sent = engine.forward(port, CALLER_MEDIA, &mut packet, now);
        if let Some(transmit) = sent.and_then(|transmit| self.lines.carry(transmit, now)) {
            self.audio.push((self.elapsed, transmit.payload.to_vec()));
        }
        self.settle();
    }

    /// Calls a number, such as `0100`, at one of the addresses, with an offer.
    pub(crate) fn call(&mut self, number: &str, address: SocketAddr) -> SessionId {
        self.call_with(number, address, Some(caller_offer(Direction::SendRecv).to_bytes()))
    }

    pub(crate) fn call_with(&mut self, number: &str, address: SocketAddr, offer: Option<Vec<u8>>) -> SessionId {
        let invite = OutgoingInvite {
            flow: Flow { transport: Transport::Udp, local: CALLER, remote: address },
            request_uri: uri(&format!("sip:+1202555{number}@{address}")),
            routes: Vec::new(),
            from: NameAddr::new(uri("sip:+12025550190@127.0.0.1")),
            to: NameAddr::new(uri(&format!("sip:+1202555{number}@{address}"))),
            headers: Vec::new(),
            credentials: None,
            body: offer.map(Body::sdp),
            max_forwards: 70,
        };
        let session = self.caller.invite(invite, self.now().instant);
        self.settle();
        session
    }

    pub(crate) fn cancel(&mut self, session: SessionId) {
        self.caller.cancel(session, None, self.now().instant);
        self.settle();
    }

    pub(crate) fn bye(&mut self, session: SessionId) {
        self.caller.bye(session, None, self.now().instant);
        self.settle();
    }

    pub(crate) fn now(&self) -> Now {
        let micros = i64::try_from(self.elapsed.as_micros()).unwrap();
        Now { instant: self.start + self.elapsed, utc: Timestamp::from_unix_micros(micros) }
    }

    /// Lets time pass, from deadline to deadline.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.elapsed + time;
        for _ in 0..MAX_WAKE_UPS {
            let media = self.engine.as_ref().and_then(Engine::poll_timeout);
            let line = self.lines.poll_timeout();
            let due =
                [self.carrier.poll_timeout(), self.caller.poll_timeout(), media, line].into_iter().flatten().min();
            let Some(due) = due.map(|due| due - self.start).filter(|due| *due <= end) else {
                self.elapsed = end;
                return;
            };
            self.elapsed = self.elapsed.max(due);
            self.carrier.handle_timeout(self.now());
            self.caller.handle_timeout(self.now().instant);
            let now = self.now().instant;
            if let Some(engine) = &mut self.engine {
                engine.handle_timeout(now);
            }
            self.settle();
        }
        panic!("a deadline comes again and again");
    }

    /// Delivers all that is to be delivered, without delay.
    pub(crate) fn settle(&mut self) {
        loop {
            let mut moved = false;
            while let Some(output) = self.carrier.poll_output() {
                moved = true;
                match output {
                    Output::Transmit(transmit) => self.carry_to_caller(&transmit),
                    Output::Media(command) => self.command_engine(command),
                    Output::Line(command) => {
                        self.line_commands.push(command);
                        self.lines.handle_command(command);
                    }
                    Output::Report(report) => self.reports.push(report),
                }
            }
            while let Some(output) = self.caller.poll_output() {
                moved = true;
                match output {
                    endpoint::Output::Transmit(transmit) => self.carry_to_carrier(&transmit),
                    endpoint::Output::Event(event) => self.events.push((self.elapsed, event)),
                }
            }
            moved |= self.drain_engine();
            if !moved {
                return;
            }
        }
    }

    fn drain_engine(&mut self) -> bool {
        let mut events = Vec::new();
        let mut moved = false;
        let now = self.now().instant;
        while let Some(output) = self.engine.as_mut().and_then(Engine::poll_output) {
            moved = true;
            match output {
                MediaOutput::Transmit(transmit) => {
                    if let Some(transmit) = self.lines.carry(transmit, now)
                        && transmit.channel == Channel::Rtp
                    {
                        assert_eq!(transmit.to, CALLER_MEDIA);
                        self.audio.push((self.elapsed, transmit.payload.to_vec()));
                    }
                }
                MediaOutput::Event(event) => events.push(event),
            }
        }
        while let Some(datagram) = self.lines.poll_due(now) {
            moved = true;
            if datagram.channel == Channel::Rtp {
                assert_eq!(datagram.to, CALLER_MEDIA);
                self.audio.push((self.elapsed, datagram.payload));
            }
        }
        for event in events {
            self.carrier.handle_media_event(event, self.now());
        }
        moved
    }

    fn carry_to_caller(&mut self, transmit: &Transmit) {
        let first_line = transmit.payload.split(|octet| *octet == b'\r').next().unwrap();
        self.carrier_sent.push((self.elapsed, String::from_utf8(first_line.to_vec()).unwrap()));
        if !self.loses_next() {
            self.caller.handle_datagram(reversed(&transmit.flow), &transmit.payload, self.now().instant);
        }
    }

    fn carry_to_carrier(&mut self, transmit: &Transmit) {
        if !self.loses_next() && !self.caller_unheard {
            self.carrier.handle_datagram(reversed(&transmit.flow), &transmit.payload, self.now());
        }
    }

    fn loses_next(&mut self) -> bool {
        let Some(loss) = &mut self.loss else { return false };
        let mut draw = [0];
        loss.fill(&mut draw);
        draw[0] % 5 == 0
    }

    fn command_engine(&mut self, command: Command) {
        self.commands.push(command.clone());
        let now = self.now();
        if let Some(engine) = &mut self.engine {
            engine.handle_command(command, now.instant).expect("the carrier knows which ports are open");
        } else if let Command::Close { port } = command {
            let mut stats = Box::<PortStats>::default();
            stats.received.packets = HEARD.packets_received;
            stats.received.lost = HEARD.packets_lost;
            stats.sent.packets = HEARD.packets_sent;
            let tag = self.tag_of(port);
            self.carrier.handle_media_event(MediaEvent::Closed { port, tag, stats }, now);
        }
    }

    /// The tag that a port was opened with last.
    pub(crate) fn tag_of(&self, wanted: PortId) -> u64 {
        let opened = self.commands.iter().rev().find_map(|command| match command {
            Command::Open { port, tag, .. } if *port == wanted => Some(*tag),
            _ => None,
        });
        opened.expect("only an open port is closed")
    }

    /// The provisional and final responses that the caller got, with their times in milliseconds; 100 left out.
    pub(crate) fn responses(&self) -> Vec<(u128, u16)> {
        let responses = self.events.iter().filter_map(|(at, event)| match event {
            Event::Provisional { status, .. } if *status != StatusCode::TRYING => {
                Some((at.as_millis(), status.as_u16()))
            }
            Event::Answered { answer, .. } => Some((at.as_millis(), answer.status.as_u16())),
            Event::Failed { failure: endpoint::Failure::Status(refused), .. } => {
                Some((at.as_millis(), refused.status.as_u16()))
            }
            _ => None,
        });
        responses.collect()
    }

    pub(crate) fn answer(&self, session: SessionId) -> Option<&Answer> {
        self.events.iter().find_map(|(_, event)| match event {
            Event::Answered { session: answered, answer } if *answered == session => Some(answer.as_ref()),
            _ => None,
        })
    }

    /// How each call ended, in order.
    pub(crate) fn endings(&self) -> Vec<(Ending, Option<Duration>, Option<Heard>)> {
        let endings = self.reports.iter().filter_map(|report| match &report.happening {
            Happening::Ended { ending, answered_for, heard } => Some((*ending, *answered_for, *heard)),
            _ => None,
        });
        endings.collect()
    }

    /// Which addresses were asked, in order.
    pub(crate) fn addresses_asked(&self) -> Vec<Address> {
        let asked = self.reports.iter().filter_map(|report| match &report.happening {
            Happening::Seen { address, .. } => Some(*address),
            _ => None,
        });
        asked.collect()
    }

    /// Waits until the last timer of SIP is over, then checks that nothing is left, on either end.
    pub(crate) fn expect_nothing_left(&mut self) {
        self.pass(Duration::from_secs(100));
        let Counts { calls, silent_invites, media_ports, endpoint, .. } = self.carrier.counts();
        assert_eq!((calls, silent_invites, media_ports), (0, 0, 0));
        let idle = Endpoint::new(EndpointConfig::new("idle", Identity::default()), Box::new(Seeded(3))).counts();
        assert_eq!((endpoint.sessions, endpoint.dialogs), (idle.sessions, idle.dialogs));
        assert_eq!(endpoint.server_transactions, idle.server_transactions);
        assert_eq!(endpoint.client_transactions, idle.client_transactions);
        assert_eq!(self.caller.counts().sessions, 0);
        assert_eq!(self.carrier.poll_timeout(), None);
        assert_eq!((self.lines.impaired(), self.lines.on_their_way()), (0, 0));

        let mut open = BTreeSet::new();
        for command in &self.commands {
            match command {
                Command::Open { port, .. } => assert!(open.insert(*port), "{port:?} is opened twice"),
                Command::Close { port } => assert!(open.remove(port), "{port:?} is closed twice"),
                _ => {}
            }
        }
        assert!(open.is_empty(), "{open:?} are still open");
        let seen = self.addresses_asked().len();
        assert_eq!(self.endings().len(), seen, "each call has one last report");
    }
}

/// An offer of the caller's.
pub(crate) fn caller_offer(direction: Direction) -> Offer {
    offer_answer::offer(&caller_media(direction))
}

pub(crate) fn caller_media(direction: Direction) -> LocalMedia {
    LocalMedia {
        address: CALLER_MEDIA.ip(),
        rtp_port: CALLER_MEDIA.port(),
        codecs: vec![Codec::Pcma, Codec::Pcmu],
        telephone_event: true,
        direction,
        ptime_ms: DEFAULT_PTIME_MS,
        session_id: 7,
        session_version: 1,
    }
}

pub(crate) fn media_port(index: u32) -> MediaPort {
    MediaPort { id: PortId(index), rtp_port: 40_000 + 2 * u16::try_from(index).unwrap() }
}

fn uri(text: &str) -> Uri {
    Uri::parse(text.as_bytes()).unwrap()
}

fn reversed(flow: &Flow) -> Flow {
    Flow { transport: flow.transport, local: flow.remote, remote: flow.local }
}

#[expect(
    clippy::disallowed_methods,
    reason = "there is no other way to make a first Instant; from there time is virtual"
)]
fn start() -> Instant {
    Instant::now()
}

impl Randomness for Seeded {
    fn fill(&mut self, octets: &mut [u8]) {
        for chunk in octets.chunks_mut(8) {
            self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut mixed = self.0;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            mixed ^= mixed >> 31;
            chunk.copy_from_slice(&mixed.to_le_bytes()[..chunk.len()]);
        }
    }
}

/// Far more than any test needs.
const MAX_WAKE_UPS: usize = 100_000;
