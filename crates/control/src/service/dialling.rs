use crate::service::{Caller, Core};
use crate::wire::DialRequest;
use crate::{DialError, HangupError, Unavailable};
use std::sync::Arc;
use tandem_model::{CallId, CallRecord, CarriedBy, Receipt};
use tandem_store::{CallKey, DatabaseError};

/// Calls that this switch places and ends.
#[derive(Clone)]
pub(crate) struct Dialling {
    core: Arc<Core>,
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

    /// Places a call.
    pub(crate) async fn dial(&self, caller: &Caller, request: DialRequest) -> Result<CallRecord, DialError> {
        let order = request.into_order(caller.account_id(), self.core.now());
        self.core.switchboard.dial(order).await
    }

    /// Tells how a call would be routed.
    pub(crate) async fn explain(&self, caller: &Caller, request: DialRequest) -> Result<Receipt, Unavailable> {
        let order = request.into_order(caller.account_id(), self.core.now());
        self.core.switchboard.explain(order).await
    }

    /// Ends a live call.
    pub(crate) async fn hang_up(&self, caller: &Caller, id: &str) -> Result<CallRecord, HangUpError> {
        if let Ok(call) = id.parse::<CallId>() {
            match self.core.switchboard.hangup(caller.account_id(), call).await {
                Ok(record) => return Ok(record),
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
