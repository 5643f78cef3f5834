use crate::account::read_account;
use crate::audit::ActTransaction;
use crate::error::{from_database, is_foreign_key_violation};
use crate::list::{Bound, Condition, KeyKind, Listed, Listing, Part, ReadRow, SortKey};
use crate::pool::on_pool;
use crate::routing::BUMP_REVISION;
use crate::row::Columns;
use crate::store::{now, random};
use crate::{Act, Change, DatabaseError, Stale, Store};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::time::Duration;
use subtle::ConstantTimeEq;
use tandem_model::{Account, AccountId, ApiKeyId, Permissions, Secret, Timestamp};
use uuid::Uuid;
use zeroize::Zeroizing;

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
    /// What it may do.
    pub scopes: Permissions,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it; `None` for keys that are older than this is noted.
    pub created_by: Option<KeyMaker>,
    /// From when on it no longer counts.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to about a minute.
    pub last_used_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// Who made a key, as the audit log names actors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyMaker {
    /// A spelling of [`ActorKind`](crate::ActorKind), or of a newer build's.
    pub kind: String,
    /// The id of the key or the user.
    pub id: Option<Uuid>,
}

/// A key to be made.
#[derive(Clone, Copy, Debug)]
pub struct NewApiKey<'a> {
    /// Whose it is.
    pub account_id: AccountId,
    /// A name for people.
    pub name: &'a str,
    /// What it may do.
    pub scopes: Permissions,
    /// From when on it no longer counts.
    pub expires_at: Option<Timestamp>,
}

/// Who a bearer key belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyOwner {
    /// The key.
    pub key_id: ApiKeyId,
    /// Its name for people.
    pub name: String,
    /// Its account.
    pub account: Account,
    /// What it may do.
    pub scopes: Permissions,
    /// From when on it no longer counts.
    pub expires_at: Option<Timestamp>,
    /// Whether admins of the account may act for others.
    pub node_admin: bool,
    /// When its use was last noted.
    pub last_used_at: Option<Timestamp>,
}

/// Most keys of one account that are not revoked: enough for one a service and one a person, few enough to list.
pub const MAX_LIVE_KEYS: u32 = 1_000;

/// What comes of asking for another secret of a key.
#[derive(Debug)]
pub enum SecretReplacement {
    /// The key has this secret now, and the one before counts no more.
    Replaced(Box<ApiKey>, Secret),
    /// It was used or revoked, and stays as it is.
    InUse,
    /// The account has no such key.
    NoSuchKey,
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
    /// The account has all its keys.
    #[error("the account has its {MAX_LIVE_KEYS} keys; revoke one")]
    TooMany,
    /// It is made by a key that was revoked meanwhile.
    #[error("the key that makes it was revoked")]
    MakerRevoked,
    /// It is made by a key that ends before it.
    #[error("the key that makes it ends at {end}")]
    EndsAfterMaker {
        /// When the maker ends.
        end: Timestamp,
    },
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
    /// The act names another version of it.
    #[error(transparent)]
    Stale(#[from] Stale),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

from_database!(InsertApiKeyError, RevokeApiKeyError);

impl Store {
    /// Makes a key that may do everything and never expires. It is shown this once; only its SHA-256 is stored.
    ///
    /// # Errors
    /// [`InsertApiKeyError::UnknownAccount`], [`InsertApiKeyError::TooMany`].
    pub async fn create_api_key(
        &self,
        act: &Act,
        account: AccountId,
        name: &str,
    ) -> Result<(ApiKeyId, Secret), InsertApiKeyError> {
        let new = NewApiKey { account_id: account, name, scopes: Permissions::ALL, expires_at: None };
        let (key, secret) = self.create_limited_api_key(act, new).await?;
        Ok((key.id, secret))
    }

    /// Makes a key: `tdm_` and 64 hexadecimal digits. It is shown this once; only its SHA-256 is stored. One that a key makes ends with
    /// its maker, or before.
    ///
    /// # Errors
    /// [`InsertApiKeyError::UnknownAccount`], [`InsertApiKeyError::TooMany`], [`InsertApiKeyError::MakerRevoked`],
    /// [`InsertApiKeyError::EndsAfterMaker`].
    pub async fn create_limited_api_key(
        &self,
        act: &Act,
        new: NewApiKey<'_>,
    ) -> Result<(ApiKey, Secret), InsertApiKeyError> {
        self.create_api_key_of_id(act, ApiKeyId::new(now(), random()?), new).await
    }

    /// As [`create_limited_api_key`](Self::create_limited_api_key), with an id that nothing else has.
    ///
    /// # Errors
    /// As there.
    pub async fn create_api_key_of_id(
        &self,
        act: &Act,
        id: ApiKeyId,
        new: NewApiKey<'_>,
    ) -> Result<(ApiKey, Secret), InsertApiKeyError> {
        let key = new_secret()?;
        Ok((self.insert_key(act, id, new, &key).await?, key))
    }

    /// Gives a key that nobody has used another secret, which is shown this once: who asked for the key has not seen the first.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn replace_unused_secret(
        &self,
        act: &Act,
        account: AccountId,
        id: ApiKeyId,
    ) -> Result<SecretReplacement, DatabaseError> {
        let secret = new_secret()?;
        on_pool!(self, pools => {
            let mut transaction = pools.begin().await?;
            let found = sqlx::query(FIND_API_KEY)
                .bind(id.as_uuid())
                .bind(account.as_uuid())
                .fetch_optional(&mut *transaction)
                .await?;
            let Some(found) = found else { return Ok(SecretReplacement::NoSuchKey) };
            let before = read_api_key(&found)?;
            let key = ApiKey { prefix: visible_prefix(secret.expose()), ..before.clone() };
            // Looked at once more: a use is noted outside of transactions like this one.
            let replaced = sqlx::query(
                "UPDATE api_keys SET key_sha256 = $2, prefix = $3 WHERE id = $1 AND last_used_at IS NULL AND revoked_at IS NULL",
            )
            .bind(id.as_uuid())
            .bind(hash(secret.expose()).as_slice())
            .bind(key.prefix.as_str())
            .execute(&mut *transaction)
            .await?
            .rows_affected();
            if replaced == 0 {
                return Ok(SecretReplacement::InUse);
            }
            sqlx::query(BUMP_REVISION).execute(&mut *transaction).await?;
            let change = Change::new(account, "api_key.replace_secret", &id)
                .changed(json!({"prefix": before.prefix}), json!({"prefix": key.prefix}))
                .replaced("key", true);
            transaction.finish(self, act, change).await?;
            Ok(SecretReplacement::Replaced(Box::new(key), secret))
        })
    }

    /// Takes a key that was chosen elsewhere, which may do everything and never expires. Giving the same key to the same account again
    /// changes nothing.
    ///
    /// # Errors
    /// [`InsertApiKeyError`].
    pub async fn insert_api_key_with(
        &self,
        act: &Act,
        account: AccountId,
        name: &str,
        key: &Secret,
    ) -> Result<ApiKeyId, InsertApiKeyError> {
        if !(MIN_KEY_BYTES..=MAX_KEY_BYTES).contains(&key.expose().len()) {
            return Err(InsertApiKeyError::Length { min: MIN_KEY_BYTES, max: MAX_KEY_BYTES });
        }
        let new = NewApiKey { account_id: account, name, scopes: Permissions::ALL, expires_at: None };
        Ok(self.insert_key(act, ApiKeyId::new(now(), random()?), new, key).await?.id)
    }

    async fn insert_key(
        &self,
        act: &Act,
        id: ApiKeyId,
        new: NewApiKey<'_>,
        secret: &Secret,
    ) -> Result<ApiKey, InsertApiKeyError> {
        let maker = act.actor.key();
        let mut key = ApiKey {
            id,
            account_id: new.account_id,
            name: new.name.to_owned(),
            prefix: visible_prefix(secret.expose()),
            scopes: new.scopes,
            created_at: now(),
            created_by: Some(KeyMaker { kind: act.actor.kind.as_str().to_owned(), id: act.actor.id }),
            expires_at: new.expires_at,
            last_used_at: None,
            revoked_at: None,
        };
        let hash = hash(secret.expose());
        on_pool!(self, pools => {
            let mut transaction = pools.begin().await?;
            let known = sqlx::query("SELECT * FROM api_keys WHERE key_sha256 = $1")
                .bind(hash.as_slice())
                .fetch_optional(&mut *transaction)
                .await?;
            if let Some(known) = known {
                let known = read_api_key(&known)?;
                return if known.account_id != key.account_id {
                    Err(InsertApiKeyError::KeyTaken)
                } else if known.revoked_at.is_some() {
                    Err(InsertApiKeyError::Revoked)
                } else {
                    Ok(known)
                };
            }
            if let Some(maker) = maker {
                // Whatever account it belongs to: an admin of the node acts for another.
                let maker = sqlx::query("SELECT * FROM api_keys WHERE id = $1")
                    .bind(maker.as_uuid())
                    .fetch_optional(&mut *transaction)
                    .await?;
                key.expires_at = end_by(maker.map(|row| read_api_key(&row)).transpose()?, key.expires_at)?;
            }
            let live: u32 =
                sqlx::query("SELECT count(*) AS live FROM api_keys WHERE account_id = $1 AND revoked_at IS NULL")
                    .bind(key.account_id.as_uuid())
                    .fetch_one(&mut *transaction)
                    .await?
                    .number("live")?;
            if live >= MAX_LIVE_KEYS {
                return Err(InsertApiKeyError::TooMany);
            }
            let inserted = sqlx::query(
                "INSERT INTO api_keys
                 (id, account_id, name, prefix, key_sha256, scopes, created_at, expires_at, created_by_kind, created_by_id)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
            )
            .bind(key.id.as_uuid())
            .bind(key.account_id.as_uuid())
            .bind(key.name.as_str())
            .bind(key.prefix.as_str())
            .bind(hash.as_slice())
            .bind(key.scopes.to_string())
            .bind(key.created_at.unix_micros())
            .bind(key.expires_at.map(Timestamp::unix_micros))
            .bind(act.actor.kind.as_str())
            .bind(act.actor.id)
            .execute(&mut *transaction)
            .await;
            match inserted {
                Err(error) if is_foreign_key_violation(&error) => return Err(InsertApiKeyError::UnknownAccount),
                inserted => inserted?,
            };
            sqlx::query(BUMP_REVISION).execute(&mut *transaction).await?;
            let fields = json!({
                "name": key.name,
                "prefix": key.prefix,
                "scopes": key.scopes.to_string(),
                "expires_at": key.expires_at,
            });
            let change = Change::new(key.account_id, "api_key.create", &key.id).made(fields);
            transaction.finish(self, act, change).await?;
        });
        Ok(key)
    }

    /// Whose key this is; `None` for an unknown or revoked one. Whether it has expired is for the caller to see, whose clock counts.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn authenticate(&self, key: &str) -> Result<Option<KeyOwner>, DatabaseError> {
        if key.len() > MAX_KEY_BYTES {
            return Ok(None);
        }
        let hash = hash(key);
        let found = on_pool!(self, pools => sqlx::query(
                "SELECT accounts.*, api_keys.id AS key_id, api_keys.name AS key_name, api_keys.key_sha256, api_keys.scopes,
                     api_keys.expires_at, api_keys.last_used_at
                 FROM api_keys JOIN accounts ON accounts.id = api_keys.account_id
                 WHERE api_keys.key_sha256 = $1 AND api_keys.revoked_at IS NULL",
            )
            .bind(hash.as_slice())
            .fetch_optional(&pools.reader)
            .await?
            .map(|row| read_owner(&row))
            .transpose()?);
        let Some(found) = found else {
            return Ok(None);
        };
        // The index has compared the hashes already, in a time that tells at most about a hash, never about a key. This compares
        // once more, in constant time, so that nothing hangs on how a database compares.
        Ok(bool::from(found.hash.ct_eq(&hash)).then_some(found.owner))
    }

    /// Revokes a key, and with it those that it has made, of whatever account, and those that they have made; tells how many were revoked
    /// with it. Revoking it again keeps the first time.
    ///
    /// # Errors
    /// [`RevokeApiKeyError::NotFound`].
    pub async fn revoke_api_key(
        &self,
        act: &Act,
        account: AccountId,
        id: ApiKeyId,
    ) -> Result<usize, RevokeApiKeyError> {
        on_pool!(self, pools => {
            let mut transaction = pools.begin().await?;
            let key = sqlx::query(FIND_API_KEY)
                .bind(id.as_uuid())
                .bind(account.as_uuid())
                .fetch_optional(&mut *transaction)
                .await?
                .map(|row| read_api_key(&row))
                .transpose()?
                .ok_or(RevokeApiKeyError::NotFound)?;
            act.expects(&key)?;
            let revoked = sqlx::query(REVOKE_FAMILY)
                .bind(id.as_uuid())
                .bind(now().unix_micros())
                .fetch_all(&mut *transaction)
                .await?;
            sqlx::query(BUMP_REVISION).execute(&mut *transaction).await?;
            let mut changes = vec![Change::new(account, "api_key.revoke", &id)];
            for row in &revoked {
                let key = read_api_key(row)?;
                if key.id != id {
                    changes.push(Change::new(key.account_id, "api_key.revoke", &key.id).made(json!({"revoked_with": id})));
                }
            }
            let with_it = changes.len() - 1;
            transaction.finish_all(self, act, &changes).await?;
            Ok(with_it)
        })
    }

    /// Keys of an account, newest first, revoked ones too, at most [`MAX_PAGE`](crate::MAX_PAGE).
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn api_keys(&self, account: AccountId, skip: u32, limit: u32) -> Result<Vec<ApiKey>, DatabaseError> {
        Ok(self.list_api_keys(account, None, &Part::page(skip, limit)).await?.rows)
    }

    /// Keys of an account, newest first: revoked ones, those that are not, or all. Reversed they are oldest first.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn list_api_keys(
        &self,
        account: AccountId,
        revoked: Option<bool>,
        part: &Part,
    ) -> Result<Listed<ApiKey>, DatabaseError> {
        self.list(&listing(account, revoked), part, &ReadKey).await
    }

    /// How many there are; `None` of more than [`MAX_COUNTED`](crate::MAX_COUNTED).
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn count_api_keys(
        &self,
        account: AccountId,
        revoked: Option<bool>,
    ) -> Result<Option<u64>, DatabaseError> {
        self.count(&listing(account, revoked)).await
    }

    /// One key of an account.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn api_key(&self, account: AccountId, id: ApiKeyId) -> Result<Option<ApiKey>, DatabaseError> {
        on_pool!(self, pools => sqlx::query(FIND_API_KEY)
            .bind(id.as_uuid())
            .bind(account.as_uuid())
            .fetch_optional(&pools.reader)
            .await?
            .map(|row| read_api_key(&row))
            .transpose())
    }

    /// Notes that a key was used, only if a connection is to spare: nobody who writes has to wait for it.
    pub async fn note_key_use(&self, id: ApiKeyId, now: Timestamp) {
        let noted = on_pool!(self, pools => match pools.spare_writer().await {
            Some(mut connection) => sqlx::query("UPDATE api_keys SET last_used_at = $2 WHERE id = $1")
                .bind(id.as_uuid())
                .bind(now.unix_micros())
                .execute(&mut *connection)
                .await
                .map(drop),
            None => Ok(()),
        });
        if let Err(error) = noted {
            tracing::warn!(key_id = %id, error = %DatabaseError::from(error), "the use of an API key was not noted");
        }
    }
}

impl KeyOwner {
    /// Whether its use is to be noted by [`Store::note_key_use`]: about once a minute.
    #[must_use]
    pub fn is_use_due(&self, now: Timestamp) -> bool {
        self.last_used_at.is_none_or(|last| now.since(last) >= USE_NOTED_EVERY)
    }
}

struct FoundKey {
    owner: KeyOwner,
    hash: Vec<u8>,
}

fn read_owner<R: Columns>(row: &R) -> Result<FoundKey, DatabaseError> {
    let owner = KeyOwner {
        key_id: ApiKeyId::from_uuid(row.uuid("key_id")?),
        name: row.text("key_name")?,
        account: read_account(row)?,
        scopes: row.parsed("scopes")?,
        expires_at: row.time_opt("expires_at")?,
        node_admin: row.boolean("node_admin")?,
        last_used_at: row.time_opt("last_used_at")?,
    };
    Ok(FoundKey { owner, hash: row.bytes("key_sha256")? })
}

/// How keys are listed: the newest first.
pub const API_KEYS_KEY: SortKey = SortKey::descending(&[("created_at", KeyKind::Integer), ("id", KeyKind::Uuid)]);

fn listing(account: AccountId, revoked: Option<bool>) -> Listing {
    let wide =
        revoked.map(|revoked| Condition::Plain(if revoked { "revoked_at IS NOT NULL" } else { "revoked_at IS NULL" }));
    Listing {
        table: "api_keys",
        index: None,
        columns: "*",
        key: API_KEYS_KEY,
        narrow: vec![Condition::Is("account_id", Bound::Uuid(account.as_uuid()))],
        wide: wide.into_iter().collect(),
        from: None,
        to: None,
    }
}

struct ReadKey;

impl ReadRow for ReadKey {
    type Row = ApiKey;

    fn read<R: Columns>(&self, row: &R) -> Result<ApiKey, DatabaseError> {
        read_api_key(row)
    }
}

/// When a key that another makes no longer counts: it cannot outlive its maker.
fn end_by(maker: Option<ApiKey>, asked: Option<Timestamp>) -> Result<Option<Timestamp>, InsertApiKeyError> {
    let maker = maker.filter(|maker| maker.revoked_at.is_none()).ok_or(InsertApiKeyError::MakerRevoked)?;
    match (asked, maker.expires_at) {
        (Some(asked), Some(end)) if asked > end => Err(InsertApiKeyError::EndsAfterMaker { end }),
        (asked, end) => Ok(asked.or(end)),
    }
}

/// Revokes a key with all that descend from it by making. `UNION` passes over what it has seen.
const REVOKE_FAMILY: &str = "UPDATE api_keys SET revoked_at = $2 WHERE revoked_at IS NULL AND id IN (
         WITH RECURSIVE family (id) AS (
             SELECT id FROM api_keys WHERE id = $1
             UNION
             SELECT made.id FROM api_keys AS made JOIN family ON made.created_by_id = family.id
             WHERE made.created_by_kind = 'api_key'
         )
         SELECT id FROM family
     ) RETURNING *";
const FIND_API_KEY: &str = "SELECT * FROM api_keys WHERE id = $1 AND account_id = $2";

fn read_api_key<R: Columns>(row: &R) -> Result<ApiKey, DatabaseError> {
    Ok(ApiKey {
        id: ApiKeyId::from_uuid(row.uuid("id")?),
        account_id: AccountId::from_uuid(row.uuid("account_id")?),
        name: row.text("name")?,
        prefix: row.text("prefix")?,
        scopes: row.parsed("scopes")?,
        created_at: row.time("created_at")?,
        created_by: match row.text_opt("created_by_kind")? {
            Some(kind) => Some(KeyMaker { kind, id: row.uuid_opt("created_by_id")? }),
            None => None,
        },
        expires_at: row.time_opt("expires_at")?,
        last_used_at: row.time_opt("last_used_at")?,
        revoked_at: row.time_opt("revoked_at")?,
    })
}

fn new_secret() -> Result<Secret, DatabaseError> {
    let random = Zeroizing::new(random::<SECRET_BYTES>()?);
    let digits = Zeroizing::new(hex::encode(random.as_slice()));
    Ok(Secret::new([PREFIX, &digits].concat()))
}

/// A plain hash is enough: keys are long and random, so there is nothing to guess slowly.
fn hash(key: &str) -> [u8; 32] {
    Sha256::digest(key).into()
}

/// The first quarter, at most twelve characters: enough to know a key again, too little to guess the rest.
fn visible_prefix(key: &str) -> String {
    key.chars().take((key.len() / 4).min(VISIBLE_CHARACTERS)).collect()
}

/// Tells people and secret scanners whose key it is.
const PREFIX: &str = "tdm_";
const SECRET_BYTES: usize = 32;
const VISIBLE_CHARACTERS: usize = 12;
/// Only a plain hash is kept, so what is chosen elsewhere must be as long as what a generator makes: 128 bits are 32 hexadecimal digits.
const MIN_KEY_BYTES: usize = 32;
/// Longer ones are no keys; a request must not make us hash without end.
const MAX_KEY_BYTES: usize = 512;
/// Close enough to see whether a key is in use, rare enough not to write on each request.
const USE_NOTED_EVERY: Duration = Duration::from_secs(60);
