//! The socket of a far end, or its connections.

use crate::sip_text::SipText;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;
use tandem_model::Transport;
use tokio::net::TcpSocket;

/// How messages come and go.
#[derive(Debug)]
pub(super) enum Wire {
    Udp(UdpSocket),
    Tcp { local: SocketAddr, listener: TcpListener, connections: Vec<Connection> },
}

/// One connection, of either side's making.
#[derive(Debug)]
pub(super) struct Connection {
    remote: SocketAddr,
    stream: TcpStream,
    received: Vec<u8>,
}

/// What came.
#[derive(Debug)]
pub(super) enum Arrival {
    Message(SocketAddr, SipText),
    /// The connection with this address is no more.
    Closed(SocketAddr),
}

impl Wire {
    pub(super) fn open(transport: Transport, address: SocketAddr) -> Self {
        match transport {
            Transport::Udp => Self::Udp(UdpSocket::bind(address).expect("the network is the test's own")),
            Transport::Tcp => {
                let listener = TcpListener::bind(address).expect("the network is the test's own");
                listener.set_nonblocking(true).expect("a socket can be told not to wait");
                Self::Tcp { local: address, listener, connections: Vec::new() }
            }
            Transport::Tls | Transport::Ws | Transport::Wss => panic!("far ends speak no {transport} yet"),
        }
    }

    /// As Via names it.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Udp(_) => "UDP",
            Self::Tcp { .. } => "TCP",
        }
    }

    /// Whether what is sent may be lost, so that it is to be resent.
    pub(super) const fn is_lossy(&self) -> bool {
        matches!(self, Self::Udp(_))
    }

    /// Takes in what comes within `wait`.
    pub(super) fn receive(&mut self, wait: Duration, into: &mut Vec<Arrival>) {
        match self {
            Self::Udp(socket) => {
                let mut buffer = [0; 8_192];
                let mut wait = wait;
                for _ in 0..MOST_AT_ONCE {
                    socket.set_read_timeout(Some(wait)).expect("the time-out is not zero");
                    // An error may be what became of a message to a node that is dead.
                    let Ok((length, from)) = socket.recv_from(&mut buffer) else { return };
                    if let Some(text) = buffer.get(..length).and_then(SipText::parse) {
                        into.push(Arrival::Message(from, text));
                    }
                    wait = Duration::from_micros(1);
                }
            }
            Self::Tcp { listener, connections, .. } => {
                crate::wait::pause(wait);
                while let Ok((stream, remote)) = listener.accept() {
                    connections.push(Connection::new(remote, stream));
                }
                connections.retain_mut(|connection| {
                    let goes_on = connection.read(into);
                    if !goes_on {
                        into.push(Arrival::Closed(connection.remote));
                    }
                    goes_on
                });
            }
        }
    }

    /// Sends a message to `to`, or over a connection that is made there. False when nobody is there.
    pub(super) fn send(&mut self, to: SocketAddr, octets: &[u8]) -> bool {
        match self {
            Self::Udp(socket) => socket.send_to(octets, to).is_ok(),
            Self::Tcp { local, connections, .. } => {
                let known = connections.iter().position(|connection| connection.remote == to);
                let place = known.or_else(|| {
                    connections.push(Connection::make(*local, to)?);
                    connections.len().checked_sub(1)
                });
                let connection = place.and_then(|place| connections.get_mut(place));
                connection.is_some_and(|connection| connection.stream.write_all(octets).is_ok())
            }
        }
    }

    /// Whether there is a connection with this address; without connections there always is.
    pub(super) fn reaches(&self, remote: SocketAddr) -> bool {
        match self {
            Self::Udp(_) => true,
            Self::Tcp { connections, .. } => connections.iter().any(|connection| connection.remote == remote),
        }
    }
}

impl Connection {
    fn new(remote: SocketAddr, stream: TcpStream) -> Self {
        stream.set_nonblocking(true).expect("a socket can be told not to wait");
        Self { remote, stream, received: Vec::new() }
    }

    /// From our own address: the node knows its carriers by it.
    fn make(local: SocketAddr, to: SocketAddr) -> Option<Self> {
        let made = crate::api::wait(async {
            let socket = if local.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
            socket.bind(SocketAddr::new(local.ip(), 0))?;
            socket.connect(to).await?.into_std()
        });
        made.ok().map(|stream| Self::new(to, stream))
    }

    /// Whether it goes on.
    fn read(&mut self, into: &mut Vec<Arrival>) -> bool {
        let mut buffer = [0; 16_384];
        let goes_on = loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => break false,
                Ok(length) => self.received.extend_from_slice(&buffer[..length]),
                Err(error) => break error.kind() == ErrorKind::WouldBlock,
            }
        };
        while let Some(text) = self.next_message() {
            into.push(Arrival::Message(self.remote, text));
        }
        goes_on
    }

    fn next_message(&mut self) -> Option<SipText> {
        while self.received.starts_with(b"\r\n") {
            self.received.drain(..2);
        }
        let end = self.received.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
        let head = SipText::parse(self.received.get(..end)?).expect("the node sends SIP");
        let length: usize = head.header("Content-Length").expect("a length, over TCP").parse().expect("a number");
        let message: Vec<u8> = self.received.get(..end + length)?.to_vec();
        self.received.drain(..message.len());
        SipText::parse(&message)
    }
}

/// Datagrams taken in before timers are looked at.
const MOST_AT_ONCE: usize = 64;
