use crate::service::Core;
use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tandem_model::{Account, AccountId};
use tandem_store::DatabaseError;

/// Who asks. Having one is the proof that the key was right.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) account: Account,
}

impl Caller {
    pub(crate) fn account_id(&self) -> AccountId {
        self.account.id
    }
}

/// Tells whose a key is.
///
/// Answers of the store are kept for [`FRESH`], so that a client that asks often costs no query each time; a revoked key stops
/// working within that time. While the database fails, a key that it knew within [`STALE`] still counts, because calls must go on; one
/// that does not answer within [`PATIENCE`] fails.
#[derive(Clone)]
pub(crate) struct Access {
    core: Arc<Core>,
    cache: Arc<Mutex<Cache>>,
}

#[derive(Default)]
struct Cache {
    /// By two keyed hashes of the key: keys themselves are not kept in memory. The hashers' secrets are random per process, so
    /// nobody can look for a second key with the same 128 bits.
    known: HashMap<[u64; 2], Known>,
    hashers: [RandomState; 2],
}

struct Known {
    caller: Caller,
    asked_at: Instant,
}

impl Access {
    pub(super) fn new(core: Arc<Core>) -> Self {
        Self { core, cache: Arc::default() }
    }

    /// Whose key this is; `None` for an unknown or revoked one.
    pub(crate) async fn authenticate(&self, key: &str) -> Result<Option<Caller>, DatabaseError> {
        if key.is_empty() || key.len() > MAX_KEY {
            return Ok(None);
        }
        let now = Instant::now();
        if let Some(caller) = self.remembered(key, now, FRESH) {
            return Ok(Some(caller));
        }
        let stale = self.remembered(key, now, STALE);
        let asked = self.core.store.authenticate(key);
        let answer = match stale {
            // Whoever has nothing to fall back on waits for as long as the store does.
            None => asked.await,
            Some(_) => tokio::time::timeout(PATIENCE, asked).await.unwrap_or(Err(DatabaseError::Unavailable)),
        };
        match answer {
            Ok(Some(owner)) => {
                let caller = Caller { account: owner.account };
                self.remember(key, caller.clone(), now);
                Ok(Some(caller))
            }
            Ok(None) => {
                self.forget(key);
                Ok(None)
            }
            Err(error) => match stale {
                Some(caller) => {
                    tracing::debug!(%error, account = %caller.account.id, "the database fails; a remembered key counts");
                    Ok(Some(caller))
                }
                None => Err(error),
            },
        }
    }

    fn remembered(&self, key: &str, now: Instant, age: Duration) -> Option<Caller> {
        let cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let known = cache.known.get(&cache.fingerprint(key))?;
        (now.saturating_duration_since(known.asked_at) < age).then(|| known.caller.clone())
    }

    fn remember(&self, key: &str, caller: Caller, now: Instant) {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.known.len() >= MAX_REMEMBERED {
            cache.known.retain(|_, known| now.saturating_duration_since(known.asked_at) < FRESH);
        }
        if cache.known.len() < MAX_REMEMBERED {
            let fingerprint = cache.fingerprint(key);
            cache.known.insert(fingerprint, Known { caller, asked_at: now });
        }
    }

    fn forget(&self, key: &str) {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let fingerprint = cache.fingerprint(key);
        cache.known.remove(&fingerprint);
    }
}

impl Cache {
    fn fingerprint(&self, key: &str) -> [u64; 2] {
        self.hashers.each_ref().map(|hasher| hasher.hash_one(key))
    }
}

/// How long an answer of the store counts: what a revoked key may still do is bounded by it. The contract is 100 ms.
const FRESH: Duration = Duration::from_millis(80);
/// How long a key counts while the database fails.
const STALE: Duration = Duration::from_secs(60 * 60);
/// How long a request with a key that is remembered waits for the store: hundreds of times what a look-up takes.
const PATIENCE: Duration = Duration::from_secs(1);
/// Keys remembered at once; beyond it they are looked up each time.
const MAX_REMEMBERED: usize = 4_096;
/// Longest key that is looked up at all.
const MAX_KEY: usize = 512;
