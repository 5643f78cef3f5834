//! The Reason header: why a call ended (RFC 3326, with the text rules of RFC 3261).

use crate::message::{Header, HeaderName, HeaderValue};

/// Whose causes a [`ReasonHeader`] speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReasonProtocol {
    /// `Q.850`: an ISDN cause, 0 to 127.
    Q850,
    /// `SIP`: a status code.
    Sip,
    /// Any other, as written.
    Other(String),
}

/// One value of a Reason header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReasonHeader {
    /// Whose cause it is.
    pub protocol: ReasonProtocol,
    /// The cause.
    pub cause: Option<u16>,
    /// A text for people.
    pub text: Option<String>,
}

impl ReasonHeader {
    /// A Q.850 cause without text.
    pub fn q850(cause: u16) -> Self {
        Self { protocol: ReasonProtocol::Q850, cause: Some(cause), text: None }
    }

    /// A SIP status code without text.
    pub fn sip(status: u16) -> Self {
        Self { protocol: ReasonProtocol::Sip, cause: Some(status), text: None }
    }
}
