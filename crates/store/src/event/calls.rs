//! Which events the records of the call path are worth.

use super::draft::Draft;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::collections::{HashMap, HashSet};
use tandem_model::{
    AccountId, CallDirection, CallId, CallRecord, CallStatus, CarriedBy, EventType, HangupCause, HungUpBy, Money,
    Record, RefusalId, RefusedInvite, Timestamp, TrunkId,
};
use uuid::Uuid;

/// The states of a call that were told, as bits: each is told once, however often it is written, and in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told(i64);

/// What is told of a call, in its order.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Milestone {
    Initiated,
    Ringing,
    Answered,
    Over,
}

impl Milestone {
    const ALL: [Self; 4] = [Self::Initiated, Self::Ringing, Self::Answered, Self::Over];

    /// As it is stored: never changed.
    const fn bit(self) -> i64 {
        match self {
            Self::Initiated => 1,
            Self::Ringing => 2,
            Self::Answered => 4,
            Self::Over => 8,
        }
    }

    const fn event(self) -> EventType {
        match self {
            Self::Initiated => EventType::CallInitiated,
            Self::Ringing => EventType::CallRinging,
            Self::Answered => EventType::CallAnswered,
            Self::Over => EventType::CallCompleted,
        }
    }

    /// When a call reached it, by one of its states; `None` when it has not.
    fn reached(self, call: &CallRecord, ringing_at: Timestamp) -> Option<Timestamp> {
        match (self, call.status) {
            (Self::Initiated, _) => Some(call.started_at),
            (Self::Ringing, status) => (status == CallStatus::Ringing).then_some(ringing_at),
            (Self::Answered, CallStatus::Answered | CallStatus::Completed) => {
                Some(call.answered_at.unwrap_or(call.started_at))
            }
            (Self::Answered, _) => call.answered_at,
            (Self::Over, status) => status.is_final().then(|| call.ended_at.unwrap_or(call.started_at)),
        }
    }
}

impl Told {
    pub(crate) const fn from_stored(bits: i64) -> Self {
        Self(bits)
    }

    pub(crate) const fn stored(self) -> i64 {
        self.0
    }

    /// Adds the events of a state of a call that were not told yet.
    fn tell(
        &mut self,
        call: &CallRecord,
        ringing_at: Timestamp,
        drafts: &mut Vec<Draft>,
    ) -> Result<(), getrandom::Error> {
        for milestone in Milestone::ALL {
            // What comes late is not told: a call does not ring again once it is answered.
            if self.0 >= milestone.bit() {
                continue;
            }
            let Some(at) = milestone.reached(call, ringing_at) else { continue };
            self.0 |= milestone.bit();
            let subject = format!("calls/{}", call.id);
            let data = CallData::new(call, milestone);
            drafts.push(Draft::new(call.account_id, milestone.event(), subject, at, &data)?);
        }
        Ok(())
    }
}

/// The events of one state of a call that a client wrote.
pub(crate) fn of_call(call: &CallRecord, told: Told, at: Timestamp) -> Result<(Vec<Draft>, Told), getrandom::Error> {
    let (mut drafts, mut told) = (Vec::new(), told);
    told.tell(call, at, &mut drafts)?;
    Ok((drafts, told))
}

/// What is to be written of a batch's [`News`].
pub(crate) struct Tellings {
    /// The events, in their order.
    pub(crate) drafts: Vec<Draft>,
    /// What was told of calls, where that has changed.
    pub(crate) changed: Vec<(CallId, Told)>,
    /// Accounts whose credit did not pay for a call, each once and in their order. Whether that is told hangs on what was told before.
    pub(crate) exhausted: Vec<Exhausted>,
}

/// An account's credit did not pay for a call.
pub(crate) struct Exhausted {
    pub(crate) account: AccountId,
    pub(crate) at: Timestamp,
    /// The event that tells it.
    pub(crate) draft: Draft,
}

impl Exhausted {
    fn by(account: AccountId, at: Timestamp, subject: &str) -> Result<Self, getrandom::Error> {
        Ok(Self { account, at, draft: credit_exhausted(account, at, Some(subject))? })
    }
}

/// Tells that an account's credit did not pay for a call; `by` is where that is to be seen, if it is on record.
pub(crate) fn credit_exhausted(account: AccountId, at: Timestamp, by: Option<&str>) -> Result<Draft, getrandom::Error> {
    let data = serde_json::json!({"by": by});
    Draft::new(account, EventType::CreditExhausted, "credits".to_owned(), at, &data)
}

/// What a batch has to tell those accounts that listen.
pub(crate) struct News<'a> {
    calls: Vec<CallNews<'a>>,
    refusals: Vec<&'a RefusedInvite>,
}

struct CallNews<'a> {
    id: CallId,
    account: AccountId,
    /// In the order in which they came.
    states: Vec<&'a CallRecord>,
    ringing_at: Option<Timestamp>,
}

impl<'a> News<'a> {
    pub(crate) fn new(records: &'a [Record], listening: &HashSet<AccountId>) -> Self {
        let mut news = Self { calls: Vec::new(), refusals: Vec::new() };
        if listening.is_empty() {
            return news;
        }
        let mut places = HashMap::new();
        for record in records {
            match record {
                Record::Call(call) if listening.contains(&call.account_id) => {
                    let place = *places.entry(call.id).or_insert(news.calls.len());
                    match news.calls.get_mut(place) {
                        Some(known) => known.states.push(call),
                        None => news.calls.push(CallNews {
                            id: call.id,
                            account: call.account_id,
                            states: vec![call],
                            ringing_at: None,
                        }),
                    }
                }
                Record::Refusal(refusal) if listening.contains(&refusal.account_id) => news.refusals.push(refusal),
                Record::Call(_) | Record::Leg(_) | Record::Event(_) | Record::Refusal(_) => {}
            }
        }
        for record in records {
            let Record::Leg(leg) = record else { continue };
            let call = places.get(&leg.call_id).and_then(|place| news.calls.get_mut(*place));
            if let (Some(call), Some(at)) = (call, leg.ringing_at) {
                call.ringing_at = Some(call.ringing_at.map_or(at, |earlier| earlier.min(at)));
            }
        }
        news
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.calls.is_empty() && self.refusals.is_empty()
    }

    /// The calls whose [`Told`] must be known, each once, and whose they are.
    pub(crate) fn calls(&self) -> impl Iterator<Item = (CallId, AccountId)> {
        self.calls.iter().map(|call| (call.id, call.account))
    }

    /// The refusals of which must be known whether they are stored already, and whose they are.
    pub(crate) fn refusals(&self) -> impl Iterator<Item = (RefusalId, AccountId)> {
        self.refusals.iter().map(|refusal| (refusal.id, refusal.account_id))
    }

    /// The events. `stored` are refusals that were there before; a call
    /// that is not in `told` is none of the account's.
    pub(crate) fn events(
        &self,
        told: &HashMap<CallId, Told>,
        stored: &HashSet<(RefusalId, AccountId)>,
        written_at: Timestamp,
    ) -> Result<Tellings, getrandom::Error> {
        let (mut drafts, mut changed, mut exhausted) = (Vec::new(), Vec::new(), Vec::new());
        for call in &self.calls {
            let Some(before) = told.get(&call.id) else { continue };
            let mut told = *before;
            for state in &call.states {
                told.tell(state, call.ringing_at.unwrap_or(written_at), &mut drafts)?;
            }
            if told != *before {
                changed.push((call.id, told));
            }
            let cut_off = call.states.iter().find(|state| is_cut_off(state));
            if let Some(state) = cut_off.filter(|_| before.0 < Milestone::Over.bit()) {
                let at = state.ended_at.unwrap_or(state.started_at);
                exhausted.push(Exhausted::by(call.account, at, &format!("calls/{}", call.id))?);
            }
        }
        let mut seen = HashSet::new();
        for refusal in &self.refusals {
            let key = (refusal.id, refusal.account_id);
            if stored.contains(&key) || !seen.insert(key) {
                continue;
            }
            let subject = format!("refusals/{}", refusal.id);
            if refusal.reason == HangupCause::CreditExhausted.as_str() {
                exhausted.push(Exhausted::by(refusal.account_id, refusal.at, &subject)?);
            }
            drafts.push(Draft::new(
                refusal.account_id,
                EventType::CallRefused,
                subject,
                refusal.at,
                &RefusalData::new(refusal),
            )?);
        }
        exhausted.sort_by_key(|exhausted| exhausted.account);
        exhausted.dedup_by_key(|exhausted| exhausted.account);
        Ok(Tellings { drafts, changed, exhausted })
    }
}

/// Whether a call ended as the account's credit did not reach any further.
fn is_cut_off(call: &CallRecord) -> bool {
    call.status.is_final() && call.hangup_cause.as_deref() == Some(HangupCause::CreditExhausted.as_str())
}

/// A call as its log shows it, as far as it was when the event happened.
#[derive(Serialize)]
struct CallData<'a> {
    id: Uuid,
    call_id: &'a str,
    sip_trunk_id: Option<Uuid>,
    conversation_id: Option<Uuid>,
    direction: CallDirection,
    carried_by: CarriedBy,
    from_number: &'a str,
    to_number: &'a str,
    to_uri: Option<&'a str>,
    sip_call_id: Option<&'a str>,
    started_at: Timestamp,
    answered_at: Option<Timestamp>,
    ended_at: Option<Timestamp>,
    duration_seconds: Option<u64>,
    duration_ms: Option<u64>,
    status: CallStatus,
    hangup_cause: Option<&'a str>,
    sip_status: Option<u16>,
    hung_up_by: Option<HungUpBy>,
    codec_used: Option<&'a str>,
    cost: Option<Box<RawValue>>,
    metadata: &'a Map<String, Value>,
}

impl<'a> CallData<'a> {
    fn new(call: &'a CallRecord, milestone: Milestone) -> Self {
        let is_over = milestone == Milestone::Over;
        let is_answered = is_over || milestone == Milestone::Answered;
        let status = match milestone {
            Milestone::Initiated => CallStatus::Initiated,
            Milestone::Ringing => CallStatus::Ringing,
            Milestone::Answered => CallStatus::Answered,
            Milestone::Over => call.status,
        };
        let duration_ms = call.duration_ms.filter(|_| is_over);
        Self {
            id: call.id.as_uuid(),
            call_id: &call.call_id,
            sip_trunk_id: call.trunk_id.map(TrunkId::as_uuid),
            conversation_id: call.conversation_id,
            direction: call.direction,
            carried_by: call.carried_by,
            from_number: &call.from_number,
            to_number: &call.to_number,
            to_uri: call.to_uri.as_deref(),
            sip_call_id: call.sip_call_id.as_deref(),
            started_at: call.started_at,
            answered_at: call.answered_at.filter(|_| is_answered),
            ended_at: call.ended_at.filter(|_| is_over),
            duration_seconds: duration_ms.map(|millis| millis / 1_000),
            duration_ms,
            status,
            hangup_cause: call.hangup_cause.as_deref().filter(|_| is_over),
            sip_status: call.sip_status.filter(|_| is_over),
            hung_up_by: call.hung_up_by.filter(|_| is_over),
            codec_used: call.codec_used.as_deref().filter(|_| is_answered),
            cost: call.cost.filter(|_| is_over).and_then(decimal),
            metadata: &call.metadata,
        }
    }
}

/// A refused INVITE as the log of refusals shows it, without its receipt.
#[derive(Serialize)]
struct RefusalData<'a> {
    id: Uuid,
    at: Timestamp,
    sip_trunk_id: Option<Uuid>,
    from_number: &'a str,
    to_number: &'a str,
    sip_call_id: &'a str,
    sip_status: u16,
    reason: &'a str,
}

impl<'a> RefusalData<'a> {
    fn new(refusal: &'a RefusedInvite) -> Self {
        Self {
            id: refusal.id.as_uuid(),
            at: refusal.at,
            sip_trunk_id: refusal.trunk_id.map(TrunkId::as_uuid),
            from_number: &refusal.from_number,
            to_number: &refusal.to_number,
            sip_call_id: &refusal.sip_call_id,
            sip_status: refusal.sip_status,
            reason: &refusal.reason,
        }
    }
}

/// An amount as a JSON number with all its digits.
fn decimal(amount: Money) -> Option<Box<RawValue>> {
    RawValue::from_string(amount.to_decimal()).ok()
}
