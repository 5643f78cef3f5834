//! Many datagrams of one socket in one system call.

use std::io;
use std::mem;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::ptr;

use crate::address::RawAddress;
use crate::ancillary::{PacketControl, asked_address};
use crate::socket::{MAX_DATAGRAM_BYTES, UdpSocket};
use crate::syscall::{PENDING_ERROR_REPEATS, ReceiveError, check};

/// How many datagrams one `recvmmsg` takes at most.
///
/// Enough to spread the cost of the system call; few enough that answers to the first leave before the last is old: at
/// 50 µs of work each, 3 ms.
pub const RECEIVE_BATCH: usize = 64;

/// How much further apart slots are than they are long.
///
/// Slots 64 KiB apart would put the start of every datagram into the same few cache sets. A shift by a typical SIP
/// message lets a whole batch of them lie in the cache side by side.
const SLOT_SHIFT: usize = 1_536;

const CACHE_LINE: usize = 64;

/// How many datagrams are asked for after a receive that brought fewer than that many.
///
/// Preparing headers for 64 datagrams costs more than receiving one. A quiet socket rarely has more than a few; once it
/// has, the next receive asks for a whole batch.
const QUIET_BATCH: usize = 8;

/// Room for a batch of datagrams, used over and over and for any number of sockets.
///
/// Its memory is reserved, not touched: a page of a slot becomes resident when a datagram first reaches it. With SIP
/// messages of up to 4 KiB a batch costs about half a megabyte, and never more than 4.1 MiB. Make one per thread, at the
/// start: an allocator that reuses memory must clear it all.
#[derive(Debug)]
pub struct ReceiveBatch {
    memory: Box<[u8]>,
    slot_bytes: usize,
    metas: Vec<Meta>,
    /// Whether the last receive brought [`QUIET_BATCH`] or more.
    busy: bool,
    /// Whether the last receive brought as many as it asked for.
    full: bool,
    totals: ReceiveTotals,
}

#[derive(Debug)]
struct Meta {
    slot: usize,
    length: usize,
    remote: SocketAddr,
    local: SocketAddr,
    truncated: bool,
}

/// A received datagram.
#[derive(Debug)]
pub struct Received<'a> {
    /// Who sent it.
    pub remote: SocketAddr,
    /// The address that it was sent to, with the socket's port: the source of the answer. Unspecified only if the
    /// kernel cannot tell an address to answer from (IPv6 multicast); the kernel then chooses one.
    pub local: SocketAddr,
    /// The payload, as far as the slot holds it. May be empty: UDP has empty datagrams.
    pub bytes: &'a mut [u8],
    /// Whether the datagram was longer than the slot. Never with slots of [`MAX_DATAGRAM_BYTES`].
    pub truncated: bool,
}

/// What a [`ReceiveBatch`] has seen since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReceiveTotals {
    /// Datagrams received.
    pub datagrams: u64,
    /// Datagrams among them that were longer than their slot.
    pub truncated: u64,
}

impl ReceiveBatch {
    /// A batch whose slots hold any datagram.
    pub fn new() -> Self {
        Self::with_slot_bytes(MAX_DATAGRAM_BYTES)
    }

    /// A batch whose slots hold `slot_bytes` (1 to [`MAX_DATAGRAM_BYTES`], else the nearer of them); longer datagrams
    /// are cut, marked and counted.
    pub fn with_slot_bytes(slot_bytes: usize) -> Self {
        let slot_bytes = slot_bytes.clamp(1, MAX_DATAGRAM_BYTES);
        // `vec!` of zeroes asks the allocator for zeroed memory, which the kernel hands out untouched.
        Self {
            memory: vec![0; RECEIVE_BATCH * stride(slot_bytes)].into_boxed_slice(),
            slot_bytes,
            metas: Vec::with_capacity(RECEIVE_BATCH),
            busy: false,
            full: false,
            totals: ReceiveTotals::default(),
        }
    }

    /// How many datagrams the last [`UdpSocket::receive_batch`] brought.
    pub fn len(&self) -> usize {
        self.metas.len()
    }

    /// Whether the last [`UdpSocket::receive_batch`] brought none.
    pub fn is_empty(&self) -> bool {
        self.metas.is_empty()
    }

    /// Whether the last [`UdpSocket::receive_batch`] brought as many as it asked for, so that more may wait.
    pub fn is_full(&self) -> bool {
        self.full
    }

    /// The datagrams of the last [`UdpSocket::receive_batch`], in the order of their arrival.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = Received<'_>> {
        let slots = self.memory.chunks_exact_mut(stride(self.slot_bytes)).enumerate();
        let mut metas = self.metas.iter().peekable();
        slots.filter_map(move |(slot, memory)| {
            let meta = metas.next_if(|meta| meta.slot == slot)?;
            Some(Received {
                remote: meta.remote,
                local: meta.local,
                bytes: memory.get_mut(..meta.length)?,
                truncated: meta.truncated,
            })
        })
    }

    /// What it has seen since it was made.
    pub fn totals(&self) -> ReceiveTotals {
        self.totals
    }

    fn fill(&mut self, socket: BorrowedFd<'_>, bound: SocketAddr) -> io::Result<usize> {
        self.full = false;
        let (asked, received) = if self.busy {
            (RECEIVE_BATCH, self.fill_up_to::<RECEIVE_BATCH>(socket, bound)?)
        } else {
            (QUIET_BATCH, self.fill_up_to::<QUIET_BATCH>(socket, bound)?)
        };
        self.busy = received >= QUIET_BATCH;
        self.full = received >= asked;
        Ok(received)
    }

    fn fill_up_to<const N: usize>(&mut self, socket: BorrowedFd<'_>, bound: SocketAddr) -> io::Result<usize> {
        const { assert!(N <= RECEIVE_BATCH, "there is a slot for each") };
        let mut names = [RawAddress::EMPTY; N];
        let mut controls = [PacketControl::EMPTY; N];
        let mut answers = [Answer::default(); N];
        let slots = self.memory.chunks_exact_mut(stride(self.slot_bytes));
        let received = receive_many(socket, slots, self.slot_bytes, &mut names, &mut controls, &mut answers)?;
        for (slot, ((answer, name), control)) in answers.iter().zip(&names).zip(&controls).take(received).enumerate() {
            // The socket has one family, so the kernel names no other.
            let Some(remote) = name.decode() else { continue };
            let control = control.bytes.get(..answer.control_length).unwrap_or_default();
            let local = asked_address(control, bound.port()).unwrap_or(bound);
            let truncated = answer.flags & libc::MSG_TRUNC != 0;
            let length = answer.length.min(self.slot_bytes);
            self.totals.datagrams += 1;
            self.totals.truncated += u64::from(truncated);
            self.metas.push(Meta { slot, length, remote, local, truncated });
        }
        Ok(self.metas.len())
    }
}

impl Default for ReceiveBatch {
    fn default() -> Self {
        Self::new()
    }
}

impl UdpSocket {
    /// Receives up to [`RECEIVE_BATCH`] waiting datagrams into `batch`, in place of those it held, and returns how many.
    ///
    /// 0 means that none was waiting. Any other number may leave some waiting, which a [`Poller`](crate::Poller) reports.
    /// Pending ICMP errors are no result here: they wait for
    /// [`UdpSocket::next_delivery_error`].
    ///
    /// # Errors
    ///
    /// When the socket itself fails.
    pub fn receive_batch(&self, batch: &mut ReceiveBatch) -> io::Result<usize> {
        batch.metas.clear();
        for _ in 0..=PENDING_ERROR_REPEATS {
            match batch.fill(self.as_fd(), self.local_addr()).map_err(ReceiveError::from) {
                Ok(received) => return Ok(received),
                Err(ReceiveError::Empty) => return Ok(0),
                Err(ReceiveError::Again) => {}
                Err(ReceiveError::Failed(error)) => return Err(error),
            }
        }
        Ok(0)
    }
}

const fn stride(slot_bytes: usize) -> usize {
    slot_bytes.next_multiple_of(CACHE_LINE) + SLOT_SHIFT
}

/// What the kernel wrote into a message header.
#[derive(Debug, Clone, Copy, Default)]
struct Answer {
    length: usize,
    control_length: usize,
    flags: libc::c_int,
}

#[expect(unsafe_code, reason = "recvmmsg takes headers full of pointers")]
fn receive_many<'a, const N: usize>(
    socket: BorrowedFd<'_>,
    slots: impl Iterator<Item = &'a mut [u8]>,
    slot_bytes: usize,
    names: &mut [RawAddress; N],
    controls: &mut [PacketControl; N],
    answers: &mut [Answer; N],
) -> io::Result<usize> {
    // SAFETY: a plain C structure of integers and pointers, for which all zeroes are valid.
    let mut headers: [libc::mmsghdr; N] = unsafe { mem::zeroed() };
    let mut vectors = [libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 }; N];
    let parts = headers.iter_mut().zip(&mut vectors).zip(slots).zip(names.iter_mut()).zip(controls.iter_mut());
    for ((((header, vector), slot), name), control) in parts {
        vector.iov_len = slot_bytes.min(slot.len());
        vector.iov_base = slot.as_mut_ptr().cast();
        header.msg_hdr.msg_iov = vector;
        header.msg_hdr.msg_iovlen = 1;
        header.msg_hdr.msg_name = name.as_mut_ptr().cast();
        header.msg_hdr.msg_namelen = RawAddress::CAPACITY;
        header.msg_hdr.msg_control = control.bytes.as_mut_ptr().cast();
        header.msg_hdr.msg_controllen = control.bytes.len();
    }
    let count = u32::try_from(headers.len()).unwrap_or_default();
    // SAFETY: every header names a vector, a slot, an address and a control buffer that are writable for the length
    // given beside them, do not overlap and outlive the call (a header that found no slot names nothing, of length 0).
    // There are `count` headers. No timeout is passed.
    let result =
        unsafe { libc::recvmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), count, libc::MSG_DONTWAIT, ptr::null_mut()) };
    let received = check(result)?.unsigned_abs() as usize;
    for (answer, header) in answers.iter_mut().zip(&headers).take(received) {
        answer.length = header.msg_len as usize;
        answer.control_length = header.msg_hdr.msg_controllen;
        answer.flags = header.msg_hdr.msg_flags;
    }
    Ok(received)
}
