//! What only SQLite knows: how it is opened, its error codes, how records are written.

pub(crate) mod backup;
mod file_error;
mod outbox;
mod recording;
mod stamp;
mod traffic;

use self::file_error::FileError;
use self::recording::Recording;
use self::stamp::Watch;
use crate::error::Refusal;
use crate::migrations;
use crate::pulse::{Pulse, no_answer};
use crate::records::{Rejected, Writer};
use crate::row::Columns;
use crate::store::Migrated;
use crate::traffic::{Sums, TrafficKey};
use crate::{JournalPosition, OpenError};
use sqlx::error::DatabaseError;
use sqlx::migrate::MigrateError;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteError, SqliteJournalMode, SqlitePoolOptions, SqliteRow,
    SqliteSynchronous,
};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row, Sqlite, SqlitePool, Transaction};
use std::fs::OpenOptions;
use std::future::{Ready, ready};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};
use tandem_model::{AccountId, Record, TrunkId};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::time::timeout;
use uuid::Uuid;

/// SQLite takes one writer at a time, so the pool that writes has one connection: waiting for it is a fair queue in memory, not a busy
/// lock. Who writes records has a connection of another kind, and uses it while holding that of the pool.
pub(crate) struct SqlitePools {
    pub(crate) writer: SqlitePool,
    pub(crate) reader: SqlitePool,
    recording: Recording,
    pulse: Pulse,
    watch: Watch,
}

impl SqlitePools {
    /// Opens the file, creates it when it is not there, and brings its schema up to date.
    pub(crate) async fn open(path: &Path) -> Result<Self, OpenError> {
        prepare_file(path)?;
        let writer = pool_options()
            .max_connections(1)
            .connect_with(connect_options(path))
            .await
            .map_err(|error| open_error(path, error))?;
        let mut connection = writer.acquire().await.map_err(|error| open_error(path, error))?;
        bring_up_to_date(path, &mut connection).await?;
        drop(connection);

        let reader = pool_options()
            .max_connections(READERS)
            .connect_with(connect_options(path).pragma("query_only", "on"))
            .await
            .map_err(|error| open_error(path, error))?;
        let recording = Recording::open(path).map_err(|error| open_error(path, error))?;
        Ok(Self { writer, reader, recording, pulse: Pulse::default(), watch: Watch::new(path) })
    }

    /// Brings the schema up to date and closes the file again.
    pub(crate) async fn migrate(path: &Path) -> Result<Migrated, OpenError> {
        prepare_file(path)?;
        let mut connection = connect_options(path).connect().await.map_err(|error| open_error(path, error))?;
        let migrated = bring_up_to_date(path, &mut connection).await;
        connection.close().await.map_err(|error| open_error(path, error))?;
        migrated
    }

    /// Starts a transaction that writes. It takes the write lock at once: a transaction that begins by reading and then writes would
    /// fail, without waiting, if another process wrote in between.
    pub(crate) async fn begin(&self) -> Result<Transaction<'static, Sqlite>, sqlx::Error> {
        self.writer.begin_with("BEGIN IMMEDIATE").await
    }

    /// As [`Self::begin`]: the file has one writer, whatever it writes.
    pub(crate) async fn begin_calls(&self) -> Result<Transaction<'static, Sqlite>, sqlx::Error> {
        self.begin().await
    }

    /// Nothing to do: the transaction has the whole file.
    pub(crate) fn hold_call(
        &self,
        _: &mut Transaction<'static, Sqlite>,
        _: AccountId,
        _: Option<&str>,
        _: Option<Uuid>,
    ) -> Ready<Result<bool, sqlx::Error>> {
        ready(Ok(true))
    }

    /// Adds to the rows of the statistics.
    pub(crate) async fn write_traffic(
        &self,
        transaction: &mut Transaction<'static, Sqlite>,
        rows: &[(TrafficKey, Sums)],
    ) -> Result<(), sqlx::Error> {
        for (key, sums) in rows {
            let query = sqlx::query(traffic::ADD_TRAFFIC.as_str())
                .bind(key.account.as_uuid())
                .bind(key.view.as_str())
                .bind(key.grain.as_str())
                .bind(key.began_at)
                .bind(key.trunk.map_or(Uuid::nil(), TrunkId::as_uuid))
                .bind(key.direction.as_str())
                .bind(key.detail.text());
            sums.columns().into_iter().fold(query, sqlx::query::Query::bind).execute(&mut **transaction).await?;
        }
        Ok(())
    }

    /// Starts a transaction that reads: it sees the file as of its first statement.
    pub(crate) async fn snapshot(&self) -> Result<Transaction<'static, Sqlite>, sqlx::Error> {
        self.reader.begin().await
    }

    /// The writer, unless somebody has it.
    pub(crate) fn spare_writer(&self) -> Ready<Option<PoolConnection<Sqlite>>> {
        ready(self.writer.try_acquire())
    }

    /// Asks for one number, to see whether the file can be read in time. A disk that hangs is not waited for; what else waits for it has
    /// limits of its own. It is not asked again while nothing is written to it.
    pub(crate) async fn look(&self, question: &'static str, column: &'static str) -> Result<u64, crate::DatabaseError> {
        let stamp = self.watch.stamp();
        if let Some(known) = self.watch.known(stamp, Instant::now()) {
            return Ok(known);
        }
        let clock = SystemTime::now();
        let number = self.ask(question).await?.number(column)?;
        self.watch.found(stamp, number, Instant::now(), clock);
        Ok(number)
    }

    async fn ask(&self, question: &'static str) -> Result<SqliteRow, sqlx::Error> {
        let asked = timeout(LOOK_DEADLINE, sqlx::query(question).fetch_one(&self.reader)).await;
        let answer = asked.unwrap_or_else(|_| Err(no_answer()));
        self.pulse.found(answer.is_err());
        answer
    }

    /// Whether the last look had an answer; true before the first.
    pub(crate) fn answers(&self) -> bool {
        !self.pulse.is_away()
    }

    /// Writes a batch of the call path in one transaction, on this thread.
    pub(crate) async fn write_records(
        &self,
        records: &[Record],
        read_to: Option<JournalPosition>,
        writer: Writer,
    ) -> Result<Vec<Rejected>, sqlx::Error> {
        let turn = self.writer.acquire().await?;
        let rejected = blocking(|| self.recording.write(records, read_to, writer));
        drop(turn);
        rejected
    }

    /// Folds the write-ahead log into the file and empties it: what was overwritten stands in it until then. While somebody reads an
    /// older state that cannot be; it is tried for a moment, and the log's next turn does it.
    pub(crate) async fn forget_written(&self) {
        for _ in 0..FOLDING_ATTEMPTS {
            let folded = async {
                let mut connection = self.writer.acquire().await?;
                // Whoever records calls waits for this connection: it waits for nobody.
                sqlx::query("PRAGMA busy_timeout = 0").execute(&mut *connection).await?;
                let row = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&mut *connection).await;
                let waits = i64::try_from(BUSY_TIMEOUT.as_millis()).unwrap_or(i64::MAX);
                let patience = AssertSqlSafe(format!("PRAGMA busy_timeout = {waits}"));
                sqlx::query(patience).execute(&mut *connection).await?;
                row?.try_get::<i64, _>(0)
            };
            match folded.await {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) => tracing::debug!(%error, "the write-ahead log was not folded"),
            }
            tokio::time::sleep(FOLDING_PAUSE).await;
        }
    }

    /// The readers first: the connection that closes last folds the write-ahead log into the file. Once the writer is closed nobody
    /// records either.
    pub(crate) async fn close(&self) {
        self.reader.close().await;
        self.writer.close().await;
        blocking(|| self.recording.close());
    }
}

/// Does what blocks, while other threads of the runtime take over what else this one had to do.
fn blocking<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        // A runtime of one thread has no other, and without one there is nothing to take over.
        Ok(_) | Err(_) => work(),
    }
}

fn pool_options() -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .idle_timeout(None)
        .max_lifetime(None)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        // When the disk is full SQLite ends a transaction by itself. The ROLLBACK after it fails, the connection goes on counting
        // the transaction as open and refuses to begin another for ever; so it is replaced.
        .before_acquire(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
}

fn connect_options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .journal_mode(SqliteJournalMode::Wal)
        // With a write-ahead log NORMAL cannot corrupt the file. A power cut may undo the last commits, each whole; the journals
        // and their positions, which are undone with them, then store those calls again. FULL would add an fsync per batch.
        .synchronous(SqliteSynchronous::Normal)
        .pragma("journal_size_limit", WAL_LIMIT_BYTES)
        // What is overwritten or removed must not be found in the file: somebody may have asked for it to be erased.
        .pragma("secure_delete", "on")
        // Statements hold numbers and names of people.
        .disable_statement_logging()
}

/// Looks at what SQLite would only call "unable to open", and makes the file so that no one else can read it.
fn prepare_file(path: &Path) -> Result<(), OpenError> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    if !folder.is_dir() {
        return Err(OpenError::FolderMissing { folder: folder.to_owned() });
    }
    if path.is_dir() {
        return Err(OpenError::NotADatabase { path: path.to_owned() });
    }
    // An existing file is left alone: closing a second descriptor of it would drop the locks that this process holds on it.
    let mut new_file = OpenOptions::new();
    new_file.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut new_file, 0o600);
    match new_file.open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::StorageFull => Err(OpenError::DiskFull { path: path.to_owned() }),
        Err(_) => Err(OpenError::NotWritable { path: path.to_owned() }),
    }
}

async fn bring_up_to_date(path: &Path, connection: &mut SqliteConnection) -> Result<Migrated, OpenError> {
    if is_of_another_program(connection).await.map_err(|error| open_error(path, error))? {
        return Err(OpenError::NotADatabase { path: path.to_owned() });
    }
    let migrator = migrations::sqlite();
    let from = version(connection).await.map_err(|error| open_error(path, error))?;
    let mut outcome = migrator.run(&mut *connection).await;
    for _ in 0..migrations::newest() {
        // Another process may have applied it while this one waited for the lock; then the next one is due, and so on to the last.
        let is_taken = |error: &sqlx::Error| error.as_database_error().is_some_and(DatabaseError::is_unique_violation);
        match &outcome {
            Err(MigrateError::ExecuteMigration(..)) => {}
            Err(MigrateError::Execute(error)) if is_taken(error) => {}
            Ok(()) | Err(_) => break,
        }
        outcome = migrator.run(&mut *connection).await;
    }
    let found = version(connection).await.map_err(|error| open_error(path, error))?;
    match outcome {
        Ok(()) => Ok(Migrated { from, to: found }),
        Err(MigrateError::VersionMissing(_)) => Err(OpenError::NewerSchema { found, known: migrations::newest() }),
        Err(MigrateError::VersionMismatch(version)) => Err(OpenError::ForeignSchema { version }),
        Err(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) => Err(open_error(path, error)),
        Err(other) => Err(open_error(path, sqlx::Error::Migrate(Box::new(other)))),
    }
}

/// Whether the file has tables, but not the mark that our first migration sets.
async fn is_of_another_program(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    let mark: i64 = sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut *connection).await?;
    let foreign_tables: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%' AND name <> '_sqlx_migrations'",
    )
    .fetch_one(&mut *connection)
    .await?;
    Ok(mark != APPLICATION_ID && (mark != 0 || foreign_tables > 0))
}

/// The newest applied migration, 0 for a new file.
async fn version(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    let known: i64 =
        sqlx::query_scalar("SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = '_sqlx_migrations'")
            .fetch_one(&mut *connection)
            .await?;
    if known == 0 {
        return Ok(0);
    }
    sqlx::query("SELECT coalesce(max(version), 0) FROM _sqlx_migrations")
        .fetch_one(&mut *connection)
        .await
        .and_then(|row: SqliteRow| row.try_get(0))
}

/// Turns a failure while opening into one line with what to do.
pub(crate) fn open_error(path: &Path, error: sqlx::Error) -> OpenError {
    let path = || PathBuf::from(path);
    match error.as_database_error().and_then(result_code) {
        Some(SQLITE_BUSY | SQLITE_LOCKED) => OpenError::Busy { path: path() },
        Some(SQLITE_FULL) => OpenError::DiskFull { path: path() },
        Some(SQLITE_READONLY | SQLITE_CANTOPEN) => OpenError::NotWritable { path: path() },
        Some(SQLITE_NOTADB) => OpenError::NotADatabase { path: path() },
        Some(_) | None => OpenError::Database(error.into()),
    }
}

/// What a statement's error of SQLite means.
pub(crate) fn refusal(error: &dyn DatabaseError) -> Option<Refusal> {
    match result_code(error)? {
        SQLITE_BUSY | SQLITE_LOCKED => Some(Refusal::Busy),
        SQLITE_FULL => Some(Refusal::DiskFull),
        _ => None,
    }
}

/// Whether a statement was refused for the values in it.
pub(crate) fn is_about_values(error: &dyn DatabaseError) -> bool {
    matches!(result_code(error), Some(SQLITE_TOOBIG | SQLITE_CONSTRAINT | SQLITE_MISMATCH | SQLITE_RANGE))
}

/// The primary result code (<https://www.sqlite.org/rescode.html>); `None` for errors of other databases.
fn result_code(error: &dyn DatabaseError) -> Option<u32> {
    let extended: u32 = match error.try_downcast_ref::<FileError>() {
        Some(error) => error.extended_code()?,
        None => error.try_downcast_ref::<SqliteError>()?.code()?.parse().ok()?,
    };
    Some(if extended == SQLITE_IOERR_SHMSIZE { SQLITE_FULL } else { extended & 0xff })
}

const SQLITE_BUSY: u32 = 5;
const SQLITE_LOCKED: u32 = 6;
const SQLITE_READONLY: u32 = 8;
const SQLITE_FULL: u32 = 13;
const SQLITE_CANTOPEN: u32 = 14;
const SQLITE_TOOBIG: u32 = 18;
const SQLITE_CONSTRAINT: u32 = 19;
const SQLITE_MISMATCH: u32 = 20;
const SQLITE_RANGE: u32 = 25;
const SQLITE_NOTADB: u32 = 26;
/// The index of the write-ahead log, 32 KB beside the file, could not grow: there is no space for it.
const SQLITE_IOERR_SHMSIZE: u32 = 4_874;

/// "TNDM", as the first migration sets it.
const APPLICATION_ID: i64 = 0x544E_444D;
/// A page is read in well under a millisecond, so few readers serve many requests; each costs a thread.
const READERS: u32 = 4;
/// How long a statement waits for another process (`tandem key create` beside a running server) to finish its write.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How often it is tried to empty the write-ahead log, and how far apart: lists are read in less.
const FOLDING_ATTEMPTS: u32 = 20;
const FOLDING_PAUSE: Duration = Duration::from_millis(100);
/// How long a request waits for a connection: longer than one busy wait of the writer before it.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a look at the file may take, which is far less than a millisecond when all is well.
const LOOK_DEADLINE: Duration = Duration::from_secs(2);
/// 64 MB: what the write-ahead log may keep on disk after a burst.
const WAL_LIMIT_BYTES: &str = "67108864";

#[cfg(test)]
mod tests {
    use super::*;
    use tandem_model::{BootId, NodeId, Timestamp};

    #[tokio::test]
    async fn a_full_disk_is_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let pools = SqlitePools::open(&folder.path().join("tandem.db")).await.unwrap();
        // The database may not grow by another page: what a full disk looks like from inside.
        sqlx::query("PRAGMA max_page_count = 1").execute(&pools.writer).await.unwrap();
        let filled = sqlx::query("CREATE TABLE filler AS SELECT zeroblob(1000000)").execute(&pools.writer).await;
        let error = filled.unwrap_err();
        assert_eq!(refusal(error.as_database_error().unwrap()), Some(Refusal::DiskFull));
        assert!(matches!(crate::DatabaseError::from(error), crate::DatabaseError::DiskFull));
        pools.close().await;
    }

    #[tokio::test]
    async fn writes_go_on_after_sqlite_ended_a_transaction_by_itself() {
        let folder = tempfile::tempdir().unwrap();
        let pools = SqlitePools::open(&folder.path().join("tandem.db")).await.unwrap();
        let mut transaction = pools.begin().await.unwrap();
        // What SQLite does on a full disk, behind the back of the connection.
        sqlx::query("ROLLBACK").execute(&mut *transaction).await.unwrap();
        transaction.commit().await.unwrap_err();

        let mut transaction = pools.begin().await.unwrap();
        sqlx::query("CREATE TABLE proof (id INTEGER)").execute(&mut *transaction).await.unwrap();
        transaction.commit().await.unwrap();
        pools.close().await;
    }

    #[tokio::test]
    async fn who_records_waits_for_a_change_to_end() {
        let folder = tempfile::tempdir().unwrap();
        let pools = SqlitePools::open(&folder.path().join("tandem.db")).await.unwrap();
        let change = pools.begin().await.unwrap();
        let mut written = std::pin::pin!(pools.write_records(&[], Some(POSITION), WRITER));
        tokio::select! {
            biased;
            _ = &mut written => panic!("somebody else writes"),
            () = ready(()) => {}
        }
        change.commit().await.unwrap();
        assert_eq!(written.await.unwrap(), []);
        pools.close().await;
        let closed = pools.write_records(&[], Some(POSITION), WRITER).await.unwrap_err();
        assert!(matches!(crate::DatabaseError::from(closed), crate::DatabaseError::Unavailable));
    }

    const POSITION: JournalPosition = JournalPosition { shard: 0, segment: 1, offset: 72 };
    const WRITER: Writer = Writer {
        node: NodeId::from_uuid(Uuid::from_u128(1)),
        boot: BootId::from_uuid(Uuid::from_u128(2)),
        at: Timestamp::from_unix_micros(3),
    };

    #[tokio::test]
    async fn the_file_is_for_this_user_only() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tandem.db");
        let pools = SqlitePools::open(&path).await.unwrap();
        for name in ["tandem.db", "tandem.db-wal", "tandem.db-shm"] {
            let mode = std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        pools.close().await;
    }

    #[tokio::test]
    async fn two_processes_may_migrate_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tandem.db");
        let (one, other) = tokio::join!(SqlitePools::migrate(&path), SqlitePools::migrate(&path));
        assert_eq!(one.unwrap().to, migrations::newest());
        assert_eq!(other.unwrap().to, migrations::newest());
    }
}
