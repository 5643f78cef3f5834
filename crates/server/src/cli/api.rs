use super::ConfigSource;
use super::failure::Failure;
use clap::Args;
use reqwest::{Method, Url};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tandem_model::Secret;

/// Which server, and as whom.
#[derive(Args)]
pub(super) struct ApiArgs {
    /// Where the server answers
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "TANDEM_API_URL",
        default_value = DEFAULT_URL,
        value_parser = base_url
    )]
    api: Url,
    /// An API key; best given as TANDEM_API_KEY, because other users of this host see command lines
    #[arg(long, global = true, env = "TANDEM_API_KEY", hide_env_values = true, value_parser = key)]
    key: Option<Secret>,
}

/// The HTTP API of a server.
pub(super) struct Api {
    base: Url,
    key: Secret,
    client: reqwest::Client,
}

/// Why the API gave no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApiError {
    #[error("no API key; set TANDEM_API_KEY, or make a key by tandem key create")]
    NoKey,
    #[error("the key in {path:?} cannot be read: {source}; set TANDEM_API_KEY instead")]
    KeyFile { path: PathBuf, source: io::Error },
    #[error("the key in {path:?} is none: {source}; set TANDEM_API_KEY instead")]
    BadKeyFile { path: PathBuf, source: KeyError },
    #[error("{base} does not answer: {reason}; is the server running there? --api or TANDEM_API_URL name another")]
    Unreachable { base: Url, reason: String },
    #[error("{base} did not answer within {} s; its log may tell why", ANSWER_TIMEOUT.as_secs())]
    TimedOut { base: Url },
    #[error("{base} answers what is not Tandem's API ({reason}); --api or TANDEM_API_URL name another")]
    Foreign { base: Url, reason: String },
    #[error("the HTTP client cannot be made: {0}")]
    Client(reqwest::Error),
    #[error("{0}")]
    Refused(Box<Problem>),
}

/// A problem document (RFC 9457), as far as it is shown; all of it is kept for machines.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(super) struct Problem(Value);

#[derive(Deserialize)]
struct FieldError {
    field: String,
    message: String,
}

impl ApiArgs {
    pub(super) fn connect(&self, source: &ConfigSource) -> Result<Api, Failure> {
        // An empty variable counts as not set, as everywhere.
        let key = match self.key.as_ref().filter(|key| !key.expose().is_empty()) {
            Some(key) => key.clone(),
            None if is_loopback(&self.api) => demo_key(&source.data_dir()?.join(DEMO_KEY_FILE))?,
            // The key of this host's demo is nothing that another host should see.
            None => return Err(ApiError::NoKey.into()),
        };
        Ok(Api::new(self.api.clone(), key)?)
    }
}

impl Api {
    fn new(base: Url, key: Secret) -> Result<Self, ApiError> {
        let mut client = reqwest::Client::builder()
            .user_agent(concat!("tandem/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(ANSWER_TIMEOUT)
            // A redirect would carry the key to a host that nobody named.
            .redirect(reqwest::redirect::Policy::none())
            // It is plain HTTP: a machine without certificates can do without.
            .tls_certs_only([]);
        if is_loopback(&base) {
            // A proxy has another loopback.
            client = client.no_proxy();
        }
        Ok(Self { base, key, client: client.build().map_err(ApiError::Client)? })
    }

    /// What `GET` of the path answers.
    pub(super) async fn get(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Value, ApiError> {
        self.send(Method::GET, path, query, None).await
    }

    /// What `POST` to the path answers.
    pub(super) async fn post(&self, path: &[&str], body: Option<&Value>) -> Result<Value, ApiError> {
        self.send(Method::POST, path, &[], body).await
    }

    async fn send(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Value, ApiError> {
        let mut request = self.client.request(method, self.url(path, query)).bearer_auth(self.key.expose());
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(|error| self.failed(&error))?;
        let status = response.status();
        let text = self.body(response).await?;
        let is_success = status.is_success();
        match serde_json::from_slice::<Value>(&text) {
            Ok(value) if is_success => Ok(value),
            Ok(value) if value.get("code").is_some_and(Value::is_string) => {
                Err(ApiError::Refused(Box::new(Problem(value))))
            }
            Ok(_) | Err(_) => Err(ApiError::Foreign { base: self.base.clone(), reason: format!("status {status}") }),
        }
    }

    /// Segments are escaped: an id may hold anything.
    fn url(&self, path: &[&str], query: &[(&str, &str)]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(API_PATH).extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    async fn body(&self, mut response: reqwest::Response) -> Result<Vec<u8>, ApiError> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.failed(&error))? {
            if body.len() + chunk.len() > MAX_ANSWER_BYTES {
                let reason = format!("more than {MAX_ANSWER_BYTES} bytes");
                return Err(ApiError::Foreign { base: self.base.clone(), reason });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    fn failed(&self, error: &reqwest::Error) -> ApiError {
        let base = self.base.clone();
        if error.is_timeout() && !error.is_connect() {
            return ApiError::TimedOut { base };
        }
        // The innermost cause is what the system said; what wraps it names layers of the client.
        let mut cause: &dyn std::error::Error = error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        ApiError::Unreachable { base, reason: cause.to_string() }
    }
}

impl Problem {
    /// How routing decided, when it refused a call.
    pub(super) fn receipt(&self) -> Option<&Value> {
        self.0.get("receipt").filter(|receipt| receipt.is_object())
    }

    fn text(&self, member: &str) -> &str {
        self.0.get(member).and_then(Value::as_str).unwrap_or_default()
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let detail = match self.text("detail") {
            "" => self.text("title"),
            detail => detail,
        };
        let errors = self.0.get("errors").cloned().unwrap_or_default();
        let errors: Vec<FieldError> = serde_json::from_value(errors).unwrap_or_default();
        f.write_str(detail)?;
        // The detail of a 422 mostly says it already, and that of a refused call does so without naming the field.
        let is_told = |error: &&FieldError| detail.contains(&error.field) || detail.contains(&error.message);
        for error in errors.iter().filter(|error| !is_told(error)) {
            write!(f, "; {}: {}", error.field, error.message)?;
        }
        write!(f, " ({})", self.text("code"))
    }
}

fn demo_key(path: &Path) -> Result<Secret, ApiError> {
    match fs::read_to_string(path) {
        Ok(text) if text.trim().is_empty() => Err(ApiError::NoKey),
        Ok(text) => key(text.trim()).map_err(|source| ApiError::BadKeyFile { path: path.to_owned(), source }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(ApiError::NoKey),
        Err(source) => Err(ApiError::KeyFile { path: path.to_owned(), source }),
    }
}

/// Why a text is no address of a server.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum BaseUrlError {
    #[error("not a URL, as http://127.0.0.1:8080")]
    Syntax,
    #[error("TLS is not built yet; run the command on the server's host, or through an SSH tunnel to it")]
    Tls,
    #[error("begins with something other than http://")]
    Scheme,
    #[error("holds a user, a query or a fragment; the key goes into TANDEM_API_KEY")]
    Excess,
}

fn base_url(text: &str) -> Result<Url, BaseUrlError> {
    // An empty variable counts as not set, as everywhere.
    let text = if text.is_empty() { DEFAULT_URL } else { text };
    let url = Url::parse(text).map_err(|_| BaseUrlError::Syntax)?;
    match url.scheme() {
        "http" => {}
        "https" => return Err(BaseUrlError::Tls),
        _ => return Err(BaseUrlError::Scheme),
    }
    let is_bare =
        url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none();
    if is_bare { Ok(url) } else { Err(BaseUrlError::Excess) }
}

/// What cannot be an API key.
#[derive(Debug, thiserror::Error)]
#[error("an API key is one word of visible ASCII characters")]
pub(super) struct KeyError;

fn key(text: &str) -> Result<Secret, KeyError> {
    if text.bytes().all(|byte| byte.is_ascii_graphic()) { Ok(Secret::new(text)) } else { Err(KeyError) }
}

fn is_loopback(url: &Url) -> bool {
    match url.host_str() {
        Some("localhost") => true,
        Some(host) => {
            let address = host.trim_start_matches('[').trim_end_matches(']');
            address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
        }
        None => false,
    }
}

/// The default of `TANDEM_HTTP_LISTEN`.
const DEFAULT_URL: &str = "http://127.0.0.1:8080";
const API_PATH: [&str; 3] = ["api", "v1", "telephony"];
/// Where `serve --demo` keeps its key.
const DEMO_KEY_FILE: &str = "demo.key";
/// A host that is there answers a SYN at once, or after one that was lost.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The slowest request is a probe, which waits 5 s for the carrier.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// A thousand calls with large metadata fit; a wrong server must not fill the memory.
const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_what_is_wrong_with_a_server_address() {
        assert!(base_url("http://127.0.0.1:8080/tandem/").is_ok());
        assert_eq!(base_url("https://tandem.example"), Err(BaseUrlError::Tls));
        assert_eq!(base_url("localhost:8080"), Err(BaseUrlError::Scheme));
        assert_eq!(base_url("127.0.0.1:8080"), Err(BaseUrlError::Syntax));
        assert_eq!(base_url("http://key@127.0.0.1:8080"), Err(BaseUrlError::Excess));
    }

    #[test]
    fn ids_are_escaped_in_paths() {
        let api = Api::new(base_url("http://127.0.0.1:1/prefix/").unwrap(), Secret::new("k")).unwrap();
        let url = api.url(&["calls", "a/b?c"], &[("limit", "5")]);
        assert_eq!(url.as_str(), "http://127.0.0.1:1/prefix/api/v1/telephony/calls/a%2Fb%3Fc?limit=5");
    }

    #[test]
    fn only_this_host_is_loopback() {
        for (url, expected) in [
            ("http://localhost:8080", true),
            ("http://127.0.0.9", true),
            ("http://[::1]:8080", true),
            ("http://192.0.2.1", false),
            ("http://localhost.example", false),
        ] {
            assert_eq!(is_loopback(&Url::parse(url).unwrap()), expected, "{url}");
        }
    }

    #[test]
    fn a_problem_is_told_with_its_fields_once() {
        let problem = |value| Problem(value).to_string();
        let told = json!({"title": "A field is wrong", "code": "invalid_field", "detail": "name: is empty",
            "errors": [{"field": "name", "message": "is empty"}, {"field": "sip_port", "message": "is 0"}]});
        assert_eq!(problem(told), "name: is empty; sip_port: is 0 (invalid_field)");
        let refused = json!({"title": "t", "code": "target_not_allowed", "detail": "the target is not allowed",
            "errors": [{"field": "to_number", "message": "the target is not allowed"}]});
        assert_eq!(problem(refused), "the target is not allowed (target_not_allowed)");
        assert_eq!(problem(json!({"title": "Not found", "code": "not_found"})), "Not found (not_found)");
    }
}
