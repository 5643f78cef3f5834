//! Addresses of a test's own.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};

/// 127.x.y.0/24, taken for one test: everything in it can use the well-known ports.
#[derive(Debug)]
pub struct Network {
    prefix: [u8; 3],
    /// Holds the network while it is bound: two processes cannot.
    _claim: TcpListener,
}

impl Network {
    /// Takes a network that nobody has.
    ///
    /// # Panics
    /// When none is free.
    #[must_use]
    pub fn claim() -> Self {
        // Processes begin at different places, so that few of them meet.
        let start = std::process::id().wrapping_mul(SPREAD).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        for step in 0..NETWORKS {
            let number = start.wrapping_add(step) % NETWORKS;
            let [_, _, high, low] = number.to_be_bytes();
            // 127.0 is left to everybody else.
            let prefix = [127, high + 1, low];
            let [a, b, c] = prefix;
            if let Ok(claim) = TcpListener::bind((Ipv4Addr::new(a, b, c, CLAIM_HOST), CLAIM_PORT)) {
                return Self { prefix, _claim: claim };
            }
        }
        panic!("no network of 127.0.0.0/8 is free; is another run of the tests stuck?");
    }

    /// An address of it, `host` from 1 to 253.
    #[must_use]
    pub fn host(&self, host: u8) -> IpAddr {
        let [a, b, c] = self.prefix;
        Ipv4Addr::new(a, b, c, host).into()
    }

    /// The SIP address of a host.
    #[must_use]
    pub fn sip(&self, host: u8) -> SocketAddr {
        SocketAddr::new(self.host(host), 5060)
    }

    /// All of it, as `127.x.y.0/24`.
    #[must_use]
    pub fn range(&self) -> String {
        let [a, b, c] = self.prefix;
        format!("{a}.{b}.{c}.0/24")
    }
}

/// A place on `::1` with a port that nobody has, for UDP or TCP: IPv6 has one loopback address only, so that there is no network of
/// a test's own.
///
/// # Panics
/// When there is none, or no IPv6.
#[must_use]
pub fn free_on_ipv6_loopback() -> SocketAddr {
    for _ in 0..FREE_PORT_TRIES {
        let udp = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).expect("the host has ::1");
        let address = udp.local_addr().expect("the socket is bound");
        // The kernel does not give the same one out again for long.
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
    panic!("no port of ::1 is free for both UDP and TCP");
}

/// Tests of one process get neighbouring networks.
static NEXT: AtomicU32 = AtomicU32::new(0);
/// Far more than tests that run at once; the third octet and 64 values of the second.
const NETWORKS: u32 = 64 * 256;
/// Odd, so that following process ids do not meet for long.
const SPREAD: u32 = 37;
/// Few of some 28,000 are taken.
const FREE_PORT_TRIES: usize = 100;
const CLAIM_HOST: u8 = 254;
const CLAIM_PORT: u16 = 5_999;
