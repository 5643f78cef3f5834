//! Header parameters: `;name=value` (RFC 3261 §25.1, `generic-param`).

use std::fmt::{self, Write as _};

use super::scan::{self, Cursor};
use super::token::Token;

/// The parameters of a header value, in the order they were read or set.
///
/// Names are compared without regard to case. A name may come twice when a peer sent it so; the first counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Params(Vec<Param>);

/// One parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Param {
    /// The name, as it was spelt.
    pub name: Token,
    /// The value; `None` for a flag such as `lr`.
    pub value: Option<ParamValue>,
}

/// The value of a parameter. Whether it needs quotes is a matter of its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParamValue {
    text: Box<str>,
    quoted: bool,
}

impl ParamValue {
    /// A value of that text. It is written in quotes when it is not a token or a host; CR and LF become spaces.
    pub fn new(text: &str) -> Self {
        let quoted = text.is_empty() || !text.bytes().all(|c| scan::is(c, scan::TOKEN) || b"[]:".contains(&c));
        Self { text: without_breaks(text), quoted }
    }

    /// A value that is written in quotes whatever its text.
    pub fn quoted(text: &str) -> Self {
        Self { text: without_breaks(text), quoted: true }
    }

    /// The text, without quotes and backslashes.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl Params {
    /// No parameters.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// All parameters in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Param> {
        self.0.iter()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether there is a parameter of that name, with a value or without.
    pub fn contains(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// The value of a parameter; `None` when it is not there or has no value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.find(name)?.value.as_ref().map(ParamValue::as_str)
    }

    /// Sets a parameter: the first of that name, or a new one at the end.
    pub fn set(&mut self, name: Token, value: Option<ParamValue>) {
        if let Some(param) = self.0.iter_mut().find(|p| p.name.as_str().eq_ignore_ascii_case(name.as_str())) {
            param.value = value;
        } else {
            self.0.push(Param { name, value });
        }
    }

    /// Takes away all parameters of that name.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|param| !param.name.as_str().eq_ignore_ascii_case(name));
    }

    fn find(&self, name: &str) -> Option<&Param> {
        self.0.iter().find(|param| param.name.as_str().eq_ignore_ascii_case(name))
    }
}

impl fmt::Display for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for param in &self.0 {
            f.write_str(";")?;
            f.write_str(param.name.as_str())?;
            match &param.value {
                Some(ParamValue { text, quoted: true }) => {
                    f.write_char('=')?;
                    scan::write_quoted(f, text)?;
                }
                Some(ParamValue { text, quoted: false }) => {
                    f.write_str("=")?;
                    f.write_str(text)?;
                }
                None => {}
            }
        }
        Ok(())
    }
}

impl<'a> IntoIterator for &'a Params {
    type Item = &'a Param;
    type IntoIter = std::slice::Iter<'a, Param>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// One parameter as it stands in a received value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ParamRef<'a> {
    /// A token.
    pub(crate) name: &'a [u8],
    pub(crate) value: Option<ValueRef<'a>>,
}

/// The value of a parameter as received.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ValueRef<'a> {
    /// ASCII; maybe empty.
    Plain(&'a [u8]),
    /// The inside of a quoted string.
    Quoted(&'a [u8]),
}

impl<'a> ParamRef<'a> {
    /// Takes `*(SEMI generic-param)` up to what is no semicolon, and shows each parameter to `see`, which says
    /// whether it is good. Empty parameters (`;;`, a semicolon at the end) are passed over, for many peers send them.
    #[inline]
    pub(crate) fn take_all(cursor: &mut Cursor<'a>, mut see: impl FnMut(Self) -> bool) -> Option<()> {
        while cursor.eat_separator(b';') {
            let name = cursor.take(scan::TOKEN);
            if name.is_empty() {
                match cursor.peek() {
                    None | Some(b';' | b',') => continue,
                    Some(_) => return None,
                }
            }
            let before = *cursor;
            let value = if cursor.eat_separator(b'=') {
                if cursor.peek() == Some(b'"') {
                    Some(ValueRef::Quoted(cursor.take_quoted()?))
                } else {
                    Some(ValueRef::Plain(cursor.take(scan::PLAIN_VALUE)))
                }
            } else {
                *cursor = before;
                None
            };
            if !see(Self { name, value }) {
                return None;
            }
        }
        Some(())
    }

    fn to_owned(self) -> Param {
        let value = match self.value {
            None | Some(ValueRef::Plain(b"")) => None,
            Some(ValueRef::Plain(text)) => Some(ParamValue { text: scan::ascii(text).into(), quoted: false }),
            Some(ValueRef::Quoted(raw)) => Some(ParamValue::quoted(&scan::unquote(raw))),
        };
        Param { name: Token::checked(scan::ascii(self.name)), value }
    }
}

impl Params {
    /// The parameters of a span that [`ParamRef::take_all`] went over.
    pub(crate) fn from_span(span: &[u8]) -> Self {
        let mut params = Vec::new();
        let _checked = ParamRef::take_all(&mut Cursor::new(span), |param| {
            params.push(param.to_owned());
            true
        });
        Self(params)
    }
}

/// CR and LF can be written in no form.
fn without_breaks(text: &str) -> Box<str> {
    text.replace(['\r', '\n'], " ").into()
}
