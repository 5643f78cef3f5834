use crate::error::from_database;
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
    /// Unique on the node, compared without case.
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
    /// Adds a user.
    ///
    /// # Errors
    /// [`InsertUserError::EmailTaken`], [`InsertUserError::UnknownAccount`].
    pub async fn insert_user(&self, user: &User) -> Result<(), InsertUserError> {
        let _ = user;
        todo!()
    }

    /// Users of an account by e-mail address, at most [`MAX_PAGE`](crate::MAX_PAGE).
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn users(&self, account: AccountId, skip: u32, limit: u32) -> Result<Vec<User>, DatabaseError> {
        let _ = (account, skip, limit);
        todo!()
    }
}
