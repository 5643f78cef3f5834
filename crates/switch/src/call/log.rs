use super::attempt::Attempt;
use super::leg::LegEnding;
use super::outcome::Outcome;
use crate::resources::Resources;
use crate::route;
use crate::rules::Rule;
use serde_json::{Value, json};
use std::time::Duration;
use tandem_model::{
    AttemptReceipt, CallDirection, CallEvent, CallId, CallRecord, CallStatus, CarriedBy, Codec, Considered, DialOrder,
    DialTarget, EventKind, HangupCause, JsonText, LegId, LegRecord, MAX_CALL_COST, Money, Now, Reason, Receipt, Record,
    Refusal, Timestamp, TrunkId, Verdict,
};

/// What is kept of a call: its record with the receipt, and its timeline. Whatever changes is written as it changes.
#[derive(Debug)]
pub(super) struct CallLog {
    /// Its receipt is the text of `receipt`, as of when it was written last.
    record: CallRecord,
    /// `None` when what is written of it is final: that of an earlier process.
    receipt: Option<Receipt>,
    /// Whether the receipt is not what the record has.
    receipt_has_changed: bool,
    events: Vec<CallEvent>,
    /// How many of the call's events an earlier process has recorded.
    earlier_events: u32,
    /// The leg that the record describes: the first one over a trunk; until there is one, the first.
    described: Option<usize>,
}

impl CallLog {
    pub(super) fn new(id: CallId, direction: CallDirection, order: &DialOrder, receipt: Receipt, now: Now) -> Self {
        let record = CallRecord {
            id,
            account_id: order.account_id,
            call_id: id.to_string(),
            trunk_id: None,
            direction,
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
        let receipt = Some(receipt);
        Self { record, receipt, receipt_has_changed: true, events: Vec::new(), earlier_events: 0, described: None }
    }

    /// Goes on with what an earlier process has recorded.
    pub(super) fn taken_up(record: CallRecord, earlier_events: u32) -> Self {
        // One that cannot be read stays as it is.
        let receipt = record.receipt.as_ref().and_then(|receipt| receipt.read().ok());
        Self { record, receipt, receipt_has_changed: false, events: Vec::new(), earlier_events, described: None }
    }

    pub(super) const fn record(&self) -> &CallRecord {
        &self.record
    }

    /// The record as it would be written now.
    pub(super) fn snapshot(&self) -> CallRecord {
        let mut record = self.record.clone();
        if self.receipt_has_changed {
            record.receipt = self.receipt.as_ref().map(JsonText::new).or(record.receipt);
        }
        record
    }

    pub(super) fn events(&self) -> &[CallEvent] {
        &self.events
    }

    pub(super) fn into_parts(mut self) -> (CallRecord, Vec<CallEvent>) {
        self.write_receipt();
        (self.record, self.events)
    }

    // The receipt.

    /// Routing has decided.
    pub(super) fn routed(&mut self, receipt: Receipt) {
        self.receipt = Some(receipt);
        self.receipt_has_changed = true;
    }

    /// Routing has decided once more, for another party: its verdicts follow those for the first.
    pub(super) fn routed_again(&mut self, considered: Vec<Considered>) {
        self.receipt_has_changed = true;
        if let Some(receipt) = &mut self.receipt {
            let room = route::MAX_CONSIDERED.saturating_sub(receipt.considered.len());
            receipt.considered.extend(considered.into_iter().take(room));
        }
    }

    /// A trunk that was to be tried could not be when its turn came.
    pub(super) fn passed_over(&mut self, trunk: TrunkId, reason: &Reason) {
        self.receipt_has_changed = true;
        let considered = self.receipt.iter_mut().flat_map(|receipt| &mut receipt.considered);
        // The last of its verdicts is that for the party who is being called.
        if let Some(verdict) = considered.rev().find(|verdict| verdict.trunk_id == trunk) {
            verdict.verdict = Verdict::Skipped;
            verdict.reason = reason.clone();
        }
    }

    /// There is no call: its receipt with the reason.
    pub(super) fn refused(&mut self, refusal: Refusal) -> Option<Receipt> {
        let mut receipt = self.receipt.take()?;
        receipt.refusal = Some(refusal);
        Some(receipt)
    }

    pub(super) fn attempt_decided(&mut self, leg: usize, outcome: &Outcome, at: Timestamp) {
        if let Some(attempt) = self.attempt(leg) {
            attempt.decided_at = Some(at);
            attempt.outcome = Some(outcome.reason.clone());
            attempt.sip_status = outcome.sip_status;
            attempt.cause = outcome.failed.then_some(outcome.cause);
        }
    }

    /// What the receipt may lack of a leg that an earlier process began: not all that happens to a leg has the call written.
    pub(super) fn attempt_taken_up(&mut self, leg: &LegRecord, ended_at: Timestamp) {
        let index = usize::try_from(leg.number).unwrap_or(usize::MAX).saturating_sub(1);
        if self.attempt(index).is_none_or(|attempt| attempt.outcome.is_some()) {
            return;
        }
        match leg.answered_at.zip(leg.sip_status) {
            Some((answered_at, status)) => self.attempt_decided(index, &Outcome::answered(status), answered_at),
            None => self.attempt_decided(index, &Outcome::canceled(HangupCause::NodeRestarted), ended_at),
        }
    }

    /// The receipt's entry of a leg: attempts and legs grow together, but for that of who called us, which was no attempt.
    fn attempt(&mut self, leg: usize) -> Option<&mut AttemptReceipt> {
        let place = leg.checked_sub(usize::from(self.record.direction == CallDirection::Inbound))?;
        let attempt = self.receipt.as_mut()?.attempts.get_mut(place);
        self.receipt_has_changed |= attempt.is_some();
        attempt
    }

    // The life of the call.

    /// Somebody calls us, and the rule of this name takes the call. Whom it is put through to is about to be decided: the receipt
    /// [follows](Self::write_new_receipt).
    pub(super) fn arrived(&mut self, leg: &LegRecord, rule: &str, resources: &mut Resources, now: Now) {
        self.described = Some(0);
        self.record.trunk_id = leg.trunk_id;
        self.target_known(0, leg);
        resources.record(Record::Call(Box::new(self.record.clone())));
        let detail = json!({"to": self.record.to_number, "from": self.record.from_number});
        self.event(EventKind::Initiated, None, detail, resources, now);
        let inbound = self.receipt.as_ref().and_then(|receipt| receipt.inbound.as_ref());
        let trunk = inbound.and_then(|inbound| inbound.trunk_name.clone());
        self.event(EventKind::Routed, None, json!({"trunk": trunk, "rule": rule}), resources, now);
        let detail = json!({"request_uri": leg.request_uri, "trunk_id": leg.trunk_id});
        self.event(EventKind::LegStarted, Some(leg.id), detail, resources, now);
    }

    /// Somebody is about to be called.
    pub(super) fn attempt_started(&mut self, index: usize, attempt: &Attempt, now: Now) {
        if index == 0 {
            self.record.from_number.clone_from(&attempt.caller_id);
            self.describe(index, attempt);
        }
        if self.record.trunk_id.is_none() && attempt.trunk.is_some() {
            self.describe(index, attempt);
        }
        self.receipt_has_changed = true;
        if let Some(receipt) = &mut self.receipt {
            receipt.attempts.push(AttemptReceipt {
                trunk_id: attempt.trunk.as_ref().map(|entry| entry.trunk.id),
                trunk_name: attempt.trunk.as_ref().map(|entry| entry.trunk.name.clone()),
                request_uri: attempt.request_uri.to_string(),
                target: None,
                started_at: now.utc,
                decided_at: None,
                outcome: None,
                sip_status: None,
                cause: None,
            });
        }
    }

    /// The attempt is under way. The call is recorded before anything that refers to it.
    pub(super) fn attempt_under_way(&mut self, index: usize, leg: &LegRecord, resources: &mut Resources, now: Now) {
        self.write(resources);
        if index == 0 {
            let detail = json!({"to": self.record.to_number, "from": self.record.from_number});
            self.event(EventKind::Initiated, None, detail, resources, now);
            let trunk = self.attempt(index).and_then(|attempt| attempt.trunk_name.clone());
            self.event(EventKind::Routed, None, json!({"trunk": trunk}), resources, now);
        }
        let detail = json!({"request_uri": leg.request_uri, "trunk_id": leg.trunk_id});
        self.event(EventKind::LegStarted, Some(leg.id), detail, resources, now);
    }

    fn describe(&mut self, index: usize, attempt: &Attempt) {
        self.described = Some(index);
        self.record.trunk_id = attempt.trunk.as_ref().map(|entry| entry.trunk.id);
        self.record.sip_call_id = None;
        self.record.remote_ip = None;
    }

    /// Where a leg's INVITE went, once it has gone.
    pub(super) fn target_known(&mut self, index: usize, leg: &LegRecord) {
        let Some(target) = leg.remote_address else { return };
        if self.described == Some(index) {
            self.record.sip_call_id = Some(leg.sip_call_id.clone());
            self.record.remote_ip = Some(target.ip().to_string());
        }
        if let Some(attempt) = self.attempt(index) {
            attempt.target = Some(target.to_string());
        }
    }

    /// Somebody's telephone rings; nothing new if another's rang before.
    pub(super) fn ringing(&mut self, resources: &mut Resources) {
        if self.record.status == CallStatus::Initiated {
            self.record.status = CallStatus::Ringing;
            self.write(resources);
        }
    }

    /// The first party has answered.
    pub(super) fn answered(&mut self, codec: Option<Codec>, resources: &mut Resources, now: Now) {
        self.record.answered_at = Some(now.utc);
        self.record.status = CallStatus::Answered;
        self.record.codec_used = codec.map(|codec| codec.to_string());
        self.write(resources);
    }

    /// What the first party speaks, when that was not known at its answer: a caller without an offer says it in the ACK.
    pub(super) fn codec_agreed(&mut self, codec: Option<Codec>, resources: &mut Resources) {
        if let (None, Some(codec)) = (&self.record.codec_used, codec) {
            self.record.codec_used = Some(codec.to_string());
            self.write(resources);
        }
    }

    /// The call is over after `connected`, `None` when it was never answered. Its final record goes out with [`write`](Self::write).
    pub(super) fn ended(
        &mut self,
        ending: LegEnding,
        connected: Option<Duration>,
        cost: Option<Money>,
        resources: &mut Resources,
        now: Now,
    ) {
        let status = self.record.status;
        self.set_end(ending, connected, cost, resources, now.utc);
        resources.traffic.call_ended(self.record.direction, self.record.status);
        // Ports have yet to tell their counters. Should the process die meanwhile, the next one finds how the call ended, and by its
        // status that it is not closed.
        let record = CallRecord { status, ..self.state() };
        resources.record(Record::Call(Box::new(record)));
        self.tell_end(ending, resources, now);
    }

    pub(super) fn set_end(
        &mut self,
        ending: LegEnding,
        connected: Option<Duration>,
        cost: Option<Money>,
        resources: &Resources,
        at: Timestamp,
    ) {
        let record = &mut self.record;
        record.ended_at = Some(at);
        record.duration_ms = Some(u64::try_from(connected.unwrap_or_default().as_millis()).unwrap_or(u64::MAX));
        record.hangup_cause = Some(ending.cause.to_string());
        record.sip_status = ending.sip_status;
        record.hung_up_by = Some(ending.by);
        record.cost = cost;
        record.credits_used = cost.map(|cost| cost.in_credits(resources.config.credit_value));
        self.set_final_status();
    }

    /// By what the record says of its end.
    pub(super) fn set_final_status(&mut self) {
        let cause = self.record.hangup_cause.as_deref().and_then(|cause| cause.parse().ok());
        self.record.status = match self.record.answered_at {
            Some(_) => CallStatus::Completed,
            None => cause.map_or(CallStatus::Failed, unanswered_status),
        };
    }

    pub(super) fn tell_end(&mut self, ending: LegEnding, resources: &mut Resources, now: Now) {
        let detail = json!({"cause": ending.cause, "by": ending.by, "status": self.record.status});
        self.event(EventKind::Ended, None, detail, resources, now);
    }

    /// Writes the call as it is. What is final is to be written after that of its legs.
    pub(super) fn write(&mut self, resources: &mut Resources) {
        let record = self.state();
        resources.record(Record::Call(Box::new(record)));
    }

    /// Writes the call if its receipt was not written as it is.
    pub(super) fn write_new_receipt(&mut self, resources: &mut Resources) {
        if self.receipt_has_changed {
            self.write(resources);
        }
    }

    /// The record to be written: with the receipt only if that has changed since it was written last.
    fn state(&mut self) -> CallRecord {
        let has_changed = self.receipt_has_changed;
        self.write_receipt();
        let state = self.record.clone();
        if has_changed { state } else { CallRecord { receipt: None, ..state } }
    }

    /// Puts the receipt into the record, if it has changed.
    fn write_receipt(&mut self) {
        if std::mem::take(&mut self.receipt_has_changed)
            && let Some(receipt) = &self.receipt
        {
            self.record.receipt = Some(JsonText::new(receipt));
        }
    }

    /// Adds a step to the timeline; past [`MAX_EVENTS`] only the end is still told.
    #[expect(clippy::needless_pass_by_value, reason = "callers make it on the spot")]
    pub(super) fn event(
        &mut self,
        kind: EventKind,
        leg_id: Option<LegId>,
        detail: Value,
        resources: &mut Resources,
        now: Now,
    ) {
        let events = u32::try_from(self.events.len()).unwrap_or(u32::MAX).saturating_add(self.earlier_events);
        if events >= MAX_EVENTS && kind != EventKind::Ended {
            return;
        }
        let event = CallEvent {
            call_id: self.record.id,
            account_id: self.record.account_id,
            number: events
                .saturating_add(u32::from(kind != EventKind::LegEnded || resources.rules.hold(Rule::NumbersEvents))),
            leg_id,
            at: now.utc,
            kind,
            detail: JsonText::from_stored(detail.to_string()),
        };
        resources.record(Record::Event(event.clone()));
        self.events.push(event);
    }
}

/// What legs cost together, at most what a call may cost; `None` when that of one is not known.
pub(super) fn total(mut costs: impl Iterator<Item = Option<Money>>) -> Option<Money> {
    costs.try_fold(Money::ZERO, |sum, cost| {
        cost.map(|cost| sum.checked_add(cost).unwrap_or(MAX_CALL_COST).as_call_cost())
    })
}

fn unanswered_status(cause: HangupCause) -> CallStatus {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "only these have a status of their own; every other is a failure"
    )]
    match cause {
        HangupCause::UserBusy => CallStatus::Busy,
        HangupCause::NoAnswer | HangupCause::NoUserResponding => CallStatus::NoAnswer,
        HangupCause::Canceled => CallStatus::Canceled,
        _ => CallStatus::Failed,
    }
}

/// Events kept for one call: a peer that holds and resumes for hours must not fill the memory.
const MAX_EVENTS: u32 = 256;
