//! What proxies say of the client of a request: `Forwarded` (RFC 7239) and `X-Forwarded-For`.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::sync::Arc;

/// Proxies that are believed about whom they pass on, by their networks.
#[derive(Clone, Debug)]
pub(crate) struct TrustedProxies(Arc<[IpNet]>);

/// A header says nothing that can be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Unusable;

impl TrustedProxies {
    pub(crate) const fn new(networks: Arc<[IpNet]>) -> Self {
        Self(networks)
    }

    /// The client of a request that came from `peer` with these headers.
    ///
    /// A proxy adds the one it heard from at the right, so the last address that is no trusted proxy is the client: what stands left of it
    /// may be anybody's invention. When all are trusted, it is the first. Whatever cannot be relied on leaves the peer: headers of a
    /// stranger, one that cannot be read, a hop that hides who it heard from (`unknown`, `_hidden`), and two headers that disagree, as one
    /// of them may have come from the client through a proxy that knows only the other.
    pub(crate) fn client_of(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let peer = peer.to_canonical();
        if !self.trusts(peer) {
            return peer;
        }
        let said = [(header::FORWARDED, forwarded as Reader), (X_FORWARDED_FOR, x_forwarded_for as Reader)];
        let mut clients = said
            .iter()
            .filter(|(name, _)| headers.contains_key(name))
            .map(|(name, read)| self.nearest_stranger(headers, name, *read));
        match (clients.next(), clients.next()) {
            (Some(Ok(client)), None) => client,
            (Some(Ok(client)), Some(other)) if other == Ok(client) => client,
            (Some(Ok(_) | Err(Unusable)), Some(_) | None) | (None, _) => peer,
        }
    }

    /// Goes through a header from right to left, until there is an address that is no trusted proxy.
    fn nearest_stranger(&self, headers: &HeaderMap, name: &HeaderName, read: Reader) -> Result<IpAddr, Unusable> {
        // Several lines are one list (RFC 9110 §5.3).
        let lines: Vec<&HeaderValue> = headers.get_all(name).iter().collect();
        let mut furthest = None;
        let mut hops = 0;
        for line in lines.into_iter().rev() {
            let line = line.to_str().map_err(|_| Unusable)?;
            if line.len() > MAX_LINE {
                return Err(Unusable);
            }
            for node in read(line)?.into_iter().rev() {
                let address = address_of(node?)?;
                hops += 1;
                if !self.trusts(address) {
                    return Ok(address);
                }
                if hops == MAX_HOPS {
                    return Err(Unusable);
                }
                furthest = Some(address);
            }
        }
        furthest.ok_or(Unusable)
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// Gives what each hop of a line says of the one before it. A line that cannot be cut into hops is unusable as a whole; what is wrong with
/// one hop does not matter to those right of it.
type Reader = fn(&str) -> Result<Vec<Result<&str, Unusable>>, Unusable>;

/// `for` of each element of a line of `Forwarded`, without its quotes.
fn forwarded(line: &str) -> Result<Vec<Result<&str, Unusable>>, Unusable> {
    let mut nodes = Vec::new();
    for element in cut(line, ',')? {
        if element.is_empty() {
            continue;
        }
        let mut node = Err(Unusable);
        let mut is_told = false;
        for pair in cut(element, ';')?.into_iter().filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').ok_or(Unusable)?;
            if name.eq_ignore_ascii_case("for") {
                // A parameter stands once in an element (RFC 7239 §4).
                node = if is_told { Err(Unusable) } else { unquoted(value) };
                is_told = true;
            }
        }
        nodes.push(node);
    }
    Ok(nodes)
}

/// Each element of a line of `X-Forwarded-For`.
fn x_forwarded_for(line: &str) -> Result<Vec<Result<&str, Unusable>>, Unusable> {
    Ok(line.split(',').map(str::trim).filter(|node| !node.is_empty()).map(Ok).collect())
}

/// Cuts at a separator that stands outside quoted strings, and trims.
fn cut(text: &str, separator: char) -> Result<Vec<&str>, Unusable> {
    let mut parts = Vec::new();
    let (mut start, mut is_quoted, mut is_escaped) = (0, false, false);
    for (at, character) in text.char_indices() {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            _ if character == separator && !is_quoted => {
                parts.push(text.get(start..at).ok_or(Unusable)?.trim());
                start = at + character.len_utf8();
            }
            _ => {}
        }
    }
    if is_quoted {
        return Err(Unusable);
    }
    parts.push(text.get(start..).ok_or(Unusable)?.trim());
    Ok(parts)
}

/// A value without its quotes. No address needs an escape.
fn unquoted(value: &str) -> Result<&str, Unusable> {
    let bare = match value.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"').ok_or(Unusable)?,
        None => value,
    };
    if bare.contains(['"', '\\']) { Err(Unusable) } else { Ok(bare) }
}

/// The address of a node: alone, or with a port (RFC 7239 §6), which may be hidden.
fn address_of(node: &str) -> Result<IpAddr, Unusable> {
    let address = match node.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']').ok_or(Unusable)?;
            if !(port.is_empty() || port.strip_prefix(':').is_some_and(is_port)) {
                return Err(Unusable);
            }
            IpAddr::V6(Ipv6Addr::from_str(address).map_err(|_| Unusable)?)
        }
        // IPv6 without brackets is what most proxies write into X-Forwarded-For.
        None => match (IpAddr::from_str(node), node.split_once(':')) {
            (Ok(address), _) => address,
            (Err(_), Some((address, port))) if is_port(port) => {
                IpAddr::V4(Ipv4Addr::from_str(address).map_err(|_| Unusable)?)
            }
            (Err(_), _) => return Err(Unusable),
        },
    };
    // What no host sends from is no client.
    let address = address.to_canonical();
    if address.is_unspecified() || address.is_multicast() { Err(Unusable) } else { Ok(address) }
}

/// A number, or an obfuscated one, which begins with an underscore.
fn is_port(port: &str) -> bool {
    let is_hidden = |name: &str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    let is_number = (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit());
    is_number || port.strip_prefix('_').is_some_and(is_hidden)
}

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// Longest line that is looked at: sixty times what a chain of three proxies writes.
const MAX_LINE: usize = 8_192;
/// Trusted proxies that a request may have come through; real chains have three.
const MAX_HOPS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    /// The client of a request from this peer, where 10.0.0.0/8, 192.0.2.7 and 2001:db8:a::/48 are proxies.
    fn client(peer: &str, headers: &[(&'static str, &str)]) -> String {
        let networks = ["10.0.0.0/8", "192.0.2.7/32", "2001:db8:a::/48"];
        let proxies = TrustedProxies::new(networks.map(|network| network.parse().unwrap()).into());
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        proxies.client_of(peer.parse().unwrap(), &map).to_string()
    }

    fn by(header: &'static str, value: &str) -> String {
        client("10.0.0.1", &[(header, value)])
    }

    const XFF: &str = "x-forwarded-for";
    const FWD: &str = "forwarded";
    const PEER: &str = "10.0.0.1";

    #[test]
    fn a_stranger_is_not_believed() {
        assert_eq!(client("203.0.113.5", &[(XFF, "198.51.100.1")]), "203.0.113.5");
        assert_eq!(client("203.0.113.5", &[(FWD, "for=198.51.100.1")]), "203.0.113.5");
        assert_eq!(client("192.0.2.8", &[(XFF, "198.51.100.1")]), "192.0.2.8", "the neighbour of a proxy is none");
        assert_eq!(client("::ffff:203.0.113.5", &[]), "203.0.113.5");
    }

    #[test]
    fn without_a_proxy_nobody_is_believed() {
        let mut headers = HeaderMap::new();
        headers.insert(XFF, HeaderValue::from_static("198.51.100.1"));
        let loopback = "127.0.0.1".parse().unwrap();
        assert_eq!(TrustedProxies::new(Arc::new([])).client_of(loopback, &headers), loopback);
    }

    #[test]
    fn the_rightmost_address_that_is_no_proxy_is_the_client() {
        assert_eq!(by(XFF, "198.51.100.1"), "198.51.100.1");
        assert_eq!(by(XFF, "198.51.100.1, 10.0.0.9,192.0.2.7"), "198.51.100.1");
        assert_eq!(
            by(XFF, "127.0.0.1, 1.1.1.1, 198.51.100.1, 10.0.0.9"),
            "198.51.100.1",
            "what is left of it is invented"
        );
        assert_eq!(by(FWD, "for=1.1.1.1, for=198.51.100.1;proto=https;by=10.0.0.2, For=10.0.0.9"), "198.51.100.1");
        assert_eq!(client("192.0.2.7", &[(XFF, "198.51.100.1")]), "198.51.100.1");
        assert_eq!(
            client("::ffff:10.0.0.1", &[(XFF, "198.51.100.1")]),
            "198.51.100.1",
            "as IPv4 comes to a socket of IPv6"
        );
    }

    #[test]
    fn among_proxies_alone_the_first_is_the_client() {
        assert_eq!(by(XFF, "10.0.0.3, 10.0.0.2"), "10.0.0.3");
        assert_eq!(by(FWD, "for=192.0.2.7, for=10.0.0.2"), "192.0.2.7");
    }

    #[test]
    fn several_lines_are_one_list() {
        assert_eq!(client(PEER, &[(XFF, "1.1.1.1"), (XFF, "198.51.100.1"), (XFF, "10.0.0.9")]), "198.51.100.1");
        assert_eq!(client(PEER, &[(FWD, "for=1.1.1.1"), (FWD, "for=198.51.100.1, for=10.0.0.9")]), "198.51.100.1");
        assert_eq!(
            client(PEER, &[(FWD, "for=\"broken"), (FWD, "for=198.51.100.1")]),
            "198.51.100.1",
            "the client's own line"
        );
    }

    #[test]
    fn addresses_are_of_both_families_and_may_have_ports() {
        for (value, expected) in [
            ("198.51.100.1:4711", "198.51.100.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("::ffff:198.51.100.1", "198.51.100.1"),
            ("2001:db8::1, 2001:db8:a::2", "2001:db8::1"),
            (" , 198.51.100.1 ,, ", "198.51.100.1"),
        ] {
            assert_eq!(by(XFF, value), expected, "{value}");
        }
        for (value, expected) in [
            (r#"for="198.51.100.1:4711""#, "198.51.100.1"),
            (r#"for="198.51.100.1:_hidden""#, "198.51.100.1"),
            (r#"for="[2001:db8::1]""#, "2001:db8::1"),
            (r#"proto=http ; FOR="[2001:db8::1]:4711""#, "2001:db8::1"),
            (r#"for="[2001:db8:cafe::17]";by="_a, for=1.1.1.1""#, "2001:db8:cafe::17"),
            ("for=198.51.100.1;", "198.51.100.1"),
        ] {
            assert_eq!(by(FWD, value), expected, "{value}");
        }
    }

    #[test]
    fn what_tells_no_address_leaves_the_peer() {
        for value in [
            "",
            ",",
            "unknown",
            "_hidden",
            "198.51.100",
            "198.51.100.1:",
            "198.51.100.1:x",
            "198.51.100.1:123456",
            "[2001:db8::1",
            "[198.51.100.1]",
            "[2001:db8::1]4711",
            "0.0.0.0",
            "224.0.0.1",
            "::",
            "localhost",
            "1.1.1.1, unknown, 10.0.0.9",
            "\u{e9}",
        ] {
            assert_eq!(by(XFF, value), PEER, "{value}");
        }
        for value in [
            "",
            "for=unknown",
            "for=_hidden",
            "for=1.1.1.1, for=_hidden, for=10.0.0.9",
            "proto=https",
            "for=1.1.1.1;for=198.51.100.1",
            "for",
            "for=1.1.1.1, nonsense, for=10.0.0.9",
            r#"for="1.1.1.1"#,
            r#"for="1.1\.1.1""#,
            r#"for=1.1.1.1", for="10.0.0.9""#,
            r#"for=1.1.1.1, for="x, for="[2001:db8::1]""#,
            "for=1.1.1.1, by=10.0.0.9",
            "\u{e9}",
        ] {
            assert_eq!(by(FWD, value), PEER, "{value}");
        }
    }

    #[test]
    fn a_client_cannot_hide_what_the_proxy_has_added() {
        assert_eq!(by(XFF, "nonsense \"\\, 198.51.100.1"), "198.51.100.1");
        assert_eq!(by(FWD, "for=_hidden, for=198.51.100.1"), "198.51.100.1");
    }

    #[test]
    fn two_headers_count_when_they_agree() {
        assert_eq!(client(PEER, &[(XFF, "198.51.100.1"), (FWD, "for=198.51.100.1")]), "198.51.100.1");
        let from_the_client = (FWD, "for=1.1.1.1");
        assert_eq!(
            client(PEER, &[(XFF, "198.51.100.1"), from_the_client]),
            PEER,
            "the proxy passes on what it does not know"
        );
        assert_eq!(client(PEER, &[(XFF, "198.51.100.1"), (FWD, "for=unknown")]), PEER);
        assert_eq!(client(PEER, &[(XFF, "unknown"), (FWD, "for=unknown")]), PEER);
    }

    #[test]
    fn chains_and_lines_have_a_limit() {
        let chain = |hops: usize| vec!["10.0.0.2"; hops].join(",");
        assert_eq!(by(XFF, &format!("198.51.100.1,{}", chain(MAX_HOPS - 1))), "198.51.100.1");
        assert_eq!(by(XFF, &format!("198.51.100.1,{}", chain(MAX_HOPS))), PEER);
        assert_eq!(by(XFF, &format!("{}198.51.100.1", " ".repeat(MAX_LINE))), PEER);
    }
}
