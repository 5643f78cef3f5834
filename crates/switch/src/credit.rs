//! What accounts may still spend: what was granted, less what calls have cost, less what calls that are up may still cost.

use std::collections::BTreeMap;
use tandem_model::{AccountId, CreditCommitment, CreditTerms, LiveCredit, Money, Timestamp};

/// The credit of all accounts whose calls are paid for by it.
#[derive(Debug, Default)]
pub(crate) struct CreditBook {
    purses: BTreeMap<AccountId, Purse>,
}

#[derive(Debug, Default)]
struct Purse {
    /// `None` once its calls are no longer paid for by credit, as long as calls that are up hold some.
    terms: Option<CreditTerms>,
    /// What calls of this node have cost, from the beginning on: never less than what the database has of it.
    spent_here: i64,
    reserved: i64,
}

/// What a call that is up may still use of its account's credit. It grows as the call goes on, and goes back exactly once.
#[derive(Debug)]
#[must_use = "what is held and dropped is lost: give it back with CreditBook::settle"]
pub(crate) struct CreditHold {
    account: AccountId,
    micros: i64,
}

/// There is not as much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exhausted {
    pub(crate) needed: Money,
    pub(crate) available: Money,
}

impl Purse {
    /// What is left for others. Sums of amounts that each fit may not: wider.
    fn available(&self) -> i128 {
        let granted = self.terms.map_or(0, |terms| wide(terms.granted) - wide(terms.committed_elsewhere));
        granted - i128::from(self.spent_here) - i128::from(self.reserved)
    }

    fn applies(&self, began: Timestamp) -> bool {
        self.terms.is_some_and(|terms| terms.since <= began)
    }
}

impl CreditBook {
    /// The accounts whose calls are paid for by credit, all of them, as the database has them now.
    pub(crate) fn take_terms(&mut self, all: &[CreditTerms]) {
        for (account, purse) in &mut self.purses {
            purse.terms = purse.terms.filter(|_| all.iter().any(|terms| terms.account_id == *account));
        }
        for terms in all {
            let purse = self.purses.entry(terms.account_id).or_default();
            let goes_on = purse.terms.is_some_and(|known| known.since == terms.since);
            let settled_here = terms.settled_here.micros();
            // The database may know of calls that an earlier process has carried and this one has not heard of, but never of fewer.
            purse.spent_here = if goes_on { purse.spent_here.max(settled_here) } else { settled_here };
            purse.terms = Some(*terms);
        }
        self.purses.retain(|_, purse| purse.terms.is_some() || purse.reserved != 0);
    }

    /// Whether a call of the account that began then is paid for by credit.
    pub(crate) fn applies(&self, account: AccountId, began: Timestamp) -> bool {
        self.purses.get(&account).is_some_and(|purse| purse.applies(began))
    }

    /// For a call of the account; nothing yet.
    pub(crate) const fn hold(account: AccountId) -> CreditHold {
        CreditHold { account, micros: 0 }
    }

    /// Lets a call hold so much from now on. With less than before it always can, and with `force` in any case.
    ///
    /// # Errors
    /// [`Exhausted`]; the call holds what it held.
    pub(crate) fn reserve(&mut self, hold: &mut CreditHold, needed: Money, force: bool) -> Result<(), Exhausted> {
        let Some(purse) = self.purses.get_mut(&hold.account) else { return Ok(()) };
        let more = needed.micros().saturating_sub(hold.micros);
        if more > 0 && !force && i128::from(more) > purse.available() {
            return Err(Exhausted {
                needed,
                available: Money::saturating_from(purse.available() + i128::from(hold.micros)),
            });
        }
        purse.reserved = purse.reserved.saturating_add(more);
        hold.micros = needed.micros();
        Ok(())
    }

    /// Whether a new call could hold so much.
    ///
    /// # Errors
    /// [`Exhausted`].
    pub(crate) fn would_reserve(&self, account: AccountId, needed: Money) -> Result<(), Exhausted> {
        let Some(purse) = self.purses.get(&account) else { return Ok(()) };
        if needed > Money::ZERO && wide(needed) > purse.available() {
            return Err(Exhausted { needed, available: Money::saturating_from(purse.available()) });
        }
        Ok(())
    }

    /// A call is over that cost so much; what it held goes back.
    #[expect(clippy::needless_pass_by_value, reason = "who gives it back has it no more")]
    pub(crate) fn settle(&mut self, hold: CreditHold, cost: Money) {
        if let Some(purse) = self.purses.get_mut(&hold.account) {
            debug_assert!(purse.reserved >= hold.micros, "what a call holds goes back once");
            purse.reserved = purse.reserved.saturating_sub(hold.micros);
            purse.spent_here = purse.spent_here.saturating_add(cost.micros());
            if purse.terms.is_none() && purse.reserved == 0 {
                self.purses.remove(&hold.account);
            }
        }
    }

    /// What the account has now; `None` when its calls are not paid for by credit.
    pub(crate) fn live(&self, account: AccountId) -> Option<LiveCredit> {
        let purse = self.purses.get(&account).filter(|purse| purse.terms.is_some())?;
        Some(LiveCredit {
            reserved: Money::from_micros(purse.reserved),
            available: Money::saturating_from(purse.available()),
        })
    }

    /// What is committed beyond what the database has of this node's calls.
    pub(crate) fn commitments(&self) -> Vec<CreditCommitment> {
        let committed = self.purses.iter().filter_map(|(account, purse)| {
            let amount = purse.spent_here.saturating_add(purse.reserved);
            let is_more = amount > purse.terms?.settled_here.micros();
            is_more.then(|| CreditCommitment { account_id: *account, amount: Money::from_micros(amount) })
        });
        committed.collect()
    }

    /// All that calls hold, in millionths of the currency unit.
    pub(crate) fn reserved_micros(&self) -> u64 {
        let reserved = self.purses.values().map(|purse| u64::try_from(purse.reserved).unwrap_or(0));
        reserved.fold(0, u64::saturating_add)
    }
}

fn wide(amount: Money) -> i128 {
    i128::from(amount.micros())
}

#[cfg(test)]
mod tests {
    use super::*;

    const EPOCH: Timestamp = Timestamp::from_unix_micros(0);

    fn account() -> AccountId {
        AccountId::new(EPOCH, [1; 10])
    }

    fn terms(granted: i64, settled_here: i64, committed_elsewhere: i64) -> CreditTerms {
        CreditTerms {
            account_id: account(),
            since: EPOCH,
            granted: Money::from_micros(granted),
            committed_elsewhere: Money::from_micros(committed_elsewhere),
            settled_here: Money::from_micros(settled_here),
        }
    }

    fn book(granted: i64) -> CreditBook {
        let mut book = CreditBook::default();
        book.take_terms(&[terms(granted, 0, 0)]);
        book
    }

    fn available(book: &CreditBook) -> i64 {
        book.live(account()).unwrap().available.micros()
    }

    fn held(book: &mut CreditBook, micros: i64) -> Result<CreditHold, Exhausted> {
        let mut hold = CreditBook::hold(account());
        book.reserve(&mut hold, Money::from_micros(micros), false).map(|()| hold)
    }

    #[test]
    fn what_is_held_is_not_there_for_others() {
        let mut book = book(100);
        let mut one = held(&mut book, 60).unwrap();
        let refused = held(&mut book, 41).unwrap_err();
        assert_eq!((refused.needed.micros(), refused.available.micros()), (41, 40));
        let other = held(&mut book, 40).unwrap();
        assert!(book.reserve(&mut one, Money::from_micros(61), false).is_err());
        book.reserve(&mut one, Money::from_micros(50), false).unwrap();
        book.settle(one, Money::from_micros(25));
        book.settle(other, Money::ZERO);
        assert_eq!((available(&book), book.reserved_micros()), (75, 0));
    }

    #[test]
    fn a_cost_counts_once_whoever_tells_it_first() {
        let mut book = book(100);
        let hold = held(&mut book, 60).unwrap();
        book.settle(hold, Money::from_micros(50));
        book.take_terms(&[terms(100, 0, 0)]);
        assert_eq!(available(&book), 50, "the database does not have it yet");
        book.take_terms(&[terms(100, 50, 7)]);
        assert_eq!(available(&book), 43, "and now it has, with a cost of another node");
        // One of an earlier process, that this one knows nothing of.
        book.take_terms(&[terms(130, 60, 7)]);
        assert_eq!(available(&book), 63);
    }

    #[test]
    fn other_nodes_are_told_what_the_database_does_not_have() {
        let mut book = CreditBook::default();
        book.take_terms(&[terms(100, 20, 0)]);
        assert_eq!(book.commitments(), [], "the database has it");
        let hold = held(&mut book, 60).unwrap();
        let committed = |book: &CreditBook| book.commitments().first().map(|commitment| commitment.amount.micros());
        assert_eq!(committed(&book), Some(80));
        book.settle(hold, Money::from_micros(50));
        assert_eq!(committed(&book), Some(70), "until it is stored");
        book.take_terms(&[terms(100, 70, 0)]);
        assert_eq!(committed(&book), None);
        // What others have committed is not there for this one.
        book.take_terms(&[terms(100, 70, 25)]);
        assert_eq!(held(&mut book, 6).unwrap_err().available.micros(), 5);
    }

    #[test]
    fn calls_from_before_and_accounts_without_control_are_free_of_it() {
        let mut book = book(10);
        assert!(book.applies(account(), EPOCH));
        assert!(!book.applies(account(), Timestamp::from_unix_micros(-1)));
        let mut hold = held(&mut book, 10).unwrap();
        book.take_terms(&[]);
        assert!(!book.applies(account(), EPOCH));
        assert_eq!(book.live(account()), None);
        book.take_terms(&[terms(20, 0, 0)]);
        assert_eq!(available(&book), 10, "what a call holds goes on being held");
        book.reserve(&mut hold, Money::from_micros(1_000), true).unwrap();
        assert_eq!(available(&book), -980);
        book.take_terms(&[]);
        book.settle(hold, Money::from_micros(3));
        assert!(book.purses.is_empty());
    }
}
