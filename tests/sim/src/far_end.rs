//! A phone or a carrier: an endpoint that does what its habits say, and whose audio says which call it is of.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use tandem_lab::setup::Seeded;
use tandem_model::Transport;
use tandem_sip::endpoint::{
    Ending, Endpoint, EndpointConfig, Event, Flow, Identity, OutgoingInvite, Output, SessionId,
};
use tandem_sip::message::{Body, Header, HeaderName, HeaderValue, NameAddr, StatusCode, Uri};

use crate::audio::{self, Tag};
use crate::description::{self, Codecs, Description, Mode};
use crate::habits::{Act, Habits, Hearing, MediaPlace};
use crate::network::{Content, Datagram};

pub(crate) struct FarEnd {
    pub(crate) address: SocketAddr,
    pub(crate) calls: BTreeMap<Tag, FarCall>,
    endpoint: Endpoint,
    habits: Habits,
    hearing: Hearing,
    is_reliable: bool,
    /// When that changes.
    sleep: VecDeque<(Instant, Hearing)>,
    /// What came while it slept.
    waiting: Vec<(Flow, Vec<u8>)>,
    sessions: BTreeMap<SessionId, Tag>,
    due: BTreeMap<(Instant, u64), (SessionId, Act)>,
    acts: u64,
    random: Seeded,
    sending: Vec<Datagram>,
    /// Addresses at which a call hears, that nobody has been told of yet.
    new_places: Vec<(SocketAddr, Owner)>,
}

/// A call as a far end has it: from an INVITE, sent or heard, to the end of its session.
#[derive(Clone, Debug)]
pub(crate) struct FarCall {
    pub(crate) sip_call_id: String,
    /// Whether it called us.
    pub(crate) calls: bool,
    pub(crate) is_up: bool,
    /// When it was.
    pub(crate) up_at: Option<Instant>,
    pub(crate) over: Option<(Instant, Ending)>,
    /// The mode of its last description that counts.
    mode: Mode,
    codecs: Codecs,
    /// What a re-INVITE under way is to make of it.
    next: Option<Next>,
    /// What its descriptions name, and where it sends from.
    named: SocketAddr,
    source: SocketAddr,
    peer: Option<Description>,
    describes: bool,
    is_speaking: bool,
    sequence: u16,
    /// Since when both sides may speak and hear, as this one knows it.
    pub(crate) talking_since: Option<Instant>,
    /// When it last heard whom; nobody is a tone or silence.
    pub(crate) heard: BTreeMap<Option<Tag>, Instant>,
}

/// How a far end describes itself anew.
#[derive(Clone, Copy, Debug)]
struct Next {
    mode: Mode,
    named: SocketAddr,
    source: SocketAddr,
}

/// Whose audio an address is for.
#[derive(Clone, Debug)]
pub(crate) struct Owner {
    pub(crate) sip_call_id: String,
    /// `None` at the simulated carrier.
    pub(crate) tag: Option<Tag>,
}

/// How a far end calls us.
#[derive(Clone, Debug)]
pub(crate) struct Calls {
    pub(crate) to: String,
    pub(crate) there: SocketAddr,
    pub(crate) offers: bool,
    /// Whether an offer of ours is answered.
    pub(crate) answers: bool,
    pub(crate) acts: Vec<(u64, Act)>,
}

impl FarEnd {
    pub(crate) fn new(
        address: SocketAddr,
        number: u8,
        habits: Habits,
        sleep: Vec<(Instant, Hearing)>,
        seed: u64,
    ) -> Self {
        let config = EndpointConfig::new("Far", Identity { node: 0xfa00 + u16::from(number), shard: number });
        Self {
            address,
            calls: BTreeMap::new(),
            endpoint: Endpoint::new(config, Box::new(Seeded(seed ^ 0x5a5a))),
            habits,
            hearing: Hearing::Awake,
            is_reliable: sleep.is_empty(),
            sleep: sleep.into(),
            waiting: Vec::new(),
            sessions: BTreeMap::new(),
            due: BTreeMap::new(),
            acts: 0,
            random: Seeded(seed),
            sending: Vec::new(),
            new_places: Vec::new(),
        }
    }

    /// Whether it always hears.
    pub(crate) const fn is_reliable(&self) -> bool {
        self.is_reliable
    }

    /// Whether all its calls have their audio at one host.
    pub(crate) fn shares_its_host(&self) -> bool {
        self.habits.place != MediaPlace::OwnHost
    }

    pub(crate) fn sessions(&self) -> usize {
        self.endpoint.counts().sessions
    }

    /// Calls somebody.
    pub(crate) fn call(&mut self, tag: Tag, calls: Calls, now: Instant) {
        let uri = |text: &str| Uri::parse(text.as_bytes()).unwrap();
        let mut call = self.new_call(tag, String::new(), true);
        call.describes = calls.answers;
        let body = calls.offers.then(|| call.description());
        let to = uri(&format!("sip:{}@{}", calls.to, calls.there));
        let session = self.endpoint.invite(
            OutgoingInvite {
                flow: Flow { transport: Transport::Udp, local: self.address, remote: calls.there },
                request_uri: to.clone(),
                routes: Vec::new(),
                from: NameAddr::new(uri("sip:+12025550199@example.com")),
                to: NameAddr::new(to),
                headers: Vec::new(),
                credentials: None,
                body: body.map(|text| Body::sdp(text.into_bytes())),
                max_forwards: 70,
            },
            now,
        );
        call.sip_call_id = self.endpoint.call_id(session).unwrap().to_owned();
        self.add(tag, session, call);
        self.plan(session, calls.acts, now);
    }

    /// Takes a datagram. False when its host refuses it.
    pub(crate) fn hear(&mut self, datagram: Datagram, next_tag: &mut u32, now: Instant) -> bool {
        match (self.hearing, datagram.content) {
            (Hearing::Unreachable, Content::Sip(_)) => return false,
            (Hearing::Dead, _) | (_, Content::Rtp(_)) => {}
            (Hearing::Asleep, Content::Sip(octets)) => self.waiting.push((self.flow(datagram.from), octets)),
            (Hearing::Awake, Content::Sip(octets)) => {
                self.endpoint.handle_datagram(self.flow(datagram.from), &octets, now);
                self.drain(next_tag, now);
            }
        }
        true
    }

    /// Audio that came for one of its calls.
    pub(crate) fn hear_audio(&mut self, tag: Tag, packet: &[u8], now: Instant) {
        if self.hearing == Hearing::Awake
            && let Some(call) = self.calls.get_mut(&tag)
        {
            call.heard.insert(audio::speaker(packet), now);
        }
    }

    const fn flow(&self, remote: SocketAddr) -> Flow {
        Flow { transport: Transport::Udp, local: self.address, remote }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let wakes = self.sleep.front().map(|(at, _)| *at);
        let due = self.due.keys().next().map(|(at, _)| *at);
        [wakes, due, self.endpoint.poll_timeout()].into_iter().flatten().min()
    }

    pub(crate) fn handle_timeout(&mut self, next_tag: &mut u32, now: Instant) {
        while let Some((_, hearing)) = self.sleep.pop_front_if(|(at, _)| *at <= now) {
            self.hearing = hearing;
            if hearing == Hearing::Awake {
                for (flow, octets) in std::mem::take(&mut self.waiting) {
                    self.endpoint.handle_datagram(flow, &octets, now);
                    self.drain(next_tag, now);
                }
            }
        }
        self.endpoint.handle_timeout(now);
        self.drain(next_tag, now);
        while let Some(entry) = self.due.first_entry().filter(|entry| entry.key().0 <= now) {
            let (session, act) = entry.remove();
            self.act(session, &act, now);
            self.drain(next_tag, now);
        }
    }

    /// What it sends.
    pub(crate) fn take_sending(&mut self) -> Vec<Datagram> {
        std::mem::take(&mut self.sending)
    }

    /// Addresses at which its calls hear from now on.
    pub(crate) fn take_new_places(&mut self) -> Vec<(SocketAddr, Owner)> {
        std::mem::take(&mut self.new_places)
    }

    fn drain(&mut self, next_tag: &mut u32, now: Instant) {
        while let Some(output) = self.endpoint.poll_output() {
            match output {
                Output::Transmit(transmit) => {
                    let content = Content::Sip(transmit.payload.to_vec());
                    self.sending.push(Datagram { from: self.address, to: transmit.flow.remote, content });
                }
                Output::Event(event) => self.handle_event(event, next_tag, now),
            }
        }
    }

    fn act(&mut self, session: SessionId, act: &Act, now: Instant) {
        let Some(tag) = self.sessions.get(&session).copied() else { return };
        let Some(call) = self.calls.get_mut(&tag) else { return };
        let body = |text: String| Body::sdp(text.into_bytes());
        match act {
            Act::Progress { code, describes } => {
                call.describes |= describes;
                let description = (*describes && call.peer.is_some()).then(|| body(call.description()));
                self.endpoint.progress(session, status(*code), description, now);
                if *describes {
                    self.begin_to_speak(session, now);
                }
            }
            Act::Answer { describes } => {
                // An INVITE without an offer wants ours.
                let described =
                    (*describes || call.peer.is_none() || !call.describes).then(|| body(call.description()));
                self.endpoint.accept(session, described, Vec::new(), now);
                self.begin_to_speak(session, now);
            }
            Act::Reject { code, retry_after } => {
                let retry_after = retry_after.filter(|_| *code == 503);
                let header = |seconds| Header::new(HeaderName::RetryAfter, HeaderValue::from(seconds));
                self.endpoint.reject(session, status(*code), retry_after.map(header).into_iter().collect(), now);
            }
            Act::Challenge { code } => {
                let name = if *code == 401 { "WWW-Authenticate" } else { "Proxy-Authenticate" };
                let nonce = self.random.next();
                let value = format!("Digest realm=\"far\", nonce=\"{nonce:x}\", algorithm=MD5");
                let header = Header::new(HeaderName::new(name).unwrap(), HeaderValue::new(&value).unwrap());
                self.endpoint.reject(session, status(*code), vec![header], now);
            }
            Act::Bye => self.endpoint.bye(session, None, now),
            Act::Cancel => self.endpoint.cancel(session, None, now),
            Act::Reinvite { mode, offers, moves } => {
                let next = call.described_anew(*mode, *moves);
                let offer = offers.then(|| body(description::write(next.named, call.codecs, *mode)));
                if self.endpoint.reinvite(session, offer, now).is_ok() {
                    self.new_places.extend(places(next.named, next.source, self.address, &call.owner(tag)));
                    call.next = Some(next);
                    call.talking_since = None;
                }
            }
            Act::Speak => self.speak(session, now),
        }
    }

    fn handle_event(&mut self, event: Event, next_tag: &mut u32, now: Instant) {
        match event {
            Event::Invite { session, request } => {
                *next_tag += 1;
                let tag = Tag(*next_tag);
                let mut call = self.new_call(tag, request.call_id.clone(), false);
                call.peer = request.sdp.as_deref().and_then(read);
                let has_credentials = [HeaderName::Authorization, HeaderName::ProxyAuthorization]
                    .iter()
                    .any(|name| !request.header_values(name).is_empty());
                self.add(tag, session, call);
                let mut acts = self.habits.take_call(&mut self.random);
                if has_credentials {
                    acts.retain(|(_, act)| !matches!(act, Act::Challenge { .. }));
                    if self.random.below(12) == 0 {
                        acts.insert(
                            0,
                            (
                                50,
                                Act::Reject {
                                    code: [401, 403][usize::from(self.random.below(2) == 0)],
                                    retry_after: None,
                                },
                            ),
                        );
                    }
                }
                self.plan(session, acts, now);
            }
            Event::Provisional { session, body, .. } => {
                if let Some(call) = self.call_of(session)
                    && let Some(description) = body.as_deref().and_then(read)
                {
                    call.peer = Some(description);
                    self.begin_to_speak(session, now);
                }
            }
            Event::Answered { session, answer } => {
                let Some(call) = self.call_of(session) else { return };
                if let Some(description) = answer.body.as_deref().and_then(read) {
                    call.peer = Some(description);
                }
                let own = (answer.needs_ack && call.describes).then(|| Body::sdp(call.description().into_bytes()));
                if answer.needs_ack {
                    if own.is_none() {
                        call.mode = Mode::Neither;
                    }
                    self.endpoint.ack(session, own);
                }
                self.call_is_up(session, now);
            }
            Event::Acknowledged { session, body } => {
                if let Some(call) = self.call_of(session) {
                    call.peer = body.as_deref().and_then(read).or(call.peer.take());
                }
                self.call_is_up(session, now);
            }
            // The switch never sends any; the simulated carrier is no far end of this kind.
            Event::Reinvite { session, body } => {
                let Some(call) = self.call_of(session) else { return };
                call.peer = body.as_deref().and_then(read).or(call.peer.take());
                let answer = call.description();
                self.endpoint.answer_reinvite(session, Some(Body::sdp(answer.into_bytes())), now);
            }
            Event::ReinviteAnswered { session, body, needs_ack } => {
                let Some(call) = self.call_of(session) else { return };
                call.peer = body.as_deref().and_then(read).or(call.peer.take());
                if let Some(next) = call.next.take() {
                    (call.mode, call.named, call.source) = (next.mode, next.named, next.source);
                }
                let answer = needs_ack.then(|| Body::sdp(call.description().into_bytes()));
                call.settle_talk(now);
                if needs_ack {
                    self.endpoint.ack(session, answer);
                }
                self.begin_to_speak(session, now);
            }
            Event::ReinviteFailed { session, .. } => {
                if let Some(call) = self.call_of(session) {
                    call.next = None;
                    call.settle_talk(now);
                }
            }
            Event::Ended { session, ending } => {
                if let Some(call) = self.call_of(session) {
                    call.is_up = false;
                    call.talking_since = None;
                    call.over = Some((now, ending));
                }
                self.sessions.remove(&session);
            }
            Event::Failed { .. }
            | Event::Canceled { .. }
            | Event::ReinviteCanceled { .. }
            | Event::Unacknowledged { .. }
            | Event::AnsweredLate { .. }
            | Event::Bye { .. }
            | Event::Request { .. }
            | Event::Response { .. } => {}
        }
    }

    fn call_is_up(&mut self, session: SessionId, now: Instant) {
        let Some(call) = self.call_of(session) else { return };
        call.settle_talk(now);
        if !std::mem::replace(&mut call.is_up, true) {
            call.up_at = Some(now);
            call.settle_talk(now);
            let acts = self.habits.talk(&mut self.random);
            self.plan(session, acts, now);
        }
        self.begin_to_speak(session, now);
    }

    fn call_of(&mut self, session: SessionId) -> Option<&mut FarCall> {
        self.calls.get_mut(self.sessions.get(&session)?)
    }

    fn new_call(&mut self, tag: Tag, sip_call_id: String, calls: bool) -> FarCall {
        let (mode, codecs) = self.habits.describe(&mut self.random);
        let (named, source) = media_places(self.habits.place, tag, self.address);
        FarCall {
            sip_call_id,
            calls,
            is_up: false,
            up_at: None,
            over: None,
            mode,
            codecs,
            next: None,
            named,
            source,
            peer: None,
            describes: false,
            is_speaking: false,
            sequence: 0,
            talking_since: None,
            heard: BTreeMap::new(),
        }
    }

    fn add(&mut self, tag: Tag, session: SessionId, call: FarCall) {
        self.new_places.extend(places(call.named, call.source, self.address, &call.owner(tag)));
        self.sessions.insert(session, tag);
        self.calls.insert(tag, call);
    }

    fn plan(&mut self, session: SessionId, acts: Vec<(u64, Act)>, now: Instant) {
        for (after_ms, act) in acts {
            self.acts += 1;
            self.due.insert((now + Duration::from_millis(after_ms), self.acts), (session, act));
        }
    }

    fn begin_to_speak(&mut self, session: SessionId, now: Instant) {
        if let Some(call) = self.call_of(session)
            && !std::mem::replace(&mut call.is_speaking, true)
        {
            let after_ms = 50 + self.random.below(900);
            self.plan(session, vec![(after_ms, Act::Speak)], now);
        }
    }

    fn speak(&mut self, session: SessionId, now: Instant) {
        let is_awake = self.hearing == Hearing::Awake || self.hearing == Hearing::Asleep;
        let Some(tag) = self.sessions.get(&session).copied() else { return };
        let Some(call) = self.calls.get_mut(&tag) else { return };
        if is_awake && call.mode.speaks() {
            let peer = call.peer.as_ref().filter(|peer| peer.hears);
            if let Some((payload_type, to)) = peer.and_then(|peer| peer.codec(call.codecs).zip(peer.media)) {
                call.sequence = call.sequence.wrapping_add(1);
                let content = Content::Rtp(audio::packet(tag, payload_type, call.sequence));
                self.sending.push(Datagram { from: call.source, to, content });
            }
        }
        self.plan(session, vec![(SPEAKING_PERIOD_MS, Act::Speak)], now);
    }
}

impl FarCall {
    fn description(&self) -> String {
        description::write(self.named, self.codecs, self.mode)
    }

    /// In another mode, and perhaps at another port of the same host.
    fn described_anew(&self, mode: Mode, moves: bool) -> Next {
        let moved = |place: SocketAddr| SocketAddr::new(place.ip(), place.port() + u16::from(moves));
        Next { mode, named: moved(self.named), source: moved(self.source) }
    }

    fn owner(&self, tag: Tag) -> Owner {
        Owner { sip_call_id: self.sip_call_id.clone(), tag: Some(tag) }
    }

    fn settle_talk(&mut self, now: Instant) {
        let peer = self.peer.as_ref();
        let can = self.mode == Mode::Both
            && peer.is_some_and(|peer| {
                peer.speaks && peer.hears && peer.media.is_some() && peer.codec(self.codecs).is_some()
            });
        self.talking_since = if can { self.talking_since.or(Some(now)) } else { None };
    }
}

/// Where a call may be sent to: what it names, and where it is heard from, at its host or at that of its signalling.
fn places(
    named: SocketAddr,
    source: SocketAddr,
    signalling: SocketAddr,
    owner: &Owner,
) -> impl Iterator<Item = (SocketAddr, Owner)> {
    [named, source, SocketAddr::new(signalling.ip(), named.port())].into_iter().map(|place| (place, owner.clone()))
}

fn read(body: &[u8]) -> Option<Description> {
    Description::read(std::str::from_utf8(body).ok()?)
}

fn status(code: u16) -> StatusCode {
    StatusCode::new(code).unwrap()
}

/// What a call names in its descriptions, and where it sends from. No two calls share a port at one host.
fn media_places(place: MediaPlace, tag: Tag, signalling: SocketAddr) -> (SocketAddr, SocketAddr) {
    let number = u16::try_from(tag.0).unwrap();
    // Room for a call to move.
    let port = 10_000 + number * PORTS_OF_A_CALL;
    let [high, low] = number.to_be_bytes();
    let own_v4 = |network: u8| SocketAddr::new(Ipv4Addr::new(198, network, high, low).into(), port);
    let own_v6 = SocketAddr::new(Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, number).into(), port);
    let own = |is_v4: bool| if is_v4 { own_v4(18) } else { own_v6 };
    let at_signalling = SocketAddr::new(signalling.ip(), port);
    // A NAT has given it another.
    let translated = SocketAddr::new(signalling.ip(), port + PORTS_OF_A_CALL / 2);
    match place {
        MediaPlace::OwnHost => (own(signalling.is_ipv4()), own(signalling.is_ipv4())),
        MediaPlace::SignallingHost => (at_signalling, at_signalling),
        MediaPlace::BehindNat => {
            let inside: IpAddr = Ipv4Addr::new(10, 0, high, low).into();
            let inside = if signalling.is_ipv4() { SocketAddr::new(inside, port) } else { own_v4(18) };
            (inside, translated)
        }
        MediaPlace::OtherFamily => (own(!signalling.is_ipv4()), translated),
    }
}

/// How often a far end speaks. A phone does fifty times a second; the machine that simulates it has better to do.
const SPEAKING_PERIOD_MS: u64 = 1_000;
/// Ports that a call has at its host: those it names, then as many that a NAT gives it.
const PORTS_OF_A_CALL: u16 = 40;
