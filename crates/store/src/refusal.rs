use crate::pool::on_pool;
use crate::row::{Columns, page};
use crate::{DatabaseError, Store};
use tandem_model::{AccountId, JsonText, RefusalId, RefusedInvite, TrunkId};

/// Which refusals to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefusalFilter {
    /// Only those that came in by this trunk.
    pub trunk_id: Option<TrunkId>,
    /// How many to pass over.
    pub skip: u32,
    /// How many to give, at most [`MAX_PAGE`](crate::MAX_PAGE).
    pub limit: u32,
}

impl Store {
    /// A refusal of an account.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn refusal(&self, account: AccountId, id: RefusalId) -> Result<Option<RefusedInvite>, DatabaseError> {
        on_pool!(self, pools => sqlx::query("SELECT * FROM refusals WHERE id = $1 AND account_id = $2")
            .bind(id.as_uuid())
            .bind(account.as_uuid())
            .fetch_optional(&pools.reader)
            .await?
            .map(|row| read_refusal(&row))
            .transpose())
    }

    /// Refusals of an account, newest first.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn refusals(
        &self,
        account: AccountId,
        filter: RefusalFilter,
    ) -> Result<Vec<RefusedInvite>, DatabaseError> {
        let (limit, skip) = page(filter.skip, filter.limit);
        on_pool!(self, pools => {
            let query = match filter.trunk_id {
                Some(trunk) => {
                    sqlx::query(LIST_REFUSALS_OF_TRUNK).bind(account.as_uuid()).bind(limit).bind(skip).bind(trunk.as_uuid())
                }
                None => sqlx::query(LIST_REFUSALS).bind(account.as_uuid()).bind(limit).bind(skip),
            };
            query.fetch_all(&pools.reader).await?.iter().map(read_refusal).collect()
        })
    }
}

const LIST_REFUSALS: &str = "SELECT * FROM refusals WHERE account_id = $1 ORDER BY at DESC, id DESC LIMIT $2 OFFSET $3";

const LIST_REFUSALS_OF_TRUNK: &str = "SELECT * FROM refusals WHERE trunk_id = $4 AND account_id = $1
    ORDER BY at DESC, id DESC LIMIT $2 OFFSET $3";

fn read_refusal<R: Columns>(row: &R) -> Result<RefusedInvite, DatabaseError> {
    Ok(RefusedInvite {
        id: RefusalId::from_uuid(row.uuid("id")?),
        account_id: AccountId::from_uuid(row.uuid("account_id")?),
        at: row.time("at")?,
        trunk_id: row.uuid_opt("trunk_id")?.map(TrunkId::from_uuid),
        from_number: row.text("from_number")?,
        to_number: row.text("to_number")?,
        sip_call_id: row.text("sip_call_id")?,
        sip_status: row.number("sip_status")?,
        reason: row.text("reason")?,
        receipt: JsonText::from_stored(row.text("receipt")?),
    })
}
