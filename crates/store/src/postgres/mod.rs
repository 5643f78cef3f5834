//! What only PostgreSQL knows: how it is opened, its error codes, its transactions, its bulk statements.

mod address;
mod bulk;
mod lookout;
mod outbox;
mod session;
mod traffic;

pub(crate) use address::PostgresAddress;
pub(crate) use session::Transaction as PostgresTransaction;

use crate::OpenError;
use crate::error::Refusal;
use crate::migrations;
use crate::pulse::{Pulse, no_answer};
use crate::row::Columns;
use crate::store::Migrated;
use address::SCHEMA;
use lookout::Lookout;
use session::{PING_DEADLINE, STATEMENT_DEADLINE, STATEMENT_TIMEOUT, Session, Sessions, Transaction};
use sqlx::error::DatabaseError;
use sqlx::migrate::MigrateError;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgDatabaseError, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, Row};
use std::future::{Ready, ready};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tandem_model::AccountId;
use tokio::time::timeout;
use uuid::Uuid;

/// Reads have connections of their own, so that however many lists are asked for, calls are stored.
pub(crate) struct PostgresPools {
    pub(crate) writer: Sessions,
    pub(crate) reader: Sessions,
    /// Boxed: it holds what it takes to connect.
    lookout: Box<Lookout>,
    pulse: Arc<Pulse>,
}

impl PostgresPools {
    /// Connects and brings the schema up to date.
    pub(crate) async fn open(address: &PostgresAddress) -> Result<Self, OpenError> {
        Self::migrate(address).await?;
        let options = address.connect_options(STATEMENT_TIMEOUT);
        let pulse = Arc::new(Pulse::default());
        let lookout = Box::new(Lookout::new(options.clone(), Arc::clone(&pulse)));
        let sessions = |connections| sessions(connections, &options, &pulse);
        Ok(Self { writer: sessions(WRITERS), reader: sessions(READERS), lookout, pulse })
    }

    /// Brings the schema up to date and disconnects.
    pub(crate) async fn migrate(address: &PostgresAddress) -> Result<Migrated, OpenError> {
        if let Some(path) = address.root_certificate() {
            std::fs::File::open(path)
                .map_err(|error| OpenError::RootCertificate { path: path.to_owned(), reason: error.to_string() })?;
        }
        // A migration may take as long as it needs.
        let connecting = address.connect_options(Duration::ZERO);
        let mut connection = timeout(CONNECT_DEADLINE, connecting.connect())
            .await
            .unwrap_or_else(|_| Err(no_answer()))
            .map_err(|error| connect_error(address, error))?;
        let migrated = bring_up_to_date(address, &mut connection).await;
        // Its farewell is a courtesy: a server that does not take it has no more to say about what was done.
        let _ = timeout(PING_DEADLINE, connection.close()).await;
        migrated
    }

    /// Starts a transaction that changes accounts, trunks or keys. The lock goes with the transaction.
    pub(crate) async fn begin(&self) -> Result<Transaction, sqlx::Error> {
        self.writer.begin(BEGIN_ALONE).await
    }

    /// Starts a transaction that writes calls.
    pub(crate) async fn begin_calls(&self) -> Result<Transaction, sqlx::Error> {
        self.writer.begin("BEGIN").await
    }

    /// Locks a call against everybody who writes it; whether it was there to be locked. One that comes a moment later is not locked.
    pub(crate) async fn hold_call(
        &self,
        transaction: &mut Transaction,
        account: AccountId,
        client_id: Option<&str>,
        id: Option<Uuid>,
    ) -> Result<bool, sqlx::Error> {
        let held =
            sqlx::query(HOLD_CALL).bind(account.as_uuid()).bind(client_id).bind(id).execute(&mut **transaction).await?;
        Ok(held.rows_affected() > 0)
    }

    /// Starts a transaction that reads, every statement as of the first.
    pub(crate) async fn snapshot(&self) -> Result<Transaction, sqlx::Error> {
        self.reader.begin("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY").await
    }

    /// A writer, if one is there soon.
    pub(crate) async fn spare_writer(&self) -> Option<Box<Session>> {
        timeout(SPARE_WAIT, self.writer.session()).await.ok()?.ok().map(Box::new)
    }

    /// Asks for one number, to see whether the server answers. As long as it does not, everything else fails at once.
    pub(crate) async fn look(&self, question: &'static str, column: &'static str) -> Result<u64, crate::DatabaseError> {
        self.lookout.ask(question).await?.number(column)
    }

    /// Whether the last look had an answer; true before the first.
    pub(crate) fn answers(&self) -> bool {
        !self.pulse.is_away()
    }

    /// Nothing to do: the server's own cleaning removes what was overwritten, and it decides what becomes of its log.
    pub(crate) fn forget_written(&self) -> Ready<()> {
        ready(())
    }

    /// Waits for running statements, but not for a server that does not answer.
    pub(crate) async fn close(&self) {
        let closed = timeout(CLOSE_DEADLINE, async {
            self.lookout.close().await;
            self.reader.close().await;
            self.writer.close().await;
        });
        if closed.await.is_err() {
            tracing::warn!("the database did not answer while its connections were closed");
        }
    }
}

/// A pool that opens its connections when they are needed.
fn sessions(connections: u32, options: &PgConnectOptions, pulse: &Arc<Pulse>) -> Sessions {
    let pool = PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        // A server that was restarted leaves dead connections behind. One that worked a moment ago is not asked.
        .before_acquire(|connection, history| {
            Box::pin(async move {
                let alive = history.idle_for < TRUSTED_FOR
                    || matches!(timeout(PING_DEADLINE, connection.ping()).await, Ok(Ok(())));
                Ok(alive)
            })
        })
        .connect_lazy_with(options.clone());
    Sessions::new(pool, Arc::clone(pulse))
}

/// What a database is like before it is migrated.
struct Found {
    encoding: String,
    has_schema: bool,
    has_tables: bool,
    version: i64,
}

async fn bring_up_to_date(address: &PostgresAddress, connection: &mut PgConnection) -> Result<Migrated, OpenError> {
    let failed = |error| schema_error(address, error);
    let found = soon(look(connection)).await.map_err(failed)?;
    if found.encoding != "UTF8" {
        return Err(OpenError::Encoding { database: address.database(), encoding: found.encoding });
    }
    if found.has_tables && found.version == 0 {
        return Err(OpenError::SchemaTaken { database: address.database() });
    }
    let mut migrator = migrations::postgres();
    if !found.has_schema {
        // Only then: it takes a right to make schemas, even to make one that is there.
        migrator.create_schema(SCHEMA);
    }
    let outcome = if found.version == migrations::newest() {
        let checked = timeout(STATEMENT_DEADLINE, migrator.run(&mut *connection)).await;
        checked.unwrap_or_else(|_| Err(MigrateError::Execute(no_answer())))
    } else {
        migrator.run(&mut *connection).await
    };
    match outcome {
        Ok(()) => {
            let now = soon(look(connection)).await.map_err(failed)?;
            Ok(Migrated { from: found.version, to: now.version })
        }
        Err(MigrateError::VersionMissing(_)) => {
            Err(OpenError::NewerSchema { found: found.version, known: migrations::newest() })
        }
        Err(MigrateError::VersionMismatch(version)) => Err(OpenError::ForeignSchema { version }),
        Err(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) => Err(failed(error)),
        Err(other) => Err(failed(sqlx::Error::Migrate(Box::new(other)))),
    }
}

async fn look(connection: &mut PgConnection) -> Result<Found, sqlx::Error> {
    let row = sqlx::query(LOOK).fetch_one(&mut *connection).await?;
    let migrated: bool = row.try_get("migrated")?;
    let version = if migrated {
        sqlx::query_scalar("SELECT coalesce(max(version), 0) FROM tandem._sqlx_migrations")
            .fetch_one(connection)
            .await?
    } else {
        0
    };
    Ok(Found {
        encoding: row.try_get("encoding")?,
        has_schema: row.try_get("has_schema")?,
        has_tables: row.try_get("has_tables")?,
        version,
    })
}

async fn soon<T>(statement: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    timeout(STATEMENT_DEADLINE, statement).await.unwrap_or_else(|_| Err(no_answer()))
}

/// Turns a failure to connect into one line with what to do. The server's own words hold names, never a password.
fn connect_error(address: &PostgresAddress, error: sqlx::Error) -> OpenError {
    let server = address.server();
    if let sqlx::Error::Tls(reason) = &error {
        return OpenError::Tls { server, reason: reason.to_string() };
    }
    if let sqlx::Error::Io(reason) = &error {
        let (kind, reason) = (reason.kind(), reason.to_string());
        // What rustls refuses is data that is not valid.
        let is_refused = kind == io::ErrorKind::InvalidData;
        return if is_refused {
            OpenError::Tls { server, reason }
        } else {
            OpenError::ServerUnreachable { server, reason }
        };
    }
    let Some((code, reason)) = code_and_message(&error) else {
        return OpenError::Database(error.into());
    };
    match code.as_str() {
        INVALID_PASSWORD | INVALID_AUTHORIZATION | INSUFFICIENT_PRIVILEGE => {
            OpenError::LoginRefused { server, user: address.user(), reason }
        }
        INVALID_CATALOG_NAME => OpenError::DatabaseMissing { server, database: address.database() },
        TOO_MANY_CONNECTIONS => OpenError::TooManyConnections { server },
        CANNOT_CONNECT_NOW => OpenError::ServerUnreachable { server, reason },
        _ => OpenError::Database(error.into()),
    }
}

/// Turns a failure to look at the schema or to change it into one line with what to do.
fn schema_error(address: &PostgresAddress, error: sqlx::Error) -> OpenError {
    let server = address.server();
    if let sqlx::Error::Io(reason) = &error {
        return OpenError::ServerUnreachable { server, reason: reason.to_string() };
    }
    let (user, database) = (address.user(), address.database());
    match code_and_message(&error) {
        Some((code, reason)) if code == INSUFFICIENT_PRIVILEGE => OpenError::SchemaForbidden { user, database, reason },
        Some((code, _)) if code == READ_ONLY_TRANSACTION => OpenError::ReadOnlyServer { server },
        Some(_) | None => OpenError::Database(error.into()),
    }
}

fn code_and_message(error: &sqlx::Error) -> Option<(String, String)> {
    let error = error.as_database_error()?.try_downcast_ref::<PgDatabaseError>()?;
    Some((error.code().to_owned(), error.message().to_owned()))
}

/// What a statement's error of PostgreSQL means; `None` for errors of other databases.
pub(crate) fn refusal(error: &dyn DatabaseError) -> Option<Refusal> {
    match refusal_code(error)? {
        LOCK_NOT_AVAILABLE | DEADLOCK_DETECTED | SERIALIZATION_FAILURE | QUERY_CANCELED => Some(Refusal::Busy),
        DISK_FULL => Some(Refusal::DiskFull),
        TOO_MANY_CONNECTIONS | ADMIN_SHUTDOWN | CRASH_SHUTDOWN | CANNOT_CONNECT_NOW | IDLE_IN_TRANSACTION
        | PLAN_CHANGED => Some(Refusal::Unavailable),
        _ => None,
    }
}

/// The code of an error of PostgreSQL; `None` for errors of other databases.
fn refusal_code(error: &dyn DatabaseError) -> Option<&str> {
    Some(error.try_downcast_ref::<PgDatabaseError>()?.code())
}

/// Whether a statement was refused for the values in it: a data exception, a constraint, a value beyond a limit of the server
/// (classes 22, 23 and 54).
pub(crate) fn is_about_values(error: &dyn DatabaseError) -> bool {
    refusal_code(error).is_some_and(|code| ["22", "23", "54"].iter().any(|class| code.starts_with(class)))
}

// Error codes: <https://www.postgresql.org/docs/15/errcodes-appendix.html>.
/// "Cached plan must not change result type": a newer node has changed a table. The connection is replaced.
pub(crate) const PLAN_CHANGED: &str = "0A000";
const READ_ONLY_TRANSACTION: &str = "25006";
const IDLE_IN_TRANSACTION: &str = "25P03";
const INVALID_AUTHORIZATION: &str = "28000";
const INVALID_PASSWORD: &str = "28P01";
const INVALID_CATALOG_NAME: &str = "3D000";
const SERIALIZATION_FAILURE: &str = "40001";
const DEADLOCK_DETECTED: &str = "40P01";
const INSUFFICIENT_PRIVILEGE: &str = "42501";
const DISK_FULL: &str = "53100";
const TOO_MANY_CONNECTIONS: &str = "53300";
const LOCK_NOT_AVAILABLE: &str = "55P03";
/// Of the statement's time limit.
const QUERY_CANCELED: &str = "57014";
const ADMIN_SHUTDOWN: &str = "57P01";
const CRASH_SHUTDOWN: &str = "57P02";
const CANNOT_CONNECT_NOW: &str = "57P03";
/// What a server says that starts or stops.
const AWAY: [&str; 3] = [ADMIN_SHUTDOWN, CRASH_SHUTDOWN, CANNOT_CONNECT_NOW];

/// 1,414,415,437 is "TNDM": a lock by agreement, on nothing but this number in this database.
const BEGIN_ALONE: &str = "BEGIN; SELECT pg_advisory_xact_lock(1414415437)";

/// `$1` is the account, `$2` the client's id or NULL, `$3` our id or NULL.
const HOLD_CALL: &str = "SELECT 1 FROM call_logs WHERE account_id = $1
    AND id = coalesce((SELECT call_log_id FROM call_ids WHERE account_id = $1 AND call_id = $2), $3) FOR UPDATE";

const LOOK: &str = "SELECT current_setting('server_encoding') AS encoding,
    to_regnamespace('tandem') IS NOT NULL AS has_schema,
    to_regclass('tandem._sqlx_migrations') IS NOT NULL AS migrated,
    EXISTS (SELECT FROM pg_class WHERE relnamespace = to_regnamespace('tandem')::oid AND relkind IN ('r', 'p', 'v', 'm', 'f')
        AND relname <> '_sqlx_migrations') AS has_tables";

/// Journals, and requests that change something. With the readers and the lookout eleven a node, of the hundred that a server has by default.
const WRITERS: u32 = 4;
/// Lists and look-ups, each about a millisecond.
const READERS: u32 = 6;
/// How long opening waits for the server to let us in.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// How long a request waits for a connection, or for a new one to be made.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection that was idle for less is used without asking whether it is alive.
const TRUSTED_FOR: Duration = Duration::from_secs(1);
/// What is not worth waiting for may wait for a connection to be made, and no longer.
const SPARE_WAIT: Duration = Duration::from_secs(1);
/// Longer than the longest statement.
const CLOSE_DEADLINE: Duration = Duration::from_secs(8);
