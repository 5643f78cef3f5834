use super::dialled::matching_prefix;
use super::table::{RouteTable, RoutedTrunk};
use crate::capacity::Capacity;
use std::cmp::Ordering;
use std::sync::Arc;
use tandem_model::{AccountId, AddressPolicy, Considered, DialTarget, Now, Reason, Refusal, RefusalKind, TrunkId, Verdict};

/// What is to be routed.
#[derive(Debug, Clone, Copy)]
pub struct Query<'a> {
    /// On whose account.
    pub account_id: AccountId,
    /// Whom to call.
    pub to: &'a DialTarget,
    /// Only this trunk, and what it fails over to.
    pub trunk_id: Option<TrunkId>,
}

/// Which trunks are tried, in order, and the verdict on every trunk of the account.
#[derive(Debug)]
pub struct Plan {
    /// In order; at most [`MAX_ATTEMPTS`].
    pub attempts: Vec<Planned>,
    /// Verdicts, those taken first; at most [`MAX_CONSIDERED`].
    pub considered: Vec<Considered>,
    /// Why nothing is tried, when nothing is.
    pub refusal: Option<Refusal>,
}

/// One trunk to try.
#[derive(Debug, Clone)]
pub struct Planned {
    /// Which.
    pub trunk: Arc<RoutedTrunk>,
    /// Why in this place.
    pub reason: Reason,
}

/// Chooses trunks for a call: a pure function of the table, of what is taken now, and of the order.
///
/// By priority, then by the smallest (active + 1) ÷ (limit × weight), then by id; after each trunk the one it names as its failover
/// trunk. Whether the account has a free call is not judged here: it is one question for the whole call, not one for each trunk.
#[must_use]
pub fn plan(table: &RouteTable, capacity: &Capacity, policy: &AddressPolicy, query: Query<'_>, now: Now) -> Plan {
    let trunks = table.account(query.account_id).map_or(&[][..], |account| &account.trunks);
    let mut eligible = Vec::new();
    let mut skipped = Vec::new();
    for trunk in trunks {
        match reason_against(trunk, capacity, policy, query.to, now) {
            None => eligible.push(Arc::clone(trunk)),
            Some(reason) => skipped.push((Arc::clone(trunk), reason)),
        }
    }
    eligible.sort_by(|one, other| by_priority_and_load(one, other, capacity));

    let mut attempts = Vec::new();
    match query.trunk_id {
        Some(requested) => take_with_failovers(requested, Reason::Requested, &eligible, &mut attempts),
        None => {
            for trunk in &eligible {
                take_with_failovers(trunk.trunk.id, ranked(trunk, capacity), &eligible, &mut attempts);
            }
        }
    }
    attempts.truncate(MAX_ATTEMPTS);

    let untaken = eligible.iter().filter(|trunk| attempts.iter().all(|taken| taken.trunk.trunk.id != trunk.trunk.id));
    let untaken = untaken.map(|trunk| {
        let reason = if query.trunk_id.is_some() { Reason::NotRequested } else { ranked(trunk, capacity) };
        (Arc::clone(trunk), reason)
    });
    let not_taken: Vec<(Arc<RoutedTrunk>, Reason)> = untaken.chain(skipped).collect();
    let refusal = attempts.is_empty().then(|| refusal(query, &not_taken));
    let taken = attempts.iter().map(|planned| verdict(&planned.trunk, Verdict::Taken, planned.reason.clone()));
    let not_taken = not_taken.iter().map(|(trunk, reason)| verdict(trunk, Verdict::Skipped, reason.clone()));
    let considered = taken.chain(not_taken).take(MAX_CONSIDERED).collect();
    Plan { attempts, considered, refusal }
}

/// Why a trunk cannot take this call now, the lasting reasons first.
fn reason_against(trunk: &RoutedTrunk, capacity: &Capacity, policy: &AddressPolicy, to: &DialTarget, now: Now) -> Option<Reason> {
    if let Some(reason) = trunk.unroutable_reason(policy) {
        return Some(reason);
    }
    let configured = &trunk.trunk;
    if let Err(nearest) = matching_prefix(to, &configured.outbound) {
        return Some(Reason::PrefixMismatch { nearest: nearest.to_owned() });
    }
    if let Some(until) = capacity.resting_until(configured.id, now.instant) {
        return Some(Reason::TrunkResting { until });
    }
    if capacity.trunk_active(configured.id) >= configured.max_concurrent_calls {
        return Some(Reason::TrunkFull { limit: configured.max_concurrent_calls });
    }
    let is_emergency = matches!(to, DialTarget::Emergency(_));
    let max_cps = configured.max_cps()?;
    let within = is_emergency || capacity.within_cps(configured.id, Some(max_cps), now.instant);
    (!within).then_some(Reason::TrunkCpsLimit { max_cps })
}

/// Takes a trunk, then the chain of failover trunks that it names. A trunk is taken once, so a ring of names ends.
fn take_with_failovers(first: TrunkId, reason: Reason, eligible: &[Arc<RoutedTrunk>], attempts: &mut Vec<Planned>) {
    let (mut next, mut reason) = (Some(first), reason);
    while let Some(id) = next {
        let already = attempts.iter().any(|taken| taken.trunk.trunk.id == id);
        let Some(trunk) = eligible.iter().find(|trunk| trunk.trunk.id == id && !already) else { return };
        attempts.push(Planned { trunk: Arc::clone(trunk), reason });
        next = trunk.trunk.failover_trunk_id;
        reason = Reason::FailoverOf { trunk: trunk.trunk.name.clone() };
    }
}

fn by_priority_and_load(one: &RoutedTrunk, other: &RoutedTrunk, capacity: &Capacity) -> Ordering {
    let load = |trunk: &RoutedTrunk| {
        let active = u64::from(capacity.trunk_active(trunk.trunk.id)) + 1;
        let size = u64::from(trunk.trunk.max_concurrent_calls) * u64::from(trunk.trunk.outbound.weight);
        (active, size)
    };
    let ((one_active, one_size), (other_active, other_size)) = (load(one), load(other));
    one.trunk
        .priority
        .cmp(&other.trunk.priority)
        // a ÷ b against c ÷ d, without division.
        .then((one_active * other_size).cmp(&(other_active * one_size)))
        .then(one.trunk.id.cmp(&other.trunk.id))
}

fn ranked(trunk: &RoutedTrunk, capacity: &Capacity) -> Reason {
    Reason::Ranked {
        priority: trunk.trunk.priority,
        active: capacity.trunk_active(trunk.trunk.id),
        limit: trunk.trunk.max_concurrent_calls,
        weight: trunk.trunk.outbound.weight,
    }
}

fn verdict(trunk: &RoutedTrunk, verdict: Verdict, reason: Reason) -> Considered {
    let explanation = reason.explanation();
    Considered { trunk_id: trunk.trunk.id, trunk_name: trunk.trunk.name.clone(), verdict, reason, explanation }
}

/// The class of a refusal: a call that would go later is told so; one that never would is told that.
fn refusal(query: Query<'_>, not_taken: &[(Arc<RoutedTrunk>, Reason)]) -> Refusal {
    let concerned = not_taken.iter().filter(|(trunk, _)| query.trunk_id.is_none_or(|requested| trunk.trunk.id == requested));
    let passing: Vec<&Reason> = concerned.map(|(_, reason)| reason).filter(|reason| is_passing(reason)).collect();
    let only_cps = passing.iter().all(|reason| matches!(reason, Reason::TrunkCpsLimit { .. }));
    let (kind, reason) = match passing.first() {
        Some(reason) if only_cps => (RefusalKind::CpsLimit, (*reason).clone()),
        Some(_) => (RefusalKind::NoTrunkAvailable, Reason::NoTrunkAvailable),
        None if matches!(query.to, DialTarget::Emergency(_)) => (RefusalKind::EmergencyNotRouted, Reason::EmergencyNotRouted),
        None => (RefusalKind::NoRoute, Reason::NoRoute),
    };
    Refusal { kind, explanation: reason.explanation(), reason }
}

/// Whether it passes by itself; every other reason stays until a person changes something.
const fn is_passing(reason: &Reason) -> bool {
    matches!(reason, Reason::TrunkFull { .. } | Reason::TrunkResting { .. } | Reason::TrunkCpsLimit { .. })
}

/// Trunks tried for one call. More would keep a caller waiting longer than a ring time-out.
pub const MAX_ATTEMPTS: usize = 8;
/// Verdicts kept on a receipt; an account has at most 50 trunks unless its limit was raised.
pub const MAX_CONSIDERED: usize = 64;
