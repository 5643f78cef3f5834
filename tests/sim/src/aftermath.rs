//! What must hold once everything is over.

use std::time::{Duration, Instant};

use tandem_lab::Ended;
use tandem_lab::setup::{start, start_utc};
use tandem_model::{CallDirection, CallId, LegRecord, Money, Timestamp};
use tandem_switch::{Command, Counts};

use crate::far_end::FarCall;
use crate::node::Input;
use crate::world::World;

impl World {
    /// Everything that can still happen happens; then nothing may be left, and all must be on record.
    pub(crate) fn finish(&mut self) {
        self.actions.clear();
        self.deaths_due.clear();
        for trunk in self.configuration.trunks.iter_mut().chain(&mut self.configuration.deleted) {
            trunk.advanced_config.insert("options_interval".into(), 0.into());
        }
        self.tell_routes();
        self.run_until(self.now + SETTLING);
        self.signalling.finish(u64::try_from(self.deaths.len()).ok().filter(|deaths| *deaths > 0));
        for what in self.signalling.take_faults() {
            self.fault(what);
        }
        self.expect_nothing_left();
        let calls: Vec<_> = self.node.journal.calls().map(|(id, call)| (*id, call.ended())).collect();
        let refusals = self.node.journal.refusals().iter();
        let refused: Vec<_> = refusals.map(|refused| format!("refused: {}", refused.sip_status)).collect();
        self.reached.extend(refused);
        for (id, ended) in calls {
            match ended {
                Ok(ended) => {
                    self.reached.insert(format!("cause: {}", ended.cause()));
                    if ended.record.receipt.is_some() {
                        self.reached.extend(ended.outcomes().into_iter().map(|code| format!("outcome: {code}")));
                    } else if !self.torn.contains(&id) {
                        self.fault(format!("{id} has no receipt"));
                    }
                    self.reached.extend(ended.event_kinds().into_iter().map(|kind| format!("event: {kind}")));
                    self.check_call(id, &ended);
                }
                Err(what) => self.fault(format!("{id} has {what}")),
            }
        }
        self.expect_a_leg_for_each_far_call();
    }

    fn expect_nothing_left(&mut self) {
        let waiting: Vec<_> = self.asked.values().cloned().collect();
        if !waiting.is_empty() {
            self.fault(format!("no reply to {waiting:?}"));
        }
        // As long as there are trunks, their names are looked up again and again.
        self.configuration.trunks.clear();
        self.tell_routes();
        let external: Vec<_> = self.occupancy.external().map(|(call_id, ..)| call_id).collect();
        for call_id in external {
            self.inputs.push(Input::Command(Command::ExternalEnded { call_id }));
        }
        let call_ids = self.node.journal.calls().map(|(id, _)| *id).collect();
        self.inputs.push(Input::Command(Command::Stored { call_ids }));
        self.ask_for_credit();
        self.run_until(self.now + Duration::from_secs(2));

        let Some(counts) = self.node.counts() else { return self.fault("the node is down".into()) };
        let Counts { ports_total, routing_revision, .. } = counts;
        if counts != (Counts { ports_total, routing_revision, ..Counts::default() }) {
            self.fault(format!("something is left: {counts:?}"));
        }
        if self.node.leftovers() != (0, None) {
            self.fault(format!("ports are open, or something is waited for: {:?}", self.node.leftovers()));
        }
        if !self.node.journal.kept().is_empty() {
            self.fault(format!("something is kept for a leg that is over: {:?}", self.node.journal.kept()));
        }
        let left = self.carrier.as_ref().map_or(0, |carrier| carrier.left());
        if left > 0 {
            self.fault(format!("the simulated carrier has {left} calls left"));
        }
        for index in 0..self.far_ends.len() {
            let far_end = &self.far_ends[index];
            if far_end.sessions() > 0 {
                let left: Vec<_> = far_end.calls.values().filter(|call| call.over.is_none()).cloned().collect();
                let address = far_end.address;
                self.fault(format!("{address} is left in a call: {left:?}"));
            }
        }
    }

    fn check_call(&mut self, id: CallId, ended: &Ended) {
        let faults =
            if self.torn.contains(&id) { ended.fault_of_numbers().into_iter().collect() } else { ended.faults() };
        for what in faults {
            self.fault(format!("{id}: {what}"));
        }
        for leg in &ended.legs {
            let endings = [self.fault_of_ending(leg), self.fault_of_late_answer(leg)];
            for what in self.faults_of_bill(leg).into_iter().chain(endings.into_iter().flatten()) {
                self.fault(format!("{id}, leg {}: {what}", leg.number));
            }
        }
        if let [first, .., last] = ended.legs.as_slice()
            && let Some(what) = self.fault_of_pair(first, last)
        {
            self.fault(format!("{id}: {what}"));
        }
    }

    /// No leg is billed for longer than its dialog was there on the wire, nor at a price that its trunk never had.
    fn faults_of_bill(&self, leg: &LegRecord) -> Vec<String> {
        let mut faults = Vec::new();
        let (Some(ended_at), billed, cost) = (leg.ended_at, leg.billed_seconds, leg.cost.map(Money::micros)) else {
            return vec!["it has no end".into()];
        };
        let Some(answered_at) = leg.answered_at else {
            if (billed, cost) != (Some(0), Some(0)) {
                faults.push(format!("it was never answered and costs {cost:?} for {billed:?} s"));
            }
            return faults;
        };
        let connected = ended_at.since(answered_at);
        let Some(answered) = self.signalling.answered.get(&leg.sip_call_id).copied() else {
            // A process may die after it has written down that it answers, and before it does.
            let is_fault = self.deaths.is_empty() || !connected.is_zero();
            return is_fault
                .then(|| format!("connected {connected:?}, and never answered on the wire: {leg:?}"))
                .into_iter()
                .collect();
        };
        let hung_up = self.signalling.hung_up.get(&leg.sip_call_id).copied();
        let died = self.deaths.iter().map(|(at, _)| *at).find(|at| *at >= answered);
        let over = [hung_up, died].into_iter().flatten().min().unwrap_or(self.now);
        if connected > over.saturating_duration_since(answered) {
            let wire = over.saturating_duration_since(answered);
            faults.push(format!("connected {connected:?}, on the wire {wire:?}: {leg:?}"));
        }
        // A call of a process that has died is rated by the next one, as of a moment before.
        let rated_at = if self.deaths.is_empty() { self.instant(ended_at) } else { self.now };
        let prices = leg.trunk_id.map(|trunk| self.configuration.prices(trunk, rated_at));
        let bills: Vec<_> = match prices {
            Some(prices) => prices.map(|price| price.bill(connected)).collect(),
            None => vec![(0, 0)],
        };
        // What a trunk cost that is gone is not known to the process that closes the leg.
        let is_unknown = (billed, cost) == (None, None) && leg.trunk_id.is_some() && !self.deaths.is_empty();
        if !is_unknown && !bills.iter().any(|(seconds, micros)| (billed, cost) == (Some(*seconds), Some(*micros))) {
            faults.push(format!("{billed:?} s and {cost:?} for {connected:?}, which may be {bills:?}"));
        }
        faults
    }

    /// A far end is in the call no longer than our side of it is, and our side no longer than the far end.
    fn fault_of_ending(&self, leg: &LegRecord) -> Option<String> {
        let (far_end_over, is_sure) = self.far_call_of(leg)?;
        let ended = self.instant(leg.ended_at?);
        let apart = far_end_over.saturating_duration_since(ended).max(ended.saturating_duration_since(far_end_over));
        let allowed = self.time_to_end(ended.min(far_end_over), ended.max(far_end_over));
        (is_sure && apart > allowed).then(|| {
            let at = |moment: Instant| (moment - start()).as_millis();
            format!("ended at {} ms, its far end at {} ms: {leg:?}", at(ended), at(far_end_over))
        })
    }

    /// Who answered when nobody waited for it any more is told so.
    fn fault_of_late_answer(&self, leg: &LegRecord) -> Option<String> {
        let far_ends = self.far_ends.iter().filter(|far_end| far_end.is_reliable());
        let of_leg = |call: &&FarCall| call.sip_call_id == leg.sip_call_id;
        let call =
            far_ends.flat_map(|far_end| far_end.calls.values()).find(|call| of_leg(call) && call.up_at.is_some())?;
        let (up_at, (over, _)) = (call.up_at?, call.over?);
        let is_late = leg.answered_at.is_none() && over - up_at > self.time_to_end(up_at, over);
        is_late.then(|| format!("its far end was in the call for {:?} after its late answer", over - up_at))
    }

    /// Both who talked to each other have left in time.
    fn fault_of_pair(&self, one: &LegRecord, other: &LegRecord) -> Option<String> {
        let (Some((one_over, true)), Some((other_over, true))) = (self.far_call_of(one), self.far_call_of(other))
        else {
            return None;
        };
        let allowed = self.time_to_end(one_over.min(other_over), one_over.max(other_over));
        let apart = one_over.max(other_over) - one_over.min(other_over);
        (apart > allowed).then(|| format!("its far ends left {apart:?} apart"))
    }

    /// When the far end of an answered leg left, and whether it listened all the time.
    fn far_call_of(&self, leg: &LegRecord) -> Option<(Instant, bool)> {
        leg.answered_at?;
        let is_it = |call: &&FarCall| call.sip_call_id == leg.sip_call_id && call.up_at.is_some();
        self.far_ends.iter().find_map(|far_end| {
            let (over, _) = far_end.calls.values().find(is_it)?.over?;
            Some((over, far_end.is_reliable()))
        })
    }

    /// As long as a BYE may get lost, and as long as nobody was there to send it.
    fn time_to_end(&self, from: Instant, until: Instant) -> Duration {
        let overlap =
            |(died, back): &(Instant, Instant)| (*back).min(until).saturating_duration_since((*died).max(from));
        let down: Duration = self.deaths.iter().map(overlap).sum();
        LEAVING_TIME + down
    }

    /// Every call that a far end took or placed is on record, once.
    fn expect_a_leg_for_each_far_call(&mut self) {
        let mut faults = Vec::new();
        let legs: Vec<&LegRecord> = self.node.journal.calls().flat_map(|(_, call)| &call.legs).collect();
        for call in self.far_ends.iter().flat_map(|far_end| far_end.calls.values()) {
            let of_it = legs.iter().filter(|leg| leg.sip_call_id == call.sip_call_id);
            let found: Vec<_> = of_it.map(|leg| (leg.call_id, leg.number, leg.direction)).collect();
            let direction = if call.calls { CallDirection::Inbound } else { CallDirection::Outbound };
            let is_right = found.iter().all(|(_, _, found)| *found == direction);
            if !is_right || (found.len() > 1 && self.deaths.is_empty()) {
                faults.push(format!("{} is on record as {found:?}", call.sip_call_id));
            }
            if found.is_empty() && !call.calls {
                faults.push(format!("{} is on no record: {call:?}", call.sip_call_id));
            }
            if found.is_empty() && call.up_at.is_some() && call.calls {
                faults.push(format!("{} was answered and is on no record", call.sip_call_id));
            }
        }
        faults.into_iter().for_each(|what| self.fault(what));
    }

    fn instant(&self, at: Timestamp) -> Instant {
        start() + at.since(start_utc())
    }
}

/// Longer than any call, any ringing and any transaction.
const SETTLING: Duration = Duration::from_secs(420);
/// How long it may take until everybody has left a call. A BYE is resent for 32 s; that the first eight of them or their answers are all
/// lost is not to be expected.
const LEAVING_TIME: Duration = Duration::from_secs(20);
