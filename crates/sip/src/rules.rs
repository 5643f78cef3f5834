//! Rules of the protocol that the simulation can switch off one by one, to prove that it would notice.
//!
//! That takes the feature `sim-mutations`, which no program of ours has. Without it every rule holds, and asking costs nothing.

/// A rule of the protocol.
#[cfg_attr(not(feature = "sim-mutations"), expect(unreachable_pub, reason = "it is public with the feature"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// A 2xx that comes again is acknowledged again (RFC 3261 §13.2.2.4).
    AcknowledgesEachAnswer,
    /// A CANCEL waits for a provisional response (§9.1).
    CancelsOnlyWhatIsHeardOf,
    /// A 2xx that crosses the CANCEL is acknowledged, and its dialog ended (§9.1, §15).
    EndsWhatIsAnsweredTooLate,
    /// An INVITE that is canceled gets its 487 (§9.2).
    AnswersWhatIsCanceled,
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
