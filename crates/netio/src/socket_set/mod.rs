//! Many sockets of one thread, each with a packet now and then: what media needs, where a batch of one socket never has
//! more than one datagram.
//!
//! Two paths do the same. Over io_uring a turn is one system call, whatever the number of packets: it sends what the last
//! turn left and brings what has come. Over epoll, for kernels and sandboxes without the former, each packet costs a
//! receive and a send.

mod buffers;
mod epoll;
mod pace;
mod ring;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::poller::Waker;
use crate::socket::UdpSocket;
use epoll::Epoll;
use pace::Pace;
use ring::{Queue, Ring};

/// How much of a datagram is received; what is longer is cut. No RTP packet of a frame that fits an Ethernet is longer
/// than 1,500 octets.
pub const MAX_PACKET_BYTES: usize = 2_000;

/// How packets come and go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IoPath {
    /// io_uring, Linux 6.1 and later: standing receives into shared buffers, sends in batches.
    IoUring,
    /// epoll with a receive and a send a packet: any Linux.
    Epoll,
}

impl IoPath {
    /// The best path that works here, and why it is not io_uring if it is not.
    ///
    /// It is tried out with a packet over the loopback interface, as what a kernel or a sandbox says that it can do and
    /// what it does are not always the same.
    pub fn best() -> (Self, Option<io::Error>) {
        match ring::try_out() {
            Ok(()) => (Self::IoUring, None),
            Err(error) => (Self::Epoll, Some(error)),
        }
    }
}

impl fmt::Display for IoPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::IoUring => "io_uring",
            Self::Epoll => "epoll",
        })
    }
}

/// The sockets of a thread, known by their place in the list they were given in.
///
/// A socket is closed until it is opened: nobody reads it, and the kernel keeps next to nothing of what is sent to it.
#[derive(Debug)]
pub struct SocketSet {
    sockets: Vec<UdpSocket>,
    path: Path,
    pace: Pace,
    failures: IoFailures,
}

#[derive(Debug)]
enum Path {
    Epoll(Epoll),
    Ring(Box<Ring>),
}

/// A packet that came.
#[derive(Debug)]
pub struct Arrival<'a> {
    /// The socket, by its place.
    pub index: usize,
    /// Who sent it.
    pub remote: SocketAddr,
    /// The payload, cut to [`MAX_PACKET_BYTES`]. May be empty: UDP has empty datagrams.
    pub bytes: &'a mut [u8],
}

/// The way out while packets are taken in.
#[derive(Debug)]
pub struct Outgoing<'a> {
    sockets: &'a [UdpSocket],
    /// Where packets wait for the next system call; `None` sends them on the spot.
    queue: Option<&'a mut Queue>,
    failures: &'a mut IoFailures,
}

/// What went wrong with single packets: one could not be sent, a socket could not be read.
#[derive(Debug, Default)]
pub struct IoFailures {
    /// How often.
    pub count: u64,
    /// The socket of the last one, and why.
    pub last: Option<(usize, io::Error)>,
}

impl SocketSet {
    /// A set of closed sockets and the waker of its [`wait`](Self::wait). The thread that first waits is the only one
    /// that may use the set from then on.
    ///
    /// # Errors
    ///
    /// When the process has no descriptor left, or the path is not to be had: see [`IoPath::best`].
    pub fn new(path: IoPath, sockets: Vec<UdpSocket>) -> io::Result<(Self, Waker)> {
        let (path, waker) = match path {
            IoPath::Epoll => Epoll::new().map(|(epoll, waker)| (Path::Epoll(epoll), waker))?,
            IoPath::IoUring => Ring::new(sockets.len()).map(|(ring, waker)| (Path::Ring(Box::new(ring)), waker))?,
        };
        let pace = Pace::new(Instant::now());
        Ok((Self { sockets, path, pace, failures: IoFailures::default() }, waker))
    }

    /// The path it takes.
    pub fn path(&self) -> IoPath {
        match self.path {
            Path::Epoll(_) => IoPath::Epoll,
            Path::Ring(_) => IoPath::IoUring,
        }
    }

    /// The sockets, open and closed.
    pub fn sockets(&self) -> &[UdpSocket] {
        &self.sockets
    }

    /// Begins to receive from a socket, with a buffer of `receive_buffer_bytes`. What came while it was closed is thrown
    /// away: it was for somebody else.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotFound`] if there is no such socket; else what the kernel says.
    pub fn open(&mut self, index: usize, receive_buffer_bytes: u32) -> io::Result<()> {
        let socket = self.sockets.get(index).ok_or(io::ErrorKind::NotFound)?;
        socket.set_receive_buffer_bytes(receive_buffer_bytes)?;
        for _ in 0..MAX_STALE_PACKETS {
            if socket.recv_from(&mut [0; 1])?.is_none() {
                break;
            }
        }
        match &mut self.path {
            Path::Epoll(epoll) => epoll.open(index, socket),
            Path::Ring(ring) => ring.open(index),
        }
    }

    /// Receives from a socket no longer: nothing of it arrives from here on, not even what the kernel has handed over.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotFound`] if there is no such socket or it is not open; else what the kernel says.
    pub fn close(&mut self, index: usize) -> io::Result<()> {
        let socket = self.sockets.get(index).ok_or(io::ErrorKind::NotFound)?;
        match &mut self.path {
            Path::Epoll(epoll) => epoll.close(index, socket)?,
            Path::Ring(ring) => ring.close(index)?,
        }
        socket.set_receive_buffer_bytes(0)
    }

    /// Waits until something has come, somebody wakes it, or `timeout` has passed (`None`: for ever). What was queued to
    /// be sent leaves first.
    ///
    /// While packets come closely one after the other, a wait may go on for a millisecond after the last one ended,
    /// whatever comes: waking for each would cost more than the packets do.
    ///
    /// # Errors
    ///
    /// When the path itself fails.
    pub fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let began = Instant::now();
        let pause = self.pace.pause(timeout, began);
        let waited = match &mut self.path {
            Path::Epoll(epoll) => epoll.wait(pause, timeout),
            Path::Ring(ring) => ring.wait(&self.sockets, pause, timeout),
        };
        self.pace.woke(began, pause, Instant::now());
        waited
    }

    /// Hands what the last [`wait`](Self::wait) found to `handle`, and a way to answer. A socket with several packets
    /// may keep some for the next turn.
    pub fn receive(&mut self, handle: impl FnMut(Arrival<'_>, &mut Outgoing<'_>)) {
        match &mut self.path {
            Path::Epoll(epoll) => epoll.receive(&self.sockets, &mut self.failures, handle),
            Path::Ring(ring) => ring.receive(&self.sockets, &mut self.failures, handle),
        }
    }

    /// Sends a packet, with the next [`wait`](Self::wait) at the latest. What cannot be sent is dropped and counted in
    /// [`take_failures`](Self::take_failures).
    pub fn send(&mut self, index: usize, remote: SocketAddr, payload: &[u8]) {
        let queue = match &mut self.path {
            Path::Epoll(_) => None,
            Path::Ring(ring) => Some(ring.queue_with_room(&self.sockets)),
        };
        Outgoing { sockets: &self.sockets, queue, failures: &mut self.failures }.send(index, remote, payload);
    }

    /// What went wrong with packets since the last call.
    pub fn take_failures(&mut self) -> IoFailures {
        std::mem::take(&mut self.failures)
    }
}

impl Outgoing<'_> {
    /// As [`SocketSet::send`].
    pub fn send(&mut self, index: usize, remote: SocketAddr, payload: &[u8]) {
        let Some(socket) = self.sockets.get(index) else {
            return self.failures.note(index, io::ErrorKind::NotFound.into());
        };
        let sent = match &mut self.queue {
            Some(queue) => queue.push(index, remote, payload),
            None => socket.send_to(payload, remote),
        };
        if let Err(error) = sent {
            self.failures.note(index, error);
        }
    }
}

impl IoFailures {
    fn note(&mut self, index: usize, error: io::Error) {
        self.count += 1;
        self.last = Some((index, error));
    }
}

/// Packets that wait on a closed socket: more than the smallest buffer holds.
const MAX_STALE_PACKETS: usize = 64;
