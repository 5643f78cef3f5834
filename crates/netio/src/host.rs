//! What else must be asked of the kernel: open files, interfaces, free disk space, CPU time.

use std::ffi::{CStr, CString};
use std::io;
use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;
use std::time::Duration;

use crate::syscall::check;

/// Raises the process's soft limit of open files to the hard one, and returns what it then is.
///
/// # Errors
///
/// What the kernel says.
#[expect(unsafe_code, reason = "getrlimit and setrlimit take pointers")]
pub fn raise_open_file_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is writable and outlives the call.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) })?;
    if limit.rlim_cur < limit.rlim_max {
        limit.rlim_cur = limit.rlim_max;
        // SAFETY: `limit` is readable and outlives the call.
        check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) })?;
    }
    Ok(limit.rlim_cur)
}

/// Tells the kernel not to give this process huge pages unasked; those that it has stay.
///
/// Where they are given, an allocator that touches a little of each takes twice the memory, without being faster.
///
/// # Errors
///
/// What the kernel says.
#[expect(unsafe_code, reason = "prctl takes any number of arguments")]
pub fn refuse_huge_pages() -> io::Result<()> {
    let (yes, unused): (libc::c_ulong, libc::c_ulong) = (1, 0);
    // SAFETY: this option takes numbers, and those that it does not use must be zero.
    check(unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, yes, unused, unused, unused) })?;
    Ok(())
}

/// The CPU time, user and system, that the calling thread has used.
///
/// # Errors
///
/// What the kernel says.
#[expect(unsafe_code, reason = "clock_gettime takes a pointer")]
pub fn thread_cpu_time() -> io::Result<Duration> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is writable and outlives the call.
    check(unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) })?;
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Ok(Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default()))
}

/// The bytes that an unprivileged process can still write to the file system of `path`.
///
/// # Errors
///
/// If `path` does not exist or is not accessible.
#[expect(unsafe_code, reason = "statvfs takes pointers")]
pub fn available_bytes(path: &Path) -> io::Result<u64> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: a plain C structure of integers, for which all zeroes are valid.
    let mut statistics: libc::statvfs = unsafe { mem::zeroed() };
    // SAFETY: `path` ends with a NUL, `statistics` is writable; both outlive the call.
    check(unsafe { libc::statvfs(path.as_ptr(), &raw mut statistics) })?;
    Ok(statistics.f_bavail.saturating_mul(statistics.f_frsize))
}

/// The addresses of all interfaces that are up, with the interface's name, in the order of the kernel's table: IPv4
/// before IPv6, interfaces by index.
///
/// # Errors
///
/// What the kernel says.
pub fn interface_addresses() -> io::Result<Vec<(String, IpAddr)>> {
    let list = InterfaceList::read()?;
    Ok(list.addresses())
}

/// The list that `getifaddrs` allocates, freed when dropped.
struct InterfaceList {
    /// The first entry, or null.
    first: *mut libc::ifaddrs,
}

impl InterfaceList {
    #[expect(unsafe_code, reason = "getifaddrs takes a pointer")]
    fn read() -> io::Result<Self> {
        let mut first = ptr::null_mut();
        // SAFETY: `first` is writable and outlives the call.
        check(unsafe { libc::getifaddrs(&raw mut first) })?;
        Ok(Self { first })
    }

    #[expect(unsafe_code, reason = "the list consists of pointers")]
    fn addresses(&self) -> Vec<(String, IpAddr)> {
        let mut addresses = Vec::new();
        let mut next: *const libc::ifaddrs = self.first;
        // SAFETY: `next` is null or an entry of the list, which lives until `self` is dropped and which nobody changes.
        while let Some(entry) = unsafe { next.as_ref() } {
            next = entry.ifa_next;
            if entry.ifa_flags & libc::IFF_UP.unsigned_abs() == 0 {
                continue;
            }
            // SAFETY: `ifa_addr` of an entry is null or points to a socket address as long as its family needs.
            let Some(address) = (unsafe { ip_of(entry.ifa_addr) }) else { continue };
            // SAFETY: `ifa_name` of an entry is a string that ends with a NUL and lives as long as the list.
            let name = unsafe { CStr::from_ptr(entry.ifa_name) };
            addresses.push((name.to_string_lossy().into_owned(), address));
        }
        addresses
    }
}

impl Drop for InterfaceList {
    #[expect(unsafe_code, reason = "freeifaddrs takes a pointer")]
    fn drop(&mut self) {
        if !self.first.is_null() {
            // SAFETY: `first` came from `getifaddrs` and is freed once; no reference into the list outlives `self`.
            unsafe { libc::freeifaddrs(self.first) };
        }
    }
}

/// The IP address in a socket address; `None` for null and for other families.
///
/// # Safety
///
/// `address` is null or points to a socket address as long as its family needs.
#[expect(unsafe_code, reason = "the address's type depends on its family")]
unsafe fn ip_of(address: *const libc::sockaddr) -> Option<IpAddr> {
    // SAFETY: by the contract it is null or points to a socket address, and each has a family.
    let family = unsafe { address.as_ref() }?.sa_family;
    match i32::from(family) {
        libc::AF_INET => {
            // SAFETY: by the contract a socket address of this family is a `sockaddr_in`; read without asking for its
            // alignment.
            let v4 = unsafe { address.cast::<libc::sockaddr_in>().read_unaligned() };
            Some(IpAddr::V4(Ipv4Addr::from(v4.sin_addr.s_addr.to_ne_bytes())))
        }
        libc::AF_INET6 => {
            // SAFETY: by the contract a socket address of this family is a `sockaddr_in6`; read without asking for its
            // alignment.
            let v6 = unsafe { address.cast::<libc::sockaddr_in6>().read_unaligned() };
            Some(IpAddr::V6(Ipv6Addr::from(v6.sin6_addr.s6_addr)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_of_open_files_is_raised_to_stay() {
        let limit = raise_open_file_limit().expect("a limit");
        assert!(limit > 0);
        assert_eq!(raise_open_file_limit().expect("a limit"), limit);
    }

    #[test]
    fn loopback_is_among_the_interfaces() {
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let addresses = interface_addresses().expect("interfaces");
        assert!(addresses.contains(&("lo".to_owned(), loopback)), "{addresses:?}");
    }

    #[test]
    fn huge_pages_can_be_refused() {
        refuse_huge_pages().expect("the kernel knows this option since 3.15");
        let status = std::fs::read_to_string("/proc/self/status").expect("a status");
        // Kernels before 5.0 do not show it.
        assert!(!status.contains("THP_enabled:\t1"), "{status}");
    }

    #[test]
    fn the_root_file_system_tells_its_space_and_a_missing_path_does_not() {
        assert!(available_bytes(Path::new("/")).is_ok());
        let missing = available_bytes(Path::new("/no/such/path")).expect_err("there is no such path");
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn cpu_time_grows_with_work() {
        let before = thread_cpu_time().expect("a time");
        let mut number = 1_u64;
        while thread_cpu_time().expect("a time") < before + Duration::from_micros(100) {
            number = std::hint::black_box(number.wrapping_mul(3));
        }
        assert!(thread_cpu_time().expect("a time") > before);
    }
}
