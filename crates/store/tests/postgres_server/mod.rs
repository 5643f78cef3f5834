//! A PostgreSQL for the tests: the first test process that needs one starts it, all that run at the same time share it, and it stops
//! when the last of them has ended, however it ended. Each test has a database of its own.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, process, thread};

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tandem_store::DatabaseUrl;

/// A new database; dropping it removes it.
pub(crate) struct Database {
    name: String,
}

impl Database {
    pub(crate) async fn create() -> Self {
        Self::create_with("").await
    }

    /// `options` are those of `CREATE DATABASE`.
    pub(crate) async fn create_with(options: &str) -> Self {
        static CREATED: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}_{}", process::id(), CREATED.fetch_add(1, Ordering::Relaxed));
        as_owner(&format!("CREATE DATABASE {name} {options}")).await;
        Self { name }
    }

    /// Its address for the owner of the server.
    pub(crate) fn url(&self) -> DatabaseUrl {
        self.url_for("postgres", "")
    }

    /// Its address for somebody else.
    pub(crate) fn url_for(&self, user: &str, password: &str) -> DatabaseUrl {
        let host = socket_folder().display().to_string().replace('/', "%2F");
        format!("postgresql://{user}:{password}@{host}/{}", self.name).parse().unwrap()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let statement = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        // A runtime of its own: the one of the test is not to be blocked, and may be gone.
        let dropped = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(as_owner(&statement));
        });
        // The server is thrown away anyway; a panic here would only hide that of the test.
        drop(dropped.join());
    }
}

/// The folder with the server's socket.
pub(crate) fn socket_folder() -> &'static Path {
    static SERVER: OnceLock<(PathBuf, File)> = OnceLock::new();
    &SERVER.get_or_init(join_server).0
}

async fn as_owner(statement: &str) {
    let url = format!("postgresql:///postgres?host={}&user=postgres", socket_folder().display());
    let mut connection = PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

/// Gives the folder of the socket, and the lock that keeps the server running.
fn join_server() -> (PathBuf, File) {
    let state = Path::new(env!("CARGO_TARGET_TMPDIR")).join("postgres");
    fs::create_dir_all(&state).unwrap();
    let users = File::create(state.join("users")).unwrap();
    users.lock_shared().unwrap();
    let starting = File::create(state.join("starting")).unwrap();
    starting.lock().unwrap();
    let running = fs::read_to_string(state.join("socket")).ok().map(|folder| PathBuf::from(folder.trim_end()));
    let running = running.filter(|folder| UnixStream::connect(folder.join(".s.PGSQL.5432")).is_ok());
    (running.unwrap_or_else(|| start_server(&state)), users)
}

fn start_server(state: &Path) -> PathBuf {
    let log = state.join("log");
    // In a session of its own: what ends the tests must not end it before it has cleaned up.
    let mut script = Command::new("setsid")
        .arg("--fork")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/postgres_server/serve.sh"))
        .arg(programs())
        .arg(state)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let mut folder = String::new();
    BufReader::new(script.stdout.take().unwrap()).read_line(&mut folder).unwrap();
    // What was spawned has forked and ended.
    script.wait().unwrap();
    assert!(!folder.is_empty(), "PostgreSQL does not start:\n{}", fs::read_to_string(&log).unwrap_or_default());
    PathBuf::from(folder.trim_end())
}

/// The folder of `initdb` and `postgres`: where Debian keeps them, the newest version, or else wherever the path leads.
fn programs() -> PathBuf {
    let version = |bin: &PathBuf| bin.parent().and_then(|folder| folder.file_name()?.to_str()?.parse::<u32>().ok());
    let debian =
        fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|entry| entry.path().join("bin"));
    let path = env::var_os("PATH").unwrap_or_default();
    let newest = debian.filter(|bin| bin.join("postgres").exists()).max_by_key(version);
    newest.or_else(|| env::split_paths(&path).find(|bin| bin.join("postgres").exists() && bin.join("initdb").exists())).expect(
        "The tests of the store need a PostgreSQL server. On Debian: apt-get install --no-install-recommends postgresql",
    )
}
