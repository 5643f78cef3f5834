//! URIs: sip, sips, tel, and all others as text.

use std::borrow::Cow;
use std::fmt;

use super::host::Host;

/// A URI. `==` is equality of the text after normalisation; [`Uri::matches`] is the comparison of RFC 3261 §19.1.4.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Uri {
    /// `sip:` or `sips:`.
    Sip(SipUri),
    /// `tel:` (RFC 3966).
    Tel(TelUri),
    /// Any other scheme.
    Other(OtherUri),
}

/// The text is not a URI, or a sip, sips or tel URI that breaks its grammar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a valid URI")]
pub struct InvalidUri;

/// A `sip:` or `sips:` URI (RFC 3261 §19.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SipUri {
    /// `sips:`.
    pub secure: bool,
    /// The part before the `@` and the password.
    pub user: Option<Escaped>,
    /// The password. Never to be logged or sent on.
    pub password: Option<Escaped>,
    /// The host.
    pub host: Host,
    /// The port; `None` when none was written.
    pub port: Option<u16>,
    /// `;name=value`.
    pub params: Vec<UriParam>,
    /// `?name=value&…`. Never act upon them, except in Refer-To.
    pub headers: Vec<UriParam>,
}

/// A parameter or header of a URI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UriParam {
    /// The name. Compared without regard to case.
    pub name: Escaped,
    /// The value; `None` when there is no `=`.
    pub value: Option<Escaped>,
}

/// A `tel:` URI (RFC 3966).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TelUri {
    /// The number as written, with its visual separators.
    pub number: Box<str>,
    /// `;name=value`.
    pub params: Vec<UriParam>,
}

/// A URI of a scheme that SIP gives no meaning to here; kept as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherUri {
    scheme: Box<str>,
    rest: Box<str>,
}

/// A component of a URI: octets that may be written with `%XX` escapes.
///
/// Held in escaped, normalised form (only what must be escaped is, with upper case digits), so that a peer gets its
/// own URI back as it wrote it. [`Escaped::decoded`] is the one place where escapes are undone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Escaped(Box<str>);

impl Uri {
    /// Reads a URI that is not in angle brackets.
    ///
    /// # Errors
    ///
    /// [`InvalidUri`].
    pub fn parse(text: &[u8]) -> Result<Self, InvalidUri> {
        todo!()
    }

    /// The sip or sips URI.
    pub fn as_sip(&self) -> Option<&SipUri> {
        match self {
            Self::Sip(uri) => Some(uri),
            Self::Tel(_) | Self::Other(_) => None,
        }
    }

    /// The scheme in lower case: `sip`, `sips`, `tel`, ….
    pub fn scheme(&self) -> &str {
        todo!()
    }

    /// Whether both name the same resource (RFC 3261 §19.1.4; RFC 3966 §4 for tel).
    pub fn matches(&self, other: &Self) -> bool {
        todo!()
    }
}

impl SipUri {
    /// `sip:host` and nothing else.
    pub fn new(host: Host) -> Self {
        Self { secure: false, user: None, password: None, host, port: None, params: Vec::new(), headers: Vec::new() }
    }

    /// With that user; what must be escaped is.
    #[must_use]
    pub fn with_user(mut self, user: &str) -> Self {
        self.user = Some(Escaped::user(user));
        self
    }

    /// With that port.
    #[must_use]
    pub fn with_port(mut self, port: Option<u16>) -> Self {
        self.port = port;
        self
    }

    /// With that parameter more.
    #[must_use]
    pub fn with_param(mut self, name: &str, value: Option<&str>) -> Self {
        self.params.push(UriParam { name: Escaped::param(name), value: value.map(Escaped::param) });
        self
    }

    /// The user, unescaped; octets that are not UTF-8 become U+FFFD.
    pub fn user(&self) -> Option<Cow<'_, str>> {
        self.user.as_ref().map(Escaped::to_text)
    }

    /// Whether there is such a parameter.
    pub fn has_param(&self, name: &str) -> bool {
        todo!()
    }

    /// The value of a parameter; `None` when it is not there or has none.
    pub fn param(&self, name: &str) -> Option<&str> {
        todo!()
    }

    /// Whether the URI is that of a loose router (`;lr`).
    pub fn is_loose_router(&self) -> bool {
        self.has_param("lr")
    }
}

impl TelUri {
    /// Whether the number is global: it begins with `+`.
    pub fn is_global(&self) -> bool {
        self.number.starts_with('+')
    }

    /// The number without visual separators.
    pub fn digits(&self) -> String {
        self.number.chars().filter(|c| !matches!(c, '-' | '.' | '(' | ')')).collect()
    }
}

impl OtherUri {
    /// The scheme, in lower case.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// What follows the scheme and its colon.
    pub fn rest(&self) -> &str {
        &self.rest
    }
}

impl Escaped {
    /// Escapes a user part.
    pub fn user(text: &str) -> Self {
        todo!()
    }

    /// Escapes the name or value of a URI parameter.
    pub fn param(text: &str) -> Self {
        todo!()
    }

    /// The escaped form.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The octets that are meant.
    pub fn decoded(&self) -> Cow<'_, [u8]> {
        todo!()
    }

    /// The octets as text; what is not UTF-8 becomes U+FFFD.
    pub fn to_text(&self) -> Cow<'_, str> {
        todo!()
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        todo!()
    }
}

impl fmt::Display for SipUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        todo!()
    }
}

impl std::str::FromStr for Uri {
    type Err = InvalidUri;

    fn from_str(text: &str) -> Result<Self, InvalidUri> {
        Self::parse(text.as_bytes())
    }
}

impl From<SipUri> for Uri {
    fn from(uri: SipUri) -> Self {
        Self::Sip(uri)
    }
}
