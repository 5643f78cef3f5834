//! One call: who is being called, who hears whom, and how it ends.
//!
//! ```text
//!             admitted, routed            answered              second party answered
//! Deciding ───────────────────► Hunting ────────────► Hunting ───────────────────────► Connected
//!    │                          (first)   │ echo, play (second)                            │
//!    │ refused                    │       └──────────────┼────────────────────────────────►│
//!    ▼                            ▼ failed, canceled     ▼ failed, hung up                 ▼ hung up, time is up
//!   Over                       Closing ◄──────────────────────────────────────────────────┘
//!                                 │ every port has told its counters
//!                                 ▼
//!                               Over (records are out)
//! ```

mod attempt;
mod leg;
mod outcome;

use crate::capacity::AccountSlot;
use crate::command::{Answer, LiveCall, Output, Question, QuestionId, Reply, ReplyId, Resolved};
use crate::resources::{LegKey, Resources};
use crate::route::{self, Query};
use attempt::{Attempt, NotDialable};
use leg::{Leg, LegEnding, LegPort, LegState, leg_media};
use outcome::Outcome;
use serde_json::{Map, Value, json};
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};
use tandem_media::engine::{self, Sink, Source};
use tandem_media::tone::ToneSpec;
use tandem_model::{
    AttemptReceipt, CallDirection, CallEvent, CallId, CallRecord, CallStatus, CarriedBy, Connect, DialOrder, DialTarget, EventKind,
    HangupCause, HungUpBy, LegId, LegKind, LegRecord, LegStatus, Money, Now, Reason, Receipt, Record, Refusal, RefusalKind,
};
use tandem_sip::endpoint::{self, Event, Flow, OutgoingInvite};
use tandem_sip::message::{Body, NameAddr, StatusCode};

/// A call, from the order to the last record.
#[derive(Debug)]
pub(crate) struct Call {
    record: CallRecord,
    events: Vec<CallEvent>,
    order: Box<DialOrder>,
    phase: Phase,
    /// In the order in which they were tried; those that ended stay for the record.
    legs: Vec<Leg>,
    account_slot: Option<AccountSlot>,
    answered_since: Option<Instant>,
}

/// Where a call is. Each phase owns what exists in it.
#[derive(Debug)]
enum Phase {
    /// Whether it may begin is being decided elsewhere.
    Deciding { question: QuestionId, reply: ReplyId },
    /// Somebody is being called.
    Hunting(Hunt),
    /// Who was to hear each other does.
    Connected { end_at: Instant },
    /// Over for everybody; ports still tell what they counted.
    Closing { give_up_at: Instant },
    /// Nothing is left to do. `began` is false for a call that was refused.
    Over { began: bool },
}

/// A search for one party: attempts in order, until one answers or none is left.
#[derive(Debug)]
struct Hunt {
    party: Party,
    untried: VecDeque<Attempt>,
    ring_until: Instant,
    /// Who waits for the first attempt to go out.
    reply: Option<ReplyId>,
}

/// Whom a hunt looks for.
#[derive(Debug, Clone, Copy)]
enum Party {
    /// Whom the order names.
    First,
    /// Whom the first party is connected to; the call ends at `end_at` whether this one has answered or not.
    Second { first: usize, end_at: Instant },
}

impl Call {
    /// Takes an order and asks whether it may begin.
    pub(crate) fn new(order: Box<DialOrder>, reply: ReplyId, resources: &mut Resources, now: Now) -> Self {
        let id = CallId::new(now.utc, resources.random_bytes());
        let question = resources.next_question();
        resources.push(Output::Ask(Question { id: question, call_id: id, account_id: order.account_id }));
        let record = CallRecord {
            id,
            account_id: order.account_id,
            call_id: id.to_string(),
            trunk_id: None,
            direction: CallDirection::Outbound,
            carried_by: CarriedBy::Tandem,
            conversation_id: order.conversation_id,
            from_number: order.from.clone().unwrap_or_default(),
            to_number: order.to.number().to_owned(),
            to_uri: match &order.to {
                DialTarget::Uri(uri) => Some(uri.clone()),
                DialTarget::Number(_) | DialTarget::Emergency(_) => None,
            },
            started_at: now.utc,
            answered_at: None,
            ended_at: None,
            duration_ms: None,
            status: CallStatus::Initiated,
            hangup_cause: None,
            sip_status: None,
            hung_up_by: None,
            quality_score: None,
            codec_used: None,
            sip_call_id: None,
            remote_ip: None,
            cost: None,
            credits_used: None,
            metadata: order.metadata.clone(),
            receipt: None,
            created_at: now.utc,
        };
        let phase = Phase::Deciding { question, reply };
        Self { record, events: Vec::new(), order, phase, legs: Vec::new(), account_slot: None, answered_since: None }
    }

    pub(crate) const fn id(&self) -> CallId {
        self.record.id
    }

    pub(crate) const fn record(&self) -> &CallRecord {
        &self.record
    }

    pub(crate) fn snapshot(&self) -> LiveCall {
        let legs = self.legs.iter().map(|leg| leg.record.clone()).collect();
        LiveCall { record: self.record.clone(), legs, events: self.events.clone() }
    }

    pub(crate) fn into_snapshot(self) -> LiveCall {
        let legs = self.legs.into_iter().map(|leg| leg.record).collect();
        LiveCall { record: self.record, legs, events: self.events }
    }

    pub(crate) fn question(&self) -> Option<QuestionId> {
        match self.phase {
            Phase::Deciding { question, .. } => Some(question),
            Phase::Hunting(_) | Phase::Connected { .. } | Phase::Closing { .. } | Phase::Over { .. } => None,
        }
    }

    /// Whether the call has begun, so that it is to be shown and kept.
    pub(crate) fn has_begun(&self) -> bool {
        match self.phase {
            Phase::Deciding { .. } => false,
            Phase::Hunting(_) | Phase::Connected { .. } | Phase::Closing { .. } => true,
            Phase::Over { began } => began,
        }
    }

    pub(crate) const fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over { .. })
    }

    pub(crate) fn live_legs(&self) -> usize {
        self.legs.iter().filter(|leg| !leg.is_over()).count()
    }

    /// When to wake the call.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let of_phase = match &self.phase {
            Phase::Deciding { .. } | Phase::Over { .. } => None,
            Phase::Hunting(hunt) => Some(match hunt.party {
                Party::First => hunt.ring_until,
                Party::Second { end_at, .. } => hunt.ring_until.min(end_at),
            }),
            Phase::Connected { end_at } => Some(*end_at),
            Phase::Closing { give_up_at } => Some(*give_up_at),
        };
        self.legs.iter().filter_map(Leg::deadline).chain(of_phase).min()
    }

    // Deciding.

    pub(crate) fn handle_answer(&mut self, answer: Answer, resources: &mut Resources, now: Now) {
        let Phase::Deciding { reply, .. } = self.phase else { return };
        let mut receipt = new_receipt(&self.order, resources, now);
        let plan = match answer {
            Answer::Admit => plan_first_party(&self.order, &mut receipt, resources, now),
            Answer::Refuse(reason) => Err(refusal(RefusalKind::NodeUnavailable, reason)),
        };
        self.record.receipt = Some(receipt);
        let attempts = match plan.and_then(|attempts| self.take_account_slot(resources).map(|()| attempts)) {
            Ok(attempts) => attempts,
            Err(refusal) => return self.refuse(refusal, reply, resources),
        };
        let ring_until = now.instant + self.order.ring_timeout;
        self.phase = Phase::Hunting(Hunt { party: Party::First, untried: attempts, ring_until, reply: Some(reply) });
        self.next_attempt(resources, now);
    }

    /// Takes the account's place for the whole call. An emergency call is never held back by the number of calls.
    fn take_account_slot(&mut self, resources: &mut Resources) -> Result<(), Refusal> {
        let max_calls = resources.table.account(self.order.account_id).map_or(0, |account| account.max_calls);
        let limit = (!matches!(self.order.to, DialTarget::Emergency(_))).then_some(max_calls);
        self.account_slot = resources.capacity.reserve_account(self.order.account_id, limit);
        match self.account_slot {
            Some(_) => Ok(()),
            None => Err(refusal(RefusalKind::TierLimit, Reason::TierLimit { limit: max_calls })),
        }
    }

    fn refuse(&mut self, refusal: Refusal, reply: ReplyId, resources: &mut Resources) {
        if let Some(slot) = self.account_slot.take() {
            resources.capacity.release_account(slot);
        }
        if let Some(mut receipt) = self.record.receipt.take() {
            receipt.refusal = Some(refusal);
            resources.push(Output::Reply(reply, Reply::Dialled(Err(Box::new(receipt)))));
        }
        self.phase = Phase::Over { began: false };
    }

    // Hunting.

    /// Starts the next attempt that can be started; without one the hunt has failed.
    fn next_attempt(&mut self, resources: &mut Resources, now: Now) {
        // The cause of the last attempt that failed is what the call ends with.
        let mut failure: Option<Outcome> = None;
        loop {
            let Phase::Hunting(hunt) = &mut self.phase else { return };
            let Some(attempt) = hunt.untried.pop_front() else { break };
            match self.start_attempt(attempt, resources, now) {
                Ok(()) => return self.confirm_begun(resources, now),
                Err(outcome) => failure = Some(outcome),
            }
        }
        let failure = failure.unwrap_or_else(|| Outcome::local(Reason::NodeFull, HangupCause::NoCircuitAvailable));
        self.hunt_failed(&failure, resources, now);
    }

    /// Tells who ordered the call that it has begun, and records it, once the first INVITE is on its way.
    fn confirm_begun(&mut self, resources: &mut Resources, now: Now) {
        let Phase::Hunting(hunt) = &mut self.phase else { return };
        let Some(reply) = hunt.reply.take() else { return };
        resources.record(Record::Call(Box::new(self.record.clone())));
        resources.push(Output::Reply(reply, Reply::Dialled(Ok(Box::new(self.record.clone())))));
        let _ = now;
    }

    fn start_attempt(&mut self, mut attempt: Attempt, resources: &mut Resources, now: Now) -> Result<(), Outcome> {
        let slot = match &attempt.trunk {
            Some(entry) => {
                let limit = entry.trunk.max_concurrent_calls;
                let slot = resources.capacity.reserve_trunk(entry.trunk.id, limit);
                Some(slot.ok_or(Outcome::local(Reason::TrunkFull { limit }, HangupCause::NoCircuitAvailable))?)
            }
            None => None,
        };
        let Ok(local) = resources.config.ports.take() else {
            if let Some(slot) = slot {
                resources.capacity.release_trunk(slot);
            }
            return Err(Outcome::local(Reason::NodeFull, HangupCause::NoCircuitAvailable));
        };
        self.prefer_codec_of_first_party(&mut attempt);
        let index = self.legs.len();
        let tag = resources.next_number();
        resources.port_tags.insert(tag, (LegKey { call: self.id(), leg: index }, local));
        let port = LegPort::open(local, tag, &attempt, resources);
        let record = self.new_leg_record(&attempt, resources, now);
        self.note_attempt(&attempt, now);
        let leg_id = record.id;
        if self.legs.is_empty() {
            self.describe_first_leg(&attempt);
            self.event(EventKind::Initiated, None, json!({"to": self.record.to_number, "from": self.record.from_number}), resources, now);
            let trunk = attempt.trunk.as_ref().map(|entry| entry.trunk.name.clone());
            self.event(EventKind::Routed, None, json!({"trunk": trunk}), resources, now);
        }
        let silent_until = now.instant + NO_RESPONSE_TIMEOUT;
        let host = attempt.next_hop.host.clone();
        let (trunk_id, max_cps) = (attempt.trunk.as_ref().map(|entry| entry.trunk.id), attempt.trunk.as_ref().and_then(|entry| entry.trunk.max_cps()));
        if let Some(trunk_id) = trunk_id {
            resources.capacity.note_invite(trunk_id, max_cps, now.instant);
        }
        let detail = json!({"request_uri": record.request_uri, "trunk_id": trunk_id});
        self.legs.push(Leg { attempt, record, state: LegState::Resolving { silent_until }, slot, port: Some(port) });
        self.event(EventKind::LegStarted, Some(leg_id), detail, resources, now);
        match host.ip() {
            Some(address) => self.send_invite(index, address, resources, now),
            None => {
                let id = resources.next_resolve();
                resources.resolving.insert(id, LegKey { call: self.id(), leg: index });
                resources.push(Output::Resolve { id, host: host.to_string() });
            }
        }
        Ok(())
    }

    /// With the codec that the first party speaks in front, so that nothing has to be transcoded.
    fn prefer_codec_of_first_party(&self, attempt: &mut Attempt) {
        let Phase::Hunting(Hunt { party: Party::Second { first, .. }, .. }) = &self.phase else { return };
        let agreed = self.legs.get(*first).and_then(|leg| leg.record.codec);
        if let Some(place) = attempt.codecs.iter().position(|codec| Some(*codec) == agreed) {
            attempt.codecs.get_mut(..=place).into_iter().for_each(|front| front.rotate_right(1));
        }
    }

    fn new_leg_record(&self, attempt: &Attempt, resources: &mut Resources, now: Now) -> LegRecord {
        LegRecord {
            id: LegId::new(now.utc, resources.random_bytes()),
            call_id: self.record.id,
            account_id: self.record.account_id,
            number: u32::try_from(self.legs.len() + 1).unwrap_or(u32::MAX),
            kind: LegKind::Sip,
            trunk_id: attempt.trunk.as_ref().map(|entry| entry.trunk.id),
            direction: CallDirection::Outbound,
            request_uri: attempt.request_uri.to_string(),
            started_at: now.utc,
            ringing_at: None,
            answered_at: None,
            ended_at: None,
            duration_ms: None,
            status: LegStatus::Trying,
            cause: None,
            sip_status: None,
            hung_up_by: None,
            codec: None,
            sip_call_id: String::new(),
            transport: attempt.next_hop.transport,
            remote_address: None,
            billed_seconds: None,
            cost: None,
            media: None,
        }
    }

    fn note_attempt(&mut self, attempt: &Attempt, now: Now) {
        let Some(receipt) = &mut self.record.receipt else { return };
        receipt.attempts.push(AttemptReceipt {
            trunk_id: attempt.trunk.as_ref().map(|entry| entry.trunk.id),
            trunk_name: attempt.trunk.as_ref().map(|entry| entry.trunk.name.clone()),
            request_uri: attempt.request_uri.to_string(),
            target: None,
            started_at: now.utc,
            decided_at: None,
            outcome: None,
            explanation: None,
            sip_status: None,
            cause: None,
        });
    }

    /// The call log shows the first leg's trunk and caller.
    fn describe_first_leg(&mut self, attempt: &Attempt) {
        self.record.trunk_id = attempt.trunk.as_ref().map(|entry| entry.trunk.id);
        self.record.from_number = attempt.caller_id.clone();
    }

    pub(crate) fn handle_resolved(&mut self, leg: usize, resolved: &Resolved, resources: &mut Resources, now: Now) {
        let Some(Leg { state: LegState::Resolving { .. }, attempt, .. }) = self.legs.get(leg) else { return };
        let host = attempt.next_hop.host.to_string();
        match resolved {
            Ok(addresses) => {
                let reachable = |address: &&IpAddr| resources.config.listener_for(attempt.next_hop.transport, **address).is_some();
                match addresses.iter().find(reachable).or(addresses.first()) {
                    Some(address) => self.send_invite(leg, *address, resources, now),
                    None => self.attempt_failed(leg, &Outcome::unresolvable(host), resources, now),
                }
            }
            Err(_) => self.attempt_failed(leg, &Outcome::unresolvable(host), resources, now),
        }
    }

    fn send_invite(&mut self, index: usize, address: IpAddr, resources: &mut Resources, now: Now) {
        let key = LegKey { call: self.id(), leg: index };
        let Some(leg) = self.legs.get_mut(index) else { return };
        if !resources.config.address_policy.permits(address) {
            return self.attempt_failed(index, &Outcome::peer_not_allowed(address), resources, now);
        }
        let transport = leg.attempt.next_hop.transport;
        let Some(listener) = resources.config.listener_for(transport, address) else {
            return self.attempt_failed(index, &Outcome::transport_error(), resources, now);
        };
        let remote = SocketAddr::new(address, leg.attempt.next_hop.port);
        let body = leg.port.as_mut().map(|port| {
            port.set_signalling_source(address);
            Body::sdp(port.offer_body())
        });
        let session = resources.endpoint.invite(
            OutgoingInvite {
                flow: Flow { transport, local: listener.local, remote },
                request_uri: leg.attempt.request_uri.clone().into(),
                routes: leg.attempt.routes.clone(),
                from: leg.attempt.from.clone(),
                to: NameAddr::new(leg.attempt.request_uri.clone()),
                headers: leg.attempt.headers.clone(),
                credentials: leg.attempt.credentials.clone(),
                body,
                max_forwards: MAX_FORWARDS,
            },
            now.instant,
        );
        resources.sessions.insert(session, key);
        leg.state = LegState::Trying { session, silent_until: now.instant + NO_RESPONSE_TIMEOUT };
        leg.record.sip_call_id = resources.endpoint.call_id(session).unwrap_or_default().to_owned();
        leg.record.remote_address = Some(remote);
        if index == 0 {
            self.record.sip_call_id = Some(leg.record.sip_call_id.clone());
            self.record.remote_ip = Some(address.to_string());
        }
        if let Some(attempt) = self.receipt_attempt(index) {
            attempt.target = Some(remote.to_string());
        }
    }

    /// The receipt's entry of a leg: both lists grow together.
    fn receipt_attempt(&mut self, leg: usize) -> Option<&mut AttemptReceipt> {
        self.record.receipt.as_mut()?.attempts.get_mut(leg)
    }

    pub(crate) fn handle_session_event(&mut self, leg: usize, event: Event, resources: &mut Resources, now: Now) {
        match event {
            Event::Provisional { status, body, .. } => self.on_provisional(leg, status, body.as_deref(), resources, now),
            Event::Answered { answer, .. } => self.on_answered(leg, &answer, resources, now),
            Event::Failed { failure, .. } => {
                let outcome = Outcome::of_failure(failure, self.legs.get(leg).and_then(|leg| leg.attempt.trunk.as_deref()));
                self.attempt_failed(leg, &outcome, resources, now);
            }
            Event::Reinvite { session, body } => self.on_reinvite(leg, session, body.as_deref(), resources, now),
            Event::Acknowledged { body, .. } => self.on_acknowledged(leg, body.as_deref(), resources),
            Event::Bye { .. } => {
                let ending = LegEnding { cause: HangupCause::NormalClearing, by: HungUpBy::Callee, sip_status: None };
                self.far_end_left(leg, ending, resources, now);
            }
            Event::Ended { .. } => {
                // The endpoint gave the dialog up: nobody is there to be told.
                let ending = LegEnding { cause: HangupCause::NetworkOutOfOrder, by: HungUpBy::Switch, sip_status: None };
                self.far_end_left(leg, ending, resources, now);
            }
            // Outgoing sessions have none of these, and we send no re-INVITE.
            Event::Invite { .. }
            | Event::Canceled { .. }
            | Event::ReinviteCanceled { .. }
            | Event::ReinviteAnswered { .. }
            | Event::ReinviteFailed { .. }
            | Event::Request { .. }
            | Event::Response { .. } => {}
        }
    }

    fn on_provisional(&mut self, index: usize, status: StatusCode, body: Option<&[u8]>, resources: &mut Resources, now: Now) {
        let Some(leg) = self.legs.get_mut(index) else { return };
        let Some(session) = leg.session() else { return };
        if leg.answered_since().is_some() {
            return;
        }
        if status == StatusCode::TRYING {
            if let LegState::Trying { .. } = leg.state {
                leg.state = LegState::Proceeding { session, progress_until: now.instant + leg.attempt.progress_timeout };
            }
            return;
        }
        let leg_id = leg.record.id;
        let first_ring = !matches!(leg.state, LegState::Ringing { .. });
        leg.state = LegState::Ringing { session };
        let had_media = leg.port.as_ref().is_some_and(|port| port.agreement.is_some());
        let comedia = leg.attempt.comedia;
        let takes_media = match (body, &mut leg.port) {
            (Some(body), Some(port)) => port.take_answer(body, comedia, resources).is_ok(),
            _ => false,
        };
        if first_ring {
            leg.record.status = LegStatus::Ringing;
            leg.record.ringing_at = Some(now.utc);
            self.event(EventKind::LegRinging, Some(leg_id), json!({"sip_status": status.as_u16()}), resources, now);
        }
        if takes_media && !had_media {
            self.event(EventKind::LegEarlyMedia, Some(leg_id), json!({}), resources, now);
        }
        if self.record.status == CallStatus::Initiated {
            self.record.status = CallStatus::Ringing;
            resources.record(Record::Call(Box::new(self.record.clone())));
        }
        self.let_first_party_hear_progress(index, takes_media || had_media, resources);
    }

    /// The first party hears the second one's early media, else ringback.
    fn let_first_party_hear_progress(&self, second: usize, has_early_media: bool, resources: &mut Resources) {
        let Phase::Hunting(Hunt { party: Party::Second { first, .. }, .. }) = &self.phase else { return };
        let port_of = |leg: usize| self.legs.get(leg).and_then(|leg| leg.port.as_ref());
        let (Some(first), Some(second)) = (port_of(*first), port_of(second)) else { return };
        if has_early_media {
            first.set_source(Source::None, resources);
            second.set_sink(Sink::Relay { to: first.local.id }, resources);
        } else {
            first.set_source(Source::Tone(ToneSpec::ringback()), resources);
        }
    }

    fn on_answered(&mut self, index: usize, answer: &endpoint::Answer, resources: &mut Resources, now: Now) {
        let Some(leg) = self.legs.get_mut(index) else { return };
        let Some(session) = leg.session() else { return };
        if leg.answered_since().is_some() {
            return;
        }
        leg.state = LegState::Answered { session, since: now.instant };
        leg.record.status = LegStatus::Answered;
        leg.record.answered_at = Some(now.utc);
        leg.record.sip_status = Some(answer.status.as_u16());
        if let Some(entry) = &leg.attempt.trunk {
            resources.capacity.set_auth_failed(entry.trunk.id, false);
        }
        let comedia = leg.attempt.comedia;
        let usable = match (&answer.body, &mut leg.port) {
            (Some(body), Some(port)) => port.take_answer(body, comedia, resources).map_err(|error| Outcome::of_answer(&error)),
            // The description may have come with a 18x; then the 200 need not repeat it (RFC 6337 §2.2).
            (None, Some(port)) if port.agreement.is_some() => Ok(()),
            (None, _) | (Some(_), None) => Err(Outcome::no_description()),
        };
        if let Err(outcome) = usable {
            return self.attempt_failed(index, &outcome, resources, now);
        }
        if let Some(port) = &leg.port {
            leg.record.codec = port.agreement.as_ref().map(|agreement| agreement.codec);
            port.set_rtp_timeout(leg.attempt.rtp_timeout, resources);
        }
        let (leg_id, codec) = (leg.record.id, leg.record.codec);
        self.decide_attempt(index, &Outcome::answered(answer.status.as_u16()), now);
        self.event(EventKind::LegAnswered, Some(leg_id), json!({"codec": codec}), resources, now);
        let Phase::Hunting(hunt) = &self.phase else { return };
        match hunt.party {
            Party::First => {
                self.answered_since = Some(now.instant);
                self.record.answered_at = Some(now.utc);
                self.record.status = CallStatus::Answered;
                self.record.codec_used = codec.map(|codec| codec.to_string());
                resources.record(Record::Call(Box::new(self.record.clone())));
                self.connect_first_party(index, resources, now);
            }
            Party::Second { first, end_at } => self.bridge(first, index, end_at, resources, now),
        }
    }

    fn connect_first_party(&mut self, first: usize, resources: &mut Resources, now: Now) {
        let end_at = now.instant + self.order.max_duration;
        let Some(port) = self.legs.get(first).and_then(|leg| leg.port.as_ref()) else { return };
        match self.order.connect.clone() {
            Connect::Echo => port.set_sink(Sink::Echo, resources),
            Connect::Play { tone } => {
                // The edge has read it already; what is no tone stays silent.
                let source = ToneSpec::parse(&tone).map_or(Source::Silence, Source::Tone);
                port.set_source(source, resources);
            }
            Connect::Sip { uri } => {
                let attempt = Attempt::direct(&uri, &self.order, resources.config.media_address);
                let attempts = attempt.map(|attempt| VecDeque::from([attempt])).map_err(|error| match error {
                    NotDialable::NotSip => Outcome::unresolvable(uri),
                    NotDialable::RuledOut(reason) => Outcome::local(reason, HangupCause::NoRouteToDestination),
                });
                return self.hunt_second_party(first, end_at, attempts, resources, now);
            }
            Connect::Number { number } => {
                let attempts = plan_second_party(&DialTarget::Number(number), &self.order, &mut self.record, resources, now);
                return self.hunt_second_party(first, end_at, attempts, resources, now);
            }
        }
        self.phase = Phase::Connected { end_at };
        self.event(EventKind::Connected, None, json!({"connect": self.order.connect}), resources, now);
    }

    fn hunt_second_party(
        &mut self,
        first: usize,
        end_at: Instant,
        attempts: Result<VecDeque<Attempt>, Outcome>,
        resources: &mut Resources,
        now: Now,
    ) {
        let ring_until = now.instant + self.order.ring_timeout;
        let (untried, failure) = match attempts {
            Ok(attempts) => (attempts, None),
            Err(outcome) => (VecDeque::new(), Some(outcome)),
        };
        self.phase = Phase::Hunting(Hunt { party: Party::Second { first, end_at }, untried, ring_until, reply: None });
        match failure {
            None => self.next_attempt(resources, now),
            Some(outcome) => self.hunt_failed(&outcome, resources, now),
        }
    }

    fn bridge(&mut self, first: usize, second: usize, end_at: Instant, resources: &mut Resources, now: Now) {
        let port_of = |leg: usize| self.legs.get(leg).and_then(|leg| leg.port.as_ref());
        let (Some(one), Some(other)) = (port_of(first), port_of(second)) else { return };
        one.set_source(Source::None, resources);
        one.set_sink(Sink::Relay { to: other.local.id }, resources);
        other.set_sink(Sink::Relay { to: one.local.id }, resources);
        self.phase = Phase::Connected { end_at };
        self.event(EventKind::Connected, None, json!({"legs": [first + 1, second + 1]}), resources, now);
    }

    /// An attempt came to nothing: on to the next, or the hunt has failed.
    fn attempt_failed(&mut self, index: usize, outcome: &Outcome, resources: &mut Resources, now: Now) {
        let Some(leg) = self.legs.get_mut(index) else { return };
        if leg.is_over() {
            return;
        }
        if let Some(entry) = &leg.attempt.trunk {
            if let Some(span) = outcome.rest {
                resources.capacity.rest_trunk(entry.trunk.id, span, now);
            }
            if matches!(outcome.reason, Reason::AuthenticationFailed { .. }) {
                resources.capacity.set_auth_failed(entry.trunk.id, true);
            }
        }
        let leg_id = leg.record.id;
        let ending = LegEnding { cause: outcome.cause, by: outcome.by, sip_status: outcome.sip_status };
        // A final answer has ended the session itself; whatever we give up ourselves must be told to the peer.
        leg.end(ending, outcome.by != HungUpBy::Callee, resources, now);
        self.decide_attempt(index, outcome, now);
        let detail = json!({"cause": outcome.cause, "sip_status": outcome.sip_status, "reason": outcome.reason.code()});
        self.event(EventKind::LegEnded, Some(leg_id), detail, resources, now);
        let may_retry = match &self.phase {
            Phase::Hunting(hunt) => outcome.may_retry && !hunt.untried.is_empty() && now.instant < hunt.ring_until,
            Phase::Deciding { .. } | Phase::Connected { .. } | Phase::Closing { .. } | Phase::Over { .. } => false,
        };
        if may_retry {
            self.next_attempt(resources, now);
        } else {
            self.hunt_failed(outcome, resources, now);
        }
    }

    fn decide_attempt(&mut self, leg: usize, outcome: &Outcome, now: Now) {
        if let Some(attempt) = self.receipt_attempt(leg) {
            attempt.decided_at = Some(now.utc);
            attempt.explanation = Some(outcome.reason.explanation());
            attempt.outcome = Some(outcome.reason.clone());
            attempt.sip_status = outcome.sip_status;
            attempt.cause = outcome.failed.then_some(outcome.cause);
        }
    }

    fn hunt_failed(&mut self, outcome: &Outcome, resources: &mut Resources, now: Now) {
        let waiting = match &mut self.phase {
            Phase::Hunting(hunt) => hunt.reply.take(),
            Phase::Deciding { .. } | Phase::Connected { .. } | Phase::Closing { .. } | Phase::Over { .. } => None,
        };
        match waiting {
            // Not even one INVITE could be sent: no call has begun.
            Some(reply) if self.legs.is_empty() => {
                let kind = if outcome.reason == Reason::NodeFull { RefusalKind::NodeUnavailable } else { RefusalKind::NoTrunkAvailable };
                self.refuse(refusal(kind, outcome.reason.clone()), reply, resources);
            }
            waiting => {
                let ending = LegEnding { cause: outcome.cause, by: outcome.by, sip_status: outcome.sip_status };
                if let Some(reply) = waiting {
                    let Phase::Hunting(hunt) = &mut self.phase else { return };
                    hunt.reply = Some(reply);
                    self.confirm_begun(resources, now);
                }
                self.end(ending, resources, now);
            }
        }
    }

    // Connected.

    fn on_reinvite(
        &mut self,
        index: usize,
        session: endpoint::SessionId,
        body: Option<&[u8]>,
        resources: &mut Resources,
        now: Now,
    ) {
        let Some(leg) = self.legs.get_mut(index) else { return };
        let Some(port) = &mut leg.port else { return };
        let was_held = port.is_held();
        let Some(offer) = body else {
            let offer = port.offer_anew();
            return resources.endpoint.answer_reinvite(session, Some(Body::sdp(offer)), now.instant);
        };
        match port.take_offer(offer, leg.attempt.comedia, resources) {
            Ok(answer) => resources.endpoint.answer_reinvite(session, Some(Body::sdp(answer)), now.instant),
            Err(_) => return resources.endpoint.reject_reinvite(session, StatusCode::NOT_ACCEPTABLE_HERE, now.instant),
        }
        leg.record.codec = port.agreement.as_ref().map(|agreement| agreement.codec);
        let (leg_id, is_held) = (leg.record.id, port.is_held());
        if is_held != was_held {
            let kind = if is_held { EventKind::Held } else { EventKind::Resumed };
            self.event(kind, Some(leg_id), json!({}), resources, now);
        }
    }

    fn on_acknowledged(&mut self, index: usize, body: Option<&[u8]>, resources: &mut Resources) {
        let Some(leg) = self.legs.get_mut(index) else { return };
        let comedia = leg.attempt.comedia;
        if let (Some(port), Some(answer)) = (&mut leg.port, body)
            && port.expects_answer_in_ack()
            && port.take_answer(answer, comedia, resources).is_ok()
        {
            leg.record.codec = port.agreement.as_ref().map(|agreement| agreement.codec);
        }
    }

    pub(crate) fn handle_media_event(&mut self, index: usize, event: engine::Event, resources: &mut Resources, now: Now) {
        let Some(leg) = self.legs.get_mut(index) else { return };
        let leg_id = leg.record.id;
        match event {
            engine::Event::Latched { source, .. } => {
                self.event(EventKind::MediaLatched, Some(leg_id), json!({"source": source.to_string()}), resources, now);
            }
            engine::Event::RtpTimeout { .. } => {
                let ending = LegEnding { cause: HangupCause::MediaTimeout, by: HungUpBy::Switch, sip_status: None };
                self.end(ending, resources, now);
            }
            engine::Event::Closed { stats, .. } => {
                leg.record.media = Some(leg_media(&stats));
                leg.port = None;
                self.finish_if_closed(resources);
            }
            // Keys are for who listens to the call; nobody does yet.
            engine::Event::FirstPacket { .. } | engine::Event::Digit { .. } | engine::Event::DigitsSent { .. } => {}
        }
    }

    fn far_end_left(&mut self, index: usize, ending: LegEnding, resources: &mut Resources, now: Now) {
        let Some(leg) = self.legs.get_mut(index) else { return };
        if leg.is_over() {
            return;
        }
        let leg_id = leg.record.id;
        leg.end(ending, false, resources, now);
        self.event(EventKind::LegEnded, Some(leg_id), json!({"cause": ending.cause}), resources, now);
        self.end(ending, resources, now);
    }

    // Ending.

    /// Ends the call on a request from outside: hang-up by the API, or the node stops.
    pub(crate) fn hangup(&mut self, cause: HangupCause, by: HungUpBy, resources: &mut Resources, now: Now) {
        let cause = if self.record.answered_at.is_none() && by == HungUpBy::Api { HangupCause::Canceled } else { cause };
        self.end(LegEnding { cause, by, sip_status: None }, resources, now);
    }

    pub(crate) fn handle_timeout(&mut self, resources: &mut Resources, now: Now) {
        let due_leg = self.legs.iter().position(|leg| leg.deadline().is_some_and(|deadline| deadline <= now.instant));
        if let Some(index) = due_leg {
            let outcome = match self.legs.get(index).map(|leg| (leg.state, leg.attempt.progress_timeout)) {
                Some((LegState::Proceeding { .. }, waited)) => Outcome::no_progress(waited),
                Some((LegState::Resolving { .. }, _)) => {
                    let host = self.legs.get(index).map(|leg| leg.attempt.next_hop.host.to_string()).unwrap_or_default();
                    Outcome::unresolvable(host)
                }
                _ => Outcome::no_response(NO_RESPONSE_TIMEOUT),
            };
            self.attempt_failed(index, &outcome, resources, now);
        }
        match &self.phase {
            Phase::Hunting(Hunt { party: Party::Second { end_at, .. }, .. }) | Phase::Connected { end_at } if *end_at <= now.instant => {
                let ending = LegEnding { cause: HangupCause::MaxDuration, by: HungUpBy::Switch, sip_status: None };
                self.end(ending, resources, now);
            }
            Phase::Hunting(hunt) if hunt.ring_until <= now.instant => {
                let outcome = Outcome::ring_timeout(self.order.ring_timeout);
                match self.legs.iter().position(|leg| !leg.is_over() && leg.answered_since().is_none()) {
                    Some(ringing) => self.attempt_failed(ringing, &outcome, resources, now),
                    None => self.hunt_failed(&outcome, resources, now),
                }
            }
            Phase::Closing { give_up_at } if *give_up_at <= now.instant => self.finish(resources),
            Phase::Deciding { .. } | Phase::Hunting(_) | Phase::Connected { .. } | Phase::Closing { .. } | Phase::Over { .. } => {}
        }
    }

    /// Ends whatever is left of the call: the one place where a call that began comes to its end.
    fn end(&mut self, ending: LegEnding, resources: &mut Resources, now: Now) {
        match self.phase {
            Phase::Deciding { .. } | Phase::Closing { .. } | Phase::Over { .. } => return,
            Phase::Hunting(_) | Phase::Connected { .. } => {}
        }
        for index in 0..self.legs.len() {
            let Some(leg) = self.legs.get_mut(index) else { continue };
            if leg.is_over() {
                continue;
            }
            let was_answered = leg.answered_since().is_some();
            let leg_id = leg.record.id;
            let by = if ending.by == HungUpBy::Callee { HungUpBy::Switch } else { ending.by };
            leg.end(LegEnding { by, sip_status: None, ..ending }, true, resources, now);
            if !was_answered {
                self.decide_attempt(index, &Outcome::canceled(ending.cause), now);
            }
            self.event(EventKind::LegEnded, Some(leg_id), json!({"cause": ending.cause}), resources, now);
        }
        if let Some(slot) = self.account_slot.take() {
            resources.capacity.release_account(slot);
        }
        let connected = self.answered_since.map_or(Duration::ZERO, |since| now.instant.saturating_duration_since(since));
        self.record.ended_at = Some(now.utc);
        self.record.duration_ms = Some(u64::try_from(connected.as_millis()).unwrap_or(u64::MAX));
        self.record.hangup_cause = Some(ending.cause.to_string());
        self.record.sip_status = ending.sip_status;
        self.record.hung_up_by = Some(ending.by);
        self.record.status = final_status(self.answered_since.is_some(), ending.cause);
        let costs = self.legs.iter().filter_map(|leg| leg.record.cost);
        self.record.cost = Some(costs.fold(Money::ZERO, |sum, cost| sum.checked_add(cost).unwrap_or(sum)));
        let detail = json!({"cause": ending.cause, "by": ending.by, "status": self.record.status});
        self.event(EventKind::Ended, None, detail, resources, now);
        self.phase = Phase::Closing { give_up_at: now.instant + PORT_CLOSE_TIMEOUT };
        self.finish_if_closed(resources);
    }

    fn finish_if_closed(&mut self, resources: &mut Resources) {
        if matches!(self.phase, Phase::Closing { .. }) && self.legs.iter().all(|leg| leg.port.is_none()) {
            self.finish(resources);
        }
    }

    fn finish(&mut self, resources: &mut Resources) {
        self.phase = Phase::Over { began: true };
        for leg in &self.legs {
            resources.record(Record::Leg(Box::new(leg.record.clone())));
        }
        resources.record(Record::Call(Box::new(self.record.clone())));
    }

    fn event(&mut self, kind: EventKind, leg_id: Option<LegId>, detail: Value, resources: &mut Resources, now: Now) {
        if self.events.len() >= MAX_EVENTS && kind != EventKind::Ended {
            return;
        }
        let detail = match detail {
            Value::Object(map) => map,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
        };
        let event = CallEvent {
            call_id: self.record.id,
            account_id: self.record.account_id,
            number: u32::try_from(self.events.len() + 1).unwrap_or(u32::MAX),
            leg_id,
            at: now.utc,
            kind,
            detail,
        };
        resources.record(Record::Event(event.clone()));
        self.events.push(event);
    }
}

fn final_status(was_answered: bool, cause: HangupCause) -> CallStatus {
    if was_answered {
        return CallStatus::Completed;
    }
    #[expect(clippy::wildcard_enum_match_arm, reason = "only these have a status of their own; every other is a failure")]
    match cause {
        HangupCause::UserBusy => CallStatus::Busy,
        HangupCause::NoAnswer | HangupCause::NoUserResponding => CallStatus::NoAnswer,
        HangupCause::Canceled => CallStatus::Canceled,
        _ => CallStatus::Failed,
    }
}

/// How an order would be routed, without a call.
pub(crate) fn explain(order: &DialOrder, resources: &Resources, now: Now) -> Receipt {
    let mut receipt = new_receipt(order, resources, now);
    let refused = plan_first_party(order, &mut receipt, resources, now).err();
    let max_calls = resources.table.account(order.account_id).map_or(0, |account| account.max_calls);
    let is_emergency = matches!(order.to, DialTarget::Emergency(_));
    let tier_full = !is_emergency && resources.capacity.account_active(order.account_id) >= max_calls;
    receipt.refusal = refused.or_else(|| tier_full.then(|| refusal(RefusalKind::TierLimit, Reason::TierLimit { limit: max_calls })));
    receipt
}

fn new_receipt(order: &DialOrder, resources: &Resources, now: Now) -> Receipt {
    Receipt {
        account_id: order.account_id,
        decided_at: now.utc,
        to: order.to.number().to_owned(),
        from: order.from.clone(),
        routing_revision: resources.table.revision(),
        considered: Vec::new(),
        attempts: Vec::new(),
        refusal: None,
    }
}

fn refusal(kind: RefusalKind, reason: Reason) -> Refusal {
    Refusal { kind, explanation: reason.explanation(), reason }
}

fn plan_first_party(order: &DialOrder, receipt: &mut Receipt, resources: &Resources, now: Now) -> Result<VecDeque<Attempt>, Refusal> {
    if let (DialTarget::Uri(uri), None) = (&order.to, order.trunk_id) {
        return plan_direct(uri, order, resources);
    }
    let query = Query { account_id: order.account_id, to: &order.to, trunk_id: order.trunk_id };
    let plan = route::plan(&resources.table, &resources.capacity, &resources.config.address_policy, query, now);
    receipt.considered = plan.considered;
    match plan.refusal {
        Some(refusal) => Err(refusal),
        None => Ok(plan.attempts.iter().map(|planned| Attempt::over_trunk(planned, &order.to, order)).collect()),
    }
}

/// Straight to a SIP address: what can be judged before its name is looked up is judged at once.
fn plan_direct(uri: &str, order: &DialOrder, resources: &Resources) -> Result<VecDeque<Attempt>, Refusal> {
    let attempt = Attempt::direct(uri, order, resources.config.media_address).map_err(|error| match error {
        NotDialable::NotSip => refusal(RefusalKind::TargetNotAllowed, Reason::NoRoute),
        NotDialable::RuledOut(reason) => refusal(RefusalKind::TargetNotAllowed, reason),
    })?;
    match attempt.next_hop.host.ip() {
        Some(address) if !resources.config.address_policy.permits(address) => {
            Err(refusal(RefusalKind::TargetNotAllowed, Reason::PeerNotAllowed { address }))
        }
        _ => Ok(VecDeque::from([attempt])),
    }
}

/// The second party's trunks; their verdicts join the receipt, each trunk once.
fn plan_second_party(
    to: &DialTarget,
    order: &DialOrder,
    record: &mut CallRecord,
    resources: &Resources,
    now: Now,
) -> Result<VecDeque<Attempt>, Outcome> {
    let query = Query { account_id: order.account_id, to, trunk_id: None };
    let plan = route::plan(&resources.table, &resources.capacity, &resources.config.address_policy, query, now);
    if let Some(receipt) = &mut record.receipt {
        let room = route::MAX_CONSIDERED.saturating_sub(receipt.considered.len());
        receipt.considered.extend(plan.considered.into_iter().take(room));
    }
    match plan.refusal {
        None => Ok(plan.attempts.iter().map(|planned| Attempt::over_trunk(planned, to, order)).collect()),
        Some(refusal) => {
            let cause = match refusal.kind {
                RefusalKind::NoRoute | RefusalKind::EmergencyNotRouted | RefusalKind::TargetNotAllowed => HangupCause::NoRouteToDestination,
                RefusalKind::TierLimit | RefusalKind::CpsLimit | RefusalKind::NoTrunkAvailable | RefusalKind::NodeUnavailable => {
                    HangupCause::NoCircuitAvailable
                }
            };
            Err(Outcome::local(refusal.reason, cause))
        }
    }
}

/// How long a peer may be silent after an INVITE before the next one is tried. RFC 3261 would wait 32 s (timer B); callers do not.
const NO_RESPONSE_TIMEOUT: Duration = Duration::from_secs(4);
/// How long the media thread may take to tell a port's counters. Past it the record goes out without them.
const PORT_CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// RFC 3261 §8.1.1.6.
const MAX_FORWARDS: u8 = 70;
/// Events kept for one call: a peer that holds and resumes for hours must not fill the memory.
const MAX_EVENTS: usize = 256;
