use crate::service::{Caller, Core, ListRequest, Page, ReadTrunkError, ShownTrunk};
use std::sync::Arc;
use std::time::Duration;
use tandem_model::{HealthSpan, MeasuredHealth, TrunkId};

/// The health of trunks, and how it was.
#[derive(Clone)]
pub(crate) struct Health {
    core: Arc<Core>,
}

/// The health of a trunk, and how it was.
#[derive(Clone, Debug)]
pub(crate) struct ShownHealth {
    pub(crate) trunk: ShownTrunk,
    /// What the call path measures; `None` of a trunk that is not in service.
    pub(crate) measured: Option<Box<MeasuredHealth>>,
    /// Share of the known time of the last 30 days in which it took calls, in percent times 100.
    pub(crate) uptime_basis_points: Option<u16>,
    /// Newest first.
    pub(crate) history: Page<HealthSpan>,
}

impl Health {
    pub(super) const fn new(core: Arc<Core>) -> Self {
        Self { core }
    }

    /// The health of a trunk, with a part of its history.
    pub(crate) async fn read(
        &self,
        caller: &Caller,
        id: TrunkId,
        request: &ListRequest<()>,
    ) -> Result<ShownHealth, ReadTrunkError> {
        let (account, store) = (caller.account_id(), &self.core.store);
        let trunk = store.trunk(account, id).await?.ok_or(ReadTrunkError::NotFound)?;
        let state = self.core.switchboard.trunk_states(vec![id]).await?.remove(&id).unwrap_or_default();
        let listed = store.health_history(account, id, &request.part);
        let history = request.answer(listed, store.count_health_history(account, id)).await?;
        let now = self.core.now();
        let known = store.known_health(account, id, now.saturating_sub(UPTIME_WINDOW), now).await?;
        let measured = state.health.clone();
        let trunk = ShownTrunk::new(trunk, state, Vec::new());
        Ok(ShownHealth { trunk, measured, uptime_basis_points: known.up_basis_points(), history })
    }
}

/// The time that uptime is told of.
const UPTIME_WINDOW: Duration = Duration::from_secs(30 * 24 * 60 * 60);
