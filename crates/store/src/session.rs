use crate::account::read_account;
use crate::audit::ActTransaction;
use crate::list::{Bound, Condition, KeyKind, Listed, Listing, Part, ReadRow, SortKey};
use crate::pool::on_pool;
use crate::row::Columns;
use crate::store::random;
use crate::user::User;
use crate::{Act, Change, DatabaseError, Store};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::time::Duration;
use subtle::ConstantTimeEq;
use tandem_model::{Account, AccountId, Secret, SessionId, Timestamp, UserId};
use uuid::Uuid;
use zeroize::Zeroizing;

/// A person's sign-in on one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// The account of its user.
    pub account_id: AccountId,
    /// Who signed in.
    pub user_id: UserId,
    /// Where from, when that is known.
    pub client_address: Option<String>,
    /// When.
    pub created_at: Timestamp,
    /// When its tokens were last renewed.
    pub refreshed_at: Timestamp,
    /// When it ends unless its tokens are renewed.
    pub expires_at: Timestamp,
}

/// A session with whom it speaks for, as of now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionOwner {
    /// The session.
    pub session: Session,
    /// Its user.
    pub user: User,
    /// The account of the user.
    pub account: Account,
    /// Whether admins of the account may act for others.
    pub node_admin: bool,
}

/// What became of a refresh token.
#[derive(Debug)]
pub enum Refreshed {
    /// The session goes on, with this token instead.
    Renewed(SessionId, Secret),
    /// The token was spent before: somebody else has it or had it. The session is over.
    Reused(SessionId),
    /// No session has it.
    Unknown,
}

/// How long a session lives without being renewed.
pub const SESSION_LIFE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

impl Store {
    /// Begins a session; gives it with its first refresh token, which is shown this once. The oldest of a user's sessions ends when
    /// there are more than [`MAX_SESSIONS`].
    ///
    /// # Errors
    /// [`DatabaseError`]; also when the user is gone.
    pub async fn open_session(
        &self,
        act: &Act,
        account: AccountId,
        user: UserId,
        client_address: Option<String>,
        at: Timestamp,
    ) -> Result<(Session, Secret), DatabaseError> {
        let session = Session {
            id: SessionId::new(at, random()?),
            account_id: account,
            user_id: user,
            client_address,
            created_at: at,
            refreshed_at: at,
            expires_at: at.saturating_add(SESSION_LIFE),
        };
        let token =
            RefreshToken { session: session.id, family: Zeroizing::new(random()?), once: Zeroizing::new(random()?) };
        on_pool!(self, pools => {
            let mut transaction = pools.begin().await?;
            sqlx::query(
                "INSERT INTO sessions
                 (id, account_id, user_id, family_sha256, refresh_sha256, client_address, created_at, refreshed_at, expires_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $7, $8)",
            )
            .bind(session.id.as_uuid())
            .bind(account.as_uuid())
            .bind(user.as_uuid())
            .bind(hash(token.family.as_slice()).as_slice())
            .bind(hash(token.once.as_slice()).as_slice())
            .bind(session.client_address.as_deref())
            .bind(at.unix_micros())
            .bind(session.expires_at.unix_micros())
            .execute(&mut *transaction)
            .await?;
            sqlx::query(
                "DELETE FROM sessions WHERE user_id = $1 AND id NOT IN
                 (SELECT id FROM sessions WHERE user_id = $1 ORDER BY refreshed_at DESC, id DESC LIMIT $2)",
            )
            .bind(user.as_uuid())
            .bind(i64::from(MAX_SESSIONS))
            .execute(&mut *transaction)
            .await?;
            sqlx::query("UPDATE users SET password_unseen = $2 WHERE id = $1 AND password_unseen <> $2")
                .bind(user.as_uuid())
                .bind(false)
                .execute(&mut *transaction)
                .await?;
            let change = Change::new(account, "session.create", &session.id).made(json!({"user": user}));
            transaction.finish(self, act, change).await?;
        });
        Ok((session, token.to_secret()))
    }

    /// A session that has not ended, with its user and account as they are now.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn session(&self, id: SessionId, at: Timestamp) -> Result<Option<SessionOwner>, DatabaseError> {
        on_pool!(self, pools => sqlx::query(
                "SELECT accounts.*, sessions.id AS session_id, sessions.client_address, sessions.created_at AS session_created_at,
                     sessions.refreshed_at, sessions.expires_at, users.id AS user_id, users.name AS user_name, users.email,
                     users.role, users.created_at AS user_created_at
                 FROM sessions JOIN users ON users.id = sessions.user_id JOIN accounts ON accounts.id = sessions.account_id
                 WHERE sessions.id = $1 AND sessions.expires_at > $2",
            )
            .bind(id.as_uuid())
            .bind(at.unix_micros())
            .fetch_optional(&pools.reader)
            .await?
            .map(|row| read_owner(&row))
            .transpose())
    }

    /// Renews a session by its refresh token, which is spent by it.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn refresh_session(&self, act: &Act, token: &str, at: Timestamp) -> Result<Refreshed, DatabaseError> {
        let Some(token) = RefreshToken::read(token) else {
            return Ok(Refreshed::Unknown);
        };
        let next =
            RefreshToken { session: token.session, family: token.family.clone(), once: Zeroizing::new(random()?) };
        on_pool!(self, pools => {
            let mut transaction = pools.begin().await?;
            let row = sqlx::query("SELECT * FROM sessions WHERE id = $1 AND expires_at > $2")
                .bind(token.session.as_uuid())
                .bind(at.unix_micros())
                .fetch_optional(&mut *transaction)
                .await?;
            let Some(row) = row else {
                return Ok(Refreshed::Unknown);
            };
            // Who does not know the family guesses, and must not be able to end a session by it.
            if !is_hash_of(&row.bytes("family_sha256")?, token.family.as_slice()) {
                return Ok(Refreshed::Unknown);
            }
            let is_current = is_hash_of(&row.bytes("refresh_sha256")?, token.once.as_slice());
            if is_current {
                sqlx::query(
                    "UPDATE sessions SET refresh_sha256 = $2, refreshed_at = $3, expires_at = $4 WHERE id = $1",
                )
                .bind(token.session.as_uuid())
                .bind(hash(next.once.as_slice()).as_slice())
                .bind(at.unix_micros())
                .bind(at.saturating_add(SESSION_LIFE).unix_micros())
                .execute(&mut *transaction)
                .await?;
                // What a client does by itself each quarter of an hour is not worth an entry.
                transaction.commit().await?;
                return Ok(Refreshed::Renewed(next.session, next.to_secret()));
            }
            sqlx::query("DELETE FROM sessions WHERE id = $1")
                .bind(token.session.as_uuid())
                .execute(&mut *transaction)
                .await?;
            let account = AccountId::from_uuid(row.uuid("account_id")?);
            let change = Change::new(account, "session.reuse", &token.session).gone(json!({"user": row.uuid("user_id")?}));
            transaction.finish(self, act, change).await?;
            Ok(Refreshed::Reused(token.session))
        })
    }

    /// Sessions of an account that have not ended at a moment, newest first, of one user or of all.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn sessions(
        &self,
        account: AccountId,
        user: Option<UserId>,
        at: Timestamp,
        part: &Part,
    ) -> Result<Listed<Session>, DatabaseError> {
        self.list(&listing(account, user, at), part, &ReadSession).await
    }

    /// How many there are; `None` of more than [`MAX_COUNTED`](crate::MAX_COUNTED).
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn count_sessions(
        &self,
        account: AccountId,
        user: Option<UserId>,
        at: Timestamp,
    ) -> Result<Option<u64>, DatabaseError> {
        self.count(&listing(account, user, at)).await
    }

    /// Ends a session of an account, of one user or of any; tells whether it was there.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn end_session(
        &self,
        act: &Act,
        account: AccountId,
        user: Option<UserId>,
        id: SessionId,
    ) -> Result<bool, DatabaseError> {
        on_pool!(self, pools => {
            let mut transaction = pools.begin().await?;
            let ended = sqlx::query(
                "DELETE FROM sessions WHERE id = $1 AND account_id = $2 AND user_id = coalesce($3, user_id) RETURNING user_id",
            )
            .bind(id.as_uuid())
            .bind(account.as_uuid())
            .bind(user.map(UserId::as_uuid))
            .fetch_optional(&mut *transaction)
            .await?;
            let Some(row) = ended else {
                return Ok(false);
            };
            let change = Change::new(account, "session.end", &id).gone(json!({"user": row.uuid("user_id")?}));
            transaction.finish(self, act, change).await?;
        });
        Ok(true)
    }
}

/// `tdr_`, then the session, what all tokens of the session share, and what is new in each, in hexadecimal digits.
struct RefreshToken {
    session: SessionId,
    family: Zeroizing<[u8; FAMILY_BYTES]>,
    once: Zeroizing<[u8; SECRET_BYTES]>,
}

impl RefreshToken {
    fn to_secret(&self) -> Secret {
        let id = self.session.as_uuid();
        let parts = [id.as_bytes().as_slice(), self.family.as_slice(), self.once.as_slice()];
        let bytes = Zeroizing::new(parts.concat());
        let digits = Zeroizing::new(hex::encode(bytes.as_slice()));
        Secret::new([PREFIX, &digits].concat())
    }

    fn read(text: &str) -> Option<Self> {
        let digits = text.strip_prefix(PREFIX)?;
        let mut bytes = Zeroizing::new([0; ID_BYTES + FAMILY_BYTES + SECRET_BYTES]);
        hex::decode_to_slice(digits, bytes.as_mut_slice()).ok()?;
        let (id, rest) = bytes.split_first_chunk::<ID_BYTES>()?;
        let (family, rest) = rest.split_first_chunk::<FAMILY_BYTES>()?;
        let (once, _) = rest.split_first_chunk::<SECRET_BYTES>()?;
        Some(Self {
            session: SessionId::from_uuid(Uuid::from_bytes(*id)),
            family: Zeroizing::new(*family),
            once: Zeroizing::new(*once),
        })
    }
}

/// A plain hash is enough: what is hashed is random, so there is nothing to guess slowly.
fn hash(secret: &[u8]) -> [u8; 32] {
    Sha256::digest(secret).into()
}

fn is_hash_of(stored: &[u8], secret: &[u8]) -> bool {
    stored.ct_eq(hash(secret).as_slice()).into()
}

/// How sessions are listed: the newest first.
pub const SESSIONS_KEY: SortKey = SortKey::descending(&[("created_at", KeyKind::Integer), ("id", KeyKind::Uuid)]);

fn listing(account: AccountId, user: Option<UserId>, at: Timestamp) -> Listing {
    let mut wide = vec![Condition::After("expires_at", at.unix_micros())];
    wide.extend(user.map(|user| Condition::Is("user_id", Bound::Uuid(user.as_uuid()))));
    Listing {
        table: "sessions",
        index: None,
        columns: "*",
        key: SESSIONS_KEY,
        narrow: vec![Condition::Is("account_id", Bound::Uuid(account.as_uuid()))],
        wide,
        from: None,
        to: None,
    }
}

struct ReadSession;

impl ReadRow for ReadSession {
    type Row = Session;

    fn read<R: Columns>(&self, row: &R) -> Result<Session, DatabaseError> {
        read_session(row)
    }
}

fn read_session<R: Columns>(row: &R) -> Result<Session, DatabaseError> {
    Ok(Session {
        id: SessionId::from_uuid(row.uuid("id")?),
        account_id: AccountId::from_uuid(row.uuid("account_id")?),
        user_id: UserId::from_uuid(row.uuid("user_id")?),
        client_address: row.text_opt("client_address")?,
        created_at: row.time("created_at")?,
        refreshed_at: row.time("refreshed_at")?,
        expires_at: row.time("expires_at")?,
    })
}

fn read_owner<R: Columns>(row: &R) -> Result<SessionOwner, DatabaseError> {
    let account = read_account(row)?;
    let user_id = UserId::from_uuid(row.uuid("user_id")?);
    Ok(SessionOwner {
        session: Session {
            id: SessionId::from_uuid(row.uuid("session_id")?),
            account_id: account.id,
            user_id,
            client_address: row.text_opt("client_address")?,
            created_at: row.time("session_created_at")?,
            refreshed_at: row.time("refreshed_at")?,
            expires_at: row.time("expires_at")?,
        },
        user: User {
            id: user_id,
            account_id: account.id,
            name: row.text("user_name")?,
            email: row.text("email")?,
            role: row.parsed("role")?,
            created_at: row.time("user_created_at")?,
        },
        node_admin: row.boolean("node_admin")?,
        account,
    })
}

/// Most sessions of one user: every device a person has, and then some.
pub const MAX_SESSIONS: u32 = 50;
/// Tells people and secret scanners what it is.
const PREFIX: &str = "tdr_";
const ID_BYTES: usize = 16;
const FAMILY_BYTES: usize = 16;
const SECRET_BYTES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refresh_token_reads_back_and_nothing_else_reads() {
        let session = SessionId::from_uuid(Uuid::from_u128(7));
        let token = RefreshToken { session, family: Zeroizing::new([1; 16]), once: Zeroizing::new([2; 32]) };
        let text = token.to_secret();
        let read = RefreshToken::read(text.expose()).unwrap();
        assert_eq!((read.session, read.family, read.once), (session, token.family, token.once));
        let whole = text.expose();
        for wrong in
            ["", "tdr_", &whole[4..], &whole[..whole.len() - 2], &format!("{whole}00"), &whole.replace("tdr", "tdm")]
        {
            assert!(RefreshToken::read(wrong).is_none(), "{wrong}");
        }
    }
}
