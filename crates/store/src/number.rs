use crate::audit::ActTransaction;
use crate::error::{from_database, is_unique_violation};
use crate::event::Draft;
use crate::list::{Bound, Condition, KeyKind, Listed, Listing, Part, ReadRow, SortKey};
use crate::pool::on_pool;
use crate::routing::BUMP_REVISION;
use crate::row::{Columns, to_json};
use crate::trunk::FIND_TRUNK;
use crate::version::moved_on;
use crate::{Act, Change, DatabaseError, Stale, Store};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use tandem_model::{AccountId, Connect, EventType, NumberId, NumberRoute, PhoneNumber, Timestamp, TrunkId};

/// Most numbers of one account: a whole block of four digits.
pub const MAX_NUMBERS: u32 = 10_000;

/// What to change of a number; `None` leaves it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NumberChange {
    /// The name for people; `Some(None)` takes it away.
    pub label: Option<Option<String>>,
    /// Who talks to those who call it.
    pub connect: Option<Connect>,
    /// The only trunk by which calls are taken; `Some(None)` is any.
    pub trunk_id: Option<Option<TrunkId>>,
    /// The client's own.
    pub metadata: Option<Map<String, Value>>,
}

/// Why a number was not added.
#[derive(Debug, thiserror::Error)]
pub enum InsertNumberError {
    /// This account or another one has the number.
    #[error("the number is taken")]
    Taken,
    /// The account has all its numbers.
    #[error("the account has its {MAX_NUMBERS} numbers")]
    TooMany,
    /// `trunk_id` is no trunk of the account.
    #[error("no such trunk")]
    UnknownTrunk,
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// Why a number was not changed or removed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeNumberError {
    /// The account has no such number.
    #[error("no such number")]
    NotFound,
    /// `trunk_id` is no trunk of the account.
    #[error("no such trunk")]
    UnknownTrunk,
    /// The act names another version of it.
    #[error(transparent)]
    Stale(#[from] Stale),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

from_database!(InsertNumberError, ChangeNumberError);

impl Store {
    /// Adds a number, which nobody else may have.
    ///
    /// # Errors
    /// [`InsertNumberError`].
    pub async fn insert_number(&self, act: &Act, number: &PhoneNumber) -> Result<(), InsertNumberError> {
        let account = number.account_id.as_uuid();
        on_pool!(self, pools => {
            let mut transaction = pools.begin().await?;
            let there: u32 = sqlx::query("SELECT count(*) AS there FROM numbers WHERE account_id = $1")
                .bind(account)
                .fetch_one(&mut *transaction)
                .await?
                .number("there")?;
            if there >= MAX_NUMBERS {
                return Err(InsertNumberError::TooMany);
            }
            if let Some(trunk) = number.trunk_id {
                let known = sqlx::query(FIND_TRUNK)
                    .bind(trunk.as_uuid())
                    .bind(account)
                    .fetch_optional(&mut *transaction)
                    .await?;
                known.ok_or(InsertNumberError::UnknownTrunk)?;
            }
            let inserted = sqlx::query(
                "INSERT INTO numbers (id, account_id, number, label, connect, trunk_id, metadata, created_at, updated_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            )
            .bind(number.id.as_uuid())
            .bind(account)
            .bind(number.number.as_str())
            .bind(number.label.as_deref())
            .bind(to_json(&number.connect))
            .bind(number.trunk_id.map(TrunkId::as_uuid))
            .bind(to_json(&number.metadata))
            .bind(number.created_at.unix_micros())
            .bind(number.updated_at.unix_micros())
            .execute(&mut *transaction)
            .await;
            match inserted {
                Err(error) if is_unique_violation(&error) => return Err(InsertNumberError::Taken),
                inserted => inserted?,
            };
            sqlx::query(BUMP_REVISION).execute(&mut *transaction).await?;
            let change = Change::new(number.account_id, "number.create", &number.id).made(audited(number));
            let event = told(EventType::NumberCreated, number.account_id, number.id, act.at, change.after.clone())?;
            pools.append_events(&mut transaction, vec![event]).await?;
            transaction.finish(self, act, change).await?;
        });
        Ok(())
    }

    /// One number of an account.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn number(&self, account: AccountId, id: NumberId) -> Result<Option<PhoneNumber>, DatabaseError> {
        on_pool!(self, pools => sqlx::query(FIND_NUMBER)
            .bind(id.as_uuid())
            .bind(account.as_uuid())
            .fetch_optional(&pools.reader)
            .await?
            .map(|row| read_number(&row))
            .transpose())
    }

    /// Numbers of an account in their order, those of one trunk or all.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn list_numbers(
        &self,
        account: AccountId,
        trunk: Option<TrunkId>,
        part: &Part,
    ) -> Result<Listed<PhoneNumber>, DatabaseError> {
        self.list(&listing(account, trunk), part, &ReadNumber).await
    }

    /// How many there are.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn count_numbers(
        &self,
        account: AccountId,
        trunk: Option<TrunkId>,
    ) -> Result<Option<u64>, DatabaseError> {
        self.count(&listing(account, trunk)).await
    }

    /// Changes what is given of a number; gives it as it is then.
    ///
    /// # Errors
    /// [`ChangeNumberError`].
    pub async fn update_number(
        &self,
        act: &Act,
        account: AccountId,
        id: NumberId,
        change: NumberChange,
    ) -> Result<PhoneNumber, ChangeNumberError> {
        on_pool!(self, pools => {
            let mut transaction = pools.begin().await?;
            let row = sqlx::query(FIND_NUMBER)
                .bind(id.as_uuid())
                .bind(account.as_uuid())
                .fetch_optional(&mut *transaction)
                .await?
                .ok_or(ChangeNumberError::NotFound)?;
            let before = read_number(&row)?;
            act.expects(&before)?;
            if let Some(Some(trunk)) = change.trunk_id {
                let known = sqlx::query(FIND_TRUNK)
                    .bind(trunk.as_uuid())
                    .bind(account.as_uuid())
                    .fetch_optional(&mut *transaction)
                    .await?;
                known.ok_or(ChangeNumberError::UnknownTrunk)?;
            }
            let (before_it, metadata_before) = (audited(&before), before.metadata.clone());
            let after = PhoneNumber {
                label: change.label.unwrap_or(before.label),
                connect: change.connect.unwrap_or(before.connect),
                trunk_id: change.trunk_id.unwrap_or(before.trunk_id),
                metadata: change.metadata.unwrap_or(before.metadata),
                updated_at: moved_on(before.updated_at, act.at),
                ..before
            };
            sqlx::query(
                "UPDATE numbers SET label = $2, connect = $3, trunk_id = $4, metadata = $5, updated_at = $6 WHERE id = $1",
            )
            .bind(id.as_uuid())
            .bind(after.label.as_deref())
            .bind(to_json(&after.connect))
            .bind(after.trunk_id.map(TrunkId::as_uuid))
            .bind(to_json(&after.metadata))
            .bind(after.updated_at.unix_micros())
            .execute(&mut *transaction)
            .await?;
            sqlx::query(BUMP_REVISION).execute(&mut *transaction).await?;
            let change = Change::new(account, "number.update", &id).changed(before_it, audited(&after));
            let mut names: BTreeSet<&str> = change.before.keys().chain(change.after.keys()).map(String::as_str).collect();
            names.extend((after.metadata != metadata_before).then_some("metadata"));
            let mut data = Change::new(account, "number.update", &id).made(audited(&after)).after;
            data.insert("changed".to_owned(), json!(names));
            let event = told(EventType::NumberUpdated, account, id, act.at, data)?;
            pools.append_events(&mut transaction, vec![event]).await?;
            transaction.finish(self, act, change).await?;
            Ok(after)
        })
    }

    /// Removes a number; somebody else may have it then.
    ///
    /// # Errors
    /// [`ChangeNumberError`].
    pub async fn delete_number(&self, act: &Act, account: AccountId, id: NumberId) -> Result<(), ChangeNumberError> {
        on_pool!(self, pools => {
            let mut transaction = pools.begin().await?;
            let row = sqlx::query(FIND_NUMBER)
                .bind(id.as_uuid())
                .bind(account.as_uuid())
                .fetch_optional(&mut *transaction)
                .await?
                .ok_or(ChangeNumberError::NotFound)?;
            let number = read_number(&row)?;
            act.expects(&number)?;
            sqlx::query("DELETE FROM numbers WHERE id = $1").bind(id.as_uuid()).execute(&mut *transaction).await?;
            sqlx::query(BUMP_REVISION).execute(&mut *transaction).await?;
            let change = Change::new(account, "number.delete", &id).gone(audited(&number));
            let data = Map::from_iter([("number".to_owned(), json!(number.number.as_str()))]);
            let event = told(EventType::NumberDeleted, account, id, act.at, data)?;
            pools.append_events(&mut transaction, vec![event]).await?;
            transaction.finish(self, act, change).await?;
        });
        Ok(())
    }
}

/// What the audit log tells of a number: not what is the client's own.
fn audited(number: &PhoneNumber) -> Value {
    json!({
        "number": number.number.as_str(),
        "label": number.label,
        "connect": number.connect,
        "sip_trunk_id": number.trunk_id,
    })
}

fn told(
    kind: EventType,
    account: AccountId,
    id: NumberId,
    at: Timestamp,
    mut data: Map<String, Value>,
) -> Result<Draft, DatabaseError> {
    data.insert("id".to_owned(), json!(id));
    Ok(Draft::new(account, kind, format!("numbers/{id}"), at, &data)?)
}

const FIND_NUMBER: &str = "SELECT * FROM numbers WHERE id = $1 AND account_id = $2";

/// A page of what routing reads of all numbers: `$1` is the number before it, `$2` how many.
pub(crate) const LIST_ROUTES: &str =
    "SELECT number, account_id, trunk_id, connect FROM numbers WHERE number > $1 ORDER BY number LIMIT $2";

/// How numbers are listed.
pub const NUMBERS_KEY: SortKey = SortKey::ascending(&[("number", KeyKind::Text)]);

fn listing(account: AccountId, trunk: Option<TrunkId>) -> Listing {
    let wide = trunk.map(|trunk| Condition::Is("trunk_id", Bound::Uuid(trunk.as_uuid())));
    Listing {
        table: "numbers",
        index: Some("numbers_of_account"),
        columns: "*",
        key: NUMBERS_KEY,
        narrow: vec![Condition::Is("account_id", Bound::Uuid(account.as_uuid()))],
        wide: wide.into_iter().collect(),
        from: None,
        to: None,
    }
}

struct ReadNumber;

impl ReadRow for ReadNumber {
    type Row = PhoneNumber;

    fn read<R: Columns>(&self, row: &R) -> Result<PhoneNumber, DatabaseError> {
        read_number(row)
    }
}

fn read_number<R: Columns>(row: &R) -> Result<PhoneNumber, DatabaseError> {
    let NumberRoute { number, account_id, trunk_id, connect } = read_route(row)?;
    Ok(PhoneNumber {
        id: NumberId::from_uuid(row.uuid("id")?),
        account_id,
        number,
        label: row.text_opt("label")?,
        connect,
        trunk_id,
        metadata: row.json("metadata")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
    })
}

pub(crate) fn read_route<R: Columns>(row: &R) -> Result<NumberRoute, DatabaseError> {
    Ok(NumberRoute {
        number: row.parsed("number")?,
        account_id: AccountId::from_uuid(row.uuid("account_id")?),
        trunk_id: row.uuid_opt("trunk_id")?.map(TrunkId::from_uuid),
        connect: row.json("connect")?,
    })
}
