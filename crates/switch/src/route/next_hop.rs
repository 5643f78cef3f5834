use tandem_model::Transport;
use tandem_sip::message::{Host, SipUri, Uri};

/// Where a request is sent: a host and a port, before the name is resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextHop {
    /// A name or an address.
    pub host: Host,
    /// Its port.
    pub port: u16,
    /// How it is reached.
    pub transport: Transport,
}

/// The text names no host that a request could be sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a host, host:port or sip: URI")]
pub struct InvalidNextHop;

impl NextHop {
    /// Reads a proxy as people write it: `host`, `host:port` or a `sip:` URI, whose `transport` parameter counts.
    ///
    /// # Errors
    /// [`InvalidNextHop`].
    pub fn parse(text: &str, transport: Transport) -> Result<Self, InvalidNextHop> {
        let text = text.trim();
        let is_uri = text.get(..4).is_some_and(|scheme| scheme.eq_ignore_ascii_case("sip:"));
        let uri = if is_uri { text.to_owned() } else { format!("sip:{text}") };
        let uri = Uri::parse(uri.as_bytes()).map_err(|_| InvalidNextHop)?;
        uri.as_sip().map(|uri| Self::of_uri(uri, transport)).ok_or(InvalidNextHop)
    }

    /// The host that a `sip:` URI leads to when nothing else says where to send it (RFC 3261 §8.1.2).
    #[must_use]
    pub fn of_uri(uri: &SipUri, default_transport: Transport) -> Self {
        let named = uri.param("transport").and_then(|name| name.to_ascii_lowercase().parse().ok());
        let transport = match named {
            Some(transport) => transport,
            None if uri.secure => Transport::Tls,
            None => default_transport,
        };
        let port = uri.port.unwrap_or(if transport == Transport::Tls { SIPS_PORT } else { SIP_PORT });
        Self { host: uri.host.clone(), port, transport }
    }
}

/// RFC 3261 §19.1.2.
pub(super) const SIP_PORT: u16 = 5060;
/// RFC 3261 §19.1.2.
const SIPS_PORT: u16 = 5061;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_proxy_as_people_write_it() {
        let proxy = NextHop::parse("127.0.0.4:5070", Transport::Udp).unwrap();
        assert_eq!((proxy.host.ip(), proxy.port), (Some("127.0.0.4".parse().unwrap()), 5070));
        let uri = NextHop::parse("sip:edge.example.com;transport=tcp;lr", Transport::Udp).unwrap();
        assert_eq!((uri.port, uri.transport), (5060, Transport::Tcp));
        assert!(NextHop::parse("not a host", Transport::Udp).is_err());
    }
}
