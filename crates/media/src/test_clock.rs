//! A starting point in time for tests, which only add to it.

use std::sync::LazyLock;
use std::time::Instant;

/// The same moment for every caller.
#[expect(clippy::disallowed_methods, reason = "an Instant cannot be made otherwise; nothing waits")]
pub(crate) fn start() -> Instant {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    *START
}
