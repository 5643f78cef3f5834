use crate::health::{Breaker, BreakerVerdict, CallFailure, Trial};
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};
use tandem_model::{AccountId, BreakerState, HealthReason, HealthStatus, Now, Reason, Timestamp, TrunkId};

/// What is taken and what rests: slots per trunk and per account, calls per second, trunks that asked for a pause or are not well.
///
/// A slot is a value that cannot be copied: it is reserved before an attempt and given back exactly once.
#[derive(Debug, Default)]
pub struct Capacity {
    trunks: BTreeMap<TrunkId, TrunkLoad>,
    accounts: BTreeMap<AccountId, u32>,
}

#[derive(Debug, Default)]
struct TrunkLoad {
    active: u32,
    rest: Option<Rest>,
    auth_failed: bool,
    /// What its probes say, if that keeps calls away.
    sick: Option<(HealthStatus, HealthReason)>,
    breaker: Breaker,
    /// When the INVITEs of the last second went out, at most `max_cps` of them.
    recent_invites: VecDeque<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Rest {
    until: Instant,
    until_utc: Timestamp,
}

/// One leg's place on a trunk.
#[derive(Debug)]
#[must_use = "a slot that is dropped is lost: give it back with Capacity::release_trunk"]
pub(crate) struct TrunkSlot {
    trunk: TrunkId,
    /// It is of the call by which the trunk's breaker sees whether calls fare better now.
    trial: Option<Trial>,
}

/// One call's place in an account.
#[derive(Debug)]
#[must_use = "a slot that is dropped is lost: give it back with Capacity::release_account"]
pub(crate) struct AccountSlot(AccountId);

impl Capacity {
    /// Takes a slot of the trunk unless all `limit` are taken.
    pub(crate) fn reserve_trunk(&mut self, trunk: TrunkId, limit: u32) -> Option<TrunkSlot> {
        let load = self.trunks.entry(trunk).or_default();
        if load.active >= limit {
            return None;
        }
        load.active += 1;
        Some(TrunkSlot { trunk, trial: None })
    }

    /// The same for a call that goes out, which may be the trial of the trunk's breaker.
    pub(crate) fn reserve_outbound(&mut self, trunk: TrunkId, limit: u32, now: Instant) -> Option<TrunkSlot> {
        let slot = self.reserve_trunk(trunk, limit)?;
        let trial = self.trunks.get_mut(&trunk).and_then(|load| load.breaker.call_begins(now));
        Some(TrunkSlot { trial, ..slot })
    }

    #[expect(clippy::needless_pass_by_value, reason = "who gives a slot back has it no more")]
    pub(crate) fn release_trunk(&mut self, slot: TrunkSlot) {
        let TrunkSlot { trunk, trial } = slot;
        if let Some(load) = self.trunks.get_mut(&trunk) {
            debug_assert!(load.active > 0, "a slot is given back once");
            load.active = load.active.saturating_sub(1);
            if let Some(trial) = trial {
                load.breaker.trial_over(trial);
            }
        }
    }

    /// Takes a slot of the account unless all `limit` are taken; without a limit always.
    pub(crate) fn reserve_account(&mut self, account: AccountId, limit: Option<u32>) -> Option<AccountSlot> {
        let active = self.accounts.entry(account).or_default();
        if limit.is_some_and(|limit| *active >= limit) {
            return None;
        }
        *active += 1;
        Some(AccountSlot(account))
    }

    #[expect(clippy::needless_pass_by_value, reason = "who gives a slot back has it no more")]
    pub(crate) fn release_account(&mut self, slot: AccountSlot) {
        let AccountSlot(account) = slot;
        if let Some(active) = self.accounts.get_mut(&account) {
            debug_assert!(*active > 0, "a slot is given back once");
            *active = active.saturating_sub(1);
            if *active == 0 {
                self.accounts.remove(&account);
            }
        }
    }

    /// Legs that the trunk carries now.
    #[must_use]
    pub fn trunk_active(&self, trunk: TrunkId) -> u32 {
        self.trunks.get(&trunk).map_or(0, |load| load.active)
    }

    /// Calls that the account has now.
    #[must_use]
    pub fn account_active(&self, account: AccountId) -> u32 {
        self.accounts.get(&account).copied().unwrap_or(0)
    }

    /// Until when the trunk rests, if it does.
    #[must_use]
    pub fn resting_until(&self, trunk: TrunkId, now: Instant) -> Option<Timestamp> {
        self.trunks.get(&trunk)?.rest.filter(|rest| rest.until > now).map(|rest| rest.until_utc)
    }

    /// Lets the trunk rest, at most [`LONGEST_REST`]; a rest in force is never shortened.
    pub(crate) fn rest_trunk(&mut self, trunk: TrunkId, span: Duration, now: Now) {
        let span = span.min(LONGEST_REST);
        let rest = Rest { until: now.instant + span, until_utc: now.utc.saturating_add(span) };
        let load = self.trunks.entry(trunk).or_default();
        if load.rest.is_none_or(|current| current.until < rest.until) {
            load.rest = Some(rest);
        }
    }

    /// Whether the trunk refused our credentials and has not accepted them since.
    #[must_use]
    pub fn auth_failed(&self, trunk: TrunkId) -> bool {
        self.trunks.get(&trunk).is_some_and(|load| load.auth_failed)
    }

    pub(crate) fn set_auth_failed(&mut self, trunk: TrunkId, failed: bool) {
        if failed || self.trunks.contains_key(&trunk) {
            self.trunks.entry(trunk).or_default().auth_failed = failed;
        }
    }

    /// Why the health of the trunk keeps calls away at this moment, if it does.
    #[must_use]
    pub fn health_reason(&self, trunk: TrunkId, now: Instant) -> Option<Reason> {
        let load = self.trunks.get(&trunk)?;
        if let Some((status, reason)) = load.sick {
            return Some(Reason::TrunkUnhealthy { status, reason });
        }
        match load.breaker.verdict(now) {
            BreakerVerdict::Passes => None,
            BreakerVerdict::Open(until) => Some(Reason::CircuitOpen { until }),
            BreakerVerdict::Tried => Some(Reason::CircuitHalfOpen),
        }
    }

    /// What the trunk's breaker does, and until when while it is open.
    pub(crate) fn breaker(&self, trunk: TrunkId, now: Instant) -> (BreakerState, Option<Timestamp>) {
        self.trunks.get(&trunk).map_or((BreakerState::Closed, None), |load| load.breaker.shown(now))
    }

    /// What the trunk's probes say, if that keeps calls away.
    pub(crate) fn set_sick(&mut self, trunk: TrunkId, sick: Option<(HealthStatus, HealthReason)>) {
        if sick.is_some() || self.trunks.contains_key(&trunk) {
            self.trunks.entry(trunk).or_default().sick = sick;
        }
    }

    pub(crate) fn call_failed(&mut self, trunk: TrunkId, by: CallFailure, now: Now) {
        self.trunks.entry(trunk).or_default().breaker.call_failed(by, now);
    }

    pub(crate) fn call_succeeded(&mut self, trunk: TrunkId) {
        if let Some(load) = self.trunks.get_mut(&trunk) {
            load.breaker.call_succeeded();
        }
    }

    pub(crate) fn probe_succeeded(&mut self, trunk: TrunkId, now: Now) {
        if let Some(load) = self.trunks.get_mut(&trunk) {
            load.breaker.probe_succeeded(now);
        }
    }

    /// The trunk leads elsewhere now, or is out of service: what was learnt of where it led is of no use.
    pub(crate) fn forget_health(&mut self, trunk: TrunkId) {
        if let Some(load) = self.trunks.get_mut(&trunk) {
            load.sick = None;
            load.breaker = Breaker::default();
        }
    }

    /// Whether the trunk may send one more INVITE in the second that ends now.
    #[must_use]
    pub fn within_cps(&self, trunk: TrunkId, max_cps: Option<u32>, now: Instant) -> bool {
        let Some(max_cps) = max_cps else { return true };
        let recent = self.trunks.get(&trunk).map_or(0, |load| {
            load.recent_invites.iter().rev().take_while(|sent| now.duration_since(**sent) < CPS_WINDOW).count()
        });
        u32::try_from(recent).unwrap_or(u32::MAX) < max_cps
    }

    /// Notes that an INVITE goes out over a trunk with a limit per second.
    pub(crate) fn note_invite(&mut self, trunk: TrunkId, max_cps: Option<u32>, now: Instant) {
        let load = self.trunks.entry(trunk).or_default();
        let Some(max_cps) = max_cps else {
            load.recent_invites.clear();
            return;
        };
        load.recent_invites.push_back(now);
        while load.recent_invites.len() > usize::try_from(max_cps).unwrap_or(usize::MAX) {
            load.recent_invites.pop_front();
        }
    }

    /// All trunk slots taken.
    #[must_use]
    pub fn trunk_slots(&self) -> u64 {
        self.trunks.values().map(|load| u64::from(load.active)).sum()
    }

    /// All account slots taken.
    #[must_use]
    pub fn account_slots(&self) -> u64 {
        self.accounts.values().map(|active| u64::from(*active)).sum()
    }

    /// Forgets trunks that are no longer configured and carry nothing.
    pub(crate) fn retain_trunks(&mut self, is_configured: impl Fn(TrunkId) -> bool) {
        self.trunks.retain(|trunk, load| load.active > 0 || is_configured(*trunk));
    }
}

/// Longest rest after a 503, whatever its Retry-After says: a carrier's mistake must not take a trunk away for a day.
pub(crate) const LONGEST_REST: Duration = Duration::from_secs(60);
const CPS_WINDOW: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn trunk() -> TrunkId {
        TrunkId::new(Timestamp::from_unix_micros(1), [1; 10])
    }

    #[test]
    fn gives_no_more_slots_than_the_limit() {
        let mut capacity = Capacity::default();
        let first = capacity.reserve_trunk(trunk(), 1).unwrap();
        assert!(capacity.reserve_trunk(trunk(), 1).is_none());
        capacity.release_trunk(first);
        assert_eq!(capacity.trunk_active(trunk()), 0);
        assert!(capacity.reserve_trunk(trunk(), 1).is_some());
    }

    #[test]
    fn counts_invites_of_the_last_second() {
        let mut capacity = Capacity::default();
        let start = crate::route::tests::instant();
        for tenth in 0..3 {
            assert!(capacity.within_cps(trunk(), Some(3), start));
            capacity.note_invite(trunk(), Some(3), start + Duration::from_millis(100 * tenth));
        }
        assert!(!capacity.within_cps(trunk(), Some(3), start + Duration::from_millis(999)));
        assert!(capacity.within_cps(trunk(), Some(3), start + Duration::from_millis(1_000)));
        assert!(capacity.within_cps(trunk(), None, start));
    }

    #[test]
    fn a_rest_is_bounded_and_never_shortened() {
        let mut capacity = Capacity::default();
        let now = Now { instant: crate::route::tests::instant(), utc: Timestamp::from_unix_micros(0) };
        capacity.rest_trunk(trunk(), Duration::from_secs(86_400), now);
        capacity.rest_trunk(trunk(), Duration::from_secs(1), now);
        assert!(capacity.resting_until(trunk(), now.instant + Duration::from_secs(59)).is_some());
        assert!(capacity.resting_until(trunk(), now.instant + Duration::from_secs(60)).is_none());
    }
}
