use sqlx::SqlitePool;
use sqlx::error::DatabaseError;

/// SQLite takes one writer at a time, so it gets one connection; waiting for it is a queue in memory instead of a busy lock.
pub(crate) struct SqlitePools {
    pub(crate) writer: SqlitePool,
    pub(crate) reader: SqlitePool,
}

/// A refusal that somebody can do something about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Busy,
    DiskFull,
    NotWritable,
    NotADatabase,
}

/// Reads the primary result code (<https://www.sqlite.org/rescode.html>) out of an error.
pub(crate) fn refusal(error: &dyn DatabaseError) -> Option<Refusal> {
    let extended: u32 = error.code()?.parse().ok()?;
    match extended & 0xff {
        5 | 6 => Some(Refusal::Busy),
        8 | 14 => Some(Refusal::NotWritable),
        13 => Some(Refusal::DiskFull),
        26 => Some(Refusal::NotADatabase),
        _ => None,
    }
}
