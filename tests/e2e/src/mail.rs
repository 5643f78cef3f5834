//! A mail server of a test's own, with certificates of an authority of its own.

use crate::tandem::Options;
use crate::tls::{Authority, Flaw};
use serde_json::Value;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use tempfile::TempDir;

/// Where a mail server is, or will be, and what it has taken.
#[derive(Debug)]
pub struct MailHost {
    folder: TempDir,
    address: SocketAddr,
    name: String,
    authority: Authority,
}

/// What a mail server offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// TLS from the first byte.
    Tls,
    /// STARTTLS, and nothing without it.
    StartTls,
    /// No TLS at all, but to take a password.
    Plain,
}

/// A running mail server, which is stopped with this.
#[derive(Debug)]
pub struct MailServer(Child);

impl Drop for MailServer {
    fn drop(&mut self) {
        // It may have ended.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl MailHost {
    /// The user whom it knows.
    pub const USER: &str = "tandem";
    /// The user's password.
    pub const PASSWORD: &str = "a password of the mail server";

    /// A host that is called so, by an address or a name. No server runs there yet.
    ///
    /// # Panics
    /// When its files cannot be written.
    #[must_use]
    pub fn new(address: SocketAddr, name: &str) -> Self {
        let folder = tempfile::tempdir().expect("the temporary folder is writable");
        let host = Self { folder, address, name: name.to_owned(), authority: Authority::default() };
        host.write("ca.pem", &host.authority.pem());
        host.write("password", &format!("{}\n", Self::PASSWORD));
        host
    }

    /// What makes a node send its mails to this host.
    #[must_use]
    pub fn options(&self, scheme: &str) -> Options {
        let path = |name: &str| self.path(name).display().to_string();
        Options::default()
            .env("TANDEM_SMTP_URL", &format!("{scheme}://{}:{}", self.name, self.address.port()))
            .env("TANDEM_SMTP_USERNAME", Self::USER)
            .env("TANDEM_SMTP_PASSWORD_FILE", &path("password"))
            .env("TANDEM_MAIL_FROM", "tandem@example.com")
            .env("SSL_CERT_FILE", &path("ca.pem"))
    }

    /// Starts a server there, whose certificate has this flaw.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn serve(&self, offer: Offer, flaw: Flaw) -> MailServer {
        let (certificate, key) = self.authority.certificate(&self.name, flaw).pem();
        self.write("mail.pem", &certificate);
        self.write("mail.key", &key);
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
        let python = root.join(target).join("clients/python/bin/python");
        let child = Command::new(&python)
            .arg(root.join("tests/mail/server.py"))
            .args([self.address.ip().to_string(), self.address.port().to_string()])
            .args([self.path("mail.pem"), self.path("mail.key")])
            .args([Self::USER, Self::PASSWORD])
            .arg(self.path(MAILS))
            .arg(match offer {
                Offer::Tls => "tls",
                Offer::StartTls => "starttls",
                Offer::Plain => "plain",
            })
            .spawn();
        MailServer(child.unwrap_or_else(|error| panic!("{python:?}: {error}; `make client-tools` installs it")))
    }

    /// The mails that came, in their order.
    ///
    /// # Panics
    /// When the server has written down something else.
    #[must_use]
    pub fn mails(&self) -> Vec<Value> {
        self.read(MAILS).lines().map(|line| serde_json::from_str(line).expect("a line is a mail")).collect()
    }

    /// All that clients have said, in clear.
    #[must_use]
    pub fn heard(&self) -> String {
        self.read(HEARD)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("the folder is the test's own");
    }

    /// Nothing, as long as nothing was written.
    fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&std::fs::read(self.path(name)).unwrap_or_default()).into_owned()
    }
}

const MAILS: &str = "mails";
/// As the server calls it.
const HEARD: &str = "mails.heard";
