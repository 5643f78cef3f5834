use crate::call::{read_call, read_leg};
use crate::pool::on_pool;
use crate::row::Columns;
use crate::store::now;
use crate::traffic::change::MINUTES_KEPT_US;
use crate::traffic::{CallFacts, LegFacts, TrafficChange};
use crate::{DatabaseError, Store};

impl Store {
    /// Counts some of the calls and legs that an earlier build stored, before there were statistics; `false` once all are counted. A
    /// call that is written meanwhile counts once as well.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn count_earlier_calls(&self) -> Result<bool, DatabaseError> {
        on_pool!(self, pools => {
            let mut transaction = pools.begin_calls().await?;
            let Some(place) = sqlx::query(NEXT_SUBJECT).fetch_optional(&mut *transaction).await? else {
                return Ok(false);
            };
            let subject = place.text("subject")?;
            let from = place.uuid("counted_to")?;
            let is_calls = subject == CALLS;
            let last = sqlx::query(if is_calls { LAST_CALL } else { LAST_LEG })
                .bind(from)
                .bind(ROWS_AT_ONCE)
                .fetch_optional(&mut *transaction)
                .await?
                .map(|row| row.uuid("last"))
                .transpose()?;
            let mut change = TrafficChange::default();
            if let Some(last) = last {
                // Marked and read by one statement, so that who else counts or writes a row comes before or after.
                let rows = sqlx::query(if is_calls { COUNT_CALLS } else { COUNT_LEGS })
                    .bind(from)
                    .bind(last)
                    .fetch_all(&mut *transaction)
                    .await?;
                for row in &rows {
                    if is_calls {
                        change.add(CallFacts::from(&read_call(row)?).share());
                    } else {
                        let leg = read_leg(row)?;
                        // As the row has it, so that the same is taken away when it is written again.
                        let facts = LegFacts { mos_millis: row.integer_opt("mos_millis")?, ..LegFacts::from(&leg) };
                        change.add(facts.share());
                    }
                }
            }
            pools.write_traffic(&mut transaction, &change.rows(now())).await?;
            sqlx::query("UPDATE traffic_backfill SET counted_to = $2, done = $3 WHERE subject = $1")
                .bind(subject)
                .bind(last.unwrap_or(from))
                .bind(last.is_none())
                .execute(&mut *transaction)
                .await?;
            transaction.commit().await?;
        });
        Ok(true)
    }

    /// Removes statistics of single minutes that are older than anybody asks for; gives how many.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn remove_old_minutes(&self) -> Result<u64, DatabaseError> {
        let before = now().unix_micros().saturating_sub(MINUTES_KEPT_US);
        Ok(on_pool!(self, pools => sqlx::query("DELETE FROM traffic WHERE grain = 'minute' AND began_at < $1")
            .bind(before)
            .execute(&pools.writer)
            .await?
            .rows_affected()))
    }
}

const CALLS: &str = "calls";
/// Of both backends: who comes second sees what the first has done, as he changes the row that the first has changed.
const NEXT_SUBJECT: &str = "UPDATE traffic_backfill SET counted_to = counted_to
    WHERE subject = (SELECT min(subject) FROM traffic_backfill WHERE done = FALSE) AND done = FALSE
    RETURNING subject, counted_to";
const LAST_CALL: &str = "SELECT id AS last FROM (SELECT id FROM call_logs WHERE id > $1 ORDER BY id LIMIT $2) AS next ORDER BY id DESC LIMIT 1";
const LAST_LEG: &str = "SELECT call_log_id AS last
    FROM (SELECT call_log_id FROM call_legs WHERE call_log_id > $1 ORDER BY call_log_id LIMIT $2) AS next
    ORDER BY call_log_id DESC LIMIT 1";
const COUNT_CALLS: &str =
    "UPDATE call_logs SET counted = TRUE WHERE id > $1 AND id <= $2 AND counted = FALSE RETURNING *";
const COUNT_LEGS: &str =
    "UPDATE call_legs SET counted = TRUE WHERE call_log_id > $1 AND call_log_id <= $2 AND counted = FALSE RETURNING *";
/// Some ten milliseconds of work, for which nobody else can write a file of SQLite.
const ROWS_AT_ONCE: i64 = 500;
