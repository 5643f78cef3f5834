//! The whole switch in virtual time: callers, carriers and a network that loses, repeats, reorders and delays, and processes that die,
//! all from one seed. A seed that fails once fails always.

#![expect(clippy::unwrap_used, reason = "what is not as expected fails the test")]

mod actions;
mod aftermath;
mod audio;
mod carrier_host;
mod configuration;
mod credit;
mod description;
mod far_end;
mod found;
mod habits;
mod media;
mod mutation;
mod network;
mod node;
mod occupancy;
mod scenario;
mod signalling;
mod wire;
mod world;

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

pub use found::FOUND;
pub use mutation::Mutation;

use world::World;

/// What to simulate.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Calls that are placed, by us or to us.
    pub calls: usize,
    /// The rule that is switched off.
    pub mutation: Option<Mutation>,
    /// Prints every message on standard error.
    pub is_traced: bool,
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// Of the run.
    pub seed: u64,
    /// Calls that were placed, by us or to us.
    pub placed: usize,
    /// Calls and refusals that are on record; what never reached us is on none.
    pub on_record: usize,
    /// Datagrams that were sent.
    pub packets: u64,
    /// What it came to: kinds of events, causes, and codes of outcomes and of refusals.
    pub reached: BTreeSet<String>,
    /// What does not hold and should; empty in a good run.
    pub faults: Vec<Fault>,
}

/// Something that does not hold.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Since the start of the run.
    pub at: Duration,
    /// What.
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} s: {}", self.at.as_secs_f64(), self.what)
    }
}

impl Default for Options {
    fn default() -> Self {
        Self { calls: CALLS, mutation: None, is_traced: false }
    }
}

/// Simulates what the seed stands for.
#[must_use]
pub fn run(seed: u64, options: &Options) -> Report {
    let mut world = World::draw(seed, options.calls, options.mutation, options.is_traced);
    if let Some((last, _)) = world.actions.back().copied() {
        world.run_until(last);
    }
    world.finish();
    let on_record = world.node.journal.calls().count() + world.node.journal.refusals().len();
    let (placed, packets) = (world.placed, world.network.sent());
    Report { seed, placed, on_record, packets, reached: world.reached, faults: world.faults }
}

/// So many a seed that far ends, trunks and ports come to their limits.
pub const CALLS: usize = 100;
