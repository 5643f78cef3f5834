use crate::service::access::{ActorKind, Caller};
use crate::service::source_limit::key_of;
use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tandem_model::{AccountId, ApiKeyId, UserId};

/// How often each caller may ask: a bucket of tokens that fills up again with time.
#[derive(Clone)]
pub(crate) struct RateLimits {
    callers: Option<Rate>,
    /// For all keys and users of an account together.
    accounts: Option<Rate>,
    /// When each bucket is full again. Held for a look-up.
    full_at: Arc<Mutex<HashMap<Who, Instant>>>,
}

/// Whose bucket it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Who {
    /// Who presents an API key.
    ApiKey(ApiKeyId),
    /// A person, in all their sessions.
    User(UserId),
    /// An account by tokens of the platform.
    Platform(AccountId),
    /// An address from which nobody says who they are; that of all whose address is not known is unspecified.
    Source(IpAddr),
    /// All of an account together.
    Account(AccountId),
    /// All who find no bucket of their own.
    Others,
    /// All accounts that find none.
    OtherAccounts,
}

/// A rate, and how much of it may come at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    /// Requests at once.
    pub(crate) burst: u32,
    /// After how long one more is allowed.
    interval: Duration,
}

/// What is left after a request, as the `RateLimit` header tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quota {
    /// More requests that may come at once.
    pub(crate) remaining: u32,
    /// Until all of the burst may.
    pub(crate) full_in: Duration,
    /// Until the next may come, when this one may not.
    pub(crate) wait: Option<Duration>,
    /// Whether that is for all of the account, and not for the caller alone.
    pub(crate) is_of_account: bool,
}

impl Who {
    pub(crate) fn of_caller(caller: &Caller) -> Self {
        match caller.actor.kind {
            ActorKind::ApiKey(id) => Self::ApiKey(id),
            ActorKind::User(id, _) => Self::User(id),
            ActorKind::Platform => Self::Platform(caller.actor.account),
        }
    }

    pub(crate) fn of_source(address: Option<IpAddr>) -> Self {
        Self::Source(key_of(address))
    }
}

impl Rate {
    const fn per_second(rate: NonZeroU32) -> Self {
        let interval = Duration::from_nanos(1_000_000_000 / rate.get() as u64);
        Self { burst: rate.get().saturating_mul(BURST_SECONDS), interval }
    }

    /// So many times as much.
    fn times(self, factor: u32) -> Self {
        Self { burst: self.burst.saturating_mul(factor), interval: self.interval / factor }
    }

    /// The span in which the whole burst comes back.
    pub(crate) fn window(self) -> Duration {
        self.interval.saturating_mul(self.burst)
    }
}

impl RateLimits {
    /// `per_second` is for those who say who they are; without it they are not limited.
    pub(super) fn new(per_second: Option<NonZeroU32>) -> Self {
        let callers = per_second.map(Rate::per_second);
        Self { callers, accounts: callers.map(|rate| rate.times(ACCOUNT_SHARE)), full_at: Arc::default() }
    }

    /// The limit of those who say who they are, if they have one.
    pub(crate) const fn of_callers(&self) -> Option<Rate> {
        self.callers
    }

    /// The limit of an address from which nobody says who they are.
    pub(crate) const fn of_sources(&self) -> Rate {
        SOURCES
    }

    /// Takes a token, if there is one. `None` for those who are not limited. The account of a caller has a bucket for all of its keys and
    /// users, so that many keys are not many times as much.
    pub(crate) fn take(&self, who: Who, account: Option<AccountId>, now: Instant) -> Option<Quota> {
        let rate = match who {
            Who::ApiKey(_) | Who::User(_) | Who::Platform(_) | Who::Others | Who::Account(_) | Who::OtherAccounts => {
                self.callers?
            }
            Who::Source(_) => self.of_sources(),
        };
        let mut buckets = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let quota = take_of(&mut buckets, who, Who::Others, rate, now);
        let (Some(account), Some(rate), None) = (account, self.accounts, quota.wait) else { return Some(quota) };
        let all = take_of(&mut buckets, Who::Account(account), Who::OtherAccounts, rate, now);
        Some(Quota { wait: all.wait, is_of_account: all.wait.is_some(), ..quota })
    }
}

/// Takes a token from a bucket, or from the one of all others when there are too many.
fn take_of(buckets: &mut HashMap<Who, Instant>, who: Who, others: Who, rate: Rate, now: Instant) -> Quota {
    let place = if buckets.len() < MAX_BUCKETS || buckets.contains_key(&who) {
        who
    } else {
        buckets.retain(|_, full_at| *full_at > now);
        if buckets.len() < MAX_BUCKETS { who } else { others }
    };
    let full_at = buckets.entry(place).or_insert(now);
    let missing = full_at.saturating_duration_since(now);
    let after = missing + rate.interval;
    let window = rate.window();
    if after > window {
        return Quota { remaining: 0, full_in: missing, wait: Some(after - window), is_of_account: false };
    }
    *full_at = now + after;
    let remaining = nanos(window - after) / nanos(rate.interval).max(1);
    let remaining = u32::try_from(remaining).unwrap_or(rate.burst);
    Quota { remaining, full_in: after, wait: None, is_of_account: false }
}

/// How much of a rate may come at once: a client that woke up late, or a page that asks for many things.
const BURST_SECONDS: u32 = 2;
/// Requests a second of one address that presents no good key: a person who reads the documents, and a client with a wrong key that
/// does not give up.
const SOURCES: Rate = Rate::per_second(NonZeroU32::new(50).expect("it is 50"));
/// A window is of seconds: centuries fit.
fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// How many keys' worth an account may send: a few services at their limit.
const ACCOUNT_SHARE: u32 = 4;
/// Buckets at once; one that is full again is none of them. Those beyond it share one.
const MAX_BUCKETS: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> RateLimits {
        RateLimits::new(NonZeroU32::new(10))
    }

    fn platform(number: u128) -> Who {
        Who::Platform(AccountId::from_uuid(uuid::Uuid::from_u128(number)))
    }

    #[test]
    fn a_caller_has_a_burst_and_then_the_rate() {
        let (limits, start) = (limits(), Instant::now());
        for left in (0..20).rev() {
            let quota = limits.take(platform(1), None, start).unwrap();
            assert_eq!((quota.remaining, quota.wait), (left, None));
            assert_eq!(quota.full_in, Duration::from_millis(100) * (20 - left));
        }
        let refused = limits.take(platform(1), None, start).unwrap();
        assert_eq!((refused.remaining, refused.wait), (0, Some(Duration::from_millis(100))));
        assert_eq!(limits.take(platform(2), None, start).unwrap().wait, None, "another has its own");
        let later = start + Duration::from_millis(100);
        assert_eq!(limits.take(platform(1), None, later).unwrap().wait, None);
        assert!(limits.take(platform(1), None, later).unwrap().wait.is_some());
        let much_later = start + Duration::from_secs(60);
        assert_eq!(limits.take(platform(1), None, much_later).unwrap().remaining, 19, "it is full again");
    }

    #[test]
    fn without_a_rate_only_those_who_do_not_say_who_they_are_have_a_limit() {
        let (limits, start) = (RateLimits::new(None), Instant::now());
        assert_eq!(limits.take(platform(1), None, start), None);
        let source = Who::of_source(Some("192.0.2.1".parse().unwrap()));
        let taken = (0..1_000).filter(|_| limits.take(source, None, start).unwrap().wait.is_none()).count();
        assert_eq!(taken, SOURCES.burst as usize);
    }

    #[test]
    fn many_keys_of_an_account_are_not_many_times_as_much() {
        let (limits, start) = (limits(), Instant::now());
        let account = |number| Some(AccountId::from_uuid(uuid::Uuid::from_u128(number)));
        let key = |number| Who::ApiKey(ApiKeyId::from_uuid(uuid::Uuid::from_u128(number)));
        let sent = |keys: std::ops::Range<u128>, of: u128, now: Instant| {
            let quotas = keys.flat_map(|number| (0..20).map(move |_| number));
            quotas.map(|number| limits.take(key(number), account(of), now).unwrap()).collect::<Vec<_>>()
        };
        let quotas = sent(0..1_000, 1, start);
        let taken = quotas.iter().filter(|quota| quota.wait.is_none()).count();
        assert_eq!(taken, 20 * ACCOUNT_SHARE as usize, "four keys have all there is");
        let refused = quotas.last().unwrap();
        assert_eq!((refused.is_of_account, refused.wait), (true, Some(Duration::from_millis(25))));
        assert!(sent(2_000..2_001, 2, start).iter().all(|quota| quota.wait.is_none()), "another account has its own");
        let later = sent(3_000..3_001, 1, start + Duration::from_millis(100));
        assert_eq!(later.iter().filter(|quota| quota.wait.is_none()).count(), ACCOUNT_SHARE as usize);
    }

    #[test]
    fn memory_is_bounded() {
        let (limits, start) = (limits(), Instant::now());
        for number in 0..20_000 {
            let _ = limits.take(platform(number), None, start);
        }
        assert_eq!(limits.full_at.lock().unwrap().len(), MAX_BUCKETS + 1);
        let _ = limits.take(platform(1_000_000), None, start + Duration::from_secs(60));
        assert_eq!(limits.full_at.lock().unwrap().len(), 1, "what is full again is forgotten");
    }
}
