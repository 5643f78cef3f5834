//! Transactions: RFC 3261 §17, as amended by RFC 6026 and RFC 4320.
//!
//! A machine holds its state and its timers and nothing else. [`Transactions`] holds the machines with the octets they
//! resend, finds the one a message belongs to, and does what it says.

mod client;
mod invite_client;
mod invite_server;
mod non_invite_client;
mod non_invite_server;
mod server;
mod stream_first;
mod table;

pub(crate) use client::{ClientOwner, Received};
pub(crate) use invite_client::{InviteClient, OnResponse};
pub(crate) use invite_server::InviteServer;
pub(crate) use non_invite_client::NonInviteClient;
pub(crate) use non_invite_server::NonInviteServer;
pub(crate) use server::{Reply, ServerOwner};
pub(crate) use stream_first::{Fallback, StreamFirst};
pub(crate) use table::{NewServer, Transactions};
