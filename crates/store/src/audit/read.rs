use crate::list::{Bound, Condition, KeyKind, Listed, Listing, Part, ReadRow, SortKey};
use crate::pool::on_pool;
use crate::row::{Columns, page, stored};
use crate::{DatabaseError, Store};
use serde_json::Value;
use tandem_model::{AccountId, NodeId, Timestamp};
use uuid::Uuid;

/// One entry of the audit log.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditEntry {
    /// Whose log; [`NODE`](crate::NODE) is the node's.
    pub account_id: AccountId,
    /// Its place in the log, from 1 on, without gaps.
    pub number: u64,
    /// When it was done.
    pub at: Timestamp,
    /// What did it: a spelling of [`ActorKind`](crate::ActorKind), or of a newer build's.
    pub actor_kind: String,
    /// The id of the key or user that did it.
    pub actor_id: Option<Uuid>,
    /// A name of who did it.
    pub actor_name: String,
    /// The account of who did it.
    pub actor_account: Option<AccountId>,
    /// The account that an admin of the node acted for.
    pub on_behalf_of: Option<AccountId>,
    /// Where from.
    pub source: Option<String>,
    /// The request that asked for it.
    pub request_id: Option<String>,
    /// What was done, as in `trunk.update`.
    pub action: String,
    /// The kind of what it was done to.
    pub resource_type: String,
    /// The id of what it was done to.
    pub resource_id: String,
    /// On which node.
    pub node_id: NodeId,
    /// `before` and `after`, with the fields that changed; `None` once they were taken away.
    pub details: Option<Value>,
    /// Numbers of earlier entries whose details this act took away.
    pub redacts: Vec<u64>,
    /// Of this entry and, by the one before it, of all before it; in hexadecimal digits.
    pub hash: String,
}

/// Which entries are asked for; `None` asks for all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Those of this key or user.
    pub actor: Option<Uuid>,
    /// Those of this action.
    pub action: Option<String>,
    /// Those about the thing of this id.
    pub resource: Option<String>,
    /// Those from this moment on.
    pub from: Option<Timestamp>,
    /// Those before this moment.
    pub until: Option<Timestamp>,
}

/// What leads to the entries: an index each.
#[derive(Clone, Copy)]
enum Way {
    Resource,
    Actor,
    Action,
    Log,
}

impl AuditFilter {
    fn way(&self) -> Way {
        if self.resource.is_some() {
            Way::Resource
        } else if self.actor.is_some() {
            Way::Actor
        } else if self.action.is_some() {
            Way::Action
        } else {
            Way::Log
        }
    }

    /// Whether every field is served by an index, so that parts of the list are full and rows can be passed over.
    #[must_use]
    pub fn is_narrow(&self) -> bool {
        self.listing(crate::NODE).wide.is_empty()
    }

    fn listing(&self, account: AccountId) -> Listing {
        let text = |column, text: &String| Condition::Is(column, Bound::Text(text.clone()));
        let conditions = [
            self.resource.as_ref().map(|id| ("audit_log_by_resource", text("resource_id", id))),
            self.actor.map(|id| ("audit_log_by_actor", Condition::Is("actor_id", Bound::Uuid(id)))),
            self.action.as_ref().map(|action| ("audit_log_by_action", text("action", action))),
        ];
        let mut conditions = conditions.into_iter().flatten();
        let (index, first) = conditions.next().unzip();
        let from = self.from.map(|from| Condition::After("at", from.unix_micros().saturating_sub(1)));
        let until = self.until.map(|until| Condition::Before("at", until.unix_micros()));
        let wide = conditions.map(|(_, condition)| condition).chain(from).chain(until).collect();
        let account = Condition::Is("account_id", Bound::Uuid(account.as_uuid()));
        let narrow = [account].into_iter().chain(first).collect();
        Listing { table: "audit_log", index, columns: "*", key: AUDIT_LOG_KEY, narrow, wide, from: None, to: None }
    }
}

macro_rules! entries {
    ($way:literal, $rest:literal) => {
        concat!(
            "SELECT * FROM audit_log WHERE account_id = $1 AND ",
            $way,
            " AND ($2 IS NULL OR actor_id = $2) AND ($3 IS NULL OR action = $3) AND ($4 IS NULL OR resource_id = $4)
              AND at >= $5 AND at < $6 ",
            $rest
        )
    };
}

macro_rules! ways {
    ($rest:literal) => {
        |way: Way| match way {
            Way::Resource => entries!("resource_id = $4", $rest),
            Way::Actor => entries!("actor_id = $2", $rest),
            Way::Action => entries!("action = $3", $rest),
            Way::Log => entries!("number > 0", $rest),
        }
    };
}

macro_rules! bind_filter {
    ($statement:expr, $account:expr, $filter:expr) => {
        sqlx::query($statement)
            .bind($account.as_uuid())
            .bind($filter.actor)
            .bind($filter.action.as_deref())
            .bind($filter.resource.as_deref())
            .bind($filter.from.map_or(i64::MIN, Timestamp::unix_micros))
            .bind($filter.until.map_or(i64::MAX, Timestamp::unix_micros))
    };
}

impl Store {
    /// Entries of a log, newest first, at most [`MAX_PAGE`](crate::MAX_PAGE).
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn audit_log(
        &self,
        account: AccountId,
        filter: &AuditFilter,
        skip: u32,
        limit: u32,
    ) -> Result<Vec<AuditEntry>, DatabaseError> {
        Ok(self.list_audit_log(account, filter, &Part::page(skip, limit)).await?.rows)
    }

    /// Entries of a log, newest first. Reversed they are oldest first.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn list_audit_log(
        &self,
        account: AccountId,
        filter: &AuditFilter,
        part: &Part,
    ) -> Result<Listed<AuditEntry>, DatabaseError> {
        self.list(&filter.listing(account), part, &ReadEntry).await
    }

    /// How many entries there are; `None` of more than [`MAX_COUNTED`](crate::MAX_COUNTED).
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn count_audit_log(
        &self,
        account: AccountId,
        filter: &AuditFilter,
    ) -> Result<Option<u64>, DatabaseError> {
        self.count(&filter.listing(account)).await
    }

    /// The entries of a log that come after one, oldest first, at most [`MAX_PAGE`](crate::MAX_PAGE): to read all of it, page by page.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn audit_log_after(
        &self,
        account: AccountId,
        filter: &AuditFilter,
        after: u64,
        limit: u32,
    ) -> Result<Vec<AuditEntry>, DatabaseError> {
        let (limit, _) = page(0, limit);
        let statement = ways!("AND number > $7 ORDER BY number LIMIT $8")(filter.way());
        on_pool!(self, pools => bind_filter!(statement, account, filter)
            .bind(stored(after))
            .bind(limit)
            .fetch_all(&pools.reader)
            .await?
            .iter()
            .map(read_entry)
            .collect())
    }
}

/// How a log is listed: the newest first.
pub const AUDIT_LOG_KEY: SortKey = SortKey::descending(&[("number", KeyKind::Integer)]);

struct ReadEntry;

impl ReadRow for ReadEntry {
    type Row = AuditEntry;

    fn read<R: Columns>(&self, row: &R) -> Result<AuditEntry, DatabaseError> {
        read_entry(row)
    }
}

fn read_entry<R: Columns>(row: &R) -> Result<AuditEntry, DatabaseError> {
    Ok(AuditEntry {
        account_id: AccountId::from_uuid(row.uuid("account_id")?),
        number: row.number("number")?,
        at: row.time("at")?,
        actor_kind: row.text("actor_kind")?,
        actor_id: row.uuid_opt("actor_id")?,
        actor_name: row.text("actor_name")?,
        actor_account: row.uuid_opt("actor_account_id")?.map(AccountId::from_uuid),
        on_behalf_of: row.uuid_opt("on_behalf_of")?.map(AccountId::from_uuid),
        source: row.text_opt("source")?,
        request_id: row.text_opt("request_id")?,
        action: row.text("action")?,
        resource_type: row.text("resource_type")?,
        resource_id: row.text("resource_id")?,
        node_id: NodeId::from_uuid(row.uuid("node_id")?),
        details: row.json_opt("details")?,
        redacts: row.json_opt("redacts")?.unwrap_or_default(),
        hash: hex::encode(row.bytes("hash")?),
    })
}
