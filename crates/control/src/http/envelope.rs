use crate::Services;
use crate::http::admission::Admission;
use crate::http::metrics::{self, Requests};
use crate::http::problem::{Problem, ProblemCode};
use crate::http::query::KnownParameters;
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Instant;
use tracing::Instrument;

/// The id of a request, in its extensions.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(pub(crate) Arc<str>);

/// What requests meet before and after their endpoint. Cheap to clone: each request has its own.
#[derive(Clone)]
pub(crate) struct Surroundings(Arc<(Requests, Admission)>);

impl Surroundings {
    pub(crate) fn new(services: Services, parameters: KnownParameters) -> Self {
        Self(Arc::new((Requests::default(), Admission::new(services, parameters))))
    }
}

/// Surrounds every request: gives it an id, asks whether it is admitted, runs it to its end, writes every error as a problem
/// document, and counts it, with the time until its answer begins.
///
/// A request that may change something runs as a task of its own. So it is finished even when its client goes away, and a row and
/// the slot that belongs to it cannot part. A panic is an answer like any other, which tells nothing of the inside.
pub(crate) async fn envelope(State(surroundings): State<Surroundings>, mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let (requests, _) = &*surroundings.0;
    let request_id: Arc<str> = request_id(&request).into();
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let route = matched.as_ref().map_or(UNKNOWN_ROUTE, MatchedPath::as_str);
    let method = request.method().clone();
    let span = tracing::info_span!("request", %request_id, %method, route, call_id = tracing::field::Empty);
    request.extensions_mut().insert(RequestId(Arc::clone(&request_id)));
    if route == metrics::PATH {
        request.extensions_mut().insert(requests.clone());
    }

    let admitting = surroundings.clone();
    let answer = async move {
        let (_, admission) = &*admitting.0;
        admission.admit(began, request, next).await
    };
    let answer = answer.instrument(span.clone());
    let answered = if method.is_safe() {
        AssertUnwindSafe(answer).catch_unwind().await.ok()
    } else {
        tokio::spawn(answer).await.ok()
    };
    let response = answered.unwrap_or_else(|| {
        span.in_scope(|| tracing::error!("a request was not answered: its handler panicked, or the node stops"));
        Problem::new(ProblemCode::Internal, "the operator finds the reason in the log, under this request_id")
            .into_response()
    });

    let response = finished(response, &method, &request_id);
    span.in_scope(|| tracing::debug!(status = response.status().as_u16(), "answered"));
    requests.count(route, &method, response.status(), began.elapsed());
    response
}

/// Surrounds requests that are answered without the services: an id, and errors as problem documents.
pub(crate) async fn bare(request: Request, next: Next) -> Response {
    let (method, request_id) = (request.method().clone(), request_id(&request));
    finished(next.run(request).await, &method, &request_id)
}

/// An answer with what every answer has: a problem document if it is an error, the request's id, and what browsers and caches must know.
///
/// Answers are of one caller. What a change answers is kept nowhere, as some show a secret once; what was read is asked for again.
pub(super) fn finished(response: Response, method: &Method, request_id: &str) -> Response {
    let mut response = as_problem(response, request_id);
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(request_id) {
        headers.insert(REQUEST_ID, value);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let caching = if method.is_safe() { "private, no-cache" } else { "no-store" };
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static(caching));
    response
}

/// Writes the body of an error. Errors of the framework, which have no problem with them, get one from their status.
fn as_problem(mut response: Response, request_id: &str) -> Response {
    let status = response.status();
    let problem = match response.extensions_mut().remove::<Problem>() {
        Some(problem) => problem,
        None if !status.is_client_error() && !status.is_server_error() => return response,
        None if response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == JSON) => return response,
        None => Problem::of_status(status),
    };
    let (mut parts, _) = response.into_parts();
    parts.status = problem.status();
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    parts.headers.remove(header::CONTENT_LENGTH);
    let body = serde_json::to_vec(&problem.document(request_id)).unwrap_or_default();
    Response::from_parts(parts, Body::from(body))
}

/// The client's own id when it is fit for a log line, so that one id follows a request through several services; else a new one.
pub(super) fn request_id(request: &Request) -> String {
    let sent = request.headers().get(REQUEST_ID).and_then(|value| value.to_str().ok());
    let fit = |id: &&str| {
        (1..=MAX_REQUEST_ID).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    sent.filter(fit).map_or_else(new_request_id, str::to_owned)
}

/// A number that no other request has: it only has to tell lines of logs apart.
fn new_request_id() -> String {
    static PROCESS: LazyLock<u64> = LazyLock::new(|| getrandom::u64().unwrap_or_default());
    static REQUESTS: AtomicU64 = AtomicU64::new(0);
    let number = REQUESTS.fetch_add(1, Ordering::Relaxed);
    let both = (u128::from(*PROCESS) << u64::BITS) | u128::from(number);
    uuid::Builder::from_custom_bytes(both.to_be_bytes()).into_uuid().to_string()
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The route of what leads nowhere.
const UNKNOWN_ROUTE: &str = "unknown";
const JSON: &str = "application/json";
/// Longest request id taken from a client.
const MAX_REQUEST_ID: usize = 64;
