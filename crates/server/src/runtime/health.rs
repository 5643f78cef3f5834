use super::clock::SystemClock;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;
use tandem_model::{HealthReport, TrunkId};
use tandem_store::Store;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

/// Writes what the shard says of the health of trunks into the store, off the call path.
///
/// A report may be lost: with the database away the latest of each trunk is kept, and its history shows no more than that nothing was
/// known meanwhile.
pub(crate) struct HealthKeeper {
    store: Store,
    reports: mpsc::Receiver<HealthReport>,
    unstored: Unstored,
    is_failing: bool,
}

impl HealthKeeper {
    /// The queue from the shard.
    pub(crate) fn queue() -> (mpsc::Sender<HealthReport>, mpsc::Receiver<HealthReport>) {
        mpsc::channel(QUEUED_REPORTS)
    }

    pub(crate) const fn new(store: Store, reports: mpsc::Receiver<HealthReport>) -> Self {
        Self { store, reports, unstored: Unstored(BTreeMap::new()), is_failing: false }
    }

    /// Runs until the shard is gone.
    pub(crate) async fn run(mut self) {
        let mut sweep = tokio::time::interval(SWEEP_EVERY);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut received = Vec::new();
        loop {
            tokio::select! {
                count = self.reports.recv_many(&mut received, QUEUED_REPORTS) => {
                    if count == 0 {
                        return;
                    }
                    received.drain(..).for_each(|report| self.unstored.take(report));
                    self.write().await;
                    // What comes meanwhile is written in one transaction with what follows.
                    tokio::time::sleep(if self.is_failing { RETRY_EVERY } else { WRITE_EVERY }).await;
                }
                _ = sweep.tick() => self.sweep().await,
            }
        }
    }

    async fn write(&mut self) {
        let reports: Vec<HealthReport> = self.unstored.0.values().cloned().collect();
        match self.store.record_health(&reports).await {
            Ok(()) => {
                self.unstored.0.clear();
                self.is_failing = false;
            }
            Err(error) => {
                if !std::mem::replace(&mut self.is_failing, true) {
                    tracing::warn!(%error, "the health of trunks is not stored; it is tried again");
                }
            }
        }
    }

    /// Removes history that nobody asks for any more.
    async fn sweep(&self) {
        let before = SystemClock::utc().saturating_sub(KEPT_FOR);
        if let Err(error) = self.store.remove_health_before(before).await {
            tracing::warn!(%error, "old health of trunks was not removed; it is tried again");
        }
    }
}

/// What is not stored yet: of each trunk its latest health, with the latest spans.
struct Unstored(BTreeMap<TrunkId, HealthReport>);

impl Unstored {
    fn take(&mut self, report: HealthReport) {
        match self.0.entry(report.trunk_id) {
            Entry::Vacant(entry) => drop(entry.insert(report)),
            Entry::Occupied(mut entry) => {
                let mut spans = std::mem::take(&mut entry.get_mut().spans);
                spans.retain(|span| report.spans.iter().all(|newer| newer.began_at != span.began_at));
                spans.extend_from_slice(&report.spans);
                let spare = spans.len().saturating_sub(MAX_UNSTORED_SPANS);
                spans.drain(..spare);
                entry.insert(HealthReport { spans, ..report });
            }
        }
    }
}

/// Reports that wait: of as many trunks in the same moment.
const QUEUED_REPORTS: usize = 4_096;
/// Reports are gathered for so long, so that a thousand trunks are one transaction a second.
const WRITE_EVERY: Duration = Duration::from_secs(1);
/// How often a database that fails is tried.
const RETRY_EVERY: Duration = Duration::from_secs(5);
/// Spans kept of each trunk while the database is away: a day of hours.
const MAX_UNSTORED_SPANS: usize = 24;
/// How often old history is removed.
const SWEEP_EVERY: Duration = Duration::from_secs(60 * 60);
/// History is kept for a little longer than the 30 days that uptime is told of.
const KEPT_FOR: Duration = Duration::from_secs(32 * 24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;
    use tandem_model::{AccountId, HealthReason, HealthSpan, HealthStatus, Timestamp, TrunkHealth};

    const EPOCH: Timestamp = Timestamp::from_unix_micros(0);

    fn report(trunk: u8, spans: &[(i64, i64)]) -> HealthReport {
        let span = |(began, until): &(i64, i64)| HealthSpan {
            began_at: Timestamp::from_unix_micros(*began),
            until: Timestamp::from_unix_micros(*until),
            status: HealthStatus::Healthy,
            reason: HealthReason::Answers,
            latency_us: None,
            loss_basis_points: None,
        };
        HealthReport {
            trunk_id: TrunkId::new(EPOCH, [trunk; 10]),
            account_id: AccountId::new(EPOCH, [1; 10]),
            health: TrunkHealth::UNKNOWN,
            spans: spans.iter().map(span).collect(),
        }
    }

    #[test]
    fn what_waits_is_the_latest_of_each_trunk_with_the_spans_of_a_day() {
        let mut unstored = Unstored(BTreeMap::new());
        unstored.take(report(1, &[(0, 10)]));
        unstored.take(report(2, &[(0, 10)]));
        unstored.take(report(1, &[(0, 15), (15, 20)]));
        let waiting: Vec<_> = unstored.0.values().cloned().collect();
        assert_eq!(waiting, [report(1, &[(0, 15), (15, 20)]), report(2, &[(0, 10)])]);
        for hour in 0..100 {
            unstored.take(report(1, &[(20 + hour, 21 + hour)]));
        }
        let spans = &unstored.0[&TrunkId::new(EPOCH, [1; 10])].spans;
        assert_eq!((spans.len(), spans.last().map(|span| span.until.unix_micros())), (MAX_UNSTORED_SPANS, Some(120)));
    }
}
