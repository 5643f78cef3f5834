//! One case on its way: a socket or connection of its own, the manners of a caller, and everything that comes back.

use crate::corpus::{Carrier, Case};
use crate::rules::Outcome;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;
use tandem_e2e::SipText;
use tandem_sip::message::Message;

/// The far side of one case.
pub(crate) struct Line<'c> {
    pub(crate) case: &'c Case,
    wire: Wire,
    local: SocketAddr,
    node: SocketAddr,
    /// Answers to the case itself, octet for octet.
    pub(crate) answers: Vec<Vec<u8>>,
    /// Call-IDs of OPTIONS that were answered with 200.
    probes: Vec<String>,
    /// What nobody asked for: requests of the node, and octets that are no SIP.
    pub(crate) unasked: Vec<String>,
    /// To tags of 2xx that a BYE has gone out for, and whether it was answered.
    hung_up: Vec<(String, bool)>,
    is_closed: bool,
}

enum Wire {
    /// Answers come back to where the case was sent from if its Via asks for that (RFC 3581), else to the port that its Via names
    /// (RFC 3261 §18.2.2), always at the same host.
    Udp {
        source: UdpSocket,
        named: UdpSocket,
        /// Which of the two answers to the case come to.
        is_answered_at_source: bool,
    },
    Tcp {
        stream: TcpStream,
        received: Vec<u8>,
    },
}

impl<'c> Line<'c> {
    /// A place of its own at `host`.
    pub(crate) fn open(case: &'c Case, carrier: Carrier, host: IpAddr, node: SocketAddr) -> Self {
        let any_port = SocketAddr::new(host, 0);
        let wire = match carrier {
            Carrier::Udp => Wire::udp(host, case),
            Carrier::Tcp => Wire::Tcp { stream: connect(any_port, node), received: Vec::new() },
            Carrier::Tls => panic!("TLS is not built yet"),
        };
        let local = match &wire {
            Wire::Udp { source, .. } => source.local_addr(),
            Wire::Tcp { stream, .. } => stream.local_addr(),
        };
        Self {
            case,
            local: local.unwrap(),
            wire,
            node,
            answers: Vec::new(),
            probes: Vec::new(),
            unasked: Vec::new(),
            hung_up: Vec::new(),
            is_closed: false,
        }
    }

    /// Where it is.
    pub(crate) const fn local(&self) -> SocketAddr {
        self.local
    }

    /// Sends the case as it is.
    pub(crate) fn send_case(&mut self) {
        self.send(&self.case.octets);
    }

    /// Asks whether the node is well. Two requests of one line differ in everything but the sender.
    pub(crate) fn probe(&mut self, call_id: &str, branch: &str) {
        let (local, node) = (self.local, self.node);
        let transport = self.transport();
        let request = format!(
            "OPTIONS sip:{node} SIP/2.0\r\nVia: SIP/2.0/{transport} {local};rport;branch={branch}\r\nMax-Forwards: 70\r\n\
             From: <sip:probe@{local}>;tag=p\r\nTo: <sip:{node}>\r\nCall-ID: {call_id}\r\nCSeq: 1 OPTIONS\r\n\
             Content-Length: 0\r\n\r\n"
        );
        self.send(request.as_bytes());
    }

    /// Whether the probe of this Call-ID got its 200.
    pub(crate) fn is_probe_answered(&self, call_id: &str) -> bool {
        self.probes.iter().any(|answered| answered == call_id)
    }

    /// Whether the node has closed the connection.
    pub(crate) const fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// What came of it so far.
    pub(crate) fn outcome(&self) -> Outcome {
        let texts = self.answers.iter().filter_map(|octets| SipText::parse(octets));
        let mut finals: Vec<u16> = texts.filter_map(|text| text.status()).filter(|status| *status >= 200).collect();
        finals.sort_unstable();
        finals.dedup();
        Outcome { finals, is_closed: self.is_closed }
    }

    /// Whether every call that it made has ended.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.hung_up.iter().all(|(_, is_answered)| *is_answered)
    }

    /// How many calls it made.
    pub(crate) fn calls(&self) -> usize {
        self.hung_up.len()
    }

    /// Takes in what has come, and does what a caller does: ACK, BYE, 200.
    pub(crate) fn pump(&mut self) {
        while let Some(octets) = self.receive() {
            match SipText::parse(&octets) {
                Some(text) => self.handle(&text, octets),
                None => self.unasked.push(String::from_utf8_lossy(&octets).into_owned()),
            }
        }
    }

    fn handle(&mut self, text: &SipText, octets: Vec<u8>) {
        let Some(status) = text.status() else {
            self.unasked.push(text.start.clone());
            return;
        };
        let cseq = text.cseq();
        if text.call_id().starts_with(PROBE) && cseq.is_some_and(|(_, method)| method == "OPTIONS") {
            if status == 200 {
                self.probes.push(text.call_id().to_owned());
            } else {
                self.unasked.push(text.summary());
            }
            return;
        }
        let tag = to_tag(text);
        if cseq.is_some_and(|(_, method)| method == "BYE")
            && let Some((_, is_answered)) = self.hung_up.iter_mut().find(|(known, _)| *known == tag)
        {
            *is_answered = true;
            return;
        }
        self.answers.push(octets);
        if status < 200 || cseq.is_none_or(|(_, method)| method != "INVITE") {
            return;
        }
        if status >= 300 {
            // RFC 3261 §17.1.1.3: as the INVITE was, with the To of the answer. Of one that cannot be read there is no transaction.
            if let Ok(invite) = Message::parse(&self.case.octets) {
                let target = invite.request_uri().map(|uri| uri.to_string()).unwrap_or_default();
                let ack = in_dialog(text, "ACK", 0, &target, &invite.top_via().to_string());
                self.send(&ack);
            }
            return;
        }
        let target = text.address("Contact").unwrap_or_default().to_owned();
        let via = |branch: &str| format!("SIP/2.0/{} {};rport;branch={branch}{tag}", self.transport(), self.local);
        let ack = in_dialog(text, "ACK", 0, &target, &via("z9hG4bKack"));
        let bye = in_dialog(text, "BYE", 1, &target, &via(BYE_BRANCH));
        self.send(&ack);
        if self.hung_up.iter().all(|(known, _)| *known != tag) {
            self.hung_up.push((tag, false));
            self.send(&bye);
        }
    }

    const fn transport(&self) -> &'static str {
        match &self.wire {
            Wire::Udp { .. } => "UDP",
            Wire::Tcp { .. } => "TCP",
        }
    }

    fn send(&mut self, octets: &[u8]) {
        match &mut self.wire {
            Wire::Udp { source, .. } => drop(source.send_to(octets, self.node).unwrap()),
            Wire::Tcp { stream, .. } => {
                stream.set_nonblocking(false).unwrap();
                // It may be closed in the middle of what it does not want.
                drop(stream.write_all(octets));
                stream.set_nonblocking(true).unwrap();
            }
        }
    }

    fn receive(&mut self) -> Option<Vec<u8>> {
        match &mut self.wire {
            Wire::Udp { source, named, is_answered_at_source } => {
                let mut buffer = vec![0; 65_536];
                let places = [(source, *is_answered_at_source), (named, !*is_answered_at_source)];
                let (length, from, is_right) = places.iter().find_map(|(socket, is_right)| {
                    let (length, from) = socket.recv_from(&mut buffer).ok()?;
                    Some((length, from, *is_right))
                })?;
                buffer.truncate(length);
                let is_own = is_of_probe_or_bye(&buffer);
                if from != self.node || !(is_right || is_own) {
                    self.unasked.push(format!("at the wrong place, from {from}: {}", String::from_utf8_lossy(&buffer)));
                }
                Some(buffer)
            }
            Wire::Tcp { stream, received } => {
                let mut buffer = [0; 16_384];
                while !self.is_closed {
                    match stream.read(&mut buffer) {
                        Ok(0) => self.is_closed = true,
                        Ok(length) => received.extend_from_slice(&buffer[..length]),
                        Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                        Err(_) => self.is_closed = true,
                    }
                }
                next_message(received)
            }
        }
    }
}

impl Wire {
    fn udp(host: IpAddr, case: &Case) -> Self {
        let (port, is_answered_at_source) = match case.via() {
            Some(via) => (via.port.unwrap_or(SIP_PORT), via.wants_rport()),
            None => (SIP_PORT, false),
        };
        let bind = |port: u16| {
            let socket = UdpSocket::bind((host, port)).unwrap();
            socket.set_nonblocking(true).unwrap();
            socket
        };
        Self::Udp { source: bind(0), named: bind(port), is_answered_at_source }
    }
}

/// How the Call-ID of a probe begins.
pub(crate) const PROBE: &str = "probe-";

/// The next whole message; keep-alives are passed over.
fn next_message(received: &mut Vec<u8>) -> Option<Vec<u8>> {
    while received.starts_with(b"\r\n") {
        received.drain(..2);
    }
    let end = received.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = SipText::parse(&received[..end]).expect("the node sends SIP");
    let body: usize = head.header("Content-Length").expect("a length, over TCP").parse().unwrap();
    (received.len() >= end + body).then(|| received.drain(..end + body).collect())
}

/// From the trunk's address, for it is known by it; the port is any.
fn connect(from: SocketAddr, to: SocketAddr) -> TcpStream {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let stream = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.bind(from)?;
        socket.connect(to).await?.into_std()
    });
    let stream = stream.expect("the node listens");
    stream.set_write_timeout(Some(WRITE)).unwrap();
    stream
}

/// What the line itself has asked for and gets at the source, whatever the Via of the case names.
fn is_of_probe_or_bye(octets: &[u8]) -> bool {
    SipText::parse(octets).is_some_and(|text| {
        text.call_id().starts_with(PROBE) || text.header("Via").is_some_and(|via| via.contains(BYE_BRANCH))
    })
}

fn to_tag(text: &SipText) -> String {
    let to = text.header("To").unwrap_or_default();
    to.rsplit_once(";tag=").map(|(_, tag)| tag.to_owned()).unwrap_or_default()
}

/// A request of the caller that follows an answer to its INVITE.
fn in_dialog(answer: &SipText, method: &str, later: u32, target: &str, via: &str) -> Vec<u8> {
    let header = |name: &str| answer.header(name).unwrap_or_default();
    let number = answer.cseq().map_or(0, |(number, _)| number) + later;
    let (from, to, call_id) = (header("From"), header("To"), answer.call_id());
    format!(
        "{method} {target} SIP/2.0\r\nVia: {via}\r\nMax-Forwards: 70\r\nFrom: {from}\r\nTo: {to}\r\n\
         Call-ID: {call_id}\r\nCSeq: {number} {method}\r\nContent-Length: 0\r\n\r\n"
    )
    .into_bytes()
}

/// How the branch of a BYE of ours begins.
const BYE_BRANCH: &str = "z9hG4bKbye";
/// Where a Via without a port is answered.
const SIP_PORT: u16 = 5060;
/// A node that does not read is a fault.
const WRITE: Duration = Duration::from_secs(5);
