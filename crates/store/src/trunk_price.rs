use crate::pool::on_pool;
use crate::row::Columns;
use crate::{DatabaseError, Store};
use tandem_model::{AccountId, Money, Timestamp, TrunkId};

/// What a trunk has cost a month, since when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrunkPrices {
    /// The trunk.
    pub id: TrunkId,
    /// Its name, or what it was in the end.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was taken out of service for good.
    pub deleted_at: Option<Timestamp>,
    /// Its prices, oldest first: each holds until the next.
    pub monthly: Vec<MonthlyPrice>,
}

/// A price of a month, from then on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MonthlyPrice {
    /// Since when.
    pub since: Timestamp,
    /// How much.
    pub price: Money,
}

impl Store {
    /// What each trunk of an account that was there after that moment costs a month, by age.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn trunk_prices(&self, account: AccountId, after: Timestamp) -> Result<Vec<TrunkPrices>, DatabaseError> {
        let mut trunks: Vec<TrunkPrices> = Vec::new();
        on_pool!(self, pools => {
            let rows = sqlx::query(LIST_PRICES)
                .bind(account.as_uuid())
                .bind(after.unix_micros())
                .bind(MOST_PRICES)
                .fetch_all(&pools.reader)
                .await?;
            for row in &rows {
                let id = TrunkId::from_uuid(row.uuid("id")?);
                if trunks.last().is_none_or(|last| last.id != id) {
                    let (created_at, deleted_at) = (row.time("created_at")?, row.time_opt("deleted_at")?);
                    trunks.push(TrunkPrices { id, name: row.text("name")?, created_at, deleted_at, monthly: Vec::new() });
                }
                let price = row.time_opt("since")?.zip(row.money_opt("monthly_cost_micros")?);
                if let (Some((since, price)), Some(trunk)) = (price, trunks.last_mut()) {
                    trunk.monthly.push(MonthlyPrice { since, price });
                }
            }
        });
        Ok(trunks)
    }
}

/// `$1` is the trunk, `$2` its account, `$3` since when, `$4` the price of a month.
pub(crate) const SET_MONTHLY_PRICE: &str =
    "INSERT INTO trunk_monthly_prices (trunk_id, account_id, since, monthly_cost_micros) VALUES ($1, $2, $3, $4)
     ON CONFLICT (trunk_id, since) DO UPDATE SET monthly_cost_micros = excluded.monthly_cost_micros";

const LIST_PRICES: &str =
    "SELECT trunks.id, trunks.name, trunks.created_at, trunks.deleted_at, prices.since, prices.monthly_cost_micros
     FROM trunks LEFT JOIN trunk_monthly_prices AS prices ON prices.trunk_id = trunks.id
     WHERE trunks.account_id = $1 AND (trunks.deleted_at IS NULL OR trunks.deleted_at > $2)
     ORDER BY trunks.created_at, trunks.id, prices.since LIMIT $3";
/// A hundred changes of each of a hundred trunks.
const MOST_PRICES: i64 = 10_000;
