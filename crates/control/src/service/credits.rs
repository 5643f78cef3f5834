use crate::service::{Caller, Core, Forbidden, ListRequest, Page, Ticket, id_parts, is_repeat};
use crate::wire::{CreditGrant, CreditSetting};
use std::sync::Arc;
use tandem_model::{AccountId, CreditAccount, CreditEntry, CreditEntryId, LiveCredit, Money};
use tandem_store::{ChangeCreditError, DatabaseError};

/// What accounts may spend on calls.
#[derive(Clone)]
pub(crate) struct Credits {
    core: Arc<Core>,
    /// What one credit is worth.
    pub(crate) credit_value: Money,
}

/// An account's credit, as it is known to the database and to the call path.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ShownCredit {
    pub(crate) account_id: AccountId,
    pub(crate) stored: CreditAccount,
    /// `None` when calls are not paid for by credit, or when the call path does not answer.
    pub(crate) live: Option<LiveCredit>,
}

/// Why an account's credit is not changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EditCreditError {
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    #[error("no such account")]
    UnknownAccount,
    #[error("the credit would be more than an amount can hold")]
    Overflow,
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl Credits {
    pub(super) const fn new(core: Arc<Core>, credit_value: Money) -> Self {
        Self { core, credit_value }
    }

    /// The credit of the caller's account.
    pub(crate) async fn read(&self, caller: &Caller) -> Result<ShownCredit, DatabaseError> {
        let account_id = caller.account_id();
        let stored = self.core.store.credit_account(account_id).await?;
        Ok(self.shown(account_id, stored).await)
    }

    /// What has changed it, newest first.
    pub(crate) async fn ledger(
        &self,
        caller: &Caller,
        request: &ListRequest<()>,
    ) -> Result<Page<CreditEntry>, DatabaseError> {
        let (store, account) = (&self.core.store, caller.account_id());
        request.answer(store.list_credit_entries(account, &request.part), store.count_credit_entries(account)).await
    }

    /// Adds credit to an account, or takes some away. Only admins of the node may, for it is they who are paid.
    pub(crate) async fn grant(
        &self,
        caller: &Caller,
        account: AccountId,
        grant: &CreditGrant,
        ticket: Option<&Ticket>,
    ) -> Result<CreditEntry, EditCreditError> {
        caller.may_manage(account)?.ok_or(EditCreditError::UnknownAccount)?;
        let act = caller.act(self.core.now());
        let (since, bits) = id_parts(ticket, act.at)?;
        let id = CreditEntryId::new(since, bits);
        if is_repeat(ticket)
            && let Some(written) = self.core.store.credit_entry(account, id).await?
        {
            self.core.switchboard.routing_changed();
            return Ok(written);
        }
        let (entry, then) = self.core.store.grant_credit_as(&act, account, id, grant.amount, &grant.note).await?;
        if then.controlled_since.is_some() && !act.dry_run {
            self.core.switchboard.routing_changed();
        }
        if !act.dry_run {
            tracing::info!(%account, actor = %caller.actor.name, amount = %grant.amount.to_decimal(), "credit was changed");
        }
        Ok(entry)
    }

    /// Has an account's calls paid for by its credit from now on, or no longer.
    pub(crate) async fn set(
        &self,
        caller: &Caller,
        account: AccountId,
        setting: CreditSetting,
    ) -> Result<ShownCredit, EditCreditError> {
        caller.may_manage(account)?.ok_or(EditCreditError::UnknownAccount)?;
        let CreditSetting { is_on } = setting;
        let act = caller.act(self.core.now());
        let stored = self.core.store.set_credit_control(&act, account, is_on).await?;
        if !act.dry_run {
            self.core.switchboard.routing_changed();
        }
        if !act.dry_run {
            tracing::info!(%account, actor = %caller.actor.name, is_on, "credit control was set");
        }
        Ok(self.shown(account, stored).await)
    }

    async fn shown(&self, account_id: AccountId, stored: CreditAccount) -> ShownCredit {
        let live = match stored.controlled_since {
            Some(_) => self.core.switchboard.credit(account_id).await.unwrap_or_default(),
            None => None,
        };
        ShownCredit { account_id, stored, live }
    }
}

impl From<ChangeCreditError> for EditCreditError {
    fn from(error: ChangeCreditError) -> Self {
        match error {
            ChangeCreditError::UnknownAccount => Self::UnknownAccount,
            ChangeCreditError::Overflow => Self::Overflow,
            ChangeCreditError::Database(error) => Self::Database(error),
        }
    }
}
