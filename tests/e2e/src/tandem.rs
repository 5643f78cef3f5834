//! The process under test.

use crate::api::Api;
use crate::network::Network;
use crate::wait::{eventually, pause};
use crate::{PLANTED_PASSWORD, SecretSearch, files_below};
use std::collections::BTreeMap;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The key of the bootstrap admin in each test.
pub const ADMIN_KEY: &str = "tdm_0e2e0e2e0e2e0e2e0e2e0e2e0e2e0e2e0e2e0e2e0e2e0e2e0e2e0e2e0e2e0e2e";

/// How a node is started.
#[derive(Clone, Debug, Default)]
pub struct Options {
    demo: bool,
    environment: BTreeMap<String, String>,
}

impl Options {
    /// With the simulated carrier inside, on hosts 2 and 3.
    #[must_use]
    pub fn demo() -> Self {
        Self { demo: true, ..Self::default() }
    }

    /// Sets a variable; those of the harness can be replaced.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }
}

/// A running node on host 1 of a network: HTTP on 8080, SIP on 5060, RTP from 20000.
#[derive(Debug)]
pub struct Tandem {
    folder: TempDir,
    environment: BTreeMap<String, String>,
    child: Child,
    api: Api,
    sip: SocketAddr,
    demo: bool,
}

/// A command of the binary that has ended.
#[derive(Clone, Debug)]
pub struct Finished {
    /// How.
    pub status: ExitStatus,
    /// What it said.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
}

impl Tandem {
    /// Starts a node and waits until it is ready.
    ///
    /// # Panics
    /// When it does not become ready; tells its log.
    #[must_use]
    pub fn start(network: &Network, options: &Options) -> Self {
        let folder = tempfile::tempdir().expect("the temporary folder is writable");
        let environment = environment(network, folder.path(), options);
        let http = SocketAddr::new(network.host(1), 8080);
        let child = serve(options.demo, &environment, folder.path());
        let api = Api::new(http, ADMIN_KEY);
        let mut tandem = Self { folder, environment, child, api, sip: network.sip(1), demo: options.demo };
        tandem.wait_until_ready();
        tandem
    }

    /// Waits until it has ended, and starts it again on the same data.
    pub fn restart(&mut self) {
        self.start_again();
        self.wait_until_ready();
    }

    /// As [`Self::restart`], without waiting until it is ready.
    pub fn start_again(&mut self) {
        self.wait_for_exit(START);
        self.child = serve(self.demo, &self.environment, self.folder.path());
    }

    /// Waits until it takes calls.
    ///
    /// # Panics
    /// When it does not become ready; tells its log.
    pub fn wait_until_ready(&mut self) {
        let deadline = Instant::now() + START;
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("tandem ended at its start with {status}:\n{}", self.log());
            }
            let is_ready = self.api.try_send("GET", "/health/ready", None).is_ok_and(|answer| answer.status == 200);
            // The demo's trunks are made after that, and then it says so.
            if is_ready && (!self.demo || self.stdout().contains("curl") && self.routes_over_both_demo_trunks()) {
                return;
            }
            assert!(Instant::now() < deadline, "tandem is not ready in {START:?}:\n{}", self.log());
            pause(Duration::from_millis(20));
        }
    }

    /// A new trunk is in force within 100 ms, which on a busy machine is after the first dial.
    fn routes_over_both_demo_trunks(&self) -> bool {
        let order = serde_json::json!({"to_number": "+12025550100", "connect": {"type": "echo"}});
        let explained = self.api().try_send("POST", "/routing/explain", Some(order.to_string()));
        explained.is_ok_and(|answer| answer.json["considered"].as_array().is_some_and(|trunks| trunks.len() == 2))
    }

    /// A client with the admin's key. In demo mode the key is that of the demo's file.
    #[must_use]
    pub fn api(&self) -> Api {
        match std::fs::read_to_string(self.data_dir().join("demo.key")) {
            Ok(key) => self.api.with_key(key.trim()),
            Err(_) => self.api.clone(),
        }
    }

    /// Where it listens for SIP.
    #[must_use]
    pub const fn sip(&self) -> SocketAddr {
        self.sip
    }

    /// Its data directory.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// What it has logged so far, on both outputs.
    #[must_use]
    pub fn log(&self) -> String {
        let read = |name: &str| {
            let bytes = std::fs::read(self.folder.path().join(name)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        format!("{}{}", read("stdout"), read("stderr"))
    }

    #[expect(clippy::print_stderr, reason = "a failed test is read together with the end of the log")]
    fn show_log(&self) {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let last = lines.len().saturating_sub(SHOWN_LINES);
        eprintln!("--- log of tandem ---\n{}\n---", lines.get(last..).unwrap_or_default().join("\n"));
    }

    /// What it has printed so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("stdout")).unwrap_or_default()
    }

    /// Runs another command of the binary with the same settings.
    #[must_use]
    pub fn cli(&self, arguments: &[&str]) -> Finished {
        run(arguments, &self.environment, self.folder.path())
    }

    /// Begins another command of the binary with the same settings, for who ends it before it is done.
    ///
    /// # Panics
    /// When it cannot be begun.
    #[must_use]
    pub fn begin_cli(&self, arguments: &[&str]) -> Child {
        let mut command = Command::new(binary());
        command.args(arguments).env_clear().envs(&self.environment).current_dir(self.folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().expect("the binary was found, so that it can be run")
    }

    /// Adds an account with a key, by the CLI, and returns a client for it.
    ///
    /// # Panics
    /// When the CLI fails.
    #[must_use]
    pub fn add_account(&self, name: &str, more: &[&str]) -> Api {
        let revision =
            || self.api().explain("+12025550199", &serde_json::json!({}))["routing_revision"].as_u64().unwrap_or(0);
        let before = revision();
        let mut add = vec!["account", "add", name];
        add.extend(more);
        let added = self.cli(&add);
        assert!(added.status.success(), "account add: {added:?}");
        let key = self.cli(&["--json", "key", "create", "--account", name, "--name", "e2e"]);
        assert!(key.status.success(), "key create: {key:?}");
        let printed: serde_json::Value = serde_json::from_str(&key.stdout)
            .unwrap_or_else(|error| panic!("key create prints JSON ({error}): {key:?}"));
        // The server looks for changes by others every 50 ms; account and key are one each.
        eventually("routing that knows the account", Duration::from_secs(1), || {
            (revision() >= before + 2).then_some(())
        });
        self.api.with_key(&crate::api::text_at(&printed, "/key"))
    }

    async fn database(&self) -> Result<sqlx::SqliteConnection, sqlx::Error> {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(self.database_file());
        sqlx::ConnectOptions::connect(&options).await
    }

    fn database_file(&self) -> PathBuf {
        self.data_dir().join("tandem.db")
    }

    /// Changes the priority of a trunk in the running node's database, as another process would.
    ///
    /// # Panics
    /// When the database is not that of the node, or has no such trunk.
    pub fn write_priority_behind_its_back(&self, trunk: &str, priority: u8) {
        let id: tandem_model::TrunkId = trunk.parse().expect("a trunk's id");
        let changed = crate::api::wait(async {
            let mut database = self.database().await?;
            let mut transaction = sqlx::Connection::begin(&mut database).await?;
            let update = sqlx::query("UPDATE trunks SET priority = $1 WHERE id = $2").bind(priority).bind(id.as_uuid());
            let changed = update.execute(&mut *transaction).await?.rows_affected();
            sqlx::query("UPDATE routing_revision SET revision = revision + 1").execute(&mut *transaction).await?;
            transaction.commit().await?;
            sqlx::Connection::close(database).await?;
            Ok::<_, sqlx::Error>(changed)
        });
        assert!(changed.as_ref().is_ok_and(|trunks| *trunks == 1), "{}: {changed:?}", self.database_file().display());
    }

    /// Makes every call of the stopped node's log look as if it had been written so much earlier.
    ///
    /// # Panics
    /// When the database is not that of the node.
    pub fn age_calls(&self, span: Duration) {
        let micros = i64::try_from(span.as_micros()).expect("a span of hours");
        let aged = crate::api::wait(async {
            let mut database = self.database().await?;
            let update = sqlx::query("UPDATE call_logs SET updated_at = updated_at - $1").bind(micros);
            let aged = update.execute(&mut database).await?.rows_affected();
            sqlx::Connection::close(database).await?;
            Ok::<_, sqlx::Error>(aged)
        });
        assert!(aged.as_ref().is_ok_and(|calls| *calls > 0), "{}: {aged:?}", self.database_file().display());
    }

    /// Runs a statement of the test's own in its database, behind its back.
    ///
    /// # Panics
    /// When the database does not take it.
    pub fn execute_behind_its_back(&self, statement: &'static str) {
        let done = crate::api::wait(async {
            let mut database = self.database().await?;
            sqlx::query(statement).execute(&mut database).await?;
            sqlx::Connection::close(database).await
        });
        done.unwrap_or_else(|error: sqlx::Error| panic!("{}: {error}", self.database_file().display()));
    }

    /// How many rows a table of the stopped node has.
    ///
    /// # Panics
    /// When the database is not that of the node, or has no such table.
    #[must_use]
    pub fn count_rows(&self, table: &str) -> i64 {
        let counted = crate::api::wait(async {
            let mut database = self.database().await?;
            // The name is a test's own.
            let count = sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SELECT COUNT(*) FROM {table}")));
            count.fetch_one(&mut database).await
        });
        counted.unwrap_or_else(|error: sqlx::Error| panic!("{}: {error}", self.database_file().display()))
    }

    /// Asks it to stop. It drains.
    pub fn terminate(&self) {
        signal(&self.child, "TERM");
    }

    /// Gives it no processor for a while, as a busy machine does.
    pub fn freeze(&self, length: Duration) {
        signal(&self.child, "STOP");
        pause(length);
        signal(&self.child, "CONT");
    }

    /// Ends it at once, as a crash does: nothing is sent, closed or written any more.
    pub fn kill(&mut self) {
        // It may have ended.
        drop(self.child.kill());
        drop(self.child.wait());
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|ended| ended.is_none())
    }

    /// Waits until it has ended by itself.
    ///
    /// # Panics
    /// When it goes on.
    pub fn wait_for_exit(&mut self, timeout: Duration) -> ExitStatus {
        eventually("end of the process", timeout, || self.child.try_wait().ok().flatten())
    }
}

impl Tandem {
    /// What was given to the node in confidence is in nothing that it has left behind. Every test ends with this.
    fn expect_kept_secrets(&self) {
        let mut search = SecretSearch::of(&[("admin key", ADMIN_KEY), ("sip_password", PLANTED_PASSWORD)]);
        search.look("log", self.log().as_bytes());
        if self.data_dir().is_dir() {
            for path in files_below(&self.data_dir()) {
                search.look(&path.display().to_string(), &std::fs::read(&path).unwrap_or_default());
            }
        }
        assert!(search.found().is_empty(), "{:#?}", search.found());
    }
}

impl Drop for Tandem {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.terminate();
            let deadline = Instant::now() + GRACE;
            while Instant::now() < deadline {
                if !self.is_running() {
                    return self.expect_kept_secrets();
                }
                pause(Duration::from_millis(10));
            }
        }
        self.kill();
        if std::thread::panicking() {
            self.show_log();
        }
    }
}

/// The binary under test: `TANDEM_BIN`, else beside the tests.
///
/// # Panics
/// When there is none; says how to build it.
#[must_use]
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("TANDEM_BIN") {
        let path = PathBuf::from(path);
        assert!(path.is_file(), "TANDEM_BIN names {}, which is no file", path.display());
        return path;
    }
    let test = std::env::current_exe().expect("the system knows what runs");
    let folder = test.parent().and_then(Path::parent).expect("tests are in target/<profile>/deps");
    let path = folder.join("tandem");
    assert!(path.is_file(), "{} is missing; run cargo build --bin tandem first, or set TANDEM_BIN", path.display());
    path
}

/// Runs a command of the binary with exactly this environment.
///
/// # Panics
/// When it does not end in time.
#[must_use]
pub fn run(arguments: &[&str], environment: &BTreeMap<String, String>, folder: &Path) -> Finished {
    let output = folder.join(format!("cli-{:?}", std::thread::current().id()));
    let errors = output.with_extension("err");
    let mut child = Command::new(binary())
        .args(arguments)
        .env_clear()
        .envs(environment)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(File::create(&output).expect("the folder is writable"))
        .stderr(File::create(&errors).expect("the folder is writable"))
        .spawn()
        .expect("the binary was found, so that it can be run");
    let deadline = Instant::now() + COMMAND;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < deadline => pause(Duration::from_millis(5)),
            Ok(None) | Err(_) => {
                drop(child.kill());
                drop(child.wait());
                panic!("tandem {arguments:?} does not end in {COMMAND:?}");
            }
        }
    };
    let read = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
    Finished { status, stdout: read(&output), stderr: read(&errors) }
}

/// The variables of a node on host 1.
#[must_use]
pub fn environment(network: &Network, folder: &Path, options: &Options) -> BTreeMap<String, String> {
    let host = network.host(1);
    let mut environment = BTreeMap::new();
    let mut set = |name: &str, value: String| drop(environment.insert(name.to_owned(), value));
    set("TANDEM_DATA_DIR", folder.join("data").display().to_string());
    set("TANDEM_HTTP_LISTEN", format!("{host}:8080"));
    set("TANDEM_SIP_LISTEN", format!("udp:{host}:5060"));
    set("TANDEM_MEDIA_ADDRESS", host.to_string());
    set("TANDEM_RTP_PORTS", "20000-20399".to_owned());
    set("TANDEM_PEER_ALLOW", "127.0.0.0/8".to_owned());
    set("TANDEM_LOG", "debug".to_owned());
    set("TANDEM_DRAIN_TIMEOUT", "1".to_owned());
    if options.demo {
        set("TANDEM_DEMO_CARRIER", format!("{},{}", network.sip(2), network.sip(3)));
    } else {
        set("TANDEM_ADMIN_API_KEY", ADMIN_KEY.to_owned());
    }
    environment.extend(options.environment.clone());
    environment
}

/// Starts the server; both outputs are added to what an earlier one wrote.
fn serve(demo: bool, environment: &BTreeMap<String, String>, folder: &Path) -> Child {
    let output = |name: &str| {
        let file = File::options().create(true).append(true).open(folder.join(name));
        file.expect("the folder is the test's own")
    };
    Command::new(binary())
        .arg("serve")
        .args(demo.then_some("--demo"))
        .env_clear()
        .envs(environment)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(output("stdout"))
        .stderr(output("stderr"))
        .spawn()
        .expect("the binary was found, so that it can be run")
}

fn signal(child: &Child, name: &str) {
    let command = format!("kill -{name} {}", child.id());
    // It may have ended.
    drop(Command::new("sh").args(["-c", &command]).stderr(Stdio::null()).status());
}

/// A cold start on a busy machine.
const START: Duration = Duration::from_secs(20);
/// Drain and close, with calls still up; tests that look at this do it themselves.
const GRACE: Duration = Duration::from_secs(3);
/// Of the log, when a test fails.
const SHOWN_LINES: usize = 80;
/// Commands work on a small database.
const COMMAND: Duration = Duration::from_secs(20);
