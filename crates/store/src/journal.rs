use crate::pool::on_pool;
use crate::row::Columns;
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
        on_pool!(self, pools => sqlx::query(
                "SELECT segment, stored_bytes FROM journal_positions WHERE node_id = $1 AND shard = $2",
            )
            .bind(self.node_id().as_uuid())
            .bind(i64::from(shard))
            .fetch_optional(&pools.reader)
            .await?
            .map(|row| {
                Ok(JournalPosition { shard, segment: row.number("segment")?, offset: row.number("stored_bytes")? })
            })
            .transpose())
    }
}

/// `$1` is the node, `$2` the shard.
pub(crate) const MOVE_POSITION: &str =
    "INSERT INTO journal_positions (node_id, shard, segment, stored_bytes) VALUES ($1, $2, $3, $4)
     ON CONFLICT (node_id, shard) DO UPDATE SET segment = excluded.segment, stored_bytes = excluded.stored_bytes";
