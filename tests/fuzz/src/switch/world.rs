//! A switch with its media engine, what it has sent, and what it still waits for.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tandem_lab::setup::{Seeded, account, account_id, order, start, start_utc, trunk, trunk_id};
use tandem_lab::{Entry, Journal};
use tandem_media::engine::{self, Engine, PortId};
use tandem_model::{
    AddressPolicy, CallId, Connect, DialOrder, HangupCause, InboundRouting, InboundRule, Money, Now, Reason, Record,
    Timestamp, Transport, Trunk,
};
use tandem_sip::endpoint::{Flow, Identity, SentBy};
use tandem_sip::message::Message;
use tandem_switch::route::RouteTable;
use tandem_switch::{
    Answer, Command, Counts, Listener, Output, OwnAddresses, PortPool, Question, Reply, ReplyId, ResolveError,
    ResolveId, Switch, SwitchConfig,
};

use super::input::Input;
use super::peer;
use crate::planted::is_planted_for;

const US: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
const FIRST_RTP_PORT: u16 = 20_000;
const PORTS: u16 = 8;
/// Calls of the account, and of each trunk.
const MOST_CALLS: u32 = 4;
/// What the switch sent last, to choose from.
const MOST_HEARD: usize = 32;
/// Until timers, transactions and deadlines of calls are over.
const PEACE: Duration = Duration::from_secs(400);
/// So that no loop of the switch's own making goes on for ever.
const MOST_TIMEOUTS: usize = 100_000;

pub(super) struct World {
    switch: Switch,
    engine: Engine,
    now: Instant,
    journal: Journal,
    calls: Vec<CallId>,
    heard: VecDeque<(Flow, Vec<u8>)>,
    received: Option<(Flow, Vec<u8>)>,
    questions: VecDeque<Question>,
    lookups: VecDeque<ResolveId>,
    /// Whether the command was answered, by its number.
    replies: BTreeMap<ReplyId, bool>,
    trunks: Vec<Trunk>,
    revision: u64,
    /// The switch was heard to give up a call that it had early media of.
    has_given_up_early_media: bool,
}

impl World {
    pub(super) fn new() -> Self {
        let us = |port: u16| SocketAddr::new(US, port);
        let ports = (0..PORTS).map(|index| (PortId(u32::from(index)), us(FIRST_RTP_PORT + 2 * index)));
        let config = SwitchConfig {
            identity: Identity { node: 1, shard: 0 },
            user_agent: "Tandem".into(),
            sent_by: SentBy::default(),
            listeners: vec![Listener { transport: Transport::Udp, local: us(5060) }],
            media: OwnAddresses::from(US),
            ports: PortPool::new(ports),
            address_policy: AddressPolicy::new(vec!["192.0.2.0/24".parse().unwrap()]),
            credit_value: Money::from_micros(10_000),
        };
        let mut world = Self {
            switch: Switch::new(config, Box::new(Seeded(1)), Box::new(Seeded(2))),
            engine: Engine::new(
                engine::Limits { ports: u32::from(PORTS) },
                start(),
                Duration::from_secs(1_800_000_000),
            ),
            now: start(),
            journal: Journal::default(),
            calls: Vec::new(),
            heard: VecDeque::new(),
            received: None,
            questions: VecDeque::new(),
            lookups: VecDeque::new(),
            replies: BTreeMap::new(),
            trunks: trunks(),
            revision: 0,
            has_given_up_early_media: false,
        };
        world.tell_routes();
        world
    }

    // Steps.

    pub(super) fn pass(&mut self, ms: u64) {
        self.pass_until(self.now + Duration::from_millis(ms));
    }

    pub(super) fn dial(&mut self, input: &mut Input<'_>) {
        let connect = match input.below(4) {
            0 => Connect::Echo,
            1 => Connect::Play { tone: "440+480".into() },
            2 => Connect::Sip { uri: "sip:phone@192.0.2.11".into() },
            _ => Connect::Number { number: "+12025550111".parse().unwrap() },
        };
        let to = input.one_of([
            "+12025550100",
            "+12025550100",
            "sip:phone@192.0.2.10",
            "sip:phone@10.0.0.1",
            "sip:a@b.example",
        ]);
        let order = DialOrder {
            connect,
            ring_timeout: Duration::from_secs(1 + u64::from(input.octet() % 30)),
            max_duration: Duration::from_secs(1 + u64::from(input.octet() % 30)),
            trunk_id: input.flag().then(|| trunk_id(1 + input.octet() % 4)),
            ..order(to)
        };
        let order = Box::new(order);
        let only_asks = input.octet() == 255;
        self.command(
            |reply| if only_asks { Command::Explain { order, reply } } else { Command::Dial { order, reply } },
        );
    }

    pub(super) fn hang_up(&mut self, input: &mut Input<'_>) {
        let Some(&call_id) = self.calls.get(input.below(8)) else { return };
        let account_id = account_id(1);
        let only_looks = input.octet() > 250;
        self.command(|reply| match only_looks {
            true => Command::Inspect { account_id, call_id, reply },
            false => Command::Hangup { account_id, call_id, reply },
        });
    }

    pub(super) fn respond(&mut self, input: &mut Input<'_>) {
        let Some((flow, request)) = self.choose_heard(input) else { return };
        let Some(response) = peer::response(&request, input) else { return };
        self.deliver(flow, response);
    }

    /// Any octets, from anybody.
    pub(super) fn receive(&mut self, input: &mut Input<'_>) {
        let flow = flow_from(input.one_of([10, 11, 99]));
        let text = input.text().to_vec();
        self.deliver(flow, text);
    }

    pub(super) fn ask_within(&mut self, input: &mut Input<'_>) {
        let Some((flow, heard)) = self.choose_heard(input) else { return };
        let Some(request) = peer::request_within(&heard, input) else { return };
        self.deliver(flow, request);
    }

    pub(super) fn acknowledge(&mut self, input: &mut Input<'_>) {
        let Some((flow, heard)) = self.choose_heard(input) else { return };
        let Some(ack) = peer::ack(&heard, input) else { return };
        self.deliver(flow, ack);
    }

    pub(super) fn invite(&mut self, input: &mut Input<'_>) {
        let flow = flow_from(input.one_of([10, 11, 99]));
        let invite = peer::invite(input);
        self.deliver(flow, invite);
    }

    /// The network delivers something twice.
    pub(super) fn repeat(&mut self, input: &mut Input<'_>) {
        let Some((flow, octets)) = self.received.clone() else { return };
        let flow = if input.octet() == 255 { flow_from(99) } else { flow };
        self.deliver(flow, octets);
    }

    pub(super) fn answer(&mut self, input: &mut Input<'_>) {
        let Some(question) = self.questions.pop_front() else { return };
        let answer = if input.flag() { Answer::Refuse(Reason::Draining) } else { Answer::Admit };
        self.switch.handle_answer(question.id, answer, self.now());
        self.drain();
    }

    pub(super) fn resolve(&mut self, input: &mut Input<'_>) {
        let Some(id) = self.lookups.pop_front() else { return };
        let address = |host: u8| IpAddr::from([192, 0, 2, host]);
        let resolved = match input.below(5) {
            0 => Err(ResolveError::NotFound),
            1 => Err(ResolveError::Unavailable),
            2 => Ok(vec![IpAddr::from([127, 0, 0, 1])]),
            3 => Ok(vec![address(12), address(10)]),
            _ => Ok(vec![address(12)]),
        };
        self.switch.handle_resolved(id, &resolved, self.now());
        self.drain();
    }

    pub(super) fn fail_transport(&mut self, input: &mut Input<'_>) {
        let Some((flow, _)) = self.choose_heard(input) else { return };
        self.switch.handle_transport_error(&flow, self.now());
        self.drain();
    }

    pub(super) fn end_all(&mut self) {
        self.switch.handle_command(Command::EndAll { cause: HangupCause::NormalClearing }, self.now());
        self.drain();
    }

    pub(super) fn change_routes(&mut self, input: &mut Input<'_>) {
        if input.flag() {
            self.trunks = trunks();
        } else {
            self.trunks.truncate(input.below(4));
        }
        self.tell_routes();
    }

    pub(super) fn probe(&mut self, input: &mut Input<'_>) {
        let trunk_id = trunk_id(1 + input.octet() % 4);
        self.command(|reply| Command::Probe { trunk_id, reply });
    }

    /// A packet of a peer, or what only says so.
    pub(super) fn hear_media(&mut self, input: &mut Input<'_>) {
        let port = PortId(u32::from(input.octet()) % u32::from(PORTS));
        let from = SocketAddr::from(([192, 0, 2, input.one_of([10, 11, 99])], 4000));
        let mut packet = vec![0x80, input.one_of([0, 8, 101]), 0, input.octet()];
        packet.extend([0, 0, 0, input.octet(), 0, 0, 0, 7]);
        packet.extend([0xd5; 160]);
        if let Some(transmit) = self.engine.forward(port, from, &mut packet, self.now) {
            expect_allowed(transmit.to);
        }
        self.drain();
    }

    /// What holds at every moment.
    pub(super) fn expect_limits(&self) {
        let counts = self.switch.counts();
        assert!(counts.account_slots <= u64::from(MOST_CALLS), "{counts:?}");
        assert!(counts.ports_in_use <= u64::from(PORTS), "{counts:?}");
        assert!(self.engine.ports() <= usize::from(PORTS), "{counts:?}");
    }

    /// Everybody hangs up and nobody answers any more. Then nothing may be left, and each call be on record once.
    pub(super) fn finish(mut self) {
        self.end_all();
        while let Some(question) = self.questions.pop_front() {
            self.switch.handle_answer(question.id, Answer::Admit, self.now());
            self.drain();
        }
        while let Some(id) = self.lookups.pop_front() {
            self.switch.handle_resolved(id, &Err(ResolveError::NotFound), self.now());
            self.drain();
        }
        self.end_all();
        // As long as there are trunks, their names are looked up again and again.
        self.trunks.clear();
        self.tell_routes();
        self.pass_until(self.now + PEACE);

        let counts = self.switch.counts();
        let Counts { ports_total, routing_revision, unstored_calls, .. } = counts;
        assert_eq!(counts, Counts { ports_total, routing_revision, unstored_calls, ..Counts::default() });
        assert!(self.journal.kept().is_empty(), "nothing is kept for a leg that is over: {:?}", self.journal.kept());
        assert_eq!(self.engine.ports(), 0, "media ports are closed");
        assert_eq!(self.switch.poll_timeout(), None, "nothing is waited for");
        assert!(self.replies.values().all(|is_answered| *is_answered), "every command is answered");
        assert_eq!(u64::try_from(self.journal.calls().count()).unwrap(), unstored_calls);
        for (id, call) in self.journal.calls() {
            let ended = call.ended().unwrap();
            assert_eq!(ended.faults(), Vec::<String>::new(), "{id}: {ended:#?}");
        }
    }

    // The rest of the process.

    fn now(&self) -> Now {
        Now { instant: self.now, utc: self.utc() }
    }

    fn utc(&self) -> Timestamp {
        start_utc().saturating_add(self.now - start())
    }

    fn command(&mut self, make: impl FnOnce(ReplyId) -> Command) {
        let id = ReplyId(u64::try_from(self.replies.len()).unwrap());
        self.replies.insert(id, false);
        self.switch.handle_command(make(id), self.now());
        self.drain();
    }

    fn tell_routes(&mut self) {
        self.revision += 1;
        let (table, unusable) = RouteTable::new(self.revision, &[account(1, MOST_CALLS)], self.trunks.clone());
        assert_eq!(unusable, []);
        self.switch.handle_command(Command::Routes(Arc::new(table)), self.now());
        self.drain();
    }

    fn choose_heard(&self, input: &mut Input<'_>) -> Option<(Flow, Vec<u8>)> {
        // 0 is the last one.
        let back = input.below(MOST_HEARD);
        self.heard.get(self.heard.len().checked_sub(back + 1)?).cloned()
    }

    fn deliver(&mut self, flow: Flow, octets: Vec<u8>) {
        self.switch.handle_datagram(flow, &octets, self.now());
        self.received = Some((flow, octets));
        self.drain();
    }

    /// Everything at its own moment.
    fn pass_until(&mut self, end: Instant) {
        for _ in 0..MOST_TIMEOUTS {
            let due = [self.switch.poll_timeout(), self.engine.poll_timeout()].into_iter().flatten().min();
            let Some(due) = due.filter(|due| *due <= end) else {
                self.now = end;
                return;
            };
            self.now = due.max(self.now);
            if self.switch.poll_timeout().is_some_and(|due| due <= self.now) {
                self.switch.handle_timeout(self.now());
            }
            if self.engine.poll_timeout().is_some_and(|due| due <= self.now) {
                self.engine.handle_timeout(self.now);
            }
            self.drain();
        }
        panic!("time-outs without end: {:?}", self.switch.counts());
    }

    fn drain(&mut self) {
        loop {
            let mut is_idle = true;
            while let Some(output) = self.switch.poll_output() {
                is_idle = false;
                self.handle_output(output);
            }
            while let Some(output) = self.engine.poll_output() {
                is_idle = false;
                match output {
                    engine::Output::Transmit(transmit) => expect_allowed(transmit.to),
                    engine::Output::Event(event) => {
                        let now = Now { instant: self.now, utc: start_utc().saturating_add(self.now - start()) };
                        self.switch.handle_media_event(event, now);
                    }
                }
            }
            if is_idle {
                return;
            }
        }
    }

    fn handle_output(&mut self, output: Output) {
        match output {
            Output::Transmit(transmit) => {
                expect_allowed(transmit.flow.remote);
                let message = Message::parse(&transmit.payload).expect("what we send is well-formed");
                self.has_given_up_early_media |= message.is_request() && message.method().as_str() == "CANCEL";
                if self.heard.len() == MOST_HEARD {
                    self.heard.pop_front();
                }
                self.heard.push_back((transmit.flow, transmit.payload.to_vec()));
            }
            Output::Media(command) => {
                self.engine.handle_command(command, self.now).expect("the switch knows which ports are open");
            }
            Output::Record(record) => {
                if let Record::Call(call) = &record
                    && !self.calls.contains(&call.id)
                {
                    self.calls.push(call.id);
                }
                self.write(Entry::Record(record));
            }
            Output::Keep { call_id, leg_id, kept } => self.write(Entry::Keep { call_id, leg_id, kept }),
            Output::Forget { leg_id } => {
                if !is_planted_for(self.has_given_up_early_media && self.calls.len() == 3) {
                    self.write(Entry::Forget { leg_id });
                }
            }
            Output::Reply(id, reply) => {
                let is_first = self.replies.insert(id, true) == Some(false);
                assert!(is_first, "one reply to a command: {reply:?}");
                if let Reply::Dialled(Ok(call)) = &reply {
                    assert!(self.calls.contains(&call.id), "a call is on record before it is told of");
                }
            }
            Output::Ask(question) => self.questions.push_back(question),
            Output::Resolve { id, .. } => self.lookups.push_back(id),
            Output::Refused(_) | Output::Health(_) => {}
        }
    }

    fn write(&mut self, entry: Entry) {
        self.journal.write(entry).expect("what is written fits what was written");
    }
}

/// Four, at two addresses and behind a name. The first takes calls that come in.
fn trunks() -> Vec<Trunk> {
    let address = |host: u8| SocketAddr::from(([192, 0, 2, host], 5060));
    let mut trunks: Vec<Trunk> =
        [10, 11, 10, 12].into_iter().zip(1..).map(|(host, number)| trunk(number, address(host))).collect();
    for trunk in &mut trunks {
        trunk.max_concurrent_calls = MOST_CALLS;
        trunk.outbound.progress_timeout = Duration::from_secs(6);
        trunk.outbound.failover_on = vec![404];
        let rule = |to: &str, connect| InboundRule { to: Some(to.parse().unwrap()), from: None, connect };
        let rules = vec![rule("+12025550100", Connect::Forward), rule("+12025550107", Connect::Echo)];
        trunk.inbound = InboundRouting::new(None, rules, None);
    }
    if let [first, _, third, fourth] = &mut trunks[..] {
        first.failover_trunk_id = Some(trunk_id(2));
        // Who shares an address with the first only takes calls out.
        third.call_direction = tandem_model::CallDirection::Outbound;
        fourth.sip_domain = "carrier.example.com".into();
    }
    trunks
}

fn flow_from(host: u8) -> Flow {
    let remote = SocketAddr::from(([192, 0, 2, host], 5060));
    Flow { transport: Transport::Udp, local: SocketAddr::new(US, 5060), remote }
}

/// Nothing leaves for where nobody may be named.
fn expect_allowed(to: SocketAddr) {
    assert!(matches!(to.ip(), IpAddr::V4(host) if host.octets().starts_with(&[192, 0, 2])), "{to} may not be named");
}
