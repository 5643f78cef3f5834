//! What calls have cost, taken from the credit of their accounts: entries of the ledger, and sums by node.
//!
//! The entries of an account sum to its balance whatever happens, so an entry that no sum could hold is not written at all: what logs
//! such a call is refused, and of a call that this switch carries the log tells. See [`LEDGER_BOUND`].

use crate::DatabaseError;
use crate::row::Columns;
use crate::wide_sum::{high_half, low_half, read_wide_sum, wide_sum};
use tandem_model::{CallRecord, CarriedBy, CreditEntryKind};

/// An account's credit holds no amount as large.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what the calls of the account have cost would be more than its ledger can hold")]
pub struct LedgerFull;

/// Settles a call that something else carries, as it is stored now. Part of the transaction that stores it.
macro_rules! settle_external {
    ($transaction:expr, $call:expr) => {
        if let Some(call) = crate::settlement::to_settle($call) {
            let due = sqlx::query(crate::settlement::READ_DUE)
                .bind(uuid::Uuid::nil())
                .bind(call.id.as_uuid())
                .bind(call.account_id.as_uuid())
                .fetch_optional(&mut *$transaction)
                .await?;
            let due = due.map(|row| crate::settlement::Due::read(&row)).transpose()?;
            let entry = due.map(|due| due.entry()).transpose()?.flatten();
            if let Some(entry) = entry {
                let at = crate::store::now();
                sqlx::query(crate::settlement::INSERT_ENTRY)
                    .bind(call.account_id.as_uuid())
                    .bind(crate::credit::entry_id(at)?.as_uuid())
                    .bind(at.unix_micros())
                    .bind(entry.kind.as_str())
                    .bind(entry.amount)
                    .bind(call.id.as_uuid())
                    .bind("")
                    .execute(&mut *$transaction)
                    .await?;
                sqlx::query(crate::settlement::ADD_SETTLEMENT)
                    .bind(call.account_id.as_uuid())
                    .bind(uuid::Uuid::nil())
                    .bind(entry.settled())
                    .execute(&mut *$transaction)
                    .await?;
            }
        }
    };
}

pub(crate) use settle_external;

/// Whether a call that something else carries may have something to settle.
pub(crate) fn to_settle(call: &CallRecord) -> Option<&CallRecord> {
    Some(call).filter(|call| call.carried_by == CarriedBy::External && call.cost.is_some())
}

/// What the entries of a call lack to what it cost, and where it would go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    /// By how much the balance is to change.
    amount: i128,
    /// Whether there are entries of the call already.
    was_settled: bool,
    /// What calls of the account have cost, on all nodes.
    settled: i128,
    /// Of it, on the node that settles.
    settled_here: i64,
}

/// An entry that the ledger can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DueEntry {
    /// By how much the balance changes.
    pub(crate) amount: i64,
    pub(crate) kind: CreditEntryKind,
}

impl Due {
    pub(crate) fn read<R: Columns>(row: &R) -> Result<Self, DatabaseError> {
        let entered = read_wide_sum!(row, "entered")?;
        Ok(Self::new(
            row.integer("cost_micros")?,
            entered,
            row.integer("entries")?,
            read_wide_sum!(row, "settled")?,
            row.integer("settled_here")?,
        ))
    }

    pub(crate) fn new(cost: i64, entered: i128, entries: i64, settled: i128, settled_here: i64) -> Self {
        let amount = -i128::from(cost) - entered;
        Self { amount, was_settled: entries > 0, settled, settled_here }
    }

    /// What is to be written, if it is anything.
    ///
    /// # Errors
    /// [`LedgerFull`].
    pub(crate) fn entry(&self) -> Result<Option<DueEntry>, LedgerFull> {
        if self.amount == 0 {
            return Ok(None);
        }
        let amount = i64::try_from(self.amount).map_err(|_| LedgerFull)?;
        // Both must hold what is taken from the one and added to the other.
        amount.checked_neg().and_then(|settled| self.settled_here.checked_add(settled)).ok_or(LedgerFull)?;
        if !is_held(self.settled, self.settled - self.amount) {
            return Err(LedgerFull);
        }
        let kind = if self.was_settled { CreditEntryKind::Correction } else { CreditEntryKind::Call };
        Ok(Some(DueEntry { amount, kind }))
    }
}

impl DueEntry {
    /// What is added to the sum of what calls have cost.
    pub(crate) const fn settled(&self) -> i64 {
        self.amount.saturating_neg()
    }
}

/// Whether a sum of an account may become that much. What is beyond the bound already may come nearer to it.
pub(crate) fn is_held(before: i128, after: i128) -> bool {
    after.unsigned_abs() <= LEDGER_BOUND.unsigned_abs().into() || after.unsigned_abs() < before.unsigned_abs()
}

/// Tells of calls of this node that were not settled.
pub(crate) fn tell_unsettled(unsettled: &[(tandem_model::AccountId, tandem_model::CallId)]) {
    if let Some((account, call)) = unsettled.first() {
        tracing::error!(
            calls = unsettled.len(), %account, %call,
            "calls are not settled, the first of which is told here: their accounts' ledgers cannot hold more"
        );
    }
}

/// The most that may be granted to an account, and the most that its calls may have cost, in millionths of the currency unit and either
/// way: 4 × 10^12 units. Their difference fits 64 bits, with room for what is written at the same moment.
pub(crate) const LEDGER_BOUND: i64 = 4_000_000_000_000_000_000;

/// The largest single entry of a batch, either way: 10^12 units, a hundred thousand times what a call may cost. One that is larger comes of
/// a row that somebody else has written, and must not keep the account's other calls from being settled.
pub(crate) const LARGEST_ENTRY: i64 = 1_000_000_000_000_000_000;

/// What the entries of a call lack to what it cost, if its account pays for it by credit: `$1` is the node that settles it, `$2` the call,
/// `$3` its account. The call must be held, or written by this transaction.
pub(crate) const READ_DUE: &str = concat!(
    "SELECT call_logs.cost_micros, count(credit_entries.id) AS entries, ",
    wide_sum!("credit_entries.amount_micros", "entered"),
    ", coalesce((SELECT settled_micros FROM credit_settlements AS own
            WHERE own.account_id = call_logs.account_id AND own.node_id = $1), 0) AS settled_here,
        (SELECT ",
    high_half!("settled_micros"),
    " FROM credit_settlements AS each WHERE each.account_id = call_logs.account_id) AS settled_high,
        (SELECT ",
    low_half!("settled_micros"),
    " FROM credit_settlements AS each WHERE each.account_id = call_logs.account_id) AS settled_low
    FROM call_logs JOIN credits ON credits.account_id = call_logs.account_id AND credits.controlled_since <= call_logs.started_at
        LEFT JOIN credit_entries ON credit_entries.call_log_id = call_logs.id AND credit_entries.account_id = call_logs.account_id
    WHERE call_logs.id = $2 AND call_logs.account_id = $3 AND call_logs.cost_micros IS NOT NULL
    GROUP BY call_logs.id, call_logs.account_id, call_logs.cost_micros"
);

pub(crate) const INSERT_ENTRY: &str =
    "INSERT INTO credit_entries (account_id, id, at, kind, amount_micros, call_log_id, note)
    VALUES ($1, $2, $3, $4, $5, $6, $7)";

/// `$1` is the account, `$2` the node.
pub(crate) const ADD_SETTLEMENT: &str = "INSERT INTO credit_settlements (account_id, node_id, settled_micros) VALUES ($1, $2, $3)
    ON CONFLICT (account_id, node_id) DO UPDATE SET settled_micros = credit_settlements.settled_micros + excluded.settled_micros";

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(cost: i64, entered: i128, settled: i128, settled_here: i64) -> Result<Option<i64>, LedgerFull> {
        let due = Due::new(cost, entered, i64::from(entered != 0), settled, settled_here);
        Ok(due.entry()?.map(|entry| entry.amount))
    }

    #[test]
    fn what_is_lacking_is_entered_and_nothing_that_no_sum_holds() {
        assert_eq!(entry(300, 0, 0, 0), Ok(Some(-300)));
        assert_eq!(entry(300, -300, 300, 300), Ok(None));
        assert_eq!(entry(250, -300, 300, 300), Ok(Some(50)));
        let bound = i128::from(LEDGER_BOUND);
        assert_eq!(entry(1, 0, bound - 1, 0), Ok(Some(-1)));
        assert_eq!(entry(1, 0, bound, 0), Err(LedgerFull));
        assert_eq!(entry(i64::MIN, 0, 0, 0), Err(LedgerFull));
        assert_eq!(entry(i64::MAX, i128::from(i64::MAX), 0, 0), Err(LedgerFull));
        assert_eq!(entry(5, 0, 0, i64::MAX), Err(LedgerFull), "though another node's sum makes up for it");
        // A mistake of before is corrected.
        assert_eq!(entry(5, -2 * bound, 2 * bound, i64::MAX), Ok(Some(2 * LEDGER_BOUND - 5)));
    }
}
