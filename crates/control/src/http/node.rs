use crate::http::json::Json;
use crate::http::openapi;
use crate::http::problem::ProblemCode;
use crate::{Readiness, Services};
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde::Serialize;
use std::sync::LazyLock;
use utoipa::ToSchema;

/// The process runs.
#[derive(Serialize, ToSchema)]
pub(crate) struct Liveness {
    /// `live`.
    status: &'static str,
}

/// Whether the process runs.
#[utoipa::path(
    get,
    path = "/health/live",
    operation_id = "read_liveness",
    tag = "node",
    security(()),
    responses((status = 200, description = "It runs.", body = Liveness))
)]
pub(crate) async fn live() -> Json<Liveness> {
    Json(Liveness { status: "live" })
}

/// Whether the node takes new calls, with its numbers.
#[utoipa::path(
    get,
    path = "/health/ready",
    operation_id = "read_readiness",
    tag = "node",
    security(()),
    responses(
        (status = 200, description = "New calls are taken.", body = Readiness),
        (status = 503, description = "New calls are not taken.", body = Readiness),
    )
)]
pub(crate) async fn ready(State(services): State<Services>) -> (StatusCode, Json<Readiness>) {
    let readiness = services.node.readiness().await;
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness))
}

/// That the node is starting and waits for its database.
pub(crate) async fn waiting() -> (StatusCode, Json<Readiness>) {
    let refuses_because = Some(ProblemCode::DatabaseUnavailable.as_str().to_owned());
    (StatusCode::SERVICE_UNAVAILABLE, Json(Readiness { refuses_because, ..Readiness::default() }))
}

/// This document.
#[utoipa::path(
    get,
    path = "/openapi.json",
    operation_id = "read_document",
    tag = "node",
    security(()),
    responses((status = 200, description = "The OpenAPI 3.1 document.", body = serde_json::Value))
)]
pub(crate) async fn document() -> impl IntoResponse {
    // Made once: everybody may ask for it.
    static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| openapi().to_json().unwrap_or_default().into());
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT.clone())
}
