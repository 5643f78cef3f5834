use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use tandem_model::Transport;

/// A host as SIP writes it (RFC 3261 §25.1): a name, an IPv4 address, or an IPv6 address in brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HostText {
    /// A name that must be resolved.
    Name,
    /// An address.
    Address(IpAddr),
}

impl HostText {
    /// Checks a host without port.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if let Some(inner) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            let address: Ipv6Addr = inner.parse().map_err(|_| format!("{inner:?} is no IPv6 address"))?;
            return Ok(Self::Address(address.into()));
        }
        if let Ok(address) = text.parse::<Ipv4Addr>() {
            return Ok(Self::Address(address.into()));
        }
        if text.parse::<Ipv6Addr>().is_ok() {
            return Err(format!("an IPv6 address is written in brackets, as [{text}]"));
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        let labels_are_right = name.split('.').all(is_label);
        // The last label of a name begins with a letter, so that 127.1 or 2130706433 are no names (RFC 3261 §25.1).
        let last_is_right =
            name.rsplit('.').next().is_some_and(|label| label.starts_with(|c: char| c.is_ascii_alphabetic()));
        if labels_are_right && last_is_right && name.len() <= MAX_NAME {
            Ok(Self::Name)
        } else {
            Err("must be a host name or an IP address, as sip.example.com, without scheme and port".to_owned())
        }
    }
}

/// The host of `host[:port]`, checked with its port.
pub(crate) fn parse_host_port(text: &str) -> Result<HostText, String> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !text.ends_with(']') && (text.starts_with('[') || !host.contains(':')) => {
            (host, Some(port))
        }
        Some(_) | None => (text, None),
    };
    if let Some(port) = port
        && (!port.bytes().all(|byte| byte.is_ascii_digit()) || !port.parse::<u16>().is_ok_and(|port| port > 0))
    {
        return Err("the port must be a number from 1 to 65535".to_owned());
    }
    HostText::parse(host)
}

/// Checks a next hop: `host[:port]` or a `sip:` URI without user, whose `transport` may be `udp` or `tcp`.
pub(crate) fn parse_next_hop(text: &str) -> Result<HostText, String> {
    let Some((scheme, rest)) = text.split_once(':').filter(|(scheme, _)| is_scheme(scheme)) else {
        return parse_host_port(text);
    };
    check_scheme(scheme)?;
    let (address, parameters) = rest.split_once(';').unwrap_or((rest, ""));
    check_parameters(parameters)?;
    if address.contains('@') {
        return Err("a next hop has no user part".to_owned());
    }
    parse_host_port(address)
}

/// Checks a `sip:` URI that is to be called, as `sip:user@host:port`.
pub(crate) fn check_sip_uri(text: &str) -> Result<(), String> {
    if text.len() > MAX_URI {
        return Err(format!("must have at most {MAX_URI} characters"));
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic())
        || text.contains(['<', '>', '"', '\\', '^', '`', '{', '|', '}'])
    {
        return Err("a sip: URI has no spaces, control characters, quotes, brackets or letters beyond ASCII".to_owned());
    }
    let (scheme, rest) = text.split_once(':').ok_or_else(|| "must be a sip: URI, as sip:user@host".to_owned())?;
    check_scheme(scheme)?;
    if rest.contains('?') {
        return Err("headers in the URI are not taken; use headers".to_owned());
    }
    let (user, address) = match rest.rsplit_once('@') {
        Some((user, address)) => (Some(user), address),
        None => (None, rest),
    };
    if let Some(user) = user {
        if user.is_empty() || user.contains('@') {
            return Err("the user part before @ is empty or has an @ that is not written as %40".to_owned());
        }
        if user.contains(':') {
            return Err("passwords in the URI are not taken; use a trunk with its credentials".to_owned());
        }
        check_escapes(user)?;
    }
    let (address, parameters) = address.split_once(';').unwrap_or((address, ""));
    check_parameters(parameters)?;
    parse_host_port(address).map(drop)
}

fn is_label(label: &str) -> bool {
    // An underscore is no host name's, but DNS has it and carriers use it.
    let inside = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=MAX_LABEL).contains(&label.len())
        && label.bytes().all(inside)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

fn is_scheme(text: &str) -> bool {
    text.eq_ignore_ascii_case("sip") || text.eq_ignore_ascii_case("sips") || text.eq_ignore_ascii_case("tel")
}

fn check_scheme(scheme: &str) -> Result<(), String> {
    if scheme.eq_ignore_ascii_case("sip") {
        Ok(())
    } else if scheme.eq_ignore_ascii_case("sips") {
        Err("sips: needs TLS, which is not built yet; use sip:".to_owned())
    } else {
        Err("must be a sip: URI, as sip:user@host".to_owned())
    }
}

fn check_parameters(parameters: &str) -> Result<(), String> {
    for parameter in parameters.split(';').filter(|parameter| !parameter.is_empty()) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        // RFC 3261 §25.1 paramchar.
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.!~*'()[]/:&+$%".contains(&byte);
        if name.is_empty() || !parameter.bytes().all(|byte| allowed(byte) || byte == b'=') {
            return Err(format!("the URI parameter {parameter:?} is malformed"));
        }
        check_escapes(parameter)?;
        let is_built = || value.to_ascii_lowercase().parse().is_ok_and(Transport::is_supported);
        if name.eq_ignore_ascii_case("transport") && !is_built() {
            return Err(format!("transport={value} is not built yet; this build speaks udp and tcp"));
        }
    }
    Ok(())
}

fn check_escapes(text: &str) -> Result<(), String> {
    let mut parts = text.split('%');
    parts.next();
    for part in parts {
        let hex = part.as_bytes().get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match hex.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) if !byte.is_ascii_control() => {}
            Some(_) => return Err("escaped control characters are not taken".to_owned()),
            None => return Err("a % is followed by two hexadecimal digits".to_owned()),
        }
    }
    Ok(())
}

/// RFC 1035 §2.3.4.
const MAX_LABEL: usize = 63;
/// RFC 1035 §2.3.4, without the root's dot.
const MAX_NAME: usize = 253;
/// Longest URI that is called: what `to_uri` of a call log holds.
const MAX_URI: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_hosts_from_other_texts() {
        for right in
            ["sip.example.com", "localhost", "trunk-1.carrier.net.", "192.0.2.1", "[2001:db8::1]", "_x.example.com"]
        {
            assert!(HostText::parse(right).is_ok(), "{right}");
        }
        for wrong in [
            "",
            "127.1",
            "2130706433",
            "0x7f.1",
            "sip:host",
            "host:5060",
            "a b",
            "a..b",
            "-a.com",
            "::1",
            "ex\r\nample.com",
            "é.com",
            "[::1",
        ] {
            assert!(HostText::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn takes_next_hops_as_people_write_them() {
        for right in [
            "edge.example.com",
            "edge.example.com:5080",
            "192.0.2.1:5060",
            "sip:edge.example.com;lr",
            "[2001:db8::1]:5060",
            "sip:edge:5060;transport=UDP",
            "sip:edge;transport=tcp",
        ] {
            assert!(parse_next_hop(right).is_ok(), "{right}");
        }
        for wrong in [
            "edge:0",
            "edge:70000",
            "edge:",
            "sips:edge",
            "sip:edge;transport=tls",
            "sip:edge;transport",
            "sip:user@edge",
            "http://edge",
            "edge:+5060",
            "",
        ] {
            assert!(parse_next_hop(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn checks_uris_that_are_called() {
        for right in
            ["sip:bob@example.com", "SIP:127.0.0.3:5080", "sip:+1202@10.0.0.1;transport=udp", "sip:a%20b@[::1]:5060"]
        {
            assert_eq!(check_sip_uri(right), Ok(()), "{right}");
        }
        let long = format!("sip:{}@example.com", "a".repeat(250));
        for wrong in [
            "tel:+12025550100",
            "sips:bob@example.com",
            "sip:",
            "sip:@host",
            "sip:bob@",
            "sip:bob@example.com?X=1",
            "sip:bob:pw@host",
            "sip:bob@host\r\nX: y",
            "sip:b b@host",
            "sip:bob@host;transport=tls",
            "sip:a%0db@host",
            "sip:a%4@host",
            "bob",
            &long,
        ] {
            assert!(check_sip_uri(wrong).is_err(), "{wrong}");
        }
    }
}
