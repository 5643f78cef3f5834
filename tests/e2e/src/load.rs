//! Something that is done again and again at a steady rate, whatever becomes of each.

use crate::wait::pause;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// A load that goes on until it is finished: calls by the API, or by whatever else the closure does for each.
#[derive(Debug)]
pub struct Load<T> {
    stop: Arc<AtomicBool>,
    driver: JoinHandle<Vec<JoinHandle<Done<T>>>>,
}

/// One of them.
#[derive(Clone, Debug)]
pub struct Done<T> {
    /// When it began.
    pub at: Instant,
    /// How long it took.
    pub took: Duration,
    /// What came of it.
    pub result: T,
}

impl<T: Send + 'static> Load<T> {
    /// Does it so many times a second, the first at once. Each has a thread of its own, so that one that waits keeps no other waiting.
    #[must_use]
    pub fn start(per_second: u32, each: impl Fn(u32) -> T + Send + Sync + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let each = Arc::new(each);
        let driver = thread::spawn(move || {
            let began = Instant::now();
            let mut threads = Vec::new();
            for number in 0.. {
                let due = Duration::from_secs(1) * number / per_second;
                pause(due.saturating_sub(began.elapsed()));
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                let each = Arc::clone(&each);
                threads.push(thread::spawn(move || {
                    let at = Instant::now();
                    let result = each(number);
                    Done { at, took: at.elapsed(), result }
                }));
            }
            threads
        });
        Self { stop, driver }
    }

    /// Begins no more, waits for those under way, and gives all in the order in which they began.
    ///
    /// # Panics
    /// When one of them did.
    #[must_use]
    pub fn finish(self) -> Vec<Done<T>> {
        self.stop.store(true, Ordering::Relaxed);
        let threads = self.driver.join().expect("the driver only counts");
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    }
}
