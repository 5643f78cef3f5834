//! Sends what is due. What is sent when is decided by the store and by [`schedule`](super::schedule); this only joins the two.

use super::pace::{Look, Pace};
use super::{Webhooks, schedule, signature};
use crate::service::envelope;
use crate::{OutgoingAnswer, OutgoingError};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tandem_store::{
    ClaimedDelivery, Claims, DatabaseError, DeliveryEnd, DeliveryReport, WebhookEndpoint, WebhookSecrets,
};

/// An attempt that is due now.
pub(super) struct Attempt {
    endpoint: Arc<WebhookEndpoint>,
    secrets: Arc<WebhookSecrets>,
    claimed: ClaimedDelivery,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) answer: Result<OutgoingAnswer, OutgoingError>,
    pub(super) duration: Duration,
}

impl Webhooks {
    /// Sends what is due, for as long as the process lives. What an earlier process had begun is sent again.
    pub(crate) async fn run(&self) {
        let mut released = false;
        let mut is_failing = false;
        let mut pace = Pace::default();
        loop {
            let round = async {
                if !released {
                    self.core.store.release_webhook_claims().await?;
                    released = true;
                }
                Ok::<_, DatabaseError>(match pace.look() {
                    Look::Endpoints => {
                        let any = self.core.store.has_webhook_endpoints().await?;
                        (Vec::new(), pace.found_endpoints(any))
                    }
                    Look::Deliveries => (self.claim().await?, pace.found_deliveries()),
                })
            };
            let pause = match round.await {
                Ok((attempts, pause)) => {
                    is_failing = false;
                    for attempt in attempts {
                        let Ok(place) = Arc::clone(&self.places).acquire_owned().await else { return };
                        let webhooks = self.clone();
                        tokio::spawn(async move {
                            webhooks.attempt(attempt).await;
                            drop(place);
                        });
                    }
                    pause
                }
                Err(error) => {
                    if !std::mem::replace(&mut is_failing, true) {
                        tracing::warn!(%error, "webhooks cannot be read; that is tried again");
                    }
                    RETRY_EVERY
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.wake.notified() => pace = Pace::default(),
            }
        }
    }

    /// Sends what is due now, one after the other; gives how many attempts there were.
    pub(crate) async fn send_due(&self) -> Result<usize, DatabaseError> {
        let attempts = self.claim().await?;
        let count = attempts.len();
        for attempt in attempts {
            self.attempt(attempt).await;
        }
        Ok(count)
    }

    /// Takes what is due now.
    pub(super) async fn claim(&self) -> Result<Vec<Attempt>, DatabaseError> {
        let now = self.core.now();
        let mut attempts = Vec::new();
        for (account, endpoint) in self.core.store.waiting_webhooks(now, ENDPOINTS_AT_ONCE).await? {
            if attempts.len() >= self.places.available_permits() {
                break;
            }
            let claimed = self.core.store.claim_webhook_deliveries(account, endpoint, CLAIMS, now).await?;
            let Some(claimed) = claimed else { continue };
            let (endpoint, secrets) = (Arc::new(claimed.endpoint), Arc::new(claimed.secrets));
            attempts.extend(claimed.deliveries.into_iter().map(|claimed| Attempt {
                endpoint: Arc::clone(&endpoint),
                secrets: Arc::clone(&secrets),
                claimed,
            }));
        }
        Ok(attempts)
    }

    pub(super) async fn attempt(&self, attempt: Attempt) {
        let Attempt { endpoint, secrets, claimed: ClaimedDelivery { delivery, event } } = attempt;
        let report = match &event {
            None => DeliveryReport {
                at: self.core.now(),
                end: DeliveryEnd::Dead,
                status: None,
                error: Some("the event is kept no longer".to_owned()),
                duration: Duration::ZERO,
                disable: None,
            },
            Some(event) => {
                let sent = self.post(&endpoint, &secrets, &event.id.to_string(), envelope(event)).await;
                self.report(sent, delivery.attempts + 1, delivery.give_up_at)
            }
        };
        let outcome = match report.end {
            DeliveryEnd::Delivered => &self.counts.delivered,
            DeliveryEnd::Again(_) => &self.counts.failed,
            DeliveryEnd::Dead => &self.counts.given_up,
        };
        outcome.fetch_add(1, Ordering::Relaxed);
        if report.end == DeliveryEnd::Dead || report.disable.is_some() {
            tracing::warn!(account = %delivery.account_id, endpoint = %delivery.endpoint_id, event = %delivery.event_id, status = report.status, error = report.error, "a webhook was given up");
        }
        match self.core.store.finish_webhook_delivery(&delivery, &report).await {
            Ok(true) => {}
            Ok(false) => tracing::info!(delivery = %delivery.id, "a webhook took so long that it is sent again"),
            // The claim runs out, and it is sent again.
            Err(error) => tracing::warn!(%error, delivery = %delivery.id, "what became of a webhook was not stored"),
        }
    }

    /// Sends one text to an endpoint.
    pub(super) async fn post(
        &self,
        endpoint: &WebhookEndpoint,
        secrets: &WebhookSecrets,
        id: &str,
        body: String,
    ) -> Sent {
        let seconds = self.core.now().unix_micros().div_euclid(1_000_000);
        let body = body.into_bytes();
        let headers = [
            ("content-type", "application/json".to_owned()),
            ("user-agent", concat!("Tandem/", env!("CARGO_PKG_VERSION")).to_owned()),
            ("webhook-id", id.to_owned()),
            ("webhook-timestamp", seconds.to_string()),
            ("webhook-signature", signature::signatures(secrets, id, seconds, &body)),
        ];
        let begun = Instant::now();
        let answer = self.outgoing.post(&endpoint.url, &headers, body).await;
        Sent { answer, duration: begun.elapsed() }
    }

    /// What comes of the attempt of this number.
    fn report(&self, sent: Sent, attempt: u32, give_up_at: tandem_model::Timestamp) -> DeliveryReport {
        let at = self.core.now();
        let (status, retry_after) = match sent.answer {
            Ok(answer) => (Some(answer.status), answer.retry_after),
            Err(_) => (None, None),
        };
        if status.is_some_and(|status| (200..300).contains(&status)) {
            let end = DeliveryEnd::Delivered;
            return DeliveryReport { at, end, status, error: None, duration: sent.duration, disable: None };
        }
        let is_gone = status == Some(GONE);
        let end = if is_gone {
            DeliveryEnd::Dead
        } else {
            schedule::after_failure(attempt, at, give_up_at, retry_after, jitter())
        };
        let error = told(sent.answer);
        DeliveryReport { at, end, status, error, duration: sent.duration, disable: is_gone.then_some("gone") }
    }
}

/// Why an attempt failed, for people.
pub(super) fn told(answer: Result<OutgoingAnswer, OutgoingError>) -> Option<String> {
    match answer {
        Ok(answer) if (200..300).contains(&answer.status) => None,
        Ok(answer) if (300..400).contains(&answer.status) => Some("redirects are not followed".to_owned()),
        Ok(answer) => Some(format!("the answer was {}", answer.status)),
        Err(error) => Some(error.to_string()),
    }
}

/// From 0 to 1, at random. Without random bytes what failed together is tried again together.
fn jitter() -> f64 {
    let mut bytes = [0; 4];
    let _ = getrandom::fill(&mut bytes);
    f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)
}

/// The endpoint wants nothing more, for good (RFC 9110 §15.5.11).
const GONE: u16 = 410;
/// How often a database that fails is asked.
const RETRY_EVERY: Duration = Duration::from_secs(2);
/// Endpoints that are looked at in one round.
const ENDPOINTS_AT_ONCE: u32 = 256;
const CLAIMS: Claims = Claims {
    // Enough for hundreds of events a second at a receiver that answers soon, and too few to bring one down.
    of_endpoint: 8,
    // Who fails is asked by one at a time.
    of_failing_endpoint: 1,
    of_account: 32,
    // Longer than an attempt may take, with time to write down what became of it.
    hold: Duration::from_secs(60),
    give_up_after: Duration::from_secs(3 * 24 * 60 * 60),
};
