//! Events of a batch of the call path.

use crate::event::{Exhausted, INSERT_EVENT, News, Tellings, Told};
use crate::row::stored;
use rusqlite::{Connection, OptionalExtension as _};
use std::collections::{HashMap, HashSet};
use std::io;
use tandem_model::{AccountId, RefusalId, Timestamp};

/// Those of the refusals that are stored already.
pub(super) fn stored_refusals(
    connection: &Connection,
    news: &News<'_>,
) -> Result<HashSet<(RefusalId, AccountId)>, rusqlite::Error> {
    let mut statement = connection.prepare_cached("SELECT 1 FROM refusals WHERE account_id = ?1 AND id = ?2")?;
    let mut known = HashSet::new();
    for (id, account) in news.refusals() {
        if statement.exists([account.as_uuid().as_bytes(), id.as_uuid().as_bytes()])? {
            known.insert((id, account));
        }
    }
    Ok(known)
}

/// Writes the events of a batch whose records are written.
pub(super) fn tell(
    connection: &Connection,
    news: &News<'_>,
    stored_refusals: &HashSet<(RefusalId, AccountId)>,
    at: Timestamp,
) -> Result<(), rusqlite::Error> {
    let mut read = connection.prepare_cached("SELECT told FROM call_logs WHERE id = ?1 AND account_id = ?2")?;
    let mut told = HashMap::new();
    for (id, account) in news.calls() {
        let bits =
            read.query_row([id.as_uuid().as_bytes(), account.as_uuid().as_bytes()], |row| row.get(0)).optional()?;
        if let Some(bits) = bits {
            told.insert(id, Told::from_stored(bits));
        }
    }
    let events = news.events(&told, stored_refusals, at);
    let Tellings { mut drafts, changed, exhausted } =
        events.map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(io::Error::from(error))))?;
    let mut note = connection.prepare_cached("UPDATE call_logs SET told = ?2 WHERE id = ?1")?;
    for (id, told) in changed {
        note.execute((id.as_uuid().as_bytes(), told.stored()))?;
    }
    for Exhausted { account, at: when, draft } in exhausted {
        let mut note = connection.prepare_cached(NOTE_EXHAUSTED)?;
        if note.execute((account.as_uuid().as_bytes(), when.unix_micros()))? > 0 {
            drafts.push(draft);
        }
    }
    drafts.sort_by_key(|draft| draft.account);
    let mut reserve = connection.prepare_cached(RESERVE)?;
    let mut insert = connection.prepare_cached(INSERT_EVENT)?;
    for drafts in drafts.chunk_by(|one, next| one.account == next.account) {
        let Some(account) = drafts.first().map(|draft| draft.account.as_uuid()) else { continue };
        let count = stored(drafts.len() as u64);
        let reserved: Option<i64> =
            reserve.query_row((account.as_bytes(), count, at.unix_micros()), |row| row.get(0)).optional()?;
        let Some(last) = reserved else { continue };
        for (sequence, draft) in (last - count + 1..=last).zip(drafts) {
            insert.execute((
                account.as_bytes(),
                sequence,
                draft.id.as_uuid().as_bytes(),
                draft.kind.as_str(),
                draft.subject.as_str(),
                draft.at.unix_micros(),
                at.unix_micros(),
                draft.data.as_str(),
            ))?;
        }
    }
    Ok(())
}

/// Of an account that somebody listens to.
const NOTE_EXHAUSTED: &str = "UPDATE credits SET exhausted_at = ?2 WHERE account_id = ?1 AND exhausted_at IS NULL";

/// As it is elsewhere; here `$1` would be the name of a parameter, and not its place.
const RESERVE: &str = "UPDATE event_streams SET last_sequence = last_sequence + ?2
    WHERE account_id = ?1 AND (endpoints > 0 OR listening_until > ?3) RETURNING last_sequence";
