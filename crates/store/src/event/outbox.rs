//! Writing events, in the transaction of the change that they tell.

use super::calls::{Told, of_call};
use super::draft::Draft;
use crate::DatabaseError;
use crate::postgres::{PostgresPools, PostgresTransaction};
use crate::row::{Columns, stored};
use crate::sqlite::SqlitePools;
use crate::store::now;
use sqlx::Sqlite;
use tandem_model::{CallRecord, Timestamp};

macro_rules! outbox {
    ($pools:ty, $transaction:ty) => {
        impl $pools {
            /// Writes events of accounts that somebody listens to; those of others are passed over. To be done last in a
            /// transaction: it locks the stream of each account until the end, so that what is written becomes visible in the order
            /// of its numbers.
            pub(crate) async fn append_events(
                &self,
                transaction: &mut $transaction,
                mut drafts: Vec<Draft>,
            ) -> Result<(), DatabaseError> {
                let written_at = now().unix_micros();
                // In one order everywhere, so that nobody waits for each other. Those of an account stay in theirs.
                drafts.sort_by_key(|draft| draft.account);
                for drafts in drafts.chunk_by(|one, next| one.account == next.account) {
                    let Some(account) = drafts.first().map(|draft| draft.account) else { continue };
                    let reserved = sqlx::query(RESERVE)
                        .bind(account.as_uuid())
                        .bind(stored(drafts.len() as u64))
                        .bind(written_at)
                        .fetch_optional(&mut **transaction)
                        .await?;
                    let Some(row) = reserved else { continue };
                    let last = row.integer("last_sequence")?;
                    for (sequence, draft) in (1..=last).rev().zip(drafts.iter().rev()) {
                        sqlx::query(INSERT_EVENT)
                            .bind(account.as_uuid())
                            .bind(sequence)
                            .bind(draft.id.as_uuid())
                            .bind(draft.kind.as_str())
                            .bind(draft.subject.as_str())
                            .bind(draft.at.unix_micros())
                            .bind(written_at)
                            .bind(draft.data.as_str())
                            .execute(&mut **transaction)
                            .await?;
                    }
                }
                Ok(())
            }

            /// As [`Self::append_events`], with those that a state of a call is worth that a client wrote. The call is stored.
            pub(crate) async fn append_call_events(
                &self,
                transaction: &mut $transaction,
                call: &CallRecord,
                at: Timestamp,
            ) -> Result<(), DatabaseError> {
                let row = sqlx::query(LISTENED_CALL)
                    .bind(call.id.as_uuid())
                    .bind(call.account_id.as_uuid())
                    .bind(now().unix_micros())
                    .fetch_optional(&mut **transaction)
                    .await?;
                let Some(row) = row else { return Ok(()) };
                let before = Told::from_stored(row.integer("told")?);
                let (drafts, told) = of_call(call, before, at)?;
                if told == before {
                    return Ok(());
                }
                sqlx::query("UPDATE call_logs SET told = $2 WHERE id = $1")
                    .bind(call.id.as_uuid())
                    .bind(told.stored())
                    .execute(&mut **transaction)
                    .await?;
                self.append_events(transaction, drafts).await
            }
        }
    };
}

outbox!(SqlitePools, sqlx::Transaction<'static, Sqlite>);
outbox!(PostgresPools, PostgresTransaction);

/// `$1` is the account, `$2` how many numbers to take, `$3` now. No row when nobody listens.
pub(crate) const RESERVE: &str = "UPDATE event_streams SET last_sequence = last_sequence + $2
    WHERE account_id = $1 AND (endpoints > 0 OR listening_until > $3) RETURNING last_sequence";

pub(crate) const INSERT_EVENT: &str =
    "INSERT INTO events (account_id, sequence, id, type, subject, at, written_at, data)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";

/// What was told of a call, if somebody listens to its account.
const LISTENED_CALL: &str = "SELECT call_logs.told FROM call_logs
    JOIN event_streams ON event_streams.account_id = call_logs.account_id
    WHERE call_logs.id = $1 AND call_logs.account_id = $2
        AND (event_streams.endpoints > 0 OR event_streams.listening_until > $3)";
