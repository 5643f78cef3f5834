//! Addresses: `"Display" <uri>;param` (RFC 3261 §20.10).

use std::fmt::{self, Write as _};

use super::error::BadHeader;
use super::header_name::HeaderName;
use super::limits::MAX_IDENTIFIER_BYTES;
use super::params::{ParamRef, ParamValue, Params, ValueRef};
use super::scan::{self, Cursor};
use super::token::Token;
use super::uri::{Uri, UriRef};

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
        self.display = Some(display.replace(char::is_control, " ").into());
        self
    }

    /// With that tag in place of any other.
    #[must_use]
    pub fn with_tag(mut self, tag: &Token) -> Self {
        self.params.set(Token::checked("tag"), Some(ParamValue::new(tag.as_str())));
        self
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
        AddressRef::parse(value).map(AddressRef::to_owned).ok_or(BadHeader(name))
    }
}

/// Always in angle brackets, so that the parameters cannot be taken for those of the URI.
impl fmt::Display for NameAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(display) = &self.display {
            scan::write_quoted(f, display)?;
            f.write_char(' ')?;
        }
        f.write_str("<")?;
        self.uri.fmt(f)?;
        f.write_str(">")?;
        self.params.fmt(f)
    }
}

/// An address as it stands in a received message, checked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AddressRef<'a> {
    display: Option<DisplayRef<'a>>,
    uri: UriRef<'a>,
    params: &'a [u8],
    tag: Option<&'a [u8]>,
}

#[derive(Debug, Clone, Copy)]
enum DisplayRef<'a> {
    /// The inside of a quoted string.
    Quoted(&'a [u8]),
    Bare(&'a [u8]),
}

impl<'a> AddressRef<'a> {
    /// Reads a value that is one address.
    #[inline]
    pub(super) fn parse(text: &'a [u8]) -> Option<Self> {
        let mut cursor = Cursor::new(text);
        Self::take(&mut cursor).filter(|_| cursor.is_done())
    }

    /// Takes one value and the blanks around it, up to a comma or the end.
    #[inline]
    pub(crate) fn take(cursor: &mut Cursor<'a>) -> Option<Self> {
        cursor.skip_blanks();
        let mut display = None;
        let uri;
        if cursor.peek() == Some(b'"') {
            display = Some(DisplayRef::Quoted(cursor.take_quoted()?));
            cursor.skip_blanks();
            uri = Self::take_bracketed(cursor)?;
        } else {
            // Up to `<` it is a display name, of tokens by the RFC but of anything in the field; without `<` it is
            // a URI, which then can have no parameters of its own (RFC 3261 §20.10).
            let text = cursor.take_until(|c| matches!(c, b'<' | b';' | b',' | b'"' | b'?'));
            if cursor.peek() == Some(b'<') {
                let text = scan::trim(text);
                display = (!text.is_empty()).then_some(DisplayRef::Bare(text));
                uri = Self::take_bracketed(cursor)?;
            } else {
                uri = UriRef::parse(scan::trim_end(text))?;
            }
        }

        let from_params = cursor.rest();
        let mut tag = None;
        ParamRef::take_all(cursor, |param| {
            if !scan::is_name(param.name, b"tag") {
                return true;
            }
            let is_first = tag.is_none();
            tag = match param.value {
                Some(ValueRef::Plain(text)) => Some(text),
                Some(ValueRef::Quoted(_)) | None => None,
            };
            is_first && tag.is_some_and(|tag| !tag.is_empty() && tag.len() <= MAX_IDENTIFIER_BYTES)
        })?;
        let params = from_params.get(..from_params.len() - cursor.rest().len())?;
        cursor.skip_blanks();
        matches!(cursor.peek(), None | Some(b',')).then_some(Self { display, uri, params, tag })
    }

    #[inline]
    fn take_bracketed(cursor: &mut Cursor<'a>) -> Option<UriRef<'a>> {
        if !cursor.eat(b'<') {
            return None;
        }
        cursor.skip_blanks();
        let uri = UriRef::take(cursor)?;
        cursor.skip_blanks();
        cursor.eat(b'>').then_some(uri)
    }

    pub(super) fn tag(&self) -> Option<&'a [u8]> {
        self.tag
    }

    pub(crate) fn to_owned(self) -> NameAddr {
        NameAddr {
            display: self.display.map(|display| match display {
                DisplayRef::Quoted(raw) => scan::unquote(raw).into(),
                DisplayRef::Bare(raw) => String::from_utf8_lossy(&scan::unfold(raw)).into(),
            }),
            uri: self.uri.to_owned(),
            params: Params::from_span(self.params),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Host, SipUri};

    #[test]
    fn parameters_after_brackets_belong_to_the_header() {
        let address = parse(br#""J Rosenberg \\\"" <sip:jdrosen@example.com;lr> ; tag = 98asjd8;x="a,b""#).unwrap();
        assert_eq!(address.display.as_deref(), Some("J Rosenberg \\\""));
        assert_eq!(address.tag(), Some("98asjd8"));
        assert_eq!(address.params.get("X"), Some("a,b"));
        assert!(!address.params.contains("lr"));
        assert_eq!(address.to_string(), r#""J Rosenberg \\\"" <sip:jdrosen@example.com;lr>;tag=98asjd8;x="a,b""#);
    }

    #[test]
    fn parameters_without_brackets_belong_to_the_header() {
        let address = parse(b"sip:+15557654321@peer.example.net;tag=1;user=phone").unwrap();
        assert_eq!(address.uri.to_string(), "sip:+15557654321@peer.example.net");
        assert_eq!(address.params.get("user"), Some("phone"));
    }

    #[test]
    fn the_uri_in_a_display_name_is_no_uri() {
        let address = parse(br#""<sip:evil@x>" <sip:a@b>"#).unwrap();
        assert_eq!(address.uri.to_string(), "sip:a@b");
    }

    #[test]
    fn tolerates_what_the_field_sends() {
        for value in [
            &b"Jos\xc3\xa9 (home) <sip:a@b>"[..],
            b"< sip:a@b >",
            b"<sip:a@b>;",
            b"<sip:a@b>;;tag=1;",
            b" \r\n sip:a@b ",
        ] {
            assert_eq!(parse(value).unwrap().uri.to_string(), "sip:a@b");
        }
    }

    #[test]
    fn refuses_what_is_ambiguous() {
        for value in [
            &b""[..],
            b"<sip:a@b",
            b"\"x <sip:a@b>",
            b"<sip:a@b>;tag=",
            b"<sip:a@b>;tag=1;tag=2",
            b"<sip:a@b>;tag=\"1\"",
            b"<sip:a@b> x",
            b"<sip:a@b>, <sip:c@d>",
            b"sip:a@b?x=y",
            b"\"x\" sip:a@b",
            b"<>",
            b"Bell, A <sip:a@b>;tag=1",
            b"<sip:a@b>;x=\"1",
            b"<sip:a@b><sip:c@d>",
        ] {
            assert!(parse(value).is_err(), "{}", String::from_utf8_lossy(value));
        }
    }

    #[test]
    fn a_display_name_cannot_break_out() {
        let address = NameAddr::new(SipUri::new(Host::new("h").unwrap())).with_display("a\"\r\nX: y\\");
        assert_eq!(address.to_string(), r#""a\"  X: y\\" <sip:h>"#);
    }

    fn parse(value: &[u8]) -> Result<NameAddr, BadHeader> {
        NameAddr::parse(HeaderName::From, value)
    }
}
