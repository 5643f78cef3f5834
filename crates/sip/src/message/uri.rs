//! URIs: sip, sips, tel, and all others as text.

use std::borrow::Cow;
use std::fmt;

use super::decimal::write_decimal;
use super::host::{self, Host, HostRef};
use super::scan::{self, Cursor};

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

/// A `sip:` or `sips:` URI (RFC 3261 §19.1). `Debug` hides the password, `Display` is for the wire.
#[derive(Clone, PartialEq, Eq)]
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
        UriRef::parse(text).map(UriRef::to_owned).ok_or(InvalidUri)
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
        match self {
            Self::Sip(uri) if uri.secure => "sips",
            Self::Sip(_) => "sip",
            Self::Tel(_) => "tel",
            Self::Other(uri) => uri.scheme(),
        }
    }

    /// Whether both name the same resource (RFC 3261 §19.1.4; RFC 3966 §4 for tel).
    pub fn matches(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Sip(one), Self::Sip(two)) => one.matches(two),
            (Self::Tel(one), Self::Tel(two)) => one.matches(two),
            (Self::Other(one), Self::Other(two)) => one == two,
            (Self::Sip(_) | Self::Tel(_) | Self::Other(_), _) => false,
        }
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
        find(&self.params, name).is_some()
    }

    /// The value of a parameter; `None` when it is not there or has none.
    pub fn param(&self, name: &str) -> Option<&str> {
        find(&self.params, name)?.value.as_ref().map(Escaped::as_str)
    }

    /// Whether the URI is that of a loose router (`;lr`).
    pub fn is_loose_router(&self) -> bool {
        self.has_param("lr")
    }

    fn matches(&self, other: &Self) -> bool {
        self.secure == other.secure
            && self.user == other.user
            && self.password == other.password
            && self.host == other.host
            && self.port == other.port
            && are_compatible(&self.params, &other.params)
            && are_compatible(&other.params, &self.params)
            && self.headers.len() == other.headers.len()
            && self.headers.iter().all(|header| other.headers.iter().any(|candidate| same(header, candidate)))
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

    /// RFC 3966 §4: visual separators and case do not count, parameters do, in any order.
    fn matches(&self, other: &Self) -> bool {
        self.digits().eq_ignore_ascii_case(&other.digits())
            && self.params.len() == other.params.len()
            && self.params.iter().all(|param| other.params.iter().any(|candidate| same(param, candidate)))
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
        Self::escape(text, scan::USER)
    }

    /// Escapes the name or value of a URI parameter.
    pub fn param(text: &str) -> Self {
        Self::escape(text, scan::URI_PARAM)
    }

    /// The escaped form.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The octets that are meant.
    pub fn decoded(&self) -> Cow<'_, [u8]> {
        if !self.0.contains('%') {
            return Cow::Borrowed(self.0.as_bytes());
        }
        let mut octets = Vec::with_capacity(self.0.len());
        let mut rest = self.0.as_bytes();
        while let [first, tail @ ..] = rest {
            if let Some(octet) = escaped_octet(rest) {
                octets.push(octet);
                rest = tail.get(2..).unwrap_or_default();
            } else {
                octets.push(*first);
                rest = tail;
            }
        }
        Cow::Owned(octets)
    }

    /// The octets as text; what is not UTF-8 becomes U+FFFD.
    pub fn to_text(&self) -> Cow<'_, str> {
        match self.decoded() {
            Cow::Borrowed(_) => Cow::Borrowed(&self.0),
            Cow::Owned(octets) => Cow::Owned(
                String::from_utf8(octets).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()),
            ),
        }
    }

    fn escape(text: &str, class: u16) -> Self {
        let mut escaped = String::with_capacity(text.len());
        for octet in text.bytes() {
            push_octet(&mut escaped, octet, class);
        }
        Self(escaped.into())
    }

    /// Brings what a peer sent into normal form (RFC 3261 §19.1.4): an escape of an unreserved character is that
    /// character, all others keep their escape, a character that should have been escaped is.
    fn normalise(raw: &[u8], class: u16) -> Self {
        if raw.iter().all(|&c| scan::is(c, class)) {
            return Self(scan::ascii(raw).into());
        }
        let mut normal = String::with_capacity(raw.len());
        let mut rest = raw;
        while let [first, tail @ ..] = rest {
            if let Some(octet) = escaped_octet(rest) {
                push_octet(&mut normal, octet, scan::UNRESERVED);
                rest = tail.get(2..).unwrap_or_default();
            } else {
                push_octet(&mut normal, *first, class);
                rest = tail;
            }
        }
        Self(normal.into())
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sip(uri) => uri.fmt(f),
            Self::Tel(uri) => uri.fmt(f),
            Self::Other(uri) => uri.fmt(f),
        }
    }
}

impl fmt::Debug for SipUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hidden = Self { password: self.password.as_ref().map(|_| Escaped("***".into())), ..self.clone() };
        write!(f, "{hidden}")
    }
}

impl fmt::Display for SipUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, true)
    }
}

impl SipUri {
    /// As a Request-URI: without headers, which must not be there (RFC 3261 §19.1.1).
    pub(crate) fn write(&self, f: &mut impl fmt::Write, with_headers: bool) -> fmt::Result {
        f.write_str(if self.secure { "sips:" } else { "sip:" })?;
        if let Some(user) = &self.user {
            f.write_str(&user.0)?;
            if let Some(password) = &self.password {
                f.write_char(':')?;
                f.write_str(&password.0)?;
            }
            f.write_char('@')?;
        }
        self.host.write(f)?;
        if let Some(port) = self.port {
            f.write_char(':')?;
            write_decimal(f, port)?;
        }
        write_params(f, &self.params)?;
        if with_headers {
            for (index, header) in self.headers.iter().enumerate() {
                let mark = if index == 0 { '?' } else { '&' };
                let value = header.value.as_ref().map_or("", Escaped::as_str);
                write!(f, "{mark}{}={value}", header.name.0)?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for TelUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tel:")?;
        f.write_str(&self.number)?;
        write_params(f, &self.params)
    }
}

impl fmt::Display for OtherUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.scheme, self.rest)
    }
}

fn write_params(f: &mut impl fmt::Write, params: &[UriParam]) -> fmt::Result {
    for param in params {
        f.write_char(';')?;
        f.write_str(&param.name.0)?;
        if let Some(value) = &param.value {
            f.write_char('=')?;
            f.write_str(&value.0)?;
        }
    }
    Ok(())
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

/// A URI as it stands in a received message, checked.
#[derive(Debug, Clone, Copy)]
pub(crate) enum UriRef<'a> {
    Sip(SipUriRef<'a>),
    Tel { number: &'a [u8], params: &'a [u8] },
    Other { scheme: &'a [u8], rest: &'a [u8] },
}

#[derive(Clone, Copy)]
pub(crate) struct SipUriRef<'a> {
    secure: bool,
    user: Option<&'a [u8]>,
    password: Option<&'a [u8]>,
    host: HostRef<'a>,
    port: Option<u16>,
    params: &'a [u8],
    headers: &'a [u8],
}

/// As of [`SipUri`], without the password.
impl fmt::Debug for SipUriRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SipUriRef")
            .field("secure", &self.secure)
            .field("user", &self.user.map(<[u8]>::escape_ascii))
            .field("password", &self.password.map(|_| "***"))
            .field("host", &self.host)
            .field("port", &self.port)
            .field("params", &self.params.escape_ascii())
            .field("headers", &self.headers.escape_ascii())
            .finish()
    }
}

impl<'a> UriRef<'a> {
    #[inline]
    pub(crate) fn parse(text: &'a [u8]) -> Option<Self> {
        let mut cursor = Cursor::new(text);
        Self::take(&mut cursor).filter(|_| cursor.is_done())
    }

    /// Takes the URI that is next, up to what cannot be part of it.
    #[inline]
    pub(crate) fn take(cursor: &mut Cursor<'a>) -> Option<Self> {
        // Nearly all are `sip:`.
        if cursor.eat_all(b"sip:") {
            return SipUriRef::take(false, cursor).map(Self::Sip);
        }
        Self::take_other(cursor)
    }

    #[cold]
    fn take_other(cursor: &mut Cursor<'a>) -> Option<Self> {
        let scheme = cursor.take(scan::TOKEN);
        if !cursor.eat(b':') {
            return None;
        }
        if scheme.eq_ignore_ascii_case(b"sip") {
            return SipUriRef::take(false, cursor).map(Self::Sip);
        }
        if scheme.eq_ignore_ascii_case(b"sips") {
            return SipUriRef::take(true, cursor).map(Self::Sip);
        }
        if scheme.eq_ignore_ascii_case(b"tel") {
            return Self::take_tel(cursor);
        }
        let is_scheme = scheme.first().is_some_and(u8::is_ascii_alphabetic)
            && scheme.iter().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'+' | b'-' | b'.'));
        let rest = cursor.take_until(|c| !c.is_ascii_graphic() || matches!(c, b'<' | b'>' | b'"'));
        (is_scheme && !rest.is_empty()).then_some(Self::Other { scheme, rest })
    }

    /// Whether it is a sip URI with headers, which a Request-URI must not have.
    pub(crate) fn has_headers(&self) -> bool {
        match self {
            Self::Sip(uri) => !uri.headers.is_empty(),
            Self::Tel { .. } | Self::Other { .. } => false,
        }
    }

    pub(crate) fn to_owned(self) -> Uri {
        match self {
            Self::Sip(uri) => Uri::Sip(uri.to_owned()),
            Self::Tel { number, params } => Uri::Tel(TelUri {
                number: scan::ascii(number).into(),
                params: UriParam::all_from(params, b';', scan::URI_PARAM),
            }),
            Self::Other { scheme, rest } => Uri::Other(OtherUri {
                scheme: scan::ascii(scheme).to_ascii_lowercase().into(),
                rest: scan::ascii(rest).into(),
            }),
        }
    }

    /// A local number without its compulsory `phone-context` is let through: peers send it, and routing decides.
    fn take_tel(cursor: &mut Cursor<'a>) -> Option<Self> {
        let number = cursor.take_until(|c| !(c.is_ascii_hexdigit() || b"+-.()*#".contains(&c)));
        let is_number = number.iter().any(|c| c.is_ascii_hexdigit() || matches!(c, b'*' | b'#'))
            && !number.get(1..)?.contains(&b'+');
        let params = take_params(cursor)?;
        is_number.then_some(Self::Tel { number, params })
    }
}

impl<'a> SipUriRef<'a> {
    #[inline]
    fn take(secure: bool, cursor: &mut Cursor<'a>) -> Option<Self> {
        let start = *cursor;
        let (mut user, mut password) = (None, None);
        // What looks like a user may be a host and all behind it: only an `@` tells.
        let (name, has_escapes) = cursor.take_with_escapes(scan::RAW_USER);
        let after_name = *cursor;
        if cursor.eat(b':') {
            let (secret, has_escapes) = cursor.take_with_escapes(scan::PASSWORD);
            if cursor.peek() == Some(b'@') && (!has_escapes || are_escapes_whole(secret)) {
                password = Some(secret);
            } else {
                *cursor = after_name;
            }
        }
        if cursor.eat(b'@') {
            if name.is_empty() || has_escapes && !are_escapes_whole(name) {
                return None;
            }
            user = Some(name);
        } else {
            *cursor = start;
        }

        let host = HostRef::take(cursor)?;
        let port = if cursor.eat(b':') { Some(host::take_port(cursor)?) } else { None };
        let params = take_params(cursor)?;
        let headers = if cursor.eat(b'?') {
            let headers = cursor.take(scan::RAW_URI_HEADERS);
            are_headers(headers).then_some(headers)?
        } else {
            b""
        };
        Some(Self { secure, user, password, host, port, params, headers })
    }

    fn to_owned(self) -> SipUri {
        SipUri {
            secure: self.secure,
            user: self.user.map(|user| Escaped::normalise(user, scan::USER)),
            password: self.password.map(|password| Escaped::normalise(password, scan::PASSWORD)),
            host: self.host.to_owned(),
            port: self.port,
            params: UriParam::all_from(self.params, b';', scan::URI_PARAM),
            headers: UriParam::all_from(self.headers, b'&', scan::URI_HEADER),
        }
    }
}

impl UriParam {
    fn all_from(span: &[u8], separator: u8, class: u16) -> Vec<Self> {
        if span.is_empty() {
            return Vec::new();
        }
        span.split(|&c| c == separator)
            .filter(|param| !param.is_empty())
            .map(|param| {
                let mut cursor = Cursor::new(param);
                let name = Escaped::normalise(cursor.take_until(|c| c == b'='), class);
                let value = cursor.eat(b'=').then(|| Escaped::normalise(cursor.rest(), class));
                Self { name, value: value.filter(|value| !value.0.is_empty() || separator == b'&') }
            })
            .collect()
    }
}

/// Takes `*( ";" pname [ "=" pvalue ] )`; empty parameters are passed over. `None` when one is broken.
#[inline]
fn take_params<'a>(cursor: &mut Cursor<'a>) -> Option<&'a [u8]> {
    let span = cursor.rest();
    while cursor.eat(b';') {
        let (param, has_escapes) = cursor.take_with_escapes(scan::RAW_URI_PARAM);
        if param.first() == Some(&b'=') || has_escapes && !are_escapes_whole(param) {
            return None;
        }
    }
    span.get(..span.len() - cursor.rest().len())
}

/// `hname=hvalue` joined by `&`.
fn are_headers(text: &[u8]) -> bool {
    text.split(|&c| c == b'&').all(|header| {
        let mut cursor = Cursor::new(header);
        let name = cursor.take_until(|c| c == b'=');
        !name.is_empty()
            && is_escaped_text(name, scan::URI_HEADER)
            && cursor.eat(b'=')
            && is_escaped_text(cursor.rest(), scan::URI_HEADER)
    })
}

fn is_escaped_text(text: &[u8], class: u16) -> bool {
    text.iter().all(|&c| scan::is(c, class) || c == b'%') && are_escapes_whole(text)
}

/// Whether each `%` begins an escape.
fn are_escapes_whole(text: &[u8]) -> bool {
    let mut rest = text;
    while let Some(at) = rest.iter().position(|&c| c == b'%') {
        rest = rest.get(at..).unwrap_or_default();
        if escaped_octet(rest).is_none() {
            return false;
        }
        rest = rest.get(3..).unwrap_or_default();
    }
    true
}

/// The octet of the escape that the text begins with.
fn escaped_octet(text: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = text else { return None };
    let digit = |c: u8| char::from(c).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(*high)? << 4 | digit(*low)?)
}

fn push_octet(text: &mut String, octet: u8, class: u16) {
    const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    if scan::is(octet, class) {
        text.push(char::from(octet));
    } else {
        text.push('%');
        text.push(DIGITS[usize::from(octet >> 4)]);
        text.push(DIGITS[usize::from(octet & 15)]);
    }
}

fn find<'p>(params: &'p [UriParam], name: &str) -> Option<&'p UriParam> {
    params.iter().find(|param| param.name.0.eq_ignore_ascii_case(name))
}

/// Parameters that make a difference even when only one of two URIs has them (RFC 3261 §19.1.4).
const DISTINGUISHING_PARAMS: [&str; 5] = ["user", "ttl", "method", "maddr", "transport"];

/// Whether the other URI's parameters let these be. Of those with one name, which should not be, the first counts.
fn are_compatible(params: &[UriParam], others: &[UriParam]) -> bool {
    params.iter().all(|UriParam { name, .. }| match (find(params, &name.0), find(others, &name.0)) {
        (Some(param), Some(other)) => same(param, other),
        _ => !DISTINGUISHING_PARAMS.iter().any(|distinguishing| name.0.eq_ignore_ascii_case(distinguishing)),
    })
}

fn same(one: &UriParam, two: &UriParam) -> bool {
    one.name.0.eq_ignore_ascii_case(&two.name.0)
        && match (&one.value, &two.value) {
            (Some(one), Some(two)) => one.0.eq_ignore_ascii_case(&two.0),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_what_it_reads() {
        for text in [
            "sip:host",
            "sips:alice:secret@example.com:5071;transport=tcp;lr?Subject=x%20y&Priority=",
            "sip:user;par=u%40example.net@example.com",
            "sip:[2001:db8::10]:5070",
            "sip:null-%00-null@example.com",
            "sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*@example.com",
            "tel:+1-555-123-0000;ext=7",
            "soap.beep://192.0.2.103:3002",
        ] {
            assert_eq!(uri(text).to_string(), text);
        }
    }

    #[test]
    fn refuses_what_is_no_uri() {
        for text in [
            "",
            "sip:",
            "sip:@host",
            "host",
            ":x",
            "sip:a@",
            "sip:a@host:",
            "sip:a@host:0",
            "sip:a@host:65536",
            "sip:2001:db8::10",
            "sip:a%zz@host",
            "sip:a%4@host",
            "sip:a b@host",
            "sip: host",
            "sip:a@ho st",
            "sip:a@b@c",
            "sip:a@host;x=\"y\"",
            "sip:host?",
            "sip:host?x",
            "<sip:host>",
            "tel:",
            "tel:+",
            "tel:abc+1",
            "sip:a@b\u{fc}cher",
            "mailto:",
            "1x:y",
            "sip:a@host;x=%",
            "sip:host ",
        ] {
            assert_eq!(Uri::parse(text.as_bytes()), Err(InvalidUri), "{text}");
        }
    }

    #[test]
    fn a_password_is_not_for_logs() {
        let uri = uri("sip:user:secret@host");
        assert!(uri.to_string().contains("secret"));
        assert_eq!(format!("{uri:?}"), "Sip(sip:user:***@host)");
        let read = format!("{:?}", UriRef::parse(b"sip:user:secret@host"));
        let octets = format!("{:?}", b"secret");
        assert!(read.contains("***") && !read.contains("secret") && !read.contains(&octets), "{read}");
    }

    #[test]
    fn unescapes_once() {
        let uri = uri("sip:%2541@host");
        assert_eq!(uri.as_sip().and_then(SipUri::user).as_deref(), Some("%41"));
        assert_eq!(uri.to_string(), "sip:%2541@host");
    }

    #[test]
    fn keeps_octets_that_are_not_utf8() {
        let uri = uri("sip:Andr%e9@host");
        let user = uri.as_sip().and_then(|uri| uri.user.clone()).unwrap();
        assert_eq!(*user.decoded(), *b"Andr\xe9");
        assert_eq!(user.to_text(), "Andr\u{fffd}");
        assert_eq!(uri.to_string(), "sip:Andr%E9@host");
    }

    #[test]
    fn escapes_what_we_are_given() {
        let uri = SipUri::new(Host::Name("host".into())).with_user("a b@\r\n#+1").with_param("x y", Some("ü"));
        assert_eq!(uri.to_string(), "sip:a%20b%40%0D%0A%23+1@host;x%20y=%C3%BC");
    }

    #[test]
    fn an_unescaped_hash_is_tolerated_and_escaped() {
        assert_eq!(uri("sip:*31#5551230000@host").to_string(), "sip:*31%235551230000@host");
    }

    /// The examples of RFC 3261 §19.1.4.
    #[test]
    fn compares_as_the_rfc_does() {
        for (one, two) in [
            ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
            ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;newparam=5"),
            (
                "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
                "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
            ),
            (
                "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
                "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
            ),
            ("tel:+1-201-555-0123", "tel:+12015550123"),
        ] {
            assert!(uri(one).matches(&uri(two)) && uri(two).matches(&uri(one)), "{one} {two}");
        }
        for (one, two) in [
            ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
            ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
            ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
            ("sip:bob@biloxi.com", "sips:bob@biloxi.com"),
            ("tel:+12015550123", "tel:+12015550123;ext=1"),
        ] {
            assert!(!uri(one).matches(&uri(two)) && !uri(two).matches(&uri(one)), "{one} {two}");
        }
    }

    #[test]
    fn a_uri_is_the_same_as_itself_though_a_parameter_comes_twice() {
        let twice = uri("sip:host;x=1;x=2");
        assert!(twice.matches(&twice) && twice.matches(&uri("sip:host;x=1")));
        assert!(!twice.matches(&uri("sip:host;x=2")));
    }

    fn uri(text: &str) -> Uri {
        Uri::parse(text.as_bytes()).unwrap_or_else(|e| panic!("{text}: {e}"))
    }
}
