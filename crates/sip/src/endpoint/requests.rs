//! Requests outside of sessions.

use std::collections::HashMap;
use std::time::Instant;

use super::{Event, Flow, OutgoingRequest, RequestFailure, RequestId, ResponseSummary};
use crate::context::Context;
use crate::endpoint::event::phrase_of;
use crate::fingerprint::TakeAsIs;
use crate::message::{Header, HeaderName, HeaderValue, Message, Method, NameAddr, Request, StatusCode};
use crate::session::{Account, Challenged, Silence};
use crate::transaction::ClientOwner;

/// All requests without an outcome.
pub(super) struct Requests {
    open: HashMap<u64, Open, std::hash::BuildHasherDefault<TakeAsIs>>,
    last: u64,
}

struct Open {
    request: Request,
    flow: Flow,
    account: Account,
}

impl Requests {
    pub(super) fn new() -> Self {
        Self { open: HashMap::default(), last: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    pub(super) fn start(&mut self, context: &mut Context, outgoing: OutgoingRequest, now: Instant) -> RequestId {
        self.last += 1;
        let id = RequestId(self.last);
        let (_, tag) = context.names.name();
        let mut to = outgoing.to;
        to.params.remove("tag");
        let call_id = context.names.call_id();
        let from = outgoing.from.with_tag(&tag);
        let mut request = Request::new(outgoing.method, outgoing.request_uri, from, to, call_id, 1);
        request.max_forwards = outgoing.max_forwards;
        request.routes = outgoing.routes.into_iter().map(NameAddr::new).collect();
        request.headers = outgoing.headers;
        request.body = outgoing.body;
        let flow = outgoing.flow;
        if request.method == Method::Options {
            // RFC 3261 §11.1. Some carriers do not answer a probe without them.
            let secure = request.uri.scheme() == "sips";
            request.contact = Some(context.contact(&flow, secure));
            request.headers.push(Header::new(HeaderName::Accept, HeaderValue::cleaned("application/sdp")));
        }
        context.send_request(&mut request, flow, ClientOwner::Request(id), now);
        self.open.insert(id.0, Open { request, flow, account: Account::new(outgoing.credentials) });
        id
    }

    pub(super) fn handle_response(
        &mut self,
        context: &mut Context,
        id: RequestId,
        flow: &Flow,
        response: &Message<'_>,
        status: StatusCode,
        now: Instant,
    ) {
        if !status.is_final() {
            return;
        }
        let Some(open) = self.open.get_mut(&id.0) else { return };
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED)
            && open.account.handle_challenge(response, &mut open.request, &mut context.names) == Challenged::Answered
        {
            open.request.cseq += 1;
            context.send_request(&mut open.request, open.flow, ClientOwner::Request(id), now);
            return;
        }
        self.open.remove(&id.0);
        let outcome = Ok(ResponseSummary { status, reason: phrase_of(response), flow: *flow });
        context.event(Event::Response { request: id, outcome });
    }

    pub(super) fn handle_silence(&mut self, context: &mut Context, id: RequestId, silence: Silence) {
        if self.open.remove(&id.0).is_some() {
            let failure = match silence {
                Silence::Timeout => RequestFailure::Timeout,
                Silence::Transport => RequestFailure::Transport,
            };
            context.event(Event::Response { request: id, outcome: Err(failure) });
        }
    }
}
