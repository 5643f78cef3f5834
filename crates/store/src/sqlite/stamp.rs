use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// Tells whether anything was written to the file since its one row was asked for, by its write-ahead log alone: to look at that costs a
/// hundredth of a query, and an idle node does it twenty times a second.
pub(super) struct Watch {
    log: PathBuf,
    last: Mutex<Option<Look>>,
}

/// What was found.
struct Look {
    at: Instant,
    stamp: Stamp,
    value: u64,
}

/// Every commit appends to the log or writes over it, by whichever process.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    modified: SystemTime,
    bytes: u64,
}

impl Watch {
    pub(super) fn new(path: &Path) -> Self {
        let mut log = OsString::from(path);
        log.push("-wal");
        Self { log: PathBuf::from(log), last: Mutex::new(None) }
    }

    /// What the file has now; to be taken before it is asked.
    pub(super) fn stamp(&self) -> Option<Stamp> {
        let log = fs::metadata(&self.log).ok()?;
        Some(Stamp { modified: log.modified().ok()?, bytes: log.len() })
    }

    /// The value that was found last, if it still holds for certain.
    pub(super) fn known(&self, stamp: Option<Stamp>, now: Instant) -> Option<u64> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let last = last.as_ref().filter(|last| Some(last.stamp) == stamp)?;
        let is_fresh = now.saturating_duration_since(last.at) < LONGEST_TRUST;
        is_fresh.then_some(last.value)
    }

    /// The file was asked after this stamp was taken; `clock` is from before it was asked. It is kept only if every commit that had
    /// touched the log by then was to be seen.
    pub(super) fn found(&self, stamp: Option<Stamp>, value: u64, now: Instant, clock: SystemTime) {
        let is_settled = |stamp: &Stamp| clock.duration_since(stamp.modified).is_ok_and(|age| age > SETTLED);
        let look = stamp.filter(is_settled).map(|stamp| Look { at: now, stamp, value });
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = look;
    }
}

/// A commit is to be seen only some time after it was written to the log: the disk may be waited for in between, or the writer for a
/// processor. Besides, clocks of file systems tick every few milliseconds: what was written twice within a tick shows one time.
const SETTLED: Duration = Duration::from_secs(2);
/// The file itself is asked at least so often: a disk that hangs shows only then.
const LONGEST_TRUST: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_taken_for_granted_that_may_have_changed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        let watch = Watch::new(&path);
        let now = Instant::now();
        assert!(watch.stamp().is_none() && watch.known(None, now).is_none());

        let log = folder.path().join("x.db-wal");
        fs::write(&log, "one").unwrap();
        let stamp = watch.stamp();
        let written = stamp.unwrap().modified;
        // What was asked for while the log was young may be from before the commit that is in it.
        watch.found(stamp, 6, now, written + SETTLED);
        assert_eq!(watch.known(stamp, now), None);
        watch.found(stamp, 7, now, written + SETTLED + Duration::from_millis(1));
        assert_eq!(watch.known(stamp, now), Some(7));
        assert_eq!(watch.known(stamp, now + LONGEST_TRUST), None);
        fs::write(&log, "longer").unwrap();
        assert_eq!(watch.known(watch.stamp(), now), None);
    }
}
