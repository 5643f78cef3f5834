//! What rules measure in the statistics.

use crate::pool::on_pool;
use crate::row::Columns;
use crate::wide_sum::{read_wide_sum, wide_sum};
use crate::{DatabaseError, Store};
use tandem_model::{AccountId, Money, Timestamp, TrunkId};

/// What attempts over a trunk came to lately.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecentTraffic {
    /// Whose.
    pub account: AccountId,
    /// Over which trunk.
    pub trunk: TrunkId,
    /// Attempts that were answered, of those that began in the shorter time.
    pub answered: u64,
    /// Attempts that ended without an answer, of the same.
    pub failed: u64,
    /// What attempts cost that began in the longer time.
    pub cost: Money,
}

/// What the attempts of an hour cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HourlyCost {
    /// When the hour began, in UTC.
    pub began_at: Timestamp,
    /// What they cost, together.
    pub cost: Money,
}

impl Store {
    /// What attempts came to lately, of every trunk that has any: counted since `rate_from`, and their cost since `cost_from`, which is
    /// earlier. Both to the whole minute. Reads the rows of these minutes and no others.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn recent_traffic(
        &self,
        rate_from: Timestamp,
        cost_from: Timestamp,
    ) -> Result<Vec<RecentTraffic>, DatabaseError> {
        on_pool!(self, pools => sqlx::query(RECENT)
            .bind(rate_from.unix_micros())
            .bind(cost_from.unix_micros())
            .fetch_all(&pools.reader)
            .await?
            .iter()
            .map(|row| {
                Ok(RecentTraffic {
                    account: AccountId::from_uuid(row.uuid("account_id")?),
                    trunk: TrunkId::from_uuid(row.uuid("trunk_id")?),
                    answered: count(read_wide_sum!(row, "answered")?),
                    failed: count(read_wide_sum!(row, "failed")?),
                    cost: Money::saturating_from(read_wide_sum!(row, "cost")?),
                })
            })
            .collect())
    }

    /// What the hours of an account cost from then to then, of those that cost anything, in their order.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn hourly_costs(
        &self,
        account: AccountId,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<HourlyCost>, DatabaseError> {
        let hours: Result<Vec<HourlyCost>, DatabaseError> = on_pool!(self, pools => sqlx::query(HOURS)
            .bind(account.as_uuid())
            .bind(from.unix_micros())
            .bind(to.unix_micros())
            .fetch_all(&pools.reader)
            .await?
            .iter()
            .map(|row| {
                let cost = Money::saturating_from(read_wide_sum!(row, "cost")?);
                Ok(HourlyCost { began_at: row.time("began_at")?, cost })
            })
            .collect());
        let mut hours = hours?;
        hours.retain(|hour| hour.cost > Money::ZERO);
        Ok(hours)
    }
}

/// None of less than none.
fn count(sum: i128) -> u64 {
    u64::try_from(sum.max(0)).unwrap_or(u64::MAX)
}

/// `$1` is since when attempts are counted, `$2` since when their cost is. Served by the index of the rows of minutes.
const RECENT: &str = concat!(
    "SELECT account_id, trunk_id, ",
    wide_sum!("CASE WHEN began_at >= $1 THEN attempts_answered ELSE 0 END", "answered"),
    ", ",
    wide_sum!("CASE WHEN began_at >= $1 THEN attempts_failed ELSE 0 END", "failed"),
    ", ",
    wide_sum!("attempts_cost_micros", "cost"),
    " FROM traffic WHERE grain = 'minute' AND view = 'trunk' AND began_at >= $2
    GROUP BY account_id, trunk_id"
);

/// `$1` is the account, `$2` from when, `$3` until when.
const HOURS: &str = concat!(
    "SELECT began_at, ",
    wide_sum!("attempts_cost_micros", "cost"),
    " FROM traffic
    WHERE account_id = $1 AND view = 'all' AND grain = 'hour' AND began_at >= $2 AND began_at < $3
    GROUP BY began_at ORDER BY began_at"
);
