use super::{BEHIND, HOLD_ENDPOINT};
use crate::audit::ActTransaction;
use crate::pool::on_pool;
use crate::{Act, Change, FindWebhookError, Store};
use serde_json::json;
use tandem_model::{AccountId, Timestamp, WebhookDeliveryId, WebhookEndpointId};

impl Store {
    /// Puts deliveries in the queue as if they were new: this one, or all of events that happened at `since` or later, at most
    /// [`REPLAYED_AT_ONCE`], the oldest first. Those that wait for another attempt need not wait any longer; those that are under way stay
    /// as they are. Those of a subject keep their order. Gives how many.
    ///
    /// # Errors
    /// [`FindWebhookError`].
    pub async fn replay_webhook_deliveries(
        &self,
        act: &Act,
        account: AccountId,
        endpoint: WebhookEndpointId,
        which: Replay,
        give_up_at: Timestamp,
    ) -> Result<u64, FindWebhookError> {
        let (one, since) = match which {
            Replay::One(delivery) => (Some(delivery.as_uuid()), i64::MIN),
            Replay::Since(since) => (None, since.unix_micros()),
        };
        on_pool!(self, pools => {
            let mut transaction = pools.begin().await?;
            let held =
                sqlx::query(HOLD_ENDPOINT).bind(endpoint.as_uuid()).bind(account.as_uuid()).execute(&mut *transaction).await?;
            if held.rows_affected() == 0 {
                return Err(FindWebhookError::NotFound);
            }
            if let Some(delivery) = one {
                let known = sqlx::query("SELECT 1 FROM webhook_deliveries WHERE id = $1 AND endpoint_id = $2")
                    .bind(delivery)
                    .bind(endpoint.as_uuid())
                    .fetch_optional(&mut *transaction)
                    .await?;
                if known.is_none() {
                    return Err(FindWebhookError::NotFound);
                }
            }
            let replayed = sqlx::query(
                "UPDATE webhook_deliveries SET state = 'pending', attempts = 0, due_at = $5, give_up_at = $6, finished_at = NULL
                 WHERE id IN (SELECT webhook_deliveries.id FROM webhook_deliveries
                     JOIN events ON events.account_id = webhook_deliveries.account_id
                         AND events.sequence = webhook_deliveries.sequence
                     WHERE webhook_deliveries.endpoint_id = $1 AND webhook_deliveries.account_id = $2
                         AND (webhook_deliveries.state <> 'pending' OR webhook_deliveries.claimed_until <= $8)
                         AND ($3 IS NULL OR webhook_deliveries.id = $3) AND events.at >= $4
                     ORDER BY webhook_deliveries.sequence LIMIT $7)",
            )
            .bind(endpoint.as_uuid())
            .bind(account.as_uuid())
            .bind(one)
            .bind(since)
            .bind(BEHIND)
            .bind(give_up_at.unix_micros())
            .bind(REPLAYED_AT_ONCE)
            .bind(act.at.unix_micros())
            .execute(&mut *transaction)
            .await?
            .rows_affected();
            // What comes later in a subject waits again, unless it is under way; what comes first need not.
            sqlx::query(
                "UPDATE webhook_deliveries SET due_at = CASE WHEN EXISTS (SELECT 1 FROM webhook_deliveries AS earlier
                         WHERE earlier.endpoint_id = webhook_deliveries.endpoint_id AND earlier.subject = webhook_deliveries.subject
                             AND earlier.state = 'pending' AND earlier.sequence < webhook_deliveries.sequence)
                     THEN $2 WHEN due_at = $2 THEN $3 ELSE due_at END
                 WHERE endpoint_id = $1 AND state = 'pending' AND claimed_until <= $3",
            )
            .bind(endpoint.as_uuid())
            .bind(BEHIND)
            .bind(act.at.unix_micros())
            .execute(&mut *transaction)
            .await?;
            let change = Change::new(account, "webhook_endpoint.replay", &endpoint).made(json!({"deliveries": replayed}));
            transaction.finish(self, act, change).await?;
            Ok(replayed)
        })
    }
}

/// Which deliveries are sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replay {
    /// This one.
    One(WebhookDeliveryId),
    /// All of events that happened at this moment or later.
    Since(Timestamp),
}

/// Deliveries that one request puts in the queue again: more would hold up all else that is written.
pub const REPLAYED_AT_ONCE: i64 = 10_000;
