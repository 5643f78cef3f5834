//! What a TCP socket of somebody else's making must be told, and its library has no call for.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use crate::syscall::set_option;

/// Keeps an IPv6 socket from taking IPv4 as well, so that `0.0.0.0:5060` and `[::]:5060` can both be bound. Before it is
/// bound.
///
/// # Errors
///
/// When it is no IPv6 socket.
pub fn set_ipv6_only(socket: &impl AsFd) -> io::Result<()> {
    set_option(socket.as_fd(), libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 1)
}

/// How long what was sent may stay unacknowledged before the connection is given up (`TCP_USER_TIMEOUT`, RFC 5482):
/// without it the kernel goes on for a quarter of an hour. At most 24 days.
///
/// # Errors
///
/// When it is no TCP socket.
pub fn set_user_timeout(socket: &impl AsFd, timeout: Duration) -> io::Result<()> {
    let millis = libc::c_int::try_from(timeout.as_millis()).unwrap_or(libc::c_int::MAX);
    set_option(socket.as_fd(), libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT, millis)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream, UdpSocket};

    #[test]
    fn a_stream_takes_a_timeout_and_a_datagram_socket_does_not() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        set_user_timeout(&stream, Duration::from_secs(20)).unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        set_user_timeout(&udp, Duration::from_secs(20)).unwrap_err();
        set_ipv6_only(&udp).unwrap_err();
    }
}
