use crate::family::{Family, OwnAddresses};
use crate::ports::PortPool;
use std::net::{IpAddr, SocketAddr};
use tandem_model::{AddressPolicy, Money, Transport};
use tandem_sip::endpoint::{Identity, SentBy};

/// What a switch is told when it is made.
pub struct SwitchConfig {
    /// Which part of which installation it is; stands in our Call-IDs, tags and Contact.
    pub identity: Identity,
    /// User-Agent and Server.
    pub user_agent: String,
    /// What Via and Contact say in place of the local address; needed for a family whose socket is bound to a wildcard.
    pub sent_by: SentBy,
    /// The local address of each transport and address family that calls go out by.
    pub listeners: Vec<Listener>,
    /// What SDP says to peers of each family, and From of a call straight to a SIP address. A family without one is not called.
    pub media: OwnAddresses,
    /// RTP ports whose sockets are bound, of each family that `media` has.
    pub ports: PortPool,
    /// Which private ranges may be named as targets.
    pub address_policy: AddressPolicy,
    /// What one credit is worth: 0.01 of the currency unless configured.
    pub credit_value: Money,
}

/// One bound signalling socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its transport.
    pub transport: Transport,
    /// Its address; a wildcard lets the kernel choose the source.
    pub local: SocketAddr,
}

/// How a peer is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    /// Our end of the signalling.
    pub(crate) local: SocketAddr,
    /// Of the peer's address, of our end, and of the media port that it takes.
    pub(crate) family: Family,
    /// What our SDP says there.
    pub(crate) media: IpAddr,
}

impl SwitchConfig {
    /// The way to `remote` over `transport`; `None` without a socket or a media address of its family.
    pub(crate) fn path_to(&self, transport: Transport, remote: IpAddr) -> Option<Path> {
        let remote = remote.to_canonical();
        let family = Family::of(remote);
        let listener = self.listener_for(transport, remote)?;
        Some(Path { local: listener.local, family, media: self.media.of(family)? })
    }

    /// The socket by which `remote` is reached over `transport`.
    fn listener_for(&self, transport: Transport, remote: IpAddr) -> Option<Listener> {
        let fits = |listener: &&Listener| {
            listener.transport == transport && Family::of(listener.local.ip()) == Family::of(remote)
        };
        // A loopback socket cannot reach the world, nor is the world's socket the first choice for loopback.
        let same_scope = |listener: &&Listener| {
            listener.local.ip().is_unspecified() || listener.local.ip().is_loopback() == remote.is_loopback()
        };
        let mut candidates = self.listeners.iter().filter(fits);
        candidates.clone().find(same_scope).or_else(|| candidates.next()).copied()
    }
}

/// Max-Forwards of what begins here (RFC 3261 §8.1.1.6).
pub(crate) const MAX_FORWARDS: u8 = 70;
