//! What calls add up to: rows of an hour or a day that are kept in the transactions that write calls and legs, so that a question about a
//! month reads hundreds of rows and not millions.
//!
//! Each row of the call log has a share, which is a function of that row alone. Who writes a row takes away the share of the row as
//! it was and adds that of the row as it is, so that a row counts once however often it is written.

mod backfill;
mod change;
mod prefix;
mod query;
mod share;
mod sums;

pub(crate) use change::{Grain, TrafficChange, TrafficKey, View};
pub use prefix::DestinationPrefix;
pub(crate) use prefix::ERASED;
pub use query::{TimeStep, TrafficDetail, TrafficQuery, TrafficRow};
pub(crate) use share::{CallFacts, LegFacts, mos_millis};
pub use sums::Sums;
pub(crate) use sums::{SUMS, assignments};

use tandem_model::{CallRecord, LegRecord};

/// A row as it was before a transaction wrote it.
pub(crate) struct Stored<F> {
    pub(crate) facts: F,
    /// Whether its share is in the statistics.
    pub(crate) counted: bool,
}

impl TrafficChange {
    /// A state of a call that is about to be written over the stored one. The call of another account is not written over.
    pub(crate) fn write_call(&mut self, call: &CallRecord, stored: Option<&Stored<CallFacts<'_>>>) {
        let mut facts = CallFacts::from(call);
        if let Some(before) = stored {
            if before.facts.account != facts.account {
                return;
            }
            // What the statement that writes it keeps.
            facts.carried_by = before.facts.carried_by;
            facts.quality_score = facts.quality_score.filter(|score| score.is_finite()).or(before.facts.quality_score);
            if before.counted {
                self.take_away(before.facts.share());
            }
        }
        self.add(facts.share());
    }

    /// As [`Self::write_call`], of a leg.
    pub(crate) fn write_leg(&mut self, leg: &LegRecord, stored: Option<&Stored<LegFacts<'_>>>) {
        let facts = LegFacts::from(leg);
        if let Some(before) = stored {
            if before.facts.account != facts.account {
                return;
            }
            if before.counted {
                self.take_away(before.facts.share());
            }
        }
        self.add(facts.share());
    }
}
