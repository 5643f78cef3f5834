use crate::http::problem::{Problem, ProblemCode};
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{FromRequest, Request};
use serde_json::{Map, Value};
use std::time::Duration;
use tokio::time::timeout;

/// The JSON object in a request's body. Its Content-Type does not matter: nothing else is ever taken.
pub(crate) struct JsonObject(pub(crate) Map<String, Value>);

impl<S: Sync> FromRequest<S> for JsonObject {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let bytes = read_body(request.into_body()).await?;
        match serde_json::from_slice(&bytes) {
            Ok(Value::Object(object)) => Ok(Self(object)),
            Ok(_) => Err(Problem::of_field(ProblemCode::MalformedBody, "body", "must be a JSON object")),
            Err(error) => Err(Problem::of_field(ProblemCode::MalformedBody, "body", format!("is not JSON: {error}"))),
        }
    }
}

/// The same where there need not be a body: an object without members.
pub(crate) struct OptionalJsonObject(pub(crate) Map<String, Value>);

impl<S: Sync> FromRequest<S> for OptionalJsonObject {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let bytes = read_body(body).await?;
        if bytes.is_empty() {
            return Ok(Self(Map::new()));
        }
        let JsonObject(object) = JsonObject::from_request(Request::from_parts(parts, Body::from(bytes)), state).await?;
        Ok(Self(object))
    }
}

/// All of a body, which must come in time: who sends it byte by byte holds a place that others want.
pub(super) async fn read_body(body: Body) -> Result<Bytes, Problem> {
    let read = timeout(DEADLINE, to_bytes(body, MAX_BODY)).await.map_err(|_| {
        let detail = format!("the body did not come within {} s; send the request again", DEADLINE.as_secs());
        Problem::new(ProblemCode::RequestTimeout, detail)
    })?;
    read.map_err(|_| {
        Problem::new(ProblemCode::BodyTooLarge, format!("the body is cut off, or has more than {MAX_BODY} bytes"))
    })
}

/// Largest body, in bytes: a trunk with a thousand prefixes and a thousand addresses has some 50 KB.
const MAX_BODY: usize = 256 * 1024;
/// How long all of a body may take: the largest comes in time over 30 kB a second.
const DEADLINE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::StatusCode;
    use futures_util::stream;
    use std::convert::Infallible;
    use tokio::time::{Instant, sleep};

    #[tokio::test(start_paused = true)]
    async fn a_body_has_its_time_however_it_comes() {
        // A byte each second, and there are always more.
        let drops = stream::unfold((), async |()| {
            sleep(Duration::from_secs(1)).await;
            Some((Ok::<_, Infallible>(Bytes::from_static(b" ")), ()))
        });
        for body in [Body::from_stream(drops), Body::from_stream(stream::pending::<Result<Bytes, Infallible>>())] {
            let begun = Instant::now();
            let problem = read_body(body).await.unwrap_err();
            assert_eq!((problem.status(), begun.elapsed()), (StatusCode::REQUEST_TIMEOUT, DEADLINE));
        }
        assert_eq!(read_body(Body::from("{}")).await.unwrap(), "{}");
    }
}
