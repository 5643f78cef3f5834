use crate::{DatabaseError, Store};
use tandem_model::{Account, Trunk, TrunkId};

/// Everything that routing reads, as of one moment.
#[derive(Clone, Debug)]
pub struct RoutingSnapshot {
    /// The revision it shows.
    pub revision: u64,
    /// Every account.
    pub accounts: Vec<Account>,
    /// Every trunk that is not deleted, by account, priority, age.
    pub trunks: Vec<Trunk>,
    /// Trunks whose rows do not read, with why. They are left out, so that one bad row does not stop all calls.
    pub unreadable: Vec<(TrunkId, String)>,
}

impl Store {
    /// Counts the changes of accounts, trunks and keys: one cheap query, to be asked often.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn revision(&self) -> Result<u64, DatabaseError> {
        todo!()
    }

    /// Everything that routing reads.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn routing_snapshot(&self) -> Result<RoutingSnapshot, DatabaseError> {
        todo!()
    }
}
