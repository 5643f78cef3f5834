//! What the user hands over to be sent.

use tandem_model::Secret;

use super::Flow;
use crate::message::{Body, Header, Method, NameAddr, Uri};

/// An account at a peer, for digest authentication.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The digest user name.
    pub username: String,
    /// The password.
    pub password: Secret,
    /// The only realm that gets an answer; without it the first one that challenges, for the rest of the session.
    pub realm: Option<String>,
}

/// A call to place.
#[derive(Debug, Clone)]
pub struct OutgoingInvite {
    /// Where the INVITE goes: the resolved next hop.
    pub flow: Flow,
    /// The Request-URI.
    pub request_uri: Uri,
    /// A pre-loaded route set (RFC 3261 §8.1.1.1): an outbound proxy, with `;lr`.
    pub routes: Vec<Uri>,
    /// From. A tag in it is replaced by a new one.
    pub from: NameAddr,
    /// To. A tag in it is dropped.
    pub to: NameAddr,
    /// More headers. Those that the endpoint writes itself (Via, CSeq, Contact, Allow, ...) are not for here.
    pub headers: Vec<Header>,
    /// Answer challenges with these.
    pub credentials: Option<Credentials>,
    /// The offer; without it the 2xx brings one, and `ack` carries the answer.
    pub body: Option<Body>,
    /// Max-Forwards: 70, or for a call that is passed on one less than it came with.
    pub max_forwards: u8,
}

/// A request outside of a session: an OPTIONS probe, for one.
#[derive(Debug, Clone)]
pub struct OutgoingRequest {
    /// Where it goes.
    pub flow: Flow,
    /// The method; not INVITE, ACK or CANCEL.
    pub method: Method,
    /// The Request-URI.
    pub request_uri: Uri,
    /// A pre-loaded route set.
    pub routes: Vec<Uri>,
    /// From. A tag in it is replaced by a new one.
    pub from: NameAddr,
    /// To. A tag in it is dropped.
    pub to: NameAddr,
    /// More headers.
    pub headers: Vec<Header>,
    /// Answer challenges with these.
    pub credentials: Option<Credentials>,
    /// The body.
    pub body: Option<Body>,
    /// Max-Forwards.
    pub max_forwards: u8,
}
