//! Calls in virtual time: a switch with its media engine, scripted far ends, and a network that can delay and lose.

#![expect(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "helpers of tests: what is not as expected fails the test"
)]

mod addresses;
mod answered;
mod commands;
mod credit;
mod failover;
mod families;
mod far_end;
mod given_up;
mod health;
mod inbound;
mod lab;
mod limits;
mod mid_call;
mod probes;
mod random_calls;
mod records;
mod restart;
mod test_calls;
mod traffic;
mod two_parties;
