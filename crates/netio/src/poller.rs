//! Waiting for sockets, deadlines and other threads: epoll and eventfd.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use libc::{c_int, epoll_event};

use crate::syscall::{check, check_length};

/// The most events one wait yields. More only make the first wait longer for their turn.
const MAX_EVENTS: usize = 4_096;

/// What to wait for on a descriptor. Errors are reported with each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    /// There is something to read.
    Read,
    /// There is room to write.
    Write,
    /// Either.
    ReadWrite,
}

impl Interest {
    fn flags(self) -> c_int {
        match self {
            Self::Read => libc::EPOLLIN,
            Self::Write => libc::EPOLLOUT,
            Self::ReadWrite => libc::EPOLLIN | libc::EPOLLOUT,
        }
    }
}

/// Waits for many descriptors at once.
///
/// Level-triggered: a descriptor is reported as long as there is something to do, so that a loop may take one batch,
/// see to its deadlines and come back for the rest. (Edge-triggered would save nothing, as each turn reads until it is
/// empty anyway, and would lose what a turn leaves behind.)
///
/// A descriptor that is closed is forgotten by itself, unless it was duplicated.
#[derive(Debug)]
pub struct Poller {
    epoll: OwnedFd,
    wakers: Vec<(u64, Arc<WakeState>)>,
    /// False once the kernel has said that it has no `epoll_pwait2` (before Linux 5.11, or a sandbox that hides it).
    precise: bool,
}

impl Poller {
    /// A poller that waits for nothing yet.
    ///
    /// # Errors
    ///
    /// When the process has no descriptor left.
    #[expect(unsafe_code, reason = "epoll_create1 yields a bare descriptor")]
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointers are passed.
        let result = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        let fd = check(result)?;
        // SAFETY: the kernel has just opened `fd`, and nobody else knows it.
        let epoll = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { epoll, wakers: Vec::new(), precise: true })
    }

    /// Waits for `source` from now on; its events carry `token`.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::AlreadyExists`] if it is waited for already; else what the kernel says.
    pub fn add(&self, source: &impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, source.as_fd(), token, interest.flags())
    }

    /// Changes the token and the interest of `source`.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotFound`] if it is not waited for; else what the kernel says.
    pub fn modify(&self, source: &impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, source.as_fd(), token, interest.flags())
    }

    /// Waits for `source` no longer. Events that are already in an [`Events`] stay there.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotFound`] if it is not waited for; else what the kernel says.
    pub fn remove(&self, source: &impl AsFd) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_DEL, source.as_fd(), 0, 0)
    }

    /// A new waker of this poller, whose events carry `token` (and are readable).
    ///
    /// # Errors
    ///
    /// When the process has no descriptor left.
    pub fn waker(&mut self, token: u64) -> io::Result<Waker> {
        let state = WakeState::new()?;
        // Edge-triggered, so that the counter need not be read: each write is an event of its own.
        self.control(libc::EPOLL_CTL_ADD, state.event.as_fd(), token, libc::EPOLLIN | libc::EPOLLET)?;
        self.wakers.push((token, Arc::clone(&state)));
        Ok(Waker::new(state))
    }

    /// Waits until something happens or `timeout` has passed (`None`: for ever), puts what happened into `events` in
    /// place of what they held, and returns how many there are.
    ///
    /// Never returns before `timeout` without a reason, which may be a signal, and then often with 0 events. The timeout is
    /// kept to the kernel's timer slack (50 µs for an ordinary thread); a kernel without `epoll_pwait2` rounds it up to
    /// a millisecond.
    ///
    /// # Errors
    ///
    /// When the poller itself fails.
    pub fn wait(&mut self, events: &mut Events, timeout: Option<Duration>) -> io::Result<usize> {
        events.filled = 0;
        let mut waited = self.wait_in_kernel(&mut events.slots, timeout);
        if is_interrupted(&waited) {
            // Also by the stop and continuation of the process, and then much may have come meanwhile.
            waited = self.wait_in_kernel(&mut events.slots, Some(Duration::ZERO));
        }
        let filled = if is_interrupted(&waited) { 0 } else { waited? };
        events.filled = filled;
        if !self.wakers.is_empty() {
            for event in events.iter() {
                for (_, waker) in self.wakers.iter().filter(|(token, _)| *token == event.token) {
                    waker.notice();
                }
            }
        }
        Ok(filled)
    }

    fn wait_in_kernel(&mut self, slots: &mut [epoll_event], timeout: Option<Duration>) -> io::Result<usize> {
        if self.precise {
            match wait_precisely(self.epoll.as_fd(), slots, timeout) {
                // EPERM is what sandboxes answer that do not know the call; epoll_pwait2 itself never does.
                Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => self.precise = false,
                done => return done,
            }
        }
        wait_roughly(self.epoll.as_fd(), slots, timeout)
    }

    #[expect(unsafe_code, reason = "epoll_ctl takes a pointer")]
    fn control(&self, operation: c_int, source: BorrowedFd<'_>, token: u64, flags: c_int) -> io::Result<()> {
        let mut event = epoll_event { events: flags.cast_unsigned(), u64: token };
        // SAFETY: `event` outlives the call; the kernel only reads it.
        let result = unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), operation, source.as_raw_fd(), &raw mut event) };
        check(result).map(drop)
    }
}

/// What [`Poller::wait`] found.
pub struct Events {
    slots: Box<[epoll_event]>,
    filled: usize,
}

impl Events {
    /// Room for `capacity` events a wait (1 to 4,096, else the nearer of them). What does not fit is found by the next.
    pub fn with_capacity(capacity: usize) -> Self {
        let capacity = capacity.clamp(1, MAX_EVENTS);
        Self { slots: vec![epoll_event { events: 0, u64: 0 }; capacity].into_boxed_slice(), filled: 0 }
    }

    /// The events of the last wait.
    pub fn iter(&self) -> impl Iterator<Item = Event> {
        self.slots.iter().take(self.filled).map(|slot| {
            let flags = slot.events.cast_signed();
            Event {
                token: slot.u64,
                readable: flags & (libc::EPOLLIN | libc::EPOLLHUP) != 0,
                writable: flags & libc::EPOLLOUT != 0,
                error: flags & libc::EPOLLERR != 0,
            }
        })
    }

    /// Forgets them.
    pub(crate) fn clear(&mut self) {
        self.filled = 0;
    }

    /// Forgets those that carry `token`.
    pub(crate) fn forget(&mut self, token: u64) {
        let mut kept = 0;
        for slot in 0..self.filled {
            if self.slots.get(slot).is_some_and(|event| event.u64 != token) {
                self.slots.swap(kept, slot);
                kept += 1;
            }
        }
        self.filled = kept;
    }

    /// How many the last wait found.
    pub fn len(&self) -> usize {
        self.filled
    }

    /// Whether the last wait found none.
    pub fn is_empty(&self) -> bool {
        self.filled == 0
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Something happened on a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// As given to [`Poller::add`] or [`Poller::waker`].
    pub token: u64,
    /// There is something to read, or the other side has hung up.
    pub readable: bool,
    /// There is room to write.
    pub writable: bool,
    /// An error is pending; for a [`UdpSocket`](crate::UdpSocket) read
    /// [`next_delivery_error`](crate::UdpSocket::next_delivery_error) until it yields none, or it is reported for ever.
    pub error: bool,
}

/// Ends the wait of a [`Poller`] from any thread.
///
/// Put the work into its queue, then wake; after the wait, drain the queue. Wakes before the poller has noticed the first
/// are one, and cost no system call.
#[derive(Debug, Clone)]
pub struct Waker {
    state: Arc<WakeState>,
}

#[derive(Debug)]
pub(crate) struct WakeState {
    event: OwnedFd,
    /// Whether a wake is on its way that the poller has not noticed yet.
    pending: AtomicBool,
}

impl WakeState {
    pub(crate) fn new() -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self { event: event_counter()?, pending: AtomicBool::new(false) }))
    }

    /// A wake was noticed: from here on one is a new one. What was queued before it is seen by whoever drains the queue
    /// now, as the swap in [`Waker::wake`] happened before this one.
    pub(crate) fn notice(&self) {
        self.pending.swap(false, Ordering::AcqRel);
    }
}

/// Readable after each wake; nobody reads it, so it must be watched for edges.
impl AsFd for WakeState {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

impl Waker {
    pub(crate) fn new(state: Arc<WakeState>) -> Self {
        Self { state }
    }

    /// Ends the poller's current wait, or its next.
    ///
    /// # Errors
    ///
    /// None is known; the kernel could only refuse a count near 2⁶⁴. The wake is then not lost: the next is a new one.
    pub fn wake(&self) -> io::Result<()> {
        if self.state.pending.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        add_one(self.state.event.as_fd()).inspect_err(|_| self.state.pending.store(false, Ordering::Release))
    }
}

#[expect(unsafe_code, reason = "eventfd yields a bare descriptor")]
fn event_counter() -> io::Result<OwnedFd> {
    // SAFETY: no pointers are passed.
    let result = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
    let fd = check(result)?;
    // SAFETY: the kernel has just opened `fd`, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn is_interrupted(waited: &io::Result<usize>) -> bool {
    waited.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::Interrupted)
}

#[expect(unsafe_code, reason = "write takes a pointer")]
fn add_one(counter: BorrowedFd<'_>) -> io::Result<()> {
    let one = 1_u64.to_ne_bytes();
    loop {
        // SAFETY: `one` is readable for its length and outlives the call.
        let result = unsafe { libc::write(counter.as_raw_fd(), one.as_ptr().cast(), one.len()) };
        match check_length(result) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done.map(drop),
        }
    }
}

/// The kernel's `struct __kernel_timespec`, which has 64 bits everywhere.
#[repr(C)]
struct Timespec {
    seconds: i64,
    nanoseconds: i64,
}

#[expect(unsafe_code, reason = "epoll_pwait2 takes pointers")]
fn wait_precisely(epoll: BorrowedFd<'_>, slots: &mut [epoll_event], timeout: Option<Duration>) -> io::Result<usize> {
    let timeout = timeout.map(|timeout| Timespec {
        seconds: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
        nanoseconds: i64::from(timeout.subsec_nanos()),
    });
    let timeout = timeout.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: `slots` is writable for as many events as the count says, which is at least 1; `timeout` is null or points
    // to a timespec; both outlive the call. No signal mask is passed, so its size is not looked at. By the system call's
    // number rather than through libc, as glibc has it only since 2.35.
    let result = unsafe {
        libc::syscall(
            libc::SYS_epoll_pwait2,
            epoll.as_raw_fd(),
            slots.as_mut_ptr(),
            capacity(slots),
            timeout,
            ptr::null::<libc::sigset_t>(),
            0_usize,
        )
    };
    usize::try_from(result).map_err(|_negative| io::Error::last_os_error())
}

#[expect(unsafe_code, reason = "epoll_wait takes a pointer")]
fn wait_roughly(epoll: BorrowedFd<'_>, slots: &mut [epoll_event], timeout: Option<Duration>) -> io::Result<usize> {
    let timeout_ms = timeout.map_or(-1, |timeout| {
        // Rounded up: a loop that woke before its deadline would spin until it.
        c_int::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(c_int::MAX)
    });
    // SAFETY: `slots` is writable for as many events as the count says, which is at least 1, and outlives the call.
    let result = unsafe { libc::epoll_wait(epoll.as_raw_fd(), slots.as_mut_ptr(), capacity(slots), timeout_ms) };
    check(result).map(|filled| filled.unsigned_abs() as usize)
}

fn capacity(slots: &[epoll_event]) -> c_int {
    c_int::try_from(slots.len()).unwrap_or(c_int::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;
    use std::time::Instant;

    use super::*;

    /// Long enough that only a hang reaches it.
    const HANG: Option<Duration> = Some(Duration::from_secs(10));

    #[test]
    fn another_thread_wakes_the_poller() {
        let mut poller = Poller::new().expect("a poller");
        let waker = poller.waker(7).expect("a waker");
        let mut events = Events::with_capacity(8);
        let (queue, queued) = mpsc::channel();
        let sender = thread::spawn(move || {
            for number in 0..1_000 {
                queue.send(number).expect("the test listens");
                waker.clone().wake().expect("a wake");
            }
        });
        let mut seen = Vec::new();
        while seen.len() < 1_000 {
            assert_eq!(poller.wait(&mut events, HANG).expect("a wait"), 1, "a wake was lost");
            assert!(events.iter().all(|event| event.token == 7 && event.readable && !event.error));
            seen.extend(queued.try_iter());
        }
        sender.join().expect("the sender ends");
        assert!(seen.iter().copied().eq(0..1_000));
    }

    #[test]
    fn wakes_before_a_wait_are_one() {
        let mut poller = Poller::new().expect("a poller");
        let waker = poller.waker(1).expect("a waker");
        let mut events = Events::with_capacity(8);
        waker.wake().expect("a wake");
        waker.wake().expect("a wake");
        assert_eq!(poller.wait(&mut events, HANG).expect("a wait"), 1);
        assert_eq!(poller.wait(&mut events, Some(Duration::ZERO)).expect("a wait"), 0);
        waker.wake().expect("a wake");
        assert_eq!(poller.wait(&mut events, HANG).expect("a wait"), 1);
    }

    #[test]
    fn a_wait_without_events_ends_at_its_deadline_and_not_before() {
        for precise in [true, false] {
            let mut poller = Poller::new().expect("a poller");
            poller.precise = precise;
            let mut events = Events::with_capacity(8);
            for timeout in [Duration::from_micros(300), Duration::from_micros(1_700)] {
                let start = Instant::now();
                assert_eq!(poller.wait(&mut events, Some(timeout)).expect("a wait"), 0);
                assert!(start.elapsed() >= timeout, "precise: {precise}");
            }
        }
    }

    #[test]
    fn the_rough_wait_finds_events_too() {
        let mut poller = Poller::new().expect("a poller");
        poller.precise = false;
        let waker = poller.waker(3).expect("a waker");
        waker.wake().expect("a wake");
        let mut events = Events::with_capacity(1);
        assert_eq!(poller.wait(&mut events, None).expect("a wait"), 1);
        assert_eq!(events.iter().map(|event| event.token).collect::<Vec<_>>(), [3]);
    }

    #[test]
    fn a_waker_outlives_its_poller() {
        let waker = Poller::new().expect("a poller").waker(1).expect("a waker");
        waker.wake().expect("a wake");
    }
}
