use crate::service::{Caller, Core, ListRequest, Page};
use std::sync::Arc;
use tandem_model::{RefusalId, RefusedInvite};
use tandem_store::{DatabaseError, RefusalFilter};

/// INVITEs that were refused, so that no call began.
#[derive(Clone)]
pub(crate) struct Refusals {
    core: Arc<Core>,
}

/// Why a refusal is not shown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FindRefusalError {
    #[error("no such refusal")]
    NotFound,
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl Refusals {
    pub(super) const fn new(core: Arc<Core>) -> Self {
        Self { core }
    }

    /// Stored refusals, newest first.
    pub(crate) async fn list(
        &self,
        caller: &Caller,
        request: &ListRequest<RefusalFilter>,
    ) -> Result<Page<RefusedInvite>, DatabaseError> {
        let (store, account, filter) = (&self.core.store, caller.account_id(), &request.filter);
        request.answer(store.refusals(account, filter, &request.part), store.count_refusals(account, filter)).await
    }

    /// One refusal.
    pub(crate) async fn read(&self, caller: &Caller, id: RefusalId) -> Result<RefusedInvite, FindRefusalError> {
        self.core.store.refusal(caller.account_id(), id).await?.ok_or(FindRefusalError::NotFound)
    }
}
