//! The statistics, in bulk.

use super::bulk::{ROWS_PER_STATEMENT, bind_columns};
use super::session::Transaction;
use crate::records::CallState;
use crate::traffic::{CallFacts, LegFacts, Stored, Sums, TrafficChange, TrafficKey, assignments};
use sqlx::Row;
use sqlx::postgres::PgRow;
use std::collections::HashMap;
use std::str::FromStr;
use std::sync::LazyLock;
use tandem_model::{AccountId, LegRecord, TrunkId};
use uuid::Uuid;

/// What these calls change. To be asked before they are written; nobody else writes them until the transaction ends.
pub(super) async fn change_calls(
    transaction: &mut Transaction,
    calls: &[CallState<'_>],
    change: &mut TrafficChange,
) -> Result<(), sqlx::Error> {
    let ids: Vec<Uuid> = calls.iter().map(|call| call.record.id.as_uuid()).collect();
    let rows = sqlx::query(STORED_CALLS).bind(ids).fetch_all(&mut **transaction).await?;
    let rows: HashMap<Uuid, &PgRow> =
        rows.iter().map(|row| Ok((row.try_get("id")?, row))).collect::<Result<_, sqlx::Error>>()?;
    for CallState { record, .. } in calls {
        let row = rows.get(&record.id.as_uuid());
        let stored = row.map(|row| stored_call(row)).transpose()?.flatten();
        change.write_call(record, stored.as_ref());
    }
    Ok(())
}

/// As [`change_calls`], of legs.
pub(super) async fn change_legs(
    transaction: &mut Transaction,
    legs: &[&LegRecord],
    change: &mut TrafficChange,
) -> Result<(), sqlx::Error> {
    let query = sqlx::query(STORED_LEGS);
    let rows = bind_columns!(query, legs, leg => leg.call_id.as_uuid(), leg.id.as_uuid())
        .fetch_all(&mut **transaction)
        .await?;
    let rows: HashMap<(Uuid, Uuid), &PgRow> = rows
        .iter()
        .map(|row| Ok(((row.try_get("call_log_id")?, row.try_get("id")?), row)))
        .collect::<Result<_, sqlx::Error>>()?;
    for leg in legs {
        let row = rows.get(&(leg.call_id.as_uuid(), leg.id.as_uuid()));
        let stored = row.map(|row| stored_leg(row)).transpose()?.flatten();
        change.write_leg(leg, stored.as_ref());
    }
    Ok(())
}

/// Adds to the rows of the statistics.
pub(super) async fn write(transaction: &mut Transaction, rows: &[(TrafficKey, Sums)]) -> Result<(), sqlx::Error> {
    for rows in rows.chunks(ROWS_PER_STATEMENT) {
        let query = bind_columns!(sqlx::query(ADD_TRAFFIC.as_str()), rows, row =>
            row.0.account.as_uuid(),
            row.0.view.as_str(),
            row.0.grain.as_str(),
            row.0.began_at,
            row.0.trunk.map_or(Uuid::nil(), TrunkId::as_uuid),
            row.0.direction.as_str(),
            row.0.detail.text(),
        );
        let mut columns = [const { Vec::new() }; crate::traffic::SUMS];
        for (_, sums) in rows {
            for (column, value) in columns.iter_mut().zip(sums.columns()) {
                column.push(value);
            }
        }
        columns.into_iter().fold(query, sqlx::query::Query::bind).execute(&mut **transaction).await?;
    }
    Ok(())
}

/// `None` of a row that this build cannot read: it cannot have counted it.
fn stored_call(row: &PgRow) -> Result<Option<Stored<CallFacts<'_>>>, sqlx::Error> {
    let (Some(direction), Some(carried_by), Some(status)) =
        (parsed(row, "direction")?, parsed(row, "carried_by")?, parsed(row, "status")?)
    else {
        return Ok(None);
    };
    let facts = CallFacts {
        account: AccountId::from_uuid(row.try_get("account_id")?),
        trunk: row.try_get::<Option<Uuid>, _>("trunk_id")?.map(TrunkId::from_uuid),
        direction,
        carried_by,
        to_number: row.try_get("to_number")?,
        started_at: row.try_get("started_at")?,
        is_answered: row.try_get("is_answered")?,
        is_over: row.try_get("is_over")?,
        duration_ms: row.try_get("duration_ms")?,
        status,
        hangup_cause: row.try_get("hangup_cause")?,
        quality_score: row.try_get("quality_score")?,
        cost_micros: row.try_get("cost_micros")?,
    };
    Ok(Some(Stored { facts, counted: row.try_get("counted")? }))
}

fn stored_leg(row: &PgRow) -> Result<Option<Stored<LegFacts<'_>>>, sqlx::Error> {
    let (Some(direction), Some(status)) = (parsed(row, "direction")?, parsed(row, "status")?) else {
        return Ok(None);
    };
    let facts = LegFacts {
        account: AccountId::from_uuid(row.try_get("account_id")?),
        trunk: row.try_get::<Option<Uuid>, _>("trunk_id")?.map(TrunkId::from_uuid),
        direction,
        request_uri: row.try_get("request_uri")?,
        started_at: row.try_get("started_at")?,
        ringing_at: row.try_get("ringing_at")?,
        answered_at: row.try_get("answered_at")?,
        is_over: row.try_get("is_over")?,
        duration_ms: row.try_get("duration_ms")?,
        status,
        cause: parsed(row, "cause")?,
        billed_seconds: row.try_get("billed_seconds")?,
        cost_micros: row.try_get("cost_micros")?,
        mos_millis: row.try_get("mos_millis")?,
    };
    Ok(Some(Stored { facts, counted: row.try_get("counted")? }))
}

/// A word of one of our lists.
fn parsed<T: FromStr>(row: &PgRow, column: &str) -> Result<Option<T>, sqlx::Error> {
    Ok(row.try_get::<Option<&str>, _>(column)?.and_then(|text| text.parse().ok()))
}

/// Locked in one order, whoever writes them.
const STORED_CALLS: &str = "
SELECT id, account_id, trunk_id, direction, carried_by, to_number, started_at, answered_at IS NOT NULL AS is_answered,
    ended_at IS NOT NULL AS is_over, duration_ms, status, hangup_cause, quality_score, cost_micros, counted
FROM call_logs WHERE id = ANY ($1) ORDER BY id FOR UPDATE";

const STORED_LEGS: &str = "
SELECT call_log_id, id, account_id, trunk_id, direction, request_uri, started_at, ringing_at, answered_at,
    ended_at IS NOT NULL AS is_over, duration_ms, status, cause, billed_seconds, cost_micros, mos_millis, counted
FROM call_legs JOIN unnest($1, $2) AS wanted (call_log_id, id) USING (call_log_id, id)
ORDER BY call_log_id, id FOR UPDATE OF call_legs";

static ADD_TRAFFIC: LazyLock<String> = LazyLock::new(|| {
    format!(
        "INSERT INTO traffic AS stored (account_id, view, grain, began_at, trunk_id, direction, detail, calls, calls_answered, calls_failed,
    calls_timed, calls_ms, calls_cost_micros, scores, scores_millis, attempts, attempts_answered, attempts_failed, attempts_effective,
    attempts_timed, attempts_ms, attempts_cost_micros, billed_seconds, rung, rung_us, heard, heard_mos_millis)
SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27)
ON CONFLICT (account_id, view, grain, began_at, trunk_id, direction, detail) DO UPDATE SET {}",
        // PostgreSQL fails where two numbers overflow: both are bounded before.
        assignments(|name, bound| format!(
            "least(greatest(least(greatest(stored.{name}, -{bound}), {bound}) + excluded.{name}, -{bound}), {bound})"
        ))
    )
});
