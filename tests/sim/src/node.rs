//! Our side: the switch with its media engine, its journal, and a process that can die.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use tandem_lab::setup::{Seeded, start, start_utc};
use tandem_lab::{Entry, Journal};
use tandem_media::engine::{self, Channel, Engine, PortId};
use tandem_model::{AddressPolicy, Money, Now, Timestamp, Transport};
use tandem_sip::endpoint::{Flow, Identity, SentBy, Transmit};
use tandem_switch::{
    Answer, Command, Counts, Listener, OpenCall, Output, OwnAddresses, PortPool, QuestionId, Reply, ReplyId, ResolveId,
    Resolved, Switch, SwitchConfig,
};

/// What our side has of its host.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Own {
    /// Media ports of each family.
    pub(crate) ports: u16,
    pub(crate) has_v6: bool,
}

/// What reaches the process.
pub(crate) enum Input {
    Sip { flow: Flow, octets: Vec<u8> },
    Unreachable(Flow),
    Rtp { to: SocketAddr, from: SocketAddr, packet: Vec<u8> },
    Command(Command),
    Resolved(ResolveId, Resolved),
    Answer(QuestionId, Answer),
    TakeUp(Box<OpenCall>, Timestamp),
}

/// All that a turn of the process has come to, before anything of it is written or sent.
#[derive(Default)]
pub(crate) struct Turn {
    pub(crate) entries: Vec<Entry>,
    pub(crate) transmits: Vec<Transmit>,
    pub(crate) replies: Vec<(ReplyId, Reply)>,
    pub(crate) lookups: Vec<(ResolveId, String)>,
    pub(crate) questions: Vec<QuestionId>,
    pub(crate) audio: Vec<Audio>,
}

/// Audio, or a report on it, that the engine sends.
pub(crate) struct Audio {
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) channel: Channel,
    pub(crate) packet: Vec<u8>,
}

pub(crate) struct Node {
    own: Own,
    seed: u64,
    process: Option<Process>,
    /// What survives.
    pub(crate) journal: Journal,
    /// How many processes there have been.
    pub(crate) processes: u64,
    /// What questions are answered with at once; `None` leaves them for later.
    pub(crate) admission: Option<Answer>,
}

struct Process {
    switch: Switch,
    engine: Engine,
    /// What the media thread has told, for the next turn.
    told: VecDeque<engine::Event>,
    next_heartbeat: Instant,
}

impl Node {
    pub(crate) fn new(own: Own, seed: u64) -> Self {
        Self { own, seed, process: None, journal: Journal::default(), processes: 0, admission: Some(Answer::Admit) }
    }

    pub(crate) fn has(&self, address: SocketAddr) -> bool {
        self.own.addresses().any(|own| own.ip() == address.ip())
    }

    /// Where somebody at that address calls us.
    pub(crate) fn address_for(&self, peer: SocketAddr) -> SocketAddr {
        self.own.addresses().find(|own| own.is_ipv4() == peer.is_ipv4()).unwrap()
    }

    pub(crate) const fn is_up(&self) -> bool {
        self.process.is_some()
    }

    pub(crate) fn counts(&self) -> Option<Counts> {
        self.process.as_ref().map(|process| process.switch.counts())
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.process.as_ref().is_none_or(|process| process.switch.is_idle())
    }

    /// Media ports that are open, and what the switch waits for.
    pub(crate) fn leftovers(&self) -> (usize, Option<Instant>) {
        self.process.as_ref().map_or((0, None), |process| (process.engine.ports(), process.switch.poll_timeout()))
    }

    /// A process begins. It knows no routes yet.
    pub(crate) fn start(&mut self, now: Instant, change: impl FnOnce(&mut Switch)) {
        self.processes += 1;
        let seed = self.seed.wrapping_add(self.processes.wrapping_mul(0x1_0000));
        let mut switch = new_switch(self.own, seed);
        change(&mut switch);
        let engine = new_engine(self.own, now);
        self.process = Some(Process { switch, engine, told: VecDeque::new(), next_heartbeat: now });
    }

    /// The process dies, and all with it that is not written down.
    pub(crate) fn die(&mut self) {
        self.process = None;
    }

    pub(crate) fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        let process = self.process.as_ref()?;
        let told = (!process.told.is_empty()).then_some(now);
        let heartbeat = Some(process.next_heartbeat);
        [told, heartbeat, process.switch.poll_timeout(), process.engine.poll_timeout()].into_iter().flatten().min()
    }

    /// One turn of the loop: takes what came and what is due, and gathers what is to be done.
    pub(crate) fn turn(&mut self, inputs: Vec<Input>, now: Now) -> Turn {
        let own = self.own;
        let Some(process) = &mut self.process else { return Turn::default() };
        let mut turn = Turn::default();
        for event in std::mem::take(&mut process.told) {
            process.switch.handle_media_event(event, now);
        }
        for input in inputs {
            process.take(input, own, &mut turn, now);
        }
        process.switch.handle_timeout(now);
        process.engine.handle_timeout(now.instant);
        process.drain(own, self.admission.as_ref(), &mut turn, now);
        // Behind the records of what an earlier process left, so that nobody takes its calls to have lasted until now.
        if process.next_heartbeat <= now.instant {
            process.next_heartbeat = now.instant + HEARTBEAT;
            turn.entries.push(Entry::Heartbeat(now.utc));
        }
        turn
    }
}

impl Process {
    fn take(&mut self, input: Input, own: Own, turn: &mut Turn, now: Now) {
        match input {
            Input::Sip { flow, octets } => self.switch.handle_datagram(flow, &octets, now),
            Input::Unreachable(flow) => self.switch.handle_transport_error(&flow, now),
            Input::Rtp { to, from, mut packet } => {
                let Some(port) = own.port_at(to) else { return };
                if let Some(transmit) = self.engine.forward(port, from, &mut packet, now.instant) {
                    turn.audio.push(own.audio(&transmit));
                }
            }
            Input::Command(command) => self.switch.handle_command(command, now),
            Input::Resolved(id, resolved) => self.switch.handle_resolved(id, &resolved, now),
            Input::Answer(question, answer) => self.switch.handle_answer(question, answer, now),
            Input::TakeUp(open, last_heartbeat) => self.switch.take_up(*open, last_heartbeat, now),
        }
    }

    fn drain(&mut self, own: Own, admission: Option<&Answer>, turn: &mut Turn, now: Now) {
        while let Some(output) = self.switch.poll_output() {
            match output {
                Output::Transmit(transmit) => turn.transmits.push(transmit),
                Output::Media(command) => {
                    self.engine.handle_command(command, now.instant).expect("the switch knows which ports are open");
                }
                Output::Record(record) => turn.entries.push(Entry::Record(record)),
                Output::Keep { call_id, leg_id, kept } => turn.entries.push(Entry::Keep { call_id, leg_id, kept }),
                Output::Forget { leg_id } => turn.entries.push(Entry::Forget { leg_id }),
                Output::Reply(id, reply) => turn.replies.push((id, reply)),
                Output::Ask(question) => match admission {
                    Some(answer) => self.switch.handle_answer(question.id, answer.clone(), now),
                    None => turn.questions.push(question.id),
                },
                Output::Resolve { id, host } => turn.lookups.push((id, host)),
                Output::Refused(_) | Output::Health(_) => {}
            }
        }
        while let Some(output) = self.engine.poll_output() {
            match output {
                engine::Output::Transmit(transmit) => turn.audio.push(own.audio(&transmit)),
                engine::Output::Event(event) => self.told.push_back(event),
            }
        }
    }
}

impl Own {
    fn addresses(self) -> impl Iterator<Item = SocketAddr> {
        [Some(US), self.has_v6.then_some(US_V6)].into_iter().flatten()
    }

    /// The ports by number: those of IPv4, then those of IPv6.
    fn bound(self) -> impl Iterator<Item = (PortId, SocketAddr)> {
        let of_host = move |us: SocketAddr| {
            (0..self.ports).map(move |index| SocketAddr::new(us.ip(), FIRST_RTP_PORT + 2 * index))
        };
        (0..).map(PortId).zip(self.addresses().flat_map(of_host))
    }

    /// So few that they are taken again at once.
    pub(crate) const fn has_few_ports(self) -> bool {
        self.ports == FEW_PORTS
    }

    fn port_at(self, place: SocketAddr) -> Option<PortId> {
        let index = place.port().checked_sub(FIRST_RTP_PORT).filter(|offset| offset % 2 == 0)? / 2;
        let first = if place.is_ipv4() { 0 } else { self.ports };
        (index < self.ports).then(|| PortId(u32::from(first + index)))
    }

    fn audio(self, transmit: &engine::Transmit<'_>) -> Audio {
        let port = u16::try_from(transmit.port.0).unwrap();
        let host = if port < self.ports { US.ip() } else { US_V6.ip() };
        let from = SocketAddr::new(host, FIRST_RTP_PORT + 2 * (port % self.ports));
        Audio { from, to: transmit.to, channel: transmit.channel, packet: transmit.payload.to_vec() }
    }
}

fn new_switch(own: Own, seed: u64) -> Switch {
    let mut media = OwnAddresses::default();
    for address in own.addresses().map(|us| OwnAddresses::from(us.ip())) {
        media = OwnAddresses { v4: media.v4.or(address.v4), v6: media.v6.or(address.v6) };
    }
    let config = SwitchConfig {
        identity: Identity { node: 1, shard: 0 },
        user_agent: "Tandem".into(),
        sent_by: SentBy::default(),
        listeners: own.addresses().map(|local| Listener { transport: Transport::Udp, local }).collect(),
        media,
        ports: PortPool::new(own.bound()),
        address_policy: AddressPolicy::new(ALLOWED.map(|range| range.parse().unwrap()).into()),
        credit_value: Money::from_micros(10_000),
    };
    Switch::new(config, Box::new(Seeded(seed)), Box::new(Seeded(seed ^ 0xffff_0000)))
}

fn new_engine(own: Own, now: Instant) -> Engine {
    let ports = u32::try_from(own.bound().count()).unwrap();
    let unix_micros = u64::try_from(start_utc().unix_micros()).unwrap();
    Engine::new(engine::Limits { ports }, now, Duration::from_micros(unix_micros) + (now - start()))
}

const US: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 5_060);
const US_V6: SocketAddr = SocketAddr::new(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)), 5_060);
/// The networks that far ends are in; other private ranges may not be named.
const ALLOWED: [&str; 3] = ["192.0.2.0/24", "198.18.0.0/15", "2001:db8::/32"];
/// What a node has whose ports run out.
pub(crate) const FEW_PORTS: u16 = 6;
const FIRST_RTP_PORT: u16 = 20_000;
/// How often the journal shows that the process lives.
const HEARTBEAT: Duration = Duration::from_secs(1);
