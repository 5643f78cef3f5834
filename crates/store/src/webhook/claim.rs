use super::delivery::read_delivery;
use super::endpoint::{COUNT_ENDPOINTS, FIND_ENDPOINT_WITH_KEY, read_endpoint, read_secrets};
use super::{BEHIND, HOLD_ENDPOINT};
use crate::event::read_event;
use crate::pool::on_pool;
use crate::row::{Columns, stored};
use crate::store::{now as wall_clock, random};
use crate::trunk::read_data_key;
use crate::{DatabaseError, Store, WebhookDelivery, WebhookEndpoint, WebhookSecrets};
use std::time::Duration;
use tandem_model::{AccountId, Event, EventType, Timestamp, WebhookDeliveryId, WebhookEndpointId};

/// How much is taken at once.
#[derive(Clone, Copy, Debug)]
pub struct Claims {
    /// Deliveries of one endpoint that are tried at the same time, on all nodes.
    pub of_endpoint: u32,
    /// The same, while its attempts fail.
    pub of_failing_endpoint: u32,
    /// Deliveries of one account that are tried at the same time, on all nodes.
    pub of_account: u32,
    /// How long they are this node's; longer than an attempt takes.
    pub hold: Duration,
    /// How long a new delivery is tried.
    pub give_up_after: Duration,
}

/// An endpoint with what is to be sent there now.
#[derive(Clone, Debug)]
pub struct ClaimedWebhook {
    /// The endpoint.
    pub endpoint: WebhookEndpoint,
    /// What to sign with.
    pub secrets: WebhookSecrets,
    /// What is this node's for a while.
    pub deliveries: Vec<ClaimedDelivery>,
}

/// A delivery that is this node's for a while.
#[derive(Clone, Debug)]
pub struct ClaimedDelivery {
    /// The delivery.
    pub delivery: WebhookDelivery,
    /// Its event; `None` when it is kept no longer.
    pub event: Option<Event>,
}

/// What became of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryReport {
    /// When it ended.
    pub at: Timestamp,
    /// What comes of it.
    pub end: DeliveryEnd,
    /// The HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// Why it failed.
    pub error: Option<String>,
    /// How long it took.
    pub duration: Duration,
    /// Why nothing more is to be sent to the endpoint, if so.
    pub disable: Option<&'static str>,
}

/// What comes of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryEnd {
    /// The endpoint has the event.
    Delivered,
    /// Another attempt, then.
    Again(Timestamp),
    /// No more.
    Dead,
}

impl Store {
    /// Whether any account has an endpoint that takes events.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn has_webhook_endpoints(&self) -> Result<bool, DatabaseError> {
        on_pool!(self, pools => Ok(sqlx::query("SELECT 1 AS one FROM webhook_endpoints WHERE enabled LIMIT 1")
            .fetch_optional(&pools.reader)
            .await?
            .is_some()))
    }

    /// The endpoints that have something to be sent now, at most `limit`.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn waiting_webhooks(
        &self,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<(AccountId, WebhookEndpointId)>, DatabaseError> {
        on_pool!(self, pools => sqlx::query(
                "SELECT webhook_endpoints.account_id, webhook_endpoints.id FROM webhook_endpoints
                 JOIN event_streams ON event_streams.account_id = webhook_endpoints.account_id
                 WHERE webhook_endpoints.enabled AND (event_streams.last_sequence > webhook_endpoints.fanned_out
                     OR EXISTS (SELECT 1 FROM webhook_deliveries WHERE webhook_deliveries.endpoint_id = webhook_endpoints.id
                         AND webhook_deliveries.state = 'pending' AND webhook_deliveries.due_at <= $1
                         AND webhook_deliveries.claimed_until <= $1))
                 LIMIT $2",
            )
            .bind(now.unix_micros())
            .bind(i64::from(limit))
            .fetch_all(&pools.reader)
            .await?
            .iter()
            .map(|row| {
                Ok((AccountId::from_uuid(row.uuid("account_id")?), WebhookEndpointId::from_uuid(row.uuid("id")?)))
            })
            .collect())
    }

    /// Puts new events of an endpoint in its queue, and takes what is due there. `None` when it is gone or disabled.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn claim_webhook_deliveries(
        &self,
        account: AccountId,
        endpoint: WebhookEndpointId,
        claims: Claims,
        now: Timestamp,
    ) -> Result<Option<ClaimedWebhook>, DatabaseError> {
        on_pool!(self, pools => {
            let mut transaction = pools.begin_calls().await?;
            sqlx::query(HOLD_ENDPOINT).bind(endpoint.as_uuid()).bind(account.as_uuid()).execute(&mut *transaction).await?;
            let row = sqlx::query(FIND_ENDPOINT_WITH_KEY)
                .bind(endpoint.as_uuid())
                .bind(account.as_uuid())
                .fetch_optional(&mut *transaction)
                .await?;
            let Some(row) = row else { return Ok(None) };
            let found = read_endpoint(&row)?;
            if !found.enabled {
                return Ok(None);
            }
            let key = read_data_key(&row, self.master_key(), account)?;
            let secrets = read_secrets(&row, &key, now)?;

            let fanned_out = row.integer("fanned_out")?;
            // Before the events: what is written meanwhile is looked at the next time.
            let latest: i64 = sqlx::query_scalar("SELECT last_sequence FROM event_streams WHERE account_id = $1")
                .bind(account.as_uuid())
                .fetch_optional(&mut *transaction)
                .await?
                .unwrap_or(fanned_out);
            if latest > fanned_out {
                let events = sqlx::query(
                    "SELECT sequence, id, type, subject FROM events WHERE account_id = $1 AND sequence > $2
                     ORDER BY sequence LIMIT $3",
                )
                .bind(account.as_uuid())
                .bind(fanned_out)
                .bind(FANNED_OUT_AT_ONCE)
                .fetch_all(&mut *transaction)
                .await?;
                let mut reached = latest;
                for event in &events {
                    reached = event.integer("sequence")?;
                    let kind: EventType = event.parsed("type")?;
                    if !found.event_types.is_empty() && !found.event_types.contains(&kind) {
                        continue;
                    }
                    sqlx::query(
                        "INSERT INTO webhook_deliveries (id, endpoint_id, account_id, sequence, event_id, type, subject, state,
                             attempts, due_at, give_up_at, claimed_until, created_at)
                         VALUES ($1, $2, $3, $4, $5, $6, $7, 'pending', 0,
                             CASE WHEN EXISTS (SELECT 1 FROM webhook_deliveries WHERE endpoint_id = $2 AND subject = $7
                                 AND state = 'pending') THEN $8 ELSE $9 END,
                             $10, 0, $9)
                         ON CONFLICT (endpoint_id, sequence) DO NOTHING",
                    )
                    .bind(WebhookDeliveryId::new(now, random()?).as_uuid())
                    .bind(endpoint.as_uuid())
                    .bind(account.as_uuid())
                    .bind(reached)
                    .bind(event.uuid("id")?)
                    .bind(kind.as_str())
                    .bind(event.text("subject")?)
                    .bind(BEHIND)
                    .bind(now.unix_micros())
                    .bind(now.saturating_add(claims.give_up_after).unix_micros())
                    .execute(&mut *transaction)
                    .await?;
                }
                sqlx::query("UPDATE webhook_endpoints SET fanned_out = $2 WHERE id = $1")
                    .bind(endpoint.as_uuid())
                    .bind(reached)
                    .execute(&mut *transaction)
                    .await?;
            }

            let claimed = sqlx::query(
                "SELECT CAST((SELECT count(*) FROM webhook_deliveries WHERE account_id = $1 AND state = 'pending'
                         AND claimed_until > $3) AS BIGINT) AS of_account,
                     CAST((SELECT count(*) FROM webhook_deliveries WHERE account_id = $1 AND state = 'pending'
                         AND claimed_until > $3 AND endpoint_id = $2) AS BIGINT) AS of_endpoint",
            )
            .bind(account.as_uuid())
            .bind(endpoint.as_uuid())
            .bind(now.unix_micros())
            .fetch_one(&mut *transaction)
            .await?;
            let most = if found.failures > 0 { claims.of_failing_endpoint } else { claims.of_endpoint };
            let free_of_endpoint = i64::from(most) - claimed.integer("of_endpoint")?;
            let free_of_account = i64::from(claims.of_account) - claimed.integer("of_account")?;
            let mut deliveries = Vec::new();
            if free_of_endpoint.min(free_of_account) > 0 {
                let rows = sqlx::query(
                    "UPDATE webhook_deliveries SET claimed_by = $2, claimed_until = $3 WHERE id IN
                         (SELECT id FROM webhook_deliveries WHERE endpoint_id = $1 AND state = 'pending' AND due_at <= $4
                              AND claimed_until <= $4 ORDER BY due_at, sequence LIMIT $5)
                     RETURNING *",
                )
                .bind(endpoint.as_uuid())
                .bind(self.node_id().as_uuid())
                .bind(now.saturating_add(claims.hold).unix_micros())
                .bind(now.unix_micros())
                .bind(free_of_endpoint.min(free_of_account))
                .fetch_all(&mut *transaction)
                .await?;
                for row in &rows {
                    let delivery = read_delivery(row)?;
                    let event = sqlx::query("SELECT * FROM events WHERE account_id = $1 AND sequence = $2")
                        .bind(account.as_uuid())
                        .bind(stored(delivery.sequence))
                        .fetch_optional(&mut *transaction)
                        .await?
                        .map(|row| read_event(&row))
                        .transpose()?;
                    deliveries.push(ClaimedDelivery { delivery, event });
                }
                deliveries.sort_by_key(|claimed| claimed.delivery.sequence);
            }
            transaction.commit().await?;
            Ok(Some(ClaimedWebhook { endpoint: found, secrets, deliveries }))
        })
    }

    /// Writes down what became of an attempt. `false` when the delivery was this node's no longer: then nothing is written.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn finish_webhook_delivery(
        &self,
        delivery: &WebhookDelivery,
        report: &DeliveryReport,
    ) -> Result<bool, DatabaseError> {
        let now = report.at.unix_micros();
        let (state, due_at, finished_at) = match report.end {
            DeliveryEnd::Delivered => ("delivered", 0, Some(now)),
            DeliveryEnd::Dead => ("dead", 0, Some(now)),
            DeliveryEnd::Again(due) => ("pending", due.unix_micros(), None),
        };
        on_pool!(self, pools => {
            let mut transaction = pools.begin_calls().await?;
            sqlx::query(HOLD_ENDPOINT)
                .bind(delivery.endpoint_id.as_uuid())
                .bind(delivery.account_id.as_uuid())
                .execute(&mut *transaction)
                .await?;
            let written = sqlx::query(
                "UPDATE webhook_deliveries SET state = $4, due_at = $5, finished_at = $6, attempts = attempts + 1,
                     attempted_at = $7, last_status = $8, last_error = $9, last_duration_ms = $10, claimed_by = NULL,
                     claimed_until = 0
                 WHERE id = $1 AND account_id = $2 AND claimed_by = $3 AND state = 'pending'",
            )
            .bind(delivery.id.as_uuid())
            .bind(delivery.account_id.as_uuid())
            .bind(self.node_id().as_uuid())
            .bind(state)
            .bind(due_at)
            .bind(finished_at)
            .bind(now)
            .bind(report.status.map(i64::from))
            .bind(report.error.as_deref())
            .bind(i64::try_from(report.duration.as_millis()).unwrap_or(i64::MAX))
            .execute(&mut *transaction)
            .await?;
            if written.rows_affected() == 0 {
                return Ok(false);
            }
            if finished_at.is_some() {
                // The next of its subject need wait no longer.
                sqlx::query(
                    "UPDATE webhook_deliveries SET due_at = $3 WHERE due_at = $4 AND id =
                         (SELECT id FROM webhook_deliveries WHERE endpoint_id = $1 AND subject = $2 AND state = 'pending'
                          ORDER BY sequence LIMIT 1)",
                )
                .bind(delivery.endpoint_id.as_uuid())
                .bind(delivery.subject.as_str())
                .bind(now)
                .bind(BEHIND)
                .execute(&mut *transaction)
                .await?;
            }
            if report.end == DeliveryEnd::Delivered {
                let recovered = sqlx::query("UPDATE webhook_endpoints SET failures = 0 WHERE id = $1 AND failures > 0")
                    .bind(delivery.endpoint_id.as_uuid())
                    .execute(&mut *transaction)
                    .await?;
                if recovered.rows_affected() > 0 {
                    // It answers again: what failed before is not kept waiting.
                    sqlx::query(
                        "UPDATE webhook_deliveries SET due_at = $2
                         WHERE endpoint_id = $1 AND state = 'pending' AND due_at > $2 AND due_at < $3",
                    )
                    .bind(delivery.endpoint_id.as_uuid())
                    .bind(now)
                    .bind(BEHIND)
                    .execute(&mut *transaction)
                    .await?;
                }
            } else {
                sqlx::query("UPDATE webhook_endpoints SET failures = failures + 1 WHERE id = $1")
                    .bind(delivery.endpoint_id.as_uuid())
                    .execute(&mut *transaction)
                    .await?;
            }
            if let Some(reason) = report.disable {
                sqlx::query("UPDATE webhook_endpoints SET enabled = $2, disabled_reason = $3 WHERE id = $1")
                    .bind(delivery.endpoint_id.as_uuid())
                    .bind(false)
                    .bind(reason)
                    .execute(&mut *transaction)
                    .await?;
                sqlx::query(COUNT_ENDPOINTS)
                    .bind(delivery.account_id.as_uuid())
                    .bind(wall_clock().unix_micros())
                    .execute(&mut *transaction)
                    .await?;
            }
            transaction.commit().await?;
            Ok(true)
        })
    }

    /// Gives up what an earlier process of this node had taken: it is due again.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn release_webhook_claims(&self) -> Result<(), DatabaseError> {
        on_pool!(self, pools => sqlx::query(
                "UPDATE webhook_deliveries SET claimed_by = NULL, claimed_until = 0
                 WHERE state = 'pending' AND claimed_until > 0 AND claimed_by = $1",
            )
            .bind(self.node_id().as_uuid())
            .execute(&pools.writer)
            .await
            .map(drop)?);
        Ok(())
    }
}

/// Events that are put in a queue in one transaction.
const FANNED_OUT_AT_ONCE: i64 = 200;
