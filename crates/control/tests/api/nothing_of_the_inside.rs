//! Errors, provoked over the whole API by its own document: each is a problem document, and tells nothing of the inside.

use crate::document::operations;
use crate::harness::Api;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, header};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// One request that ought to be refused.
#[derive(Clone)]
struct Attempt {
    what: &'static str,
    method: String,
    target: String,
    key: Option<String>,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

/// What has come of all attempts.
#[derive(Default)]
struct Sweep {
    errors: usize,
    codes: BTreeMap<String, usize>,
    /// Operations that have answered with an error at least once.
    operations: BTreeSet<String>,
    faults: Vec<String>,
}

impl Sweep {
    /// Sends it; an error is looked at, and what is taken is left alone, for its answer may have no end.
    async fn send(&mut self, api: &Api, operation: &str, attempt: Attempt) {
        let mut request = Request::builder().method(attempt.method.as_str()).uri(&attempt.target);
        if let Some(key) = &attempt.key {
            request = request.header(header::AUTHORIZATION, format!("Bearer {key}"));
        }
        for (name, value) in &attempt.headers {
            request = request.header(*name, value);
        }
        let response = api.stream(request.body(Body::from(attempt.body)).unwrap()).await;
        let (parts, body) = response.into_parts();
        if !parts.status.is_client_error() && !parts.status.is_server_error() {
            return;
        }
        let bytes = to_bytes(body, usize::MAX).await.unwrap();
        self.errors += 1;
        self.operations.insert(operation.to_owned());
        let what = format!("{} {}: {}", attempt.method, shortened(&attempt.target), attempt.what);
        match problem(&parts.headers, parts.status.as_u16(), &bytes) {
            Ok(code) => *self.codes.entry(code).or_default() += 1,
            // What is not ready says so with the document that it has when it is.
            Err(_) if operation == "GET /health/ready" && parts.status == 503 => {}
            Err(fault) => self.faults.push(format!("{what}: {fault}")),
        }
        let mut told = String::from_utf8_lossy(&bytes).into_owned();
        for (name, value) in &parts.headers {
            told += &format!("\n{name}: {}", String::from_utf8_lossy(value.as_bytes()));
        }
        self.faults.extend(leaks(api, &told).into_iter().map(|leak| format!("{what} tells {leak}: {told}")));
    }
}

/// The code of a problem document, or what is wrong with it.
fn problem(headers: &HeaderMap, status: u16, bytes: &[u8]) -> Result<String, String> {
    let body: Value = serde_json::from_slice(bytes).map_err(|error| format!("no JSON: {error}"))?;
    if headers.get(header::CONTENT_TYPE).is_none_or(|kind| kind != "application/problem+json") {
        return Err("not of the type of problem documents".to_owned());
    }
    let id = headers.get("x-request-id").and_then(|id| id.to_str().ok());
    if id.is_none() || body["request_id"].as_str() != id {
        return Err(format!("another request_id than {id:?}: {body}"));
    }
    if body["status"] != status {
        return Err(format!("another status than {status}: {body}"));
    }
    for member in ["type", "title", "detail"] {
        if body[member].as_str().is_none_or(str::is_empty) {
            return Err(format!("no {member}: {body}"));
        }
    }
    body["code"].as_str().map(str::to_owned).ok_or_else(|| format!("no code: {body}"))
}

/// What of the inside a text tells.
fn leaks(api: &Api, told: &str) -> Vec<String> {
    let lower = told.to_lowercase();
    let folder = api.folder().to_str().unwrap();
    let words = ["panicked", "backtrace", "stack overflow", "thread '", "unwrap", "expect(", "src/", ".rs", ".cargo"];
    let parts = ["sqlx", "rusqlite", "sqlite", "postgres", "axum", "hyper", "tokio", "tower", "serde", "utoipa"];
    let places =
        ["/home", "/root", "/tmp", "/usr", "/var", "/etc/", "/work", "tandem.db", "127.0.0.", "localhost", "::1"];
    let ours =
        ["tandem_", "tandem-store", "tandem-control", "server:", "x-powered-by", "call_logs", "data_key", "sha256"];
    let known = words.iter().chain(&parts).chain(&places).chain(&ours).copied();
    let mut found: Vec<String> = known.chain([folder]).filter(|word| lower.contains(word)).map(str::to_owned).collect();
    for keyword in ["SELECT ", "INSERT ", "UPDATE ", "DELETE FROM", " WHERE ", " JOIN ", "CONSTRAINT", "UNIQUE "] {
        found.extend(told.contains(keyword).then(|| keyword.to_owned()));
    }
    for secret in [&api.mine.key, &api.other.key] {
        found.extend(told.contains(secret.as_str()).then(|| "a key".to_owned()));
    }
    // Versions as programs have them: three numbers with dots, and no letter or dot around.
    let is_version =
        |word: &str| word.split('.').count() == 3 && word.split('.').all(|part| part.parse::<u32>().is_ok());
    let words = told.split(|c: char| !c.is_ascii_alphanumeric() && c != '.').map(|word| word.trim_matches('.'));
    found.extend(words.filter(|word| is_version(word.trim_start_matches('v'))).map(|word| format!("version {word}")));
    found
}

fn shortened(target: &str) -> String {
    target.chars().take(100).collect()
}

/// A path of the document with this in the place of every id.
fn filled(path: &str, id: &str) -> String {
    path.split('/').map(|part| if part.starts_with('{') { id } else { part }).collect::<Vec<_>>().join("/")
}

const NOBODY: &str = "0198f000-0000-7000-8000-000000000000";
/// Ids that are none, as they stand in a path.
const BAD_IDS: [&str; 6] =
    ["1", "%27%20OR%201=1--", "%00", "..%2F..%2Fx", "%F0%9F%98%80", "0198f000-0000-7000-8000-00000000000g"];
/// Values of parameters that hardly any takes.
const BAD_VALUES: [&str; 4] = ["%27%3B--", "%00", "99999999999999999999", "{}"];

/// Every attempt at one operation that ought to fail, and some that may not.
fn attempts(api: &Api, path: &str, method: &str, operation: &Value) -> Vec<Attempt> {
    let example = &operation["requestBody"]["content"]["application/json"]["example"];
    let plain = Attempt {
        what: "as the document says, at nothing",
        method: method.to_owned(),
        target: filled(path, NOBODY),
        key: Some(api.mine.key.clone()),
        headers: Vec::new(),
        body: if example.is_null() { Vec::new() } else { example.to_string().into_bytes() },
    };
    let with = |what: &'static str, change: &dyn Fn(&mut Attempt)| {
        let mut attempt = Attempt { what, ..plain.clone() };
        change(&mut attempt);
        attempt
    };
    let mut all = Vec::new();
    if !operation["security"][0]["bearer"].is_null() {
        all.push(with("no key", &|attempt| attempt.key = None));
        all.push(with("a bad key", &|attempt| attempt.key = Some("tdm_wrong".to_owned())));
        all.push(with("a token that is none", &|attempt| attempt.key = Some("eyJhbGciOiJub25lIn0.e30.".to_owned())));
        all.push(with("for another account", &|attempt| attempt.headers.push(("x-act-as", NOBODY.to_owned()))));
        all.push(with("for no account", &|attempt| attempt.headers.push(("x-act-as", "x".to_owned()))));
    }
    if path.contains('{') {
        all.push(plain.clone());
        for id in BAD_IDS {
            all.push(with("a bad id", &|attempt| attempt.target = filled(path, id)));
        }
        let long = "a".repeat(5_000);
        all.push(with("a long id", &|attempt| attempt.target = filled(path, &long)));
    }
    all.push(with("an unknown parameter", &|attempt| attempt.target += "?no_such_parameter=1"));
    for name in operation["parameters"].as_array().into_iter().flatten().filter(|shown| shown["in"] == "query") {
        for value in BAD_VALUES {
            let query = format!("?{}={value}", name["name"].as_str().unwrap());
            all.push(with("a bad parameter", &|attempt| attempt.target += &query));
        }
    }
    all.push(with("a cursor that is none", &|attempt| attempt.target += "?cursor=AAAA"));
    if method != "GET" {
        all.push(with("neither tried nor not", &|attempt| attempt.target += "?dry_run=perhaps"));
        for tag in ["\"1\", \"2\"", "\"abc\"", "x"] {
            all.push(with("another version", &|attempt| attempt.headers.push(("if-match", tag.to_owned()))));
        }
        all.push(with("a bad key of idempotency", &|attempt| {
            attempt.headers.push(("idempotency-key", "x".repeat(256)));
        }));
    }
    if operation["requestBody"].is_object() {
        let mut bodies: Vec<(&'static str, Vec<u8>)> = ["{", "[]", "null", "\"x\"", "{\"a\":}", "\u{1}"]
            .into_iter()
            .map(|text| ("a bad body", text.as_bytes().to_vec()))
            .collect();
        bodies.push(("no text", vec![0xff, 0xfe, 0x00]));
        bodies.push(("a deep body", "[".repeat(2_000).into_bytes()));
        bodies.push(("a body too large", format!("{{\"name\": \"{}\"}}", "a".repeat(300 * 1024)).into_bytes()));
        bodies.push(("an unknown field", json!({"no_such_field": 1}).to_string().into_bytes()));
        for field in example.as_object().into_iter().flatten().map(|(name, _)| name) {
            for wrong in
                [json!({"a": [1, {"b": null}]}), json!("x\u{0}'; --"), json!(-1e300), json!("a".repeat(70_000))]
            {
                let mut body = example.clone();
                body[field.as_str()] = wrong;
                bodies.push(("a bad field", body.to_string().into_bytes()));
            }
        }
        for (what, body) in bodies {
            all.push(with(what, &|attempt| attempt.body.clone_from(&body)));
        }
    }
    all
}

#[tokio::test]
async fn no_error_of_the_whole_api_tells_of_the_inside() {
    let api = Api::start().await;
    let document = serde_json::to_value(tandem_control::openapi()).unwrap();
    let mut sweep = Sweep::default();
    let all = operations(&document);
    for (path, method, operation) in &all {
        let name = format!("{method} {path}");
        for attempt in attempts(&api, path, method, operation) {
            sweep.send(&api, &name, attempt).await;
        }
    }
    for path in document["paths"].as_object().unwrap().keys() {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"] {
            let attempt = Attempt {
                what: "a method that it does not know",
                method: method.to_owned(),
                target: filled(path, NOBODY),
                key: Some(api.mine.key.clone()),
                headers: Vec::new(),
                body: Vec::new(),
            };
            let is_known = all.iter().any(|(known, way, _)| known == path && way == method);
            if !is_known {
                sweep.send(&api, path, attempt).await;
            }
        }
    }

    for (what, target) in [
        ("an unknown path", "/"),
        ("an unknown path", "/api/v1/telephony/nothing"),
        ("an unknown path", "/..%2F..%2Fetc%2Fpasswd"),
        ("an unknown path", "/api/v1/telephony/trunks/a/b/c"),
        ("no UTF-8", "/api/v1/telephony/calls/%ff"),
        ("an unknown page", "/docs/errors/nothing"),
    ] {
        let (method, key) = ("GET".to_owned(), Some(api.mine.key.clone()));
        let attempt = Attempt { what, method, target: target.to_owned(), key, headers: Vec::new(), body: Vec::new() };
        sweep.send(&api, target, attempt).await;
    }

    // The same with a call path that does not answer, and then without the database: where most could be told.
    api.switchboard.script(|script| script.silent = true);
    api.get("/credits").await;
    for with_database in [true, false] {
        if !with_database {
            api.store.close().await;
        }
        for (path, method, operation) in &all {
            let name = format!("{method} {path}");
            let attempts = attempts(&api, path, method, operation);
            for attempt in attempts.into_iter().filter(|attempt| attempt.what == "an unknown parameter") {
                let target = filled(path, NOBODY);
                sweep.send(&api, &name, Attempt { what: "something is away", target, ..attempt }).await;
            }
        }
    }

    assert!(sweep.faults.is_empty(), "{} faults:\n{}", sweep.faults.len(), sweep.faults.join("\n"));
    println!("{} errors: {:?}", sweep.errors, sweep.codes);
    assert!(sweep.errors >= 300, "{} errors", sweep.errors);
    let never = |(path, method, _): &&(String, String, Value)| !sweep.operations.contains(&format!("{method} {path}"));
    let never: Vec<_> = all.iter().filter(never).map(|(path, method, _)| format!("{method} {path}")).collect();
    // They take nothing and need nobody.
    assert_eq!(never, ["GET /health/live", "GET /openapi.json"], "they have no errors");
    for code in [
        "unauthorized",
        "forbidden",
        "not_found",
        "unknown_path",
        "method_not_allowed",
        "invalid_field",
        "malformed_body",
        "body_too_large",
        "precondition_failed",
        "database_unavailable",
    ] {
        assert!(sweep.codes.contains_key(code), "{code} was not provoked: {:?}", sweep.codes);
    }
}

#[tokio::test]
async fn what_tells_of_the_inside_is_noticed() {
    let api = Api::start().await;
    for told in [
        "no such table: call_logs",
        "error returned from database: SELECT id FROM x",
        "panicked at crates/store/src/store.rs:12",
        "tandem 0.1.0",
        "could not connect to 127.0.0.1:5432",
        "open /tmp/x",
    ] {
        assert!(!leaks(&api, told).is_empty(), "{told}");
    }
    for harmless in ["must be 1 to 1000", "the account has its 10000 numbers", "\"2026-01-31T12:00:00.000000Z\""] {
        assert_eq!(leaks(&api, harmless), Vec::<String>::new(), "{harmless}");
    }
}
