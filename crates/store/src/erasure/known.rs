//! Calls from a number and to it, by the indexes of the call log: what people see of it goes within a moment, however many calls the
//! account has.

use super::job::{ClaimedErasure, ErasureStep};
use super::pass::{CALLS_A_TRANSACTION, Closed};
use crate::pool::on_pool;
use crate::row::Columns;
use crate::{DatabaseError, Store};
use tandem_model::Timestamp;
use uuid::Uuid;

impl Store {
    /// Changes some of them; when there are none, the next kind is due. Calls that are up are left.
    pub(super) async fn erase_known_calls(
        &self,
        claimed: &mut ClaimedErasure,
        now: Timestamp,
    ) -> Result<bool, DatabaseError> {
        let calls = self.known_calls(claimed, now).await?;
        if calls.is_empty() {
            return self.erase_in_calls(claimed, &[], None, now).await;
        }
        Ok(self.erase_known(claimed, &calls, now).await? == ErasureStep::Advanced)
    }

    /// Changes calls without going on.
    pub(super) async fn erase_known(
        &self,
        claimed: &mut ClaimedErasure,
        calls: &[Uuid],
        now: Timestamp,
    ) -> Result<ErasureStep, DatabaseError> {
        for part in calls.chunks(CALLS_A_TRANSACTION) {
            if !self.erase_in_some_calls(claimed, part, None, now).await? {
                return Ok(ErasureStep::Lost);
            }
        }
        Ok(ErasureStep::Advanced)
    }

    /// Calls from the number or to it that nobody writes any more.
    pub(super) async fn known_calls(
        &self,
        claimed: &ClaimedErasure,
        now: Timestamp,
    ) -> Result<Vec<Uuid>, DatabaseError> {
        let closed = Closed::at(now);
        let mut calls = Vec::new();
        on_pool!(self, pools => {
            for statement in [FROM_NUMBER, TO_NUMBER] {
                for number in claimed.spellings.in_columns() {
                    let rows = sqlx::query(statement)
                        .bind(claimed.erasure.account_id.as_uuid())
                        .bind(number.as_str())
                        .bind(claimed.erasure.requested_at.unix_micros())
                        .bind(closed.quiet_since)
                        .bind(closed.dead_since)
                        .bind(KNOWN_AT_ONCE)
                        .fetch_all(&pools.reader)
                        .await?;
                    for row in &rows {
                        calls.push(row.uuid("id")?);
                    }
                }
            }
        });
        calls.sort_unstable();
        calls.dedup();
        Ok(calls)
    }
}

/// `$1` is the account, `$2` the number, `$3` up to when they began, `$4` and `$5` since when nobody has written them, `$6` how many.
const FROM_NUMBER: &str = "SELECT id FROM call_logs WHERE account_id = $1 AND from_number = $2 AND started_at <= $3
    AND ((ended_at IS NOT NULL AND updated_at <= $4) OR updated_at <= $5) ORDER BY started_at LIMIT $6";
const TO_NUMBER: &str = "SELECT id FROM call_logs WHERE account_id = $1 AND to_number = $2 AND started_at <= $3
    AND ((ended_at IS NOT NULL AND updated_at <= $4) OR updated_at <= $5) ORDER BY started_at LIMIT $6";

/// Of each spelling: a handful of transactions.
const KNOWN_AT_ONCE: i64 = 100;
