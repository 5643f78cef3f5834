//! A Prometheus that is a test's own.

use crate::api::wait;
use crate::wait::eventually;
use serde_json::Value;
use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// A running Prometheus that scrapes one node each second. It ends when this does.
#[derive(Debug)]
pub struct Prometheus {
    folder: TempDir,
    address: SocketAddr,
    child: Child,
}

impl Prometheus {
    /// Starts one at `address` that scrapes `node`, with these rules; what they wait for is shortened to a second.
    ///
    /// # Panics
    /// When there is none on this machine, or it does not start; tells its log.
    #[must_use]
    pub fn start(address: SocketAddr, node: SocketAddr, rules: &Path) -> Self {
        let folder = tempfile::tempdir().expect("the temporary folder is writable");
        let write = |name: &str, text: String| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("the folder is ours");
            path
        };
        let rules = std::fs::read_to_string(rules).expect("the rules are there");
        let _ = write("rules.yml", rules.lines().map(|line| format!("{}\n", impatient(line))).collect());
        let config = write("prometheus.yml", config(node));
        let log = folder.path().join("log");
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).expect("the folder is ours"))
            .spawn()
            .expect("Prometheus is installed: apt-get install prometheus");
        let mut prometheus = Self { folder, address, child };
        eventually("Prometheus that is ready", START, || {
            let ended = prometheus.child.try_wait().expect("it is our child");
            assert!(ended.is_none(), "Prometheus ended with {ended:?}:\n{}", prometheus.log());
            prometheus.try_ask("/-/ready").map(drop)
        });
        prometheus
    }

    /// The result of a query at this moment.
    ///
    /// # Panics
    /// When it is refused.
    #[must_use]
    pub fn query(&self, query: &str) -> Vec<Value> {
        let mut url =
            reqwest::Url::parse(&format!("http://{}/api/v1/query", self.address)).expect("an address is a host");
        url.query_pairs_mut().append_pair("query", query);
        let answer: Value = wait(async { reqwest::get(url).await?.json().await })
            .unwrap_or_else(|error: reqwest::Error| panic!("{query}: {error}\n{}", self.log()));
        assert_eq!(answer["status"], "success", "{query}: {answer}");
        answer["data"]["result"].as_array().cloned().unwrap_or_default()
    }

    /// The number of a query with one result; `None` when there is none.
    #[must_use]
    pub fn number(&self, query: &str) -> Option<f64> {
        self.query(query).first()?["value"][1].as_str()?.parse().ok()
    }

    /// Each alert of this name that is pending or fires.
    #[must_use]
    pub fn alerts(&self, name: &str) -> Vec<Value> {
        let answer = self.try_ask("/api/v1/alerts").unwrap_or_default();
        let answer: Value = serde_json::from_str(&answer).unwrap_or_default();
        let all = answer["data"]["alerts"].as_array().cloned().unwrap_or_default();
        all.into_iter().filter(|alert| alert["labels"]["alertname"] == name).collect()
    }

    /// What it has logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    fn try_ask(&self, path: &str) -> Option<String> {
        let url = format!("http://{}{path}", self.address);
        wait(async { reqwest::get(url).await?.error_for_status()?.text().await }).ok()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A line of rules with its patience shortened.
fn impatient(line: &str) -> String {
    match line.split_once("for: ") {
        Some((indent, _)) if indent.trim().is_empty() => format!("{indent}for: 1s"),
        Some(_) | None => line.to_owned(),
    }
}

fn config(node: SocketAddr) -> String {
    format!(
        "global:\n  scrape_interval: 1s\n  evaluation_interval: 1s\nrule_files: [rules.yml]\nscrape_configs:\n  - job_name: tandem\n    \
         static_configs:\n      - targets: [\"{node}\"]\n"
    )
}

/// It opens its database first.
const START: Duration = Duration::from_secs(20);
