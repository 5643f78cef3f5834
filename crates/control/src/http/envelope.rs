use crate::http::problem::{Problem, ProblemCode};
use axum::body::Body;
use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;
use tracing::Instrument;

/// The id of a request, in its extensions.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(pub(crate) Arc<str>);

/// Surrounds every request: gives it an id, runs it to its end, and writes every error as a problem document.
///
/// A request runs as a task of its own. So it is finished even when its client goes away, and a row and the slot that belongs to it
/// cannot part; and a panic is an answer like any other, which tells nothing of the inside.
pub(crate) async fn envelope(mut request: Request, next: Next) -> Response {
    let request_id = request_id(&request);
    request.extensions_mut().insert(RequestId(request_id.as_str().into()));
    let route = request.extensions().get::<MatchedPath>().map_or("unknown", MatchedPath::as_str).to_owned();
    let span =
        tracing::info_span!("request", %request_id, method = %request.method(), route, call_id = tracing::field::Empty);

    let answered = tokio::spawn(next.run(request).instrument(span.clone())).await;
    let response = answered.unwrap_or_else(|error| {
        span.in_scope(|| tracing::error!(panicked = error.is_panic(), "a request was not answered"));
        Problem::new(ProblemCode::Internal, "the operator finds the reason in the log, under this request_id")
            .into_response()
    });

    let mut response = as_problem(response, &request_id);
    span.in_scope(|| tracing::debug!(status = response.status().as_u16(), "answered"));
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
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
fn request_id(request: &Request) -> String {
    let sent = request.headers().get(REQUEST_ID).and_then(|value| value.to_str().ok());
    let fit = |id: &&str| {
        (1..=MAX_REQUEST_ID).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    sent.filter(fit).map_or_else(new_request_id, str::to_owned)
}

fn new_request_id() -> String {
    let mut bytes = [0; 16];
    // Without random bytes the id is all zeros: it only names a line in the log.
    let _ = getrandom::fill(&mut bytes);
    uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const JSON: &str = "application/json";
/// Longest request id taken from a client.
const MAX_REQUEST_ID: usize = 64;
