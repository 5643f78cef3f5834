//! The use cases. They know the store and the switchboard, and neither HTTP nor SQL.

mod access;
mod calls;
mod dialling;
mod external_calls;
mod node;
mod probing;
mod refusals;
mod stale_sweep;
mod trunks;

use crate::{Clock, ControlSettings, Switchboard};
use std::sync::Arc;
use tandem_model::{AddressPolicy, Timestamp};
use tandem_store::{DatabaseError, Store};

pub(crate) use access::{Access, Caller};
pub(crate) use calls::{Calls, CreateCallError, FindCallError, LogPage, UpdateCallError, was_answered};
pub(crate) use dialling::{DialCallError, Dialling, ExplainError, HangUpError};
pub(crate) use external_calls::MAX_OPEN_CALLS;
pub(crate) use node::Node;
pub(crate) use probing::HealthCheckError;
pub(crate) use refusals::{FindRefusalError, Refusals};
pub(crate) use trunks::{CreateTrunkError, DeleteTrunkError, ReadTrunkError, ShownTrunk, Trunks, UpdateTrunkError};

/// Everything the handlers call. Cheap to clone.
#[derive(Clone)]
pub struct Services {
    pub(crate) access: Access,
    pub(crate) trunks: Trunks,
    pub(crate) calls: Calls,
    pub(crate) refusals: Refusals,
    pub(crate) dialling: Dialling,
    pub(crate) node: Node,
    /// The currency of every amount.
    pub(crate) currency: Arc<str>,
}

impl Services {
    /// Joins the use cases to the store and to the call path.
    #[must_use]
    pub fn new(store: Store, switchboard: Arc<dyn Switchboard>, settings: ControlSettings) -> Self {
        let peers = AddressPolicy::new(settings.peer_allow);
        let currency = settings.currency.into();
        let core = Arc::new(Core { store, switchboard, peers, clock: settings.clock });
        Self {
            access: Access::new(Arc::clone(&core)),
            trunks: Trunks::new(Arc::clone(&core)),
            calls: Calls::new(Arc::clone(&core)),
            refusals: Refusals::new(Arc::clone(&core)),
            dialling: Dialling::new(Arc::clone(&core)),
            node: Node::new(core),
            currency,
        }
    }
}

/// What every use case stands on.
struct Core {
    store: Store,
    switchboard: Arc<dyn Switchboard>,
    peers: AddressPolicy,
    clock: Arc<dyn Clock>,
}

impl Core {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

/// Random bits of a new id.
fn id_bits() -> Result<[u8; 10], DatabaseError> {
    let mut bits = [0; 10];
    getrandom::fill(&mut bits).map_err(DatabaseError::Randomness)?;
    Ok(bits)
}
