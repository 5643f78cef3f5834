use crate::pool::on_pool;
use crate::row::Columns;
use crate::seal::{Place, SealingKey};
use crate::trunk::{READ_DATA_KEY, read_data_key};
use crate::{DatabaseError, Store};
use sha2::{Digest, Sha256};
use std::fmt;
use std::time::Duration;
use subtle::ConstantTimeEq;
use tandem_model::{AccountId, BootId, NodeId, Timestamp};
use uuid::Uuid;
use zeroize::Zeroizing;

/// An idempotency key of one actor in one account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey {
    account: AccountId,
    hash: [u8; 32],
}

/// What the store says of a request with an idempotency key.
#[derive(Clone, PartialEq, Eq)]
pub enum Claim {
    /// The request is to be carried out, by nobody else until [`CLAIM_LIFE`] is over or the claim is given back.
    Granted {
        /// When the key was first seen: the same for every repeat.
        since: Timestamp,
        /// It was begun before, and nobody knows what came of it.
        is_repeat: bool,
    },
    /// It was carried out, and answered with these bytes.
    Answered(Zeroizing<Vec<u8>>),
    /// Somebody is carrying it out.
    InUse,
    /// The key was used for another request.
    OtherRequest,
}

/// Without the answer: some hold secrets that are shown once.
impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Granted { since, is_repeat } => {
                f.debug_struct("Granted").field("since", since).field("is_repeat", is_repeat).finish()
            }
            Self::Answered(_) => f.write_str("Answered(…)"),
            Self::InUse => f.write_str("InUse"),
            Self::OtherRequest => f.write_str("OtherRequest"),
        }
    }
}

impl IdempotencyKey {
    /// The key that an actor, named in a way that no two share, sends for an account.
    #[must_use]
    pub fn new(account: AccountId, actor: &str, key: &str) -> Self {
        let hash = sha256(&[account.as_uuid().as_bytes(), actor.as_bytes(), key.as_bytes()]);
        Self { account, hash }
    }

    /// Bits for the id of what the request makes: the same for every repeat of it, so that what was made is found.
    #[must_use]
    pub fn id_bits(&self) -> [u8; 10] {
        let mut bits = [0; 10];
        for (bit, hashed) in bits.iter_mut().zip(sha256(&[b"id", &self.hash])) {
            *bit = hashed;
        }
        bits
    }

    fn place(&self) -> Place {
        answer_place(&self.hash, self.account).expect("a hash has more bytes than an id")
    }
}

/// Where the answer of the key of this hash is sealed; `None` of what is too short for a hash.
pub(crate) fn answer_place(hash: &[u8], account: AccountId) -> Option<Place> {
    let (row, _) = hash.split_first_chunk()?;
    Some(Place { table: "idempotency_keys", column: "answer", row: Uuid::from_bytes(*row), account })
}

/// The hash of what makes two requests the same, each part with its length.
fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

impl Store {
    /// Claims a key for a request, which `request` makes out: its method, its path, its body. Of those who claim it at once one is
    /// granted it. A process that has started anew takes over what it was doing before.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn claim_idempotency_key(
        &self,
        key: &IdempotencyKey,
        request: &[&[u8]],
        now: Timestamp,
    ) -> Result<Claim, DatabaseError> {
        let request = sha256(request);
        // Once more when the row that was there has expired.
        for _ in 0..2 {
            if self.insert_claim(key, &request, now).await? {
                return Ok(Claim::Granted { since: now, is_repeat: false });
            }
            let Some(known) = self.known_key(key).await? else { continue };
            if known.created_at.saturating_add(ANSWER_LIFE) <= now {
                self.forget_key(key, known.created_at).await?;
                continue;
            }
            let is_same: bool = known.request.ct_eq(request.as_slice()).into();
            if !is_same {
                return Ok(Claim::OtherRequest);
            }
            if let Some(answer) = known.answer {
                return Ok(Claim::Answered(answer));
            }
            let is_ours_of_old = known.node == self.node_id() && known.boot != self.boot_id();
            let is_free = known.claimed_until <= now || is_ours_of_old;
            if is_free && self.take_over(key, &known, now).await? {
                return Ok(Claim::Granted { since: known.created_at, is_repeat: true });
            }
            return Ok(Claim::InUse);
        }
        Ok(Claim::InUse)
    }

    /// Keeps the answer to a request that this process was granted, sealed with the key of the account: some hold secrets that are
    /// shown once.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn keep_answer(&self, key: &IdempotencyKey, answer: &[u8]) -> Result<(), DatabaseError> {
        let sealed = self.data_key(key.account).await?.seal(answer, key.place())?;
        on_pool!(self, pools => sqlx::query(
                "UPDATE idempotency_keys SET answer = $3 WHERE key_sha256 = $1 AND claimed_boot = $2",
            )
            .bind(key.hash.as_slice())
            .bind(self.boot_id().as_uuid())
            .bind(sealed)
            .execute(&pools.writer)
            .await
            .map(drop)?);
        Ok(())
    }

    /// Gives a claim back. When nothing came of the request the key is as new; else the same request, and no other, may be carried
    /// out again at once.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn release_idempotency_key(
        &self,
        key: &IdempotencyKey,
        nothing_came_of_it: bool,
    ) -> Result<(), DatabaseError> {
        let statement = if nothing_came_of_it {
            "DELETE FROM idempotency_keys WHERE key_sha256 = $1 AND claimed_boot = $2 AND answer IS NULL"
        } else {
            "UPDATE idempotency_keys SET claimed_until = 0 WHERE key_sha256 = $1 AND claimed_boot = $2"
        };
        on_pool!(self, pools => sqlx::query(statement)
            .bind(key.hash.as_slice())
            .bind(self.boot_id().as_uuid())
            .execute(&pools.writer)
            .await
            .map(drop)?);
        Ok(())
    }

    /// Removes keys whose life is over, and of each account the oldest beyond [`MAX_KEYS`]; gives how many.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn remove_old_idempotency_keys(&self, now: Timestamp) -> Result<u64, DatabaseError> {
        let mut removed = 0;
        loop {
            let expired = on_pool!(self, pools => sqlx::query(
                    "DELETE FROM idempotency_keys WHERE key_sha256 IN
                     (SELECT key_sha256 FROM idempotency_keys WHERE created_at <= $1 ORDER BY created_at LIMIT $2)",
                )
                .bind(now.saturating_sub(ANSWER_LIFE).unix_micros())
                .bind(BATCH)
                .execute(&pools.writer)
                .await?
                .rows_affected());
            removed += expired;
            if expired < BATCH.unsigned_abs() {
                break;
            }
        }
        let too_many: Vec<(Uuid, i64)> = on_pool!(self, pools => sqlx::query_as(
                "SELECT account_id, count(*) FROM idempotency_keys GROUP BY account_id HAVING count(*) > $1",
            )
            .bind(MAX_KEYS)
            .fetch_all(&pools.reader)
            .await?);
        for (account, keys) in too_many {
            let mut spare = keys - MAX_KEYS;
            while spare > 0 {
                removed += on_pool!(self, pools => sqlx::query(
                        "DELETE FROM idempotency_keys WHERE key_sha256 IN
                         (SELECT key_sha256 FROM idempotency_keys WHERE account_id = $1 ORDER BY created_at LIMIT $2)",
                    )
                    .bind(account)
                    .bind(spare.min(BATCH))
                    .execute(&pools.writer)
                    .await?
                    .rows_affected());
                spare -= BATCH;
            }
        }
        Ok(removed)
    }

    async fn insert_claim(
        &self,
        key: &IdempotencyKey,
        request: &[u8; 32],
        now: Timestamp,
    ) -> Result<bool, DatabaseError> {
        let inserted = on_pool!(self, pools => sqlx::query(
                "INSERT INTO idempotency_keys
                     (key_sha256, account_id, request_sha256, created_at, claimed_node, claimed_boot, claimed_until)
                 VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (key_sha256) DO NOTHING",
            )
            .bind(key.hash.as_slice())
            .bind(key.account.as_uuid())
            .bind(request.as_slice())
            .bind(now.unix_micros())
            .bind(self.node_id().as_uuid())
            .bind(self.boot_id().as_uuid())
            .bind(now.saturating_add(CLAIM_LIFE).unix_micros())
            .execute(&pools.writer)
            .await?
            .rows_affected());
        Ok(inserted > 0)
    }

    /// Read where it was written: a reader may be behind.
    async fn known_key(&self, key: &IdempotencyKey) -> Result<Option<KnownKey>, DatabaseError> {
        on_pool!(self, pools => {
            let row = sqlx::query(
                "SELECT idempotency_keys.*, accounts.data_key FROM idempotency_keys
                 JOIN accounts ON accounts.id = idempotency_keys.account_id WHERE key_sha256 = $1",
            )
            .bind(key.hash.as_slice())
            .fetch_optional(&pools.writer)
            .await?;
            let Some(row) = row else { return Ok(None) };
            let answer = match row.bytes_opt("answer")? {
                None => None,
                Some(sealed) => {
                    let data_key = read_data_key(&row, self.master_key(), key.account)?;
                    Some(data_key.open(&sealed, key.place())?)
                }
            };
            Ok(Some(KnownKey {
                request: row.bytes("request_sha256")?,
                created_at: row.time("created_at")?,
                node: NodeId::from_uuid(row.uuid("claimed_node")?),
                boot: BootId::from_uuid(row.uuid("claimed_boot")?),
                claimed_until: row.time("claimed_until")?,
                answer,
            }))
        })
    }

    /// Whether the claim that is known is ours now: another may have been quicker.
    async fn take_over(&self, key: &IdempotencyKey, known: &KnownKey, now: Timestamp) -> Result<bool, DatabaseError> {
        let taken = on_pool!(self, pools => sqlx::query(
                "UPDATE idempotency_keys SET claimed_node = $2, claimed_boot = $3, claimed_until = $4
                 WHERE key_sha256 = $1 AND claimed_boot = $5 AND claimed_until = $6 AND answer IS NULL",
            )
            .bind(key.hash.as_slice())
            .bind(self.node_id().as_uuid())
            .bind(self.boot_id().as_uuid())
            .bind(now.saturating_add(CLAIM_LIFE).unix_micros())
            .bind(known.boot.as_uuid())
            .bind(known.claimed_until.unix_micros())
            .execute(&pools.writer)
            .await?
            .rows_affected());
        Ok(taken > 0)
    }

    async fn forget_key(&self, key: &IdempotencyKey, created_at: Timestamp) -> Result<(), DatabaseError> {
        on_pool!(self, pools => sqlx::query("DELETE FROM idempotency_keys WHERE key_sha256 = $1 AND created_at = $2")
            .bind(key.hash.as_slice())
            .bind(created_at.unix_micros())
            .execute(&pools.writer)
            .await
            .map(drop)?);
        Ok(())
    }

    async fn data_key(&self, account: AccountId) -> Result<SealingKey, DatabaseError> {
        on_pool!(self, pools => {
            let row = sqlx::query(READ_DATA_KEY).bind(account.as_uuid()).fetch_one(&pools.reader).await?;
            read_data_key(&row, self.master_key(), account)
        })
    }
}

/// A row of `idempotency_keys`.
struct KnownKey {
    request: Vec<u8>,
    created_at: Timestamp,
    node: NodeId,
    boot: BootId,
    claimed_until: Timestamp,
    answer: Option<Zeroizing<Vec<u8>>>,
}

/// How long a key is known, from when it was first sent.
pub const ANSWER_LIFE: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a request may be carried out before another process takes it over: many times what the slowest takes, which waits for a
/// probe or for a database.
pub const CLAIM_LIFE: Duration = Duration::from_secs(60);
/// Keys of one account: two a second all day. Beyond it the oldest are forgotten before their time.
pub const MAX_KEYS: i64 = 200_000;
/// Rows removed in one statement: others write in between.
const BATCH: i64 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_not_shown() {
        let claim = Claim::Answered(Zeroizing::new(b"{}".to_vec()));
        assert_eq!(format!("{claim:?}"), "Answered(…)");
    }

    #[test]
    fn a_key_is_of_one_actor_in_one_account() {
        let account = |number| AccountId::from_uuid(Uuid::from_u128(number));
        let key = IdempotencyKey::new(account(1), "key:1", "a");
        assert_eq!(key, IdempotencyKey::new(account(1), "key:1", "a"));
        for other in [
            IdempotencyKey::new(account(2), "key:1", "a"),
            IdempotencyKey::new(account(1), "key:2", "a"),
            IdempotencyKey::new(account(1), "key:1", "b"),
            IdempotencyKey::new(account(1), "key:", "1a"),
        ] {
            assert_ne!(key.hash, other.hash);
            assert_ne!(key.id_bits(), other.id_bits());
        }
    }
}
