use crate::service::{Caller, Core, Forbidden, OfNode};
use crate::wire::RetentionEdit;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tandem_model::{AccountId, Timestamp};
use tandem_store::{Act, Change, ChangeRetentionError, DatabaseError, MAX_PAGE, NODE, Retention, Stale, Store};

/// For how long data is kept.
#[derive(Clone)]
pub(crate) struct Keeping {
    core: Arc<Core>,
    /// Rows that this process has removed, by [`Kind`].
    removed: Arc<[AtomicU64; Kind::ALL.len()]>,
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
    pub(super) fn new(core: Arc<Core>) -> Self {
        Self { core, removed: Arc::default() }
    }

    /// Rows that were removed since the process began, by kind.
    pub(crate) fn removed(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.removed.iter().map(|count| count.load(Ordering::Relaxed));
        Kind::ALL.map(Kind::as_str).into_iter().zip(counts)
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
        let mut removed = Map::new();
        let mut all = 0;
        for (kind, count) in Kind::ALL.into_iter().zip(self.removed.iter()) {
            let rows = remove(store, kind, account, kind.days(kept), now).await?;
            count.fetch_add(rows, Ordering::Relaxed);
            removed.insert(kind.as_str().to_owned(), rows.into());
            all += rows;
        }
        if all > 0 {
            let removed = Value::Object(removed);
            tracing::info!(%account, %removed, "data that is no longer kept was removed");
            tell(store, account, now, removed).await?;
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

async fn tell(store: &Store, account: AccountId, now: Timestamp, removed: Value) -> Result<(), DatabaseError> {
    let change = Change::new(account, "retention.apply", &account).made(json!({"removed": removed}));
    store.record_acts(&[(Act::system("retention", now), change)]).await
}

/// What is kept for so many days.
#[derive(Clone, Copy)]
enum Kind {
    Calls,
    Timelines,
    Refusals,
    Events,
    TrunkHealth,
    AuditLog,
}

impl Kind {
    const ALL: [Self; 6] =
        [Self::Calls, Self::Timelines, Self::Refusals, Self::Events, Self::TrunkHealth, Self::AuditLog];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Calls => "calls",
            Self::Timelines => "timelines",
            Self::Refusals => "refusals",
            Self::Events => "events",
            Self::TrunkHealth => "trunk_health",
            Self::AuditLog => "audit_log",
        }
    }

    const fn days(self, kept: Retention) -> Option<u32> {
        match self {
            Self::Calls => kept.calls_days,
            Self::Timelines => kept.timelines_days,
            Self::Refusals => kept.refusals_days,
            Self::Events => kept.events_days,
            Self::TrunkHealth => kept.trunk_health_days,
            Self::AuditLog => kept.audit_log_days,
        }
    }
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
        let ((found, removed), asked) = match kind {
            Kind::Calls => (same(store.remove_calls_before(account, before, CALLS_AT_ONCE).await?), CALLS_AT_ONCE),
            Kind::Timelines => (store.remove_timelines_before(account, before, CALLS_AT_ONCE).await?, CALLS_AT_ONCE),
            Kind::Events => (same(store.remove_events_of(account, before, ROWS_AT_ONCE).await?), ROWS_AT_ONCE),
            Kind::TrunkHealth => (same(store.remove_health_of(account, before, ROWS_AT_ONCE).await?), ROWS_AT_ONCE),
            Kind::Refusals => (same(store.remove_refusals_before(account, before, ROWS_AT_ONCE).await?), ROWS_AT_ONCE),
            Kind::AuditLog => (same(store.truncate_audit_log(account, before, ROWS_AT_ONCE).await?), ROWS_AT_ONCE),
        };
        all += removed;
        if found < asked {
            return Ok(all);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Where everything that is found is removed.
fn same(removed: u32) -> (u32, u64) {
    (removed, removed.into())
}

fn whose(caller: &Caller, of_node: bool) -> Result<AccountId, Forbidden> {
    if !of_node {
        return Ok(caller.account_id());
    }
    caller.require_node(OfNode::Retention)?;
    Ok(NODE)
}

const MICROS_A_DAY: i64 = 24 * 60 * 60 * 1_000_000;
/// A call has some rows of its own: a transaction of tens of milliseconds.
const CALLS_AT_ONCE: u32 = 200;
/// A transaction of some milliseconds.
const ROWS_AT_ONCE: u32 = 1_000;
/// Several times what a transaction takes.
const PAUSE: Duration = Duration::from_millis(200);
