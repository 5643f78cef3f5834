//! Routing: which trunks can take a call, in which order, and for each that cannot, why not.

mod dialled;
mod identify;
mod next_hop;
mod plan;
mod sources;
mod table;

pub use dialled::{dialled_number, matching_prefix};
pub(crate) use identify::{Identification, Invited, accounts_of, identify};
pub use next_hop::{InvalidNextHop, NextHop};
pub(crate) use plan::reason_at_this_moment;
pub use plan::{MAX_ATTEMPTS, MAX_CONSIDERED, Plan, Planned, Query, Urgency, plan};
pub(crate) use sources::Sources;
pub use table::{RouteTable, RoutedAccount, RoutedTrunk};

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;
    use std::time::Instant;
    use tandem_model::{
        Account, AccountId, CallDirection, DtmfMode, InboundRouting, Money, OutboundRouting, Provider, Secret, Tier,
        Timestamp, Trunk, TrunkHealth, TrunkId, TrunkStatus,
    };

    pub(crate) const EPOCH: Timestamp = Timestamp::from_unix_micros(0);

    pub(crate) fn account(number: u8) -> Account {
        Account {
            id: AccountId::new(EPOCH, [number; 10]),
            name: number.to_string(),
            tier: Tier::Enterprise,
            max_trunks: None,
            max_calls: None,
            created_at: EPOCH,
        }
    }

    /// A trunk that takes calls both ways, of the account of that number.
    pub(crate) fn trunk(number: u8, account: u8) -> Trunk {
        Trunk {
            id: TrunkId::new(EPOCH, [number; 10]),
            account_id: AccountId::new(EPOCH, [account; 10]),
            name: number.to_string(),
            description: None,
            provider: Provider::Custom,
            status: TrunkStatus::Active,
            sip_domain: "carrier.example.com".into(),
            sip_port: 5_060,
            sip_proxy: None,
            sip_username: "tandem".into(),
            sip_password: Secret::new("s3cret"),
            auth_username: None,
            auth_password: None,
            call_direction: CallDirection::Bidirectional,
            max_concurrent_calls: 10,
            inbound_routing: serde_json::Value::Null,
            inbound: InboundRouting::default(),
            outbound_routing: serde_json::Value::Null,
            outbound: OutboundRouting::default(),
            codec_preferences: Vec::new(),
            dtmf_mode: DtmfMode::Auto,
            cost_per_minute: Money::ZERO,
            monthly_cost: Money::ZERO,
            allowed_ips: Vec::new(),
            encryption_enabled: false,
            failover_trunk_id: None,
            custom_headers: BTreeMap::new(),
            advanced_config: serde_json::Map::new(),
            priority: 1,
            health: TrunkHealth::UNKNOWN,
            created_at: EPOCH,
            updated_at: EPOCH,
        }
    }

    /// Tests need some instant to start from; all spans are counted from it.
    #[expect(
        clippy::disallowed_methods,
        reason = "an Instant cannot be made otherwise; only differences from it are used"
    )]
    pub(crate) fn instant() -> Instant {
        Instant::now()
    }
}
