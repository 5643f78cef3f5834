//! Where octets come from and go to.

use std::net::SocketAddr;
use std::sync::Arc;

use tandem_model::Transport;

/// A path to a peer: a local socket and a remote address, or a connection between the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Flow {
    /// The transport.
    pub transport: Transport,
    /// Our end: the address that was asked, not the wildcard that was bound.
    pub local: SocketAddr,
    /// The peer's end.
    pub remote: SocketAddr,
}

/// One message to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transmit {
    /// The way it goes. On a connection-oriented transport a live connection with this flow is reused, else one
    /// to `flow.remote` is opened.
    pub flow: Flow,
    /// The whole message. Shared with the machine that resends it.
    pub payload: Arc<[u8]>,
}
