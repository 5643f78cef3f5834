use crate::text_enum::text_enum;
use crate::{CallDirection, Trunk, can_identify};
use ipnet::IpNet;
use std::net::IpAddr;

/// Addresses from which a trunk takes calls, because its configuration has them written out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceClaim {
    /// Where they are written.
    pub field: SourceField,
    /// Which they are; a single address is a range of one.
    pub range: IpNet,
}

text_enum! {
    /// The field of a trunk in which addresses are written that it takes calls from.
    pub enum SourceField, error ParseSourceFieldError("field of addresses") {
        /// The target, where there is no proxy.
        SipDomain = "sip_domain",
        /// The target.
        SipProxy = "sip_proxy",
        /// What else the peer calls from.
        AllowedIps = "allowed_ips",
    }
}

impl Trunk {
    /// Whether calls may come in over it.
    #[must_use]
    pub fn takes_calls(&self) -> bool {
        self.call_direction != CallDirection::Outbound
    }

    /// The address that requests are sent to, where it is written as one: that of `sip_proxy`, else of `sip_domain`. `None` for a name.
    #[must_use]
    pub fn target_address(&self) -> Option<IpAddr> {
        written_address(self.sip_proxy.as_deref().unwrap_or(&self.sip_domain))
    }

    /// From which addresses it takes calls, as far as they are written out. None of a trunk that takes no calls.
    #[must_use]
    pub fn source_claims(&self) -> Vec<SourceClaim> {
        if !self.takes_calls() {
            return Vec::new();
        }
        source_claims(&self.sip_domain, self.sip_proxy.as_deref(), &self.allowed_ips)
    }
}

/// What a trunk that takes calls claims by these fields. What a host name stands for it does not claim: that is for others to say.
#[must_use]
pub fn source_claims(sip_domain: &str, sip_proxy: Option<&str>, allowed_ips: &[IpNet]) -> Vec<SourceClaim> {
    let (field, next_hop) = match sip_proxy {
        Some(proxy) => (SourceField::SipProxy, proxy),
        None => (SourceField::SipDomain, sip_domain),
    };
    let target = written_address(next_hop).map(|address| SourceClaim { field, range: IpNet::from(address) });
    let ranges = allowed_ips.iter().filter(|range| can_identify(range));
    let ranges = ranges.map(|range| SourceClaim { field: SourceField::AllowedIps, range: *range });
    target.into_iter().chain(ranges).collect()
}

/// The address in a next hop that is valid: `host`, `host:port` or a `sip:` URI. An IPv4-mapped one is the IPv4 address it stands for.
fn written_address(next_hop: &str) -> Option<IpAddr> {
    let next_hop = next_hop.trim();
    let is_uri = next_hop.get(..4).is_some_and(|scheme| scheme.eq_ignore_ascii_case("sip:"));
    let rest = if is_uri { next_hop.get(4..)? } else { next_hop };
    let rest = rest.split([';', '?']).next()?;
    let rest = rest.rsplit_once('@').map_or(rest, |(_user, host)| host);
    let host = match rest.strip_prefix('[') {
        Some(bracketed) => bracketed.split_once(']')?.0,
        // More than one colon is an IPv6 address without brackets, which has no port.
        None => match rest.split_once(':') {
            Some((host, port)) if !port.contains(':') => host,
            Some(_) | None => rest,
        },
    };
    host.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_found_in_every_spelling_of_a_next_hop() {
        for (next_hop, address) in [
            ("192.0.2.10", Some("192.0.2.10")),
            ("192.0.2.10:5080", Some("192.0.2.10")),
            ("sip:192.0.2.10", Some("192.0.2.10")),
            ("SIP:192.0.2.10:5070;transport=tcp;lr", Some("192.0.2.10")),
            (" sip:edge@192.0.2.10;lr", Some("192.0.2.10")),
            ("[2001:db8::1]", Some("2001:db8::1")),
            ("sip:[2001:db8::1]:5060;lr", Some("2001:db8::1")),
            ("2001:db8::1", Some("2001:db8::1")),
            ("[::ffff:192.0.2.10]:5060", Some("192.0.2.10")),
            ("sip.example.com", None),
            ("sip:sip.example.com:5060;lr", None),
            ("sip", None),
            ("", None),
        ] {
            assert_eq!(written_address(next_hop), address.map(|text| text.parse().unwrap()), "{next_hop}");
        }
    }

    #[test]
    fn a_proxy_is_the_target_and_what_is_too_wide_claims_nothing() {
        let allowed = ["198.51.100.0/24", "0.0.0.0/0"].map(|range| range.parse::<IpNet>().unwrap());
        let claimed = |proxy: Option<&str>| {
            let claims = source_claims("192.0.2.10", proxy, &allowed);
            claims.iter().map(|claim| (claim.field, claim.range.to_string())).collect::<Vec<_>>()
        };
        let range = (SourceField::AllowedIps, "198.51.100.0/24".to_owned());
        assert_eq!(claimed(None), [(SourceField::SipDomain, "192.0.2.10/32".to_owned()), range.clone()]);
        let proxy = (SourceField::SipProxy, "192.0.2.77/32".to_owned());
        assert_eq!(claimed(Some("sip:192.0.2.77:5070;lr")), [proxy, range.clone()]);
        assert_eq!(claimed(Some("edge.example.com")), [range]);
    }
}
