use crate::service::{Caller, Core, Forbidden};
use crate::wire::RetentionEdit;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tandem_model::{AccountId, Timestamp};
use tandem_store::{Act, Change, ChangeRetentionError, DatabaseError, MAX_PAGE, NODE, Retention, Stale, Store};

/// For how long data is kept.
#[derive(Clone)]
pub(crate) struct Keeping {
    core: Arc<Core>,
}

/// What is set, and what is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ShownRetention {
    pub(crate) set: Retention,
    pub(crate) in_force: Retention,
}

/// Why it is not shown or changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RetentionError {
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    #[error(transparent)]
    Stale(#[from] Stale),
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl Keeping {
    pub(super) const fn new(core: Arc<Core>) -> Self {
        Self { core }
    }

    /// For how long the data of the account is kept, or of every account for which nothing else is set.
    pub(crate) async fn read(&self, caller: &Caller, of_node: bool) -> Result<ShownRetention, RetentionError> {
        let set = self.core.store.retention(whose(caller, of_node)?).await?;
        self.shown(set).await
    }

    /// Changes the fields that were sent.
    pub(crate) async fn change(
        &self,
        caller: &Caller,
        of_node: bool,
        edit: RetentionEdit,
    ) -> Result<ShownRetention, RetentionError> {
        let account = whose(caller, of_node)?;
        let set =
            self.core.store.change_retention(&caller.act(self.core.now()), account, |set| edit.apply(set)).await?;
        self.shown(set).await
    }

    async fn shown(&self, set: Retention) -> Result<ShownRetention, RetentionError> {
        Ok(ShownRetention { set, in_force: set.or(self.core.store.retention(NODE).await?) })
    }

    /// Removes what is no longer kept, of every account; gives how many rows.
    pub(crate) async fn remove_old(&self) -> Result<u64, DatabaseError> {
        let store = &self.core.store;
        let now = self.core.now();
        let of_node = store.retention(NODE).await?;
        let (mut skip, mut all) = (0, 0);
        loop {
            let accounts = store.accounts(skip, MAX_PAGE).await?;
            for account in &accounts {
                let kept = store.retention(account.id).await?.or(of_node);
                all += self.remove_old_of(account.id, kept, now).await?;
            }
            if accounts.len() < MAX_PAGE as usize {
                return Ok(all);
            }
            skip += MAX_PAGE;
        }
    }

    async fn remove_old_of(&self, account: AccountId, kept: Retention, now: Timestamp) -> Result<u64, DatabaseError> {
        let store = &self.core.store;
        let calls = remove(store, Kind::Calls, account, kept.calls_days, now).await?;
        let refusals = remove(store, Kind::Refusals, account, kept.refusals_days, now).await?;
        let entries = remove(store, Kind::AuditLog, account, kept.audit_log_days, now).await?;
        let all = calls + refusals + entries;
        if all > 0 {
            tracing::info!(%account, calls, refusals, audit_log = entries, "data that is no longer kept was removed");
            tell(store, account, now, calls, refusals, entries).await?;
        }
        Ok(all)
    }
}

impl From<ChangeRetentionError> for RetentionError {
    fn from(error: ChangeRetentionError) -> Self {
        match error {
            ChangeRetentionError::Stale(error) => Self::Stale(error),
            ChangeRetentionError::Database(error) => Self::Database(error),
        }
    }
}

async fn tell(
    store: &Store,
    account: AccountId,
    now: Timestamp,
    calls: u64,
    refusals: u64,
    entries: u64,
) -> Result<(), DatabaseError> {
    let removed = json!({"calls": calls, "refusals": refusals, "audit_log": entries});
    let change = Change::new(account, "retention.apply", &account).made(json!({"removed": removed}));
    store.record_acts(&[(Act::system("retention", now), change)]).await
}

/// What is kept for so many days.
#[derive(Clone, Copy)]
enum Kind {
    Calls,
    Refusals,
    AuditLog,
}

/// Removes until less is found than was asked for, with pauses, so that whoever records calls does not wait for long.
async fn remove(
    store: &Store,
    kind: Kind,
    account: AccountId,
    days: Option<u32>,
    now: Timestamp,
) -> Result<u64, DatabaseError> {
    let Some(days) = days else { return Ok(0) };
    let before = Timestamp::from_unix_micros(now.unix_micros().saturating_sub(i64::from(days) * MICROS_A_DAY));
    let mut all = 0;
    loop {
        let (removed, asked) = match kind {
            Kind::Calls => (store.remove_calls_before(account, before, CALLS_AT_ONCE).await?, CALLS_AT_ONCE),
            Kind::Refusals => (store.remove_refusals_before(account, before, ROWS_AT_ONCE).await?, ROWS_AT_ONCE),
            Kind::AuditLog => (store.truncate_audit_log(account, before, ROWS_AT_ONCE).await?, ROWS_AT_ONCE),
        };
        all += u64::from(removed);
        if removed < asked {
            return Ok(all);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn whose(caller: &Caller, of_node: bool) -> Result<AccountId, Forbidden> {
    if !of_node {
        return Ok(caller.account_id());
    }
    caller.require_node()?;
    Ok(NODE)
}

const MICROS_A_DAY: i64 = 24 * 60 * 60 * 1_000_000;
/// A call has some rows of its own: a transaction of tens of milliseconds.
const CALLS_AT_ONCE: u32 = 200;
/// A transaction of some milliseconds.
const ROWS_AT_ONCE: u32 = 1_000;
/// Several times what a transaction takes.
const PAUSE: Duration = Duration::from_millis(200);
