use super::address;
use std::fmt;
use std::net::SocketAddr;
use tandem_model::{ParseTransportError, Transport};

/// A place where SIP is heard, written `udp:0.0.0.0:5060`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SipListen {
    /// Over what.
    pub(crate) transport: Transport,
    /// Where.
    pub(crate) address: SocketAddr,
}

impl fmt::Display for SipListen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.transport, self.address)
    }
}

/// Why a text is no list of listeners.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ListenError {
    #[error("names no listener; write udp:0.0.0.0:5060")]
    Empty,
    #[error("more than {MAX_LISTENERS} listeners")]
    TooMany,
    #[error("{0:?} has no transport; write udp:{0}")]
    NoTransport(String),
    #[error(transparent)]
    Transport(#[from] ParseTransportError),
    #[error("{0}: is not built yet; listen on udp: or tcp:")]
    NotBuilt(Transport),
    #[error(transparent)]
    Address(#[from] address::SocketError),
    #[error("{0} is named twice")]
    Repeated(SipListen),
}

/// Listeners separated by commas.
pub(super) fn list(text: &str) -> Result<Vec<SipListen>, ListenError> {
    let mut listeners = Vec::new();
    for item in address::items(text) {
        let listener = one(item)?;
        // Port 0 takes another free port each time.
        if listener.address.port() != 0 && listeners.contains(&listener) {
            return Err(ListenError::Repeated(listener));
        }
        if listeners.len() == MAX_LISTENERS {
            return Err(ListenError::TooMany);
        }
        listeners.push(listener);
    }
    if listeners.is_empty() { Err(ListenError::Empty) } else { Ok(listeners) }
}

fn one(text: &str) -> Result<SipListen, ListenError> {
    let without_transport = || ListenError::NoTransport(text.to_owned());
    if text.parse::<SocketAddr>().is_ok() {
        return Err(without_transport());
    }
    let (transport, address) = text.split_once(':').ok_or_else(without_transport)?;
    let transport: Transport = transport.to_ascii_lowercase().parse()?;
    if !transport.is_supported() {
        return Err(ListenError::NotBuilt(transport));
    }
    Ok(SipListen { transport, address: address::socket(address)? })
}

/// A socket and its buffers each: more than any host has reason for.
const MAX_LISTENERS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_listeners_of_both_families() {
        let listeners = list("udp:0.0.0.0:5060, UDP:[::1]:5062,tcp:0.0.0.0:5060").unwrap();
        assert_eq!(
            listeners.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["udp:0.0.0.0:5060", "udp:[::1]:5062", "tcp:0.0.0.0:5060"]
        );
    }

    #[test]
    fn says_what_is_wrong_with_a_listener() {
        for (text, expected) in [
            ("", "names no listener"),
            ("0.0.0.0:5060", "write udp:0.0.0.0:5060"),
            ("[::]:5060", "write udp:[::]:5060"),
            ("tls:0.0.0.0:5061", "tls: is not built yet"),
            ("wss:0.0.0.0:443", "wss: is not built yet"),
            ("sctp:0.0.0.0:5060", "\"sctp\" is not a transport"),
            ("udp:0.0.0.0", "an address and a port"),
            ("udp:0.0.0.0:99999", "an address and a port"),
            ("udp:127.0.0.1:5060,udp:127.0.0.1:5060", "named twice"),
        ] {
            let error = list(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text:?}: {error}");
        }
    }
}
