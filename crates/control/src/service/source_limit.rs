use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tandem_model::Timestamp;

/// How many wrong sign-ins an address may send: a bucket of tokens that fills up again with time.
#[derive(Default)]
pub(super) struct SourceLimit {
    buckets: Mutex<HashMap<IpAddr, Bucket>>,
}

struct Bucket {
    /// When it will be full: each token taken moves this on by [`REFILL`].
    full_at: Timestamp,
}

impl SourceLimit {
    /// Takes a token, or says how long there is none. Sources that nobody can tell apart share one bucket.
    pub(super) fn take(&self, source: Option<IpAddr>, now: Timestamp) -> Result<(), Duration> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MAX_SOURCES {
            buckets.retain(|_, bucket| bucket.full_at > now);
        }
        let key = key_of(source);
        // However many addresses somebody has, the memory for them ends: those beyond it share a bucket.
        let is_known = buckets.contains_key(&key) || buckets.len() < MAX_SOURCES;
        let bucket = buckets.entry(if is_known { key } else { UNKNOWN }).or_insert(Bucket { full_at: now });
        let start = bucket.full_at.max(now);
        let wait = start.since(now).saturating_sub(REFILL.saturating_mul(BURST - 1));
        if !wait.is_zero() {
            return Err(wait);
        }
        bucket.full_at = start.saturating_add(REFILL);
        Ok(())
    }

    /// The sign-in was right: gives its token back.
    pub(super) fn give_back(&self, source: Option<IpAddr>) {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = buckets.get_mut(&key_of(source)) {
            bucket.full_at = bucket.full_at.saturating_sub(REFILL);
        }
    }
}

/// What limits of an address are counted by: an IPv4 address, and the /64 of an IPv6 address, of which whoever has one has all.
#[must_use]
pub fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
        address @ IpAddr::V4(_) => address,
    }
}

/// The same of a source that may be unknown.
pub(super) fn key_of(source: Option<IpAddr>) -> IpAddr {
    source.map_or(UNKNOWN, network_of)
}

const UNKNOWN: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
/// Wrong sign-ins at once: an office behind one address on a Monday.
const BURST: u32 = 20;
/// One more each: 28,800 a day, over all users.
const REFILL: Duration = Duration::from_secs(3);
/// Addresses remembered at once; one that has sent nothing wrong lately is none of them.
const MAX_SOURCES: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_micros(1_000_000_000_000_000 + seconds * 1_000_000)
    }

    #[test]
    fn a_source_has_a_burst_and_then_one_each_three_seconds() {
        let limit = SourceLimit::default();
        let source = Some("192.0.2.1".parse().unwrap());
        for _ in 0..BURST {
            assert_eq!(limit.take(source, at(0)), Ok(()));
        }
        assert_eq!(limit.take(source, at(0)), Err(Duration::from_secs(3)));
        assert_eq!(limit.take(source, at(2)), Err(Duration::from_secs(1)));
        assert_eq!(limit.take(source, at(3)), Ok(()));
        assert!(limit.take(source, at(3)).is_err());
        assert_eq!(limit.take(Some("192.0.2.2".parse().unwrap()), at(3)), Ok(()));
        limit.give_back(source);
        assert_eq!(limit.take(source, at(3)), Ok(()));
        for _ in 0..BURST {
            assert_eq!(limit.take(source, at(1_000)), Ok(()), "it is full again");
        }
    }

    #[test]
    fn a_network_of_ipv6_is_one_source() {
        let limit = SourceLimit::default();
        let source = |number: u64| Some(format!("2001:db8::{number:x}").parse().unwrap());
        for number in 0..u64::from(BURST) {
            assert_eq!(limit.take(source(number), at(0)), Ok(()));
        }
        assert!(limit.take(source(4_000), at(0)).is_err());
        assert_eq!(limit.take(Some("2001:db8:0:1::1".parse().unwrap()), at(0)), Ok(()));
    }

    #[test]
    fn memory_is_bounded() {
        let limit = SourceLimit::default();
        let takes =
            (0..20_000_u32).filter(|number| limit.take(Some(IpAddr::from(number.to_be_bytes())), at(0)).is_ok());
        assert_eq!(takes.count(), MAX_SOURCES + BURST as usize, "those beyond it share one bucket");
        assert_eq!(limit.buckets.lock().unwrap().len(), MAX_SOURCES + 1);
        assert_eq!(limit.take(Some(IpAddr::from([255, 0, 0, 1])), at(60)), Ok(()), "what is full again is forgotten");
        assert_eq!(limit.buckets.lock().unwrap().len(), 1);
    }
}
