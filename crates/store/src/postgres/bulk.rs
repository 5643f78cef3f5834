//! Bulk statements: the rows of a table go in as one array a column, in the order of the statement, so a batch is one round trip a
//! table and nothing is printed and parsed again on the way.

use crate::JournalPosition;
use crate::event::News;
use crate::journal::MOVE_POSITION;
use crate::postgres::session::Transaction;
use crate::postgres::{PostgresPools, outbox, traffic};
use crate::records::{Batch, CallState, Rejected, Writer, accounts_of, may_be_settled, stored_cost};
use crate::row::{stored, to_json};
use crate::settlement::{LARGEST_ENTRY, LEDGER_BOUND, tell_unsettled};
use crate::store::random;
use crate::timeline::Chunk;
use crate::traffic::{Sums, TrafficChange, TrafficKey, mos_millis};
use std::borrow::Cow;
use std::collections::HashSet;
use tandem_model::{
    AccountId, CallId, Codec, CreditEntryId, HangupCause, HungUpBy, JsonText, LegRecord, Money, Record, RefusedInvite,
    Timestamp, TrunkId,
};
use uuid::Uuid;

/// Binds each column of these rows as an array.
macro_rules! bind_columns {
    ($query:expr, $rows:ident, $row:ident => $($column:expr),+ $(,)?) => {
        $query $( .bind($rows.iter().map(|$row| $column).collect::<Vec<_>>()) )+
    };
}

pub(super) use bind_columns;

impl PostgresPools {
    /// Writes a batch of the call path in one transaction.
    pub(crate) async fn write_records(
        &self,
        records: &[Record],
        read_to: Option<JournalPosition>,
        writer: Writer,
    ) -> Result<Vec<Rejected>, sqlx::Error> {
        let mut transaction = self.begin_calls().await?;
        let (known, listening) = known_accounts(&mut transaction, &accounts_of(records), writer.at).await?;
        let (batch, rejected) = Batch::new(records, &known);
        let news = News::new(records, &listening);
        let stored_refusals = outbox::stored_refusals(&mut transaction, &news).await?;
        let mut change = TrafficChange::default();
        for calls in batch.calls.chunks(ROWS_PER_STATEMENT) {
            traffic::change_calls(&mut transaction, calls, &mut change).await?;
            write_calls(&mut transaction, calls, writer).await?;
        }
        for legs in batch.legs.chunks(ROWS_PER_STATEMENT) {
            traffic::change_legs(&mut transaction, legs, &mut change).await?;
            write_legs(&mut transaction, legs).await?;
        }
        for timelines in batch.timelines.chunks(ROWS_PER_STATEMENT) {
            write_timelines(&mut transaction, timelines).await?;
        }
        for refusals in batch.refusals.chunks(ROWS_PER_STATEMENT) {
            write_refusals(&mut transaction, refusals).await?;
        }
        settle_calls(&mut transaction, &batch.calls, writer).await?;
        // Late, for every node adds to the same rows and holds them until it commits; and before the events, as everywhere.
        traffic::write(&mut transaction, &change.rows(writer.at)).await?;
        if let Some(position) = read_to {
            sqlx::query(MOVE_POSITION)
                .bind(writer.node.as_uuid())
                .bind(i64::from(position.shard))
                .bind(stored(position.segment))
                .bind(stored(position.offset))
                .execute(&mut *transaction)
                .await?;
        }
        if !news.is_empty() {
            outbox::tell(&mut transaction, &news, &stored_refusals, writer.at).await?;
        }
        transaction.commit().await?;
        Ok(rejected)
    }
}

impl PostgresPools {
    /// Adds to the rows of the statistics.
    pub(crate) async fn write_traffic(
        &self,
        transaction: &mut Transaction,
        rows: &[(TrafficKey, Sums)],
    ) -> Result<(), sqlx::Error> {
        traffic::write(transaction, rows).await
    }
}

/// Which of these accounts exist, and to which of them somebody listens.
async fn known_accounts(
    transaction: &mut Transaction,
    accounts: &HashSet<AccountId>,
    at: Timestamp,
) -> Result<(HashSet<AccountId>, HashSet<AccountId>), sqlx::Error> {
    let ids: Vec<Uuid> = accounts.iter().map(|account| account.as_uuid()).collect();
    let found: Vec<(Uuid, bool)> =
        sqlx::query_as(KNOWN_ACCOUNTS).bind(ids).bind(at.unix_micros()).fetch_all(&mut **transaction).await?;
    let (mut known, mut listening) = (HashSet::with_capacity(found.len()), HashSet::new());
    for (id, is_listened_to) in found {
        known.insert(AccountId::from_uuid(id));
        if is_listened_to {
            listening.insert(AccountId::from_uuid(id));
        }
    }
    Ok((known, listening))
}

async fn write_calls(
    transaction: &mut Transaction,
    calls: &[CallState<'_>],
    writer: Writer,
) -> Result<(), sqlx::Error> {
    bind_columns!(sqlx::query(UPSERT_CALLS), calls, call =>
        call.record.id.as_uuid(),
        call.record.account_id.as_uuid(),
        storable(&call.record.call_id),
        call.record.trunk_id.map(TrunkId::as_uuid),
        call.record.direction.as_str(),
        call.record.carried_by.as_str(),
        call.record.conversation_id,
        storable(&call.record.from_number),
        storable(&call.record.to_number),
        call.record.to_uri.as_deref().map(storable),
        call.record.started_at.unix_micros(),
        call.record.answered_at.map(Timestamp::unix_micros),
        call.record.ended_at.map(Timestamp::unix_micros),
        call.record.duration_ms.map(stored),
        call.record.status.as_str(),
        call.record.hangup_cause.as_deref().map(storable),
        call.record.sip_status.map(i64::from),
        call.record.hung_up_by.map(HungUpBy::as_str),
        call.record.quality_score.filter(|score| score.is_finite()),
        call.record.codec_used.as_deref().map(storable),
        call.record.sip_call_id.as_deref().map(storable),
        call.record.remote_ip.as_deref().map(storable),
        stored_cost(call.record.cost),
        call.record.credits_used.map(Money::micros),
        to_json(&call.record.metadata),
        call.receipt.map(JsonText::as_str),
        call.record.created_at.unix_micros(),
    )
    .bind(writer.node.as_uuid())
    .bind(writer.boot.as_uuid())
    .bind(writer.at.unix_micros())
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

async fn write_legs(transaction: &mut Transaction, legs: &[&LegRecord]) -> Result<(), sqlx::Error> {
    bind_columns!(sqlx::query(UPSERT_LEGS), legs, leg =>
        leg.call_id.as_uuid(),
        leg.id.as_uuid(),
        leg.account_id.as_uuid(),
        i64::from(leg.number),
        leg.kind.as_str(),
        leg.trunk_id.map(TrunkId::as_uuid),
        leg.direction.as_str(),
        storable(&leg.request_uri),
        leg.started_at.unix_micros(),
        leg.ringing_at.map(Timestamp::unix_micros),
        leg.answered_at.map(Timestamp::unix_micros),
        leg.ended_at.map(Timestamp::unix_micros),
        leg.duration_ms.map(stored),
        leg.status.as_str(),
        leg.cause.map(HangupCause::as_str),
        leg.sip_status.map(i64::from),
        leg.hung_up_by.map(HungUpBy::as_str),
        leg.codec.map(Codec::as_str),
        storable(&leg.sip_call_id),
        leg.transport.as_str(),
        leg.remote_address.map(|address| address.to_string()),
        leg.billed_seconds.map(stored),
        stored_cost(leg.cost),
        leg.media.as_ref().map(to_json),
        mos_millis(leg),
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

async fn write_timelines(transaction: &mut Transaction, timelines: &[Chunk<'_>]) -> Result<(), sqlx::Error> {
    bind_columns!(sqlx::query(INSERT_TIMELINES), timelines, chunk =>
        chunk.call_id.as_uuid(),
        i64::from(chunk.last_number()),
        chunk.account_id.as_uuid(),
        events_of(chunk),
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

async fn write_refusals(transaction: &mut Transaction, refusals: &[&RefusedInvite]) -> Result<(), sqlx::Error> {
    bind_columns!(sqlx::query(INSERT_REFUSALS), refusals, refusal =>
        refusal.id.as_uuid(),
        refusal.account_id.as_uuid(),
        refusal.at.unix_micros(),
        refusal.trunk_id.map(TrunkId::as_uuid),
        storable(&refusal.from_number),
        storable(&refusal.to_number),
        storable(&refusal.sip_call_id),
        i64::from(refusal.sip_status),
        refusal.reason.as_str(),
        refusal.receipt.as_str(),
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// Has the calls that are over paid for by the credit of their accounts, where it pays for them.
async fn settle_calls(
    transaction: &mut Transaction,
    calls: &[CallState<'_>],
    writer: Writer,
) -> Result<(), sqlx::Error> {
    let over: Vec<_> = calls.iter().map(|call| call.record).filter(|call| may_be_settled(call)).collect();
    let accounts: HashSet<Uuid> = over.iter().map(|call| call.account_id.as_uuid()).collect();
    if accounts.is_empty() {
        return Ok(());
    }
    let controlled: Vec<Uuid> = sqlx::query_scalar(CONTROLLED_ACCOUNTS)
        .bind(accounts.into_iter().collect::<Vec<_>>())
        .fetch_all(&mut **transaction)
        .await?;
    let due: Vec<_> = over.into_iter().filter(|call| controlled.contains(&call.account_id.as_uuid())).collect();
    let mut unsettled = Vec::new();
    for calls in due.chunks(ROWS_PER_STATEMENT) {
        let mut ids = Vec::with_capacity(calls.len());
        for _ in calls {
            ids.push(CreditEntryId::new(writer.at, random().map_err(sqlx::Error::decode)?).as_uuid());
        }
        let left_out: Vec<(Uuid, Uuid)> = bind_columns!(sqlx::query_as(SETTLE_CALLS), calls, call =>
            call.id.as_uuid(),
            call.account_id.as_uuid(),
        )
        .bind(ids)
        .bind(writer.at.unix_micros())
        .bind(writer.node.as_uuid())
        .bind(LEDGER_BOUND)
        .bind(LARGEST_ENTRY)
        .fetch_all(&mut **transaction)
        .await?;
        unsettled
            .extend(left_out.iter().map(|(account, call)| (AccountId::from_uuid(*account), CallId::from_uuid(*call))));
    }
    tell_unsettled(&unsettled);
    Ok(())
}

fn events_of(chunk: &Chunk<'_>) -> String {
    let mut events = String::new();
    chunk.print_events(&mut events);
    events
}

/// A text of PostgreSQL holds no NUL. One from a peer must not hold up its whole batch, so it is replaced.
fn storable(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { text.replace('\0', "\u{fffd}").into() } else { text.into() }
}

const KNOWN_ACCOUNTS: &str = "
SELECT accounts.id, coalesce(event_streams.endpoints > 0 OR event_streams.listening_until > $2, false)
FROM accounts LEFT JOIN event_streams ON event_streams.account_id = accounts.id
WHERE accounts.id = ANY ($1)";

const UPSERT_CALLS: &str = "
INSERT INTO call_logs AS stored (id, account_id, call_id, trunk_id, direction, carried_by, conversation_id, from_number, to_number,
    to_uri, started_at, answered_at, ended_at, duration_ms, status, hangup_cause, sip_status, hung_up_by, quality_score, codec_used,
    sip_call_id, remote_ip, cost_micros, credits_used_micros, metadata, receipt, created_at, node_id, boot_id, updated_at,
    counted)
SELECT calls.*, $28, $29, $30, TRUE
FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26,
    $27) AS calls
ON CONFLICT (id) DO UPDATE SET trunk_id = excluded.trunk_id, direction = excluded.direction,
    conversation_id = excluded.conversation_id, from_number = excluded.from_number, to_number = excluded.to_number,
    to_uri = excluded.to_uri, started_at = excluded.started_at, answered_at = excluded.answered_at,
    ended_at = excluded.ended_at, duration_ms = excluded.duration_ms, status = excluded.status,
    hangup_cause = excluded.hangup_cause, sip_status = excluded.sip_status, hung_up_by = excluded.hung_up_by,
    quality_score = coalesce(excluded.quality_score, stored.quality_score), codec_used = excluded.codec_used,
    sip_call_id = excluded.sip_call_id, remote_ip = excluded.remote_ip, cost_micros = excluded.cost_micros,
    credits_used_micros = coalesce(stored.credits_used_micros, excluded.credits_used_micros), receipt = coalesce(excluded.receipt, stored.receipt), updated_at = excluded.updated_at,
    counted = TRUE
WHERE stored.account_id = excluded.account_id";

const UPSERT_LEGS: &str = "
INSERT INTO call_legs AS stored (call_log_id, id, account_id, number, kind, trunk_id, direction, request_uri, started_at, ringing_at,
    answered_at, ended_at, duration_ms, status, cause, sip_status, hung_up_by, codec, sip_call_id, transport, remote_address,
    billed_seconds, cost_micros, media, mos_millis, counted)
SELECT legs.*, TRUE FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24,
        $25) AS legs
ON CONFLICT (call_log_id, id) DO UPDATE SET number = excluded.number, kind = excluded.kind, trunk_id = excluded.trunk_id,
    direction = excluded.direction, request_uri = excluded.request_uri, started_at = excluded.started_at,
    ringing_at = excluded.ringing_at, answered_at = excluded.answered_at, ended_at = excluded.ended_at,
    duration_ms = excluded.duration_ms, status = excluded.status, cause = excluded.cause, sip_status = excluded.sip_status,
    hung_up_by = excluded.hung_up_by, codec = excluded.codec, sip_call_id = excluded.sip_call_id,
    transport = excluded.transport, remote_address = excluded.remote_address, billed_seconds = excluded.billed_seconds,
    cost_micros = excluded.cost_micros, media = excluded.media, mos_millis = excluded.mos_millis, counted = TRUE
WHERE stored.account_id = excluded.account_id";

const CONTROLLED_ACCOUNTS: &str =
    "SELECT account_id FROM credits WHERE account_id = ANY ($1) AND controlled_since IS NOT NULL";

/// For each call an entry of what its entries lack to what it cost, and their sum to that of this node. Calls of the batch were written
/// before, so they are held. `$6` bounds what calls of an account may have cost, `$7` one entry. Gives the calls that are left out for it.
/// All of it is reckoned in NUMERIC, which nothing overflows.
const SETTLE_CALLS: &str = "
WITH ended AS (
    SELECT * FROM unnest($1, $2, $3) AS ended (call_id, account_id, entry_id)
), due AS (
    SELECT ended.entry_id, call_logs.account_id, call_logs.id,
        -(call_logs.cost_micros::NUMERIC) - coalesce(sum(known.amount_micros), 0) AS amount, count(known.id) AS entries
    FROM ended JOIN call_logs ON call_logs.id = ended.call_id AND call_logs.account_id = ended.account_id
        JOIN credits ON credits.account_id = call_logs.account_id AND credits.controlled_since <= call_logs.started_at
        LEFT JOIN credit_entries AS known ON known.call_log_id = call_logs.id AND known.account_id = call_logs.account_id
    WHERE call_logs.cost_micros IS NOT NULL
    GROUP BY ended.entry_id, call_logs.account_id, call_logs.id, call_logs.cost_micros
), owed AS (
    SELECT account_id, sum(amount) AS amount FROM due WHERE amount <> 0 AND abs(amount) <= $7 GROUP BY account_id
), held AS (
    SELECT owed.account_id, owed.amount, coalesce(sum(settled_micros), 0) AS settled,
        coalesce(sum(settled_micros) FILTER (WHERE node_id = $5), 0) AS settled_here
    FROM owed LEFT JOIN credit_settlements ON credit_settlements.account_id = owed.account_id
    GROUP BY owed.account_id, owed.amount
), payable AS (
    SELECT account_id FROM held
    WHERE (abs(settled - amount) <= $6 OR abs(settled - amount) < abs(settled))
        AND abs(amount) <= 9223372036854775807 AND abs(settled_here - amount) <= 9223372036854775807
), written AS (
    INSERT INTO credit_entries (account_id, id, at, kind, amount_micros, call_log_id, note)
    SELECT account_id, entry_id, $4, CASE WHEN entries = 0 THEN 'call' ELSE 'correction' END, amount::BIGINT, id, ''
    FROM due WHERE amount <> 0 AND abs(amount) <= $7 AND account_id IN (SELECT account_id FROM payable)
    RETURNING account_id, amount_micros
), added AS (
    INSERT INTO credit_settlements AS stored (account_id, node_id, settled_micros)
    SELECT account_id, $5, (-sum(amount_micros))::BIGINT FROM written GROUP BY account_id ORDER BY account_id
    ON CONFLICT (account_id, node_id) DO UPDATE SET settled_micros = stored.settled_micros + excluded.settled_micros
)
SELECT account_id, id FROM due
WHERE amount <> 0 AND NOT (abs(amount) <= $7 AND account_id IN (SELECT account_id FROM payable)) ORDER BY id";

const INSERT_TIMELINES: &str = "
INSERT INTO call_timelines (call_log_id, last_number, account_id, events)
SELECT * FROM unnest($1, $2, $3, $4)
ON CONFLICT (call_log_id, last_number) DO NOTHING";

const INSERT_REFUSALS: &str = "
INSERT INTO refusals (id, account_id, at, trunk_id, from_number, to_number, sip_call_id, sip_status, reason, receipt)
SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (account_id, id) DO NOTHING";

/// Keeps one statement to a few megabytes, whatever the size of the batch.
pub(super) const ROWS_PER_STATEMENT: usize = 1_000;
