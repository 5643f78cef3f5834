use crate::call::{self, Arrival, Call, Entrance};
use crate::capacity::{AccountSlot, TrunkSlot};
use crate::command::{Answer, Command, Counts, Output, QuestionId, Reply, ReplyId, ResolveId, Resolved};
use crate::config::SwitchConfig;
use crate::deadlines::Deadlines;
use crate::kept::OpenCall;
use crate::named::NamedHosts;
use crate::peers::TrunkPeers;
use crate::probe::Probes;
use crate::resources::{LegKey, Resources};
use crate::route::{self, Identification, RoutedTrunk};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;
use tandem_media::engine;
use tandem_model::{
    AccountId, AccountLoad, CallId, HangupCause, HealthStatus, HungUpBy, LiveCall, Now, Timestamp, Transport, TrunkId,
    TrunkLoad, TrunkState,
};
use tandem_sip::endpoint::{self, Endpoint, EndpointConfig, Event, Flow};
use tandem_sip::message::Message;
use tandem_sip::random::Randomness;

/// All calls of one signalling shard.
pub struct Switch {
    resources: Resources,
    /// Boxed: a node of the tree holds eleven, and ids that grow leave half of them empty.
    calls: BTreeMap<CallId, Box<Call>>,
    /// Over, but their final records are not known to be in the store: still shown.
    unstored: BTreeMap<CallId, Box<LiveCall>>,
    questions: BTreeMap<QuestionId, CallId>,
    deadlines: Deadlines<CallId>,
    probes: Probes,
    named: NamedHosts,
    external: BTreeMap<CallId, ExternalSlots>,
}

/// The places of a call that something else carries.
struct ExternalSlots {
    trunk: Option<TrunkSlot>,
    account: Option<AccountSlot>,
}

impl Switch {
    /// A switch without calls, and without routes until it is told some. The two sources of randomness are independent.
    #[must_use]
    pub fn new(config: SwitchConfig, random: Box<dyn Randomness>, endpoint_random: Box<dyn Randomness>) -> Self {
        let mut endpoint_config = EndpointConfig::new(config.user_agent.clone(), config.identity);
        endpoint_config.sent_by = config.sent_by.clone();
        let streams = config.listeners.iter().filter(|listener| listener.transport == Transport::Tcp);
        endpoint_config.stream_listeners = streams.map(|listener| listener.local).collect();
        let endpoint = Endpoint::new(endpoint_config, endpoint_random);
        Self {
            resources: Resources::new(config, endpoint, random),
            calls: BTreeMap::new(),
            unstored: BTreeMap::new(),
            questions: BTreeMap::new(),
            deadlines: Deadlines::new(),
            probes: Probes::default(),
            named: NamedHosts::default(),
            external: BTreeMap::new(),
        }
    }

    /// Switches a rule off.
    #[cfg(feature = "sim-mutations")]
    pub fn switch_off(&mut self, rule: crate::rules::Rule) {
        if let crate::rules::Rule::Protocol(rule) = rule {
            self.resources.endpoint.switch_off(rule);
        } else {
            self.resources.rules.switch_off(rule);
        }
    }

    /// Takes a SIP message.
    pub fn handle_datagram(&mut self, flow: Flow, octets: &[u8], now: Now) {
        // The look at the first octets comes first: it spares all other messages the look for the source.
        if octets.starts_with(b"INVITE ")
            && self.is_stranger(flow.remote)
            && call::turn_stranger_away(&flow, octets, &mut self.resources, now)
        {
            return self.handle_endpoint_outputs(now);
        }
        self.resources.endpoint.handle_datagram(flow, octets, now.instant);
        if let Some(LegKey { call, leg }) = self.challenged_leg(octets) {
            self.with_call(call, |call, resources| call.handle_challenge(leg, resources));
        }
        if let Some(tag) = self.acknowledged_refusal(octets) {
            self.resources.forget_refusal(&tag);
        }
        self.handle_endpoint_outputs(now);
    }

    /// The network refused what was sent on this flow.
    pub fn handle_transport_error(&mut self, flow: &Flow, now: Now) {
        self.resources.endpoint.handle_transport_error(flow, now.instant);
        self.handle_endpoint_outputs(now);
    }

    /// Whether a call or a request of ours depends on that connection.
    #[must_use]
    pub fn uses_stream(&self, flow: &Flow) -> bool {
        self.resources.endpoint.uses_stream(flow)
    }

    /// Takes what the media thread tells.
    pub fn handle_media_event(&mut self, event: engine::Event, now: Now) {
        let tag = match &event {
            engine::Event::Latched { tag, .. }
            | engine::Event::FirstPacket { tag, .. }
            | engine::Event::Digit { tag, .. }
            | engine::Event::DigitsSent { tag, .. }
            | engine::Event::Heard { tag, .. }
            | engine::Event::RtpTimeout { tag, .. }
            | engine::Event::Closed { tag, .. } => *tag,
        };
        let Some((key, local)) = self.resources.port_tags.get(&tag).copied() else { return };
        if matches!(event, engine::Event::Closed { .. }) {
            self.resources.port_tags.remove(&tag);
            self.resources.config.ports.release(local);
        }
        self.with_call(key.call, |call, resources| call.handle_media_event(key.leg, event, resources, now));
        self.handle_endpoint_outputs(now);
    }

    /// Does what a [`Command`] says.
    pub fn handle_command(&mut self, command: Command, now: Now) {
        match command {
            Command::Dial { order, reply } => match order.call_id.and_then(|id| self.shown(order.account_id, id)) {
                Some(placed) => self.reply(reply, Reply::Dialled(Ok(Box::new(placed.record)))),
                None => {
                    let call = Call::ordered(order, reply, &mut self.resources, now);
                    self.add_call(call);
                }
            },
            Command::Explain { order, reply } => {
                let receipt = call::explain(&order, &self.resources, now);
                self.reply(reply, Reply::Explained(Box::new(receipt)));
            }
            Command::Hangup { account_id, call_id, reply } => {
                let hung_up = self.hangup(account_id, call_id, now);
                self.reply(
                    reply,
                    Reply::HungUp(
                        hung_up.then(|| self.shown(account_id, call_id)).flatten().map(|call| Box::new(call.record)),
                    ),
                );
            }
            Command::Inspect { account_id, call_id, reply } => {
                let shown = self.shown(account_id, call_id).map(Box::new);
                self.reply(reply, Reply::Inspected(shown));
            }
            Command::Probe { trunk_id, reply } => match self.resources.table.trunk(trunk_id).map(Arc::clone) {
                Some(trunk) => self.probes.start(trunk, reply, &mut self.resources, now),
                None => self.reply(reply, Reply::Probed(None)),
            },
            Command::TrunkStates { trunk_ids, reply } => {
                let states = trunk_ids.into_iter().map(|id| (id, self.trunk_state(id, now))).collect();
                self.reply(reply, Reply::TrunkStates(states));
            }
            Command::Count { reply } => {
                let counts = Box::new(self.counts());
                self.reply(reply, Reply::Counted(counts));
            }
            Command::Traffic { reply } => {
                let traffic = Box::new(self.resources.traffic.clone());
                let loads = self.trunk_loads(now);
                self.reply(reply, Reply::Traffic(traffic, loads));
            }
            Command::AccountLoads { reply } => {
                let loads = self.account_loads();
                self.reply(reply, Reply::AccountLoads(loads));
            }
            Command::Credit { account_id, reply } => {
                let credit = self.resources.credit.live(account_id);
                self.reply(reply, Reply::Credit(credit));
            }
            Command::CreditCommitments { reply } => {
                let commitments = self.resources.credit.commitments();
                self.reply(reply, Reply::CreditCommitments(commitments));
            }
            Command::CreditTerms(all) => self.resources.credit.take_terms(&all),
            Command::ExternalStarted { account_id, trunk_id, call_id } => {
                self.external_started(account_id, trunk_id, call_id);
            }
            Command::ExternalEnded { call_id } => self.external_ended(call_id),
            Command::Stored { call_ids } => call_ids.iter().for_each(|id| drop(self.unstored.remove(id))),
            Command::Routes(table) => {
                self.resources.capacity.retain_trunks(|trunk| table.trunk(trunk).is_some());
                self.resources.traffic.set_trunks(table.trunks().map(|entry| entry.trunk.id));
                let peers = TrunkPeers::new(&table, self.resources.config.address_policy.clone());
                self.resources.endpoint.set_peer_policy(Box::new(peers));
                self.named.take_routes(&table, &mut self.resources, now);
                self.probes.take_routes(&table, &mut self.resources, now);
                self.resources.table = table;
            }
            Command::EndAll { cause } => self.end_all(cause, now),
        }
        self.handle_endpoint_outputs(now);
    }

    /// Ends a call of an earlier process: far ends are released, and its records are closed as of that process's last heartbeat.
    ///
    /// Call it after [`Command::Routes`]: what an answered leg cost is read off its trunk.
    pub fn take_up(&mut self, open: OpenCall, last_heartbeat: Timestamp, now: Now) {
        let id = open.record.id;
        if let Some(call) = call::take_up(open, last_heartbeat, &mut self.resources, now) {
            self.show_until_stored(id, call);
        }
        self.handle_endpoint_outputs(now);
    }

    /// Goes on with a call that waits for this answer. An answer to a question that nobody waits for does nothing.
    pub fn handle_answer(&mut self, question: QuestionId, answer: Answer, now: Now) {
        if let Some(call) = self.questions.remove(&question) {
            self.with_call(call, |call, resources| call.handle_answer(answer, resources, now));
            self.handle_endpoint_outputs(now);
        }
    }

    /// Goes on with what waits for this address.
    pub fn handle_resolved(&mut self, id: ResolveId, resolved: &Resolved, now: Now) {
        if let Some(LegKey { call, leg }) = self.resources.resolving.remove(&id) {
            self.with_call(call, |call, resources| call.handle_resolved(leg, resolved, resources, now));
        } else {
            self.named.handle_resolved(id, resolved, &mut self.resources, now);
            self.probes.handle_resolved(id, resolved, &mut self.resources, now);
        }
        self.handle_endpoint_outputs(now);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Now) {
        self.resources.endpoint.handle_timeout(now.instant);
        self.handle_endpoint_outputs(now);
        while let Some(call) = self.deadlines.pop_due(now.instant) {
            self.with_call(call, |call, resources| call.handle_timeout(resources, now));
        }
        self.probes.handle_timeout(&mut self.resources, now);
        self.named.handle_timeout(&mut self.resources, now);
        self.resources.handle_timeout(now.instant);
        self.handle_endpoint_outputs(now);
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let of_calls = self.deadlines.earliest();
        let of_endpoint = self.resources.endpoint.poll_timeout();
        let of_names = self.named.poll_timeout();
        let of_refused = self.resources.poll_timeout();
        [of_calls, of_endpoint, self.probes.poll_timeout(), of_names, of_refused].into_iter().flatten().min()
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.resources.pop()
    }

    /// What is live.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        Counts {
            calls: count(self.calls.len()),
            legs: count(self.calls.values().map(|call| call.live_legs()).sum()),
            sip: self.resources.endpoint.counts(),
            ports_in_use: count(self.resources.config.ports.in_use()),
            ports_total: count(self.resources.config.ports.total()),
            trunk_slots: self.resources.capacity.trunk_slots(),
            account_slots: self.resources.capacity.account_slots(),
            external_calls: count(self.external.len()),
            unstored_calls: count(self.unstored.len()),
            credit_reserved_micros: self.resources.credit.reserved_micros(),
            routing_revision: self.resources.table.revision(),
        }
    }

    /// Whether no call is left, so that a draining node may stop.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.calls.is_empty()
    }

    fn reply(&mut self, reply: ReplyId, answer: Reply) {
        self.resources.push(Output::Reply(reply, answer));
    }

    /// Lets a call act, then files it where it belongs: under its new deadline, or out of the live calls.
    ///
    /// What the endpoint has to say of it is for the caller to take up, in a loop: thousands of calls may end at one blow.
    fn with_call(&mut self, id: CallId, act: impl FnOnce(&mut Call, &mut Resources)) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        act(call, &mut self.resources);
        self.deadlines.set(id, call.deadline());
        if call.is_over()
            && let Some(call) = self.calls.remove(&id)
        {
            self.deadlines.set(id, None);
            if call.has_begun() {
                self.show_until_stored(id, call.into_snapshot());
            }
        }
    }

    /// Of the calls that ended while the database is away, the latest are shown; all are in the journal.
    fn show_until_stored(&mut self, id: CallId, call: LiveCall) {
        self.unstored.insert(id, Box::new(call));
        if self.unstored.len() > MAX_UNSTORED {
            self.unstored.pop_first();
        }
    }

    /// The leg whose INVITE this message challenges, if it is such a one: of that the endpoint tells nothing.
    fn challenged_leg(&self, octets: &[u8]) -> Option<LegKey> {
        // Most messages are none, and need not be read twice.
        if !matches!(octets.get(STATUS_CODE_OCTETS)?, b"401" | b"407") {
            return None;
        }
        let message = Message::parse(octets).ok().filter(|message| message.status().is_some())?;
        self.resources.invited.get(message.call_id()).copied()
    }

    /// Our tag in an ACK, while callers may not have heard that they are refused: of that the endpoint tells nothing either.
    fn acknowledged_refusal(&self, octets: &[u8]) -> Option<String> {
        if !octets.starts_with(b"ACK ") || !self.resources.has_refused_callers() {
            return None;
        }
        Message::parse(octets).ok()?.to_tag().map(str::to_owned)
    }

    /// Sorts what the endpoint has to say: datagrams to the outputs, events to the calls, until it has no more to say.
    fn handle_endpoint_outputs(&mut self, now: Now) {
        while let Some(output) = self.resources.endpoint.poll_output() {
            match output {
                endpoint::Output::Transmit(transmit) => self.resources.push(Output::Transmit(transmit)),
                endpoint::Output::Event(event) => self.handle_event(event, now),
            }
        }
    }

    fn handle_event(&mut self, event: Event, now: Now) {
        let session = match event {
            Event::Invite { session, request } => {
                return self.handle_invite(Arrival::new(session, *request, now.instant), now);
            }
            Event::Response { request, outcome } => {
                return self.probes.handle_response(request, outcome, &mut self.resources, now);
            }
            // Nobody waits for it any more, but it must be possible to end it from another process too.
            Event::AnsweredLate { session } => return self.resources.keep_released(session),
            // No method is configured to be answered by us.
            Event::Request { .. } => return,
            Event::Provisional { session, .. }
            | Event::Answered { session, .. }
            | Event::Failed { session, .. }
            | Event::Canceled { session, .. }
            | Event::Acknowledged { session, .. }
            | Event::Unacknowledged { session }
            | Event::Reinvite { session, .. }
            | Event::ReinviteCanceled { session, .. }
            | Event::ReinviteAnswered { session, .. }
            | Event::ReinviteFailed { session, .. }
            | Event::Bye { session, .. }
            | Event::Ended { session, .. } => session,
        };
        if matches!(event, Event::Ended { .. }) {
            self.resources.session_ended(session);
        }
        if let Some(LegKey { call, leg }) = self.resources.sessions.get(&session).copied() {
            self.with_call(call, |call, resources| call.handle_session_event(leg, event, resources, now));
        }
    }

    /// Whether no trunk knows that address.
    fn is_stranger(&self, source: SocketAddr) -> bool {
        let Resources { table, named_sources, .. } = &self.resources;
        !table.sources().knows(source) && !named_sources.knows(source)
    }

    /// Somebody calls: the trunk by which they do takes the call.
    fn handle_invite(&mut self, arrival: Arrival, now: Now) {
        let Resources { table, named_sources, .. } = &self.resources;
        match route::identify(table, named_sources, &arrival.invited) {
            Identification::Trunk(trunk, steps) => {
                let entrance = Entrance::new(trunk, steps);
                if let Some(call) = Call::arriving(arrival, entrance, &mut self.resources, now) {
                    self.add_call(call);
                }
            }
            Identification::Stranger => call::refuse_stranger(&arrival, &mut self.resources, now),
            Identification::OutboundOnly(trunks) => {
                call::refuse_unidentified(&arrival, &trunks, &[], &mut self.resources, now);
            }
            Identification::Ambiguous(trunks, steps) => {
                call::refuse_unidentified(&arrival, &trunks, &steps, &mut self.resources, now);
            }
        }
    }

    fn add_call(&mut self, call: Call) {
        if let Some(question) = call.question() {
            self.questions.insert(question, call.id());
        }
        self.calls.insert(call.id(), Box::new(call));
    }

    /// Whether there was such a call to end.
    fn hangup(&mut self, account_id: AccountId, call_id: CallId, now: Now) -> bool {
        let is_live =
            self.calls.get(&call_id).is_some_and(|call| call.record().account_id == account_id && call.has_begun());
        if is_live {
            self.with_call(call_id, |call, resources| {
                call.hangup(HangupCause::NormalClearing, HungUpBy::Api, resources, now);
            });
        }
        is_live
    }

    fn end_all(&mut self, cause: HangupCause, now: Now) {
        let ids: Vec<CallId> = self.calls.keys().copied().collect();
        for id in ids {
            self.with_call(id, |call, resources| call.hangup(cause, HungUpBy::Switch, resources, now));
        }
    }

    fn shown(&self, account_id: AccountId, call_id: CallId) -> Option<LiveCall> {
        let live = self.calls.get(&call_id).filter(|call| call.has_begun()).map(|call| call.snapshot());
        live.or_else(|| self.unstored.get(&call_id).map(|call| call.as_ref().clone()))
            .filter(|call| call.record.account_id == account_id)
    }

    fn trunk_state(&self, trunk_id: TrunkId, now: Now) -> TrunkState {
        let capacity = &self.resources.capacity;
        let trunk = self.resources.table.trunk(trunk_id);
        let unroutable = trunk.and_then(|trunk| trunk.unroutable_reason(&self.resources.config.address_policy));
        TrunkState {
            active_calls: capacity.trunk_active(trunk_id),
            resting_until: capacity.resting_until(trunk_id, now.instant),
            auth_failed: capacity.auth_failed(trunk_id),
            unroutable_reason: unroutable.or_else(|| capacity.health_reason(trunk_id, now.instant)),
            health: self.resources.health.measured(trunk_id, capacity, now).map(Box::new),
        }
    }

    fn trunk_loads(&self, now: Now) -> Vec<TrunkLoad> {
        let load = |entry: &RoutedTrunk| {
            let state = self.trunk_state(entry.trunk.id, now);
            TrunkLoad {
                id: entry.trunk.id,
                account_id: entry.trunk.account_id,
                name: entry.trunk.name.clone(),
                active: state.active_calls,
                max: entry.trunk.max_concurrent_calls,
                health: state.health.map_or(HealthStatus::Unknown, |measured| measured.health.status),
                takes_calls: state.unroutable_reason.is_none(),
                failed_probes: self.resources.health.failed_probes(entry.trunk.id),
            }
        };
        self.resources.table.trunks().map(load).collect()
    }

    fn account_loads(&self) -> Vec<AccountLoad> {
        let accounts = self.resources.table.accounts();
        let active = |id| self.resources.capacity.account_active(id);
        accounts.map(|(id, account)| AccountLoad { id, active: active(id), max: account.max_calls }).collect()
    }

    /// Such a call is never refused: it happens whether there is room for it or not.
    fn external_started(&mut self, account_id: AccountId, trunk_id: TrunkId, call_id: CallId) {
        if self.external.contains_key(&call_id) {
            return;
        }
        let slots = ExternalSlots {
            trunk: self.resources.capacity.reserve_trunk(trunk_id, u32::MAX),
            account: self.resources.capacity.reserve_account(account_id, None),
        };
        self.external.insert(call_id, slots);
    }

    fn external_ended(&mut self, call_id: CallId) {
        let Some(slots) = self.external.remove(&call_id) else { return };
        if let Some(slot) = slots.trunk {
            self.resources.capacity.release_trunk(slot);
        }
        if let Some(slot) = slots.account {
            self.resources.capacity.release_account(slot);
        }
    }
}

/// Where the code of a response stands: after `SIP/2.0 `.
const STATUS_CODE_OCTETS: Range<usize> = 8..11;

/// Ended calls that are shown before they are stored: some 100 MB of them.
const MAX_UNSTORED: usize = 10_000;
