//! SIP without IO: messages, transactions, dialogs, the INVITE usage and digest.

pub mod endpoint;
pub mod random;
pub mod session;
mod slab;

pub mod digest;
pub mod message;
