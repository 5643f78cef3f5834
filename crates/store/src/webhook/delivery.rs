use crate::list::{Bound, Condition, KeyKind, Listed, Listing, Part, ReadRow, SortKey};
use crate::pool::on_pool;
use crate::row::Columns;
use crate::{DatabaseError, Store};
use std::fmt;
use std::str::FromStr;
use tandem_model::{AccountId, EventId, EventType, Timestamp, WebhookDeliveryId, WebhookEndpointId};

/// An event on its way to an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookDelivery {
    /// Its id.
    pub id: WebhookDeliveryId,
    /// Whose.
    pub account_id: AccountId,
    /// Where to.
    pub endpoint_id: WebhookEndpointId,
    /// The event.
    pub event_id: EventId,
    /// Its number.
    pub sequence: u64,
    /// Its type.
    pub kind: EventType,
    /// What it is about.
    pub subject: String,
    /// Where it is.
    pub state: DeliveryState,
    /// How often it was tried, since it was put in the queue.
    pub attempts: u32,
    /// When it is tried next; `None` when it is not, or waits for an earlier event of its subject.
    pub due_at: Option<Timestamp>,
    /// When it is given up.
    pub give_up_at: Timestamp,
    /// When it was put in the queue for the first time.
    pub created_at: Timestamp,
    /// When it was last tried.
    pub attempted_at: Option<Timestamp>,
    /// When it was delivered or given up.
    pub finished_at: Option<Timestamp>,
    /// The HTTP status of the last answer.
    pub last_status: Option<u16>,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// How long the last attempt took.
    pub last_duration_ms: Option<u64>,
}

/// Where a delivery is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryState {
    /// It is tried, at once or later.
    Pending,
    /// The endpoint has it.
    Delivered,
    /// It was given up.
    Dead,
}

impl DeliveryState {
    /// Each.
    pub const ALL: &'static [Self] = &[Self::Pending, Self::Delivered, Self::Dead];

    /// The spelling in the database and on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
        }
    }
}

impl fmt::Display for DeliveryState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for DeliveryState {
    type Err = UnknownDeliveryState;

    fn from_str(text: &str) -> Result<Self, UnknownDeliveryState> {
        Self::ALL.iter().find(|state| state.as_str() == text).copied().ok_or(UnknownDeliveryState)
    }
}

/// The text is no state of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be pending, delivered or dead")]
pub struct UnknownDeliveryState;

/// What is on its way, over all accounts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WebhookBacklog {
    /// Deliveries that are pending, at most 100,000.
    pub pending: u64,
    /// When the oldest of them was put in the queue.
    pub oldest: Option<Timestamp>,
    /// Deliveries that were given up and are still kept, at most 100,000.
    pub dead: u64,
}

impl Store {
    /// Deliveries of an endpoint, those of the newest events first.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn list_webhook_deliveries(
        &self,
        account: AccountId,
        endpoint: WebhookEndpointId,
        filter: DeliveryFilter,
        part: &Part,
    ) -> Result<Listed<WebhookDelivery>, DatabaseError> {
        self.list(&filter.listing(account, endpoint), part, &ReadDelivery).await
    }

    /// How many there are.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn count_webhook_deliveries(
        &self,
        account: AccountId,
        endpoint: WebhookEndpointId,
        filter: DeliveryFilter,
    ) -> Result<Option<u64>, DatabaseError> {
        self.count(&filter.listing(account, endpoint)).await
    }

    /// What is on its way.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn webhook_backlog(&self) -> Result<WebhookBacklog, DatabaseError> {
        on_pool!(self, pools => {
            let row = sqlx::query(
                "SELECT CAST((SELECT count(*) FROM (SELECT 1 FROM webhook_deliveries WHERE state = 'pending' LIMIT $1) AS counted)
                         AS BIGINT) AS pending,
                     CAST((SELECT count(*) FROM (SELECT 1 FROM webhook_deliveries
                         WHERE finished_at IS NOT NULL AND state = 'dead' LIMIT $1) AS counted) AS BIGINT) AS dead,
                     (SELECT min(created_at) FROM (SELECT created_at FROM webhook_deliveries WHERE state = 'pending' LIMIT $1) AS oldest)
                         AS oldest",
            )
            .bind(MAX_COUNTED)
            .fetch_one(&pools.reader)
            .await?;
            Ok(WebhookBacklog {
                pending: row.number("pending")?,
                oldest: row.time_opt("oldest")?,
                dead: row.number("dead")?,
            })
        })
    }

    /// Removes deliveries that were delivered or given up before then; gives how many.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn remove_webhook_deliveries_before(&self, before: Timestamp) -> Result<u64, DatabaseError> {
        Ok(on_pool!(self, pools => sqlx::query(
                "DELETE FROM webhook_deliveries WHERE id IN
                     (SELECT id FROM webhook_deliveries WHERE finished_at < $1 ORDER BY finished_at LIMIT $2)",
            )
            .bind(before.unix_micros())
            .bind(i64::from(crate::event::REMOVED_AT_ONCE))
            .execute(&pools.writer)
            .await?
            .rows_affected()))
    }
}

/// Which deliveries of an endpoint to list. Each field narrows the list down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeliveryFilter {
    /// Only those in this state.
    pub state: Option<DeliveryState>,
    /// Only those of events of this type.
    pub kind: Option<EventType>,
}

impl DeliveryFilter {
    /// Whether every field is served by an index, so that parts of the list are full and rows can be passed over.
    #[must_use]
    pub const fn is_narrow(&self) -> bool {
        self.kind.is_none()
    }

    fn listing(&self, account: AccountId, endpoint: WebhookEndpointId) -> Listing {
        let state = self.state.map(|state| Condition::Is("state", Bound::Text(state.as_str().to_owned())));
        let index = if state.is_some() { "webhook_deliveries_by_state" } else { "webhook_deliveries_of_endpoint" };
        let mut narrow = vec![
            Condition::Is("endpoint_id", Bound::Uuid(endpoint.as_uuid())),
            Condition::Is("account_id", Bound::Uuid(account.as_uuid())),
        ];
        narrow.extend(state);
        let kind = self.kind.map(|kind| Condition::Is("type", Bound::Text(kind.as_str().to_owned())));
        Listing {
            table: "webhook_deliveries",
            index: Some(index),
            columns: "*",
            key: WEBHOOK_DELIVERIES_KEY,
            narrow,
            wide: kind.into_iter().collect(),
            from: None,
            to: None,
        }
    }
}

/// How deliveries are listed: an endpoint has one of an event at most.
pub const WEBHOOK_DELIVERIES_KEY: SortKey = SortKey::descending(&[("sequence", KeyKind::Integer)]);

struct ReadDelivery;

impl ReadRow for ReadDelivery {
    type Row = WebhookDelivery;

    fn read<R: Columns>(&self, row: &R) -> Result<WebhookDelivery, DatabaseError> {
        read_delivery(row)
    }
}

pub(super) fn read_delivery<R: Columns>(row: &R) -> Result<WebhookDelivery, DatabaseError> {
    let state: DeliveryState = row.parsed("state")?;
    let due_at = row.integer("due_at")?;
    let is_due = state == DeliveryState::Pending && due_at != super::BEHIND;
    Ok(WebhookDelivery {
        id: WebhookDeliveryId::from_uuid(row.uuid("id")?),
        account_id: AccountId::from_uuid(row.uuid("account_id")?),
        endpoint_id: WebhookEndpointId::from_uuid(row.uuid("endpoint_id")?),
        event_id: EventId::from_uuid(row.uuid("event_id")?),
        sequence: row.number("sequence")?,
        kind: row.parsed("type")?,
        subject: row.text("subject")?,
        state,
        attempts: row.number("attempts")?,
        due_at: is_due.then(|| Timestamp::from_unix_micros(due_at)),
        give_up_at: row.time("give_up_at")?,
        created_at: row.time("created_at")?,
        attempted_at: row.time_opt("attempted_at")?,
        finished_at: row.time_opt("finished_at")?,
        last_status: row.number_opt("last_status")?,
        last_error: row.text_opt("last_error")?,
        last_duration_ms: row.number_opt("last_duration_ms")?,
    })
}

/// Beyond it a backlog is only "more": counting is not free.
const MAX_COUNTED: i64 = 100_000;
