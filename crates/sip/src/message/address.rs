//! Addresses: `"Display" <uri>;param` (RFC 3261 §20.10).

use std::fmt;

use super::error::BadHeader;
use super::header_name::HeaderName;
use super::params::Params;
use super::token::Token;
use super::uri::Uri;

/// A `name-addr` or `addr-spec` with its header parameters: From, To, Contact, Route, Record-Route, Refer-To,
/// P-Asserted-Identity, ….
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameAddr {
    /// The display name, without quotes and backslashes. Octets that are not UTF-8 were replaced by U+FFFD.
    pub display: Option<Box<str>>,
    /// The URI.
    pub uri: Uri,
    /// The parameters of the header, not of the URI.
    pub params: Params,
}

impl NameAddr {
    /// Just the URI.
    pub fn new(uri: impl Into<Uri>) -> Self {
        Self { display: None, uri: uri.into(), params: Params::new() }
    }

    /// With that display name. Control characters become spaces.
    #[must_use]
    pub fn with_display(mut self, display: &str) -> Self {
        todo!()
    }

    /// With that tag in place of any other.
    #[must_use]
    pub fn with_tag(mut self, tag: &Token) -> Self {
        todo!()
    }

    /// The `tag` parameter.
    pub fn tag(&self) -> Option<&str> {
        self.params.get("tag")
    }

    /// Reads exactly one value.
    ///
    /// # Errors
    ///
    /// [`BadHeader`] of that name.
    pub fn parse(name: HeaderName, value: &[u8]) -> Result<Self, BadHeader> {
        todo!()
    }
}

/// Always in angle brackets, so that the parameters cannot be taken for those of the URI.
impl fmt::Display for NameAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        todo!()
    }
}
