//! Lists and statistics over very many calls: a database that is filled, the API over it, and calls that come in meanwhile.
//!
//! The filling is SQL, for millions of calls take minutes even so. That it says the same as what the store itself would have written is
//! shown by a test, which has the store count the same calls anew.

#![expect(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a test fails where it goes wrong")]

mod fill;
mod incoming;
mod node;
mod questions;

pub use fill::{Database, Filled, MONTH_DAYS};
pub use incoming::Incoming;
pub use node::Node;
pub use questions::{Question, questions};

use tandem_model::{AccountId, BootId, NodeId, Timestamp};
use tandem_store::{MasterKey, StoreOptions};
use uuid::Uuid;

/// Who opens the store.
#[must_use]
pub fn options() -> StoreOptions {
    StoreOptions {
        master_key: MasterKey::from_bytes([7; 32]),
        node_id: NodeId::from_uuid(Uuid::from_u128(0x51)),
        boot_id: BootId::from_uuid(Uuid::from_u128(0x52)),
    }
}

/// The time of day.
#[must_use]
pub fn now() -> Timestamp {
    let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Timestamp::from_unix_micros(0).saturating_add(since_1970)
}

/// The same numbers in every run.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// From a seed that is not 0.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number from 0 to below the limit.
    pub const fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// Whose calls they are.
#[derive(Clone, Debug)]
pub struct Owner {
    /// The account.
    pub account: AccountId,
    /// A key of it.
    pub key: String,
}
