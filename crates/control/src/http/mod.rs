//! The HTTP face of the use cases: handlers, extractors, problem documents and the OpenAPI document.

mod access_problem;
mod access_schema;
mod access_view;
mod admission;
mod alert_schema;
mod alert_view;
mod alerts;
mod api_keys;
mod audit_log;
mod audit_view;
mod body;
mod call_export;
mod call_view;
mod caller;
mod calls;
mod client_address;
mod connections;
mod conventions;
mod credit_schema;
mod credit_view;
mod credits;
mod csv;
mod dialling;
mod dry_run;
mod envelope;
mod erasure_view;
mod erasures;
mod etag;
mod event_view;
mod events;
mod examples;
mod forwarded;
mod health;
mod health_view;
mod idempotency;
mod json;
mod metrics;
mod model_schema;
mod node;
mod number_view;
mod numbers;
mod pages;
mod permission;
mod problem;
mod problem_code;
mod problem_schema;
mod query;
mod receipt_view;
mod refusal_view;
mod refusals;
mod request_schema;
mod retention;
mod sessions;
mod shown_once;
mod statistics;
mod statistics_query;
mod statistics_view;
mod trunk_view;
mod trunks;
mod users;
mod webhook_schema;
mod webhook_view;
mod webhooks;

pub use client_address::ClientAddress;
pub use connections::{health_alone, no_place_left};

use crate::Services;
use crate::http::permission::{needs, needs_all};
use crate::http::problem::{Problem, ProblemCode};
use axum::Router;
use tandem_model::Permission::{self, Admin, Calls, Read, Write};
use utoipa::OpenApi as _;
use utoipa::openapi::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};
use utoipa_axum::routes;

/// Every endpoint, ready to be served.
pub fn router(services: Services) -> Router {
    let (router, document) = endpoints().split_for_parts();
    let parameters = query::KnownParameters::of(&described(document));
    router
        .merge(pages::pages())
        .fallback(unknown_path)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(axum::middleware::from_fn_with_state(
            envelope::Surroundings::new(services.clone(), parameters),
            envelope::envelope,
        ))
        .with_state(services)
}

/// What a node answers that waits for its database at the start: that it is live and not ready, and to everything else 503.
pub fn waiting_router() -> Router {
    Router::new()
        .route("/health/live", axum::routing::get(node::live))
        .route("/health/ready", axum::routing::get(node::waiting))
        .fallback(database_is_waited_for)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(axum::middleware::from_fn(envelope::bare))
}

/// The OpenAPI 3.1 document of every endpoint.
#[must_use]
pub fn openapi() -> OpenApi {
    let (_, document) = endpoints().split_for_parts();
    described(document)
}

/// The document with what holds for all.
fn described(mut document: OpenApi) -> OpenApi {
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some(
            "An API key, an access token of `POST /sessions`, or a token of the platform. Each operation names the permission that \
             it needs. An admin of the node may name another account in `X-Act-As`.",
        ))
        .build();
    document.components.get_or_insert_default().add_security_scheme("bearer", SecurityScheme::Http(bearer));
    query::describe(&mut document);
    conventions::write_into(&mut document);
    examples::write_into(&mut document);
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
        (name = "numbers", description = "Numbers of the account, and what becomes of calls to them."),
        (name = "calls", description = "The call log, live calls, and calls that something else carries."),
        (name = "refusals", description = "INVITEs that were refused, so that no call began."),
        (name = "alerts", description = "What somebody should look at."),
        (name = "events", description = "What happens, as it happens: by a stream, or by webhooks."),
        (name = "statistics", description = "What calls add up to."),
        (name = "routing", description = "How calls find their way."),
        (name = "credits", description = "What accounts may spend on calls."),
        (name = "access", description = "API keys, users, and signing in."),
        (name = "audit", description = "Who did what, and for how long data is kept."),
        (name = "node", description = "The node itself; open to everybody who reaches it."),
    )
)]
struct Document;

/// Every endpoint with the permission that it needs; those without one are open to everybody.
fn endpoints() -> OpenApiRouter<Services> {
    let api = [
        needs(Read, routes!(trunks::list)),
        needs(Write, routes!(trunks::create)),
        needs(Read, routes!(trunks::read)),
        needs(Write, routes!(trunks::update, trunks::delete)),
        needs(Write, routes!(trunks::check_health)),
        needs(Read, routes!(health::read)),
        needs(Read, routes!(statistics::of_trunk)),
        needs(Read, routes!(statistics::dashboard)),
        needs(Read, routes!(statistics::analytics)),
        needs(Read, routes!(numbers::list)),
        needs(Write, routes!(numbers::create)),
        needs(Read, routes!(numbers::read)),
        needs(Write, routes!(numbers::update, numbers::delete)),
        needs(Read, routes!(calls::list)),
        needs(Calls, routes!(calls::create)),
        needs(Read, routes!(call_export::export)),
        needs(Read, routes!(calls::read)),
        needs(Calls, routes!(calls::update)),
        needs(Read, routes!(calls::route)),
        needs(Read, routes!(calls::timeline)),
        needs(Read, routes!(calls::legs)),
        needs(Read, routes!(refusals::list)),
        needs(Read, routes!(refusals::read)),
        needs(Read, routes!(alerts::list)),
        needs(Read, routes!(alerts::read)),
        needs(Write, routes!(alerts::acknowledge)),
        needs(Write, routes!(alerts::resolve)),
        needs(Admin, routes!(alerts::settings, alerts::update_settings)),
        needs(Read, routes!(credits::read)),
        needs(Read, routes!(credits::ledger)),
        needs(Admin, routes!(credits::grant, credits::set)),
        needs(Calls, routes!(dialling::dial)),
        needs(Calls, routes!(dialling::hang_up)),
        needs(Read, routes!(dialling::explain)),
        needs(Admin, routes!(audit_log::list)),
        needs(Admin, routes!(audit_log::export)),
        needs(Admin, routes!(retention::read, retention::update)),
        needs(Read, routes!(erasures::list)),
        needs(Admin, routes!(erasures::create)),
        needs(Read, routes!(erasures::read)),
        needs(Read, routes!(events::stream)),
        needs(Read, routes!(webhooks::list)),
        needs_all(LISTENS, routes!(webhooks::create)),
        needs(Read, routes!(webhooks::read)),
        needs_all(LISTENS, routes!(webhooks::update)),
        needs(Write, routes!(webhooks::delete)),
        needs_all(LISTENS, routes!(webhooks::rotate_secret)),
        needs_all(LISTENS, routes!(webhooks::test)),
        needs(Read, routes!(webhooks::deliveries)),
        needs_all(LISTENS, routes!(webhooks::replay_one)),
        needs_all(LISTENS, routes!(webhooks::replay)),
        needs(Admin, routes!(api_keys::list, api_keys::create)),
        needs(Admin, routes!(api_keys::read, api_keys::revoke)),
        needs(Admin, routes!(users::list, users::create)),
        needs(Admin, routes!(users::read, users::update, users::delete)),
        needs(Read, routes!(users::change_password)),
        routes!(sessions::create),
        routes!(sessions::refresh),
        needs(Read, routes!(sessions::list)),
        needs(Read, routes!(sessions::end_current)),
        needs(Read, routes!(sessions::end)),
    ];
    let router = OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(node::live))
        .routes(routes!(node::ready))
        .routes(routes!(node::document))
        .routes(needs(Read, routes!(metrics::read)));
    api.into_iter().map(below_api_path).fold(router, OpenApiRouter::routes)
}

/// Puts endpoints where the wire contract has them. A nested router would do it anew for each request: it takes the prefix off its path.
fn below_api_path((schemas, mut paths, methods): UtoipaMethodRouter<Services>) -> UtoipaMethodRouter<Services> {
    paths.paths = paths.paths.into_iter().map(|(path, item)| (format!("{API_PATH}{path}"), item)).collect();
    (schemas, paths, methods)
}

async fn database_is_waited_for() -> Problem {
    Problem::new(
        ProblemCode::DatabaseUnavailable,
        "the node is starting and waits for its database; try again in a moment",
    )
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

/// Whoever decides where events are sent can read them.
const LISTENS: &[Permission] = &[Write, Read];
/// Where the wire contract lives.
const API_PATH: &str = "/api/v1/telephony";
