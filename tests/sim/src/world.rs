//! Everything at once, in virtual time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tandem_lab::Entry;
use tandem_lab::setup::{Seeded, start, start_utc};
use tandem_media::engine::Channel;
use tandem_model::{AccountId, CallId, Connect, Now, Record, Transport};
use tandem_sip::endpoint::Flow;
use tandem_switch::{Answer, QuestionId, Reply, ReplyId, ResolveError, ResolveId, Resolved};

use crate::actions::{Action, Asked};
use crate::audio::Tag;
use crate::carrier_host::CarrierHost;
use crate::configuration::Configuration;
use crate::credit::Credit;
use crate::far_end::{FarEnd, Owner};
use crate::network::{Content, Datagram, Network};
use crate::node::{Audio, Input, Node, Turn};
use crate::occupancy::Occupancy;
use crate::signalling::Signalling;
use crate::wire::Sip;
use crate::{Fault, Mutation};

pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) random: Seeded,
    pub(crate) network: Network,
    pub(crate) node: Node,
    pub(crate) far_ends: Vec<FarEnd>,
    pub(crate) carrier: Option<CarrierHost>,
    pub(crate) configuration: Configuration,
    pub(crate) credit: Credit,
    /// What the resolver knows, and after how many milliseconds; what it does not know it never answers.
    pub(crate) names: BTreeMap<String, (u64, Resolved)>,
    /// Whether the node takes calls.
    pub(crate) is_draining: bool,
    /// How long it may take to decide; 0 decides at once.
    pub(crate) deciding_ms: u64,
    pub(crate) actions: VecDeque<(Instant, Action)>,
    /// When processes die: in the first turn from then on that has something to write or to send.
    pub(crate) deaths_due: VecDeque<Instant>,
    pub(crate) restart_at: Option<Instant>,
    /// When processes died, and the next one began.
    pub(crate) deaths: Vec<(Instant, Instant)>,
    /// Calls of which the last thing was written in part: of a write that did not come to its end.
    pub(crate) torn: BTreeSet<CallId>,
    pub(crate) mutation: Option<Mutation>,

    /// Commands that wait for a reply.
    pub(crate) asked: BTreeMap<ReplyId, Asked>,
    pub(crate) replies: u64,
    /// What takes effect in the next turn.
    pub(crate) inputs: Vec<Input>,
    pub(crate) lookups: BTreeMap<(Instant, u64), (ResolveId, Resolved)>,
    pub(crate) questions: BTreeMap<(Instant, u64), QuestionId>,
    pub(crate) later: u64,
    pub(crate) steps: u64,

    /// Calls, by us or to us.
    pub(crate) placed: usize,
    /// Who is in which call.
    pub(crate) next_tag: u32,
    pub(crate) ordered: Vec<(AccountId, CallId)>,
    pub(crate) connects: BTreeMap<CallId, Connect>,
    pub(crate) owners: BTreeMap<SocketAddr, Owner>,
    pub(crate) tags: BTreeMap<Tag, String>,
    pub(crate) calls_of: BTreeMap<String, BTreeSet<CallId>>,
    pub(crate) occupancy: Occupancy,
    pub(crate) signalling: Signalling,
    pub(crate) reached: BTreeSet<String>,
    pub(crate) faults: Vec<Fault>,
    pub(crate) is_traced: bool,
}

impl World {
    /// Lets time pass until `end`, everything at its own moment.
    pub(crate) fn run_until(&mut self, end: Instant) {
        while self.faults.len() < MAX_FAULTS
            && let Some(due) = self.next_moment().filter(|due| *due <= end)
        {
            self.now = due.max(self.now);
            self.steps += 1;
            if self.steps > MAX_STEPS {
                return self.fault(format!("it never comes to rest: {:?} is due", self.next_moment()));
            }
            self.step();
        }
        self.now = end;
    }

    pub(crate) fn now(&self) -> Now {
        Now { instant: self.now, utc: start_utc().saturating_add(self.now - start()) }
    }

    pub(crate) fn fault(&mut self, what: String) {
        self.faults.push(Fault { at: self.now - start(), what });
    }

    fn next_moment(&self) -> Option<Instant> {
        let action = self.actions.front().map(|(at, _)| *at);
        let lookup = self.lookups.keys().next().map(|(at, _)| *at);
        let question = self.questions.keys().next().map(|(at, _)| *at);
        let far_end = self.far_ends.iter().filter_map(FarEnd::poll_timeout).min();
        let carrier = self.carrier.as_ref().and_then(CarrierHost::poll_timeout);
        let waiting = (!self.inputs.is_empty()).then_some(self.now);
        let node = self.node.poll_timeout(self.now);
        [action, lookup, question, far_end, carrier, waiting, node, self.restart_at, self.network.next_arrival()]
            .into_iter()
            .flatten()
            .min()
    }

    fn step(&mut self) {
        let now = self.now;
        if self.restart_at.is_some_and(|at| at <= now) {
            self.restart();
        }
        while let Some((_, action)) = self.actions.pop_front_if(|(at, _)| *at <= now) {
            self.act(&action);
        }
        while let Some(datagram) = self.network.pop_due(now) {
            self.deliver(datagram);
        }
        while let Some(entry) = self.lookups.first_entry().filter(|entry| entry.key().0 <= now) {
            let (id, resolved) = entry.remove();
            self.inputs.push(Input::Resolved(id, resolved));
        }
        while let Some(entry) = self.questions.first_entry().filter(|entry| entry.key().0 <= now) {
            let question = entry.remove();
            self.inputs.push(Input::Answer(question, Answer::Admit));
        }
        for far_end in &mut self.far_ends {
            if far_end.poll_timeout().is_some_and(|due| due <= now) {
                far_end.handle_timeout(&mut self.next_tag, now);
            }
        }
        let moment = self.now();
        if let Some(carrier) = &mut self.carrier
            && carrier.poll_timeout().is_some_and(|due| due <= now)
        {
            carrier.handle_timeout(moment);
        }
        if !self.inputs.is_empty() || self.node.poll_timeout(now).is_some_and(|due| due <= now) {
            self.take_turn();
        }
        self.send_for_far_ends();
    }

    fn deliver(&mut self, datagram: Datagram) {
        let Datagram { from, to, .. } = datagram;
        if self.node.has(to) {
            if !self.node.is_up() {
                return;
            }
            match datagram.content {
                Content::Sip(octets) => {
                    let flow = Flow { transport: Transport::Udp, local: to, remote: from };
                    self.inputs.push(Input::Sip { flow, octets });
                }
                Content::Rtp(packet) => self.inputs.push(Input::Rtp { to, from, packet }),
            }
        } else if let Some(carrier) = self.carrier.as_mut().filter(|_| CarrierHost::has(to)) {
            let now = Now { instant: self.now, utc: start_utc().saturating_add(self.now - start()) };
            carrier.hear(datagram, now);
        } else if let Content::Rtp(packet) = &datagram.content {
            let tag = self.owners.get(&to).and_then(|owner| owner.tag);
            if let Some(tag) = tag
                && let Some(far_end) = self.far_ends.iter_mut().find(|far_end| far_end.calls.contains_key(&tag))
            {
                far_end.hear_audio(tag, packet, self.now);
            }
        } else if let Some(far_end) = self.far_ends.iter_mut().find(|far_end| far_end.address == to)
            && !far_end.hear(datagram, &mut self.next_tag, self.now)
            && self.node.is_up()
        {
            self.inputs.push(Input::Unreachable(Flow { transport: Transport::Udp, local: from, remote: to }));
        }
    }

    fn send_for_far_ends(&mut self) {
        let mut sending = Vec::new();
        for far_end in &mut self.far_ends {
            for (place, owner) in far_end.take_new_places() {
                if let Some(tag) = owner.tag {
                    self.tags.insert(tag, owner.sip_call_id.clone());
                }
                self.owners.insert(place, owner);
            }
            sending.extend(far_end.take_sending());
        }
        for datagram in self.carrier.as_mut().map(CarrierHost::take_sending).unwrap_or_default() {
            if let Content::Sip(octets) = &datagram.content
                && let Some(sip) = Sip::read(octets)
                && let Some(media) = crate::description::Description::read(sip.body()).and_then(|read| read.media)
            {
                self.owners.insert(media, Owner { sip_call_id: sip.call_id().to_owned(), tag: None });
            }
            sending.push(datagram);
        }
        for datagram in sending {
            self.network.send(&datagram, self.now);
        }
    }

    // The process.

    fn restart(&mut self) {
        self.restart_at = None;
        self.is_draining = false;
        let mutation = self.mutation;
        self.node.start(self.now, |switch| {
            if let Some(mutation) = mutation {
                mutation.apply(switch);
            }
        });
        self.signalling.process_began(self.node.processes);
        if let Some((_, until)) = self.deaths.last_mut() {
            *until = self.now;
        }
        self.inputs.push(Input::Command(self.configuration.routes()));
        self.tell_credit(true);
        let last_heartbeat = self.node.journal.last_heartbeat().unwrap_or(self.now().utc);
        for open in self.node.journal.open_calls() {
            self.inputs.push(Input::TakeUp(Box::new(open), last_heartbeat));
        }
        let external: Vec<_> = self.occupancy.external().collect();
        for (call_id, account_id, trunk_id) in external {
            self.inputs.push(Input::Command(tandem_switch::Command::ExternalStarted { account_id, trunk_id, call_id }));
        }
    }

    /// The process is gone, and comes back later.
    pub(crate) fn die(&mut self) {
        self.node.die();
        self.inputs.clear();
        self.lookups.clear();
        self.questions.clear();
        self.asked.clear();
        let down_ms = if self.random.below(8) == 0 { 20_000 } else { 100 + self.random.below(3_000) };
        let back = self.now + Duration::from_millis(down_ms);
        self.restart_at = Some(back);
        self.deaths.push((self.now, back));
    }

    fn take_turn(&mut self) {
        if !self.node.is_up() {
            self.inputs.clear();
            return;
        }
        let inputs = std::mem::take(&mut self.inputs);
        for input in &inputs {
            match input {
                Input::Sip { flow, octets } => {
                    if let Some(sip) = Sip::read(octets) {
                        self.trace(">", flow.remote, sip);
                        self.signalling.came(flow.remote, sip, self.now);
                    }
                }
                Input::Unreachable(flow) => self.signalling.refused(flow.remote, self.now),
                Input::Rtp { .. } | Input::Command(_) | Input::Resolved(..) | Input::Answer(..) | Input::TakeUp(..) => {
                }
            }
        }
        self.node.admission = match (self.is_draining, self.deciding_ms) {
            (true, _) => Some(Answer::Refuse(tandem_model::Reason::Draining)),
            (false, 0) => Some(Answer::Admit),
            (false, _) => None,
        };
        let turn = self.node.turn(inputs, self.now());
        let is_substantial =
            turn.entries.iter().any(|entry| !matches!(entry, Entry::Heartbeat(_))) || !turn.transmits.is_empty();
        if is_substantial && self.deaths_due.pop_front_if(|due| *due <= self.now).is_some() {
            self.die_in(turn);
        } else {
            self.commit(turn);
        }
    }

    /// The process dies in this turn: while it writes, or while it sends.
    fn die_in(&mut self, turn: Turn) {
        let Turn { mut entries, mut transmits, .. } = turn;
        let cut = crate::habits::pick(&mut self.random, entries.len() + transmits.len() + 1);
        if cut < entries.len() {
            self.torn.extend(entries.iter().filter_map(call_of));
        }
        transmits.truncate(cut.saturating_sub(entries.len()));
        entries.truncate(cut);
        self.write(entries);
        self.send(&transmits);
        self.die();
    }

    fn commit(&mut self, turn: Turn) {
        let Turn { entries, transmits, replies, lookups, questions, audio } = turn;
        self.write(entries);
        for (id, reply) in replies {
            self.replied(id, reply);
        }
        self.send(&transmits);
        self.signalling.turn_is_over();
        for audio in audio {
            self.send_audio(audio);
        }
        for (id, host) in lookups {
            let known = self.names.get(&host).cloned();
            let Some((after_ms, resolved)) =
                known.or_else(|| (host != NEVER).then_some((5, Err(ResolveError::NotFound))))
            else {
                continue;
            };
            self.later += 1;
            self.lookups.insert((self.now + Duration::from_millis(after_ms), self.later), (id, resolved));
        }
        for question in questions {
            self.later += 1;
            let after_ms = self.random.below(self.deciding_ms + 1);
            self.questions.insert((self.now + Duration::from_millis(after_ms), self.later), question);
        }
        for what in self.signalling.take_faults() {
            self.fault(what);
        }
    }

    fn write(&mut self, entries: Vec<Entry>) {
        for entry in entries {
            let over = self.occupancy.written(&entry, &self.configuration);
            if let Entry::Record(Record::Leg(leg)) = &entry
                && !leg.sip_call_id.is_empty()
            {
                self.calls_of.entry(leg.sip_call_id.clone()).or_default().insert(leg.call_id);
            }
            let wrong = self.node.journal.write(entry).err();
            for what in [over, wrong].into_iter().flatten() {
                self.fault(what);
            }
        }
    }

    fn send(&mut self, transmits: &[tandem_sip::endpoint::Transmit]) {
        for transmit in transmits {
            let Flow { local, remote, .. } = transmit.flow;
            if let Some(sip) = Sip::read(&transmit.payload) {
                self.trace("<", remote, sip);
                self.signalling.left(remote, sip, self.now);
            }
            if local.is_ipv4() != remote.is_ipv4() {
                self.fault(format!("{local} sends to {remote}"));
            }
            let content = Content::Sip(transmit.payload.to_vec());
            self.network.send(&Datagram { from: local, to: remote, content }, self.now);
        }
    }

    fn send_audio(&mut self, audio: Audio) {
        if let Some(what) = self.fault_of_audio(&audio) {
            self.fault(what);
        }
        if audio.channel == Channel::Rtp {
            let Audio { from, to, packet, .. } = audio;
            self.network.send(&Datagram { from, to, content: Content::Rtp(packet) }, self.now);
        }
    }

    fn replied(&mut self, id: ReplyId, reply: Reply) {
        match self.asked.remove(&id) {
            Some(asked) => self.take_reply(asked, reply),
            None => self.fault(format!("a second reply, or one to nobody: {reply:?}")),
        }
    }

    #[expect(clippy::print_stderr, reason = "asked for by who replays a run")]
    fn trace(&self, arrow: &str, peer: SocketAddr, sip: Sip<'_>) {
        if self.is_traced {
            let at = (self.now - start()).as_millis();
            let (line, cseq, call_id) = (sip.first_line(), sip.header("CSeq"), sip.call_id());
            eprintln!("{at:>8} {arrow} {peer:<24} {line} ({cseq}; {call_id})");
        }
    }
}

fn call_of(entry: &Entry) -> Option<CallId> {
    match entry {
        Entry::Record(Record::Call(call)) => Some(call.id),
        Entry::Record(Record::Leg(leg)) => Some(leg.call_id),
        Entry::Record(Record::Event(event)) => Some(event.call_id),
        Entry::Record(Record::Refusal(_)) | Entry::Keep { .. } | Entry::Forget { .. } | Entry::Heartbeat(_) => None,
    }
}

/// A name that the resolver never answers for.
pub(crate) const NEVER: &str = "never.example.com";
/// Far more than a run takes.
const MAX_STEPS: u64 = 2_000_000;
/// With so many there is no need to go on.
const MAX_FAULTS: usize = 20;
