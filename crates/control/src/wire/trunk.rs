use crate::wire::address::{HostText, parse_next_hop};
use crate::wire::advanced_config::read_advanced_config;
use crate::wire::fields::{Fields, Given, Invalid, Parsed, UnknownFields, string_of, text_of};
use crate::wire::headers::{HeaderPolicy, headers_of};
use crate::wire::inbound_routing::read_inbound_routing;
use crate::wire::money::money_of;
use crate::wire::outbound_routing::read_outbound_routing;
use ipnet::{IpNet, Ipv4Net};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use tandem_model::{
    CallDirection, Codec, DtmfMode, InboundRouting, Money, OutboundRouting, Provider, SHORTEST_V4_PREFIX,
    SHORTEST_V6_PREFIX, Secret, Trunk, TrunkId, TrunkStatus, can_identify,
};

/// A trunk to be made: what it must have, and the rest as changes of the defaults.
#[derive(Clone, Debug)]
pub(crate) struct NewTrunk {
    pub(crate) name: String,
    pub(crate) provider: Provider,
    pub(crate) sip_domain: String,
    pub(crate) sip_username: String,
    pub(crate) sip_password: Secret,
    pub(crate) rest: TrunkChange,
}

/// A change of a trunk: `None` leaves a field; `Some(None)` clears it.
#[derive(Clone, Debug, Default)]
pub(crate) struct TrunkChange {
    name: Option<String>,
    description: Option<Option<String>>,
    provider: Option<Provider>,
    status: Option<TrunkStatus>,
    sip_domain: Option<String>,
    sip_port: Option<u16>,
    sip_proxy: Option<Option<String>>,
    sip_username: Option<String>,
    sip_password: Option<Secret>,
    auth_username: Option<Option<String>>,
    auth_password: Option<Option<Secret>>,
    call_direction: Option<CallDirection>,
    max_concurrent_calls: Option<u32>,
    inbound_routing: Option<(Value, InboundRouting)>,
    outbound_routing: Option<(Value, OutboundRouting)>,
    codec_preferences: Option<Vec<String>>,
    dtmf_mode: Option<DtmfMode>,
    cost_per_minute: Option<Money>,
    monthly_cost: Option<Money>,
    allowed_ips: Option<Vec<IpNet>>,
    encryption_enabled: Option<bool>,
    failover_trunk_id: Option<Option<TrunkId>>,
    custom_headers: Option<BTreeMap<String, String>>,
    advanced_config: Option<Map<String, Value>>,
    priority: Option<u8>,
}

impl NewTrunk {
    /// Reads the body of `POST /trunks`.
    pub(crate) fn parse(body: Map<String, Value>) -> Result<Parsed<Self>, Invalid> {
        let mut fields = Fields::new(body, UnknownFields::Warn);
        let new = Self::read(&mut fields);
        fields.finish(new)
    }

    pub(super) fn read(fields: &mut Fields) -> Option<Self> {
        let name = fields.read("name", name_of);
        let provider = fields.choice("provider");
        let sip_domain = fields.read("sip_domain", sip_domain_of);
        let sip_username = fields.read("sip_username", user_name_of);
        let sip_password = fields.read("sip_password", password_of);
        // All are asked for before any is missed, so that every error is told at once.
        let name = fields.require("name", name);
        let provider = fields.require("provider", provider);
        let sip_domain = fields.require("sip_domain", sip_domain);
        let sip_username = fields.require("sip_username", sip_username);
        let sip_password = fields.require("sip_password", sip_password);
        let rest = TrunkChange::read_optional(fields);
        Some(Self {
            name: name?,
            provider: provider?,
            sip_domain: sip_domain?,
            sip_username: sip_username?,
            sip_password: sip_password?,
            rest,
        })
    }
}

impl TrunkChange {
    /// Reads the body of `PUT /trunks/{id}`.
    pub(crate) fn parse(body: Map<String, Value>) -> Result<Parsed<Self>, Invalid> {
        let mut fields = Fields::new(body, UnknownFields::Warn);
        let change = Self::read(&mut fields);
        fields.finish(Some(change))
    }

    pub(super) fn read(fields: &mut Fields) -> Self {
        let name = fields.read("name", name_of);
        let provider = fields.choice("provider");
        let status = fields.choice("status");
        let sip_domain = fields.read("sip_domain", sip_domain_of);
        let sip_username = fields.read("sip_username", user_name_of);
        let sip_password = fields.read("sip_password", password_of);
        Self {
            name: fields.not_null("name", name),
            provider: fields.not_null("provider", provider),
            status: fields.not_null("status", status),
            sip_domain: fields.not_null("sip_domain", sip_domain),
            sip_username: fields.not_null("sip_username", sip_username),
            sip_password: fields.not_null("sip_password", sip_password),
            ..Self::read_optional(fields)
        }
    }

    /// Reads the fields that a new trunk may leave out.
    fn read_optional(fields: &mut Fields) -> Self {
        let sip_port = fields.integer("sip_port", 1..=u64::from(u16::MAX));
        let call_direction = fields.choice("call_direction");
        let max_concurrent_calls = fields.integer("max_concurrent_calls", 1..=MAX_CONCURRENT_CALLS);
        let dtmf_mode = fields.choice("dtmf_mode");
        let cost_per_minute = fields.read("cost_per_minute", money_of);
        let monthly_cost = fields.read("monthly_cost", money_of);
        let encryption_enabled = fields.boolean("encryption_enabled");
        let priority = fields.integer("priority", 1..=MAX_PRIORITY);
        Self {
            description: fields.text("description", 0..=MAX_DESCRIPTION).nullable(),
            sip_port: fields.not_null("sip_port", sip_port).and_then(|port| u16::try_from(port).ok()),
            sip_proxy: fields.read_or_blank("sip_proxy", sip_proxy_of).nullable(),
            auth_username: fields.read_or_blank("auth_username", user_name_of).nullable(),
            auth_password: fields.read_or_blank("auth_password", password_of).nullable(),
            call_direction: fields.not_null("call_direction", call_direction),
            max_concurrent_calls: fields
                .not_null("max_concurrent_calls", max_concurrent_calls)
                .and_then(|calls| u32::try_from(calls).ok()),
            inbound_routing: read_inbound(fields),
            outbound_routing: read_outbound(fields),
            codec_preferences: fields
                .list("codec_preferences", MAX_CODECS, |name| text_of(name, &CODEC_NAME))
                .or_empty(),
            dtmf_mode: fields.not_null("dtmf_mode", dtmf_mode),
            cost_per_minute: fields.not_null("cost_per_minute", cost_per_minute),
            monthly_cost: fields.not_null("monthly_cost", monthly_cost),
            allowed_ips: fields.list("allowed_ips", MAX_ALLOWED_IPS, network_of).or_empty(),
            encryption_enabled: fields.not_null("encryption_enabled", encryption_enabled),
            failover_trunk_id: fields.choice("failover_trunk_id").nullable(),
            custom_headers: fields.read("custom_headers", |value| headers_of(value, HeaderPolicy::Trunk)).or_empty(),
            advanced_config: fields.nested("advanced_config", UnknownFields::Warn, read_advanced_config).or_empty(),
            priority: fields.not_null("priority", priority).and_then(|priority| u8::try_from(priority).ok()),
            ..Self::default()
        }
    }

    /// Whether it has anything that calls or the trunk cost by. `advanced_config` is replaced whole, and with it the billing increment.
    pub(crate) const fn names_prices(&self) -> bool {
        self.cost_per_minute.is_some() || self.monthly_cost.is_some() || self.advanced_config.is_some()
    }

    /// Makes the change.
    pub(crate) fn apply(self, trunk: &mut Trunk) {
        set(&mut trunk.name, self.name);
        set(&mut trunk.description, self.description);
        set(&mut trunk.provider, self.provider);
        set(&mut trunk.status, self.status);
        set(&mut trunk.sip_domain, self.sip_domain);
        set(&mut trunk.sip_port, self.sip_port);
        set(&mut trunk.sip_proxy, self.sip_proxy);
        set(&mut trunk.sip_username, self.sip_username);
        set(&mut trunk.sip_password, self.sip_password);
        set(&mut trunk.auth_username, self.auth_username);
        set(&mut trunk.auth_password, self.auth_password);
        set(&mut trunk.call_direction, self.call_direction);
        set(&mut trunk.max_concurrent_calls, self.max_concurrent_calls);
        if let Some((sent, meant)) = self.inbound_routing {
            trunk.inbound_routing = sent;
            trunk.inbound = meant;
        }
        if let Some((sent, meant)) = self.outbound_routing {
            trunk.outbound_routing = sent;
            trunk.outbound = meant;
        }
        set(&mut trunk.codec_preferences, self.codec_preferences);
        set(&mut trunk.dtmf_mode, self.dtmf_mode);
        set(&mut trunk.cost_per_minute, self.cost_per_minute);
        set(&mut trunk.monthly_cost, self.monthly_cost);
        set(&mut trunk.allowed_ips, self.allowed_ips);
        set(&mut trunk.encryption_enabled, self.encryption_enabled);
        set(&mut trunk.failover_trunk_id, self.failover_trunk_id);
        set(&mut trunk.custom_headers, self.custom_headers);
        set(&mut trunk.advanced_config, self.advanced_config);
        set(&mut trunk.priority, self.priority);
    }
}

/// What of a trunk's configuration this build does not do, though the configuration is right.
pub(crate) fn capability_warnings(trunk: &Trunk) -> Vec<String> {
    let mut warnings = Vec::new();
    let transport = trunk.transport();
    if !transport.is_supported() {
        warnings.push(format!(
            "calls cannot use this trunk yet: port {} means {transport}, which is not built",
            trunk.sip_port
        ));
    }
    for name in &trunk.codec_preferences {
        match Codec::parse_lenient(name) {
            Ok(codec) if codec.is_supported() => {}
            Ok(codec) => warnings.push(format!("{codec} is not built yet and is not offered")),
            Err(_) => warnings.push(format!("{name:?} is no known codec and is not offered")),
        }
    }
    if trunk.codecs().is_empty() {
        warnings.push("calls cannot use this trunk yet: none of its codecs is built; add PCMU or PCMA".to_owned());
    }
    if trunk.call_direction == CallDirection::Inbound && trunk.inbound == InboundRouting::default() {
        warnings.push("calls that come in are refused: inbound_routing has neither rules nor a default".to_owned());
    }
    // Earlier builds took them.
    for range in trunk.allowed_ips.iter().filter(|range| !can_identify(range)) {
        warnings.push(format!(
            "calls from {range} are not taken as this carrier's: the range is too wide to tell who is calling"
        ));
    }
    warnings
}

fn set<T>(field: &mut T, change: Option<T>) {
    if let Some(value) = change {
        *field = value;
    }
}

fn read_inbound(fields: &mut Fields) -> Option<(Value, InboundRouting)> {
    let sent = fields.peek("inbound_routing").cloned();
    match fields.nested("inbound_routing", UnknownFields::Warn, read_inbound_routing) {
        Given::Absent => None,
        Given::Null => Some((Value::Object(Map::new()), InboundRouting::default())),
        Given::Value(meant) => Some((sent.unwrap_or_default(), meant)),
    }
}

fn read_outbound(fields: &mut Fields) -> Option<(Value, OutboundRouting)> {
    let sent = fields.peek("outbound_routing").cloned();
    match fields.nested("outbound_routing", UnknownFields::Warn, read_outbound_routing) {
        Given::Absent => None,
        Given::Null => Some((Value::Object(Map::new()), OutboundRouting::default())),
        Given::Value(meant) => Some((sent.unwrap_or_default(), meant)),
    }
}

fn name_of(value: &Value) -> Result<String, String> {
    let name = text_of(value, &(1..=100))?;
    if name.trim().is_empty() || name.chars().any(char::is_control) {
        return Err("must not be blank or have control characters".to_owned());
    }
    Ok(name)
}

fn sip_domain_of(value: &Value) -> Result<String, String> {
    let domain = text_of(value, &(1..=255))?;
    HostText::parse(&domain).map(|_| domain)
}

fn sip_proxy_of(value: &Value) -> Result<String, String> {
    let proxy = text_of(value, &(1..=255))?;
    parse_next_hop(&proxy).map(|_| proxy)
}

/// Any name that a carrier may give out: what a SIP address cannot hold as it is, is escaped there (RFC 3261 §19.1.2).
fn user_name_of(value: &Value) -> Result<String, String> {
    let name = text_of(value, &(1..=100))?;
    if name.chars().any(char::is_control) {
        return Err("must not have control characters".to_owned());
    }
    Ok(name)
}

fn password_of(value: &Value) -> Result<Secret, String> {
    text_of(value, &(1..=255)).map(Secret::new)
}

fn network_of(value: &Value) -> Result<IpNet, String> {
    let text = string_of(value)?;
    let address = text.parse::<IpAddr>().map(IpNet::from);
    let network = address.or_else(|_| text.parse::<IpNet>());
    let network = network.map_err(|_| "must be an IP address or a range such as 192.0.2.0/24")?;
    let network = as_plain_v4(network.trunc());
    if can_identify(&network) {
        return Ok(network);
    }
    let shortest = match network {
        IpNet::V4(_) => SHORTEST_V4_PREFIX,
        IpNet::V6(_) => SHORTEST_V6_PREFIX,
    };
    Err(format!(
        "{network} is too wide to tell who is calling, and callers cannot prove by a password who they are yet; name the carrier's \
         own ranges, none wider than /{shortest}"
    ))
}

/// A range of IPv4-mapped addresses (RFC 4291 §2.5.5.2) is the IPv4 range that it stands for: callers are compared as such.
fn as_plain_v4(network: IpNet) -> IpNet {
    let IpNet::V6(mapped) = network else { return network };
    let plain = mapped.addr().to_ipv4_mapped().zip(mapped.prefix_len().checked_sub(MAPPED_PREFIX));
    plain.and_then(|(address, length)| Ipv4Net::new(address, length).ok()).map_or(network, IpNet::V4)
}

/// Bounds of the wire contract.
const MAX_CONCURRENT_CALLS: u64 = 1_000;
/// Bounds of the wire contract.
const MAX_PRIORITY: u64 = 100;
/// Bounds of the wire contract.
const MAX_DESCRIPTION: usize = 1_000;
/// Codecs of one trunk; there are not so many names.
const MAX_CODECS: usize = 32;
/// Characters of a codec's name; RTP encoding names are far shorter.
const CODEC_NAME: RangeInclusive<usize> = 1..=40;
/// Addresses of one peer; the largest carriers publish some dozens of ranges.
const MAX_ALLOWED_IPS: usize = 1_000;
/// Bits before the IPv4 address in an IPv4-mapped one.
const MAPPED_PREFIX: u8 = 96;
