use crate::audit::ActTransaction;
use crate::error::{from_database, from_database_generic, is_unique_violation};
use crate::event::Draft;
use crate::list::{Bound, Condition, KeyKind, Listed, Listing, Part, ReadRow, SortKey};
use crate::pool::on_pool;
use crate::routing::BUMP_REVISION;
use crate::row::{Columns, stored, to_json};
use crate::seal::{Place, SealingKey};
use crate::trunk_price::SET_MONTHLY_PRICE;
use crate::trunk_source::{NewClaims, refuse_taken_sources};
use crate::version::moved_on;
use crate::{Act, Change, DatabaseError, MasterKey, Stale, Store};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::time::Duration;
use tandem_model::{
    AccountId, EventType, OutboundRouting, Provider, Secret, SourceClaim, Timestamp, Trunk, TrunkHealth, TrunkId,
    TrunkStatus,
};

/// Why a trunk was not added.
#[derive(Debug, thiserror::Error)]
pub enum InsertTrunkError {
    /// The account has a trunk of this name.
    #[error("the account has a trunk of that name")]
    NameTaken,
    /// The account has all the trunks it may have.
    #[error("the account has all its {limit} trunks")]
    LimitReached {
        /// How many it may have.
        limit: u32,
    },
    /// Calls from an address that it names are another account's, and the address is not shared.
    #[error("{} names addresses of another account: {}", .0.field, .0.range)]
    SourceTaken(SourceClaim),
    /// `failover_trunk_id` is no other trunk of the account.
    #[error("failover_trunk_id names no other trunk of the account")]
    FailoverUnknown,
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// Why a trunk was not changed.
#[derive(Debug, thiserror::Error)]
pub enum UpdateTrunkError {
    /// The account has no such trunk.
    #[error("no such trunk")]
    NotFound,
    /// The account has another trunk of this name.
    #[error("the account has a trunk of that name")]
    NameTaken,
    /// Calls from an address that it names are another account's, and the address is not shared.
    #[error("{} names addresses of another account: {}", .0.field, .0.range)]
    SourceTaken(SourceClaim),
    /// `failover_trunk_id` is no other trunk of the account.
    #[error("failover_trunk_id names no other trunk of the account")]
    FailoverUnknown,
    /// It has another version than the act names.
    #[error(transparent)]
    Stale(#[from] Stale),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// Why a trunk was not changed by [`Store::change_trunk`].
#[derive(Debug, thiserror::Error)]
pub enum ChangeTrunkError<E> {
    /// The account has no such trunk.
    #[error("no such trunk")]
    NotFound,
    /// The account has another trunk of this name.
    #[error("the account has a trunk of that name")]
    NameTaken,
    /// Calls from an address that it names are another account's, and the address is not shared.
    #[error("{} names addresses of another account: {}", .0.field, .0.range)]
    SourceTaken(SourceClaim),
    /// `failover_trunk_id` is no other trunk of the account.
    #[error("failover_trunk_id names no other trunk of the account")]
    FailoverUnknown,
    /// It has another version than the act names.
    #[error(transparent)]
    Stale(#[from] Stale),
    /// The change was refused by who asked for it.
    #[error("the change was refused")]
    Refused(E),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// Why a trunk was not deleted.
#[derive(Debug, thiserror::Error)]
pub enum DeleteTrunkError {
    /// The account has no such trunk.
    #[error("no such trunk")]
    NotFound,
    /// It has another version than the act names.
    #[error(transparent)]
    Stale(#[from] Stale),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

from_database!(InsertTrunkError, DeleteTrunkError);
from_database_generic!(ChangeTrunkError);

/// Binds `$1` to `$29`, which adding and changing a trunk share.
macro_rules! bind_trunk {
    ($query:expr, $trunk:ident, $columns:ident) => {
        $query
            .bind($trunk.id.as_uuid())
            .bind($trunk.account_id.as_uuid())
            .bind($trunk.name.as_str())
            .bind($trunk.description.as_deref())
            .bind($trunk.provider.as_str())
            .bind($trunk.status.as_str())
            .bind($trunk.sip_domain.as_str())
            .bind(i64::from($trunk.sip_port))
            .bind($trunk.sip_proxy.as_deref())
            .bind($trunk.sip_username.as_str())
            .bind($columns.sip_password)
            .bind($trunk.auth_username.as_deref())
            .bind($columns.auth_password)
            .bind($trunk.call_direction.as_str())
            .bind(i64::from($trunk.max_concurrent_calls))
            .bind($columns.inbound_routing)
            .bind($columns.outbound_routing)
            .bind($columns.outbound)
            .bind($columns.codec_preferences)
            .bind($trunk.dtmf_mode.as_str())
            .bind($trunk.cost_per_minute.micros())
            .bind($trunk.monthly_cost.micros())
            .bind($columns.allowed_ips)
            .bind($trunk.encryption_enabled)
            .bind($trunk.failover_trunk_id.map(TrunkId::as_uuid))
            .bind($columns.custom_headers)
            .bind($columns.advanced_config)
            .bind(i64::from($trunk.priority))
            .bind($trunk.updated_at.unix_micros())
            .bind($columns.inbound)
    };
}

impl Store {
    /// Adds a trunk if the account has fewer than `limit`; its name must be free in the account, and addresses that it takes calls from
    /// must be no other account's.
    ///
    /// # Errors
    /// [`InsertTrunkError`].
    pub async fn insert_trunk(&self, act: &Act, trunk: &Trunk, limit: u32) -> Result<(), InsertTrunkError> {
        let account = trunk.account_id.as_uuid();
        on_pool!(self, pools => {
            let mut transaction = pools.begin().await?;
            let key = sqlx::query(READ_DATA_KEY).bind(account).fetch_one(&mut *transaction).await?;
            let key = read_data_key(&key, self.master_key(), trunk.account_id)?;
            let count: i64 =
                sqlx::query_scalar("SELECT count(*) FROM trunks WHERE account_id = $1 AND deleted_at IS NULL")
                    .bind(account)
                    .fetch_one(&mut *transaction)
                    .await?;
            if count >= i64::from(limit) {
                return Err(InsertTrunkError::LimitReached { limit });
            }
            if let Some(failover) = trunk.failover_trunk_id {
                let known = sqlx::query(FIND_TRUNK)
                    .bind(failover.as_uuid())
                    .bind(account)
                    .fetch_optional(&mut *transaction)
                    .await?;
                if known.is_none() || failover == trunk.id {
                    return Err(InsertTrunkError::FailoverUnknown);
                }
            }
            let claims = NewClaims::new(trunk, None, self.shared_carriers());
            refuse_taken_sources!(transaction, trunk.account_id, claims, InsertTrunkError::SourceTaken);
            let columns = StoredTrunk::new(trunk, &key)?;
            let inserted = bind_trunk!(sqlx::query(
                "INSERT INTO trunks (id, account_id, name, description, provider, status, sip_domain, sip_port, sip_proxy,
                     sip_username, sip_password, auth_username, auth_password, call_direction, max_concurrent_calls,
                     inbound_routing, outbound_routing, outbound, codec_preferences, dtmf_mode, cost_per_minute_micros,
                     monthly_cost_micros, allowed_ips, encryption_enabled, failover_trunk_id, custom_headers, advanced_config,
                     priority, updated_at, inbound, created_at, health_status, health_checked_at, health_latency_us,
                     health_loss_basis_points)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22,
                     $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35)",
            ), trunk, columns)
            .bind(trunk.created_at.unix_micros())
            .bind(trunk.health.status.as_str())
            .bind(trunk.health.checked_at.map(Timestamp::unix_micros))
            .bind(trunk.health.latency_us.map(stored))
            .bind(trunk.health.loss_basis_points.map(i64::from))
            .execute(&mut *transaction)
            .await;
            match inserted {
                Err(error) if is_unique_violation(&error) => return Err(InsertTrunkError::NameTaken),
                inserted => inserted?,
            };
            sqlx::query(SET_MONTHLY_PRICE)
                .bind(trunk.id.as_uuid())
                .bind(account)
                .bind(trunk.created_at.unix_micros())
                .bind(trunk.monthly_cost.micros())
                .execute(&mut *transaction)
                .await?;
            sqlx::query(BUMP_REVISION).execute(&mut *transaction).await?;
            let change = Change::new(trunk.account_id, "trunk.create", &trunk.id).made(audited(trunk));
            let event = told(EventType::TrunkCreated, trunk.account_id, trunk.id, act.at, told_of(trunk))?;
            pools.append_events(&mut transaction, vec![event]).await?;
            transaction.finish(self, act, change).await?;
        });
        Ok(())
    }

    /// A trunk of an account.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn trunk(&self, account: AccountId, id: TrunkId) -> Result<Option<Trunk>, DatabaseError> {
        on_pool!(self, pools => {
            let row = sqlx::query(
                "SELECT trunks.*, accounts.data_key FROM trunks JOIN accounts ON accounts.id = trunks.account_id
                 WHERE trunks.id = $1 AND trunks.account_id = $2 AND trunks.deleted_at IS NULL",
            )
            .bind(id.as_uuid())
            .bind(account.as_uuid())
            .fetch_optional(&pools.reader)
            .await?;
            let Some(row) = row else {
                return Ok(None);
            };
            let key = read_data_key(&row, self.master_key(), account)?;
            read_trunk(&row, &key).map(Some)
        })
    }

    /// Trunks of an account by priority, then age, at most [`MAX_PAGE`](crate::MAX_PAGE).
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn trunks(&self, account: AccountId, skip: u32, limit: u32) -> Result<Vec<Trunk>, DatabaseError> {
        Ok(self.list_trunks(account, &TrunkFilter::default(), &Part::page(skip, limit)).await?.rows)
    }

    /// Trunks of an account, sorted as the filter says.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn list_trunks(
        &self,
        account: AccountId,
        filter: &TrunkFilter,
        part: &Part,
    ) -> Result<Listed<Trunk>, DatabaseError> {
        let key = on_pool!(self, pools => {
            let row = sqlx::query(READ_DATA_KEY).bind(account.as_uuid()).fetch_optional(&pools.reader).await?;
            row.map(|row| read_data_key(&row, self.master_key(), account)).transpose()?
        });
        match key {
            Some(key) => self.list(&filter.listing(account), part, &ReadTrunk(key)).await,
            None => Ok(Listed { rows: Vec::new(), next: None }),
        }
    }

    /// How many there are; `None` of more than [`MAX_COUNTED`](crate::MAX_COUNTED).
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn count_trunks(&self, account: AccountId, filter: &TrunkFilter) -> Result<Option<u64>, DatabaseError> {
        self.count(&filter.listing(account)).await
    }

    /// Writes a trunk's configuration and status; its health and `created_at` stay as they are stored.
    ///
    /// # Errors
    /// [`UpdateTrunkError`].
    pub async fn update_trunk(&self, act: &Act, trunk: &Trunk) -> Result<(), UpdateTrunkError> {
        self.change_trunk(act, trunk.account_id, trunk.id, |stored| {
            *stored = trunk.clone();
            Ok::<(), Infallible>(())
        })
        .await
        .map(drop)
        .map_err(|error| match error {
            ChangeTrunkError::NotFound => UpdateTrunkError::NotFound,
            ChangeTrunkError::NameTaken => UpdateTrunkError::NameTaken,
            ChangeTrunkError::SourceTaken(claim) => UpdateTrunkError::SourceTaken(claim),
            ChangeTrunkError::FailoverUnknown => UpdateTrunkError::FailoverUnknown,
            ChangeTrunkError::Stale(error) => UpdateTrunkError::Stale(error),
            ChangeTrunkError::Refused(never) => match never {},
            ChangeTrunkError::Database(error) => UpdateTrunkError::Database(error),
        })
    }

    /// Changes a trunk in one transaction: reads it, lets `change` edit it, writes it and gives it back. So two partial changes at
    /// once both count. `updated_at` is for `change` to set; what it does to `id`, `account_id`, `health` and `created_at` is not
    /// written, and an `Err` of it writes nothing.
    ///
    /// # Errors
    /// [`ChangeTrunkError`].
    pub async fn change_trunk<E, F>(
        &self,
        act: &Act,
        account: AccountId,
        id: TrunkId,
        change: F,
    ) -> Result<Trunk, ChangeTrunkError<E>>
    where
        F: FnOnce(&mut Trunk) -> Result<(), E> + Send,
        E: Send,
    {
        on_pool!(self, pools => {
            let mut transaction = pools.begin().await?;
            let row = sqlx::query(FIND_TRUNK)
                .bind(id.as_uuid())
                .bind(account.as_uuid())
                .fetch_optional(&mut *transaction)
                .await?
                .ok_or(ChangeTrunkError::NotFound)?;
            let key = sqlx::query(READ_DATA_KEY).bind(account.as_uuid()).fetch_one(&mut *transaction).await?;
            let key = read_data_key(&key, self.master_key(), account)?;
            let before = read_trunk(&row, &key)?;
            act.expects(&before)?;
            let mut trunk = before.clone();
            change(&mut trunk).map_err(ChangeTrunkError::Refused)?;
            (trunk.id, trunk.account_id) = (id, account);
            (trunk.health, trunk.created_at) = (before.health, before.created_at);
            trunk.updated_at = moved_on(before.updated_at, trunk.updated_at);
            if let Some(failover) = trunk.failover_trunk_id {
                let known = sqlx::query(FIND_TRUNK)
                    .bind(failover.as_uuid())
                    .bind(account.as_uuid())
                    .fetch_optional(&mut *transaction)
                    .await?;
                if known.is_none() || failover == id {
                    return Err(ChangeTrunkError::FailoverUnknown);
                }
            }
            let claims = NewClaims::new(&trunk, Some(&before), self.shared_carriers());
            refuse_taken_sources!(transaction, account, claims, ChangeTrunkError::SourceTaken);
            let columns = StoredTrunk::new(&trunk, &key)?;
            let updated = bind_trunk!(sqlx::query(
                "UPDATE trunks SET name = $3, description = $4, provider = $5, status = $6, sip_domain = $7, sip_port = $8,
                     sip_proxy = $9, sip_username = $10, sip_password = $11, auth_username = $12, auth_password = $13,
                     call_direction = $14, max_concurrent_calls = $15, inbound_routing = $16, outbound_routing = $17,
                     outbound = $18, codec_preferences = $19, dtmf_mode = $20, cost_per_minute_micros = $21,
                     monthly_cost_micros = $22, allowed_ips = $23, encryption_enabled = $24, failover_trunk_id = $25,
                     custom_headers = $26, advanced_config = $27, priority = $28, updated_at = $29, inbound = $30
                 WHERE id = $1 AND account_id = $2",
            ), trunk, columns)
            .execute(&mut *transaction)
            .await;
            match updated {
                Err(error) if is_unique_violation(&error) => return Err(ChangeTrunkError::NameTaken),
                updated => updated?,
            };
            if trunk.monthly_cost != before.monthly_cost {
                sqlx::query(SET_MONTHLY_PRICE)
                    .bind(id.as_uuid())
                    .bind(account.as_uuid())
                    .bind(trunk.updated_at.unix_micros())
                    .bind(trunk.monthly_cost.micros())
                    .execute(&mut *transaction)
                    .await?;
            }
            sqlx::query(BUMP_REVISION).execute(&mut *transaction).await?;
            let change = Change::new(account, "trunk.update", &id)
                .changed(audited(&before), audited(&trunk))
                .replaced("sip_password", trunk.sip_password.expose() != before.sip_password.expose())
                .replaced(
                    "auth_password",
                    trunk.auth_password.as_ref().map(Secret::expose) != before.auth_password.as_ref().map(Secret::expose),
                );
            let mut data = told_of(&trunk);
            data.insert("changed".to_owned(), changed_fields(&change));
            let event = told(EventType::TrunkUpdated, account, id, act.at, data)?;
            pools.append_events(&mut transaction, vec![event]).await?;
            transaction.finish(self, act, change).await?;
            Ok(trunk)
        })
    }

    /// Takes a trunk out of service for good, with its passwords; calls keep naming it. Trunks that named it as failover name none
    /// any more.
    ///
    /// # Errors
    /// [`DeleteTrunkError::NotFound`].
    pub async fn delete_trunk(
        &self,
        act: &Act,
        account: AccountId,
        id: TrunkId,
        at: Timestamp,
    ) -> Result<(), DeleteTrunkError> {
        on_pool!(self, pools => {
            let mut transaction = pools.begin().await?;
            if act.expected_version.is_some() {
                let row = sqlx::query(FIND_TRUNK)
                    .bind(id.as_uuid())
                    .bind(account.as_uuid())
                    .fetch_optional(&mut *transaction)
                    .await?
                    .ok_or(DeleteTrunkError::NotFound)?;
                let key = sqlx::query(READ_DATA_KEY).bind(account.as_uuid()).fetch_one(&mut *transaction).await?;
                act.expects(&read_trunk(&row, &read_data_key(&key, self.master_key(), account)?)?)?;
            }
            let deleted = sqlx::query(
                "UPDATE trunks SET deleted_at = $3, failover_trunk_id = NULL, sip_password = $4, auth_password = NULL
                 WHERE id = $1 AND account_id = $2 AND deleted_at IS NULL",
            )
            .bind(id.as_uuid())
            .bind(account.as_uuid())
            .bind(at.unix_micros())
            .bind(Vec::<u8>::new())
            .execute(&mut *transaction)
            .await?;
            if deleted.rows_affected() == 0 {
                return Err(DeleteTrunkError::NotFound);
            }
            sqlx::query("UPDATE trunks SET failover_trunk_id = NULL, updated_at = updated_at + 1 WHERE failover_trunk_id = $1")
                .bind(id.as_uuid())
                .execute(&mut *transaction)
                .await?;
            sqlx::query(BUMP_REVISION).execute(&mut *transaction).await?;
            let event = told(EventType::TrunkDeleted, account, id, act.at, Map::new())?;
            pools.append_events(&mut transaction, vec![event]).await?;
            transaction.finish(self, act, Change::new(account, "trunk.delete", &id)).await?;
        });
        Ok(())
    }
}

/// What the audit log tells of a trunk: everything that people set, but its passwords.
fn audited(trunk: &Trunk) -> Value {
    json!({
        "name": trunk.name,
        "description": trunk.description,
        "provider": trunk.provider,
        "status": trunk.status,
        "sip_domain": trunk.sip_domain,
        "sip_port": trunk.sip_port,
        "sip_proxy": trunk.sip_proxy,
        "sip_username": trunk.sip_username,
        "auth_username": trunk.auth_username,
        "call_direction": trunk.call_direction,
        "max_concurrent_calls": trunk.max_concurrent_calls,
        "inbound_routing": trunk.inbound_routing,
        "outbound_routing": trunk.outbound_routing,
        "codec_preferences": trunk.codec_preferences,
        "dtmf_mode": trunk.dtmf_mode,
        "cost_per_minute_micros": trunk.cost_per_minute.micros(),
        "monthly_cost_micros": trunk.monthly_cost.micros(),
        "allowed_ips": trunk.allowed_ips,
        "encryption_enabled": trunk.encryption_enabled,
        "failover_trunk_id": trunk.failover_trunk_id,
        "custom_headers": trunk.custom_headers,
        "advanced_config": trunk.advanced_config,
        "priority": trunk.priority,
    })
}

/// What an event tells of a trunk: what the audit log does, named as in the answers of the API.
fn told_of(trunk: &Trunk) -> Map<String, Value> {
    let mut data = Change::new(trunk.account_id, "trunk.create", &trunk.id).made(audited(trunk)).after;
    for (column, field, amount) in [
        ("cost_per_minute_micros", "cost_per_minute", trunk.cost_per_minute),
        ("monthly_cost_micros", "monthly_cost", trunk.monthly_cost),
    ] {
        data.remove(column);
        data.insert(field.to_owned(), serde_json::from_str(&amount.to_decimal()).unwrap_or_default());
    }
    data
}

/// The names of the fields that a change has changed, as in the answers of the API.
fn changed_fields(change: &Change) -> Value {
    let names: BTreeSet<&str> =
        change.before.keys().chain(change.after.keys()).map(|name| name.trim_end_matches("_micros")).collect();
    json!(names)
}

fn told(
    kind: EventType,
    account: AccountId,
    id: TrunkId,
    at: Timestamp,
    mut data: Map<String, Value>,
) -> Result<Draft, DatabaseError> {
    data.insert("id".to_owned(), json!(id));
    Ok(Draft::new(account, kind, format!("trunks/{id}"), at, &data)?)
}

/// A trunk that is not deleted; `$1` is its id, `$2` the account.
pub(crate) const FIND_TRUNK: &str = "SELECT * FROM trunks WHERE id = $1 AND account_id = $2 AND deleted_at IS NULL";
pub(crate) const READ_DATA_KEY: &str = "SELECT data_key FROM accounts WHERE id = $1";

/// The columns of a trunk that are sealed or JSON.
struct StoredTrunk {
    sip_password: Vec<u8>,
    auth_password: Option<Vec<u8>>,
    inbound_routing: String,
    inbound: String,
    outbound_routing: String,
    outbound: String,
    codec_preferences: String,
    allowed_ips: String,
    custom_headers: String,
    advanced_config: String,
}

impl StoredTrunk {
    fn new(trunk: &Trunk, key: &SealingKey) -> Result<Self, DatabaseError> {
        let auth_password = trunk.auth_password.as_ref();
        Ok(Self {
            sip_password: key.seal_secret(&trunk.sip_password, place("sip_password", trunk.id, trunk.account_id))?,
            auth_password: auth_password
                .map(|secret| key.seal_secret(secret, place("auth_password", trunk.id, trunk.account_id)))
                .transpose()?,
            inbound_routing: trunk.inbound_routing.to_string(),
            inbound: to_json(&trunk.inbound),
            outbound_routing: trunk.outbound_routing.to_string(),
            outbound: to_json(&StoredOutbound::from(&trunk.outbound)),
            codec_preferences: to_json(&trunk.codec_preferences),
            allowed_ips: to_json(&trunk.allowed_ips),
            custom_headers: to_json(&trunk.custom_headers),
            advanced_config: to_json(&trunk.advanced_config),
        })
    }
}

/// Which trunks to list, and how. Each field but the sort narrows the list down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrunkFilter {
    /// Only those of this status.
    pub status: Option<TrunkStatus>,
    /// Only those of this provider.
    pub provider: Option<Provider>,
    /// How they are sorted.
    pub sort: TrunkSort,
}

/// How trunks are sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TrunkSort {
    /// By priority, then age.
    #[default]
    Priority,
    /// By name.
    Name,
    /// By age, the oldest first.
    Age,
    /// By what a minute costs, the cheapest first.
    Cost,
}

impl TrunkSort {
    /// What positions are made of.
    #[must_use]
    pub const fn key(self) -> SortKey {
        match self {
            Self::Priority => SortKey::ascending(&[
                ("priority", KeyKind::Integer),
                ("created_at", KeyKind::Integer),
                ("id", KeyKind::Uuid),
            ]),
            Self::Name => SortKey::ascending(&[("name", KeyKind::Text)]),
            Self::Age => SortKey::ascending(&[("created_at", KeyKind::Integer), ("id", KeyKind::Uuid)]),
            Self::Cost => SortKey::ascending(&[("cost_per_minute_micros", KeyKind::Integer), ("id", KeyKind::Uuid)]),
        }
    }
}

impl TrunkSort {
    const fn index(self) -> &'static str {
        match self {
            Self::Priority => "trunks_of_account",
            Self::Name => "trunks_by_name",
            Self::Age => "trunks_by_age",
            Self::Cost => "trunks_by_cost",
        }
    }
}

impl TrunkFilter {
    fn listing(&self, account: AccountId) -> Listing {
        let status = self.status.map(|status| ("status", status.as_str()));
        let provider = self.provider.map(|provider| ("provider", provider.as_str()));
        let wide = status.into_iter().chain(provider);
        Listing {
            table: "trunks",
            index: Some(self.sort.index()),
            columns: "*",
            key: self.sort.key(),
            narrow: vec![
                Condition::Is("account_id", Bound::Uuid(account.as_uuid())),
                Condition::Plain("deleted_at IS NULL"),
            ],
            wide: wide.map(|(column, text)| Condition::Is(column, Bound::Text(text.to_owned()))).collect(),
            from: None,
            to: None,
        }
    }
}

struct ReadTrunk(SealingKey);

impl ReadRow for ReadTrunk {
    type Row = Trunk;

    fn read<R: Columns>(&self, row: &R) -> Result<Trunk, DatabaseError> {
        read_trunk(row, &self.0)
    }
}

/// Opens the data key in a row that has `data_key`.
pub(crate) fn read_data_key<R: Columns>(
    row: &R,
    master_key: &MasterKey,
    account: AccountId,
) -> Result<SealingKey, DatabaseError> {
    Ok(master_key.open_key(&row.bytes("data_key")?, account)?)
}

/// Reads a row of `trunks`.
pub(crate) fn read_trunk<R: Columns>(row: &R, key: &SealingKey) -> Result<Trunk, DatabaseError> {
    let id = TrunkId::from_uuid(row.uuid("id")?);
    let account_id = AccountId::from_uuid(row.uuid("account_id")?);
    let auth_password = row.bytes_opt("auth_password")?;
    Ok(Trunk {
        id,
        account_id,
        name: row.text("name")?,
        description: row.text_opt("description")?,
        provider: row.parsed("provider")?,
        status: row.parsed("status")?,
        sip_domain: row.text("sip_domain")?,
        sip_port: row.number("sip_port")?,
        sip_proxy: row.text_opt("sip_proxy")?,
        sip_username: row.text("sip_username")?,
        sip_password: key.open_secret(&row.bytes("sip_password")?, place("sip_password", id, account_id))?,
        auth_username: row.text_opt("auth_username")?,
        auth_password: auth_password
            .map(|sealed| key.open_secret(&sealed, place("auth_password", id, account_id)))
            .transpose()?,
        call_direction: row.parsed("call_direction")?,
        max_concurrent_calls: row.number("max_concurrent_calls")?,
        inbound_routing: row.json("inbound_routing")?,
        inbound: row.json("inbound")?,
        outbound_routing: row.json("outbound_routing")?,
        outbound: row.json::<StoredOutbound>("outbound")?.into(),
        codec_preferences: row.json("codec_preferences")?,
        dtmf_mode: row.parsed("dtmf_mode")?,
        cost_per_minute: row.money("cost_per_minute_micros")?,
        monthly_cost: row.money("monthly_cost_micros")?,
        allowed_ips: row.json("allowed_ips")?,
        encryption_enabled: row.boolean("encryption_enabled")?,
        failover_trunk_id: row.uuid_opt("failover_trunk_id")?.map(TrunkId::from_uuid),
        custom_headers: row.json("custom_headers")?,
        advanced_config: row.json("advanced_config")?,
        priority: row.number("priority")?,
        health: TrunkHealth {
            status: row.parsed("health_status")?,
            checked_at: row.time_opt("health_checked_at")?,
            latency_us: row.number_opt("health_latency_us")?,
            loss_basis_points: row.number_opt("health_loss_basis_points")?,
        },
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
    })
}

const fn place(column: &'static str, id: TrunkId, account: AccountId) -> Place {
    Place { table: "trunks", column, row: id.as_uuid(), account }
}

/// [`OutboundRouting`] as its column holds it.
#[derive(Serialize, Deserialize)]
struct StoredOutbound {
    prefixes: Vec<String>,
    strip: u8,
    prepend: String,
    caller_id: Option<String>,
    headers: BTreeMap<String, String>,
    failover_on: Vec<u16>,
    weight: u32,
    max_cps: Option<u32>,
    progress_timeout_ms: u64,
}

impl From<&OutboundRouting> for StoredOutbound {
    fn from(routing: &OutboundRouting) -> Self {
        let OutboundRouting {
            prefixes,
            strip,
            prepend,
            caller_id,
            headers,
            failover_on,
            weight,
            max_cps,
            progress_timeout,
        } = routing.clone();
        let progress_timeout_ms = u64::try_from(progress_timeout.as_millis()).unwrap_or(u64::MAX);
        Self { prefixes, strip, prepend, caller_id, headers, failover_on, weight, max_cps, progress_timeout_ms }
    }
}

impl From<StoredOutbound> for OutboundRouting {
    fn from(stored: StoredOutbound) -> Self {
        let StoredOutbound {
            prefixes,
            strip,
            prepend,
            caller_id,
            headers,
            failover_on,
            weight,
            max_cps,
            progress_timeout_ms,
        } = stored;
        let progress_timeout = Duration::from_millis(progress_timeout_ms);
        Self { prefixes, strip, prepend, caller_id, headers, failover_on, weight, max_cps, progress_timeout }
    }
}
