use crate::error::from_database;
use crate::{DatabaseError, Store};
use tandem_model::{AccountId, Timestamp, Trunk, TrunkHealth, TrunkId};

/// Why a trunk was not added.
#[derive(Debug, thiserror::Error)]
pub enum InsertTrunkError {
    /// The account has a trunk of this name.
    #[error("the account has a trunk of that name")]
    NameTaken,
    /// The account has all the trunks it may have.
    #[error("the account has all its {limit} trunks")]
    LimitReached {
        /// How many it may have.
        limit: u32,
    },
    /// `failover_trunk_id` is no other trunk of the account.
    #[error("failover_trunk_id names no other trunk of the account")]
    FailoverUnknown,
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// Why a trunk was not changed.
#[derive(Debug, thiserror::Error)]
pub enum UpdateTrunkError {
    /// The account has no such trunk.
    #[error("no such trunk")]
    NotFound,
    /// The account has another trunk of this name.
    #[error("the account has a trunk of that name")]
    NameTaken,
    /// `failover_trunk_id` is no other trunk of the account.
    #[error("failover_trunk_id names no other trunk of the account")]
    FailoverUnknown,
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// Why a trunk was not deleted.
#[derive(Debug, thiserror::Error)]
pub enum DeleteTrunkError {
    /// The account has no such trunk.
    #[error("no such trunk")]
    NotFound,
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

from_database!(InsertTrunkError, UpdateTrunkError, DeleteTrunkError);

impl Store {
    /// Adds a trunk if the account has fewer than `limit`; its name must be free in the account.
    ///
    /// # Errors
    /// [`InsertTrunkError`].
    pub async fn insert_trunk(&self, trunk: &Trunk, limit: u32) -> Result<(), InsertTrunkError> {
        let _ = (trunk, limit);
        todo!()
    }

    /// A trunk of an account.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn trunk(&self, account: AccountId, id: TrunkId) -> Result<Option<Trunk>, DatabaseError> {
        let _ = (account, id);
        todo!()
    }

    /// Trunks of an account by priority, then age, at most [`MAX_PAGE`](crate::MAX_PAGE).
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn trunks(&self, account: AccountId, skip: u32, limit: u32) -> Result<Vec<Trunk>, DatabaseError> {
        let _ = (account, skip, limit);
        todo!()
    }

    /// Writes a trunk's configuration and status; its health and `created_at` stay as they are stored.
    ///
    /// # Errors
    /// [`UpdateTrunkError`].
    pub async fn update_trunk(&self, trunk: &Trunk) -> Result<(), UpdateTrunkError> {
        let _ = trunk;
        todo!()
    }

    /// Takes a trunk out of service for good; calls keep naming it. Trunks that named it as failover name none any more.
    ///
    /// # Errors
    /// [`DeleteTrunkError::NotFound`].
    pub async fn delete_trunk(&self, account: AccountId, id: TrunkId, at: Timestamp) -> Result<(), DeleteTrunkError> {
        let _ = (account, id, at);
        todo!()
    }

    /// Writes what a probe found; `false` when there is no such trunk. Neither `status`, `updated_at` nor the routing revision
    /// change: health does not make a trunk unroutable, so there is nothing to load anew.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn set_trunk_health(&self, id: TrunkId, health: TrunkHealth) -> Result<bool, DatabaseError> {
        let _ = (id, health);
        todo!()
    }
}
