use crate::Readiness;
use crate::service::Core;
use std::sync::Arc;

/// The node itself.
#[derive(Clone)]
pub(crate) struct Node {
    core: Arc<Core>,
}

impl Node {
    pub(super) fn new(core: Arc<Core>) -> Self {
        Self { core }
    }

    /// Whether new calls are taken, and the numbers.
    pub(crate) async fn readiness(&self) -> Readiness {
        self.core.switchboard.readiness().await
    }
}
