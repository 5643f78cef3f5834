//! SIP without IO: messages, transactions, dialogs, the INVITE usage and digest.

pub mod digest;
pub mod endpoint;
pub mod message;
pub mod random;
pub mod session;
pub mod timer;

mod context;
mod deadlines;
pub mod dialog;
mod fingerprint;
mod flow_counts;
mod names;
#[cfg(not(feature = "sim-mutations"))]
mod rules;
#[cfg(feature = "sim-mutations")]
pub mod rules;
mod slab;
mod transaction;

#[cfg(test)]
mod test_clock;
