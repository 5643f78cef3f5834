use crate::audit::ActTransaction;
use crate::error::{from_database, is_unique_violation};
use crate::pool::on_pool;
use crate::routing::BUMP_REVISION;
use crate::row::{Columns, page};
use crate::seal::SealingKey;
use crate::store::{now, random};
use crate::{Act, Change, DatabaseError, Store};
use serde_json::{Value, json};
use tandem_model::{Account, AccountId, Tier, Timestamp};

/// What to change of an account; `None` leaves it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccountChange {
    /// The tier.
    pub tier: Option<Tier>,
    /// The override of the number of trunks; `Some(None)` takes it away.
    pub max_trunks: Option<Option<u32>>,
    /// The override of the number of concurrent calls; `Some(None)` takes it away.
    pub max_calls: Option<Option<u32>>,
}

/// Why an account was not added.
#[derive(Debug, thiserror::Error)]
pub enum InsertAccountError {
    /// Another account has its name.
    #[error("an account of that name exists")]
    NameTaken,
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// Why an account was not changed.
#[derive(Debug, thiserror::Error)]
pub enum UpdateAccountError {
    /// There is none of this id.
    #[error("no such account")]
    NotFound,
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

from_database!(InsertAccountError, UpdateAccountError);

impl Store {
    /// Adds an account, with a data key of its own for its secrets.
    ///
    /// # Errors
    /// [`InsertAccountError::NameTaken`].
    pub async fn insert_account(&self, act: &Act, account: &Account) -> Result<(), InsertAccountError> {
        let data_key = SealingKey::generate()?;
        on_pool!(self, pools => {
            let mut transaction = pools.begin().await?;
            // Sealed here, so that who rotates the master key finds either the row or nobody who is about to write it.
            let data_key = self.master_key().seal_key(&data_key, account.id)?;
            let inserted = sqlx::query(
                "INSERT INTO accounts (id, name, tier, max_trunks, max_calls, data_key, created_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7)",
            )
            .bind(account.id.as_uuid())
            .bind(account.name.as_str())
            .bind(account.tier.as_str())
            .bind(account.max_trunks.map(i64::from))
            .bind(account.max_calls.map(i64::from))
            .bind(data_key)
            .bind(account.created_at.unix_micros())
            .execute(&mut *transaction)
            .await;
            match inserted {
                Err(error) if is_unique_violation(&error) => return Err(InsertAccountError::NameTaken),
                inserted => inserted?,
            };
            sqlx::query(BUMP_REVISION).execute(&mut *transaction).await?;
            transaction.finish(self, act, Change::new(account.id, "account.create", &account.id).made(audited(account))).await?;
        });
        Ok(())
    }

    /// An account by its id.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn account(&self, id: AccountId) -> Result<Option<Account>, DatabaseError> {
        on_pool!(self, pools => sqlx::query("SELECT * FROM accounts WHERE id = $1")
            .bind(id.as_uuid())
            .fetch_optional(&pools.reader)
            .await?
            .map(|row| read_account(&row))
            .transpose())
    }

    /// An account by its name.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn account_by_name(&self, name: &str) -> Result<Option<Account>, DatabaseError> {
        on_pool!(self, pools => sqlx::query("SELECT * FROM accounts WHERE name = $1")
            .bind(name)
            .fetch_optional(&pools.reader)
            .await?
            .map(|row| read_account(&row))
            .transpose())
    }

    /// Whether admins of this account may act for others: it is the operator's own. `false` when there is no such account.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn is_node_admin(&self, id: AccountId) -> Result<bool, DatabaseError> {
        let found = on_pool!(self, pools => sqlx::query("SELECT node_admin FROM accounts WHERE id = $1")
            .bind(id.as_uuid())
            .fetch_optional(&pools.reader)
            .await?
            .map(|row| row.boolean("node_admin"))
            .transpose()?);
        Ok(found.unwrap_or(false))
    }

    /// Accounts by name, at most [`MAX_PAGE`](crate::MAX_PAGE).
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn accounts(&self, skip: u32, limit: u32) -> Result<Vec<Account>, DatabaseError> {
        let (limit, skip) = page(skip, limit);
        on_pool!(self, pools => sqlx::query("SELECT * FROM accounts ORDER BY name LIMIT $1 OFFSET $2")
            .bind(limit)
            .bind(skip)
            .fetch_all(&pools.reader)
            .await?
            .iter()
            .map(read_account)
            .collect())
    }

    /// Changes tier and limits; gives the account as it is then.
    ///
    /// # Errors
    /// [`UpdateAccountError::NotFound`].
    pub async fn update_account(
        &self,
        act: &Act,
        id: AccountId,
        change: AccountChange,
    ) -> Result<Account, UpdateAccountError> {
        on_pool!(self, pools => {
            let mut transaction = pools.begin().await?;
            let row = sqlx::query("SELECT * FROM accounts WHERE id = $1")
                .bind(id.as_uuid())
                .fetch_optional(&mut *transaction)
                .await?
                .ok_or(UpdateAccountError::NotFound)?;
            let mut account = read_account(&row)?;
            let before = audited(&account);
            account.tier = change.tier.unwrap_or(account.tier);
            account.max_trunks = change.max_trunks.unwrap_or(account.max_trunks);
            account.max_calls = change.max_calls.unwrap_or(account.max_calls);
            sqlx::query("UPDATE accounts SET tier = $2, max_trunks = $3, max_calls = $4 WHERE id = $1")
                .bind(id.as_uuid())
                .bind(account.tier.as_str())
                .bind(account.max_trunks.map(i64::from))
                .bind(account.max_calls.map(i64::from))
                .execute(&mut *transaction)
                .await?;
            sqlx::query(BUMP_REVISION).execute(&mut *transaction).await?;
            let change = Change::new(id, "account.update", &id).changed(before, audited(&account));
            transaction.finish(self, act, change).await?;
            Ok(account)
        })
    }

    /// The account of this name; made with tier enterprise when there is none. Its admins may act for other accounts; else an account
    /// that is there stays as it is.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn ensure_admin_account(&self, act: &Act, name: &str) -> Result<Account, DatabaseError> {
        let account = self.ensure_account(act, name).await?;
        on_pool!(self, pools => {
            let mut transaction = pools.begin().await?;
            let raised = sqlx::query("UPDATE accounts SET node_admin = $2 WHERE id = $1 AND node_admin <> $2")
                .bind(account.id.as_uuid())
                .bind(true)
                .execute(&mut *transaction)
                .await?
                .rows_affected();
            if raised > 0 {
                let change = Change::new(account.id, "account.update", &account.id);
                let change = change.changed(json!({"node_admin": false}), json!({"node_admin": true}));
                transaction.finish(self, act, change).await?;
            } else {
                transaction.rollback().await?;
            }
        });
        Ok(account)
    }

    /// An account as a platform token shows it: its tier becomes that of the token, unless one that was issued later set it.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn account_with_tier(
        &self,
        act: &Act,
        id: AccountId,
        tier: Tier,
        claimed_at: Timestamp,
    ) -> Result<Option<Account>, DatabaseError> {
        let found = on_pool!(self, pools => sqlx::query("SELECT * FROM accounts WHERE id = $1")
            .bind(id.as_uuid())
            .fetch_optional(&pools.reader)
            .await?
            .map(|row| Ok::<_, DatabaseError>((read_account(&row)?, row.time_opt("tier_claimed_at")?)))
            .transpose()?);
        let Some((account, last_claimed_at)) = found else {
            return Ok(None);
        };
        // Nothing is written for a token that changes nothing.
        if account.tier == tier || last_claimed_at.is_some_and(|last| claimed_at <= last) {
            return Ok(Some(account));
        }
        let followed = on_pool!(self, pools => {
            let mut transaction = pools.begin().await?;
            let followed = sqlx::query(
                "UPDATE accounts SET tier = $2, tier_claimed_at = $3
                 WHERE id = $1 AND (tier_claimed_at IS NULL OR tier_claimed_at < $3)",
            )
            .bind(id.as_uuid())
            .bind(tier.as_str())
            .bind(claimed_at.unix_micros())
            .execute(&mut *transaction)
            .await?
            .rows_affected();
            if followed > 0 {
                sqlx::query(BUMP_REVISION).execute(&mut *transaction).await?;
                let after = Account { tier, ..account.clone() };
                let change = Change::new(id, "account.update", &id).changed(audited(&account), audited(&after));
                transaction.finish(self, act, change).await?;
            }
            followed > 0
        });
        Ok(Some(if followed { Account { tier, ..account } } else { account }))
    }

    async fn ensure_account(&self, act: &Act, name: &str) -> Result<Account, DatabaseError> {
        if let Some(account) = self.account_by_name(name).await? {
            return Ok(account);
        }
        let created_at = now();
        let account = Account {
            id: AccountId::new(created_at, random()?),
            name: name.to_owned(),
            tier: Tier::Enterprise,
            max_trunks: None,
            max_calls: None,
            created_at,
        };
        match self.insert_account(act, &account).await {
            Ok(()) => Ok(account),
            // Another process was faster.
            Err(InsertAccountError::NameTaken) => {
                self.account_by_name(name).await?.ok_or(DatabaseError::Query(sqlx::Error::RowNotFound))
            }
            Err(InsertAccountError::Database(error)) => Err(error),
        }
    }
}

/// What the audit log tells of an account.
fn audited(account: &Account) -> Value {
    json!({
        "name": account.name,
        "tier": account.tier,
        "max_trunks": account.max_trunks,
        "max_calls": account.max_calls,
    })
}

/// Reads a row of `accounts`; the data key stays sealed in it.
pub(crate) fn read_account<R: Columns>(row: &R) -> Result<Account, DatabaseError> {
    Ok(Account {
        id: AccountId::from_uuid(row.uuid("id")?),
        name: row.text("name")?,
        tier: row.parsed("tier")?,
        max_trunks: row.number_opt("max_trunks")?,
        max_calls: row.number_opt("max_calls")?,
        created_at: row.time("created_at")?,
    })
}
