use crate::error::{from_database, is_foreign_key_violation, is_unique_violation};
use crate::pool::on_pool;
use crate::row::{Columns, page};
use crate::{DatabaseError, Store};
use std::fmt;
use std::str::FromStr;
use tandem_model::{AccountId, Timestamp, UserId};

/// A person who may act for an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Its id.
    pub id: UserId,
    /// For which account.
    pub account_id: AccountId,
    /// A name for people.
    pub name: String,
    /// Unique on the node, in lower case.
    pub email: String,
    /// What the person may do.
    pub role: Role,
    /// When the row was made.
    pub created_at: Timestamp,
}

/// What a person may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Everything.
    Admin,
    /// Place and end calls, change trunks.
    Operator,
    /// Look.
    Viewer,
}

impl Role {
    /// Every role.
    pub const ALL: &'static [Self] = &[Self::Admin, Self::Operator, Self::Viewer];

    /// The spelling on the wire and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Operator => "operator",
            Self::Viewer => "viewer",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Role {
    type Err = ParseRoleError;

    fn from_str(text: &str) -> Result<Self, ParseRoleError> {
        Self::ALL.iter().copied().find(|role| role.as_str() == text).ok_or(ParseRoleError)
    }
}

/// The text is no role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a role; known: admin, operator, viewer")]
pub struct ParseRoleError;

/// Why a user was not added.
#[derive(Debug, thiserror::Error)]
pub enum InsertUserError {
    /// Another user has this address.
    #[error("a user with that e-mail address exists")]
    EmailTaken,
    /// There is no such account.
    #[error("no such account")]
    UnknownAccount,
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

from_database!(InsertUserError);

impl Store {
    /// Adds a user. The e-mail address is kept in lower case.
    ///
    /// # Errors
    /// [`InsertUserError::EmailTaken`], [`InsertUserError::UnknownAccount`].
    pub async fn insert_user(&self, user: &User) -> Result<(), InsertUserError> {
        let inserted = on_pool!(self, pools => sqlx::query(
                "INSERT INTO users (id, account_id, name, email, role, created_at) VALUES ($1, $2, $3, $4, $5, $6)",
            )
            .bind(user.id.as_uuid())
            .bind(user.account_id.as_uuid())
            .bind(user.name.as_str())
            .bind(user.email.to_lowercase())
            .bind(user.role.as_str())
            .bind(user.created_at.unix_micros())
            .execute(&pools.writer)
            .await
            .map(drop));
        match inserted {
            Err(error) if is_unique_violation(&error) => Err(InsertUserError::EmailTaken),
            Err(error) if is_foreign_key_violation(&error) => Err(InsertUserError::UnknownAccount),
            inserted => Ok(inserted?),
        }
    }

    /// Users of an account by e-mail address, at most [`MAX_PAGE`](crate::MAX_PAGE).
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn users(&self, account: AccountId, skip: u32, limit: u32) -> Result<Vec<User>, DatabaseError> {
        let (limit, skip) = page(skip, limit);
        on_pool!(self, pools => sqlx::query(
                "SELECT * FROM users WHERE account_id = $1 ORDER BY email LIMIT $2 OFFSET $3",
            )
            .bind(account.as_uuid())
            .bind(limit)
            .bind(skip)
            .fetch_all(&pools.reader)
            .await?
            .iter()
            .map(read_user)
            .collect())
    }
}

fn read_user<R: Columns>(row: &R) -> Result<User, DatabaseError> {
    Ok(User {
        id: UserId::from_uuid(row.uuid("id")?),
        account_id: AccountId::from_uuid(row.uuid("account_id")?),
        name: row.text("name")?,
        email: row.text("email")?,
        role: row.parsed("role")?,
        created_at: row.time("created_at")?,
    })
}
