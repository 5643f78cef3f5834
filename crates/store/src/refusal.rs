use crate::list::{Bound, Condition, KeyKind, Listed, Listing, Part, ReadRow, SortKey};
use crate::pool::on_pool;
use crate::row::Columns;
use crate::{DatabaseError, Store};
use tandem_model::{AccountId, JsonText, RefusalId, RefusedInvite, Timestamp, TrunkId};

/// Which refusals to list. Each field narrows the list down; the default is all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RefusalFilter {
    /// Only those that came in by this trunk.
    pub trunk_id: Option<TrunkId>,
    /// Only those from this number, as it is stored.
    pub from_number: Option<String>,
    /// Only those to this number, as it is stored.
    pub to_number: Option<String>,
    /// Only those for this reason, by its code.
    pub reason: Option<String>,
    /// Only those then or later.
    pub from: Option<Timestamp>,
    /// Only those that were earlier.
    pub before: Option<Timestamp>,
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

    /// Refusals of an account, newest first. Reversed they are oldest first.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn refusals(
        &self,
        account: AccountId,
        filter: &RefusalFilter,
        part: &Part,
    ) -> Result<Listed<RefusedInvite>, DatabaseError> {
        self.list(&filter.listing(account), part, &ReadRefusal).await
    }

    /// How many refusals there are; `None` of more than [`MAX_COUNTED`](crate::MAX_COUNTED).
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn count_refusals(
        &self,
        account: AccountId,
        filter: &RefusalFilter,
    ) -> Result<Option<u64>, DatabaseError> {
        self.count(&filter.listing(account)).await
    }

    /// How the database would list these refusals, step by step in its own words.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn explain_refusals(
        &self,
        account: AccountId,
        filter: &RefusalFilter,
        part: &Part,
    ) -> Result<Vec<String>, DatabaseError> {
        self.explain(&filter.listing(account), part).await
    }
}

impl RefusalFilter {
    /// Whether every field is served by an index, so that parts of the list are full and rows can be passed over.
    #[must_use]
    pub fn is_narrow(&self) -> bool {
        self.wide().is_empty()
    }

    fn listing(&self, account: AccountId) -> Listing {
        let index = if self.trunk_id.is_some() { "refusals_of_trunk" } else { "refusals_of_account" };
        let trunk = self.trunk_id.map(|trunk| Condition::Is("trunk_id", Bound::Uuid(trunk.as_uuid())));
        let account = Condition::Is("account_id", Bound::Uuid(account.as_uuid()));
        Listing {
            table: "refusals",
            index: Some(index),
            columns: "*",
            key: REFUSALS_KEY,
            narrow: trunk.into_iter().chain([account]).collect(),
            wide: self.wide(),
            from: self.from.map(Timestamp::unix_micros),
            to: self.before.map(|before| before.unix_micros().saturating_sub(1)),
        }
    }

    fn wide(&self) -> Vec<Condition> {
        let texts = [("from_number", &self.from_number), ("to_number", &self.to_number), ("reason", &self.reason)];
        let given = texts.into_iter().filter_map(|(column, text)| Some((column, text.clone()?)));
        given.map(|(column, text)| Condition::Is(column, Bound::Text(text))).collect()
    }
}

/// How refusals are listed: the newest first.
pub const REFUSALS_KEY: SortKey = SortKey::descending(&[("at", KeyKind::Integer), ("id", KeyKind::Uuid)]);

struct ReadRefusal;

impl ReadRow for ReadRefusal {
    type Row = RefusedInvite;

    fn read<R: Columns>(&self, row: &R) -> Result<RefusedInvite, DatabaseError> {
        read_refusal(row)
    }
}

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
