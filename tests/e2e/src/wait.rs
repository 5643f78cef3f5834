//! Waiting for what happens elsewhere.

use std::time::{Duration, Instant};

/// Asks until there is an answer, and fails after `timeout` with what was waited for.
///
/// # Panics
/// When the time is over.
pub fn eventually<T>(what: &str, timeout: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + timeout;
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(Instant::now() < deadline, "in {timeout:?}: no {what}");
        pause(POLL);
    }
}

/// Lets time pass: between two questions, or where a test shows that nothing happens.
pub fn pause(length: Duration) {
    let deadline = Instant::now() + length;
    while let Some(left) = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        std::thread::park_timeout(left);
    }
}

/// Between two questions: short beside every time that a test measures, long beside what a question costs.
const POLL: Duration = Duration::from_millis(10);
