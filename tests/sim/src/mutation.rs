use tandem_switch::Switch;

/// A rule of the switch that is switched off, to see whether the simulation notices. Without the feature `mutations` there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// One of ours, or of the protocol.
    #[cfg(feature = "mutations")]
    Without(tandem_switch::rules::Rule),
}

impl Mutation {
    #[cfg(feature = "mutations")]
    pub(crate) fn apply(self, switch: &mut Switch) {
        let Self::Without(rule) = self;
        switch.switch_off(rule);
    }

    #[cfg(not(feature = "mutations"))]
    pub(crate) fn apply(self, _: &mut Switch) {
        match self {}
    }
}
