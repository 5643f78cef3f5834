use crate::service::PlatformTokenSettings;
use crate::{Mailer, Outgoing};
use ipnet::IpNet;
use std::num::NonZeroU32;
use std::sync::Arc;
use tandem_model::{Money, Timestamp};

/// Reads the wall clock, so that tests can set it.
pub trait Clock: Send + Sync + 'static {
    /// This moment, in UTC.
    fn now(&self) -> Timestamp;
}

/// What the API must know of the node's configuration.
#[derive(Clone)]
pub struct ControlSettings {
    /// `TANDEM_PEER_ALLOW`: private and loopback ranges that SIP targets may name.
    pub peer_allow: Vec<IpNet>,
    /// `TANDEM_CURRENCY`: the currency of every amount, an ISO 4217 code.
    pub currency: String,
    /// `TANDEM_CREDIT_VALUE`: what one credit is worth.
    pub credit_value: Money,
    /// `TANDEM_JWT_…`: whose tokens are taken beside our own keys and sessions.
    pub platform_tokens: Option<PlatformTokenSettings>,
    /// `TANDEM_API_RATE_LIMIT`: requests a second of each key, user or account of the platform; `None` for no limit.
    pub rate_limit: Option<NonZeroU32>,
    /// `TANDEM_TRUSTED_PROXIES`: networks of proxies that are believed about whom they pass on.
    pub trusted_proxies: Vec<IpNet>,
    /// Sends mails; `None` where no mail server is named.
    pub mailer: Option<Arc<dyn Mailer>>,
    /// Sends webhooks.
    pub outgoing: Arc<dyn Outgoing>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
}
