//! Accounts, trunks, orders and descriptions for tests.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::json;
use tandem_model::{
    Account, AccountId, CallDirection, Connect, DialOrder, DialTarget, DtmfMode, InboundRouting, Money,
    OutboundRouting, Provider, Secret, Tier, Timestamp, Trunk, TrunkHealth, TrunkId, TrunkStatus,
};
use tandem_sip::random::Randomness;

/// SplitMix64, from a seed.
#[derive(Clone)]
pub struct Seeded(
    /// Its state.
    pub u64,
);

impl Seeded {
    /// The next number.
    #[expect(clippy::should_implement_trait, reason = "it never ends")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

impl Randomness for Seeded {
    fn fill(&mut self, octets: &mut [u8]) {
        for chunk in octets.chunks_mut(8) {
            let random = self.next().to_be_bytes();
            chunk.copy_from_slice(&random[..chunk.len()]);
        }
    }
}

/// The moment at which virtual time starts.
#[expect(clippy::disallowed_methods, reason = "an Instant can only be had from the clock; it is read once")]
pub fn start() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now)
}

/// The moment that the tests' clock starts at.
pub fn start_utc() -> Timestamp {
    Timestamp::from_unix_micros(1_800_000_000_000_000)
}

/// The id of an account by its number.
pub fn account_id(number: u8) -> AccountId {
    AccountId::new(start_utc(), [number; 10])
}

/// An account by its number, that may have so many calls at once.
pub fn account(number: u8, max_calls: u32) -> Account {
    Account {
        id: account_id(number),
        name: format!("account {number}"),
        tier: Tier::Enterprise,
        max_trunks: None,
        max_calls: Some(max_calls),
        created_at: start_utc(),
    }
}

/// The id of a trunk by its number.
pub fn trunk_id(number: u8) -> TrunkId {
    TrunkId::new(start_utc(), [number; 10])
}

/// A trunk of the first account, of ten slots and with its number as its priority; a minute costs 0.06, so a second costs 1,000 micros. It is not
/// probed by itself.
pub fn trunk(number: u8, address: SocketAddr) -> Trunk {
    Trunk {
        id: trunk_id(number),
        account_id: account_id(1),
        name: format!("trunk-{number}"),
        description: None,
        provider: Provider::Custom,
        status: TrunkStatus::Active,
        sip_domain: address.ip().to_string(),
        sip_port: address.port(),
        sip_proxy: None,
        sip_username: "tandem".into(),
        sip_password: Secret::new("s3cret"),
        auth_username: None,
        auth_password: None,
        call_direction: CallDirection::Bidirectional,
        max_concurrent_calls: 10,
        inbound_routing: json!({}),
        inbound: InboundRouting::default(),
        outbound_routing: json!({}),
        outbound: OutboundRouting::default(),
        codec_preferences: Vec::new(),
        dtmf_mode: DtmfMode::Auto,
        cost_per_minute: Money::from_micros(60_000),
        monthly_cost: Money::ZERO,
        allowed_ips: Vec::new(),
        encryption_enabled: false,
        failover_trunk_id: None,
        custom_headers: BTreeMap::new(),
        advanced_config: json!({"options_interval": 0}).as_object().cloned().unwrap_or_default(),
        priority: number,
        health: TrunkHealth::UNKNOWN,
        created_at: start_utc(),
        updated_at: start_utc(),
    }
}

/// An order of the first account for a number, to hear an echo.
pub fn order(to: &str) -> DialOrder {
    DialOrder {
        account_id: account_id(1),
        call_id: None,
        asked_at: start_utc(),
        to: if to.starts_with("sip:") { DialTarget::Uri(to.into()) } else { DialTarget::Number(to.parse().unwrap()) },
        from: Some("+12025550199".into()),
        trunk_id: None,
        connect: Connect::Echo,
        ring_timeout: Duration::from_secs(60),
        max_duration: Duration::from_secs(14_400),
        headers: BTreeMap::new(),
        metadata: serde_json::Map::new(),
        conversation_id: None,
    }
}

/// Whom tests call.
pub const NUMBER: &str = "+12025550100";
/// The payload type of PCMU.
pub const PCMU: &str = "0";
/// The payload type of PCMA.
pub const PCMA: &str = "8";

/// A description with a media address, these payload types and `sendrecv`.
pub fn sdp(media: &str, formats: &str) -> String {
    sdp_with(media, formats, "sendrecv")
}

/// The same, with this direction.
pub fn sdp_with(media: &str, formats: &str, direction: &str) -> String {
    let media: SocketAddr = media.parse().unwrap();
    let network = if media.is_ipv4() { "IP4" } else { "IP6" };
    format!(
        "v=0\r\no=- 1 1 IN {network} {address}\r\ns=-\r\nc=IN {network} {address}\r\nt=0 0\r\nm=audio {port} RTP/AVP {formats}\r\na={direction}\r\n",
        address = media.ip(),
        port = media.port(),
    )
}
