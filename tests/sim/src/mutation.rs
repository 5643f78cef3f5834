use tandem_switch::Switch;

/// A rule of the switch that is switched off, to see whether the simulation notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {}

impl Mutation {
    pub(crate) fn apply(self, _switch: &mut Switch) {
        match self {}
    }
}
