//! The other side of a call: an endpoint that does what its script says.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tandem_model::Transport;
use tandem_sip::endpoint::{Endpoint, EndpointConfig, Event, Flow, Identity, OutgoingInvite, Output, SessionId};
use tandem_sip::message::{Body, Header, HeaderName, HeaderValue, NameAddr, StatusCode, Uri};
use tandem_sip::session::ReasonHeader;

use tandem_lab::setup::{Seeded, start};

/// What a far end does, and how many milliseconds after the INVITE came.
pub(crate) type Script = Vec<(u64, Does)>;

#[derive(Clone, Debug)]
pub(crate) enum Does {
    /// A provisional answer, with this description.
    Progress(u16, Option<String>),
    /// 200 with this description; without one it names no media at all.
    Answer(Option<String>),
    /// A final answer with these headers.
    Reject(u16, Vec<(&'static str, String)>),
    /// BYE.
    Bye,
    /// Hangs up with a Reason of this Q.850 number.
    ByeFor(u16),
    /// A re-INVITE with this offer; without one it wants ours, and answers it with the second.
    Reinvite(Option<String>, Option<String>),
    /// CANCEL of its own INVITE.
    Cancel,
}

/// An INVITE of a far end.
#[derive(Clone, Debug)]
pub(crate) struct Calls {
    pub(crate) to: String,
    pub(crate) from: &'static str,
    /// The offer; without it the other side makes one.
    pub(crate) offer: Option<String>,
    /// The answer, in the ACK, to an offer of the other side; without it the ACK has none.
    pub(crate) answer: Option<String>,
    pub(crate) max_forwards: u8,
    /// From the INVITE on.
    pub(crate) script: Script,
}

/// Whether a far end listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hearing {
    Awake,
    /// What comes waits until then.
    AsleepUntil(Instant),
    /// What comes is lost.
    Dead,
    /// What comes is refused by its host.
    Unreachable,
}

/// A message that came.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    pub(crate) at: Duration,
    pub(crate) text: String,
}

impl Heard {
    /// `INVITE`, or `200`.
    pub(crate) fn kind(&self) -> &str {
        let mut words = self.text.split(' ');
        match words.next().unwrap() {
            "SIP/2.0" => words.next().unwrap(),
            method => method,
        }
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        let mut lines = self.text.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value)
    }

    pub(crate) fn body(&self) -> &str {
        self.text.split_once("\r\n\r\n").map_or("", |(_, body)| body)
    }

    /// The line of its description that begins so.
    pub(crate) fn sdp_line(&self, start: &str) -> &str {
        self.body().lines().find(|line| line.starts_with(start)).unwrap_or_default()
    }
}

pub(crate) struct FarEnd {
    pub(crate) address: SocketAddr,
    pub(crate) hearing: Hearing,
    pub(crate) heard: Vec<Heard>,
    /// For one INVITE after the other; the last one for all that follow.
    pub(crate) scripts: VecDeque<Script>,
    pub(crate) endpoint: Endpoint,
    /// What came while it slept.
    kept: Vec<(Flow, Vec<u8>)>,
    due: Vec<(Instant, SessionId, Does)>,
    /// The description for an offer of the other side that comes in a 200.
    answer: Option<String>,
    pub(crate) last_session: Option<SessionId>,
}

impl FarEnd {
    pub(crate) fn new(address: SocketAddr, script: Script) -> Self {
        let config = EndpointConfig::new("Far", Identity { node: address.port(), shard: 9 });
        let seed = address.to_string().bytes().fold(7, |seed: u64, octet| seed.wrapping_mul(131) + u64::from(octet));
        Self {
            address,
            hearing: Hearing::Awake,
            heard: Vec::new(),
            scripts: VecDeque::from([script]),
            endpoint: Endpoint::new(config, Box::new(Seeded(seed))),
            kept: Vec::new(),
            due: Vec::new(),
            answer: None,
            last_session: None,
        }
    }

    /// Calls somebody there.
    pub(crate) fn call(&mut self, there: SocketAddr, calls: Calls, now: Instant) -> SessionId {
        let uri = |text: &str| Uri::parse(text.as_bytes()).unwrap();
        self.answer = calls.answer;
        let session = self.endpoint.invite(
            OutgoingInvite {
                flow: Flow { transport: Transport::Udp, local: self.address, remote: there },
                request_uri: uri(&calls.to),
                routes: Vec::new(),
                from: NameAddr::new(uri(calls.from)),
                to: NameAddr::new(uri(&calls.to)),
                headers: Vec::new(),
                credentials: None,
                body: calls.offer.map(|offer| Body::sdp(offer.into_bytes())),
                max_forwards: calls.max_forwards,
            },
            now,
        );
        let due = |(after, does)| (now + Duration::from_millis(after), session, does);
        self.due.extend(calls.script.into_iter().map(due));
        self.last_session = Some(session);
        session
    }

    /// Takes a datagram. False when the host refuses it.
    pub(crate) fn hear(&mut self, from: SocketAddr, octets: Vec<u8>, now: Instant) -> bool {
        let flow = Flow { transport: Transport::Udp, local: self.address, remote: from };
        if self.hearing != Hearing::Dead && self.hearing != Hearing::Unreachable {
            self.heard.push(Heard { at: now - start(), text: String::from_utf8(octets.clone()).unwrap() });
        }
        match self.hearing {
            Hearing::Awake => self.endpoint.handle_datagram(flow, &octets, now),
            Hearing::AsleepUntil(_) => self.kept.push((flow, octets)),
            Hearing::Dead => {}
            Hearing::Unreachable => return false,
        }
        true
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let wakes = match self.hearing {
            Hearing::AsleepUntil(until) => Some(until),
            Hearing::Awake | Hearing::Dead | Hearing::Unreachable => None,
        };
        let due = self.due.iter().map(|(at, ..)| *at).min();
        [wakes, due, self.endpoint.poll_timeout()].into_iter().flatten().min()
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if let Hearing::AsleepUntil(until) = self.hearing
            && until <= now
        {
            self.hearing = Hearing::Awake;
            for (flow, octets) in std::mem::take(&mut self.kept) {
                self.endpoint.handle_datagram(flow, &octets, now);
            }
        }
        self.endpoint.handle_timeout(now);
        while let Some(index) = self.due.iter().position(|(at, ..)| *at <= now) {
            let (_, session, does) = self.due.remove(index);
            self.act(session, does, now);
        }
    }

    /// Sends what is to be sent, and takes up what happened.
    pub(crate) fn drain(&mut self, now: Instant) -> Vec<(SocketAddr, Vec<u8>)> {
        let mut sent = Vec::new();
        while let Some(output) = self.endpoint.poll_output() {
            match output {
                Output::Transmit(transmit) => sent.push((transmit.flow.remote, transmit.payload.to_vec())),
                Output::Event(event) => self.handle_event(&event, now),
            }
        }
        sent
    }

    pub(crate) fn act(&mut self, session: SessionId, does: Does, now: Instant) {
        let sdp = |text: Option<String>| text.map(|text| Body::sdp(text.into_bytes()));
        match does {
            Does::Progress(code, body) => self.endpoint.progress(session, status(code), sdp(body), now),
            Does::Answer(body) => self.endpoint.accept(session, sdp(body), Vec::new(), now),
            Does::Reject(code, headers) => {
                let header = |(name, value): (&str, String)| {
                    Header::new(HeaderName::new(name).unwrap(), HeaderValue::new(&value).unwrap())
                };
                let headers = headers.into_iter().map(header).collect();
                self.endpoint.reject(session, status(code), headers, now);
            }
            Does::Bye => self.endpoint.bye(session, None, now),
            Does::ByeFor(cause) => self.endpoint.bye(session, Some(&ReasonHeader::q850(cause)), now),
            Does::Cancel => self.endpoint.cancel(session, None, now),
            Does::Reinvite(offer, answer) => {
                self.answer = answer;
                // Before the ACK of the 200 has come it cannot be sent; then it is left out.
                let _ = self.endpoint.reinvite(session, sdp(offer), now);
            }
        }
    }

    fn handle_event(&mut self, event: &Event, now: Instant) {
        match event {
            Event::Invite { session, .. } => {
                self.last_session = Some(*session);
                let script =
                    if self.scripts.len() > 1 { self.scripts.pop_front() } else { self.scripts.front().cloned() };
                for (after, does) in script.into_iter().flatten() {
                    self.due.push((now + Duration::from_millis(after), *session, does));
                }
            }
            Event::Answered { session, answer } if answer.needs_ack => {
                let answer = self.answer.take().map(|text| Body::sdp(text.into_bytes()));
                self.endpoint.ack(*session, answer);
            }
            Event::ReinviteAnswered { session, needs_ack: true, .. } => {
                let answer = self.answer.take().map(|text| Body::sdp(text.into_bytes()));
                self.endpoint.ack(*session, answer);
            }
            Event::Ended { session, .. } => self.due.retain(|(_, of, _)| of != session),
            _ => {}
        }
    }

    /// The kinds of all messages that came, retransmissions too.
    pub(crate) fn kinds(&self) -> Vec<&str> {
        self.heard.iter().map(Heard::kind).collect()
    }

    /// Messages of one kind.
    pub(crate) fn heard_of(&self, kind: &str) -> Vec<&Heard> {
        self.heard.iter().filter(|heard| heard.kind() == kind).collect()
    }

    /// When the first message of a kind came, in milliseconds.
    pub(crate) fn first_ms(&self, kind: &str) -> Option<u128> {
        self.heard_of(kind).first().map(|heard| heard.at.as_millis())
    }
}

fn status(code: u16) -> StatusCode {
    StatusCode::new(code).unwrap()
}
