//! Sessions: one INVITE usage each, from the first INVITE to the end of its dialog (RFC 3261 §13, §14, §15).

mod account;
mod body;
mod calling;
pub(crate) mod fork;
mod reason;
mod ringing;
mod usage;

use std::time::Instant;

pub use reason::{ReasonHeader, ReasonProtocol};

pub(crate) use account::{Account, Challenged};
pub(crate) use body::{accepts_sdp, sdp_of};
pub(crate) use calling::Calling;
pub(crate) use ringing::Ringing;
pub(crate) use usage::{Usage, unsupported_body};

use crate::context::{Context, Incoming};
use crate::deadlines::Scheduled;
use crate::dialog::Dialog;
use crate::endpoint::{Ending, Event, Flow, SessionId};
use crate::message::{Body, Header, Message, StatusCode};
use crate::slab::Key;
use crate::transaction::{ClientOwner, Reply};

/// A session: its phase, and the tag that finds it.
///
/// ```text
///  Calling ── 2xx ──► Established ── BYE, answered ──► Over
///     └── failure, cancel ────────────────────────────▲ ▲
///  Ringing ── accept ─► Established                    │ │
///     └── reject, CANCEL ──────────────────────────────┘─┘
/// ```
pub(crate) struct Session {
    pub(crate) id: SessionId,
    /// The number in our tag.
    pub(crate) tag: u64,
    pub(crate) phase: Phase,
    /// Where its first INVITE went or came from.
    pub(crate) flow: Option<Flow>,
    pub(crate) scheduled: Scheduled,
}

pub(crate) enum Phase {
    /// Our INVITE has no final response yet.
    Calling(Box<Calling>),
    /// The peer's INVITE has no final response yet.
    Ringing(Box<Ringing>),
    /// There is a dialog.
    Established(Box<Usage>),
    /// `Ended` has been told.
    Over,
}

/// Why a transaction of ours has no final response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Silence {
    /// Timer B or F, or the time that a CANCEL gives.
    Timeout,
    /// The transport reported the flow as broken.
    Transport,
}

/// A request that cannot be made now: another one of its kind is under way, or the session is not established.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the session cannot take a re-INVITE now")]
pub struct ReinviteNotNow;

impl Session {
    pub(crate) fn new(id: SessionId, tag: u64, phase: Phase) -> Self {
        Self { id, tag, phase, flow: None, scheduled: Scheduled::default() }
    }

    pub(crate) fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }

    pub(crate) fn dialog(&self) -> Option<(&Flow, &Dialog)> {
        match &self.phase {
            Phase::Established(usage) => Some(usage.dialog()),
            Phase::Calling(_) | Phase::Ringing(_) | Phase::Over => None,
        }
    }

    pub(crate) fn call_id(&self) -> Option<&str> {
        match &self.phase {
            Phase::Calling(calling) => Some(calling.call_id()),
            Phase::Ringing(ringing) => Some(ringing.dialog().1.call_id.as_str()),
            Phase::Established(usage) => Some(usage.dialog().1.call_id.as_str()),
            Phase::Over => None,
        }
    }

    /// The dialog that a request with our tag belongs to, if all else agrees, and the path to its peer.
    pub(crate) fn dialog_of(&self, request: &Message<'_>) -> Option<&Flow> {
        let (flow, dialog) = match &self.phase {
            Phase::Ringing(ringing) => ringing.dialog(),
            Phase::Established(usage) => usage.dialog(),
            Phase::Calling(_) | Phase::Over => return None,
        };
        dialog.owns(request).then_some(flow)
    }

    /// Whether an INVITE that came is the one that this session sent.
    pub(crate) fn sent(&self, invite: &Message<'_>) -> bool {
        matches!(&self.phase, Phase::Calling(calling) if calling.call_id() == invite.call_id())
    }

    /// Lets the phase go on to another.
    fn step(&mut self, step: impl FnOnce(Phase, SessionId) -> Phase) {
        let phase = std::mem::replace(&mut self.phase, Phase::Over);
        self.phase = step(phase, self.id);
    }

    // What came

    /// A response that its transaction let through.
    pub(crate) fn handle_response(
        &mut self,
        context: &mut Context,
        (transaction, owner): (Key, ClientOwner),
        response: &Message<'_>,
        status: StatusCode,
        now: Instant,
    ) {
        self.step(|phase, id| match phase {
            Phase::Calling(calling) if calling.waits_for(transaction) => {
                calling.handle_response(context, id, response, status, now)
            }
            Phase::Established(usage) => {
                usage.handle_response(context, id, (transaction, owner), response, status, now)
            }
            Phase::Calling(_) | Phase::Ringing(_) | Phase::Over => phase,
        });
    }

    /// A transaction ended without a final response.
    pub(crate) fn handle_silence(&mut self, context: &mut Context, transaction: Key, silence: Silence, now: Instant) {
        self.step(|phase, id| match phase {
            Phase::Calling(calling) if calling.waits_for(transaction) => calling.handle_silence(context, id, silence),
            Phase::Established(usage) => usage.handle_silence(context, id, transaction, silence, now),
            Phase::Calling(_) | Phase::Ringing(_) | Phase::Over => phase,
        });
    }

    /// A CANCEL of an INVITE that has no final response yet; it was answered already.
    pub(crate) fn handle_cancel(&mut self, context: &mut Context, reason: Option<ReasonHeader>, now: Instant) {
        self.step(|phase, id| match phase {
            Phase::Ringing(ringing) => ringing.end_canceled(context, id, reason, now),
            Phase::Established(usage) => usage.handle_cancel(context, id, now),
            Phase::Calling(_) | Phase::Over => phase,
        });
    }

    /// The ACK of a 2xx.
    pub(crate) fn handle_ack(&mut self, context: &mut Context, ack: &Message<'_>, now: Instant) {
        self.step(|phase, id| match phase {
            Phase::Established(usage) => usage.handle_ack(context, id, ack, now),
            Phase::Calling(_) | Phase::Ringing(_) | Phase::Over => phase,
        });
    }

    /// Takes note of the CSeq number of a request in the dialog. False when it is out of order.
    pub(crate) fn take_remote_seq(&mut self, number: u32) -> bool {
        match &mut self.phase {
            Phase::Ringing(ringing) => ringing.dialog_mut().take_remote_seq(number),
            Phase::Established(usage) => usage.dialog_mut().take_remote_seq(number),
            Phase::Calling(_) | Phase::Over => true,
        }
    }

    /// A BYE in the dialog.
    pub(crate) fn handle_bye(&mut self, context: &mut Context, incoming: &Incoming<'_>, now: Instant) {
        context.answer(incoming, Reply::new(StatusCode::OK), None, now);
        let reason = ReasonHeader::of(incoming.message);
        self.step(|phase, id| match phase {
            Phase::Ringing(ringing) => ringing.end_canceled(context, id, reason, now),
            Phase::Established(usage) => usage.end_by_peer(context, id, reason, now),
            Phase::Calling(_) | Phase::Over => phase,
        });
    }

    /// An INVITE in the dialog.
    pub(crate) fn handle_reinvite(&mut self, context: &mut Context, incoming: &Incoming<'_>, now: Instant) {
        match &mut self.phase {
            Phase::Established(usage) => usage.handle_reinvite(context, self.id, incoming, now),
            // §14.2: a second INVITE while the first has no final response.
            Phase::Calling(_) | Phase::Ringing(_) | Phase::Over => usage::answer_try_later(context, incoming, now),
        }
    }

    pub(crate) fn handle_timeout(&mut self, context: &mut Context, now: Instant) {
        self.step(|phase, id| match phase {
            Phase::Ringing(mut ringing) => {
                ringing.handle_timeout(context, now);
                Phase::Ringing(ringing)
            }
            Phase::Established(usage) => usage.handle_timeout(context, id, now),
            Phase::Calling(_) | Phase::Over => phase,
        });
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Ringing(ringing) => ringing.poll_timeout(),
            Phase::Established(usage) => usage.poll_timeout(),
            Phase::Calling(_) | Phase::Over => None,
        }
    }

    /// A stream that this session used is closed.
    pub(crate) fn handle_flow_closed(&mut self, flow: &Flow) {
        match &mut self.phase {
            Phase::Ringing(ringing) => ringing.handle_flow_closed(flow),
            Phase::Established(usage) => usage.handle_flow_closed(flow),
            Phase::Calling(_) | Phase::Over => {}
        }
    }

    // What the user wants

    pub(crate) fn cancel(&mut self, context: &mut Context, reason: Option<Header>, now: Instant) {
        if let Phase::Calling(calling) = &mut self.phase {
            calling.cancel(context, reason, now);
        }
    }

    pub(crate) fn ack(&mut self, context: &mut Context, body: Option<Body>) {
        if let Phase::Established(usage) = &mut self.phase {
            usage.ack(context, body);
        }
    }

    pub(crate) fn progress(&mut self, context: &mut Context, status: StatusCode, body: Option<Body>, now: Instant) {
        if let Phase::Ringing(ringing) = &mut self.phase {
            ringing.progress(context, status, body, now);
        }
    }

    pub(crate) fn accept(&mut self, context: &mut Context, body: Option<Body>, headers: Vec<Header>, now: Instant) {
        self.step(|phase, id| match phase {
            Phase::Ringing(ringing) => ringing.accept(context, id, body, headers, now),
            Phase::Calling(_) | Phase::Established(_) | Phase::Over => phase,
        });
    }

    pub(crate) fn reject(
        &mut self,
        context: &mut Context,
        status: StatusCode,
        headers: Vec<Header>,
        once: bool,
        now: Instant,
    ) {
        self.step(|phase, id| match phase {
            Phase::Ringing(ringing) => {
                ringing.reject(context, status, headers, once, now);
                over(context, id, Ending::Rejected)
            }
            Phase::Calling(_) | Phase::Established(_) | Phase::Over => phase,
        });
    }

    pub(crate) fn bye(&mut self, context: &mut Context, reason: Option<Header>, now: Instant) {
        if let Phase::Established(usage) = &mut self.phase {
            usage.bye(context, self.id, reason, now);
        }
    }

    pub(crate) fn reinvite(
        &mut self,
        context: &mut Context,
        body: Option<Body>,
        now: Instant,
    ) -> Result<(), ReinviteNotNow> {
        match &mut self.phase {
            Phase::Established(usage) => usage.reinvite(context, self.id, body, now),
            Phase::Calling(_) | Phase::Ringing(_) | Phase::Over => Err(ReinviteNotNow),
        }
    }

    pub(crate) fn answer_reinvite(&mut self, context: &mut Context, body: Option<Body>, now: Instant) {
        if let Phase::Established(usage) = &mut self.phase {
            usage.answer_reinvite(context, body, now);
        }
    }

    pub(crate) fn reject_reinvite(&mut self, context: &mut Context, status: StatusCode, now: Instant) {
        if let Phase::Established(usage) = &mut self.phase {
            usage.reject_reinvite(context, status, now);
        }
    }
}

impl Phase {
    /// The path of the session, the same in all its phases.
    pub(crate) fn flow(&self) -> Option<&Flow> {
        match self {
            Self::Calling(calling) => Some(calling.flow()),
            Self::Ringing(ringing) => Some(ringing.dialog().0),
            Self::Established(usage) => Some(usage.dialog().0),
            Self::Over => None,
        }
    }
}

fn over(context: &mut Context, session: SessionId, ending: Ending) -> Phase {
    context.event(Event::Ended { session, ending });
    Phase::Over
}
