use std::time::{Instant, SystemTime, UNIX_EPOCH};
use tandem_control::Clock;
use tandem_model::{Now, Timestamp};

/// The clocks of this machine: the one place where time comes into the program.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SystemClock;

impl SystemClock {
    /// Both clocks at one moment.
    pub(crate) fn now_both() -> Now {
        Now { instant: Instant::now(), utc: Self::utc() }
    }

    pub(crate) fn utc() -> Timestamp {
        // A clock before 1970 is a machine without a clock; its records say 1970.
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_unix_micros(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX))
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Self::utc()
    }
}
