use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tandem_model::CallId;

/// Which calls clients change while stale ones are looked for and closed.
///
/// A call is found stale first and closed a moment later; a change in between shows that it is not forgotten after all. The change's
/// transaction is either over when the calls are looked for, and then the call is not found, or it is noted here.
#[derive(Default)]
pub(super) struct StaleSweep {
    one_at_a_time: tokio::sync::Mutex<()>,
    changes: Mutex<Changes>,
}

#[derive(Default)]
struct Changes {
    /// One for each change, from before its transaction until after it.
    under_way: Vec<CallId>,
    /// Those that were under way at any time since the sweep began; `None` while there is no sweep.
    since_sweep: Option<HashSet<CallId>>,
}

/// A change of a call, until it is dropped.
pub(super) struct Change<'a> {
    sweep: &'a StaleSweep,
    call: CallId,
}

/// A sweep, until it is dropped.
pub(super) struct Sweep<'a> {
    sweep: &'a StaleSweep,
    _alone: tokio::sync::MutexGuard<'a, ()>,
}

impl StaleSweep {
    /// To be called before the transaction begins, and dropped after it.
    pub(super) fn change(&self, call: CallId) -> Change<'_> {
        let mut changes = self.changes();
        changes.under_way.push(call);
        if let Some(changed) = &mut changes.since_sweep {
            changed.insert(call);
        }
        Change { sweep: self, call }
    }

    /// To be called before stale calls are looked for.
    pub(super) async fn begin(&self) -> Sweep<'_> {
        let alone = self.one_at_a_time.lock().await;
        let mut changes = self.changes();
        changes.since_sweep = Some(changes.under_way.iter().copied().collect());
        Sweep { sweep: self, _alone: alone }
    }

    fn changes(&self) -> MutexGuard<'_, Changes> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sweep<'_> {
    /// Whether a client has changed the call since the sweep began.
    pub(super) fn was_changed(&self, call: CallId) -> bool {
        self.sweep.changes().since_sweep.as_ref().is_some_and(|changed| changed.contains(&call))
    }
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        let mut changes = self.sweep.changes();
        if let Some(place) = changes.under_way.iter().position(|call| *call == self.call) {
            changes.under_way.swap_remove(place);
        }
    }
}

impl Drop for Sweep<'_> {
    fn drop(&mut self) {
        self.sweep.changes().since_sweep = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tandem_model::Timestamp;

    fn call(number: u8) -> CallId {
        CallId::new(Timestamp::from_unix_micros(0), [number; 10])
    }

    #[tokio::test]
    async fn knows_the_changes_that_a_sweep_may_not_have_seen() {
        let changes = StaleSweep::default();
        drop(changes.change(call(1)));
        let still_under_way = changes.change(call(2));
        let sweep = changes.begin().await;
        drop(changes.change(call(3)));
        drop(still_under_way);
        let changed = [1, 2, 3, 4].map(|number| sweep.was_changed(call(number)));
        assert_eq!(changed, [false, true, true, false]);
        drop(sweep);
        assert!(!changes.begin().await.was_changed(call(3)), "each sweep begins anew");
    }
}
