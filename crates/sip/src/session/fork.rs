//! A 2xx that nobody waits for: of another fork, or after the session is over (RFC 3261 §13.2.2.4).

use std::time::Instant;

use super::account;
use crate::context::Context;
use crate::dialog::Dialog;
use crate::message::{Header, HeaderValue, Message, Method, SipCallId};
use crate::slab::Key;
use crate::transaction::ClientOwner;

/// Acknowledges a 2xx and ends its dialog.
pub(crate) fn decline(context: &mut Context, transaction: Key, response: &Message<'_>, now: Instant) {
    if let Some((flow, mut dialog)) = acknowledge(context, transaction, response) {
        let mut bye = dialog.request(Method::Bye);
        context.send_request(&mut bye, flow, ClientOwner::Nobody, now);
    }
}

/// Acknowledges a 2xx, no more. The dialog is made of our own INVITE, read again, and the response.
pub(crate) fn acknowledge(
    context: &mut Context,
    transaction: Key,
    response: &Message<'_>,
) -> Option<(crate::endpoint::Flow, Dialog)> {
    if !context.transactions.takes_fork(transaction) {
        return None;
    }
    let (flow, octets) = context.transactions.request(transaction)?;
    let invite = Message::parse(&octets).ok()?;
    let call_id = SipCallId::new(invite.call_id()).ok()?;
    let cseq = invite.cseq().number;
    let mut dialog = Dialog::of_answer(call_id, invite.from(), invite.to(), cseq, response, invite.request_uri()?);
    // A re-INVITE goes by the route set of its dialog, whatever the response recorded.
    if invite.to_tag().is_some() {
        dialog.route_set = invite.routes().unwrap_or_default();
    }
    let hop = dialog.next_hop(&flow, true, &*context.peers);
    let mut ack = dialog.ack(cseq);
    ack.headers = credentials_of(&invite);
    context.send_ack(ack, hop, transaction, response.to_tag());
    Some((hop, dialog))
}

/// The answers to challenges in a request of ours: its ACK repeats them (RFC 3261 §22.1).
pub(super) fn credentials_of(invite: &Message<'_>) -> Vec<Header> {
    let mut credentials = Vec::new();
    for header in invite.raw_headers() {
        let name = header.name();
        if account::is_credentials(&name) {
            let value = HeaderValue::cleaned(&String::from_utf8_lossy(header.value()));
            credentials.push(Header::new(name, value));
        }
    }
    credentials
}
