//! The connection that writes what the call path records: one of its own, on the thread that asks, row by row with prepared statements.
//!
//! sqlx hands each statement to a thread of its connection and takes parameters by value; a batch would have to be copied into its
//! bindings or printed as JSON and parsed again. Here a row's columns are bound from where they are.

use super::file_error::FileError;
use super::{BUSY_TIMEOUT, WAL_LIMIT_BYTES, outbox, traffic};
use crate::JournalPosition;
use crate::event::News;
use crate::journal::MOVE_POSITION;
use crate::records::{Batch, CallState, Rejected, Writer, accounts_of, may_be_settled, stored_cost};
use crate::row::stored;
use crate::settlement::{ADD_SETTLEMENT, Due, INSERT_ENTRY, READ_DUE, tell_unsettled};
use crate::store::random;
use crate::timeline::Chunk;
use crate::traffic::{TrafficChange, mos_millis};
use crate::wide_sum::joined;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior};
use serde::Serialize;
use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use tandem_model::{
    AccountId, Codec, CreditEntryId, HangupCause, HungUpBy, JsonText, LegRecord, Money, Record, RefusedInvite,
    Timestamp, TrunkId,
};
use uuid::Uuid;

/// Binds the columns of a row in the order of the statement, and runs it.
macro_rules! run {
    ($statement:ident, $($column:expr),+ $(,)?) => {{
        let mut place = 0_usize;
        $(
            place += 1;
            $statement.raw_bind_parameter(place, $column)?;
        )+
        $statement.raw_execute()
    }};
}

pub(super) use run;

/// The connection. Who writes must have the writer's place in the queue: SQLite takes one writer at a time.
pub(super) struct Recording {
    path: PathBuf,
    /// `None` once it was closed, and after it could not be opened again.
    connection: Mutex<Option<Connection>>,
}

impl Recording {
    pub(super) fn open(path: &Path) -> Result<Self, sqlx::Error> {
        let connection = open(path).map_err(FileError::new)?;
        Ok(Self { path: path.to_owned(), connection: Mutex::new(Some(connection)) })
    }

    /// Writes a batch in one transaction, and says what was left out of it. Blocks.
    pub(super) fn write(
        &self,
        records: &[Record],
        read_to: Option<JournalPosition>,
        writer: Writer,
    ) -> Result<Vec<Rejected>, sqlx::Error> {
        let mut place = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        // When the disk is full SQLite ends a transaction by itself, and one that it could not end either is left open.
        let usable = place.take().filter(Connection::is_autocommit);
        let connection = match usable {
            Some(connection) => place.insert(connection),
            None => place.insert(open(&self.path).map_err(FileError::new)?),
        };
        write(connection, records, read_to, writer).map_err(|error| FileError::new(error).into())
    }

    /// Closes the connection; nobody may write any more.
    pub(super) fn close(&self) {
        drop(self.connection.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

/// As the other connections are opened, but for foreign keys.
fn open(path: &Path) -> Result<Connection, rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "journal_size_limit", WAL_LIMIT_BYTES)?;
    connection.pragma_update(None, "secure_delete", true)?;
    // The accounts of a batch are looked up in its transaction, once each and not once a row.
    connection.pragma_update(None, "foreign_keys", false)?;
    connection.set_prepared_statement_cache_capacity(PREPARED_STATEMENTS);
    Ok(connection)
}

fn write(
    connection: &mut Connection,
    records: &[Record],
    read_to: Option<JournalPosition>,
    writer: Writer,
) -> Result<Vec<Rejected>, rusqlite::Error> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let (known, listening) = known_accounts(&transaction, &accounts_of(records), writer.at)?;
    let (batch, rejected) = Batch::new(records, &known);
    let news = News::new(records, &listening);
    let stored_refusals = outbox::stored_refusals(&transaction, &news)?;
    let mut change = TrafficChange::default();
    traffic::change_calls(&transaction, &batch.calls, &mut change)?;
    traffic::change_legs(&transaction, &batch.legs, &mut change)?;
    write_calls(&transaction, &batch.calls, writer)?;
    write_legs(&transaction, &batch.legs)?;
    write_timelines(&transaction, &batch.timelines)?;
    write_refusals(&transaction, &batch.refusals)?;
    settle_calls(&transaction, &batch.calls, writer)?;
    traffic::write(&transaction, &change.rows(writer.at))?;
    if let Some(position) = read_to {
        let mut statement = transaction.prepare_cached(MOVE_POSITION)?;
        run!(
            statement,
            writer.node.as_uuid().as_bytes(),
            position.shard,
            stored(position.segment),
            stored(position.offset),
        )?;
    }
    if !news.is_empty() {
        outbox::tell(&transaction, &news, &stored_refusals, writer.at)?;
    }
    transaction.commit()?;
    Ok(rejected)
}

/// Which of these accounts exist, and to which of them somebody listens.
fn known_accounts(
    connection: &Connection,
    accounts: &HashSet<AccountId>,
    at: Timestamp,
) -> Result<(HashSet<AccountId>, HashSet<AccountId>), rusqlite::Error> {
    let mut statement = connection.prepare_cached(KNOWN_ACCOUNT)?;
    let (mut known, mut listening) = (HashSet::with_capacity(accounts.len()), HashSet::new());
    for account in accounts {
        let mut rows = statement.query((account.as_uuid().as_bytes(), at.unix_micros()))?;
        if let Some(row) = rows.next()? {
            known.insert(*account);
            if row.get(0)? {
                listening.insert(*account);
            }
        }
    }
    Ok((known, listening))
}

fn write_calls(connection: &Connection, calls: &[CallState<'_>], writer: Writer) -> Result<(), rusqlite::Error> {
    let mut statement = connection.prepare_cached(UPSERT_CALLS)?;
    let mut metadata = Vec::new();
    for CallState { record: call, receipt } in calls {
        run!(
            statement,
            call.id.as_uuid().as_bytes(),
            call.account_id.as_uuid().as_bytes(),
            call.call_id.as_str(),
            call.trunk_id.map(TrunkId::as_uuid).as_ref().map(Uuid::as_bytes),
            call.direction.as_str(),
            call.carried_by.as_str(),
            call.conversation_id.as_ref().map(Uuid::as_bytes),
            call.from_number.as_str(),
            call.to_number.as_str(),
            call.to_uri.as_deref(),
            call.started_at.unix_micros(),
            call.answered_at.map(Timestamp::unix_micros),
            call.ended_at.map(Timestamp::unix_micros),
            call.duration_ms.map(stored),
            call.status.as_str(),
            call.hangup_cause.as_deref(),
            call.sip_status,
            call.hung_up_by.map(HungUpBy::as_str),
            call.quality_score.filter(|score| score.is_finite()),
            call.codec_used.as_deref(),
            call.sip_call_id.as_deref(),
            call.remote_ip.as_deref(),
            stored_cost(call.cost),
            call.credits_used.map(Money::micros),
            json(&mut metadata, &call.metadata),
            receipt.map(JsonText::as_str),
            call.created_at.unix_micros(),
            writer.node.as_uuid().as_bytes(),
            writer.boot.as_uuid().as_bytes(),
            writer.at.unix_micros(),
        )?;
    }
    Ok(())
}

fn write_legs(connection: &Connection, legs: &[&LegRecord]) -> Result<(), rusqlite::Error> {
    let mut statement = connection.prepare_cached(UPSERT_LEGS)?;
    let (mut address, mut media) = (String::new(), Vec::new());
    for leg in legs {
        address.clear();
        if let Some(remote) = leg.remote_address {
            // Writing to a string does not fail.
            let _ = write!(address, "{remote}");
        }
        run!(
            statement,
            leg.call_id.as_uuid().as_bytes(),
            leg.id.as_uuid().as_bytes(),
            leg.account_id.as_uuid().as_bytes(),
            leg.number,
            leg.kind.as_str(),
            leg.trunk_id.map(TrunkId::as_uuid).as_ref().map(Uuid::as_bytes),
            leg.direction.as_str(),
            leg.request_uri.as_str(),
            leg.started_at.unix_micros(),
            leg.ringing_at.map(Timestamp::unix_micros),
            leg.answered_at.map(Timestamp::unix_micros),
            leg.ended_at.map(Timestamp::unix_micros),
            leg.duration_ms.map(stored),
            leg.status.as_str(),
            leg.cause.map(HangupCause::as_str),
            leg.sip_status,
            leg.hung_up_by.map(HungUpBy::as_str),
            leg.codec.map(Codec::as_str),
            leg.sip_call_id.as_str(),
            leg.transport.as_str(),
            leg.remote_address.map(|_| address.as_str()),
            leg.billed_seconds.map(stored),
            stored_cost(leg.cost),
            leg.media.as_ref().map(|counted| json(&mut media, counted)),
            mos_millis(leg),
        )?;
    }
    Ok(())
}

fn write_timelines(connection: &Connection, timelines: &[Chunk<'_>]) -> Result<(), rusqlite::Error> {
    let mut statement = connection.prepare_cached(INSERT_TIMELINES)?;
    let mut events = String::new();
    for chunk in timelines {
        events.clear();
        chunk.print_events(&mut events);
        run!(
            statement,
            chunk.call_id.as_uuid().as_bytes(),
            chunk.last_number(),
            chunk.account_id.as_uuid().as_bytes(),
            events.as_str(),
        )?;
    }
    Ok(())
}

fn write_refusals(connection: &Connection, refusals: &[&RefusedInvite]) -> Result<(), rusqlite::Error> {
    let mut statement = connection.prepare_cached(INSERT_REFUSALS)?;
    for refusal in refusals {
        run!(
            statement,
            refusal.id.as_uuid().as_bytes(),
            refusal.account_id.as_uuid().as_bytes(),
            refusal.at.unix_micros(),
            refusal.trunk_id.map(TrunkId::as_uuid).as_ref().map(Uuid::as_bytes),
            refusal.from_number.as_str(),
            refusal.to_number.as_str(),
            refusal.sip_call_id.as_str(),
            refusal.sip_status,
            refusal.reason.as_str(),
            refusal.receipt.as_str(),
        )?;
    }
    Ok(())
}

/// Has the calls that are over paid for by the credit of their accounts, where it pays for them.
fn settle_calls(connection: &Connection, calls: &[CallState<'_>], writer: Writer) -> Result<(), rusqlite::Error> {
    let mut is_controlled = connection.prepare_cached(IS_CONTROLLED)?;
    let mut due_of = connection.prepare_cached(READ_DUE)?;
    let mut insert = connection.prepare_cached(INSERT_ENTRY)?;
    let mut add = connection.prepare_cached(ADD_SETTLEMENT)?;
    let mut controlled: HashMap<AccountId, bool> = HashMap::new();
    let mut unsettled = Vec::new();
    for call in calls.iter().map(|call| call.record).filter(|call| may_be_settled(call)) {
        let account = call.account_id.as_uuid();
        let pays = match controlled.get(&call.account_id) {
            Some(known) => *known,
            None => {
                let found = is_controlled.exists([account.as_bytes()])?;
                controlled.insert(call.account_id, found);
                found
            }
        };
        if !pays {
            continue;
        }
        let keys = [writer.node.as_uuid(), call.id.as_uuid(), account];
        let due = due_of.query_row(keys.each_ref().map(|key| key.as_bytes()), |row| {
            Ok(Due::new(
                row.get("cost_micros")?,
                joined(row.get("entered_high")?, row.get("entered_low")?),
                row.get("entries")?,
                joined(row.get("settled_high")?, row.get("settled_low")?),
                row.get("settled_here")?,
            ))
        });
        let Some(due) = due.optional()? else { continue };
        let entry = match due.entry() {
            Ok(Some(entry)) => entry,
            Ok(None) => continue,
            Err(_) => {
                unsettled.push((call.account_id, call.id));
                continue;
            }
        };
        let random = random().map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
        let id = CreditEntryId::new(writer.at, random).as_uuid();
        run!(
            insert,
            account.as_bytes(),
            id.as_bytes(),
            writer.at.unix_micros(),
            entry.kind.as_str(),
            entry.amount,
            call.id.as_uuid().as_bytes(),
            "",
        )?;
        run!(add, account.as_bytes(), writer.node.as_uuid().as_bytes(), entry.settled())?;
    }
    tell_unsettled(&unsettled);
    Ok(())
}

/// A value as JSON text, printed into a buffer that rows take turns to use.
fn json<'a, T: Serialize>(buffer: &'a mut Vec<u8>, value: &T) -> ToSqlOutput<'a> {
    buffer.clear();
    serde_json::to_writer(&mut *buffer, value).expect("only values with text keys are stored as JSON");
    ToSqlOutput::Borrowed(ValueRef::Text(buffer))
}

const IS_CONTROLLED: &str = "SELECT 1 FROM credits WHERE account_id = ?1 AND controlled_since IS NOT NULL";
const KNOWN_ACCOUNT: &str = "
SELECT coalesce(event_streams.endpoints > 0 OR event_streams.listening_until > ?2, 0)
FROM accounts LEFT JOIN event_streams ON event_streams.account_id = accounts.id
WHERE accounts.id = ?1";

const UPSERT_CALLS: &str = "
INSERT INTO call_logs (id, account_id, call_id, trunk_id, direction, carried_by, conversation_id, from_number, to_number, to_uri,
    started_at, answered_at, ended_at, duration_ms, status, hangup_cause, sip_status, hung_up_by, quality_score, codec_used,
    sip_call_id, remote_ip, cost_micros, credits_used_micros, metadata, receipt, created_at, node_id, boot_id, updated_at,
    counted)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23,
    ?24, ?25, ?26, ?27, ?28, ?29, ?30, TRUE)
ON CONFLICT (id) DO UPDATE SET trunk_id = excluded.trunk_id, direction = excluded.direction,
    conversation_id = excluded.conversation_id, from_number = excluded.from_number, to_number = excluded.to_number,
    to_uri = excluded.to_uri, started_at = excluded.started_at, answered_at = excluded.answered_at,
    ended_at = excluded.ended_at, duration_ms = excluded.duration_ms, status = excluded.status,
    hangup_cause = excluded.hangup_cause, sip_status = excluded.sip_status, hung_up_by = excluded.hung_up_by,
    quality_score = coalesce(excluded.quality_score, quality_score), codec_used = excluded.codec_used,
    sip_call_id = excluded.sip_call_id, remote_ip = excluded.remote_ip, cost_micros = excluded.cost_micros,
    credits_used_micros = coalesce(credits_used_micros, excluded.credits_used_micros), receipt = coalesce(excluded.receipt, receipt),
    updated_at = excluded.updated_at, counted = TRUE
WHERE account_id = excluded.account_id";

const UPSERT_LEGS: &str = "
INSERT INTO call_legs (call_log_id, id, account_id, number, kind, trunk_id, direction, request_uri, started_at, ringing_at,
    answered_at, ended_at, duration_ms, status, cause, sip_status, hung_up_by, codec, sip_call_id, transport, remote_address,
    billed_seconds, cost_micros, media, mos_millis, counted)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23,
    ?24, ?25, TRUE)
ON CONFLICT (call_log_id, id) DO UPDATE SET number = excluded.number, kind = excluded.kind, trunk_id = excluded.trunk_id,
    direction = excluded.direction, request_uri = excluded.request_uri, started_at = excluded.started_at,
    ringing_at = excluded.ringing_at, answered_at = excluded.answered_at, ended_at = excluded.ended_at,
    duration_ms = excluded.duration_ms, status = excluded.status, cause = excluded.cause, sip_status = excluded.sip_status,
    hung_up_by = excluded.hung_up_by, codec = excluded.codec, sip_call_id = excluded.sip_call_id,
    transport = excluded.transport, remote_address = excluded.remote_address, billed_seconds = excluded.billed_seconds,
    cost_micros = excluded.cost_micros, media = excluded.media, mos_millis = excluded.mos_millis, counted = TRUE
WHERE account_id = excluded.account_id";

const INSERT_TIMELINES: &str = "
INSERT INTO call_timelines (call_log_id, last_number, account_id, events)
VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (call_log_id, last_number) DO NOTHING";

const INSERT_REFUSALS: &str = "
INSERT INTO refusals (id, account_id, at, trunk_id, from_number, to_number, sip_call_id, sip_status, reason, receipt)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
ON CONFLICT (account_id, id) DO NOTHING";

/// More than a batch has kinds of statements: none is ever prepared twice.
const PREPARED_STATEMENTS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DatabaseError;
    use crate::sqlite::SqlitePools;
    use std::time::Duration;
    use tandem_model::{BootId, NodeId, RefusalId};

    const WRITER: Writer = Writer {
        node: NodeId::from_uuid(Uuid::from_u128(1)),
        boot: BootId::from_uuid(Uuid::from_u128(2)),
        at: Timestamp::from_unix_micros(3),
    };
    const ACCOUNT: AccountId = AccountId::from_uuid(Uuid::from_u128(4));

    /// A new file with an account, and the connection to it.
    async fn recording(folder: &Path) -> Recording {
        let path = folder.join("tandem.db");
        SqlitePools::migrate(&path).await.unwrap();
        let recording = Recording::open(&path).unwrap();
        run(
            &recording,
            "INSERT INTO accounts (id, name, tier, data_key, created_at)
             VALUES (x'00000000000000000000000000000004', 'a', 'pro', x'', 0)",
        );
        recording
    }

    fn run(recording: &Recording, sql: &str) {
        recording.connection.lock().unwrap().as_ref().unwrap().execute_batch(sql).unwrap();
    }

    /// A refusal, for it has the fewest columns, of so many bytes.
    fn record(number: u128, bytes: usize) -> Record {
        Record::Refusal(Box::new(RefusedInvite {
            id: RefusalId::from_uuid(Uuid::from_u128(number)),
            account_id: ACCOUNT,
            at: Timestamp::from_unix_micros(1),
            trunk_id: None,
            from_number: String::new(),
            to_number: String::new(),
            sip_call_id: String::new(),
            sip_status: 404,
            reason: String::new(),
            receipt: JsonText::from_stored("x".repeat(bytes)),
        }))
    }

    fn write(recording: &Recording, records: &[Record]) -> Result<(), DatabaseError> {
        recording.write(records, None, WRITER).map(drop).map_err(DatabaseError::from)
    }

    fn stored(recording: &Recording) -> i64 {
        let place = recording.connection.lock().unwrap();
        place.as_ref().unwrap().query_one("SELECT count(*) FROM refusals", [], |row| row.get(0)).unwrap()
    }

    #[tokio::test]
    async fn a_full_disk_is_told_apart_and_records_are_taken_once_there_is_space() {
        let folder = tempfile::tempdir().unwrap();
        let recording = recording(folder.path()).await;
        // The database may not grow by another page: what a full disk looks like from inside.
        run(&recording, "PRAGMA max_page_count = 1");
        let records = [record(1, 10), record(2, 1_000_000)];
        assert!(matches!(write(&recording, &records), Err(DatabaseError::DiskFull)));
        assert_eq!(stored(&recording), 0);
        run(&recording, "PRAGMA max_page_count = 1000000");
        write(&recording, &records).unwrap();
        assert_eq!(stored(&recording), 2);
    }

    #[tokio::test]
    async fn another_process_that_holds_the_file_is_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let recording = recording(folder.path()).await;
        recording.connection.lock().unwrap().as_ref().unwrap().busy_timeout(Duration::ZERO).unwrap();
        let other = Recording::open(&recording.path).unwrap();
        run(&other, "BEGIN IMMEDIATE");
        assert!(matches!(write(&recording, &[record(1, 10)]), Err(DatabaseError::Busy)));
        run(&other, "ROLLBACK");
        write(&recording, &[record(1, 10)]).unwrap();
    }

    #[tokio::test]
    async fn values_that_are_refused_are_told_apart_and_nothing_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let recording = recording(folder.path()).await;
        run(
            &recording,
            "CREATE TRIGGER picky BEFORE INSERT ON refusals WHEN length(NEW.receipt) > 10
             BEGIN SELECT RAISE (ABORT, 'too long'); END",
        );
        let error = write(&recording, &[record(1, 10), record(2, 11)]).unwrap_err();
        assert!(error.is_about_values(), "{error:?}");
        assert_eq!(stored(&recording), 0);
        run(&recording, "ALTER TABLE refusals RENAME TO gone");
        let error = write(&recording, &[record(1, 10)]).unwrap_err();
        assert!(!error.is_about_values() && !error.is_transient(), "{error:?}");
    }

    #[tokio::test]
    async fn a_connection_with_a_transaction_that_nobody_ended_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let recording = recording(folder.path()).await;
        run(&recording, "BEGIN IMMEDIATE; DELETE FROM accounts");
        write(&recording, &[record(1, 10)]).unwrap();
        assert_eq!(stored(&recording), 1);
    }
}
