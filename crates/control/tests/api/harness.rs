//! The API with a store in a temporary folder and a call path that does what the test says.

use crate::receiver::Receiver;
use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, Response, StatusCode, header};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use tandem_control::{
    ClientAddress, Clock, ControlSettings, DialError, HangupError, PlatformTokenSettings, ProbeError, ProbeResult,
    Readiness, Services, Switchboard, Unavailable, router,
};
use tandem_model::{
    Account, AccountId, AccountLoad, AddressRanges, Alert, AlertId, AlertRule, AlertState, CallDirection, CallEvent,
    CallId, CallRecord, CallStatus, CarriedBy, DialOrder, EventKind, HealthStatus, Identified, IdentifiedBy,
    InboundReceipt, JsonText, LegId, LegKind, LegRecord, LegStatus, LiveCall, LiveCredit, Money, Reason, Receipt,
    Refusal, RefusalId, RefusalKind, RefusedInvite, Tier, Timestamp, Traffic, Transport, Trunk, TrunkHealth, TrunkId,
    TrunkLoad, TrunkState,
};
use tandem_store::{Act, DatabaseUrl, MasterKey, Store, StoreOptions};
use tempfile::TempDir;
use tokio::sync::Semaphore;
use tower::ServiceExt;

/// Who does everything here.
pub(crate) static ACT: Act = Act::system("test", Timestamp::from_unix_micros(0));

/// 2026-01-31T12:00:00Z.
pub(crate) const START: i64 = 1_769_860_800_000_000;

pub(crate) struct Api {
    router: Router,
    pub(crate) services: Services,
    pub(crate) switchboard: Arc<ScriptedSwitchboard>,
    pub(crate) store: Store,
    pub(crate) clock: Arc<SetClock>,
    /// Where webhooks go, whatever their URL.
    pub(crate) receiver: Arc<Receiver>,
    pub(crate) mine: Tenant,
    pub(crate) other: Tenant,
    folder: TempDir,
}

pub(crate) struct Tenant {
    pub(crate) account: Account,
    pub(crate) key: String,
}

pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Reply {
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        self.body
    }

    /// A problem document of this status and code.
    #[track_caller]
    pub(crate) fn expect_problem(self, status: u16, code: &str) -> Value {
        assert_eq!((self.status.as_u16(), self.body["code"].as_str()), (status, Some(code)), "{}", self.body);
        assert_eq!(self.headers[header::CONTENT_TYPE], "application/problem+json");
        assert_eq!(self.body["status"], status);
        assert_eq!(self.body["request_id"], self.headers["x-request-id"].to_str().unwrap());
        for member in ["type", "title", "detail"] {
            assert!(self.body[member].as_str().is_some_and(|text| !text.is_empty()), "{}", self.body);
        }
        let errors = self.body["errors"].as_array().map_or(&[][..], Vec::as_slice);
        assert!(status != 422 || !errors.is_empty(), "a 422 names what is wrong: {}", self.body);
        for error in errors {
            assert!(error["field"].is_string() && error["message"].is_string(), "{}", self.body);
        }
        self.body
    }

    /// A 422 whose only wrong field is this one.
    #[track_caller]
    pub(crate) fn expect_wrong_field(self, field: &str) -> String {
        let body = self.expect_problem(422, "invalid_field");
        let errors = body["errors"].as_array().unwrap();
        assert_eq!(errors.len(), 1, "{body}");
        assert_eq!(errors[0]["field"], field, "{body}");
        errors[0]["message"].as_str().unwrap().to_owned()
    }
}

fn asked(method: Method, path: &str, body: Option<Value>, key: Option<&str>) -> Request<Body> {
    let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
    let mut request = Request::builder().method(method).uri(full(path));
    if let Some(key) = key {
        request = request.header(header::AUTHORIZATION, format!("Bearer {key}"));
    }
    request.body(body).unwrap()
}

impl Api {
    /// Two accounts of tier enterprise with a key each.
    pub(crate) async fn start() -> Self {
        Self::start_with(Tier::Enterprise).await
    }

    pub(crate) async fn start_with(tier: Tier) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = StoreOptions {
            master_key: MasterKey::from_bytes([7; 32]),
            node_id: tandem_model::NodeId::new(at(0), [1; 10]),
            boot_id: tandem_model::BootId::new(at(0), [2; 10]),
        };
        let store = Store::open(&DatabaseUrl::sqlite(folder.path().join("tandem.db")), options).await.unwrap();
        // The trunks of most tests are at one address.
        let store = store.with_shared_carriers(AddressRanges::new(&["127.0.0.2/32".parse().unwrap()]));
        let mine = tenant(&store, "mine", tier, 1).await;
        let other = tenant(&store, "other", tier, 2).await;
        let switchboard = Arc::new(ScriptedSwitchboard::default());
        let clock = Arc::new(SetClock(AtomicI64::new(START)));
        let receiver = Arc::new(Receiver::default());
        let services = services(&store, &switchboard, &clock, &receiver, None, None);
        let router = router(services.clone());
        Self { router, services, switchboard, store, clock, receiver, mine, other, folder }
    }

    /// Where the database is.
    pub(crate) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// The same with services that remember nothing.
    pub(crate) fn restarted(self) -> Self {
        self.restarted_with(None)
    }

    /// The same with tokens of this platform taken.
    pub(crate) fn restarted_with(self, platform_tokens: Option<PlatformTokenSettings>) -> Self {
        let services = services(&self.store, &self.switchboard, &self.clock, &self.receiver, platform_tokens, None);
        Self { router: router(services.clone()), services, ..self }
    }

    /// The same with so many requests a second allowed.
    pub(crate) fn restarted_with_rate(self, rate: Option<NonZeroU32>) -> Self {
        let services = services(&self.store, &self.switchboard, &self.clock, &self.receiver, None, rate);
        Self { router: router(services.clone()), services, ..self }
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, None, Some(&self.mine.key)).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Reply {
        self.send(Method::POST, path, Some(body), Some(&self.mine.key)).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Reply {
        self.send(Method::PUT, path, Some(body), Some(&self.mine.key)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        self.send(Method::DELETE, path, None, Some(&self.mine.key)).await
    }

    /// A request below `/api/v1/telephony`, unless the path begins with `//`.
    pub(crate) async fn send(&self, method: Method, path: &str, body: Option<Value>, key: Option<&str>) -> Reply {
        self.send_request(asked(method, path, body, key)).await
    }

    /// As [`Self::send`], from a host.
    pub(crate) async fn send_from(
        &self,
        host: ClientAddress,
        method: Method,
        path: &str,
        body: Option<Value>,
        key: Option<&str>,
    ) -> Reply {
        let mut request = asked(method, path, body, key);
        request.extensions_mut().insert(host);
        self.send_request(request).await
    }

    pub(crate) async fn send_request(&self, request: Request<Body>) -> Reply {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.unwrap();
        let is_text = parts
            .headers
            .get(header::CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"text/") || kind == "application/x-ndjson");
        let body = match bytes.is_empty() {
            true => Value::Null,
            false if is_text => String::from_utf8(bytes.to_vec()).unwrap().into(),
            false => serde_json::from_slice(&bytes).unwrap(),
        };
        assert!(parts.headers.contains_key("x-request-id"), "every answer has a request id");
        Reply { status: parts.status, headers: parts.headers, body }
    }

    /// A request whose answer is read as it comes.
    pub(crate) async fn stream(&self, request: Request<Body>) -> Response<Body> {
        self.router.clone().oneshot(request).await.unwrap()
    }

    /// Status, content type and text of an answer of any kind.
    pub(crate) async fn text_of(&self, request: Request<Body>) -> (StatusCode, String, String) {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let kind = response.headers()[header::CONTENT_TYPE].to_str().unwrap().to_owned();
        let status = response.status();
        let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, kind, String::from_utf8(bytes.to_vec()).unwrap())
    }

    /// Makes a trunk with these fields changed; gives its id.
    pub(crate) async fn trunk(&self, changes: Value) -> String {
        let created = self.post("/trunks", trunk_body(changes)).await.expect(201);
        created["id"].as_str().unwrap().to_owned()
    }

    /// Logs an external call over the trunk; gives its id.
    pub(crate) async fn call(&self, trunk: &str, call_id: &str) -> String {
        let created = self.post("/calls", call_body(trunk, json!({"call_id": call_id}))).await.expect(201);
        created["id"].as_str().unwrap().to_owned()
    }
}

/// An alert about a trunk of the account, as a rule would raise it.
pub(crate) async fn raised_alert(api: &Api, trunk: &str) -> String {
    let alert = Alert {
        id: AlertId::new(at(0), [4; 10]),
        account_id: api.mine.account.id,
        rule: AlertRule::ProbesFailing,
        subject: format!("trunks/{trunk}"),
        severity: AlertRule::ProbesFailing.severity(),
        state: AlertState::Raised,
        summary: "3 probes of the trunk \"main\" in a row had no good answer.".to_owned(),
        measured: JsonText::from_stored("{}"),
        threshold: 3,
        node_id: api.store.node_id(),
        raised_at: at(0),
        acknowledged_at: None,
        acknowledged_by: None,
        resolved_at: None,
        resolved_by: None,
        note: None,
    };
    assert!(api.store.raise_alert(&alert, None).await.unwrap());
    alert.id.to_string()
}

fn services(
    store: &Store,
    switchboard: &Arc<ScriptedSwitchboard>,
    clock: &Arc<SetClock>,
    receiver: &Arc<Receiver>,
    platform_tokens: Option<PlatformTokenSettings>,
    rate_limit: Option<NonZeroU32>,
) -> Services {
    let settings = ControlSettings {
        peer_allow: vec!["127.0.0.0/8".parse().unwrap()],
        currency: "USD".to_owned(),
        credit_value: Money::from_micros(10_000),
        platform_tokens,
        rate_limit,
        trusted_proxies: vec!["192.0.2.128/25".parse().unwrap()],
        mailer: None,
        outgoing: receiver.clone(),
        clock: clock.clone(),
    };
    Services::new(store.clone(), switchboard.clone(), settings)
}

pub(crate) fn full(path: &str) -> String {
    match path.strip_prefix("//") {
        Some(outside) => format!("/{outside}"),
        None => format!("/api/v1/telephony{path}"),
    }
}

pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_unix_micros(START + second * 1_000_000)
}

pub(crate) fn trunk_body(changes: Value) -> Value {
    let body = json!({
        "name": "main", "provider": "custom", "sip_domain": "127.0.0.2", "sip_username": "tandem", "sip_password": "s3cr3t-sip",
    });
    merged(body, changes)
}

pub(crate) fn call_body(trunk: &str, changes: Value) -> Value {
    let body = json!({
        "call_id": "CA1", "sip_trunk_id": trunk, "direction": "outbound", "from_number": "+12025550199",
        "to_number": "+12025550100", "started_at": "2026-01-31T12:00:00Z", "status": "initiated",
    });
    merged(body, changes)
}

/// Metadata of so many bytes as JSON.
pub(crate) fn metadata(bytes: usize) -> Value {
    let empty = json!({"a": ""}).to_string().len();
    json!({"a": "x".repeat(bytes - empty)})
}

/// The first object with the members of the second; `{"__remove": name}` takes one out.
pub(crate) fn merged(mut body: Value, changes: Value) -> Value {
    let object = body.as_object_mut().unwrap();
    for (name, value) in changes.as_object().unwrap() {
        match name.as_str() {
            "__remove" => {
                object.remove(value.as_str().unwrap());
            }
            _ => {
                object.insert(name.clone(), value.clone());
            }
        }
    }
    body
}

async fn tenant(store: &Store, name: &str, tier: Tier, seed: u8) -> Tenant {
    let id = AccountId::new(at(0), [seed; 10]);
    let account = Account { id, name: name.to_owned(), tier, max_trunks: None, max_calls: None, created_at: at(0) };
    store.insert_account(&ACT, &account).await.unwrap();
    let (_, key) = store.create_api_key(&ACT, id, "test").await.unwrap();
    Tenant { account, key: key.expose().to_owned() }
}

pub(crate) struct SetClock(pub(crate) AtomicI64);

impl SetClock {
    pub(crate) fn advance(&self, seconds: i64) {
        self.0.fetch_add(seconds * 1_000_000, Ordering::SeqCst);
    }
}

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_micros(self.0.load(Ordering::SeqCst))
    }
}

/// A call path that does what its script says.
#[derive(Default)]
pub(crate) struct ScriptedSwitchboard(Mutex<Script>);

#[derive(Default)]
pub(crate) struct Script {
    /// Nothing answers.
    pub(crate) silent: bool,
    /// Why the next dials are refused.
    pub(crate) refusal: Option<(RefusalKind, Reason)>,
    pub(crate) orders: Vec<DialOrder>,
    /// What calls hold of credit.
    pub(crate) credit: HashMap<AccountId, LiveCredit>,
    pub(crate) live: HashMap<CallId, LiveCall>,
    /// How often a live call was asked for.
    pub(crate) inspections: usize,
    /// Live ones that have ended and are not stored.
    pub(crate) ended: HashSet<CallId>,
    pub(crate) states: HashMap<TrunkId, TrunkState>,
    /// Slots that external calls hold.
    pub(crate) slots: HashMap<CallId, TrunkId>,
    /// Every slot that was ever taken or freed, in order.
    pub(crate) slot_log: Vec<(&'static str, CallId)>,
    pub(crate) probes: Vec<TrunkId>,
    /// No more probes are taken.
    pub(crate) probes_busy: bool,
    /// Probes wait for a permit of it before they answer.
    pub(crate) probe_gate: Option<Arc<Semaphore>>,
    /// Dials wait for a permit of it before they answer.
    pub(crate) dial_gate: Option<Arc<Semaphore>>,
    /// Calls are placed, and nobody hears of it.
    pub(crate) loses_answers: bool,
    pub(crate) routing_changes: usize,
    pub(crate) readiness: Readiness,
    pub(crate) traffic: (Traffic, Vec<TrunkLoad>),
    pub(crate) account_loads: Vec<AccountLoad>,
    /// How often it was asked for.
    pub(crate) readiness_asked: usize,
    pub(crate) panics: bool,
}

impl ScriptedSwitchboard {
    pub(crate) fn script<T>(&self, change: impl FnOnce(&mut Script) -> T) -> T {
        change(&mut self.0.lock().unwrap())
    }

    fn answer<T>(&self, answer: impl FnOnce(&mut Script) -> T) -> Result<T, Unavailable> {
        self.script(|script| if script.silent { Err(Unavailable) } else { Ok(answer(script)) })
    }
}

#[async_trait]
impl Switchboard for ScriptedSwitchboard {
    async fn dial(&self, order: DialOrder) -> Result<CallRecord, DialError> {
        let gate = self.script(|script| {
            script.orders.push(order.clone());
            script.dial_gate.clone()
        });
        if let Some(gate) = gate {
            gate.acquire().await.unwrap().forget();
        }
        self.answer(|script| {
            if script.refusal.is_some() {
                return Err(DialError::Refused(Box::new(receipt(&order, script.refusal.clone()))));
            }
            let live = live_call(&order);
            script.live.insert(live.record.id, live.clone());
            if script.loses_answers { Err(Unavailable.into()) } else { Ok(live.record) }
        })?
    }

    async fn explain(&self, order: DialOrder) -> Result<Receipt, Unavailable> {
        self.answer(|script| {
            let told = receipt(&order, script.refusal.clone());
            script.orders.push(order);
            told
        })
    }

    async fn hangup(&self, account: AccountId, call: CallId) -> Result<CallRecord, HangupError> {
        self.answer(|script| {
            let live = script.live.get(&call).filter(|live| live.record.account_id == account);
            let live = live.filter(|live| !script.ended.contains(&live.record.id));
            live.map(|live| live.record.clone()).ok_or(HangupError::NotFound)
        })?
    }

    async fn live_call(&self, account: AccountId, call: CallId) -> Result<Option<LiveCall>, Unavailable> {
        self.answer(|script| {
            script.inspections += 1;
            script.live.get(&call).filter(|live| live.record.account_id == account).cloned()
        })
    }

    async fn probe(&self, trunk: TrunkId) -> Result<ProbeResult, ProbeError> {
        let gate = self.script(|script| {
            script.probes.push(trunk);
            script.probe_gate.clone()
        });
        if let Some(gate) = gate {
            gate.acquire().await.unwrap().forget();
        }
        self.answer(|script| {
            if script.probes_busy {
                return Err(ProbeError::Busy);
            }
            let health = TrunkHealth {
                status: HealthStatus::Healthy,
                checked_at: Some(at(1)),
                latency_us: Some(1_600),
                loss_basis_points: Some(0),
            };
            let target = Some("127.0.0.2:5060".parse().unwrap());
            Ok(ProbeResult { health, trunk: None, sip_status: Some(200), target, failure: None })
        })?
    }

    async fn trunk_states(&self, trunks: Vec<TrunkId>) -> Result<HashMap<TrunkId, TrunkState>, Unavailable> {
        self.answer(|script| {
            let state = |id: TrunkId| {
                let mut state = script.states.get(&id).cloned().unwrap_or_default();
                let external = script.slots.values().filter(|trunk| **trunk == id).count();
                state.active_calls += u32::try_from(external).unwrap();
                (id, state)
            };
            trunks.into_iter().map(state).collect()
        })
    }

    fn known_trunk_state(&self, _: TrunkId) -> Option<TrunkState> {
        None
    }

    fn known_trunk(&self, _: AccountId, _: TrunkId) -> Option<Arc<Trunk>> {
        None
    }

    async fn external_call_started(&self, _: AccountId, trunk: TrunkId, call: CallId) {
        self.script(|script| {
            script.slots.insert(call, trunk);
            script.slot_log.push(("taken", call));
        });
    }

    async fn external_call_ended(&self, call: CallId) {
        self.script(|script| {
            script.slots.remove(&call);
            script.slot_log.push(("freed", call));
        });
    }

    async fn credit(&self, account: AccountId) -> Result<Option<LiveCredit>, Unavailable> {
        self.answer(|script| script.credit.get(&account).copied())
    }

    async fn traffic(&self) -> Result<(Traffic, Vec<TrunkLoad>), Unavailable> {
        self.answer(|script| script.traffic.clone())
    }

    async fn account_loads(&self) -> Result<Vec<AccountLoad>, Unavailable> {
        self.answer(|script| script.account_loads.clone())
    }

    async fn readiness(&self) -> Readiness {
        // Others get their turn, as if the call path took some time.
        tokio::task::yield_now().await;
        let (panics, readiness) = self.script(|script| {
            script.readiness_asked += 1;
            (script.panics, script.readiness.clone())
        });
        assert!(!panics, "a secret of the inside");
        readiness
    }

    fn routing_changed(&self) {
        self.script(|script| script.routing_changes += 1);
    }
}

pub(crate) fn receipt(order: &DialOrder, refusal: Option<(RefusalKind, Reason)>) -> Receipt {
    Receipt {
        account_id: order.account_id,
        decided_at: order.asked_at,
        to: order.to.number().to_owned(),
        from: order.from.clone(),
        inbound: None,
        routing_revision: 3,
        considered: Vec::new(),
        attempts: Vec::new(),
        refusal: refusal.map(|(kind, reason)| Refusal { kind, reason }),
    }
}

pub(crate) fn live_call(order: &DialOrder) -> LiveCall {
    let id = order.call_id.unwrap_or_else(|| CallId::new(order.asked_at, [9; 10]));
    let record = CallRecord {
        id,
        account_id: order.account_id,
        call_id: id.to_string(),
        trunk_id: order.trunk_id,
        direction: CallDirection::Outbound,
        carried_by: CarriedBy::Tandem,
        conversation_id: order.conversation_id,
        from_number: order.from.clone().unwrap_or_default(),
        to_number: order.to.number().to_owned(),
        to_uri: None,
        started_at: order.asked_at,
        answered_at: None,
        ended_at: None,
        duration_ms: None,
        status: CallStatus::Initiated,
        hangup_cause: None,
        sip_status: None,
        hung_up_by: None,
        quality_score: None,
        codec_used: None,
        sip_call_id: None,
        remote_ip: None,
        cost: None,
        credits_used: None,
        metadata: order.metadata.clone(),
        receipt: Some(JsonText::new(&receipt(order, None))),
        created_at: order.asked_at,
    };
    let leg = LegRecord {
        id: LegId::new(order.asked_at, [8; 10]),
        call_id: id,
        account_id: order.account_id,
        number: 1,
        kind: LegKind::Sip,
        trunk_id: order.trunk_id,
        direction: CallDirection::Outbound,
        request_uri: "sip:+12025550100@127.0.0.2".to_owned(),
        started_at: order.asked_at,
        ringing_at: None,
        answered_at: None,
        ended_at: None,
        duration_ms: None,
        status: LegStatus::Trying,
        cause: None,
        sip_status: None,
        hung_up_by: None,
        codec: None,
        sip_call_id: "abc".to_owned(),
        transport: Transport::Udp,
        remote_address: Some("127.0.0.2:5060".parse().unwrap()),
        billed_seconds: None,
        cost: None,
        media: None,
    };
    let event = CallEvent {
        call_id: id,
        account_id: order.account_id,
        number: 1,
        leg_id: None,
        at: order.asked_at,
        kind: EventKind::Initiated,
        detail: JsonText::new(&serde_json::Map::new()),
    };
    LiveCall { record, legs: vec![leg], events: vec![event] }
}

/// An INVITE that was refused so many seconds after the start, as no rule named the called number.
pub(crate) fn refused_invite(account_id: AccountId, second: u8) -> RefusedInvite {
    let reason = Reason::NoInboundRule { nearest: "+1202*".to_owned() };
    RefusedInvite {
        id: RefusalId::new(at(second.into()), [second; 10]),
        account_id,
        at: at(second.into()),
        trunk_id: None,
        from_number: "+442079460000".to_owned(),
        to_number: "+13035550100".to_owned(),
        sip_call_id: "a84b4c76e66710".to_owned(),
        sip_status: 404,
        reason: reason.code().to_owned(),
        receipt: JsonText::new(&Receipt {
            account_id,
            decided_at: at(second.into()),
            to: "+13035550100".to_owned(),
            from: Some("+442079460000".to_owned()),
            inbound: Some(InboundReceipt {
                source: "127.0.0.2:5060".to_owned(),
                request_uri: "sip:+13035550100@127.0.0.1".to_owned(),
                steps: vec![Identified {
                    by: IdentifiedBy::Target,
                    matched: "127.0.0.2:5060".to_owned(),
                    trunks_left: 1,
                }],
                trunk_name: Some("main".to_owned()),
                rule: None,
                nearest: Some("+1202*".to_owned()),
            }),
            routing_revision: 3,
            considered: Vec::new(),
            attempts: Vec::new(),
            refusal: Some(Refusal { kind: RefusalKind::NoRoute, reason }),
        }),
    }
}
