use crate::service::Core;
use crate::{Readiness, Unavailable};
use std::sync::Arc;
use std::time::Duration;
use tandem_model::{Traffic, TrunkLoad};
use tokio::sync::Mutex;
use tokio::time::Instant;

/// The node itself.
#[derive(Clone)]
pub(crate) struct Node {
    core: Arc<Core>,
    /// Held while the call path is asked, so that however many wait, one asks.
    last: Arc<Mutex<Option<Answered>>>,
}

struct Answered {
    readiness: Readiness,
    at: Instant,
}

impl Node {
    pub(super) fn new(core: Arc<Core>) -> Self {
        Self { core, last: Arc::default() }
    }

    /// What has been counted since the process began, and what each trunk carries now.
    ///
    /// # Errors
    /// The call path does not answer.
    pub(crate) async fn traffic(&self) -> Result<(Traffic, Vec<TrunkLoad>), Unavailable> {
        self.core.switchboard.traffic().await
    }

    /// Whether new calls are taken, and the numbers, at most [`FRESH`] old: everybody may ask, and the answer costs the call path a
    /// walk over all it holds.
    pub(crate) async fn readiness(&self) -> Readiness {
        let mut last = self.last.lock().await;
        if let Some(answered) = last.as_ref().filter(|answered| answered.at.elapsed() < FRESH) {
            return answered.readiness.clone();
        }
        let readiness = self.core.switchboard.readiness().await;
        *last = Some(Answered { readiness: readiness.clone(), at: Instant::now() });
        readiness
    }
}

/// How long an answer counts. Load balancers ask each second or less often.
const FRESH: Duration = Duration::from_millis(200);
