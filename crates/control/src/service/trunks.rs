use crate::service::probing::{HealthCheckError, Probing, Target};
use crate::service::test_calls::{CheckTrunkError, TestCalls, TestedCall};
use crate::service::{Caller, Core, ListRequest, Page, Ticket, id_parts, is_repeat};
use crate::wire::{HealthCheck, Invalid, NewTrunk, Parsed, TrunkChange, capability_warnings};
use crate::{ProbeResult, Unavailable};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use tandem_model::{
    CallDirection, DtmfMode, HealthStatus, InboundRouting, Money, OutboundRouting, Permission, Reason, SourceClaim,
    Timestamp, Trunk, TrunkHealth, TrunkId, TrunkState, TrunkStatus,
};
use tandem_store::{DatabaseError, Stale, TrunkFilter};

/// Trunks of an account.
#[derive(Clone)]
pub(crate) struct Trunks {
    core: Arc<Core>,
    probing: Probing,
    test_calls: TestCalls,
}

/// Which trunks are wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TrunkSearch {
    pub(crate) filter: TrunkFilter,
    /// As the call path knows it now, not the database.
    pub(crate) health: Option<HealthStatus>,
}

/// A trunk with what is going on at it.
#[derive(Clone, Debug)]
pub(crate) struct ShownTrunk {
    pub(crate) trunk: Trunk,
    pub(crate) state: TrunkState,
    /// What the client should know: of the request first, then of the configuration.
    pub(crate) warnings: Vec<String>,
}

impl ShownTrunk {
    pub(super) fn new(mut trunk: Trunk, state: TrunkState, mut warnings: Vec<String>) -> Self {
        warnings.extend(capability_warnings(&trunk));
        trunk.health = health_of(&trunk, &state);
        Self { trunk, state, warnings }
    }

    /// Why no call can go out over the trunk, if none can: its configuration as it is stored, then what the call path has learnt.
    pub(crate) fn unroutable_reason(&self) -> Option<Reason> {
        let trunk = &self.trunk;
        if trunk.status != TrunkStatus::Active {
            return Some(Reason::TrunkNotActive { status: trunk.status });
        }
        if trunk.call_direction == CallDirection::Inbound {
            return Some(Reason::InboundOnly);
        }
        let transport = trunk.transport();
        if !transport.is_supported() {
            return Some(Reason::TransportUnsupported { transport });
        }
        if trunk.codecs().is_empty() {
            return Some(Reason::NoUsableCodec);
        }
        let learnt = self.state.unroutable_reason.clone().filter(|reason| !is_of_configuration(reason));
        learnt.or_else(|| self.state.resting_until.map(|until| Reason::TrunkResting { until }))
    }
}

/// What the call path knows at this moment; before it knows anything, what is stored.
fn health_of(trunk: &Trunk, state: &TrunkState) -> TrunkHealth {
    live_health(state).unwrap_or(trunk.health)
}

fn live_health(state: &TrunkState) -> Option<TrunkHealth> {
    let live = state.health.as_ref().map(|measured| measured.health);
    live.filter(|health| health.status != HealthStatus::Unknown)
}

/// Whether a reason was judged above. The call path may not have loaded a change yet, and would still give the old one.
const fn is_of_configuration(reason: &Reason) -> bool {
    matches!(
        reason,
        Reason::TrunkNotActive { .. }
            | Reason::InboundOnly
            | Reason::TransportUnsupported { .. }
            | Reason::NoUsableCodec
    )
}

/// A price of an account whose calls are paid for by credit, which only an admin of the node sets: by a price of zero its calls would be
/// paid for by nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} is for an admin of the node to set")]
pub(crate) struct PricesAreTheOperators {
    /// The price, by its path in the body.
    pub(crate) field: &'static str,
}

/// Why a change of a trunk was refused.
#[derive(Debug, thiserror::Error)]
enum RefusedChange {
    #[error(transparent)]
    Invalid(#[from] Invalid),
    #[error(transparent)]
    Prices(#[from] PricesAreTheOperators),
}

/// Why a trunk was not made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CreateTrunkError {
    #[error(transparent)]
    Invalid(#[from] Invalid),
    #[error(transparent)]
    Prices(#[from] PricesAreTheOperators),
    #[error("the account has a trunk of that name")]
    NameTaken,
    #[error("addresses that it takes calls from are another account's")]
    SourceTaken(SourceClaim),
    #[error("the account has all its {limit} trunks")]
    LimitReached { limit: u32 },
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// Why a trunk is not shown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadTrunkError {
    #[error("no such trunk")]
    NotFound,
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// Why a trunk was not changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpdateTrunkError {
    #[error("no such trunk")]
    NotFound,
    #[error(transparent)]
    Invalid(#[from] Invalid),
    #[error(transparent)]
    Prices(#[from] PricesAreTheOperators),
    #[error("the account has a trunk of that name")]
    NameTaken,
    #[error("addresses that it takes calls from are another account's")]
    SourceTaken(SourceClaim),
    #[error(transparent)]
    Stale(#[from] Stale),
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// Why a trunk was not deleted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeleteTrunkError {
    #[error("no such trunk")]
    NotFound,
    #[error("the trunk carries {active_calls} calls")]
    InUse { active_calls: u32 },
    #[error(transparent)]
    Stale(#[from] Stale),
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl Trunks {
    pub(super) fn new(core: Arc<Core>) -> Self {
        let probing = Probing::new(Arc::clone(&core));
        let test_calls = TestCalls::new(Arc::clone(&core));
        Self { core, probing, test_calls }
    }

    /// Makes a trunk, active and of unknown health, and has it probed.
    pub(crate) async fn create(
        &self,
        caller: &Caller,
        new: Parsed<NewTrunk>,
        ticket: Option<&Ticket>,
    ) -> Result<ShownTrunk, CreateTrunkError> {
        let Parsed { value: new, warnings } = new;
        let now = self.core.now();
        let (since, bits) = id_parts(ticket, now)?;
        let id = TrunkId::new(since, bits);
        if is_repeat(ticket)
            && let Some(made) = self.core.store.trunk(caller.account_id(), id).await?
        {
            self.core.switchboard.routing_changed();
            self.probing.probe_by_itself(&made);
            return Ok(ShownTrunk::new(made, TrunkState::default(), warnings));
        }
        let trunk = new_trunk(caller, new, id, now);
        self.check_next_hop(&trunk)?;
        // One without a price in its body has one as well.
        if !self.sets_prices(caller).await? {
            return Err(PricesAreTheOperators { field: COST_PER_MINUTE }.into());
        }
        let act = caller.act(now);
        self.core.store.insert_trunk(&act, &trunk, caller.account.limits().max_trunks).await.map_err(|error| {
            match error {
                tandem_store::InsertTrunkError::NameTaken => CreateTrunkError::NameTaken,
                tandem_store::InsertTrunkError::SourceTaken(claim) => CreateTrunkError::SourceTaken(claim),
                tandem_store::InsertTrunkError::LimitReached { limit } => CreateTrunkError::LimitReached { limit },
                tandem_store::InsertTrunkError::FailoverUnknown => failover_unknown().into(),
                tandem_store::InsertTrunkError::Database(error) => error.into(),
            }
        })?;
        if !act.dry_run {
            self.core.switchboard.routing_changed();
            self.probing.probe_by_itself(&trunk);
        }
        Ok(ShownTrunk::new(trunk, TrunkState::default(), warnings))
    }

    /// Trunks. Which of them are of the health that is wanted only the call path knows, so that a page may have fewer than it could.
    pub(crate) async fn list(
        &self,
        caller: &Caller,
        request: &ListRequest<TrunkSearch>,
    ) -> Result<Page<ShownTrunk>, ReadTrunkError> {
        let (store, account) = (&self.core.store, caller.account_id());
        let TrunkSearch { filter, health } = &request.filter;
        let listed = store.list_trunks(account, filter, &request.part);
        let page = request.answer(listed, store.count_trunks(account, filter)).await?;
        let ids = page.rows.iter().map(|trunk| trunk.id).collect();
        let mut states = self.states(ids).await?;
        let mut page = page.map(|trunk| {
            let state = states.remove(&trunk.id).unwrap_or_default();
            ShownTrunk::new(trunk, state, Vec::new())
        });
        page.rows.retain(|shown| health.is_none_or(|health| shown.trunk.health.status == health));
        Ok(page)
    }

    /// One trunk. From memory where that is as good as the store.
    pub(crate) async fn read(&self, caller: &Caller, id: TrunkId) -> Result<ShownTrunk, ReadTrunkError> {
        if let Some(trunk) = self.core.switchboard.known_trunk(caller.account_id(), id) {
            let state = self.state(id).await?;
            if live_health(&state).is_some() {
                return Ok(ShownTrunk::new(Trunk::clone(&trunk), state, Vec::new()));
            }
        }
        // Apart, so that the room which a question to the database takes is not set aside for each request.
        Box::pin(self.read_from_store(caller, id)).await
    }

    async fn read_from_store(&self, caller: &Caller, id: TrunkId) -> Result<ShownTrunk, ReadTrunkError> {
        let trunk = self.core.store.trunk(caller.account_id(), id).await?.ok_or(ReadTrunkError::NotFound)?;
        let state = self.state(id).await?;
        Ok(ShownTrunk::new(trunk, state, Vec::new()))
    }

    /// Changes the fields that were sent.
    pub(crate) async fn update(
        &self,
        caller: &Caller,
        id: TrunkId,
        change: Parsed<TrunkChange>,
    ) -> Result<ShownTrunk, UpdateTrunkError> {
        let Parsed { value: change, warnings } = change;
        let now = self.core.now();
        let mut target_before = None;
        let act = caller.act(now);
        let sets_prices = !change.names_prices() || self.sets_prices(caller).await?;
        let changed = self.core.store.change_trunk(&act, caller.account_id(), id, |trunk| {
            target_before = Some(Target::of(trunk));
            let before = Prices::of(trunk);
            change.apply(trunk);
            if !sets_prices {
                before.must_be_those_of(trunk)?;
            }
            trunk.updated_at = now;
            self.check_next_hop(trunk).map_err(RefusedChange::Invalid)
        });
        let mut trunk = changed.await.map_err(|error| match error {
            tandem_store::ChangeTrunkError::NotFound => UpdateTrunkError::NotFound,
            tandem_store::ChangeTrunkError::NameTaken => UpdateTrunkError::NameTaken,
            tandem_store::ChangeTrunkError::SourceTaken(claim) => UpdateTrunkError::SourceTaken(claim),
            tandem_store::ChangeTrunkError::FailoverUnknown => failover_unknown().into(),
            tandem_store::ChangeTrunkError::Stale(error) => error.into(),
            tandem_store::ChangeTrunkError::Refused(RefusedChange::Invalid(invalid)) => invalid.into(),
            tandem_store::ChangeTrunkError::Refused(RefusedChange::Prices(error)) => error.into(),
            tandem_store::ChangeTrunkError::Database(error) => error.into(),
        })?;
        if !act.dry_run {
            self.core.switchboard.routing_changed();
        }
        let leads_elsewhere = target_before != Some(Target::of(&trunk));
        if leads_elsewhere {
            if !act.dry_run {
                self.probing.target_changed(&trunk).await;
            }
            trunk.health = TrunkHealth::UNKNOWN;
        }
        let mut state = self.state(id).await?;
        if leads_elsewhere {
            // The call path may not have heard of it yet.
            state.health = None;
        }
        Ok(ShownTrunk::new(trunk, state, warnings))
    }

    /// Takes a trunk without calls out of service for good. A call that begins between the question and the deletion goes on to its
    /// end.
    pub(crate) async fn delete(&self, caller: &Caller, id: TrunkId) -> Result<(), DeleteTrunkError> {
        let account = caller.account_id();
        if self.core.store.trunk(account, id).await?.is_none() {
            return Err(DeleteTrunkError::NotFound);
        }
        let active_calls = self.state(id).await?.active_calls;
        if active_calls > 0 {
            return Err(DeleteTrunkError::InUse { active_calls });
        }
        let act = caller.act(self.core.now());
        self.core.store.delete_trunk(&act, account, id, act.at).await.map_err(|error| match error {
            tandem_store::DeleteTrunkError::NotFound => DeleteTrunkError::NotFound,
            tandem_store::DeleteTrunkError::Stale(error) => error.into(),
            tandem_store::DeleteTrunkError::Database(error) => error.into(),
        })?;
        if !act.dry_run {
            self.core.switchboard.routing_changed();
        }
        Ok(())
    }

    /// Probes a trunk now and keeps what was found; and places a short call over it, if that is wanted. What would be found nobody knows:
    /// a dry run tells what is known, and calls nobody.
    pub(crate) async fn check_health(
        &self,
        caller: &Caller,
        id: TrunkId,
        check: HealthCheck,
    ) -> Result<(ProbeResult, Option<TestedCall>), CheckTrunkError> {
        if check.call.is_some() {
            caller.require(Permission::Calls)?;
        }
        if caller.request.dry_run {
            let trunk = self.core.store.trunk(caller.account_id(), id).await?.ok_or(HealthCheckError::NotFound)?;
            let health = trunk.health;
            let known = ProbeResult { health, trunk: None, sip_status: None, target: None, failure: None };
            return Ok((known, None));
        }
        let found = self.probing.probe(caller.account_id(), id).await?;
        let tested = match check.call {
            Some(call) => Some(self.test_calls.place(caller, id, call).await?),
            None => None,
        };
        Ok((found, tested))
    }

    /// Whether this caller says what calls of the account cost: everybody who may change trunks, but where credit pays for calls only the
    /// operator.
    async fn sets_prices(&self, caller: &Caller) -> Result<bool, DatabaseError> {
        if caller.is_operator() {
            return Ok(true);
        }
        Ok(self.core.store.credit_account(caller.account_id()).await?.controlled_since.is_none())
    }

    /// An address that is written out must not lead into a network that the operator has not opened. Names are judged when resolved.
    fn check_next_hop(&self, trunk: &Trunk) -> Result<(), Invalid> {
        let Some(address) = trunk.target_address() else { return Ok(()) };
        if self.core.peers.permits(address) {
            return Ok(());
        }
        let field = if trunk.sip_proxy.is_some() { "sip_proxy" } else { "sip_domain" };
        let advice = "the operator can allow its range with TANDEM_PEER_ALLOW";
        Err(Invalid::field(field, format!("{address} is a private, loopback or reserved address; {advice}")))
    }

    async fn state(&self, id: TrunkId) -> Result<TrunkState, Unavailable> {
        if let Some(state) = self.core.switchboard.known_trunk_state(id) {
            return Ok(state);
        }
        Ok(self.states(vec![id]).await?.remove(&id).unwrap_or_default())
    }

    async fn states(&self, ids: Vec<TrunkId>) -> Result<HashMap<TrunkId, TrunkState>, Unavailable> {
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        self.core.switchboard.trunk_states(ids).await
    }
}

/// What calls over a trunk, and the trunk itself, cost.
struct Prices {
    per_minute: Money,
    monthly: Money,
    increment_seconds: u32,
}

impl Prices {
    fn of(trunk: &Trunk) -> Self {
        Self {
            per_minute: trunk.cost_per_minute,
            monthly: trunk.monthly_cost,
            increment_seconds: trunk.billing_increment_seconds(),
        }
    }

    fn must_be_those_of(&self, trunk: &Trunk) -> Result<(), PricesAreTheOperators> {
        let now = Self::of(trunk);
        let changed = [
            (COST_PER_MINUTE, self.per_minute != now.per_minute),
            ("monthly_cost", self.monthly != now.monthly),
            ("advanced_config.billing_increment", self.increment_seconds != now.increment_seconds),
        ];
        let first = changed.into_iter().find(|(_, changed)| *changed);
        first.map_or(Ok(()), |(field, _)| Err(PricesAreTheOperators { field }))
    }
}

const COST_PER_MINUTE: &str = "cost_per_minute";

fn new_trunk(caller: &Caller, new: NewTrunk, id: TrunkId, now: Timestamp) -> Trunk {
    let mut trunk = Trunk {
        id,
        account_id: caller.account_id(),
        name: new.name,
        description: None,
        provider: new.provider,
        status: TrunkStatus::Active,
        sip_domain: new.sip_domain,
        sip_port: DEFAULT_SIP_PORT,
        sip_proxy: None,
        sip_username: new.sip_username,
        sip_password: new.sip_password,
        auth_username: None,
        auth_password: None,
        call_direction: CallDirection::Bidirectional,
        max_concurrent_calls: DEFAULT_CONCURRENT_CALLS,
        inbound_routing: Value::Object(Map::new()),
        inbound: InboundRouting::default(),
        outbound_routing: Value::Object(Map::new()),
        outbound: OutboundRouting::default(),
        codec_preferences: Vec::new(),
        dtmf_mode: DtmfMode::Rfc2833,
        cost_per_minute: DEFAULT_COST_PER_MINUTE,
        monthly_cost: Money::ZERO,
        allowed_ips: Vec::new(),
        encryption_enabled: true,
        failover_trunk_id: None,
        custom_headers: BTreeMap::new(),
        advanced_config: Map::new(),
        priority: DEFAULT_PRIORITY,
        health: TrunkHealth::UNKNOWN,
        created_at: now,
        updated_at: now,
    };
    new.rest.apply(&mut trunk);
    trunk
}

fn failover_unknown() -> Invalid {
    Invalid::field("failover_trunk_id", "names no other trunk of the account")
}

/// Defaults of the wire contract.
const DEFAULT_SIP_PORT: u16 = 5060;
/// Defaults of the wire contract.
const DEFAULT_CONCURRENT_CALLS: u32 = 10;
/// Defaults of the wire contract: 0.01.
const DEFAULT_COST_PER_MINUTE: Money = Money::from_micros(10_000);
/// Defaults of the wire contract.
const DEFAULT_PRIORITY: u8 = 1;
