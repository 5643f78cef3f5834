use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tandem_model::AccountId;

/// What each account has of something of which nobody is to have too much, and what those of an account have in common. An account that has
/// nothing is forgotten.
#[derive(Default)]
pub(super) struct Shares<T>(Arc<Mutex<HashMap<AccountId, Held<T>>>>);

#[derive(Default)]
struct Held<T> {
    count: usize,
    common: T,
}

/// One of what an account has, until it is dropped.
pub(super) struct Share<T> {
    account: AccountId,
    shares: Shares<T>,
    pub(super) common: T,
}

impl<T: Clone + Default> Shares<T> {
    /// One more for an account that has fewer than `most`.
    pub(super) fn take(&self, account: AccountId, most: usize) -> Option<Share<T>> {
        let mut accounts = self.lock();
        let held = accounts.entry(account).or_default();
        if held.count >= most {
            return None;
        }
        held.count += 1;
        Some(Share { account, shares: self.clone(), common: held.common.clone() })
    }
}

impl<T> Shares<T> {
    fn lock(&self) -> MutexGuard<'_, HashMap<AccountId, Held<T>>> {
        // A count is right whoever panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }
}

impl<T> Clone for Shares<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Drop for Share<T> {
    fn drop(&mut self) {
        let mut accounts = self.shares.lock();
        if let Some(held) = accounts.get_mut(&self.account) {
            held.count -= 1;
            if held.count == 0 {
                accounts.remove(&self.account);
            }
        }
    }
}
