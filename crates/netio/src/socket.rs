//! A non-blocking UDP socket over IPv4 or IPv6.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use libc::c_int;

use crate::address::{self, RawAddress};
use crate::syscall::{PENDING_ERROR_REPEATS, ReceiveError, check, may_be_pending, read_option, set_option};

/// The largest payload of a UDP datagram: the length field's 65,535 less the header's 8 (RFC 768). IPv4 carries 20 less.
pub const MAX_DATAGRAM_BYTES: usize = 65_527;

/// How a socket is bound. The defaults of the kernel but for what is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UdpOptions {
    /// Bytes of datagrams the kernel shall keep until they are read; a wish, see [`UdpSocket::receive_buffer_bytes`].
    pub receive_buffer_bytes: Option<u32>,
    /// Bytes of datagrams the kernel shall keep until they have left; a wish, see [`UdpSocket::send_buffer_bytes`].
    pub send_buffer_bytes: Option<u32>,
    /// Whether ICMP errors are kept for [`UdpSocket::next_delivery_error`]. Without it an ICMP error goes unnoticed.
    pub delivery_errors: bool,
}

impl UdpOptions {
    /// Buffers of a signalling socket: a socket serves all calls of a shard, and a turn of its loop may take some
    /// milliseconds. 4 MiB hold some 2,000 SIP messages, as the kernel counts a whole page or more for each.
    pub const SIGNALLING_BUFFER_BYTES: u32 = 4 * 1024 * 1024;

    /// For SIP: buffers of [`Self::SIGNALLING_BUFFER_BYTES`], ICMP errors reported.
    pub const fn signalling() -> Self {
        Self {
            receive_buffer_bytes: Some(Self::SIGNALLING_BUFFER_BYTES),
            send_buffer_bytes: Some(Self::SIGNALLING_BUFFER_BYTES),
            delivery_errors: true,
        }
    }

    /// For RTP and RTCP: the kernel's buffers (208 KiB unless configured) hold seconds of one call's audio, and a port
    /// that is not open yet is normal, so ICMP errors are ignored.
    pub const fn media() -> Self {
        Self { receive_buffer_bytes: None, send_buffer_bytes: None, delivery_errors: false }
    }
}

/// Why a socket could not be bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another socket has the address and port.
    #[error("UDP {address} is already in use")]
    InUse {
        /// The address that was asked for.
        address: SocketAddr,
    },
    /// The address belongs to no interface of this host.
    #[error("UDP {address} cannot be bound: this host has no such address")]
    NotOurs {
        /// The address that was asked for.
        address: SocketAddr,
    },
    /// The port is privileged.
    #[error("UDP {address} cannot be bound: no permission (ports below 1024 need CAP_NET_BIND_SERVICE)")]
    NotPermitted {
        /// The address that was asked for.
        address: SocketAddr,
    },
    /// The host has no IPv6 (or no IPv4).
    #[error("UDP {address} cannot be bound: this host does not support its address family")]
    FamilyUnsupported {
        /// The address that was asked for.
        address: SocketAddr,
    },
    /// The process or the system has no file descriptor left, see [`raise_open_file_limit`](crate::raise_open_file_limit).
    #[error("UDP {address} cannot be bound: the limit of open files is reached")]
    TooManyOpenFiles {
        /// The address that was asked for.
        address: SocketAddr,
    },
    /// Anything else the kernel says.
    #[error("UDP {address} cannot be bound: {source}")]
    Other {
        /// The address that was asked for.
        address: SocketAddr,
        /// The kernel's word.
        source: io::Error,
    },
}

impl BindError {
    fn new(address: SocketAddr, source: io::Error) -> Self {
        match source.raw_os_error() {
            Some(libc::EADDRINUSE) => Self::InUse { address },
            Some(libc::EADDRNOTAVAIL) => Self::NotOurs { address },
            Some(libc::EACCES | libc::EPERM) => Self::NotPermitted { address },
            Some(libc::EAFNOSUPPORT) => Self::FamilyUnsupported { address },
            Some(libc::EMFILE | libc::ENFILE) => Self::TooManyOpenFiles { address },
            _ => Self::Other { address, source },
        }
    }

    /// The address that was asked for.
    pub fn address(&self) -> SocketAddr {
        match self {
            Self::InUse { address }
            | Self::NotOurs { address }
            | Self::NotPermitted { address }
            | Self::FamilyUnsupported { address }
            | Self::TooManyOpenFiles { address }
            | Self::Other { address, .. } => *address,
        }
    }
}

/// A non-blocking UDP socket.
///
/// It is bound to one family: an IPv6 socket carries no IPv4, so that `0.0.0.0:5060` and `[::]:5060` can both be bound.
/// No other socket can share its port (`SO_REUSEADDR` would let two servers steal each other's datagrams).
///
/// On a wildcard address the asked address of each datagram is known ([`Received::local`](crate::Received::local)) and
/// can be the source of what is sent. Addresses that it yields are canonical: IPv4 is never IPv4-mapped IPv6.
#[derive(Debug)]
pub struct UdpSocket {
    socket: std::net::UdpSocket,
    local: SocketAddr,
    delivery_errors: bool,
}

impl UdpSocket {
    /// Binds `address`; port 0 lets the kernel choose one. An IPv4-mapped address is bound as IPv4.
    ///
    /// # Errors
    ///
    /// [`BindError`] names the address and what can be done about it.
    pub fn bind(address: SocketAddr, options: UdpOptions) -> Result<Self, BindError> {
        let address = address::canonical(address);
        Self::open(address, options).map_err(|error| BindError::new(address, error))
    }

    fn open(address: SocketAddr, options: UdpOptions) -> io::Result<Self> {
        let fd = datagram_socket(address)?;
        let socket = fd.as_fd();
        let wildcard = address.ip().is_unspecified();
        match address {
            SocketAddr::V4(_) => {
                set_option(socket, libc::IPPROTO_IP, libc::IP_PKTINFO, c_int::from(wildcard))?;
                set_option(socket, libc::IPPROTO_IP, libc::IP_RECVERR, c_int::from(options.delivery_errors))?;
            }
            SocketAddr::V6(_) => {
                set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 1)?;
                set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, c_int::from(wildcard))?;
                set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVERR, c_int::from(options.delivery_errors))?;
            }
        }
        if let Some(bytes) = options.receive_buffer_bytes {
            wish_buffer(socket, libc::SO_RCVBUFFORCE, libc::SO_RCVBUF, bytes)?;
        }
        if let Some(bytes) = options.send_buffer_bytes {
            wish_buffer(socket, libc::SO_SNDBUFFORCE, libc::SO_SNDBUF, bytes)?;
        }
        bind(socket, address)?;
        let socket = std::net::UdpSocket::from(fd);
        let local = address::canonical(socket.local_addr()?);
        Ok(Self { socket, local, delivery_errors: options.delivery_errors })
    }

    /// The bound address, with the port that the kernel chose where 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Whether it is bound to `0.0.0.0` or `::`.
    pub fn is_wildcard(&self) -> bool {
        self.local.ip().is_unspecified()
    }

    /// Receives one datagram into `buffer`: its length and who sent it, or `None` when none is waiting.
    ///
    /// A datagram longer than `buffer` is cut; one buffer of [`MAX_DATAGRAM_BYTES`] a thread never cuts. An ICMP error
    /// of an earlier datagram is no result here.
    ///
    /// # Errors
    ///
    /// When the socket itself fails.
    pub fn recv_from(&self, buffer: &mut [u8]) -> io::Result<Option<(usize, SocketAddr)>> {
        for _ in 0..=PENDING_ERROR_REPEATS {
            match self.socket.recv_from(buffer).map_err(ReceiveError::from) {
                Ok((length, remote)) => return Ok(Some((length, address::canonical(remote)))),
                Err(ReceiveError::Empty) => return Ok(None),
                Err(ReceiveError::Again) => {}
                Err(ReceiveError::Failed(error)) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Sends one datagram.
    ///
    /// # Errors
    ///
    /// What the kernel says about this datagram; [`io::ErrorKind::WouldBlock`] when its buffer is full, and the datagram
    /// is then dropped. An ICMP error of an earlier datagram is no result here.
    pub fn send_to(&self, payload: &[u8], remote: SocketAddr) -> io::Result<()> {
        send_past_pending(|error| self.may_be_another_peers(error), || self.socket.send_to(payload, remote))
    }

    /// Sends one datagram to the connected peer, for which the kernel need not look up the route.
    ///
    /// # Errors
    ///
    /// As [`Self::send_to`]; [`io::ErrorKind::NotConnected`] or `EDESTADDRREQ` without [`Self::connect`].
    pub fn send(&self, payload: &[u8]) -> io::Result<()> {
        // A connected socket is told of ICMP errors whether they were asked for or not.
        send_past_pending(may_be_pending, || self.socket.send(payload))
    }

    /// Makes `remote` the only peer, in place of one there was: [`Self::send`] sends to it, and the kernel drops what
    /// others send from now on.
    ///
    /// What others sent before still waits to be read, so look at the addresses that [`Self::recv_from`] yields.
    ///
    /// # Errors
    ///
    /// When there is no route to `remote`; the socket is then as before.
    pub fn connect(&self, remote: SocketAddr) -> io::Result<()> {
        self.socket.connect(remote)
    }

    /// Undoes [`Self::connect`]: everybody is heard again.
    ///
    /// # Errors
    ///
    /// When the kernel chose the port (0 was bound) and another socket has taken it: disconnecting gives such a port
    /// back for a moment.
    pub fn disconnect(&self) -> io::Result<()> {
        dissolve(self.as_fd())?;
        if self.socket.local_addr()?.port() == self.local.port() { Ok(()) } else { bind(self.as_fd(), self.local) }
    }

    /// Datagrams that the kernel dropped since the socket was opened, because they came faster than they were read (or
    /// failed their checksum).
    ///
    /// # Errors
    ///
    /// When the kernel does not tell (before Linux 4.12).
    pub fn dropped_by_kernel(&self) -> io::Result<u32> {
        let mut words = [0; MEMINFO_WORDS];
        let written = read_option(self.as_fd(), libc::SOL_SOCKET, libc::SO_MEMINFO, &mut words)?;
        let [.., drops] = words;
        if written < MEMINFO_WORDS { Err(io::ErrorKind::Unsupported.into()) } else { Ok(drops) }
    }

    /// Changes the receive buffer. A socket that nobody reads for now should have a small one (0 asks for the least that the kernel
    /// gives): what strangers send to it would else fill memory that all sockets of the host share (`net.ipv4.udp_mem`).
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn set_receive_buffer_bytes(&self, bytes: u32) -> io::Result<()> {
        wish_buffer(self.as_fd(), libc::SO_RCVBUFFORCE, libc::SO_RCVBUF, bytes)
    }

    /// The receive buffer that was granted, in the terms of [`UdpOptions::receive_buffer_bytes`]. Less than was wished
    /// for means that `net.core.rmem_max` stands in the way.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn receive_buffer_bytes(&self) -> io::Result<u32> {
        self.buffer(libc::SO_RCVBUF)
    }

    /// The send buffer that was granted; `net.core.wmem_max` limits it.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn send_buffer_bytes(&self) -> io::Result<u32> {
        self.buffer(libc::SO_SNDBUF)
    }

    fn buffer(&self, name: c_int) -> io::Result<u32> {
        let mut words = [0; 1];
        read_option(self.as_fd(), libc::SOL_SOCKET, name, &mut words)?;
        let [doubled] = words;
        // The kernel doubles what was asked for, for its own bookkeeping (socket(7)).
        Ok(doubled / 2)
    }

    /// Whether a failed send may have met an error that an earlier datagram left on the socket.
    pub(crate) fn may_be_another_peers(&self, error: &io::Error) -> bool {
        self.delivery_errors && may_be_pending(error)
    }
}

impl AsFd for UdpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for UdpSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// `SK_MEMINFO_VARS`: the words of `SO_MEMINFO`, of which the last is the count of drops.
const MEMINFO_WORDS: usize = 9;

#[expect(unsafe_code, reason = "socket yields a bare descriptor")]
fn datagram_socket(address: SocketAddr) -> io::Result<OwnedFd> {
    let family = match address {
        SocketAddr::V4(_) => libc::AF_INET,
        SocketAddr::V6(_) => libc::AF_INET6,
    };
    // SAFETY: no pointers are passed.
    let result = unsafe { libc::socket(family, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK, 0) };
    let fd = check(result)?;
    // SAFETY: the kernel has just opened `fd`, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[expect(unsafe_code, reason = "bind takes a pointer")]
fn bind(socket: BorrowedFd<'_>, address: SocketAddr) -> io::Result<()> {
    let (raw, length) = RawAddress::new(address);
    // SAFETY: `raw` holds a socket address of `length` bytes and outlives the call; the kernel only reads it.
    let result = unsafe { libc::bind(socket.as_raw_fd(), raw.as_ptr(), length) };
    check(result).map(drop)
}

/// Connects to nobody (`AF_UNSPEC`), which dissolves a connection (`connect(2)`).
#[expect(unsafe_code, reason = "connect takes a pointer")]
fn dissolve(socket: BorrowedFd<'_>) -> io::Result<()> {
    // All zeroes: `AF_UNSPEC` is 0.
    let nobody = RawAddress::EMPTY;
    // SAFETY: `nobody` is readable for the length given and outlives the call; the kernel only reads it.
    let result = unsafe { libc::connect(socket.as_raw_fd(), nobody.as_ptr(), RawAddress::CAPACITY) };
    check(result).map(drop)
}

/// Repeats `send` past interruptions, and a few times past errors that are `pending` from earlier datagrams.
fn send_past_pending(
    pending: impl Fn(&io::Error) -> bool,
    mut send: impl FnMut() -> io::Result<usize>,
) -> io::Result<()> {
    let mut repeats = PENDING_ERROR_REPEATS;
    loop {
        match send() {
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if repeats > 0 && pending(&error) => repeats -= 1,
            Err(error) => return Err(error),
        }
    }
}

/// Asks for a buffer beyond the system's limit, which needs CAP_NET_ADMIN, else within it.
fn wish_buffer(socket: BorrowedFd<'_>, force: c_int, ask: c_int, bytes: u32) -> io::Result<()> {
    // The kernel doubles it in an `int`.
    let bytes = c_int::try_from(bytes).unwrap_or(c_int::MAX).min(c_int::MAX / 2);
    set_option(socket, libc::SOL_SOCKET, force, bytes)
        .or_else(|_not_permitted| set_option(socket, libc::SOL_SOCKET, ask, bytes))
}
