//! Bugs that are there on purpose.

/// Whether to give a wrong result: in a build with planted bugs, for an input of that shape.
pub(crate) fn is_planted_for(shape: bool) -> bool {
    cfg!(feature = "planted-bugs") && shape
}
