use crate::audit::ActTransaction;
use crate::error::{from_database, from_database_generic, is_unique_violation};
use crate::list::{Bound, Condition, KeyKind, Listed, Listing, Part, ReadRow, SortKey};
use crate::pool::on_pool;
use crate::row::{Columns, stored, to_json};
use crate::settlement::{LedgerFull, settle_external};
use crate::store::now;
use crate::timeline::read_timeline;
use crate::traffic::{CallFacts, TrafficChange};
use crate::trunk::FIND_TRUNK;
use crate::{Act, Change, DatabaseError, MAX_PAGE, Store};
use serde_json::{Map, Value, json};
use tandem_model::{
    AccountId, CallDirection, CallEvent, CallId, CallRecord, CallStatus, CarriedBy, HungUpBy, JsonText, LegId,
    LegRecord, Money, Timestamp, TrunkId,
};
use uuid::Uuid;

/// How a call is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallKey {
    /// By our id.
    Id(CallId),
    /// By the client's `call_id`; a call that the switch carries has its own id for one.
    ClientId(String),
    /// By either, as a path names it: the client's `call_id` first, then our id.
    Any(String),
}

/// Which calls to list. Each field narrows the list down; the default is all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallFilter {
    /// Only those whose first trunk leg went over this trunk.
    pub trunk_id: Option<TrunkId>,
    /// Only those of this conversation.
    pub conversation_id: Option<Uuid>,
    /// Only those from this number, as it is stored.
    pub from_number: Option<String>,
    /// Only those to this number, as it is stored.
    pub to_number: Option<String>,
    /// Only those of one of these statuses; empty is any.
    pub statuses: Vec<CallStatus>,
    /// Only those of this direction.
    pub direction: Option<CallDirection>,
    /// Only those that ended for this cause.
    pub hangup_cause: Option<String>,
    /// Only those that began then or later.
    pub started_from: Option<Timestamp>,
    /// Only those that began earlier.
    pub started_before: Option<Timestamp>,
    /// Only those whose metadata has each of these members: a text, or what a number or `true` looks like.
    pub metadata: Vec<(String, String)>,
}

/// A call before and after a change, read and written in one transaction: who sees `ended_at` appear is the only one who does.
#[derive(Clone, Debug, PartialEq)]
pub struct CallUpdate {
    /// As it was.
    pub before: CallRecord,
    /// As it is now.
    pub after: CallRecord,
}

/// A call that something else carries and that has not ended: it holds a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenExternalCall {
    /// Whose call.
    pub account_id: AccountId,
    /// Over which trunk.
    pub trunk_id: TrunkId,
    /// Which call.
    pub call_id: CallId,
}

/// Why a call was not logged.
#[derive(Debug, thiserror::Error)]
pub enum InsertCallError {
    /// The account has logged a call of this `call_id`.
    #[error("a call of that call_id is logged already")]
    CallIdTaken,
    /// The account has no such trunk.
    #[error("no such trunk")]
    UnknownTrunk,
    /// The account's ledger cannot hold what it costs.
    #[error(transparent)]
    LedgerFull(#[from] LedgerFull),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// Why a call was not changed.
#[derive(Debug, thiserror::Error)]
pub enum UpdateCallError<E> {
    /// The account has no such call.
    #[error("no such call")]
    NotFound,
    /// The change was refused by who asked for it.
    #[error("the change was refused")]
    Refused(E),
    /// The account's ledger cannot hold what it costs.
    #[error(transparent)]
    LedgerFull(#[from] LedgerFull),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

from_database!(InsertCallError);
from_database_generic!(UpdateCallError);

impl Store {
    /// Logs a call that something else carries. `trunk_id` must be a trunk of the account.
    ///
    /// # Errors
    /// [`InsertCallError`].
    pub async fn insert_external_call(&self, act: &Act, call: &CallRecord) -> Result<(), InsertCallError> {
        let trunk = call.trunk_id.ok_or(InsertCallError::UnknownTrunk)?;
        let account = call.account_id.as_uuid();
        on_pool!(self, pools => {
            let mut transaction = pools.begin_calls().await?;
            let known = sqlx::query(FIND_TRUNK)
                .bind(trunk.as_uuid())
                .bind(account)
                .fetch_optional(&mut *transaction)
                .await?;
            if known.is_none() {
                return Err(InsertCallError::UnknownTrunk);
            }
            let own_id = sqlx::query(FIND_CALL)
                .bind(account)
                .bind(None::<&str>)
                .bind(Uuid::try_parse(&call.call_id).ok())
                .fetch_optional(&mut *transaction)
                .await?;
            if own_id.map(|row| read_call(&row)).transpose()?.is_some_and(|known| known.call_id == call.call_id) {
                return Err(InsertCallError::CallIdTaken);
            }
            let taken = sqlx::query("INSERT INTO call_ids (account_id, call_id, call_log_id) VALUES ($1, $2, $3)")
                .bind(account)
                .bind(call.call_id.as_str())
                .bind(call.id.as_uuid())
                .execute(&mut *transaction)
                .await;
            match taken {
                Err(error) if is_unique_violation(&error) => return Err(InsertCallError::CallIdTaken),
                taken => taken?,
            };
            sqlx::query(
                "INSERT INTO call_logs (id, account_id, call_id, trunk_id, direction, carried_by, conversation_id, from_number,
                     to_number, to_uri, started_at, answered_at, ended_at, duration_ms, status, hangup_cause, sip_status,
                     hung_up_by, quality_score, codec_used, sip_call_id, remote_ip, cost_micros, credits_used_micros, metadata,
                     receipt, node_id, boot_id, created_at, updated_at, counted)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22,
                     $23, $24, $25, $26, $27, $28, $29, $30, TRUE)",
            )
            .bind(call.id.as_uuid())
            .bind(account)
            .bind(call.call_id.as_str())
            .bind(trunk.as_uuid())
            .bind(call.direction.as_str())
            .bind(CarriedBy::External.as_str())
            .bind(call.conversation_id)
            .bind(call.from_number.as_str())
            .bind(call.to_number.as_str())
            .bind(call.to_uri.as_deref())
            .bind(call.started_at.unix_micros())
            .bind(call.answered_at.map(Timestamp::unix_micros))
            .bind(call.ended_at.map(Timestamp::unix_micros))
            .bind(call.duration_ms.map(stored))
            .bind(call.status.as_str())
            .bind(call.hangup_cause.as_deref())
            .bind(call.sip_status.map(i64::from))
            .bind(call.hung_up_by.map(HungUpBy::as_str))
            .bind(call.quality_score)
            .bind(call.codec_used.as_deref())
            .bind(call.sip_call_id.as_deref())
            .bind(call.remote_ip.as_deref())
            .bind(call.cost.map(Money::micros))
            .bind(call.credits_used.map(Money::micros))
            .bind(to_json(&call.metadata))
            .bind(call.receipt.as_ref().map(JsonText::as_str))
            .bind(self.node_id().as_uuid())
            .bind(self.boot_id().as_uuid())
            .bind(call.created_at.unix_micros())
            .bind(now().unix_micros())
            .execute(&mut *transaction)
            .await?;
            settle_external!(transaction, call);
            let mut traffic = TrafficChange::default();
            traffic.add(CallFacts::from(call).share());
            pools.write_traffic(&mut transaction, &traffic.rows(now())).await?;
            pools.append_call_events(&mut transaction, call, now()).await?;
            transaction.finish(self, act, Change::new(call.account_id, "call.create", &call.id).made(audited(call))).await?;
        });
        Ok(())
    }

    /// A call of an account.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn call(&self, account: AccountId, key: &CallKey) -> Result<Option<CallRecord>, DatabaseError> {
        let (client_id, id) = key.parts();
        on_pool!(self, pools => sqlx::query(FIND_CALL)
            .bind(account.as_uuid())
            .bind(client_id)
            .bind(id)
            .fetch_optional(&pools.reader)
            .await?
            .map(|row| read_call(&row))
            .transpose()
            .map(|found| found.filter(|call| key.names(call))))
    }

    /// Calls of an account, newest first by when they began, without their receipts. Reversed they are oldest first.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn calls(
        &self,
        account: AccountId,
        filter: &CallFilter,
        part: &Part,
    ) -> Result<Listed<CallRecord>, DatabaseError> {
        let mut listed = self.list(&filter.listing(account), part, &ReadCall).await?;
        listed.rows.retain(|call| filter.metadata.iter().all(|(key, value)| has_member(&call.metadata, key, value)));
        Ok(listed)
    }

    /// How many calls there are; `None` of more than [`MAX_COUNTED`](crate::MAX_COUNTED). Of metadata, only that is looked at which a
    /// text search tells.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn count_calls(&self, account: AccountId, filter: &CallFilter) -> Result<Option<u64>, DatabaseError> {
        self.count(&filter.listing(account)).await
    }

    /// How the database would list these calls, step by step in its own words: for who wonders why a list is slow.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn explain_calls(
        &self,
        account: AccountId,
        filter: &CallFilter,
        part: &Part,
    ) -> Result<Vec<String>, DatabaseError> {
        self.explain(&filter.listing(account), part).await
    }

    /// Changes a call in one transaction: reads it, lets `change` edit it, writes it. An `Err` of `change` writes nothing.
    ///
    /// For calls of either kind. Written are `answered_at`, `ended_at`, `duration_ms`, `status`, `hangup_cause`, `quality_score`,
    /// `codec_used`, `cost`, `credits_used` and `metadata`; what else `change` edits is not.
    ///
    /// # Errors
    /// [`UpdateCallError`].
    pub async fn update_call<E, F>(
        &self,
        act: &Act,
        account: AccountId,
        key: &CallKey,
        change: F,
    ) -> Result<CallUpdate, UpdateCallError<E>>
    where
        F: FnOnce(&mut CallRecord) -> Result<(), E> + Send,
        E: Send,
    {
        let (client_id, id) = key.parts();
        on_pool!(self, pools => {
            let mut transaction = pools.begin_calls().await?;
            if !pools.hold_call(&mut transaction, account, client_id, id).await? {
                return Err(UpdateCallError::NotFound);
            }
            let row = sqlx::query(FIND_CALL)
                .bind(account.as_uuid())
                .bind(client_id)
                .bind(id)
                .fetch_optional(&mut *transaction)
                .await?
                .ok_or(UpdateCallError::NotFound)?;
            let before = read_call(&row)?;
            let was_counted = row.boolean("counted")?;
            if !key.names(&before) {
                return Err(UpdateCallError::NotFound);
            }
            let mut edited = before.clone();
            change(&mut edited).map_err(UpdateCallError::Refused)?;
            let after = CallRecord {
                answered_at: edited.answered_at,
                ended_at: edited.ended_at,
                duration_ms: edited.duration_ms,
                status: edited.status,
                hangup_cause: edited.hangup_cause,
                quality_score: edited.quality_score,
                codec_used: edited.codec_used,
                cost: edited.cost,
                credits_used: edited.credits_used,
                metadata: edited.metadata,
                ..before.clone()
            };
            sqlx::query(
                "UPDATE call_logs SET answered_at = $3, ended_at = $4, duration_ms = $5, status = $6, hangup_cause = $7,
                     quality_score = $8, codec_used = $9, cost_micros = $10, credits_used_micros = $11, metadata = $12,
                     updated_at = $13, counted = TRUE
                 WHERE id = $1 AND account_id = $2",
            )
            .bind(after.id.as_uuid())
            .bind(account.as_uuid())
            .bind(after.answered_at.map(Timestamp::unix_micros))
            .bind(after.ended_at.map(Timestamp::unix_micros))
            .bind(after.duration_ms.map(stored))
            .bind(after.status.as_str())
            .bind(after.hangup_cause.as_deref())
            .bind(after.quality_score)
            .bind(after.codec_used.as_deref())
            .bind(after.cost.map(Money::micros))
            .bind(after.credits_used.map(Money::micros))
            .bind(to_json(&after.metadata))
            .bind(now().unix_micros())
            .execute(&mut *transaction)
            .await?;
            settle_external!(transaction, &after);
            let mut traffic = TrafficChange::default();
            if was_counted {
                traffic.take_away(CallFacts::from(&before).share());
            }
            traffic.add(CallFacts::from(&after).share());
            pools.write_traffic(&mut transaction, &traffic.rows(now())).await?;
            pools.append_call_events(&mut transaction, &after, now()).await?;
            let change = Change::new(account, "call.update", &after.id)
                .changed(audited(&before), audited(&after))
                .replaced("metadata", before.metadata != after.metadata);
            transaction.finish(self, act, change).await?;
            Ok(CallUpdate { before, after })
        })
    }

    /// The timeline of a call, in order.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn call_events(&self, account: AccountId, call: CallId) -> Result<Vec<CallEvent>, DatabaseError> {
        on_pool!(self, pools => {
            let rows = sqlx::query(
                "SELECT * FROM call_timelines WHERE call_log_id = $1 AND account_id = $2 ORDER BY last_number LIMIT $3",
            )
            .bind(call.as_uuid())
            .bind(account.as_uuid())
            .bind(i64::from(MAX_PAGE))
            .fetch_all(&pools.reader)
            .await?;
            read_timeline(&rows)
        })
    }

    /// The legs of a call, in order; at most [`MAX_PAGE`](crate::MAX_PAGE).
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn call_legs(&self, account: AccountId, call: CallId) -> Result<Vec<LegRecord>, DatabaseError> {
        on_pool!(self, pools => sqlx::query(
                "SELECT * FROM call_legs WHERE call_log_id = $1 AND account_id = $2 ORDER BY number, id LIMIT $3",
            )
            .bind(call.as_uuid())
            .bind(account.as_uuid())
            .bind(i64::from(MAX_PAGE))
            .fetch_all(&pools.reader)
            .await?
            .iter()
            .map(read_leg)
            .collect())
    }

    /// Every call that something else carries and that has not ended, of all accounts: what holds slots after a restart.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn open_external_calls(&self) -> Result<Vec<OpenExternalCall>, DatabaseError> {
        let mut calls = Vec::new();
        on_pool!(self, pools => {
            // One transaction, so that a call that is written meanwhile does not move to another page.
            let mut transaction = pools.snapshot().await?;
            let (mut updated_at, mut id) = (i64::MIN, Uuid::nil());
            loop {
                let rows = sqlx::query(
                    "SELECT account_id, trunk_id, id, updated_at FROM call_logs
                     WHERE carried_by = 'external' AND ended_at IS NULL AND (updated_at, id) > ($1, $2)
                     ORDER BY updated_at, id LIMIT $3",
                )
                .bind(updated_at)
                .bind(id)
                .bind(i64::from(MAX_PAGE))
                .fetch_all(&mut *transaction)
                .await?;
                for row in &rows {
                    (updated_at, id) = (row.integer("updated_at")?, row.uuid("id")?);
                    calls.push(read_open(row)?);
                }
                if rows.len() < MAX_PAGE as usize {
                    break;
                }
            }
            transaction.rollback().await?;
        });
        Ok(calls)
    }

    /// The open external calls that nobody has written since `before`, longest untouched first, at most [`MAX_PAGE`](crate::MAX_PAGE).
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn stale_external_calls(&self, before: Timestamp) -> Result<Vec<OpenExternalCall>, DatabaseError> {
        on_pool!(self, pools => sqlx::query(
                "SELECT account_id, trunk_id, id FROM call_logs
                 WHERE carried_by = 'external' AND ended_at IS NULL AND updated_at < $1
                 ORDER BY updated_at, id LIMIT $2",
            )
            .bind(before.unix_micros())
            .bind(i64::from(MAX_PAGE))
            .fetch_all(&pools.reader)
            .await?
            .iter()
            .map(read_open)
            .collect())
    }
}

impl CallKey {
    /// The client's id and ours, as [`FIND_CALL`] takes them.
    fn parts(&self) -> (Option<&str>, Option<Uuid>) {
        match self {
            Self::Id(id) => (None, Some(id.as_uuid())),
            Self::ClientId(text) | Self::Any(text) => (storable(text), Uuid::try_parse(text).ok()),
        }
    }

    /// Whether a call that was found is one that is named so: another's own id is not its `call_id`.
    fn names(&self, call: &CallRecord) -> bool {
        match self {
            Self::Id(_) | Self::Any(_) => true,
            Self::ClientId(client_id) => call.call_id == *client_id,
        }
    }
}

/// What the audit log tells of a call: nothing of who called whom, nor of what the client keeps with it.
fn audited(call: &CallRecord) -> Value {
    json!({
        "trunk_id": call.trunk_id,
        "direction": call.direction,
        "status": call.status,
        "answered_at": call.answered_at,
        "ended_at": call.ended_at,
        "hangup_cause": call.hangup_cause,
        "quality_score": call.quality_score,
        "cost_micros": call.cost.map(Money::micros),
        "credits_used_micros": call.credits_used.map(Money::micros),
    })
}

/// A text that a database can hold. One with NUL is nobody's id, and asking for it is not a failure of the database.
fn storable(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.contains('\0'))
}

/// `$1` is the account, `$2` the client's id or NULL, `$3` our id or NULL.
const FIND_CALL: &str = "SELECT * FROM call_logs WHERE account_id = $1
    AND id = coalesce((SELECT call_log_id FROM call_ids WHERE account_id = $1 AND call_id = $2), $3)";

impl CallFilter {
    /// Whether every field is served by an index, so that parts of the list are full and rows can be passed over.
    #[must_use]
    pub fn is_narrow(&self) -> bool {
        self.conditions().wide.is_empty()
    }

    fn listing(&self, account: AccountId) -> Listing {
        let Conditions { index, mut narrow, wide } = self.conditions();
        // Ids of trunks and conversations are unique on the node, or nearly, and their indexes do not have the account.
        narrow.push(Condition::Is("account_id", Bound::Uuid(account.as_uuid())));
        Listing {
            table: "call_logs",
            index: Some(index),
            columns: LISTED_COLUMNS,
            key: CALLS_KEY,
            narrow,
            wide,
            from: self.started_from.map(Timestamp::unix_micros),
            to: self.started_before.map(|before| before.unix_micros().saturating_sub(1)),
        }
    }

    /// The index is that which leaves the fewest rows, as far as one can know.
    fn conditions(&self) -> Conditions {
        let is_text =
            |column, text: &Option<String>| text.as_ref().map(|text| Condition::Is(column, Bound::Text(text.clone())));
        let conversation = self.conversation_id.map(|id| Condition::Is("conversation_id", Bound::Uuid(id)));
        let trunk = self.trunk_id.map(|trunk| Condition::Is("trunk_id", Bound::Uuid(trunk.as_uuid())));
        let indexed = [
            ("call_logs_of_conversation", conversation),
            ("call_logs_to_number", is_text("to_number", &self.to_number)),
            ("call_logs_from_number", is_text("from_number", &self.from_number)),
            ("call_logs_of_trunk", trunk),
        ];
        let mut indexed = indexed.into_iter().filter_map(|(index, condition)| Some((index, condition?)));
        let (index, narrow) = match indexed.next() {
            Some((index, condition)) => (index, vec![condition]),
            None => ("call_logs_of_account", Vec::new()),
        };
        let mut wide: Vec<Condition> = indexed.map(|(_, condition)| condition).collect();
        if !self.statuses.is_empty() {
            let statuses = self.statuses.iter().map(|status| Bound::Text(status.as_str().to_owned()));
            wide.push(Condition::IsOneOf("status", statuses.collect()));
        }
        wide.extend(is_text("direction", &self.direction.map(|direction| direction.as_str().to_owned())));
        wide.extend(is_text("hangup_cause", &self.hangup_cause));
        wide.extend(self.metadata.iter().map(|(key, value)| Condition::Holds("metadata", members(key, value))));
        Conditions { index, narrow, wide }
    }
}

/// What a filter asks for: by which index, what that serves, and what is looked at row by row.
struct Conditions {
    index: &'static str,
    narrow: Vec<Condition>,
    wide: Vec<Condition>,
}

/// How a member can stand in metadata, which are stored as JSON without spaces.
fn members(key: &str, value: &str) -> Vec<String> {
    let key = to_json(&key);
    let mut members = vec![format!("{key}:{}", to_json(&value))];
    if matches!(serde_json::from_str(value), Ok(Value::Number(_) | Value::Bool(_) | Value::Null)) {
        members.push(format!("{key}:{value}"));
    }
    members
}

/// Whether metadata have this member themselves, and not something within them.
fn has_member(metadata: &Map<String, Value>, key: &str, value: &str) -> bool {
    match metadata.get(key) {
        Some(Value::String(text)) => text == value,
        Some(Value::Array(_) | Value::Object(_)) | None => false,
        Some(plain @ (Value::Number(_) | Value::Bool(_) | Value::Null)) => {
            let written = plain.to_string();
            written == value
        }
    }
}

struct ReadCall;

impl ReadRow for ReadCall {
    type Row = CallRecord;

    fn read<R: Columns>(&self, row: &R) -> Result<CallRecord, DatabaseError> {
        read_call(row)
    }
}

/// How calls are listed: the newest first by when they began.
pub const CALLS_KEY: SortKey =
    SortKey::descending(&[("started_at", KeyKind::Integer), ("created_at", KeyKind::Integer), ("id", KeyKind::Uuid)]);

/// All but the receipt, which is most of a row, and which nobody reads in a list.
const LISTED_COLUMNS: &str = "id, account_id, call_id, trunk_id, direction, carried_by, conversation_id, from_number, to_number, to_uri,
    started_at, answered_at, ended_at, duration_ms, status, hangup_cause, sip_status, hung_up_by, quality_score, codec_used, sip_call_id,
    remote_ip, cost_micros, credits_used_micros, metadata, CAST(NULL AS TEXT) AS receipt, created_at";

pub(crate) fn read_call<R: Columns>(row: &R) -> Result<CallRecord, DatabaseError> {
    Ok(CallRecord {
        id: CallId::from_uuid(row.uuid("id")?),
        account_id: AccountId::from_uuid(row.uuid("account_id")?),
        call_id: row.text("call_id")?,
        trunk_id: row.uuid_opt("trunk_id")?.map(TrunkId::from_uuid),
        direction: row.parsed("direction")?,
        carried_by: row.parsed("carried_by")?,
        conversation_id: row.uuid_opt("conversation_id")?,
        from_number: row.text("from_number")?,
        to_number: row.text("to_number")?,
        to_uri: row.text_opt("to_uri")?,
        started_at: row.time("started_at")?,
        answered_at: row.time_opt("answered_at")?,
        ended_at: row.time_opt("ended_at")?,
        duration_ms: row.number_opt("duration_ms")?,
        status: row.parsed("status")?,
        hangup_cause: row.text_opt("hangup_cause")?,
        sip_status: row.number_opt("sip_status")?,
        hung_up_by: row.parsed_opt("hung_up_by")?,
        quality_score: row.real_opt("quality_score")?,
        codec_used: row.text_opt("codec_used")?,
        sip_call_id: row.text_opt("sip_call_id")?,
        remote_ip: row.text_opt("remote_ip")?,
        cost: row.money_opt("cost_micros")?,
        credits_used: row.money_opt("credits_used_micros")?,
        metadata: row.json("metadata")?,
        receipt: row.text_opt("receipt")?.map(JsonText::from_stored),
        created_at: row.time("created_at")?,
    })
}

pub(crate) fn read_leg<R: Columns>(row: &R) -> Result<LegRecord, DatabaseError> {
    Ok(LegRecord {
        id: LegId::from_uuid(row.uuid("id")?),
        call_id: CallId::from_uuid(row.uuid("call_log_id")?),
        account_id: AccountId::from_uuid(row.uuid("account_id")?),
        number: row.number("number")?,
        kind: row.parsed("kind")?,
        trunk_id: row.uuid_opt("trunk_id")?.map(TrunkId::from_uuid),
        direction: row.parsed("direction")?,
        request_uri: row.text("request_uri")?,
        started_at: row.time("started_at")?,
        ringing_at: row.time_opt("ringing_at")?,
        answered_at: row.time_opt("answered_at")?,
        ended_at: row.time_opt("ended_at")?,
        duration_ms: row.number_opt("duration_ms")?,
        status: row.parsed("status")?,
        cause: row.parsed_opt("cause")?,
        sip_status: row.number_opt("sip_status")?,
        hung_up_by: row.parsed_opt("hung_up_by")?,
        codec: row.parsed_opt("codec")?,
        sip_call_id: row.text("sip_call_id")?,
        transport: row.parsed("transport")?,
        remote_address: row.parsed_opt("remote_address")?,
        billed_seconds: row.number_opt("billed_seconds")?,
        cost: row.money_opt("cost_micros")?,
        media: row.json_opt("media")?,
    })
}

fn read_open<R: Columns>(row: &R) -> Result<OpenExternalCall, DatabaseError> {
    Ok(OpenExternalCall {
        account_id: AccountId::from_uuid(row.uuid("account_id")?),
        trunk_id: TrunkId::from_uuid(row.uuid("trunk_id")?),
        call_id: CallId::from_uuid(row.uuid("id")?),
    })
}
