//! A peer's INVITE that has no final response yet (RFC 3261 §13.3).

use std::time::Instant;

use super::usage::AwaitedAck;
use super::{Phase, ReasonHeader, Usage, over};
use crate::context::Context;
use crate::dialog::Dialog;
use crate::endpoint::{Ending, Event, Flow, Output, SessionId, Transmit};
use crate::message::{Body, Header, StatusCode};
use crate::rules::Rule;
use crate::slab::Key;
use crate::timer::TIMER_C_REFRESH;
use crate::transaction::Reply;

pub(crate) struct Ringing {
    flow: Flow,
    /// False once a stream is closed.
    is_flow_alive: bool,
    server: Key,
    secure: bool,
    /// The CSeq number of the INVITE. Requests in the early dialog go beyond it.
    cseq: u32,
    /// What the dialog will be.
    dialog: Dialog,
    /// The last provisional response but 100, and when it is due again (§13.3.1.1).
    refresh: Option<(Instant, Transmit)>,
}

impl Ringing {
    pub(crate) fn new(flow: Flow, server: Key, secure: bool, dialog: Dialog) -> Self {
        let cseq = dialog.remote_seq.unwrap_or_default();
        Self { flow, is_flow_alive: true, server, secure, cseq, dialog, refresh: None }
    }

    pub(super) fn dialog(&self) -> (&Flow, &Dialog) {
        (&self.flow, &self.dialog)
    }

    pub(super) fn dialog_mut(&mut self) -> &mut Dialog {
        &mut self.dialog
    }

    pub(super) fn handle_flow_closed(&mut self, flow: &Flow) {
        if self.flow == *flow {
            self.is_flow_alive = false;
        }
    }

    pub(super) fn progress(&mut self, context: &mut Context, status: StatusCode, body: Option<Body>, now: Instant) {
        if !status.is_provisional() {
            return;
        }
        let contact = Some(context.contact(&self.flow, self.secure));
        let reply = Reply { status, contact, headers: Vec::new(), body };
        let sent = context.respond(self.server, reply, now);
        if status != StatusCode::TRYING {
            self.refresh = sent.map(|transmit| (now + TIMER_C_REFRESH, transmit));
        }
    }

    pub(super) fn accept(
        self: Box<Self>,
        context: &mut Context,
        id: SessionId,
        body: Option<Body>,
        mut headers: Vec<Header>,
        now: Instant,
    ) -> Phase {
        headers.push(context.allow());
        let contact = Some(context.contact(&self.flow, self.secure));
        let Some(transmit) =
            context.respond(self.server, Reply { status: StatusCode::OK, contact, headers, body }, now)
        else {
            return over(context, id, Ending::Rejected);
        };
        let mut usage = Usage::incoming(self.flow, self.secure, self.dialog);
        if !self.is_flow_alive {
            usage.handle_flow_closed(&self.flow);
        }
        usage.await_ack(AwaitedAck::first(self.cseq, transmit, now));
        Phase::Established(Box::new(usage))
    }

    /// Sends the failure: `once`, and forgets the transaction, or until the ACK comes.
    pub(super) fn reject(
        &self,
        context: &mut Context,
        status: StatusCode,
        headers: Vec<Header>,
        once: bool,
        now: Instant,
    ) {
        let status = if status.as_u16() >= 300 { status } else { StatusCode::SERVER_INTERNAL_ERROR };
        context.respond(self.server, Reply::with_headers(status, headers), now);
        if once {
            context.transactions.forget_server(self.server);
        }
    }

    /// CANCEL, or BYE in the early dialog: the INVITE is answered with 487 (§9.2, §15.1.2).
    pub(super) fn end_canceled(
        self: Box<Self>,
        context: &mut Context,
        id: SessionId,
        reason: Option<ReasonHeader>,
        now: Instant,
    ) -> Phase {
        if context.transactions.rules.hold(Rule::AnswersWhatIsCanceled) {
            context.respond(self.server, Reply::new(StatusCode::REQUEST_TERMINATED), now);
        }
        context.event(Event::Canceled { session: id, reason });
        over(context, id, Ending::Canceled)
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.refresh.as_ref().map(|(due, _)| *due)
    }

    pub(super) fn handle_timeout(&mut self, context: &mut Context, now: Instant) {
        if let Some((due, transmit)) = &mut self.refresh
            && *due <= now
        {
            *due = now + TIMER_C_REFRESH;
            context.outbox.push_back(Output::Transmit(transmit.clone()));
        }
    }
}
