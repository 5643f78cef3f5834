//! Batched UDP, epoll, io_uring and wake-ups for Linux: the only crate with unsafe code.
//!
//! Everything here is non-blocking except [`Poller::wait`] and [`SocketSet::wait`], and nothing allocates once it is set up (adding a waker and
//! listing interfaces aside), so that a shard's loop is receive, handle, send, sleep:
//!
//! ```
//! use std::time::Duration;
//! use tandem_netio::{Events, Interest, Poller, ReceiveBatch, SendBatch, UdpOptions, UdpSocket};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! const SIP: u64 = 0;
//! const WAKE: u64 = 1;
//!
//! let socket = UdpSocket::bind("127.0.0.1:0".parse()?, UdpOptions::signalling())?;
//! let mut poller = Poller::new()?;
//! poller.add(&socket, SIP, Interest::Read)?;
//! let waker = poller.waker(WAKE)?; // clones go to the threads that send commands to this shard
//! let mut events = Events::with_capacity(64);
//! let mut received = ReceiveBatch::new();
//! let mut to_send = SendBatch::new();
//! # waker.wake()?;
//!
//! poller.wait(&mut events, Some(Duration::from_millis(20)))?; // until the next deadline
//! socket.receive_batch(&mut received)?;
//! for datagram in received.iter_mut() {
//!     // An answer leaves from the address that was asked, also on a wildcard socket.
//!     to_send.push(datagram.local, datagram.remote, datagram.bytes)?;
//! }
//! let outcome = socket.send_batch(&mut to_send);
//! for failure in outcome.failures {
//!     eprintln!("{}: {}", failure.remote, failure.error);
//! }
//! while let Some(report) = socket.next_delivery_error(&mut [])? {
//!     eprintln!("{}: {:?}", report.remote, report.kind); // an ICMP error: the trunk fails over at once
//! }
//! # Ok(())
//! # }
//! ```
//!
//! - [`UdpSocket`]: one socket. [`UdpSocket::receive_batch`] and [`UdpSocket::send_batch`] for signalling, where one
//!   socket has many datagrams ready.
//! - [`SocketSet`]: many sockets that have one packet each, for media, over io_uring or epoll ([`IoPath`]).
//! - [`UdpSocket::next_delivery_error`]: what ICMP says about datagrams sent earlier.
//! - [`Poller`], [`Events`], [`Waker`]: wait for sockets, deadlines and other threads.
//! - [`raise_open_file_limit`], [`refuse_huge_pages`], [`interface_addresses`], [`available_bytes`],
//!   [`thread_cpu_time`]: what else must be asked of the kernel.
//! - [`set_ipv6_only`], [`set_user_timeout`]: options of TCP sockets.
//!
//! Unsafe code is denied crate-wide and permitted function by function. Socket addresses and control messages are
//! written and read as bytes in the kernel's layout, in safe code; only the system calls themselves are unsafe.

#![deny(unsafe_op_in_unsafe_fn)]
#![deny(clippy::undocumented_unsafe_blocks, clippy::multiple_unsafe_ops_per_block)]

#[cfg(not(target_os = "linux"))]
compile_error!("tandem-netio uses recvmmsg, epoll and eventfd, which only Linux has");

mod address;
mod ancillary;
mod delivery_error;
mod host;
mod poller;
mod receive;
mod send;
mod socket;
mod socket_set;
mod stream;
mod syscall;

pub use delivery_error::{DeliveryError, DeliveryErrorKind};
pub use host::{available_bytes, interface_addresses, raise_open_file_limit, refuse_huge_pages, thread_cpu_time};
pub use poller::{Event, Events, Interest, Poller, Waker};
pub use receive::{RECEIVE_BATCH, ReceiveBatch, ReceiveTotals, Received};
pub use send::{SEND_BATCH, SendBatch, SendBatchFull, SendFailure, SendOutcome, SendTotals};
pub use socket::{BindError, MAX_DATAGRAM_BYTES, UdpOptions, UdpSocket};
pub use socket_set::{Arrival, IoFailures, IoPath, MAX_PACKET_BYTES, Outgoing, SocketSet};
pub use stream::{set_ipv6_only, set_user_timeout};
