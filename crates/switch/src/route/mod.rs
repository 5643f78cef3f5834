//! Routing: which trunks can take a call, in which order, and for each that cannot, why not.

mod dialled;
mod next_hop;
mod plan;
mod table;

pub use dialled::{dialled_number, matching_prefix};
pub use next_hop::{InvalidNextHop, NextHop};
pub(crate) use plan::reason_at_this_moment;
pub use plan::{MAX_ATTEMPTS, MAX_CONSIDERED, Plan, Planned, Query, plan};
pub use table::{RouteTable, RoutedAccount, RoutedTrunk};

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Instant;

    /// Tests need some instant to start from; all spans are counted from it.
    #[expect(
        clippy::disallowed_methods,
        reason = "an Instant cannot be made otherwise; only differences from it are used"
    )]
    pub(crate) fn instant() -> Instant {
        Instant::now()
    }
}
