//! Erasing a number from what an account has of past calls: a job that goes on wherever it was left, on whichever node has time.

mod job;
mod known;
mod pass;
mod spellings;

pub use job::{ClaimedErasure, ErasureStep};
pub use spellings::{MAX_OTHER_SPELLINGS, SPELLING_DIGITS};

use crate::audit::ActTransaction;
use crate::error::from_database;
use crate::list::{Bound, Condition, KeyKind, Listed, Listing, Part, ReadRow, SortKey};
use crate::pool::on_pool;
use crate::row::{Columns, to_json};
use crate::seal::Place;
use crate::store::random;
use crate::traffic::ERASED;
use crate::trunk::{READ_DATA_KEY, read_data_key};
use crate::{Act, Change, DatabaseError, Store};
use pass::Progress;
use serde::{Deserialize, Serialize};
use serde_json::json;
use spellings::Spellings;
use tandem_model::{AccountId, E164, ErasureId, Timestamp};

/// A number that is being erased, or was. Which one it is, is known only while the job goes on, and then sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Erasure {
    /// Its id.
    pub id: ErasureId,
    /// Whose traces.
    pub account_id: AccountId,
    /// When it was asked for: what began by then is erased.
    pub requested_at: Timestamp,
    /// What stands in the place of the number from now on: drawn at random, so that nobody can tell the number by it. Where statistics
    /// count a mention by its prefix, the prefix stands in it, behind the first hyphen.
    pub pseudonym: String,
    /// What it waits for, while it goes on.
    pub waits_for: Option<ErasureWait>,
    /// What was changed so far.
    pub erased: ErasedRows,
    /// When it was done.
    pub finished_at: Option<Timestamp>,
}

/// What an erasure waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErasureWait {
    /// Calls that were up when it was asked for.
    Calls,
    /// Nodes whose journals hold records from before it was asked for.
    Journals,
}

impl ErasureWait {
    /// The spelling on the wire and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Calls => "calls",
            Self::Journals => "journals",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Calls, Self::Journals].into_iter().find(|wait| wait.as_str() == text)
    }
}

/// How many rows of each kind were changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ErasedRows {
    /// Calls, with their receipts and metadata.
    pub calls: u64,
    /// Legs of calls.
    pub legs: u64,
    /// Parts of timelines.
    pub timelines: u64,
    /// Refused INVITEs, with their receipts.
    pub refusals: u64,
    /// Events, which webhooks send.
    pub events: u64,
    /// Answers that are kept for requests with an idempotency key.
    pub answers: u64,
    /// Notes of changes of credit.
    pub credit_entries: u64,
    /// Trunks that were removed before.
    pub trunks: u64,
    /// Alerts: what they say, and what people noted with them.
    pub alerts: u64,
    /// Mails about alerts, sent or not.
    pub mails: u64,
    /// Entries of the audit log, whose details were taken away.
    pub audit_entries: u64,
}

/// Why no number is erased.
#[derive(Debug, thiserror::Error)]
pub enum InsertErasureError {
    /// It is one of the account's own numbers.
    #[error("the number is one of the account's own")]
    OwnNumber,
    /// The account's configuration names it, so that it would come back.
    #[error("the number is in the account's configuration")]
    Configured {
        /// Where: kind and id, as in `trunks/0199…`.
        places: Vec<String>,
    },
    /// As many as may be go on already.
    #[error("{MAX_RUNNING_ERASURES} erasures of the account go on")]
    TooMany,
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

from_database!(InsertErasureError);

impl Store {
    /// Asks for a number to be erased, in all its spellings: `others` are digits that stand for it too, as
    /// [`SPELLING_DIGITS`] allows them. A job does it: [`Store::claim_erasure`].
    ///
    /// # Errors
    /// [`InsertErasureError`].
    pub async fn insert_erasure(
        &self,
        act: &Act,
        account: AccountId,
        number: &E164,
        others: &[String],
    ) -> Result<Erasure, InsertErasureError> {
        let spellings = Spellings::new(number, others.iter().map(String::as_str));
        let erasure = Erasure {
            id: ErasureId::new(act.at, random()?),
            account_id: account,
            requested_at: act.at,
            pseudonym: pseudonym()?,
            waits_for: None,
            erased: ErasedRows::default(),
            finished_at: None,
        };
        on_pool!(self, pools => {
            let mut transaction = pools.begin().await?;
            let going_on: u32 = sqlx::query(
                    "SELECT count(*) AS going_on FROM erasures WHERE account_id = $1 AND subject IS NOT NULL",
                )
                .bind(account.as_uuid())
                .fetch_one(&mut *transaction)
                .await?
                .number("going_on")?;
            if going_on >= MAX_RUNNING_ERASURES {
                return Err(InsertErasureError::TooMany);
            }
            let own = sqlx::query("SELECT id FROM numbers WHERE account_id = $1 AND number = $2")
                .bind(account.as_uuid())
                .bind(number.as_str())
                .fetch_optional(&mut *transaction)
                .await?;
            if own.is_some() {
                return Err(InsertErasureError::OwnNumber);
            }
            let mut places = Vec::new();
            for (kind, statement) in CONFIGURATION {
                for row in sqlx::query(statement).bind(account.as_uuid()).fetch_all(&mut *transaction).await? {
                    if places.len() < MAX_PLACES && spellings.are_in(&row.text("held")?) {
                        places.push(format!("{kind}/{}", row.uuid("id")?));
                    }
                }
            }
            if !places.is_empty() {
                return Err(InsertErasureError::Configured { places });
            }
            let row = sqlx::query(READ_DATA_KEY).bind(account.as_uuid()).fetch_one(&mut *transaction).await?;
            let data_key = read_data_key(&row, self.master_key(), account)?;
            sqlx::query(
                "INSERT INTO erasures (id, account_id, requested_at, pseudonym, subject, progress, erased, claimed_until)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, 0)",
            )
            .bind(erasure.id.as_uuid())
            .bind(account.as_uuid())
            .bind(erasure.requested_at.unix_micros())
            .bind(erasure.pseudonym.as_str())
            .bind(data_key.seal(&spellings.to_bytes(), place(&erasure))?)
            .bind(to_json(&Progress::default()))
            .bind(to_json(&erasure.erased))
            .execute(&mut *transaction)
            .await?;
            let change = Change::new(account, "erasure.create", &erasure.id).made(json!({"pseudonym": erasure.pseudonym}));
            transaction.finish(self, act, change).await?;
        });
        Ok(erasure)
    }

    /// One erasure of an account.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn erasure(&self, account: AccountId, id: ErasureId) -> Result<Option<Erasure>, DatabaseError> {
        on_pool!(self, pools => sqlx::query("SELECT * FROM erasures WHERE id = $1 AND account_id = $2")
            .bind(id.as_uuid())
            .bind(account.as_uuid())
            .fetch_optional(&pools.reader)
            .await?
            .map(|row| read_erasure(&row))
            .transpose())
    }

    /// Erasures of an account, the newest first. Reversed they are oldest first.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn erasures(&self, account: AccountId, part: &Part) -> Result<Listed<Erasure>, DatabaseError> {
        self.list(&listing(account), part, &ReadErasure).await
    }

    /// How many there are.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn count_erasures(&self, account: AccountId) -> Result<Option<u64>, DatabaseError> {
        self.count(&listing(account)).await
    }
}

/// Where the spellings of an erasure are sealed.
fn place(erasure: &Erasure) -> Place {
    Place { table: "erasures", column: "subject", row: erasure.id.as_uuid(), account: erasure.account_id }
}

/// Letters only, so that no number is ever found in it, and enough of them that no two are the same.
fn pseudonym() -> Result<String, getrandom::Error> {
    let drawn: [u8; PSEUDONYM_LETTERS] = random()?;
    let letters = drawn.iter().map(|byte| char::from(b'a' + byte % 26));
    Ok(ERASED.chars().chain(letters).collect())
}

/// How erasures are listed: the newest first.
pub const ERASURES_KEY: SortKey = SortKey::descending(&[("requested_at", KeyKind::Integer), ("id", KeyKind::Uuid)]);

fn listing(account: AccountId) -> Listing {
    Listing {
        table: "erasures",
        index: Some("erasures_of_account"),
        columns: "*",
        key: ERASURES_KEY,
        narrow: vec![Condition::Is("account_id", Bound::Uuid(account.as_uuid()))],
        wide: Vec::new(),
        from: None,
        to: None,
    }
}

struct ReadErasure;

impl ReadRow for ReadErasure {
    type Row = Erasure;

    fn read<R: Columns>(&self, row: &R) -> Result<Erasure, DatabaseError> {
        read_erasure(row)
    }
}

fn read_erasure<R: Columns>(row: &R) -> Result<Erasure, DatabaseError> {
    Ok(Erasure {
        id: ErasureId::from_uuid(row.uuid("id")?),
        account_id: AccountId::from_uuid(row.uuid("account_id")?),
        requested_at: row.time("requested_at")?,
        pseudonym: row.text("pseudonym")?,
        waits_for: row.text_opt("waits_for")?.as_deref().and_then(ErasureWait::parse),
        erased: row.json("erased")?,
        finished_at: row.time_opt("finished_at")?,
    })
}

/// What of an account's configuration may name numbers, each as one text.
const CONFIGURATION: [(&str, &str); 2] = [
    ("numbers", "SELECT id, coalesce(label, '') || ' ' || connect || ' ' || metadata AS held FROM numbers WHERE account_id = $1"),
    (
        "trunks",
        "SELECT id, name || ' ' || coalesce(description, '') || ' ' || sip_domain || ' ' || sip_username || ' ' ||
             coalesce(auth_username, '') || ' ' || inbound_routing || ' ' || outbound_routing || ' ' || custom_headers || ' ' ||
             advanced_config AS held
         FROM trunks WHERE account_id = $1 AND deleted_at IS NULL",
    ),
];

/// Erasures of one account that go on at once: each walks through all its calls.
pub const MAX_RUNNING_ERASURES: u32 = 100;
/// Places that are named where a number is configured: enough to begin with.
const MAX_PLACES: usize = 20;
/// 200,000 million pseudonyms.
const PSEUDONYM_LETTERS: usize = 8;
