use super::chain::{BEGINNING, HEAD, Head, Link, details_hash};
use super::verify::{BEGIN, BREAK, HeadState, head_before};
use super::{Change, NODE};
use crate::pool::on_pool;
use crate::row::{Columns, stored};
use crate::store::random;
use crate::{Act, DatabaseError, Store};
use serde_json::json;
use sqlx::Sqlite;
use tandem_model::AccountId;

impl Store {
    /// Writes down acts that change no row: commands to live calls, sign-ins that failed. Those that are only asked about are passed
    /// over.
    ///
    /// # Errors
    /// [`DatabaseError`]; then none is written.
    pub async fn record_acts(&self, acts: &[(Act, Change)]) -> Result<(), DatabaseError> {
        let entries: Vec<(&Act, &Change)> =
            acts.iter().filter(|(act, _)| !act.dry_run).map(|(act, change)| (act, change)).collect();
        if entries.is_empty() {
            return Ok(());
        }
        on_pool!(self, pools => {
            let mut transaction = pools.begin_calls().await?;
            transaction.append_all(self, entries).await?;
            transaction.commit().await?;
        });
        Ok(())
    }
}

/// A transaction whose end is written down.
pub(crate) trait ActTransaction: Sized {
    /// Writes the entry of the act and commits; or takes everything back, if it was only asked what would happen.
    fn finish(self, store: &Store, act: &Act, change: Change)
    -> impl Future<Output = Result<(), DatabaseError>> + Send;

    /// The same for an act that changes several things, of one account or of several.
    fn finish_all(
        self,
        store: &Store,
        act: &Act,
        changes: &[Change],
    ) -> impl Future<Output = Result<(), DatabaseError>> + Send;

    /// Adds entries to the logs of their accounts, and to that of the node which of them begin.
    fn append_all(
        &mut self,
        store: &Store,
        entries: Vec<(&Act, &Change)>,
    ) -> impl Future<Output = Result<(), DatabaseError>> + Send;

    /// Adds entries to the log of their account, which is one; tells whether they are the first in it.
    fn append(
        &mut self,
        store: &Store,
        entries: &[(&Act, &Change)],
    ) -> impl Future<Output = Result<bool, DatabaseError>> + Send;
}

macro_rules! act_transaction {
    ($transaction:ty) => {
        impl ActTransaction for $transaction {
            async fn finish(self, store: &Store, act: &Act, change: Change) -> Result<(), DatabaseError> {
                self.finish_all(store, act, &[change]).await
            }

            async fn finish_all(mut self, store: &Store, act: &Act, changes: &[Change]) -> Result<(), DatabaseError> {
                if act.dry_run {
                    return Ok(self.rollback().await?);
                }
                self.append_all(store, changes.iter().map(|change| (act, change)).collect()).await?;
                Ok(self.commit().await?)
            }

            async fn append_all(
                &mut self,
                store: &Store,
                mut entries: Vec<(&Act, &Change)>,
            ) -> Result<(), DatabaseError> {
                // In the order of their logs, that of the node last: who waits for a log that another has never holds one that the other
                // waits for.
                entries.sort_by_key(|(_, change)| (change.account == NODE, change.account));
                let logs: Vec<&[(&Act, &Change)]> =
                    entries.chunk_by(|(_, one), (_, other)| one.account == other.account).collect();
                let (accounts, node) = match logs.split_last() {
                    Some((last, others)) if is_nodes(last) => (others, Some(*last)),
                    Some(_) | None => (logs.as_slice(), None),
                };
                let mut begun = Vec::new();
                for log in accounts {
                    if self.append(store, log).await?
                        && let Some((act, change)) = log.first()
                    {
                        begun.push(begins(act, change.account));
                    }
                }
                let mut last: Vec<(&Act, &Change)> = begun.iter().map(|(act, change)| (act, change)).collect();
                last.extend(node.into_iter().flatten());
                self.append(store, &last).await?;
                Ok(())
            }

            async fn append(&mut self, store: &Store, entries: &[(&Act, &Change)]) -> Result<bool, DatabaseError> {
                let Some((_, first)) = entries.first() else {
                    return Ok(false);
                };
                let account = first.account;
                let row = sqlx::query(TAKE_NUMBERS)
                    .bind(account.as_uuid())
                    .bind(BEGINNING.as_slice())
                    .bind(stored(entries.len() as u64))
                    .fetch_one(&mut **self)
                    .await?;
                let last: u64 = row.number("last_number")?;
                let first: u64 = row.number("first_number")?;
                let anchor = row.bytes("anchor")?;
                let mut hash = row.bytes("hash")?;
                let mut number = last.saturating_sub(entries.len() as u64);
                let is_first = number == 0;
                let state = if is_first {
                    let begun = entries.iter().filter(|(_, change)| change.account == NODE && change.action == BEGIN).count();
                    let known: i64 = sqlx::query_scalar(COUNT_OTHERS).bind(NODE.as_uuid()).fetch_one(&mut **self).await?;
                    // Every other log began in a transaction that wrote so into the node's.
                    let was_there = account == NODE && known > stored(begun as u64);
                    if was_there { HeadState::Lost } else { HeadState::Authentic }
                } else {
                    head_before(store.master_key(), &row, number)?
                };
                // What was done to the end of the log stays in it: else the head that is set now would vouch for that.
                let broken = state.fault().zip(entries.first()).map(|(fault, (act, _))| {
                    tracing::error!(%account, fault, "the end of an audit log was not set by this node; that is noted in it");
                    let told = json!({"fault": fault, "last_number": number});
                    (Act::system("audit", act.at), Change::new(account, BREAK, &account).made(told))
                });
                let last = if broken.is_some() {
                    let row = sqlx::query(TAKE_ONE_MORE).bind(account.as_uuid()).fetch_one(&mut **self).await?;
                    row.number("last_number")?
                } else {
                    last
                };
                let broken = broken.iter().map(|(act, change)| (act, change));
                for (act, change) in broken.chain(entries.iter().copied()) {
                    number += 1;
                    let details = change.details();
                    let salt: [u8; SALT_BYTES] = random()?;
                    let details_sha256 = details_hash(&salt, &details);
                    let source = act.source.map(|source| source.to_string());
                    let redacts = (!change.redacts.is_empty()).then(|| crate::row::to_json(&change.redacts));
                    let link = Link {
                        account,
                        number,
                        at_micros: act.at.unix_micros(),
                        actor_kind: act.actor.kind.as_str(),
                        actor_id: act.actor.id,
                        actor_name: &act.actor.name,
                        actor_account: act.actor.account.map(AccountId::as_uuid),
                        on_behalf_of: act.actor.on_behalf_of.map(AccountId::as_uuid),
                        source: source.as_deref(),
                        request_id: act.request_id.as_deref(),
                        action: change.action,
                        resource_type: change.resource_type(),
                        resource_id: &change.resource,
                        node_id: store.node_id().as_uuid(),
                        redacts: redacts.as_deref(),
                        details_sha256: &details_sha256,
                    };
                    hash = link.hash(&hash).to_vec();
                    sqlx::query(ADD_ENTRY)
                        .bind(account.as_uuid())
                        .bind(stored(number))
                        .bind(link.at_micros)
                        .bind(link.actor_kind)
                        .bind(link.actor_id)
                        .bind(link.actor_name)
                        .bind(link.actor_account)
                        .bind(link.on_behalf_of)
                        .bind(link.source)
                        .bind(link.request_id)
                        .bind(link.action)
                        .bind(link.resource_type)
                        .bind(link.resource_id)
                        .bind(link.node_id)
                        .bind(link.redacts)
                        .bind(details.as_str())
                        .bind(salt.as_slice())
                        .bind(details_sha256.as_slice())
                        .bind(hash.as_slice())
                        .execute(&mut **self)
                        .await?;
                }
                let key_id = store.master_key().id();
                let key = store.master_key().derive_by(key_id, HEAD).unwrap_or_default();
                let head = Head { account, first, anchor: &anchor, last, hash: &hash };
                sqlx::query(SET_HEAD)
                    .bind(account.as_uuid())
                    .bind(hash.as_slice())
                    .bind(key_id.to_string())
                    .bind(head.mac(&key).as_slice())
                    .execute(&mut **self)
                    .await?;
                Ok(is_first)
            }
        }
    };
}

act_transaction!(sqlx::Transaction<'static, Sqlite>);
act_transaction!(crate::postgres::PostgresTransaction);

/// What the node's log says when another begins: so a whole log cannot go unnoticed.
fn begins(act: &Act, account: AccountId) -> (Act, Change) {
    (Act::system("audit", act.at), Change::new(NODE, BEGIN, &account))
}

fn is_nodes(log: &[(&Act, &Change)]) -> bool {
    log.first().is_some_and(|(_, change)| change.account == NODE)
}

/// Numbers the next `$3` entries of the log of `$1` and keeps others from adding to it until the transaction ends. The hash in the
/// answer is that of the last entry so far.
const TAKE_NUMBERS: &str =
    "INSERT INTO audit_heads (account_id, first_number, anchor, last_number, hash, key_id, mac) VALUES ($1, 1, $2, $3, $2, '', $2)
     ON CONFLICT (account_id) DO UPDATE SET last_number = audit_heads.last_number + $3
     RETURNING *";

/// Another one, for what is to be said before them.
const TAKE_ONE_MORE: &str =
    "UPDATE audit_heads SET last_number = last_number + 1 WHERE account_id = $1 RETURNING last_number";

/// How many logs there are but that of `$1`.
const COUNT_OTHERS: &str = "SELECT count(*) FROM audit_heads WHERE account_id <> $1";

const ADD_ENTRY: &str = "INSERT INTO audit_log (account_id, number, at, actor_kind, actor_id, actor_name, actor_account_id, on_behalf_of,
         source, request_id, action, resource_type, resource_id, node_id, redacts, details, details_salt, details_sha256, hash)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)";

const SET_HEAD: &str = "UPDATE audit_heads SET hash = $2, key_id = $3, mac = $4 WHERE account_id = $1";

/// Enough that nobody tries them all.
const SALT_BYTES: usize = 16;
