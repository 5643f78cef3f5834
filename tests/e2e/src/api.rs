//! The HTTP API as a client uses it.

use crate::PLANTED_PASSWORD;
use crate::wait::pause;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::LazyLock;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// A client with one API key.
#[derive(Clone, Debug)]
pub struct Api {
    base: String,
    key: String,
    /// Sent with every request.
    header: Option<(&'static str, String)>,
    client: reqwest::Client,
}

/// What a request was answered with.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Header names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body as it came.
    pub text: String,
    /// The body as JSON; null when it is none.
    pub json: Value,
}

impl Api {
    /// A client of the API at `address`.
    #[must_use]
    pub fn new(address: SocketAddr, key: &str) -> Self {
        let client =
            reqwest::Client::builder().timeout(TIMEOUT).build().expect("the client has no options that can fail");
        Self { base: format!("http://{address}"), key: key.to_owned(), header: None, client }
    }

    /// The key, for clients that are other programs.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The same API with another key.
    #[must_use]
    pub fn with_key(&self, key: &str) -> Self {
        Self { key: key.to_owned(), ..self.clone() }
    }

    /// The same client, with a header.
    #[must_use]
    pub fn with_header(&self, name: &'static str, value: &str) -> Self {
        Self { header: Some((name, value.to_owned())), ..self.clone() }
    }

    /// The same client, acting for another account.
    #[must_use]
    pub fn acting_for(&self, account: &str) -> Self {
        self.with_header("x-act-as", account)
    }

    /// GET. Paths that begin with `/health`, `/openapi.json` or `/metrics` are as they are; others are under the API's base.
    #[must_use]
    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, None)
    }

    /// POST.
    #[must_use]
    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, Some(body.to_string()))
    }

    /// PUT.
    #[must_use]
    pub fn put(&self, path: &str, body: &Value) -> Answer {
        self.send("PUT", path, Some(body.to_string()))
    }

    /// DELETE.
    #[must_use]
    pub fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, None)
    }

    /// Any method, and a body as it is.
    ///
    /// # Panics
    /// When there is no answer.
    #[must_use]
    pub fn send(&self, method: &str, path: &str, body: Option<String>) -> Answer {
        self.try_send(method, path, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// Any method; an error when there is no answer.
    ///
    /// # Errors
    /// As text: the node is not there, or does not answer.
    pub fn try_send(&self, method: &str, path: &str, body: Option<String>) -> Result<Answer, String> {
        let outside = ["/health", "/openapi", "/metrics"].iter().any(|outside| path.starts_with(outside));
        let url = format!("{}{}{path}", self.base, if outside { "" } else { BASE });
        let method = method.parse().map_err(|_| format!("{method:?} is no method"))?;
        let mut request = self.client.request(method, url).bearer_auth(&self.key);
        if let Some((name, value)) = &self.header {
            request = request.header(*name, value);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        RUNTIME.block_on(async {
            let response = request.send().await.map_err(|error| format!("{error:?}"))?;
            let status = response.status().as_u16();
            let header = |(name, value): (&reqwest::header::HeaderName, &reqwest::header::HeaderValue)| {
                (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
            };
            let headers = response.headers().iter().map(header).collect();
            let text = response.text().await.map_err(|error| format!("{error:?}"))?;
            let json = serde_json::from_str(&text).unwrap_or(Value::Null);
            Ok(Answer { status, headers, text, json })
        })
    }

    /// Makes a trunk to a SIP address and returns its id. `more` adds fields to the least body, or replaces its own.
    #[must_use]
    pub fn create_trunk(&self, name: &str, to: SocketAddr, more: &Value) -> String {
        let host = match to.ip() {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("[{address}]"),
        };
        let answer = self.post("/trunks", &trunk_body(name, &host, to.port(), more));
        let id = text_at(&answer.expect(201), "/id");
        self.wait_for_routing("the new trunk", |receipt| {
            let considered = receipt["considered"].as_array();
            considered.is_some_and(|trunks| trunks.iter().any(|trunk| trunk["trunk_id"] == id.as_str()))
        });
        id
    }

    /// Changes a trunk. Routing may know it a moment later: see [`Api::wait_for_routing`].
    pub fn change_trunk(&self, id: &str, change: &Value) {
        let _ = self.put(&format!("/trunks/{id}"), change).expect(200);
    }

    /// How a call would be routed.
    #[must_use]
    pub fn explain(&self, to: &str, more: &Value) -> Value {
        let body = merged(json!({"to_number": to, "connect": {"type": "echo"}}), more);
        self.post("/routing/explain", &body).expect(200)
    }

    /// Waits until routing has heard of a change: it must within 100 ms, and a busy machine gets more.
    ///
    /// # Panics
    /// When it has not; tells what it knows.
    pub fn wait_for_routing(&self, what: &str, is_so: impl Fn(&Value) -> bool) {
        let deadline = Instant::now() + ROUTING;
        loop {
            let receipt = self.explain("+12025550199", &json!({}));
            if is_so(&receipt) {
                return;
            }
            assert!(Instant::now() < deadline, "in {ROUTING:?}: routing does not know {what}: {receipt:#}");
            pause(Duration::from_millis(5));
        }
    }

    /// Dials and returns the call log. `more` adds fields.
    #[must_use]
    pub fn dial(&self, to: &str, more: &Value) -> Value {
        self.try_dial(to, more).expect(201)
    }

    /// Dials, whatever comes of it. Connected to an echo unless `more` says otherwise.
    #[must_use]
    pub fn try_dial(&self, to: &str, more: &Value) -> Answer {
        self.post("/calls/dial", &merged(json!({"to_number": to, "connect": {"type": "echo"}}), more))
    }

    /// The call log of a call.
    #[must_use]
    pub fn call(&self, id: &str) -> Value {
        self.get(&format!("/calls/{id}")).expect(200)
    }

    /// Waits until the call log is as `is_so` wants it.
    ///
    /// # Panics
    /// When it is not in time; tells how it is.
    pub fn wait_for_call(&self, id: &str, what: &str, timeout: Duration, is_so: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + timeout;
        loop {
            let call = self.call(id);
            if is_so(&call) {
                return call;
            }
            if Instant::now() >= deadline {
                panic!("in {timeout:?}: call not {what}: {call:#}\nreceipt: {:#}", self.receipt(id));
            }
            pause(POLL);
        }
    }

    /// Waits until the call has this status.
    #[must_use]
    pub fn wait_for_status(&self, id: &str, status: &str, timeout: Duration) -> Value {
        self.wait_for_call(id, status, timeout, |call| call["status"] == status)
    }

    /// Waits until the call is over.
    #[must_use]
    pub fn wait_for_end(&self, id: &str, timeout: Duration) -> Value {
        self.wait_for_call(id, "over", timeout, |call| !call["ended_at"].is_null())
    }

    /// Ends a call.
    #[must_use]
    pub fn hang_up(&self, id: &str) -> Answer {
        self.post(&format!("/calls/{id}/hangup"), &json!({}))
    }

    /// How a call was routed.
    #[must_use]
    pub fn receipt(&self, id: &str) -> Value {
        self.get(&format!("/calls/{id}/route")).expect(200)
    }

    /// The legs of a call.
    #[must_use]
    pub fn legs(&self, id: &str) -> Vec<Value> {
        let answer = self.get(&format!("/calls/{id}/legs")).expect(200);
        answer.as_array().cloned().unwrap_or_else(|| panic!("legs are a list: {answer:#}"))
    }

    /// The legs of a call that is over, once their ports have told what they counted: a moment after the end.
    #[must_use]
    pub fn closed_legs(&self, id: &str) -> Vec<Value> {
        crate::wait::eventually("counters of every leg", CLOSE, || {
            let legs = self.legs(id);
            legs.iter().all(|leg| !leg["media"].is_null()).then_some(legs)
        })
    }

    /// The call logs of the account, page by page.
    #[must_use]
    pub fn all_calls(&self) -> Vec<Value> {
        let mut all = Vec::new();
        loop {
            let page = self.get(&format!("/calls?limit={PAGE}&skip={}", all.len())).expect(200);
            let calls = page.as_array().cloned().unwrap_or_else(|| panic!("calls are a list: {page:#}"));
            let is_last = calls.len() < PAGE;
            all.extend(calls);
            if is_last {
                return all;
            }
        }
    }

    /// Those of them that are not over.
    #[must_use]
    pub fn open_calls(&self) -> Vec<Value> {
        self.all_calls().into_iter().filter(|call| call["ended_at"].is_null()).collect()
    }

    /// The timeline of a call.
    #[must_use]
    pub fn timeline(&self, id: &str) -> Vec<Value> {
        let answer = self.get(&format!("/calls/{id}/timeline")).expect(200);
        answer.as_array().cloned().unwrap_or_else(|| panic!("a timeline is a list: {answer:#}"))
    }

    /// What the node holds now: the numbers of `/health/ready` that must come back to where they were.
    #[must_use]
    pub fn ready_numbers(&self) -> BTreeMap<String, u64> {
        // The node gives the same answer to everybody for 200 ms.
        pause(READINESS_AGE);
        let ready = self.get("/health/ready").json;
        let live = ready["live"].as_object().unwrap_or_else(|| panic!("/health/ready has numbers: {ready:#}"));
        let number = |(name, value): (&String, &Value)| value.as_u64().map(|value| (name.clone(), value));
        live.iter().filter_map(number).collect()
    }
}

impl Answer {
    /// The JSON of an answer that must have this status.
    ///
    /// # Panics
    /// When it has another; tells the answer.
    #[must_use]
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        self.json
    }

    /// The stable `code` of a problem.
    #[must_use]
    pub fn code(&self) -> &str {
        self.json["code"].as_str().unwrap_or_default()
    }
}

/// The least body of a trunk, with `more` on top.
#[must_use]
pub fn trunk_body(name: &str, domain: &str, port: u16, more: &Value) -> Value {
    let least = json!({
        "name": name,
        "provider": "custom",
        "sip_domain": domain,
        "sip_port": port,
        "sip_username": "12025550190",
        "sip_password": PLANTED_PASSWORD,
        // Quiet on the wire: only what a test asks for is sent.
        "advanced_config": {"options_interval": 0},
    });
    merged(least, more)
}

/// The text at a JSON pointer.
///
/// # Panics
/// When there is none.
#[must_use]
#[track_caller]
pub fn text_at(value: &Value, pointer: &str) -> String {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_else(|| panic!("no text at {pointer} in {value:#}")).to_owned()
}

/// `base` with the fields of `more`; objects are merged, null leaves a field out.
fn merged(mut base: Value, more: &Value) -> Value {
    fn merge(into: &mut Map<String, Value>, more: &Map<String, Value>) {
        for (name, value) in more {
            match (into.get_mut(name), value) {
                (Some(Value::Object(inner)), Value::Object(more)) if name != "connect" => merge(inner, more),
                (_, Value::Null) => drop(into.remove(name)),
                (_, value) => drop(into.insert(name.clone(), value.clone())),
            }
        }
    }
    if let (Some(into), Some(more)) = (base.as_object_mut(), more.as_object()) {
        merge(into, more);
    }
    base
}

/// Waits for a future from a test's thread.
pub(crate) fn wait<F: Future>(future: F) -> F::Output {
    RUNTIME.block_on(future)
}

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(1).enable_all().build().expect("a runtime needs one thread and one epoll")
});

/// Where the API lives.
const BASE: &str = "/api/v1/telephony";
/// The most calls that one list has.
const PAGE: usize = 1_000;
/// A request that takes longer is a failure of its own; probes wait up to 5 s.
const TIMEOUT: Duration = Duration::from_secs(20);
/// How old the numbers of `/health/ready` may be, and a little more.
const READINESS_AGE: Duration = Duration::from_millis(220);
/// Ten times what is promised.
const ROUTING: Duration = Duration::from_secs(1);
/// Ports are given 2 s to tell what they counted.
const CLOSE: Duration = Duration::from_secs(4);
/// Between two looks at a call.
const POLL: Duration = Duration::from_millis(20);
