//! One call, at its caller's or its callee's.

use super::wire::Wire;
use super::{CalleeManners, CallerManners};
use crate::sip_text::SipText;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// A message that came or went; resends are there too.
#[derive(Clone, Debug)]
pub struct Seen {
    /// When.
    pub at: Instant,
    /// Whether the far end sent it.
    pub sent: bool,
    /// `INVITE` of a request, `200 BYE` of a response.
    pub what: String,
    /// The whole of it.
    pub text: SipText,
}

/// What a far end saw of a call.
#[derive(Clone, Debug)]
pub struct FarCall {
    /// Its Call-ID.
    pub call_id: String,
    /// Whether the far end is its caller.
    pub is_caller: bool,
    /// Every message, in order.
    pub seen: Vec<Seen>,
    /// The connection was closed before there was any answer to the INVITE, or could not be made: the caller tries elsewhere.
    pub failed_over: bool,
}

impl FarCall {
    /// When a message first came: `INVITE`, `200 BYE`.
    #[must_use]
    pub fn received(&self, what: &str) -> Option<Instant> {
        self.seen.iter().find(|seen| !seen.sent && seen.what == what).map(|seen| seen.at)
    }

    /// When a message first went out.
    #[must_use]
    pub fn sent(&self, what: &str) -> Option<Instant> {
        self.seen.iter().find(|seen| seen.sent && seen.what == what).map(|seen| seen.at)
    }

    /// The first final answer to the INVITE, with its direction.
    #[must_use]
    pub fn final_answer(&self) -> Option<(&Seen, u16)> {
        self.answers().find(|(_, status)| *status >= 200)
    }

    /// When the INVITE was answered with a 2xx.
    #[must_use]
    pub fn answered_at(&self) -> Option<Instant> {
        self.answers().find(|(_, status)| (200..300).contains(status)).map(|(seen, _)| seen.at)
    }

    /// All answers to the INVITE.
    pub fn answers(&self) -> impl Iterator<Item = (&Seen, u16)> {
        let answers = self.seen.iter().filter(|seen| seen.sent != self.is_caller);
        answers.filter_map(|seen| {
            let is_of_invite = seen.text.cseq().is_some_and(|(_, method)| method == "INVITE");
            seen.text.status().filter(|_| is_of_invite).map(|status| (seen, status))
        })
    }

    /// One line a message, for a test that has failed.
    #[must_use]
    pub fn history(&self, since: Instant) -> String {
        let mut lines = format!("{} ({})\n", self.call_id, if self.is_caller { "caller" } else { "callee" });
        for seen in &self.seen {
            let arrow = if seen.sent { "to node" } else { "of node" };
            let at = seen.at.saturating_duration_since(since).as_secs_f64();
            lines.push_str(&format!("  {at:9.3} {arrow} {} [{}]\n", seen.what, seen.text.start));
        }
        lines
    }
}

/// A message that is sent until it is answered.
#[derive(Debug)]
struct Resent {
    octets: Vec<u8>,
    to: SocketAddr,
    due: Instant,
    distance: Duration,
    give_up: Instant,
}

#[derive(Debug)]
pub(super) struct Call {
    pub(super) view: FarCall,
    local: SocketAddr,
    /// From where the last request of this call came, or to where the first went.
    remote: SocketAddr,
    tag: String,
    /// The INVITE, of either side.
    invite: Option<SipText>,
    side: Side,
    cseq: u32,
    /// A request of ours, and for whose answer it waits.
    request: Option<(&'static str, Resent)>,
    /// A final answer of ours that waits for its ACK.
    answer: Option<Resent>,
    last_answer: Option<Vec<u8>>,
    leave_at: Option<Instant>,
    over: bool,
}

#[derive(Debug)]
enum Side {
    Callee {
        manners: CalleeManners,
        answer_at: Option<Instant>,
    },
    Caller {
        manners: CallerManners,
        /// When to cancel, as soon as there is a provisional answer.
        give_up_at: Option<Instant>,
        heard: bool,
        /// The To of the answer: with the tag of the node.
        remote_to: Option<String>,
    },
}

impl Call {
    pub(super) fn from_node(call_id: &str, local: SocketAddr, manners: CalleeManners) -> Self {
        Self::new(call_id, local, local, Side::Callee { manners, answer_at: None })
    }

    pub(super) fn to_node(
        call_id: &str,
        local: SocketAddr,
        to: SocketAddr,
        user: &str,
        manners: CallerManners,
        wire: &mut Wire,
        now: Instant,
    ) -> Self {
        let give_up_at = manners.gives_up_after.map(|span| now + span);
        let side = Side::Caller { manners, give_up_at, heard: false, remote_to: None };
        let mut call = Self::new(call_id, local, to, side);
        let (name, ip, tag) = (wire.name(), local.ip(), &call.tag);
        let body = format!(
            "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {RTP_PORT} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
        );
        let text = format!(
            "INVITE sip:{user}@{to};transport={} SIP/2.0\r\nVia: SIP/2.0/{name} {local};branch=z9hG4bK{tag};rport\r\n\
             From: <sip:{CALLER_NUMBER}@{local}>;tag={tag}\r\nTo: <sip:{user}@{to}>\r\nCall-ID: {call_id}\r\nCSeq: 1 INVITE\r\n\
             Contact: <sip:{CALLER_NUMBER}@{local};transport={}>\r\nMax-Forwards: 70\r\n",
            name.to_lowercase(),
            name.to_lowercase(),
        );
        let octets = finish(text, &body);
        call.invite = SipText::parse(&octets);
        call.send_request("INVITE", octets, to, wire, now);
        call
    }

    fn new(call_id: &str, local: SocketAddr, remote: SocketAddr, side: Side) -> Self {
        let mut hasher = DefaultHasher::new();
        (local, call_id).hash(&mut hasher);
        let is_caller = matches!(side, Side::Caller { .. });
        let view = FarCall { call_id: call_id.to_owned(), is_caller, seen: Vec::new(), failed_over: false };
        Self {
            view,
            local,
            remote,
            tag: format!("far{:x}", hasher.finish()),
            invite: None,
            side,
            cseq: 1,
            request: None,
            answer: None,
            last_answer: None,
            leave_at: None,
            over: false,
        }
    }

    pub(super) fn handle(&mut self, from: SocketAddr, text: &SipText, wire: &mut Wire, now: Instant) {
        let what = text.what();
        self.view.seen.push(Seen { at: now, sent: false, what, text: text.clone() });
        match text.method() {
            None => self.handle_response(text, wire, now),
            Some(method) => {
                self.remote = from;
                match method {
                    "INVITE" => self.handle_invite(text, wire, now),
                    "ACK" => self.handle_ack(now),
                    "CANCEL" => self.handle_cancel(text, wire, now),
                    "BYE" => {
                        let status = if self.invite.is_some() { 200 } else { 481 };
                        self.respond(text, status, "", wire, now);
                        self.end();
                    }
                    _ => self.respond(text, 200, "", wire, now),
                }
            }
        }
    }

    // The callee's.

    fn handle_invite(&mut self, text: &SipText, wire: &mut Wire, now: Instant) {
        if self.invite.is_some() {
            if let Some(octets) = self.last_answer.clone() {
                self.send(self.remote, &octets, wire, now);
            }
            return;
        }
        self.invite = Some(text.clone());
        let Side::Callee { manners, answer_at } = &mut self.side else { return };
        let manners = *manners;
        *answer_at = manners.answers_after.map(|span| now + span);
        self.respond(text, 100, "", wire, now);
        if manners.rings {
            self.respond(text, 180, "", wire, now);
        }
        if let Some(status) = manners.refuses {
            self.answer(status, "", wire, now);
        }
    }

    fn handle_ack(&mut self, now: Instant) {
        self.answer = None;
        if let Side::Callee { manners, .. } = &self.side
            && self.view.answered_at().is_some()
            && self.leave_at.is_none()
        {
            self.leave_at = manners.leaves_after.map(|span| now + span);
        }
    }

    fn handle_cancel(&mut self, text: &SipText, wire: &mut Wire, now: Instant) {
        if self.invite.is_none() {
            return self.respond(text, 481, "", wire, now);
        }
        self.respond(text, 200, "", wire, now);
        if self.view.final_answer().is_none() {
            self.answer(487, "", wire, now);
        }
    }

    fn answer(&mut self, status: u16, body: &str, wire: &mut Wire, now: Instant) {
        let Some(invite) = self.invite.clone() else { return };
        if let Side::Callee { answer_at, .. } = &mut self.side {
            *answer_at = None;
        }
        self.respond(&invite, status, body, wire, now);
        // A 2xx is resent over TCP too (RFC 3261 §13.3.1.4).
        if status < 300 || wire.is_lossy() {
            let octets = self.last_answer.clone().unwrap_or_default();
            self.answer = Some(Resent::new(octets, self.remote, now));
        }
    }

    fn respond(&mut self, request: &SipText, status: u16, body: &str, wire: &mut Wire, now: Instant) {
        let octets = self.response(request, status, body, wire.name());
        if request.method() == Some("INVITE") {
            self.last_answer = Some(octets.clone());
        }
        self.send_response(request, &octets, wire, now);
    }

    /// Over the way of the request; if that is gone, to where its Via says (RFC 3261 §18.2.2).
    fn send_response(&mut self, request: &SipText, octets: &[u8], wire: &mut Wire, now: Instant) {
        let to = if wire.reaches(self.remote) { Some(self.remote) } else { sent_by(request) };
        if let Some(to) = to {
            self.send(to, octets, wire, now);
        }
    }

    fn response(&self, request: &SipText, status: u16, body: &str, transport: &str) -> Vec<u8> {
        let mut text = format!("SIP/2.0 {status} Said\r\n");
        for (name, value) in &request.headers {
            if ["Via", "From", "To", "Call-ID", "CSeq"].iter().any(|copied| name.eq_ignore_ascii_case(copied)) {
                let untagged = name.eq_ignore_ascii_case("To") && status > 100 && !value.contains(";tag=");
                let tag = if untagged { format!(";tag={}", self.tag) } else { String::new() };
                text.push_str(&format!("{name}: {value}{tag}\r\n"));
            }
        }
        text.push_str(&format!("Contact: <sip:far@{};transport={}>\r\n", self.local, transport.to_lowercase()));
        finish(text, body)
    }

    // The caller's.

    fn handle_response(&mut self, text: &SipText, wire: &mut Wire, now: Instant) {
        let (Some(status), Some((number, method))) = (text.status(), text.cseq()) else { return };
        if let Some((waiting, _)) = &self.request
            && *waiting == method
            && (status >= 200 || method == "INVITE")
        {
            self.request = None;
        }
        if method == "BYE" && status >= 200 {
            self.end();
        }
        if method != "INVITE" {
            return;
        }
        let Side::Caller { manners, give_up_at, heard, remote_to } = &mut self.side else { return };
        *heard = true;
        if status < 200 {
            return;
        }
        *give_up_at = None;
        if status >= 300 {
            let ack = self.of_invite("ACK", text.header("To").unwrap_or_default(), number);
            self.send(self.remote, &ack, wire, now);
            return self.end();
        }
        if manners.loses_answers > 0 {
            manners.loses_answers -= 1;
            return;
        }
        *remote_to = text.header("To").map(str::to_owned);
        let leaves_after = manners.leaves_after;
        let target = text.address("Contact").and_then(address_of).unwrap_or(self.remote);
        if self.leave_at.is_none() && !self.over {
            self.leave_at = leaves_after.map(|span| now + span);
        }
        let ack = self.in_dialog("ACK", number, wire.name());
        self.send(target, &ack, wire, now);
    }

    /// A request of the INVITE's own transaction: CANCEL, and the ACK of a refusal (RFC 3261 §9.1, §17.1.1.3).
    fn of_invite(&self, method: &str, to: &str, number: u32) -> Vec<u8> {
        let Some(invite) = &self.invite else { return Vec::new() };
        let header = |name| invite.header(name).unwrap_or_default();
        let text = format!(
            "{method} {} SIP/2.0\r\nVia: {}\r\nFrom: {}\r\nTo: {to}\r\nCall-ID: {}\r\nCSeq: {number} {method}\r\nMax-Forwards: 70\r\n",
            invite.uri().unwrap_or_default(),
            header("Via"),
            header("From"),
            invite.call_id(),
        );
        finish(text, "")
    }

    /// A request in the dialog, of either side.
    fn in_dialog(&self, method: &str, number: u32, transport: &str) -> Vec<u8> {
        let Some(invite) = &self.invite else { return Vec::new() };
        let header = |name| invite.header(name).unwrap_or_default();
        let (from, to, target) = match &self.side {
            Side::Callee { .. } => (
                format!("{};tag={}", header("To"), self.tag),
                header("From").to_owned(),
                invite.address("Contact").unwrap_or_default().to_owned(),
            ),
            Side::Caller { remote_to, .. } => {
                let contact = self.answers_contact().unwrap_or_default();
                (header("From").to_owned(), remote_to.clone().unwrap_or_default(), contact)
            }
        };
        let text = format!(
            "{method} {target} SIP/2.0\r\nVia: SIP/2.0/{transport} {};branch=z9hG4bK{}{method}{number};rport\r\nFrom: {from}\r\nTo: {to}\r\n\
             Call-ID: {}\r\nCSeq: {number} {method}\r\nMax-Forwards: 70\r\n",
            self.local,
            self.tag,
            invite.call_id(),
        );
        finish(text, "")
    }

    fn answers_contact(&self) -> Option<String> {
        let mut answers = self.view.answers();
        answers.find(|(_, status)| (200..300).contains(status))?.0.text.address("Contact").map(str::to_owned)
    }

    // Both.

    pub(super) fn run(&mut self, wire: &mut Wire, now: Instant) {
        self.resend(wire, now);
        if self.over {
            return;
        }
        match &mut self.side {
            Side::Callee { answer_at, .. } => {
                if answer_at.is_some_and(|at| at <= now) {
                    let ip = self.local.ip();
                    let body = format!(
                        "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {RTP_PORT} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
                    );
                    self.answer(200, &body, wire, now);
                }
            }
            Side::Caller { give_up_at, heard, .. } => {
                if *heard && give_up_at.is_some_and(|at| at <= now) {
                    *give_up_at = None;
                    let to = self.invite.as_ref().and_then(|invite| invite.header("To")).unwrap_or_default().to_owned();
                    let cancel = self.of_invite("CANCEL", &to, 1);
                    self.send_request("CANCEL", cancel, self.remote, wire, now);
                }
            }
        }
        if self.leave_at.is_some_and(|at| at <= now) {
            self.leave_at = None;
            self.cseq += 1;
            let bye = self.in_dialog("BYE", self.cseq, wire.name());
            let target = SipText::parse(&bye).and_then(|bye| bye.uri().and_then(address_of)).unwrap_or(self.remote);
            self.send_request("BYE", bye, target, wire, now);
        }
    }

    fn resend(&mut self, wire: &mut Wire, now: Instant) {
        let mut again = Vec::new();
        let is_lossy = wire.is_lossy();
        if let Some((_, request)) = &mut self.request {
            // Over TCP one is enough, if somebody was there.
            if is_lossy && request.is_due(now) {
                again.push((request.to, request.octets.clone()));
            }
            if request.give_up <= now {
                self.request = None;
            }
        }
        if let Some(answer) = &mut self.answer {
            if answer.is_due(now) {
                let to =
                    if wire.reaches(self.remote) { Some(self.remote) } else { self.invite.as_ref().and_then(sent_by) };
                again.extend(to.map(|to| (to, answer.octets.clone())));
            }
            if answer.give_up <= now {
                self.answer = None;
            }
        }
        for (to, octets) in again {
            self.send(to, &octets, wire, now);
        }
    }

    pub(super) fn connection_closed(&mut self, remote: SocketAddr) {
        if let Side::Caller { heard: false, .. } = &self.side
            && self.remote == remote
        {
            self.view.failed_over = true;
            self.end();
        }
    }

    fn send_request(&mut self, method: &'static str, octets: Vec<u8>, to: SocketAddr, wire: &mut Wire, now: Instant) {
        let is_sent = self.send(to, &octets, wire, now);
        if method == "INVITE" && !is_sent && !wire.is_lossy() {
            self.view.failed_over = true;
            return self.end();
        }
        self.request = Some((method, Resent::new(octets, to, now)));
    }

    /// What did not leave is not shown, but over UDP, where nobody knows.
    fn send(&mut self, to: SocketAddr, octets: &[u8], wire: &mut Wire, now: Instant) -> bool {
        let is_sent = wire.send(to, octets);
        if (is_sent || wire.is_lossy())
            && let Some(text) = SipText::parse(octets)
        {
            self.view.seen.push(Seen { at: now, sent: true, what: text.what(), text });
        }
        is_sent
    }

    fn end(&mut self) {
        self.over = true;
        self.answer = None;
        self.request = None;
        self.leave_at = None;
    }
}

impl Resent {
    fn new(octets: Vec<u8>, to: SocketAddr, now: Instant) -> Self {
        Self { octets, to, due: now + T1, distance: T1, give_up: now + T1 * 64 }
    }

    fn is_due(&mut self, now: Instant) -> bool {
        let is_due = self.due <= now;
        if is_due {
            self.distance = (self.distance * 2).min(T2);
            self.due = now + self.distance;
        }
        is_due
    }
}

/// Host and port of a URI with a literal address.
fn address_of(uri: &str) -> Option<SocketAddr> {
    let rest = uri.split_once(':')?.1;
    let place = rest.rsplit('@').next()?;
    place.split(';').next()?.parse().ok()
}

/// Host and port of the top Via.
fn sent_by(request: &SipText) -> Option<SocketAddr> {
    request.header("Via")?.split(' ').nth(1)?.split(';').next()?.parse().ok()
}

fn finish(mut text: String, body: &str) -> Vec<u8> {
    if !body.is_empty() {
        text.push_str("Content-Type: application/sdp\r\n");
    }
    text.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
    text.into_bytes()
}

/// RFC 3261 §17.1.1.1.
const T1: Duration = Duration::from_millis(500);
const T2: Duration = Duration::from_secs(4);
/// Where audio would go: the discard port.
const RTP_PORT: u16 = 9;
/// Who calls.
const CALLER_NUMBER: &str = "+12025550199";
