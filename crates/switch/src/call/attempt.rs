use crate::config::MAX_FORWARDS;
use crate::route::{NextHop, Planned, RoutedTrunk, Urgency, dialled_number};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tandem_model::{Codec, DEFAULT_PROGRESS_TIMEOUT, DEFAULT_RTP_TIMEOUT, DialOrder, DialTarget, Reason, Transport};
use tandem_sip::endpoint::Credentials;
use tandem_sip::message::{Header, HeaderName, HeaderValue, Host, NameAddr, SipUri, Uri};

/// One far end to try: everything about the INVITE but the address it goes to, which may still have to be looked up.
#[derive(Debug, Clone)]
pub(super) struct Attempt {
    /// `None` for a call straight to a SIP address.
    pub(super) trunk: Option<Arc<RoutedTrunk>>,
    pub(super) urgency: Urgency,
    pub(super) request_uri: SipUri,
    pub(super) routes: Vec<Uri>,
    /// The host part of From: the trunk's domain; `None` for our own address, of the family by which the far end is reached.
    from_host: Option<Host>,
    /// The user part of From: what the far end sees as the caller.
    pub(super) caller_id: String,
    pub(super) headers: Vec<Header>,
    pub(super) credentials: Option<Credentials>,
    pub(super) next_hop: NextHop,
    /// How often the INVITE may be passed on: one less than that of the one that it comes from.
    pub(super) max_forwards: u8,
    pub(super) codecs: Vec<Codec>,
    pub(super) progress_timeout: Duration,
    pub(super) rtp_timeout: Option<Duration>,
    pub(super) comedia: bool,
}

/// Why an address straight to which a call should go is not called.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum NotDialable {
    /// Not a `sip:` URI; the edge lets none of these in.
    NotSip,
    /// Its transport, or its literal address, is ruled out.
    RuledOut(Reason),
}

impl Attempt {
    /// Over a trunk: the number in the trunk's domain, or a SIP address through the trunk.
    pub(super) fn over_trunk(planned: &Planned, to: &DialTarget, order: &DialOrder) -> Self {
        let entry = &planned.trunk;
        let trunk = &entry.trunk;
        let own_uri = || entry.uri().with_user(&dialled_number(to, &trunk.outbound));
        let request_uri = match to {
            DialTarget::Uri(text) => parse_sip(text).unwrap_or_else(own_uri),
            DialTarget::Number(_) | DialTarget::Emergency(_) => own_uri(),
        };
        let caller_id = order
            .from
            .clone()
            .or_else(|| trunk.outbound.caller_id.clone())
            .unwrap_or_else(|| trunk.sip_username.clone());
        let (username, password) = trunk.digest_identity();
        Self {
            routes: if entry.via_proxy { vec![loose_route(&entry.next_hop)] } else { Vec::new() },
            from_host: Some(entry.domain.clone()),
            caller_id,
            headers: headers(&[&trunk.custom_headers, &trunk.outbound.headers, &order.headers]),
            credentials: Some(Credentials { username: username.to_owned(), password: password.clone(), realm: None }),
            next_hop: entry.next_hop.clone(),
            max_forwards: MAX_FORWARDS,
            codecs: entry.codecs.clone(),
            progress_timeout: trunk.outbound.progress_timeout,
            rtp_timeout: trunk.rtp_timeout(),
            comedia: trunk.comedia(),
            trunk: Some(Arc::clone(entry)),
            urgency: Urgency::of(to, order),
            request_uri,
        }
    }

    /// Straight to a SIP address.
    pub(super) fn direct(text: &str, order: &DialOrder) -> Result<Self, NotDialable> {
        let request_uri = parse_sip(text).ok_or(NotDialable::NotSip)?;
        let next_hop = NextHop::of_uri(&request_uri, Transport::Udp);
        if !next_hop.transport.is_supported() {
            return Err(NotDialable::RuledOut(Reason::TransportUnsupported { transport: next_hop.transport }));
        }
        let caller_id = order.from.clone().unwrap_or_else(|| ANONYMOUS_CALLER.to_owned());
        Ok(Self {
            trunk: None,
            urgency: Urgency::Ordinary,
            routes: Vec::new(),
            from_host: None,
            caller_id,
            headers: headers(&[&order.headers]),
            credentials: None,
            next_hop,
            max_forwards: MAX_FORWARDS,
            codecs: Codec::DEFAULT_PREFERENCES.to_vec(),
            progress_timeout: DEFAULT_PROGRESS_TIMEOUT,
            rtp_timeout: Some(DEFAULT_RTP_TIMEOUT),
            comedia: false,
            request_uri,
        })
    }

    /// Who calls, to a far end that knows us by this address.
    pub(super) fn from(&self, own: IpAddr) -> NameAddr {
        let host = self.from_host.clone().unwrap_or_else(|| Host::from(own));
        NameAddr::new(SipUri::new(host).with_user(&self.caller_id))
    }
}

fn parse_sip(text: &str) -> Option<SipUri> {
    Uri::parse(text.as_bytes()).ok()?.as_sip().cloned()
}

fn loose_route(proxy: &NextHop) -> Uri {
    SipUri::new(proxy.host.clone()).with_port(Some(proxy.port)).with_param("lr", None).into()
}

/// Headers of configuration and order; a later one replaces an earlier one of the same name. What is no header was refused by the
/// edge, and is left out should it get here all the same.
fn headers(sources: &[&BTreeMap<String, String>]) -> Vec<Header> {
    let mut headers: Vec<Header> = Vec::new();
    for (name, value) in sources.iter().flat_map(|source| source.iter()) {
        if let (Ok(name), Ok(value)) = (HeaderName::new(name), HeaderValue::new(value)) {
            headers.retain(|header| header.name != name);
            headers.push(Header::new(name, value));
        }
    }
    headers
}

/// The user part of From when a call straight to a SIP address names no caller (RFC 3261 §20.20 suggests this word).
const ANONYMOUS_CALLER: &str = "anonymous";
