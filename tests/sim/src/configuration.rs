//! Accounts and trunks, and what they have cost when.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tandem_model::{Account, Trunk, TrunkId};
use tandem_switch::Command;
use tandem_switch::route::RouteTable;

pub(crate) struct Configuration {
    pub(crate) accounts: Vec<Account>,
    pub(crate) trunks: Vec<Trunk>,
    /// Trunks that were deleted, to come back.
    pub(crate) deleted: Vec<Trunk>,
    /// What trunks have cost: since when, a minute, and in which increments.
    prices: Vec<(TrunkId, Instant, Price)>,
    /// How many calls they could have: until when that was so, but for what is so now.
    limits: Vec<(TrunkId, Instant, u32)>,
    revision: u64,
}

/// What a trunk costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Price {
    micros_per_minute: i64,
    increment_seconds: u64,
}

impl Price {
    /// Of a connection of that length: the seconds that are billed, and what they cost, rounded half up once.
    pub(crate) fn bill(self, connected: Duration) -> (u64, i64) {
        let increments = connected.as_micros().div_ceil(u128::from(self.increment_seconds) * 1_000_000);
        let seconds = u64::try_from(increments).unwrap() * self.increment_seconds;
        let product = self.micros_per_minute * i64::try_from(seconds).unwrap();
        (seconds, (2 * product + 60).div_euclid(120))
    }
}

impl Configuration {
    pub(crate) fn new(accounts: Vec<Account>, trunks: Vec<Trunk>, now: Instant) -> Self {
        let mut configuration =
            Self { accounts, trunks, deleted: Vec::new(), prices: Vec::new(), limits: Vec::new(), revision: 0 };
        configuration.changed(now);
        configuration
    }

    /// Accounts or trunks have changed.
    pub(crate) fn changed(&mut self, now: Instant) {
        self.revision += 1;
        for trunk in &self.trunks {
            let price = Price {
                micros_per_minute: trunk.cost_per_minute.micros(),
                increment_seconds: trunk.billing_increment_seconds().into(),
            };
            let last = self.prices.iter().rev().find(|(id, ..)| *id == trunk.id);
            if last.is_none_or(|(_, _, known)| *known != price) {
                self.prices.push((trunk.id, now, price));
            }
        }
    }

    /// How many calls the trunk may have when one begins that was routed since then: calls under way keep the trunks they began
    /// with. `None` once it is deleted.
    pub(crate) fn limit(&self, trunk: TrunkId, since: Instant) -> Option<u32> {
        let now = self.trunks.iter().find(|known| known.id == trunk)?.max_concurrent_calls;
        let former = self.limits.iter().filter(|(id, until, _)| *id == trunk && *until >= since);
        former.map(|(.., limit)| *limit).chain([now]).max()
    }

    /// Changes how many calls a trunk may have.
    pub(crate) fn set_limit(&mut self, place: usize, limit: u32, now: Instant) {
        if let Some(trunk) = self.trunks.get_mut(place) {
            self.limits.push((trunk.id, now, std::mem::replace(&mut trunk.max_concurrent_calls, limit)));
        }
    }

    /// What the switch is told.
    pub(crate) fn routes(&self) -> Command {
        let (table, unusable) = RouteTable::new(self.revision, &self.accounts, self.trunks.clone());
        assert_eq!(unusable, [], "every trunk names a host");
        Command::Routes(Arc::new(table))
    }

    /// What the trunk has cost at any time until then.
    pub(crate) fn prices(&self, trunk: TrunkId, until: Instant) -> impl Iterator<Item = Price> {
        self.prices.iter().filter(move |(id, since, _)| *id == trunk && *since <= until).map(|(_, _, price)| *price)
    }
}
