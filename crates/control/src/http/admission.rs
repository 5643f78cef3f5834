use crate::Services;
use crate::http::ClientAddress;
use crate::http::caller::{Presented, bearer};
use crate::http::dry_run::{asks_for_dry_run, mark};
use crate::http::forwarded::TrustedProxies;
use crate::http::idempotency::{IDEMPOTENCY_KEY, Keyed, only_asks};
use crate::http::problem::{Problem, ProblemCode};
use crate::http::query::KnownParameters;
use crate::service::{Quota, Rate, TooManyWrites, Who};
use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tandem_model::AccountId;

/// Finds out who asks, whether they may ask now, and whether they ask something that the operation knows. What they may do is for the
/// endpoint.
///
/// The headers are those of draft-ietf-httpapi-ratelimit-headers-10: `RateLimit-Policy` names the quota `q` for each window of `w`
/// seconds, `RateLimit` what remains of it (`r`) and in how many seconds all of it will be there again (`t`).
pub(crate) struct Admission {
    services: Services,
    parameters: KnownParameters,
    proxies: TrustedProxies,
    /// Of those who say who they are, when they have a limit.
    key_policy: Option<HeaderValue>,
    source_policy: Option<HeaderValue>,
}

impl Admission {
    pub(crate) fn new(services: Services, parameters: KnownParameters) -> Self {
        let key_policy = services.rate_limits.of_callers().and_then(|rate| policy(KEY, rate));
        let source_policy = policy(SOURCE, services.rate_limits.of_sources());
        let proxies = TrustedProxies::new(Arc::clone(&services.trusted_proxies));
        Self { services, parameters, proxies, key_policy, source_policy }
    }

    /// Has a request answered that began now, if it may be.
    pub(crate) async fn admit(&self, now: Instant, mut request: Request, next: Next) -> Response {
        if let Some(&ClientAddress(peer)) = request.extensions().get() {
            let client = self.proxies.client_of(peer, request.headers());
            request.extensions_mut().insert(ClientAddress(client));
        }
        if is_exempt(request.uri().path()) {
            return self.run(None, request, next).await;
        }
        let presented = match bearer(request.headers()) {
            None => Ok(None),
            Some(bearer) => self.services.access.authenticate(bearer).await.map_err(Problem::from),
        };
        let who = match &presented {
            Ok(Some(caller)) => Some(Who::of_caller(caller)),
            Ok(None) => {
                let address = request.extensions().get::<ClientAddress>();
                Some(Who::of_source(address.map(|&ClientAddress(address)| address)))
            }
            // Nobody knows who it is, and the answer says to come again.
            Err(_) => None,
        };
        let is_dry_run = asks_for_dry_run(request.method(), request.uri());
        let account = presented.as_ref().ok().and_then(|caller| Some(caller.as_ref()?.actor.account));
        let quota = who.and_then(|who| Some((who, self.services.rate_limits.take(who, account, now)?)));
        let mut response = match quota {
            Some((_, Quota { wait: Some(wait), is_of_account, .. })) => too_many(wait, is_of_account).into_response(),
            Some((_, Quota { wait: None, .. })) | None => {
                request.extensions_mut().insert(Presented(presented));
                // What changes nothing can be repeated.
                let changes = request.method() == Method::POST && !is_dry_run && !only_asks(request.uri().path());
                if changes && request.headers().contains_key(IDEMPOTENCY_KEY) {
                    request.extensions_mut().insert(Keyed(self.services.clone()));
                }
                self.run(account, request, next).await
            }
        };
        if is_dry_run && response.status().is_success() {
            mark(response.headers_mut());
        }
        if let Some((who, quota)) = quota {
            self.tell(who, quota, response.headers_mut());
        }
        response
    }

    /// Has a request carried out, unless it asks in a way that its operation does not know, and in its turn if it writes.
    async fn run(&self, account: Option<AccountId>, request: Request, next: Next) -> Response {
        if let Some(query) = request.uri().query()
            && let Some(path) = request.extensions().get::<MatchedPath>()
            && let Err(problem) = self.parameters.check(request.method(), path.as_str(), query)
        {
            return problem.into_response();
        }
        let _turn = match account.filter(|_| writes(&request)) {
            None => None,
            // Apart, so that those who read do not carry it along.
            Some(account) => match Box::pin(self.services.write_turns.take(account)).await {
                Ok(turn) => Some(turn),
                Err(error) => return Problem::from(error).into_response(),
            },
        };
        next.run(request).await
    }

    fn tell(&self, who: Who, quota: Quota, headers: &mut HeaderMap) {
        let (name, policy) = match who {
            Who::ApiKey(_) | Who::User(_) | Who::Platform(_) | Who::Account(_) | Who::Others | Who::OtherAccounts => {
                (KEY, &self.key_policy)
            }
            Who::Source(_) => (SOURCE, &self.source_policy),
        };
        if let Some(policy) = policy {
            headers.insert(RATE_LIMIT_POLICY, policy.clone());
        }
        let mut left = String::with_capacity(MAX_HEADER);
        let _ = write!(left, "\"{name}\";r={};t={}", quota.remaining, seconds(quota.full_in));
        if let Ok(left) = HeaderValue::try_from(left) {
            headers.insert(RATE_LIMIT, left);
        }
    }
}

fn policy(name: &str, rate: Rate) -> Option<HeaderValue> {
    HeaderValue::try_from(format!("\"{name}\";q={};w={}", rate.burst, seconds(rate.window()))).ok()
}

/// Whether requests to this path have no limit: whoever watches the node must see it, above all when it is asked too much.
pub(super) fn is_exempt(path: &str) -> bool {
    path.starts_with("/health/") || path == "/metrics"
}

/// Whether a request makes the database write before it is answered. What an idempotency key tells is written, whatever the request does.
fn writes(request: &Request) -> bool {
    if request.method().is_safe() {
        return false;
    }
    let path = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let path = path.strip_prefix(super::API_PATH).unwrap_or(path);
    let writes_nothing = request.method() == Method::POST && WRITE_NOTHING.contains(&path);
    !writes_nothing || request.headers().contains_key(IDEMPOTENCY_KEY)
}

impl From<TooManyWrites> for Problem {
    fn from(error: TooManyWrites) -> Self {
        Self::new(ProblemCode::TooManyWrites, format!("{error}; send fewer at once"))
    }
}

fn too_many(wait: Duration, is_of_account: bool) -> Problem {
    let detail = if is_of_account {
        "there are more requests a second, of all keys and users of the account, than may be; wait, and send them more slowly"
    } else {
        "there are more requests a second than may be; wait, and send them more slowly"
    };
    Problem::new(ProblemCode::RateLimited, detail).retry_after(seconds(wait))
}

/// Rounded up: a second too early would be refused once more.
fn seconds(span: Duration) -> u64 {
    span.as_secs() + u64::from(span.subsec_nanos() > 0)
}

/// What is done by POST and not written before it is answered: it waits for the call path, or for somebody else's answer.
const WRITE_NOTHING: [&str; 5] = [
    "/calls/dial",
    "/calls/{id}/hangup",
    "/routing/explain",
    "/trunks/{id}/health-check",
    "/webhook-endpoints/{id}/test",
];
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const KEY: &str = "key";
const SOURCE: &str = "source";
/// The header is shorter.
const MAX_HEADER: usize = 64;
