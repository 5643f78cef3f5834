use super::SystemClock;
use super::switchboard::ShardSwitchboard;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tandem_model::{AccountId, CreditCommitment, Money};
use tandem_store::Store;
use tokio::time::MissedTickBehavior;

/// Tells nodes on the same database what the calls of this one have committed of the credit of accounts, so that together they do not
/// spend what is there only once.
pub(crate) struct CreditSharing {
    store: Store,
    switchboard: Arc<ShardSwitchboard>,
    told: Told,
}

/// What the others were told, and when.
#[derive(Debug, Default)]
struct Told(BTreeMap<AccountId, (Money, Instant)>);

impl CreditSharing {
    pub(crate) fn new(store: Store, switchboard: Arc<ShardSwitchboard>) -> Self {
        Self { store, switchboard, told: Told::default() }
    }

    /// Never ends; drop it to stop. What was told last holds for a while, as long as calls may take to be closed.
    pub(crate) async fn run(mut self) {
        let mut interval = tokio::time::interval(TELL_EVERY);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut failed = false;
        loop {
            interval.tick().await;
            // Calls are carried by what is known; the call path tells of its own troubles.
            let Ok(commitments) = self.switchboard.credit_commitments().await else { continue };
            let now = Instant::now();
            let news = self.told.news(&commitments, now);
            match self.store.commit_credit(&news, SystemClock::utc().saturating_add(HOLDS_FOR)).await {
                Ok(()) => {
                    self.told.note(&news, now);
                    failed = false;
                }
                // Once, not twice a second.
                Err(error) if !failed => {
                    tracing::warn!(%error, "other nodes cannot be told what credit calls hold; that is tried again");
                    failed = true;
                }
                Err(_) => {}
            }
        }
    }
}

impl Told {
    /// What to tell: what has changed, what would be forgotten, and nothing of accounts of which the database knows all.
    fn news(&self, commitments: &[CreditCommitment], now: Instant) -> Vec<CreditCommitment> {
        let is_new = |commitment: &&CreditCommitment| {
            self.0.get(&commitment.account_id).is_none_or(|(amount, at)| {
                *amount != commitment.amount || now.saturating_duration_since(*at) >= TELL_AGAIN_AFTER
            })
        };
        let mut news: Vec<_> = commitments.iter().filter(is_new).copied().collect();
        let is_over = |account: &AccountId| commitments.iter().all(|commitment| commitment.account_id != *account);
        let over = self.0.keys().copied().filter(is_over);
        news.extend(over.map(|account_id| CreditCommitment { account_id, amount: Money::ZERO }));
        news
    }

    fn note(&mut self, news: &[CreditCommitment], now: Instant) {
        for CreditCommitment { account_id, amount } in news {
            if *amount == Money::ZERO {
                self.0.remove(account_id);
            } else {
                self.0.insert(*account_id, (*amount, now));
            }
        }
    }
}

/// With as much until others look, they know within a second.
const TELL_EVERY: Duration = Duration::from_millis(500);
/// Long before it is forgotten.
const TELL_AGAIN_AFTER: Duration = Duration::from_secs(5);
/// Longer than a node stalls, and than clocks of nodes differ; what a node that has died held is there for others after it.
const HOLDS_FOR: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use super::*;
    use tandem_model::Timestamp;

    #[test]
    fn what_changes_is_told_at_once_what_stays_now_and_then_and_what_is_over_once() {
        let account_id = AccountId::new(Timestamp::from_unix_micros(0), [1; 10]);
        let holding = |micros| CreditCommitment { account_id, amount: Money::from_micros(micros) };
        let (mut told, start) = (Told::default(), Instant::now());
        let mut tell = |commitments: &[CreditCommitment], seconds: u64| {
            let now = start + Duration::from_secs(seconds);
            let news = told.news(commitments, now);
            told.note(&news, now);
            news.iter().map(|commitment| commitment.amount.micros()).collect::<Vec<_>>()
        };
        assert_eq!(tell(&[holding(7)], 0), [7]);
        assert_eq!(tell(&[holding(7)], 1), [0_i64; 0]);
        assert_eq!(tell(&[holding(8)], 2), [8]);
        assert_eq!(tell(&[holding(8)], 7), [8]);
        assert_eq!(tell(&[], 8), [0]);
        assert_eq!(tell(&[], 9), [0_i64; 0]);
    }
}
