use crate::text_enum::text_enum;
use crate::{AccountId, CallId, CreditEntryId, Money, Timestamp};

text_enum! {
    /// Why an account's credit changed.
    pub enum CreditEntryKind, error ParseCreditEntryKindError("kind of credit entry") {
        /// An admin of the node added some.
        TopUp = "top_up",
        /// An admin of the node took some away.
        Adjustment = "adjustment",
        /// What a call cost.
        Call = "call",
        /// What a call cost is not what it was settled at.
        Correction = "correction",
    }
}

/// One change of an account's credit. All of an account's entries sum to its balance, to the micro-unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreditEntry {
    /// Its id; they sort by when they were written.
    pub id: CreditEntryId,
    /// Whose credit.
    pub account_id: AccountId,
    /// When it was written.
    pub at: Timestamp,
    /// Why.
    pub kind: CreditEntryKind,
    /// By how much the balance changed: below zero for what was taken.
    pub amount: Money,
    /// Of which call, for those of calls.
    pub call_id: Option<CallId>,
    /// What whoever wrote it had to say of it.
    pub note: String,
}

/// An account's credit, as the database has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CreditAccount {
    /// Since when calls that begin are paid for by credit; `None` while they are not.
    pub controlled_since: Option<Timestamp>,
    /// All that was added, less what was taken away by hand.
    pub granted: Money,
    /// What calls have cost.
    pub settled: Money,
}

impl CreditAccount {
    /// What is left.
    #[must_use]
    pub fn balance(&self) -> Money {
        Money::from_micros(self.granted.micros().saturating_sub(self.settled.micros()))
    }
}

/// What the call path of a node goes by, for an account whose calls are paid for by credit.
///
/// All three amounts are sums from the beginning on. So the call path, which knows what its own calls cost before the database does, takes
/// its own sum in the place of `settled_here`, and no cost counts twice or not at all, whichever of the two learns of it first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CreditTerms {
    /// Whose.
    pub account_id: AccountId,
    /// Calls that began before are not paid for by credit.
    pub since: Timestamp,
    /// All that was added, less what was taken away by hand.
    pub granted: Money,
    /// What calls have cost that this node did not carry, and what those that are up on other nodes may still cost.
    pub committed_elsewhere: Money,
    /// What calls cost that this node carried, as far as the database has them.
    pub settled_here: Money,
}

/// What the calls of an account have cost on one node, from the beginning on, with what those that are up may still cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CreditCommitment {
    /// Whose.
    pub account_id: AccountId,
    /// All of it, also what the database knows already.
    pub amount: Money,
}

/// What the call path holds of an account's credit at this moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LiveCredit {
    /// What calls that are up may still use.
    pub reserved: Money,
    /// What is left for others: the balance, less what is reserved here and on other nodes, and less what ended calls cost and the database does not have yet.
    pub available: Money,
}
