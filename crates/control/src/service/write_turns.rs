use crate::service::shares::{Share, Shares};
use std::sync::Arc;
use std::time::Duration;
use tandem_model::AccountId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Changes under way, of each account a few at once: a database has one place where all are written, and an account that sends many
/// waits for itself rather than others for it.
#[derive(Clone, Default)]
pub(crate) struct WriteTurns {
    /// Changes of each account that wait or are under way.
    lines: Shares<Turns>,
}

/// The turns of an account.
#[derive(Clone)]
struct Turns(Arc<Semaphore>);

/// The turn of a change, until it is dropped.
pub(crate) struct WriteTurn {
    _turn: OwnedSemaphorePermit,
    _inside: Share<Turns>,
}

/// The account has too many changes that wait, or this one has waited too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the account has {AT_ONCE} changes under way, and others wait for them")]
pub(crate) struct TooManyWrites;

impl WriteTurns {
    /// Waits for the turn of a change.
    pub(crate) async fn take(&self, account: AccountId) -> Result<WriteTurn, TooManyWrites> {
        let inside = self.lines.take(account, AT_ONCE + WAITING).ok_or(TooManyWrites)?;
        let turn = tokio::time::timeout(PATIENCE, Arc::clone(&inside.common.0).acquire_owned()).await;
        let turn = turn.ok().and_then(Result::ok).ok_or(TooManyWrites)?;
        Ok(WriteTurn { _turn: turn, _inside: inside })
    }
}

impl Default for Turns {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

/// Changes of one account at once. Each has the place where all are written for milliseconds, so that others wait for tens of them.
const AT_ONCE: usize = 8;
/// Changes of one account that wait for these: what clients that know no limit send at once.
const WAITING: usize = 64;
/// How long one waits: longer than the database takes to say that it does not answer.
const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use tandem_model::Timestamp;

    fn account(seed: u8) -> AccountId {
        AccountId::new(Timestamp::from_unix_micros(0), [seed; 10])
    }

    #[tokio::test(start_paused = true)]
    async fn an_account_waits_for_itself_and_others_do_not() {
        let turns = WriteTurns::default();
        let mut held = Vec::new();
        for _ in 0..AT_ONCE {
            held.push(turns.take(account(1)).await.unwrap());
        }
        let mut waiting: Vec<_> = (0..WAITING).map(|_| Box::pin(turns.take(account(1)))).collect();
        for turn in &mut waiting {
            assert!(turn.now_or_never().is_none(), "it waits");
        }
        assert_eq!(turns.take(account(1)).now_or_never().map(|turn| turn.map(drop)), Some(Err(TooManyWrites)));
        assert!(turns.take(account(2)).now_or_never().is_some_and(|turn| turn.is_ok()));
        held.pop();
        let next = waiting.remove(0).await.unwrap();
        // Nobody waits for ever.
        for turn in waiting {
            assert_eq!(turn.await.map(drop), Err(TooManyWrites));
        }
        drop((held, next));
        assert!(turns.lines.is_empty(), "who has left is forgotten");
    }
}
