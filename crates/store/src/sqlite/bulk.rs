//! Bulk statements: all rows of a table go in as one JSON parameter, one row an array of its columns in the order of the statement.
//!
//! One statement a table costs a third of statements row by row. `jsonb_each` (SQLite 3.51, which is linked in) hands each row on
//! parsed; `json_each` would print it, and every column would parse it again, which costs half as much again in all.

use crate::records::{Batch, CallState, Writer};
use crate::row::{stored, to_json};
use crate::sqlite::SqlitePools;
use crate::timeline::Chunk;
use serde::ser::{Serialize, SerializeSeq, Serializer};
use sqlx::{Sqlite, Transaction};
use std::collections::HashSet;
use tandem_model::{AccountId, JsonText, LegRecord, Money, RefusedInvite, Timestamp, TrunkId};
use uuid::Uuid;

impl SqlitePools {
    /// Which of these accounts exist.
    pub(crate) async fn known_accounts(
        &self,
        transaction: &mut Transaction<'static, Sqlite>,
        accounts: &HashSet<AccountId>,
    ) -> Result<HashSet<AccountId>, sqlx::Error> {
        let ids: Vec<Hex> = accounts.iter().map(|account| Hex(account.as_uuid())).collect();
        let known: Vec<Uuid> =
            sqlx::query_scalar("SELECT id FROM accounts WHERE id IN (SELECT unhex(value) FROM json_each($1))")
                .bind(to_json(&ids))
                .fetch_all(&mut **transaction)
                .await?;
        Ok(known.into_iter().map(AccountId::from_uuid).collect())
    }

    /// Writes the rows of a batch.
    pub(crate) async fn write_batch(
        &self,
        transaction: &mut Transaction<'static, Sqlite>,
        batch: &Batch<'_>,
        writer: Writer,
    ) -> Result<(), sqlx::Error> {
        for calls in batch.calls.chunks(ROWS_PER_STATEMENT) {
            let rows: Vec<Row<CallState<'_>>> = calls.iter().map(|call| Row(*call)).collect();
            sqlx::query(UPSERT_CALLS)
                .bind(to_json(&rows))
                .bind(writer.node.as_uuid())
                .bind(writer.boot.as_uuid())
                .bind(writer.at.unix_micros())
                .execute(&mut **transaction)
                .await?;
        }
        for legs in batch.legs.chunks(ROWS_PER_STATEMENT) {
            let rows: Vec<Row<&LegRecord>> = legs.iter().map(|leg| Row(*leg)).collect();
            sqlx::query(UPSERT_LEGS).bind(to_json(&rows)).execute(&mut **transaction).await?;
        }
        for timelines in batch.timelines.chunks(ROWS_PER_STATEMENT) {
            let rows: Vec<Row<&Chunk<'_>>> = timelines.iter().map(Row).collect();
            sqlx::query(INSERT_TIMELINES).bind(to_json(&rows)).execute(&mut **transaction).await?;
        }
        for refusals in batch.refusals.chunks(ROWS_PER_STATEMENT) {
            let rows: Vec<Row<&RefusedInvite>> = refusals.iter().map(|refusal| Row(*refusal)).collect();
            sqlx::query(INSERT_REFUSALS).bind(to_json(&rows)).execute(&mut **transaction).await?;
        }
        Ok(())
    }
}

// `WHERE true` tells the parser that `ON CONFLICT` is no join condition (<https://www.sqlite.org/lang_upsert.html>).

const UPSERT_CALLS: &str = "
INSERT INTO call_logs (id, account_id, call_id, trunk_id, direction, carried_by, conversation_id, from_number, to_number, to_uri,
    started_at, answered_at, ended_at, duration_ms, status, hangup_cause, sip_status, hung_up_by, quality_score, codec_used,
    sip_call_id, remote_ip, cost_micros, credits_used_micros, metadata, receipt, created_at, node_id, boot_id, updated_at)
SELECT unhex(value ->> 0), unhex(value ->> 1), value ->> 2, unhex(value ->> 3), value ->> 4, value ->> 5, unhex(value ->> 6),
    value ->> 7, value ->> 8, value ->> 9, value ->> 10, value ->> 11, value ->> 12, value ->> 13, value ->> 14, value ->> 15,
    value ->> 16, value ->> 17, value ->> 18, value ->> 19, value ->> 20, value ->> 21, value ->> 22, value ->> 23,
    value ->> 24, value ->> 25, value ->> 26, $2, $3, $4
FROM jsonb_each($1) WHERE true
ON CONFLICT (id) DO UPDATE SET trunk_id = excluded.trunk_id, direction = excluded.direction,
    conversation_id = excluded.conversation_id, from_number = excluded.from_number, to_number = excluded.to_number,
    to_uri = excluded.to_uri, started_at = excluded.started_at, answered_at = excluded.answered_at,
    ended_at = excluded.ended_at, duration_ms = excluded.duration_ms, status = excluded.status,
    hangup_cause = excluded.hangup_cause, sip_status = excluded.sip_status, hung_up_by = excluded.hung_up_by,
    quality_score = coalesce(excluded.quality_score, quality_score), codec_used = excluded.codec_used,
    sip_call_id = excluded.sip_call_id, remote_ip = excluded.remote_ip, cost_micros = excluded.cost_micros,
    credits_used_micros = coalesce(excluded.credits_used_micros, credits_used_micros), receipt = coalesce(excluded.receipt, receipt),
    updated_at = excluded.updated_at
WHERE account_id = excluded.account_id";

const UPSERT_LEGS: &str = "
INSERT INTO call_legs (call_log_id, id, account_id, number, kind, trunk_id, direction, request_uri, started_at, ringing_at,
    answered_at, ended_at, duration_ms, status, cause, sip_status, hung_up_by, codec, sip_call_id, transport, remote_address,
    billed_seconds, cost_micros, media)
SELECT unhex(value ->> 0), unhex(value ->> 1), unhex(value ->> 2), value ->> 3, value ->> 4, unhex(value ->> 5), value ->> 6,
    value ->> 7, value ->> 8, value ->> 9, value ->> 10, value ->> 11, value ->> 12, value ->> 13, value ->> 14, value ->> 15,
    value ->> 16, value ->> 17, value ->> 18, value ->> 19, value ->> 20, value ->> 21, value ->> 22, value ->> 23
FROM jsonb_each($1) WHERE true
ON CONFLICT (call_log_id, id) DO UPDATE SET number = excluded.number, kind = excluded.kind, trunk_id = excluded.trunk_id,
    direction = excluded.direction, request_uri = excluded.request_uri, started_at = excluded.started_at,
    ringing_at = excluded.ringing_at, answered_at = excluded.answered_at, ended_at = excluded.ended_at,
    duration_ms = excluded.duration_ms, status = excluded.status, cause = excluded.cause, sip_status = excluded.sip_status,
    hung_up_by = excluded.hung_up_by, codec = excluded.codec, sip_call_id = excluded.sip_call_id,
    transport = excluded.transport, remote_address = excluded.remote_address, billed_seconds = excluded.billed_seconds,
    cost_micros = excluded.cost_micros, media = excluded.media
WHERE account_id = excluded.account_id";

const INSERT_TIMELINES: &str = "
INSERT INTO call_timelines (call_log_id, last_number, account_id, events)
SELECT unhex(value ->> 0), value ->> 1, unhex(value ->> 2), value ->> 3
FROM jsonb_each($1) WHERE true
ON CONFLICT (call_log_id, last_number) DO NOTHING";

const INSERT_REFUSALS: &str = "
INSERT INTO refusals (id, account_id, at, trunk_id, from_number, to_number, sip_call_id, sip_status, reason, receipt)
SELECT unhex(value ->> 0), unhex(value ->> 1), value ->> 2, unhex(value ->> 3), value ->> 4, value ->> 5, value ->> 6, value ->> 7,
    value ->> 8, value ->> 9
FROM jsonb_each($1) WHERE true
ON CONFLICT (account_id, id) DO NOTHING";

/// A row as a JSON array of its columns.
struct Row<T>(T);

/// Writes columns one by one into an array whose length is not told beforehand, which JSON does not need.
macro_rules! array {
    ($serializer:ident, $($column:expr),+ $(,)?) => {{
        let mut array = $serializer.serialize_seq(None)?;
        $( array.serialize_element(&$column)?; )+
        array.end()
    }};
}

impl Serialize for Row<CallState<'_>> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let CallState { record: call, receipt } = self.0;
        array!(
            serializer,
            Hex(call.id.as_uuid()),
            Hex(call.account_id.as_uuid()),
            call.call_id,
            call.trunk_id.map(TrunkId::as_uuid).map(Hex),
            call.direction,
            call.carried_by,
            call.conversation_id.map(Hex),
            call.from_number,
            call.to_number,
            call.to_uri,
            call.started_at.unix_micros(),
            call.answered_at.map(Timestamp::unix_micros),
            call.ended_at.map(Timestamp::unix_micros),
            call.duration_ms.map(stored),
            call.status,
            call.hangup_cause,
            call.sip_status,
            call.hung_up_by,
            call.quality_score,
            call.codec_used,
            call.sip_call_id,
            call.remote_ip,
            call.cost.map(Money::micros),
            call.credits_used.map(Money::micros),
            to_json(&call.metadata),
            receipt.map(JsonText::as_str),
            call.created_at.unix_micros(),
        )
    }
}

impl Serialize for Row<&LegRecord> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let leg = self.0;
        array!(
            serializer,
            Hex(leg.call_id.as_uuid()),
            Hex(leg.id.as_uuid()),
            Hex(leg.account_id.as_uuid()),
            leg.number,
            leg.kind,
            leg.trunk_id.map(TrunkId::as_uuid).map(Hex),
            leg.direction,
            leg.request_uri,
            leg.started_at.unix_micros(),
            leg.ringing_at.map(Timestamp::unix_micros),
            leg.answered_at.map(Timestamp::unix_micros),
            leg.ended_at.map(Timestamp::unix_micros),
            leg.duration_ms.map(stored),
            leg.status,
            leg.cause,
            leg.sip_status,
            leg.hung_up_by,
            leg.codec,
            leg.sip_call_id,
            leg.transport,
            leg.remote_address,
            leg.billed_seconds.map(stored),
            leg.cost.map(Money::micros),
            leg.media.as_ref().map(to_json),
        )
    }
}

impl Serialize for Row<&Chunk<'_>> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let chunk = self.0;
        array!(
            serializer,
            Hex(chunk.call_id.as_uuid()),
            chunk.last_number(),
            Hex(chunk.account_id.as_uuid()),
            chunk.events(),
        )
    }
}

impl Serialize for Row<&RefusedInvite> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let refusal = self.0;
        array!(
            serializer,
            Hex(refusal.id.as_uuid()),
            Hex(refusal.account_id.as_uuid()),
            refusal.at.unix_micros(),
            refusal.trunk_id.map(TrunkId::as_uuid).map(Hex),
            refusal.from_number,
            refusal.to_number,
            refusal.sip_call_id,
            refusal.sip_status,
            refusal.reason,
            refusal.receipt.as_str(),
        )
    }
}

/// A UUID as the 32 digits that `unhex` reads.
struct Hex(Uuid);

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut digits = Uuid::encode_buffer();
        serializer.serialize_str(self.0.simple().encode_lower(&mut digits))
    }
}

/// Keeps one parameter to a few megabytes, whatever the size of the batch.
const ROWS_PER_STATEMENT: usize = 1_000;
