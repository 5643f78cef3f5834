use super::next_hop::{InvalidNextHop, NextHop, SIP_PORT};
use super::sources::Sources;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use tandem_model::{
    Account, AccountId, AddressPolicy, AddressRanges, CallDirection, Codec, NumberRoute, Rate, Reason, Trunk, TrunkId,
    TrunkStatus,
};
use tandem_sip::message::{Host, SipUri};

/// Everything that routing reads, as of one revision of the configuration. Immutable; a change is another table.
#[derive(Debug, Default)]
pub struct RouteTable {
    revision: u64,
    accounts: BTreeMap<AccountId, RoutedAccount>,
    trunks: BTreeMap<TrunkId, Arc<RoutedTrunk>>,
    sources: Sources,
    numbers: HashMap<String, NumberRoute>,
    shared_carriers: AddressRanges,
}

/// An account as routing sees it.
#[derive(Debug)]
pub struct RoutedAccount {
    /// Concurrent calls.
    pub max_calls: u32,
    /// Its trunks by priority, then by id.
    pub trunks: Vec<Arc<RoutedTrunk>>,
}

/// A trunk as routing sees it: what can be computed once is.
#[derive(Debug)]
pub struct RoutedTrunk {
    /// As configured. Shared with who shows it.
    pub trunk: Arc<Trunk>,
    /// Host of the Request-URI.
    pub domain: Host,
    /// Where requests are sent: `sip_proxy`, else the domain.
    pub next_hop: NextHop,
    /// Whether `next_hop` is a proxy, named by a Route header.
    pub via_proxy: bool,
    /// What is offered, in order.
    pub codecs: Vec<Codec>,
    /// What a minute costs.
    pub rate: Rate,
}

impl RoutedTrunk {
    /// Prepares a trunk for routing.
    ///
    /// # Errors
    /// [`InvalidNextHop`] when its domain or proxy is no host; the edge lets no such trunk in.
    pub fn new(trunk: Trunk) -> Result<Self, InvalidNextHop> {
        let transport = trunk.transport();
        let domain = Host::new(&bracketed(&trunk.sip_domain)).map_err(|_| InvalidNextHop)?;
        let next_hop = match &trunk.sip_proxy {
            Some(proxy) => NextHop::parse(proxy, transport)?,
            None => NextHop { host: domain.clone(), port: trunk.sip_port, transport },
        };
        Ok(Self {
            via_proxy: trunk.sip_proxy.is_some(),
            codecs: trunk.codecs(),
            rate: Rate { per_minute: trunk.cost_per_minute, increment_seconds: trunk.billing_increment_seconds() },
            domain,
            next_hop,
            trunk: Arc::new(trunk),
        })
    }

    /// The trunk itself: its domain, and its port where that is not SIP's own.
    pub(crate) fn uri(&self) -> SipUri {
        let port = (self.trunk.sip_port != SIP_PORT).then_some(self.trunk.sip_port);
        SipUri::new(self.domain.clone()).with_port(port)
    }

    /// Why no call can go out over the trunk as it is configured, whatever the moment. `None` when one can.
    #[must_use]
    pub fn unroutable_reason(&self, policy: &AddressPolicy) -> Option<Reason> {
        if self.trunk.status != TrunkStatus::Active {
            return Some(Reason::TrunkNotActive { status: self.trunk.status });
        }
        if self.trunk.call_direction == CallDirection::Inbound {
            return Some(Reason::InboundOnly);
        }
        if !self.next_hop.transport.is_supported() {
            return Some(Reason::TransportUnsupported { transport: self.next_hop.transport });
        }
        if self.codecs.is_empty() {
            return Some(Reason::NoUsableCodec);
        }
        let address = self.next_hop.host.ip()?;
        (!policy.permits(address)).then_some(Reason::PeerNotAllowed { address })
    }
}

/// An IPv6 address may be written with or without brackets in the configuration; on the wire it has them.
fn bracketed(host: &str) -> String {
    match host.parse::<std::net::Ipv6Addr>() {
        Ok(address) => format!("[{address}]"),
        Err(_) => host.to_owned(),
    }
}

impl RouteTable {
    /// A table of these accounts and trunks. Trunks that name no host are left out and returned beside it.
    #[must_use]
    pub fn new(revision: u64, accounts: &[Account], trunks: Vec<Trunk>) -> (Self, Vec<TrunkId>) {
        let routed = |account: &Account| {
            (account.id, RoutedAccount { max_calls: account.limits().max_calls, trunks: Vec::new() })
        };
        let accounts = accounts.iter().map(routed).collect();
        let mut table = Self { revision, accounts, ..Self::default() };
        let mut unusable = Vec::new();
        for trunk in trunks {
            let (id, account_id) = (trunk.id, trunk.account_id);
            match (RoutedTrunk::new(trunk), table.accounts.get_mut(&account_id)) {
                (Ok(trunk), Some(account)) => {
                    let trunk = Arc::new(trunk);
                    account.trunks.push(Arc::clone(&trunk));
                    table.sources.add_trunk(&trunk);
                    table.trunks.insert(id, trunk);
                }
                (Err(InvalidNextHop), _) | (Ok(_), None) => unusable.push(id),
            }
        }
        for account in table.accounts.values_mut() {
            account.trunks.sort_by_key(|entry| (entry.trunk.priority, entry.trunk.id));
        }
        (table, unusable)
    }

    /// The same with the numbers of accounts.
    #[must_use]
    pub fn with_numbers(self, numbers: impl IntoIterator<Item = NumberRoute>) -> Self {
        let numbers = numbers.into_iter().map(|route| (route.number.as_str().to_owned(), route)).collect();
        Self { numbers, ..self }
    }

    /// The same with the addresses from which calls for several accounts come. From every other one they are one account's.
    #[must_use]
    pub fn with_shared_carriers(self, shared_carriers: AddressRanges) -> Self {
        Self { shared_carriers, ..self }
    }

    /// Whether calls for several accounts may come from that address.
    pub(crate) fn is_shared(&self, source: IpAddr) -> bool {
        self.shared_carriers.contains(source)
    }

    /// The number of this trunk's account that is called by this trunk; written with `+` and country code.
    #[must_use]
    pub fn number(&self, trunk: &Trunk, called: &str) -> Option<&NumberRoute> {
        let route = self.numbers.get(called)?;
        let is_by_it = route.trunk_id.is_none_or(|only| only == trunk.id);
        (route.account_id == trunk.account_id && is_by_it).then_some(route)
    }

    /// Whether it is a number that this account has put down, whichever of its trunks it is called by.
    pub(crate) fn has_number(&self, account: AccountId, called: &str) -> bool {
        self.numbers.get(called).is_some_and(|route| route.account_id == account)
    }

    /// Which state of the configuration it is.
    #[must_use]
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    /// An account.
    #[must_use]
    pub fn account(&self, id: AccountId) -> Option<&RoutedAccount> {
        self.accounts.get(&id)
    }

    /// All accounts, in no order.
    pub fn accounts(&self) -> impl Iterator<Item = (AccountId, &RoutedAccount)> {
        self.accounts.iter().map(|(id, account)| (*id, account))
    }

    /// From which addresses trunks may call, as far as they are written as addresses.
    pub(crate) const fn sources(&self) -> &Sources {
        &self.sources
    }

    /// All trunks, by id.
    pub fn trunks(&self) -> impl Iterator<Item = &RoutedTrunk> + Clone {
        self.trunks.values().map(Arc::as_ref)
    }

    /// A trunk.
    #[must_use]
    pub fn trunk(&self, id: TrunkId) -> Option<&Arc<RoutedTrunk>> {
        self.trunks.get(&id)
    }
}
