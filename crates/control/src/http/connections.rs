//! What clients are told of their connections, before there is a request of theirs.

use crate::http::envelope::{finished, request_id};
use crate::http::problem::{Problem, ProblemCode};
use axum::Router;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// The same endpoints, of which only `/health` is answered: for connections beyond those that a node has.
pub fn health_alone(router: Router) -> Router {
    router.layer(axum::middleware::from_fn(only_health))
}

/// The answer to a client that has no place, as it goes over the wire.
#[must_use]
pub fn no_place_left() -> Vec<u8> {
    let problem = no_place();
    let status = problem.status();
    let reason = status.canonical_reason().unwrap_or_default();
    let body = serde_json::to_string(&problem.document(NO_REQUEST)).unwrap_or_default();
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {} {reason}\r\ncontent-type: application/problem+json\r\ncontent-length: {length}\r\nretry-after: 1\r\n\
         cache-control: no-store\r\nx-content-type-options: nosniff\r\nconnection: close\r\n\r\n",
        status.as_u16(),
    );
    [head, body].concat().into_bytes()
}

async fn only_health(request: Request, next: Next) -> Response {
    if request.uri().path().starts_with("/health/") {
        return next.run(request).await;
    }
    let (method, request_id) = (request.method().clone(), request_id(&request));
    finished(no_place().into_response(), &method, &request_id)
}

fn no_place() -> Problem {
    Problem::new(ProblemCode::ConnectionLimit, ProblemCode::ConnectionLimit.example())
}

/// No request was read.
const NO_REQUEST: &str = "none";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_finds_no_place_is_told_so_in_http() {
        let answer = String::from_utf8(no_place_left()).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{head}");
        assert!(head.contains(&format!("\r\ncontent-length: {}\r\n", body.len())), "{head}");
        let problem: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!((&problem["code"], &problem["status"]), (&"connection_limit".into(), &503.into()));
    }
}
