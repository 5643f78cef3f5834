//! A far end over TCP that does what the test says, message by message.

use crate::sip_text::SipText;
use crate::wait::eventually;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// A carrier that takes connections.
#[derive(Debug)]
pub struct TcpCarrier {
    listener: TcpListener,
}

/// One connection, of either side's making.
#[derive(Debug)]
pub struct TcpConnection {
    stream: TcpStream,
    received: Vec<u8>,
}

impl TcpCarrier {
    /// Listens on this address.
    ///
    /// # Panics
    /// When it is taken.
    #[must_use]
    pub fn listen(address: SocketAddr) -> Self {
        Self { listener: TcpListener::bind(address).expect("the network is the test's own") }
    }

    /// The next connection.
    ///
    /// # Panics
    /// When none is made.
    #[must_use]
    pub fn accept(&self) -> TcpConnection {
        self.listener.set_nonblocking(true).expect("a socket can be told not to wait");
        let (stream, _) = eventually("connection", PATIENCE, || self.listener.accept().ok());
        stream.set_nonblocking(false).expect("a socket can be told to wait");
        TcpConnection { stream, received: Vec::new() }
    }
}

impl TcpConnection {
    /// Makes a connection.
    ///
    /// # Panics
    /// When nobody listens.
    #[must_use]
    pub fn connect(to: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(to).expect("somebody listens"), received: Vec::new() }
    }

    /// Makes a connection from an address, for callers are known by theirs; the port is any.
    ///
    /// # Panics
    /// When nobody listens, or the address is not the host's.
    #[must_use]
    pub fn connect_from(from: IpAddr, to: SocketAddr) -> Self {
        let connected = crate::api::wait(async {
            let socket = tokio::net::TcpSocket::new_v4()?;
            socket.bind(SocketAddr::new(from, 0))?;
            socket.connect(to).await?.into_std()
        });
        let stream = connected.expect("somebody listens");
        stream.set_nonblocking(false).expect("a socket can be told to wait");
        Self { stream, received: Vec::new() }
    }

    /// Sends octets.
    ///
    /// # Panics
    /// When the other end has closed.
    pub fn send(&mut self, octets: &[u8]) {
        self.stream.write_all(octets).expect("the other end reads");
    }

    /// The next message; keep-alives are passed over.
    ///
    /// # Panics
    /// When none comes.
    pub fn read(&mut self) -> SipText {
        let deadline = Instant::now() + PATIENCE;
        loop {
            while self.received.starts_with(b"\r\n") {
                self.received.drain(..2);
            }
            if let Some(end) = self.received.windows(4).position(|window| window == b"\r\n\r\n") {
                let head = SipText::parse(&self.received[..end + 4]).expect("SIP");
                let body: usize = head.header("Content-Length").expect("a length, over TCP").parse().expect("a number");
                if self.received.len() >= end + 4 + body {
                    let message: Vec<u8> = self.received.drain(..end + 4 + body).collect();
                    return SipText::parse(&message).expect("SIP");
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no message has come");
            self.stream.set_read_timeout(Some(left)).expect("it is not zero");
            let mut buffer = [0; 4_096];
            match self.stream.read(&mut buffer) {
                Ok(0) => panic!("the connection was closed"),
                Ok(length) => self.received.extend_from_slice(&buffer[..length]),
                Err(error) => panic!("no message has come: {error}"),
            }
        }
    }

    /// Answers a request, with a description if there is one.
    ///
    /// # Panics
    /// When the other end has closed.
    pub fn answer(&mut self, request: &SipText, status: u16, body: &str) {
        let local = self.stream.local_addr().expect("it is connected");
        let mut text = format!("SIP/2.0 {status} Said\r\n");
        for (name, value) in &request.headers {
            if ["Via", "From", "Call-ID", "CSeq"].contains(&name.as_str()) {
                text.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        let to = request.header("To").unwrap_or_default();
        let tag = if to.contains(";tag=") { "" } else { ";tag=far" };
        text.push_str(&format!("To: {to}{tag}\r\nContact: <sip:far@{local};transport=tcp>\r\n"));
        if !body.is_empty() {
            text.push_str("Content-Type: application/sdp\r\n");
        }
        text.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
        self.send(text.as_bytes());
    }
}

const PATIENCE: Duration = Duration::from_secs(5);
