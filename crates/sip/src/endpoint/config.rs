//! What an endpoint is told when it is made.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use super::Flow;
use crate::message::{Host, Method};

/// Which part of which process an endpoint is: written into its Call-IDs, tags, branches and Contact user, so that a
/// message finds back to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Identity {
    /// The node in the installation.
    pub node: u16,
    /// The signalling shard in the node.
    pub shard: u8,
}

impl fmt::Display for Identity {
    /// Six lower case hexadecimal digits: the node, then the shard.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}{:02x}", self.node, self.shard)
    }
}

/// What Via and Contact name in place of the local address, by the family of the address that the peer is reached at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SentBy {
    /// For peers that are reached over IPv4.
    pub v4: Option<PublicAddress>,
    /// For peers that are reached over IPv6.
    pub v6: Option<PublicAddress>,
}

impl SentBy {
    /// What to name to the peer of this flow; `None` where the local address will do.
    pub(crate) const fn on(&self, flow: &Flow) -> Option<&PublicAddress> {
        match flow.remote.ip().to_canonical() {
            IpAddr::V4(_) => self.v4.as_ref(),
            IpAddr::V6(_) => self.v6.as_ref(),
        }
    }
}

/// Where peers reach us if not at the local address (behind a NAT).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicAddress {
    /// Host, usually an address literal.
    pub host: Host,
    /// Port; without it that of the flow's local address.
    pub port: Option<u16>,
}

/// Which other addresses belong to the same peer.
///
/// The endpoint does not know trunks. It asks this where a message of a dialog or a response comes from another
/// address than the one we spoke to, and before it sends to an address that the peer named (Contact, Record-Route):
/// both would otherwise let a stranger in or turn us against a third party.
pub trait PeerPolicy: Send {
    /// Whether `other` is the same peer as `flow.remote`.
    fn is_same_peer(&self, flow: &Flow, other: SocketAddr) -> bool;
}

/// The strictest policy that works: same IP address, any port.
#[derive(Debug, Clone, Copy, Default)]
pub struct SameAddress;

impl PeerPolicy for SameAddress {
    fn is_same_peer(&self, flow: &Flow, other: SocketAddr) -> bool {
        flow.remote.ip().to_canonical() == other.ip().to_canonical()
    }
}

/// Bounds of one endpoint. What is beyond them is refused or dropped, and counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Sessions, incoming and outgoing. Beyond it an INVITE gets a stateless 503 and `invite` fails at once.
    pub sessions: usize,
    /// Server transactions. Beyond it requests are answered without state where that is possible, else dropped.
    pub server_transactions: usize,
    /// Outputs that wait in the queue while one datagram is handled. Beyond it what comes in is dropped.
    pub outputs: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { sessions: MAX_SESSIONS, server_transactions: MAX_SERVER_TRANSACTIONS, outputs: MAX_OUTPUTS }
    }
}

/// Default of [`Limits::sessions`]: at about 2 KiB each, 64 MiB.
pub const MAX_SESSIONS: usize = 32_768;

/// Default of [`Limits::server_transactions`]. Each lives up to 32 s, so this is 4,000 new ones a second, at about
/// 1 KiB each.
pub const MAX_SERVER_TRANSACTIONS: usize = 131_072;

/// Default of [`Limits::outputs`]: far above what a batch of datagrams or a tick of the timers makes. Who does not
/// drain hears nothing more.
pub const MAX_OUTPUTS: usize = 65_536;

/// What an endpoint is told when it is made.
pub struct EndpointConfig {
    /// The value of User-Agent and Server, on every message. Characters that a header cannot hold are dropped.
    pub user_agent: String,
    /// Who we are.
    pub identity: Identity,
    /// What Via and Contact say in place of the local address.
    pub sent_by: SentBy,
    /// Which addresses belong to one peer.
    pub peers: Box<dyn PeerPolicy>,
    /// Methods that become [`super::Event::Request`] for the user to answer, and are named in Allow, beside those that
    /// the endpoint handles itself (INVITE, ACK, CANCEL, BYE, OPTIONS).
    pub user_methods: Vec<Method>,
    /// Where we listen for TCP. With such a place, a request that is too large for a datagram is tried over TCP first
    /// (RFC 3261 §18.1.1).
    pub stream_listeners: Vec<SocketAddr>,
    /// Bounds.
    pub limits: Limits,
}

impl EndpointConfig {
    /// A configuration with the default limits, [`SameAddress`] and no user methods or streams.
    pub fn new(user_agent: impl Into<String>, identity: Identity) -> Self {
        Self {
            user_agent: user_agent.into(),
            identity,
            sent_by: SentBy::default(),
            peers: Box::new(SameAddress),
            user_methods: Vec::new(),
            stream_listeners: Vec::new(),
            limits: Limits::default(),
        }
    }
}

impl fmt::Debug for EndpointConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointConfig")
            .field("user_agent", &self.user_agent)
            .field("identity", &self.identity)
            .field("sent_by", &self.sent_by)
            .field("user_methods", &self.user_methods)
            .field("stream_listeners", &self.stream_listeners)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tandem_model::Transport;

    #[test]
    fn a_peer_is_told_the_address_of_its_own_family() {
        let public = |host| PublicAddress { host: Host::new(host).unwrap(), port: None };
        let sent_by = SentBy { v4: Some(public("198.51.100.1")), v6: Some(public("[2001:db8::1]")) };
        let told = |sent_by: &SentBy, remote: &str| {
            let (local, remote) = ("[::]:5060".parse().unwrap(), remote.parse().unwrap());
            let flow = Flow { transport: Transport::Udp, local, remote };
            sent_by.on(&flow).map(|public| public.host.to_string())
        };
        assert_eq!(told(&sent_by, "192.0.2.9:5060").as_deref(), Some("198.51.100.1"));
        assert_eq!(told(&sent_by, "[2001:db8::9]:5060").as_deref(), Some("[2001:db8::1]"));
        assert_eq!(told(&sent_by, "[::ffff:192.0.2.9]:5060").as_deref(), Some("198.51.100.1"));
        assert_eq!(told(&SentBy { v6: None, ..sent_by }, "[2001:db8::9]:5060"), None);
    }
}
