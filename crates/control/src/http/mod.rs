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
use utoipa_axum::router::OpenApiRouter;
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
    let api = OpenApiRouter::new()
        .routes(needs(Read, routes!(trunks::list)))
        .routes(needs(Write, routes!(trunks::create)))
        .routes(needs(Read, routes!(trunks::read)))
        .routes(needs(Write, routes!(trunks::update, trunks::delete)))
        .routes(needs(Write, routes!(trunks::check_health)))
        .routes(needs(Read, routes!(health::read)))
        .routes(needs(Read, routes!(statistics::of_trunk)))
        .routes(needs(Read, routes!(statistics::dashboard)))
        .routes(needs(Read, routes!(statistics::analytics)))
        .routes(needs(Read, routes!(numbers::list)))
        .routes(needs(Write, routes!(numbers::create)))
        .routes(needs(Read, routes!(numbers::read)))
        .routes(needs(Write, routes!(numbers::update, numbers::delete)))
        .routes(needs(Read, routes!(calls::list)))
        .routes(needs(Calls, routes!(calls::create)))
        .routes(needs(Read, routes!(call_export::export)))
        .routes(needs(Read, routes!(calls::read)))
        .routes(needs(Calls, routes!(calls::update)))
        .routes(needs(Read, routes!(calls::route)))
        .routes(needs(Read, routes!(calls::timeline)))
        .routes(needs(Read, routes!(calls::legs)))
        .routes(needs(Read, routes!(refusals::list)))
        .routes(needs(Read, routes!(refusals::read)))
        .routes(needs(Read, routes!(alerts::list)))
        .routes(needs(Read, routes!(alerts::read)))
        .routes(needs(Write, routes!(alerts::acknowledge)))
        .routes(needs(Write, routes!(alerts::resolve)))
        .routes(needs(Admin, routes!(alerts::settings, alerts::update_settings)))
        .routes(needs(Read, routes!(credits::read)))
        .routes(needs(Read, routes!(credits::ledger)))
        .routes(needs(Admin, routes!(credits::grant, credits::set)))
        .routes(needs(Calls, routes!(dialling::dial)))
        .routes(needs(Calls, routes!(dialling::hang_up)))
        .routes(needs(Read, routes!(dialling::explain)))
        .routes(needs(Admin, routes!(audit_log::list)))
        .routes(needs(Admin, routes!(audit_log::export)))
        .routes(needs(Admin, routes!(retention::read, retention::update)))
        .routes(needs(Read, routes!(erasures::list)))
        .routes(needs(Admin, routes!(erasures::create)))
        .routes(needs(Read, routes!(erasures::read)))
        .routes(needs(Read, routes!(events::stream)))
        .routes(needs(Read, routes!(webhooks::list)))
        .routes(needs_all(LISTENS, routes!(webhooks::create)))
        .routes(needs(Read, routes!(webhooks::read)))
        .routes(needs_all(LISTENS, routes!(webhooks::update)))
        .routes(needs(Write, routes!(webhooks::delete)))
        .routes(needs_all(LISTENS, routes!(webhooks::rotate_secret)))
        .routes(needs_all(LISTENS, routes!(webhooks::test)))
        .routes(needs(Read, routes!(webhooks::deliveries)))
        .routes(needs_all(LISTENS, routes!(webhooks::replay_one)))
        .routes(needs_all(LISTENS, routes!(webhooks::replay)))
        .routes(needs(Admin, routes!(api_keys::list, api_keys::create)))
        .routes(needs(Admin, routes!(api_keys::read, api_keys::revoke)))
        .routes(needs(Admin, routes!(users::list, users::create)))
        .routes(needs(Admin, routes!(users::read, users::update, users::delete)))
        .routes(needs(Read, routes!(users::change_password)))
        .routes(routes!(sessions::create))
        .routes(routes!(sessions::refresh))
        .routes(needs(Read, routes!(sessions::list)))
        .routes(needs(Read, routes!(sessions::end_current)))
        .routes(needs(Read, routes!(sessions::end)));
    OpenApiRouter::with_openapi(Document::openapi())
        .nest(API_PATH, api)
        .routes(routes!(node::live))
        .routes(routes!(node::ready))
        .routes(routes!(node::document))
        .routes(needs(Read, routes!(metrics::read)))
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
