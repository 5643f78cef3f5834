//! An established session: re-INVITE both ways, and the BYE (RFC 3261 §13.3.1.4, §14, §15).

use std::time::{Duration, Instant};

use super::{Account, Challenged, Phase, ReasonHeader, ReinviteNotNow, Silence, fork, over, sdp_of};
use crate::context::{Context, Incoming};
use crate::dialog::Dialog;
use crate::endpoint::{Ending, Event, Failure, Flow, Output, Refused, SessionId, Transmit};
use crate::message::{Body, Header, HeaderName, HeaderValue, Message, Method, Request, StatusCode, Uri};
use crate::slab::Key;
use crate::timer::{ACK_WAIT, Backoff, CANCEL_WAIT, REINVITE_WAIT, T1, T2};
use crate::transaction::{ClientOwner, Reply, ServerOwner};

pub(crate) struct Usage {
    flow: Flow,
    /// False once a stream is closed: from then on requests go to the address that the peer named.
    is_flow_alive: bool,
    secure: bool,
    dialog: Dialog,
    /// Only for sessions that we began: challenges are not answered on others.
    account: Option<Box<Account>>,
    exchange: Exchange,
    /// Our BYE is under way.
    bye: Option<Box<Closing>>,
}

/// The INVITE that is under way. There is one at a time (§14).
enum Exchange {
    Idle,
    /// The peer's 2xx waits for our ACK, which waits for the user's answer to its offer.
    OwesAck(Box<OwedAck>),
    /// Our 2xx waits for the peer's ACK.
    AwaitsAck(Box<AwaitedAck>),
    /// Our re-INVITE waits for its final response.
    Ours(Box<OurReinvite>),
    /// The peer's re-INVITE waits for the user.
    Theirs(Box<TheirReinvite>),
}

pub(super) struct OwedAck {
    pub(super) transaction: Key,
    pub(super) cseq: u32,
    /// The ACK repeats the answers to challenges of its INVITE (§22.1).
    pub(super) credentials: Vec<Header>,
}

pub(super) struct AwaitedAck {
    cseq: u32,
    response: Transmit,
    resend: Backoff,
    give_up: Instant,
    /// It is for the first INVITE, so that a BYE must wait for it (§15).
    is_first: bool,
    /// The user hung up meanwhile: send BYE, with that Reason, once the wait is over.
    then_bye: Option<Option<Header>>,
}

struct OurReinvite {
    transaction: Key,
    request: Request,
    hop: Flow,
}

struct TheirReinvite {
    server: Key,
    cseq: u32,
    /// The peer's new Contact, which counts from the 2xx on.
    target: Option<Uri>,
}

struct Closing {
    transaction: Key,
    request: Request,
    hop: Flow,
    ending: Ending,
    /// The stream broke under it, and it was sent again over another.
    was_repeated: bool,
}

/// Each takes what is under way, if it is of that kind, and leaves nothing under way.
impl Exchange {
    fn take_owed(&mut self) -> Option<Box<OwedAck>> {
        match std::mem::replace(self, Self::Idle) {
            Self::OwesAck(owed) => Some(owed),
            other @ (Self::Idle | Self::AwaitsAck(_) | Self::Ours(_) | Self::Theirs(_)) => self.put_back(other),
        }
    }

    fn take_awaited(&mut self, is_it: impl FnOnce(&AwaitedAck) -> bool) -> Option<Box<AwaitedAck>> {
        match std::mem::replace(self, Self::Idle) {
            Self::AwaitsAck(awaited) if is_it(&awaited) => Some(awaited),
            other @ (Self::Idle | Self::OwesAck(_) | Self::AwaitsAck(_) | Self::Ours(_) | Self::Theirs(_)) => {
                self.put_back(other)
            }
        }
    }

    fn take_ours(&mut self, is_it: impl FnOnce(&OurReinvite) -> bool) -> Option<Box<OurReinvite>> {
        match std::mem::replace(self, Self::Idle) {
            Self::Ours(ours) if is_it(&ours) => Some(ours),
            other @ (Self::Idle | Self::OwesAck(_) | Self::AwaitsAck(_) | Self::Ours(_) | Self::Theirs(_)) => {
                self.put_back(other)
            }
        }
    }

    fn take_theirs(&mut self) -> Option<Box<TheirReinvite>> {
        match std::mem::replace(self, Self::Idle) {
            Self::Theirs(theirs) => Some(theirs),
            other @ (Self::Idle | Self::OwesAck(_) | Self::AwaitsAck(_) | Self::Ours(_)) => self.put_back(other),
        }
    }

    fn put_back<T>(&mut self, other: Self) -> Option<T> {
        *self = other;
        None
    }
}

impl Closing {
    /// How the session ended when the BYE was not taken.
    fn unconfirmed(&self) -> Ending {
        if self.ending == Ending::LocalBye { Ending::LocalByeUnconfirmed } else { self.ending }
    }
}

impl AwaitedAck {
    pub(super) fn first(cseq: u32, response: Transmit, now: Instant) -> Self {
        Self { is_first: true, ..Self::again(cseq, response, now) }
    }

    fn again(cseq: u32, response: Transmit, now: Instant) -> Self {
        let resend = Backoff::new(T1, T2, now);
        Self { cseq, response, resend, give_up: now + ACK_WAIT, is_first: false, then_bye: None }
    }
}

impl Usage {
    /// Of a session that we began.
    pub(super) fn outgoing(flow: Flow, secure: bool, dialog: Dialog, account: Account) -> Self {
        Self { account: Some(Box::new(account)), ..Self::incoming(flow, secure, dialog) }
    }

    /// Of a session that the peer began.
    pub(super) fn incoming(flow: Flow, secure: bool, dialog: Dialog) -> Self {
        Self { flow, is_flow_alive: true, secure, dialog, account: None, exchange: Exchange::Idle, bye: None }
    }

    /// Of a session of an earlier process.
    pub(crate) fn resumed(flow: Flow, dialog: Dialog) -> Self {
        let secure = dialog.remote_target.scheme() == "sips";
        Self::incoming(flow, secure, dialog)
    }

    pub(super) fn owe_ack(&mut self, owed: OwedAck) {
        self.exchange = Exchange::OwesAck(Box::new(owed));
    }

    pub(super) fn await_ack(&mut self, awaited: AwaitedAck) {
        self.exchange = Exchange::AwaitsAck(Box::new(awaited));
    }

    pub(super) fn dialog(&self) -> (&Flow, &Dialog) {
        (&self.flow, &self.dialog)
    }

    pub(super) fn dialog_mut(&mut self) -> &mut Dialog {
        &mut self.dialog
    }

    fn hop(&self, context: &Context) -> Flow {
        self.dialog.next_hop(&self.flow, self.is_flow_alive, &*context.peers)
    }

    pub(super) fn handle_flow_closed(&mut self, flow: &Flow) {
        if self.flow == *flow {
            self.is_flow_alive = false;
        }
    }

    // ACK

    /// Sends the ACK that is owed.
    pub(super) fn ack(&mut self, context: &mut Context, body: Option<Body>) {
        let Some(owed) = self.exchange.take_owed() else { return };
        let mut ack = self.dialog.ack(owed.cseq);
        ack.headers = owed.credentials;
        ack.body = body;
        let hop = self.hop(context);
        context.send_ack(ack, hop, owed.transaction, self.dialog.remote.tag());
    }

    pub(super) fn handle_ack(
        mut self: Box<Self>,
        context: &mut Context,
        id: SessionId,
        ack: &Message<'_>,
        now: Instant,
    ) -> Phase {
        let cseq = ack.cseq().number;
        let Some(awaited) = self.exchange.take_awaited(|awaited| awaited.cseq == cseq) else {
            return Phase::Established(self);
        };
        match awaited.then_bye {
            Some(reason) => self.send_bye(context, id, reason, Ending::LocalBye, now),
            None if self.bye.is_some() => {}
            None => {
                let body = sdp_of(ack).unwrap_or_default();
                context.event(Event::Acknowledged { session: id, body });
            }
        }
        Phase::Established(self)
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match &self.exchange {
            Exchange::AwaitsAck(awaited) => Some(awaited.resend.due().min(awaited.give_up)),
            Exchange::Idle | Exchange::OwesAck(_) | Exchange::Ours(_) | Exchange::Theirs(_) => None,
        }
    }

    pub(super) fn handle_timeout(mut self: Box<Self>, context: &mut Context, id: SessionId, now: Instant) -> Phase {
        if self.poll_timeout().is_none_or(|due| now < due) {
            return Phase::Established(self);
        }
        if let Exchange::AwaitsAck(awaited) = &mut self.exchange {
            if now < awaited.give_up {
                awaited.resend.back_off(now);
                context.outbox.push_back(Output::Transmit(awaited.response.clone()));
            } else {
                let then_bye = awaited.then_bye.take();
                self.exchange = Exchange::Idle;
                let ending = if then_bye.is_some() { Ending::LocalBye } else { Ending::NoAck };
                let is_news = self.bye.is_none() && then_bye.is_none();
                self.send_bye(context, id, then_bye.flatten(), ending, now);
                if is_news {
                    context.event(Event::Unacknowledged { session: id });
                }
            }
        }
        Phase::Established(self)
    }

    // BYE

    /// The user hangs up.
    pub(super) fn bye(&mut self, context: &mut Context, id: SessionId, reason: Option<Header>, now: Instant) {
        if self.bye.is_some() {
            return;
        }
        match &mut self.exchange {
            Exchange::AwaitsAck(awaited) if awaited.is_first => {
                awaited.then_bye.get_or_insert(reason);
                return;
            }
            Exchange::AwaitsAck(_) => self.exchange = Exchange::Idle,
            Exchange::OwesAck(_) => self.ack(context, None),
            Exchange::Theirs(_) => self.terminate_theirs(context, now),
            Exchange::Idle | Exchange::Ours(_) => {}
        }
        self.send_bye(context, id, reason, Ending::LocalBye, now);
    }

    pub(super) fn send_bye(
        &mut self,
        context: &mut Context,
        id: SessionId,
        reason: Option<Header>,
        ending: Ending,
        now: Instant,
    ) {
        if self.bye.is_some() {
            return;
        }
        if let Some(account) = &mut self.account {
            account.begin_request();
        }
        let hop = self.hop(context);
        let mut request = self.dialog.request(Method::Bye);
        request.headers.extend(reason);
        let transaction = context.send_request(&mut request, hop, ClientOwner::Bye(id.0), now);
        self.bye = Some(Box::new(Closing { transaction, request, hop, ending, was_repeated: false }));
    }

    /// The peer's BYE, answered already.
    pub(super) fn end_by_peer(
        mut self: Box<Self>,
        context: &mut Context,
        id: SessionId,
        reason: Option<ReasonHeader>,
        now: Instant,
    ) -> Phase {
        self.terminate_theirs(context, now);
        // Both hung up at once; our own BYE goes on in its transaction. A dialog that seemed lost was ended by the peer:
        // our re-INVITE crossed its BYE.
        if let Some(bye) = &self.bye
            && bye.ending != Ending::DialogLost
        {
            let ending = bye.ending;
            return self.end(context, id, ending, now);
        }
        let user_hung_up = matches!(&self.exchange, Exchange::AwaitsAck(awaited) if awaited.then_bye.is_some());
        if user_hung_up {
            return self.end(context, id, Ending::LocalBye, now);
        }
        context.event(Event::Bye { session: id, reason });
        self.end(context, id, Ending::RemoteBye, now)
    }

    /// The session is over. A re-INVITE of ours that still waits for its answer is waited for by nobody.
    fn end(mut self: Box<Self>, context: &mut Context, id: SessionId, ending: Ending, now: Instant) -> Phase {
        if let Some(ours) = self.exchange.take_ours(|_| true) {
            context.transactions.limit_patience(ours.transaction, CANCEL_WAIT, now);
        }
        over(context, id, ending)
    }

    /// The dialog ends while the peer's re-INVITE waits (§15.1.2).
    fn terminate_theirs(&mut self, context: &mut Context, now: Instant) {
        if let Some(theirs) = self.exchange.take_theirs() {
            context.respond(theirs.server, Reply::new(StatusCode::REQUEST_TERMINATED), now);
        }
    }

    // Responses

    pub(super) fn handle_response(
        mut self: Box<Self>,
        context: &mut Context,
        id: SessionId,
        (transaction, owner): (Key, ClientOwner),
        response: &Message<'_>,
        status: StatusCode,
        now: Instant,
    ) -> Phase {
        match owner {
            ClientOwner::Bye(_) => self.handle_bye_response(context, id, transaction, response, status, now),
            ClientOwner::Reinvite(_) => {
                self.handle_reinvite_response(context, id, transaction, response, status, now);
                Phase::Established(self)
            }
            ClientOwner::Invite(_) => {
                // A 2xx of the first INVITE that was not acknowledged before. Ours while the user still owes the ACK,
                // else that of another fork.
                if status.is_success() && response.to_tag() != self.dialog.remote.tag() {
                    fork::decline(context, transaction, response, now);
                }
                Phase::Established(self)
            }
            ClientOwner::Request(_) | ClientOwner::Nobody => Phase::Established(self),
        }
    }

    fn handle_bye_response(
        mut self: Box<Self>,
        context: &mut Context,
        id: SessionId,
        transaction: Key,
        response: &Message<'_>,
        status: StatusCode,
        now: Instant,
    ) -> Phase {
        let Some(bye) = self.bye.as_deref_mut().filter(|bye| bye.transaction == transaction && status.is_final())
        else {
            return Phase::Established(self);
        };
        if is_challenge(status)
            && let Some(account) = &mut self.account
            && account.handle_challenge(response, &mut bye.request, &mut context.names) == Challenged::Answered
        {
            self.dialog.local_seq += 1;
            bye.request.cseq = self.dialog.local_seq;
            bye.transaction = context.send_request(&mut bye.request, bye.hop, ClientOwner::Bye(id.0), now);
            return Phase::Established(self);
        }
        let is_gone = status.is_success()
            || matches!(status, StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST | StatusCode::REQUEST_TIMEOUT);
        let ending = if is_gone { bye.ending } else { bye.unconfirmed() };
        self.end(context, id, ending, now)
    }

    pub(super) fn handle_silence(
        mut self: Box<Self>,
        context: &mut Context,
        id: SessionId,
        transaction: Key,
        silence: Silence,
        now: Instant,
    ) -> Phase {
        if let Some(bye) = &mut self.bye {
            if bye.transaction != transaction {
                return Phase::Established(self);
            }
            if silence == Silence::Transport && bye.hop.transport.is_reliable() && !bye.was_repeated {
                // The peer closed the stream just then. On another it can still be told.
                bye.was_repeated = true;
                bye.hop = self.dialog.next_hop(&self.flow, false, &*context.peers);
                self.dialog.local_seq += 1;
                bye.request.cseq = self.dialog.local_seq;
                bye.transaction = context.send_request(&mut bye.request, bye.hop, ClientOwner::Bye(id.0), now);
                return Phase::Established(self);
            }
            let ending = bye.unconfirmed();
            return self.end(context, id, ending, now);
        }
        if !matches!(&self.exchange, Exchange::Ours(ours) if ours.transaction == transaction) {
            return Phase::Established(self);
        }
        self.exchange = Exchange::Idle;
        let failure = match silence {
            Silence::Timeout => Failure::Timeout,
            Silence::Transport => Failure::Transport,
        };
        context.event(Event::ReinviteFailed { session: id, failure, glare_retry: None });
        if silence == Silence::Timeout {
            // §12.2.1.2: no answer at all is a 408.
            self.send_bye(context, id, None, Ending::DialogLost, now);
        }
        Phase::Established(self)
    }

    // Our re-INVITE

    pub(super) fn reinvite(
        &mut self,
        context: &mut Context,
        id: SessionId,
        body: Option<Body>,
        now: Instant,
    ) -> Result<(), ReinviteNotNow> {
        if self.bye.is_some() || !matches!(self.exchange, Exchange::Idle) {
            return Err(ReinviteNotNow);
        }
        if let Some(account) = &mut self.account {
            account.begin_request();
        }
        let hop = self.hop(context);
        let mut request = self.dialog.request(Method::Invite);
        request.contact = Some(context.contact(&self.flow, self.secure));
        request.headers.push(context.allow());
        request.body = body;
        let transaction = context.send_request(&mut request, hop, ClientOwner::Reinvite(id.0), now);
        context.transactions.limit_patience(transaction, REINVITE_WAIT, now);
        self.exchange = Exchange::Ours(Box::new(OurReinvite { transaction, request, hop }));
        Ok(())
    }

    fn handle_reinvite_response(
        &mut self,
        context: &mut Context,
        id: SessionId,
        transaction: Key,
        response: &Message<'_>,
        status: StatusCode,
        now: Instant,
    ) {
        if status.is_provisional() {
            return;
        }
        let Some(ours) = self.exchange.take_ours(|ours| ours.transaction == transaction) else { return };
        if status.is_success() {
            self.handle_reinvite_answer(context, id, *ours, response);
        } else {
            self.handle_reinvite_failure(context, id, ours, response, status, now);
        }
    }

    fn handle_reinvite_answer(
        &mut self,
        context: &mut Context,
        id: SessionId,
        ours: OurReinvite,
        response: &Message<'_>,
    ) {
        if let Some(target) = target_of(response) {
            self.dialog.remote_target = target;
        }
        let needs_ack = ours.request.body.is_none();
        let credentials = ours.request.headers.into_iter();
        let credentials = credentials.filter(|header| super::account::is_credentials(&header.name)).collect();
        self.owe_ack(OwedAck { transaction: ours.transaction, cseq: ours.request.cseq, credentials });
        if !needs_ack || self.bye.is_some() {
            self.ack(context, None);
        }
        if self.bye.is_none() {
            let body = sdp_of(response).unwrap_or_default();
            context.event(Event::ReinviteAnswered { session: id, body, needs_ack });
        }
    }

    fn handle_reinvite_failure(
        &mut self,
        context: &mut Context,
        id: SessionId,
        mut ours: Box<OurReinvite>,
        response: &Message<'_>,
        status: StatusCode,
        now: Instant,
    ) {
        if self.bye.is_some() {
            return;
        }
        if is_challenge(status)
            && let Some(account) = &mut self.account
            && account.handle_challenge(response, &mut ours.request, &mut context.names) == Challenged::Answered
        {
            self.dialog.local_seq += 1;
            ours.request.cseq = self.dialog.local_seq;
            ours.transaction = context.send_request(&mut ours.request, ours.hop, ClientOwner::Reinvite(id.0), now);
            context.transactions.limit_patience(ours.transaction, REINVITE_WAIT, now);
            self.exchange = Exchange::Ours(ours);
            return;
        }
        let glare_retry = (status == StatusCode::REQUEST_PENDING).then(|| self.glare_pause(context));
        let failure = Failure::Status(Refused::of(response, status));
        context.event(Event::ReinviteFailed { session: id, failure, glare_retry });
        if matches!(status, StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST | StatusCode::REQUEST_TIMEOUT) {
            self.send_bye(context, id, None, Ending::DialogLost, now);
        }
    }

    /// §14.1: who began the dialog waits 2.1 to 4 s, the other up to 2 s, in steps of 10 ms.
    fn glare_pause(&self, context: &mut Context) -> Duration {
        let steps = if self.account.is_some() { 210 + context.names.below(191) } else { context.names.below(201) };
        Duration::from_millis(10 * u64::from(steps))
    }

    // The peer's re-INVITE

    pub(super) fn handle_reinvite(
        &mut self,
        context: &mut Context,
        id: SessionId,
        incoming: &Incoming<'_>,
        now: Instant,
    ) {
        if self.bye.is_some() {
            context.answer_stateless(incoming, Reply::new(StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST));
            return;
        }
        match &self.exchange {
            Exchange::Idle => {}
            Exchange::Theirs(_) => return answer_try_later(context, incoming, now),
            Exchange::OwesAck(_) | Exchange::AwaitsAck(_) | Exchange::Ours(_) => {
                return context.answer(incoming, Reply::new(StatusCode::REQUEST_PENDING), None, now);
            }
        }
        if context.is_full() {
            return answer_try_later(context, incoming, now);
        }
        let Ok(body) = sdp_of(incoming.message) else {
            return context.answer_stateless(incoming, unsupported_body());
        };
        let server = context.start_server(incoming, ServerOwner::Reinvite(id.0), None, None, now);
        let cseq = incoming.message.cseq().number;
        let target = target_of(incoming.message);
        self.exchange = Exchange::Theirs(Box::new(TheirReinvite { server, cseq, target }));
        context.event(Event::Reinvite { session: id, body });
    }

    pub(super) fn answer_reinvite(&mut self, context: &mut Context, body: Option<Body>, now: Instant) {
        let Some(theirs) = self.exchange.take_theirs() else { return };
        let contact = Some(context.contact(&self.flow, self.secure));
        let reply = Reply { status: StatusCode::OK, contact, headers: vec![context.allow()], body };
        if let Some(transmit) = context.respond(theirs.server, reply, now) {
            if let Some(target) = theirs.target {
                self.dialog.remote_target = target;
            }
            self.await_ack(AwaitedAck::again(theirs.cseq, transmit, now));
        }
    }

    pub(super) fn reject_reinvite(&mut self, context: &mut Context, status: StatusCode, now: Instant) {
        if let Some(theirs) = self.exchange.take_theirs() {
            let status = if status.as_u16() >= 300 { status } else { StatusCode::SERVER_INTERNAL_ERROR };
            context.respond(theirs.server, Reply::new(status), now);
        }
    }

    /// The peer's CANCEL of its re-INVITE. The session goes on as it was.
    pub(super) fn handle_cancel(mut self: Box<Self>, context: &mut Context, id: SessionId, now: Instant) -> Phase {
        if matches!(self.exchange, Exchange::Theirs(_)) {
            self.terminate_theirs(context, now);
            context.event(Event::ReinviteCanceled { session: id });
        }
        Phase::Established(self)
    }
}

/// §14.2: a second INVITE before the first has its final response. In a transaction, as every answer that would be another one a moment
/// later: a repeat of the INVITE must not get a second one.
pub(super) fn answer_try_later(context: &mut Context, incoming: &Incoming<'_>, now: Instant) {
    let pause = context.names.below(MAX_TRY_LATER_SECONDS + 1);
    let header = Header::new(HeaderName::RetryAfter, HeaderValue::from(pause));
    context.answer(incoming, Reply::with_headers(StatusCode::SERVER_INTERNAL_ERROR, vec![header]), None, now);
}

/// 415 (RFC 3261 §8.2.3).
pub(crate) fn unsupported_body() -> Reply {
    let accept = Header::new(HeaderName::Accept, HeaderValue::cleaned("application/sdp"));
    Reply::with_headers(StatusCode::UNSUPPORTED_MEDIA_TYPE, vec![accept])
}

fn target_of(message: &Message<'_>) -> Option<Uri> {
    message.contacts().ok()?.into_iter().next().map(|contact| contact.uri)
}

fn is_challenge(status: StatusCode) -> bool {
    matches!(status, StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED)
}

/// §14.2: Retry-After is a random number of seconds up to this.
const MAX_TRY_LATER_SECONDS: u32 = 10;
