//! What every system call here shares: results, integer socket options, and which errors belong to somebody else.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use libc::{c_int, socklen_t};

/// How often a call is repeated after a socket error that an earlier datagram left behind.
///
/// One repeat clears it; the second covers another ICMP error that arrives in between. A datagram whose own address is
/// unreachable costs these repeats, so there are no more of them.
pub(crate) const PENDING_ERROR_REPEATS: u32 = 2;

/// The kernel's `-1` as an error.
pub(crate) fn check(result: c_int) -> io::Result<c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// The kernel's negative count as an error.
pub(crate) fn check_length(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_negative| io::Error::last_os_error())
}

/// Whether `error` can be the socket's pending error, which Linux hands to whatever call comes next, be it about
/// another peer. These are the values its ICMP and ICMPv6 tables yield.
pub(crate) fn may_be_pending(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::ECONNREFUSED
                | libc::EHOSTUNREACH
                | libc::ENETUNREACH
                | libc::EHOSTDOWN
                | libc::ENONET
                | libc::ENOPROTOOPT
                | libc::EOPNOTSUPP
                | libc::EPROTO
                | libc::EACCES
                | libc::EMSGSIZE
        )
    )
}

/// What a failed receive means.
pub(crate) enum ReceiveError {
    /// Nothing is waiting.
    Empty,
    /// Interrupted, or an earlier datagram's error: ask again.
    Again,
    /// The socket itself failed.
    Failed(io::Error),
}

impl From<io::Error> for ReceiveError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::WouldBlock {
            Self::Empty
        } else if error.kind() == io::ErrorKind::Interrupted || may_be_pending(&error) {
            Self::Again
        } else {
            Self::Failed(error)
        }
    }
}

/// Sets an integer socket option.
#[expect(unsafe_code, reason = "setsockopt takes a pointer")]
pub(crate) fn set_option(socket: BorrowedFd<'_>, level: c_int, name: c_int, value: c_int) -> io::Result<()> {
    // SAFETY: the pointer and the length describe `value`, which outlives the call; the kernel only reads it.
    let result =
        unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), length_of::<c_int>()) };
    check(result).map(drop)
}

/// Reads a socket option made of 32-bit words into `words` and returns how many the kernel wrote.
#[expect(unsafe_code, reason = "getsockopt takes pointers")]
pub(crate) fn read_option<const N: usize>(
    socket: BorrowedFd<'_>,
    level: c_int,
    name: c_int,
    words: &mut [u32; N],
) -> io::Result<usize> {
    let mut length = length_of::<[u32; N]>();
    // SAFETY: `words` is writable for `length` bytes and any bit pattern is a valid `u32`; both outlive the call.
    let result =
        unsafe { libc::getsockopt(socket.as_raw_fd(), level, name, words.as_mut_ptr().cast(), &raw mut length) };
    check(result)?;
    Ok(usize::try_from(length).map_or(0, |bytes| bytes / size_of::<u32>()))
}

/// The size of `T` as the kernel counts it.
pub(crate) const fn length_of<T>() -> socklen_t {
    const { assert!(size_of::<T>() <= 4_096, "a socket option or address is small") };
    #[expect(clippy::cast_possible_truncation, reason = "at most 4,096, checked above")]
    let length = size_of::<T>() as socklen_t;
    length
}
