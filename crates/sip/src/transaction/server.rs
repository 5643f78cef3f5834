use std::sync::Arc;
use std::time::Instant;

use super::{InviteServer, NonInviteServer};
use crate::deadlines::Scheduled;
use crate::endpoint::Flow;
use crate::message::{Body, Header, NameAddr, Response, StatusCode};
use crate::slab::Key;
use crate::timer::Due;

/// A server transaction: the machine, what it answers with, and where to.
pub(super) struct Server {
    pub(super) fingerprint: u128,
    /// The fingerprint by which a second copy of the request, over another path, is known (RFC 3261 §8.2.2.2).
    pub(super) merge_fingerprint: Option<u128>,
    pub(super) machine: ServerMachine,
    pub(super) reply_flow: Flow,
    pub(super) owner: ServerOwner,
    /// What all responses have in common, until the final one is sent.
    pub(super) template: Option<Box<Response>>,
    /// Timestamp of the request, for the 100 (RFC 3261 §8.2.6.1).
    pub(super) timestamp: Option<Box<Header>>,
    /// The last response, for repeats of the request.
    pub(super) last: Option<Arc<[u8]>>,
    pub(super) scheduled: Scheduled,
}

pub(super) enum ServerMachine {
    Invite(InviteServer),
    NonInvite(NonInviteServer),
}

/// Whom a CANCEL concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ServerOwner {
    /// A session, whose first INVITE it is.
    Invite(Key),
    /// A session, whose re-INVITE it is.
    Reinvite(Key),
    /// Nobody: the request is answered, or the user's to answer.
    Nobody,
}

/// What one response has that others of its transaction have not.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) contact: Option<NameAddr>,
    pub(crate) headers: Vec<Header>,
    pub(crate) body: Option<Body>,
}

impl Reply {
    pub(crate) fn new(status: StatusCode) -> Self {
        Self { status, contact: None, headers: Vec::new(), body: None }
    }

    pub(crate) fn with_headers(status: StatusCode, headers: Vec<Header>) -> Self {
        Self { headers, ..Self::new(status) }
    }

    /// Writes it on a template.
    pub(crate) fn write(self, template: &mut Response, server: &Header) -> Arc<[u8]> {
        template.status = self.status;
        template.contacts = self.contact.into_iter().collect();
        template.headers = self.headers;
        template.headers.push(server.clone());
        template.body = self.body;
        if self.status.as_u16() >= 300 {
            // Record-Route is for responses that make a dialog.
            template.record_routes = Vec::new();
        }
        template.to_bytes().into()
    }
}

impl ServerMachine {
    pub(super) fn respond(&mut self, status: StatusCode, now: Instant) -> bool {
        match self {
            Self::Invite(machine) => machine.respond(status, now),
            Self::NonInvite(machine) => status.is_final() && machine.respond(now),
        }
    }

    pub(super) fn handle_retransmission(&self) -> bool {
        match self {
            Self::Invite(machine) => machine.handle_retransmission(),
            Self::NonInvite(machine) => machine.handle_retransmission(),
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

    pub(super) fn is_terminated(&self) -> bool {
        match self {
            Self::Invite(machine) => machine.is_terminated(),
            Self::NonInvite(machine) => machine.is_terminated(),
        }
    }
}

impl Server {
    /// Writes a 100, which has no tag of ours and nothing else a dialog could be made of.
    pub(super) fn write_trying(&mut self, server: &Header) -> Option<Arc<[u8]>> {
        let mut response = self.template.as_deref()?.clone();
        response.to.params.remove("tag");
        response.record_routes = Vec::new();
        let headers = self.timestamp.take().map(|timestamp| *timestamp).into_iter().collect();
        Some(Reply::with_headers(StatusCode::TRYING, headers).write(&mut response, server))
    }
}
