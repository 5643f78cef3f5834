use crate::service::Statistics;
use std::time::Duration;
use tandem_store::DatabaseError;

impl Statistics {
    /// Counts what an earlier build stored before there were statistics, in small steps, so that calls are stored between them.
    pub(crate) async fn count_earlier_calls(&self) {
        let mut steps = 0_u64;
        loop {
            match self.core.store.count_earlier_calls().await {
                Ok(true) => {
                    steps += 1;
                    tokio::time::sleep(BETWEEN_STEPS).await;
                }
                Ok(false) => break,
                Err(error) => {
                    tracing::warn!(%error, "calls of an earlier build were not counted; that is tried again");
                    tokio::time::sleep(AFTER_FAILURE).await;
                }
            }
        }
        // A new database takes a step for calls and one for legs to find out that there are none.
        if steps > 2 {
            tracing::info!(steps, "the calls of an earlier build are in the statistics");
        }
    }

    /// Removes statistics of minutes that nobody can ask for any more.
    pub(crate) async fn remove_old_minutes(&self) -> Result<u64, DatabaseError> {
        self.core.store.remove_old_minutes().await
    }
}

/// As long as a step takes or a little longer: the file of SQLite has one writer.
const BETWEEN_STEPS: Duration = Duration::from_millis(20);
/// The database is away; that takes a while.
const AFTER_FAILURE: Duration = Duration::from_secs(10);
