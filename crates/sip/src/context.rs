//! What all parts of an endpoint share: names, stationery, transactions and the queue of outputs.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use tandem_model::Transport;

use crate::dialog::reply_flow;
use crate::endpoint::{EndpointConfig, Event, Flow, Identity, Output, PeerPolicy, SentBy, Transmit};
use crate::fingerprint::Fingerprints;
use crate::message::{
    Header, HeaderName, HeaderValue, Host, Message, Method, NameAddr, Request, Response, SipUri, StatusCode, Token,
    Via, ViaTransport,
};
use crate::names::Names;
use crate::random::Randomness;
use crate::slab::Key;
use crate::transaction::{ClientOwner, Fallback, NewServer, Reply, ServerOwner, StreamFirst, Transactions};

pub(crate) struct Context {
    pub(crate) names: Names,
    pub(crate) peers: Box<dyn PeerPolicy>,
    pub(crate) transactions: Transactions,
    pub(crate) outbox: VecDeque<Output>,
    fingerprints: Fingerprints,
    identity: Identity,
    sent_by: SentBy,
    user_agent: Header,
    server_name: Header,
    allow: Header,
    max_servers: usize,
}

/// A request that no transaction knows yet.
pub(crate) struct Incoming<'a> {
    pub(crate) message: &'a Message<'a>,
    pub(crate) flow: &'a Flow,
    pub(crate) via: &'a Via,
    pub(crate) fingerprint: u128,
}

impl Context {
    pub(crate) fn new(config: EndpointConfig, random: Box<dyn Randomness>) -> Self {
        let mut names = Names::new(config.identity, random);
        let fingerprints = names.fingerprints();
        let product = HeaderValue::cleaned(&config.user_agent);
        let user_agent = Header::new(HeaderName::UserAgent, product.clone());
        let server_name = Header::new(HeaderName::Server, product);
        let allow: HeaderValue = OWN_METHODS.iter().chain(&config.user_methods).collect();
        Self {
            names,
            peers: config.peers,
            transactions: Transactions::new(
                user_agent.clone(),
                server_name.clone(),
                StreamFirst::new(config.stream_listeners),
            ),
            outbox: VecDeque::new(),
            fingerprints,
            identity: config.identity,
            sent_by: config.sent_by,
            user_agent,
            server_name,
            allow: Header::new(HeaderName::Allow, allow),
            max_servers: config.limits.server_transactions,
        }
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.outbox.push_back(Output::Event(event));
    }

    pub(crate) fn allow(&self) -> Header {
        self.allow.clone()
    }

    /// Our Contact on that path.
    pub(crate) fn contact(&self, flow: &Flow, secure: bool) -> NameAddr {
        let (host, port) = self.sent_by(flow);
        let mut uri = SipUri::new(host).with_user(&self.identity.to_string()).with_port(Some(port));
        uri.secure = secure;
        match flow.transport {
            Transport::Udp => {}
            Transport::Tcp | Transport::Tls | Transport::Ws | Transport::Wss => {
                uri = uri.with_param("transport", Some(flow.transport.as_str()));
            }
        }
        NameAddr::new(uri)
    }

    fn sent_by(&self, flow: &Flow) -> (Host, u16) {
        match self.sent_by.on(flow) {
            Some(public) => (public.host.clone(), public.port.unwrap_or(flow.local.port())),
            None => (Host::from(flow.local.ip()), flow.local.port()),
        }
    }

    fn via(&self, flow: &Flow, branch: &Token) -> Via {
        let transport = match flow.transport {
            Transport::Udp => ViaTransport::Udp,
            Transport::Tcp => ViaTransport::Tcp,
            Transport::Tls => ViaTransport::Tls,
            Transport::Ws => ViaTransport::Ws,
            Transport::Wss => ViaTransport::Wss,
        };
        let (host, port) = self.sent_by(flow);
        Via::new(transport, host, Some(port), branch)
    }

    // Requests of ours

    /// Sends a request in a transaction of its own. Via is set here, User-Agent added if it is not there.
    pub(crate) fn send_request(&mut self, request: &mut Request, flow: Flow, owner: ClientOwner, now: Instant) -> Key {
        let (number, branch) = self.names.name();
        let payload = self.write(request, &flow, &branch);
        let (transmit, fallback) = match self.transactions.stream_first().stream_for(&flow, payload.len(), now) {
            Some(stream) => {
                let over_stream = self.write(request, &stream, &branch);
                let fallback = Fallback::new(Transmit { flow, payload }, now);
                (Transmit { flow: stream, payload: over_stream }, Some(Box::new(fallback)))
            }
            None => (Transmit { flow, payload }, None),
        };
        let is_invite = request.method == Method::Invite;
        self.transactions.start_client(&mut self.outbox, (number, is_invite), transmit, fallback, owner, now)
    }

    /// Sends the ACK of a 2xx, which has no transaction, and has `transaction` send it again when the 2xx comes again.
    pub(crate) fn send_ack(&mut self, mut ack: Request, flow: Flow, transaction: Key, tag: Option<&str>) {
        let (_, branch) = self.names.name();
        let payload = self.write(&mut ack, &flow, &branch);
        self.transactions.acknowledge(&mut self.outbox, transaction, tag, Transmit { flow, payload });
    }

    fn write(&mut self, request: &mut Request, flow: &Flow, branch: &Token) -> Arc<[u8]> {
        request.vias = vec![self.via(flow, branch)];
        if !request.headers.iter().any(|header| header.name == HeaderName::UserAgent) {
            request.headers.push(self.user_agent.clone());
        }
        request.to_bytes().into()
    }

    // Requests of the peer

    /// What names a server transaction (RFC 3261 §17.2.3): for a branch with the cookie, branch, sent-by and source
    /// address; else, as RFC 2543 did, what stays the same in the INVITE, its repeats, its ACK and its CANCEL.
    pub(crate) fn fingerprint(&self, message: &Message<'_>, method: &Method, via: &Via, flow: &Flow) -> u128 {
        // An ACK belongs to the INVITE, and so does what a CANCEL looks for.
        let method = if *method == Method::Ack { Method::Invite.as_str() } else { method.as_str() };
        let source = match flow.remote.ip().to_canonical() {
            std::net::IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
            std::net::IpAddr::V6(address) => address.octets(),
        };
        if via.has_rfc3261_branch() {
            let branch = message.branch().unwrap_or_default();
            let port = via.port.unwrap_or_default().to_be_bytes();
            let (mut name, mut octets) = ("", [0; 16]);
            match &via.host {
                Host::Name(text) => name = text,
                Host::V4(address) => octets = address.to_ipv6_mapped().octets(),
                Host::V6(address) => octets = address.octets(),
            }
            return self.fingerprints.of(&[
                method.as_bytes(),
                branch.as_bytes(),
                name.as_bytes(),
                &octets,
                &port,
                &source,
            ]);
        }
        let cseq = message.cseq().number.to_be_bytes();
        let uri = message.request_uri().map(|uri| uri.to_string()).unwrap_or_default();
        self.fingerprints.of(&[
            method.as_bytes(),
            uri.as_bytes(),
            message.from_tag().unwrap_or_default().as_bytes(),
            message.call_id().as_bytes(),
            &cseq,
            via.to_string().as_bytes(),
            &source,
        ])
    }

    /// What two copies of a request that came over different paths have in common (RFC 3261 §8.2.2.2).
    pub(crate) fn merge_fingerprint(&self, message: &Message<'_>) -> u128 {
        let cseq = message.cseq();
        self.fingerprints.of(&[
            message.from_tag().unwrap_or_default().as_bytes(),
            message.call_id().as_bytes(),
            &cseq.number.to_be_bytes(),
            cseq.method.as_str().as_bytes(),
        ])
    }

    /// Answers without a transaction (RFC 3261 §8.2.7): the same request gets the same answer, so nothing is kept.
    pub(crate) fn answer_stateless(&mut self, incoming: &Incoming<'_>, reply: Reply) {
        let tag = self.stateless_tag(incoming.fingerprint);
        let mut response = self.template(incoming, reply.status, Some(&tag));
        let payload = reply.write(&mut response, &self.server_name);
        let flow = reply_flow(incoming.flow, incoming.via);
        self.outbox.push_back(Output::Transmit(Transmit { flow, payload }));
    }

    /// Answers a request that did not parse, with its own refusal unless there is a reply that comes first.
    pub(crate) fn answer_refusal(&mut self, refusal: &crate::message::Refusal, reply: Option<Reply>, flow: &Flow) {
        let Some(via) = refusal.vias.first() else { return };
        let tag = self.stateless_tag(self.fingerprints.of(&[refusal.call_id.as_str().as_bytes()]));
        let mut response = refusal.to_response(&tag);
        let reply_flow = reply_flow(flow, via);
        set_source(&mut response, flow);
        if let Some(reply) = reply {
            (response.status, response.reason, response.headers) = (reply.status, None, reply.headers);
        }
        response.headers.push(self.server_name.clone());
        let payload = response.to_bytes().into();
        self.outbox.push_back(Output::Transmit(Transmit { flow: reply_flow, payload }));
    }

    fn stateless_tag(&self, fingerprint: u128) -> Token {
        let tag = self.fingerprints.of(&[&fingerprint.to_be_bytes()]);
        Token::hex(tag.to_be_bytes().first_chunk::<8>().map_or(&[], |octets| octets.as_slice()))
    }

    /// Answers in a transaction, so that repeats get the same answer. Without one if there are too many.
    /// `tag` is that of To, when it matters which.
    pub(crate) fn answer(&mut self, incoming: &Incoming<'_>, reply: Reply, tag: Option<Token>, now: Instant) {
        if self.is_full() {
            self.answer_stateless(incoming, reply);
            return;
        }
        let tag = tag.unwrap_or_else(|| self.stateless_tag(incoming.fingerprint));
        let server = self.start_server(incoming, ServerOwner::Nobody, Some(&tag), None, now);
        self.respond(server, reply, now);
    }

    /// Whether no more server transactions may be made.
    pub(crate) fn is_full(&self) -> bool {
        self.transactions.server_count() >= self.max_servers
    }

    /// Makes a server transaction that is to be answered by `respond`.
    pub(crate) fn start_server(
        &mut self,
        incoming: &Incoming<'_>,
        owner: ServerOwner,
        tag: Option<&Token>,
        merge_fingerprint: Option<u128>,
        now: Instant,
    ) -> Key {
        let is_invite = incoming.message.method() == Method::Invite;
        let timestamp = is_invite
            .then(|| incoming.message.text(&HeaderName::Timestamp))
            .flatten()
            .map(|value| Header::new(HeaderName::Timestamp, HeaderValue::cleaned(&value)));
        let new = NewServer {
            fingerprint: incoming.fingerprint,
            merge_fingerprint,
            is_invite,
            reply_flow: reply_flow(incoming.flow, incoming.via),
            owner,
            // 200, for the template of a dialog has Record-Route.
            template: self.template(incoming, StatusCode::OK, tag),
            timestamp,
        };
        self.transactions.start_server(new, now)
    }

    /// Sends a response in its transaction.
    pub(crate) fn respond(&mut self, server: Key, reply: Reply, now: Instant) -> Option<Transmit> {
        self.transactions.respond(&mut self.outbox, server, reply, now)
    }

    fn template(&self, incoming: &Incoming<'_>, status: StatusCode, tag: Option<&Token>) -> Response {
        let mut response = incoming.message.to_response(status, tag);
        set_source(&mut response, incoming.flow);
        response
    }
}

fn set_source(response: &mut Response, flow: &Flow) {
    if let Some(via) = response.vias.first_mut() {
        via.set_source(flow.remote);
    }
}

/// What the endpoint handles itself, and Allow names first.
pub(crate) const OWN_METHODS: [Method; 5] = [Method::Invite, Method::Ack, Method::Cancel, Method::Bye, Method::Options];
