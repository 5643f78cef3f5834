use crate::Unavailable;
use crate::service::external_calls::{ExternalCalls, OpenCallError};
use crate::service::stale_sweep::StaleSweep;
use crate::service::{Caller, Core, ListRequest, Page, Ticket, id_parts, is_repeat};
use crate::wire::{CallChange, FieldError, Invalid, NewCall};
use std::sync::Arc;
use std::time::Duration;
use tandem_model::{
    AccountId, CallEvent, CallId, CallRecord, CallStatus, CarriedBy, HangupCause, LONGEST_CALL, LegRecord, LiveCall,
    MAX_CALL_COST, Money, Rate, Receipt, Timestamp, Trunk,
};
use tandem_store::{Act, CallFilter, CallKey, DatabaseError, LedgerFull, Listed, MAX_PAGE, Part, Stale, read_receipt};
use tokio::time::Instant;

/// The call log.
#[derive(Clone)]
pub(crate) struct Calls {
    core: Arc<Core>,
    external: Arc<ExternalCalls>,
    sweep: Arc<StaleSweep>,
}

/// All calls that a filter leaves, read part by part as somebody takes them.
pub(crate) struct CallExport {
    core: Arc<Core>,
    account: AccountId,
    filter: CallFilter,
    /// What is to be read next; `None` at the end.
    part: Option<Part>,
}

impl CallExport {
    /// The next calls; `None` at the end. Parts in which no call is of those wanted are passed over.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<CallRecord>>, DatabaseError> {
        while let Some(part) = self.part.take() {
            let Listed { rows, next } = self.core.store.calls(self.account, &self.filter, &part).await?;
            self.part = next.map(|after| Part { after: Some(after), ..part });
            if !rows.is_empty() {
                return Ok(Some(rows));
            }
        }
        Ok(None)
    }
}

/// Why a call was not logged.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CreateCallError {
    #[error("no such trunk")]
    UnknownTrunk,
    #[error("a call of that call_id is logged already")]
    CallIdTaken,
    #[error("the account has all its open calls")]
    TooManyOpen,
    #[error(transparent)]
    Invalid(#[from] Invalid),
    #[error(transparent)]
    LedgerFull(#[from] LedgerFull),
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// Why a call is not shown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FindCallError {
    #[error("no such call")]
    NotFound,
    #[error("the call is carried by something else and has no receipt")]
    NoReceipt,
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// Why a call was not changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpdateCallError {
    #[error("no such call")]
    NotFound,
    #[error("the call is live and not stored yet")]
    NotStoredYet,
    #[error(transparent)]
    Stale(#[from] Stale),
    #[error(transparent)]
    Invalid(#[from] Invalid),
    #[error(transparent)]
    LedgerFull(#[from] LedgerFull),
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// Why a call that was found is left as it is.
#[derive(Debug, thiserror::Error)]
enum RefusedChange {
    #[error(transparent)]
    Invalid(#[from] Invalid),
    #[error(transparent)]
    Stale(#[from] Stale),
}

impl From<OpenCallError> for CreateCallError {
    fn from(error: OpenCallError) -> Self {
        match error {
            OpenCallError::LimitReached => Self::TooManyOpen,
            OpenCallError::Database(error) => error.into(),
        }
    }
}

/// Where a call was found.
enum Found {
    Live(Box<LiveCall>),
    Stored(Box<CallRecord>),
}

impl Calls {
    pub(super) fn new(core: Arc<Core>) -> Self {
        let external = Arc::new(ExternalCalls::new(Arc::clone(&core)));
        Self { core, external, sweep: Arc::default() }
    }

    /// Logs a call that something else carries. It takes a slot of its trunk until it ends. A repeat of a request whose answer was lost
    /// gives the call that the first has logged.
    pub(crate) async fn create(
        &self,
        caller: &Caller,
        new: NewCall,
        ticket: Option<&Ticket>,
    ) -> Result<CallRecord, CreateCallError> {
        let account = caller.account_id();
        let now = self.core.now();
        let (since, bits) = id_parts(ticket, now)?;
        let id = CallId::new(since, bits);
        if is_repeat(ticket)
            && let Some(logged) = self.logged(account, id).await?
        {
            return Ok(logged);
        }
        check_not_ahead("started_at", Some(new.started_at), now)?;
        if self.core.store.trunk(account, new.trunk_id).await?.is_none() {
            return Err(CreateCallError::UnknownTrunk);
        }
        // Asked before the slot is taken, so that a client that repeats itself does not make the trunk look fuller for a moment.
        if self.core.store.call(account, &CallKey::ClientId(new.call_id.clone())).await?.is_some() {
            return Err(CreateCallError::CallIdTaken);
        }
        let trunk_id = new.trunk_id;
        let record = external_record(caller, new, id, now);
        let act = caller.act(now);
        let holds_slot = record.ended_at.is_none() && !act.dry_run;
        if record.ended_at.is_none() && act.dry_run {
            self.external.has_room(account).await?;
        }
        // The slot comes first: once the row is there, another request may end the call and free it.
        if holds_slot {
            self.external.begin(account, record.id).await?;
            self.core.switchboard.external_call_started(account, trunk_id, record.id).await;
        }
        let inserted = self.core.store.insert_external_call(&act, &record).await;
        if inserted.is_err() && holds_slot {
            self.free_slot(account, record.id).await;
        }
        inserted.map_err(|error| match error {
            tandem_store::InsertCallError::CallIdTaken => CreateCallError::CallIdTaken,
            tandem_store::InsertCallError::UnknownTrunk => CreateCallError::UnknownTrunk,
            tandem_store::InsertCallError::LedgerFull(error) => error.into(),
            tandem_store::InsertCallError::Database(error) => error.into(),
        })?;
        Ok(record)
    }

    /// A call that was logged before. When it is not over it takes its slot, which was freed if nobody knew what had come of it.
    async fn logged(&self, account: AccountId, id: CallId) -> Result<Option<CallRecord>, CreateCallError> {
        let key = CallKey::Id(id);
        let Some(found) = self.core.store.call(account, &key).await? else { return Ok(None) };
        let (None, Some(trunk)) = (found.ended_at, found.trunk_id) else { return Ok(Some(found)) };
        match self.external.begin(account, id).await {
            // There is room for one that is there already.
            Ok(()) | Err(OpenCallError::LimitReached) => {}
            Err(OpenCallError::Database(error)) => return Err(error.into()),
        }
        self.core.switchboard.external_call_started(account, trunk, id).await;
        // Who has ended it in between may have freed no slot.
        let now = self.core.store.call(account, &key).await?;
        if now.as_ref().is_none_or(|call| call.ended_at.is_some()) {
            self.free_slot(account, id).await;
        }
        Ok(now.or(Some(found)))
    }

    /// Stored calls, newest first.
    pub(crate) async fn list(
        &self,
        caller: &Caller,
        request: &ListRequest<CallFilter>,
    ) -> Result<Page<CallRecord>, DatabaseError> {
        let (store, account, filter) = (&self.core.store, caller.account_id(), &request.filter);
        request.answer(store.calls(account, filter, &request.part), store.count_calls(account, filter)).await
    }

    /// All calls that a filter leaves, a thousand at a time.
    pub(crate) fn export(&self, caller: &Caller, filter: CallFilter, oldest_first: bool) -> CallExport {
        let part = Part { reversed: oldest_first, ..Part::page(0, MAX_PAGE) };
        CallExport { core: Arc::clone(&self.core), account: caller.account_id(), filter, part: Some(part) }
    }

    /// One call, live or stored.
    pub(crate) async fn read(&self, caller: &Caller, id: &str) -> Result<CallRecord, FindCallError> {
        Ok(match self.find(caller, id).await? {
            Found::Live(live) => live.record,
            Found::Stored(record) => *record,
        })
    }

    /// How a call was routed.
    pub(crate) async fn receipt(&self, caller: &Caller, id: &str) -> Result<Receipt, FindCallError> {
        let receipt = self.read(caller, id).await?.receipt.ok_or(FindCallError::NoReceipt)?;
        Ok(read_receipt(&receipt)?)
    }

    /// The steps of a call.
    pub(crate) async fn events(&self, caller: &Caller, id: &str) -> Result<Vec<CallEvent>, FindCallError> {
        match self.find(caller, id).await? {
            Found::Live(live) => {
                // A call that was taken up after a crash knows only what has happened since; what came before is stored.
                let first = live.events.first().map_or(FIRST_EVENT, |event| event.number);
                let mut events = match first {
                    FIRST_EVENT => Vec::new(),
                    _ => self.core.store.call_events(caller.account_id(), live.record.id).await?,
                };
                events.retain(|event| event.number < first);
                events.extend(live.events);
                Ok(events)
            }
            Found::Stored(record) => Ok(self.core.store.call_events(caller.account_id(), record.id).await?),
        }
    }

    /// The legs of a call.
    pub(crate) async fn legs(&self, caller: &Caller, id: &str) -> Result<Vec<LegRecord>, FindCallError> {
        match self.find(caller, id).await? {
            Found::Live(live) => Ok(live.legs),
            Found::Stored(record) => Ok(self.core.store.call_legs(caller.account_id(), record.id).await?),
        }
    }

    /// Changes what was sent. Ending a call frees its slot, once.
    pub(crate) async fn update(
        &self,
        caller: &Caller,
        id: &str,
        change: CallChange,
    ) -> Result<CallRecord, UpdateCallError> {
        let account = caller.account_id();
        let known = self.stored(caller, id).await?;
        let trunk = match known.trunk_id {
            Some(trunk) => self.core.store.trunk(account, trunk).await?,
            None => None,
        };
        let rate = trunk.as_ref().map(rate_of);
        let now = self.core.now();
        let key = CallKey::Id(known.id);
        let _change = self.sweep.change(known.id);
        let act = caller.act(now);
        let acting = &act;
        let updated = self.core.store.update_call(&act, account, &key, move |call| {
            acting.expects(call)?;
            match call.carried_by {
                CarriedBy::External => change_external(call, change, rate, now)?,
                CarriedBy::Tandem => change_ours(call, change)?,
            }
            Ok::<(), RefusedChange>(())
        });
        let updated = updated.await.map_err(|error| match error {
            tandem_store::UpdateCallError::NotFound => UpdateCallError::NotFound,
            tandem_store::UpdateCallError::Refused(RefusedChange::Invalid(invalid)) => invalid.into(),
            tandem_store::UpdateCallError::Refused(RefusedChange::Stale(error)) => error.into(),
            tandem_store::UpdateCallError::LedgerFull(error) => error.into(),
            tandem_store::UpdateCallError::Database(error) => error.into(),
        })?;
        let ended_now = updated.before.ended_at.is_none() && updated.after.ended_at.is_some() && !act.dry_run;
        if ended_now && updated.after.carried_by == CarriedBy::External {
            self.free_slot(account, updated.after.id).await;
        }
        Ok(updated.after)
    }

    /// Closes external calls that nobody has written for [`STALE_AFTER`], so that a client that forgot a call does not hold its slot
    /// for ever. Gives how many.
    pub(crate) async fn close_stale(&self) -> Result<usize, DatabaseError> {
        let now = self.core.now();
        let before = now.saturating_sub(STALE_AFTER);
        let mut closed = 0;
        let sweep = self.sweep.begin().await;
        for open in self.core.store.stale_external_calls(before).await? {
            let key = CallKey::Id(open.call_id);
            let act = Act::system("stale calls", now);
            let updated = self.core.store.update_call(&act, open.account_id, &key, |call| {
                if sweep.was_changed(call.id) {
                    return Err(NotForgotten);
                }
                close_stale_call(call, now);
                Ok(())
            });
            match updated.await {
                Ok(updated) if updated.before.ended_at.is_none() => {
                    tracing::info!(call_id = %open.call_id, account = %open.account_id, "an external call was closed as stale");
                    self.free_slot(open.account_id, open.call_id).await;
                    closed += 1;
                }
                // Somebody changed it, ended it or removed it in between.
                Ok(_)
                | Err(tandem_store::UpdateCallError::Refused(NotForgotten) | tandem_store::UpdateCallError::NotFound) =>
                    {}
                // It stays open. What its client has logged that nobody can pay does not keep others from being closed.
                Err(tandem_store::UpdateCallError::LedgerFull(error)) => {
                    tracing::warn!(call_id = %open.call_id, account = %open.account_id, %error, "an external call cannot be closed");
                }
                Err(tandem_store::UpdateCallError::Database(error)) => return Err(error),
            }
        }
        Ok(closed)
    }

    /// What the client has set on a live call is in the store only. A store that does not answer is not waited for.
    async fn add_clients_fields(&self, live: &mut CallRecord) {
        let key = CallKey::Id(live.id);
        let asked = tokio::time::timeout(STORE_PATIENCE, self.core.store.call(live.account_id, &key)).await;
        if let Ok(Ok(Some(stored))) = asked {
            live.metadata = stored.metadata;
            live.quality_score = stored.quality_score.or(live.quality_score);
            live.credits_used = stored.credits_used.or(live.credits_used);
        }
    }

    /// A call in the store. One that began a moment ago, or ended a moment ago, is waited for: its records are on their way.
    async fn stored(&self, caller: &Caller, id: &str) -> Result<CallRecord, UpdateCallError> {
        let account = caller.account_id();
        let key = CallKey::Any(id.to_owned());
        if let Some(call) = self.core.store.call(account, &key).await? {
            return Ok(call);
        }
        let is_live = match id.parse::<CallId>() {
            Ok(call) => self.core.switchboard.live_call(account, call).await?.is_some(),
            Err(_) => false,
        };
        let patience = Instant::now() + STORE_PATIENCE;
        loop {
            // Once more in any case: the call path forgets a call as soon as the store has it.
            if let Some(call) = self.core.store.call(account, &key).await? {
                return Ok(call);
            }
            if !is_live {
                return Err(UpdateCallError::NotFound);
            }
            if Instant::now() >= patience {
                return Err(UpdateCallError::NotStoredYet);
            }
            tokio::time::sleep(STORE_LOOK_INTERVAL).await;
        }
    }

    async fn free_slot(&self, account: AccountId, call: CallId) {
        self.external.end(account, call);
        self.core.switchboard.external_call_ended(call).await;
    }

    /// Asks the call path, then the store. Calls that are over are shown while the call path is silent.
    async fn find(&self, caller: &Caller, id: &str) -> Result<Found, FindCallError> {
        let live = match id.parse::<CallId>() {
            Ok(call) => self.core.switchboard.live_call(caller.account_id(), call).await,
            Err(_) => Ok(None),
        };
        if let Ok(Some(mut live)) = live {
            self.add_clients_fields(&mut live.record).await;
            return Ok(Found::Live(Box::new(live)));
        }
        let stored = self.core.store.call(caller.account_id(), &CallKey::Any(id.to_owned())).await?;
        match (stored, live) {
            (Some(record), Ok(_)) => Ok(Found::Stored(Box::new(record))),
            (Some(record), Err(_)) if record.ended_at.is_some() || record.carried_by == CarriedBy::External => {
                Ok(Found::Stored(Box::new(record)))
            }
            (Some(_) | None, Err(unavailable)) => Err(unavailable.into()),
            (None, Ok(_)) => Err(FindCallError::NotFound),
        }
    }
}

/// Steps of a call are numbered from here.
const FIRST_EVENT: u32 = 1;

/// A client's refusal to let a call be forgotten: it has changed it.
#[derive(Debug)]
struct NotForgotten;

/// A call as it is logged first.
///
/// The client says what the status is, not since when. An answer is of now when the call may have rung until now; in a call that began
/// longer ago its time is not known. A call that is over has the time of its log as its end. How long it was connected, and what it
/// cost, is known only if it was not answered.
fn external_record(caller: &Caller, new: NewCall, id: CallId, now: Timestamp) -> CallRecord {
    let is_final = new.status.is_final();
    let is_answered_now = new.status == CallStatus::Answered && now.since(new.started_at) <= LONGEST_RINGING;
    let was_never_connected = is_final && !new.status.says_answered();
    CallRecord {
        id,
        account_id: caller.account_id(),
        call_id: new.call_id,
        trunk_id: Some(new.trunk_id),
        direction: new.direction,
        carried_by: CarriedBy::External,
        conversation_id: new.conversation_id,
        from_number: new.from_number,
        to_number: new.to_number,
        to_uri: None,
        started_at: new.started_at,
        answered_at: is_answered_now.then_some(now),
        ended_at: is_final.then_some(now),
        duration_ms: was_never_connected.then_some(0),
        status: new.status,
        hangup_cause: None,
        sip_status: None,
        hung_up_by: None,
        quality_score: None,
        codec_used: None,
        sip_call_id: new.sip_call_id,
        remote_ip: new.remote_ip,
        cost: was_never_connected.then_some(Money::ZERO),
        credits_used: None,
        metadata: new.metadata,
        receipt: None,
        created_at: now,
    }
}

fn rate_of(trunk: &Trunk) -> Rate {
    Rate { per_minute: trunk.cost_per_minute, increment_seconds: trunk.billing_increment_seconds() }
}

/// Changes a call that something else carries.
///
/// A final status and an end belong together: either one brings the other. On the end, and when a later change corrects the times,
/// the duration (answer to end) and the cost (at the trunk's price) are filled unless they are sent. Of a completed call whose answer
/// nobody told us they stay unknown.
fn change_external(
    call: &mut CallRecord,
    change: CallChange,
    rate: Option<Rate>,
    now: Timestamp,
) -> Result<(), Invalid> {
    check_not_ahead("answered_at", change.answered_at, now)?;
    check_not_ahead("ended_at", change.ended_at, now)?;
    let was_over = call.ended_at.is_some();
    let status_before = call.status;
    if let Some(status) = change.status {
        if was_over && !status.is_final() {
            return Err(Invalid::field("status", format!("the call is over; it cannot become {status} again")));
        }
        call.status = status;
    }
    let times_changed = change.answered_at.is_some() || change.ended_at.is_some();
    call.answered_at = change.answered_at.or(call.answered_at);
    if call.answered_at.is_none() && call.status == CallStatus::Answered && status_before != call.status {
        call.answered_at = Some(now);
    }
    call.ended_at = change.ended_at.or(call.ended_at);
    if call.ended_at.is_none() && call.status.is_final() {
        call.ended_at = Some(now);
    }
    if call.ended_at.is_some() && !call.status.is_final() {
        call.status = if was_answered(call) { CallStatus::Completed } else { CallStatus::Failed };
    }
    check_order(call)?;

    let is_over = call.ended_at.is_some();
    let fills = is_over && (!was_over || times_changed);
    if let Some(duration) = change.duration {
        call.duration_ms = Some(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX));
    } else if fills {
        let measured = call.answered_at.zip(call.ended_at).map(|(answered, ended)| ended.since(answered));
        if measured.is_some_and(|span| span > LONGEST_CALL) {
            let days = LONGEST_CALL.as_secs() / (24 * 60 * 60);
            return Err(Invalid::field("ended_at", format!("is more than {days} days after answered_at")));
        }
        let measured_ms = measured.map(|span| u64::try_from(span.as_millis()).unwrap_or(u64::MAX));
        let never_connected = (!was_answered(call)).then_some(0);
        call.duration_ms = measured_ms.or(call.duration_ms).or(never_connected);
    }
    if let Some(cost) = change.cost {
        call.cost = Some(cost);
    } else if is_over && (fills || change.duration.is_some()) {
        // Without its trunk, which was deleted, the price is not known.
        let connected = call.duration_ms.map(Duration::from_millis);
        let cost = rate.zip(connected).map(|(rate, connected)| rate.cost(connected));
        call.cost = cost.transpose().map_err(|_| {
            let most = MAX_CALL_COST.to_decimal();
            Invalid::field(
                "cost",
                format!("would be more than {most}, the most that a call may cost; send what it has cost"),
            )
        })?;
    }
    call.hangup_cause = change.hangup_cause.or(call.hangup_cause.take());
    call.codec_used = change.codec_used.or(call.codec_used.take());
    change_clients_fields(call, change.quality_score, change.credits_used, change.metadata);
    Ok(())
}

/// Whether somebody answered, though it may not be known when.
pub(crate) fn was_answered(call: &CallRecord) -> bool {
    call.answered_at.is_some() || call.status.says_answered()
}

/// Ends a call whose end nobody told us. When it really ended, and so its duration and cost, is not known if it was answered.
fn close_stale_call(call: &mut CallRecord, now: Timestamp) {
    if call.ended_at.is_some() {
        return;
    }
    let was_answered = was_answered(call);
    call.ended_at = Some(now);
    call.hangup_cause = Some(HangupCause::Stale.as_str().to_owned());
    call.status = if was_answered { CallStatus::Completed } else { CallStatus::Failed };
    if !was_answered {
        call.duration_ms = call.duration_ms.or(Some(0));
        call.cost = call.cost.or(Some(Money::ZERO));
    }
}

/// Changes a call that this switch carries: only what is the client's.
fn change_ours(call: &mut CallRecord, change: CallChange) -> Result<(), Invalid> {
    let refused = change.carriers_fields();
    if !refused.is_empty() {
        let message =
            "is written by the switch, which carries this call; metadata, quality_score and credits_used can be set";
        let error = |field: &str| FieldError { field: field.to_owned(), message: message.to_owned() };
        return Err(Invalid(refused.into_iter().map(error).collect()));
    }
    change_clients_fields(call, change.quality_score, change.credits_used, change.metadata);
    Ok(())
}

fn change_clients_fields(
    call: &mut CallRecord,
    quality_score: Option<f64>,
    credits_used: Option<Money>,
    metadata: Option<serde_json::Map<String, serde_json::Value>>,
) {
    call.quality_score = quality_score.or(call.quality_score);
    call.credits_used = credits_used.or(call.credits_used);
    if let Some(metadata) = metadata {
        call.metadata = metadata;
    }
}

/// A time of a call may be a little ahead of ours, as clocks and zones are set wrongly; not so far that what goes by it is nonsense.
fn check_not_ahead(field: &'static str, at: Option<Timestamp>, now: Timestamp) -> Result<(), Invalid> {
    match at {
        Some(at) if at > now.saturating_add(MOST_AHEAD) => {
            Err(Invalid::field(field, format!("is more than a day ahead of this node's time, {now}")))
        }
        Some(_) | None => Ok(()),
    }
}

/// Times must be in order, but for the small differences between clocks.
fn check_order(call: &CallRecord) -> Result<(), Invalid> {
    let before = |later: Timestamp, earlier: Timestamp| earlier.since(later) > CLOCK_DIFFERENCE;
    if let Some(answered_at) = call.answered_at
        && before(answered_at, call.started_at)
    {
        return Err(Invalid::field("answered_at", format!("is before started_at, {}", call.started_at)));
    }
    if let Some(ended_at) = call.ended_at {
        let (earlier, name) =
            call.answered_at.map_or((call.started_at, "started_at"), |answered| (answered, "answered_at"));
        if before(ended_at, earlier) {
            return Err(Invalid::field("ended_at", format!("is before {name}, {earlier}")));
        }
    }
    Ok(())
}

/// How long an external call may go on without a word from its client.
const STALE_AFTER: Duration = Duration::from_secs(4 * 60 * 60);
/// How long a live call's answer waits for what the store adds to it, and a change of a live call for the call to be stored.
const STORE_PATIENCE: Duration = Duration::from_millis(250);
/// How often a call that is on its way to the store is looked for there: records are written every 20 ms or so.
const STORE_LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// Longest ringing: what `ring_timeout_seconds` allows, as networks give up after 2 to 4 minutes.
const LONGEST_RINGING: Duration = Duration::from_secs(300);
/// How far ahead of our clock a client's time may be: it covers every time zone that was taken for UTC.
const MOST_AHEAD: Duration = Duration::from_secs(24 * 60 * 60);
/// How far two clocks may differ before a time is plainly wrong: carriers write whole seconds, and their clocks drift.
const CLOCK_DIFFERENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;
    use tandem_model::TrunkId;
    use tandem_model::{AccountId, CallDirection};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_unix_micros(second * 1_000_000)
    }

    fn call() -> CallRecord {
        let account = tandem_model::Account {
            id: AccountId::new(at(0), [1; 10]),
            name: "a".into(),
            tier: tandem_model::Tier::Free,
            max_trunks: None,
            max_calls: None,
            created_at: at(0),
        };
        let new = NewCall {
            call_id: "c".into(),
            trunk_id: TrunkId::new(at(0), [2; 10]),
            direction: CallDirection::Outbound,
            from_number: "1".into(),
            to_number: "2".into(),
            started_at: at(100),
            status: CallStatus::Initiated,
            conversation_id: None,
            sip_call_id: None,
            remote_ip: None,
            metadata: serde_json::Map::new(),
        };
        external_record(&Caller::for_tests(account), new, CallId::new(at(100), [3; 10]), at(100))
    }

    const RATE: Rate = Rate { per_minute: Money::from_micros(60_000), increment_seconds: 1 };

    fn change(call: &mut CallRecord, change: CallChange, now: i64) -> Result<(), Invalid> {
        change_external(call, change, Some(RATE), at(now))
    }

    #[test]
    fn the_end_fills_duration_and_cost() {
        let mut call = call();
        change(&mut call, CallChange { answered_at: Some(at(110)), ..CallChange::default() }, 111).unwrap();
        assert_eq!((call.duration_ms, call.cost), (None, None));
        change(&mut call, CallChange { ended_at: Some(at(140)), ..CallChange::default() }, 141).unwrap();
        assert_eq!(call.status, CallStatus::Completed);
        assert_eq!((call.duration_ms, call.cost), (Some(30_000), Some(Money::from_micros(30_000))));
    }

    #[test]
    fn a_final_status_is_an_end_and_costs_nothing_unanswered() {
        let mut call = call();
        change(&mut call, CallChange { status: Some(CallStatus::Busy), ..CallChange::default() }, 105).unwrap();
        assert_eq!((call.ended_at, call.duration_ms, call.cost), (Some(at(105)), Some(0), Some(Money::ZERO)));
        let again = CallChange { status: Some(CallStatus::Ringing), ..CallChange::default() };
        assert!(change(&mut call, again, 106).is_err());
    }

    #[test]
    fn what_the_client_measured_counts() {
        let mut call = call();
        let end = CallChange {
            status: Some(CallStatus::Completed),
            duration: Some(Duration::from_secs(60)),
            ..CallChange::default()
        };
        change(&mut call, end, 200).unwrap();
        assert_eq!((call.duration_ms, call.cost), (Some(60_000), Some(Money::from_micros(60_000))));
        let cost = CallChange { cost: Some(Money::from_micros(5)), ..CallChange::default() };
        change(&mut call, cost, 201).unwrap();
        assert_eq!((call.duration_ms, call.cost), (Some(60_000), Some(Money::from_micros(5))));
    }

    #[test]
    fn a_status_of_answered_is_an_answer_now() {
        let mut call = call();
        change(&mut call, CallChange { status: Some(CallStatus::Answered), ..CallChange::default() }, 120).unwrap();
        change(&mut call, CallChange { status: Some(CallStatus::Completed), ..CallChange::default() }, 150).unwrap();
        assert_eq!(call.duration_ms, Some(30_000));
    }

    #[test]
    fn a_stale_call_ends_without_made_up_numbers() {
        let mut silent = call();
        close_stale_call(&mut silent, at(20_000));
        assert_eq!(
            (silent.status, silent.cost, silent.ended_at),
            (CallStatus::Failed, Some(Money::ZERO), Some(at(20_000)))
        );
        let mut answered = call();
        change(&mut answered, CallChange { answered_at: Some(at(110)), ..CallChange::default() }, 111).unwrap();
        close_stale_call(&mut answered, at(20_000));
        assert_eq!((answered.status, answered.duration_ms, answered.cost), (CallStatus::Completed, None, None));
        assert_eq!(answered.hangup_cause.as_deref(), Some("stale"));
        let mut answered_once = CallRecord { status: CallStatus::Answered, ..call() };
        close_stale_call(&mut answered_once, at(20_000));
        assert_eq!((answered_once.status, answered_once.duration_ms), (CallStatus::Completed, None));
    }

    fn wrong_field(result: Result<(), Invalid>) -> String {
        let Invalid(errors) = result.unwrap_err();
        errors[0].field.clone()
    }

    #[test]
    fn times_are_at_most_a_day_ahead() {
        let day = 24 * 60 * 60;
        let ended = |second| CallChange { ended_at: Some(at(second)), ..CallChange::default() };
        assert!(change(&mut call(), ended(200 + day), 200).is_ok());
        assert_eq!(wrong_field(change(&mut call(), ended(201 + day), 200)), "ended_at");
        let answered = CallChange { answered_at: Some(at(201 + day)), ..CallChange::default() };
        assert_eq!(wrong_field(change(&mut call(), answered, 200)), "answered_at");
    }

    #[test]
    fn a_call_is_not_longer_or_dearer_than_may_be() {
        let longest = i64::try_from(LONGEST_CALL.as_secs()).unwrap();
        let times =
            |ended| CallChange { answered_at: Some(at(110)), ended_at: Some(at(ended)), ..CallChange::default() };
        assert!(change(&mut call(), times(110 + longest), longest).is_ok());
        assert_eq!(wrong_field(change(&mut call(), times(111 + longest), longest)), "ended_at");
        // A million a minute, for eleven minutes.
        let dear = Rate { per_minute: Money::from_micros(1_000_000_000_000), increment_seconds: 1 };
        let mut logged = call();
        assert_eq!(wrong_field(change_external(&mut logged, times(110 + 660), Some(dear), at(800))), "cost");
        change_external(&mut logged, times(110 + 600), Some(dear), at(800)).unwrap();
        assert_eq!(logged.cost, Some(MAX_CALL_COST));
    }

    #[test]
    fn an_end_before_the_beginning_is_refused() {
        let mut call = call();
        let skewed = CallChange { ended_at: Some(at(96)), ..CallChange::default() };
        assert!(change(&mut call.clone(), skewed, 200).is_ok());
        let wrong = CallChange { ended_at: Some(at(90)), ..CallChange::default() };
        assert!(change(&mut call, wrong, 200).is_err());
    }

    #[test]
    fn a_call_that_the_switch_carries_keeps_its_facts() {
        let mut call = CallRecord { carried_by: CarriedBy::Tandem, ..call() };
        let facts = CallChange { status: Some(CallStatus::Busy), cost: Some(Money::ZERO), ..CallChange::default() };
        let Invalid(errors) = change_ours(&mut call, facts).unwrap_err();
        assert_eq!(errors.len(), 2);
        change_ours(&mut call, CallChange { quality_score: Some(4.5), ..CallChange::default() }).unwrap();
        assert_eq!(call.quality_score, Some(4.5));
    }
}
