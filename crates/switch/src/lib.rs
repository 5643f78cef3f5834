//! The B2BUA without IO: calls, legs, routing, trunk capacity, records and rating.
//!
//! [`Switch`] is driven like every machine of this workspace: `handle_*` with bytes, commands and time, then
//! [`Switch::poll_output`] until it is empty. It never waits, and it owns no socket and no clock.

mod call;
mod capacity;
mod command;
mod config;
mod credit;
mod deadlines;
mod family;
mod health;
mod kept;
mod named;
mod peers;
mod ports;
mod probe;
mod resources;
pub mod route;
#[cfg(not(feature = "sim-mutations"))]
mod rules;
#[cfg(feature = "sim-mutations")]
pub mod rules;
mod switch;

pub use capacity::Capacity;
pub use command::{
    Answer, Command, Counts, InboundRefusal, Output, ProbeFailure, ProbeResult, Question, QuestionId, Reply, ReplyId,
    ResolveError, ResolveId, Resolved,
};
pub use config::{Listener, SwitchConfig};
pub use family::{Family, OwnAddresses};
pub use kept::{Kept, OpenCall};
pub use ports::{PortPool, PortsExhausted};
pub use switch::Switch;
