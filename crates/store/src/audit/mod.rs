//! The audit log: who did what, in chains of hashes whose ends only who has the master key can set.
//!
//! Each account has a log, and the node has one, which also says which logs there are. An entry holds the hash of the one before it,
//! so that what is changed, dropped or put elsewhere breaks the chain; the head of a chain is authenticated, so that its end cannot
//! be cut off and the whole cannot be written anew.

mod append;
mod chain;
mod change;
mod note;
mod read;
mod verify;

pub(crate) use append::ActTransaction;
pub use change::{Change, NODE};
pub use read::{AUDIT_LOG_KEY, AuditEntry, AuditFilter};
pub use verify::{Fault, Finding, MAX_FINDINGS, Verified};
pub(crate) use verify::{RemacOutcome, Truncated, remac_head, truncate_head};
