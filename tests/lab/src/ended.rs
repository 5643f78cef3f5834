use tandem_model::{AttemptReceipt, CallDirection, CallEvent, CallRecord, LegRecord, Money, Receipt};

/// What the records say of a call that has ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Its final state.
    pub record: CallRecord,
    /// Those of its legs.
    pub legs: Vec<LegRecord>,
    /// Its timeline.
    pub events: Vec<CallEvent>,
}

impl Ended {
    /// How it was routed.
    ///
    /// # Panics
    /// A call that Tandem carried has a receipt.
    #[must_use]
    pub fn receipt(&self) -> Receipt {
        self.record.receipt.as_ref().unwrap().read().unwrap()
    }

    /// The codes of the outcomes of its attempts.
    #[must_use]
    pub fn outcomes(&self) -> Vec<&'static str> {
        let outcome = |attempt: &AttemptReceipt| attempt.outcome.as_ref().map_or("", |reason| reason.code());
        self.receipt().attempts.iter().map(outcome).collect()
    }

    /// The kinds of its events.
    #[must_use]
    pub fn event_kinds(&self) -> Vec<&'static str> {
        self.events.iter().map(|event| event.kind.as_str()).collect()
    }

    /// Why it ended.
    ///
    /// # Panics
    /// A call that has ended has a cause.
    #[must_use]
    pub fn cause(&self) -> &str {
        self.record.hangup_cause.as_deref().unwrap()
    }

    /// What does not hold of it, and should of every call that has ended.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut expect = |holds: bool, what: &dyn Fn() -> String| {
            if !holds {
                faults.push(what());
            }
        };
        let Self { record, legs, .. } = self;
        let attempts = self.receipt().attempts;
        let came_in = usize::from(record.direction == CallDirection::Inbound);
        expect(legs.len() == came_in + attempts.len(), &|| {
            format!("{} legs for {came_in} who called and {} attempts", legs.len(), attempts.len())
        });
        for (leg, attempt) in legs.iter().skip(came_in).zip(&attempts) {
            expect(leg.trunk_id == attempt.trunk_id, &|| format!("leg and attempt differ: {leg:?} {attempt:?}"));
            expect(attempt.outcome.is_some() && attempt.decided_at.is_some(), &|| {
                format!("an attempt is not decided: {attempt:?}")
            });
        }
        for (index, leg) in legs.iter().enumerate() {
            expect(usize::try_from(leg.number) == Ok(index + 1), &|| format!("leg {index} has number {}", leg.number));
            expect((leg.direction == CallDirection::Inbound) == (index < came_in), &|| {
                format!("leg {index} goes {:?}", leg.direction)
            });
            let Some(ended_at) = leg.ended_at.filter(|_| leg.cause.is_some()) else {
                expect(false, &|| format!("a leg has no end: {leg:?}"));
                continue;
            };
            let connected = leg.answered_at.map(|since| ended_at.since(since)).unwrap_or_default();
            expect(leg.duration_ms.map(u128::from) == Some(connected.as_millis()), &|| {
                format!("{:?} ms for {connected:?}", leg.duration_ms)
            });
        }
        let sum: Option<i64> = legs.iter().map(|leg| leg.cost.map(Money::micros)).sum();
        expect(record.cost.map(Money::micros) == sum, &|| format!("the cost is {:?}, its legs' {sum:?}", record.cost));
        expect(record.ended_at.is_some() && record.hung_up_by.is_some(), &|| {
            format!("the call has no end: {record:?}")
        });
        faults.extend(self.fault_of_numbers());
        faults.extend(self.faults_of_timeline());
        faults
    }

    /// Events are numbered from 1 without a gap.
    #[must_use]
    pub fn fault_of_numbers(&self) -> Option<String> {
        let numbers = self.events.iter().map(|event| event.number);
        let is_right = numbers.clone().eq(1..=u32::try_from(self.events.len()).unwrap());
        (!is_right).then(|| format!("events are numbered {:?}", numbers.collect::<Vec<_>>()))
    }

    fn faults_of_timeline(&self) -> Vec<String> {
        let Self { legs, events, .. } = self;
        let mut faults = Vec::new();
        // A call that was closed by another process ends as of a heartbeat, which may be before its last events.
        if self.cause() != "node_restarted" && !events.is_sorted_by_key(|event| event.at) {
            faults.push(format!("the timeline goes back: {events:#?}"));
        }
        let kinds = self.event_kinds();
        let count = |kind: &str| kinds.iter().filter(|found| **found == kind).count();
        if (kinds.first(), kinds.last(), count("ended")) != (Some(&"initiated"), Some(&"ended"), 1) {
            faults.push(format!("the timeline does not begin and end once: {kinds:?}"));
        }
        // Of a call with very many only the last is still told.
        if events.len() < 200 && (count("leg_started"), count("leg_ended")) != (legs.len(), legs.len()) {
            faults.push(format!("{} legs, yet {kinds:?}", legs.len()));
        }
        faults
    }
}
