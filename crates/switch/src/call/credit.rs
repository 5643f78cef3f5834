//! A call that is paid for by its account's credit: what it may cost is reserved in advance, bit by bit as it goes on, and it ends when
//! there is no more.

use super::leg::{Leg, LegEnding, Side};
use super::{Call, Hunt, Phase};
use crate::credit::{CreditBook, CreditHold, Exhausted};
use crate::resources::Resources;
use crate::rules::Rule;
use std::time::{Duration, Instant};
use tandem_model::{DialTarget, HangupCause, HungUpBy, MAX_CALL_COST, Money, Now, Rate, Reason};

/// What a call holds of its account's credit, and when that has to become more.
#[derive(Debug, Default)]
pub(super) struct Tab {
    hold: Option<CreditHold>,
    pub(super) extend_at: Option<Instant>,
}

impl Call {
    /// Reserves what the call costs if it goes on for the first of these spans for which there is enough. Who is being called counts as
    /// if they answered now, and of those who may be called the dearest; `entering` is the price of a caller who has no leg yet.
    ///
    /// # Errors
    /// There is not enough for any of them; the call holds what it held.
    pub(super) fn reserve_credit(
        &mut self,
        entering: Option<Rate>,
        spans: &[Duration],
        resources: &mut Resources,
        now: Now,
    ) -> Result<(), Reason> {
        self.tab.extend_at = None;
        let account = self.order.account_id;
        if !resources.credit.applies(account, self.log.record().started_at)
            || !resources.rules.hold(Rule::ReservesCredit)
        {
            return Ok(());
        }
        // Who calls for help is never held back by it.
        let force = matches!(self.order.to, DialTarget::Emergency(_));
        let mut hold = self.tab.hold.take().unwrap_or_else(|| CreditBook::hold(account));
        let mut refused = None;
        for span in spans {
            let needed = self.cost_after(*span, entering, now.instant);
            match resources.credit.reserve(&mut hold, needed, force) {
                Ok(()) => {
                    // As long as nobody has answered it costs nothing to wait.
                    let costs = self.legs.iter().any(|leg| leg.answered_since().is_some() && rate_of(leg).is_some());
                    self.tab.extend_at = costs.then(|| now.instant + span.saturating_sub(LEAD));
                    refused = None;
                    break;
                }
                Err(exhausted) => refused = refused.or(Some(exhausted)),
            }
        }
        self.tab.hold = Some(hold);
        refused.map_or(Ok(()), |exhausted| Err(reason(exhausted)))
    }

    /// Reserves for some more time, or ends the call.
    pub(super) fn extend_credit(&mut self, resources: &mut Resources, now: Now) {
        if self.reserve_credit(None, &EXTENSIONS, resources, now).is_err() {
            let ending = LegEnding { cause: HangupCause::CreditExhausted, by: HungUpBy::Switch, sip_status: None };
            self.end(ending, resources, now);
        }
    }

    /// Gives back what was reserved; what the call has cost is spent.
    pub(super) fn settle_credit(&mut self, cost: Option<Money>, resources: &mut Resources) {
        let account = self.order.account_id;
        let applies = resources.credit.applies(account, self.log.record().started_at);
        let Tab { hold, .. } = std::mem::take(&mut self.tab);
        if hold.is_some() || applies {
            let cost = cost.filter(|_| applies).unwrap_or(Money::ZERO);
            resources.credit.settle(hold.unwrap_or_else(|| CreditBook::hold(account)), cost);
        }
    }

    /// What the call has cost after that much more time, at most.
    fn cost_after(&self, span: Duration, entering: Option<Rate>, now: Instant) -> Money {
        let until = now + span;
        let cost_of = |leg: &Leg| match (leg.record.cost, leg.answered_since(), rate_of(leg)) {
            (Some(cost), ..) => cost,
            (None, Some(since), Some(rate)) => cost(rate, until.saturating_duration_since(since)),
            // A caller who waits is answered together with who is called.
            (None, None, Some(rate)) if leg.is_waiting() => cost(rate, span),
            (None, ..) => Money::ZERO,
        };
        let ringing = self.legs.iter().filter(|leg| leg.is_attempt_under_way()).filter_map(rate_of);
        let untried = match &self.phase {
            Phase::Hunting(Hunt { untried, .. }) => Some(untried),
            Phase::Deciding { .. } | Phase::Connected { .. } | Phase::Closing { .. } | Phase::Over { .. } => None,
        };
        let untried = untried.into_iter().flatten().filter_map(|attempt| Some(attempt.trunk.as_ref()?.rate));
        let dearest = ringing.chain(untried).map(|rate| cost(rate, span)).max().unwrap_or(Money::ZERO);
        let entering = entering.map_or(Money::ZERO, |rate| cost(rate, span));
        self.legs.iter().map(cost_of).chain([dearest, entering]).fold(Money::ZERO, sum)
    }
}

/// What a new call would have to reserve that tries the trunks of these prices.
pub(super) fn first_reserve(rates: impl Iterator<Item = Rate>) -> Money {
    rates.map(|rate| cost(rate, RESERVED_SPAN)).max().unwrap_or(Money::ZERO)
}

pub(super) fn reason(exhausted: Exhausted) -> Reason {
    let Exhausted { needed, available } = exhausted;
    Reason::CreditExhausted { needed_micros: needed.micros(), available_micros: available.micros() }
}

/// What a leg costs; `None` for one over no trunk.
fn rate_of(leg: &Leg) -> Option<Rate> {
    match &leg.side {
        Side::Callee(attempt) => attempt.trunk.as_ref().map(|entry| entry.rate),
        Side::Caller(caller) => Some(caller.trunk.rate),
    }
}

/// As the leg's record will have it.
fn cost(rate: Rate, connected: Duration) -> Money {
    rate.cost(connected).unwrap_or(MAX_CALL_COST)
}

fn sum(one: Money, other: Money) -> Money {
    one.checked_add(other).unwrap_or(MAX_CALL_COST).as_call_cost()
}

/// How long a call is paid in advance: few calls have to reserve twice, and an account is not kept from others for much longer than it
/// is used. Where a trunk bills by longer increments, one increment.
pub(super) const RESERVED_SPAN: Duration = Duration::from_secs(60);
/// Of a call that is up: the last of an account's credit goes in small pieces.
const EXTENSIONS: [Duration; 2] = [RESERVED_SPAN, Duration::from_secs(6)];
/// Before what is reserved is used up: so that a timer that is late, or the second that a hang-up begins, costs nothing that is not
/// reserved.
const LEAD: Duration = Duration::from_secs(1);
