//! All media ports of one thread, without a socket and without a clock.
//!
//! The shell owns a pair of UDP sockets for each port. What arrives on the RTP one goes through [`Engine::forward`],
//! which answers at once with what to send; all else is the usual `handle_*`, `poll_timeout` and `poll_output`.

mod command;
mod deadlines;
mod ear;
mod egress;
mod event;
mod latch;
mod outbox;
mod port;
mod reporting;
mod seed;
mod speaker;
mod stats;
#[cfg(test)]
mod test_support;

pub use command::{Channel, Command, CommandError, Payload, PortId, RemoteMedia, Sink, Source};
pub use ear::LISTENING_TIME;
pub use event::{Event, Output, Transmit};
pub use stats::{HeardStats, PeerReport, PortStats, ReceiveDrops, ReceivedStats, SendDrops, SentStats};

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use deadlines::Deadlines;
use outbox::Outbox;
use port::Port;
use reporting::WallClock;
use speaker::Key;

/// How much one engine takes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// [`PortId`]s are below this.
    pub ports: u32,
}

/// The ports of one media thread.
#[derive(Debug)]
pub struct Engine {
    limits: Limits,
    clock: WallClock,
    /// By [`PortId`]. A port is large, and few of the pool may be open.
    ports: Vec<Option<Box<Port>>>,
    open: usize,
    deadlines: Deadlines,
    outbox: Outbox,
}

impl Engine {
    /// An engine without open ports. `unix_time` is the time since 1970 at `now`, for the clock in sender reports.
    #[must_use]
    pub fn new(limits: Limits, now: Instant, unix_time: Duration) -> Self {
        Self {
            limits,
            clock: WallClock::new(now, unix_time),
            ports: Vec::new(),
            open: 0,
            deadlines: Deadlines::default(),
            outbox: Outbox::new(),
        }
    }

    /// Changes a port.
    ///
    /// # Errors
    ///
    /// When the port is not in the state that the command needs; nothing has changed then.
    pub fn handle_command(&mut self, command: Command, now: Instant) -> Result<(), CommandError> {
        let id = match command {
            Command::Open { port, tag, seed } => {
                self.open(port, tag, seed, now)?;
                port
            }
            Command::SetRemote { port, remote } => {
                self.port_mut(port)?.set_remote(&remote, now);
                port
            }
            Command::SetSink { port, sink } => {
                if self.port_mut(port)?.set_sink(sink, now) {
                    let by = match sink {
                        Sink::Discard | Sink::Listen { .. } => None,
                        Sink::Echo => Some(port),
                        Sink::Relay { to } => Some(to),
                    };
                    if let Some(egress) = by.and_then(|by| self.port_mut(by).ok()) {
                        egress.change_speaker();
                    }
                }
                port
            }
            Command::SetSource { port, source } => {
                self.port_mut(port)?.set_source(&source, now);
                port
            }
            Command::SendDigits { port, digits, duration, gap } => {
                let open = self.port_mut(port)?;
                let waiting = open.waiting_keys();
                if waiting + digits.len() > MAX_QUEUED_DIGITS {
                    return Err(CommandError::TooManyDigits { port, waiting });
                }
                let key = |digit| Key { digit, duration, gap };
                open.press(digits.into_iter().map(key), now);
                port
            }
            Command::SetRtpTimeout { port, after } => {
                self.port_mut(port)?.set_rtp_timeout(after, now);
                port
            }
            Command::Close { port } => return self.close(port, now),
        };
        self.arm(id);
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
        let ingress = self.ports.get_mut(slot(port)?)?.as_deref_mut()?;
        if ingress.is_multiplexed_rtcp(packet) {
            ingress.hear_rtcp(from, packet, &self.clock, now);
            return None;
        }
        let heard = ingress.hear(from, packet, &mut self.outbox, now);
        self.deadlines.arm(port, ingress.deadline());
        let heard = heard?;
        let by = match heard.sink {
            Sink::Discard | Sink::Listen { .. } => return None,
            Sink::Echo => port,
            Sink::Relay { to } => to,
        };
        let Ok(egress) = self.port_mut(by) else {
            self.port_mut(port).ok()?.miss_sink();
            return None;
        };
        let (to, range) = egress.relay(port, &heard, packet, now)?;
        let payload = packet.get(range)?;
        Some(Transmit { port: by, channel: Channel::Rtp, to, payload })
    }

    /// Takes a datagram from the RTCP socket of `port`.
    pub fn handle_rtcp(&mut self, port: PortId, from: SocketAddr, packet: &[u8], now: Instant) {
        let clock = self.clock;
        if let Ok(open) = self.port_mut(port) {
            open.hear_rtcp(from, packet, &clock, now);
        }
    }

    /// Does what is due: the next packet of a tone or a key, an RTCP report, a silence noticed.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(port) = self.deadlines.pop_due(now) {
            let open = slot(port).and_then(|slot| self.ports.get_mut(slot)?.as_deref_mut());
            if let Some(open) = open {
                open.handle_timeout(&self.clock, &mut self.outbox, now);
                self.deadlines.arm(port, open.deadline());
            }
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next. It may turn out that nothing was due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.next()
    }

    /// The next thing to do. Drain it after each `handle_*` and each `forward`.
    pub fn poll_output(&mut self) -> Option<Output<'_>> {
        self.outbox.pop()
    }

    /// The counters of an open port.
    #[must_use]
    pub fn stats(&self, port: PortId) -> Option<PortStats> {
        self.ports.get(slot(port)?)?.as_ref().map(|open| open.stats())
    }

    /// How many ports are open.
    #[must_use]
    pub fn ports(&self) -> usize {
        self.open
    }

    fn open(&mut self, port: PortId, tag: u64, seed: u64, now: Instant) -> Result<(), CommandError> {
        let limit = self.limits.ports;
        let slot = slot(port).filter(|_| port.0 < limit).ok_or(CommandError::OutOfRange { port, limit })?;
        if slot >= self.ports.len() {
            self.ports.resize_with(slot + 1, || None);
            self.deadlines.reserve(slot + 1);
        }
        match self.ports.get_mut(slot) {
            Some(free @ None) => *free = Some(Box::new(Port::open(port, tag, seed, now))),
            Some(Some(_)) | None => return Err(CommandError::AlreadyOpen { port }),
        }
        self.open += 1;
        Ok(())
    }

    fn close(&mut self, port: PortId, now: Instant) -> Result<(), CommandError> {
        let open = slot(port).and_then(|slot| self.ports.get_mut(slot)?.take());
        let open = open.ok_or(CommandError::NotOpen { port })?;
        self.open -= 1;
        self.deadlines.disarm(port);
        open.close(&self.clock, &mut self.outbox, now);
        Ok(())
    }

    fn port_mut(&mut self, port: PortId) -> Result<&mut Port, CommandError> {
        slot(port).and_then(|slot| self.ports.get_mut(slot)?.as_deref_mut()).ok_or(CommandError::NotOpen { port })
    }

    fn arm(&mut self, id: PortId) {
        if let Some(open) = slot(id).and_then(|slot| self.ports.get_mut(slot)?.as_deref_mut()) {
            self.deadlines.arm(id, open.deadline());
        }
    }
}

/// Where a port is in the list of ports.
fn slot(port: PortId) -> Option<usize> {
    usize::try_from(port.0).ok()
}

/// How long a peer with [`RemoteMedia::comedia`] may send from anywhere after it was set.
pub const COMEDIA_WINDOW: Duration = Duration::from_secs(5);
/// How many keys may wait at a port: the longest dial string with pauses and more; each takes at least 80 ms.
pub const MAX_QUEUED_DIGITS: usize = 64;
