//! Via (RFC 3261 §20.42, RFC 3581).

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use super::decimal::write_decimal;
use super::host::{self, Host, HostRef};
use super::limits::MAX_IDENTIFIER_BYTES;
use super::params::{ParamRef, ParamValue, Params, ValueRef};
use super::scan::{self, Cursor};
use super::token::Token;

/// One Via value: where a response goes on its way back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Via {
    /// The transport of the request.
    pub transport: ViaTransport,
    /// The host of `sent-by`.
    pub host: Host,
    /// The port of `sent-by`; `None` when none was written.
    pub port: Option<u16>,
    /// `branch`, `rport`, `received`, `maddr`, ….
    pub params: Params,
}

/// The transport of a Via.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ViaTransport {
    /// `UDP`.
    Udp,
    /// `TCP`.
    Tcp,
    /// `TLS`, TLS over TCP.
    Tls,
    /// `SCTP`.
    Sctp,
    /// `TLS-SCTP` (RFC 4168).
    TlsSctp,
    /// `WS` (RFC 7118).
    Ws,
    /// `WSS` (RFC 7118).
    Wss,
    /// Any other, as it was spelt.
    Other(Token),
}

/// What every RFC 3261 branch begins with (§8.1.1.7).
pub const MAGIC_COOKIE: &str = "z9hG4bK";

impl Via {
    /// A Via of our own, with `rport` (RFC 3581 §3). The branch is the cookie and `branch`.
    pub fn new(transport: ViaTransport, host: Host, port: Option<u16>, branch: &Token) -> Self {
        let mut params = Params::new();
        params.set(Token::checked("rport"), None);
        params.set(Token::checked("branch"), Some(ParamValue::new(&format!("{MAGIC_COOKIE}{branch}"))));
        Self { transport, host, port, params }
    }

    /// The whole branch.
    pub fn branch(&self) -> Option<&str> {
        self.params.get("branch")
    }

    /// Whether the branch is one of RFC 3261, unique on its own. The bare cookie is not.
    pub fn has_rfc3261_branch(&self) -> bool {
        self.branch().is_some_and(is_rfc3261_branch)
    }

    /// `received`, if it is an address; brackets around IPv6 are tolerated (RFC 5118 §4.5).
    pub fn received(&self) -> Option<IpAddr> {
        let text = self.params.get("received")?;
        let inside = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
        inside.unwrap_or(text).parse().ok()
    }

    /// Whether the client asked for `rport` (RFC 3581), filled or not.
    pub fn wants_rport(&self) -> bool {
        self.params.contains("rport")
    }

    /// The value of `rport`, if it is filled with a port.
    pub fn rport(&self) -> Option<u16> {
        self.params.get("rport")?.parse().ok()
    }

    /// Notes where the request really came from (RFC 3261 §18.2.1, RFC 3581 §4): `received` when it differs from
    /// the host or `rport` was asked for, `rport` when it was asked for. What the peer had put there is overwritten.
    pub fn set_source(&mut self, source: SocketAddr) {
        let wants_rport = self.wants_rport();
        if wants_rport || self.host.ip() != Some(source.ip()) {
            self.params.set(Token::checked("received"), Some(ParamValue::new(&source.ip().to_string())));
        } else {
            self.params.remove("received");
        }
        if wants_rport {
            self.params.set(Token::checked("rport"), Some(ParamValue::new(&source.port().to_string())));
        }
    }
}

impl ViaTransport {
    /// Without regard to case.
    fn known(name: &str) -> Option<Self> {
        [Self::Udp, Self::Tcp, Self::Tls, Self::Ws, Self::Wss, Self::Sctp, Self::TlsSctp]
            .into_iter()
            .find(|transport| transport.as_str().eq_ignore_ascii_case(name))
    }

    /// The name as it is on the wire.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Sctp => "SCTP",
            Self::TlsSctp => "TLS-SCTP",
            Self::Ws => "WS",
            Self::Wss => "WSS",
            Self::Other(name) => name.as_str(),
        }
    }

    /// The port that is meant when none is written (RFC 3261 §19.1.2, RFC 7118 §5).
    pub fn default_port(&self) -> u16 {
        match self {
            Self::Udp | Self::Tcp | Self::Sctp | Self::Other(_) => 5060,
            Self::Tls | Self::TlsSctp => 5061,
            Self::Ws => 80,
            Self::Wss => 443,
        }
    }
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SIP/2.0/")?;
        f.write_str(self.transport.as_str())?;
        f.write_str(" ")?;
        self.host.fmt(f)?;
        if let Some(port) = self.port {
            f.write_str(":")?;
            write_decimal(f, port)?;
        }
        self.params.fmt(f)
    }
}

/// The bare cookie names no transaction (RFC 4475 §3.2.1).
fn is_rfc3261_branch(branch: &str) -> bool {
    branch.len() > MAGIC_COOKIE.len() && branch.starts_with(MAGIC_COOKIE)
}

/// A Via value as it stands in a received message, checked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ViaRef<'a> {
    /// A token.
    transport: &'a [u8],
    host: HostRef<'a>,
    port: Option<u16>,
    params: &'a [u8],
    branch: Option<&'a [u8]>,
}

impl<'a> ViaRef<'a> {
    /// Takes one value and the blanks around it, up to a comma or the end.
    #[inline]
    pub(crate) fn take(cursor: &mut Cursor<'a>) -> Option<Self> {
        cursor.skip_blanks();
        let is_sip = cursor.eat_all(b"SIP/2.0/") || Self::take_protocol(cursor)? == b"2.0";
        if is_sip { Self::take_sender(cursor) } else { None }
    }

    /// Like [`Self::take`], of whatever version: what is answered with 505 has that version in Via as well.
    pub(super) fn take_of_any_version(cursor: &mut Cursor<'a>) -> Option<Self> {
        cursor.skip_blanks();
        Self::take_protocol(cursor).filter(|version| !version.is_empty())?;
        Self::take_sender(cursor)
    }

    /// Takes `SIP/version/`, and gives the version.
    fn take_protocol(cursor: &mut Cursor<'a>) -> Option<&'a [u8]> {
        if !scan::is_name(cursor.take(scan::TOKEN), b"SIP") || !cursor.eat_separator(b'/') {
            return None;
        }
        let version = cursor.take(scan::TOKEN);
        cursor.eat_separator(b'/').then_some(version)
    }

    #[inline]
    fn take_sender(cursor: &mut Cursor<'a>) -> Option<Self> {
        cursor.skip_blanks();
        let transport = cursor.take(scan::TOKEN);
        if transport.is_empty() || !cursor.peek().is_some_and(scan::is_blank) {
            return None;
        }
        cursor.skip_blanks();
        let host = HostRef::take(cursor)?;
        let port = if cursor.eat_separator(b':') { Some(host::take_port(cursor)?) } else { None };

        let from_params = cursor.rest();
        let mut branch = None;
        ParamRef::take_all(cursor, |param| {
            if !scan::is_name(param.name, b"branch") {
                return true;
            }
            let is_first = branch.is_none();
            branch = match param.value {
                Some(ValueRef::Plain(text)) => Some(text),
                Some(ValueRef::Quoted(_)) | None => None,
            };
            is_first && branch.is_some_and(|branch| !branch.is_empty() && branch.len() <= MAX_IDENTIFIER_BYTES)
        })?;
        let params = from_params.get(..from_params.len() - cursor.rest().len())?;
        cursor.skip_blanks();
        matches!(cursor.peek(), None | Some(b',')).then_some(Self { transport, host, port, params, branch })
    }

    pub(super) fn branch(&self) -> Option<&'a [u8]> {
        self.branch
    }

    pub(crate) fn to_owned(self) -> Via {
        let name = scan::ascii(self.transport);
        let transport = ViaTransport::known(name).unwrap_or_else(|| ViaTransport::Other(Token::checked(name)));
        Via { transport, host: self.host.to_owned(), port: self.port, params: Params::from_span(self.params) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_blanks_and_folds_wherever_they_may_be() {
        for text in [
            "  SIP  / 2.0\r\n /UDP\r\n    192.0.2.2 : 5070 ;branch = z9hG4bK390;rport",
            "SIP/2.0/ UDP 192.0.2.2:5070;branch=z9hG4bK390;rport",
        ] {
            let via = parse(text.as_bytes()).unwrap();
            assert_eq!(via.to_string(), "SIP/2.0/UDP 192.0.2.2:5070;branch=z9hG4bK390;rport");
        }
    }

    #[test]
    fn refuses_what_is_no_via() {
        for value in [
            &b""[..],
            b"SIP/2.0/UDP",
            b"SIP/2.0/UDP ",
            b"SIP/1.0/UDP h",
            b"HTTP/1.1/TCP h",
            b"SIP/2.0 UDP h",
            b"SIP/2.0/UDP h:x",
            b"SIP/2.0/UDP h;branch=",
            b"SIP/2.0/UDP h;branch",
            b"SIP/2.0/UDP h;branch=a;branch=b",
            b"SIP/2.0/UDP h x",
            b"SIP/2.0/UDP 2001:db8::1",
        ] {
            assert!(parse(value).is_none(), "{}", String::from_utf8_lossy(value));
        }
    }

    #[test]
    fn the_bare_cookie_is_no_rfc3261_branch() {
        assert!(!parse(b"SIP/2.0/UDP h;branch=z9hG4bK").unwrap().has_rfc3261_branch());
        assert!(parse(b"SIP/2.0/UDP h;branch=z9hG4bK1").unwrap().has_rfc3261_branch());
    }

    #[test]
    fn received_may_have_brackets_or_not() {
        for value in [&b"SIP/2.0/UDP h;received=[2001:db8::9:255]"[..], b"SIP/2.0/UDP h;received=2001:db8::9:255"] {
            assert_eq!(parse(value).unwrap().received(), Some("2001:db8::9:255".parse().unwrap()));
        }
    }

    #[test]
    fn the_source_overwrites_what_the_client_claims() {
        let mut via = parse(b"SIP/2.0/UDP 192.0.2.7:5060;received=198.51.100.9;rport=9;branch=z9hG4bK1").unwrap();
        via.set_source("192.0.2.7:4000".parse().unwrap());
        assert_eq!(via.to_string(), "SIP/2.0/UDP 192.0.2.7:5060;received=192.0.2.7;rport=4000;branch=z9hG4bK1");

        let mut via = parse(b"SIP/2.0/UDP 192.0.2.7:5060;received=198.51.100.9").unwrap();
        via.set_source("192.0.2.7:4000".parse().unwrap());
        assert_eq!(via.to_string(), "SIP/2.0/UDP 192.0.2.7:5060");
    }

    fn parse(value: &[u8]) -> Option<Via> {
        let mut cursor = Cursor::new(value);
        ViaRef::take(&mut cursor).filter(|_| cursor.is_done()).map(ViaRef::to_owned)
    }
}
