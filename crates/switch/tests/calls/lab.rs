//! A switch, its media engine and its far ends on one network, in virtual time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use tandem_media::engine::{self, Channel, Engine, PortId};
use tandem_model::{
    Account, AddressPolicy, AddressRanges, CallId, CallRecord, CreditTerms, DialOrder, HealthReport, LegId, LiveCall,
    LiveCredit, Money, Now, Receipt, Record, RefusedInvite, Timestamp, Transport, Trunk, TrunkState,
};
use tandem_sip::endpoint::{Flow, Identity, SentBy};
use tandem_switch::route::RouteTable;
use tandem_switch::{
    Answer, Command, Counts, InboundRefusal, Kept, Listener, OpenCall, Output, OwnAddresses, PortPool, QuestionId,
    Reply, ReplyId, ResolveError, ResolveId, Resolved, Switch, SwitchConfig,
};

use crate::far_end::{Calls, FarEnd, Script};
use tandem_lab::setup::{Seeded, account, account_id, start, start_utc, trunk_id};
use tandem_lab::{Ended, Entry, Journal};

/// Where the switch is.
pub(crate) const US: &str = "192.0.2.1:5060";
/// Where it is besides, if it was made with both address families.
pub(crate) const US_V6: &str = "[2001:db8::1]:5060";
/// The networks that far ends are in; other private ranges may not be named.
const ALLOWED: [&str; 2] = ["192.0.2.0/24", "2001:db8::/32"];
const FIRST_RTP_PORT: u16 = 20_000;

/// A far end by its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peer(pub(crate) usize);

/// What the resolver knows of a name.
#[derive(Clone, Debug)]
pub(crate) enum Name {
    After(u64, Resolved),
    Never,
}

/// How the network treats a datagram.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    pub(crate) delay_ms: u64,
    /// Added at random, up to this.
    pub(crate) jitter_ms: u64,
    pub(crate) loss_percent: u64,
}

/// What the switch has of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Own {
    /// Media ports of each family that it has.
    ports: u16,
    has_v6: bool,
}

struct Datagram {
    from: SocketAddr,
    to: SocketAddr,
    sent_at: Instant,
    octets: Vec<u8>,
}

/// RTP that the switch sent.
#[derive(Clone, Debug)]
pub(crate) struct Audio {
    pub(crate) to: SocketAddr,
    pub(crate) packet: Vec<u8>,
}

pub(crate) struct Lab {
    pub(crate) switch: Switch,
    pub(crate) engine: Engine,
    pub(crate) peers: Vec<FarEnd>,
    pub(crate) names: BTreeMap<String, Name>,
    pub(crate) link: Link,
    /// What every question is answered with; `None` leaves it open.
    pub(crate) answer: Option<Answer>,
    /// Those that are open.
    pub(crate) questions: Vec<QuestionId>,
    /// Ports say what they counted only when they are told to.
    pub(crate) media_is_stuck: bool,
    pub(crate) records: Vec<Record>,
    /// What is kept for legs now.
    pub(crate) kept: BTreeMap<LegId, Kept>,
    /// What was to be kept and forgotten, in order: `keep invite 1`, `keep dialog 1`, `forget`.
    pub(crate) keeping: Vec<String>,
    /// Nothing reaches the switch.
    is_down: bool,
    /// Calls that processes before this one have closed.
    closed_before: u64,
    own: Own,
    seed: u64,
    pub(crate) refused: Vec<InboundRefusal>,
    pub(crate) health: Vec<HealthReport>,
    pub(crate) asked_names: Vec<String>,
    pub(crate) audio: Vec<Audio>,
    replies: BTreeMap<ReplyId, Reply>,
    next_reply: u64,
    accounts: Vec<Account>,
    shared_carriers: Vec<IpNet>,
    trunks: Vec<Trunk>,
    revision: u64,
    network: BTreeMap<(Instant, u64), Datagram>,
    lookups: Vec<(Instant, ResolveId, Resolved)>,
    stuck: VecDeque<engine::Command>,
    sent: u64,
    random: Seeded,
    now: Instant,
}

/// The codes of the attempts' outcomes.
pub(crate) fn outcomes(receipt: &Receipt) -> Vec<&'static str> {
    receipt.attempts.iter().map(|attempt| attempt.outcome.as_ref().map_or("", |reason| reason.code())).collect()
}

/// The verdict and reason on each trunk that was looked at.
pub(crate) fn verdicts(receipt: &Receipt) -> Vec<(&str, &'static str)> {
    receipt.considered.iter().map(|trunk| (trunk.trunk_name.as_str(), trunk.reason.code())).collect()
}

impl Lab {
    pub(crate) fn new() -> Self {
        Self::seeded(7)
    }

    pub(crate) fn seeded(seed: u64) -> Self {
        Self::with_ports(seed, 64)
    }

    pub(crate) fn with_ports(seed: u64, ports: u16) -> Self {
        Self::with(seed, Own { ports, has_v6: false })
    }

    /// A switch that has so many ports of IPv4, and as many of IPv6.
    pub(crate) fn of_both_families(ports: u16) -> Self {
        Self::with(7, Own { ports, has_v6: true })
    }

    fn with(seed: u64, own: Own) -> Self {
        let mut lab = Self {
            switch: new_switch(seed, own),
            engine: new_engine(own, start()),
            peers: Vec::new(),
            names: BTreeMap::new(),
            link: Link { delay_ms: 5, jitter_ms: 0, loss_percent: 0 },
            answer: Some(Answer::Admit),
            questions: Vec::new(),
            media_is_stuck: false,
            records: Vec::new(),
            kept: BTreeMap::new(),
            keeping: Vec::new(),
            is_down: false,
            closed_before: 0,
            own,
            seed,
            refused: Vec::new(),
            health: Vec::new(),
            asked_names: Vec::new(),
            audio: Vec::new(),
            replies: BTreeMap::new(),
            next_reply: 0,
            accounts: vec![account(1, 50)],
            shared_carriers: Vec::new(),
            trunks: Vec::new(),
            revision: 0,
            network: BTreeMap::new(),
            lookups: Vec::new(),
            stuck: VecDeque::new(),
            sent: 0,
            random: Seeded(seed + 2_000),
            now: start(),
        };
        lab.tell_routes();
        lab
    }

    // What there is.

    /// A far end at the next free address.
    pub(crate) fn far_end(&mut self, script: Script) -> Peer {
        let host = u8::try_from(self.peers.len() + 10).unwrap();
        self.far_end_at(IpAddr::from([192, 0, 2, host]), script)
    }

    /// One that is reached over IPv6.
    pub(crate) fn far_end_v6(&mut self, script: Script) -> Peer {
        let host = u16::try_from(self.peers.len() + 0x10).unwrap();
        self.far_end_at(IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, host]), script)
    }

    fn far_end_at(&mut self, host: IpAddr, script: Script) -> Peer {
        self.peers.push(FarEnd::new(SocketAddr::new(host, 5_060), script));
        Peer(self.peers.len() - 1)
    }

    pub(crate) fn peer(&mut self, peer: Peer) -> &mut FarEnd {
        &mut self.peers[peer.0]
    }

    pub(crate) fn address(&self, peer: Peer) -> SocketAddr {
        self.peers[peer.0].address
    }

    /// The next trunk (the first is 1), to a far end.
    pub(crate) fn trunk(&mut self, peer: Peer, change: impl FnOnce(&mut Trunk)) {
        let number = u8::try_from(self.trunks.len() + 1).unwrap();
        let mut trunk = tandem_lab::setup::trunk(number, self.address(peer));
        change(&mut trunk);
        self.trunks.push(trunk);
        self.tell_routes();
    }

    pub(crate) fn change_trunk(&mut self, number: u8, change: impl FnOnce(&mut Trunk)) {
        change(&mut self.trunks[usize::from(number) - 1]);
        self.tell_routes();
    }

    pub(crate) fn remove_trunks(&mut self) {
        self.trunks.clear();
        self.tell_routes();
    }

    /// A second account beside the first.
    pub(crate) fn add_account(&mut self) {
        self.accounts.push(account(2, 50));
        self.tell_routes();
    }

    /// Calls for both accounts may come from there.
    pub(crate) fn share(&mut self, carrier: Peer) {
        self.shared_carriers.push(IpNet::from(self.address(carrier).ip()));
        self.tell_routes();
    }

    pub(crate) fn max_calls(&mut self, max_calls: u32) {
        self.accounts = vec![account(1, max_calls)];
        self.tell_routes();
    }

    fn tell_routes(&mut self) {
        self.revision += 1;
        let (table, unusable) = RouteTable::new(self.revision, &self.accounts, self.trunks.clone());
        assert_eq!(unusable, []);
        let table = table.with_shared_carriers(AddressRanges::new(&self.shared_carriers));
        self.command(Command::Routes(Arc::new(table)));
    }

    // Commands.

    pub(crate) fn now(&self) -> Now {
        Now { instant: self.now, utc: start_utc().saturating_add(self.now - start()) }
    }

    /// Since the start.
    pub(crate) fn ms(&self) -> u128 {
        (self.now - start()).as_millis()
    }

    pub(crate) fn command(&mut self, command: Command) {
        self.switch.handle_command(command, self.now());
        self.drain();
    }

    pub(crate) fn ask(&mut self, make: impl FnOnce(ReplyId) -> Command) -> ReplyId {
        self.next_reply += 1;
        let reply = ReplyId(self.next_reply);
        self.command(make(reply));
        reply
    }

    pub(crate) fn reply(&mut self, reply: ReplyId) -> Reply {
        self.replies.remove(&reply).expect("answered at once")
    }

    pub(crate) fn begin_dial(&mut self, order: DialOrder) -> ReplyId {
        self.ask(|reply| Command::Dial { order: Box::new(order), reply })
    }

    /// Places a call.
    pub(crate) fn try_dial(&mut self, order: DialOrder) -> Result<CallId, Box<Receipt>> {
        let reply = self.begin_dial(order);
        match self.reply(reply) {
            Reply::Dialled(outcome) => outcome.map(|record| record.id),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn dial(&mut self, order: DialOrder) -> CallId {
        self.try_dial(order).unwrap()
    }

    /// A far end calls us; returns the call that came of it.
    pub(crate) fn call_in(&mut self, peer: Peer, calls: Calls) -> Option<CallId> {
        let before = self.begun();
        let there = if self.address(peer).is_ipv4() { US } else { US_V6 };
        self.peers[peer.0].call(address(there), calls, self.now);
        self.drain();
        self.pass(self.link.delay_ms + self.link.jitter_ms);
        self.begun().difference(&before).next().copied()
    }

    /// The refusals that are on record.
    pub(crate) fn refusals(&self) -> Vec<&RefusedInvite> {
        self.records
            .iter()
            .filter_map(|record| match record {
                Record::Refusal(refusal) => Some(refusal.as_ref()),
                Record::Call(_) | Record::Leg(_) | Record::Event(_) => None,
            })
            .collect()
    }

    pub(crate) fn explain(&mut self, order: DialOrder) -> Receipt {
        let reply = self.ask(|reply| Command::Explain { order: Box::new(order), reply });
        match self.reply(reply) {
            Reply::Explained(receipt) => *receipt,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn hang_up(&mut self, call_id: CallId) -> Option<CallRecord> {
        let reply = self.ask(|reply| Command::Hangup { account_id: account_id(1), call_id, reply });
        match self.reply(reply) {
            Reply::HungUp(record) => record.map(|record| *record),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn inspect(&mut self, call_id: CallId) -> Option<LiveCall> {
        let reply = self.ask(|reply| Command::Inspect { account_id: account_id(1), call_id, reply });
        match self.reply(reply) {
            Reply::Inspected(call) => call.map(|call| *call),
            other => panic!("{other:?}"),
        }
    }

    /// What the first account's calls are paid by from now on: so much granted, and so much of it settled by this node.
    pub(crate) fn credit(&mut self, granted: i64, settled_here: i64) {
        self.command(Command::CreditTerms(vec![CreditTerms {
            account_id: account_id(1),
            since: start_utc(),
            granted: Money::from_micros(granted),
            committed_elsewhere: Money::ZERO,
            settled_here: Money::from_micros(settled_here),
        }]));
    }

    pub(crate) fn live_credit(&mut self) -> LiveCredit {
        let reply = self.ask(|reply| Command::Credit { account_id: account_id(1), reply });
        match self.reply(reply) {
            Reply::Credit(credit) => credit.unwrap(),
            other => panic!("{other:?}"),
        }
    }

    /// What calls have cost that are over, in micro-units.
    pub(crate) fn costs(&self) -> i64 {
        let journal = self.journal();
        let ended = journal.calls().filter_map(|(_, call)| call.ended().ok());
        ended.map(|call| call.record.cost.unwrap().micros()).sum()
    }

    pub(crate) fn trunk_state(&mut self, number: u8) -> TrunkState {
        let reply = self.ask(|reply| Command::TrunkStates { trunk_ids: vec![trunk_id(number)], reply });
        match self.reply(reply) {
            Reply::TrunkStates(states) => states.into_iter().next().unwrap().1,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn trunks_made(&self) -> u8 {
        u8::try_from(self.trunks.len()).unwrap()
    }

    pub(crate) fn probe(&mut self, number: u8) -> ReplyId {
        self.ask(|reply| Command::Probe { trunk_id: trunk_id(number), reply })
    }

    /// Answers the questions that are open.
    pub(crate) fn answer_questions(&mut self, answer: &Answer) {
        for question in std::mem::take(&mut self.questions) {
            self.switch.handle_answer(question, answer.clone(), self.now());
        }
        self.drain();
    }

    // The process.

    /// The process dies. What its journal says is open; if `is_cut_off`, the last turn was written and nothing of it was sent.
    pub(crate) fn crash(&mut self, is_cut_off: bool) -> Vec<OpenCall> {
        if is_cut_off {
            let now = self.now;
            self.network.retain(|_, datagram| !is_us(datagram.from) || datagram.sent_at < now);
        }
        self.seed += 10_000;
        self.switch = new_switch(self.seed, self.own);
        self.engine = new_engine(self.own, self.now);
        self.lookups.clear();
        self.stuck.clear();
        self.is_down = true;
        let open = self.open_calls();
        let begun = self.begun();
        let is_open = |id: &CallId| open.iter().any(|call| call.record.id == *id && !call.record.status.is_final());
        self.closed_before = u64::try_from(begun.iter().filter(|id| !is_open(id)).count()).unwrap();
        open
    }

    /// The next process begins, and takes up what is open.
    pub(crate) fn restart(&mut self, open: Vec<OpenCall>, last_heartbeat: Timestamp) {
        self.is_down = false;
        self.tell_routes();
        for call in open {
            self.switch.take_up(call, last_heartbeat, self.now());
        }
        self.drain();
    }

    /// As a journal folds them.
    fn open_calls(&self) -> Vec<OpenCall> {
        self.journal().open_calls()
    }

    fn journal(&self) -> Journal {
        let mut journal = Journal::default();
        let records = self.records.iter().cloned().map(Entry::Record);
        records.for_each(|record| journal.write(record).unwrap());
        for (call_id, leg_id) in
            journal.calls().flat_map(|(id, call)| call.legs.iter().map(|leg| (*id, leg.id))).collect::<Vec<_>>()
        {
            if let Some(kept) = self.kept.get(&leg_id).cloned() {
                journal.write(Entry::Keep { call_id, leg_id, kept }).unwrap();
            }
        }
        journal
    }

    // Time.

    /// Lets time pass, everything at its own moment.
    pub(crate) fn pass(&mut self, ms: u64) {
        self.drain();
        let end = self.now + Duration::from_millis(ms);
        while let Some(due) = self.next_moment().filter(|due| *due <= end) {
            self.now = due.max(self.now);
            self.step();
        }
        self.now = end;
    }

    /// Until nothing more happens by itself, and at least until calls and transactions are gone.
    pub(crate) fn pass_all(&mut self) {
        self.pass(200_000);
    }

    fn next_moment(&self) -> Option<Instant> {
        let network = self.network.keys().next().map(|(at, _)| *at);
        let lookups = self.lookups.iter().map(|(at, ..)| *at).min();
        let peers = self.peers.iter().filter_map(FarEnd::poll_timeout).min();
        [network, lookups, peers, self.switch.poll_timeout(), self.engine.poll_timeout()].into_iter().flatten().min()
    }

    fn step(&mut self) {
        let now = self.now;
        while let Some(entry) = self.network.first_entry().filter(|entry| entry.key().0 <= now) {
            let datagram = entry.remove();
            self.deliver(datagram);
            self.drain();
        }
        while let Some(index) = self.lookups.iter().position(|(at, ..)| *at <= now) {
            let (_, id, resolved) = self.lookups.remove(index);
            self.switch.handle_resolved(id, &resolved, self.now());
            self.drain();
        }
        for index in 0..self.peers.len() {
            if self.peers[index].poll_timeout().is_some_and(|due| due <= now) {
                self.peers[index].handle_timeout(now);
            }
        }
        if self.switch.poll_timeout().is_some_and(|due| due <= now) {
            self.switch.handle_timeout(self.now());
        }
        if self.engine.poll_timeout().is_some_and(|due| due <= now) {
            self.engine.handle_timeout(now);
        }
        self.drain();
    }

    fn deliver(&mut self, Datagram { from, to, octets, .. }: Datagram) {
        assert_eq!(from.is_ipv4(), to.is_ipv4(), "no network leads from one family to the other");
        let now = self.now();
        if is_us(to) && self.is_down {
            // Nobody listens.
        } else if is_us(to) {
            let flow = Flow { transport: Transport::Udp, local: to, remote: from };
            self.switch.handle_datagram(flow, &octets, now);
        } else if let Some(peer) = self.peers.iter_mut().find(|peer| peer.address == to)
            && !peer.hear(from, octets, now.instant)
        {
            self.switch.handle_transport_error(&Flow { transport: Transport::Udp, local: from, remote: to }, now);
        }
    }

    fn send(&mut self, datagram: Datagram) {
        if self.random.below(100) < self.link.loss_percent {
            return;
        }
        let delay = self.link.delay_ms + self.random.below(self.link.jitter_ms + 1);
        self.sent += 1;
        self.network.insert((self.now + Duration::from_millis(delay), self.sent), datagram);
    }

    /// A datagram of somebody who is no far end of ours.
    pub(crate) fn receive_from(&mut self, from: &str, text: &str) {
        let octets = text.replace('\n', "\r\n").into_bytes();
        self.deliver(Datagram { from: address(from), to: address(US), sent_at: self.now, octets });
        self.drain();
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
                    engine::Output::Transmit(transmit) => {
                        self.own.expect_family(transmit.port, transmit.to);
                        if transmit.channel == Channel::Rtp {
                            let packet = transmit.payload.to_vec();
                            self.audio.push(Audio { to: transmit.to, packet });
                        }
                    }
                    engine::Output::Event(event) => {
                        let now = Now { instant: self.now, utc: start_utc().saturating_add(self.now - start()) };
                        self.switch.handle_media_event(event, now);
                    }
                }
            }
            for index in 0..self.peers.len() {
                let from = self.peers[index].address;
                for (to, octets) in self.peers[index].drain(self.now) {
                    is_idle = false;
                    self.send(Datagram { from, to, sent_at: self.now, octets });
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
                let (from, to) = (transmit.flow.local, transmit.flow.remote);
                self.send(Datagram { from, to, sent_at: self.now, octets: transmit.payload.to_vec() });
            }
            Output::Media(command) => {
                if self.media_is_stuck {
                    self.stuck.push_back(command);
                } else {
                    self.engine.handle_command(command, self.now).expect("the switch knows which ports are open");
                }
            }
            Output::Record(record) => self.records.push(record),
            Output::Keep { call_id, leg_id, kept } => {
                let is_leg =
                    |record: &Record| matches!(record, Record::Leg(leg) if (leg.id, leg.call_id) == (leg_id, call_id));
                assert!(self.records.iter().any(is_leg), "a leg is on record before anything is kept for it");
                self.keeping.push(match &kept {
                    Kept::Invite { octets, .. } => {
                        let text = String::from_utf8(octets.to_vec()).unwrap();
                        let cseq = text.lines().find_map(|line| line.strip_prefix("CSeq: ")).unwrap();
                        format!("keep invite {}", cseq.strip_suffix(" INVITE").unwrap())
                    }
                    Kept::WaitingCaller { .. } => "keep waiting caller".to_owned(),
                    Kept::AnsweredCaller { .. } => "keep answered caller".to_owned(),
                    Kept::Dialog(dialog) => format!("keep dialog {}", dialog.dialog.local_seq),
                });
                self.kept.insert(leg_id, kept);
            }
            Output::Forget { leg_id } => {
                self.keeping.push("forget".into());
                assert!(self.kept.remove(&leg_id).is_some(), "only what is kept is forgotten");
            }
            Output::Reply(id, reply) => {
                assert!(self.replies.insert(id, reply).is_none(), "one reply to a command");
            }
            Output::Ask(question) => match self.answer.clone() {
                Some(answer) => self.switch.handle_answer(question.id, answer, self.now()),
                None => self.questions.push(question.id),
            },
            Output::Resolve { id, host } => {
                match self.names.get(&host).cloned().unwrap_or(Name::After(1, Err(ResolveError::NotFound))) {
                    Name::After(ms, resolved) => {
                        self.lookups.push((self.now + Duration::from_millis(ms), id, resolved));
                    }
                    Name::Never => {}
                }
                self.asked_names.push(host);
            }
            Output::Health(report) => self.health.push(*report),
            Output::Refused(refusal) => self.refused.push(refusal),
        }
    }

    /// The media engine does what it was told while it was stuck.
    pub(crate) fn free_media(&mut self) {
        self.media_is_stuck = false;
        for command in std::mem::take(&mut self.stuck) {
            self.engine.handle_command(command, self.now).expect("the switch knows which ports are open");
        }
        self.drain();
    }

    // Media.

    /// Sends packets of PCMU, 20 ms apart, from `from` to the switch's port, and returns how many came out of it again.
    pub(crate) fn speak(&mut self, from: &str, rtp_port: u16, packets: u16) -> usize {
        let before = self.audio.len();
        for _ in 0..packets {
            let count = u16::try_from(self.audio.len() % 60_000).unwrap();
            let mut packet = vec![0x80, 0];
            packet.extend((count + 1).to_be_bytes());
            packet.extend((u32::from(count) * 160).to_be_bytes());
            packet.extend(7_u32.to_be_bytes());
            packet.extend([0xd5; 160]);
            self.hear_rtp(from, rtp_port, &mut packet);
            self.pass(20);
        }
        self.audio.len() - before
    }

    pub(crate) fn hear_rtp(&mut self, from: &str, rtp_port: u16, packet: &mut [u8]) {
        let (now, from, own) = (self.now, address(from), self.own);
        let port = (rtp_port - FIRST_RTP_PORT) / 2 + if from.is_ipv4() { 0 } else { own.ports };
        if let Some(transmit) = self.engine.forward(PortId(u32::from(port)), from, packet, now) {
            own.expect_family(transmit.port, transmit.to);
            self.audio.push(Audio { to: transmit.to, packet: transmit.payload.to_vec() });
        }
        self.drain();
    }

    // What comes of it.

    pub(crate) fn counts(&self) -> Counts {
        self.switch.counts()
    }

    /// The states of a call as they were recorded.
    pub(crate) fn call_records(&self, id: CallId) -> Vec<&CallRecord> {
        let of_call = |record: &'_ Record| match record {
            Record::Call(call) if call.id == id => true,
            Record::Call(_) | Record::Leg(_) | Record::Event(_) | Record::Refusal(_) => false,
        };
        let calls = self.records.iter().filter(|record| of_call(record));
        calls
            .filter_map(|record| match record {
                Record::Call(call) => Some(call.as_ref()),
                Record::Leg(_) | Record::Event(_) | Record::Refusal(_) => None,
            })
            .collect()
    }

    /// What the records say of a call, which must have ended, once and completely.
    pub(crate) fn ended(&self, id: CallId) -> Ended {
        let ended = self.journal().call(id).unwrap().ended().unwrap();
        assert_eq!(ended.faults(), Vec::<String>::new(), "{ended:#?}");
        ended
    }

    /// All that may still happen happens; then nothing is taken any more and each call that began has its records.
    pub(crate) fn finish(mut self) {
        self.pass_all();
        self.expect_nothing_left();
    }

    pub(crate) fn expect_nothing_left(&mut self) {
        // As long as there are trunks, their names are looked up again and again.
        self.remove_trunks();
        let Counts { ports_total, routing_revision, unstored_calls, external_calls, .. } = self.counts();
        let nothing = Counts { ports_total, routing_revision, unstored_calls, external_calls, ..Counts::default() };
        assert_eq!(self.counts(), nothing);
        assert_eq!(self.kept, BTreeMap::new(), "nothing is kept for a leg that is over");
        assert_eq!(self.engine.ports(), 0, "media ports are closed");
        assert_eq!(self.switch.poll_timeout(), None, "nothing is waited for");
        let begun = self.begun();
        assert_eq!(u64::try_from(begun.len()).unwrap(), self.closed_before + unstored_calls);
        for (id, call) in self.journal().calls() {
            let ended = call.ended().unwrap();
            assert_eq!(ended.faults(), Vec::<String>::new(), "{id}: {ended:#?}");
        }
    }

    /// The calls that are on record.
    fn begun(&self) -> BTreeSet<CallId> {
        let of_call = |record: &Record| match record {
            Record::Call(call) => Some(call.id),
            Record::Leg(_) | Record::Event(_) | Record::Refusal(_) => None,
        };
        self.records.iter().filter_map(of_call).collect()
    }
}

impl Own {
    fn addresses(self) -> impl Iterator<Item = SocketAddr> {
        [Some(US), self.has_v6.then_some(US_V6)].into_iter().flatten().map(address)
    }

    fn media(self) -> OwnAddresses {
        let first = |is_v4: bool| self.addresses().map(|us| us.ip()).find(|us| us.is_ipv4() == is_v4);
        let of = |is_v4| first(is_v4).map(OwnAddresses::from).unwrap_or_default();
        OwnAddresses { v4: of(true).v4, v6: of(false).v6 }
    }

    /// The ports by number: those of IPv4, then those of IPv6, on the same UDP ports.
    fn bound(self) -> impl Iterator<Item = (PortId, SocketAddr)> {
        let of_host = move |us: SocketAddr| {
            (0..self.ports).map(move |index| SocketAddr::new(us.ip(), FIRST_RTP_PORT + 2 * index))
        };
        (0..).map(PortId).zip(self.addresses().flat_map(of_host))
    }

    /// A socket sends to its own family only.
    fn expect_family(self, port: PortId, to: SocketAddr) {
        assert_eq!(port.0 < u32::from(self.ports), to.is_ipv4(), "{port:?} cannot send to {to}");
    }
}

fn new_switch(seed: u64, own: Own) -> Switch {
    let config = SwitchConfig {
        identity: Identity { node: 1, shard: 0 },
        user_agent: "Tandem".into(),
        sent_by: SentBy::default(),
        listeners: own.addresses().map(|local| Listener { transport: Transport::Udp, local }).collect(),
        media: own.media(),
        ports: PortPool::new(own.bound()),
        address_policy: AddressPolicy::new(ALLOWED.map(|range| range.parse().unwrap()).into()),
        credit_value: Money::from_micros(10_000),
    };
    Switch::new(config, Box::new(Seeded(seed)), Box::new(Seeded(seed + 1_000)))
}

fn new_engine(own: Own, now: Instant) -> Engine {
    let ports = u32::try_from(own.bound().count()).unwrap();
    Engine::new(engine::Limits { ports }, now, Duration::from_secs(1_800_000_000))
}

fn is_us(address: SocketAddr) -> bool {
    [US, US_V6].iter().any(|us| self::address(us) == address)
}

pub(crate) fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}
