//! Events of a batch of the call path.

use super::session::Transaction;
use crate::event::{Exhausted, News, RESERVE, Tellings, Told};
use crate::row::stored;
use std::collections::{HashMap, HashSet};
use std::io;
use tandem_model::{AccountId, CallId, RefusalId, Timestamp};
use uuid::Uuid;

/// Those of the refusals that are stored already.
pub(super) async fn stored_refusals(
    transaction: &mut Transaction,
    news: &News<'_>,
) -> Result<HashSet<(RefusalId, AccountId)>, sqlx::Error> {
    let (ids, accounts): (Vec<Uuid>, Vec<Uuid>) =
        news.refusals().map(|(id, account)| (id.as_uuid(), account.as_uuid())).unzip();
    if ids.is_empty() {
        return Ok(HashSet::new());
    }
    let known: Vec<(Uuid, Uuid)> =
        sqlx::query_as("SELECT id, account_id FROM refusals WHERE (account_id, id) IN (SELECT * FROM unnest($1, $2))")
            .bind(accounts)
            .bind(ids)
            .fetch_all(&mut **transaction)
            .await?;
    Ok(known.into_iter().map(|(id, account)| (RefusalId::from_uuid(id), AccountId::from_uuid(account))).collect())
}

/// Writes the events of a batch whose records are written.
pub(super) async fn tell(
    transaction: &mut Transaction,
    news: &News<'_>,
    stored_refusals: &HashSet<(RefusalId, AccountId)>,
    at: Timestamp,
) -> Result<(), sqlx::Error> {
    let (ids, accounts): (Vec<Uuid>, Vec<Uuid>) =
        news.calls().map(|(id, account)| (id.as_uuid(), account.as_uuid())).unzip();
    let known: Vec<(Uuid, i64)> = sqlx::query_as(
        "SELECT call_logs.id, call_logs.told FROM call_logs
         JOIN unnest($1, $2) AS told (id, account_id) ON told.id = call_logs.id AND told.account_id = call_logs.account_id",
    )
    .bind(ids)
    .bind(accounts)
    .fetch_all(&mut **transaction)
    .await?;
    let told: HashMap<_, _> =
        known.into_iter().map(|(id, bits)| (CallId::from_uuid(id), Told::from_stored(bits))).collect();
    let events = news.events(&told, stored_refusals, at);
    let Tellings { mut drafts, changed, exhausted } =
        events.map_err(|error| sqlx::Error::Io(io::Error::from(error)))?;
    if !changed.is_empty() {
        let (ids, bits): (Vec<Uuid>, Vec<i64>) = changed.iter().map(|(id, told)| (id.as_uuid(), told.stored())).unzip();
        sqlx::query(
            "UPDATE call_logs SET told = changed.bits FROM unnest($1, $2) AS changed (id, bits)
             WHERE call_logs.id = changed.id",
        )
        .bind(ids)
        .bind(bits)
        .execute(&mut **transaction)
        .await?;
    }
    for Exhausted { account, at: when, draft } in exhausted {
        let noted = sqlx::query(NOTE_EXHAUSTED)
            .bind(account.as_uuid())
            .bind(when.unix_micros())
            .execute(&mut **transaction)
            .await?;
        if noted.rows_affected() > 0 {
            drafts.push(draft);
        }
    }
    drafts.sort_by_key(|draft| draft.account);
    let mut sequences = Vec::with_capacity(drafts.len());
    let mut written = Vec::with_capacity(drafts.len());
    for drafts in drafts.chunk_by(|one, next| one.account == next.account) {
        let Some(account) = drafts.first().map(|draft| draft.account) else { continue };
        let count = stored(drafts.len() as u64);
        let reserved: Option<i64> = sqlx::query_scalar(RESERVE)
            .bind(account.as_uuid())
            .bind(count)
            .bind(at.unix_micros())
            .fetch_optional(&mut **transaction)
            .await?;
        if let Some(last) = reserved {
            sequences.extend(last - count + 1..=last);
            written.extend(drafts);
        }
    }
    let columns = sequences.as_slice().chunks(ROWS_PER_STATEMENT).zip(written.as_slice().chunks(ROWS_PER_STATEMENT));
    for (sequences, drafts) in columns {
        sqlx::query(INSERT_EVENTS)
            .bind(drafts.iter().map(|draft| draft.account.as_uuid()).collect::<Vec<_>>())
            .bind(sequences)
            .bind(drafts.iter().map(|draft| draft.id.as_uuid()).collect::<Vec<_>>())
            .bind(drafts.iter().map(|draft| draft.kind.as_str()).collect::<Vec<_>>())
            .bind(drafts.iter().map(|draft| draft.subject.as_str()).collect::<Vec<_>>())
            .bind(drafts.iter().map(|draft| draft.at.unix_micros()).collect::<Vec<_>>())
            .bind(drafts.iter().map(|draft| draft.data.as_str()).collect::<Vec<_>>())
            .bind(at.unix_micros())
            .execute(&mut **transaction)
            .await?;
    }
    Ok(())
}

/// Of an account that somebody listens to.
const NOTE_EXHAUSTED: &str = "UPDATE credits SET exhausted_at = $2 WHERE account_id = $1 AND exhausted_at IS NULL";

const INSERT_EVENTS: &str = "
INSERT INTO events (account_id, sequence, id, type, subject, at, data, written_at)
SELECT events.*, $8 FROM unnest($1, $2, $3, $4, $5, $6, $7) AS events";

/// Keeps one statement to a few megabytes, whatever the size of the batch.
const ROWS_PER_STATEMENT: usize = 1_000;
