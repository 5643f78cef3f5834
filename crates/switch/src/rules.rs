//! Rules that the simulation can switch off one by one, to prove that it would notice.
//!
//! That takes the feature `sim-mutations`, which no program of ours has. Without it every rule holds, and asking costs nothing.

/// A rule of the switch, or of the protocol below it.
#[cfg_attr(not(feature = "sim-mutations"), expect(unreachable_pub, reason = "it is public with the feature"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// One of the protocol.
    #[cfg(feature = "sim-mutations")]
    Protocol(tandem_sip::rules::Rule),
    /// When one leg ends, so does the other.
    EndsEveryLeg,
    /// The slot of an attempt that is given up goes back.
    GivesSlotsBack,
    /// What is needed to end a dialog is written down.
    KeepsDialogs,
    /// Each event has the number after that of the one before.
    NumbersEvents,
    /// Connected time is rounded up to the billing increment, once.
    BillsOnce,
    /// What a call may cost is reserved before it does.
    ReservesCredit,
    /// Audio goes to the other leg of the call.
    RelaysToTheOtherLeg,
}

/// Which rules are in force.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    #[cfg(feature = "sim-mutations")]
    broken: Option<Rule>,
}

impl Rules {
    /// Whether a rule is in force.
    #[cfg(feature = "sim-mutations")]
    pub(crate) fn hold(&self, rule: Rule) -> bool {
        self.broken != Some(rule)
    }

    /// Whether a rule is in force. It is.
    #[cfg(not(feature = "sim-mutations"))]
    #[expect(clippy::unused_self, reason = "as with the feature")]
    pub(crate) const fn hold(&self, _: Rule) -> bool {
        true
    }

    #[cfg(feature = "sim-mutations")]
    pub(crate) fn switch_off(&mut self, rule: Rule) {
        self.broken = Some(rule);
    }
}
