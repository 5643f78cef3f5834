//! Via (RFC 3261 §20.42, RFC 3581).

use std::fmt;
use std::net::IpAddr;

use super::host::Host;
use super::params::Params;
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
        todo!()
    }

    /// The whole branch.
    pub fn branch(&self) -> Option<&str> {
        self.params.get("branch")
    }

    /// Whether the branch is one of RFC 3261, unique on its own. The bare cookie is not.
    pub fn has_rfc3261_branch(&self) -> bool {
        todo!()
    }

    /// `received`, if it is an address; brackets around IPv6 are tolerated (RFC 5118 §4.5).
    pub fn received(&self) -> Option<IpAddr> {
        todo!()
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
    pub fn set_source(&mut self, source: std::net::SocketAddr) {
        todo!()
    }
}

impl ViaTransport {
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
        todo!()
    }
}
