//! A far end that calls, step by step as its test says.

use super::media::{self, Heard, Media};
use super::script::Audio;
use crate::sip_text::SipText;
use crate::wait::{eventually, pause};
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// One call, placed over UDP. Final answers are acknowledged and requests answered with 200 as they are read.
#[derive(Debug)]
pub struct Caller {
    socket: UdpSocket,
    address: SocketAddr,
    node: SocketAddr,
    /// Tells the calls of one address apart.
    id: u32,
    number: String,
    line: Line,
    /// Whether the offer is left to the other side.
    is_offerless: bool,
    cseq: u32,
    /// Of the INVITE that was sent last, and of its CANCEL and the ACK of its refusal.
    branch: String,
    /// The To of our requests, and where they go, once there is a dialog.
    dialog: Option<(String, String)>,
    received: Vec<SipText>,
    /// How many of these were waited for.
    seen: usize,
}

/// The audio of the call, on a thread of its own.
#[derive(Debug)]
struct Line {
    shared: Arc<LineState>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct LineState {
    media: Mutex<(Media, Vec<Heard>)>,
    stop: AtomicBool,
}

impl Caller {
    /// A caller at `address` who says `audio` and calls the node at `node`. Port 0 is any.
    ///
    /// # Panics
    /// When the address is taken.
    #[must_use]
    pub fn at(address: SocketAddr, node: SocketAddr, audio: Audio) -> Self {
        let socket = UdpSocket::bind(address).expect("the network is the test's own");
        let address = socket.local_addr().expect("the socket is bound");
        Self {
            line: Line::open(address, audio),
            socket,
            address,
            node,
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            number: String::new(),
            is_offerless: false,
            cseq: 0,
            branch: String::new(),
            dialog: None,
            received: Vec::new(),
            seen: 0,
        }
    }

    /// Leaves the offer to the other side: the answer goes out in the ACK.
    #[must_use]
    pub fn offerless(mut self) -> Self {
        self.is_offerless = true;
        self
    }

    /// Where it is.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its Call-ID.
    #[must_use]
    pub fn call_id(&self) -> String {
        format!("caller{}@{}", self.id, self.address)
    }

    /// Calls a number.
    pub fn invite(&mut self, number: &str) {
        let sdp = if self.is_offerless { String::new() } else { self.sdp("sendrecv") };
        self.invite_with(number, &sdp);
    }

    /// Calls a number with this description, right or wrong.
    pub fn invite_with(&mut self, number: &str, sdp: &str) {
        number.clone_into(&mut self.number);
        self.send_request("INVITE", sdp);
    }

    /// Changes the session, and gives the answer.
    pub fn reinvite(&mut self, direction: &str) -> SipText {
        self.line.with(|media| media.mute(direction != "sendrecv"));
        let sdp = self.sdp(direction);
        self.send_request("INVITE", &sdp);
        self.wait_for("200 INVITE")
    }

    /// Takes the INVITE back.
    pub fn cancel(&mut self) {
        let (number, cseq) = (self.number.clone(), self.cseq);
        let cancel = self.request("CANCEL", cseq, &self.branch, &format!("sip:{number}@{}", self.node), "");
        self.send(&cancel);
    }

    /// Hangs up, and waits for the answer.
    pub fn bye(&mut self) {
        self.send_request("BYE", "");
        let _ = self.wait_for("200 BYE");
    }

    /// Presses keys, 0 to 9, `*` is 10 and `#` 11, as telephone-events of payload type 101.
    pub fn press(&mut self, keys: &[u8]) {
        for key in keys {
            self.line.with(|media| media.press(TELEPHONE_EVENT, *key));
            pause(BETWEEN_KEYS);
        }
    }

    /// Waits for the next message that is this: `180 INVITE`, `BYE`.
    ///
    /// # Panics
    /// When it does not come; tells what came.
    pub fn wait_for(&mut self, what: &str) -> SipText {
        let deadline = Instant::now() + PATIENCE;
        loop {
            while let Some(text) = self.received.get(self.seen) {
                self.seen += 1;
                if text.what() == what {
                    return text.clone();
                }
            }
            if !self.read(deadline) {
                let came: Vec<String> = self.received.iter().map(SipText::what).collect();
                panic!("in {PATIENCE:?}: no {what} at {}; there came {came:?}", self.address);
            }
        }
    }

    /// Everything that has come, and comes within `time`.
    pub fn received_within(&mut self, time: Duration) -> &[SipText] {
        let deadline = Instant::now() + time;
        while self.read(deadline) {}
        &self.received
    }

    /// Waits until a tone is heard, and gives all that was heard.
    #[must_use]
    pub fn wait_to_hear(&self, hz: u16) -> Vec<Heard> {
        eventually(&format!("tone of {hz} Hz at {}", self.address), PATIENCE, || {
            let heard = self.heard();
            media::first_heard(&heard, hz).map(|_| heard)
        })
    }

    /// What was heard so far.
    #[must_use]
    pub fn heard(&self) -> Vec<Heard> {
        self.line.shared.media.lock().unwrap_or_else(PoisonError::into_inner).1.clone()
    }

    /// Takes in one message; false when none comes until `deadline`.
    fn read(&mut self, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        self.socket.set_read_timeout(Some(left)).expect("it is not zero");
        let mut buffer = vec![0; 65_536];
        let Ok((length, from)) = self.socket.recv_from(&mut buffer) else { return false };
        if let Some(text) = buffer.get(..length).and_then(SipText::parse) {
            self.handle(&text, from);
            self.received.push(text);
        }
        true
    }

    fn handle(&mut self, text: &SipText, from: SocketAddr) {
        match (text.status(), text.cseq()) {
            (Some(status), Some((number, "INVITE"))) if status > 100 => {
                if !text.body.is_empty() {
                    self.line.with(|media| media.connect(text));
                }
                let to = text.header("To").unwrap_or_default().to_owned();
                if (200..300).contains(&status) {
                    let target = text.address("Contact").unwrap_or_default().to_owned();
                    self.dialog = Some((to, target.clone()));
                    let answers = self.is_offerless && number == 1;
                    let sdp = if answers { self.sdp("sendrecv") } else { String::new() };
                    let branch = format!("{}ack", self.new_branch(number));
                    let ack = self.request("ACK", number, &branch, &target, &sdp);
                    self.send(&ack);
                } else if status >= 300 {
                    let before = self.dialog.replace((to, String::new()));
                    let uri = format!("sip:{}@{}", self.number, self.node);
                    let ack = self.request("ACK", number, &self.branch, &uri, "");
                    self.dialog = before;
                    self.send(&ack);
                }
            }
            (None, Some((_, method))) if method != "ACK" => {
                let sdp = if method == "INVITE" { self.sdp("sendrecv") } else { String::new() };
                let mut answer = "SIP/2.0 200 OK\r\n".to_owned();
                for name in ["Via", "From", "To", "Call-ID", "CSeq"] {
                    for value in text.all(name) {
                        answer.push_str(&format!("{name}: {value}\r\n"));
                    }
                }
                answer.push_str(&format!("Contact: <sip:caller@{}>\r\n", self.address));
                let octets = finish(answer, &sdp);
                drop(self.socket.send_to(&octets, from));
            }
            _ => {}
        }
    }

    fn send_request(&mut self, method: &str, body: &str) {
        self.cseq += 1;
        let branch = self.new_branch(self.cseq);
        if method == "INVITE" {
            self.branch.clone_from(&branch);
        }
        let first = format!("sip:{}@{}", self.number, self.node);
        let target = self.dialog.as_ref().map_or(first, |(_, target)| target.clone());
        let request = self.request(method, self.cseq, &branch, &target, body);
        self.send(&request);
    }

    fn new_branch(&self, cseq: u32) -> String {
        format!("z9hG4bK{}x{cseq}", self.id)
    }

    fn request(&self, method: &str, cseq: u32, branch: &str, target: &str, body: &str) -> Vec<u8> {
        let (address, number) = (self.address, &self.number);
        let to = self.dialog.as_ref().map_or_else(|| format!("<sip:{number}@{}>", self.node), |(to, _)| to.clone());
        let text = format!(
            "{method} {target} SIP/2.0\r\nVia: SIP/2.0/UDP {address};branch={branch};rport\r\n\
             From: <sip:+4930901820@{address}>;tag=caller\r\nTo: {to}\r\nCall-ID: {}\r\nCSeq: {cseq} {method}\r\n\
             Max-Forwards: 70\r\nContact: <sip:caller@{address}>\r\n",
            self.call_id()
        );
        finish(text, body)
    }

    fn send(&self, octets: &[u8]) {
        self.socket.send_to(octets, self.node).expect("a datagram can be sent on loopback");
    }

    fn sdp(&self, direction: &str) -> String {
        let (ip, version) = (self.address.ip(), self.cseq + 1);
        let network = if ip.is_ipv4() { "IP4" } else { "IP6" };
        let port = self.line.with(|media| media.port());
        format!(
            "v=0\r\no=caller 7 {version} IN {network} {ip}\r\ns=-\r\nc=IN {network} {ip}\r\nt=0 0\r\n\
             m=audio {port} RTP/AVP 0 {TELEPHONE_EVENT}\r\na=rtpmap:0 PCMU/8000\r\n\
             a=rtpmap:{TELEPHONE_EVENT} telephone-event/8000\r\na=fmtp:{TELEPHONE_EVENT} 0-15\r\na={direction}\r\n"
        )
    }
}

impl Line {
    fn open(address: SocketAddr, audio: Audio) -> Self {
        let media = Media::listen(address.ip(), audio, Instant::now());
        let shared = Arc::new(LineState { media: Mutex::new((media, Vec::new())), stop: AtomicBool::new(false) });
        let state = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            while !state.stop.load(Ordering::Relaxed) {
                let mut guard = state.media.lock().unwrap_or_else(PoisonError::into_inner);
                let (media, heard) = &mut *guard;
                media.run(Instant::now(), heard);
                drop(guard);
                pause(super::MEDIA_TICK);
            }
        });
        Self { shared, thread: Some(thread) }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Media) -> T) -> T {
        act(&mut self.shared.media.lock().unwrap_or_else(PoisonError::into_inner).0)
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic of it was told already.
            drop(thread.join());
        }
    }
}

fn finish(mut text: String, body: &str) -> Vec<u8> {
    if !body.is_empty() {
        text.push_str("Content-Type: application/sdp\r\n");
    }
    text.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
    text.into_bytes()
}

static NEXT: AtomicU32 = AtomicU32::new(1);
/// As most offers number them.
const TELEPHONE_EVENT: u8 = 101;
/// A key is 60 ms long; a receiver wants to hear that it was let go.
const BETWEEN_KEYS: Duration = Duration::from_millis(120);
/// How long something that must happen may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(5);
