use super::HOLD_ENDPOINT;
use crate::audit::ActTransaction;
use crate::error::{from_database, from_database_generic};
use crate::list::{Bound, Condition, KeyKind, Listed, Listing, Part, ReadRow, SortKey};
use crate::pool::on_pool;
use crate::row::{Columns, to_json};
use crate::seal::{Place, SealingKey};
use crate::store::now;
use crate::trunk::{READ_DATA_KEY, read_data_key};
use crate::version::moved_on;
use crate::{Act, Change, DatabaseError, Stale, Store};
use serde_json::{Value, json};
use tandem_model::{AccountId, EventType, Secret, Timestamp, WebhookEndpointId};

/// Where an account wants its events sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookEndpoint {
    /// Its id.
    pub id: WebhookEndpointId,
    /// Whose.
    pub account_id: AccountId,
    /// Where events go.
    pub url: String,
    /// For people.
    pub description: String,
    /// Which types are wanted; all when empty.
    pub event_types: Vec<EventType>,
    /// Whether events are sent.
    pub enabled: bool,
    /// Why the node has disabled it, if it was not a person.
    pub disabled_reason: Option<String>,
    /// Attempts in a row that failed.
    pub failures: u32,
    /// Until when the secret before the present one is good as well.
    pub previous_secret_until: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When a person last changed it.
    pub updated_at: Timestamp,
}

/// What an endpoint's events are signed with.
#[derive(Clone, Debug)]
pub struct WebhookSecrets {
    /// The present one.
    pub secret: Secret,
    /// The one before, while it is good.
    pub previous: Option<Secret>,
}

/// Why an endpoint was not added.
#[derive(Debug, thiserror::Error)]
pub enum InsertWebhookError {
    /// The account has all its endpoints.
    #[error("the account has its {limit} webhook endpoints")]
    LimitReached {
        /// How many it may have.
        limit: u32,
    },
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// Why nothing was done with an endpoint.
#[derive(Debug, thiserror::Error)]
pub enum FindWebhookError {
    /// The account has no such endpoint, or the endpoint no such delivery.
    #[error("no such webhook endpoint or delivery")]
    NotFound,
    /// The act names another version of it.
    #[error(transparent)]
    Stale(#[from] Stale),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// Why an endpoint was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeWebhookError<E> {
    /// The account has no such endpoint.
    #[error("no such webhook endpoint")]
    NotFound,
    /// The change was refused by who asked for it.
    #[error("the change was refused")]
    Refused(E),
    /// The act names another version of it.
    #[error(transparent)]
    Stale(#[from] Stale),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

from_database!(InsertWebhookError, FindWebhookError);
from_database_generic!(ChangeWebhookError);

impl Store {
    /// Adds an endpoint, if the account has fewer than `limit`. It gets what happens from now on.
    ///
    /// # Errors
    /// [`InsertWebhookError`].
    pub async fn insert_webhook_endpoint(
        &self,
        act: &Act,
        endpoint: &WebhookEndpoint,
        secret: &Secret,
        limit: u32,
    ) -> Result<(), InsertWebhookError> {
        let account = endpoint.account_id;
        on_pool!(self, pools => {
            let mut transaction = pools.begin().await?;
            let key = sqlx::query(READ_DATA_KEY).bind(account.as_uuid()).fetch_one(&mut *transaction).await?;
            let key = read_data_key(&key, self.master_key(), account)?;
            let count: i64 = sqlx::query_scalar("SELECT count(*) FROM webhook_endpoints WHERE account_id = $1")
                .bind(account.as_uuid())
                .fetch_one(&mut *transaction)
                .await?;
            if count >= i64::from(limit) {
                return Err(InsertWebhookError::LimitReached { limit });
            }
            sqlx::query(
                "INSERT INTO webhook_endpoints (id, account_id, url, description, event_types, enabled, secret, fanned_out, failures,
                     created_at, updated_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, 0, 0, $8, $9)",
            )
            .bind(endpoint.id.as_uuid())
            .bind(account.as_uuid())
            .bind(endpoint.url.as_str())
            .bind(endpoint.description.as_str())
            .bind(to_json(&endpoint.event_types))
            .bind(endpoint.enabled)
            .bind(key.seal_secret(secret, place("secret", endpoint.id, account))?)
            .bind(endpoint.created_at.unix_micros())
            .bind(endpoint.updated_at.unix_micros())
            .execute(&mut *transaction)
            .await?;
            sqlx::query(COUNT_ENDPOINTS)
                .bind(account.as_uuid())
                .bind(now().unix_micros())
                .execute(&mut *transaction)
                .await?;
            sqlx::query(BEGIN_HERE).bind(endpoint.id.as_uuid()).bind(account.as_uuid()).execute(&mut *transaction).await?;
            let change = Change::new(account, "webhook_endpoint.create", &endpoint.id).made(audited(endpoint));
            transaction.finish(self, act, change).await?;
        });
        Ok(())
    }

    /// Endpoints of an account, oldest first: those that are enabled, those that are not, or all.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn list_webhook_endpoints(
        &self,
        account: AccountId,
        enabled: Option<bool>,
        part: &Part,
    ) -> Result<Listed<WebhookEndpoint>, DatabaseError> {
        self.list(&listing(account, enabled), part, &ReadEndpoint).await
    }

    /// How many there are.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn count_webhook_endpoints(
        &self,
        account: AccountId,
        enabled: Option<bool>,
    ) -> Result<Option<u64>, DatabaseError> {
        self.count(&listing(account, enabled)).await
    }

    /// An endpoint of an account.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn webhook_endpoint(
        &self,
        account: AccountId,
        id: WebhookEndpointId,
    ) -> Result<Option<WebhookEndpoint>, DatabaseError> {
        on_pool!(self, pools => sqlx::query(FIND_ENDPOINT)
            .bind(id.as_uuid())
            .bind(account.as_uuid())
            .fetch_optional(&pools.reader)
            .await?
            .map(|row| read_endpoint(&row))
            .transpose())
    }

    /// An endpoint of an account with what its events are signed with now.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn webhook_secrets(
        &self,
        account: AccountId,
        id: WebhookEndpointId,
        at: Timestamp,
    ) -> Result<Option<(WebhookEndpoint, WebhookSecrets)>, DatabaseError> {
        on_pool!(self, pools => {
            let row = sqlx::query(FIND_ENDPOINT_WITH_KEY)
                .bind(id.as_uuid())
                .bind(account.as_uuid())
                .fetch_optional(&pools.reader)
                .await?;
            let Some(row) = row else { return Ok(None) };
            let key = read_data_key(&row, self.master_key(), account)?;
            Ok(Some((read_endpoint(&row)?, read_secrets(&row, &key, at)?)))
        })
    }

    /// Changes an endpoint in one transaction: reads it, lets `change` edit it, writes it and gives it back. Written are `url`,
    /// `description`, `event_types` and `enabled`. One that is enabled again gets what happens from then on.
    ///
    /// # Errors
    /// [`ChangeWebhookError`].
    pub async fn change_webhook_endpoint<E, F>(
        &self,
        act: &Act,
        account: AccountId,
        id: WebhookEndpointId,
        change: F,
    ) -> Result<WebhookEndpoint, ChangeWebhookError<E>>
    where
        F: FnOnce(&mut WebhookEndpoint) -> Result<(), E> + Send,
        E: Send,
    {
        on_pool!(self, pools => {
            let mut transaction = pools.begin().await?;
            sqlx::query(HOLD_ENDPOINT).bind(id.as_uuid()).bind(account.as_uuid()).execute(&mut *transaction).await?;
            let row = sqlx::query(FIND_ENDPOINT)
                .bind(id.as_uuid())
                .bind(account.as_uuid())
                .fetch_optional(&mut *transaction)
                .await?
                .ok_or(ChangeWebhookError::NotFound)?;
            let before = read_endpoint(&row)?;
            act.expects(&before)?;
            let mut edited = before.clone();
            change(&mut edited).map_err(ChangeWebhookError::Refused)?;
            let after = WebhookEndpoint {
                url: edited.url,
                description: edited.description,
                event_types: edited.event_types,
                enabled: edited.enabled,
                disabled_reason: before.disabled_reason.clone().filter(|_| !edited.enabled),
                updated_at: moved_on(before.updated_at, act.at),
                ..before.clone()
            };
            sqlx::query(
                "UPDATE webhook_endpoints SET url = $3, description = $4, event_types = $5, enabled = $6, disabled_reason = $7,
                     updated_at = $8
                 WHERE id = $1 AND account_id = $2",
            )
            .bind(id.as_uuid())
            .bind(account.as_uuid())
            .bind(after.url.as_str())
            .bind(after.description.as_str())
            .bind(to_json(&after.event_types))
            .bind(after.enabled)
            .bind(after.disabled_reason.as_deref())
            .bind(after.updated_at.unix_micros())
            .execute(&mut *transaction)
            .await?;
            if after.enabled != before.enabled {
                sqlx::query(COUNT_ENDPOINTS)
                    .bind(account.as_uuid())
                    .bind(now().unix_micros())
                    .execute(&mut *transaction)
                    .await?;
                if after.enabled {
                    sqlx::query(BEGIN_HERE).bind(id.as_uuid()).bind(account.as_uuid()).execute(&mut *transaction).await?;
                }
            }
            let change =
                Change::new(account, "webhook_endpoint.update", &id).changed(audited(&before), audited(&after));
            transaction.finish(self, act, change).await?;
            Ok(after)
        })
    }

    /// Gives an endpoint another secret; the one before is good until `previous_until`, and its own predecessor no more.
    ///
    /// # Errors
    /// [`FindWebhookError`].
    pub async fn rotate_webhook_secret(
        &self,
        act: &Act,
        account: AccountId,
        id: WebhookEndpointId,
        secret: &Secret,
        previous_until: Timestamp,
    ) -> Result<WebhookEndpoint, FindWebhookError> {
        on_pool!(self, pools => {
            let mut transaction = pools.begin().await?;
            sqlx::query(HOLD_ENDPOINT).bind(id.as_uuid()).bind(account.as_uuid()).execute(&mut *transaction).await?;
            let row = sqlx::query(FIND_ENDPOINT_WITH_KEY)
                .bind(id.as_uuid())
                .bind(account.as_uuid())
                .fetch_optional(&mut *transaction)
                .await?
                .ok_or(FindWebhookError::NotFound)?;
            let endpoint = read_endpoint(&row)?;
            let updated_at = moved_on(endpoint.updated_at, act.at);
            let key = read_data_key(&row, self.master_key(), account)?;
            let present = read_secrets(&row, &key, act.at)?.secret;
            sqlx::query(
                "UPDATE webhook_endpoints SET secret = $3, previous_secret = $4, previous_secret_until = $5, updated_at = $6
                 WHERE id = $1 AND account_id = $2",
            )
            .bind(id.as_uuid())
            .bind(account.as_uuid())
            .bind(key.seal_secret(secret, place("secret", id, account))?)
            .bind(key.seal_secret(&present, place("previous_secret", id, account))?)
            .bind(previous_until.unix_micros())
            .bind(updated_at.unix_micros())
            .execute(&mut *transaction)
            .await?;
            let change = Change::new(account, "webhook_endpoint.rotate_secret", &id).replaced("secret", true);
            transaction.finish(self, act, change).await?;
            Ok(WebhookEndpoint { previous_secret_until: Some(previous_until), updated_at, ..endpoint })
        })
    }

    /// Removes an endpoint with its deliveries.
    ///
    /// # Errors
    /// [`FindWebhookError`].
    pub async fn delete_webhook_endpoint(
        &self,
        act: &Act,
        account: AccountId,
        id: WebhookEndpointId,
    ) -> Result<(), FindWebhookError> {
        on_pool!(self, pools => {
            let mut transaction = pools.begin().await?;
            sqlx::query(HOLD_ENDPOINT).bind(id.as_uuid()).bind(account.as_uuid()).execute(&mut *transaction).await?;
            let row = sqlx::query(FIND_ENDPOINT)
                .bind(id.as_uuid())
                .bind(account.as_uuid())
                .fetch_optional(&mut *transaction)
                .await?
                .ok_or(FindWebhookError::NotFound)?;
            let endpoint = read_endpoint(&row)?;
            act.expects(&endpoint)?;
            for statement in [
                "DELETE FROM webhook_deliveries WHERE endpoint_id = $1 AND account_id = $2",
                "DELETE FROM webhook_endpoints WHERE id = $1 AND account_id = $2",
            ] {
                sqlx::query(statement).bind(id.as_uuid()).bind(account.as_uuid()).execute(&mut *transaction).await?;
            }
            sqlx::query(COUNT_ENDPOINTS)
                .bind(account.as_uuid())
                .bind(now().unix_micros())
                .execute(&mut *transaction)
                .await?;
            let change = Change::new(account, "webhook_endpoint.delete", &id).gone(audited(&endpoint));
            transaction.finish(self, act, change).await?;
        });
        Ok(())
    }
}

/// How webhook endpoints are listed.
pub const WEBHOOK_ENDPOINTS_KEY: SortKey =
    SortKey::ascending(&[("created_at", KeyKind::Integer), ("id", KeyKind::Uuid)]);

/// An account has so few that it may be looked at one by one whether they are enabled.
fn listing(account: AccountId, enabled: Option<bool>) -> Listing {
    let mut narrow = vec![Condition::Is("account_id", Bound::Uuid(account.as_uuid()))];
    narrow.extend(enabled.map(|enabled| Condition::Plain(if enabled { "enabled" } else { "NOT enabled" })));
    Listing {
        table: "webhook_endpoints",
        index: Some("webhook_endpoints_of_account"),
        columns: "*",
        key: WEBHOOK_ENDPOINTS_KEY,
        narrow,
        wide: Vec::new(),
        from: None,
        to: None,
    }
}

struct ReadEndpoint;

impl ReadRow for ReadEndpoint {
    type Row = WebhookEndpoint;

    fn read<R: Columns>(&self, row: &R) -> Result<WebhookEndpoint, DatabaseError> {
        read_endpoint(row)
    }
}

pub(super) fn read_endpoint<R: Columns>(row: &R) -> Result<WebhookEndpoint, DatabaseError> {
    Ok(WebhookEndpoint {
        id: WebhookEndpointId::from_uuid(row.uuid("id")?),
        account_id: AccountId::from_uuid(row.uuid("account_id")?),
        url: row.text("url")?,
        description: row.text("description")?,
        event_types: row.json("event_types")?,
        enabled: row.boolean("enabled")?,
        disabled_reason: row.text_opt("disabled_reason")?,
        failures: row.number("failures")?,
        previous_secret_until: row.time_opt("previous_secret_until")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
    })
}

pub(super) fn read_secrets<R: Columns>(
    row: &R,
    key: &SealingKey,
    at: Timestamp,
) -> Result<WebhookSecrets, DatabaseError> {
    let id = WebhookEndpointId::from_uuid(row.uuid("id")?);
    let account = AccountId::from_uuid(row.uuid("account_id")?);
    let previous = row.bytes_opt("previous_secret")?;
    let is_good = row.time_opt("previous_secret_until")?.is_some_and(|until| at < until);
    Ok(WebhookSecrets {
        secret: key.open_secret(&row.bytes("secret")?, place("secret", id, account))?,
        previous: previous
            .filter(|_| is_good)
            .map(|sealed| key.open_secret(&sealed, place("previous_secret", id, account)))
            .transpose()?,
    })
}

/// What the audit log tells of an endpoint: its secrets are not in it, and of its URL, whose path or query may hold one, only where it
/// leads.
fn audited(endpoint: &WebhookEndpoint) -> Value {
    let origin = url::Url::parse(&endpoint.url).map(|url| url.origin().ascii_serialization()).unwrap_or_default();
    json!({
        "origin": origin,
        "description": endpoint.description,
        "event_types": endpoint.event_types,
        "enabled": endpoint.enabled,
        "disabled_reason": endpoint.disabled_reason,
    })
}

fn place(column: &'static str, id: WebhookEndpointId, account: AccountId) -> Place {
    Place { table: "webhook_endpoints", column, row: id.as_uuid(), account }
}

/// `$1` is the endpoint, `$2` the account.
pub(super) const FIND_ENDPOINT: &str = "SELECT * FROM webhook_endpoints WHERE id = $1 AND account_id = $2";

/// As [`FIND_ENDPOINT`], with the data key of the account.
pub(super) const FIND_ENDPOINT_WITH_KEY: &str = "SELECT webhook_endpoints.*, accounts.data_key FROM webhook_endpoints
    JOIN accounts ON accounts.id = webhook_endpoints.account_id
    WHERE webhook_endpoints.id = $1 AND webhook_endpoints.account_id = $2";

/// Counts the enabled endpoints of the account `$1`, at `$2`: as long as there is one, its events are written. A number is left out where
/// nobody listened until now.
pub(super) const COUNT_ENDPOINTS: &str =
    "INSERT INTO event_streams (account_id, last_sequence, endpoints, listening_until)
    VALUES ($1, 0, (SELECT count(*) FROM webhook_endpoints WHERE account_id = $1 AND enabled), 0)
    ON CONFLICT (account_id) DO UPDATE SET
        last_sequence = event_streams.last_sequence
            + CASE WHEN event_streams.endpoints = 0 AND event_streams.listening_until <= $2 THEN 1 ELSE 0 END,
        endpoints = excluded.endpoints";

/// The endpoint `$1` of the account `$2` has nothing of what was written until now.
const BEGIN_HERE: &str = "UPDATE webhook_endpoints
    SET fanned_out = coalesce((SELECT last_sequence FROM event_streams WHERE account_id = $2), 0)
    WHERE id = $1 AND account_id = $2";
