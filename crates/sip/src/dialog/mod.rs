//! Dialogs: RFC 3261 §12.

mod record;

use std::net::SocketAddr;

use crate::endpoint::{Flow, PeerPolicy};
use crate::message::{Message, Method, NameAddr, Request, SipCallId, Token, Uri, Via};

/// One dialog: plain data, whichever side began it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dialog {
    /// Call-ID.
    pub call_id: SipCallId,
    /// The From or To that is ours, with our tag.
    pub local: NameAddr,
    /// The From or To that is the peer's, with its tag (an RFC 2543 peer may have none).
    pub remote: NameAddr,
    /// The CSeq number of the last request we sent: one counter for all methods.
    pub local_seq: u32,
    /// The highest CSeq number of the peer, if it sent any request.
    pub remote_seq: Option<u32>,
    /// The peer's Contact: where requests go in the end. Target refreshes change it.
    pub remote_target: Uri,
    /// The route set, our next hop first. Fixed when the dialog is created (§12.2): a later 2xx may carry Record-Route
    /// of another connection.
    pub route_set: Vec<NameAddr>,
}

pub use record::{DialogRecord, InvalidDialogRecord};

impl Dialog {
    /// The dialog that a 2xx to our INVITE makes (§12.1.2). `None` when the 2xx has no Contact or an unreadable
    /// Record-Route.
    pub(crate) fn from_answer(
        call_id: SipCallId,
        from: NameAddr,
        to: NameAddr,
        cseq: u32,
        answer: &Message<'_>,
    ) -> Option<Self> {
        let target = answer.contacts().ok()?.into_iter().next()?.uri;
        answer.record_routes().ok()?;
        Some(Self::of_answer(call_id, from, to, cseq, answer, target))
    }

    /// As [`Self::from_answer`], as well as can be: without a usable Contact the target is `fallback`.
    pub(crate) fn of_answer(
        call_id: SipCallId,
        from: NameAddr,
        to: NameAddr,
        cseq: u32,
        answer: &Message<'_>,
        fallback: Uri,
    ) -> Self {
        let remote = match answer.to_tag().and_then(|tag| Token::new(tag).ok()) {
            Some(tag) => to.with_tag(&tag),
            None => to,
        };
        let contact = answer.contacts().ok().and_then(|contacts| contacts.into_iter().next());
        let mut route_set = answer.record_routes().unwrap_or_default();
        route_set.reverse();
        Self {
            call_id,
            local: from,
            remote,
            local_seq: cseq,
            remote_seq: None,
            remote_target: contact.map_or(fallback, |contact| contact.uri),
            route_set,
        }
    }

    /// The dialog that our 2xx to an INVITE makes (§12.1.1). `None` when the INVITE has no Contact, or one that is
    /// unreadable, or such a Record-Route.
    pub(crate) fn from_invite(invite: &Message<'_>, tag: &Token) -> Option<Self> {
        let mut contacts = invite.contacts().ok()?.into_iter();
        Some(Self {
            call_id: SipCallId::new(invite.call_id()).ok()?,
            local: invite.to().with_tag(tag),
            remote: invite.from(),
            local_seq: 0,
            remote_seq: Some(invite.cseq().number),
            remote_target: contacts.next()?.uri,
            route_set: invite.record_routes().ok()?,
        })
    }

    /// The next request in the dialog.
    pub(crate) fn request(&mut self, method: Method) -> Request {
        self.local_seq = self.local_seq.wrapping_add(1) & MAX_CSEQ;
        self.request_numbered(method, self.local_seq)
    }

    /// The ACK of a 2xx to the INVITE of that number (§13.2.2.4).
    pub(crate) fn ack(&self, cseq: u32) -> Request {
        self.request_numbered(Method::Ack, cseq)
    }

    /// §12.2.1.1: the route set as it is, or as a strict router wants it.
    fn request_numbered(&self, method: Method, cseq: u32) -> Request {
        let (uri, routes) = match self.route_set.split_first() {
            Some((first, rest)) if !is_loose(&first.uri) => {
                let target = NameAddr::new(self.remote_target.clone());
                (first.uri.clone(), rest.iter().cloned().chain([target]).collect())
            }
            Some(_) | None => (self.remote_target.clone(), self.route_set.clone()),
        };
        let mut request =
            Request::new(method, uri, self.local.clone(), self.remote.clone(), self.call_id.clone(), cseq);
        request.routes = routes;
        request
    }

    /// Whether a request with our tag in To belongs here: Call-ID and the peer's tag agree.
    pub(crate) fn owns(&self, request: &Message<'_>) -> bool {
        self.call_id.as_str() == request.call_id() && self.remote.tag() == request.from_tag()
    }

    /// Takes note of the CSeq number of a request. False when it is lower than one before (§12.2.2).
    pub(crate) fn take_remote_seq(&mut self, number: u32) -> bool {
        if self.remote_seq.is_some_and(|seen| number < seen) {
            return false;
        }
        self.remote_seq = Some(number);
        true
    }

    /// Where requests of this dialog go: the first route, or the remote target.
    ///
    /// Followed only if it is an address and, by `peers`, that of the peer whose flow this is; else the message goes
    /// where the peer's own messages came from. That is right for peers behind a NAT, and keeps a Contact from
    /// turning us against others. A live connection is kept whatever the address.
    pub(crate) fn next_hop(&self, flow: &Flow, is_alive: bool, peers: &dyn PeerPolicy) -> Flow {
        if flow.transport.is_reliable() && is_alive {
            return *flow;
        }
        let next = self.route_set.first().map_or(&self.remote_target, |route| &route.uri);
        match literal_address(next, flow.transport.is_reliable() && next.scheme() == "sips") {
            Some(remote)
                if remote.is_ipv4() == flow.local.is_ipv4()
                    && (remote == flow.remote || peers.is_same_peer(flow, remote)) =>
            {
                Flow { remote, ..*flow }
            }
            Some(_) | None => *flow,
        }
    }
}

/// The address that a URI names without any look-up. `maddr` is not followed.
fn literal_address(uri: &Uri, secure: bool) -> Option<SocketAddr> {
    let uri = uri.as_sip()?;
    let is_tls = secure || uri.param("transport").is_some_and(|name| name.eq_ignore_ascii_case("tls"));
    let port = uri.port.unwrap_or(if is_tls { 5061 } else { 5060 });
    if port == 0 {
        return None;
    }
    Some(SocketAddr::new(uri.host.ip()?, port))
}

fn is_loose(uri: &Uri) -> bool {
    uri.as_sip().is_some_and(crate::message::SipUri::is_loose_router)
}

/// Where a response to a request goes (RFC 3261 §18.2.2, RFC 3581 §4): back on the connection, or to the source
/// address and, when `rport` was asked for, its port, else the port of `sent-by`. Never to another host, whatever
/// Via says (`maddr`, a foreign `sent-by`).
pub(crate) fn reply_flow(flow: &Flow, via: &Via) -> Flow {
    if flow.transport.is_reliable() || via.wants_rport() {
        return *flow;
    }
    let port = via.port.filter(|port| *port != 0).unwrap_or_else(|| via.transport.default_port());
    Flow { remote: SocketAddr::new(flow.remote.ip(), port), ..*flow }
}

/// CSeq numbers of ours stay below 2³¹ (§8.1.1.5).
const MAX_CSEQ: u32 = 0x7fff_ffff;
