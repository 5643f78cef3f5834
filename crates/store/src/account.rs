use crate::error::from_database;
use crate::{DatabaseError, Store};
use tandem_model::{Account, AccountId, Tier};

/// What to change of an account; `None` leaves it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccountChange {
    /// The tier.
    pub tier: Option<Tier>,
    /// The override of the number of trunks; `Some(None)` takes it away.
    pub max_trunks: Option<Option<u32>>,
    /// The override of the number of concurrent calls; `Some(None)` takes it away.
    pub max_calls: Option<Option<u32>>,
}

/// Why an account was not added.
#[derive(Debug, thiserror::Error)]
pub enum InsertAccountError {
    /// Another account has its name.
    #[error("an account of that name exists")]
    NameTaken,
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// Why an account was not changed.
#[derive(Debug, thiserror::Error)]
pub enum UpdateAccountError {
    /// There is none of this id.
    #[error("no such account")]
    NotFound,
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

from_database!(InsertAccountError, UpdateAccountError);

impl Store {
    /// Adds an account, with a data key of its own for its secrets.
    ///
    /// # Errors
    /// [`InsertAccountError::NameTaken`].
    pub async fn insert_account(&self, account: &Account) -> Result<(), InsertAccountError> {
        let _ = account;
        todo!()
    }

    /// An account by its id.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn account(&self, id: AccountId) -> Result<Option<Account>, DatabaseError> {
        let _ = id;
        todo!()
    }

    /// An account by its name.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn account_by_name(&self, name: &str) -> Result<Option<Account>, DatabaseError> {
        let _ = name;
        todo!()
    }

    /// Accounts by name, at most [`MAX_PAGE`](crate::MAX_PAGE).
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn accounts(&self, skip: u32, limit: u32) -> Result<Vec<Account>, DatabaseError> {
        let _ = (skip, limit);
        todo!()
    }

    /// Changes tier and limits; gives the account as it is then.
    ///
    /// # Errors
    /// [`UpdateAccountError::NotFound`].
    pub async fn update_account(&self, id: AccountId, change: AccountChange) -> Result<Account, UpdateAccountError> {
        let _ = (id, change);
        todo!()
    }

    /// The account of this name; made with tier enterprise when there is none. An account that is there stays as it is.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn ensure_admin_account(&self, name: &str) -> Result<Account, DatabaseError> {
        let _ = name;
        todo!()
    }
}
