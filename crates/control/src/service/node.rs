use crate::Readiness;
use crate::service::Core;
use std::sync::Arc;
use std::time::Duration;
use tandem_model::{Traffic, TrunkLoad};
use tokio::sync::Mutex;
use tokio::time::Instant;

/// The node itself. The call path is asked for its numbers at most every [`FRESH`], however many want to know: the answer costs it a walk
/// over all it holds.
#[derive(Clone)]
pub(crate) struct Node {
    core: Arc<Core>,
    readiness: Arc<Kept<Readiness>>,
    counted: Arc<Kept<Option<Arc<Counted>>>>,
}

/// What has been counted since the process began, and what each trunk carries, by id.
pub(crate) type Counted = (Traffic, Vec<TrunkLoad>);

impl Node {
    pub(super) fn new(core: Arc<Core>) -> Self {
        Self { core, readiness: Arc::default(), counted: Arc::default() }
    }

    /// Whether new calls are taken, and the numbers.
    pub(crate) async fn readiness(&self) -> Readiness {
        self.readiness.get(async || self.core.switchboard.readiness().await).await
    }

    /// What has been counted; `None` when the call path does not answer.
    pub(crate) async fn counted(&self) -> Option<Arc<Counted>> {
        self.counted.get(async || self.core.switchboard.traffic().await.ok().map(Arc::new)).await
    }
}

/// An answer that counts for [`FRESH`].
struct Kept<T> {
    /// Held while it is asked for, so that however many wait, one asks.
    last: Mutex<Option<(T, Instant)>>,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self { last: Mutex::new(None) }
    }
}

impl<T: Clone> Kept<T> {
    async fn get(&self, ask: impl AsyncFnOnce() -> T) -> T {
        let mut last = self.last.lock().await;
        if let Some((answer, _)) = last.as_ref().filter(|(_, at)| at.elapsed() < FRESH) {
            return answer.clone();
        }
        let answer = ask().await;
        *last = Some((answer.clone(), Instant::now()));
        answer
    }
}

/// How long an answer counts. Load balancers and Prometheus ask each second or less often.
const FRESH: Duration = Duration::from_millis(200);
