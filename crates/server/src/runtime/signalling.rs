use super::backlog::Backlog;
use super::clock::SystemClock;
use super::media::{MediaHandle, MediaInput};
use super::pace::Pace;
use super::streams::{self, Arrival, BoundListener, StreamLimits, StreamTable};
use super::vital;
use crossbeam_channel::{Receiver, Sender, TrySendError};
use std::io;
use std::net::SocketAddr;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tandem_media::engine;
use tandem_model::{Now, Transport};
use tandem_netio::{BindError, Events, Interest, Poller, ReceiveBatch, SendBatch, UdpOptions, UdpSocket, Waker};
use tandem_sip::endpoint::{Flow, Transmit};
use tokio::runtime;

/// A sans-IO machine that a signalling thread drives.
pub(crate) trait Machine: Send + 'static {
    /// What other threads ask of it.
    type Command: Send + 'static;
    /// What it tells the line of its media thread.
    type LineCommand: Send + 'static;

    fn handle_datagram(&mut self, flow: Flow, octets: &[u8], now: Now);
    fn handle_transport_error(&mut self, flow: &Flow, now: Now);
    /// Whether a call depends on that connection: an idle one that none does is closed.
    fn uses_stream(&self, flow: &Flow) -> bool;
    fn handle_media_event(&mut self, event: engine::Event, now: Now);
    fn handle_command(&mut self, command: Self::Command, now: Now);
    fn handle_timeout(&mut self, now: Now);
    fn poll_timeout(&self) -> Option<Instant>;
    /// The next thing for the wire or the media thread; what else it wants done, the machine sees to itself.
    fn poll_output(&mut self, now: Now) -> Option<WireOutput<Self::LineCommand>>;
    /// All outputs of this turn are known, and nothing of it has left: writes down what must not be forgotten.
    fn commit(&mut self);
}

/// What leaves a machine by this thread.
pub(crate) enum WireOutput<L> {
    Transmit(Transmit),
    Media(engine::Command),
    Line(L),
}

/// What reaches a machine from other threads.
pub(crate) enum Input<C> {
    Command(C),
    Media(engine::Event),
    Open,
    Stop,
}

/// The sending side of a shard's queue.
pub(crate) struct ShardHandle<C> {
    queue: Sender<Input<C>>,
    waker: Waker,
}

impl<C> Clone for ShardHandle<C> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone(), waker: self.waker.clone() }
    }
}

/// The shard's queue is full, or the shard has stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signalling shard takes no more commands")]
pub(crate) struct ShardBusy;

impl<C> ShardHandle<C> {
    /// Hands a command over without waiting.
    pub(crate) fn send(&self, command: C) -> Result<(), ShardBusy> {
        self.queue.try_send(Input::Command(command)).map_err(|_: TrySendError<_>| ShardBusy)?;
        self.wake();
        Ok(())
    }

    /// How many inputs wait.
    pub(crate) fn depth(&self) -> usize {
        self.queue.len()
    }

    /// Lets the shard hear its peers, after what waits before this. Until then it speaks only, and what comes waits with the kernel:
    /// a machine that does not know its routes yet would take every peer for a stranger.
    pub(crate) fn open(&self) {
        // Blocks only while the queue is full, which the shard empties.
        let _ = self.queue.send(Input::Open);
        self.wake();
    }

    /// Ends the thread after what waits before this.
    pub(crate) fn stop(&self) {
        // Blocks only while the queue is full, which the shard empties.
        let _ = self.queue.send(Input::Stop);
        self.wake();
    }

    /// The queue for media events, which must not be lost.
    pub(crate) fn backlog(&self) -> Backlog<Input<C>> {
        Backlog::new(self.queue.clone())
    }

    pub(crate) fn wake(&self) {
        if let Err(error) = self.waker.wake() {
            tracing::error!(%error, "a signalling shard cannot be woken");
        }
    }
}

/// The bound signalling sockets of a shard.
pub(crate) struct SignallingSockets {
    sockets: Vec<UdpSocket>,
    listeners: Vec<BoundListener>,
    /// In the order in which they were asked for.
    local: Vec<SocketAddr>,
}

/// Why signalling cannot start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BindSignallingError {
    #[error("{0}; stop the program that has it, or set TANDEM_SIP_LISTEN to another address or port")]
    Bind(#[from] BindError),
    #[error(
        "TCP {address} cannot be bound: {source}; stop the program that has it, or set TANDEM_SIP_LISTEN to another address or port"
    )]
    BindTcp { address: SocketAddr, source: io::Error },
    #[error("{0} is not built yet; listen on udp: or tcp:")]
    NotBuilt(Transport),
    #[error("the kernel gives no event queue: {0}")]
    Poller(#[from] io::Error),
}

impl SignallingSockets {
    /// Must be called within a tokio runtime, which the connections live in.
    pub(crate) fn bind(places: impl IntoIterator<Item = (Transport, SocketAddr)>) -> Result<Self, BindSignallingError> {
        let mut bound = Self { sockets: Vec::new(), listeners: Vec::new(), local: Vec::new() };
        for (transport, address) in places {
            bound.add(transport, address)?;
        }
        Ok(bound)
    }

    /// Binds one more; within a tokio runtime.
    pub(crate) fn add(&mut self, transport: Transport, address: SocketAddr) -> Result<(), BindSignallingError> {
        match transport {
            Transport::Udp => {
                let socket = UdpSocket::bind(address, UdpOptions::signalling())?;
                self.local.push(socket.local_addr());
                self.sockets.push(socket);
            }
            Transport::Tcp => {
                let bound = streams::bind(address);
                let listener = bound.map_err(|source| BindSignallingError::BindTcp { address, source })?;
                self.local.push(listener.local());
                self.listeners.push(listener);
            }
            Transport::Tls | Transport::Ws | Transport::Wss => return Err(BindSignallingError::NotBuilt(transport)),
        }
        Ok(())
    }

    pub(crate) fn local_addresses(&self) -> Vec<SocketAddr> {
        self.local.clone()
    }
}

/// A signalling shard before its thread runs.
pub(crate) struct Shard<C> {
    sockets: Vec<UdpSocket>,
    listeners: Vec<BoundListener>,
    poller: Poller,
    inputs: Receiver<Input<C>>,
    handle: ShardHandle<C>,
}

impl<C: Send + 'static> Shard<C> {
    pub(crate) fn new(sockets: SignallingSockets) -> Result<Self, BindSignallingError> {
        let mut poller = Poller::new()?;
        let waker = poller.waker(WAKE_TOKEN)?;
        let (sender, inputs) = crossbeam_channel::bounded(INPUT_QUEUE);
        let SignallingSockets { sockets, listeners, .. } = sockets;
        Ok(Self { sockets, listeners, poller, inputs, handle: ShardHandle { queue: sender, waker } })
    }

    pub(crate) fn handle(&self) -> ShardHandle<C> {
        self.handle.clone()
    }

    /// Starts the thread that owns the machine. It hears nobody until it is told to [`open`](ShardHandle::open). Its connections live
    /// in the runtime.
    pub(crate) fn spawn<M: Machine<Command = C>>(
        self,
        name: &str,
        machine: M,
        media: &MediaHandle<M::LineCommand>,
        runtime: runtime::Handle,
    ) -> io::Result<JoinHandle<()>> {
        let media = media.clone();
        let streams = StreamTable::start(self.listeners, runtime, self.handle.waker.clone(), StreamLimits::default());
        vital::spawn(name, move || {
            let batches = self.sockets.iter().map(|_| SendBatch::new()).collect();
            Loop {
                machine,
                sockets: self.sockets,
                is_open: false,
                batches,
                turn: Vec::new(),
                streams,
                poller: self.poller,
                pace: Pace::default(),
                inputs: self.inputs,
                media: media.backlog(),
                handle: media,
            }
            .run();
        })
    }
}

/// The running thread: the only place where calls meet sockets and the clock.
struct Loop<M: Machine> {
    machine: M,
    sockets: Vec<UdpSocket>,
    /// Whether what peers send is taken in.
    is_open: bool,
    /// One a socket.
    batches: Vec<SendBatch>,
    /// What this turn sends, until what it must not forget is written down.
    turn: Vec<Transmit>,
    streams: StreamTable,
    poller: Poller,
    pace: Pace,
    inputs: Receiver<Input<M::Command>>,
    media: Backlog<MediaInput<M::LineCommand>>,
    handle: MediaHandle<M::LineCommand>,
}

impl<M: Machine> Loop<M> {
    fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS_PER_WAIT);
        let mut received = ReceiveBatch::new();
        let mut is_stopping = false;
        let mut turns_behind: u32 = 0;
        while !is_stopping {
            self.wait(&mut events);
            let now = SystemClock::now_both();
            self.pace.turn_began(now.instant);
            let mut is_behind = false;
            for event in events.iter().filter(|event| event.token != WAKE_TOKEN) {
                let Ok(index) = usize::try_from(event.token) else { continue };
                if event.readable {
                    self.receive(index, &mut received, now);
                    is_behind |= received.is_full();
                }
                if event.error {
                    self.take_delivery_errors(index, now);
                }
            }
            if self.is_open {
                self.take_arrivals(now);
            }
            is_stopping = self.take_inputs(now);
            // What still waits may be the very answers for want of which messages would be resent, by a node that is late already.
            turns_behind = if is_behind { turns_behind + 1 } else { 0 };
            if turns_behind.is_multiple_of(TURNS_BEHIND) {
                self.machine.handle_timeout(now);
            }
            self.send_all(now);
        }
    }

    fn wait(&mut self, events: &mut Events) {
        self.pace.wait();
        let is_behind =
            !self.inputs.is_empty() || self.media.waiting() > 0 || (self.is_open && self.streams.is_waiting());
        let until_deadline =
            self.machine.poll_timeout().map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let timeout = if is_behind { Some(Duration::ZERO) } else { until_deadline };
        if let Err(error) = self.poller.wait(events, timeout) {
            tracing::error!(%error, "waiting for sockets failed");
        }
    }

    fn receive(&mut self, index: usize, received: &mut ReceiveBatch, now: Now) {
        let Some(socket) = self.sockets.get(index) else { return };
        if let Err(error) = socket.receive_batch(received) {
            return tracing::error!(%error, local = %socket.local_addr(), "receiving failed");
        }
        self.pace.heard(received.len());
        for datagram in received.iter_mut() {
            if datagram.truncated {
                // It was longer than any message may be; what is left of it is none.
                continue;
            }
            let flow = Flow { transport: Transport::Udp, local: datagram.local, remote: datagram.remote };
            self.machine.handle_datagram(flow, datagram.bytes, now);
        }
    }

    /// ICMP errors: a trunk whose port is closed fails over at once.
    fn take_delivery_errors(&mut self, index: usize, now: Now) {
        let Some(socket) = self.sockets.get(index) else { return };
        loop {
            match socket.next_delivery_error(&mut []) {
                Ok(Some(error)) if error.kind.is_failure() => {
                    let flow = Flow { transport: Transport::Udp, local: socket.local_addr(), remote: error.remote };
                    self.machine.handle_transport_error(&flow, now);
                }
                Ok(Some(_)) => {}
                Ok(None) => return,
                Err(error) => return tracing::error!(%error, "reading ICMP errors failed"),
            }
        }
    }

    /// What came over connections, or became of them.
    fn take_arrivals(&mut self, now: Now) {
        for _ in 0..ARRIVALS_PER_TURN {
            match self.streams.poll() {
                Some(Arrival::Message { flow, octets }) => {
                    self.pace.heard(1);
                    self.machine.handle_datagram(flow, &octets, now);
                }
                Some(Arrival::Failed(flow)) => self.machine.handle_transport_error(&flow, now),
                Some(Arrival::Idle(idle)) => {
                    if !idle.flows.iter().any(|flow| self.machine.uses_stream(flow)) {
                        self.streams.release(&idle);
                    }
                }
                None => return,
            }
        }
    }

    fn open(&mut self) {
        self.is_open = true;
        for (token, socket) in (0..).zip(&self.sockets) {
            if let Err(error) = self.poller.add(socket, token, Interest::Read) {
                tracing::error!(%error, local = %socket.local_addr(), "a signalling socket cannot be heard");
            }
        }
    }

    /// Whether the thread is to stop.
    fn take_inputs(&mut self, now: Now) -> bool {
        for _ in 0..INPUTS_PER_TURN {
            match self.inputs.try_recv() {
                Ok(Input::Command(command)) => self.machine.handle_command(command, now),
                Ok(Input::Media(event)) => self.machine.handle_media_event(event, now),
                Ok(Input::Open) => self.open(),
                Ok(Input::Stop) => return true,
                Err(_) => return false,
            }
        }
        false
    }

    fn send_all(&mut self, now: Now) {
        let mut tells_media = self.media.waiting() > 0;
        self.media.flush();
        loop {
            while let Some(output) = self.machine.poll_output(now) {
                match output {
                    WireOutput::Transmit(transmit) => self.turn.push(transmit),
                    WireOutput::Media(command) => {
                        self.media.send(MediaInput::Command(command));
                        tells_media = true;
                    }
                    WireOutput::Line(command) => {
                        self.media.send(MediaInput::Line(command));
                        tells_media = true;
                    }
                }
            }
            self.machine.commit();
            let mut turn = std::mem::take(&mut self.turn);
            for transmit in turn.drain(..) {
                self.enqueue(&transmit, now);
            }
            // The room of a turn is kept for the next.
            self.turn = turn;
            // What the kernel refuses at once makes the machine try elsewhere, so there may be more to send.
            let mut is_refused = false;
            for index in 0..self.sockets.len() {
                is_refused |= self.flush(index, now);
            }
            while let Some(flow) = self.streams.poll_failed() {
                self.machine.handle_transport_error(&flow, now);
                is_refused = true;
            }
            if !is_refused {
                break;
            }
        }
        if tells_media {
            self.handle.wake();
        }
    }

    fn enqueue(&mut self, transmit: &Transmit, now: Now) {
        let Flow { transport, local, remote } = transmit.flow;
        match transport {
            Transport::Udp => {}
            Transport::Tcp => return self.streams.send(transmit),
            Transport::Tls | Transport::Ws | Transport::Wss => {
                tracing::warn!(%transport, %remote, "this transport is not built yet");
                return self.machine.handle_transport_error(&transmit.flow, now);
            }
        }
        let Some(index) = self.socket_for(local, remote) else {
            tracing::warn!(%local, %remote, "no socket sends from this address");
            return self.machine.handle_transport_error(&transmit.flow, now);
        };
        if self.batches.get(index).is_some_and(SendBatch::is_full) {
            self.flush(index, now);
        }
        if let Some(batch) = self.batches.get_mut(index)
            && batch.push(local, remote, &transmit.payload).is_err()
        {
            tracing::error!("a batch that was just sent is full");
        }
    }

    fn socket_for(&self, local: SocketAddr, remote: SocketAddr) -> Option<usize> {
        let exact = self.sockets.iter().position(|socket| socket.local_addr() == local);
        exact.or_else(|| {
            self.sockets.iter().position(|socket| {
                let bound = socket.local_addr();
                socket.is_wildcard() && bound.port() == local.port() && bound.is_ipv4() == remote.is_ipv4()
            })
        })
    }

    /// Sends a socket's batch; whether the kernel refused some of it.
    fn flush(&mut self, index: usize, now: Now) -> bool {
        let (Some(socket), Some(batch)) = (self.sockets.get(index), self.batches.get_mut(index)) else { return false };
        if batch.is_empty() {
            return false;
        }
        let outcome = socket.send_batch(batch);
        if outcome.dropped > 0 {
            tracing::warn!(dropped = outcome.dropped, "the socket's send buffer is full; SIP will resend");
        }
        for failure in outcome.failures {
            tracing::debug!(remote = %failure.remote, error = %failure.error, "the kernel refused a datagram");
            let flow = Flow { transport: Transport::Udp, local: socket.local_addr(), remote: failure.remote };
            self.machine.handle_transport_error(&flow, now);
        }
        !outcome.failures.is_empty()
    }
}

/// Commands and media events that may wait for a shard: some seconds of full load.
const INPUT_QUEUE: usize = 16_384;
/// Inputs taken in one turn, so that datagrams are never kept waiting by commands.
const INPUTS_PER_TURN: usize = 1_024;
/// The same for what comes over connections.
const ARRIVALS_PER_TURN: usize = 1_024;
/// Turns for which timers are kept waiting by datagrams: what the socket holds after a moment without a processor, some 1,000 datagrams,
/// is read by then, and no timer is late by more than a turn of each.
const TURNS_BEHIND: u32 = 16;
const EVENTS_PER_WAIT: usize = 16;
/// No socket has this number.
const WAKE_TOKEN: u64 = u64::MAX;
