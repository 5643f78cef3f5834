//! What an endpoint tells its user.

use std::sync::Arc;
use std::time::Duration;

use super::{Flow, Transmit};
use crate::message::{HeaderName, Message, Method, NameAddr, Start, StatusCode, Uri};
use crate::session::ReasonHeader;

/// One INVITE usage, incoming or outgoing: from the first INVITE to the end of its dialog. Never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub(crate) crate::slab::Key);

/// An outgoing request outside of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub(crate) u64);

/// An incoming request that the user must answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IncomingId(pub(crate) crate::slab::Key);

/// What an endpoint wants done.
#[derive(Debug)]
pub enum Output {
    /// Send this.
    Transmit(Transmit),
    /// The user must hear this.
    Event(Event),
}

/// What happened.
///
/// The life of an outgoing session: `Provisional`*, then `Answered` or `Failed`; after `Answered` any number of the
/// re-INVITE events; `Bye` if the peer ended it; `Ended` last of all. Of an incoming one: `Invite`, then what the user
/// does, `Acknowledged` or `Unacknowledged` after a 2xx, `Canceled` if the caller gave up; `Ended` last of all. After `Ended` the id means
/// nothing: calls with it do nothing. What the protocol still needs (to absorb repeats) is the endpoint's affair and
/// shows in [`super::Counts`].
#[derive(Debug)]
pub enum Event {
    /// A new INVITE, outside of any dialog. The endpoint itself sends a 100 after 200 ms; a retransmission is absorbed.
    Invite {
        /// The new session.
        session: SessionId,
        /// What the request says.
        request: Box<InviteSummary>,
    },
    /// A provisional response, 100 included. Not told any more once the session has been canceled.
    Provisional {
        /// The session.
        session: SessionId,
        /// 100 to 199.
        status: StatusCode,
        /// The session description in it.
        body: Option<Vec<u8>>,
    },
    /// The first 2xx. Its ACK is queued already, unless `answer.needs_ack`.
    Answered {
        /// The session.
        session: SessionId,
        /// What the 2xx says.
        answer: Box<Answer>,
    },
    /// A 2xx crossed our CANCEL. Its ACK and BYE are queued already; `Ended` follows once the BYE is answered, or is not. Whoever keeps
    /// what is needed to end a session from another process keeps the dialog from now on.
    AnsweredLate {
        /// The session.
        session: SessionId,
    },
    /// An outgoing INVITE came to nothing. `Ended` follows at once.
    Failed {
        /// The session.
        session: SessionId,
        /// Why.
        failure: Failure,
    },
    /// The caller canceled, or sent BYE before our answer; the 487 is queued already. `Ended` follows at once.
    Canceled {
        /// The session.
        session: SessionId,
        /// The Reason header (RFC 3326) of the CANCEL.
        reason: Option<ReasonHeader>,
    },
    /// The ACK of our 2xx (first INVITE or re-INVITE).
    Acknowledged {
        /// The session.
        session: SessionId,
        /// The answer, when the INVITE had no offer.
        body: Option<Vec<u8>>,
    },
    /// No ACK of our 2xx has come in 32 s: the session is over for us. Its BYE is queued already; `Ended` follows once the peer has
    /// answered that, or has not.
    Unacknowledged {
        /// The session.
        session: SessionId,
    },
    /// The peer's re-INVITE: answer with `answer_reinvite` or `reject_reinvite`.
    Reinvite {
        /// The session.
        session: SessionId,
        /// The offer; without it we must make one.
        body: Option<Vec<u8>>,
    },
    /// The peer canceled its re-INVITE; the 487 is queued already and the session stays as it was.
    ReinviteCanceled {
        /// The session.
        session: SessionId,
    },
    /// Our re-INVITE was accepted; its ACK is queued already, unless `needs_ack`.
    ReinviteAnswered {
        /// The session.
        session: SessionId,
        /// The answer, or the offer if our re-INVITE had none.
        body: Option<Vec<u8>>,
        /// Our re-INVITE had no offer: call `ack` with the answer.
        needs_ack: bool,
    },
    /// Our re-INVITE was refused; the session stays as it was (after 481 and 408 the endpoint ends it).
    ReinviteFailed {
        /// The session.
        session: SessionId,
        /// Why.
        failure: Failure,
        /// After a 491: when to try again (RFC 3261 §14.1).
        glare_retry: Option<Duration>,
    },
    /// The peer's BYE; the 200 is queued already. `Ended` follows at once.
    Bye {
        /// The session.
        session: SessionId,
        /// The Reason header (RFC 3326).
        reason: Option<ReasonHeader>,
    },
    /// The last event of every session.
    Ended {
        /// The session.
        session: SessionId,
        /// How it ended.
        ending: Ending,
    },
    /// A request of one of the configured user methods: answer it with `respond`.
    Request {
        /// For `respond`.
        id: IncomingId,
        /// What it says.
        request: Box<RequestSummary>,
    },
    /// The outcome of `request`.
    Response {
        /// What `request` returned.
        request: RequestId,
        /// The final response, or why there is none.
        outcome: Result<ResponseSummary, RequestFailure>,
    },
}

/// An INVITE outside of any dialog.
#[derive(Debug, Clone)]
pub struct InviteSummary {
    /// Where it came from.
    pub flow: Flow,
    /// The Request-URI.
    pub request_uri: Uri,
    /// From, with its tag.
    pub from: NameAddr,
    /// To, without a tag.
    pub to: NameAddr,
    /// Our tag in To of every answer.
    pub to_tag: String,
    /// Call-ID.
    pub call_id: String,
    /// The caller's Contact.
    pub contact: Uri,
    /// Max-Forwards; 70 when there is none. Never 0.
    pub max_forwards: u8,
    /// The session description: the body, or the `application/sdp` part of a multipart body.
    pub sdp: Option<Vec<u8>>,
    /// Our own outgoing session whose INVITE this is: it came straight back to us, through proxies at most.
    pub own_session: Option<SessionId>,
    /// The message as it came. Parses again: see [`Self::header_values`]. Never to be sent on.
    pub raw: Arc<[u8]>,
}

impl InviteSummary {
    /// All values of a header, in order, comma lists not split, as text (octets that are not UTF-8 replaced).
    pub fn header_values(&self, name: &HeaderName) -> Vec<String> {
        header_values(&self.raw, name)
    }
}

/// A request of one of the user methods.
#[derive(Debug, Clone)]
pub struct RequestSummary {
    /// Where it came from.
    pub flow: Flow,
    /// The session it belongs to, when it was sent in its dialog.
    pub session: Option<SessionId>,
    /// The method.
    pub method: Method,
    /// The Request-URI.
    pub request_uri: Uri,
    /// The message as it came. Parses again: see [`Self::header_values`] and [`Self::body`]. Never to be sent on.
    pub raw: Arc<[u8]>,
}

impl RequestSummary {
    /// All values of a header, in order, comma lists not split, as text (octets that are not UTF-8 replaced).
    pub fn header_values(&self, name: &HeaderName) -> Vec<String> {
        header_values(&self.raw, name)
    }

    /// The body.
    pub fn body(&self) -> Vec<u8> {
        Message::parse(&self.raw).map(|message| message.body().to_vec()).unwrap_or_default()
    }
}

fn header_values(raw: &[u8], name: &HeaderName) -> Vec<String> {
    let Ok(message) = Message::parse(raw) else { return Vec::new() };
    message.headers(name).map(|value| String::from_utf8_lossy(&value).into_owned()).collect()
}

/// The 2xx that answered an INVITE of ours.
#[derive(Debug, Clone)]
pub struct Answer {
    /// 200, nearly always.
    pub status: StatusCode,
    /// The session description: the answer, or the offer if our INVITE had none.
    pub body: Option<Vec<u8>>,
    /// The peer's Contact.
    pub remote_target: Uri,
    /// Our INVITE had no offer: call `ack` with the answer.
    pub needs_ack: bool,
}

/// A final response to a request outside of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponseSummary {
    /// 200 to 699.
    pub status: StatusCode,
    /// The reason phrase.
    pub reason: String,
    /// From where it came.
    pub flow: Flow,
}

/// Why an INVITE of ours was not answered with a 2xx.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// A final response, 300 to 699.
    Status(Refused),
    /// Not even a 100 came in 32 s: timer B (RFC 3261 §17.1.1.2).
    Timeout,
    /// The transport reported the flow as broken.
    Transport,
    /// 401, 403 or 407 after credentials were sent, or 401 or 407 without credentials to send.
    AuthenticationRejected {
        /// 401, 403 or 407.
        status: StatusCode,
    },
    /// The peer challenged us over and over.
    TooManyChallenges,
    /// The answer cannot be used: a 2xx without a Contact that can be parsed. It was acknowledged and ended.
    BadAnswer,
    /// The endpoint holds as many sessions as it may; nothing was sent.
    Full,
}

/// A final response that is not a success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// 300 to 699.
    pub status: StatusCode,
    /// The reason phrase as the peer wrote it.
    pub phrase: String,
    /// Retry-After.
    pub retry_after: Option<Duration>,
    /// Reason (RFC 3326).
    pub reason: Option<ReasonHeader>,
}

impl Refused {
    pub(crate) fn of(response: &Message<'_>, status: StatusCode) -> Self {
        let phrase = phrase_of(response);
        let retry_after = response.seconds(&HeaderName::RetryAfter).ok().flatten();
        Self {
            status,
            phrase,
            retry_after: retry_after.map(|seconds| Duration::from_secs(seconds.into())),
            reason: ReasonHeader::of(response),
        }
    }
}

pub(super) fn phrase_of(response: &Message<'_>) -> String {
    match response.start() {
        Start::Response { reason, .. } => reason.into_string(),
        Start::Request { .. } => String::new(),
    }
}

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Our outgoing INVITE failed: see the [`Event::Failed`] before.
    Failed,
    /// We refused the incoming INVITE.
    Rejected,
    /// The INVITE was canceled, by us or by the caller, and not answered.
    Canceled,
    /// We canceled, but the 2xx crossed the CANCEL: it was acknowledged and ended with a BYE.
    AnsweredThenCanceled,
    /// The peer sent BYE.
    RemoteBye,
    /// Our BYE was answered, with 200 or 481.
    LocalBye,
    /// Our BYE was refused (a challenge we do not answer, for one) or not answered; the dialog is gone all the same.
    LocalByeUnconfirmed,
    /// No ACK for our 2xx in 32 s; a BYE was sent.
    NoAck,
    /// The peer no longer knows the dialog: 481 or 408 to a re-INVITE of ours.
    DialogLost,
    /// The transport reported the flow as broken.
    Transport,
}

/// Why a request outside of a session has no final response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestFailure {
    /// No final response in 32 s: timer F (RFC 3261 §17.1.2.2).
    #[error("no response")]
    Timeout,
    /// The transport reported the flow as broken.
    #[error("the transport failed")]
    Transport,
}
