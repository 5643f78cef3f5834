//! Batched UDP, epoll and wake-ups: the only crate with unsafe code.
