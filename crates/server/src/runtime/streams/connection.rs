use super::acceptor::Connections;
use super::outbox::Unsent;
use super::{ConnectionId, StreamEvent};
use crate::runtime::OsRandom;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tandem_sip::endpoint::Flow;
use tandem_sip::message::framing::{Frame, FramingError, StreamDecoder};
use tandem_sip::message::{Refusal, Token};
use tandem_sip::random::Randomness;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

/// A connection's task.
pub(super) struct Connection<'a> {
    pub(super) id: ConnectionId,
    pub(super) flow: Flow,
    pub(super) side: Side,
    pub(super) connections: &'a Connections,
}

/// Who made the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// The peer.
    Accepted,
    /// We: it is for us to keep it alive.
    Opened,
}

/// Why a connection ends.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("the peer closed it")]
    ClosedByPeer,
    #[error("we need it no more")]
    Released,
    #[error("the shard has stopped")]
    ShardGone,
    #[error("{0}")]
    Failed(#[from] io::Error),
    #[error("the peer does not read")]
    NotRead,
    #[error("a message took too long to arrive")]
    TooSlow,
    #[error("{error}")]
    BadFraming { error: FramingError, refusal: Option<Box<Refusal>> },
}

impl Connection<'_> {
    /// Connects, then carries messages until the connection ends.
    pub(super) async fn open(self, unsent: Unsent) {
        let (Flow { local, remote, .. }, limits) = (self.flow, &self.connections.limits);
        let failure = match timeout(limits.connect, connect(local, remote)).await {
            Ok(Ok(stream)) => return self.run(stream, unsent).await,
            Ok(Err(error)) => error,
            Err(_) => io::Error::from(io::ErrorKind::TimedOut),
        };
        tracing::debug!(%remote, error = %failure, "a connection could not be made");
        self.tell_closed().await;
    }

    /// Carries messages until the connection ends.
    pub(super) async fn run(self, mut stream: TcpStream, mut unsent: Unsent) {
        let end = match self.prepare(&stream) {
            Ok(()) => {
                let pong = Notify::new();
                let (reading, writing) = stream.split();
                tokio::select! {
                    end = self.read(reading, &pong) => end,
                    end = self.write(writing, &mut unsent, &pong) => end,
                }
            }
            Err(error) => End::Failed(error),
        };
        tracing::debug!(remote = %self.flow.remote, side = ?self.side, reason = %end, "a connection ended");
        // What the shard still sends must not be taken any more.
        drop(unsent);
        self.tell_closed().await;
        if let End::BadFraming { refusal: Some(refusal), .. } = end {
            // The connection is closed either way.
            let _ = timeout(FAREWELL_TIMEOUT, self.refuse(stream, &refusal)).await;
        }
    }

    fn prepare(&self, stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        tandem_netio::set_user_timeout(stream, self.connections.limits.acknowledge)
    }

    async fn read(&self, mut stream: ReadHalf<'_>, pong: &Notify) -> End {
        let limits = &self.connections.limits;
        let idle = match self.side {
            Side::Accepted => limits.accepted_idle,
            Side::Opened => limits.opened_idle,
        };
        let mut decoder = StreamDecoder::new();
        let mut buffer = vec![0; READ_BYTES];
        let mut heard = Instant::now();
        let mut frame_began: Option<Instant> = None;
        loop {
            let deadline = frame_began.map_or(heard + idle, |began| began + limits.assembly);
            let received = match timeout_at(deadline, stream.read(&mut buffer)).await {
                Ok(Ok(0)) => return End::ClosedByPeer,
                Ok(Ok(length)) => buffer.get(..length).unwrap_or_default(),
                Ok(Err(error)) => return End::Failed(error),
                Err(_) if frame_began.is_some() => return End::TooSlow,
                Err(_) => {
                    heard = Instant::now();
                    if self.connections.link.tell(StreamEvent::Idle { id: self.id, flow: self.flow }).await.is_err() {
                        return End::ShardGone;
                    }
                    continue;
                }
            };
            if self.side == Side::Accepted {
                heard = Instant::now();
            }
            decoder.push(received);
            loop {
                match decoder.next_frame() {
                    Ok(Some(Frame::Message(octets))) => {
                        frame_began = None;
                        heard = Instant::now();
                        let event = StreamEvent::Message { id: self.id, flow: self.flow, octets };
                        if self.connections.link.tell(event).await.is_err() {
                            return End::ShardGone;
                        }
                    }
                    Ok(Some(Frame::Ping)) => pong.notify_one(),
                    Ok(Some(Frame::Pong)) => {}
                    Ok(None) => break,
                    Err(error) => {
                        return End::BadFraming { error, refusal: decoder.refusal(error).map(Box::new) };
                    }
                }
            }
            frame_began = decoder.is_mid_frame().then(|| frame_began.unwrap_or_else(Instant::now));
        }
    }

    async fn write(&self, mut stream: WriteHalf<'_>, unsent: &mut Unsent, pong: &Notify) -> End {
        let limits = &self.connections.limits;
        let mut octets = Vec::new();
        let mut ping_at = Instant::now() + jittered(limits.ping);
        loop {
            octets.clear();
            let mut taken = 0;
            tokio::select! {
                is_more = unsent.take(&mut octets) => {
                    if !is_more {
                        return End::Released;
                    }
                    taken = octets.len();
                }
                () = pong.notified() => octets.extend_from_slice(PONG),
                () = sleep_until(ping_at), if self.side == Side::Opened => octets.extend_from_slice(PING),
            }
            match timeout(limits.write, stream.write_all(&octets)).await {
                Ok(Ok(())) => unsent.written(taken),
                Ok(Err(error)) => return End::Failed(error),
                Err(_) => return End::NotRead,
            }
            ping_at = Instant::now() + jittered(limits.ping);
        }
    }

    /// Tells the peer what was wrong with its request, the last on this connection.
    async fn refuse(&self, mut stream: TcpStream, refusal: &Refusal) -> io::Result<()> {
        let mut tag = [0; TAG_OCTETS];
        OsRandom::new().fill(&mut tag);
        let mut response = refusal.to_response(&Token::hex(&tag));
        if let Some(via) = response.vias.first_mut() {
            via.set_source(self.flow.remote);
        }
        stream.write_all(&response.to_bytes()).await?;
        stream.shutdown().await?;
        // Closing with octets unread would make the kernel reset the connection, and the peer lose the answer.
        let mut unread = [0; DISCARD_BYTES];
        while stream.read(&mut unread).await? > 0 {}
        Ok(())
    }

    async fn tell_closed(&self) {
        // A shard that has stopped needs not be told.
        let _ = self.connections.link.tell(StreamEvent::Closed { id: self.id, flow: self.flow }).await;
    }
}

async fn connect(local: SocketAddr, remote: SocketAddr) -> io::Result<TcpStream> {
    let socket = if remote.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if !local.ip().is_unspecified() {
        // The peer knows us by the address of the listener. The port is another: that one is taken.
        socket.bind(SocketAddr::new(local.ip(), 0))?;
    }
    let stream = socket.connect(remote).await?;
    // A port that nobody listens on, from the range of which the kernel chose ours, connects to itself.
    if stream.local_addr()? == remote {
        return Err(io::Error::from(io::ErrorKind::ConnectionRefused));
    }
    Ok(stream)
}

/// 80 to 100 % of it, so that connections that were made together are not pinged together (RFC 5626 §4.4.1).
fn jittered(interval: Duration) -> Duration {
    let mut octet = [0];
    OsRandom::new().fill(&mut octet);
    let [octet] = octet;
    interval * 4 / 5 + interval / 5 * u32::from(octet) / u32::from(u8::MAX)
}

/// RFC 5626 §3.5.1.
const PING: &[u8] = b"\r\n\r\n";
const PONG: &[u8] = b"\r\n";
/// What is read at once: some messages.
const READ_BYTES: usize = 16_384;
const DISCARD_BYTES: usize = 1_024;
/// How long the last answer may take to be read.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(1);
const TAG_OCTETS: usize = 8;
