use crate::audit::ActTransaction;
use crate::error::from_database;
use crate::pool::on_pool;
use crate::row::Columns;
use crate::store::random;
use crate::{Act, Change, DatabaseError, Store};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::time::Duration;
use tandem_model::{AccountId, Secret, Timestamp, UserId};
use zeroize::Zeroizing;

/// Whether another password may be tried for an e-mail address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignInAttempt {
    /// It may; it counts as failed until [`Store::forget_sign_in_failures`] says otherwise.
    Counted,
    /// Too many were wrong: none is looked at until then.
    LockedUntil(Timestamp),
}

/// Why there is no sign-in link.
#[derive(Debug, thiserror::Error)]
pub enum MakeLinkError {
    /// The account has no such user.
    #[error("no such user")]
    UnknownUser,
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

from_database!(MakeLinkError);

impl Store {
    /// Counts an attempt before its password is looked at, so that attempts at once count, too.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn count_sign_in(&self, email: &str, at: Timestamp) -> Result<SignInAttempt, DatabaseError> {
        let email = email_hash(email);
        on_pool!(self, pools => {
            let mut transaction = pools.begin().await?;
            let row = sqlx::query("SELECT * FROM sign_in_failures WHERE email_sha256 = $1")
                .bind(email.as_slice())
                .fetch_optional(&mut *transaction)
                .await?;
            let mut failures = 1;
            if let Some(row) = row {
                let locked_until = row.time("locked_until")?;
                if locked_until > at {
                    return Ok(SignInAttempt::LockedUntil(locked_until));
                }
                if at.since(row.time("failed_at")?) < FORGOTTEN_AFTER {
                    failures = row.number::<u32>("failures")?.saturating_add(1);
                }
            }
            sqlx::query(
                "INSERT INTO sign_in_failures (email_sha256, failures, failed_at, locked_until) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (email_sha256) DO UPDATE
                 SET failures = excluded.failures, failed_at = excluded.failed_at, locked_until = excluded.locked_until",
            )
            .bind(email.as_slice())
            .bind(i64::from(failures))
            .bind(at.unix_micros())
            .bind(at.saturating_add(lock_after(failures)).unix_micros())
            .execute(&mut *transaction)
            .await?;
            transaction.commit().await?;
            Ok(SignInAttempt::Counted)
        })
    }

    /// The password was right: what was wrong before it no longer counts.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn forget_sign_in_failures(&self, email: &str) -> Result<(), DatabaseError> {
        on_pool!(self, pools => sqlx::query("DELETE FROM sign_in_failures WHERE email_sha256 = $1")
            .bind(email_hash(email).as_slice())
            .execute(&pools.writer)
            .await
            .map(drop)?);
        Ok(())
    }

    /// Makes a token with which a user signs in once, without a password. Only its SHA-256 is stored.
    ///
    /// # Errors
    /// [`MakeLinkError::UnknownUser`].
    pub async fn make_sign_in_link(
        &self,
        act: &Act,
        account: AccountId,
        user: UserId,
        expires_at: Timestamp,
    ) -> Result<Secret, MakeLinkError> {
        let bytes = Zeroizing::new(random::<TOKEN_BYTES>()?);
        let digits = Zeroizing::new(hex::encode(bytes.as_slice()));
        let token = Secret::new([PREFIX, &digits].concat());
        on_pool!(self, pools => {
            let mut transaction = pools.begin().await?;
            let made = sqlx::query(
                "INSERT INTO sign_in_links (token_sha256, account_id, user_id, expires_at)
                 SELECT $1, account_id, id, $4 FROM users WHERE id = $3 AND account_id = $2",
            )
            .bind(hash(token.expose().as_bytes()).as_slice())
            .bind(account.as_uuid())
            .bind(user.as_uuid())
            .bind(expires_at.unix_micros())
            .execute(&mut *transaction)
            .await?
            .rows_affected();
            if made == 0 {
                return Err(MakeLinkError::UnknownUser);
            }
            let change = Change::new(account, "sign_in_link.create", &user).made(json!({"expires_at": expires_at}));
            transaction.finish(self, act, change).await?;
        });
        Ok(token)
    }

    /// Whom a sign-in link stands for; it is spent by this.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn take_sign_in_link(
        &self,
        token: &str,
        at: Timestamp,
    ) -> Result<Option<(AccountId, UserId)>, DatabaseError> {
        on_pool!(self, pools => sqlx::query(
                "DELETE FROM sign_in_links WHERE token_sha256 = $1 AND expires_at > $2 RETURNING account_id, user_id",
            )
            .bind(hash(token.as_bytes()).as_slice())
            .bind(at.unix_micros())
            .fetch_optional(&pools.writer)
            .await?
            .map(|row| Ok((AccountId::from_uuid(row.uuid("account_id")?), UserId::from_uuid(row.uuid("user_id")?))))
            .transpose())
    }

    /// Removes sessions and links that have expired, and failures that no longer count.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn remove_expired_access(&self, at: Timestamp) -> Result<(), DatabaseError> {
        let forgotten = at.saturating_sub(FORGOTTEN_AFTER);
        on_pool!(self, pools => {
            for (statement, before) in [
                ("DELETE FROM sessions WHERE expires_at <= $1", at),
                ("DELETE FROM sign_in_links WHERE expires_at <= $1", at),
                ("DELETE FROM sign_in_failures WHERE failed_at <= $1", forgotten),
            ] {
                sqlx::query(statement).bind(before.unix_micros()).execute(&pools.writer).await?;
            }
        });
        Ok(())
    }
}

/// How long an address is locked after so many failures.
fn lock_after(failures: u32) -> Duration {
    match failures.checked_sub(FREE_FAILURES) {
        None => Duration::ZERO,
        Some(more) => FIRST_LOCK.saturating_mul(2_u32.saturating_pow(more)).min(LONGEST_LOCK),
    }
}

/// Case is all that makes two spellings of an address one here, as in the table of users.
fn email_hash(email: &str) -> [u8; 32] {
    hash(email.to_lowercase().as_bytes())
}

fn hash(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Failures in a row from which on an address is locked: people mistype.
const FREE_FAILURES: u32 = 5;
/// Of the fifth failure; each one more doubles it.
const FIRST_LOCK: Duration = Duration::from_secs(30);
/// 24 guesses a day at most, and nobody is kept out for longer than this by somebody else's guesses.
const LONGEST_LOCK: Duration = Duration::from_secs(60 * 60);
/// Failures are counted anew after so long without one.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(24 * 60 * 60);
/// Tells people and secret scanners what it is.
const PREFIX: &str = "tdl_";
const TOKEN_BYTES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locks_double_from_the_fifth_failure_to_an_hour() {
        let seconds: Vec<u64> = [1, 4, 5, 6, 7, 11, 12, 4_000_000_000].map(|count| lock_after(count).as_secs()).into();
        assert_eq!(seconds, [0, 0, 30, 60, 120, 1_920, 3_600, 3_600]);
    }
}
