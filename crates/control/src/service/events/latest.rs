use super::{MAX_STREAMS, MAX_STREAMS_OF_ACCOUNT, OpenEventsError, locked};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tandem_model::AccountId;
use tandem_store::Store;
use tokio::sync::watch;

/// The numbers of the latest events of those accounts that somebody here listens to. One task looks for all, as long as there are any:
/// other nodes write events too, so that to look is the one way to know.
pub(super) struct Latest {
    store: Store,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    accounts: HashMap<AccountId, Followed>,
    /// Whether the task runs.
    is_looked: bool,
}

struct Followed {
    latest: watch::Sender<u64>,
    followers: usize,
}

/// The place of a follower, until it is dropped.
pub(super) struct Place {
    account: AccountId,
    shared: Arc<Mutex<Shared>>,
    pub(super) latest: watch::Receiver<u64>,
}

impl Latest {
    pub(super) fn new(store: Store) -> Self {
        Self { store, shared: Arc::default() }
    }

    pub(super) fn followers(&self) -> usize {
        locked(&self.shared).followers()
    }

    pub(super) fn join(&self, account: AccountId) -> Result<Place, OpenEventsError> {
        let mut shared = locked(&self.shared);
        if shared.followers() >= MAX_STREAMS {
            return Err(OpenEventsError::NodeFull);
        }
        let followed =
            shared.accounts.entry(account).or_insert_with(|| Followed { latest: watch::Sender::new(0), followers: 0 });
        if followed.followers >= MAX_STREAMS_OF_ACCOUNT {
            return Err(OpenEventsError::AccountFull);
        }
        followed.followers += 1;
        let latest = followed.latest.subscribe();
        if !std::mem::replace(&mut shared.is_looked, true) {
            tokio::spawn(look(self.store.clone(), Arc::clone(&self.shared)));
        }
        Ok(Place { account, shared: Arc::clone(&self.shared), latest })
    }
}

impl Shared {
    fn followers(&self) -> usize {
        self.accounts.values().map(|followed| followed.followers).sum()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut shared = locked(&self.shared);
        if let Some(followed) = shared.accounts.get_mut(&self.account) {
            followed.followers -= 1;
            if followed.followers == 0 {
                shared.accounts.remove(&self.account);
            }
        }
    }
}

/// Looks until nobody listens any more.
async fn look(store: Store, shared: Arc<Mutex<Shared>>) {
    let mut is_failing = false;
    loop {
        tokio::time::sleep(if is_failing { RETRY_EVERY } else { LOOK_EVERY }).await;
        let wanted: Vec<AccountId> = {
            let mut shared = locked(&shared);
            if shared.accounts.is_empty() {
                shared.is_looked = false;
                return;
            }
            shared.accounts.keys().copied().collect()
        };
        match store.latest_events(&wanted).await {
            Ok(latest) => {
                is_failing = false;
                let shared = locked(&shared);
                for (account, latest) in latest {
                    if let Some(followed) = shared.accounts.get(&account) {
                        followed.latest.send_if_modified(|known| std::mem::replace(known, latest) != latest);
                    }
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut is_failing, true) {
                    tracing::warn!(%error, "events cannot be looked for; that is tried again");
                }
            }
        }
    }
}

/// An event is told this much later at most, and the time that it takes to read it.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How often a database that fails is asked.
const RETRY_EVERY: Duration = Duration::from_secs(1);
