use crate::{DatabaseError, Store};

/// How far the journal of a signalling shard has been read into the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalPosition {
    /// Which shard of this node.
    pub shard: u16,
    /// Number of the journal file.
    pub segment: u64,
    /// Bytes of that file that are stored.
    pub offset: u64,
}

impl Store {
    /// How far a shard's journal on this node is stored; `None` before the first write with a position.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn journal_position(&self, shard: u16) -> Result<Option<JournalPosition>, DatabaseError> {
        let _ = shard;
        todo!()
    }
}
