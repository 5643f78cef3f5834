//! CSeq (RFC 3261 §20.16).

use std::fmt;

use super::decimal::write_decimal;
use super::limits::MAX_METHOD_BYTES;
use super::method::Method;
use super::scan;

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
        write_decimal(f, self.number)?;
        f.write_str(" ")?;
        f.write_str(self.method.as_str())
    }
}

/// A CSeq as it stands in a received message, checked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CSeqRef<'a> {
    pub(crate) number: u32,
    /// A token.
    pub(crate) method: &'a [u8],
}

impl<'a> CSeqRef<'a> {
    pub(crate) fn parse(value: &'a [u8]) -> Option<Self> {
        let end = value.iter().position(|c| !c.is_ascii_digit())?;
        let (digits, rest) = value.split_at(end);
        let number = u32::try_from(scan::number(digits)?).ok()?;
        let method = scan::trim_start(rest);
        let has_blanks = method.len() < rest.len();
        let is_good = has_blanks && method.len() <= MAX_METHOD_BYTES && scan::all(method, scan::TOKEN);
        is_good.then_some(Self { number, method })
    }

    pub(crate) fn to_owned(self) -> CSeq {
        CSeq { number: self.number, method: Method::checked(scan::ascii(self.method)) }
    }
}
