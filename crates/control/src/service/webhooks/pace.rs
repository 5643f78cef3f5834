use std::time::Duration;

/// When the database is asked for what is to be sent. While no account has an endpoint it is asked hardly ever, and only whether there is
/// one; whoever makes one in this process wakes the worker, and one that another node made is served by that node meanwhile.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Whether there was an endpoint when that was last asked.
    has_endpoints: bool,
    /// Looks since then.
    looks: u32,
}

/// What to ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// Whether any endpoint takes events.
    Endpoints,
    /// What is due.
    Deliveries,
}

impl Pace {
    /// What is to be asked for next.
    pub(super) const fn look(&self) -> Look {
        if self.has_endpoints && self.looks < LOOKS_BETWEEN { Look::Deliveries } else { Look::Endpoints }
    }

    /// Whether any endpoint takes events; gives how long to wait.
    pub(super) const fn found_endpoints(&mut self, any: bool) -> Duration {
        (self.has_endpoints, self.looks) = (any, 0);
        if any { Duration::ZERO } else { IDLE_LOOK_EVERY }
    }

    /// What is due was asked for; gives how long to wait.
    pub(super) const fn found_deliveries(&mut self) -> Duration {
        self.looks += 1;
        LOOK_EVERY
    }
}

/// How soon an event is sent.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How often a node without endpoints looks for some, which other nodes have made.
const IDLE_LOOK_EVERY: Duration = Duration::from_secs(30);
/// After half a minute it is asked whether there still are endpoints.
const LOOKS_BETWEEN: u32 = 150;

#[cfg(test)]
mod tests {
    use super::*;

    /// What is asked within a span, when the database has endpoints or not.
    fn asked(pace: &mut Pace, any: bool, span: Duration) -> (u32, u32) {
        let (mut passed, mut endpoints, mut deliveries) = (Duration::ZERO, 0, 0);
        while passed < span {
            passed += match pace.look() {
                Look::Endpoints => {
                    endpoints += 1;
                    pace.found_endpoints(any)
                }
                Look::Deliveries => {
                    deliveries += 1;
                    pace.found_deliveries()
                }
            };
        }
        (endpoints, deliveries)
    }

    #[test]
    fn a_node_without_endpoints_asks_twice_a_minute() {
        assert_eq!(asked(&mut Pace::default(), false, Duration::from_secs(600)), (20, 0));
    }

    #[test]
    fn a_node_with_endpoints_asks_five_times_a_second_until_they_are_gone() {
        let mut pace = Pace::default();
        assert_eq!(asked(&mut pace, true, Duration::from_secs(60)), (2, 300));
        let (endpoints, deliveries) = asked(&mut pace, false, Duration::from_secs(600));
        assert!(endpoints <= 20 && deliveries <= LOOKS_BETWEEN, "{endpoints} {deliveries}");
    }
}
