use crate::service::Core;
use crate::service::shares::Shares;
use crate::{ProbeError, ProbeResult};
use std::sync::Arc;
use tandem_model::{AccountId, Transport, Trunk, TrunkHealth, TrunkId};
use tandem_store::DatabaseError;
use tokio::sync::{Mutex, MutexGuard, Semaphore};

/// Probes trunks and keeps what is found.
///
/// What was found counts for the target that was probed: it is not kept when the trunk has another one by then, and a trunk that gets
/// another one is of unknown health. Compare and write are one step by a lock, which is one of a few: a trunk always has the same.
#[derive(Clone)]
pub(super) struct Probing {
    core: Arc<Core>,
    own: Arc<Semaphore>,
    /// Those of each account, so that one does not take the probes of all.
    under_way: Shares<()>,
    writing: Arc<[Mutex<()>; WRITE_LOCKS]>,
}

/// What a probe reaches: when it changes, what earlier probes found says nothing any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    sip_domain: String,
    sip_port: u16,
    sip_proxy: Option<String>,
    transport: Transport,
}

/// Why a trunk was not probed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HealthCheckError {
    #[error("no such trunk")]
    NotFound,
    #[error(transparent)]
    Probe(#[from] ProbeError),
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl Probing {
    pub(super) fn new(core: Arc<Core>) -> Self {
        let writing = Arc::new(std::array::from_fn(|_| Mutex::new(())));
        Self { core, own: Arc::new(Semaphore::new(MAX_OWN_PROBES)), under_way: Shares::default(), writing }
    }

    /// Probes a trunk now and keeps what was found.
    pub(super) async fn probe(&self, account: AccountId, id: TrunkId) -> Result<ProbeResult, HealthCheckError> {
        let trunk = self.core.store.trunk(account, id).await?.ok_or(HealthCheckError::NotFound)?;
        let _place = self.under_way.take(account, MAX_PROBES_OF_ACCOUNT).ok_or(ProbeError::Busy)?;
        let mut found = self.core.switchboard.probe(id).await?;
        found.health.checked_at.get_or_insert_with(|| self.core.now());
        self.keep(&trunk, found.trunk.unwrap_or(found.health)).await?;
        Ok(found)
    }

    /// Probes a trunk whose target is new, once, in the background, unless its configuration says never.
    pub(super) fn probe_by_itself(&self, trunk: &Trunk) {
        if trunk.options_interval().is_none() {
            return;
        }
        let (account, id) = (trunk.account_id, trunk.id);
        let Ok(permit) = Arc::clone(&self.own).try_acquire_owned() else {
            tracing::info!(trunk_id = %id, "too many trunks are new at once: this one is not probed by itself");
            return;
        };
        let probing = self.clone();
        tokio::spawn(async move {
            let _permit = permit;
            match probing.probe(account, id).await {
                // Who deletes a trunk at once does not care for its health.
                Ok(_) | Err(HealthCheckError::NotFound) => {}
                Err(error @ (HealthCheckError::Probe(_) | HealthCheckError::Database(_))) => {
                    tracing::warn!(trunk_id = %id, %error, "a new trunk was not probed");
                }
            }
        });
    }

    /// The trunk has a new target, which is stored: its health is unknown, until the probe that begins now has an answer.
    pub(super) async fn target_changed(&self, trunk: &Trunk) {
        if let Err(error) = self.keep(trunk, TrunkHealth::UNKNOWN).await {
            tracing::warn!(trunk_id = %trunk.id, %error, "the health of a trunk's former target is still stored");
        }
        self.probe_by_itself(trunk);
    }

    /// Writes the health of a target, if it still is the trunk's.
    async fn keep(&self, probed: &Trunk, health: TrunkHealth) -> Result<(), DatabaseError> {
        let _writing = self.lock(probed.id).await;
        let now = self.core.store.trunk(probed.account_id, probed.id).await?;
        if now.as_ref().map(Target::of) != Some(Target::of(probed)) {
            tracing::debug!(trunk_id = %probed.id, "the trunk has changed; what its former target answered is not kept");
            return Ok(());
        }
        self.core.store.set_trunk_health(probed.id, health).await.map(drop)
    }

    async fn lock(&self, id: TrunkId) -> MutexGuard<'_, ()> {
        // The low bits of a UUIDv7 are random.
        let [.., low] = id.as_uuid().into_bytes();
        self.writing[usize::from(low) % WRITE_LOCKS].lock().await
    }
}

impl Target {
    pub(super) fn of(trunk: &Trunk) -> Self {
        Self {
            sip_domain: trunk.sip_domain.clone(),
            sip_port: trunk.sip_port,
            sip_proxy: trunk.sip_proxy.clone(),
            transport: trunk.transport(),
        }
    }
}

/// Probes in the background at once: each waits up to 5 s for a peer that may not exist.
const MAX_OWN_PROBES: usize = 64;
/// Probes of one account at once: every trunk of the largest tier, and the call path takes those of sixteen such accounts.
const MAX_PROBES_OF_ACCOUNT: usize = 64;
/// Healths written at once: as many as the probes of the background.
const WRITE_LOCKS: usize = 64;
