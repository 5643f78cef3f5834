use crate::database_url::Location;
use crate::pool::{Pool, on_pool};
use crate::postgres::PostgresPools;
use crate::seal::Place;
use crate::sqlite::SqlitePools;
use crate::{DatabaseError, DatabaseUrl, MasterKey, MasterKeyId, RotateError, SealError};
use std::path::PathBuf;
use std::sync::Arc;
use tandem_model::{AccountId, AddressRanges, BootId, NodeId, Timestamp};
use uuid::Uuid;
use zeroize::Zeroizing;

/// The database of an installation. Clones share the same connections.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
    shared_carriers: Arc<AddressRanges>,
}

struct Inner {
    pool: Pool,
    master_key: MasterKey,
    node_id: NodeId,
    boot_id: BootId,
}

/// Who opens the store.
#[derive(Debug)]
pub struct StoreOptions {
    /// Seals the data key of every account.
    pub master_key: MasterKey,
    /// This installation; written to every call.
    pub node_id: NodeId,
    /// This start of the process; written to every call.
    pub boot_id: BootId,
}

/// What bringing a database up to date did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// Version of the schema before; 0 for a new database.
    pub from: i64,
    /// Version of the schema now.
    pub to: i64,
}

/// Most rows that one list gives at once; a larger `limit` is cut to it.
pub const MAX_PAGE: u32 = 1_000;

/// Why a database could not be opened, in one line with what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder of the file does not exist.
    #[error("the folder {folder:?} of the database does not exist; create it, or name another in DATABASE_URL")]
    FolderMissing {
        /// The folder.
        folder: PathBuf,
    },
    /// The file or its folder cannot be written.
    #[error("the database {path:?} cannot be written; let this user write the file and its folder")]
    NotWritable {
        /// The file.
        path: PathBuf,
    },
    /// No space.
    #[error("the disk with the database {path:?} is full; free some space")]
    DiskFull {
        /// The file.
        path: PathBuf,
    },
    /// The file holds something else.
    #[error("{path:?} is not an SQLite database of Tandem; name another file in DATABASE_URL, or move it away")]
    NotADatabase {
        /// The file.
        path: PathBuf,
    },
    /// A newer build has written it.
    #[error("the database has schema {found}, this build knows {known}; run the newer build, or restore a backup")]
    NewerSchema {
        /// Version in the database.
        found: i64,
        /// Newest version that this build knows.
        known: i64,
    },
    /// A migration that was applied differs from the one of this build.
    #[error("migration {version} of the database is not the one of this build; it was made by another program")]
    ForeignSchema {
        /// The migration.
        version: i64,
    },
    /// Another process holds it.
    #[error("the database {path:?} is held by another process; stop that process, or wait until it is done")]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// No server answers.
    #[error("no PostgreSQL server answers at {server} ({reason}); start it, or correct DATABASE_URL")]
    ServerUnreachable {
        /// Host and port, or the folder of the socket.
        server: String,
        /// What the operating system or the server says.
        reason: String,
    },
    /// The file with the authorities of the server.
    #[error(
        "the authorities of the PostgreSQL server in {path:?} cannot be read ({reason}); correct sslrootcert in DATABASE_URL"
    )]
    RootCertificate {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        reason: String,
    },
    /// It has no TLS, or shows a certificate that does not count.
    #[error(
        "TLS to the PostgreSQL server at {server} failed ({reason}); correct its certificate, or sslmode and sslrootcert in DATABASE_URL"
    )]
    Tls {
        /// Host and port.
        server: String,
        /// What was wrong.
        reason: String,
    },
    /// The server does not let the user in.
    #[error(
        "the PostgreSQL server at {server} refuses user {user:?} ({reason}); correct DATABASE_URL, or let the user in"
    )]
    LoginRefused {
        /// Host and port, or the folder of the socket.
        server: String,
        /// The user.
        user: String,
        /// What the server says.
        reason: String,
    },
    /// The server has no database of this name.
    #[error(
        "the PostgreSQL server at {server} has no database {database:?}; create it with createdb, or correct DATABASE_URL"
    )]
    DatabaseMissing {
        /// Host and port, or the folder of the socket.
        server: String,
        /// The database.
        database: String,
    },
    /// The user may not make or fill the schema.
    #[error(
        "user {user:?} may not keep tables in the database {database:?} ({reason}); let its owner run: CREATE SCHEMA tandem AUTHORIZATION {user:?}"
    )]
    SchemaForbidden {
        /// The user.
        user: String,
        /// The database.
        database: String,
        /// What the server says.
        reason: String,
    },
    /// The schema is there already, with tables of something else.
    #[error(
        "schema tandem of the database {database:?} holds tables of another program; name another database in DATABASE_URL"
    )]
    SchemaTaken {
        /// The database.
        database: String,
    },
    /// All connections of the server are taken.
    #[error("the PostgreSQL server at {server} takes no more connections; raise its max_connections")]
    TooManyConnections {
        /// Host and port, or the folder of the socket.
        server: String,
    },
    /// The server is a standby.
    #[error("the PostgreSQL server at {server} only reads; name the primary server in DATABASE_URL")]
    ReadOnlyServer {
        /// Host and port, or the folder of the socket.
        server: String,
    },
    /// Its encoding cannot hold every text.
    #[error("the database {database:?} has encoding {encoding}; create it with ENCODING 'UTF8'")]
    Encoding {
        /// The database.
        database: String,
        /// Its encoding.
        encoding: String,
    },
    /// Its secrets were sealed with another key.
    #[error("the master key is not the one that sealed this database; set TANDEM_MASTER_KEY_FILE to that key's file")]
    WrongMasterKey,
    /// There is none, and the database has secrets.
    #[error(
        "there is no master key {path:?}, and without it nothing of the secrets of this database can be read; restore that file from where \
         you keep it, or set TANDEM_MASTER_KEY_FILE to it"
    )]
    MasterKeyMissing {
        /// The file.
        path: PathBuf,
    },
    /// A secret could not be sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The master key is being replaced, and this node cannot follow.
    #[error(transparent)]
    Rotation(#[from] RotateError),
    /// Anything else.
    #[error("the database could not be opened: {0}")]
    Database(#[source] DatabaseError),
}

impl OpenError {
    /// Whether the same may work a moment later, without anybody correcting a setting: a server that is not there yet, or is full.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::ServerUnreachable { .. } | Self::TooManyConnections { .. } => true,
            Self::Database(error) => error.is_transient(),
            Self::FolderMissing { .. }
            | Self::NotWritable { .. }
            | Self::DiskFull { .. }
            | Self::NotADatabase { .. }
            | Self::NewerSchema { .. }
            | Self::ForeignSchema { .. }
            | Self::Busy { .. }
            | Self::RootCertificate { .. }
            | Self::Tls { .. }
            | Self::LoginRefused { .. }
            | Self::DatabaseMissing { .. }
            | Self::SchemaForbidden { .. }
            | Self::SchemaTaken { .. }
            | Self::ReadOnlyServer { .. }
            | Self::Encoding { .. }
            | Self::WrongMasterKey
            | Self::MasterKeyMissing { .. }
            | Self::Seal(_)
            | Self::Rotation(_) => false,
        }
    }
}

impl Store {
    /// Opens the database, creates it when it is not there, brings its schema up to date and checks the master key.
    ///
    /// # Errors
    /// [`OpenError`], each with what to do.
    pub async fn open(url: &DatabaseUrl, options: StoreOptions) -> Result<Self, OpenError> {
        let pool = match url.location() {
            Location::Sqlite(path) => Pool::Sqlite(SqlitePools::open(path).await?),
            Location::Postgres(address) => Pool::Postgres(PostgresPools::open(address).await?),
        };
        let StoreOptions { master_key, node_id, boot_id } = options;
        let inner = Arc::new(Inner { pool, master_key, node_id, boot_id });
        let store = Self { inner, shared_carriers: Arc::default() };
        let checked = match store.check_master_key().await {
            Ok(()) => store.catch_up_with_keys(now()).await.map_err(OpenError::from),
            Err(error) => Err(error),
        };
        match checked {
            Ok(()) => Ok(store),
            Err(error) => {
                store.close().await;
                let OpenError::WrongMasterKey = error else { return Err(error) };
                let missing = store.master_key().take_back_new_file();
                Err(missing.map_or(error, |path| OpenError::MasterKeyMissing { path }))
            }
        }
    }

    /// The same where calls for several accounts may come from these addresses; else an address is one account's.
    #[must_use]
    pub fn with_shared_carriers(self, shared_carriers: AddressRanges) -> Self {
        Self { shared_carriers: Arc::new(shared_carriers), ..self }
    }

    /// Brings the schema up to date without opening the store: needs no master key.
    ///
    /// # Errors
    /// [`OpenError`], each with what to do.
    pub async fn migrate(url: &DatabaseUrl) -> Result<Migrated, OpenError> {
        match url.location() {
            Location::Sqlite(path) => SqlitePools::migrate(path).await,
            Location::Postgres(address) => PostgresPools::migrate(address).await,
        }
    }

    /// Waits for running statements and closes every connection; the write-ahead log of a file is folded into it.
    pub async fn close(&self) {
        on_pool!(self, pools => pools.close().await);
    }

    /// A known text was sealed when the database was new: what does not open it is another key.
    async fn check_master_key(&self) -> Result<(), OpenError> {
        let database = |error: sqlx::Error| OpenError::Database(error.into());
        let offered = self.sealed_check()?;
        let sealed: Vec<u8> = on_pool!(self, pools => {
            let found = sqlx::query_scalar("SELECT sealed FROM master_key_checks WHERE id = 1")
                .fetch_optional(&pools.writer)
                .await
                .map_err(database)?;
            match found {
                Some(sealed) => sealed,
                None => {
                    sqlx::query("INSERT INTO master_key_checks (id, sealed) VALUES (1, $1) ON CONFLICT (id) DO NOTHING")
                        .bind(offered)
                        .execute(&pools.writer)
                        .await
                        .map_err(database)?;
                    // Read again: another process may have put its own there first.
                    sqlx::query_scalar("SELECT sealed FROM master_key_checks WHERE id = 1")
                        .fetch_one(&pools.writer)
                        .await
                        .map_err(database)?
                }
            }
        });
        match self.master_key().open(&sealed, CHECK_PLACE) {
            Ok(_) => Ok(()),
            Err(SealError::DoesNotOpen { .. }) => Err(OpenError::WrongMasterKey),
            Err(other @ (SealError::UnknownFormat { .. } | SealError::Randomness(_))) => Err(other.into()),
        }
    }

    /// What the check of the master key is to hold.
    pub(crate) fn sealed_check(&self) -> Result<Vec<u8>, SealError> {
        self.master_key().seal(MASTER_KEY_CHECK, CHECK_PLACE)
    }

    /// This installation.
    #[must_use]
    pub fn node_id(&self) -> NodeId {
        self.inner.node_id
    }

    /// This start of the process.
    #[must_use]
    pub fn boot_id(&self) -> BootId {
        self.inner.boot_id
    }

    /// A key derived from the master key, the same for every node that shares it; each purpose has its own. It changes when the
    /// master key is replaced: to be asked for whenever it is used.
    #[must_use]
    pub fn derived_key(&self, purpose: &str) -> Zeroizing<[u8; 32]> {
        self.inner.master_key.derive(purpose.as_bytes())
    }

    /// That key, and those of master keys that were replaced a while ago: for what was signed before.
    #[must_use]
    pub fn derived_keys(&self, purpose: &str) -> Vec<Zeroizing<[u8; 32]>> {
        self.inner.master_key.derive_each(purpose.as_bytes())
    }

    /// The master keys of this node, the one that seals first.
    #[must_use]
    pub fn master_key_ids(&self) -> Vec<MasterKeyId> {
        self.inner.master_key.ids()
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.inner.pool
    }

    pub(crate) fn shared_carriers(&self) -> &AddressRanges {
        &self.shared_carriers
    }

    pub(crate) fn master_key(&self) -> &MasterKey {
        &self.inner.master_key
    }
}

const MASTER_KEY_CHECK: &[u8] = b"tandem";
const CHECK_PLACE: Place = Place {
    table: "master_key_checks",
    column: "sealed",
    row: Uuid::nil(),
    account: AccountId::from_uuid(Uuid::nil()),
};

/// The time of day, for rows that the store itself makes.
pub(crate) fn now() -> Timestamp {
    let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_unix_micros(0).saturating_add(since_1970)
}

/// Bytes from the operating system's random source.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], getrandom::Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}
