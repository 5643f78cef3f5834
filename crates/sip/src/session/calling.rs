//! An INVITE of ours that has no final response yet (RFC 3261 §13.2, §9.1).

use std::time::Instant;

use super::usage::OwedAck;
use super::{Account, Challenged, Phase, Silence, Usage, account, fork, over, sdp_of};
use crate::context::Context;
use crate::dialog::Dialog;
use crate::endpoint::{Answer, Ending, Event, Failure, Flow, OutgoingInvite, Refused, SessionId};
use crate::message::{Header, Message, Method, NameAddr, Request, SipCallId, StatusCode, Token};
use crate::rules::Rule;
use crate::slab::Key;
use crate::transaction::ClientOwner;

pub(crate) struct Calling {
    flow: Flow,
    /// The INVITE as sent last.
    request: Request,
    transaction: Key,
    account: Account,
    canceled: Option<Cancellation>,
}

struct Cancellation {
    reason: Option<Header>,
    /// The CANCEL was sent; else it waits for a provisional response (§9.1).
    is_out: bool,
}

impl Calling {
    /// Sends the INVITE of a session that has this tag.
    pub(crate) fn start(
        context: &mut Context,
        id: SessionId,
        tag: &Token,
        invite: OutgoingInvite,
        now: Instant,
    ) -> Self {
        let mut to = invite.to;
        to.params.remove("tag");
        let secure = invite.request_uri.scheme() == "sips";
        let call_id = context.names.call_id();
        let mut request =
            Request::new(Method::Invite, invite.request_uri, invite.from.with_tag(tag), to, call_id, FIRST_CSEQ);
        request.max_forwards = invite.max_forwards;
        request.routes = invite.routes.into_iter().map(NameAddr::new).collect();
        request.contact = Some(context.contact(&invite.flow, secure));
        request.headers = invite.headers;
        request.headers.push(context.allow());
        request.body = invite.body;
        let transaction = context.send_request(&mut request, invite.flow, ClientOwner::Invite(id.0), now);
        Self { flow: invite.flow, request, transaction, account: Account::new(invite.credentials), canceled: None }
    }

    /// Takes up an INVITE that an earlier process sent. It can be canceled, and its answer is dealt with.
    pub(crate) fn resume(context: &mut Context, id: SessionId, flow: Flow, octets: &[u8]) -> Option<Self> {
        let invite = Message::parse(octets).ok()?;
        let branch = invite.branch()?.strip_prefix(crate::message::MAGIC_COOKIE)?;
        let number = crate::names::number_of(branch)?;
        let call_id = SipCallId::new(invite.call_id()).ok()?;
        let mut request = Request::new(
            Method::Invite,
            invite.request_uri()?,
            invite.from(),
            invite.to(),
            call_id,
            invite.cseq().number,
        );
        request.headers = fork::credentials_of(&invite);
        let transaction = context.transactions.resume_invite(number, octets.into(), flow, ClientOwner::Invite(id.0));
        Some(Self { flow, request, transaction, account: Account::new(None), canceled: None })
    }

    pub(crate) fn transaction(&self) -> Key {
        self.transaction
    }

    pub(super) fn flow(&self) -> &Flow {
        &self.flow
    }

    pub(super) fn call_id(&self) -> &str {
        self.request.call_id.as_str()
    }

    pub(super) fn waits_for(&self, transaction: Key) -> bool {
        self.transaction == transaction
    }

    pub(super) fn cancel(&mut self, context: &mut Context, reason: Option<Header>, now: Instant) {
        if self.canceled.is_some() {
            return;
        }
        let is_out = context.transactions.cancel(&mut context.outbox, self.transaction, reason.as_ref(), now);
        self.canceled = Some(Cancellation { reason, is_out });
    }

    pub(super) fn handle_response(
        mut self: Box<Self>,
        context: &mut Context,
        id: SessionId,
        response: &Message<'_>,
        status: StatusCode,
        now: Instant,
    ) -> Phase {
        if status.is_provisional() {
            self.handle_provisional(context, id, response, status, now);
            return Phase::Calling(self);
        }
        if status.is_success() {
            return self.handle_answer(context, id, response, status, now);
        }
        if self.canceled.is_some() {
            return over(context, id, Ending::Canceled);
        }
        let failure = if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED) {
            match self.account.handle_challenge(response, &mut self.request, &mut context.names) {
                Challenged::Answered => {
                    self.request.cseq += 1;
                    self.transaction =
                        context.send_request(&mut self.request, self.flow, ClientOwner::Invite(id.0), now);
                    return Phase::Calling(self);
                }
                Challenged::Rejected => Failure::AuthenticationRejected { status },
                Challenged::TooMany => Failure::TooManyChallenges,
            }
        } else if status == StatusCode::FORBIDDEN && self.account.has_answered() {
            // Many servers say so to a wrong password.
            Failure::AuthenticationRejected { status }
        } else {
            Failure::Status(Refused::of(response, status))
        };
        fail(context, id, failure)
    }

    fn handle_provisional(
        &mut self,
        context: &mut Context,
        session: SessionId,
        response: &Message<'_>,
        status: StatusCode,
        now: Instant,
    ) {
        match &mut self.canceled {
            Some(canceled) if !canceled.is_out => {
                let reason = canceled.reason.as_ref();
                canceled.is_out = context.transactions.cancel(&mut context.outbox, self.transaction, reason, now);
            }
            Some(_) => {}
            None => {
                let body = sdp_of(response).unwrap_or_default();
                context.event(Event::Provisional { session, status, body });
            }
        }
    }

    fn handle_answer(
        self: Box<Self>,
        context: &mut Context,
        id: SessionId,
        response: &Message<'_>,
        status: StatusCode,
        now: Instant,
    ) -> Phase {
        let Self { flow, request, transaction, account, canceled } = *self;
        let needs_ack = request.body.is_none();
        let secure = request.uri.scheme() == "sips";
        let cseq = request.cseq;
        let Some(dialog) = Dialog::from_answer(request.call_id, request.from, request.to, cseq, response) else {
            fork::decline(context, transaction, response, now);
            return match canceled {
                Some(_) => over(context, id, Ending::AnsweredThenCanceled),
                None => fail(context, id, Failure::BadAnswer),
            };
        };
        let credentials = request.headers.into_iter().filter(|header| account::is_credentials(&header.name)).collect();
        let remote_target = dialog.remote_target.clone();
        let mut usage = Box::new(Usage::outgoing(flow, secure, dialog, account));
        usage.owe_ack(OwedAck { transaction, cseq, credentials });
        if let Some(canceled) = canceled {
            usage.ack(context, None);
            if !context.transactions.rules.hold(Rule::EndsWhatIsAnsweredTooLate) {
                return over(context, id, Ending::AnsweredThenCanceled);
            }
            usage.send_bye(context, id, canceled.reason, Ending::AnsweredThenCanceled, now);
            context.event(Event::AnsweredLate { session: id });
            return Phase::Established(usage);
        }
        if !needs_ack {
            usage.ack(context, None);
        }
        let body = sdp_of(response).unwrap_or_default();
        let answer = Box::new(Answer { status, body, remote_target, needs_ack });
        context.event(Event::Answered { session: id, answer });
        Phase::Established(usage)
    }

    pub(super) fn handle_silence(self: Box<Self>, context: &mut Context, id: SessionId, silence: Silence) -> Phase {
        match (self.canceled, silence) {
            (Some(_), _) => over(context, id, Ending::Canceled),
            (None, Silence::Timeout) => fail(context, id, Failure::Timeout),
            (None, Silence::Transport) => fail(context, id, Failure::Transport),
        }
    }
}

fn fail(context: &mut Context, session: SessionId, failure: Failure) -> Phase {
    context.event(Event::Failed { session, failure });
    over(context, session, Ending::Failed)
}

/// Where our CSeq numbers start. A challenge answered is one more.
const FIRST_CSEQ: u32 = 1;
