//! The user agent: everything between datagrams and calls, without IO.
//!
//! Datagrams, time and the user's wishes go in; [`Endpoint::poll_output`] gives back what is to be sent and what the
//! user must hear. RFC 3261, with RFC 3581 (rport), RFC 4320 and RFC 6026 (transactions).
//!
//! What it decides itself: retransmission, provisional 100, ACK, the BYE after a CANCEL that a 2xx crossed, forks,
//! digest, OPTIONS, and every refusal that the protocol prescribes. What it does not know: trunks, routes, media.

mod config;
mod event;
mod flow;
mod incoming;
mod outgoing;
mod requests;

use std::sync::Arc;
use std::time::Instant;

pub use config::{
    EndpointConfig, Identity, Limits, MAX_OUTPUTS, MAX_SERVER_TRANSACTIONS, MAX_SESSIONS, PeerPolicy, PublicAddress,
    SameAddress, SentBy,
};
pub use event::{
    Answer, Ending, Event, Failure, IncomingId, InviteSummary, Output, Refused, RequestFailure, RequestId,
    RequestSummary, ResponseSummary, SessionId,
};
pub use flow::{Flow, Transmit};
pub use outgoing::{Credentials, OutgoingInvite, OutgoingRequest};

use crate::context::{Context, Incoming};
use crate::deadlines::Deadlines;
use crate::dialog::{Dialog, DialogRecord};
use crate::fingerprint::RandomKeyMap;
use crate::flow_counts::FlowCounts;
use crate::message::{Body, Flaw, Header, HeaderName, Message, Method, ParseError, StatusCode, Token, Uri};
use crate::names;
use crate::random::Randomness;
use crate::session::{self, Calling, Phase, ReasonHeader, ReinviteNotNow, Ringing, Session, Silence, Usage};
use crate::slab::{Key, Slab};
use crate::transaction::{ClientOwner, Received, Reply, ServerOwner};
use incoming::{Screening, screen};
use requests::Requests;

/// One user agent with all its sessions.
pub struct Endpoint {
    context: Context,
    sessions: Slab<Session>,
    /// Sessions by the number in our tag: those we began and those we answer in one table.
    by_tag: RandomKeyMap<u64, Key>,
    /// Of sessions.
    flows: FlowCounts,
    deadlines: Deadlines<Key>,
    requests: Requests,
    user_methods: Vec<Method>,
    limits: Limits,
    drops: Drops,
}

/// What an endpoint holds. All are zero once every call is over and 32 s have passed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Sessions that have not ended.
    pub sessions: usize,
    /// Those of them with an established dialog.
    pub dialogs: usize,
    /// Client transactions, those included that only absorb repeats.
    pub client_transactions: usize,
    /// Server transactions, likewise.
    pub server_transactions: usize,
    /// Requests of [`Endpoint::request`] without an outcome.
    pub requests: usize,
}

/// What came and was dropped or refused, since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Drops {
    /// Messages that could not be read, and were not answered.
    pub unreadable: u64,
    /// Requests that could not be read, and were answered so.
    pub malformed: u64,
    /// Responses without a transaction, and ACKs without a call.
    pub stray: u64,
    /// Responses and requests in a dialog from an address that is not the peer's.
    pub foreign: u64,
    /// INVITEs refused with 503, and other messages dropped, because a limit was reached.
    pub over_limit: u64,
}

impl Endpoint {
    /// An endpoint without sessions.
    pub fn new(config: EndpointConfig, random: Box<dyn Randomness>) -> Self {
        let user_methods = config.user_methods.clone();
        let limits = config.limits;
        Self {
            context: Context::new(config, random),
            sessions: Slab::new(),
            by_tag: RandomKeyMap::default(),
            flows: FlowCounts::default(),
            deadlines: Deadlines::new(),
            requests: Requests::new(),
            user_methods,
            limits,
            drops: Drops::default(),
        }
    }

    /// Sets which addresses belong to one peer from now on: when trunks change.
    pub fn set_peer_policy(&mut self, peers: Box<dyn PeerPolicy>) {
        self.context.peers = peers;
    }

    /// Switches a rule of the protocol off.
    #[cfg(feature = "sim-mutations")]
    pub fn switch_off(&mut self, rule: crate::rules::Rule) {
        self.context.transactions.rules.switch_off(rule);
    }

    // The wire and the clock

    /// Takes one message: a datagram, or what the framing cut out of a stream.
    pub fn handle_datagram(&mut self, flow: Flow, octets: &[u8], now: Instant) {
        if self.context.outbox.len() >= self.limits.outputs {
            self.drops.over_limit += 1;
            return;
        }
        let message = match Message::parse(octets) {
            Ok(message) => message,
            Err(ParseError::KeepAlive) => return,
            Err(ParseError::NotSip | ParseError::Discard(_)) => {
                self.drops.unreadable += 1;
                return;
            }
            Err(ParseError::Answerable(refusal)) => {
                self.drops.malformed += 1;
                // Which headers a method must have matters to who takes it (§8.2.1 comes before §8.2.2): 405 for a SUBSCRIBE without
                // Event, not 489, which is for notifiers (RFC 6665 §4.2.1.2).
                let is_of_method = matches!(refusal.flaw, Flaw::Missing(HeaderName::Event | HeaderName::ReferTo));
                let method = Some(&refusal.cseq.method).filter(|_| is_of_method);
                let reply =
                    method.and_then(|method| incoming::refuse_method(&self.context, method, &self.user_methods));
                self.context.answer_refusal(&refusal, reply, &flow);
                return;
            }
        };
        match message.status() {
            Some(status) => self.handle_response(&flow, &message, status, now),
            None => self.handle_request(&flow, octets, &message, now),
        }
    }

    /// Answers an INVITE that would begin a call, and keeps nothing of it (RFC 3261 §8.2.7): each repeat gets an answer as small, and
    /// its ACK is a stray one. Says its Call-ID; `None` when the octets are no such INVITE, or one that is known already, so that
    /// they are to be [handled](Self::handle_datagram).
    pub fn turn_away(
        &mut self,
        flow: &Flow,
        octets: &[u8],
        status: StatusCode,
        headers: Vec<Header>,
    ) -> Option<String> {
        if self.context.outbox.len() >= self.limits.outputs {
            return None;
        }
        let message = Message::parse(octets).ok()?;
        if message.status().is_some() || message.method() != Method::Invite || message.to_tag().is_some() {
            return None;
        }
        let via = message.top_via();
        let fingerprint = self.context.fingerprint(&message, &Method::Invite, &via, flow);
        if self.context.transactions.find_server(fingerprint).is_some() {
            return None;
        }
        let incoming = Incoming { message: &message, flow, via: &via, fingerprint };
        self.context.answer_stateless(&incoming, Reply::with_headers(status, headers));
        Some(message.call_id().to_string())
    }

    /// The flow is broken (ICMP unreachable, connection refused or lost): what waits on it fails now.
    ///
    /// Over UDP, report only what the socket itself reported, and not faster than the network layer limits it: anybody
    /// can forge an ICMP message, and each walks the client transactions. Sessions stay. Over a stream their next request goes to the address that the peer named in its Contact or
    /// Record-Route.
    pub fn handle_transport_error(&mut self, flow: &Flow, now: Instant) {
        if flow.transport.is_reliable() && !self.uses_stream(flow) {
            return;
        }
        let Context { transactions, outbox, .. } = &mut self.context;
        for (transaction, owner) in transactions.fail_flow(outbox, flow, now) {
            self.handle_silence(transaction, owner, Silence::Transport, now);
        }
        if flow.transport.is_reliable() {
            for session in self.sessions.iter_mut() {
                session.handle_flow_closed(flow);
            }
        }
    }

    /// Whether a session or a request of ours depends on that stream: an idle one that nothing does may be closed.
    pub fn uses_stream(&self, flow: &Flow) -> bool {
        self.flows.contains(flow) || self.context.transactions.uses_stream(flow)
    }

    /// When [`Self::handle_timeout`] must be called; may be earlier than needed, never later.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match (self.context.transactions.poll_timeout(), self.deadlines.next()) {
            (Some(transactions), Some(sessions)) => Some(transactions.min(sessions)),
            (due, None) | (None, due) => due,
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((transaction, owner)) = self.context.transactions.handle_timeout(&mut self.context.outbox, now) {
            self.handle_silence(transaction, owner, Silence::Timeout, now);
        }
        while let Some((at, key)) = self.deadlines.pop(now) {
            let Some(session) = self.sessions.get_mut(key) else { continue };
            if session.scheduled.take(at) {
                session.handle_timeout(&mut self.context, now);
                self.settle(key);
            }
        }
    }

    /// The next thing to do. Drain it after each call of another method.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.context.outbox.pop_front()
    }

    /// What the endpoint holds. Walks the sessions.
    pub fn counts(&self) -> Counts {
        Counts {
            sessions: self.sessions.len(),
            dialogs: self.sessions.iter().filter(|(_, session)| session.dialog().is_some()).count(),
            client_transactions: self.context.transactions.client_count(),
            server_transactions: self.context.transactions.server_count(),
            requests: self.requests.len(),
        }
    }

    /// What was dropped or refused.
    pub fn drops(&self) -> Drops {
        self.drops
    }

    // Sessions that we begin

    /// Places a call. Its first event is a `Provisional`, `Answered` or `Failed`.
    pub fn invite(&mut self, invite: OutgoingInvite, now: Instant) -> SessionId {
        let (number, tag) = self.context.names.name();
        let is_full = self.sessions.len() >= self.limits.sessions;
        let key = self.sessions.insert_with(|key| Session::new(SessionId(key), number, Phase::Over));
        let id = SessionId(key);
        if is_full {
            self.sessions.remove(key);
            self.drops.over_limit += 1;
            self.context.event(Event::Failed { session: id, failure: Failure::Full });
            self.context.event(Event::Ended { session: id, ending: Ending::Failed });
            return id;
        }
        let calling = Calling::start(&mut self.context, id, &tag, invite, now);
        self.set_phase(key, number, Phase::Calling(Box::new(calling)));
        id
    }

    /// Gives up a call that is not answered. The CANCEL goes out once a provisional response has come; a 2xx that
    /// crosses it is acknowledged and ended. `Ended` says when it is over.
    pub fn cancel(&mut self, session: SessionId, reason: Option<&ReasonHeader>, now: Instant) {
        let reason = reason.map(ReasonHeader::to_header);
        self.with(session, |session, context| session.cancel(context, reason, now));
    }

    /// Acknowledges a 2xx that brought the offer (`needs_ack`), with the answer.
    pub fn ack(&mut self, session: SessionId, body: Option<Body>) {
        self.with(session, |session, context| session.ack(context, body));
    }

    // Sessions that the peer begins

    /// Sends a provisional response, 100 to 199. A 100 is sent by itself after 200 ms of silence.
    pub fn progress(&mut self, session: SessionId, status: StatusCode, body: Option<Body>, now: Instant) {
        self.with(session, |session, context| session.progress(context, status, body, now));
    }

    /// Answers with 200: resent until the ACK comes, for 32 s at most; then it ends with a BYE, `Ending::NoAck`.
    pub fn accept(&mut self, session: SessionId, body: Option<Body>, headers: Vec<Header>, now: Instant) {
        self.with(session, |session, context| session.accept(context, body, headers, now));
    }

    /// Refuses with 300 to 699 (500 in place of anything else): resent until the ACK comes.
    pub fn reject(&mut self, session: SessionId, status: StatusCode, headers: Vec<Header>, now: Instant) {
        self.with(session, |session, context| session.reject(context, status, headers, false, now));
    }

    /// Refuses as [`Self::reject`] does, for a stranger: one answer, which is not resent, and nothing kept. So forged
    /// sources cannot be made to get more than was sent in their name.
    pub fn refuse(&mut self, session: SessionId, status: StatusCode, headers: Vec<Header>, now: Instant) {
        self.with(session, |session, context| session.reject(context, status, headers, true, now));
    }

    // Established sessions

    /// Hangs up. While our 2xx has no ACK the BYE waits for it (RFC 3261 §15). `Ended` says when it is over.
    ///
    /// On a session that is not established it does nothing: `cancel` or `reject` that.
    pub fn bye(&mut self, session: SessionId, reason: Option<&ReasonHeader>, now: Instant) {
        let reason = reason.map(ReasonHeader::to_header);
        self.with(session, |session, context| session.bye(context, reason, now));
    }

    /// Sends a re-INVITE; without a body it asks the peer for an offer.
    ///
    /// # Errors
    ///
    /// [`ReinviteNotNow`] while another INVITE is under way in the dialog, in either direction, and on a session that
    /// is not established.
    pub fn reinvite(&mut self, session: SessionId, body: Option<Body>, now: Instant) -> Result<(), ReinviteNotNow> {
        self.with(session, |session, context| session.reinvite(context, body, now)).unwrap_or(Err(ReinviteNotNow))
    }

    /// Accepts the peer's re-INVITE with 200: resent until the ACK comes.
    pub fn answer_reinvite(&mut self, session: SessionId, body: Option<Body>, now: Instant) {
        self.with(session, |session, context| session.answer_reinvite(context, body, now));
    }

    /// Refuses the peer's re-INVITE with 300 to 699, 488 for one; the session stays as it was.
    pub fn reject_reinvite(&mut self, session: SessionId, status: StatusCode, now: Instant) {
        self.with(session, |session, context| session.reject_reinvite(context, status, now));
    }

    // Outside of sessions

    /// Sends a request of its own: an OPTIONS probe, for one. Its outcome is an `Event::Response`.
    pub fn request(&mut self, request: OutgoingRequest, now: Instant) -> RequestId {
        self.requests.start(&mut self.context, request, now)
    }

    /// Answers an `Event::Request` with a final response. After 32 s, or the second time, it does nothing.
    pub fn respond(
        &mut self,
        id: IncomingId,
        status: StatusCode,
        headers: Vec<Header>,
        body: Option<Body>,
        now: Instant,
    ) {
        if status.is_final() {
            self.context.respond(id.0, Reply { status, contact: None, headers, body }, now);
        }
    }

    // For records and the journal

    /// The Call-ID of a session.
    pub fn call_id(&self, session: SessionId) -> Option<&str> {
        self.sessions.get(session.0)?.call_id()
    }

    /// All that is needed to end an established session from another process.
    pub fn dialog(&self, session: SessionId) -> Option<DialogRecord> {
        let (flow, dialog) = self.sessions.get(session.0)?.dialog()?;
        Some(DialogRecord { flow: *flow, dialog: dialog.clone() })
    }

    /// The INVITE of an outgoing session that is not answered, as sent last.
    pub fn invite_sent(&self, session: SessionId) -> Option<(Flow, Arc<[u8]>)> {
        match &self.sessions.get(session.0)?.phase {
            Phase::Calling(calling) => self.context.transactions.request(calling.transaction()),
            Phase::Ringing(_) | Phase::Established(_) | Phase::Over => None,
        }
    }

    /// Takes up an established session of an earlier process; then `bye` it.
    pub fn resume_dialog(&mut self, record: DialogRecord) -> SessionId {
        let DialogRecord { flow, dialog } = record;
        let number = number_of_tag(&dialog);
        let key = self.sessions.insert_with(|key| Session::new(SessionId(key), 0, Phase::Over));
        self.set_phase(key, number, Phase::Established(Box::new(Usage::resumed(flow, dialog))));
        SessionId(key)
    }

    /// Takes up an outgoing INVITE of an earlier process, which is taken to be ringing; then `cancel` it. `None` when
    /// the octets are no INVITE of ours.
    pub fn resume_invite(&mut self, flow: Flow, invite: &[u8]) -> Option<SessionId> {
        let number = Message::parse(invite).ok().and_then(|invite| names::number_of(invite.from_tag()?))?;
        let key = self.sessions.insert_with(|key| Session::new(SessionId(key), 0, Phase::Over));
        let Some(calling) = Calling::resume(&mut self.context, SessionId(key), flow, invite) else {
            self.sessions.remove(key);
            return None;
        };
        self.set_phase(key, number, Phase::Calling(Box::new(calling)));
        Some(SessionId(key))
    }

    /// Takes up an INVITE that an earlier process had received and not answered; then `reject` it. Its repeats find the
    /// new transaction. `None` when the octets are no INVITE, or the tag none of ours.
    pub fn resume_incoming(&mut self, flow: Flow, invite: &[u8], to_tag: &str, now: Instant) -> Option<SessionId> {
        let message = Message::parse(invite).ok().filter(|message| message.method() == Method::Invite)?;
        let number = names::number_of(to_tag)?;
        let tag = Token::new(to_tag).ok()?;
        let dialog = Dialog::from_invite(&message, &tag)?;
        let via = message.top_via();
        let fingerprint = self.context.fingerprint(&message, &Method::Invite, &via, &flow);
        let incoming = Incoming { message: &message, flow: &flow, via: &via, fingerprint };
        let secure = message.request_uri()?.scheme() == "sips";
        let key = self.sessions.insert_with(|key| Session::new(SessionId(key), 0, Phase::Over));
        let server = self.context.start_server(&incoming, ServerOwner::Invite(key), Some(&tag), None, now);
        self.set_phase(key, number, Phase::Ringing(Box::new(Ringing::new(flow, server, secure, dialog))));
        Some(SessionId(key))
    }

    // Sessions

    fn set_phase(&mut self, key: Key, number: u64, phase: Phase) {
        if let Some(session) = self.sessions.get_mut(key) {
            session.tag = number;
            session.phase = phase;
            session.flow = session.phase.flow().copied();
            if let Some(flow) = &session.flow {
                self.flows.add(flow);
            }
            self.by_tag.insert(number, key);
        }
        self.settle(key);
    }

    /// Lets a session do something, then sees what became of it.
    fn with<T>(&mut self, id: SessionId, act: impl FnOnce(&mut Session, &mut Context) -> T) -> Option<T> {
        let session = self.sessions.get_mut(id.0)?;
        let done = act(session, &mut self.context);
        self.settle(id.0);
        Some(done)
    }

    fn settle(&mut self, key: Key) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        if session.is_over() {
            self.by_tag.remove(&session.tag);
            if let Some(flow) = &session.flow {
                self.flows.remove(flow);
            }
            self.sessions.remove(key);
            return;
        }
        let due = session.poll_timeout();
        self.deadlines.schedule(key, &mut session.scheduled, due);
    }

    /// The session that a request belongs to by our tag in To.
    fn find_session(&self, request: &Message<'_>) -> Option<(Key, Flow)> {
        let number = names::number_of(request.to_tag()?)?;
        let key = *self.by_tag.get(&number)?;
        let flow = self.sessions.get(key)?.dialog_of(request)?;
        Some((key, *flow))
    }

    // Responses

    fn handle_response(&mut self, flow: &Flow, response: &Message<'_>, status: StatusCode, now: Instant) {
        if response.list(&HeaderName::Via).nth(1).is_some() {
            // It was meant for somebody before us on the way (RFC 3261 §8.1.3.3).
            self.drops.stray += 1;
            return;
        }
        let Context { transactions, outbox, peers, .. } = &mut self.context;
        match transactions.handle_response(outbox, response, status, flow, &**peers, now) {
            Received::Stray => self.drops.stray += 1,
            Received::Foreign => self.drops.foreign += 1,
            Received::Absorbed => {}
            Received::For { transaction, owner } => match owner {
                ClientOwner::Invite(key) | ClientOwner::Reinvite(key) | ClientOwner::Bye(key) => {
                    let message = (transaction, owner);
                    let was_there = self.with(SessionId(key), |session, context| {
                        session.handle_response(context, message, response, status, now);
                    });
                    if was_there.is_none() && status.is_success() {
                        self.handle_late_answer(transaction, owner, response, now);
                    }
                }
                ClientOwner::Request(id) => {
                    self.requests.handle_response(&mut self.context, id, flow, response, status, now);
                }
                ClientOwner::Nobody => {}
            },
        }
    }

    /// A 2xx that comes after its session is over.
    fn handle_late_answer(&mut self, transaction: Key, owner: ClientOwner, response: &Message<'_>, now: Instant) {
        match owner {
            ClientOwner::Invite(_) => session::fork::decline(&mut self.context, transaction, response, now),
            ClientOwner::Reinvite(_) => {
                session::fork::acknowledge(&mut self.context, transaction, response);
            }
            ClientOwner::Bye(_) | ClientOwner::Request(_) | ClientOwner::Nobody => {}
        }
    }

    fn handle_silence(&mut self, transaction: Key, owner: ClientOwner, silence: Silence, now: Instant) {
        match owner {
            ClientOwner::Invite(key) | ClientOwner::Reinvite(key) | ClientOwner::Bye(key) => {
                self.with(SessionId(key), |session, context| {
                    session.handle_silence(context, transaction, silence, now);
                });
            }
            ClientOwner::Request(id) => self.requests.handle_silence(&mut self.context, id, silence),
            ClientOwner::Nobody => {}
        }
    }

    // Requests

    fn handle_request(&mut self, flow: &Flow, octets: &[u8], message: &Message<'_>, now: Instant) {
        let method = message.method();
        let via = message.top_via();
        let fingerprint = self.context.fingerprint(message, &method, &via, flow);
        let incoming = Incoming { message, flow, via: &via, fingerprint };

        let known = self.context.transactions.find_server(fingerprint);
        if method == Method::Ack {
            match known.filter(|server| self.context.transactions.takes_ack(*server)) {
                Some(server) => self.context.transactions.handle_ack(server, now),
                None => self.handle_ack(flow, message, now),
            }
        } else if let Some(server) = known {
            self.context.transactions.handle_retransmission(&mut self.context.outbox, server);
        } else if method == Method::Cancel {
            self.handle_cancel(&incoming, now);
        } else if message.to_tag().is_some() {
            self.handle_in_dialog(&incoming, &method, octets, now);
        } else {
            self.handle_out_of_dialog(&incoming, &method, octets, now);
        }
    }

    /// An ACK that is not one of a failure: of a 2xx, or of a failure that was answered without a transaction.
    fn handle_ack(&mut self, flow: &Flow, ack: &Message<'_>, now: Instant) {
        let Some((key, dialog_flow)) = self.find_session(ack) else {
            self.drops.stray += 1;
            return;
        };
        if !self.is_peer(&dialog_flow, flow) {
            self.drops.foreign += 1;
            return;
        }
        self.with(SessionId(key), |session, context| session.handle_ack(context, ack, now));
    }

    /// RFC 3261 §9.2. The INVITE is found by the fingerprint that it and its CANCEL have in common.
    fn handle_cancel(&mut self, incoming: &Incoming<'_>, now: Instant) {
        let fingerprint = self.context.fingerprint(incoming.message, &Method::Invite, incoming.via, incoming.flow);
        let found = self.context.transactions.find_server(fingerprint);
        let Some((owner, is_pending)) = found.and_then(|server| self.context.transactions.server(server)) else {
            let reply = Reply::new(StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST);
            self.context.answer_stateless(incoming, reply);
            return;
        };
        // §9.2 wants the tag that the answers to the INVITE have.
        let tag = match owner {
            ServerOwner::Invite(key) | ServerOwner::Reinvite(key) => {
                self.sessions.get(key).map(|session| self.context.names.name_of(session.tag))
            }
            ServerOwner::Nobody => None,
        };
        self.context.answer(incoming, Reply::new(StatusCode::OK), tag, now);
        match owner {
            ServerOwner::Invite(key) | ServerOwner::Reinvite(key) if is_pending => {
                let reason = ReasonHeader::of(incoming.message);
                self.with(SessionId(key), |session, context| session.handle_cancel(context, reason, now));
            }
            // Answered already: the CANCEL changes nothing.
            ServerOwner::Invite(_) | ServerOwner::Reinvite(_) | ServerOwner::Nobody => {}
        }
    }

    fn handle_in_dialog(&mut self, incoming: &Incoming<'_>, method: &Method, octets: &[u8], now: Instant) {
        let message = incoming.message;
        let Some((key, dialog_flow)) = self.find_session(message) else {
            let status = StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST;
            self.context.answer_stateless(incoming, Reply::new(status));
            return;
        };
        if !self.is_peer(&dialog_flow, incoming.flow) {
            self.drops.foreign += 1;
            self.context.answer_stateless(incoming, Reply::new(StatusCode::FORBIDDEN));
            return;
        }
        if let Some(reply) = incoming::refuse_method(&self.context, method, &self.user_methods)
            .or_else(|| incoming::refuse_extensions(message))
        {
            self.context.answer_stateless(incoming, reply);
            return;
        }
        let id = SessionId(key);
        let cseq = message.cseq().number;
        if !self.with(id, |session, _| session.take_remote_seq(cseq)).unwrap_or(true) {
            self.context.answer_stateless(incoming, Reply::new(StatusCode::SERVER_INTERNAL_ERROR));
            return;
        }
        if *method == Method::Bye {
            self.with(id, |session, context| session.handle_bye(context, incoming, now));
        } else if *method == Method::Invite {
            self.with(id, |session, context| session.handle_reinvite(context, incoming, now));
        } else if *method == Method::Options {
            self.context.answer_stateless(incoming, incoming::capabilities(&self.context));
        } else {
            self.hand_over(incoming, Some(id), method, octets, now);
        }
    }

    fn handle_out_of_dialog(&mut self, incoming: &Incoming<'_>, method: &Method, octets: &[u8], now: Instant) {
        let Some(uri) = incoming.message.request_uri() else { return };
        let merge = self.context.merge_fingerprint(incoming.message);
        match screen(&self.context, incoming.message, method, &uri, merge, &self.user_methods) {
            Screening::Refuse(reply) => self.context.answer_stateless(incoming, *reply),
            Screening::Pass if *method == Method::Options => {
                self.context.answer_stateless(incoming, incoming::capabilities(&self.context));
            }
            Screening::Pass => self.hand_over(incoming, None, method, octets, now),
            Screening::Invite(sdp) => self.begin_incoming(incoming, uri, octets, sdp, merge, now),
        }
    }

    fn begin_incoming(
        &mut self,
        incoming: &Incoming<'_>,
        uri: Uri,
        octets: &[u8],
        sdp: Option<Vec<u8>>,
        merge: u128,
        now: Instant,
    ) {
        if self.sessions.len() >= self.limits.sessions || self.context.is_full() {
            self.drops.over_limit += 1;
            self.context.answer_stateless(incoming, incoming::overloaded());
            return;
        }
        let (number, tag) = self.context.names.name();
        let Some(dialog) = Dialog::from_invite(incoming.message, &tag) else {
            self.context.answer_stateless(incoming, Reply::new(StatusCode::BAD_REQUEST));
            return;
        };
        let own_session = self.own_session(incoming.message);
        let request = Box::new(incoming::summarize(incoming, uri, octets, sdp, &dialog, own_session));
        let secure = request.request_uri.scheme() == "sips";
        let key = self.sessions.insert_with(|key| Session::new(SessionId(key), 0, Phase::Over));
        let owner = ServerOwner::Invite(key);
        let server = self.context.start_server(incoming, owner, Some(&tag), Some(merge), now);
        let ringing = Ringing::new(*incoming.flow, server, secure, dialog);
        self.set_phase(key, number, Phase::Ringing(Box::new(ringing)));
        self.context.event(Event::Invite { session: SessionId(key), request });
    }

    /// The session of ours whose INVITE came back to us.
    fn own_session(&self, invite: &Message<'_>) -> Option<SessionId> {
        let key = *self.by_tag.get(&names::number_of(invite.from_tag()?)?)?;
        self.sessions.get(key)?.sent(invite).then_some(SessionId(key))
    }

    /// Gives a request of a user method to the user.
    fn hand_over(
        &mut self,
        incoming: &Incoming<'_>,
        session: Option<SessionId>,
        method: &Method,
        octets: &[u8],
        now: Instant,
    ) {
        let Some(request_uri) = incoming.message.request_uri() else { return };
        if self.context.is_full() {
            self.drops.over_limit += 1;
            return;
        }
        let (_, tag) = self.context.names.name();
        let merge = session.is_none().then(|| self.context.merge_fingerprint(incoming.message));
        let server = self.context.start_server(incoming, ServerOwner::Nobody, Some(&tag), merge, now);
        let request = Box::new(RequestSummary {
            flow: *incoming.flow,
            session,
            method: method.clone(),
            request_uri,
            raw: octets.into(),
        });
        self.context.event(Event::Request { id: IncomingId(server), request });
    }

    fn is_peer(&self, dialog_flow: &Flow, source: &Flow) -> bool {
        dialog_flow.remote == source.remote || self.context.peers.is_same_peer(dialog_flow, source.remote)
    }
}

/// The number by which requests find a dialog of an earlier process. A tag that is not of our making has none; such a
/// dialog can be ended, which is what it is taken up for, but hears nothing from the peer.
fn number_of_tag(dialog: &Dialog) -> u64 {
    dialog.local.tag().and_then(names::number_of).unwrap_or_default()
}
