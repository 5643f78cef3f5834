use crate::http::problem::Problem;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// An answer in JSON. There is room at once for most answers, and for the headers that they have in the end.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        let mut body = Vec::with_capacity(MOST_BODIES);
        if let Err(error) = serde_json::to_writer(&mut body, &self.0) {
            tracing::error!(%error, "an answer cannot be written as JSON");
            return Problem::internal().into_response();
        }
        let mut response = Response::new(Body::from(body));
        let mut headers = HeaderMap::with_capacity(MOST_HEADERS);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        *response.headers_mut() = headers;
        response
    }
}

/// What most answers fit into, in bytes: a trunk has some 1,200.
const MOST_BODIES: usize = 2_048;
/// Type, length, version, the request's id, two on rates, two for caches and browsers, and one to spare.
const MOST_HEADERS: usize = 9;
