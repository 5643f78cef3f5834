//! `GET /metrics`: the numbers of the node for Prometheus.

mod access;
mod alerts;
mod exposition;
mod families;
mod keeping;
mod mails;
mod process;
mod requests;
mod webhooks;

pub(super) use requests::Requests;

use crate::Services;
use crate::http::problem::ProblemDocument;
use access::NodeReader;
use axum::Extension;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use exposition::{Exposition, Kind};

/// Where they are. The requests to it alone are given the counts.
pub(super) const PATH: &str = "/metrics";

/// The numbers of the node, for Prometheus.
///
/// A program on the node's own host needs no key; from elsewhere it takes one of the operator's own account.
#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "read_metrics",
    tag = "node",
    responses(
        (status = 200, description = "The text format of Prometheus, version 0.0.4.", body = String, content_type = "text/plain"),
        (status = 401, description = "The request is not from this host and has no good bearer.", body = ProblemDocument,
         content_type = "application/problem+json"),
        (status = 503, description = "The database does not answer, so nobody can tell whose bearer it is.",
         body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(super) async fn read(
    _: NodeReader,
    State(services): State<Services>,
    Extension(requests): Extension<Requests>,
) -> impl IntoResponse {
    // Both at once: should the call path be silent, the answer must come before Prometheus gives up.
    let (counted, readiness) = tokio::join!(services.node.counted(), services.node.readiness());
    let mut exposition = Exposition::default();
    families::of_node(&readiness, counted.is_some(), &mut exposition);
    families::of_traffic(counted.as_deref(), &mut exposition);
    alerts::expose(&services, &mut exposition);
    mails::expose(&services, &mut exposition).await;
    webhooks::expose(&services, &mut exposition).await;
    keeping::expose(&services, &mut exposition);
    let streams = services.events.open_streams() as u64;
    exposition.gauge("tandem_event_streams", "Clients that are told events as they happen.", streams);
    let help = "Passwords compared with a hash, each of which takes a processor for tens of milliseconds.";
    let compared = services.sessions.passwords_compared();
    exposition.family("tandem_passwords_compared_total", Kind::Counter, help).sample(&[], compared);
    let help = "New passwords hashed, each of which takes as much.";
    let hashed = services.sessions.passwords_hashed();
    exposition.family("tandem_passwords_hashed_total", Kind::Counter, help).sample(&[], hashed);
    requests.expose(&mut exposition);
    process::expose(&mut exposition);
    ([(header::CONTENT_TYPE, exposition::CONTENT_TYPE)], exposition.into_text())
}
