//! The API over a real SQLite store and a scripted call path.
#![recursion_limit = "256"]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]
#![expect(clippy::needless_pass_by_value, reason = "JSON literals are written where they are used")]

mod alerts;
mod audit;
mod calls;
mod credits;
mod database_away;
mod dialling;
mod document;
mod dry_run;
mod erasures;
mod errors;
mod events;
mod harness;
mod idempotency;
mod inbound_routing;
mod jobs;
mod lists;
mod metrics;
mod node;
mod nothing_of_the_inside;
mod numbers;
mod pages;
mod people;
mod platform;
mod proxies;
mod rate_limits;
mod receiver;
mod refusals;
mod retention;
mod roles;
mod statistics;
mod tenancy;
mod trunks;
mod versions;
mod webhooks;
