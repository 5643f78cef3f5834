use super::dialled::matching_prefix;
use super::table::{RouteTable, RoutedTrunk};
use crate::capacity::Capacity;
use std::cmp::Ordering;
use std::sync::Arc;
use tandem_model::{
    AccountId, AddressPolicy, Connect, Considered, DialOrder, DialTarget, Now, Reason, Refusal, RefusalKind, Trunk,
    TrunkId, Verdict,
};

/// What is to be routed.
#[derive(Debug, Clone, Copy)]
pub struct Query<'a> {
    /// On whose account.
    pub account_id: AccountId,
    /// Whom to call.
    pub to: &'a DialTarget,
    /// Only this trunk, and what it fails over to: after it, or instead of it while it is full, too fast, resting or not well.
    pub trunk_id: Option<TrunkId>,
    /// What holds it back.
    pub urgency: Urgency,
}

/// What may hold a call back, beside what a person has set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// Limits, and the health of trunks.
    Ordinary,
    /// Limits alone: it is to show how a trunk is, and goes over no other.
    Test,
    /// It calls for help: neither.
    Emergency,
}

impl Urgency {
    /// Of a call to that party of an order.
    #[must_use]
    pub fn of(to: &DialTarget, order: &DialOrder) -> Self {
        match (to, &order.connect) {
            (DialTarget::Emergency(_), _) => Self::Emergency,
            (DialTarget::Number(_) | DialTarget::Uri(_), Connect::Test) => Self::Test,
            (DialTarget::Number(_) | DialTarget::Uri(_), _) => Self::Ordinary,
        }
    }
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
        match reason_against(trunk, capacity, policy, query, now) {
            None => eligible.push(Arc::clone(trunk)),
            Some(reason) => skipped.push((Arc::clone(trunk), reason)),
        }
    }
    eligible.sort_by(|one, other| by_priority_and_load(one, other, capacity));
    if matches!(query.to, DialTarget::Emergency(_)) {
        // Only an emergency call gets this far with trunks that are not well: it tries them too, and last.
        eligible.sort_by_key(|trunk| capacity.health_reason(trunk.trunk.id, now.instant).is_some());
    }

    let mut attempts = Vec::new();
    match query.trunk_id {
        Some(requested) => {
            let stands_aside = skipped.iter().find(|(trunk, reason)| trunk.trunk.id == requested && is_passing(reason));
            match stands_aside {
                // The requested trunk would go at another moment: now, what it fails over to.
                Some((trunk, _)) => take_failovers_of(&trunk.trunk, &eligible, &mut attempts),
                None => take_with_failovers(requested, Reason::Requested, &eligible, &mut attempts),
            }
        }
        None => {
            for trunk in &eligible {
                take_with_failovers(trunk.trunk.id, ranked(trunk, capacity), &eligible, &mut attempts);
            }
        }
    }
    if query.urgency == Urgency::Test {
        attempts.retain(|planned| Some(planned.trunk.trunk.id) == query.trunk_id);
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
fn reason_against(
    trunk: &RoutedTrunk,
    capacity: &Capacity,
    policy: &AddressPolicy,
    query: Query<'_>,
    now: Now,
) -> Option<Reason> {
    if let Some(reason) = trunk.unroutable_reason(policy) {
        return Some(reason);
    }
    let configured = &trunk.trunk;
    if let Err(nearest) = matching_prefix(query.to, &configured.outbound) {
        return Some(Reason::PrefixMismatch { nearest: nearest.to_owned() });
    }
    reason_at_this_moment(trunk, capacity, query.urgency, now)
}

/// Why a trunk cannot take a call at this moment, though it could at another. An emergency call is not held back by
/// what was bought or agreed with the carrier: who decides about that is the carrier. Nor by a trunk's health, which may be misjudged.
pub(crate) fn reason_at_this_moment(
    trunk: &RoutedTrunk,
    capacity: &Capacity,
    urgency: Urgency,
    now: Now,
) -> Option<Reason> {
    let configured = &trunk.trunk;
    if let Some(until) = capacity.resting_until(configured.id, now.instant) {
        return Some(Reason::TrunkResting { until });
    }
    if urgency == Urgency::Emergency {
        return None;
    }
    let health = capacity.health_reason(configured.id, now.instant).filter(|_| urgency == Urgency::Ordinary);
    if health.is_some() {
        return health;
    }
    if capacity.trunk_active(configured.id) >= configured.max_concurrent_calls {
        return Some(Reason::TrunkFull { limit: configured.max_concurrent_calls });
    }
    let max_cps = configured.max_cps()?;
    (!capacity.within_cps(configured.id, Some(max_cps), now.instant)).then_some(Reason::TrunkCpsLimit { max_cps })
}

/// Takes a trunk, then the chain of failover trunks that it names. A trunk is taken once, so a ring of names ends.
fn take_with_failovers(first: TrunkId, reason: Reason, eligible: &[Arc<RoutedTrunk>], attempts: &mut Vec<Planned>) {
    let already = attempts.iter().any(|taken| taken.trunk.trunk.id == first);
    let Some(trunk) = eligible.iter().find(|trunk| trunk.trunk.id == first && !already) else { return };
    attempts.push(Planned { trunk: Arc::clone(trunk), reason });
    take_failovers_of(&trunk.trunk, eligible, attempts);
}

fn take_failovers_of(trunk: &Trunk, eligible: &[Arc<RoutedTrunk>], attempts: &mut Vec<Planned>) {
    if let Some(failover) = trunk.failover_trunk_id {
        take_with_failovers(failover, Reason::FailoverOf { trunk: trunk.name.clone() }, eligible, attempts);
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
    Considered { trunk_id: trunk.trunk.id, trunk_name: trunk.trunk.name.clone(), verdict, reason }
}

/// The class of a refusal: a call that would go later is told so; one that never would is told that.
fn refusal(query: Query<'_>, not_taken: &[(Arc<RoutedTrunk>, Reason)]) -> Refusal {
    let concerned =
        not_taken.iter().filter(|(trunk, _)| query.trunk_id.is_none_or(|requested| trunk.trunk.id == requested));
    let passing: Vec<&Reason> = concerned.map(|(_, reason)| reason).filter(|reason| is_passing(reason)).collect();
    let only_cps = passing.iter().all(|reason| matches!(reason, Reason::TrunkCpsLimit { .. }));
    let (kind, reason) = match passing.first() {
        Some(reason) if only_cps => (RefusalKind::CpsLimit, (*reason).clone()),
        Some(_) => (RefusalKind::NoTrunkAvailable, Reason::NoTrunkAvailable),
        None if matches!(query.to, DialTarget::Emergency(_)) => {
            (RefusalKind::EmergencyNotRouted, Reason::EmergencyNotRouted)
        }
        None => (RefusalKind::NoRoute, Reason::NoRoute),
    };
    Refusal { kind, reason }
}

/// Whether it passes by itself; every other reason stays until a person changes something.
const fn is_passing(reason: &Reason) -> bool {
    matches!(
        reason,
        Reason::TrunkFull { .. }
            | Reason::TrunkResting { .. }
            | Reason::TrunkCpsLimit { .. }
            | Reason::TrunkUnhealthy { .. }
            | Reason::CircuitOpen { .. }
            | Reason::CircuitHalfOpen
    )
}

/// Trunks tried for one call. More would keep a caller waiting longer than a ring time-out.
pub const MAX_ATTEMPTS: usize = 8;
/// Verdicts kept on a receipt; an account has at most 50 trunks unless its limit was raised.
pub const MAX_CONSIDERED: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::tests::{EPOCH, account};
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use tandem_model::{CallDirection, HealthStatus, OutboundRouting, TrunkHealth};

    proptest! {
        #[test]
        fn trunks_are_tried_by_priority_then_by_their_share_then_by_id(drawn in proptest::collection::vec(drawn(), 1..12)) {
            let (table, capacity) = table_of(&drawn);
            let plan = plan_for(&table, &capacity, None);
            let places: Vec<_> = plan.attempts.iter().map(|taken| number_of(&taken.trunk)).collect();
            let place = |number: usize| {
                let trunk = &drawn[number];
                // Shares are compared as fractions over 2^32, far finer than any two of the drawn ones differ.
                let share = ((u128::from(trunk.active) + 1) << 32) / (u128::from(trunk.limit) * u128::from(trunk.weight));
                (trunk.priority, share, number)
            };
            let mut expected: Vec<_> = (0..drawn.len()).filter(|number| drawn[*number].is_free()).map(place).collect();
            expected.sort_unstable();
            let expected: Vec<_> = expected.into_iter().map(|(_, _, number)| number).take(MAX_ATTEMPTS).collect();
            prop_assert_eq!(places, expected);
        }

        #[test]
        fn every_trunk_has_one_verdict_and_those_taken_come_first(
            drawn in proptest::collection::vec(drawn(), 0..20),
            failovers in proptest::collection::vec(0_usize..20, 20),
            requested in proptest::option::of(0_usize..20),
        ) {
            let (table, capacity) = table_with(&drawn, |number| failovers.get(number).copied());
            let plan = plan_for(&table, &capacity, requested);
            let again = plan_for(&table, &capacity, requested);
            prop_assert_eq!(&plan.considered, &again.considered);

            let judged: BTreeSet<_> = plan.considered.iter().map(|trunk| trunk.trunk_id).collect();
            prop_assert_eq!((judged.len(), plan.considered.len()), (drawn.len(), drawn.len()));
            let taken: Vec<_> = plan.attempts.iter().map(|taken| taken.trunk.trunk.id).collect();
            let first: Vec<_> = plan.considered.iter().take(taken.len()).map(|trunk| trunk.trunk_id).collect();
            prop_assert_eq!(&taken, &first);
            let is_taken = |trunk: &Considered| trunk.verdict == Verdict::Taken;
            prop_assert_eq!(plan.considered.iter().filter(|trunk| is_taken(trunk)).count(), taken.len());
            prop_assert!(taken.len() <= MAX_ATTEMPTS);
            prop_assert_eq!(plan.refusal.is_some(), taken.is_empty());
            // Nothing is tried that is full, and after a trunk comes the one it fails over to, if that can be tried.
            for (place, id) in taken.iter().enumerate() {
                let number = (0..drawn.len()).find(|number| trunk_id(*number) == *id).unwrap();
                prop_assert!(drawn[number].is_free());
                let next = failovers[number];
                let may_follow = drawn.get(next).is_some_and(Drawn::is_free) && !taken[..=place].contains(&trunk_id(next));
                if may_follow && place + 1 < MAX_ATTEMPTS {
                    prop_assert_eq!(taken.get(place + 1), Some(&trunk_id(next)));
                }
            }
        }
    }

    #[test]
    fn a_heavier_trunk_gets_its_share_of_the_calls() {
        let mut drawn =
            vec![Drawn { limit: 100, weight: 3, ..Drawn::IDLE }, Drawn { limit: 100, weight: 1, ..Drawn::IDLE }];
        for _ in 0..40 {
            let (table, capacity) = table_of(&drawn);
            let first = number_of(&plan_for(&table, &capacity, None).attempts[0].trunk);
            drawn[first].active += 1;
        }
        assert_eq!((drawn[0].active, drawn[1].active), (30, 10));
    }

    #[derive(Debug, Clone)]
    struct Drawn {
        priority: u8,
        active: u32,
        limit: u32,
        weight: u32,
    }

    impl Drawn {
        const IDLE: Self = Self { priority: 1, active: 0, limit: 1, weight: 1 };

        fn is_free(&self) -> bool {
            self.active < self.limit
        }
    }

    fn drawn() -> impl Strategy<Value = Drawn> {
        let all = (1_u8..4, 0_u32..12, 1_u32..12, 1_u32..12);
        all.prop_map(|(priority, active, limit, weight)| Drawn { priority, active, limit, weight })
    }

    fn table_of(drawn: &[Drawn]) -> (RouteTable, Capacity) {
        table_with(drawn, |_| None)
    }

    fn table_with(drawn: &[Drawn], failover: impl Fn(usize) -> Option<usize>) -> (RouteTable, Capacity) {
        let mut capacity = Capacity::default();
        let mut trunks = Vec::new();
        for (number, drawn) in drawn.iter().enumerate() {
            for _ in 0..drawn.active {
                let _kept = capacity.reserve_trunk(trunk_id(number), u32::MAX);
            }
            trunks.push(trunk(number, drawn, failover(number)));
        }
        let account = account(ACCOUNT);
        let (table, unusable) = RouteTable::new(1, &[account], trunks);
        assert_eq!(unusable, []);
        (table, capacity)
    }

    fn plan_for(table: &RouteTable, capacity: &Capacity, requested: Option<usize>) -> Plan {
        let to = DialTarget::Number("+12025550100".parse().unwrap());
        let query =
            Query { account_id: account_id(), to: &to, trunk_id: requested.map(trunk_id), urgency: Urgency::Ordinary };
        let now = Now { instant: crate::route::tests::instant(), utc: EPOCH };
        plan(table, capacity, &AddressPolicy::default(), query, now)
    }

    const ACCOUNT: u8 = 1;

    fn account_id() -> AccountId {
        account(ACCOUNT).id
    }

    fn trunk_id(number: usize) -> TrunkId {
        TrunkId::new(EPOCH, [u8::try_from(number).unwrap(); 10])
    }

    fn number_of(trunk: &RoutedTrunk) -> usize {
        trunk.trunk.name.parse().unwrap()
    }

    fn trunk(number: usize, drawn: &Drawn, failover: Option<usize>) -> Trunk {
        Trunk {
            call_direction: CallDirection::Outbound,
            max_concurrent_calls: drawn.limit,
            outbound: OutboundRouting { weight: drawn.weight, ..OutboundRouting::default() },
            failover_trunk_id: failover.map(trunk_id),
            priority: drawn.priority,
            // What is stored is what somebody saw once; routing goes by what the switch sees.
            health: TrunkHealth { status: HealthStatus::Unhealthy, ..TrunkHealth::UNKNOWN },
            ..crate::route::tests::trunk(u8::try_from(number).unwrap(), ACCOUNT)
        }
    }
}
