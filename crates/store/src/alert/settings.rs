//! What accounts want to be told of.

use crate::audit::ActTransaction;
use crate::error::from_database;
use crate::pool::on_pool;
use crate::row::{Columns, to_json};
use crate::{Act, Change, DatabaseError, Stale, Store};
use serde_json::json;
use std::collections::HashMap;
use tandem_model::{AccountId, AlertSettings};

/// Why the settings of an account were not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeAlertSettingsError {
    /// They have another version than was named.
    #[error(transparent)]
    Stale(#[from] Stale),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

from_database!(ChangeAlertSettingsError);

impl Store {
    /// What an account has said about its alerts.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn alert_settings(&self, account: AccountId) -> Result<AlertSettings, DatabaseError> {
        on_pool!(self, pools => sqlx::query(FIND_SETTINGS)
            .bind(account.as_uuid())
            .fetch_optional(&pools.reader)
            .await?
            .map_or_else(|| Ok(AlertSettings::default()), |row| row.json("settings")))
    }

    /// The same of every account that has said anything.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn every_alert_settings(&self) -> Result<HashMap<AccountId, AlertSettings>, DatabaseError> {
        on_pool!(self, pools => sqlx::query("SELECT * FROM alert_settings")
            .fetch_all(&pools.reader)
            .await?
            .iter()
            .map(|row| Ok((AccountId::from_uuid(row.uuid("account_id")?), row.json("settings")?)))
            .collect())
    }

    /// Changes what an account wants to be told of; gives what is set then.
    ///
    /// # Errors
    /// [`ChangeAlertSettingsError`].
    pub async fn change_alert_settings(
        &self,
        act: &Act,
        account: AccountId,
        change: impl FnOnce(&mut AlertSettings) + Send,
    ) -> Result<AlertSettings, ChangeAlertSettingsError> {
        on_pool!(self, pools => {
            let mut transaction = pools.begin().await?;
            let row = sqlx::query(FIND_SETTINGS).bind(account.as_uuid()).fetch_optional(&mut *transaction).await?;
            let before: AlertSettings = row.map_or_else(|| Ok(AlertSettings::default()), |row| row.json("settings"))?;
            act.expects(&before)?;
            let mut after = before.clone();
            change(&mut after);
            sqlx::query(
                "INSERT INTO alert_settings (account_id, settings) VALUES ($1, $2)
                 ON CONFLICT (account_id) DO UPDATE SET settings = excluded.settings",
            )
            .bind(account.as_uuid())
            .bind(to_json(&after))
            .execute(&mut *transaction)
            .await?;
            let change = Change::new(account, "alert_settings.update", &account).changed(json!(before), json!(after));
            transaction.finish(self, act, change).await?;
            Ok(after)
        })
    }
}

/// `$1` is the account.
pub(crate) const FIND_SETTINGS: &str = "SELECT settings FROM alert_settings WHERE account_id = $1";
