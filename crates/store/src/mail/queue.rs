//! Sending mails: who takes which, and what becomes of them.

use super::MailText;
use super::append::HOUR;
use crate::event::REMOVED_AT_ONCE;
use crate::pool::on_pool;
use crate::row::{Columns, stored};
use crate::{DatabaseError, Store};
use std::time::Duration;
use tandem_model::{AccountId, MailId, Timestamp};

/// A mail that is this node's for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimedMail {
    /// Its id, the same however often it is tried.
    pub id: MailId,
    /// Whose.
    pub account_id: AccountId,
    /// Where it goes.
    pub recipient: String,
    /// What it says.
    pub text: MailText,
    /// When it was written.
    pub created_at: Timestamp,
    /// How often it was tried before.
    pub attempts: u32,
    /// When it is given up.
    pub give_up_at: Timestamp,
}

/// What comes of an attempt to send a mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MailEnd {
    /// The server has taken it.
    Sent,
    /// Another attempt, then; why this one failed.
    Again(Timestamp, String),
    /// No more; why.
    Dead(String),
}

/// Mails over all accounts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MailBacklog {
    /// Those that are to be sent, at most 100,000.
    pub pending: u64,
    /// Those that were given up and are still kept, at most 100,000.
    pub dead: u64,
    /// When the oldest of those was written that are to be sent.
    pub oldest: Option<Timestamp>,
}

impl Store {
    /// Takes mails that are due, the longest due first, at most `limit`: they are this node's for `hold`.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn claim_mails(
        &self,
        now: Timestamp,
        hold: Duration,
        limit: u32,
    ) -> Result<Vec<ClaimedMail>, DatabaseError> {
        on_pool!(self, pools => {
            // A look first, so that nothing is written while there is nothing to send.
            let is_any = sqlx::query("SELECT 1 AS one FROM mails WHERE state = 'pending' AND due_at <= $1 LIMIT 1")
                .bind(now.unix_micros())
                .fetch_optional(&pools.reader)
                .await?;
            if is_any.is_none() {
                return Ok(Vec::new());
            }
            sqlx::query(CLAIM)
                .bind(self.node_id().as_uuid())
                .bind(now.saturating_add(hold).unix_micros())
                .bind(now.unix_micros())
                .bind(i64::from(limit))
                .fetch_all(&pools.writer)
                .await?
                .iter()
                .map(read_mail)
                .collect()
        })
    }

    /// Gives up what an earlier process of this node had taken: it is due again.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn release_mail_claims(&self) -> Result<(), DatabaseError> {
        on_pool!(self, pools => sqlx::query(
                "UPDATE mails SET claimed_by = NULL, claimed_until = 0 WHERE state = 'pending' AND claimed_until > 0 AND claimed_by = $1",
            )
            .bind(self.node_id().as_uuid())
            .execute(&pools.writer)
            .await
            .map(drop)?);
        Ok(())
    }

    /// Writes down what became of an attempt. `false` when the mail was this node's no longer: then nothing is written.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn finish_mail(&self, id: MailId, at: Timestamp, end: &MailEnd) -> Result<bool, DatabaseError> {
        let now = at.unix_micros();
        let (state, due_at, finished_at, error) = match end {
            MailEnd::Sent => ("sent", 0, Some(now), None),
            MailEnd::Again(due, error) => ("pending", due.unix_micros(), None, Some(error)),
            MailEnd::Dead(error) => ("dead", 0, Some(now), Some(error)),
        };
        let written = on_pool!(self, pools => sqlx::query(
                "UPDATE mails SET state = $3, due_at = $4, finished_at = $5, last_error = $6, attempts = attempts + 1, claimed_by = NULL,
                     claimed_until = 0
                 WHERE id = $1 AND claimed_by = $2 AND state = 'pending'",
            )
            .bind(id.as_uuid())
            .bind(self.node_id().as_uuid())
            .bind(state)
            .bind(due_at)
            .bind(finished_at)
            .bind(error.map(String::as_str))
            .execute(&pools.writer)
            .await?
            .rows_affected());
        Ok(written > 0)
    }

    /// Tells accounts by mail how many alerts they were not told of because there were too many within an hour, once that is over; gives
    /// how many accounts.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn tell_left_out(&self, now: Timestamp, compose: fn(u64) -> MailText) -> Result<usize, DatabaseError> {
        let hour_ago = now.saturating_sub(HOUR).unix_micros();
        let mut told = 0;
        on_pool!(self, pools => {
            let due = sqlx::query("SELECT account_id, left_out FROM mail_limits WHERE left_out > 0 AND window_began <= $1")
                .bind(hour_ago)
                .fetch_all(&pools.reader)
                .await?;
            for row in &due {
                let account = AccountId::from_uuid(row.uuid("account_id")?);
                let left_out: u64 = row.number("left_out")?;
                let mut transaction = pools.begin_calls().await?;
                let taken = sqlx::query(
                    "UPDATE mail_limits SET window_began = $2, sent = 1, left_out = 0
                     WHERE account_id = $1 AND left_out = $3 AND window_began <= $4",
                )
                .bind(account.as_uuid())
                .bind(now.unix_micros())
                .bind(stored(left_out))
                .bind(hour_ago)
                .execute(&mut *transaction)
                .await?;
                if taken.rows_affected() == 0 {
                    // Another node tells it, or there is one more by now, and the next look tells of all.
                    continue;
                }
                let recipients = pools.mail_recipients(&mut transaction, account).await?;
                pools.write_mails(&mut transaction, account, &recipients, &compose(left_out), now).await?;
                transaction.commit().await?;
                told += 1;
            }
        });
        Ok(told)
    }

    /// What is to be sent, and what was given up.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn mail_backlog(&self) -> Result<MailBacklog, DatabaseError> {
        on_pool!(self, pools => {
            let row = sqlx::query(
                "SELECT CAST((SELECT count(*) FROM (SELECT 1 FROM mails WHERE state = 'pending' LIMIT $1) AS counted) AS BIGINT) AS pending,
                     CAST((SELECT count(*) FROM (SELECT 1 FROM mails WHERE finished_at IS NOT NULL AND state = 'dead' LIMIT $1) AS counted)
                         AS BIGINT) AS dead,
                     (SELECT min(created_at) FROM (SELECT created_at FROM mails WHERE state = 'pending' LIMIT $1) AS oldest) AS oldest",
            )
            .bind(MAX_COUNTED)
            .fetch_one(&pools.reader)
            .await?;
            Ok(MailBacklog {
                pending: row.number("pending")?,
                dead: row.number("dead")?,
                oldest: row.time_opt("oldest")?,
            })
        })
    }

    /// Removes mails that were sent or given up before then, at most [`REMOVED_AT_ONCE`](crate::REMOVED_AT_ONCE); gives how many.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn remove_mails_before(&self, before: Timestamp) -> Result<u64, DatabaseError> {
        Ok(on_pool!(self, pools => sqlx::query(
                "DELETE FROM mails WHERE id IN (SELECT id FROM mails WHERE finished_at < $1 ORDER BY finished_at LIMIT $2)",
            )
            .bind(before.unix_micros())
            .bind(i64::from(REMOVED_AT_ONCE))
            .execute(&pools.writer)
            .await?
            .rows_affected()))
    }
}

fn read_mail<R: Columns>(row: &R) -> Result<ClaimedMail, DatabaseError> {
    Ok(ClaimedMail {
        id: MailId::from_uuid(row.uuid("id")?),
        account_id: AccountId::from_uuid(row.uuid("account_id")?),
        recipient: row.text("recipient")?,
        text: MailText { subject: row.text("subject")?, body: row.text("body")? },
        created_at: row.time("created_at")?,
        attempts: row.number("attempts")?,
        give_up_at: row.time("give_up_at")?,
    })
}

/// `$1` is the node, `$2` until when, `$3` now, `$4` how many. What two nodes choose at once is looked at again by the one that waited.
const CLAIM: &str =
    "UPDATE mails SET claimed_by = $1, claimed_until = $2 WHERE claimed_until <= $3 AND state = 'pending' AND id IN
    (SELECT id FROM mails WHERE state = 'pending' AND due_at <= $3 AND claimed_until <= $3 ORDER BY due_at LIMIT $4)
    RETURNING *";

/// Beyond it a backlog is only "more": counting is not free.
const MAX_COUNTED: i64 = 100_000;
