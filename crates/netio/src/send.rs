//! Many datagrams to many peers in one system call.

use std::io;
use std::mem;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::ptr;

use libc::socklen_t;

use crate::address::RawAddress;
use crate::ancillary::PacketControl;
use crate::socket::{MAX_DATAGRAM_BYTES, UdpSocket};
use crate::syscall::{PENDING_ERROR_REPEATS, check};

/// How many datagrams a batch holds, and one `sendmmsg` takes; as many as one receive brings.
pub const SEND_BATCH: usize = 64;

/// How much payload memory an emptied batch keeps: a full batch of ordinary SIP messages. What a burst of large ones
/// needed beyond it (at most 4 MiB) is given back.
const KEPT_PAYLOAD_BYTES: usize = 256 * 1024;

/// Datagrams to be sent, used over and over. Payloads are copied into it, one after the other.
#[derive(Debug, Default)]
pub struct SendBatch {
    entries: Vec<Entry>,
    payloads: Vec<u8>,
    failures: Vec<SendFailure>,
    totals: SendTotals,
}

#[derive(Debug)]
struct Entry {
    local: SocketAddr,
    remote: SocketAddr,
    start: usize,
    length: usize,
}

/// The batch holds [`SEND_BATCH`] datagrams: send it, then push again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the batch already holds {SEND_BATCH} datagrams")]
pub struct SendBatchFull;

/// A datagram that the kernel refused.
#[derive(Debug)]
pub struct SendFailure {
    /// Which one, counted from 0 in the order they were pushed.
    pub index: usize,
    /// Whom it was for.
    pub remote: SocketAddr,
    /// Why: `EMSGSIZE`, `EPERM` (a firewall), `ENETUNREACH` (no route, or as `EINVAL` a source address that is not
    /// ours), `EAFNOSUPPORT` (the other family), ….
    pub error: io::Error,
}

/// What became of a batch. `sent + failures.len() + dropped` is the number of datagrams pushed.
#[derive(Debug)]
pub struct SendOutcome<'a> {
    /// Datagrams that the kernel took.
    pub sent: usize,
    /// Datagrams that it refused, each for its own reason.
    pub failures: &'a [SendFailure],
    /// The datagrams at the end of the batch that found the socket's buffer full. They are gone; UDP's users resend.
    pub dropped: usize,
}

/// What became of all datagrams since a [`SendBatch`] was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SendTotals {
    /// Datagrams that the kernel took.
    pub sent: u64,
    /// Datagrams that it refused.
    pub failed: u64,
    /// Datagrams that found the socket's buffer full.
    pub dropped: u64,
}

impl SendBatch {
    /// An empty batch.
    pub fn new() -> Self {
        Self {
            entries: Vec::with_capacity(SEND_BATCH),
            payloads: Vec::new(),
            failures: Vec::new(),
            totals: SendTotals::default(),
        }
    }

    /// Adds a datagram to `remote`.
    ///
    /// `local` is the address it shall leave from: [`Received::local`](crate::Received::local) for an answer. An
    /// unspecified one lets the kernel choose. It matters on a wildcard socket only: another socket has one address, and
    /// its own port is always the source port.
    ///
    /// # Errors
    ///
    /// [`SendBatchFull`], and nothing was added.
    pub fn push(&mut self, local: SocketAddr, remote: SocketAddr, payload: &[u8]) -> Result<(), SendBatchFull> {
        if self.is_full() {
            return Err(SendBatchFull);
        }
        // What is longer than any datagram is kept just long enough for the kernel to refuse it (EMSGSIZE).
        let payload = payload.get(..=MAX_DATAGRAM_BYTES).unwrap_or(payload);
        self.entries.push(Entry { local, remote, start: self.payloads.len(), length: payload.len() });
        self.payloads.extend_from_slice(payload);
        Ok(())
    }

    /// How many datagrams are waiting.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none is waiting.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether there is no room for another.
    pub fn is_full(&self) -> bool {
        self.entries.len() >= SEND_BATCH
    }

    /// What became of all datagrams since it was made.
    pub fn totals(&self) -> SendTotals {
        self.totals
    }

    /// Sends everything through `send`, which takes entries and says how many of the first it sent, or why not the first.
    /// `pending` tells whether an error may be one that an earlier datagram left on the socket.
    fn flush(
        &mut self,
        mut send: impl FnMut(&[Entry], &[u8]) -> io::Result<usize>,
        pending: impl Fn(&io::Error) -> bool,
    ) -> SendOutcome<'_> {
        self.failures.clear();
        let pushed = self.entries.len();
        let mut rest = self.entries.as_slice();
        let mut repeats = PENDING_ERROR_REPEATS;
        while let Some((first, others)) = rest.split_first() {
            match send(rest, &self.payloads) {
                Ok(sent) if sent > 0 => {
                    rest = rest.get(sent..).unwrap_or_default();
                    repeats = PENDING_ERROR_REPEATS;
                }
                Ok(_none) => break,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if repeats > 0 && pending(&error) => repeats -= 1,
                Err(error) => {
                    self.failures.push(SendFailure { index: pushed - rest.len(), remote: first.remote, error });
                    rest = others;
                    repeats = PENDING_ERROR_REPEATS;
                }
            }
        }
        let dropped = rest.len();
        let sent = pushed - dropped - self.failures.len();
        self.totals.sent += sent as u64;
        self.totals.failed += self.failures.len() as u64;
        self.totals.dropped += dropped as u64;
        self.entries.clear();
        self.payloads.clear();
        self.payloads.shrink_to(KEPT_PAYLOAD_BYTES);
        SendOutcome { sent, failures: &self.failures, dropped }
    }
}

impl UdpSocket {
    /// Sends the datagrams of `batch` and empties it: one `sendmmsg`, and one more for each datagram that is refused.
    ///
    /// A datagram that cannot be sent costs none of the others. An error that ICMP reported about an earlier datagram is
    /// not laid on the next: it waits for [`UdpSocket::next_delivery_error`].
    pub fn send_batch<'batch>(&self, batch: &'batch mut SendBatch) -> SendOutcome<'batch> {
        batch.flush(
            |entries, payloads| send_many(self.as_fd(), self.is_wildcard(), entries, payloads),
            |error| self.may_be_another_peers(error),
        )
    }
}

/// How many datagrams a small send holds: preparing headers for 64 costs a good part of sending one.
const SMALL_BATCH: usize = 8;

/// Sends the first of `entries`, in one system call, and returns how many.
fn send_many(socket: BorrowedFd<'_>, wildcard: bool, entries: &[Entry], payloads: &[u8]) -> io::Result<usize> {
    if entries.len() <= SMALL_BATCH {
        send_up_to::<SMALL_BATCH>(socket, wildcard, entries, payloads)
    } else {
        send_up_to::<SEND_BATCH>(socket, wildcard, entries, payloads)
    }
}

#[expect(unsafe_code, reason = "sendmmsg takes headers full of pointers")]
fn send_up_to<const N: usize>(
    socket: BorrowedFd<'_>,
    wildcard: bool,
    entries: &[Entry],
    payloads: &[u8],
) -> io::Result<usize> {
    // SAFETY: a plain C structure of integers and pointers, for which all zeroes are valid.
    let mut headers: [libc::mmsghdr; N] = unsafe { mem::zeroed() };
    let mut vectors = [libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 }; N];
    let mut names = [RawAddress::EMPTY; N];
    let mut controls = [PacketControl::EMPTY; N];
    let parts = headers.iter_mut().zip(&mut vectors).zip(&mut names).zip(&mut controls).zip(entries);
    for ((((header, vector), name), control), entry) in parts {
        let payload = payloads.get(entry.start..entry.start + entry.length).unwrap_or_default();
        vector.iov_base = payload.as_ptr().cast_mut().cast();
        vector.iov_len = payload.len();
        header.msg_hdr.msg_iov = vector;
        header.msg_hdr.msg_iovlen = 1;
        let name_length: socklen_t;
        (*name, name_length) = RawAddress::new(entry.remote);
        header.msg_hdr.msg_name = name.as_mut_ptr().cast();
        header.msg_hdr.msg_namelen = name_length;
        // A source of the other family cannot be meant: the kernel then chooses, or refuses the destination.
        if wildcard && entry.local.is_ipv4() == entry.remote.is_ipv4() {
            header.msg_hdr.msg_controllen = control.write_source(entry.local);
            header.msg_hdr.msg_control = control.bytes.as_mut_ptr().cast();
        }
    }
    let count = u32::try_from(entries.len().min(N)).unwrap_or_default();
    // SAFETY: each of the first `count` headers names a vector, a payload, an address and a control buffer that are
    // readable for the length given beside them and outlive the call; the kernel writes only `msg_len` in the headers.
    let result = unsafe { libc::sendmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), count, libc::MSG_DONTWAIT) };
    check(result).map(|sent| sent.unsigned_abs() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch_of(count: usize) -> SendBatch {
        let mut batch = SendBatch::new();
        for _ in 0..count {
            batch.push(address(), address(), b"x").expect("there is room");
        }
        batch
    }

    fn address() -> SocketAddr {
        "127.0.0.1:5060".parse().expect("an address")
    }

    fn error(code: i32) -> io::Error {
        io::Error::from_raw_os_error(code)
    }

    #[test]
    fn a_full_buffer_drops_and_counts_the_rest() {
        let mut batch = batch_of(5);
        let mut answers = vec![Err(error(libc::EAGAIN)), Ok(2)];
        let outcome = batch.flush(|_, _| answers.pop().expect("asked twice"), |_| true);
        assert_eq!((outcome.sent, outcome.failures.len(), outcome.dropped), (2, 0, 3));
        assert_eq!(batch.totals(), SendTotals { sent: 2, failed: 0, dropped: 3 });
        assert!(batch.is_empty());
    }

    #[test]
    fn a_refused_datagram_is_named_and_the_others_are_sent() {
        let mut batch = batch_of(5);
        let mut answers = vec![Ok(2), Err(error(libc::EPERM)), Ok(2)];
        let outcome = batch.flush(|_, _| answers.pop().expect("asked three times"), |_| false);
        assert_eq!((outcome.sent, outcome.dropped), (4, 0));
        assert_eq!(outcome.failures.iter().map(|failure| failure.index).collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn an_earlier_datagrams_error_is_not_laid_on_the_next() {
        let mut batch = batch_of(1);
        let mut answers = vec![Ok(1), Err(error(libc::ECONNREFUSED)), Err(error(libc::EINTR))];
        let outcome = batch.flush(|_, _| answers.pop().expect("asked three times"), |_| true);
        assert_eq!((outcome.sent, outcome.failures.len(), outcome.dropped), (1, 0, 0));
    }

    #[test]
    fn an_error_that_stays_is_the_datagrams_own() {
        let mut batch = batch_of(2);
        let mut calls = 0;
        let outcome = batch.flush(
            |_, _| {
                calls += 1;
                Err(error(libc::ENETUNREACH))
            },
            |_| true,
        );
        assert_eq!((outcome.sent, outcome.failures.len(), outcome.dropped), (0, 2, 0));
        assert_eq!(calls, 2 * (1 + PENDING_ERROR_REPEATS));
    }

    #[test]
    fn memory_of_a_burst_is_given_back() {
        let mut batch = SendBatch::new();
        for _ in 0..SEND_BATCH {
            batch.push(address(), address(), &[0; 60_000]).expect("there is room");
        }
        assert_eq!(batch.push(address(), address(), b"x"), Err(SendBatchFull));
        batch.flush(|entries, _| Ok(entries.len()), |_| false);
        assert!(batch.payloads.capacity() <= KEPT_PAYLOAD_BYTES);
    }
}
