use crate::audit::ActTransaction;
use crate::error::from_database;
use crate::pool::on_pool;
use crate::row::Columns;
use crate::store::random;
use crate::{Act, Change, DatabaseError, SESSION_LIFE, Store};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::net::IpAddr;
use std::time::Duration;
use tandem_model::{AccountId, Secret, Timestamp, UserId};
use zeroize::Zeroizing;

/// Whether another password may be tried for an e-mail address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignInAttempt {
    /// It may; it counts as failed until [`Store::note_sign_in`] says otherwise.
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

/// Writes what is counted of a source.
macro_rules! set_source {
    ($email:expr, $source:expr, $count:expr) => {
        sqlx::query(SET_SOURCE)
            .bind($email.as_slice())
            .bind($source.as_str())
            .bind(i64::from($count.failures))
            .bind($count.failed_at.unix_micros())
            .bind($count.locked_until.unix_micros())
            .bind($count.signed_in_at.map(Timestamp::unix_micros))
            .bind($count.keep_until().unix_micros())
    };
}

impl Store {
    /// Counts an attempt from a source before its password is looked at, so that attempts at once count, too.
    ///
    /// A source is an address, or a network whose addresses are all somebody's: it waits for what it has tried itself. What all of them
    /// have tried together has a bound as well, by which a source from which somebody has signed in lately is not held.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn count_sign_in(
        &self,
        email: &str,
        source: IpAddr,
        at: Timestamp,
    ) -> Result<SignInAttempt, DatabaseError> {
        let (email, source) = (email_hash(email), source.to_string());
        on_pool!(self, pools => {
            let mut transaction = pools.begin().await?;
            let from_there = sqlx::query(FIND_SOURCE)
                .bind(email.as_slice())
                .bind(source.as_str())
                .fetch_optional(&mut *transaction)
                .await?
                .map(|row| read_source(&row))
                .transpose()?
                .unwrap_or(SourceCount::NONE);
            let from_everywhere = sqlx::query(FIND_FAILURES)
                .bind(email.as_slice())
                .fetch_optional(&mut *transaction)
                .await?
                .map(|row| read_hour(&row))
                .transpose()?
                .unwrap_or(HourCount::NONE);
            let locked_until = from_there.locked_until(at).or_else(|| {
                if from_there.is_known(at) { None } else { from_everywhere.locked_until(at) }
            });
            if let Some(until) = locked_until {
                return Ok(SignInAttempt::LockedUntil(until));
            }
            let (from_there, from_everywhere) = (from_there.failed(at), from_everywhere.failed(at));
            set_source!(email, source, from_there).execute(&mut *transaction).await?;
            sqlx::query(SET_FAILURES)
                .bind(email.as_slice())
                .bind(i64::from(from_everywhere.failures))
                .bind(from_everywhere.since.unix_micros())
                .bind(from_everywhere.until().unix_micros())
                .execute(&mut *transaction)
                .await?;
            transaction.commit().await?;
            Ok(SignInAttempt::Counted)
        })
    }

    /// Somebody has signed in from a source, or shown the password there: what was counted for it does not count, nor what was wrong
    /// before it.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn note_sign_in(&self, email: &str, source: IpAddr, at: Timestamp) -> Result<(), DatabaseError> {
        let (email, source) = (email_hash(email), source.to_string());
        let known = SourceCount { signed_in_at: Some(at), ..SourceCount::NONE };
        on_pool!(self, pools => {
            let mut transaction = pools.begin().await?;
            set_source!(email, source, known).execute(&mut *transaction).await?;
            sqlx::query("UPDATE sign_in_failures SET failures = failures - 1 WHERE email_sha256 = $1 AND failures > 0")
                .bind(email.as_slice())
                .execute(&mut *transaction)
                .await?;
            transaction.commit().await?;
        });
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
        let hour_ago = at.saturating_sub(HOUR);
        on_pool!(self, pools => {
            for (statement, before) in [
                ("DELETE FROM sessions WHERE expires_at <= $1", at),
                ("DELETE FROM sign_in_links WHERE expires_at <= $1", at),
                ("DELETE FROM sign_in_failures WHERE failed_at <= $1", hour_ago),
                ("DELETE FROM sign_in_sources WHERE keep_until <= $1", at),
            ] {
                sqlx::query(statement).bind(before.unix_micros()).execute(&pools.writer).await?;
            }
        });
        Ok(())
    }
}

/// What one source has tried for an e-mail address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct SourceCount {
    /// Failures in a row.
    failures: u32,
    /// The last of them.
    failed_at: Timestamp,
    locked_until: Timestamp,
    /// When somebody last signed in from there.
    signed_in_at: Option<Timestamp>,
}

impl SourceCount {
    const NONE: Self = Self { failures: 0, failed_at: NEVER, locked_until: NEVER, signed_in_at: None };

    fn locked_until(self, at: Timestamp) -> Option<Timestamp> {
        Some(self.locked_until).filter(|until| *until > at)
    }

    /// Whether somebody has signed in from there lately: that is no stranger.
    fn is_known(self, at: Timestamp) -> bool {
        self.signed_in_at.is_some_and(|signed_in| at.since(signed_in) < KNOWN_FOR)
    }

    fn failed(self, at: Timestamp) -> Self {
        let before = if at.since(self.failed_at) < FORGOTTEN_AFTER { self.failures } else { 0 };
        let failures = before.saturating_add(1);
        Self { failures, failed_at: at, locked_until: at.saturating_add(lock_after(failures)), ..self }
    }

    /// When nothing of it counts any more.
    fn keep_until(self) -> Timestamp {
        let known_until = self.signed_in_at.map_or(NEVER, |at| at.saturating_add(KNOWN_FOR));
        known_until.max(self.failed_at.saturating_add(FORGOTTEN_AFTER))
    }
}

/// What all sources have tried for an e-mail address within an hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct HourCount {
    failures: u32,
    /// When the hour began.
    since: Timestamp,
}

impl HourCount {
    const NONE: Self = Self { failures: 0, since: NEVER };

    fn until(self) -> Timestamp {
        self.since.saturating_add(HOUR)
    }

    fn locked_until(self, at: Timestamp) -> Option<Timestamp> {
        Some(self.until()).filter(|until| self.failures >= MOST_AN_HOUR && *until > at)
    }

    fn failed(self, at: Timestamp) -> Self {
        let hour = if self.until() > at { self } else { Self { failures: 0, since: at } };
        Self { failures: hour.failures.saturating_add(1), ..hour }
    }
}

fn read_source<R: Columns>(row: &R) -> Result<SourceCount, DatabaseError> {
    Ok(SourceCount {
        failures: row.number("failures")?,
        failed_at: row.time("failed_at")?,
        locked_until: row.time("locked_until")?,
        signed_in_at: row.time_opt("signed_in_at")?,
    })
}

fn read_hour<R: Columns>(row: &R) -> Result<HourCount, DatabaseError> {
    Ok(HourCount { failures: row.number("failures")?, since: row.time("failed_at")? })
}

/// How long a source is locked after so many failures.
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

const FIND_SOURCE: &str = "SELECT * FROM sign_in_sources WHERE email_sha256 = $1 AND source = $2";
const SET_SOURCE: &str =
    "INSERT INTO sign_in_sources (email_sha256, source, failures, failed_at, locked_until, signed_in_at, keep_until)
     VALUES ($1, $2, $3, $4, $5, $6, $7)
     ON CONFLICT (email_sha256, source) DO UPDATE
     SET failures = excluded.failures, failed_at = excluded.failed_at, locked_until = excluded.locked_until,
         signed_in_at = excluded.signed_in_at, keep_until = excluded.keep_until";
const FIND_FAILURES: &str = "SELECT * FROM sign_in_failures WHERE email_sha256 = $1";
/// `failed_at` is when the hour began, and `locked_until` when it is over.
const SET_FAILURES: &str =
    "INSERT INTO sign_in_failures (email_sha256, failures, failed_at, locked_until) VALUES ($1, $2, $3, $4)
     ON CONFLICT (email_sha256) DO UPDATE
     SET failures = excluded.failures, failed_at = excluded.failed_at, locked_until = excluded.locked_until";

/// Failures in a row from which on a source is locked: people mistype.
const FREE_FAILURES: u32 = 5;
/// Of the fifth failure; each one more doubles it.
const FIRST_LOCK: Duration = Duration::from_secs(30);
/// 24 guesses a day from one source.
const LONGEST_LOCK: Duration = Duration::from_secs(60 * 60);
/// Wrong passwords for one e-mail address within an hour, wherever they come from: ten people who mistype, and 1,200 guesses a day for
/// somebody with any number of addresses.
const MOST_AN_HOUR: u32 = 50;
const HOUR: Duration = Duration::from_secs(60 * 60);
/// How long a source is known from which somebody has signed in: as long as a session lives without being renewed.
const KNOWN_FOR: Duration = SESSION_LIFE;
/// Before every moment of a node.
const NEVER: Timestamp = Timestamp::from_unix_micros(0);
/// Failures of a source are counted anew after so long without one.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(24 * 60 * 60);
/// Tells people and secret scanners what it is.
const PREFIX: &str = "tdl_";
const TOKEN_BYTES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_micros(1_000_000_000_000_000 + seconds * 1_000_000)
    }

    #[test]
    fn locks_double_from_the_fifth_failure_to_an_hour() {
        let seconds: Vec<u64> = [1, 4, 5, 6, 7, 11, 12, 4_000_000_000].map(|count| lock_after(count).as_secs()).into();
        assert_eq!(seconds, [0, 0, 30, 60, 120, 1_920, 3_600, 3_600]);
    }

    #[test]
    fn an_hour_has_fifty_failures_and_the_next_as_many_again() {
        let mut hour = HourCount::NONE;
        for second in 0..50 {
            assert_eq!(hour.locked_until(at(second)), None, "{second}");
            hour = hour.failed(at(second));
        }
        assert_eq!(hour.locked_until(at(50)), Some(at(3_600)));
        assert_eq!(hour.locked_until(at(3_600)), None);
        assert_eq!(hour.failed(at(3_600)), HourCount { failures: 1, since: at(3_600) });
    }

    #[test]
    fn a_source_is_known_for_thirty_days_and_kept_as_long() {
        let days = |days: i64| at(days * 86_400);
        let source = SourceCount { signed_in_at: Some(at(0)), ..SourceCount::NONE };
        assert!(source.is_known(days(29)) && !source.is_known(days(30)));
        assert_eq!(source.keep_until(), days(30));
        assert_eq!(SourceCount::NONE.failed(at(0)).keep_until(), days(1));
        assert_eq!(source.failed(days(29)).keep_until(), days(30));
    }
}
