//! What ICMP reports about datagrams that were sent earlier (`IP_RECVERR` and the error queue, `ip(7)`).

use std::io;
use std::mem;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use crate::address::RawAddress;
use crate::ancillary::{Control, messages};
use crate::socket::UdpSocket;
use crate::syscall::{ReceiveError, check_length};

/// A datagram did not arrive: what a router or the peer's host says about it.
///
/// The kernel accepts such a report if it quotes one of our sockets' addresses and ports; who can guess those can forge
/// one. So it is a hint about what is under way to `remote`, and the bytes that it quotes can show which message it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeliveryError {
    /// Where the datagram was sent to.
    pub remote: SocketAddr,
    /// What went wrong.
    pub kind: DeliveryErrorKind,
    /// How many bytes of the datagram's payload were copied into the caller's buffer: as many as the report quotes (all
    /// or some, often none) and the buffer holds.
    pub quoted_bytes: usize,
}

/// What a delivery error says (RFC 792, RFC 1122 §3.2.2.1, RFC 4443 §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryErrorKind {
    /// Nobody listens on the port.
    PortUnreachable,
    /// The last router cannot reach the host, or does not know it.
    HostUnreachable,
    /// There is no route to its network.
    NetworkUnreachable,
    /// The host does not speak UDP.
    ProtocolUnreachable,
    /// A firewall on the way forbids it.
    Prohibited,
    /// A router or the host cannot make sense of the header.
    ParameterProblem,
    /// A link on the way is too narrow. The kernel has learnt its width and fragments from now on, so resending helps.
    TooBig {
        /// What fits, in bytes of the whole IP packet.
        mtu: u32,
    },
    /// It went in circles, or a fragment was missing.
    TimeExceeded,
    /// Something newer.
    Other {
        /// The ICMP type.
        icmp_type: u8,
        /// The ICMP code.
        icmp_code: u8,
    },
}

impl DeliveryErrorKind {
    /// Whether sending has failed for good, so that the next target should be tried at once (RFC 3261 §18.4: host,
    /// network, port or protocol unreachable and parameter problems count, source quench and TTL exceeded do not).
    pub fn is_failure(self) -> bool {
        match self {
            Self::PortUnreachable
            | Self::HostUnreachable
            | Self::NetworkUnreachable
            | Self::ProtocolUnreachable
            | Self::Prohibited
            | Self::ParameterProblem => true,
            Self::TooBig { .. } | Self::TimeExceeded | Self::Other { .. } => false,
        }
    }

    /// RFC 792 and RFC 1812 §5.2.7.1.
    fn from_icmp(icmp_type: u8, icmp_code: u8, mtu: u32) -> Self {
        match (icmp_type, icmp_code) {
            (3, 0 | 6 | 11) => Self::NetworkUnreachable,
            (3, 1 | 5 | 7 | 8 | 12) => Self::HostUnreachable,
            (3, 2) => Self::ProtocolUnreachable,
            (3, 3) => Self::PortUnreachable,
            (3, 4) => Self::TooBig { mtu },
            (3, 9 | 10 | 13..=15) => Self::Prohibited,
            (11, _) => Self::TimeExceeded,
            (12, _) => Self::ParameterProblem,
            _ => Self::Other { icmp_type, icmp_code },
        }
    }

    /// RFC 4443 §3.
    fn from_icmpv6(icmp_type: u8, icmp_code: u8, mtu: u32) -> Self {
        match (icmp_type, icmp_code) {
            (1, 0) => Self::NetworkUnreachable,
            (1, 1 | 5 | 6) => Self::Prohibited,
            (1, 2 | 3) => Self::HostUnreachable,
            (1, 4) => Self::PortUnreachable,
            (2, _) => Self::TooBig { mtu },
            (3, _) => Self::TimeExceeded,
            // Code 1: the next header, which is UDP, is not recognised.
            (4, 1) => Self::ProtocolUnreachable,
            (4, _) => Self::ParameterProblem,
            _ => Self::Other { icmp_type, icmp_code },
        }
    }
}

/// How many reports are passed over in one call: those about our own sends ([`UdpSocket::send_batch`] has returned them
/// already). Many can only be waiting if nobody asked for long; the rest is seen by the next call.
const PASSED_OVER: usize = 64;

impl UdpSocket {
    /// The next report about a datagram sent earlier, or `None` if there is none (always without
    /// [`UdpOptions::delivery_errors`](crate::UdpOptions::delivery_errors)).
    ///
    /// A [`Poller`](crate::Poller) reports such a socket with [`Event::error`](crate::Event::error) until the last report
    /// is read. `quoted` receives the start of the payload of the datagram concerned, for a SIP message its Via and
    /// branch, if the report quotes that much; pass `&mut []` for none.
    ///
    /// # Errors
    ///
    /// When the socket itself fails.
    pub fn next_delivery_error(&self, quoted: &mut [u8]) -> io::Result<Option<DeliveryError>> {
        for _ in 0..PASSED_OVER {
            let mut name = RawAddress::EMPTY;
            let mut control = ErrorControl::EMPTY;
            match read_error_queue(self.as_fd(), quoted, &mut name, &mut control).map_err(ReceiveError::from) {
                Ok((quoted_bytes, control_length)) => {
                    let control = control.bytes.get(..control_length).unwrap_or_default();
                    if let (Some(remote), Some(kind)) = (name.decode(), kind(control)) {
                        return Ok(Some(DeliveryError { remote, kind, quoted_bytes }));
                    }
                }
                Err(ReceiveError::Empty) => return Ok(None),
                Err(ReceiveError::Again) => {}
                Err(ReceiveError::Failed(error)) => return Err(error),
            }
        }
        Ok(None)
    }
}

/// Room for `IPV6_RECVERR` (a `sock_extended_err` and the reporter's address, 64 bytes) and `IPV6_PKTINFO` (40).
type ErrorControl = Control<256>;

/// What the report in `control` says; `None` for one that no ICMP message caused.
fn kind(control: &[u8]) -> Option<DeliveryErrorKind> {
    messages(control).find_map(|(level, kind, data)| match (level, kind) {
        (libc::IPPROTO_IP, libc::IP_RECVERR) | (libc::IPPROTO_IPV6, libc::IPV6_RECVERR) => {
            // sock_extended_err: errno, origin, type, code, padding, information (the MTU), data.
            let [_, _, _, _, origin, icmp_type, icmp_code, _, m0, m1, m2, m3] = *data.first_chunk()?;
            let mtu = u32::from_ne_bytes([m0, m1, m2, m3]);
            match origin {
                libc::SO_EE_ORIGIN_ICMP => Some(DeliveryErrorKind::from_icmp(icmp_type, icmp_code, mtu)),
                libc::SO_EE_ORIGIN_ICMP6 => Some(DeliveryErrorKind::from_icmpv6(icmp_type, icmp_code, mtu)),
                _ => None,
            }
        }
        _ => None,
    })
}

/// Takes one report and returns how many bytes of the datagram and of control messages it brought.
#[expect(unsafe_code, reason = "recvmsg takes a header full of pointers")]
fn read_error_queue(
    socket: BorrowedFd<'_>,
    quoted: &mut [u8],
    name: &mut RawAddress,
    control: &mut ErrorControl,
) -> io::Result<(usize, usize)> {
    let mut vector = libc::iovec { iov_base: quoted.as_mut_ptr().cast(), iov_len: quoted.len() };
    // SAFETY: a plain C structure of integers and pointers, for which all zeroes are valid.
    let mut header: libc::msghdr = unsafe { mem::zeroed() };
    header.msg_iov = &raw mut vector;
    header.msg_iovlen = 1;
    header.msg_name = name.as_mut_ptr().cast();
    header.msg_namelen = RawAddress::CAPACITY;
    header.msg_control = control.bytes.as_mut_ptr().cast();
    header.msg_controllen = control.bytes.len();
    // SAFETY: the header names the vector, `quoted`, `name` and `control`, which are writable for the lengths given
    // beside them, do not overlap and outlive the call.
    let result = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT) };
    let length = check_length(result)?;
    Ok((length.min(quoted.len()), header.msg_controllen))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_a_target_fail_is_that_of_rfc_3261() {
        let failures = [(3, 0), (3, 1), (3, 2), (3, 3), (3, 13), (12, 0)];
        assert!(failures.iter().all(|&(kind, code)| DeliveryErrorKind::from_icmp(kind, code, 0).is_failure()));
        let passing = [(3, 4), (4, 0), (11, 0), (11, 1)];
        assert!(!passing.iter().any(|&(kind, code)| DeliveryErrorKind::from_icmp(kind, code, 0).is_failure()));
    }

    #[test]
    fn icmpv6_has_numbers_of_its_own() {
        assert_eq!(DeliveryErrorKind::from_icmpv6(1, 4, 0), DeliveryErrorKind::PortUnreachable);
        assert_eq!(DeliveryErrorKind::from_icmpv6(2, 0, 1_280), DeliveryErrorKind::TooBig { mtu: 1_280 });
        assert_eq!(DeliveryErrorKind::from_icmpv6(9, 1, 0), DeliveryErrorKind::Other { icmp_type: 9, icmp_code: 1 });
    }
}
