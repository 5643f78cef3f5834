//! All media ports of one thread, without a socket and without a clock.
//!
//! The shell owns a pair of UDP sockets for each port. What arrives on the RTP one goes through [`Engine::forward`],
//! which answers at once with what to send; all else is the usual `handle_*`, `poll_timeout` and `poll_output`.

mod command;
mod event;
mod stats;

pub use command::{Channel, Command, CommandError, Payload, PortId, RemoteMedia, Sink, Source};
pub use event::{Event, Output, Transmit};
pub use stats::{PeerReport, PortStats, ReceiveDrops, ReceivedStats, SendDrops, SentStats};

use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How much one engine takes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// [`PortId`]s are below this.
    pub ports: u32,
}

/// The ports of one media thread.
pub struct Engine {
    limits: Limits,
}

impl Engine {
    /// An engine without open ports. `unix_time` is the time since 1970 at `now`, for the clock in sender reports.
    #[must_use]
    pub fn new(limits: Limits, now: Instant, unix_time: Duration) -> Self {
        let _ = (now, unix_time);
        Self { limits }
    }

    /// Changes a port.
    ///
    /// # Errors
    ///
    /// When the port is not in the state that the command needs; nothing has changed then.
    pub fn handle_command(&mut self, command: Command, now: Instant) -> Result<(), CommandError> {
        let _ = (command, now, self.limits);
        Ok(())
    }

    /// Takes a datagram from the RTP socket of `port` and answers with what to send because of it, without allocating.
    ///
    /// The packet is rewritten in place: SSRC, sequence, timestamp, payload type and codec are those of the leg it leaves by.
    pub fn forward<'a>(
        &mut self,
        port: PortId,
        from: SocketAddr,
        packet: &'a mut [u8],
        now: Instant,
    ) -> Option<Transmit<'a>> {
        let _ = (port, from, packet, now);
        None
    }

    /// Takes a datagram from the RTCP socket of `port`.
    pub fn handle_rtcp(&mut self, port: PortId, from: SocketAddr, packet: &[u8], now: Instant) {
        let _ = (port, from, packet, now);
    }

    /// Does what is due: the next packet of a tone or a key, an RTCP report, a silence noticed.
    pub fn handle_timeout(&mut self, now: Instant) {
        let _ = now;
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next. It may turn out that nothing was due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    /// The next thing to do. Drain it after each `handle_*` and each `forward`.
    pub fn poll_output(&mut self) -> Option<Output<'_>> {
        None
    }

    /// The counters of an open port.
    #[must_use]
    pub fn stats(&self, port: PortId) -> Option<PortStats> {
        let _ = port;
        None
    }

    /// How many ports are open.
    #[must_use]
    pub fn ports(&self) -> usize {
        0
    }
}

/// How long a peer with [`RemoteMedia::comedia`] may send from anywhere after it was set.
pub const COMEDIA_WINDOW: Duration = Duration::from_secs(5);
/// How many keys may wait at a port: the longest dial string with pauses and more; each takes at least 80 ms.
pub const MAX_QUEUED_DIGITS: usize = 64;
