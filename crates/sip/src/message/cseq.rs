//! CSeq (RFC 3261 §20.16).

use std::fmt;

use super::method::Method;

/// A CSeq value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CSeq {
    /// The sequence number. Ours are below 2³¹ (§8.1.1.5); a peer's may be any 32-bit number.
    pub number: u32,
    /// The method of the request.
    pub method: Method,
}

impl fmt::Display for CSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number, self.method)
    }
}
