//! What tests of whole calls in virtual time share: the scripted ones of the switch, and the simulation.

#![expect(clippy::unwrap_used, reason = "helpers of tests: what is not as expected fails the test")]

mod ended;
mod journal;
pub mod setup;

pub use ended::Ended;
pub use journal::{Entry, Journal, WrittenCall};
