use super::backlog::Backlog;
use super::clock::SystemClock;
use super::line::Line;
use super::signalling::{Input, ShardHandle};
use super::vital;
use crossbeam_channel::{Receiver, Sender};
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tandem_media::engine::{Channel, Command, Engine, Event, Limits, Output, PortId};
use tandem_netio::{BindError, IoPath, SocketSet, UdpOptions, UdpSocket, Waker};

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

impl Pair {
    fn bind(address: IpAddr, port: u16) -> Result<Self, BindError> {
        let bind = |port| UdpSocket::bind(SocketAddr::new(address, port), UNUSED_PORT);
        Ok(Self { rtp: bind(port)?, rtcp: bind(port + 1)? })
    }
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
        let mut has_waited = false;
        for (address, port) in places {
            if sockets.pairs.len() >= most {
                break;
            }
            let mut bound = Pair::bind(address, port);
            if !has_waited && matches!(bound, Err(BindError::InUse { .. })) {
                wait_for_a_killed_process();
                has_waited = true;
                bound = Pair::bind(address, port);
            }
            match bound {
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
pub(crate) enum MediaInput<L> {
    Command(Command),
    Line(L),
    Stop,
}

/// The sending side of a media thread's queue.
pub(crate) struct MediaHandle<L = Infallible> {
    queue: Sender<MediaInput<L>>,
    waker: Waker,
    path: IoPath,
}

impl<L> Clone for MediaHandle<L> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone(), waker: self.waker.clone(), path: self.path }
    }
}

impl<L> MediaHandle<L> {
    pub(crate) fn backlog(&self) -> Backlog<MediaInput<L>> {
        Backlog::new(self.queue.clone())
    }

    /// How its packets come and go.
    pub(crate) fn path(&self) -> IoPath {
        self.path
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
pub(crate) struct MediaThread<L: Line> {
    io: SocketSet,
    ports: u32,
    line: L,
    inputs: Receiver<MediaInput<L::Command>>,
    handle: MediaHandle<L::Command>,
}

impl<L: Line> MediaThread<L> {
    pub(crate) fn new(sockets: MediaSockets, path: IoPath, line: L) -> io::Result<Self> {
        let ports = u32::try_from(sockets.pairs.len()).unwrap_or(u32::MAX);
        let sockets = sockets.pairs.into_iter().flat_map(|pair| [pair.rtp, pair.rtcp]);
        let (io, waker) = SocketSet::new(path, sockets.collect())?;
        let (queue, inputs) = crossbeam_channel::bounded(INPUT_QUEUE);
        Ok(Self { io, ports, line, inputs, handle: MediaHandle { queue, waker, path } })
    }

    pub(crate) fn handle(&self) -> MediaHandle<L::Command> {
        self.handle.clone()
    }

    /// Starts the thread; its events go to `shard`.
    pub(crate) fn spawn<C: Send + 'static>(self, name: &str, shard: ShardHandle<C>) -> io::Result<JoinHandle<()>> {
        vital::spawn(name, move || {
            let now = SystemClock::now_both();
            let unix_time = Duration::from_micros(u64::try_from(now.utc.unix_micros()).unwrap_or(0));
            Loop {
                engine: Engine::new(Limits { ports: self.ports }, now.instant, unix_time),
                line: self.line,
                io: self.io,
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
struct Loop<C, L: Line> {
    engine: Engine,
    line: L,
    io: SocketSet,
    inputs: Receiver<MediaInput<L::Command>>,
    events: Backlog<Input<C>>,
    shard: ShardHandle<C>,
    tells_shard: bool,
}

impl<C, L: Line> Loop<C, L> {
    fn run(mut self) {
        loop {
            self.wait();
            let now = Instant::now();
            self.receive(now);
            if self.take_inputs(now) {
                return;
            }
            self.engine.handle_timeout(now);
            self.drain(now);
            self.deliver(now);
            self.events.flush();
            if std::mem::take(&mut self.tells_shard) {
                self.shard.wake();
            }
        }
    }

    fn wait(&mut self) {
        let is_behind = !self.inputs.is_empty() || self.events.waiting() > 0;
        let deadline = [self.engine.poll_timeout(), self.line.poll_timeout()].into_iter().flatten().min();
        let until_deadline = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let timeout = if is_behind { Some(BEHIND_PAUSE) } else { until_deadline };
        if let Err(error) = self.io.wait(timeout) {
            tracing::error!(%error, "waiting for media sockets failed");
        }
    }

    fn receive(&mut self, now: Instant) {
        let Self { engine, line, io, events, tells_shard, .. } = self;
        io.receive(|arrival, out| {
            let Some((port, channel)) = of_place(arrival.index) else { return };
            match channel {
                Channel::Rtp => {
                    let sent = engine.forward(port, arrival.remote, arrival.bytes, now);
                    if let Some(transmit) = sent.and_then(|transmit| line.carry(transmit, now)) {
                        out.send(place(transmit.port, transmit.channel), transmit.to, transmit.payload);
                    }
                }
                Channel::Rtcp => engine.handle_rtcp(port, arrival.remote, arrival.bytes, now),
            }
            while let Some(output) = engine.poll_output() {
                match output {
                    Output::Transmit(transmit) => {
                        if let Some(transmit) = line.carry(transmit, now) {
                            out.send(place(transmit.port, transmit.channel), transmit.to, transmit.payload);
                        }
                    }
                    Output::Event(event) => {
                        events.send(Input::Media(event));
                        *tells_shard = true;
                    }
                }
            }
        });
        let failures = io.take_failures();
        if let Some((place, error)) = failures.last {
            // Late audio is worth nothing, and the peer's own counters show the loss.
            tracing::trace!(%error, place, count = failures.count, "media packets were not sent or received");
        }
    }

    /// Whether the thread is to stop.
    fn take_inputs(&mut self, now: Instant) -> bool {
        for _ in 0..INPUTS_PER_TURN {
            match self.inputs.try_recv() {
                Ok(MediaInput::Command(command)) => self.handle_command(command, now),
                Ok(MediaInput::Line(command)) => self.line.handle_command(command),
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
        self.drain(now);
    }

    /// Listens on a port that is taken into use. What came while it was not is thrown away: it was for an earlier call.
    fn watch(&mut self, port: PortId) {
        for channel in [Channel::Rtp, Channel::Rtcp] {
            if let Err(error) = self.io.open(place(port, channel), RECEIVE_BUFFER_BYTES) {
                tracing::error!(%error, port = port.0, "a media socket cannot be listened to");
            }
        }
    }

    fn unwatch(&mut self, port: PortId) {
        for channel in [Channel::Rtp, Channel::Rtcp] {
            if let Err(error) = self.io.close(place(port, channel)) {
                tracing::error!(%error, port = port.0, "a media socket cannot be let go");
            }
        }
    }

    fn drain(&mut self, now: Instant) {
        let mut closed = None;
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Transmit(transmit) => {
                    if let Some(transmit) = self.line.carry(transmit, now) {
                        self.io.send(place(transmit.port, transmit.channel), transmit.to, transmit.payload);
                    }
                }
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

    /// Sends what the line has kept until now.
    fn deliver(&mut self, now: Instant) {
        while let Some(late) = self.line.poll_due(now) {
            self.io.send(place(late.port, late.channel), late.to, &late.payload);
        }
    }
}

/// The kernel tells nobody when it gives ports back.
#[expect(clippy::disallowed_methods, reason = "there is nothing to wait on, and nothing runs yet")]
fn wait_for_a_killed_process() {
    thread::sleep(AFTERLIFE);
}

/// Where the socket of a port is in the list of sockets: RTP and RTCP alternate.
fn place(port: PortId, channel: Channel) -> usize {
    let pair = usize::try_from(port.0).unwrap_or(usize::MAX / 2);
    pair * 2 + usize::from(matches!(channel, Channel::Rtcp))
}

/// The reverse of [`place`].
fn of_place(place: usize) -> Option<(PortId, Channel)> {
    let port = u32::try_from(place / 2).ok()?;
    Some((PortId(port), if place.is_multiple_of(2) { Channel::Rtp } else { Channel::Rtcp }))
}

/// Commands that may wait for a media thread: every port of the default range opened, described and joined at once.
const INPUT_QUEUE: usize = 65_536;
/// Commands taken in one turn, so that packets are never kept waiting.
const INPUTS_PER_TURN: usize = 1_024;
/// A second of G.711 with the kernel's bookkeeping: a media thread that is further behind has lost the call anyway.
const RECEIVE_BUFFER_BYTES: u32 = 64 * 1024;
/// Nobody reads a port that is not in use, so it may keep next to nothing: whoever sprays the range must not fill the memory that
/// the host has for all of UDP.
const UNUSED_PORT: UdpOptions = UdpOptions { receive_buffer_bytes: Some(0), ..UdpOptions::media() };
/// How long the kernel takes at most until it gives back the ports that a killed process had in io_uring: some 30 ms were seen, on a
/// busy host. Waited once, so that a node that is started again at once has all its ports.
const AFTERLIFE: Duration = Duration::from_millis(200);
/// How long a thread that is behind waits before it tries again.
const BEHIND_PAUSE: Duration = Duration::from_micros(500);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_limit_of_files_allows_is_shared_evenly_between_the_addresses() {
        let addresses = ["127.9.8.1", "127.9.8.2"].map(|text| text.parse::<IpAddr>().unwrap());
        let sockets = MediaSockets::bind(&addresses, 22_000, 22_019, 5).unwrap();
        let bound: Vec<String> = sockets.ports().iter().map(|(_, rtp)| rtp.to_string()).collect();
        assert_eq!(bound, ["127.9.8.1:22000", "127.9.8.2:22000", "127.9.8.1:22002", "127.9.8.2:22002"]);

        let third = [addresses[0], "127.9.8.3".parse().unwrap()];
        let all = MediaSockets::bind(&third, 22_000, 22_003, usize::MAX).err().map(|error| error.to_string());
        let told = all.unwrap_or_default();
        assert!(told.starts_with("no pair of ports 22000-22003 is free on 127.9.8.1"), "{told}");
    }
}
