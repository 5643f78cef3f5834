use crate::event::Draft;
use crate::list::{Bound, Condition, KeyKind, Listed, Listing, Part, ReadRow, SortKey};
use crate::pool::on_pool;
use crate::row::{Columns, stored};
use crate::store::now;
use crate::{DatabaseError, Store};
use serde::Serialize;
use std::collections::HashMap;
use std::time::Duration;
use tandem_model::{
    AccountId, EventType, HealthReason, HealthReport, HealthSpan, HealthStatus, Timestamp, TrunkHealth, TrunkId,
};
use uuid::Uuid;

/// The health of a trunk, for [`SET_HEALTH`].
macro_rules! bind_health {
    ($query:expr, $id:expr, $health:expr) => {
        $query
            .bind($id.as_uuid())
            .bind($health.status.as_str())
            .bind($health.checked_at.map(Timestamp::unix_micros))
            .bind($health.latency_us.map(stored))
            .bind($health.loss_basis_points.map(i64::from))
    };
}

impl Store {
    /// Writes what a probe found; `false` when there is no such trunk. Neither `status`, `updated_at` nor the routing revision
    /// change: who probes knows already, and a probe must not make every node load its routes anew.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn set_trunk_health(&self, id: TrunkId, health: TrunkHealth) -> Result<bool, DatabaseError> {
        on_pool!(self, pools => {
            let mut transaction = pools.begin_calls().await?;
            let before = sqlx::query(HEALTH_BEFORE).bind(id.as_uuid()).fetch_optional(&mut *transaction).await?;
            let Some(before) = before else {
                return Ok(false);
            };
            let change = HealthChange::read(&before, id, health, None)?;
            bind_health!(sqlx::query(SET_HEALTH), id, health).execute(&mut *transaction).await?;
            pools.append_events(&mut transaction, change.draft()?.into_iter().collect()).await?;
            transaction.commit().await?;
        });
        Ok(true)
    }

    /// Writes the health of trunks with its history, all of it in one transaction. Trunks that are gone are passed over.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn record_health(&self, reports: &[HealthReport]) -> Result<(), DatabaseError> {
        on_pool!(self, pools => {
            let mut transaction = pools.begin().await?;
            let mut drafts = Vec::new();
            for report in reports {
                let before =
                    sqlx::query(HEALTH_BEFORE).bind(report.trunk_id.as_uuid()).fetch_optional(&mut *transaction).await?;
                if let Some(before) = before {
                    let reason = report.spans.last().map(|span| span.reason);
                    drafts.extend(HealthChange::read(&before, report.trunk_id, report.health, reason)?.draft()?);
                }
                bind_health!(sqlx::query(SET_HEALTH), report.trunk_id, report.health).execute(&mut *transaction).await?;
                for span in &report.spans {
                    sqlx::query(WRITE_SPAN)
                        .bind(report.trunk_id.as_uuid())
                        .bind(report.account_id.as_uuid())
                        .bind(span.began_at.unix_micros())
                        .bind(span.until.unix_micros())
                        .bind(span.status.as_str())
                        .bind(span.reason.as_str())
                        .bind(span.latency_us.map(stored))
                        .bind(span.loss_basis_points.map(i64::from))
                        .execute(&mut *transaction)
                        .await?;
                }
            }
            pools.append_events(&mut transaction, drafts).await?;
            transaction.commit().await?;
        });
        Ok(())
    }

    /// Spans of the health of a trunk, newest first.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn health_history(
        &self,
        account: AccountId,
        trunk: TrunkId,
        part: &Part,
    ) -> Result<Listed<HealthSpan>, DatabaseError> {
        self.list(&listing(account, trunk), part, &ReadSpan).await
    }

    /// How many spans there are; `None` of more than [`MAX_COUNTED`](crate::MAX_COUNTED).
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn count_health_history(&self, account: AccountId, trunk: TrunkId) -> Result<Option<u64>, DatabaseError> {
        self.count(&listing(account, trunk)).await
    }

    /// For how much of the time from then to then the health of a trunk is known, and for how much of that it took calls: healthy or
    /// degraded.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn known_health(
        &self,
        account: AccountId,
        trunk: TrunkId,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<KnownHealth, DatabaseError> {
        on_pool!(self, pools => {
            let row = sqlx::query(
                "SELECT CAST(COALESCE(SUM(lasted), 0) AS BIGINT) AS known,
                        CAST(COALESCE(SUM(CASE WHEN status IN ('healthy', 'degraded') THEN lasted END), 0) AS BIGINT) AS up
                 FROM (SELECT status,
                           CASE WHEN until_at > $4 THEN $4 ELSE until_at END - CASE WHEN began_at < $3 THEN $3 ELSE began_at END
                               AS lasted
                       FROM trunk_health_history
                       WHERE trunk_id = $1 AND account_id = $2 AND until_at > $3 AND began_at < $4) AS spans",
            )
            .bind(trunk.as_uuid())
            .bind(account.as_uuid())
            .bind(from.unix_micros())
            .bind(to.unix_micros())
            .fetch_one(&pools.reader)
            .await?;
            let span = |column| row.number(column).map(Duration::from_micros);
            Ok(KnownHealth { known: span("known")?, up: span("up")? })
        })
    }

    /// As [`Store::known_health`], of every trunk of the account that is there, from then to then.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn known_health_of_trunks(
        &self,
        account: AccountId,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<HashMap<TrunkId, KnownHealth>, DatabaseError> {
        on_pool!(self, pools => sqlx::query(KNOWN_HEALTH)
            .bind(account.as_uuid())
            .bind(from.unix_micros())
            .bind(to.unix_micros())
            .fetch_all(&pools.reader)
            .await?
            .iter()
            .map(|row| {
                let span = |column| row.number(column).map(Duration::from_micros);
                let known = KnownHealth { known: span("known")?, up: span("up")? };
                Ok((TrunkId::from_uuid(row.uuid("trunk_id")?), known))
            })
            .collect())
    }

    /// Removes spans that ended before then; gives how many.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn remove_health_before(&self, before: Timestamp) -> Result<u64, DatabaseError> {
        Ok(on_pool!(self, pools => sqlx::query("DELETE FROM trunk_health_history WHERE until_at < $1")
            .bind(before.unix_micros())
            .execute(&pools.writer)
            .await?
            .rows_affected()))
    }
}

/// How long the health of a trunk is known, and how long of that it took calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KnownHealth {
    /// All the time that is known of.
    pub known: Duration,
    /// The time of it in which the trunk was healthy or degraded.
    pub up: Duration,
}

impl KnownHealth {
    /// Its share in percent times 100 (0 to 10,000), rounded down, so that only a trunk without any failure has all of it; `None`
    /// when nothing is known.
    #[must_use]
    pub fn up_basis_points(&self) -> Option<u16> {
        let points = (self.up.as_micros() * 10_000).checked_div(self.known.as_micros())?;
        u16::try_from(points).ok()
    }
}

/// A trunk's health before and after.
struct HealthChange {
    account: AccountId,
    trunk: TrunkId,
    name: String,
    before: HealthStatus,
    health: TrunkHealth,
    reason: Option<HealthReason>,
}

/// What is told of it, named as in the answers of the API.
#[derive(Serialize)]
struct HealthChanged<'a> {
    id: Uuid,
    name: &'a str,
    health_status: HealthStatus,
    previous_health_status: HealthStatus,
    reason: Option<HealthReason>,
    latency_ms: Option<f64>,
    packet_loss_percent: Option<f64>,
    last_health_check: Option<Timestamp>,
}

impl HealthChange {
    fn read<R: Columns>(
        row: &R,
        trunk: TrunkId,
        health: TrunkHealth,
        reason: Option<HealthReason>,
    ) -> Result<Self, DatabaseError> {
        let account = AccountId::from_uuid(row.uuid("account_id")?);
        Ok(Self { account, trunk, name: row.text("name")?, before: row.parsed("health_status")?, health, reason })
    }

    /// The event, if the trunk is of another health now.
    fn draft(&self) -> Result<Option<Draft>, DatabaseError> {
        if self.before == self.health.status {
            return Ok(None);
        }
        let data = HealthChanged {
            id: self.trunk.as_uuid(),
            name: &self.name,
            health_status: self.health.status,
            previous_health_status: self.before,
            reason: self.reason,
            // Both are far below 2^53.
            latency_ms: self.health.latency_us.map(|micros| micros as f64 / 1_000.0),
            packet_loss_percent: self.health.loss_basis_points.map(|points| f64::from(points) / 100.0),
            last_health_check: self.health.checked_at,
        };
        let at = self.health.checked_at.unwrap_or_else(now);
        let subject = format!("trunks/{}", self.trunk);
        Ok(Some(Draft::new(self.account, EventType::TrunkHealthChanged, subject, at, &data)?))
    }
}

const HEALTH_BEFORE: &str = "SELECT account_id, name, health_status FROM trunks WHERE id = $1 AND deleted_at IS NULL";

const KNOWN_HEALTH: &str = "SELECT trunk_id, CAST(SUM(lasted) AS BIGINT) AS known,
         CAST(COALESCE(SUM(CASE WHEN status IN ('healthy', 'degraded') THEN lasted END), 0) AS BIGINT) AS up
     FROM (SELECT trunk_id, status,
               CASE WHEN until_at > $3 THEN $3 ELSE until_at END - CASE WHEN began_at < $2 THEN $2 ELSE began_at END AS lasted
           FROM trunk_health_history
           WHERE trunk_id IN (SELECT id FROM trunks WHERE account_id = $1 AND deleted_at IS NULL)
               AND account_id = $1 AND until_at > $2 AND began_at < $3) AS spans
     GROUP BY trunk_id";

const SET_HEALTH: &str = "UPDATE trunks SET health_status = $2, health_checked_at = $3, health_latency_us = $4,
         health_loss_basis_points = $5
     WHERE id = $1 AND deleted_at IS NULL";

/// The account is that of the trunk.
const WRITE_SPAN: &str = "INSERT INTO trunk_health_history
         (account_id, trunk_id, began_at, until_at, status, reason, latency_us, loss_basis_points)
     SELECT account_id, id, $3, $4, $5, $6, $7, $8 FROM trunks WHERE id = $1 AND account_id = $2 AND deleted_at IS NULL
     ON CONFLICT (trunk_id, began_at) DO UPDATE SET until_at = excluded.until_at, status = excluded.status,
         reason = excluded.reason, latency_us = excluded.latency_us, loss_basis_points = excluded.loss_basis_points";

/// How spans of health are listed: the newest first.
pub const HEALTH_HISTORY_KEY: SortKey = SortKey::descending(&[("began_at", KeyKind::Integer)]);

fn listing(account: AccountId, trunk: TrunkId) -> Listing {
    Listing {
        table: "trunk_health_history",
        index: None,
        columns: "*",
        key: HEALTH_HISTORY_KEY,
        narrow: vec![
            Condition::Is("trunk_id", Bound::Uuid(trunk.as_uuid())),
            Condition::Is("account_id", Bound::Uuid(account.as_uuid())),
        ],
        wide: Vec::new(),
        from: None,
        to: None,
    }
}

struct ReadSpan;

impl ReadRow for ReadSpan {
    type Row = HealthSpan;

    fn read<R: Columns>(&self, row: &R) -> Result<HealthSpan, DatabaseError> {
        read_span(row)
    }
}

fn read_span<R: Columns>(row: &R) -> Result<HealthSpan, DatabaseError> {
    Ok(HealthSpan {
        began_at: row.time("began_at")?,
        until: row.time("until_at")?,
        status: row.parsed("status")?,
        reason: row.parsed("reason")?,
        latency_us: row.number_opt("latency_us")?,
        loss_basis_points: row.number_opt("loss_basis_points")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_trunk_without_any_failure_was_up_all_the_time() {
        let of = |up, known| {
            KnownHealth { up: Duration::from_secs(up), known: Duration::from_secs(known) }.up_basis_points()
        };
        assert_eq!(
            [of(0, 0), of(0, 9), of(1, 3), of(99_999, 100_000), of(7, 7)],
            [None, Some(0), Some(3_333), Some(9_999), Some(10_000)]
        );
    }
}
