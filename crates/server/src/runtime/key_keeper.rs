use super::SystemClock;
use std::time::Duration;
use tandem_store::Store;
use tokio::time::MissedTickBehavior;

/// Keeps the master keys of this node as new as the store says, so that they are replaced while it runs, and shows that it runs. Never
/// ends; drop it to stop.
pub(crate) async fn keep_keys(store: Store) {
    let mut interval = tokio::time::interval(LOOK_EVERY);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failed = false;
    loop {
        interval.tick().await;
        match store.keep_keys(SystemClock::utc()).await {
            Ok(()) => failed = false,
            // Once, not twice a second.
            Err(error) if !failed => {
                tracing::warn!(%error, "the master keys could not be looked at; that is tried again");
                failed = true;
            }
            Err(_) => {}
        }
    }
}

/// A key that is announced is here within a second.
const LOOK_EVERY: Duration = Duration::from_millis(500);
