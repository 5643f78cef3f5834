//! Webhooks: where accounts want their events sent, and what is on its way there.
//!
//! Every transaction that writes deliveries of an endpoint begins with [`HOLD_ENDPOINT`], so that two nodes never look at the same
//! endpoint at once: the order of the events of a subject rests on it.

mod claim;
mod delivery;
mod endpoint;
mod replay;

pub use claim::{ClaimedDelivery, ClaimedWebhook, Claims, DeliveryEnd, DeliveryReport};
pub use delivery::{DeliveryFilter, DeliveryState, WEBHOOK_DELIVERIES_KEY, WebhookBacklog, WebhookDelivery};
pub use endpoint::{
    ChangeWebhookError, FindWebhookError, InsertWebhookError, WEBHOOK_ENDPOINTS_KEY, WebhookEndpoint, WebhookSecrets,
};
pub use replay::{REPLAYED_AT_ONCE, Replay};

/// Holds an endpoint until the transaction ends; changes nothing. `$1` is the endpoint, `$2` the account.
const HOLD_ENDPOINT: &str = "UPDATE webhook_endpoints SET failures = failures WHERE id = $1 AND account_id = $2";

/// When a delivery is due that waits for an earlier one of its subject.
const BEHIND: i64 = i64::MAX;
