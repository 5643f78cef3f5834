//! A PostgreSQL that is a test's own.

use crate::api::wait;
use crate::wait::eventually;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// A running server on a socket in a folder of its own, with nothing in it. It ends soon after this does, however that was.
#[derive(Debug)]
pub struct Postgres {
    folder: PathBuf,
    state: TempDir,
    /// Locked as long as the server is needed: see the script.
    _users: File,
}

impl Postgres {
    /// Starts one.
    ///
    /// # Panics
    /// When there is none on this machine, or it does not start; tells its log.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// Starts one with more settings than those of the tests.
    ///
    /// # Panics
    /// As [`Self::start`].
    #[must_use]
    pub fn start_with(settings: &str) -> Self {
        let state = tempfile::tempdir().expect("the temporary folder is writable");
        let users = File::create(state.path().join("users")).expect("the folder is ours");
        users.lock_shared().expect("nobody else knows the file");
        let log = state.path().join("log");
        // In a session of its own: what ends the tests must not end it before it has cleaned up.
        let mut script = Command::new("setsid")
            .arg("--fork")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(SCRIPT))
            .arg(programs())
            .arg(state.path())
            .env("POSTGRES_SETTINGS", settings)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).expect("the folder is ours"))
            .spawn()
            .expect("setsid is part of every Debian");
        let mut folder = String::new();
        let printed = BufReader::new(script.stdout.take().expect("it is piped")).read_line(&mut folder);
        // What was spawned has forked and ended.
        drop(script.wait());
        let is_up = printed.is_ok() && !folder.is_empty();
        assert!(is_up, "PostgreSQL does not start:\n{}", std::fs::read_to_string(&log).unwrap_or_default());
        Self { folder: PathBuf::from(folder.trim_end()), state, _users: users }
    }

    /// What `DATABASE_URL` is set to.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgresql://postgres@{}/postgres", self.folder.display().to_string().replace('/', "%2F"))
    }

    /// Stops the server, which ends its connections.
    ///
    /// # Panics
    /// When it goes on.
    pub fn halt(&self) {
        File::create(self.halted()).expect("the folder is ours");
        signal("INT", &[self.postmaster().expect("it runs")]);
        eventually("end of PostgreSQL", STOP, || self.postmaster().is_none().then_some(()));
    }

    /// Starts it again on what it has.
    ///
    /// # Panics
    /// When it does not start.
    pub fn resume(&self) {
        std::fs::remove_file(self.halted()).expect("it was halted");
        eventually("PostgreSQL that runs again", START, || {
            let state = std::fs::read_to_string(self.folder.join(POSTMASTER)).ok()?;
            state.lines().nth(7)?.starts_with("ready").then_some(())
        });
    }

    /// Freezes it: it is there, holds its connections and takes new ones, and says nothing.
    ///
    /// # Panics
    /// When it does not run.
    pub fn freeze(&self) {
        let postmaster = self.postmaster().expect("it runs");
        // First of all, so that it has no more children.
        signal("STOP", &[postmaster]);
        signal("STOP", &children(postmaster));
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        if let Some(postmaster) = self.postmaster() {
            signal("CONT", &children(postmaster));
            signal("CONT", &[postmaster]);
        }
    }

    fn postmaster(&self) -> Option<u32> {
        let state = std::fs::read_to_string(self.folder.join(POSTMASTER)).ok()?;
        state.lines().next()?.parse().ok()
    }

    fn halted(&self) -> PathBuf {
        self.state.path().join("halted")
    }

    /// The first column of what a query finds, as text.
    ///
    /// # Panics
    /// When the server refuses it.
    #[must_use]
    pub fn column(&self, query: &'static str, parameter: &str) -> Vec<Option<String>> {
        let url = self.url();
        let found = wait(async {
            let mut database = <sqlx::PgConnection as sqlx::Connection>::connect(&url).await?;
            let found = sqlx::query_scalar(query).bind(parameter).fetch_all(&mut database).await?;
            sqlx::Connection::close(database).await?;
            Ok::<_, sqlx::Error>(found)
        });
        found.unwrap_or_else(|error| panic!("{query}: {error}"))
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.thaw();
    }
}

fn children(process: u32) -> Vec<u32> {
    let listed = std::fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap_or_default();
    listed.split_whitespace().filter_map(|child| child.parse().ok()).collect()
}

fn signal(name: &str, processes: &[u32]) {
    let ids: Vec<String> = processes.iter().map(u32::to_string).collect();
    // Some may have ended.
    drop(Command::new("sh").args(["-c", &format!("kill -{name} {}", ids.join(" "))]).stderr(Stdio::null()).status());
}

/// The folder of `initdb` and `postgres`: where Debian keeps them, the newest version.
fn programs() -> PathBuf {
    let version = |bin: &PathBuf| bin.parent().and_then(|folder| folder.file_name()?.to_str()?.parse::<u32>().ok());
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let programs = versions.map(|entry| entry.path().join("bin")).filter(|bin| bin.join("postgres").exists());
    programs
        .max_by_key(version)
        .expect("this test needs PostgreSQL: apt-get install --no-install-recommends postgresql")
}

/// Runs a server until nobody holds a lock on a file, and leaves nothing behind.
const SCRIPT: &str = "../../crates/store/tests/postgres_server/serve.sh";
/// Its state, in its folder: the first line is its process, the eighth says whether it answers.
const POSTMASTER: &str = "data/postmaster.pid";
/// It ends its connections, and has little to write.
const STOP: Duration = Duration::from_secs(10);
/// On a busy machine.
const START: Duration = Duration::from_secs(20);
