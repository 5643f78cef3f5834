//! The HTTP face of the use cases: handlers, extractors, problem documents and the OpenAPI document.

mod body;
mod call_view;
mod caller;
mod calls;
mod dialling;
mod envelope;
mod model_schema;
mod node;
mod problem;
mod problem_schema;
mod query;
mod receipt_view;
mod refusal_view;
mod refusals;
mod request_schema;
mod trunk_view;
mod trunks;

use crate::Services;
use crate::http::problem::{Problem, ProblemCode};
use axum::Router;
use axum::extract::DefaultBodyLimit;
use utoipa::OpenApi as _;
use utoipa::openapi::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Every endpoint, ready to be served.
pub fn router(services: Services) -> Router {
    let (router, _) = endpoints().split_for_parts();
    router
        .fallback(unknown_path)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(DefaultBodyLimit::disable())
        .layer(axum::middleware::from_fn(envelope::envelope))
        .with_state(services)
}

/// The OpenAPI 3.1 document of every endpoint.
#[must_use]
pub fn openapi() -> OpenApi {
    let (_, mut document) = endpoints().split_for_parts();
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("An API key, as `tandem key create` prints it."))
        .build();
    document.components.get_or_insert_default().add_security_scheme("bearer", SecurityScheme::Http(bearer));
    document
}

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Tandem",
        description = "A self-hosted SIP trunk switch: trunks, routing and calls. Errors are problem documents (RFC 9457) with a \
                       stable `code`. Times are RFC 3339 in UTC; amounts are decimal numbers in the node's currency.",
    ),
    tags(
        (name = "trunks", description = "Connections to carriers."),
        (name = "calls", description = "The call log, live calls, and calls that something else carries."),
        (name = "refusals", description = "INVITEs that were refused, so that no call began."),
        (name = "routing", description = "How calls find their way."),
        (name = "node", description = "The node itself; open to everybody who reaches it."),
    )
)]
struct Document;

fn endpoints() -> OpenApiRouter<Services> {
    let api = OpenApiRouter::new()
        .routes(routes!(trunks::list, trunks::create))
        .routes(routes!(trunks::read, trunks::update, trunks::delete))
        .routes(routes!(trunks::check_health))
        .routes(routes!(calls::list, calls::create))
        .routes(routes!(calls::read, calls::update))
        .routes(routes!(calls::route))
        .routes(routes!(calls::timeline))
        .routes(routes!(calls::legs))
        .routes(routes!(refusals::list))
        .routes(routes!(refusals::read))
        .routes(routes!(dialling::dial))
        .routes(routes!(dialling::hang_up))
        .routes(routes!(dialling::explain));
    OpenApiRouter::with_openapi(Document::openapi())
        .nest(API_PATH, api)
        .routes(routes!(node::live))
        .routes(routes!(node::ready))
        .routes(routes!(node::document))
}

async fn unknown_path() -> Problem {
    Problem::new(ProblemCode::UnknownPath, "there is nothing at this path; see /openapi.json")
}

async fn method_not_allowed() -> Problem {
    Problem::new(
        ProblemCode::MethodNotAllowed,
        "the path does not know this method; the Allow header lists those it knows",
    )
}

/// Where the wire contract lives.
const API_PATH: &str = "/api/v1/telephony";
