use super::signalling::ShardHandle;
use super::switch_machine::ShardCommand;
use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};
use tandem_model::{AccountId, AddressRanges, CreditTerms, Trunk, TrunkId};
use tandem_store::{DatabaseError, Store};
use tandem_switch::Command;
use tandem_switch::route::RouteTable;
use tokio::sync::{Mutex, Notify};

/// Keeps the shard's routing table as new as the store: every written change counts for new calls within 100 ms, also one that
/// another process wrote. So does what accounts may spend, but what calls of other nodes cost and hold counts within a second.
pub(crate) struct RouteLoader {
    store: Store,
    shared_carriers: AddressRanges,
    shard: ShardHandle<ShardCommand>,
    changed: Notify,
    /// How often this process has written.
    changes: AtomicU64,
    /// What the shard has. Held while loading, so that nothing older ever follows something newer.
    loaded: Mutex<Loaded>,
    /// The accounts that the shard knows. Apart from the revision, so that nobody waits for a database that is slow.
    accounts: RwLock<HashSet<AccountId>>,
    latest: RwLock<Option<Latest>>,
}

/// The table that was loaded last, and until when nothing newer was in the store.
struct Latest {
    table: Arc<RouteTable>,
    look: Look,
}

/// A look at the store.
#[derive(Clone, Copy)]
struct Look {
    began_at: Instant,
    /// How often this process had written before it.
    changes: u64,
}

#[derive(Default)]
struct Loaded {
    revision: Option<u64>,
    credit: Vec<CreditTerms>,
    credit_read_at: Option<Instant>,
}

impl Loaded {
    /// Whether calls that this node does not carry may have spent credit meanwhile.
    fn is_credit_old(&self) -> bool {
        !self.credit.is_empty() && self.credit_read_at.is_none_or(|at| at.elapsed() >= CREDIT_INTERVAL)
    }
}

impl RouteLoader {
    pub(crate) fn new(store: Store, shared_carriers: AddressRanges, shard: ShardHandle<ShardCommand>) -> Self {
        Self {
            store,
            shared_carriers,
            shard,
            changed: Notify::new(),
            changes: AtomicU64::new(0),
            loaded: Mutex::default(),
            accounts: RwLock::default(),
            latest: RwLock::default(),
        }
    }

    /// Something was written by this process: do not wait for the next look.
    pub(crate) fn routing_changed(&self) {
        self.changes.fetch_add(1, Ordering::SeqCst);
        self.changed.notify_one();
    }

    /// A trunk as the table has it, when nothing newer can have been written for longer than [`FRESH`], and nothing by this process.
    pub(crate) fn trunk(&self, account: AccountId, id: TrunkId) -> Option<Arc<Trunk>> {
        let latest = self.latest.read().unwrap_or_else(PoisonError::into_inner);
        let Latest { table, look } = latest.as_ref()?;
        let is_fresh = look.changes == self.changes.load(Ordering::SeqCst) && look.began_at.elapsed() < FRESH;
        let trunk = &table.trunk(id).filter(|_| is_fresh)?.trunk;
        (trunk.account_id == account).then(|| Arc::clone(trunk))
    }

    /// Loads the table if the store has a newer one.
    pub(crate) async fn refresh(&self) -> Result<(), DatabaseError> {
        let mut loaded = self.loaded.lock().await;
        let look = Look { began_at: Instant::now(), changes: self.changes.load(Ordering::SeqCst) };
        let revision = self.store.revision().await?;
        if loaded.revision == Some(revision) {
            if let Some(latest) = &mut *self.latest.write().unwrap_or_else(PoisonError::into_inner) {
                latest.look = look;
            }
            return if loaded.is_credit_old() { self.load_credit(&mut loaded).await } else { Ok(()) };
        }
        let snapshot = self.store.routing_snapshot().await?;
        for (trunk, error) in &snapshot.unreadable {
            tracing::error!(%trunk, error, "a trunk cannot be read and takes no calls");
        }
        let (table, unusable) = RouteTable::new(snapshot.revision, &snapshot.accounts, snapshot.trunks);
        for trunk in unusable {
            tracing::error!(%trunk, "a trunk names no host and takes no calls");
        }
        let table = table.with_numbers(snapshot.numbers).with_shared_carriers(self.shared_carriers.clone());
        let table = Arc::new(table);
        if self.shard.send(ShardCommand::Tell(Command::Routes(Arc::clone(&table)))).is_ok() {
            *self.latest.write().unwrap_or_else(PoisonError::into_inner) = Some(Latest { table, look });
            tracing::debug!(revision = snapshot.revision, "new routing table");
            let accounts = snapshot.accounts.iter().map(|account| account.id).collect();
            *self.accounts.write().unwrap_or_else(PoisonError::into_inner) = accounts;
            // After the routes: should it fail, all of it is loaded again.
            self.load_credit(&mut loaded).await?;
            loaded.revision = Some(snapshot.revision);
        }
        Ok(())
    }

    /// Tells the shard what accounts may spend, if that has changed.
    async fn load_credit(&self, loaded: &mut Loaded) -> Result<(), DatabaseError> {
        let credit = self.store.credit_terms().await?;
        loaded.credit_read_at = Some(Instant::now());
        if credit != loaded.credit && self.shard.send(ShardCommand::Tell(Command::CreditTerms(credit.clone()))).is_ok()
        {
            loaded.credit = credit;
        }
        Ok(())
    }

    /// Sees to it that the shard knows an account that may have been made a moment ago. Asks the store for unknown ones only.
    pub(crate) async fn introduce(&self, account: AccountId) {
        let is_known = self.accounts.read().unwrap_or_else(PoisonError::into_inner).contains(&account);
        if !is_known && let Err(error) = self.refresh().await {
            tracing::warn!(%error, %account, "a new account could not be loaded");
        }
    }

    /// Whether the database answered when it was last looked at.
    pub(crate) fn database_answers(&self) -> bool {
        self.store.answers()
    }

    /// Looks for changes for as long as the process lives; and so, whether the database answers.
    pub(crate) async fn run(self: Arc<Self>) {
        let mut is_failing = false;
        loop {
            let refreshed = self.refresh().await;
            match &refreshed {
                // The shard goes on with the table it has.
                Err(error) if !is_failing => {
                    tracing::error!(%error, "the routing table cannot be loaded; calls go by the last one");
                }
                Ok(()) if is_failing => tracing::info!("the routing table can be loaded again"),
                Ok(()) | Err(_) => {}
            }
            is_failing = refreshed.is_err();
            let interval = if is_failing { RETRY_INTERVAL } else { LOOK_INTERVAL };
            // Whichever comes first: a change by this process, or the time to look for one by another.
            let _ = tokio::time::timeout(interval, self.changed.notified()).await;
        }
    }
}

/// A change by another process counts within 100 ms; half of it leaves time to load.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// Less than 100 ms, as long as it may take until everybody sees a change, and more than it takes from one look to the next.
const FRESH: Duration = Duration::from_millis(90);
/// How old may be what calls of other nodes have cost and hold.
const CREDIT_INTERVAL: Duration = Duration::from_millis(500);
/// How often a database that fails is looked at: what was refused while it was away is taken again so soon.
const RETRY_INTERVAL: Duration = Duration::from_millis(250);
