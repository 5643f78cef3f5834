//! The statistics, on the connection that records.

use super::recording::run;
use crate::records::CallState;
use crate::traffic::{CallFacts, LegFacts, Stored, Sums, TrafficChange, TrafficKey, assignments};
use rusqlite::{Connection, Row};
use std::str::FromStr;
use std::sync::LazyLock;
use tandem_model::{AccountId, LegRecord, TrunkId};
use uuid::Uuid;

/// What these calls change. To be asked before they are written.
pub(super) fn change_calls(
    connection: &Connection,
    calls: &[CallState<'_>],
    change: &mut TrafficChange,
) -> Result<(), rusqlite::Error> {
    let mut statement = connection.prepare_cached(STORED_CALL)?;
    for CallState { record, .. } in calls {
        let mut rows = statement.query([record.id.as_uuid().as_bytes()])?;
        let row = rows.next()?;
        let stored = row.map(stored_call).transpose()?.flatten();
        change.write_call(record, stored.as_ref());
    }
    Ok(())
}

/// As [`change_calls`], of legs.
pub(super) fn change_legs(
    connection: &Connection,
    legs: &[&LegRecord],
    change: &mut TrafficChange,
) -> Result<(), rusqlite::Error> {
    let mut statement = connection.prepare_cached(STORED_LEG)?;
    for leg in legs {
        let mut rows = statement.query([leg.call_id.as_uuid().as_bytes(), leg.id.as_uuid().as_bytes()])?;
        let row = rows.next()?;
        let stored = row.map(stored_leg).transpose()?.flatten();
        change.write_leg(leg, stored.as_ref());
    }
    Ok(())
}

/// Adds to the rows of the statistics.
pub(super) fn write(connection: &Connection, rows: &[(TrafficKey, Sums)]) -> Result<(), rusqlite::Error> {
    let mut statement = connection.prepare_cached(&ADD_TRAFFIC)?;
    for (key, sums) in rows {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t] = sums.columns();
        run!(
            statement,
            key.account.as_uuid().as_bytes(),
            key.view.as_str(),
            key.grain.as_str(),
            key.began_at,
            key.trunk.map_or(Uuid::nil(), TrunkId::as_uuid).as_bytes(),
            key.direction.as_str(),
            &*key.detail.text(),
            a,
            b,
            c,
            d,
            e,
            f,
            g,
            h,
            i,
            j,
            k,
            l,
            m,
            n,
            o,
            p,
            q,
            r,
            s,
            t,
        )?;
    }
    Ok(())
}

/// `None` of a row that this build cannot read: it cannot have counted it.
fn stored_call<'a>(row: &'a Row<'_>) -> Result<Option<Stored<CallFacts<'a>>>, rusqlite::Error> {
    let (Some(direction), Some(carried_by), Some(status)) = (parsed(row, 2)?, parsed(row, 3)?, parsed(row, 9)?) else {
        return Ok(None);
    };
    let facts = CallFacts {
        account: AccountId::from_uuid(row.get::<_, Uuid16>(0)?.0),
        trunk: row.get::<_, Option<Uuid16>>(1)?.map(|id| TrunkId::from_uuid(id.0)),
        direction,
        carried_by,
        to_number: row.get_ref(4)?.as_str()?,
        started_at: row.get(5)?,
        is_answered: row.get(6)?,
        is_over: row.get(7)?,
        duration_ms: row.get(8)?,
        status,
        hangup_cause: row.get_ref(10)?.as_str_or_null()?,
        quality_score: row.get(11)?,
        cost_micros: row.get(12)?,
    };
    Ok(Some(Stored { facts, counted: row.get(13)? }))
}

fn stored_leg<'a>(row: &'a Row<'_>) -> Result<Option<Stored<LegFacts<'a>>>, rusqlite::Error> {
    let (Some(direction), Some(status)) = (parsed(row, 2)?, parsed(row, 9)?) else {
        return Ok(None);
    };
    let facts = LegFacts {
        account: AccountId::from_uuid(row.get::<_, Uuid16>(0)?.0),
        trunk: row.get::<_, Option<Uuid16>>(1)?.map(|id| TrunkId::from_uuid(id.0)),
        direction,
        request_uri: row.get_ref(3)?.as_str()?,
        started_at: row.get(4)?,
        ringing_at: row.get(5)?,
        answered_at: row.get(6)?,
        is_over: row.get(7)?,
        duration_ms: row.get(8)?,
        status,
        cause: parsed(row, 10)?,
        billed_seconds: row.get(11)?,
        cost_micros: row.get(12)?,
        mos_millis: row.get(13)?,
    };
    Ok(Some(Stored { facts, counted: row.get(14)? }))
}

/// A word of one of our lists.
fn parsed<T: FromStr>(row: &Row<'_>, column: usize) -> Result<Option<T>, rusqlite::Error> {
    Ok(row.get_ref(column)?.as_str_or_null()?.and_then(|text| text.parse().ok()))
}

/// The 16 bytes of an id.
struct Uuid16(Uuid);

impl rusqlite::types::FromSql for Uuid16 {
    fn column_result(value: rusqlite::types::ValueRef<'_>) -> rusqlite::types::FromSqlResult<Self> {
        <[u8; 16]>::column_result(value).map(|bytes| Self(Uuid::from_bytes(bytes)))
    }
}

const STORED_CALL: &str = "
SELECT account_id, trunk_id, direction, carried_by, to_number, started_at, answered_at IS NOT NULL, ended_at IS NOT NULL, duration_ms,
    status, hangup_cause, quality_score, cost_micros, counted
FROM call_logs WHERE id = ?1";

const STORED_LEG: &str = "
SELECT account_id, trunk_id, direction, request_uri, started_at, ringing_at, answered_at, ended_at IS NOT NULL, duration_ms, status,
    cause, billed_seconds, cost_micros, mos_millis, counted
FROM call_legs WHERE call_log_id = ?1 AND id = ?2";

pub(super) static ADD_TRAFFIC: LazyLock<String> = LazyLock::new(|| {
    format!(
        "INSERT INTO traffic (account_id, view, grain, began_at, trunk_id, direction, detail, calls, calls_answered, calls_failed, calls_timed,
    calls_ms, calls_cost_micros, scores, scores_millis, attempts, attempts_answered, attempts_failed, attempts_effective,
    attempts_timed, attempts_ms, attempts_cost_micros, billed_seconds, rung, rung_us, heard, heard_mos_millis)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27)
ON CONFLICT (account_id, view, grain, began_at, trunk_id, direction, detail) DO UPDATE SET {}",
        // Where two whole numbers overflow, SQLite adds them as floats, which are compared with the bound as well.
        assignments(|name, bound| format!(
            "CASE WHEN {name} + excluded.{name} BETWEEN -{bound} AND {bound} THEN {name} + excluded.{name}
    ELSE max(min({name} + excluded.{name}, {bound}), -{bound}) END"
        ))
    )
});
