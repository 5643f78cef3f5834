//! One call: who is being called, who hears whom, and how it ends.
//!
//! ```text
//!             admitted, routed            answered              second party answered
//! Deciding ───────────────────► Hunting ────────────► Hunting ───────────────────────► Connected
//!    │ │                        (first)   │ echo, play (second)                            │
//!    │ │ admitted: it came in     │       └──────────────┼────────────────────────────────►│
//!    │ └──────────────────────────┼─────────────────────►│ (the caller waits; echo, play: Connected at once)
//!    │ refused                    │                      │                                 │
//!    ▼                            ▼ failed, canceled     ▼ failed, hung up                 ▼ hung up, time is up
//!   Over                       Closing ◄──────────────────────────────────────────────────┘
//!                                 │ every port has told its counters
//!                                 ▼
//!                               Over (records are out)
//! ```

mod arrival;
mod attempt;
mod credit;
mod leg;
mod leg_port;
mod log;
mod outcome;
mod parties;
mod taken_up;

pub(crate) use arrival::{Arrival, Entrance, refuse_stranger, refuse_unidentified, turn_stranger_away};
pub(crate) use parties::explain;
pub(crate) use taken_up::take_up;

use crate::capacity::{AccountSlot, TrunkSlot};
use crate::command::{Answer, Output, Question, QuestionId, Reply, ReplyId, Resolved};
use crate::config::MAX_FORWARDS;
use crate::ports::PortsExhausted;
use crate::resources::{LegKey, Resources};
use crate::route::{self, Urgency};
use crate::rules::Rule;
use arrival::NotTaken;
use attempt::Attempt;
use credit::{RESERVED_SPAN, Tab};
use leg::{Hold, Leg, LegEnding, WaitingCaller};
use leg_port::{LegPort, leg_media};
use log::{CallLog, total};
use outcome::Outcome;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tandem_media::engine::{self, Sink, Source};
use tandem_media::tone::ToneSpec;
use tandem_model::{
    CallDirection, CallId, CallRecord, Connect, DialOrder, DialTarget, EventKind, HangupCause, HungUpBy, LegId,
    LiveCall, Now, Reason, Refusal, RefusalKind,
};
use tandem_sip::endpoint::{self, Event, SessionId};
use tandem_sip::message::{Body, StatusCode};
use tandem_sip::session::{ReasonHeader, ReasonProtocol};

/// A call, from the order to the last record.
#[derive(Debug)]
pub(crate) struct Call {
    id: CallId,
    log: CallLog,
    order: Box<DialOrder>,
    phase: Phase,
    /// In the order in which they were tried; those that ended stay for the record.
    legs: Vec<Leg>,
    account_slot: Option<AccountSlot>,
    tab: Tab,
    answered_since: Option<Instant>,
    /// Of the INVITEs that go out for it.
    max_forwards: u8,
}

/// Where a call is. Each phase owns what exists in it.
#[derive(Debug)]
enum Phase {
    /// Whether it may begin is being decided elsewhere.
    Deciding { question: QuestionId, asker: Asker },
    /// Somebody is being called.
    Hunting(Hunt),
    /// Who was to hear each other does.
    Connected { end_at: Instant },
    /// Over for everybody; ports still tell what they counted.
    Closing { give_up_at: Instant },
    /// Nothing is left to do. `began` is false for a call that was refused.
    Over { began: bool },
}

/// Who wants the call.
#[derive(Debug)]
enum Asker {
    /// Somebody ordered it and waits for this reply.
    Api(ReplyId),
    /// Somebody calls; the rule of that name takes the call.
    Caller { arrival: Box<Arrival>, entrance: Box<Entrance>, rule: String },
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
    pub(crate) fn ordered(order: Box<DialOrder>, reply: ReplyId, resources: &mut Resources, now: Now) -> Self {
        Self::new(order, Asker::Api(reply), resources, now)
    }

    fn new(order: Box<DialOrder>, asker: Asker, resources: &mut Resources, now: Now) -> Self {
        let id = order.call_id.unwrap_or_else(|| CallId::new(now.utc, resources.random_bytes()));
        let question = resources.next_question();
        resources.push(Output::Ask(Question { id: question, call_id: id, account_id: order.account_id }));
        let mut receipt = parties::new_receipt(&order, resources, now);
        let direction = match &asker {
            Asker::Api(_) => CallDirection::Outbound,
            Asker::Caller { arrival, entrance, rule } => {
                receipt.inbound = Some(arrival.receipt(Some(entrance), &entrance.steps, Some(rule.clone())));
                // They may give up before there is a leg.
                resources.sessions.insert(arrival.session, LegKey { call: id, leg: CALLER });
                CallDirection::Inbound
            }
        };
        let log = CallLog::new(id, direction, &order, receipt, now);
        let phase = Phase::Deciding { question, asker };
        Self {
            id,
            log,
            order,
            phase,
            legs: Vec::new(),
            account_slot: None,
            tab: Tab::default(),
            answered_since: None,
            max_forwards: MAX_FORWARDS,
        }
    }

    /// Takes a call that comes in by a trunk, and asks whether it may begin. `None` when the trunk's rules have no place for it; the
    /// peer is told so.
    pub(crate) fn arriving(arrival: Arrival, entrance: Entrance, resources: &mut Resources, now: Now) -> Option<Self> {
        let (order, rule) = match arrival.order(&entrance, &resources.table, now) {
            Ok(taken) => taken,
            Err(not_taken) => {
                arrival::refuse(&arrival, &entrance, None, &not_taken, resources, now);
                return None;
            }
        };
        let max_forwards = arrival.max_forwards.saturating_sub(1);
        let (arrival, entrance) = (Box::new(arrival), Box::new(entrance));
        let call = Self::new(Box::new(order), Asker::Caller { arrival, entrance, rule }, resources, now);
        Some(Self { max_forwards, ..call })
    }

    pub(crate) const fn id(&self) -> CallId {
        self.id
    }

    pub(crate) const fn record(&self) -> &CallRecord {
        self.log.record()
    }

    pub(crate) fn snapshot(&self) -> LiveCall {
        let legs = self.legs.iter().map(|leg| leg.record.clone()).collect();
        LiveCall { record: self.log.snapshot(), legs, events: self.log.events().to_vec() }
    }

    pub(crate) fn into_snapshot(self) -> LiveCall {
        let legs = self.legs.into_iter().map(|leg| leg.record).collect();
        let (record, events) = self.log.into_parts();
        LiveCall { record, legs, events }
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
        self.legs.iter().filter_map(Leg::deadline).chain(of_phase).chain(self.tab.extend_at).min()
    }

    // Deciding.

    pub(crate) fn handle_answer(&mut self, answer: Answer, resources: &mut Resources, now: Now) {
        match std::mem::replace(&mut self.phase, Phase::Over { began: false }) {
            Phase::Deciding { asker: Asker::Api(reply), .. } => self.begin_ordered(answer, reply, resources, now),
            Phase::Deciding { asker: Asker::Caller { arrival, entrance, rule }, .. } => {
                self.begin_arrived(answer, arrival, *entrance, rule, resources, now);
            }
            phase @ (Phase::Hunting(_) | Phase::Connected { .. } | Phase::Closing { .. } | Phase::Over { .. }) => {
                self.phase = phase;
            }
        }
    }

    fn begin_ordered(&mut self, answer: Answer, reply: ReplyId, resources: &mut Resources, now: Now) {
        let mut receipt = parties::new_receipt(&self.order, resources, now);
        let plan = match answer {
            Answer::Admit => parties::plan_first_party(&self.order, &mut receipt, resources, now),
            Answer::Refuse(reason) => Err(parties::refusal(RefusalKind::NodeUnavailable, reason)),
        };
        self.log.routed(receipt);
        let attempts = match plan.and_then(|attempts| self.take_account_slot(resources).map(|()| attempts)) {
            Ok(attempts) => attempts,
            Err(refusal) => return self.refuse(refusal, reply, resources),
        };
        let ring_until = now.instant + self.order.ring_timeout;
        self.phase = Phase::Hunting(Hunt { party: Party::First, untried: attempts, ring_until, reply: Some(reply) });
        if let Err(reason) = self.reserve_credit(None, &[RESERVED_SPAN], resources, now) {
            return self.refuse(parties::refusal(RefusalKind::CreditExhausted, reason), reply, resources);
        }
        self.next_attempt(None, resources, now);
    }

    /// The call begins with the leg of its caller, who waits until there is somebody to talk to.
    fn begin_arrived(
        &mut self,
        answer: Answer,
        arrival: Box<Arrival>,
        entrance: Entrance,
        rule: String,
        resources: &mut Resources,
        now: Now,
    ) {
        let taken = match answer {
            Answer::Admit => self.take_caller(&arrival, &entrance, resources, now),
            Answer::Refuse(reason) => Err(NotTaken::node(reason)),
        };
        let (slot, port, description) = match taken {
            Ok(taken) => taken,
            Err(not_taken) => {
                self.release_account_slot(resources);
                self.settle_credit(None, resources);
                resources.sessions.remove(&arrival.session);
                return arrival::refuse(&arrival, &entrance, Some(rule), &not_taken, resources, now);
            }
        };
        let waiting = WaitingCaller { arrival: *arrival, description };
        let key = LegKey { call: self.id, leg: CALLER };
        let mut leg = Leg::of_caller(key, entrance.trunk, waiting, slot, port, resources, now);
        self.log.arrived(&leg.record, &rule, resources, now);
        leg.write(resources);
        self.legs.push(leg);
        self.connect_first_party(CALLER, resources, now);
        self.log.write_new_receipt(resources);
    }

    /// What the leg of a caller needs: the account's place and credit, a slot of the trunk, a port, and an answer to the offer if there
    /// is one. When it fails, the account's place and credit may be taken.
    fn take_caller(
        &mut self,
        arrival: &Arrival,
        entrance: &Entrance,
        resources: &mut Resources,
        now: Now,
    ) -> Result<(TrunkSlot, LegPort, Option<Vec<u8>>), NotTaken> {
        let full = |refusal: Refusal| NotTaken::full(refusal.kind, refusal.reason);
        self.take_account_slot(resources).map_err(full)?;
        let reserved = self.reserve_credit(Some(entrance.trunk.rate), &[RESERVED_SPAN], resources, now);
        reserved.map_err(NotTaken::unpaid)?;
        let trunk = &entrance.trunk.trunk;
        let limit = trunk.max_concurrent_calls;
        let Some(slot) = resources.capacity.reserve_trunk(trunk.id, limit) else {
            return Err(NotTaken::full(RefusalKind::NoTrunkAvailable, Reason::TrunkFull { limit }));
        };
        let key = LegKey { call: self.id, leg: CALLER };
        match LegPort::of_caller(key, arrival, &entrance.trunk, resources) {
            Ok((port, description)) => Ok((slot, port, description)),
            Err(not_taken) => {
                resources.capacity.release_trunk(slot);
                Err(not_taken)
            }
        }
    }

    /// Takes the account's place for the whole call.
    fn take_account_slot(&mut self, resources: &mut Resources) -> Result<(), Refusal> {
        let limit = parties::max_calls(&self.order, resources);
        self.account_slot = resources.capacity.reserve_account(self.order.account_id, limit);
        match self.account_slot {
            Some(_) => Ok(()),
            None => Err(parties::tier_limit(limit.unwrap_or_default())),
        }
    }

    fn release_account_slot(&mut self, resources: &mut Resources) {
        if let Some(slot) = self.account_slot.take() {
            resources.capacity.release_account(slot);
        }
    }

    fn refuse(&mut self, refusal: Refusal, reply: ReplyId, resources: &mut Resources) {
        self.release_account_slot(resources);
        self.settle_credit(None, resources);
        resources.traffic.order_refused(refusal.kind.code());
        if let Some(receipt) = self.log.refused(refusal) {
            resources.push(Output::Reply(reply, Reply::Dialled(Err(Box::new(receipt)))));
        }
        self.phase = Phase::Over { began: false };
    }

    // Hunting.

    /// Starts the next attempt that can be started. Without one the hunt has failed: with the outcome of the last attempt that
    /// was made, else with what stood against the last that could not be.
    fn next_attempt(&mut self, mut failure: Option<Outcome>, resources: &mut Resources, now: Now) {
        let mut obstacle = Outcome::node_full();
        loop {
            let Phase::Hunting(hunt) = &mut self.phase else { return };
            let Some(attempt) = hunt.untried.pop_front() else { break };
            let index = match self.start_attempt(attempt, resources, now) {
                Ok(index) => index,
                Err(outcome) => {
                    obstacle = outcome;
                    continue;
                }
            };
            let sent = self.reach_next_hop(index, resources, now);
            self.write_attempt(index, resources, now);
            self.confirm_begun(resources);
            match sent {
                Ok(()) => return,
                Err(outcome) => {
                    self.close_attempt(index, &outcome, resources, now);
                    failure = Some(outcome);
                }
            }
        }
        let failure = failure.unwrap_or(obstacle);
        self.hunt_failed(&failure, resources, now);
    }

    /// Writes the attempt with its call: with all of it if its INVITE went out.
    fn write_attempt(&mut self, index: usize, resources: &mut Resources, now: Now) {
        let Some(leg) = self.legs.get_mut(index) else { return };
        self.log.attempt_under_way(index, &leg.record, resources, now);
        leg.write(resources);
    }

    /// Tells who ordered the call that it has begun.
    fn confirm_begun(&mut self, resources: &mut Resources) {
        let Phase::Hunting(hunt) = &mut self.phase else { return };
        if let Some(reply) = hunt.reply.take() {
            let record = Box::new(self.log.snapshot());
            resources.push(Output::Reply(reply, Reply::Dialled(Ok(record))));
        }
    }

    /// Takes what an attempt needs, and returns the place of its leg. Without a slot or a port there is no attempt; where a name
    /// must be looked up first, the port is taken once it is known of which family it has to be.
    fn start_attempt(&mut self, mut attempt: Attempt, resources: &mut Resources, now: Now) -> Result<usize, Outcome> {
        let slot = self.take_trunk_slot(&attempt, resources, now)?;
        self.prefer_codec_of_first_party(&mut attempt);
        attempt.max_forwards = self.max_forwards;
        let index = self.legs.len();
        let key = LegKey { call: self.id, leg: index };
        let Ok(port) = take_port(key, &attempt, resources) else {
            if let Some(slot) = slot {
                resources.capacity.release_trunk(slot);
            }
            return Err(Outcome::node_full());
        };
        if let Some(entry) = &attempt.trunk {
            resources.capacity.note_invite(entry.trunk.id, entry.trunk.max_cps(), now.instant);
        }
        self.log.attempt_started(index, &attempt, now);
        let leg = Leg::to_callee(key, self.order.account_id, attempt, slot, port, resources, now);
        self.legs.push(leg);
        Ok(index)
    }

    /// The trunk was free when the call was routed; since then others have been called, and time has passed.
    fn take_trunk_slot(
        &mut self,
        attempt: &Attempt,
        resources: &mut Resources,
        now: Now,
    ) -> Result<Option<TrunkSlot>, Outcome> {
        let Some(entry) = &attempt.trunk else { return Ok(None) };
        let (id, limit) = (entry.trunk.id, entry.trunk.max_concurrent_calls);
        let against = match route::reason_at_this_moment(entry, &resources.capacity, attempt.urgency, now) {
            Some(reason) => reason,
            None => match resources.capacity.reserve_outbound(
                id,
                if attempt.urgency == Urgency::Emergency { u32::MAX } else { limit },
                now.instant,
            ) {
                Some(slot) => return Ok(Some(slot)),
                None => Reason::TrunkFull { limit },
            },
        };
        self.log.passed_over(id, &against);
        Err(Outcome::local(against, HangupCause::NoCircuitAvailable))
    }

    /// With the codec that the first party speaks in front, so that nothing has to be transcoded.
    fn prefer_codec_of_first_party(&self, attempt: &mut Attempt) {
        let Phase::Hunting(Hunt { party: Party::Second { first, .. }, .. }) = &self.phase else { return };
        let agreed = self.legs.get(*first).and_then(|leg| leg.record.codec);
        if let Some(place) = attempt.codecs.iter().position(|codec| Some(*codec) == agreed) {
            attempt.codecs.get_mut(..=place).into_iter().for_each(|front| front.rotate_right(1));
        }
    }

    fn reach_next_hop(&mut self, index: usize, resources: &mut Resources, now: Now) -> Result<(), Outcome> {
        let Some(leg) = self.legs.get_mut(index) else { return Ok(()) };
        leg.reach_next_hop(resources, now)?;
        self.log.target_known(index, &leg.record);
        Ok(())
    }

    pub(crate) fn handle_resolved(&mut self, index: usize, resolved: &Resolved, resources: &mut Resources, now: Now) {
        let Some(leg) = self.legs.get_mut(index) else { return };
        match leg.handle_resolved(resolved, resources, now) {
            Ok(()) => {
                self.log.target_known(index, &leg.record);
                self.log.write(resources);
                leg.write(resources);
            }
            Err(outcome) => self.attempt_failed(index, outcome, resources, now),
        }
    }

    /// The far end wants to know who we are; the endpoint may have sent another INVITE that says so.
    pub(crate) fn handle_challenge(&mut self, leg: usize, resources: &mut Resources) {
        if let Some(leg) = self.legs.get_mut(leg) {
            leg.keep_invite(resources);
        }
    }

    pub(crate) fn handle_session_event(&mut self, leg: usize, event: Event, resources: &mut Resources, now: Now) {
        if let Phase::Deciding { asker: Asker::Caller { arrival, .. }, .. } = &self.phase {
            // Before it is decided about them a caller can but give up: no call has begun.
            resources.sessions.remove(&arrival.session);
            self.phase = Phase::Over { began: false };
            return;
        }
        match event {
            Event::Provisional { status, body, .. } => {
                self.on_provisional(leg, status, body.as_deref(), resources, now);
            }
            Event::Answered { answer, .. } => self.on_answered(leg, &answer, resources, now),
            Event::Failed { failure, .. } => {
                let outcome = Outcome::of_failure(failure, self.legs.get(leg).and_then(Leg::trunk).map(Arc::as_ref));
                self.attempt_failed(leg, outcome, resources, now);
            }
            Event::Reinvite { session, body } => self.on_reinvite(leg, session, body.as_deref(), resources, now),
            Event::Acknowledged { body, .. } => self.on_acknowledged(leg, body.as_deref(), resources, now),
            Event::Bye { reason, .. } => {
                // Before the answer it can but mean that its sender gives up, whatever it says.
                let is_up = self.legs.get(leg).is_some_and(|leg| leg.answered_since().is_some());
                let told = reason.filter(|_| is_up).and_then(|reason| cause_of(&reason));
                self.far_end_left(leg, told.unwrap_or(HangupCause::NormalClearing), resources, now);
            }
            Event::Canceled { .. } => self.far_end_left(leg, HangupCause::Canceled, resources, now),
            // The endpoint gave the dialog up: nobody is there to be told, or is being told already.
            Event::Ended { .. } => self.leg_lost(leg, UNREACHABLE, false, resources, now),
            Event::Unacknowledged { .. } => self.leg_lost(leg, UNREACHABLE, true, resources, now),
            // A session has its call from its INVITE on, and we send no re-INVITE.
            Event::Invite { .. }
            | Event::ReinviteCanceled { .. }
            | Event::ReinviteAnswered { .. }
            | Event::ReinviteFailed { .. }
            | Event::AnsweredLate { .. }
            | Event::Request { .. }
            | Event::Response { .. } => {}
        }
    }

    fn on_provisional(
        &mut self,
        index: usize,
        status: StatusCode,
        body: Option<&[u8]>,
        resources: &mut Resources,
        now: Now,
    ) {
        let Some(leg) = self.legs.get_mut(index) else { return };
        let leg_id = leg.record.id;
        let Some(progress) = leg.handle_provisional(status, body, resources, now) else { return };
        if let Some(trunk) = leg.record.trunk_id {
            resources.note_attempt(trunk, None, true, now);
        }
        if progress.begins_to_ring {
            self.event(EventKind::LegRinging, Some(leg_id), json!({"sip_status": status.as_u16()}), resources, now);
        }
        if progress.begins_early_media {
            self.event(EventKind::LegEarlyMedia, Some(leg_id), json!({}), resources, now);
        }
        self.log.ringing(resources);
        self.let_first_party_hear_progress(index, progress.has_early_media, resources, now);
    }

    /// The first party hears the second one's early media, else ringback: ours, or if it waits for our answer its own telephone's.
    fn let_first_party_hear_progress(
        &mut self,
        second: usize,
        has_early_media: bool,
        resources: &mut Resources,
        now: Now,
    ) {
        let Phase::Hunting(Hunt { party: Party::Second { first, .. }, .. }) = &self.phase else { return };
        let first = *first;
        let Some(caller) = self.legs.get_mut(first) else { return };
        if caller.is_waiting() {
            if caller.tell_ringing(has_early_media, resources, now) {
                resources.record_leg(&caller.record);
            }
            if has_early_media {
                self.join(first, second, resources);
            }
        } else if has_early_media {
            self.join(first, second, resources);
        } else if let Some(port) = &caller.port {
            port.set_source(Source::Tone(ToneSpec::ringback()), resources);
        }
    }

    /// Lets two legs hear each other.
    fn join(&self, one: usize, other: usize, resources: &mut Resources) {
        let port_of = |leg: usize| self.legs.get(leg).and_then(|leg| leg.port.as_ref());
        let (Some(one), Some(other)) = (port_of(one), port_of(other)) else { return };
        one.set_source(Source::None, resources);
        let mut to = other.local.id;
        if !resources.rules.hold(Rule::RelaysToTheOtherLeg) {
            to.0 ^= 1;
        }
        one.set_sink(Sink::Relay { to }, resources);
        other.set_sink(Sink::Relay { to: one.local.id }, resources);
    }

    /// Whoever the first party heard is gone; while the next one is called it hears what it heard before.
    fn part_from_first_party(&self, resources: &mut Resources) {
        let Phase::Hunting(Hunt { party: Party::Second { first, .. }, .. }) = &self.phase else { return };
        let is_waiting = self.legs.get(*first).is_some_and(Leg::is_waiting);
        self.with_port(*first, |port| {
            port.set_sink(Sink::Discard, resources);
            port.set_source(if is_waiting { Source::None } else { Source::Silence }, resources);
        });
    }

    fn on_answered(&mut self, index: usize, answer: &endpoint::Answer, resources: &mut Resources, now: Now) {
        let Some(leg) = self.legs.get_mut(index) else { return };
        match leg.handle_answer(answer, resources, now) {
            Some(Ok(())) => {}
            Some(Err(outcome)) => return self.attempt_failed(index, outcome, resources, now),
            None => return,
        }
        let (leg_id, codec) = (leg.record.id, leg.record.codec);
        if let Some(trunk) = leg.record.trunk_id {
            resources.note_attempt(trunk, None, true, now);
        }
        self.log.attempt_decided(index, &Outcome::answered(answer.status.as_u16()), now.utc);
        self.event(EventKind::LegAnswered, Some(leg_id), json!({"codec": codec}), resources, now);
        let Phase::Hunting(hunt) = &self.phase else { return };
        match hunt.party {
            Party::First => {
                self.answered_since = Some(now.instant);
                self.log.answered(codec, resources, now);
                self.connect_first_party(index, resources, now);
            }
            Party::Second { first, end_at } => self.bridge(first, index, end_at, resources, now),
        }
    }

    fn connect_first_party(&mut self, first: usize, resources: &mut Resources, now: Now) {
        let end_at = now.instant + self.order.max_duration;
        match self.order.connect.clone() {
            Connect::Echo => {
                self.answer_caller(first, resources, now);
                self.with_port(first, |port| port.set_sink(Sink::Echo, resources));
            }
            Connect::Play { tone } => {
                self.answer_caller(first, resources, now);
                // The edge has read it already; what is no tone stays silent.
                let source = ToneSpec::parse(&tone).map_or(Source::Silence, Source::Tone);
                self.with_port(first, |port| port.set_source(source, resources));
            }
            Connect::Test => {
                self.answer_caller(first, resources, now);
                let source = ToneSpec::new(&[TEST_TONE_HZ], &[], TEST_TONE_DBM0).map_or(Source::Silence, Source::Tone);
                self.with_port(first, |port| {
                    port.set_source(source, resources);
                    port.set_sink(Sink::Listen { hz: TEST_TONE_HZ }, resources);
                });
            }
            Connect::Sip { uri } => {
                let attempts = parties::plan_second_address(&uri, &self.order);
                return self.hunt_second_party(first, end_at, attempts, resources, now);
            }
            Connect::Number { number } => {
                return self.hunt_number(first, end_at, &DialTarget::Number(number), resources, now);
            }
            Connect::Forward => {
                let called = self.order.to.clone();
                return self.hunt_number(first, end_at, &called, resources, now);
            }
        }
        self.phase = Phase::Connected { end_at };
        self.event(EventKind::Connected, None, json!({"connect": self.order.connect}), resources, now);
        self.extend_credit(resources, now);
    }

    fn hunt_number(&mut self, first: usize, end_at: Instant, to: &DialTarget, resources: &mut Resources, now: Now) {
        let attempts = parties::plan_second_number(to, &self.order, &mut self.log, resources, now);
        self.hunt_second_party(first, end_at, attempts, resources, now);
    }

    fn hunt_second_party(
        &mut self,
        first: usize,
        end_at: Instant,
        attempts: Result<VecDeque<Attempt>, Outcome>,
        resources: &mut Resources,
        now: Now,
    ) {
        if self.legs.get(first).is_some_and(|leg| !leg.is_waiting()) {
            // Until there is something to hear: a path on which nothing goes is closed by NATs and taken for dead by carriers.
            self.with_port(first, |port| port.set_source(Source::Silence, resources));
        }
        let ring_until = now.instant + self.order.ring_timeout;
        let (untried, failure) = match attempts {
            Ok(attempts) => (attempts, None),
            Err(outcome) => (VecDeque::new(), Some(outcome)),
        };
        self.phase = Phase::Hunting(Hunt { party: Party::Second { first, end_at }, untried, ring_until, reply: None });
        let failure = failure.or_else(|| {
            let unpaid = self.reserve_credit(None, &[RESERVED_SPAN], resources, now).err()?;
            Some(Outcome::local(unpaid, HangupCause::CreditExhausted))
        });
        match failure {
            None => self.next_attempt(None, resources, now),
            Some(outcome) => self.hunt_failed(&outcome, resources, now),
        }
    }

    fn bridge(&mut self, first: usize, second: usize, end_at: Instant, resources: &mut Resources, now: Now) {
        let is_waiting = self.legs.get(first).is_some_and(Leg::is_waiting);
        // The time of a call counts from its answer.
        let end_at = if is_waiting { now.instant + self.order.max_duration } else { end_at };
        self.answer_caller(first, resources, now);
        self.join(first, second, resources);
        self.phase = Phase::Connected { end_at };
        self.event(EventKind::Connected, None, json!({"legs": [first + 1, second + 1]}), resources, now);
        self.extend_credit(resources, now);
    }

    /// Answers the caller, if that is who the first party is and it still waits.
    fn answer_caller(&mut self, first: usize, resources: &mut Resources, now: Now) {
        let Some(leg) = self.legs.get_mut(first).filter(|leg| leg.is_waiting()) else { return };
        leg.answer_caller(resources, now);
        let (leg_id, codec) = (leg.record.id, leg.record.codec);
        self.answered_since = Some(now.instant);
        self.event(EventKind::LegAnswered, Some(leg_id), json!({"codec": codec}), resources, now);
        self.log.answered(codec, resources, now);
    }

    fn with_port(&self, leg: usize, act: impl FnOnce(&LegPort)) {
        if let Some(port) = self.legs.get(leg).and_then(|leg| leg.port.as_ref()) {
            act(port);
        }
    }

    /// An attempt came to nothing: on to the next, or the hunt has failed.
    fn attempt_failed(&mut self, index: usize, outcome: Outcome, resources: &mut Resources, now: Now) {
        if self.legs.get(index).is_none_or(Leg::is_over) {
            return;
        }
        self.close_attempt(index, &outcome, resources, now);
        let may_retry = match &self.phase {
            Phase::Hunting(hunt) => outcome.may_retry && now.instant < hunt.ring_until,
            Phase::Deciding { .. } | Phase::Connected { .. } | Phase::Closing { .. } | Phase::Over { .. } => false,
        };
        if may_retry {
            self.part_from_first_party(resources);
            self.next_attempt(Some(outcome), resources, now);
        } else {
            self.hunt_failed(&outcome, resources, now);
        }
    }

    /// Ends the leg of an attempt that came to nothing, and notes what that says of its trunk.
    fn close_attempt(&mut self, index: usize, outcome: &Outcome, resources: &mut Resources, now: Now) {
        let Some(leg) = self.legs.get_mut(index) else { return };
        if let Some(entry) = leg.trunk() {
            if let Some(span) = outcome.rest {
                resources.capacity.rest_trunk(entry.trunk.id, span, now);
            }
            if let Some(refused) = outcome.credentials_refused() {
                resources.capacity.set_auth_failed(entry.trunk.id, refused);
            }
            resources.note_attempt(entry.trunk.id, outcome.call_failure(), outcome.got_through(), now);
        }
        let leg_id = leg.record.id;
        leg.end(outcome.ending(), outcome.gives_up, resources, now);
        self.log.attempt_decided(index, outcome, now.utc);
        let detail = json!({"cause": outcome.cause, "sip_status": outcome.sip_status, "reason": outcome.reason.code()});
        self.event(EventKind::LegEnded, Some(leg_id), detail, resources, now);
    }

    fn hunt_failed(&mut self, outcome: &Outcome, resources: &mut Resources, now: Now) {
        let waiting = match &mut self.phase {
            Phase::Hunting(hunt) => hunt.reply.take(),
            Phase::Deciding { .. } | Phase::Connected { .. } | Phase::Closing { .. } | Phase::Over { .. } => None,
        };
        match waiting {
            // Not even one attempt could be made: no call has begun.
            Some(reply) => {
                let is_full = outcome.reason == Reason::NodeFull;
                let kind = if is_full { RefusalKind::NodeUnavailable } else { RefusalKind::NoTrunkAvailable };
                self.refuse(parties::refusal(kind, outcome.reason.clone()), reply, resources);
            }
            None => self.end(outcome.ending(), resources, now),
        }
    }

    // Connected.

    fn on_reinvite(
        &mut self,
        index: usize,
        session: SessionId,
        body: Option<&[u8]>,
        resources: &mut Resources,
        now: Now,
    ) {
        let Some(leg) = self.legs.get_mut(index) else { return };
        let comedia = leg.comedia();
        let Some(port) = &mut leg.port else { return };
        let was_held = port.is_held();
        let Some(offer) = body else {
            let offer = port.offer_anew();
            resources.endpoint.answer_reinvite(session, Some(Body::sdp(offer)), now.instant);
            return leg.keep_dialog(resources);
        };
        match port.take_offer(offer, comedia, resources) {
            Ok(answer) => {
                resources.endpoint.answer_reinvite(session, Some(Body::sdp(answer)), now.instant);
                leg.keep_dialog(resources);
            }
            Err(_) => return resources.endpoint.reject_reinvite(session, StatusCode::NOT_ACCEPTABLE_HERE, now.instant),
        }
        self.on_agreement_changed(index, was_held, resources, now);
    }

    fn on_acknowledged(&mut self, index: usize, body: Option<&[u8]>, resources: &mut Resources, now: Now) {
        let Some(leg) = self.legs.get_mut(index) else { return };
        leg.handle_acknowledged(resources);
        let comedia = leg.comedia();
        let Some(port) = &mut leg.port else { return };
        let was_held = port.is_held();
        if !port.expects_answer_in_ack() {
            return;
        }
        let taken = body.is_some_and(|answer| port.take_answer(answer, comedia, resources).is_ok());
        let has_media = port.agreement.is_some();
        let codec = port.agreement.as_ref().map(|agreement| agreement.codec);
        if taken {
            self.on_agreement_changed(index, was_held, resources, now);
            self.log.codec_agreed(codec, resources);
        } else if !has_media {
            let ending = LegEnding { cause: HangupCause::ProtocolError, by: HungUpBy::Switch, sip_status: None };
            self.end(ending, resources, now);
        }
        // Else it changes nothing: what was agreed before goes on.
    }

    fn on_agreement_changed(&mut self, index: usize, was_held: bool, resources: &mut Resources, now: Now) {
        let Some(leg) = self.legs.get_mut(index) else { return };
        let kind = match leg.take_up_agreement(was_held, resources) {
            Some(Hold::Begun) => EventKind::Held,
            Some(Hold::Ended) => EventKind::Resumed,
            None => return,
        };
        let leg_id = leg.record.id;
        self.event(kind, Some(leg_id), json!({}), resources, now);
    }

    pub(crate) fn handle_media_event(
        &mut self,
        index: usize,
        event: engine::Event,
        resources: &mut Resources,
        now: Now,
    ) {
        let Some(leg) = self.legs.get_mut(index) else { return };
        let leg_id = leg.record.id;
        match event {
            // What a leg that is over has heard is no step of the call any more.
            engine::Event::Latched { .. } if leg.is_over() => {}
            engine::Event::Latched { source, .. } => {
                self.event(
                    EventKind::MediaLatched,
                    Some(leg_id),
                    json!({"source": source.to_string()}),
                    resources,
                    now,
                );
            }
            // A leg that is over says nothing more, and its silence is nobody's.
            engine::Event::RtpTimeout { .. } if leg.is_over() => {}
            engine::Event::RtpTimeout { .. } => {
                let ending = LegEnding { cause: HangupCause::MediaTimeout, by: HungUpBy::Switch, sip_status: None };
                self.end(ending, resources, now);
            }
            engine::Event::Heard { .. } if leg.is_over() => {}
            engine::Event::Heard { heard, .. } => {
                let detail = json!({
                    "audio_ms": heard.audio_ms, "tone_ms": heard.tone_ms, "tone_hz": TEST_TONE_HZ,
                    "level_dbm0": heard.level_dbm0,
                });
                self.event(EventKind::AudioChecked, Some(leg_id), detail, resources, now);
                // That is what the call was for.
                let ending = LegEnding { cause: HangupCause::NormalClearing, by: HungUpBy::Switch, sip_status: None };
                self.end(ending, resources, now);
            }
            engine::Event::Closed { stats, .. } => {
                let media = leg_media(&stats);
                resources.traffic.media_ended(leg.record.trunk_id, &media);
                leg.record.media = Some(media);
                leg.port = None;
                if let Some(trunk) = leg.record.trunk_id {
                    resources.health.note_audio(trunk, stats.received.packets, stats.received.lost, now);
                }
                resources.record_leg(&leg.record);
                self.finish_if_closed(resources);
            }
            // Keys are for who listens to the call; nobody does yet.
            engine::Event::FirstPacket { .. } | engine::Event::Digit { .. } | engine::Event::DigitsSent { .. } => {}
        }
    }

    fn far_end_left(&mut self, index: usize, cause: HangupCause, resources: &mut Resources, now: Now) {
        let Some(by) = self.legs.get(index).map(Leg::far_end) else { return };
        self.leg_lost(index, LegEnding { cause, by, sip_status: None }, false, resources, now);
    }

    /// A leg is over without our doing, and with it the call. If it `may_be_up` at its far end, that is being told.
    fn leg_lost(&mut self, index: usize, ending: LegEnding, may_be_up: bool, resources: &mut Resources, now: Now) {
        let Some(leg) = self.legs.get_mut(index) else { return };
        if leg.is_over() {
            return;
        }
        let leg_id = leg.record.id;
        leg.end(ending, may_be_up, resources, now);
        self.event(EventKind::LegEnded, Some(leg_id), json!({"cause": ending.cause}), resources, now);
        self.end(ending, resources, now);
    }

    // Ending.

    /// Ends the call on a request from outside: hang-up by the API, or the node stops.
    pub(crate) fn hangup(&mut self, cause: HangupCause, by: HungUpBy, resources: &mut Resources, now: Now) {
        if matches!(self.phase, Phase::Deciding { .. }) {
            return self.handle_answer(Answer::Refuse(Reason::Draining), resources, now);
        }
        let cause = if self.answered_since.is_none() && by == HungUpBy::Api { HangupCause::Canceled } else { cause };
        self.end(LegEnding { cause, by, sip_status: None }, resources, now);
    }

    pub(crate) fn handle_timeout(&mut self, resources: &mut Resources, now: Now) {
        let overdue = |(index, leg): (usize, &Leg)| Some((index, leg.overdue(now.instant)?));
        if let Some((index, outcome)) = self.legs.iter().enumerate().find_map(overdue) {
            self.attempt_failed(index, outcome, resources, now);
        }
        if self.tab.extend_at.is_some_and(|due| due <= now.instant) {
            self.extend_credit(resources, now);
        }
        match &self.phase {
            Phase::Hunting(Hunt { party: Party::Second { end_at, .. }, .. }) | Phase::Connected { end_at }
                if *end_at <= now.instant =>
            {
                let ending = LegEnding { cause: HangupCause::MaxDuration, by: HungUpBy::Switch, sip_status: None };
                self.end(ending, resources, now);
            }
            Phase::Hunting(hunt) if hunt.ring_until <= now.instant => {
                let outcome = Outcome::ring_timeout(self.order.ring_timeout);
                match self.legs.iter().position(|leg| !leg.is_over() && leg.answered_since().is_none()) {
                    Some(ringing) => self.attempt_failed(ringing, outcome, resources, now),
                    None => self.hunt_failed(&outcome, resources, now),
                }
            }
            Phase::Closing { give_up_at } if *give_up_at <= now.instant => self.finish(resources),
            Phase::Deciding { .. }
            | Phase::Hunting(_)
            | Phase::Connected { .. }
            | Phase::Closing { .. }
            | Phase::Over { .. } => {}
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
            // Another leg was left by its far end; this one is ended by us. A caller who waits hears what the callee said.
            let is_of_far_end = matches!(ending.by, HungUpBy::Callee | HungUpBy::Caller);
            let by = if is_of_far_end { HungUpBy::Switch } else { ending.by };
            let sip_status = ending.sip_status.filter(|_| leg.is_waiting());
            let is_told = resources.rules.hold(Rule::EndsEveryLeg);
            leg.end(LegEnding { by, sip_status, ..ending }, is_told, resources, now);
            if !was_answered {
                self.log.attempt_decided(index, &Outcome::canceled(ending.cause), now.utc);
            }
            self.event(EventKind::LegEnded, Some(leg_id), json!({"cause": ending.cause}), resources, now);
        }
        self.release_account_slot(resources);
        let connected = self.answered_since.map(|since| now.instant.saturating_duration_since(since));
        let cost = total(self.legs.iter().map(|leg| leg.record.cost));
        self.settle_credit(cost, resources);
        self.log.ended(ending, connected, cost, resources, now);
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
        self.log.write(resources);
    }

    fn event(&mut self, kind: EventKind, leg: Option<LegId>, detail: Value, resources: &mut Resources, now: Now) {
        self.log.event(kind, leg, detail, resources, now);
    }
}

/// The port of an attempt whose address needs no looking up. Without a way to it there is none either: the attempt will fail.
/// What a peer's Reason says, if it says so by Q.850. Codes of SIP are for those who compare branches of a fork.
fn cause_of(reason: &ReasonHeader) -> Option<HangupCause> {
    reason.cause.filter(|_| reason.protocol == ReasonProtocol::Q850).and_then(HangupCause::from_q850)
}

fn take_port(leg: LegKey, attempt: &Attempt, resources: &mut Resources) -> Result<Option<LegPort>, PortsExhausted> {
    let Some(address) = attempt.next_hop.host.ip() else {
        // It will need one, of whichever family.
        return if resources.config.ports.is_exhausted() { Err(PortsExhausted) } else { Ok(None) };
    };
    let path = resources.config.path_to(attempt.next_hop.transport, address);
    path.map(|path| LegPort::take(leg, path, &attempt.codecs, resources)).transpose()
}

/// What a call that tests a trunk plays: the test tone of telephone networks (ITU-T O.6), which no signalling
/// tone is.
const TEST_TONE_HZ: u16 = 1_020;
const TEST_TONE_DBM0: i8 = -10;

/// How a leg ends whose far end is not heard from any more.
const UNREACHABLE: LegEnding =
    LegEnding { cause: HangupCause::NetworkOutOfOrder, by: HungUpBy::Switch, sip_status: None };

/// The place of the leg of who called us: the first.
const CALLER: usize = 0;

/// How long the media thread may take to tell a port's counters. Past it the record goes out without them.
const PORT_CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
