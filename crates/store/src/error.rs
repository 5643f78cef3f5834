use crate::SealError;

/// What can go wrong below every operation: the database itself.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// No space is left where the database lives. Nothing was written; it works again once there is space.
    #[error("the disk is full; free some space where the database lives")]
    DiskFull,
    /// Another process held the database for longer than the store waits. Trying again may work.
    #[error("the database is busy: another process holds it")]
    Busy,
    /// The store was closed, no connection became free in time, or the server takes none. Trying again may work.
    #[error("the database takes no connection, or none is free")]
    Unavailable,
    /// A stored value is not what its column holds.
    #[error("column {column} holds what this build cannot read: {reason}")]
    Unreadable {
        /// Name of the column.
        column: &'static str,
        /// What is wrong with it, without the value.
        reason: String,
    },
    /// A secret could not be sealed or opened.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The operating system gave no random bytes.
    #[error("the operating system gives no random bytes: {0}")]
    Randomness(getrandom::Error),
    /// Anything else that the database refused.
    #[error("database: {0}")]
    Query(#[source] sqlx::Error),
}

impl DatabaseError {
    /// Whether the same operation may work a moment later, without anybody mending anything.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            // A connection that broke, or a server that did not answer in time.
            Self::Busy | Self::Unavailable | Self::Query(sqlx::Error::Io(_)) => true,
            Self::DiskFull | Self::Unreadable { .. } | Self::Seal(_) | Self::Randomness(_) | Self::Query(_) => false,
        }
    }

    /// Whether it is about the values that were to be written, so that the same values will never be taken, by a database in whatever
    /// state; everything else is about the database.
    #[must_use]
    pub fn is_about_values(&self) -> bool {
        match self {
            Self::Unreadable { .. } => true,
            Self::Query(error) => match error.as_database_error() {
                Some(refusal) => crate::sqlite::is_about_values(refusal) || crate::postgres::is_about_values(refusal),
                None => matches!(error, sqlx::Error::Encode(_)),
            },
            Self::Busy | Self::Unavailable | Self::DiskFull | Self::Seal(_) | Self::Randomness(_) => false,
        }
    }
}

impl From<sqlx::Error> for DatabaseError {
    fn from(error: sqlx::Error) -> Self {
        if matches!(error, sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed) {
            return Self::Unavailable;
        }
        match refusal(&error) {
            Some(Refusal::DiskFull) => Self::DiskFull,
            Some(Refusal::Busy) => Self::Busy,
            Some(Refusal::Unavailable) => Self::Unavailable,
            None => Self::Query(error),
        }
    }
}

/// A refusal of a statement that every backend knows, under a code of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Somebody else held what the statement needs for too long.
    Busy,
    /// No space.
    DiskFull,
    /// The server takes no connection now.
    Unavailable,
}

fn refusal(error: &sqlx::Error) -> Option<Refusal> {
    let error = error.as_database_error()?;
    crate::sqlite::refusal(error).or_else(|| crate::postgres::refusal(error))
}

impl From<getrandom::Error> for DatabaseError {
    fn from(error: getrandom::Error) -> Self {
        Self::Randomness(error)
    }
}

/// Lets an operation's own error take over what the database says, so that `?` works in it.
macro_rules! from_database {
    ($($error:ident),+ $(,)?) => { $(
        impl From<sqlx::Error> for $error {
            fn from(error: sqlx::Error) -> Self {
                Self::Database(error.into())
            }
        }
        impl From<crate::SealError> for $error {
            fn from(error: crate::SealError) -> Self {
                Self::Database(error.into())
            }
        }
        impl From<getrandom::Error> for $error {
            fn from(error: getrandom::Error) -> Self {
                Self::Database(error.into())
            }
        }
    )+ };
}

pub(crate) use from_database;

/// As [`from_database!`], for errors that carry a refusal of the caller's own type.
macro_rules! from_database_generic {
    ($($error:ident),+ $(,)?) => { $(
        impl<E> From<sqlx::Error> for $error<E> {
            fn from(error: sqlx::Error) -> Self {
                Self::Database(error.into())
            }
        }
    )+ };
}

pub(crate) use from_database_generic;

/// Whether a statement failed because a value that must be unique is there already.
pub(crate) fn is_unique_violation(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|refusal| refusal.is_unique_violation())
}

/// Whether a statement failed because a row that it names is not there.
pub(crate) fn is_foreign_key_violation(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|refusal| refusal.is_foreign_key_violation())
}
