//! Standing receives and batched sends over io_uring (`io_uring(7)`).
//!
//! Each open socket has one receive with the kernel (`io_uring_prep_recvmsg_multishot(3)`) that brings packet after packet
//! in [`Buffers`] shared by all. Packets to be sent gather in a [`Queue`]. One system call hands over what is queued, of
//! which the kernel sends everything before it returns, and waits for the next packets.

use std::fmt;
use std::io;
use std::mem;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::time::Duration;

use io_uring::types::{CancelBuilder, Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, SubmissionQueue, Submitter, cqueue, opcode, squeue};
use libc::socklen_t;

use super::buffers::{BUFFER_BYTES, BUFFERS, Buffers};
use super::{Arrival, IoFailures, IoPath, MAX_PACKET_BYTES, Outgoing, SocketSet, pace};
use crate::address::RawAddress;
use crate::poller::{WakeState, Waker};
use crate::socket::{UdpOptions, UdpSocket};
use crate::syscall::may_be_pending;

/// One ring, and what is under way on it.
pub(super) struct Ring {
    ring: IoUring,
    buffers: Buffers,
    wake: Arc<WakeState>,
    is_watching_wake: bool,
    /// By the place of the socket.
    receptions: Vec<Reception>,
    /// Places of sockets whose receive is to be set up.
    to_arm: Vec<u32>,
    /// Receives to be taken back, by their user data.
    to_cancel: Vec<u64>,
    queue: Queue,
    /// Requests that the kernel holds until they are taken back: receives, and the watch for wakes.
    standing: usize,
    /// Whether it has its thread.
    is_enabled: bool,
    /// Whether the kernel can pause before a wait (Linux 6.12), which saves a system call.
    pauses_in_kernel: bool,
}

/// The standing receive of a socket.
#[derive(Debug, Clone, Copy, Default)]
struct Reception {
    /// Tells the receives of one socket apart: what an earlier one still brings was for an earlier opening.
    generation: u32,
    is_open: bool,
    /// Whether the kernel has it.
    is_armed: bool,
    /// How often in a row it has ended for no reason that we know.
    failures: u8,
}

impl Ring {
    /// A ring without a thread, for `sockets` sockets.
    pub(super) fn new(sockets: usize) -> io::Result<(Self, Waker)> {
        let ring = IoUring::builder()
            // The kernel does its part of the work while the one thread that uses the ring waits, never in between.
            .setup_single_issuer()
            .setup_defer_taskrun()
            // It says when there is more of that work than it does at a time.
            .setup_taskrun_flag()
            // The thread that makes it is another one than the thread that uses it.
            .setup_r_disabled()
            .setup_submit_all()
            .setup_cqsize(COMPLETIONS)
            .build(SUBMISSIONS)?;
        if !ring.params().is_feature_ext_arg() || !ring.params().is_feature_nodrop() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let pauses_in_kernel = ring.params().is_feature_min_timeout();
        let buffers = Buffers::new();
        buffers.register(&ring.submitter())?;
        let wake = WakeState::new()?;
        let waker = Waker::new(Arc::clone(&wake));
        let ring = Self {
            ring,
            buffers,
            wake,
            is_watching_wake: false,
            receptions: vec![Reception::default(); sockets],
            to_arm: Vec::with_capacity(sockets),
            to_cancel: Vec::new(),
            queue: Queue::new(),
            standing: 0,
            is_enabled: false,
            pauses_in_kernel,
        };
        Ok((ring, waker))
    }

    pub(super) fn open(&mut self, index: usize) -> io::Result<()> {
        let reception = self.receptions.get_mut(index).ok_or(io::ErrorKind::NotFound)?;
        if reception.is_open {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        reception.is_open = true;
        reception.failures = 0;
        self.to_arm.push(place(index)?);
        Ok(())
    }

    pub(super) fn close(&mut self, index: usize) -> io::Result<()> {
        let place = place(index)?;
        let reception = self.receptions.get_mut(index).filter(|reception| reception.is_open);
        let reception = reception.ok_or(io::ErrorKind::NotFound)?;
        reception.is_open = false;
        if mem::take(&mut reception.is_armed) {
            self.to_cancel.push(user_data(Kind::Receive, reception.generation, place));
        }
        reception.generation = (reception.generation + 1) % GENERATIONS;
        Ok(())
    }

    /// Hands everything that is queued to the kernel, which sends it, and waits, after a pause in which nothing is noticed,
    /// for at most `timeout` in all.
    pub(super) fn wait(
        &mut self,
        sockets: &[UdpSocket],
        pause: Option<Duration>,
        mut timeout: Option<Duration>,
    ) -> io::Result<()> {
        let mut how = SubmitArgs::new();
        let mut want = 1;
        if self.pauses_in_kernel {
            if let Some(pause) = pause {
                // 0 would be none.
                how = how.min_wait_usec(u32::try_from(pause.as_micros()).unwrap_or(u32::MAX).max(1));
                want = ENOUGH;
            }
        } else if pause.is_some() {
            self.send_queued(sockets)?;
            timeout = pace::sleep(pause, timeout);
        }
        let timeout = timeout.map(Timespec::from);
        if let Some(timeout) = &timeout {
            how = how.timespec(timeout);
        }
        self.submit(sockets, |submitter| submitter.submit_with_args(want, &how))?;
        // The kernel hands over some 20 packets at a time. All that have come are one turn.
        for _ in 0..MAX_HELPINGS {
            if !self.ring.submission().taskrun() {
                break;
            }
            self.ring.submit()?;
        }
        Ok(())
    }

    /// Hands everything that is queued to the kernel, which sends it.
    fn send_queued(&mut self, sockets: &[UdpSocket]) -> io::Result<()> {
        self.submit(sockets, |submitter| submitter.submit())
    }

    /// The queue, with room for a packet.
    pub(super) fn queue_with_room(&mut self, sockets: &[UdpSocket]) -> &mut Queue {
        if self.queue.is_full() {
            // Should this fail, the packet finds no room, and that is counted.
            let _counted = self.send_queued(sockets);
        }
        &mut self.queue
    }

    pub(super) fn receive(
        &mut self,
        sockets: &[UdpSocket],
        failures: &mut IoFailures,
        mut handle: impl FnMut(Arrival<'_>, &mut Outgoing<'_>),
    ) {
        let mut outgoing = Outgoing { sockets, queue: Some(&mut self.queue), failures };
        for completion in self.ring.completion() {
            let (kind, generation, index) = parts(completion.user_data());
            let result = completion.result();
            let goes_on = cqueue::more(completion.flags());
            self.standing = self.standing.saturating_sub(is_end(&completion).into());
            match kind {
                Some(Kind::Receive) => {
                    let buffer = cqueue::buffer_select(completion.flags());
                    let reception = self.receptions.get_mut(index);
                    if let Some(reception) = reception.filter(|it| it.is_open && it.generation == generation) {
                        if !goes_on && reception.ended(result, index, outgoing.failures) {
                            self.to_arm.extend(place(index));
                        }
                        let filled = buffer.zip(usize::try_from(result).ok());
                        let filled = filled.and_then(|(id, length)| self.buffers.filled(id, length));
                        if let Some((remote, bytes)) = filled.and_then(packet) {
                            reception.failures = 0;
                            handle(Arrival { index, remote, bytes }, &mut outgoing);
                        }
                    }
                    if let Some(id) = buffer {
                        self.buffers.give_back(id);
                    }
                }
                Some(Kind::Send) if result < 0 => outgoing.failures.note(index, io::Error::from_raw_os_error(-result)),
                Some(Kind::Wake) => {
                    self.wake.notice();
                    self.is_watching_wake &= goes_on;
                }
                // What was to be taken back may have ended by itself.
                Some(Kind::Send | Kind::Cancel) | None => {}
            }
        }
        self.buffers.publish();
    }

    /// Turns what is queued into requests and makes the kernel take them by `enter`.
    fn submit(
        &mut self,
        sockets: &[UdpSocket],
        enter: impl FnOnce(&Submitter<'_>) -> io::Result<usize>,
    ) -> io::Result<()> {
        let (submitter, mut submissions, _) = self.ring.split();
        if !self.is_enabled {
            submitter.register_enable_rings()?;
            self.is_enabled = true;
        }
        if !self.is_watching_wake {
            let event = Fd(self.wake.as_fd().as_raw_fd());
            let watch = opcode::PollAdd::new(event, libc::POLLIN.cast_unsigned().into()).multi(true).build();
            push(&submitter, &mut submissions, &watch.user_data(user_data(Kind::Wake, 0, 0)))?;
            self.is_watching_wake = true;
            self.standing += 1;
        }
        // Before a socket gets a new receive, its old one is gone.
        while let Some(receive) = self.to_cancel.last() {
            let cancel = opcode::AsyncCancel::new(*receive).build().flags(squeue::Flags::SKIP_SUCCESS);
            push(&submitter, &mut submissions, &cancel.user_data(user_data(Kind::Cancel, 0, 0)))?;
            self.to_cancel.pop();
        }
        // The kernel reads it while it takes the requests.
        let header = receive_header();
        while let Some(place) = self.to_arm.last() {
            let index = *place as usize;
            if let (Some(reception), Some(socket)) = (self.receptions.get_mut(index), sockets.get(index))
                && reception.is_open
                && !reception.is_armed
            {
                let receive =
                    opcode::RecvMsgMulti::new(Fd(socket.as_raw_fd()), &raw const header, Buffers::GROUP).build();
                let receive = receive.user_data(user_data(Kind::Receive, reception.generation, *place));
                push(&submitter, &mut submissions, &receive)?;
                reception.is_armed = true;
                self.standing += 1;
            }
            self.to_arm.pop();
        }
        while let Some(queued) = self.queue.entries.get(self.queue.handed_over) {
            if let Some(send) = self.queue.request(queued, sockets) {
                push(&submitter, &mut submissions, &send)?;
            }
            self.queue.handed_over += 1;
        }
        submissions.sync();
        let entered = enter(&submitter);
        submissions.sync();
        if submissions.is_empty() {
            self.queue.clear();
        }
        match entered {
            Ok(_) => Ok(()),
            Err(error) if matches!(error.raw_os_error(), Some(libc::ETIME | libc::EINTR | libc::EBUSY)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl Reception {
    /// The kernel has given it up with `result`; whether it is to be set up again.
    fn ended(&mut self, result: i32, index: usize, failures: &mut IoFailures) -> bool {
        self.is_armed = false;
        let error = io::Error::from_raw_os_error(-result);
        // An empty datagram ends it too, and so do a lack of buffers and an ICMP error.
        if result >= 0 || error.raw_os_error() == Some(libc::ENOBUFS) || may_be_pending(&error) {
            return true;
        }
        failures.note(index, error);
        self.failures += 1;
        self.failures < MAX_RECEIVE_FAILURES
    }
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring").field("queue", &self.queue).finish_non_exhaustive()
    }
}

impl Drop for Ring {
    /// Ends all that is under way before its memory goes, and so that the sockets are free as soon as they are closed:
    /// closing a ring alone leaves that to the kernel's leisure.
    fn drop(&mut self) {
        let timeout = Timespec::from(CANCEL_TIME);
        let how = SubmitArgs::new().timespec(&timeout);
        if self.standing > 0 {
            // What is not there is nothing to cancel; what is not cancelled ends the loop below by its time-out.
            let _nothing_there = self.ring.submitter().register_sync_cancel(Some(timeout), CancelBuilder::any());
        }
        while self.standing > 0 && self.ring.submitter().submit_with_args(1, &how).is_ok() {
            self.standing = self.standing.saturating_sub(self.ring.completion().filter(is_end).count());
        }
        // Closing the ring, which follows, ends what this did not.
        let _closed_next = self.ring.submitter().unregister_buf_ring(Buffers::GROUP);
    }
}

/// Packets to be sent by the next system call.
#[derive(Debug)]
pub(super) struct Queue {
    /// Never grows: the kernel reads from it until the call has returned.
    bytes: Box<[u8]>,
    used: usize,
    /// Never grows beyond its first capacity, for the same reason.
    entries: Vec<Queued>,
    /// How many of the entries have become requests.
    handed_over: usize,
}

#[derive(Debug)]
struct Queued {
    place: u32,
    remote: RawAddress,
    remote_length: socklen_t,
    start: usize,
    length: u32,
}

impl Queue {
    fn new() -> Self {
        Self {
            // Zeroed memory is reserved and not touched: what is never used never becomes resident.
            bytes: vec![0; QUEUED * MAX_PACKET_BYTES].into_boxed_slice(),
            used: 0,
            entries: Vec::with_capacity(QUEUED),
            handed_over: 0,
        }
    }

    fn is_full(&self) -> bool {
        self.entries.len() >= QUEUED
    }

    /// Adds a packet.
    pub(super) fn push(&mut self, index: usize, remote: SocketAddr, payload: &[u8]) -> io::Result<()> {
        if self.is_full() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if payload.len() > MAX_PACKET_BYTES {
            return Err(io::Error::from_raw_os_error(libc::EMSGSIZE));
        }
        let place = place(index)?;
        let start = self.used;
        let end = start + payload.len();
        // There is room for `QUEUED` of the longest.
        let room = self.bytes.get_mut(start..end).ok_or(io::ErrorKind::WouldBlock)?;
        room.copy_from_slice(payload);
        self.used = end;
        let (remote, remote_length) = RawAddress::new(remote);
        let length = u32::try_from(payload.len()).map_err(|_too_long| io::Error::from_raw_os_error(libc::EMSGSIZE))?;
        self.entries.push(Queued { place, remote, remote_length, start, length });
        Ok(())
    }

    fn request(&self, queued: &Queued, sockets: &[UdpSocket]) -> Option<squeue::Entry> {
        let socket = sockets.get(queued.place as usize)?;
        let payload = self.bytes.get(queued.start..)?;
        let send = opcode::Send::new(Fd(socket.as_raw_fd()), payload.as_ptr(), queued.length)
            // A full buffer drops the packet now; late audio is worth nothing.
            .flags(libc::MSG_DONTWAIT)
            .dest_addr(queued.remote.as_ptr())
            .dest_addr_len(queued.remote_length)
            .build();
        Some(send.flags(squeue::Flags::SKIP_SUCCESS).user_data(user_data(Kind::Send, 0, queued.place)))
    }

    fn clear(&mut self) {
        self.entries.clear();
        self.used = 0;
        self.handed_over = 0;
    }
}

/// Whether a ring does here all that is needed: a packet goes from one socket to another, and after closing and opening
/// once more another one.
pub(super) fn try_out() -> io::Result<()> {
    let bind = || {
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        UdpSocket::bind(any_port, UdpOptions::media()).map_err(|error| io::Error::other(error.to_string()))
    };
    let (from, to) = (bind()?, bind()?);
    let (from_address, to_address) = (from.local_addr(), to.local_addr());
    let (mut set, _waker) = SocketSet::new(IoPath::IoUring, vec![from, to])?;
    for payload in [b"one", b"two"] {
        set.open(1, TRIAL_BUFFER_BYTES)?;
        set.send(0, to_address, payload);
        let mut is_here = false;
        for _ in 0..TRIAL_WAITS {
            set.wait(Some(TRIAL_WAIT))?;
            set.receive(|arrival, _| {
                is_here |= arrival.index == 1 && arrival.remote == from_address && arrival.bytes == payload;
            });
            if is_here {
                break;
            }
        }
        if let Some((_, error)) = set.take_failures().last {
            return Err(error);
        }
        if !is_here {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "a packet to ourselves did not arrive"));
        }
        set.close(1)?;
    }
    Ok(())
}

/// What a request is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Receive = 1,
    Send = 2,
    Cancel = 3,
    Wake = 4,
}

/// What comes back with the completions of a request: its kind in 8 bits, the generation in 24, the place in 32.
const fn user_data(kind: Kind, generation: u32, place: u32) -> u64 {
    (kind as u64) << 56 | (generation as u64) << 32 | place as u64
}

/// Whether a completion is the last of a standing request.
fn is_end(completion: &cqueue::Entry) -> bool {
    let (kind, _, _) = parts(completion.user_data());
    matches!(kind, Some(Kind::Receive | Kind::Wake)) && !cqueue::more(completion.flags())
}

/// The reverse of [`user_data`].
fn parts(user_data: u64) -> (Option<Kind>, u32, usize) {
    let [kind, g2, g1, g0, place @ ..] = user_data.to_be_bytes();
    let kind = [Kind::Receive, Kind::Send, Kind::Cancel, Kind::Wake].into_iter().find(|known| *known as u8 == kind);
    (kind, u32::from_be_bytes([0, g2, g1, g0]), u32::from_be_bytes(place) as usize)
}

fn place(index: usize) -> io::Result<u32> {
    u32::try_from(index).map_err(|_no_such_socket| io::ErrorKind::NotFound.into())
}

/// Queues a request, after making the kernel take those before it if there is no room.
#[expect(unsafe_code, reason = "the kernel acts on pointers in requests")]
fn push(submitter: &Submitter<'_>, submissions: &mut SubmissionQueue<'_>, request: &squeue::Entry) -> io::Result<()> {
    if submissions.is_full() {
        submissions.sync();
        submitter.submit()?;
        submissions.sync();
    }
    // SAFETY: the pointers of receives and sends are read while the kernel takes the request, which it has when `submit`
    // of the ring returns: a receive's header lives as long as that call; a send's payload and address lie in the queue,
    // which does not move and is overwritten only after the kernel has taken all requests, as `MSG_DONTWAIT` makes it
    // send or drop at once. Should it read later still, the memory is there until the ring is closed. A receive writes
    // into `Buffers` only.
    unsafe { submissions.push(request) }.map_err(|_full| io::ErrorKind::WouldBlock.into())
}

/// What receives ask for: a packet and its sender, no control messages.
#[expect(unsafe_code, reason = "a structure of C")]
fn receive_header() -> libc::msghdr {
    // SAFETY: a plain C structure of integers and pointers, for which all zeroes are valid.
    let mut header: libc::msghdr = unsafe { mem::zeroed() };
    header.msg_namelen = RawAddress::CAPACITY;
    header
}

/// The sender and the packet in a filled buffer: `struct io_uring_recvmsg_out`, room for an address, the payload.
fn packet(filled: &mut [u8]) -> Option<(SocketAddr, &mut [u8])> {
    let (header, rest) = filled.split_at_mut_checked(HEADER_BYTES)?;
    let [_, _, _, _, _, _, _, _, l0, l1, l2, l3, ..] = *header.first_chunk::<HEADER_BYTES>()?;
    let (name, payload) = rest.split_first_chunk_mut()?;
    let remote = RawAddress::from_bytes(*name).decode()?;
    let length = u32::from_ne_bytes([l0, l1, l2, l3]) as usize;
    let length = length.min(payload.len()).min(MAX_PACKET_BYTES);
    Some((remote, payload.get_mut(..length)?))
}

/// `sizeof(struct io_uring_recvmsg_out)`: lengths of name, control messages and payload, and flags, 32 bits each.
const HEADER_BYTES: usize = 16;
const _: () =
    assert!(HEADER_BYTES + RawAddress::CAPACITY as usize + MAX_PACKET_BYTES <= BUFFER_BYTES as usize, "a packet fits");

/// Requests that go with one system call; with more there are several. As many as there can be packets to pass on.
const SUBMISSIONS: u32 = BUFFERS as u32;
/// Completions that can wait for us: one for each buffer, and eight times as many for failures and ends of receives.
/// What is beyond is kept by the kernel.
const COMPLETIONS: u32 = 8 * BUFFERS as u32;
/// Packets that can wait to be sent: each that can have come, and as many that a thread makes by itself.
const QUEUED: usize = 2 * BUFFERS as usize;
/// So many completions end a pause: half of the buffers are filled.
const ENOUGH: usize = BUFFERS as usize / 2;
/// How often the kernel is asked for more in one turn: until about all buffers are filled.
const MAX_HELPINGS: u16 = BUFFERS / 20;
/// Generations of a socket's receives before their numbers are used again.
const GENERATIONS: u32 = 1 << 24;
/// A receive that ends for no known reason is set up again, but not for ever without a packet in between.
const MAX_RECEIVE_FAILURES: u8 = 16;
/// How long closing waits for requests to end, of which each only waits for a packet.
const CANCEL_TIME: Duration = Duration::from_millis(100);
const TRIAL_BUFFER_BYTES: u32 = 4_096;
/// A packet over the loopback interface takes microseconds; a host that is so busy is given a second.
const TRIAL_WAITS: u32 = 10;
const TRIAL_WAIT: Duration = Duration::from_millis(100);
