//! What the protocol says about a request before the user hears of it (RFC 3261 §8.2, §16.3).

use super::{InviteSummary, SessionId};
use crate::context::{Context, Incoming, OWN_METHODS};
use crate::dialog::Dialog;
use crate::message::StatusCode;
use crate::message::{Header, HeaderName, HeaderValue, Message, Method, Token, Uri};
use crate::session::{accepts_sdp, sdp_of, unsupported_body};
use crate::transaction::Reply;

/// What to do with a request outside of a dialog.
pub(super) enum Screening {
    /// Answer so.
    Refuse(Box<Reply>),
    /// An INVITE that the user must hear of, with its session description.
    Invite(Option<Vec<u8>>),
    /// Another request that may be dealt with.
    Pass,
}

/// Examines a request outside of a dialog, in the order of RFC 3261 §8.2.
pub(super) fn screen(
    context: &Context,
    message: &Message<'_>,
    method: &Method,
    uri: &Uri,
    merge_fingerprint: u128,
    user_methods: &[Method],
) -> Screening {
    if let Some(reply) = refuse_method(context, method, user_methods) {
        return refuse(reply);
    }
    if *method == Method::Bye {
        return refuse(Reply::new(StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST));
    }
    match uri {
        Uri::Sip(_) | Uri::Tel(_) => {}
        Uri::Other(_) => return refuse(Reply::new(StatusCode::UNSUPPORTED_URI_SCHEME)),
    }
    if context.transactions.is_merged(merge_fingerprint) {
        return refuse(Reply::new(StatusCode::LOOP_DETECTED));
    }
    if let Some(reply) = refuse_extensions(message) {
        return refuse(reply);
    }
    if *method == Method::Invite { screen_invite(message) } else { Screening::Pass }
}

fn screen_invite(message: &Message<'_>) -> Screening {
    // What we pass on would not get further (§16.3); what is for ourselves, OPTIONS, is answered all the same.
    if message.max_forwards() == Some(0) {
        return refuse(Reply::new(StatusCode::TOO_MANY_HOPS));
    }
    if message.contacts().map_or(true, |contacts| contacts.len() != 1) {
        return refuse(Reply::new(StatusCode::BAD_REQUEST));
    }
    if !accepts_sdp(message) {
        return refuse(Reply::new(StatusCode::NOT_ACCEPTABLE));
    }
    if let Some(reply) = refuse_session_interval(message) {
        return refuse(reply);
    }
    match sdp_of(message) {
        Ok(sdp) => Screening::Invite(sdp),
        Err(_) => refuse(unsupported_body()),
    }
}

/// RFC 4028 §8.1: an interval that is too small, asked for by somebody who understands the answer.
fn refuse_session_interval(message: &Message<'_>) -> Option<Reply> {
    let interval = message.seconds(&HeaderName::SessionExpires).ok().flatten()?;
    let understands =
        message.tokens(&HeaderName::Supported).is_ok_and(|tags| tags.iter().any(|tag| tag.as_str() == "timer"));
    if interval >= MIN_SESSION_SECONDS || !understands {
        return None;
    }
    let header = Header::new(HeaderName::MinSe, HeaderValue::from(MIN_SESSION_SECONDS));
    Some(Reply::with_headers(StatusCode::SESSION_INTERVAL_TOO_SMALL, vec![header]))
}

/// §8.2.1: 405 for methods that we know and do not take, 501 for others.
pub(super) fn refuse_method(context: &Context, method: &Method, user_methods: &[Method]) -> Option<Reply> {
    if OWN_METHODS.contains(method) || user_methods.contains(method) {
        return None;
    }
    let status = match method {
        Method::Extension(_) => StatusCode::NOT_IMPLEMENTED,
        Method::Invite
        | Method::Ack
        | Method::Bye
        | Method::Cancel
        | Method::Options
        | Method::Register
        | Method::Info
        | Method::Prack
        | Method::Update
        | Method::Subscribe
        | Method::Notify
        | Method::Refer
        | Method::Message
        | Method::Publish => StatusCode::METHOD_NOT_ALLOWED,
    };
    Some(Reply::with_headers(status, vec![context.allow()]))
}

/// §8.2.2.3: we have no extensions, so whatever is required is refused by name.
pub(super) fn refuse_extensions(message: &Message<'_>) -> Option<Reply> {
    let required: Vec<Token> = match message.tokens(&HeaderName::Require) {
        Ok(required) => required,
        Err(_) => return Some(Reply::new(StatusCode::BAD_REQUEST)),
    };
    if required.is_empty() {
        return None;
    }
    let unsupported = Header::new(HeaderName::Unsupported, required.iter().collect::<HeaderValue>());
    Some(Reply::with_headers(StatusCode::BAD_EXTENSION, vec![unsupported]))
}

/// The answer to OPTIONS (§11.2).
pub(super) fn capabilities(context: &Context) -> Reply {
    let accept = Header::new(HeaderName::Accept, HeaderValue::cleaned("application/sdp"));
    Reply::with_headers(StatusCode::OK, vec![context.allow(), accept])
}

/// 503, for the node itself is full: the peer should try another one for a while (§21.5.4).
pub(super) fn overloaded() -> Reply {
    let header = Header::new(HeaderName::RetryAfter, HeaderValue::from(OVERLOAD_RETRY_SECONDS));
    Reply::with_headers(StatusCode::SERVICE_UNAVAILABLE, vec![header])
}

pub(super) fn summarize(
    incoming: &Incoming<'_>,
    request_uri: Uri,
    octets: &[u8],
    sdp: Option<Vec<u8>>,
    dialog: &Dialog,
    own_session: Option<SessionId>,
) -> InviteSummary {
    let message = incoming.message;
    InviteSummary {
        flow: *incoming.flow,
        request_uri,
        from: dialog.remote.clone(),
        to: message.to(),
        to_tag: dialog.local.tag().unwrap_or_default().to_owned(),
        call_id: message.call_id().to_owned(),
        contact: dialog.remote_target.clone(),
        max_forwards: message.max_forwards().unwrap_or(DEFAULT_MAX_FORWARDS),
        sdp,
        own_session,
        raw: octets.into(),
    }
}

fn refuse(reply: Reply) -> Screening {
    Screening::Refuse(Box::new(reply))
}

/// What a request without Max-Forwards counts as (§16.3, §8.1.1.6).
const DEFAULT_MAX_FORWARDS: u8 = 70;

/// The smallest session interval (RFC 4028 §4).
const MIN_SESSION_SECONDS: u32 = 90;

/// Retry-After when the endpoint is full. Calls end all the time, so soon.
const OVERLOAD_RETRY_SECONDS: u32 = 5;
