use crate::service::Core;
use crate::service::access::{ActorKind, Caller};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tandem_model::{CallId, Timestamp};
use tandem_store::{Claim, DatabaseError, IdempotencyKey};
use tokio::time::Instant;
use zeroize::Zeroizing;

/// Requests that are carried out once, however often they are sent.
#[derive(Clone)]
pub(crate) struct Idempotency {
    core: Arc<Core>,
}

/// The right to carry a request out.
#[derive(Clone, Debug)]
pub(crate) struct Ticket {
    key: IdempotencyKey,
    since: Timestamp,
    /// It was begun before, and nobody knows what came of it: what it would make may be there.
    pub(crate) is_repeat: bool,
}

/// What is to be done with a request.
#[derive(Debug)]
pub(crate) enum Begun {
    /// Carry it out, then [`Idempotency::finish`] it.
    CarryOut(Ticket),
    /// Answer it so once more.
    Replay(KeptAnswer),
}

/// Why a request is neither carried out nor answered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BeginError {
    #[error("the same request is being carried out")]
    InUse,
    #[error("the key was used for another request")]
    OtherRequest,
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// An answer as it is kept. Its body is not printed: some show a secret once.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeptAnswer {
    pub(crate) status: u16,
    /// Those that belong to the answer, and not to the request or the connection.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

/// What came of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome<'a> {
    /// It was done.
    Done(&'a KeptAnswer),
    /// It was refused, and has changed nothing.
    Refused,
    /// It failed half-way, or nobody knows.
    Unknown,
}

impl fmt::Debug for KeptAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeptAnswer").field("status", &self.status).finish_non_exhaustive()
    }
}

impl Ticket {
    /// What the id of the thing that the request makes consists of, the same for each repeat.
    pub(crate) fn id_parts(&self) -> (Timestamp, [u8; 10]) {
        (self.since, self.key.id_bits())
    }

    /// The id of the call that the request places, the same for each repeat.
    pub(crate) fn call_id(&self) -> CallId {
        let (since, bits) = self.id_parts();
        CallId::new(since, bits)
    }
}

impl Idempotency {
    pub(super) fn new(core: Arc<Core>) -> Self {
        Self { core }
    }

    /// Claims the key for a request: its method, its target and its body. While another carries the same request out, its answer is
    /// waited for.
    pub(crate) async fn begin(&self, caller: &Caller, key: &str, request: &[&[u8]]) -> Result<Begun, BeginError> {
        let key = IdempotencyKey::new(caller.account_id(), &actor(caller), key);
        let patience = Instant::now() + PATIENCE;
        loop {
            match self.core.store.claim_idempotency_key(&key, request, self.core.now()).await? {
                Claim::Granted { since, is_repeat } => return Ok(Begun::CarryOut(Ticket { key, since, is_repeat })),
                Claim::Answered(answer) => return Ok(Begun::Replay(read(&answer)?)),
                Claim::OtherRequest => return Err(BeginError::OtherRequest),
                Claim::InUse if Instant::now() >= patience => return Err(BeginError::InUse),
                Claim::InUse => tokio::time::sleep(LOOK_INTERVAL).await,
            }
        }
    }

    /// Notes what came of a request. When the store does not take it, the claim runs out by itself, and a repeat is carried out again.
    pub(crate) async fn finish(&self, ticket: &Ticket, outcome: Outcome<'_>) {
        let store = &self.core.store;
        let noted = match outcome {
            Outcome::Done(answer) => {
                let written = Zeroizing::new(serde_json::to_vec(answer).unwrap_or_default());
                store.keep_answer(&ticket.key, &written).await
            }
            // What an earlier try has made is there all the same, and is to be found by the next.
            Outcome::Refused => store.release_idempotency_key(&ticket.key, !ticket.is_repeat).await,
            Outcome::Unknown => store.release_idempotency_key(&ticket.key, false).await,
        };
        if let Err(error) = noted {
            tracing::warn!(%error, "the answer to a request with an idempotency key was not kept");
        }
    }

    /// Forgets answers whose day is over.
    pub(crate) async fn remove_old(&self) -> Result<(), DatabaseError> {
        self.core.store.remove_old_idempotency_keys(self.core.now()).await.map(drop)
    }
}

/// Who sends the key, in a way that no two share: nobody is answered what another was told.
fn actor(caller: &Caller) -> String {
    match caller.actor.kind {
        ActorKind::ApiKey(id) => format!("api_key {id}"),
        ActorKind::User(id, _) => format!("user {id}"),
        ActorKind::Platform => format!("platform {}", caller.actor.account),
    }
}

fn read(answer: &[u8]) -> Result<KeptAnswer, DatabaseError> {
    serde_json::from_slice(answer)
        .map_err(|_| DatabaseError::Unreadable { column: "answer", reason: "it is no kept answer".to_owned() })
}

/// How long a request waits for the answer to the same request: longer than most take, shorter than clients wait.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often it looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_answer_does_not_show_its_body() {
        let answer = KeptAnswer { status: 201, headers: Vec::new(), body: "{\"key\": \"hunter2\"}".to_owned() };
        let shown = format!("{:?}", Begun::Replay(answer));
        assert!(shown.contains("201") && !shown.contains("hunter2"), "{shown}");
    }
}
