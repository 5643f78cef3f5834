//! Writing mails, in the transaction of what they tell.

use super::{ComposeMail, MailText};
use crate::DatabaseError;
use crate::alert::FIND_SETTINGS;
use crate::postgres::{PostgresPools, PostgresTransaction};
use crate::row::Columns;
use crate::sqlite::SqlitePools;
use crate::store::{now, random};
use sqlx::Sqlite;
use std::time::Duration;
use tandem_model::{AccountId, Alert, AlertSettings, MailId, Timestamp};

macro_rules! mails {
    ($pools:ty, $transaction:ty) => {
        impl $pools {
            /// Writes a mail of an alert to each address that its account wants told; or only counts it, when there were too many within
            /// the hour.
            pub(crate) async fn append_mails(
                &self,
                transaction: &mut $transaction,
                alert: &Alert,
                compose: ComposeMail,
            ) -> Result<(), DatabaseError> {
                let account = alert.account_id;
                let recipients = self.mail_recipients(transaction, account).await?;
                if recipients.is_empty() {
                    return Ok(());
                }
                let now = now();
                let left_out: u64 = sqlx::query(COUNT_MAIL)
                    .bind(account.as_uuid())
                    .bind(now.unix_micros())
                    .bind(now.saturating_sub(HOUR).unix_micros())
                    .bind(MAILS_AN_HOUR)
                    .fetch_one(&mut **transaction)
                    .await?
                    .number("left_out")?;
                if left_out > 0 {
                    return Ok(());
                }
                self.write_mails(transaction, account, &recipients, &compose(alert), now).await
            }

            /// The addresses that an account wants told.
            pub(super) async fn mail_recipients(
                &self,
                transaction: &mut $transaction,
                account: AccountId,
            ) -> Result<Vec<String>, DatabaseError> {
                let row = sqlx::query(FIND_SETTINGS).bind(account.as_uuid()).fetch_optional(&mut **transaction).await?;
                let settings: Option<AlertSettings> = row.map(|row| row.json("settings")).transpose()?;
                Ok(settings.unwrap_or_default().mail_to)
            }

            /// Writes a mail to each of these addresses, whatever was written before.
            pub(super) async fn write_mails(
                &self,
                transaction: &mut $transaction,
                account: AccountId,
                recipients: &[String],
                text: &MailText,
                now: Timestamp,
            ) -> Result<(), DatabaseError> {
                for recipient in recipients {
                    sqlx::query(INSERT_MAIL)
                        .bind(MailId::new(now, random()?).as_uuid())
                        .bind(account.as_uuid())
                        .bind(recipient.as_str())
                        .bind(text.subject.as_str())
                        .bind(text.body.as_str())
                        .bind(now.unix_micros())
                        .bind(now.saturating_add(MAIL_LIFE).unix_micros())
                        .execute(&mut **transaction)
                        .await?;
                }
                Ok(())
            }
        }
    };
}

mails!(SqlitePools, sqlx::Transaction<'static, Sqlite>);
mails!(PostgresPools, PostgresTransaction);

/// `$1` is the id, `$2` the account, `$3` the recipient, `$4` the subject, `$5` the body, `$6` now, `$7` when it is given up.
const INSERT_MAIL: &str =
    "INSERT INTO mails (id, account_id, recipient, subject, body, state, attempts, due_at, give_up_at, claimed_until, created_at)
     VALUES ($1, $2, $3, $4, $5, 'pending', 0, $6, $7, 0, $6)";

/// Counts a mail of the account `$1` at `$2`; `$3` is an hour before, `$4` how many there may be within one. It is to be written when
/// nothing was left out. What was left out is told before anything else is.
const COUNT_MAIL: &str = "INSERT INTO mail_limits (account_id, window_began, sent, left_out) VALUES ($1, $2, 1, 0)
    ON CONFLICT (account_id) DO UPDATE SET
        window_began = CASE WHEN mail_limits.window_began <= $3 AND mail_limits.left_out = 0 THEN $2 ELSE mail_limits.window_began END,
        sent = CASE WHEN mail_limits.window_began <= $3 AND mail_limits.left_out = 0 THEN 1
            WHEN mail_limits.sent < $4 THEN mail_limits.sent + 1 ELSE mail_limits.sent END,
        left_out = CASE WHEN mail_limits.window_began <= $3 AND mail_limits.left_out = 0 THEN 0
            WHEN mail_limits.sent < $4 THEN mail_limits.left_out ELSE mail_limits.left_out + 1 END
    RETURNING left_out";

/// Alerts that an account is told of by mail within an hour: what people can read, and what no mail server takes for a flood.
const MAILS_AN_HOUR: i64 = 20;
/// The time in which they are counted.
pub(super) const HOUR: Duration = Duration::from_secs(60 * 60);
/// How long a mail is tried: who has not been told of an alert within a day need not be told.
const MAIL_LIFE: Duration = Duration::from_secs(24 * 60 * 60);
