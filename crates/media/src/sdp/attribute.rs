use std::fmt;
use std::net::IpAddr;

use super::address::{Connection, Host};
use super::text::Text;

/// An attribute, `a=name` or `a=name:value` (RFC 8866 §5.13). Names are case-sensitive.
#[derive(Clone, PartialEq, Eq)]
pub struct Attribute {
    /// Before the colon.
    pub name: Text,
    /// After the colon; `None` for a property such as `a=sendonly`.
    pub value: Option<Text>,
}

/// Without the keys of `a=crypto` (RFC 4568 §4), which stand there in clear.
impl fmt::Debug for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Attribute");
        shown.field("name", &self.name);
        if self.name.as_bytes().eq_ignore_ascii_case(CRYPTO) {
            return shown.finish_non_exhaustive();
        }
        shown.field("value", &self.value).finish()
    }
}

/// The attribute that gives SRTP its keys.
const CRYPTO: &[u8] = b"crypto";

impl Attribute {
    /// `a=name`
    pub fn flag(name: &str) -> Self {
        Self { name: name.into(), value: None }
    }

    /// `a=name:value`
    pub fn valued(name: &str, value: impl Into<Text>) -> Self {
        Self { name: name.into(), value: Some(value.into()) }
    }

    /// The value when the attribute is called `name` and its value is UTF-8.
    pub fn value_of(&self, name: &str) -> Option<&str> {
        if self.name != *name {
            return None;
        }
        self.value.as_ref()?.as_str()
    }
}

/// Who may send, seen from the one who says it (RFC 8866 §6.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Both.
    SendRecv,
    /// Sends, does not listen: the other is held.
    SendOnly,
    /// Listens, does not send.
    RecvOnly,
    /// Neither.
    Inactive,
}

impl Direction {
    /// The direction that sends and receives as told.
    pub const fn new(send: bool, receive: bool) -> Self {
        match (send, receive) {
            (true, true) => Self::SendRecv,
            (true, false) => Self::SendOnly,
            (false, true) => Self::RecvOnly,
            (false, false) => Self::Inactive,
        }
    }

    /// True when the one who says it may send.
    pub const fn sends(self) -> bool {
        match self {
            Self::SendRecv | Self::SendOnly => true,
            Self::RecvOnly | Self::Inactive => false,
        }
    }

    /// True when the one who says it wants to receive.
    pub const fn receives(self) -> bool {
        match self {
            Self::SendRecv | Self::RecvOnly => true,
            Self::SendOnly | Self::Inactive => false,
        }
    }

    /// The same, seen from the other end.
    #[must_use]
    pub const fn mirrored(self) -> Self {
        Self::new(self.receives(), self.sends())
    }

    /// What both allow.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self::new(self.sends() && other.sends(), self.receives() && other.receives())
    }

    /// The attribute's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    /// The first direction among `attributes`; there should be one at most.
    pub(crate) fn among(attributes: &[Attribute]) -> Option<Self> {
        const ALL: [Direction; 4] =
            [Direction::SendRecv, Direction::SendOnly, Direction::RecvOnly, Direction::Inactive];
        attributes.iter().find_map(|attribute| ALL.into_iter().find(|direction| attribute.name == *direction.name()))
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a payload type carries: `a=rtpmap` (RFC 8866 §6.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RtpMap {
    /// 0 to 127.
    pub payload_type: u8,
    /// The name in the media types registry, compared without regard to case.
    pub encoding: Box<str>,
    /// Ticks of the RTP timestamp in a second; never 0. G.722 says 8000 (RFC 3551 §4.5.2).
    pub clock_rate: u32,
    /// Audio channels, 1 when not given; never 0.
    pub channels: u8,
}

impl RtpMap {
    /// Reads `0 PCMU/8000/1`; `None` when a part is missing or out of range.
    pub(crate) fn parse(value: &str) -> Option<Self> {
        let (payload_type, encoding) = value.trim().split_once([' ', '\t'])?;
        let mut parts = encoding.trim_start().split('/');
        let (name, clock_rate) = (parts.next()?, decimal(parts.next()?)?);
        let channels = parts.next().map_or(Some(1), decimal)?;
        let sound = is_token(name) && clock_rate > 0 && channels > 0 && parts.next().is_none();
        sound.then_some(Self {
            payload_type: payload_type_number(payload_type)?,
            encoding: name.into(),
            clock_rate,
            channels,
        })
    }

    /// Encoding, clock rate and, unless it is 1, the number of channels: `opus/48000/2`.
    pub fn name(&self) -> String {
        match self.channels {
            1 => format!("{}/{}", self.encoding, self.clock_rate),
            channels => format!("{}/{}/{channels}", self.encoding, self.clock_rate),
        }
    }

    /// True when the map is for this encoding in mono.
    pub fn is(&self, encoding: &str, clock_rate: u32) -> bool {
        self.encoding.eq_ignore_ascii_case(encoding) && self.clock_rate == clock_rate && self.channels == 1
    }
}

/// The value of the attribute.
impl fmt::Display for RtpMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.payload_type, self.name())
    }
}

/// An RTP payload type: decimal digits, 0 to 127 (RFC 3550 §5.1).
pub(crate) fn payload_type_number(text: &str) -> Option<u8> {
    decimal(text).filter(|number| *number <= 127)
}

/// Digits only, unlike `str::parse`, which takes a sign.
pub(crate) fn decimal<T: std::str::FromStr>(text: &str) -> Option<T> {
    text.bytes().all(|octet| octet.is_ascii_digit()).then(|| text.parse().ok())?
}

/// A token of RFC 8866 §9, so that names can be shown to people as they are.
fn is_token(text: &str) -> bool {
    let is_separator = |octet| matches!(octet, b'"' | b'(' | b')' | b',' | b'/' | b':'..=b'@' | b'['..=b']');
    !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_graphic() && !is_separator(octet))
}

/// Where RTCP goes when not to the port after RTP's: `a=rtcp` (RFC 3605 §2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RtcpAddress {
    /// 1 to 65535.
    pub port: u16,
    /// `None` when it is the stream's own.
    pub address: Option<IpAddr>,
}

impl RtcpAddress {
    /// Reads `40777` or `40777 IN IP4 192.0.2.9`; `None` when it is neither, or names a host that is no address.
    pub(crate) fn parse(value: &str) -> Option<Self> {
        let (port, address) = match value.trim().split_once(' ') {
            Some((port, address)) => (port, Some(Connection::parse(address)?)),
            None => (value.trim(), None),
        };
        let port = decimal(port).filter(|port| *port != 0)?;
        match address.map(|connection| connection.host) {
            None => Some(Self { port, address: None }),
            Some(Host::Address(address)) => Some(Self { port, address: Some(address) }),
            Some(Host::Name(_)) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_rtpmap_needs_a_name_and_a_clock_rate() {
        let map = RtpMap::parse("111 opus/48000/2").unwrap();
        assert_eq!((map.payload_type, &*map.encoding, map.clock_rate, map.channels), (111, "opus", 48_000, 2));
        assert_eq!(map.to_string(), "111 opus/48000/2");
        assert!(RtpMap::parse("96 pcmu/8000/1").unwrap().is("PCMU", 8000));
        for bad in [
            "",
            "0",
            "0 /",
            "96 opus",
            "96 opus/",
            "96 opus/0",
            "96 opus/+48000",
            "96 opus/99999999999",
            "128 x/8000",
            "-1 x/8000",
            "96 x/8000/0",
            "96 x/8000/1/1",
            "96 x\u{1b}[2J/8000",
            "96 caf\u{e9}/8000",
        ] {
            assert_eq!(RtpMap::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn mirroring_swaps_the_ends() {
        assert_eq!(Direction::SendOnly.mirrored(), Direction::RecvOnly);
        assert_eq!(Direction::RecvOnly.mirrored(), Direction::SendOnly);
        assert_eq!(Direction::SendRecv.mirrored(), Direction::SendRecv);
        assert_eq!(Direction::Inactive.mirrored(), Direction::Inactive);
        assert_eq!(Direction::SendOnly.and(Direction::RecvOnly), Direction::Inactive);
    }

    #[test]
    fn the_first_direction_counts() {
        let attributes = [Attribute::flag("ptime"), Attribute::flag("recvonly"), Attribute::flag("sendrecv")];
        assert_eq!(Direction::among(&attributes), Some(Direction::RecvOnly));
        assert_eq!(Direction::among(&[Attribute::flag("SENDONLY")]), None);
    }

    #[test]
    fn rtcp_may_have_an_address_of_its_own() {
        assert_eq!(RtcpAddress::parse("40777"), Some(RtcpAddress { port: 40_777, address: None }));
        let elsewhere = RtcpAddress::parse("40777 IN IP4 192.0.2.9").unwrap();
        assert_eq!(elsewhere.address, Some([192, 0, 2, 9].into()));
        for bad in ["", "0", "65536", "+5", "1 IN IP4 300.1.2.3", "x"] {
            assert_eq!(RtcpAddress::parse(bad), None, "{bad}");
        }
    }
}
