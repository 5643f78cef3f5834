use crate::http::openapi;
use crate::{Readiness, Services};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

/// The process runs.
#[derive(Serialize, ToSchema)]
pub(crate) struct Liveness {
    /// `live`.
    status: &'static str,
}

/// Whether the process runs.
#[utoipa::path(get, path = "/health/live", tag = "node", security(()), responses((status = 200, body = Liveness)))]
pub(crate) async fn live() -> Json<Liveness> {
    Json(Liveness { status: "live" })
}

/// Whether the node takes new calls, with its numbers.
#[utoipa::path(
    get,
    path = "/health/ready",
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

/// This document.
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "node",
    security(()),
    responses((status = 200, description = "The OpenAPI 3.1 document.", body = serde_json::Value))
)]
pub(crate) async fn document() -> Json<utoipa::openapi::OpenApi> {
    Json(openapi())
}
