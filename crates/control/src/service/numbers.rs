use crate::service::{Caller, Core, ListRequest, Page, Ticket, id_parts, is_repeat};
use crate::wire::{NewNumber, NumberEdit};
use std::sync::Arc;
use tandem_model::{NumberId, PhoneNumber, TrunkId};
use tandem_store::{ChangeNumberError, DatabaseError, InsertNumberError};

/// Numbers of the account.
#[derive(Clone)]
pub(crate) struct Numbers {
    core: Arc<Core>,
}

/// Why a number is not shown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FindNumberError {
    #[error("no such number")]
    NotFound,
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl Numbers {
    pub(super) const fn new(core: Arc<Core>) -> Self {
        Self { core }
    }

    /// Numbers in their order.
    pub(crate) async fn list(
        &self,
        caller: &Caller,
        request: &ListRequest<Option<TrunkId>>,
    ) -> Result<Page<PhoneNumber>, DatabaseError> {
        let (store, account, trunk) = (&self.core.store, caller.account_id(), request.filter);
        request.answer(store.list_numbers(account, trunk, &request.part), store.count_numbers(account, trunk)).await
    }

    /// One number.
    pub(crate) async fn read(&self, caller: &Caller, id: NumberId) -> Result<PhoneNumber, FindNumberError> {
        self.core.store.number(caller.account_id(), id).await?.ok_or(FindNumberError::NotFound)
    }

    /// Adds a number; calls to it find it within 100 ms.
    pub(crate) async fn create(
        &self,
        caller: &Caller,
        new: NewNumber,
        ticket: Option<&Ticket>,
    ) -> Result<PhoneNumber, InsertNumberError> {
        let now = self.core.now();
        let (since, bits) = id_parts(ticket, now)?;
        let id = NumberId::new(since, bits);
        if is_repeat(ticket)
            && let Some(made) = self.core.store.number(caller.account_id(), id).await?
        {
            self.changed(false);
            return Ok(made);
        }
        let number = PhoneNumber {
            id,
            account_id: caller.account_id(),
            number: new.number,
            label: new.label,
            connect: new.connect,
            trunk_id: new.trunk_id,
            metadata: new.metadata,
            created_at: now,
            updated_at: now,
        };
        let act = caller.act(now);
        self.core.store.insert_number(&act, &number).await?;
        self.changed(act.dry_run);
        Ok(number)
    }

    /// Changes a number; calls to it find it so within 100 ms.
    pub(crate) async fn update(
        &self,
        caller: &Caller,
        id: NumberId,
        edit: NumberEdit,
    ) -> Result<PhoneNumber, ChangeNumberError> {
        let act = caller.act(self.core.now());
        let number = self.core.store.update_number(&act, caller.account_id(), id, edit.0).await?;
        self.changed(act.dry_run);
        Ok(number)
    }

    /// Removes a number.
    pub(crate) async fn delete(&self, caller: &Caller, id: NumberId) -> Result<(), ChangeNumberError> {
        let act = caller.act(self.core.now());
        self.core.store.delete_number(&act, caller.account_id(), id).await?;
        self.changed(act.dry_run);
        Ok(())
    }

    fn changed(&self, dry_run: bool) {
        if !dry_run {
            self.core.switchboard.routing_changed();
        }
    }
}
