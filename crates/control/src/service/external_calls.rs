use crate::service::Core;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tandem_model::{AccountId, CallId};
use tandem_store::DatabaseError;
use tokio::time::Instant;

/// The open calls that something else carries, by account, so that a client that never ends its calls cannot fill the memory of the
/// call path, which keeps a slot for each.
///
/// The store is what counts. It is read before the first call, and again when an account seems to have all its calls: another process
/// may have ended some.
pub(super) struct ExternalCalls {
    core: Arc<Core>,
    /// Held while the store is read.
    read_at: tokio::sync::Mutex<Option<Instant>>,
    open: std::sync::Mutex<HashMap<AccountId, HashSet<CallId>>>,
}

/// Why a call finds no place among the open ones.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenCallError {
    #[error("the account has all its open calls")]
    LimitReached,
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl ExternalCalls {
    pub(super) fn new(core: Arc<Core>) -> Self {
        Self { core, read_at: tokio::sync::Mutex::default(), open: std::sync::Mutex::default() }
    }

    /// Counts a call as open, once.
    pub(super) async fn begin(&self, account: AccountId, call: CallId) -> Result<(), OpenCallError> {
        self.read(None).await?;
        if self.insert(account, call) {
            return Ok(());
        }
        self.read(Some(READ_AGAIN_AFTER)).await?;
        if self.insert(account, call) { Ok(()) } else { Err(OpenCallError::LimitReached) }
    }

    /// Whether one more call could be counted.
    pub(super) async fn has_room(&self, account: AccountId) -> Result<(), OpenCallError> {
        let count = || {
            let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            open.get(&account).map_or(0, HashSet::len)
        };
        self.read(None).await?;
        if count() >= MAX_OPEN_CALLS {
            self.read(Some(READ_AGAIN_AFTER)).await?;
        }
        if count() < MAX_OPEN_CALLS { Ok(()) } else { Err(OpenCallError::LimitReached) }
    }

    /// Counts a call as open no more. Unknown ones are passed over.
    pub(super) fn end(&self, account: AccountId, call: CallId) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(calls) = open.get_mut(&account) {
            calls.remove(&call);
            if calls.is_empty() {
                open.remove(&account);
            }
        }
    }

    /// Whether there was room for it.
    fn insert(&self, account: AccountId, call: CallId) -> bool {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let calls = open.entry(account).or_default();
        if calls.len() >= MAX_OPEN_CALLS {
            return calls.contains(&call);
        }
        calls.insert(call);
        true
    }

    /// Reads the store when it was never read, or when it was read longer ago than `age`.
    ///
    /// A call that ends while the store is read may be counted until it is read again, and one that begins may not be counted: the limit
    /// bounds memory, and need not be exact.
    async fn read(&self, age: Option<Duration>) -> Result<(), DatabaseError> {
        let mut read_at = self.read_at.lock().await;
        if read_at.is_some_and(|at| age.is_none_or(|age| at.elapsed() < age)) {
            return Ok(());
        }
        let mut found: HashMap<AccountId, HashSet<CallId>> = HashMap::new();
        for call in self.core.store.open_external_calls().await? {
            found.entry(call.account_id).or_default().insert(call.call_id);
        }
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = found;
        *read_at = Some(Instant::now());
        Ok(())
    }
}

/// Open external calls of one account: ten times the calls of the largest trunk.
pub(crate) const MAX_OPEN_CALLS: usize = 10_000;
/// How often an account that has all its calls may have the store read, which lists the open calls of all accounts.
const READ_AGAIN_AFTER: Duration = Duration::from_secs(5);
