//! Alerts of a real node: as a list, by webhook, and by mail over TLS to a server that comes late.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tandem_e2e::{Network, Options, Tandem, eventually, text_at};

/// Webhooks that came, in their order.
#[derive(Clone, Default)]
struct Received(Arc<Mutex<Vec<Value>>>);

impl Received {
    fn listen(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).expect("the address is the test's own");
        let received = Self::default();
        let keeping = received.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                keeping.take(stream);
            }
        });
        received
    }

    fn take(&self, mut stream: TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            let line = line.trim().to_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(text) = line.strip_prefix("content-length: ") {
                length = text.parse().ok()?;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(serde_json::from_slice(&body).ok()?);
        stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").ok()
    }

    /// Types and rules of what came.
    fn told(&self) -> Vec<(String, String)> {
        let received = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        received.iter().map(|event| (text_at(event, "/type"), text_at(event, "/data/rule"))).collect()
    }
}

/// A mail server that is stopped with the test.
struct MailServer(Child);

impl Drop for MailServer {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// What a test's mail server is made of.
struct MailFiles {
    folder: tempfile::TempDir,
    address: SocketAddr,
}

const USER: &str = "tandem";
const PASSWORD: &str = "a password of the mail server";

impl MailFiles {
    /// A certificate of an authority of the test's own, for this address.
    fn make(address: SocketAddr) -> Self {
        let files = Self { folder: tempfile::tempdir().expect("there is room for a folder"), address };
        let name = format!("subjectAltName=IP:{}", address.ip());
        std::fs::write(files.path("extensions"), name).expect("the folder is writable");
        std::fs::write(files.path("password"), format!("{PASSWORD}\n")).expect("the folder is writable");
        for arguments in [
            "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority -keyout ca.key -out ca.pem",
            "req -newkey rsa:2048 -nodes -subj /CN=mail -keyout mail.key -out mail.csr",
            "x509 -req -in mail.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extensions -out mail.pem",
        ] {
            let ran = Command::new("openssl").args(arguments.split(' ')).current_dir(files.folder.path()).output();
            let ran = ran.expect("openssl is installed");
            assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        }
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn serve(&self) -> MailServer {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
        let python = root.join(target).join("clients/python/bin/python");
        let child = Command::new(&python)
            .arg(root.join("tests/mail/server.py"))
            .args([self.address.ip().to_string(), self.address.port().to_string()])
            .args([self.text("mail.pem"), self.text("mail.key"), USER.to_owned(), PASSWORD.to_owned()])
            .arg(self.text("mails"))
            .spawn();
        MailServer(child.unwrap_or_else(|error| panic!("{python:?}: {error}; `make client-tools` installs it")))
    }

    fn mails(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.path("mails")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).expect("a line is a mail")).collect()
    }
}

fn subjects(mails: &[Value]) -> Vec<String> {
    let mut subjects: Vec<String> = mails.iter().map(|mail| text_at(mail, "/subject")).collect();
    subjects.sort_unstable();
    subjects
}

#[test]
fn a_full_trunk_and_one_that_is_gone_are_told_over_the_api_by_webhook_and_by_mail() {
    let network = Network::claim();
    let files = MailFiles::make(SocketAddr::new(network.host(4), 4650));
    let options = Options::default()
        .env("TANDEM_SMTP_URL", &format!("smtps://{}", files.address))
        .env("TANDEM_SMTP_USERNAME", USER)
        .env("TANDEM_SMTP_PASSWORD_FILE", &files.text("password"))
        .env("TANDEM_MAIL_FROM", "tandem@example.com")
        .env("SSL_CERT_FILE", &files.text("ca.pem"));
    let tandem = Tandem::start(&network, &options);
    let api = tandem.api();
    let hooks = Received::listen(SocketAddr::new(network.host(2), 9000));
    let hook = json!({"url": format!("http://{}:9000/", network.host(2)), "event_types": ["alert.*"]});
    let _ = api.post("/webhook-endpoints", &hook).expect(201);
    let _ = api.put("/alert-settings", &json!({"mail_to": ["noc@example.com"]})).expect(200);
    // Nobody is there: its probes fail.
    let gone = api.create_trunk("gone", network.sip(9), &json!({"advanced_config": {"options_interval": 1}}));
    let quiet = json!({"max_concurrent_calls": 1, "advanced_config": {"options_interval": 0}});
    let full = api.create_trunk("full", network.sip(3), &quiet);
    let call = json!({
        "call_id": "CA1", "sip_trunk_id": full, "direction": "outbound", "from_number": "1", "to_number": "2",
        "started_at": "2026-01-01T00:00:00Z", "status": "initiated",
    });
    let _ = api.post("/calls", &call).expect(201);

    let raised = eventually("both alerts", Duration::from_secs(60), || {
        let alerts = api.get("/alerts?state=raised&sort=raised_at").expect(200);
        (alerts.as_array().map_or(0, Vec::len) == 2).then_some(alerts)
    });
    let about = |rule: &str| {
        let alert = raised.as_array().into_iter().flatten().find(|alert| alert["rule"] == rule);
        alert.cloned().unwrap_or_else(|| panic!("no {rule} in {raised:#}"))
    };
    assert_eq!(about("probes_failing")["subject"], format!("trunks/{gone}"));
    let utilisation = about("trunk_utilisation");
    assert_eq!(utilisation["measured"], json!({"active_calls": 1, "max_calls": 1, "percent": 100.0}));
    let table = tandem.cli(&[
        "alerts",
        "--state",
        "raised",
        "--api",
        &format!("http://{}:8080", network.host(1)),
        "--key",
        api.key(),
    ]);
    assert!(table.stdout.contains("The trunk \"full\" carries 1 of its 1 calls."), "{}{}", table.stdout, table.stderr);

    // The mail server is away, and comes.
    eventually("attempt to send a mail", Duration::from_secs(30), || {
        let metrics = api.get("/metrics").text;
        let failed =
            metrics.lines().find_map(|line| line.strip_prefix("tandem_mail_attempts_total{outcome=\"failed\"} "));
        failed.filter(|count| *count != "0").map(drop)
    });
    let server = files.serve();
    let mails = eventually("mails about both", Duration::from_secs(120), || {
        let mails = files.mails();
        (mails.len() >= 2).then_some(mails)
    });
    let expected = |word: &str, rule: &str, trunk: &str| format!("[Tandem] {word}: {rule}, trunks/{trunk}");
    let [first, second] =
        [expected("critical", "probes_failing", &gone), expected("warning", "trunk_utilisation", &full)];
    assert_eq!(subjects(&mails), [first.clone(), second.clone()]);
    let of_full = mails.iter().find(|mail| mail["subject"] == second.as_str()).expect("it is there");
    assert_eq!((&of_full["user"], &of_full["to"]), (&json!(USER), &json!(["noc@example.com"])));
    let body = text_at(of_full, "/body");
    for part in ["carries 1 of its 1 calls", "since:", "threshold: 80 (percent)", "What to do:"] {
        assert!(body.contains(part), "{part} is not in {body}");
    }

    let _ = api.put("/calls/CA1", &json!({"status": "completed"})).expect(200);
    let id = text_at(&utilisation, "/id");
    eventually("end of the alert", Duration::from_secs(90), || {
        (api.get(&format!("/alerts/{id}")).expect(200)["state"] == "resolved").then_some(())
    });
    let third = expected("resolved", "trunk_utilisation", &full);
    let mails = eventually("mail about the end", Duration::from_secs(30), || {
        let mails = files.mails();
        (mails.len() >= 3).then_some(mails)
    });
    assert_eq!(subjects(&mails), [first, third, second]);
    let mut told =
        eventually("webhooks", Duration::from_secs(30), || Some(hooks.told()).filter(|told| told.len() >= 3));
    told.sort_unstable();
    let told: Vec<_> = told.iter().map(|(kind, rule)| (kind.as_str(), rule.as_str())).collect();
    let raised = "alert.raised";
    assert_eq!(
        told,
        [(raised, "probes_failing"), (raised, "trunk_utilisation"), ("alert.resolved", "trunk_utilisation")]
    );
    drop(server);
}
