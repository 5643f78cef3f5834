use crate::error::from_database;
use crate::{DatabaseError, JournalPosition, Store};
use tandem_model::{AccountId, Record};

/// What became of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Records that were left out. The others are stored.
    pub rejected: Vec<Rejected>,
}

/// A record that was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Its place in the slice.
    pub index: usize,
    /// Why.
    pub reason: RejectedReason,
}

/// Why a record was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RejectedReason {
    /// Its account does not exist.
    #[error("account {0} does not exist")]
    UnknownAccount(AccountId),
}

/// Why a batch was not written. None of it is.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

from_database!(WriteError);

impl Store {
    /// Writes a batch of the call path in one transaction.
    ///
    /// A state of a call or leg replaces the one stored under its id, the last one in the slice wins; an event whose number the call
    /// has already is passed over. So writing a batch again changes nothing. `metadata`, `quality_score` and `credits_used` belong to
    /// the client once the call is stored: a later state replaces a score or credits only when it has some, and metadata never.
    ///
    /// # Errors
    /// [`WriteError`]; nothing of the batch is written then.
    pub async fn write_records(&self, records: &[Record]) -> Result<Written, WriteError> {
        let _ = records;
        todo!()
    }

    /// As [`Store::write_records`], and moves the position of a journal in the same transaction: so each part of a journal is
    /// stored exactly once, whatever fails in between.
    ///
    /// # Errors
    /// [`WriteError`]; neither records nor position are written then.
    pub async fn write_journal(&self, records: &[Record], read_to: JournalPosition) -> Result<Written, WriteError> {
        let _ = (records, read_to);
        todo!()
    }
}
