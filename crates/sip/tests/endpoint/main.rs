//! The endpoint as its peers and its user see it, in virtual time.

#![expect(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "helpers of tests: what is not as expected fails the test"
)]

mod authentication;
mod corpus;
mod dialogs;
mod lab;
mod large;
mod network;
mod races;
mod refusals;
mod storms;
mod timers;
