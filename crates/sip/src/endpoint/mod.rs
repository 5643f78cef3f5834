//! The user agent: everything between datagrams and calls.

mod config;
mod event;
mod flow;
mod outgoing;

pub use config::{
    EndpointConfig, Identity, Limits, MAX_OUTPUTS, MAX_SERVER_TRANSACTIONS, MAX_SESSIONS, PeerPolicy, SameAddress,
    SentBy,
};
pub use event::{
    Answer, Ending, Event, Failure, IncomingId, InviteSummary, Output, Refused, RequestFailure, RequestId,
    RequestSummary, ResponseSummary, SessionId,
};
pub use flow::{Flow, Transmit};
pub use outgoing::{Credentials, OutgoingInvite, OutgoingRequest};

impl Endpoint {
    /// An endpoint without sessions.
    pub fn new(config: EndpointConfig, random: Box<dyn Randomness>) -> Self;

    /// Takes one message: a datagram, or what the framing cut out of a stream.
    pub fn handle_datagram(&mut self, flow: Flow, octets: &[u8], now: Instant);
    /// The flow is broken (ICMP unreachable, connection refused or lost): what waits on it fails.
    pub fn handle_transport_error(&mut self, flow: &Flow, now: Instant);
    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant);
    /// When [`Self::handle_timeout`] must be called; may be earlier than needed, never later.
    pub fn poll_timeout(&self) -> Option<Instant>;
    /// The next thing to do. Drain it after each call of another method.
    pub fn poll_output(&mut self) -> Option<Output>;
    pub fn counts(&self) -> Counts;

    // Outgoing
    pub fn invite(&mut self, invite: OutgoingInvite, now: Instant) -> SessionId;
    pub fn cancel(&mut self, session: SessionId, reason: Option<&ReasonHeader>, now: Instant);
    /// ACK of a 2xx that brought the offer (`needs_ack`).
    pub fn ack(&mut self, session: SessionId, body: Option<Body>, now: Instant);

    // Incoming
    pub fn progress(&mut self, session: SessionId, status: StatusCode, body: Option<Body>, now: Instant);
    pub fn accept(&mut self, session: SessionId, body: Option<Body>, headers: Vec<Header>, now: Instant);
    pub fn reject(&mut self, session: SessionId, status: StatusCode, headers: Vec<Header>, now: Instant);
    /// As `reject`, for peers that have proven nothing: one answer, no resends, no state left.
    pub fn refuse(&mut self, session: SessionId, status: StatusCode, headers: Vec<Header>);

    // Established
    pub fn bye(&mut self, session: SessionId, reason: Option<&ReasonHeader>, now: Instant);
    pub fn reinvite(&mut self, session: SessionId, body: Option<Body>, now: Instant);
    pub fn answer_reinvite(&mut self, session: SessionId, body: Option<Body>, now: Instant);
    pub fn reject_reinvite(&mut self, session: SessionId, status: StatusCode, now: Instant);

    // Outside of sessions
    pub fn request(&mut self, request: OutgoingRequest, now: Instant) -> RequestId;
    pub fn respond(&mut self, id: IncomingId, status: StatusCode, headers: Vec<Header>, body: Option<Body>, now: Instant);

    // For records and the journal
    /// The Call-ID of a session.
    pub fn call_id(&self, session: SessionId) -> Option<&str>;
    /// All that is needed to end the dialog from another process (None before it is established).
    pub fn dialog(&self, session: SessionId) -> Option<DialogRecord>;
    /// Takes up a dialog of an earlier process; then `bye`.
    pub fn resume_dialog(&mut self, record: DialogRecord, now: Instant) -> SessionId;
    /// The INVITE as sent last, for a session that is not answered yet.
    pub fn invite_sent(&self, session: SessionId) -> Option<(Flow, Arc<[u8]>)>;
    /// Takes up an INVITE that an earlier process sent; then `cancel`.
    pub fn resume_invite(&mut self, flow: Flow, invite: &[u8], now: Instant) -> Option<SessionId>;
}
