//! One endpoint, fed with hand-written messages.

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tandem_model::{Secret, Transport};
use tandem_sip::endpoint::{
    Counts, Credentials, Endpoint, EndpointConfig, Event, Flow, Identity, OutgoingInvite, Output, SessionId,
};
use tandem_sip::message::{Body, HeaderName, Message, NameAddr, Uri};
use tandem_sip::random::Randomness;

pub(crate) const US: &str = "192.0.2.1:5060";
pub(crate) const PEER: &str = "192.0.2.2:5060";
pub(crate) const STRANGER: &str = "203.0.113.9:5060";
pub(crate) const SDP: &str =
    "v=0\r\no=- 1 1 IN IP4 192.0.2.2\r\ns=-\r\nc=IN IP4 192.0.2.2\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";

/// SplitMix64, from a seed.
#[derive(Clone)]
pub(crate) struct Seeded(pub(crate) u64);

impl Seeded {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

impl Randomness for Seeded {
    fn fill(&mut self, octets: &mut [u8]) {
        for chunk in octets.chunks_mut(8) {
            let random = self.next().to_be_bytes();
            chunk.copy_from_slice(&random[..chunk.len()]);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "an Instant can only be had from the clock; it is read once")]
pub(crate) fn start() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now)
}

pub(crate) fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub(crate) fn uri(text: &str) -> Uri {
    text.parse().unwrap()
}

/// A message that the endpoint sent.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) at_ms: u128,
    pub(crate) flow: Flow,
    pub(crate) text: String,
}

impl Sent {
    pub(crate) fn start_line(&self) -> &str {
        self.text.lines().next().unwrap()
    }

    /// `INVITE`, or `200`.
    pub(crate) fn kind(&self) -> &str {
        let mut words = self.start_line().split(' ');
        match words.next().unwrap() {
            "SIP/2.0" => words.next().unwrap(),
            method => method,
        }
    }

    /// The values of all lines of a header.
    pub(crate) fn headers(&self, name: &str) -> Vec<&str> {
        self.text
            .split("\r\n\r\n")
            .next()
            .unwrap()
            .lines()
            .filter_map(|line| line.split_once(": "))
            .filter(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
            .collect()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers(name).first().copied().unwrap_or_else(|| panic!("no {name} in\n{}", self.text))
    }

    pub(crate) fn tag(&self, name: &str) -> &str {
        self.header(name).split(";tag=").nth(1).unwrap().split(';').next().unwrap()
    }
}

pub(crate) struct Lab {
    pub(crate) endpoint: Endpoint,
    pub(crate) now: Instant,
    pub(crate) transport: Transport,
    sent: Vec<Sent>,
    events: Vec<Event>,
}

impl Lab {
    pub(crate) fn new() -> Self {
        Self::with(EndpointConfig::new("Tandem", Identity { node: 1, shard: 2 }))
    }

    pub(crate) fn with(config: EndpointConfig) -> Self {
        Self {
            endpoint: Endpoint::new(config, Box::new(Seeded(7))),
            now: start(),
            transport: Transport::Udp,
            sent: Vec::new(),
            events: Vec::new(),
        }
    }

    pub(crate) fn flow(&self, remote: &str) -> Flow {
        Flow { transport: self.transport, local: address(US), remote: address(remote) }
    }

    /// A message from the peer. Line breaks are made CRLF.
    pub(crate) fn receive(&mut self, text: &str) {
        self.receive_from(PEER, text);
    }

    pub(crate) fn receive_from(&mut self, remote: &str, text: &str) {
        let text = text.replace("\r\n", "\n").replace('\n', "\r\n");
        self.receive_octets(remote, text.as_bytes());
    }

    pub(crate) fn receive_octets(&mut self, remote: &str, octets: &[u8]) {
        let flow = self.flow(remote);
        self.endpoint.handle_datagram(flow, octets, self.now);
        self.drain();
    }

    pub(crate) fn drain(&mut self) {
        while let Some(output) = self.endpoint.poll_output() {
            match output {
                Output::Transmit(transmit) => {
                    let text = String::from_utf8(transmit.payload.to_vec()).unwrap();
                    // Whatever we send must be a message.
                    Message::parse(&transmit.payload).unwrap_or_else(|error| panic!("{error}:\n{text}"));
                    let at_ms = (self.now - start()).as_millis();
                    self.sent.push(Sent { at_ms, flow: transmit.flow, text });
                }
                Output::Event(event) => self.events.push(event),
            }
        }
    }

    /// Lets time pass, each timer at its own moment.
    pub(crate) fn pass(&mut self, ms: u64) {
        self.drain();
        let end = self.now + Duration::from_millis(ms);
        while let Some(due) = self.endpoint.poll_timeout().filter(|due| *due <= end) {
            self.now = due;
            self.endpoint.handle_timeout(due);
            self.drain();
        }
        self.now = end;
    }

    /// All messages sent since the last look.
    pub(crate) fn sent(&mut self) -> Vec<Sent> {
        self.drain();
        std::mem::take(&mut self.sent)
    }

    /// The only message sent since the last look.
    pub(crate) fn sent_one(&mut self) -> Sent {
        let sent = self.sent();
        assert_eq!(sent.len(), 1, "{sent:#?}");
        sent.into_iter().next().unwrap()
    }

    pub(crate) fn kinds(&mut self) -> Vec<String> {
        self.sent().iter().map(|sent| sent.kind().to_owned()).collect()
    }

    /// When messages of a kind went out, in milliseconds.
    pub(crate) fn times(&mut self, kind: &str) -> Vec<u128> {
        self.sent().iter().filter(|sent| sent.kind() == kind).map(|sent| sent.at_ms).collect()
    }

    pub(crate) fn events(&mut self) -> Vec<Event> {
        self.drain();
        std::mem::take(&mut self.events)
    }

    /// The events since the last look, in short.
    pub(crate) fn told(&mut self) -> Vec<String> {
        self.events().iter().map(short).collect()
    }

    /// Calls the peer and returns the INVITE.
    pub(crate) fn call(&mut self) -> (SessionId, Sent) {
        let invite = self.outgoing();
        self.call_with(invite)
    }

    pub(crate) fn call_with(&mut self, invite: OutgoingInvite) -> (SessionId, Sent) {
        let session = self.endpoint.invite(invite, self.now);
        (session, self.sent_one())
    }

    pub(crate) fn outgoing(&self) -> OutgoingInvite {
        OutgoingInvite {
            flow: self.flow(PEER),
            request_uri: uri("sip:+12025550100@peer.example.net"),
            routes: Vec::new(),
            from: NameAddr::new(uri("sip:+12025550199@us.example.com")),
            to: NameAddr::new(uri("sip:+12025550100@peer.example.net")),
            headers: Vec::new(),
            credentials: None,
            body: Some(Body::sdp(SDP.as_bytes().to_vec())),
            max_forwards: 70,
        }
    }

    /// The session of the only Invite event.
    pub(crate) fn invited(&mut self) -> SessionId {
        match self.events().as_slice() {
            [Event::Invite { session, .. }] => *session,
            other => panic!("{other:#?}"),
        }
    }

    /// Answers an INVITE of the peer up to the ACK, and returns our 200.
    pub(crate) fn answered_call(&mut self) -> (SessionId, Sent) {
        self.receive(&invite("a"));
        let session = self.invited();
        self.endpoint.accept(session, Some(Body::sdp(SDP.into())), Vec::new(), self.now);
        let ok = self.sent_one();
        self.receive(&in_dialog("ACK", 1, ok.tag("To"), ""));
        assert_eq!(self.told(), ["Acknowledged"]);
        (session, ok)
    }

    /// Places a call up to the ACK, and returns the INVITE.
    pub(crate) fn established_call(&mut self) -> (SessionId, Sent) {
        let (session, invite) = self.call();
        self.receive(&response(&invite, 200, "OK", "b", SDP));
        assert_eq!(self.kinds(), ["ACK"]);
        assert_eq!(self.told(), ["Answered"]);
        (session, invite)
    }

    pub(crate) fn counts(&self) -> Counts {
        self.endpoint.counts()
    }

    /// Everything that may still happen happens, and nothing is left.
    pub(crate) fn finish(mut self) {
        self.pass(200_000);
        assert_eq!(self.endpoint.counts(), Counts::default());
        assert_eq!(self.endpoint.poll_timeout(), None);
    }
}

pub(crate) fn credentials() -> Option<Credentials> {
    Some(Credentials { username: "trunk".into(), password: Secret::new("s3cret"), realm: None })
}

pub(crate) fn short(event: &Event) -> String {
    match event {
        Event::Invite { .. } => "Invite".into(),
        Event::Provisional { status, .. } => format!("Provisional {}", status.as_u16()),
        Event::Answered { .. } => "Answered".into(),
        Event::Failed { failure, .. } => match failure {
            tandem_sip::endpoint::Failure::Status(refused) => format!("Failed {}", refused.status.as_u16()),
            other => format!("Failed {other:?}"),
        },
        Event::Canceled { .. } => "Canceled".into(),
        Event::Acknowledged { .. } => "Acknowledged".into(),
        Event::AnsweredLate { .. } => "AnsweredLate".into(),
        Event::Unacknowledged { .. } => "Unacknowledged".into(),
        Event::Reinvite { .. } => "Reinvite".into(),
        Event::ReinviteCanceled { .. } => "ReinviteCanceled".into(),
        Event::ReinviteAnswered { .. } => "ReinviteAnswered".into(),
        Event::ReinviteFailed { .. } => "ReinviteFailed".into(),
        Event::Bye { .. } => "Bye".into(),
        Event::Ended { ending, .. } => format!("Ended {ending:?}"),
        Event::Request { request, .. } => format!("Request {}", request.method),
        Event::Response { outcome, .. } => match outcome {
            Ok(summary) => format!("Response {}", summary.status.as_u16()),
            Err(failure) => format!("Response {failure:?}"),
        },
    }
}

/// An INVITE of the peer with that branch.
pub(crate) fn invite(branch: &str) -> String {
    request("INVITE", branch, 1, "", "Contact: <sip:peer@192.0.2.2:5060>\nContent-Type: application/sdp\n", SDP)
}

/// A request of the peer outside of a dialog, or with a tag in To.
pub(crate) fn request(method: &str, branch: &str, cseq: u32, to_tag: &str, headers: &str, body: &str) -> String {
    let to_tag = if to_tag.is_empty() { String::new() } else { format!(";tag={to_tag}") };
    let body = body.replace("\r\n", "\n").replace('\n', "\r\n");
    format!(
        "{method} sip:+12025550199@192.0.2.1 SIP/2.0\n\
         Via: SIP/2.0/UDP 192.0.2.2:5060;rport;branch=z9hG4bK-{branch}\n\
         Max-Forwards: 70\n\
         From: <sip:+12025550100@peer.example.net>;tag=their\n\
         To: <sip:+12025550199@us.example.com>{to_tag}\n\
         Call-ID: call-1\n\
         CSeq: {cseq} {method}\n\
         {headers}Content-Length: {}\n\n{body}",
        body.len()
    )
}

/// A request of the peer in the dialog that its INVITE made.
pub(crate) fn in_dialog(method: &str, cseq: u32, our_tag: &str, headers: &str) -> String {
    request(method, &format!("{method}-{cseq}"), cseq, our_tag, headers, "")
}

/// A response of the peer to a request of ours. Body and Contact only if there is a body.
pub(crate) fn response(to: &Sent, code: u16, phrase: &str, tag: &str, body: &str) -> String {
    let content = if body.is_empty() {
        String::new()
    } else {
        "Contact: <sip:peer@192.0.2.2:5060>\nContent-Type: application/sdp\n".to_owned()
    };
    response_with(to, code, phrase, tag, &content, body)
}

pub(crate) fn response_with(to: &Sent, code: u16, phrase: &str, tag: &str, headers: &str, body: &str) -> String {
    let vias: String = to.headers("Via").iter().map(|via| format!("Via: {via}\n")).collect();
    let to_header = to.header("To");
    let tag = if tag.is_empty() || to_header.contains(";tag=") { String::new() } else { format!(";tag={tag}") };
    let body = body.replace("\r\n", "\n").replace('\n', "\r\n");
    format!(
        "SIP/2.0 {code} {phrase}\n{vias}From: {}\nTo: {to_header}{tag}\nCall-ID: {}\nCSeq: {}\n{headers}Content-Length: {}\n\n{body}",
        to.header("From"),
        to.header("Call-ID"),
        to.header("CSeq"),
        body.len()
    )
}

/// A request of the peer in a dialog that our INVITE made, its own tag being `b`.
pub(crate) fn from_callee(method: &str, cseq: u32, invite: &Sent, headers: &str, body: &str) -> String {
    let body = body.replace("\r\n", "\n").replace('\n', "\r\n");
    format!(
        "{method} sip:000102@192.0.2.1:5060 SIP/2.0\n\
         Via: SIP/2.0/UDP 192.0.2.2:5060;rport;branch=z9hG4bK-callee-{method}-{cseq}\n\
         Max-Forwards: 70\nFrom: {};tag=b\nTo: {}\nCall-ID: {}\nCSeq: {cseq} {method}\n{headers}Content-Length: {}\n\n{body}",
        invite.header("To"),
        invite.header("From"),
        invite.header("Call-ID"),
        body.len()
    )
}

/// The value of a header of an INVITE event, as the user would ask for it.
pub(crate) fn header_of(event: &Event, name: &HeaderName) -> Vec<String> {
    match event {
        Event::Invite { request, .. } => request.header_values(name),
        other => panic!("{other:#?}"),
    }
}
