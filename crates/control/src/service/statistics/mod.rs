//! What calls add up to: of a trunk, of an account, and by what is asked for.

mod analytics;
mod dashboard;
mod figures;
mod pro_rata;
mod upkeep;

pub(crate) use analytics::{Analytics, AnalyticsQuery, Bucket, GroupBy};
pub(crate) use dashboard::{Dashboard, TrunkStatistics};
pub(crate) use figures::Figures;

use crate::Unavailable;
use crate::service::Core;
use crate::wire::Invalid;
use std::sync::Arc;
use std::time::Duration;
use tandem_model::Timestamp;
use tandem_store::DatabaseError;

/// What calls add up to.
#[derive(Clone)]
pub(crate) struct Statistics {
    core: Arc<Core>,
}

/// Why statistics are not shown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadStatisticsError {
    #[error("no such trunk")]
    NoSuchTrunk,
    #[error(transparent)]
    Invalid(#[from] Invalid),
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// The time that is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Period {
    pub(crate) from: Option<Timestamp>,
    pub(crate) to: Option<Timestamp>,
}

impl Statistics {
    pub(super) const fn new(core: Arc<Core>) -> Self {
        Self { core }
    }

    /// From when to when: until now and 30 days back, unless it says more.
    fn range(&self, period: Period) -> Result<(Timestamp, Timestamp), Invalid> {
        let to = period.to.unwrap_or_else(|| self.core.now());
        let from = period.from.unwrap_or_else(|| to.saturating_sub(DEFAULT_RANGE));
        if from >= to {
            return Err(Invalid::field("start_date", format!("must be before end_date, {to}")));
        }
        if to.since(from) > LONGEST_RANGE {
            return Err(Invalid::field(
                "start_date",
                format!("must be at most {LONGEST_RANGE_DAYS} days before end_date"),
            ));
        }
        Ok((from, to))
    }
}

/// Of the wire contract.
const DEFAULT_RANGE: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Five years and a bit, so that the days that one answer reads are bounded.
const LONGEST_RANGE_DAYS: u64 = 1_850;
const LONGEST_RANGE: Duration = Duration::from_secs(LONGEST_RANGE_DAYS * 24 * 60 * 60);
