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
    use crate::route::RoutedTrunk;
    use tandem_model::Trunk;

    #[test]
    fn reads_a_proxy_as_people_write_it() {
        let proxy = NextHop::parse("127.0.0.4:5070", Transport::Udp).unwrap();
        assert_eq!((proxy.host.ip(), proxy.port), (Some("127.0.0.4".parse().unwrap()), 5070));
        let uri = NextHop::parse("sip:edge.example.com;transport=tcp;lr", Transport::Udp).unwrap();
        assert_eq!((uri.port, uri.transport), (5060, Transport::Tcp));
        assert!(NextHop::parse("not a host", Transport::Udp).is_err());
    }

    #[test]
    fn the_address_that_a_trunk_claims_is_the_one_that_it_calls() {
        for proxy in [
            "192.0.2.10",
            "192.0.2.10:5070",
            "sip:192.0.2.10:5070;transport=tcp;lr",
            "SIP:192.0.2.10;lr",
            "[2001:db8::1]:5070",
            "sip:[2001:db8::1];lr",
            "[::ffff:192.0.2.10]:5070",
            "sip.example.com:5070",
            "sip:sip.example.com;lr",
        ] {
            let trunk = Trunk { sip_proxy: Some(proxy.to_owned()), ..crate::route::tests::trunk(1, 1) };
            let called = NextHop::parse(proxy, Transport::Udp).unwrap().host.ip();
            assert_eq!(trunk.target_address(), called.map(|address| address.to_canonical()), "{proxy}");
        }
        for domain in ["192.0.2.10", "[2001:db8::1]", "2001:db8::1", "sip.example.com"] {
            let trunk = Trunk { sip_domain: domain.to_owned(), ..crate::route::tests::trunk(1, 1) };
            let called = RoutedTrunk::new(trunk.clone()).unwrap().next_hop.host.ip();
            assert_eq!(trunk.target_address(), called, "{domain}");
        }
    }
}
