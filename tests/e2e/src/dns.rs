//! A DNS server that knows a few names.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Answers A and AAAA questions for its names; any other name does not exist.
#[derive(Debug)]
pub struct Dns {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Dns {
    /// Serves `names` (lower case, without the last dot) on `address`.
    ///
    /// # Panics
    /// When the address is taken.
    #[must_use]
    pub fn start(address: SocketAddr, names: &[(&str, IpAddr)]) -> Self {
        let socket = UdpSocket::bind(address).expect("the network is the test's own, and port 53 needs root");
        socket.set_read_timeout(Some(TICK)).expect("the time-out is not zero");
        let names: Vec<(String, IpAddr)> = names.iter().map(|(name, to)| ((*name).to_owned(), *to)).collect();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; 512];
            while !stopped.load(Ordering::Relaxed) {
                if let Ok((length, from)) = socket.recv_from(&mut buffer)
                    && let Some(answer) = buffer.get(..length).and_then(|question| answer(question, &names))
                {
                    // Who asked may be gone.
                    drop(socket.send_to(&answer, from));
                }
            }
        });
        Self { address, stop, thread: Some(thread) }
    }

    /// For `TANDEM_DNS_SERVERS`.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// RFC 1035 §4, RFC 3596 §2: the question again, with one A or AAAA record, with none, or with NXDOMAIN.
fn answer(question: &[u8], names: &[(String, IpAddr)]) -> Option<Vec<u8>> {
    let mut labels = Vec::new();
    let mut at = 12;
    loop {
        let length = usize::from(*question.get(at)?);
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(question.get(at + 1..at + 1 + length)?).to_ascii_lowercase());
        at += 1 + length;
    }
    let asked = question.get(12..at + 5)?;
    let kind = question.get(at + 1..at + 3)?;
    let name = labels.join(".");
    let known: Vec<&IpAddr> = names.iter().filter(|(known, _)| *known == name).map(|(_, to)| to).collect();

    let mut answer = question.get(..2)?.to_vec();
    let code = if known.is_empty() { 3 } else { 0 };
    answer.extend([0x85, 0x80 | code]); // a response, authoritative, recursion available
    let address = known.into_iter().find(|to| kind == if to.is_ipv4() { A } else { AAAA });
    answer.extend([0, 1, 0, u8::from(address.is_some()), 0, 0, 0, 0]);
    answer.extend(asked);
    if let Some(address) = address {
        let octets = match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        answer.extend([0xc0, 12]);
        answer.extend(kind);
        answer.extend([0, 1, 0, 0, 0, 60, 0, if address.is_ipv4() { 4 } else { 16 }]);
        answer.extend(octets);
    }
    Some(answer)
}

/// Types of records.
const A: [u8; 2] = [0, 1];
const AAAA: [u8; 2] = [0, 28];
/// How soon the thread sees that it should stop.
const TICK: Duration = Duration::from_millis(50);
