use super::backlog::Backlog;
use super::clock::SystemClock;
use super::signalling::{Input, ShardHandle};
use super::vital;
use crossbeam_channel::{Receiver, Sender};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tandem_media::engine::{Channel, Command, Engine, Event, Limits, Output, PortId, Transmit};
use tandem_netio::{BindError, Events, Interest, MAX_DATAGRAM_BYTES, Poller, UdpOptions, UdpSocket, Waker};

/// Bound pairs of sockets, one pair a media port: RTP on an even port, RTCP on the next.
pub(crate) struct MediaSockets {
    pairs: Vec<Pair>,
    /// Pairs of the range that other programs hold.
    taken: usize,
}

struct Pair {
    rtp: UdpSocket,
    rtcp: UdpSocket,
}

/// Why media cannot start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BindPortsError {
    #[error("{0}; set TANDEM_MEDIA_ADDRESS to an address of this host")]
    Bind(#[from] BindError),
    #[error("no pair of ports {first}-{last} is free on {address}; set TANDEM_RTP_PORTS to a free range")]
    NoneFree { address: IpAddr, first: u16, last: u16 },
}

impl MediaSockets {
    /// Binds the range on each of these addresses, passing over ports that other programs hold. Where `most` pairs do not suffice
    /// for all, each address gets as many as the others.
    pub(crate) fn bind(addresses: &[IpAddr], first: u16, last: u16, most: usize) -> Result<Self, BindPortsError> {
        let mut sockets = Self { pairs: Vec::new(), taken: 0 };
        let even_ports = (first..last).filter(|port| port % 2 == 0);
        let places = even_ports.flat_map(|port| addresses.iter().map(move |address| (*address, port)));
        let most = most - most % addresses.len().max(1);
        for (address, port) in places {
            if sockets.pairs.len() >= most {
                break;
            }
            let bind = |port| UdpSocket::bind(SocketAddr::new(address, port), UNUSED_PORT);
            match bind(port).and_then(|rtp| Ok(Pair { rtp, rtcp: bind(port + 1)? })) {
                Ok(pair) => sockets.pairs.push(pair),
                Err(BindError::InUse { .. }) => sockets.taken += 1,
                Err(BindError::TooManyOpenFiles { .. }) if addresses.iter().all(|each| sockets.has(*each)) => break,
                Err(error) => return Err(error.into()),
            }
        }
        match addresses.iter().find(|address| !sockets.has(**address)) {
            Some(address) => Err(BindPortsError::NoneFree { address: *address, first, last }),
            None => Ok(sockets),
        }
    }

    fn has(&self, address: IpAddr) -> bool {
        self.pairs.iter().any(|pair| pair.rtp.local_addr().ip() == address)
    }

    /// Where RTP is bound, by the number that the engine knows the port by.
    pub(crate) fn ports(&self) -> Vec<(PortId, SocketAddr)> {
        (0..).map(PortId).zip(self.pairs.iter().map(|pair| pair.rtp.local_addr())).collect()
    }

    pub(crate) fn taken(&self) -> usize {
        self.taken
    }
}

/// What reaches a media thread from its shard.
pub(crate) enum MediaInput {
    Command(Command),
    Stop,
}

/// The sending side of a media thread's queue.
#[derive(Clone)]
pub(crate) struct MediaHandle {
    queue: Sender<MediaInput>,
    waker: Waker,
}

impl MediaHandle {
    pub(crate) fn backlog(&self) -> Backlog<MediaInput> {
        Backlog::new(self.queue.clone())
    }

    pub(crate) fn depth(&self) -> usize {
        self.queue.len()
    }

    pub(crate) fn wake(&self) {
        if let Err(error) = self.waker.wake() {
            tracing::error!(%error, "the media thread cannot be woken");
        }
    }

    pub(crate) fn stop(&self) {
        // Blocks only while the queue is full, which the thread empties.
        let _ = self.queue.send(MediaInput::Stop);
        self.wake();
    }
}

/// A media thread before it runs.
pub(crate) struct MediaThread {
    pairs: Vec<Pair>,
    poller: Poller,
    inputs: Receiver<MediaInput>,
    handle: MediaHandle,
}

impl MediaThread {
    pub(crate) fn new(sockets: MediaSockets) -> io::Result<Self> {
        let mut poller = Poller::new()?;
        let waker = poller.waker(WAKE_TOKEN)?;
        let (queue, inputs) = crossbeam_channel::bounded(INPUT_QUEUE);
        Ok(Self { pairs: sockets.pairs, poller, inputs, handle: MediaHandle { queue, waker } })
    }

    pub(crate) fn handle(&self) -> MediaHandle {
        self.handle.clone()
    }

    /// Starts the thread; its events go to `shard`.
    pub(crate) fn spawn<C: Send + 'static>(self, name: &str, shard: ShardHandle<C>) -> io::Result<JoinHandle<()>> {
        vital::spawn(name, move || {
            let now = SystemClock::now_both();
            let unix_time = Duration::from_micros(u64::try_from(now.utc.unix_micros()).unwrap_or(0));
            let ports = u32::try_from(self.pairs.len()).unwrap_or(u32::MAX);
            Loop {
                engine: Engine::new(Limits { ports }, now.instant, unix_time),
                pairs: self.pairs,
                poller: self.poller,
                inputs: self.inputs,
                events: shard.backlog(),
                shard,
                tells_shard: false,
            }
            .run();
        })
    }
}

/// The running thread: the only place where packets meet sockets and the clock.
struct Loop<C> {
    engine: Engine,
    pairs: Vec<Pair>,
    poller: Poller,
    inputs: Receiver<MediaInput>,
    events: Backlog<Input<C>>,
    shard: ShardHandle<C>,
    tells_shard: bool,
}

impl<C> Loop<C> {
    fn run(mut self) {
        let mut ready = Events::with_capacity(EVENTS_PER_WAIT);
        let mut buffer = vec![0; MAX_DATAGRAM_BYTES];
        loop {
            self.wait(&mut ready);
            let now = Instant::now();
            for event in ready.iter() {
                if let Some((port, channel)) = of_token(event.token) {
                    self.receive(port, channel, &mut buffer, now);
                }
            }
            if self.take_inputs(now) {
                return;
            }
            self.engine.handle_timeout(now);
            self.drain();
            self.events.flush();
            if std::mem::take(&mut self.tells_shard) {
                self.shard.wake();
            }
        }
    }

    fn wait(&mut self, ready: &mut Events) {
        let is_behind = !self.inputs.is_empty() || self.events.waiting() > 0;
        let until_deadline =
            self.engine.poll_timeout().map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let timeout = if is_behind { Some(BEHIND_PAUSE) } else { until_deadline };
        if let Err(error) = self.poller.wait(ready, timeout) {
            tracing::error!(%error, "waiting for media sockets failed");
        }
    }

    fn receive(&mut self, port: PortId, channel: Channel, buffer: &mut [u8], now: Instant) {
        for _ in 0..PACKETS_PER_TURN {
            let Some(socket) = socket_of(&self.pairs, port, channel) else { return };
            let (length, from) = match socket.recv_from(buffer) {
                Ok(Some(datagram)) => datagram,
                Ok(None) => return,
                Err(error) => return tracing::trace!(%error, port = port.0, "receiving media failed"),
            };
            let Some(packet) = buffer.get_mut(..length) else { return };
            match channel {
                Channel::Rtp => {
                    if let Some(transmit) = self.engine.forward(port, from, packet, now) {
                        send(&self.pairs, &transmit);
                    }
                }
                Channel::Rtcp => self.engine.handle_rtcp(port, from, packet, now),
            }
            self.drain();
        }
    }

    /// Whether the thread is to stop.
    fn take_inputs(&mut self, now: Instant) -> bool {
        for _ in 0..INPUTS_PER_TURN {
            match self.inputs.try_recv() {
                Ok(MediaInput::Command(command)) => self.handle_command(command, now),
                Ok(MediaInput::Stop) => return true,
                Err(_) => return false,
            }
        }
        false
    }

    fn handle_command(&mut self, command: Command, now: Instant) {
        if let Command::Open { port, .. } = command {
            self.watch(port);
        }
        if let Err(error) = self.engine.handle_command(command, now) {
            // A port that closed a moment ago; anything else shows in the calls.
            tracing::debug!(%error, "a media command had no effect");
        }
        self.drain();
    }

    /// Listens on a port that is taken into use. What came while it was not is thrown away: it was for an earlier call.
    fn watch(&self, port: PortId) {
        let mut stale = [0; 1];
        for channel in [Channel::Rtp, Channel::Rtcp] {
            let Some(socket) = socket_of(&self.pairs, port, channel) else { return };
            set_buffer(socket, port, RECEIVE_BUFFER_BYTES);
            for _ in 0..MAX_STALE_PACKETS {
                if !matches!(socket.recv_from(&mut stale), Ok(Some(_))) {
                    break;
                }
            }
            if let Err(error) = self.poller.add(socket, token(port, channel), Interest::Read) {
                tracing::error!(%error, port = port.0, "a media socket cannot be watched");
            }
        }
    }

    fn unwatch(&self, port: PortId) {
        for channel in [Channel::Rtp, Channel::Rtcp] {
            let Some(socket) = socket_of(&self.pairs, port, channel) else { return };
            set_buffer(socket, port, 0);
            if let Err(error) = self.poller.remove(socket) {
                tracing::error!(%error, port = port.0, "a media socket cannot be let go");
            }
        }
    }

    fn drain(&mut self) {
        let mut closed = None;
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Transmit(transmit) => send(&self.pairs, &transmit),
                Output::Event(event) => {
                    if let Event::Closed { port, .. } = &event {
                        closed = Some(*port);
                    }
                    self.events.send(Input::Media(event));
                    self.tells_shard = true;
                }
            }
            if let Some(port) = closed.take() {
                self.unwatch(port);
            }
        }
    }
}

fn socket_of(pairs: &[Pair], port: PortId, channel: Channel) -> Option<&UdpSocket> {
    let pair = pairs.get(usize::try_from(port.0).ok()?)?;
    Some(match channel {
        Channel::Rtp => &pair.rtp,
        Channel::Rtcp => &pair.rtcp,
    })
}

fn set_buffer(socket: &UdpSocket, port: PortId, bytes: u32) {
    if let Err(error) = socket.set_receive_buffer_bytes(bytes) {
        tracing::warn!(%error, port = port.0, "a media socket's buffer cannot be changed");
    }
}

/// Sends or drops: late audio is worth nothing, and the peer's own counters show the loss.
fn send(pairs: &[Pair], transmit: &Transmit<'_>) {
    if let Some(socket) = socket_of(pairs, transmit.port, transmit.channel)
        && let Err(error) = socket.send_to(transmit.payload, transmit.to)
    {
        tracing::trace!(%error, to = %transmit.to, "a media packet was not sent");
    }
}

const fn token(port: PortId, channel: Channel) -> u64 {
    (port.0 as u64) << 1 | matches!(channel, Channel::Rtcp) as u64
}

fn of_token(token: u64) -> Option<(PortId, Channel)> {
    let port = u32::try_from(token >> 1).ok()?;
    Some((PortId(port), if token & 1 == 0 { Channel::Rtp } else { Channel::Rtcp }))
}

/// Commands that may wait for a media thread: every port of the default range opened, described and joined at once.
const INPUT_QUEUE: usize = 65_536;
/// Commands taken in one turn, so that packets are never kept waiting.
const INPUTS_PER_TURN: usize = 1_024;
const EVENTS_PER_WAIT: usize = 256;
/// Packets taken from one socket in one turn: a burst of a third of a second.
const PACKETS_PER_TURN: usize = 16;
/// Packets that wait on a port that was not in use: more than the smallest buffer holds.
const MAX_STALE_PACKETS: usize = 64;
/// A second of G.711 with the kernel's bookkeeping: a media thread that is further behind has lost the call anyway.
const RECEIVE_BUFFER_BYTES: u32 = 64 * 1024;
/// Nobody reads a port that is not in use, so it may keep next to nothing: whoever sprays the range must not fill the memory that
/// the host has for all of UDP.
const UNUSED_PORT: UdpOptions = UdpOptions { receive_buffer_bytes: Some(0), ..UdpOptions::media() };
/// How long a thread that is behind waits before it tries again.
const BEHIND_PAUSE: Duration = Duration::from_micros(500);
/// No port has this token.
const WAKE_TOKEN: u64 = u64::MAX;
