use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Instant;

use super::{Fallback, InviteClient, NonInviteClient, OnResponse};
use crate::deadlines::Scheduled;
use crate::endpoint::{Flow, RequestId, Transmit};
use crate::message::{Header, Message, Method, Request, StatusCode};
use crate::slab::Key;
use crate::timer::Due;

/// A client transaction: the machine and the request it resends.
pub(super) struct Client {
    pub(super) branch: Branch,
    pub(super) machine: ClientMachine,
    pub(super) request: Arc<[u8]>,
    pub(super) flow: Flow,
    pub(super) owner: ClientOwner,
    /// As a datagram, should the stream not do. Gone once it does.
    pub(super) fallback: Option<Box<Fallback>>,
    /// The ACKs sent for final responses to an INVITE, to be sent again when those are. Several when it forked.
    pub(super) acks: Vec<Acked>,
    pub(super) scheduled: Scheduled,
}

pub(super) enum ClientMachine {
    Invite(InviteClient),
    NonInvite(NonInviteClient),
}

/// What a response is matched by: the branch that we made, and whether it is of the CANCEL with that branch or of the
/// request (RFC 3261 §17.1.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Branch {
    pub(super) number: u64,
    pub(super) is_cancel: bool,
}

impl Hash for Branch {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // The number is random; INVITE and CANCEL may share a bucket.
        state.write_u64(self.number);
    }
}

/// Who hears of the outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClientOwner {
    /// A session, whose first INVITE it is.
    Invite(Key),
    /// A session, whose re-INVITE it is.
    Reinvite(Key),
    /// A session, whose BYE it is.
    Bye(Key),
    /// The user, by way of `request`.
    Request(RequestId),
    /// Nobody: a CANCEL, or the BYE of a fork that lost.
    Nobody,
}

/// An ACK that was sent.
pub(super) struct Acked {
    /// The tag in To of the response.
    pub(super) tag: Option<Box<str>>,
    pub(super) transmit: Transmit,
}

/// What came of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Received {
    /// No transaction of ours.
    Stray,
    /// From an address that is not the peer's.
    Foreign,
    /// The transaction dealt with it.
    Absorbed,
    /// The owner must have it.
    For {
        /// The transaction.
        transaction: Key,
        /// Its owner.
        owner: ClientOwner,
    },
}

impl ClientMachine {
    pub(super) fn handle_response(&mut self, status: StatusCode, now: Instant) -> OnResponse {
        match self {
            Self::Invite(machine) => machine.handle_response(status, now),
            Self::NonInvite(machine) => machine.handle_response(status, now),
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) -> Due {
        match self {
            Self::Invite(machine) => machine.handle_timeout(now),
            Self::NonInvite(machine) => machine.handle_timeout(now),
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::Invite(machine) => machine.poll_timeout(),
            Self::NonInvite(machine) => machine.poll_timeout(),
        }
    }

    /// Begins again as a datagram.
    pub(super) fn restart_unreliable(&mut self, now: Instant) {
        match self {
            Self::Invite(machine) => machine.restart_unreliable(now),
            Self::NonInvite(machine) => *machine = NonInviteClient::new(false, now),
        }
    }

    pub(super) fn is_terminated(&self) -> bool {
        match self {
            Self::Invite(machine) => machine.is_terminated(),
            Self::NonInvite(machine) => machine.is_terminated(),
        }
    }
}

impl Client {
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let due = self.machine.poll_timeout();
        match &self.fallback {
            Some(fallback) => Some(due.map_or(fallback.due(), |due| due.min(fallback.due()))),
            None => due,
        }
    }

    /// Whether its owner still waits for a final response.
    pub(super) fn is_waiting(&self) -> bool {
        match &self.machine {
            ClientMachine::Invite(machine) => machine.is_calling() || machine.is_proceeding(),
            ClientMachine::NonInvite(machine) => machine.is_waiting(),
        }
    }

    /// The ACK of a failure (RFC 3261 §17.1.1.3): the INVITE's Request-URI, top Via, From, Call-ID, CSeq number and
    /// Route, the response's To.
    pub(super) fn ack_of_failure(&self, response: &Message<'_>, user_agent: &Header) -> Option<Arc<[u8]>> {
        let mut ack = self.like_the_request(Method::Ack, user_agent)?;
        ack.to = response.to();
        Some(ack.to_bytes().into())
    }

    /// The CANCEL of the request (RFC 3261 §9.1).
    pub(super) fn cancel(&self, reason: Option<&Header>, user_agent: &Header) -> Option<Arc<[u8]>> {
        let mut cancel = self.like_the_request(Method::Cancel, user_agent)?;
        cancel.headers.extend(reason.cloned());
        Some(cancel.to_bytes().into())
    }

    /// Our own request is read again where it is needed, which is seldom, so that it need not be kept twice.
    fn like_the_request(&self, method: Method, user_agent: &Header) -> Option<Request> {
        let invite = Message::parse(&self.request).ok()?;
        let call_id = crate::message::SipCallId::new(invite.call_id()).ok()?;
        let mut request =
            Request::new(method, invite.request_uri()?, invite.from(), invite.to(), call_id, invite.cseq().number);
        request.vias = vec![invite.top_via()];
        request.routes = invite.routes().ok()?;
        request.headers = vec![user_agent.clone()];
        Some(request)
    }
}
