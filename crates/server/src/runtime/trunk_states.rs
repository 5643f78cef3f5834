use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tandem_model::{TrunkId, TrunkState};

/// Counts what may have changed the state of a trunk. Whoever has asked for a state and finds the count unmoved knows it still.
#[derive(Clone, Default)]
pub(crate) struct ShardEpoch(Arc<AtomicU64>);

impl ShardEpoch {
    /// The shard has done something, or has been given something to do that nobody waits for.
    pub(crate) fn advance(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    fn now(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// What the shard last said of trunks, so that it is asked again only when something has happened since.
#[derive(Default)]
pub(crate) struct TrunkStates {
    epoch: ShardEpoch,
    /// Held for a look-up or an insertion.
    known: Mutex<HashMap<TrunkId, Known>>,
}

struct Known {
    epoch: u64,
    asked_at: Instant,
    state: TrunkState,
}

/// When a question was put, for what becomes of its answer.
#[derive(Clone, Copy)]
pub(crate) struct Question {
    epoch: u64,
    asked_at: Instant,
}

impl TrunkStates {
    pub(crate) fn new(epoch: ShardEpoch) -> Self {
        Self { epoch, known: Mutex::default() }
    }

    pub(crate) const fn epoch(&self) -> &ShardEpoch {
        &self.epoch
    }

    /// The state of this one, if it cannot have changed.
    pub(crate) fn known(&self, id: TrunkId) -> Option<TrunkState> {
        let question = self.question();
        self.lock().get(&id)?.at(question).cloned()
    }

    /// Those of all of these, if none can have changed.
    pub(crate) fn all_known(&self, ids: &[TrunkId]) -> Option<HashMap<TrunkId, TrunkState>> {
        let question = self.question();
        let known = self.lock();
        ids.iter().map(|id| Some((*id, known.get(id)?.at(question)?.clone()))).collect()
    }

    /// To be taken before the shard is asked: what happens from here on may not be in its answer.
    pub(crate) fn question(&self) -> Question {
        Question { epoch: self.epoch.now(), asked_at: Instant::now() }
    }

    /// Keeps an answer.
    pub(crate) fn remember(&self, question: Question, states: &HashMap<TrunkId, TrunkState>) {
        let Question { epoch, asked_at } = question;
        let mut known = self.lock();
        if known.len() + states.len() > MAX_KNOWN {
            known.retain(|_, known| known.at(question).is_some());
        }
        if known.len() + states.len() <= MAX_KNOWN {
            known.extend(states.iter().map(|(id, state)| (*id, Known { epoch, asked_at, state: state.clone() })));
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TrunkId, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// The state, if it cannot have changed until then.
    fn at(&self, question: Question) -> Option<&TrunkState> {
        let is_young = question.asked_at.saturating_duration_since(self.asked_at) < FRESH;
        (self.epoch == question.epoch && is_young).then_some(&self.state)
    }
}

/// Trunks whose states are kept; of others the shard is asked each time.
const MAX_KNOWN: usize = 10_000;
/// A rest that is over, or a call's trace that has lost its weight, changes a state without anything that happens.
const FRESH: Duration = Duration::from_millis(80);

#[cfg(test)]
mod tests {
    use super::*;
    use tandem_model::Timestamp;

    fn states(id: TrunkId, active_calls: u32) -> HashMap<TrunkId, TrunkState> {
        HashMap::from([(id, TrunkState { active_calls, ..TrunkState::default() })])
    }

    fn trunk(number: u8) -> TrunkId {
        TrunkId::new(Timestamp::from_unix_micros(0), [number; 10])
    }

    #[test]
    fn an_answer_holds_until_something_happens() {
        let epoch = ShardEpoch::default();
        let known = TrunkStates::new(epoch.clone());
        assert_eq!(known.known(trunk(1)), None);
        known.remember(known.question(), &states(trunk(1), 3));
        assert_eq!(known.known(trunk(1)).map(|state| state.active_calls), Some(3));
        assert_eq!(known.all_known(&[trunk(1)]), Some(states(trunk(1), 3)));
        assert_eq!(known.all_known(&[trunk(1), trunk(2)]), None);
        epoch.advance();
        assert_eq!(known.known(trunk(1)), None);
    }

    #[test]
    fn what_happens_while_the_shard_is_asked_is_not_taken_for_known() {
        let epoch = ShardEpoch::default();
        let known = TrunkStates::new(epoch.clone());
        let question = known.question();
        epoch.advance();
        known.remember(question, &states(trunk(1), 3));
        assert_eq!(known.known(trunk(1)), None);
    }

    #[test]
    fn an_answer_ages() {
        let known = TrunkStates::new(ShardEpoch::default());
        let asked = known.question();
        let Some(long_ago) = asked.asked_at.checked_sub(FRESH) else { return };
        known.remember(Question { asked_at: long_ago, ..asked }, &states(trunk(1), 3));
        assert_eq!(known.known(trunk(1)), None);
    }
}
