//! Threads, sockets and clocks: the thin shell around the machines.
//!
//! ```text
//!            commands, addresses                     media commands
//! tokio ───────────────────────────► signalling ───────────────────────► media
//! (API, store, DNS) ◄─────────────── shard thread ◄───────────────────── thread
//!            replies, records                        media events
//! ```
//!
//! Every arrow is a bounded queue. What must not be lost waits in a `Backlog` on the sender's side when its queue is full.

mod admission;
mod backlog;
mod carrier_machine;
mod clock;
mod credit_sharing;
mod health;
mod journal;
mod journal_gauge;
mod key_keeper;
mod line;
mod media;
mod pace;
mod random;
mod recorder;
mod resolver;
mod routes;
mod signalling;
mod streams;
mod switch_machine;
mod switchboard;
mod trunk_states;
mod unwritten;
mod vital;

pub(crate) use admission::Admission;
pub(crate) use carrier_machine::CarrierMachine;
pub(crate) use clock::SystemClock;
pub(crate) use credit_sharing::CreditSharing;
pub(crate) use health::HealthKeeper;
pub(crate) use journal::{TurnJournal, open_calls};
pub(crate) use journal_gauge::JournalGauge;
pub(crate) use key_keeper::keep_keys;
pub(crate) use line::Straight;
pub(crate) use media::{BindPortsError, MediaHandle, MediaSockets, MediaThread};
pub(crate) use random::OsRandom;
pub(crate) use recorder::Recorder;
pub(crate) use resolver::{LookedUp, Resolver};
pub(crate) use routes::RouteLoader;
pub(crate) use signalling::{BindSignallingError, Shard, ShardHandle, SignallingSockets};
pub(crate) use streams::MAX_CONNECTIONS;
pub(crate) use switch_machine::{ShardCommand, SwitchMachine};
pub(crate) use switchboard::{ShardSwitchboard, SwitchboardParts};
pub(crate) use trunk_states::{ShardEpoch, TrunkStates};
