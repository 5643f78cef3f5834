use crate::service::{Caller, Core, Ticket};
use crate::wire::DialRequest;
use crate::{DialError, HangupError, Unavailable};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tandem_model::{CallId, CallRecord, CarriedBy, Receipt, Refusal, RefusalKind, TrunkId};
use tandem_store::{CallKey, Change, DatabaseError};

/// Calls that this switch places and ends.
#[derive(Clone)]
pub(crate) struct Dialling {
    core: Arc<Core>,
}

/// Why no call was placed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialCallError {
    #[error("no such trunk")]
    UnknownTrunk,
    #[error("the call was refused")]
    Refused(Box<Receipt>),
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// Why there is no receipt.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExplainError {
    #[error("no such trunk")]
    UnknownTrunk,
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Why a call was not hung up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HangUpError {
    #[error("no such call")]
    NotFound,
    #[error("the call is carried by something else")]
    CarriedElsewhere,
    #[error("the call is over")]
    Over,
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl Dialling {
    pub(super) fn new(core: Arc<Core>) -> Self {
        Self { core }
    }

    /// Places a call. With a ticket it has an id that is known before, so that a repeat whose first try has an unknown end finds the
    /// call instead of placing another.
    pub(crate) async fn dial(
        &self,
        caller: &Caller,
        request: DialRequest,
        ticket: Option<&Ticket>,
    ) -> Result<CallRecord, DialCallError> {
        let mut order = request.into_order(caller.account_id(), self.core.now());
        order.call_id = ticket.map(Ticket::call_id);
        if let (Some(id), Some(Ticket { is_repeat: true, .. })) = (order.call_id, ticket)
            && let Some(placed) = self.placed(caller, id).await?
        {
            return Ok(placed);
        }
        let trunk = order.trunk_id;
        match self.core.switchboard.dial(order).await {
            Ok(record) => {
                // One line has both ids, and so has whatever the request logs from here on.
                tracing::Span::current().record("call_id", tracing::field::display(record.id));
                tracing::debug!("a call was placed");
                let change = Change::new(caller.account_id(), "call.dial", &record.id);
                self.core.acts.note(caller.act(self.core.now()), change.made(json!({"trunk_id": record.trunk_id})));
                Ok(record)
            }
            Err(DialError::Unavailable(error)) => Err(error.into()),
            Err(DialError::Refused(_)) if self.is_unknown(caller, trunk).await => Err(DialCallError::UnknownTrunk),
            Err(DialError::Refused(receipt)) => {
                self.tell_credit_exhausted(caller, &receipt).await;
                Err(DialCallError::Refused(receipt))
            }
        }
    }

    /// Tells who listens to the account that its credit does not pay for a call. A store that does not answer is not waited for: the next
    /// refusal tells it.
    async fn tell_credit_exhausted(&self, caller: &Caller, receipt: &Receipt) {
        let is_exhausted = |refusal: &Refusal| refusal.kind == RefusalKind::CreditExhausted;
        if receipt.refusal.as_ref().is_some_and(is_exhausted) {
            let told = self.core.store.tell_credit_exhausted(caller.account_id(), self.core.now());
            if let Ok(Err(error)) = tokio::time::timeout(STORE_PATIENCE, told).await {
                tracing::debug!(%error, "it was not told that credit is used up");
            }
        }
    }

    /// Tells how a call would be placed: the receipt, or why there would be none.
    pub(crate) async fn try_dial(&self, caller: &Caller, request: DialRequest) -> Result<Receipt, DialCallError> {
        let receipt = self.explain(caller, request).await.map_err(|error| match error {
            ExplainError::UnknownTrunk => DialCallError::UnknownTrunk,
            ExplainError::Unavailable(error) => error.into(),
        })?;
        if receipt.refusal.is_some() { Err(DialCallError::Refused(Box::new(receipt))) } else { Ok(receipt) }
    }

    /// A call that was placed before: one that is live, or that the store has. The call path is asked first, as it forgets a call once
    /// the store has it.
    async fn placed(&self, caller: &Caller, id: CallId) -> Result<Option<CallRecord>, DialCallError> {
        if let Some(live) = self.core.switchboard.live_call(caller.account_id(), id).await? {
            return Ok(Some(live.record));
        }
        Ok(self.core.store.call(caller.account_id(), &CallKey::Id(id)).await?)
    }

    /// Tells how a call would be routed.
    pub(crate) async fn explain(&self, caller: &Caller, request: DialRequest) -> Result<Receipt, ExplainError> {
        let order = request.into_order(caller.account_id(), self.core.now());
        let trunk = order.trunk_id;
        let receipt = self.core.switchboard.explain(order).await?;
        if receipt.refusal.is_some() && self.is_unknown(caller, trunk).await {
            return Err(ExplainError::UnknownTrunk);
        }
        Ok(receipt)
    }

    /// Whether the trunk that was asked for is none of the account. The call path never calls over such a one, so the store is asked
    /// only once a call was refused: calls do not wait for it. A store that does not answer leaves the refusal as it is.
    async fn is_unknown(&self, caller: &Caller, trunk: Option<TrunkId>) -> bool {
        let Some(trunk) = trunk else { return false };
        let asked = tokio::time::timeout(STORE_PATIENCE, self.core.store.trunk(caller.account_id(), trunk)).await;
        matches!(asked, Ok(Ok(None)))
    }

    /// Ends a live call.
    pub(crate) async fn hang_up(&self, caller: &Caller, id: &str) -> Result<CallRecord, HangUpError> {
        if let Ok(call) = id.parse::<CallId>() {
            if caller.request.dry_run
                && let Some(live) = self.core.switchboard.live_call(caller.account_id(), call).await?
                && live.record.ended_at.is_none()
            {
                return Ok(live.record);
            }
            let hung_up = match caller.request.dry_run {
                true => Err(HangupError::NotFound),
                false => self.core.switchboard.hangup(caller.account_id(), call).await,
            };
            match hung_up {
                Ok(record) => {
                    let change = Change::new(caller.account_id(), "call.hang_up", &call);
                    self.core.acts.note(caller.act(self.core.now()), change);
                    return Ok(record);
                }
                Err(HangupError::Unavailable(error)) => return Err(error.into()),
                Err(HangupError::NotFound) => {}
            }
        }
        let stored = self.core.store.call(caller.account_id(), &CallKey::Any(id.to_owned())).await?;
        Err(match stored.map(|call| call.carried_by) {
            None if self.ended_unstored(caller, id).await? => HangUpError::Over,
            None => HangUpError::NotFound,
            Some(CarriedBy::External) => HangUpError::CarriedElsewhere,
            Some(CarriedBy::Tandem) => HangUpError::Over,
        })
    }

    /// Whether the call is over, and only the call path knows it yet.
    async fn ended_unstored(&self, caller: &Caller, id: &str) -> Result<bool, Unavailable> {
        let Ok(call) = id.parse::<CallId>() else { return Ok(false) };
        Ok(self.core.switchboard.live_call(caller.account_id(), call).await?.is_some())
    }
}

/// How long a refusal waits for the store to tell an unknown trunk from one that cannot take the call.
const STORE_PATIENCE: Duration = Duration::from_millis(250);
