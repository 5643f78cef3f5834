//! Messages that we send.

use std::fmt::{self, Write as _};

use super::address::NameAddr;
use super::cseq::CSeq;
use super::decimal::write_decimal;
use super::header::{Header, HeaderValue, SipCallId};
use super::header_name::HeaderName;
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
        let mut text = String::with_capacity(TYPICAL_HEAD_BYTES);
        // Writing to a String cannot fail.
        let _infallible = self.write_head(&mut text);
        finish(text, self.body.as_ref())
    }

    fn write_head(&self, text: &mut String) -> fmt::Result {
        text.push_str(self.method.as_str());
        text.push(' ');
        match &self.uri {
            Uri::Sip(uri) => uri.write(text, false)?,
            Uri::Tel(uri) => write!(text, "{uri}")?,
            Uri::Other(uri) => write!(text, "{uri}")?,
        }
        text.push_str(" SIP/2.0\r\n");
        write_lines(text, &HeaderName::Via, &self.vias)?;
        text.push_str("Max-Forwards: ");
        write_decimal(text, self.max_forwards)?;
        text.push_str("\r\n");
        write_lines(text, &HeaderName::Route, &self.routes)?;
        write_lines(text, &HeaderName::RecordRoute, &self.record_routes)?;
        write_line(text, &HeaderName::From, &self.from)?;
        write_line(text, &HeaderName::To, &self.to)?;
        write_line(text, &HeaderName::CallId, &self.call_id)?;
        text.push_str("CSeq: ");
        write_decimal(text, self.cseq)?;
        text.push(' ');
        text.push_str(self.method.as_str());
        text.push_str("\r\n");
        write_lines(text, &HeaderName::Contact, &self.contact)?;
        write_headers(text, &self.headers);
        Ok(())
    }
}

impl Response {
    /// The octets to send, Content-Length included.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut text = String::with_capacity(TYPICAL_HEAD_BYTES);
        // Writing to a String cannot fail.
        let _infallible = self.write_head(&mut text);
        finish(text, self.body.as_ref())
    }

    fn write_head(&self, text: &mut String) -> fmt::Result {
        let reason = self.reason.as_ref().map_or(self.status.reason_phrase(), HeaderValue::as_str);
        text.push_str("SIP/2.0 ");
        write_decimal(text, self.status.as_u16())?;
        text.push(' ');
        text.push_str(reason);
        text.push_str("\r\n");
        write_lines(text, &HeaderName::Via, &self.vias)?;
        write_lines(text, &HeaderName::RecordRoute, &self.record_routes)?;
        write_line(text, &HeaderName::From, &self.from)?;
        write_line(text, &HeaderName::To, &self.to)?;
        write_line(text, &HeaderName::CallId, &self.call_id)?;
        write_line(text, &HeaderName::CSeq, &self.cseq)?;
        write_lines(text, &HeaderName::Contact, &self.contacts)?;
        write_headers(text, &self.headers);
        Ok(())
    }
}

impl Body {
    /// An SDP body.
    pub fn sdp(bytes: Vec<u8>) -> Self {
        Self { content_type: HeaderValue::cleaned("application/sdp"), bytes }
    }
}

/// Room for the head of most messages.
const TYPICAL_HEAD_BYTES: usize = 1024;

fn write_line(text: &mut String, name: &HeaderName, value: impl fmt::Display) -> fmt::Result {
    text.push_str(name.as_str());
    write!(text, ": {value}\r\n")
}

/// A line for each value, so that no value need be told from its neighbour.
fn write_lines<T: fmt::Display>(
    text: &mut String,
    name: &HeaderName,
    values: impl IntoIterator<Item = T>,
) -> fmt::Result {
    values.into_iter().try_for_each(|value| write_line(text, name, value))
}

fn write_headers(text: &mut String, headers: &[Header]) {
    for header in headers.iter().filter(|header| !has_field(&header.name)) {
        for part in [header.name.as_str(), ": ", header.value.as_str(), "\r\n"] {
            text.push_str(part);
        }
    }
}

/// Adds Content-Type, Content-Length and the body.
fn finish(mut text: String, body: Option<&Body>) -> Vec<u8> {
    let bytes = body.map_or(&[][..], |body| &body.bytes);
    if let Some(body) = body {
        text.push_str("Content-Type: ");
        text.push_str(body.content_type.as_str());
        text.push_str("\r\n");
    }
    text.push_str("Content-Length: ");
    // Writing to a String cannot fail.
    let _infallible = write_decimal(&mut text, bytes.len());
    text.push_str("\r\n\r\n");
    let mut message = text.into_bytes();
    message.extend_from_slice(bytes);
    message
}

/// Whether the name has a field of its own and so is never written from `headers`.
fn has_field(name: &HeaderName) -> bool {
    [
        HeaderName::Via,
        HeaderName::MaxForwards,
        HeaderName::Route,
        HeaderName::RecordRoute,
        HeaderName::From,
        HeaderName::To,
        HeaderName::CallId,
        HeaderName::CSeq,
        HeaderName::Contact,
        HeaderName::ContentType,
        HeaderName::ContentLength,
    ]
    .contains(name)
}
