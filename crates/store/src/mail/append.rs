//! Writing mails, in the transaction of what they tell.

use super::{ComposeMail, INSERT_MAIL};
use crate::DatabaseError;
use crate::alert::FIND_SETTINGS;
use crate::postgres::{PostgresPools, PostgresTransaction};
use crate::row::Columns;
use crate::sqlite::SqlitePools;
use crate::store::{now, random};
use sqlx::Sqlite;
use std::time::Duration;
use tandem_model::{Alert, AlertSettings, MailId, Timestamp};

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
                let row = sqlx::query(FIND_SETTINGS).bind(account.as_uuid()).fetch_optional(&mut **transaction).await?;
                let settings: AlertSettings =
                    row.map_or_else(|| Ok(AlertSettings::default()), |row| row.json("settings"))?;
                if settings.mail_to.is_empty() {
                    return Ok(());
                }
                let now = now();
                let left_out: u64 = sqlx::query(COUNT_MAIL)
                    .bind(account.as_uuid())
                    .bind(now.unix_micros())
                    .bind(an_hour_before(now).unix_micros())
                    .bind(MAILS_AN_HOUR)
                    .fetch_one(&mut **transaction)
                    .await?
                    .number("left_out")?;
                if left_out > 0 {
                    return Ok(());
                }
                let text = compose(alert);
                for recipient in &settings.mail_to {
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

pub(super) fn an_hour_before(now: Timestamp) -> Timestamp {
    Timestamp::from_unix_micros(now.unix_micros().saturating_sub(HOUR_US))
}

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
const HOUR_US: i64 = 60 * 60 * 1_000_000;
/// How long a mail is tried: who has not been told of an alert within a day need not be told.
pub(super) const MAIL_LIFE: Duration = Duration::from_secs(24 * 60 * 60);
