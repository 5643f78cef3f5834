//! Virtual time for unit tests: one arbitrary moment, and moments after it.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

#[expect(
    clippy::disallowed_methods,
    reason = "an Instant can only be had from the clock; tests read it once and count from there"
)]
pub(crate) fn start() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now)
}

pub(crate) fn after_ms(ms: u64) -> Instant {
    start() + Duration::from_millis(ms)
}
