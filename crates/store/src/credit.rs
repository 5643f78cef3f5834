use crate::audit::ActTransaction;
use crate::error::from_database;
use crate::event::{Draft, credit_exhausted};
use crate::list::{Bound, Condition, KeyKind, Listed, Listing, Part, ReadRow, SortKey};
use crate::pool::on_pool;
use crate::routing::BUMP_REVISION;
use crate::row::Columns;
use crate::settlement::{INSERT_ENTRY, is_held};
use crate::store::{now, random};
use crate::wide_sum::{read_wide_sum, wide_sum};
use crate::{Act, Change, DatabaseError, Store};
use serde_json::{Value, json};
use tandem_model::{
    AccountId, CallId, CreditAccount, CreditCommitment, CreditEntry, CreditEntryId, CreditEntryKind, CreditTerms,
    EventType, Money, Timestamp,
};
use uuid::Uuid;

/// Why an account's credit was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeCreditError {
    /// There is no such account.
    #[error("no such account")]
    UnknownAccount,
    /// The sum of what was granted would be past 4 × 10^12 units, either way.
    #[error("the credit would be more than an amount can hold")]
    Overflow,
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

from_database!(ChangeCreditError);

impl Store {
    /// Has an account's calls paid for by its credit from the act on, or no longer; what is set already stays. The balance is kept in
    /// any case.
    ///
    /// # Errors
    /// [`ChangeCreditError::UnknownAccount`].
    pub async fn set_credit_control(
        &self,
        act: &Act,
        account: AccountId,
        is_on: bool,
    ) -> Result<CreditAccount, ChangeCreditError> {
        on_pool!(self, pools => {
            let mut transaction = pools.begin().await?;
            let known = sqlx::query(FIND_ACCOUNT).bind(account.as_uuid()).fetch_optional(&mut *transaction).await?;
            known.ok_or(ChangeCreditError::UnknownAccount)?;
            let before = read_credit(&sqlx::query(READ_CREDIT).bind(account.as_uuid()).fetch_one(&mut *transaction).await?)?;
            let controlled_since = is_on.then(|| before.controlled_since.unwrap_or(act.at));
            let after = CreditAccount { controlled_since, ..before };
            if controlled_since != before.controlled_since {
                sqlx::query(
                    "INSERT INTO credits (account_id, controlled_since, granted_micros) VALUES ($1, $2, 0)
                     ON CONFLICT (account_id) DO UPDATE SET controlled_since = excluded.controlled_since, exhausted_at = NULL",
                )
                .bind(account.as_uuid())
                .bind(controlled_since.map(Timestamp::unix_micros))
                .execute(&mut *transaction)
                .await?;
                sqlx::query(BUMP_REVISION).execute(&mut *transaction).await?;
                let change = Change::new(account, "credit.control", &account).changed(audited(&before), audited(&after));
                transaction.finish(self, act, change).await?;
            }
            Ok(after)
        })
    }

    /// Adds to an account's credit, or takes from it with an amount below zero: what is written down, and what there is then. The
    /// balance may fall below zero, as a mistake is corrected whatever was spent meanwhile.
    ///
    /// # Errors
    /// [`ChangeCreditError`].
    pub async fn grant_credit(
        &self,
        act: &Act,
        account: AccountId,
        amount: Money,
        note: &str,
    ) -> Result<(CreditEntry, CreditAccount), ChangeCreditError> {
        self.grant_credit_as(act, account, entry_id(act.at)?, amount, note).await
    }

    /// As [`Store::grant_credit`], with the id that the entry has: no two are written of one id.
    ///
    /// # Errors
    /// [`ChangeCreditError`].
    pub async fn grant_credit_as(
        &self,
        act: &Act,
        account: AccountId,
        id: CreditEntryId,
        amount: Money,
        note: &str,
    ) -> Result<(CreditEntry, CreditAccount), ChangeCreditError> {
        let is_added = amount > Money::ZERO;
        let entry = CreditEntry {
            id,
            account_id: account,
            at: act.at,
            kind: if is_added { CreditEntryKind::TopUp } else { CreditEntryKind::Adjustment },
            amount,
            call_id: None,
            note: note.to_owned(),
        };
        on_pool!(self, pools => {
            let mut transaction = pools.begin().await?;
            let known = sqlx::query(FIND_ACCOUNT).bind(account.as_uuid()).fetch_optional(&mut *transaction).await?;
            known.ok_or(ChangeCreditError::UnknownAccount)?;
            let before = read_credit(&sqlx::query(READ_CREDIT).bind(account.as_uuid()).fetch_one(&mut *transaction).await?)?;
            let granted = before.granted.checked_add(amount).map_err(|_| ChangeCreditError::Overflow)?;
            if !is_held(before.granted.micros().into(), granted.micros().into()) {
                return Err(ChangeCreditError::Overflow);
            }
            sqlx::query(
                "INSERT INTO credits (account_id, controlled_since, granted_micros) VALUES ($1, NULL, $2)
                 ON CONFLICT (account_id) DO UPDATE SET granted_micros = excluded.granted_micros,
                     exhausted_at = CASE WHEN $3 THEN NULL ELSE credits.exhausted_at END",
            )
            .bind(account.as_uuid())
            .bind(granted.micros())
            .bind(is_added)
            .execute(&mut *transaction)
            .await?;
            sqlx::query(INSERT_ENTRY)
                .bind(account.as_uuid())
                .bind(entry.id.as_uuid())
                .bind(act.at.unix_micros())
                .bind(entry.kind.as_str())
                .bind(amount.micros())
                .bind(None::<Uuid>)
                .bind(note)
                .execute(&mut *transaction)
                .await?;
            if before.controlled_since.is_some() {
                sqlx::query(BUMP_REVISION).execute(&mut *transaction).await?;
            }
            let told = json!({"amount": amount.to_decimal(), "kind": entry.kind, "note": note});
            let after = CreditAccount { granted, ..before };
            pools.append_events(&mut transaction, vec![granted_event(&entry, &after)?]).await?;
            transaction.finish(self, act, Change::new(account, "credit.grant", &entry.id).made(told)).await?;
            Ok((entry, after))
        })
    }

    /// One change of an account's credit.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn credit_entry(
        &self,
        account: AccountId,
        id: CreditEntryId,
    ) -> Result<Option<CreditEntry>, DatabaseError> {
        on_pool!(self, pools => sqlx::query("SELECT * FROM credit_entries WHERE account_id = $1 AND id = $2")
            .bind(account.as_uuid())
            .bind(id.as_uuid())
            .fetch_optional(&pools.reader)
            .await?
            .map(|row| read_entry(&row))
            .transpose())
    }

    /// Tells who listens to an account that a call was refused as its credit does not pay for it, if that was not told since some was
    /// added.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn tell_credit_exhausted(&self, account: AccountId, at: Timestamp) -> Result<(), DatabaseError> {
        on_pool!(self, pools => {
            // A client that goes on trying must not write each time.
            let untold = sqlx::query("SELECT 1 FROM credits WHERE account_id = $1 AND exhausted_at IS NULL")
                .bind(account.as_uuid())
                .fetch_optional(&pools.reader)
                .await?;
            if untold.is_none() {
                return Ok(());
            }
            let mut transaction = pools.begin_calls().await?;
            let noted = sqlx::query(NOTE_EXHAUSTED)
                .bind(account.as_uuid())
                .bind(at.unix_micros())
                .bind(now().unix_micros())
                .execute(&mut *transaction)
                .await?;
            if noted.rows_affected() > 0 {
                pools.append_events(&mut transaction, vec![credit_exhausted(account, at, None)?]).await?;
            }
            transaction.commit().await?;
        });
        Ok(())
    }

    /// An account's credit; all zero for one that never had any.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn credit_account(&self, account: AccountId) -> Result<CreditAccount, DatabaseError> {
        on_pool!(self, pools => read_credit(
            &sqlx::query(READ_CREDIT).bind(account.as_uuid()).fetch_one(&pools.reader).await?,
        ))
    }

    /// Changes of an account's credit, newest first, at most [`MAX_PAGE`](crate::MAX_PAGE).
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn credit_entries(
        &self,
        account: AccountId,
        skip: u32,
        limit: u32,
    ) -> Result<Vec<CreditEntry>, DatabaseError> {
        Ok(self.list_credit_entries(account, &Part::page(skip, limit)).await?.rows)
    }

    /// Changes of an account's credit, newest first.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn list_credit_entries(
        &self,
        account: AccountId,
        part: &Part,
    ) -> Result<Listed<CreditEntry>, DatabaseError> {
        self.list(&listing(account), part, &ReadEntry).await
    }

    /// How many there are.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn count_credit_entries(&self, account: AccountId) -> Result<Option<u64>, DatabaseError> {
        self.count(&listing(account)).await
    }

    /// Tells other nodes what calls of this one have cost and may still cost. They go by it until then, unless it is told again.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn commit_credit(&self, commitments: &[CreditCommitment], until: Timestamp) -> Result<(), DatabaseError> {
        on_pool!(self, pools => {
            for commitment in commitments {
                // Each by itself, so that nobody who settles calls waits for more than one.
                sqlx::query(COMMIT_CREDIT)
                    .bind(commitment.account_id.as_uuid())
                    .bind(self.node_id().as_uuid())
                    .bind(commitment.amount.micros())
                    .bind(until.unix_micros())
                    .execute(&pools.writer)
                    .await?;
            }
        });
        Ok(())
    }

    /// What the call path of this node goes by, for every account whose calls are paid for by credit. An account whose row does not
    /// read has none of it, and a sum past all amounts is the last of them, so that no account stops the others.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn credit_terms(&self) -> Result<Vec<CreditTerms>, DatabaseError> {
        on_pool!(self, pools => sqlx::query(READ_TERMS)
            .bind(self.node_id().as_uuid())
            .bind(now().unix_micros())
            .fetch_all(&pools.reader)
            .await?
            .iter()
            .filter_map(|row| terms_of(row).map(Ok))
            .collect())
    }
}

/// An id that was not there before.
pub(crate) fn entry_id(at: Timestamp) -> Result<CreditEntryId, DatabaseError> {
    Ok(CreditEntryId::new(at, random()?))
}

/// What is told of an amount that somebody added or took away.
fn granted_event(entry: &CreditEntry, credit: &CreditAccount) -> Result<Draft, DatabaseError> {
    let kind = if entry.amount > Money::ZERO { EventType::CreditToppedUp } else { EventType::CreditAdjusted };
    let number = |amount: Money| serde_json::from_str::<Value>(&amount.to_decimal()).unwrap_or_default();
    let data = json!({
        "id": entry.id,
        "amount": number(entry.amount),
        "balance": number(credit.balance()),
        "note": entry.note,
    });
    Ok(Draft::new(entry.account_id, kind, "credits".to_owned(), entry.at, &data)?)
}

/// What the audit log tells of an account's credit.
fn audited(credit: &CreditAccount) -> Value {
    json!({"controlled_since": credit.controlled_since})
}

fn read_credit<R: Columns>(row: &R) -> Result<CreditAccount, DatabaseError> {
    Ok(CreditAccount {
        controlled_since: row.time_opt("controlled_since")?,
        granted: Money::from_micros(row.integer("granted_micros")?),
        settled: Money::saturating_from(read_wide_sum!(row, "settled")?),
    })
}

/// The terms of a row. One that does not read is told in the log, and its account may spend nothing.
fn terms_of<R: Columns>(row: &R) -> Option<CreditTerms> {
    let account_id = match row.uuid("account_id") {
        Ok(id) => AccountId::from_uuid(id),
        Err(error) => {
            tracing::error!(%error, "the credit of an account cannot be read, nor whose it is");
            return None;
        }
    };
    Some(read_terms(row, account_id).unwrap_or_else(|error| {
        tracing::error!(%error, %account_id, "the credit of an account cannot be read; its calls are refused");
        CreditTerms {
            account_id,
            since: Timestamp::from_unix_micros(i64::MIN),
            granted: Money::ZERO,
            committed_elsewhere: Money::from_micros(i64::MAX),
            settled_here: Money::ZERO,
        }
    }))
}

fn read_terms<R: Columns>(row: &R, account_id: AccountId) -> Result<CreditTerms, DatabaseError> {
    Ok(CreditTerms {
        account_id,
        since: row.time("controlled_since")?,
        granted: Money::from_micros(row.integer("granted_micros")?),
        committed_elsewhere: Money::saturating_from(read_wide_sum!(row, "elsewhere")?),
        settled_here: Money::saturating_from(read_wide_sum!(row, "here")?),
    })
}

/// How a ledger is listed: ids sort by when entries were written.
pub const CREDIT_ENTRIES_KEY: SortKey = SortKey::descending(&[("id", KeyKind::Uuid)]);

fn listing(account: AccountId) -> Listing {
    Listing {
        table: "credit_entries",
        index: None,
        columns: "*",
        key: CREDIT_ENTRIES_KEY,
        narrow: vec![Condition::Is("account_id", Bound::Uuid(account.as_uuid()))],
        wide: Vec::new(),
        from: None,
        to: None,
    }
}

struct ReadEntry;

impl ReadRow for ReadEntry {
    type Row = CreditEntry;

    fn read<R: Columns>(&self, row: &R) -> Result<CreditEntry, DatabaseError> {
        read_entry(row)
    }
}

fn read_entry<R: Columns>(row: &R) -> Result<CreditEntry, DatabaseError> {
    Ok(CreditEntry {
        id: CreditEntryId::from_uuid(row.uuid("id")?),
        account_id: AccountId::from_uuid(row.uuid("account_id")?),
        at: row.time("at")?,
        kind: row.parsed("kind")?,
        amount: Money::from_micros(row.integer("amount_micros")?),
        call_id: row.uuid_opt("call_log_id")?.map(CallId::from_uuid),
        note: row.text("note")?,
    })
}

const FIND_ACCOUNT: &str = "SELECT id FROM accounts WHERE id = $1";

/// One row, also for an account that never had any.
const READ_CREDIT: &str = concat!(
    "SELECT (SELECT controlled_since FROM credits WHERE account_id = $1) AS controlled_since,
        coalesce((SELECT granted_micros FROM credits WHERE account_id = $1), 0) AS granted_micros, ",
    wide_sum!("settled_micros", "settled"),
    " FROM credit_settlements WHERE account_id = $1"
);

/// `$1` is this node, `$2` the time. What a node has committed holds the sum of its calls that are settled, and those that are not.
const READ_TERMS: &str = concat!(
    "SELECT credits.account_id, controlled_since, granted_micros, ",
    wide_sum!("CASE WHEN node_id = $1 THEN settled_micros ELSE 0 END", "here"),
    ", ",
    wide_sum!(
        "CASE WHEN node_id <> $1 AND committed_until > $2 AND committed_micros > settled_micros THEN committed_micros
            WHEN node_id <> $1 THEN settled_micros ELSE 0 END",
        "elsewhere"
    ),
    " FROM credits LEFT JOIN credit_settlements ON credit_settlements.account_id = credits.account_id
    WHERE controlled_since IS NOT NULL
    GROUP BY credits.account_id, controlled_since, granted_micros ORDER BY credits.account_id"
);

/// `$1` is the account, `$2` the node.
const COMMIT_CREDIT: &str =
    "INSERT INTO credit_settlements (account_id, node_id, settled_micros, committed_micros, committed_until)
    VALUES ($1, $2, 0, $3, $4)
    ON CONFLICT (account_id, node_id) DO UPDATE SET committed_micros = excluded.committed_micros, committed_until = excluded.committed_until";

/// Notes that it is told that the credit of the account `$1` was used up at `$2`, if somebody listens now, `$3`, and if it was not told
/// since some was added.
const NOTE_EXHAUSTED: &str = "UPDATE credits SET exhausted_at = $2 WHERE account_id = $1 AND exhausted_at IS NULL
        AND EXISTS (SELECT 1 FROM event_streams
            WHERE event_streams.account_id = $1 AND (endpoints > 0 OR listening_until > $3))";
