//! The append-only journal of a shard: what the call path must not forget, written before it acts.
//!
//! A signalling shard appends its [`Entry`]s once per loop turn, in one `write(2)`, before that turn's datagrams leave. A
//! [`Tailer`] reads the records back in batches for the store. After a crash [`Writer::open`] says which calls were open and
//! what is needed to end their legs.
//!
//! ```text
//! <dir>/shard-<n>/lock                          held while a writer is open
//! <dir>/shard-<n>/<number, 20 digits>.journal   header, snapshot, frames
//! <dir>/set-aside/                              what could not be read or stored, with its place and reason
//! ```
//!
//! Every segment begins with a snapshot: the latest state of every call that is not over and all that is kept for its legs. So the
//! newest segment alone says what was open, and older ones are only there until the store has their records. A snapshot is copied a
//! few calls at a time, while the segment before it goes on: thousands of calls hold up no turn of the shard.
//!
//! Deliberately absent: threads, clocks, logging, the free space of the disk (the owner asks for it).

mod appender;
mod directory;
mod entry;
mod format;
mod ledger;
mod new_segment;
mod position;
mod recovered;
mod segment;
mod set_aside;
mod tailer;
mod writer;

pub use directory::Hold;
pub use entry::{Entry, Kept, KeptFlow};
pub use format::{EntryError, FORMAT_VERSION, MAX_PAYLOAD_BYTES, SegmentHeader, UnknownVersion};
pub use position::{Damage, DamageReason, Position};
pub use recovered::{OpenCall, OpenLeg, Recovered};
pub use segment::{Piece, SegmentReader, read_segment};
pub use tailer::{Batch, SetAside, Tailer, bytes_behind};
pub use writer::{
    AppendError, DEFAULT_SEGMENT_BYTES, DEFAULT_SNAPSHOT_BYTES_PER_TURN, OpenError, Options, RotationError, Sync,
    Writer,
};
