//! SIPp: a far end that is somebody else's program.

use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

use crate::wait::eventually;

/// What a SIPp does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// Rings, answers, hangs up.
    Answer,
    /// Asks for digest credentials with a 401 first, computes whether they are right, and then does the same.
    Challenge,
    /// The same with a 407; it looks at the form of the credentials only.
    ProxyChallenge,
}

/// A running SIPp.
#[derive(Debug)]
pub struct Sipp {
    folder: TempDir,
    child: Child,
}

/// What it counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SippCounts {
    /// Calls that went as the scenario says.
    pub successful: u64,
    /// Calls that did not.
    pub failed: u64,
}

impl Sipp {
    /// Starts a SIPp that takes `calls` calls on `address` and then ends.
    ///
    /// # Panics
    /// When it cannot be run.
    #[must_use]
    pub fn start(scenario: Scenario, address: SocketAddr, calls: u32) -> Self {
        Self::start_over("u1", scenario, address, calls)
    }

    /// The same over TCP.
    ///
    /// # Panics
    /// When it cannot be run.
    #[must_use]
    pub fn start_over_tcp(scenario: Scenario, address: SocketAddr, calls: u32) -> Self {
        Self::start_over("t1", scenario, address, calls)
    }

    fn start_over(transport: &str, scenario: Scenario, address: SocketAddr, calls: u32) -> Self {
        let folder = tempfile::tempdir().expect("the temporary folder is writable");
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios").join(scenario.file());
        let log = |name: &str| File::create(folder.path().join(name)).expect("the folder is new");
        let child = Command::new("sipp")
            .arg("-sf")
            .arg(file)
            .args(["-t", transport, "-i", &address.ip().to_string(), "-p", &address.port().to_string()])
            .args(["-m", &calls.to_string(), "-nostdin", "-timeout", "120", "-timeout_error"])
            .args(["-trace_stat", "-fd", "1", "-stf", "stat.csv", "-trace_err", "-error_file", "errors"])
            .current_dir(folder.path())
            .env("TERM", "dumb")
            .stdin(Stdio::null())
            .stdout(log("stdout"))
            .stderr(log("stderr"))
            .spawn();
        match child {
            Ok(child) => Self { folder, child },
            Err(error) => panic!("sipp does not run ({error}); install the Debian package sip-tester"),
        }
    }

    /// Waits until it has ended, and reads its counts.
    ///
    /// # Panics
    /// When it does not end, or ended badly; tells what it wrote.
    #[must_use]
    pub fn finish(mut self, timeout: Duration) -> SippCounts {
        eventually("end of sipp", timeout, || self.child.try_wait().ok().flatten());
        let table = self.read("stat.csv");
        let mut lines = table.lines();
        let names: Vec<&str> = lines.next().unwrap_or_default().split(';').collect();
        let last: Vec<&str> = lines.next_back().unwrap_or_default().split(';').collect();
        let count = |name: &str| {
            let place = names.iter().position(|known| *known == name);
            place.and_then(|place| last.get(place)?.parse().ok())
        };
        match (count("SuccessfulCall(C)"), count("FailedCall(C)")) {
            (Some(successful), Some(failed)) => SippCounts { successful, failed },
            _ => panic!("sipp wrote no counts; it said: {}{}", self.read("stderr"), self.errors()),
        }
    }

    /// What it complained about.
    #[must_use]
    pub fn errors(&self) -> String {
        self.read("errors")
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }
}

impl Drop for Sipp {
    fn drop(&mut self) {
        // It may have ended.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Scenario {
    const fn file(self) -> &'static str {
        match self {
            Self::Answer => "answer.xml",
            Self::Challenge => "challenge.xml",
            Self::ProxyChallenge => "proxy_challenge.xml",
        }
    }
}
