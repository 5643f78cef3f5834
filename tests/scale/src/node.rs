use crate::{Owner, now};
use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::{Request, StatusCode, header};
use std::collections::HashMap;
use std::sync::Arc;
use tandem_control::{
    Clock, ControlSettings, DialError, HangupError, Outgoing, OutgoingAnswer, OutgoingError, ProbeError, ProbeResult,
    Readiness, Services, Switchboard, Unavailable, UrlError, router,
};
use tandem_model::{
    AccountId, AccountLoad, CallId, CallRecord, DialOrder, LiveCall, LiveCredit, Money, Receipt, Timestamp, Traffic,
    Trunk, TrunkId, TrunkLoad, TrunkState,
};
use tandem_store::Store;
use tower::ServiceExt;

/// The API over a store, with a call path at rest.
#[derive(Clone)]
pub struct Node {
    router: Router,
    owner: Owner,
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node").field("owner", &self.owner.account).finish_non_exhaustive()
    }
}

impl Node {
    /// Over a store, for an account of it.
    #[must_use]
    pub fn new(store: &Store, owner: Owner) -> Self {
        let settings = ControlSettings {
            peer_allow: Vec::new(),
            currency: "USD".to_owned(),
            platform_tokens: None,
            rate_limit: None,
            trusted_proxies: Vec::new(),
            credit_value: Money::from_micros(10_000),
            mailer: None,
            outgoing: Arc::new(Nobody),
            clock: Arc::new(WallClock),
        };
        Self { router: router(Services::new(store.clone(), Arc::new(AtRest), settings)), owner }
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

struct WallClock;

impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        now()
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

/// A call path without calls.
struct AtRest;

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

    fn known_trunk(&self, _: AccountId, _: TrunkId) -> Option<Arc<Trunk>> {
        None
    }

    async fn external_call_started(&self, _: AccountId, _: TrunkId, _: CallId) {}

    async fn external_call_ended(&self, _: CallId) {}

    async fn credit(&self, _: AccountId) -> Result<Option<LiveCredit>, Unavailable> {
        Ok(None)
    }

    async fn traffic(&self) -> Result<(Traffic, Vec<TrunkLoad>), Unavailable> {
        Err(Unavailable)
    }

    async fn account_loads(&self) -> Result<Vec<AccountLoad>, Unavailable> {
        Err(Unavailable)
    }

    async fn readiness(&self) -> Readiness {
        Readiness::default()
    }

    fn routing_changed(&self) {}
}
