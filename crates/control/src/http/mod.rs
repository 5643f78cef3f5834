//! The HTTP face of the use cases: handlers, extractors, problem documents and the OpenAPI document.

use crate::Services;
use axum::Router;
use utoipa::openapi::OpenApi;

/// Every endpoint, ready to be served.
pub fn router(services: Services) -> Router {
    Router::new().with_state(services)
}

/// The OpenAPI 3.1 document of every endpoint.
#[must_use]
pub fn openapi() -> OpenApi {
    OpenApi::default()
}
