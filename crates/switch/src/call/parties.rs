//! Who can be called, for each party of a call.

use super::attempt::{Attempt, NotDialable};
use super::credit;
use super::log::CallLog;
use super::outcome::Outcome;
use crate::resources::Resources;
use crate::route::{self, Plan, Query, Urgency};
use std::collections::VecDeque;
use tandem_model::{DialOrder, DialTarget, HangupCause, Now, Reason, Receipt, Refusal, RefusalKind, TrunkId};

/// How an order would be routed, without a call.
pub(crate) fn explain(order: &DialOrder, resources: &Resources, now: Now) -> Receipt {
    let mut receipt = new_receipt(order, resources, now);
    let planned = plan_first_party(order, &mut receipt, resources, now);
    let limit = max_calls(order, resources);
    let is_full = limit.is_some_and(|limit| resources.capacity.account_active(order.account_id) >= limit);
    receipt.refusal = match planned {
        Err(refused) => Some(refused),
        Ok(_) if is_full => Some(tier_limit(limit.unwrap_or_default())),
        Ok(attempts) => unpaid(&attempts, order, resources, now),
    };
    receipt
}

/// Why the account's credit does not pay for a call that begins now, if it does not.
fn unpaid(attempts: &VecDeque<Attempt>, order: &DialOrder, resources: &Resources, now: Now) -> Option<Refusal> {
    let is_emergency = matches!(order.to, DialTarget::Emergency(_));
    if is_emergency || !resources.credit.applies(order.account_id, now.utc) {
        return None;
    }
    let rates = attempts.iter().filter_map(|attempt| Some(attempt.trunk.as_ref()?.rate));
    let exhausted = resources.credit.would_reserve(order.account_id, credit::first_reserve(rates)).err()?;
    Some(refusal(RefusalKind::CreditExhausted, credit::reason(exhausted)))
}

/// A receipt of an order that nothing has been decided about.
pub(super) fn new_receipt(order: &DialOrder, resources: &Resources, now: Now) -> Receipt {
    Receipt {
        account_id: order.account_id,
        decided_at: now.utc,
        to: order.to.number().to_owned(),
        from: order.from.clone(),
        inbound: None,
        routing_revision: resources.table.revision(),
        considered: Vec::new(),
        attempts: Vec::new(),
        refusal: None,
    }
}

/// How many calls the account may have with this one; an emergency call is never held back by the number of calls.
pub(super) fn max_calls(order: &DialOrder, resources: &Resources) -> Option<u32> {
    let max_calls = resources.table.account(order.account_id).map_or(0, |account| account.max_calls);
    (!matches!(order.to, DialTarget::Emergency(_))).then_some(max_calls)
}

pub(super) fn tier_limit(limit: u32) -> Refusal {
    refusal(RefusalKind::TierLimit, Reason::TierLimit { limit })
}

pub(super) fn refusal(kind: RefusalKind, reason: Reason) -> Refusal {
    Refusal { kind, reason }
}

/// Whom the order names; the verdicts are written on the receipt.
///
/// # Errors
/// Why nobody is called.
pub(super) fn plan_first_party(
    order: &DialOrder,
    receipt: &mut Receipt,
    resources: &Resources,
    now: Now,
) -> Result<VecDeque<Attempt>, Refusal> {
    if let (DialTarget::Uri(uri), None) = (&order.to, order.trunk_id) {
        return plan_direct(uri, order, resources);
    }
    let plan = plan_trunks(&order.to, order.trunk_id, order, resources, now);
    receipt.considered = plan.considered;
    match plan.refusal {
        Some(refusal) => Err(refusal),
        None => Ok(plan.attempts.iter().map(|planned| Attempt::over_trunk(planned, &order.to, order)).collect()),
    }
}

/// Straight to a SIP address: what can be judged before its name is looked up is judged at once.
fn plan_direct(uri: &str, order: &DialOrder, resources: &Resources) -> Result<VecDeque<Attempt>, Refusal> {
    let attempt = Attempt::direct(uri, order).map_err(|error| match error {
        NotDialable::NotSip => refusal(RefusalKind::TargetNotAllowed, Reason::NoRoute),
        NotDialable::RuledOut(reason) => refusal(RefusalKind::TargetNotAllowed, reason),
    })?;
    match attempt.next_hop.host.ip() {
        Some(address) if !resources.config.address_policy.permits(address) => {
            Err(refusal(RefusalKind::TargetNotAllowed, Reason::PeerNotAllowed { address }))
        }
        Some(_) | None => Ok(VecDeque::from([attempt])),
    }
}

/// A SIP address that the first party is connected to.
///
/// # Errors
/// What the call ends with because it cannot be called.
pub(super) fn plan_second_address(uri: &str, order: &DialOrder) -> Result<VecDeque<Attempt>, Outcome> {
    let attempt = Attempt::direct(uri, order).map_err(|error| match error {
        NotDialable::NotSip => Outcome::unresolvable(uri.to_owned()),
        NotDialable::RuledOut(reason) => Outcome::local(reason, HangupCause::NoRouteToDestination),
    })?;
    Ok(VecDeque::from([attempt]))
}

/// A number that the first party is connected to; the verdicts join those for the first party.
///
/// # Errors
/// What the call ends with because nobody can be called.
pub(super) fn plan_second_number(
    to: &DialTarget,
    order: &DialOrder,
    log: &mut CallLog,
    resources: &Resources,
    now: Now,
) -> Result<VecDeque<Attempt>, Outcome> {
    let plan = plan_trunks(to, None, order, resources, now);
    log.routed_again(plan.considered);
    match plan.refusal {
        None => Ok(plan.attempts.iter().map(|planned| Attempt::over_trunk(planned, to, order)).collect()),
        Some(refusal) => Err(Outcome::local(refusal.reason, cause_of(refusal.kind))),
    }
}

const fn cause_of(refusal: RefusalKind) -> HangupCause {
    match refusal {
        RefusalKind::NoRoute | RefusalKind::EmergencyNotRouted | RefusalKind::TargetNotAllowed => {
            HangupCause::NoRouteToDestination
        }
        RefusalKind::CreditExhausted => HangupCause::CreditExhausted,
        RefusalKind::TierLimit
        | RefusalKind::CpsLimit
        | RefusalKind::NoTrunkAvailable
        | RefusalKind::NodeUnavailable => HangupCause::NoCircuitAvailable,
    }
}

fn plan_trunks(to: &DialTarget, trunk_id: Option<TrunkId>, order: &DialOrder, resources: &Resources, now: Now) -> Plan {
    let query = Query { account_id: order.account_id, to, trunk_id, urgency: Urgency::of(to, order) };
    route::plan(&resources.table, &resources.capacity, &resources.config.address_policy, query, now)
}
