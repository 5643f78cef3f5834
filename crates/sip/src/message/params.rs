//! Header parameters: `;name=value` (RFC 3261 §25.1, `generic-param`).

use std::fmt;

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
        todo!()
    }

    /// A value that is written in quotes whatever its text.
    pub fn quoted(text: &str) -> Self {
        todo!()
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

    /// Sets a parameter, in place of the ones of that name.
    pub fn set(&mut self, name: Token, value: Option<ParamValue>) {
        todo!()
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
        todo!()
    }
}
