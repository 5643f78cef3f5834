use crate::audit::{ActTransaction, Truncated, truncate_head};
use crate::error::from_database;
use crate::pool::on_pool;
use crate::row::{Columns, stored};
use crate::{Act, Change, DatabaseError, Stale, Store};
use serde_json::{Value, json};
use tandem_model::{AccountId, Timestamp};
use uuid::Uuid;

/// For how many days data is kept. `None` is as for the node; for the node itself it is for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Calls that have ended, with their legs and timelines, from when they began.
    pub calls_days: Option<u32>,
    /// Timelines of calls, from when the call began. The calls stay.
    pub timelines_days: Option<u32>,
    /// Refused INVITEs.
    pub refusals_days: Option<u32>,
    /// Events, from when they were written. They are kept for 7 days at most, whatever is set.
    pub events_days: Option<u32>,
    /// The health of trunks, from the end of each span. It is kept for 32 days at most, whatever is set.
    pub trunk_health_days: Option<u32>,
    /// Entries of the audit log.
    pub audit_log_days: Option<u32>,
}

/// Why it was not changed for how long data is kept.
#[derive(Debug, thiserror::Error)]
pub enum ChangeRetentionError {
    /// The act names another version of what is set.
    #[error(transparent)]
    Stale(#[from] Stale),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

from_database!(ChangeRetentionError);

impl Retention {
    /// What is in force for an account, after what is for the node.
    #[must_use]
    pub fn or(self, node: Self) -> Self {
        Self {
            calls_days: self.calls_days.or(node.calls_days),
            timelines_days: self.timelines_days.or(node.timelines_days),
            refusals_days: self.refusals_days.or(node.refusals_days),
            events_days: self.events_days.or(node.events_days),
            trunk_health_days: self.trunk_health_days.or(node.trunk_health_days),
            audit_log_days: self.audit_log_days.or(node.audit_log_days),
        }
    }
}

impl Store {
    /// For how long the data of an account is kept, as far as it was set; of [`NODE`](crate::NODE) for the node.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn retention(&self, account: AccountId) -> Result<Retention, DatabaseError> {
        on_pool!(self, pools => sqlx::query("SELECT * FROM retention WHERE account_id = $1")
            .bind(account.as_uuid())
            .fetch_optional(&pools.reader)
            .await?
            .map_or_else(|| Ok(Retention::default()), |row| read_retention(&row)))
    }

    /// Changes for how long the data of an account is kept; gives what is set then.
    ///
    /// # Errors
    /// [`ChangeRetentionError`].
    pub async fn change_retention(
        &self,
        act: &Act,
        account: AccountId,
        change: impl FnOnce(&mut Retention) + Send,
    ) -> Result<Retention, ChangeRetentionError> {
        on_pool!(self, pools => {
            let mut transaction = pools.begin().await?;
            let row = sqlx::query("SELECT * FROM retention WHERE account_id = $1")
                .bind(account.as_uuid())
                .fetch_optional(&mut *transaction)
                .await?;
            let before = row.map_or_else(|| Ok(Retention::default()), |row| read_retention(&row))?;
            act.expects(&before)?;
            let mut after = before;
            change(&mut after);
            sqlx::query(
                "INSERT INTO retention (account_id, calls_days, timelines_days, refusals_days, events_days, trunk_health_days,
                     audit_log_days)
                 VALUES ($1, $2, $3, $4, $5, $6, $7)
                 ON CONFLICT (account_id) DO UPDATE SET calls_days = excluded.calls_days, timelines_days = excluded.timelines_days,
                     refusals_days = excluded.refusals_days, events_days = excluded.events_days,
                     trunk_health_days = excluded.trunk_health_days, audit_log_days = excluded.audit_log_days",
            )
            .bind(account.as_uuid())
            .bind(after.calls_days.map(i64::from))
            .bind(after.timelines_days.map(i64::from))
            .bind(after.refusals_days.map(i64::from))
            .bind(after.events_days.map(i64::from))
            .bind(after.trunk_health_days.map(i64::from))
            .bind(after.audit_log_days.map(i64::from))
            .execute(&mut *transaction)
            .await?;
            let change = Change::new(account, "retention.update", &account).changed(audited(before), audited(after));
            transaction.finish(self, act, change).await?;
            Ok(after)
        })
    }

    /// Removes calls of an account that began before then and have ended, with their legs and timelines, at most `limit`; gives how
    /// many. What they add up to stays.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn remove_calls_before(
        &self,
        account: AccountId,
        before: Timestamp,
        limit: u32,
    ) -> Result<u32, DatabaseError> {
        on_pool!(self, pools => {
            let rows = sqlx::query(OLD_CALLS)
                .bind(account.as_uuid())
                .bind(before.unix_micros())
                .bind(i64::from(limit))
                .fetch_all(&pools.reader)
                .await?;
            if rows.is_empty() {
                return Ok(0);
            }
            let mut transaction = pools.begin_calls().await?;
            let mut removed = 0;
            for row in &rows {
                let id = row.uuid("id")?;
                for statement in OF_A_CALL {
                    sqlx::query(statement).bind(id).bind(account.as_uuid()).execute(&mut *transaction).await?;
                }
                removed += 1;
            }
            transaction.commit().await?;
            Ok(removed)
        })
    }

    /// Removes the timelines of an account's calls that began before then; the calls stay. Looks at most at `limit` calls, going on where
    /// it ended the last time; gives how many it looked at, and how many parts of timelines went.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn remove_timelines_before(
        &self,
        account: AccountId,
        before: Timestamp,
        limit: u32,
    ) -> Result<(u32, u64), DatabaseError> {
        on_pool!(self, pools => {
            let mut transaction = pools.begin_calls().await?;
            let gone_to = sqlx::query("SELECT * FROM timelines_removed WHERE account_id = $1")
                .bind(account.as_uuid())
                .fetch_optional(&mut *transaction)
                .await?
                .map(|row| Ok::<_, DatabaseError>((row.integer("began_at")?, row.uuid("call_log_id")?)))
                .transpose()?;
            let (began_at, id) = gone_to.unwrap_or((i64::MIN, Uuid::nil()));
            let calls = sqlx::query(
                "SELECT id, started_at FROM call_logs WHERE account_id = $1 AND started_at >= $2 AND (started_at > $2 OR id > $3)
                     AND started_at < $4 ORDER BY started_at, id LIMIT $5",
            )
            .bind(account.as_uuid())
            .bind(began_at)
            .bind(id)
            .bind(before.unix_micros())
            .bind(i64::from(limit))
            .fetch_all(&mut *transaction)
            .await?;
            let Some(last) = calls.last() else { return Ok((0, 0)) };
            let mut removed = 0;
            for call in &calls {
                removed += sqlx::query("DELETE FROM call_timelines WHERE call_log_id = $1 AND account_id = $2")
                    .bind(call.uuid("id")?)
                    .bind(account.as_uuid())
                    .execute(&mut *transaction)
                    .await?
                    .rows_affected();
            }
            sqlx::query(
                "INSERT INTO timelines_removed (account_id, began_at, call_log_id) VALUES ($1, $2, $3)
                 ON CONFLICT (account_id) DO UPDATE SET began_at = excluded.began_at, call_log_id = excluded.call_log_id",
            )
            .bind(account.as_uuid())
            .bind(last.integer("started_at")?)
            .bind(last.uuid("id")?)
            .execute(&mut *transaction)
            .await?;
            transaction.commit().await?;
            Ok((u32::try_from(calls.len()).unwrap_or(u32::MAX), removed))
        })
    }

    /// Removes events of an account that were written before then, at most `limit`; gives how many.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn remove_events_of(
        &self,
        account: AccountId,
        before: Timestamp,
        limit: u32,
    ) -> Result<u32, DatabaseError> {
        // They were written in the order of their numbers: only the first ones are looked at.
        let removed = on_pool!(self, pools => sqlx::query(
                "DELETE FROM events WHERE account_id = $1 AND sequence IN
                 (SELECT sequence FROM (SELECT sequence, written_at FROM events WHERE account_id = $1 ORDER BY sequence LIMIT $3)
                      AS first WHERE written_at < $2)",
            )
            .bind(account.as_uuid())
            .bind(before.unix_micros())
            .bind(i64::from(limit))
            .execute(&pools.writer)
            .await?
            .rows_affected());
        Ok(u32::try_from(removed).unwrap_or(u32::MAX))
    }

    /// Removes what is known of the health of an account's trunks until then, at most `limit` spans; gives how many.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn remove_health_of(
        &self,
        account: AccountId,
        before: Timestamp,
        limit: u32,
    ) -> Result<u32, DatabaseError> {
        let removed = on_pool!(self, pools => sqlx::query(
                "DELETE FROM trunk_health_history WHERE (trunk_id, began_at) IN
                 (SELECT trunk_id, began_at FROM trunk_health_history
                  WHERE trunk_id IN (SELECT id FROM trunks WHERE account_id = $1) AND began_at < $2 AND until_at < $2 LIMIT $3)",
            )
            .bind(account.as_uuid())
            .bind(before.unix_micros())
            .bind(i64::from(limit))
            .execute(&pools.writer)
            .await?
            .rows_affected());
        Ok(u32::try_from(removed).unwrap_or(u32::MAX))
    }

    /// Removes refused INVITEs of an account from before then, at most `limit`; gives how many.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn remove_refusals_before(
        &self,
        account: AccountId,
        before: Timestamp,
        limit: u32,
    ) -> Result<u32, DatabaseError> {
        let removed = on_pool!(self, pools => sqlx::query(
                "DELETE FROM refusals WHERE account_id = $1 AND id IN
                 (SELECT id FROM refusals WHERE account_id = $1 AND at < $2 ORDER BY at LIMIT $3)",
            )
            .bind(account.as_uuid())
            .bind(before.unix_micros())
            .bind(i64::from(limit))
            .execute(&pools.writer)
            .await?
            .rows_affected());
        Ok(u32::try_from(removed).unwrap_or(u32::MAX))
    }

    /// Removes the oldest entries of an account's log, those from before then, at most `limit`, and never the last one; gives how many.
    /// The head of the log says, under the master key, with which entry it begins and what came before.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn truncate_audit_log(
        &self,
        account: AccountId,
        before: Timestamp,
        limit: u32,
    ) -> Result<u32, DatabaseError> {
        on_pool!(self, pools => {
            let mut transaction = pools.begin_calls().await?;
            // Held against whoever adds to it.
            let head = sqlx::query("UPDATE audit_heads SET key_id = key_id WHERE account_id = $1 RETURNING *")
                .bind(account.as_uuid())
                .fetch_optional(&mut *transaction)
                .await?;
            let Some(head) = head else { return Ok(0) };
            let (first, last): (u64, u64) = (head.number("first_number")?, head.number("last_number")?);
            let end = last.min(first.saturating_add(u64::from(limit)));
            let kept = sqlx::query("SELECT min(number) AS kept FROM audit_log WHERE account_id = $1 AND number < $2 AND at >= $3")
                .bind(account.as_uuid())
                .bind(stored(end))
                .bind(before.unix_micros())
                .fetch_one(&mut *transaction)
                .await?
                .number_opt::<u64>("kept")?;
            let begin = kept.unwrap_or(end);
            if begin <= first {
                return Ok(0);
            }
            let anchor = sqlx::query("SELECT hash FROM audit_log WHERE account_id = $1 AND number = $2")
                .bind(account.as_uuid())
                .bind(stored(begin - 1))
                .fetch_optional(&mut *transaction)
                .await?
                .map(|row| row.bytes("hash"))
                .transpose()?;
            let truncated = match &anchor {
                Some(anchor) => truncate_head(self.master_key(), &head, begin, anchor)?,
                None => None,
            };
            let (Some(anchor), Some(Truncated { key_id, mac })) = (anchor, truncated) else {
                tracing::error!(%account, "an audit log is not as it was written, and is left as it is; tandem audit verify shows it");
                return Ok(0);
            };
            sqlx::query("UPDATE audit_heads SET first_number = $2, anchor = $3, key_id = $4, mac = $5 WHERE account_id = $1")
                .bind(account.as_uuid())
                .bind(stored(begin))
                .bind(anchor)
                .bind(key_id)
                .bind(mac)
                .execute(&mut *transaction)
                .await?;
            sqlx::query("DELETE FROM audit_log WHERE account_id = $1 AND number < $2")
                .bind(account.as_uuid())
                .bind(stored(begin))
                .execute(&mut *transaction)
                .await?;
            transaction.commit().await?;
            Ok(u32::try_from(begin - first).unwrap_or(u32::MAX))
        })
    }
}

/// What the audit log tells of it, and what its version is made of.
pub(crate) fn audited(retention: Retention) -> Value {
    let Retention { calls_days, timelines_days, refusals_days, events_days, trunk_health_days, audit_log_days } =
        retention;
    json!({
        "calls_days": calls_days,
        "timelines_days": timelines_days,
        "refusals_days": refusals_days,
        "events_days": events_days,
        "trunk_health_days": trunk_health_days,
        "audit_log_days": audit_log_days,
    })
}

fn read_retention<R: Columns>(row: &R) -> Result<Retention, DatabaseError> {
    Ok(Retention {
        calls_days: row.number_opt("calls_days")?,
        timelines_days: row.number_opt("timelines_days")?,
        refusals_days: row.number_opt("refusals_days")?,
        events_days: row.number_opt("events_days")?,
        trunk_health_days: row.number_opt("trunk_health_days")?,
        audit_log_days: row.number_opt("audit_log_days")?,
    })
}

const OLD_CALLS: &str = "SELECT id FROM call_logs WHERE account_id = $1 AND started_at < $2 AND ended_at IS NOT NULL
    ORDER BY started_at LIMIT $3";

/// `$1` is the call, `$2` the account.
const OF_A_CALL: [&str; 4] = [
    "DELETE FROM call_legs WHERE call_log_id = $1 AND account_id = $2",
    "DELETE FROM call_timelines WHERE call_log_id = $1 AND account_id = $2",
    "DELETE FROM call_ids WHERE account_id = $2 AND call_id = (SELECT call_id FROM call_logs WHERE id = $1) AND call_log_id = $1",
    "DELETE FROM call_logs WHERE id = $1 AND account_id = $2",
];
