use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// A PostgreSQL on a socket in a folder of its own, with nothing in it. It ends soon after this does, however that was.
#[derive(Debug)]
pub struct Postgres {
    folder: PathBuf,
    _state: TempDir,
    /// Locked as long as the server is needed: see the script.
    _users: File,
}

impl Postgres {
    /// Starts one, with more settings than those of the tests.
    #[must_use]
    pub fn start(settings: &str) -> Self {
        let state = tempfile::tempdir().unwrap();
        let users = File::create(state.path().join("users")).unwrap();
        users.lock_shared().unwrap();
        let log = state.path().join("log");
        // In a session of its own: what ends the tests must not end it before it has cleaned up.
        let mut script = Command::new("setsid")
            .arg("--fork")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/store/tests/postgres_server/serve.sh"))
            .arg(programs())
            .arg(state.path())
            .env("POSTGRES_SETTINGS", settings)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut folder = String::new();
        BufReader::new(script.stdout.take().unwrap()).read_line(&mut folder).unwrap();
        // What was spawned has forked and ended.
        script.wait().unwrap();
        assert!(
            !folder.is_empty(),
            "PostgreSQL does not start:\n{}",
            std::fs::read_to_string(&log).unwrap_or_default()
        );
        Self { folder: PathBuf::from(folder.trim_end()), _state: state, _users: users }
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgresql://postgres@{}/postgres", self.folder.display().to_string().replace('/', "%2F"))
    }
}

/// The folder of `initdb` and `postgres`: where Debian keeps them, the newest version.
fn programs() -> PathBuf {
    let version = |bin: &PathBuf| bin.parent().and_then(|folder| folder.file_name()?.to_str()?.parse::<u32>().ok());
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let programs = versions.map(|entry| entry.path().join("bin")).filter(|bin| bin.join("postgres").exists());
    programs.max_by_key(version).expect("this needs PostgreSQL: apt-get install --no-install-recommends postgresql")
}
