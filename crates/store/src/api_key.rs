use crate::error::from_database;
use crate::{DatabaseError, Store};
use tandem_model::{Account, AccountId, ApiKeyId, Secret, Timestamp};

/// A bearer key as it is stored: the key itself is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Its id.
    pub id: ApiKeyId,
    /// Whose it is.
    pub account_id: AccountId,
    /// A name for people.
    pub name: String,
    /// Its first characters, so that people know it again.
    pub prefix: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last used, to about a minute.
    pub last_used_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// Who a bearer key belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyOwner {
    /// The key.
    pub key_id: ApiKeyId,
    /// Its account.
    pub account: Account,
}

/// Why a key was not added.
#[derive(Debug, thiserror::Error)]
pub enum InsertApiKeyError {
    /// There is no such account.
    #[error("no such account")]
    UnknownAccount,
    /// Another account has it.
    #[error("this key belongs to another account")]
    KeyTaken,
    /// It was revoked before.
    #[error("this key was revoked; choose another")]
    Revoked,
    /// Too short to be a secret, or too long.
    #[error("a key has {min} to {max} characters")]
    Length {
        /// Fewest characters.
        min: usize,
        /// Most characters.
        max: usize,
    },
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// Why a key was not revoked.
#[derive(Debug, thiserror::Error)]
pub enum RevokeApiKeyError {
    /// The account has no such key.
    #[error("no such key")]
    NotFound,
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

from_database!(InsertApiKeyError, RevokeApiKeyError);

impl Store {
    /// Makes a key: `tdm_` and 64 hexadecimal digits. It is shown this once; only its SHA-256 is stored.
    ///
    /// # Errors
    /// [`InsertApiKeyError::UnknownAccount`].
    pub async fn create_api_key(
        &self,
        account: AccountId,
        name: &str,
    ) -> Result<(ApiKeyId, Secret), InsertApiKeyError> {
        let _ = (account, name);
        todo!()
    }

    /// Takes a key that was chosen elsewhere. Giving the same key to the same account again changes nothing.
    ///
    /// # Errors
    /// [`InsertApiKeyError`].
    pub async fn insert_api_key_with(
        &self,
        account: AccountId,
        name: &str,
        key: &Secret,
    ) -> Result<ApiKeyId, InsertApiKeyError> {
        let _ = (account, name, key);
        todo!()
    }

    /// Whose key this is; `None` for an unknown or revoked one.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn authenticate(&self, key: &str) -> Result<Option<KeyOwner>, DatabaseError> {
        let _ = key;
        todo!()
    }

    /// Revokes a key. Revoking it again keeps the first time.
    ///
    /// # Errors
    /// [`RevokeApiKeyError::NotFound`].
    pub async fn revoke_api_key(&self, account: AccountId, id: ApiKeyId) -> Result<(), RevokeApiKeyError> {
        let _ = (account, id);
        todo!()
    }

    /// Keys of an account, newest first, revoked ones too, at most [`MAX_PAGE`](crate::MAX_PAGE).
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn api_keys(&self, account: AccountId, skip: u32, limit: u32) -> Result<Vec<ApiKey>, DatabaseError> {
        let _ = (account, skip, limit);
        todo!()
    }
}
