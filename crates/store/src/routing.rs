use crate::account::read_account;
use crate::number::{LIST_ROUTES, read_route};
use crate::pool::on_pool;
use crate::row::Columns;
use crate::trunk::{read_data_key, read_trunk};
use crate::{DatabaseError, MAX_PAGE, Store};
use std::collections::HashMap;
use tandem_model::{Account, AccountId, NumberRoute, Trunk, TrunkId};
use uuid::Uuid;

/// Everything that routing reads, as of one moment.
#[derive(Clone, Debug)]
pub struct RoutingSnapshot {
    /// The revision it shows.
    pub revision: u64,
    /// Every account but those whose rows do not read: one bad row does not stop the calls of the others.
    pub accounts: Vec<Account>,
    /// Every trunk that is not deleted, by account, priority, age.
    pub trunks: Vec<Trunk>,
    /// Every number.
    pub numbers: Vec<NumberRoute>,
    /// Trunks whose rows do not read, with why. They are left out, so that one bad row does not stop all calls.
    pub unreadable: Vec<(TrunkId, String)>,
}

impl Store {
    /// Counts the changes of accounts, trunks and keys: one cheap query, to be asked often. It takes two seconds at most.
    ///
    /// It is also the look at the database, on a connection of its own: as long as a server gives no answer here, everything else
    /// that needs one fails at once, [`DatabaseError::is_transient`], and what waits for one is given up. See [`Store::answers`].
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn revision(&self) -> Result<u64, DatabaseError> {
        on_pool!(self, pools => pools.look(READ_REVISION, "revision").await)
    }

    /// Whether the database answered when [`Store::revision`] was last asked; true before that.
    #[must_use]
    pub fn answers(&self) -> bool {
        on_pool!(self, pools => pools.answers())
    }

    /// Everything that routing reads.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn routing_snapshot(&self) -> Result<RoutingSnapshot, DatabaseError> {
        let mut accounts = Vec::new();
        let mut data_keys = HashMap::new();
        let mut trunks: Vec<Trunk> = Vec::new();
        let mut numbers = Vec::new();
        let mut unreadable = Vec::new();
        let revision = on_pool!(self, pools => {
            // One transaction, so that revision, accounts and trunks are of one moment.
            let mut transaction = pools.snapshot().await?;
            let revision = sqlx::query(READ_REVISION).fetch_one(&mut *transaction).await?.number("revision")?;
            let mut after = Uuid::nil();
            loop {
                let rows = sqlx::query("SELECT * FROM accounts WHERE id > $1 ORDER BY id LIMIT $2")
                    .bind(after)
                    .bind(i64::from(MAX_PAGE))
                    .fetch_all(&mut *transaction)
                    .await?;
                for row in &rows {
                    after = row.uuid("id")?;
                    match read_account(row) {
                        Ok(account) => {
                            data_keys.insert(account.id, read_data_key(row, self.master_key(), account.id));
                            accounts.push(account);
                        }
                        Err(error) => tracing::error!(%error, account = %after, "an account cannot be read and has no calls"),
                    }
                }
                if rows.len() < MAX_PAGE as usize {
                    break;
                }
            }
            let mut after = Uuid::nil();
            loop {
                let rows = sqlx::query("SELECT * FROM trunks WHERE id > $1 AND deleted_at IS NULL ORDER BY id LIMIT $2")
                    .bind(after)
                    .bind(i64::from(MAX_PAGE))
                    .fetch_all(&mut *transaction)
                    .await?;
                for row in &rows {
                    after = row.uuid("id")?;
                    let account = AccountId::from_uuid(row.uuid("account_id")?);
                    let read = match data_keys.get(&account) {
                        Some(Ok(key)) => read_trunk(row, key).map_err(|error| error.to_string()),
                        Some(Err(error)) => Err(error.to_string()),
                        None => Err("its account does not exist, or cannot be read".to_owned()),
                    };
                    match read {
                        Ok(trunk) => trunks.push(trunk),
                        Err(reason) => unreadable.push((TrunkId::from_uuid(after), reason)),
                    }
                }
                if rows.len() < MAX_PAGE as usize {
                    break;
                }
            }
            let mut after = String::new();
            loop {
                let rows = sqlx::query(LIST_ROUTES)
                    .bind(after.as_str())
                    .bind(i64::from(MAX_PAGE))
                    .fetch_all(&mut *transaction)
                    .await?;
                for row in &rows {
                    after = row.text("number")?;
                    match read_route(row) {
                        Ok(number) => numbers.push(number),
                        Err(error) => tracing::error!(%error, "a number cannot be read and takes no calls"),
                    }
                }
                if rows.len() < MAX_PAGE as usize {
                    break;
                }
            }
            transaction.rollback().await?;
            revision
        });
        trunks.sort_by_key(|trunk| (trunk.account_id, trunk.priority, trunk.created_at, trunk.id));
        Ok(RoutingSnapshot { revision, accounts, trunks, numbers, unreadable })
    }
}

/// Part of every transaction that changes accounts, trunks, numbers or keys.
pub(crate) const BUMP_REVISION: &str = "UPDATE routing_revision SET revision = revision + 1 WHERE id = 1";
const READ_REVISION: &str = "SELECT revision FROM routing_revision WHERE id = 1";
