//! Webhooks: the endpoints of an account, and their deliveries.

mod pace;
mod schedule;
mod signature;
mod worker;

use crate::service::{Caller, Core, ListRequest, Page, Ticket, id_bits, id_parts, is_repeat};
use crate::wire::{Invalid, NewWebhookEndpoint, WebhookEndpointEdit};
use crate::{Outgoing, UrlError};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tandem_model::{EventId, Secret, Timestamp, WebhookEndpointId};
use tandem_store::{
    ChangeWebhookError, DatabaseError, DeliveryFilter, FindWebhookError, InsertWebhookError, Replay, Stale,
    WebhookBacklog, WebhookDelivery, WebhookEndpoint,
};
use tokio::sync::{Notify, Semaphore};

/// Webhook endpoints of the account, and what sends events to them.
#[derive(Clone)]
pub(crate) struct Webhooks {
    core: Arc<Core>,
    outgoing: Arc<dyn Outgoing>,
    /// Attempts of this node at once.
    places: Arc<Semaphore>,
    counts: Arc<Counts>,
    /// Told when there may be an endpoint that was not there before.
    wake: Arc<Notify>,
}

/// Attempts since the process began.
#[derive(Default)]
struct Counts {
    delivered: AtomicU64,
    failed: AtomicU64,
    given_up: AtomicU64,
}

/// Why an endpoint is not made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CreateWebhookError {
    #[error(transparent)]
    Invalid(#[from] Invalid),
    #[error("the account has its {MAX_ENDPOINTS} webhook endpoints")]
    LimitReached,
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// Why an endpoint is not changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EditWebhookError {
    #[error("no such webhook endpoint")]
    NotFound,
    #[error(transparent)]
    Invalid(#[from] Invalid),
    #[error(transparent)]
    Stale(#[from] Stale),
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// What became of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tested {
    /// The id that was sent as `webhook-id`.
    pub(crate) id: EventId,
    /// The HTTP status, if there was an answer.
    pub(crate) status: Option<u16>,
    /// Why it failed, if it did.
    pub(crate) error: Option<String>,
    /// How long it took.
    pub(crate) duration: Duration,
}

impl Webhooks {
    pub(super) fn new(core: Arc<Core>, outgoing: Arc<dyn Outgoing>) -> Self {
        Self {
            core,
            outgoing,
            places: Arc::new(Semaphore::new(ATTEMPTS_AT_ONCE)),
            counts: Arc::default(),
            wake: Arc::default(),
        }
    }

    /// Endpoints, oldest first.
    pub(crate) async fn list(
        &self,
        caller: &Caller,
        request: &ListRequest<Option<bool>>,
    ) -> Result<Page<WebhookEndpoint>, DatabaseError> {
        let (store, account, enabled) = (&self.core.store, caller.account_id(), request.filter);
        let listed = store.list_webhook_endpoints(account, enabled, &request.part);
        request.answer(listed, store.count_webhook_endpoints(account, enabled)).await
    }

    /// One endpoint.
    pub(crate) async fn read(
        &self,
        caller: &Caller,
        id: WebhookEndpointId,
    ) -> Result<WebhookEndpoint, FindWebhookError> {
        self.core.store.webhook_endpoint(caller.account_id(), id).await?.ok_or(FindWebhookError::NotFound)
    }

    /// Makes an endpoint. Its secret is shown this once.
    pub(crate) async fn create(
        &self,
        caller: &Caller,
        new: NewWebhookEndpoint,
        ticket: Option<&Ticket>,
    ) -> Result<(WebhookEndpoint, Secret), CreateWebhookError> {
        self.outgoing.check(&new.url).map_err(wrong_url)?;
        let now = self.core.now();
        let (since, bits) = id_parts(ticket, now)?;
        let id = WebhookEndpointId::new(since, bits);
        if is_repeat(ticket)
            && let Some((made, secrets)) = self.core.store.webhook_secrets(caller.account_id(), id, now).await?
        {
            return Ok((made, secrets.secret));
        }
        let endpoint = WebhookEndpoint {
            id,
            account_id: caller.account_id(),
            url: new.url,
            description: new.description,
            event_types: new.event_types,
            enabled: new.enabled,
            disabled_reason: None,
            failures: 0,
            previous_secret_until: None,
            created_at: now,
            updated_at: now,
        };
        let secret = signature::new_secret().map_err(DatabaseError::Randomness)?;
        let act = caller.act(now);
        self.core.store.insert_webhook_endpoint(&act, &endpoint, &secret, MAX_ENDPOINTS).await.map_err(|error| {
            match error {
                InsertWebhookError::LimitReached { .. } => CreateWebhookError::LimitReached,
                InsertWebhookError::Database(error) => error.into(),
            }
        })?;
        self.wake.notify_one();
        Ok((endpoint, secret))
    }

    /// Changes an endpoint.
    pub(crate) async fn edit(
        &self,
        caller: &Caller,
        id: WebhookEndpointId,
        edit: WebhookEndpointEdit,
    ) -> Result<WebhookEndpoint, EditWebhookError> {
        if let Some(url) = &edit.url {
            self.outgoing.check(url).map_err(wrong_url)?;
        }
        let change = |endpoint: &mut WebhookEndpoint| {
            let WebhookEndpointEdit { url, description, event_types, enabled } = edit;
            endpoint.url = url.unwrap_or(std::mem::take(&mut endpoint.url));
            endpoint.description = description.unwrap_or(std::mem::take(&mut endpoint.description));
            endpoint.event_types = event_types.unwrap_or(std::mem::take(&mut endpoint.event_types));
            endpoint.enabled = enabled.unwrap_or(endpoint.enabled);
            Ok::<(), Invalid>(())
        };
        let act = caller.act(self.core.now());
        let changed = self.core.store.change_webhook_endpoint(&act, caller.account_id(), id, change).await;
        self.wake.notify_one();
        changed.map_err(|error| match error {
            ChangeWebhookError::NotFound => EditWebhookError::NotFound,
            ChangeWebhookError::Refused(invalid) => invalid.into(),
            ChangeWebhookError::Stale(error) => error.into(),
            ChangeWebhookError::Database(error) => error.into(),
        })
    }

    /// Removes an endpoint with its deliveries.
    pub(crate) async fn delete(&self, caller: &Caller, id: WebhookEndpointId) -> Result<(), FindWebhookError> {
        let act = caller.act(self.core.now());
        self.core.store.delete_webhook_endpoint(&act, caller.account_id(), id).await
    }

    /// Gives an endpoint another secret, which is shown this once. For a day events are signed with both.
    pub(crate) async fn rotate_secret(
        &self,
        caller: &Caller,
        id: WebhookEndpointId,
    ) -> Result<(WebhookEndpoint, Secret), FindWebhookError> {
        let secret = signature::new_secret().map_err(DatabaseError::Randomness)?;
        let now = self.core.now();
        let until = now.saturating_add(PREVIOUS_SECRET_FOR);
        let store = &self.core.store;
        let endpoint = store.rotate_webhook_secret(&caller.act(now), caller.account_id(), id, &secret, until).await?;
        Ok((endpoint, secret))
    }

    /// Deliveries of an endpoint, those of the newest events first.
    pub(crate) async fn deliveries(
        &self,
        caller: &Caller,
        id: WebhookEndpointId,
        request: &ListRequest<DeliveryFilter>,
    ) -> Result<Page<WebhookDelivery>, FindWebhookError> {
        self.read(caller, id).await?;
        let (store, account, filter) = (&self.core.store, caller.account_id(), request.filter);
        let listed = store.list_webhook_deliveries(account, id, filter, &request.part);
        Ok(request.answer(listed, store.count_webhook_deliveries(account, id, filter)).await?)
    }

    /// Sends again what was delivered or given up, or waits for another attempt; gives how many deliveries.
    pub(crate) async fn replay(
        &self,
        caller: &Caller,
        id: WebhookEndpointId,
        which: Replay,
    ) -> Result<u64, FindWebhookError> {
        let now = self.core.now();
        let give_up_at = now.saturating_add(REPLAYED_FOR);
        self.core.store.replay_webhook_deliveries(&caller.act(now), caller.account_id(), id, which, give_up_at).await
    }

    /// Sends a test to an endpoint, whether it is enabled or not, and waits for the answer. It is in no log.
    pub(crate) async fn test(&self, caller: &Caller, id: WebhookEndpointId) -> Result<Tested, FindWebhookError> {
        let now = self.core.now();
        let found = self.core.store.webhook_secrets(caller.account_id(), id, now).await?;
        let (endpoint, secrets) = found.ok_or(FindWebhookError::NotFound)?;
        let test_id = EventId::new(now, id_bits()?);
        if caller.act(now).dry_run {
            let error = Some("a dry run sends nothing".to_owned());
            return Ok(Tested { id: test_id, status: None, error, duration: Duration::ZERO });
        }
        let body = json!({
            "id": test_id,
            "type": "webhook.test",
            "timestamp": now,
            "user_id": caller.account_id(),
            "subject": format!("webhook-endpoints/{id}"),
            "data": {},
        });
        let sent = self.post(&endpoint, &secrets, &test_id.to_string(), body.to_string()).await;
        let status = sent.answer.ok().map(|answer| answer.status);
        Ok(Tested { id: test_id, status, error: worker::told(sent.answer), duration: sent.duration })
    }

    /// What is on its way, over all accounts; `None` when the database does not answer.
    pub(crate) async fn backlog(&self) -> Option<WebhookBacklog> {
        self.core.store.webhook_backlog().await.ok()
    }

    /// Attempts since the process began: delivered, failed, given up.
    pub(crate) fn attempts(&self) -> [(&'static str, u64); 3] {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        [
            ("delivered", count(&self.counts.delivered)),
            ("failed", count(&self.counts.failed)),
            ("given_up", count(&self.counts.given_up)),
        ]
    }

    /// This moment.
    pub(crate) fn now(&self) -> Timestamp {
        self.core.now()
    }

    /// Removes what is kept no longer: events that were written a week ago, and deliveries that ended then.
    pub(crate) async fn remove_old(&self) -> Result<(), DatabaseError> {
        let before = self.core.now().saturating_sub(KEPT_FOR);
        while self.core.store.remove_webhook_deliveries_before(before).await? > 0 {}
        while self.core.store.remove_events_before(before).await? > 0 {}
        Ok(())
    }
}

fn wrong_url(error: UrlError) -> Invalid {
    Invalid::field("url", error.to_string())
}

/// Endpoints of an account: one a system of theirs, and some to try.
pub(crate) const MAX_ENDPOINTS: u32 = 20;
/// Attempts of a node at once, over all accounts.
const ATTEMPTS_AT_ONCE: usize = 128;
/// How long events are signed with the secret before, too.
const PREVIOUS_SECRET_FOR: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a delivery that is replayed is tried.
const REPLAYED_FOR: Duration = Duration::from_secs(3 * 24 * 60 * 60);
/// How long events and deliveries are kept.
const KEPT_FOR: Duration = Duration::from_secs(7 * 24 * 60 * 60);
