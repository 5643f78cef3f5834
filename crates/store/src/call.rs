use crate::error::from_database;
use crate::{DatabaseError, Store};
use tandem_model::{AccountId, CallEvent, CallId, CallRecord, LegRecord, Timestamp, TrunkId};

/// How a call is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallKey {
    /// By our id.
    Id(CallId),
    /// By the client's `call_id`.
    ClientId(String),
    /// By either, as a path names it: the client's `call_id` first, then our id.
    Any(String),
}

/// Which calls to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallFilter {
    /// Only those whose first trunk leg went over this trunk.
    pub trunk_id: Option<TrunkId>,
    /// How many to pass over.
    pub skip: u32,
    /// How many to give, at most [`MAX_PAGE`](crate::MAX_PAGE).
    pub limit: u32,
}

/// A call before and after a change, read and written in one transaction: who sees `ended_at` appear is the only one who does.
#[derive(Clone, Debug, PartialEq)]
pub struct CallUpdate {
    /// As it was.
    pub before: CallRecord,
    /// As it is now.
    pub after: CallRecord,
}

/// A call that something else carries and that has not ended: it holds a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenExternalCall {
    /// Whose call.
    pub account_id: AccountId,
    /// Over which trunk.
    pub trunk_id: TrunkId,
    /// Which call.
    pub call_id: CallId,
}

/// Why a call was not logged.
#[derive(Debug, thiserror::Error)]
pub enum InsertCallError {
    /// The account has logged a call of this `call_id`.
    #[error("a call of that call_id is logged already")]
    CallIdTaken,
    /// The account has no such trunk.
    #[error("no such trunk")]
    UnknownTrunk,
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// Why a call was not changed.
#[derive(Debug, thiserror::Error)]
pub enum UpdateCallError<E> {
    /// The account has no such call.
    #[error("no such call")]
    NotFound,
    /// The change was refused by who asked for it.
    #[error("the change was refused")]
    Refused(E),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

from_database!(InsertCallError);

impl Store {
    /// Logs a call that something else carries. `trunk_id` must be a trunk of the account.
    ///
    /// # Errors
    /// [`InsertCallError`].
    pub async fn insert_external_call(&self, call: &CallRecord) -> Result<(), InsertCallError> {
        let _ = call;
        todo!()
    }

    /// A call of an account.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn call(&self, account: AccountId, key: &CallKey) -> Result<Option<CallRecord>, DatabaseError> {
        let _ = (account, key);
        todo!()
    }

    /// Calls of an account, newest first by when they began.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn calls(&self, account: AccountId, filter: CallFilter) -> Result<Vec<CallRecord>, DatabaseError> {
        let _ = (account, filter);
        todo!()
    }

    /// Changes a call in one transaction: reads it, lets `change` edit it, writes it. An `Err` of `change` writes nothing.
    ///
    /// For calls of either kind. Written are `answered_at`, `ended_at`, `duration_ms`, `status`, `hangup_cause`, `quality_score`,
    /// `codec_used`, `cost`, `credits_used` and `metadata`; what else `change` edits is not.
    ///
    /// # Errors
    /// [`UpdateCallError`].
    pub async fn update_call<E, F>(
        &self,
        account: AccountId,
        key: &CallKey,
        change: F,
    ) -> Result<CallUpdate, UpdateCallError<E>>
    where
        F: FnOnce(&mut CallRecord) -> Result<(), E> + Send,
        E: Send,
    {
        let _ = (account, key, change);
        todo!()
    }

    /// The timeline of a call, in order; at most [`MAX_PAGE`](crate::MAX_PAGE) steps.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn call_events(&self, account: AccountId, call: CallId) -> Result<Vec<CallEvent>, DatabaseError> {
        let _ = (account, call);
        todo!()
    }

    /// The legs of a call, in order; at most [`MAX_PAGE`](crate::MAX_PAGE).
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn call_legs(&self, account: AccountId, call: CallId) -> Result<Vec<LegRecord>, DatabaseError> {
        let _ = (account, call);
        todo!()
    }

    /// Every call that something else carries and that has not ended, of all accounts: what holds slots after a restart.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn open_external_calls(&self) -> Result<Vec<OpenExternalCall>, DatabaseError> {
        todo!()
    }

    /// The open external calls that nobody has written since `before`, longest untouched first, at most [`MAX_PAGE`](crate::MAX_PAGE).
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn stale_external_calls(&self, before: Timestamp) -> Result<Vec<OpenExternalCall>, DatabaseError> {
        let _ = before;
        todo!()
    }
}
