//! The use cases. They know the store and the switchboard, and neither HTTP nor SQL.

use crate::{ControlSettings, Switchboard};
use std::sync::Arc;
use tandem_store::Store;

/// Everything the handlers call. Cheap to clone.
#[derive(Clone)]
pub struct Services {
    pub(crate) store: Store,
    pub(crate) switchboard: Arc<dyn Switchboard>,
    pub(crate) settings: Arc<ControlSettings>,
}

impl Services {
    /// Joins the use cases to the store and to the call path.
    #[must_use]
    pub fn new(store: Store, switchboard: Arc<dyn Switchboard>, settings: ControlSettings) -> Self {
        Self { store, switchboard, settings: Arc::new(settings) }
    }
}
