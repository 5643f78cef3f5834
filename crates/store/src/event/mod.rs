//! Events of accounts: written with the change that they tell, read in their order.

mod calls;
mod draft;
mod outbox;

pub(crate) use calls::{Exhausted, News, Tellings, Told, credit_exhausted};
pub(crate) use draft::Draft;
pub(crate) use outbox::{INSERT_EVENT, RESERVE};

use crate::pool::on_pool;
use crate::row::{Columns, stored};
use crate::store::now;
use crate::{DatabaseError, MAX_PAGE, Store};
use std::time::Duration;
use tandem_model::{AccountId, Event, EventId, JsonText, Timestamp};

/// Events of an account after some place, in their order.
#[derive(Clone, Debug, PartialEq)]
pub struct EventPage {
    /// The events.
    pub events: Vec<Event>,
    /// Whether there were others between that place and the first of these, or whether there is no such place: events that are kept
    /// no longer, or were not written because nobody listened.
    pub has_gap: bool,
    /// The place to go on from: the number of the last event here, or of the latest one when there are none.
    pub next: u64,
}

impl Store {
    /// Somebody listens to an account: from now on, and for [`LISTENED_FOR`] longer, its events are written. Gives the number of its
    /// latest event.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn listen(&self, account: AccountId) -> Result<u64, DatabaseError> {
        self.listen_at(account, now()).await
    }

    /// As [`Store::listen`], at another moment than now.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn listen_at(&self, account: AccountId, now: Timestamp) -> Result<u64, DatabaseError> {
        on_pool!(self, pools => sqlx::query(LISTEN)
            .bind(account.as_uuid())
            .bind(now.unix_micros())
            .bind(now.saturating_add(LISTENED_FOR).unix_micros())
            .fetch_one(&pools.writer)
            .await?
            .number("last_sequence"))
    }

    /// The numbers of the latest events of these accounts, in no order. Accounts that nobody ever listened to are left out.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn latest_events(&self, accounts: &[AccountId]) -> Result<Vec<(AccountId, u64)>, DatabaseError> {
        let mut latest = Vec::with_capacity(accounts.len());
        on_pool!(self, pools => {
            for account in accounts {
                let row = sqlx::query("SELECT last_sequence FROM event_streams WHERE account_id = $1")
                    .bind(account.as_uuid())
                    .fetch_optional(&pools.reader)
                    .await?;
                if let Some(row) = row {
                    latest.push((*account, row.number("last_sequence")?));
                }
            }
        });
        Ok(latest)
    }

    /// Events of an account after the one of this number, at most `limit` and [`MAX_PAGE`](crate::MAX_PAGE).
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn events_after(
        &self,
        account: AccountId,
        sequence: u64,
        limit: u32,
    ) -> Result<EventPage, DatabaseError> {
        on_pool!(self, pools => {
            // The latest first: what is written meanwhile is no gap.
            let latest = sqlx::query("SELECT last_sequence FROM event_streams WHERE account_id = $1")
                .bind(account.as_uuid())
                .fetch_optional(&pools.reader)
                .await?
                .map_or(Ok(0), |row| row.number::<u64>("last_sequence"))?;
            let events = sqlx::query(
                    "SELECT * FROM events WHERE account_id = $1 AND sequence > $2 ORDER BY sequence LIMIT $3",
                )
                .bind(account.as_uuid())
                .bind(stored(sequence))
                .bind(i64::from(limit.min(MAX_PAGE)))
                .fetch_all(&pools.reader)
                .await?
                .iter()
                .map(read_event)
                .collect::<Result<Vec<_>, _>>()?;
            let follows = |first: &Event| first.sequence == sequence.saturating_add(1);
            let has_gap = events.first().map_or(latest != sequence, |first| !follows(first));
            let next = events.last().map_or(latest, |last| last.sequence);
            Ok(EventPage { events, has_gap, next })
        })
    }

    /// Removes events that were written before then, at most [`REMOVED_AT_ONCE`]; gives how many.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn remove_events_before(&self, before: Timestamp) -> Result<u64, DatabaseError> {
        Ok(on_pool!(self, pools => sqlx::query(
                "DELETE FROM events WHERE (account_id, sequence) IN
                     (SELECT account_id, sequence FROM events WHERE written_at < $1 ORDER BY written_at LIMIT $2)",
            )
            .bind(before.unix_micros())
            .bind(i64::from(REMOVED_AT_ONCE))
            .execute(&pools.writer)
            .await?
            .rows_affected()))
    }
}

pub(crate) fn read_event<R: Columns>(row: &R) -> Result<Event, DatabaseError> {
    Ok(Event {
        id: EventId::from_uuid(row.uuid("id")?),
        account_id: AccountId::from_uuid(row.uuid("account_id")?),
        sequence: row.number("sequence")?,
        kind: row.parsed("type")?,
        subject: row.text("subject")?,
        at: row.time("at")?,
        data: JsonText::from_stored(row.text("data")?),
    })
}

/// `$1` is the account, `$2` now, `$3` until when it is listened to. Where nobody listened until now a number is left out, so that who
/// comes back sees that events are missing.
const LISTEN: &str =
    "INSERT INTO event_streams (account_id, last_sequence, endpoints, listening_until) VALUES ($1, 0, 0, $3)
    ON CONFLICT (account_id) DO UPDATE SET
        last_sequence = event_streams.last_sequence
            + CASE WHEN event_streams.endpoints = 0 AND event_streams.listening_until <= $2 THEN 1 ELSE 0 END,
        listening_until = CASE WHEN event_streams.listening_until > $3 THEN event_streams.listening_until ELSE $3 END
    RETURNING last_sequence";

/// How long events of an account are written after somebody has listened to it: who was cut off for a weekend finds them.
pub const LISTENED_FOR: Duration = Duration::from_secs(72 * 60 * 60);
/// Rows that are removed in one statement: a hundredth of a second of work.
pub const REMOVED_AT_ONCE: u32 = 2_000;
