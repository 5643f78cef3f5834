//! The health of trunks: what probes and calls say of them, and what routing makes of it.
//!
//! A [`Watch`] judges the probes of one trunk, a [`Breaker`] its calls. Neither knows a socket or a clock, and neither ever touches the
//! status that a person set.

mod breaker;
mod samples;
mod watch;

pub(crate) use breaker::{Breaker, BreakerVerdict, CallFailure, Trial};
pub(crate) use watch::{Evidence, Pace, Watch};

use crate::capacity::Capacity;
use crate::route::RoutedTrunk;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tandem_model::{HealthReport, MeasuredHealth, Now, TrunkId};

/// The trunks that are in service, each with its watch.
#[derive(Debug, Default)]
pub(crate) struct HealthBook {
    watches: BTreeMap<TrunkId, Watch>,
}

impl HealthBook {
    /// Watches a trunk as it is configured now. Whether what was known of it is forgotten: it is new, or leads elsewhere.
    pub(crate) fn watch(&mut self, entry: &RoutedTrunk, capacity: &mut Capacity, now: Now) -> bool {
        let id = entry.trunk.id;
        let is_new = self.watches.get(&id).is_none_or(|watch| !watch.is_of(entry));
        if is_new {
            self.watches.insert(id, Watch::new(entry, now));
            capacity.forget_health(id);
        } else if let Some(watch) = self.watches.get_mut(&id) {
            watch.set_interval(entry.trunk.options_interval());
            capacity.set_sick(id, watch.sick());
        }
        is_new
    }

    /// Forgets the trunks that are not in service any more.
    pub(crate) fn retain(&mut self, is_in_service: impl Fn(TrunkId) -> bool, capacity: &mut Capacity) {
        self.watches.retain(|id, _| {
            let stays = is_in_service(*id);
            if !stays {
                capacity.forget_health(*id);
            }
            stays
        });
    }

    /// Whether it is the trunk as it is configured now: it is in service and leads where it led.
    pub(crate) fn watches(&self, entry: &RoutedTrunk) -> bool {
        self.watches.get(&entry.trunk.id).is_some_and(|watch| watch.is_of(entry))
    }

    /// A probe that was sent to this very target has come to an end. What is to be kept of it, if anything is.
    pub(crate) fn probed(
        &mut self,
        entry: &RoutedTrunk,
        began: Instant,
        evidence: Evidence,
        capacity: &mut Capacity,
        now: Now,
    ) -> Option<HealthReport> {
        let id = entry.trunk.id;
        // What a former target answered says nothing of the one that the trunk has now.
        let watch = self.watches.get_mut(&id).filter(|watch| watch.is_of(entry))?;
        watch.handle_probe(began, evidence, now);
        if matches!(evidence, Evidence::Alive { .. }) {
            capacity.probe_succeeded(id, now);
        }
        capacity.set_sick(id, watch.sick());
        watch.take_report(now)
    }

    /// A call got through over a trunk: somebody answered, or it rang.
    pub(crate) fn call_got_through(&mut self, trunk: TrunkId, capacity: &mut Capacity, now: Now) {
        if let Some(watch) = self.watches.get_mut(&trunk) {
            watch.call_got_through(now.instant);
        }
        capacity.call_succeeded(trunk);
    }

    /// What the port of a leg heard, and what it knows to be lost.
    pub(crate) fn note_audio(&mut self, trunk: TrunkId, heard: u64, lost: Option<u64>, now: Now) {
        if let (Some(watch), Some(lost)) = (self.watches.get_mut(&trunk), lost) {
            watch.note_audio(heard, lost, now.instant);
        }
    }

    /// How far off the next probe of a trunk is; `None` when it is never probed by itself.
    pub(crate) fn pace(&self, trunk: TrunkId, now: Instant) -> Option<Pace> {
        self.watches.get(&trunk)?.pace(now)
    }

    /// How long a probe of a trunk may take that nobody waits for.
    pub(crate) fn patience(&self, trunk: TrunkId) -> Option<Duration> {
        self.watches.get(&trunk)?.patience()
    }

    /// Probes of a trunk in a row without a good answer; `None` when it is never probed by itself.
    pub(crate) fn failed_probes(&self, trunk: TrunkId) -> Option<u32> {
        self.watches.get(&trunk)?.failed_probes()
    }

    /// All that is known of the health of a trunk.
    pub(crate) fn measured(&self, trunk: TrunkId, capacity: &Capacity, now: Now) -> Option<MeasuredHealth> {
        let (breaker, breaker_until) = capacity.breaker(trunk, now.instant);
        self.watches.get(&trunk).map(|watch| watch.measured(breaker, breaker_until, now))
    }
}
