use crate::{Filled, Owner, now};
use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::{Request, StatusCode, header};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tandem_control::{
    Clock, ControlSettings, DialError, HangupError, Outgoing, OutgoingAnswer, OutgoingError, ProbeError, ProbeResult,
    Readiness, Services, Switchboard, Unavailable, UrlError, router,
};
use tandem_model::{
    AccountId, AccountLoad, CallId, CallRecord, DialOrder, HealthStatus, LiveCall, LiveCredit, Money, Receipt,
    Timestamp, Traffic, Trunk, TrunkId, TrunkLoad, TrunkState,
};
use tandem_store::Store;
use tower::ServiceExt;

/// The API over a store, with a call path at rest.
#[derive(Clone)]
pub struct Node {
    router: Router,
    owner: Owner,
    store: Store,
    at_rest: Arc<AtRest>,
    filled_to: Timestamp,
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node").field("owner", &self.owner.account).finish_non_exhaustive()
    }
}

impl Node {
    /// Over a store that was filled, for whose calls it has.
    #[must_use]
    pub fn new(store: &Store, filled: &Filled) -> Self {
        let (store, owner) = (store.clone(), filled.owner.clone());
        let at_rest = Arc::new(AtRest { account: owner.account, trunks: filled.trunks().to_vec() });
        let services = Services::new(store.clone(), Arc::clone(&at_rest) as _, settings(Arc::new(WallClock)));
        Self { router: router(services), owner, store, at_rest, filled_to: filled.to }
    }

    /// Has everything looked at that alerts are raised by, and gives how long that took.
    ///
    /// A node reads the statistics in the first turn after its start, and then in every sixth; this one has just started, so that each turn
    /// reads all there is. It looks at the end of what was filled in, when the last hour is a whole one.
    pub async fn look_for_alerts(&self) -> Duration {
        let clock = Arc::new(StandingClock(self.filled_to));
        let services = Services::new(self.store.clone(), Arc::clone(&self.at_rest) as _, settings(clock));
        let began = Instant::now();
        services.look_for_alerts().await.unwrap();
        began.elapsed()
    }

    /// Asks for a path below `/api/v1/telephony`.
    pub async fn get(&self, path: &str) -> serde_json::Value {
        serde_json::from_slice(&self.ask(path).await).unwrap()
    }

    /// As [`Node::get`], without reading the answer.
    pub async fn ask(&self, path: &str) -> Bytes {
        let request = Request::get(format!("/api/v1/telephony{path}"))
            .header(header::AUTHORIZATION, format!("Bearer {}", self.owner.key))
            .body(Body::empty())
            .unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        assert_eq!(status, StatusCode::OK, "{path}: {}", String::from_utf8_lossy(&bytes));
        bytes
    }
}

fn settings(clock: Arc<dyn Clock>) -> ControlSettings {
    ControlSettings {
        peer_allow: Vec::new(),
        currency: "USD".to_owned(),
        platform_tokens: None,
        rate_limit: None,
        trusted_proxies: Vec::new(),
        credit_value: Money::from_micros(10_000),
        mailer: None,
        outgoing: Arc::new(Nobody),
        clock,
    }
}

struct WallClock;

impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        now()
    }
}

struct StandingClock(Timestamp);

impl Clock for StandingClock {
    fn now(&self) -> Timestamp {
        self.0
    }
}

/// Nothing is sent from here.
struct Nobody;

#[async_trait]
impl Outgoing for Nobody {
    fn check(&self, _: &str) -> Result<(), UrlError> {
        Err(UrlError::Scheme)
    }

    async fn post(&self, _: &str, _: &[(&'static str, String)], _: Vec<u8>) -> Result<OutgoingAnswer, OutgoingError> {
        Err(OutgoingError::Url(UrlError::Scheme))
    }
}

/// A call path without calls, over trunks that are well.
struct AtRest {
    account: AccountId,
    trunks: Vec<TrunkId>,
}

#[async_trait]
impl Switchboard for AtRest {
    async fn dial(&self, _: DialOrder) -> Result<CallRecord, DialError> {
        Err(DialError::Unavailable(Unavailable))
    }

    async fn explain(&self, _: DialOrder) -> Result<Receipt, Unavailable> {
        Err(Unavailable)
    }

    async fn hangup(&self, _: AccountId, _: CallId) -> Result<CallRecord, HangupError> {
        Err(HangupError::NotFound)
    }

    async fn live_call(&self, _: AccountId, _: CallId) -> Result<Option<LiveCall>, Unavailable> {
        Ok(None)
    }

    async fn probe(&self, _: TrunkId) -> Result<ProbeResult, ProbeError> {
        Err(ProbeError::Unavailable(Unavailable))
    }

    async fn trunk_states(&self, _: Vec<TrunkId>) -> Result<HashMap<TrunkId, TrunkState>, Unavailable> {
        Ok(HashMap::new())
    }

    fn known_trunk_state(&self, _: TrunkId) -> Option<TrunkState> {
        None
    }

    fn known_trunk(&self, _: AccountId, _: TrunkId) -> Option<Arc<Trunk>> {
        None
    }

    async fn external_call_started(&self, _: AccountId, _: TrunkId, _: CallId) {}

    async fn external_call_ended(&self, _: CallId) {}

    async fn credit(&self, _: AccountId) -> Result<Option<LiveCredit>, Unavailable> {
        Ok(None)
    }

    async fn traffic(&self) -> Result<(Traffic, Vec<TrunkLoad>), Unavailable> {
        let mut traffic = Traffic::default();
        traffic.set_trunks(self.trunks.iter().copied());
        let load = |id: &TrunkId| TrunkLoad {
            id: *id,
            account_id: self.account,
            name: id.to_string(),
            active: 0,
            max: 100,
            health: HealthStatus::Healthy,
            takes_calls: true,
            failed_probes: Some(0),
        };
        Ok((traffic, self.trunks.iter().map(load).collect()))
    }

    async fn account_loads(&self) -> Result<Vec<AccountLoad>, Unavailable> {
        Ok(vec![AccountLoad { id: self.account, active: 0, max: 1_000 }])
    }

    async fn readiness(&self) -> Readiness {
        let mut readiness = Readiness::default();
        readiness.database.answers = true;
        readiness
    }

    fn routing_changed(&self) {}
}
