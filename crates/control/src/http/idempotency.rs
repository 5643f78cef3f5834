use crate::Services;
use crate::http::body::read_body;
use crate::http::caller::Presented;
use crate::http::problem::{Problem, ProblemCode};
use crate::service::{BeginError, Begun, Caller, KeptAnswer, Outcome};
use axum::body::{Body, to_bytes};
use axum::extract::{FromRequestParts, Request};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// A POST with an idempotency key, with what it takes to look after it: a layer of one endpoint has no state.
#[derive(Clone)]
pub(super) struct Keyed(pub(super) Services);

/// Carries a request with an `Idempotency-Key` out once, and answers each repeat as the first was answered.
///
/// Kept are answers of success. A request that was refused has changed nothing, so that a repeat is judged anew; one that failed may
/// have, so that only the same request is carried out under its key.
pub(super) async fn once(mut request: Request, next: Next) -> Response {
    let Some(Keyed(services)) = request.extensions_mut().remove() else { return next.run(request).await };
    let begun = begin(&services, request).await;
    let (ticket, request) = match begun {
        Ok((Begun::CarryOut(ticket), mut request)) => {
            request.extensions_mut().insert(ticket.clone());
            (ticket, request)
        }
        Ok((Begun::Replay(answer), _)) => return replay(answer),
        Err(problem) => return problem.into_response(),
    };
    let response = next.run(request).await;
    let status = response.status();
    if !status.is_success() {
        let outcome = if status.is_client_error() { Outcome::Refused } else { Outcome::Unknown };
        services.idempotency.finish(&ticket, outcome).await;
        return response;
    }
    let (parts, body) = response.into_parts();
    let Ok(bytes) = to_bytes(body, MAX_ANSWER).await else {
        services.idempotency.finish(&ticket, Outcome::Unknown).await;
        return Problem::new(ProblemCode::Internal, "the answer is longer than any that is kept").into_response();
    };
    let kept = |name: &HeaderName| KEPT_HEADERS.contains(name);
    let headers = parts.headers.iter().filter(|(name, _)| kept(name));
    let headers = headers.filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())));
    let answer = KeptAnswer {
        status: status.as_u16(),
        headers: headers.collect(),
        body: String::from_utf8_lossy(&bytes).into_owned(),
    };
    services.idempotency.finish(&ticket, Outcome::Done(&answer)).await;
    Response::from_parts(parts, Body::from(bytes))
}

/// Claims the key for the caller, who must be allowed to send the request. The request comes back as it was.
async fn begin(services: &Services, request: Request) -> Result<(Begun, Request), Problem> {
    let (mut parts, body) = request.into_parts();
    let key = key_of(parts.headers.get(IDEMPOTENCY_KEY))?;
    let asked = parts.extensions.get::<Presented>().cloned();
    let caller = Caller::from_request_parts(&mut parts, services).await?;
    if let Some(asked) = asked {
        parts.extensions.insert(asked);
    }
    let bytes = read_body(body).await?;
    let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
    let same = [parts.method.as_str().as_bytes(), target.as_bytes(), bytes.as_ref()];
    let begun = services.idempotency.begin(&caller, &key, &same).await?;
    Ok((begun, Request::from_parts(parts, Body::from(bytes))))
}

/// Whether a POST to this path changes nothing. Its answer is not kept, whatever key comes with it: a caller who may only read writes
/// nothing.
pub(super) fn only_asks(path: &str) -> bool {
    path.strip_prefix(super::API_PATH).is_some_and(|path| ONLY_ASKS.contains(&path))
}

fn key_of(value: Option<&HeaderValue>) -> Result<String, Problem> {
    let key = value.and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_fit = (1..=MAX_KEY).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
    if is_fit {
        Ok(key.to_owned())
    } else {
        Err(Problem::of_field(ProblemCode::InvalidField, "Idempotency-Key", UNFIT))
    }
}

fn replay(answer: KeptAnswer) -> Response {
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    for (name, value) in answer.headers {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse()) {
            response.headers_mut().insert(name, value);
        }
    }
    response.headers_mut().insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
    response
}

impl From<BeginError> for Problem {
    fn from(error: BeginError) -> Self {
        match error {
            BeginError::InUse => Self::new(
                ProblemCode::IdempotencyKeyInUse,
                "the same request is being carried out under this key; ask for its answer in a moment",
            ),
            BeginError::OtherRequest => Self::of_field(
                ProblemCode::IdempotencyKeyReused,
                "Idempotency-Key",
                "was sent with another request in the last 24 hours; each request has a key of its own",
            ),
            BeginError::Database(error) => error.into(),
        }
    }
}

pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
pub(super) const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// POSTs that are questions with a body.
const ONLY_ASKS: [&str; 1] = ["/routing/explain"];
/// What of an answer's head a repeat is told too.
const KEPT_HEADERS: [HeaderName; 3] = [header::CONTENT_TYPE, header::LOCATION, header::ETAG];
/// Longest key, in characters.
const MAX_KEY: usize = 255;
const UNFIT: &str = "must have 1 to 255 visible ASCII characters and no blanks";
/// Largest answer that is kept, in bytes: a trunk with all it may have is a tenth of it.
const MAX_ANSWER: usize = 1024 * 1024;
