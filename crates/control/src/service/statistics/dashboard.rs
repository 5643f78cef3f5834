use crate::service::statistics::pro_rata::{Months, cost_between};
use crate::service::statistics::{Figures, Period, ReadStatisticsError, Statistics};
use crate::service::{Caller, ShownTrunk};
use std::collections::HashMap;
use std::time::Duration;
use tandem_model::{AccountId, CallRecord, Money, Timestamp, TrunkId};
use tandem_store::{CallFilter, DatabaseError, MAX_PAGE, Part, Sums, TrafficQuery, TrunkPrices};

/// How a trunk does.
#[derive(Clone, Debug)]
pub(crate) struct TrunkStatistics {
    pub(crate) shown: ShownTrunk,
    /// The time that `figures` is about, in whole hours.
    pub(crate) range: (Timestamp, Timestamp),
    /// Of its attempts in that time.
    pub(crate) figures: Figures,
    /// Of its attempts in the last 24 hours, from the whole minute.
    pub(crate) last_day: Figures,
    /// Share of the known time in which it took calls, in percent times 100.
    pub(crate) uptime_basis_points: Option<u16>,
}

/// How an account does.
#[derive(Clone, Debug)]
pub(crate) struct Dashboard {
    pub(crate) trunks: Vec<TrunkStatistics>,
    /// Newest first.
    pub(crate) recent_calls: Vec<CallRecord>,
    pub(crate) range: (Timestamp, Timestamp),
    /// Of its calls in that time.
    pub(crate) figures: Figures,
}

impl Statistics {
    /// How a trunk does.
    pub(crate) async fn of_trunk(
        &self,
        caller: &Caller,
        id: TrunkId,
        period: Period,
    ) -> Result<TrunkStatistics, ReadStatisticsError> {
        let (account, store, now) = (caller.account_id(), &self.core.store, self.core.now());
        let (from, to) = self.range(period)?;
        let trunk = store.trunk(account, id).await?.ok_or(ReadStatisticsError::NoSuchTrunk)?;
        let state = self.core.switchboard.trunk_states(vec![id]).await?.remove(&id).unwrap_or_default();
        let query = TrafficQuery { trunk: Some(id), ..TrafficQuery::new(account, from, to) };
        let last_day = TrafficQuery { trunk: Some(id), ..last_day(account, now) };
        let (sums, last_day_sums, health, prices) = tokio::try_join!(
            store.traffic(&query),
            store.traffic(&last_day),
            store.known_health(account, id, from, to),
            store.trunk_prices(account, from.min(last_day.range().0)),
        )?;
        let prices = prices.iter().find(|prices| prices.id == id);
        let figures_of = |query: &TrafficQuery, rows: Vec<tandem_store::TrafficRow>| {
            let sums = rows.first().map(|row| row.sums).unwrap_or_default();
            figures(sums, prices, query.range(), now)
        };
        Ok(TrunkStatistics {
            shown: ShownTrunk::new(trunk, state, Vec::new()),
            range: query.range(),
            figures: figures_of(&query, sums),
            last_day: figures_of(&last_day, last_day_sums),
            uptime_basis_points: health.up_basis_points(),
        })
    }

    /// How an account does.
    pub(crate) async fn dashboard(&self, caller: &Caller, period: Period) -> Result<Dashboard, ReadStatisticsError> {
        let (account, store, now) = (caller.account_id(), &self.core.store, self.core.now());
        let (from, to) = self.range(period)?;
        let all = TrafficQuery::new(account, from, to);
        let by_trunk = TrafficQuery { by_trunk: true, ..all.clone() };
        let last_day = TrafficQuery { by_trunk: true, ..last_day(account, now) };
        let (every_call, newest) = (CallFilter::default(), Part::page(0, RECENT_CALLS));
        let (trunks, sums, by_trunk, last_day_by_trunk, health, prices, recent_calls) = tokio::try_join!(
            store.trunks(account, 0, MAX_PAGE),
            store.traffic(&all),
            self.by_trunk(&by_trunk),
            self.by_trunk(&last_day),
            store.known_health_of_trunks(account, from, to),
            store.trunk_prices(account, from.min(last_day.range().0)),
            store.calls(account, &every_call, &newest),
        )?;
        let ids: Vec<TrunkId> = trunks.iter().map(|trunk| trunk.id).collect();
        let mut states = if ids.is_empty() { HashMap::new() } else { self.core.switchboard.trunk_states(ids).await? };
        let range = all.range();
        let trunks = trunks.into_iter().map(|trunk| {
            let id = trunk.id;
            let prices = prices.iter().find(|prices| prices.id == id);
            let sums_of = |sums: &HashMap<TrunkId, Sums>| sums.get(&id).copied().unwrap_or_default();
            TrunkStatistics {
                shown: ShownTrunk::new(trunk, states.remove(&id).unwrap_or_default(), Vec::new()),
                range,
                figures: figures(sums_of(&by_trunk), prices, range, now),
                last_day: figures(sums_of(&last_day_by_trunk), prices, last_day.range(), now),
                uptime_basis_points: health.get(&id).and_then(tandem_store::KnownHealth::up_basis_points),
            }
        });
        let trunks = trunks.collect();
        // Also of trunks that are gone.
        let mut months = Months::default();
        let monthly = prices.iter().map(|prices| cost_between(&mut months, prices, range.0, range.1.min(now)));
        let monthly = monthly.fold(Money::ZERO, |sum, cost| sum.checked_add(cost).unwrap_or(sum));
        let sums = sums.first().map(|row| row.sums).unwrap_or_default();
        let figures = Figures { sums, of_attempts: false, monthly_cost: Some(monthly) };
        Ok(Dashboard { trunks, recent_calls: recent_calls.rows, range, figures })
    }

    async fn by_trunk(&self, query: &TrafficQuery) -> Result<HashMap<TrunkId, Sums>, DatabaseError> {
        let rows = self.core.store.traffic(query).await?;
        Ok(rows.into_iter().filter_map(|row| Some((row.trunk?, row.sums))).collect())
    }
}

/// What began in the last 24 hours.
fn last_day(account: AccountId, now: Timestamp) -> TrafficQuery {
    TrafficQuery { from_the_minute: true, ..TrafficQuery::new(account, now.saturating_sub(DAY), now) }
}

/// Of attempts at a trunk. What the trunk costs by the month is told up to now.
fn figures(sums: Sums, prices: Option<&TrunkPrices>, range: (Timestamp, Timestamp), now: Timestamp) -> Figures {
    let monthly =
        prices.map_or(Money::ZERO, |prices| cost_between(&mut Months::default(), prices, range.0, range.1.min(now)));
    Figures { sums, of_attempts: true, monthly_cost: Some(monthly) }
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// What a page of a dashboard shows.
const RECENT_CALLS: u32 = 10;
