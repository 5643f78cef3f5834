//! Messages that we send.

use super::address::NameAddr;
use super::cseq::CSeq;
use super::header::{Header, HeaderValue, SipCallId};
use super::method::Method;
use super::status::StatusCode;
use super::uri::Uri;
use super::via::Via;

/// A request to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The method, also that of CSeq.
    pub method: Method,
    /// The Request-URI. Its headers are never written (RFC 3261 §19.1.1).
    pub uri: Uri,
    /// Via, topmost first.
    pub vias: Vec<Via>,
    /// Max-Forwards.
    pub max_forwards: u8,
    /// Route, topmost first.
    pub routes: Vec<NameAddr>,
    /// Record-Route, topmost first.
    pub record_routes: Vec<NameAddr>,
    /// From.
    pub from: NameAddr,
    /// To.
    pub to: NameAddr,
    /// Call-ID.
    pub call_id: SipCallId,
    /// The number of CSeq.
    pub cseq: u32,
    /// Contact.
    pub contact: Option<NameAddr>,
    /// All other headers, in order.
    pub headers: Vec<Header>,
    /// The body with its type.
    pub body: Option<Body>,
}

/// A response to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The code.
    pub status: StatusCode,
    /// The reason phrase; `None` for the usual one.
    pub reason: Option<HeaderValue>,
    /// Via, topmost first.
    pub vias: Vec<Via>,
    /// Record-Route, topmost first.
    pub record_routes: Vec<NameAddr>,
    /// From.
    pub from: NameAddr,
    /// To.
    pub to: NameAddr,
    /// Call-ID.
    pub call_id: SipCallId,
    /// CSeq.
    pub cseq: CSeq,
    /// Contact: one, or the several of a redirection or a REGISTER.
    pub contacts: Vec<NameAddr>,
    /// All other headers, in order.
    pub headers: Vec<Header>,
    /// The body with its type.
    pub body: Option<Body>,
}

/// A body and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    /// Content-Type.
    pub content_type: HeaderValue,
    /// The octets.
    pub bytes: Vec<u8>,
}

impl Request {
    /// A request with no headers beside the compulsory ones, Max-Forwards 70 (RFC 3261 §8.1.1.6) and no Via.
    pub fn new(method: Method, uri: Uri, from: NameAddr, to: NameAddr, call_id: SipCallId, cseq: u32) -> Self {
        Self {
            method,
            uri,
            vias: Vec::new(),
            max_forwards: 70,
            routes: Vec::new(),
            record_routes: Vec::new(),
            from,
            to,
            call_id,
            cseq,
            contact: None,
            headers: Vec::new(),
            body: None,
        }
    }

    /// The octets to send, Content-Length included.
    pub fn to_bytes(&self) -> Vec<u8> {
        todo!()
    }
}

impl Response {
    /// The octets to send, Content-Length included.
    pub fn to_bytes(&self) -> Vec<u8> {
        todo!()
    }
}

impl Body {
    /// An SDP body.
    pub fn sdp(bytes: Vec<u8>) -> Self {
        Self { content_type: HeaderValue::cleaned("application/sdp"), bytes }
    }
}
