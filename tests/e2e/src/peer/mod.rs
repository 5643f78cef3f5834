//! A far end that does as its script says, written without the stack under test: an error there cannot hide itself here.

mod call;
mod caller;
mod media;
mod script;

pub use call::CallView;
pub use caller::Caller;
pub use media::Heard;
pub use script::{Audio, Script};

use crate::sip_text::SipText;
use crate::wait::eventually;
use call::Call;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A SIP far end on a socket and a thread of its own.
#[derive(Debug)]
pub struct Peer {
    address: SocketAddr,
    shared: Arc<Shared>,
    socket: UdpSocket,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    calls: Mutex<Vec<CallView>>,
    /// Requests of calls that began elsewhere or of none, and responses to what the test sent itself.
    others: Mutex<Vec<(Instant, SipText)>>,
    stop: AtomicBool,
}

impl Peer {
    /// A far end whose user parts say what they do; see [`Script::named`].
    #[must_use]
    pub fn start(address: SocketAddr) -> Self {
        Self::start_with(address, Script::named)
    }

    /// A far end that does what `choose` says for the user part that is called.
    ///
    /// # Panics
    /// When the address is taken.
    #[must_use]
    pub fn start_with(address: SocketAddr, choose: impl Fn(&str) -> Script + Send + 'static) -> Self {
        let socket = UdpSocket::bind(address).expect("the network is the test's own");
        let shared = Arc::new(Shared::default());
        let mut worker = Worker {
            socket: socket.try_clone().expect("a socket can be shared"),
            address,
            shared: Arc::clone(&shared),
            calls: Vec::new(),
            choose: Box::new(choose),
        };
        let thread = std::thread::spawn(move || worker.run());
        Self { address, shared, socket, thread: Some(thread) }
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// A URI that calls `user` here.
    #[must_use]
    pub fn uri(&self, user: &str) -> String {
        format!("sip:{user}@{}", self.address)
    }

    /// All calls so far, in order of their first INVITE.
    #[must_use]
    pub fn calls(&self) -> Vec<CallView> {
        self.shared.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until the call with this Call-ID is as `is_so` wants it.
    ///
    /// # Panics
    /// When it is not in time.
    pub fn wait_for_call(&self, what: &str, timeout: Duration, is_so: impl Fn(&CallView) -> bool) -> CallView {
        eventually(&format!("call at {} that {what}", self.address), timeout, || {
            self.calls().into_iter().find(|call| is_so(call))
        })
    }

    /// Sends octets from its address.
    ///
    /// # Panics
    /// When the network refuses them.
    pub fn send(&self, to: SocketAddr, octets: &[u8]) {
        self.socket.send_to(octets, to).expect("a datagram of less than 64 KiB can be sent on loopback");
    }

    /// What came outside of the calls known here: OPTIONS, requests of calls that began elsewhere, and responses to [`Peer::send`].
    #[must_use]
    pub fn others(&self) -> Vec<(Instant, SipText)> {
        self.shared.others.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic of the worker was told already.
            drop(thread.join());
        }
    }
}

struct Worker {
    socket: UdpSocket,
    address: SocketAddr,
    shared: Arc<Shared>,
    calls: Vec<Call>,
    choose: Box<dyn Fn(&str) -> Script + Send>,
}

impl Worker {
    fn run(&mut self) {
        let mut buffer = vec![0; 65_536];
        let mut out = Vec::new();
        while !self.shared.stop.load(Ordering::Relaxed) {
            let now = Instant::now();
            let due = self.calls.iter().filter_map(Call::next_due).min();
            let longest = if self.calls.iter().any(Call::has_media) { MEDIA_TICK } else { IDLE_TICK };
            let wait = due.map_or(longest, |due| due.saturating_duration_since(now).min(longest));
            let wait = wait.max(Duration::from_millis(1));
            self.socket.set_read_timeout(Some(wait)).expect("the time-out is not zero");
            if let Ok((length, from)) = self.socket.recv_from(&mut buffer)
                && let Some(text) = buffer.get(..length).and_then(SipText::parse)
            {
                self.handle(text, from, &mut out);
            }
            let now = Instant::now();
            for call in &mut self.calls {
                call.run(now, &mut out);
            }
            for (to, octets) in out.drain(..) {
                // Who is answered may be gone.
                drop(self.socket.send_to(&octets, to));
            }
            self.publish();
        }
    }

    fn handle(&mut self, text: SipText, from: SocketAddr, out: &mut Vec<(SocketAddr, Vec<u8>)>) {
        let now = Instant::now();
        let known = self.calls.iter_mut().find(|call| call.view.invite.call_id() == text.call_id());
        match (known, text.method()) {
            (Some(call), _) => call.handle(text, now, out),
            (None, Some("INVITE")) => {
                let script = (self.choose)(text.called_user().unwrap_or_default());
                let mut call = Call::new(text.clone(), self.address, from, script, now);
                call.view.received.push((now, text));
                self.calls.push(call);
            }
            (None, method) => {
                if method.is_some_and(|method| method != "ACK") {
                    // A call that only answers: it gives OPTIONS its 200.
                    let mut answering = Call::new(text.clone(), self.address, from, Script::silent(), now);
                    answering.handle(text.clone(), now, out);
                }
                self.shared.others.lock().unwrap_or_else(PoisonError::into_inner).push((now, text));
            }
        }
    }

    fn publish(&self) {
        let mut shown = self.shared.calls.lock().unwrap_or_else(PoisonError::into_inner);
        for (place, call) in self.calls.iter().enumerate() {
            match shown.get_mut(place) {
                Some(view)
                    if view.received.len() == call.view.received.len()
                        && view.heard.len() == call.view.heard.len()
                        && view.answered_at == call.view.answered_at => {}
                Some(view) => *view = call.view.clone(),
                None => shown.push(call.view.clone()),
            }
        }
    }
}

/// How late audio may be: a quarter of a packet.
const MEDIA_TICK: Duration = Duration::from_millis(5);
/// How late the end of the test may be seen.
const IDLE_TICK: Duration = Duration::from_millis(50);
