//! The append-only journal of a shard: what the call path must not forget, written before it acts.
