use crate::ParseDatabaseUrlError;
use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;
use url::Url;
use zeroize::Zeroizing;

/// Where a database of PostgreSQL is and who asks for it: what a `postgresql:` URL says, as in libpq. What the URL leaves out comes
/// from `PGUSER`, `PGPASSWORD` and `~/.pgpass`.
#[derive(Clone)]
pub(crate) struct PostgresAddress {
    /// As it was given, with its password.
    url: Zeroizing<String>,
    options: PgConnectOptions,
    root_certificate: Option<PathBuf>,
}

impl PostgresAddress {
    pub(crate) fn parse(text: &str) -> Result<Self, ParseDatabaseUrlError> {
        let url = Url::parse(text).map_err(|_| ParseDatabaseUrlError::Postgres)?;
        if url.fragment().is_some() {
            return Err(ParseDatabaseUrlError::Postgres);
        }
        let mut names_database = url.path().len() > 1;
        let mut root_certificate = std::env::var_os("PGSSLROOTCERT").map(PathBuf::from);
        for (option, value) in url.query_pairs() {
            match &*option {
                "sslmode" if !MODES.contains(&&*value) => return Err(ParseDatabaseUrlError::TlsMode),
                "sslrootcert" => root_certificate = Some(PathBuf::from(&*value)),
                "dbname" => names_database = true,
                option if OPTIONS.contains(&option) => {}
                _ => return Err(ParseDatabaseUrlError::PostgresOptions),
            }
        }
        if !names_database {
            return Err(ParseDatabaseUrlError::NoDatabase);
        }
        let options = PgConnectOptions::from_str(text).map_err(|_| ParseDatabaseUrlError::Postgres)?;
        let mode = match (options.get_ssl_mode(), &root_certificate) {
            // Of nobody, or of PGSSLMODE: without a word in the URL the way is taken for private.
            (PgSslMode::Disable | PgSslMode::Allow | PgSslMode::Prefer, _) => PgSslMode::Disable,
            // As libpq has it: who names an authority wants it asked.
            (PgSslMode::Require, Some(_)) => PgSslMode::VerifyCa,
            (PgSslMode::Require, None) => PgSslMode::Require,
            (PgSslMode::VerifyCa | PgSslMode::VerifyFull, None) => {
                return Err(ParseDatabaseUrlError::NoRootCertificate);
            }
            (verifies @ (PgSslMode::VerifyCa | PgSslMode::VerifyFull), Some(_)) => verifies,
        };
        let is_encrypted = !matches!(mode, PgSslMode::Disable);
        if is_encrypted && (options.get_socket().is_some() || options.get_host().starts_with('/')) {
            return Err(ParseDatabaseUrlError::TlsOverSocket);
        }
        let root_certificate = root_certificate.filter(|_| matches!(mode, PgSslMode::VerifyCa | PgSslMode::VerifyFull));
        Ok(Self { url: Zeroizing::new(text.to_owned()), options: options.ssl_mode(mode), root_certificate })
    }

    /// The file with the authorities that are trusted, if the server is verified.
    pub(crate) fn root_certificate(&self) -> Option<&Path> {
        self.root_certificate.as_deref()
    }

    /// How to connect, for statements that may take so long; zero is for ever.
    pub(crate) fn connect_options(&self, statement_timeout: Duration) -> PgConnectOptions {
        let options = self.options.clone();
        let name = options.get_application_name().unwrap_or("tandem").to_owned();
        options
            .application_name(&name)
            .options([("search_path", SCHEMA), ("client_min_messages", "warning")])
            // The store relies on each statement seeing what was committed before it.
            .options([("default_transaction_isolation", "read committed")])
            .options(
                [
                    ("statement_timeout", statement_timeout),
                    ("lock_timeout", if statement_timeout.is_zero() { Duration::ZERO } else { LOCK_TIMEOUT }),
                    ("idle_in_transaction_session_timeout", IDLE_TIMEOUT),
                ]
                .map(|(name, limit)| (name, limit.as_millis())),
            )
            // Statements hold numbers and names of people.
            .disable_statement_logging()
    }

    /// Host and port, or the folder of the socket.
    pub(crate) fn server(&self) -> String {
        match self.options.get_socket() {
            Some(folder) => folder.display().to_string(),
            None if self.options.get_host().starts_with('/') => self.options.get_host().to_owned(),
            None => format!("{}:{}", self.options.get_host(), self.options.get_port()),
        }
    }

    pub(crate) fn user(&self) -> String {
        self.options.get_username().to_owned()
    }

    pub(crate) fn database(&self) -> String {
        self.options.get_database().unwrap_or_default().to_owned()
    }
}

impl PartialEq for PostgresAddress {
    fn eq(&self, other: &Self) -> bool {
        self.url == other.url
    }
}

impl Eq for PostgresAddress {}

/// Without the password.
impl fmt::Display for PostgresAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options = &self.options;
        write!(f, "postgresql://{}@{}/{}", options.get_username(), self.server(), self.database())
    }
}

/// Where the tables live.
pub(crate) const SCHEMA: &str = "tandem";
/// What may follow the question mark.
const OPTIONS: &[&str] = &["sslmode", "host", "port", "user", "password", "application_name"];
/// The values of `sslmode` that say what will be.
const MODES: &[&str] = &["disable", "require", "verify-ca", "verify-full"];
/// How long a statement waits for what another transaction holds. Transactions of the store take milliseconds.
const LOCK_TIMEOUT: Duration = Duration::from_secs(3);
/// When the server ends a transaction whose node went silent, so that the other nodes can write.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> ParseDatabaseUrlError {
        PostgresAddress::parse(text).err().unwrap()
    }

    #[test]
    fn reads_hosts_and_sockets() {
        for (text, shown) in [
            ("postgresql://tandem:hunter2@db.example.com:6432/calls", "postgresql://tandem@db.example.com:6432/calls"),
            ("postgres://tandem:hunter2@db/calls?sslmode=disable", "postgresql://tandem@db:5432/calls"),
            ("postgresql://tandem@[::1]/calls", "postgresql://tandem@[::1]:5432/calls"),
            ("postgresql:///calls?host=/run/postgresql&user=tandem", "postgresql://tandem@/run/postgresql/calls"),
            ("postgresql://tandem@%2Frun%2Fpostgresql/calls", "postgresql://tandem@/run/postgresql/calls"),
        ] {
            let address = PostgresAddress::parse(text).unwrap();
            assert_eq!(address.to_string(), shown);
            assert_eq!((address.user().as_str(), address.database().as_str()), ("tandem", "calls"));
        }
    }

    #[test]
    fn the_mode_of_tls_is_the_one_that_is_asked_for_or_none() {
        for (query, verified, mode) in [
            ("", None, "disable"),
            ("?sslmode=disable&sslrootcert=ca.pem", None, "disable"),
            ("?sslmode=require", None, "require"),
            ("?sslmode=require&sslrootcert=ca.pem", Some("ca.pem"), "verify-ca"),
            ("?sslrootcert=%2Fetc%2Fca.pem&sslmode=verify-full", Some("/etc/ca.pem"), "verify-full"),
        ] {
            let address = PostgresAddress::parse(&format!("postgresql://tandem@db/calls{query}")).unwrap();
            assert_eq!(address.root_certificate(), verified.map(Path::new), "{query}");
            let found = match address.connect_options(Duration::ZERO).get_ssl_mode() {
                PgSslMode::Disable => "disable",
                PgSslMode::Allow => "allow",
                PgSslMode::Prefer => "prefer",
                PgSslMode::Require => "require",
                PgSslMode::VerifyCa => "verify-ca",
                PgSslMode::VerifyFull => "verify-full",
            };
            assert_eq!(found, mode, "{query}");
        }
    }

    #[test]
    fn says_what_is_wrong_without_repeating_the_text() {
        for (text, expected) in [
            ("postgresql://tandem:hunter2@db/calls?sslmode=prefer", ParseDatabaseUrlError::TlsMode),
            ("postgresql://tandem:hunter2@db/calls?sslmode=allow", ParseDatabaseUrlError::TlsMode),
            ("postgresql://tandem:hunter2@db/calls?sslmode=on", ParseDatabaseUrlError::TlsMode),
            ("postgresql://tandem:hunter2@db/calls?sslmode=verify-ca", ParseDatabaseUrlError::NoRootCertificate),
            ("postgresql://tandem:hunter2@db/calls?sslmode=verify-full", ParseDatabaseUrlError::NoRootCertificate),
            ("postgresql://tandem:hunter2@%2Frun/calls?sslmode=require", ParseDatabaseUrlError::TlsOverSocket),
            ("postgresql:///calls?host=/run&sslmode=require", ParseDatabaseUrlError::TlsOverSocket),
            ("postgresql://tandem:hunter2@db/calls?sslcert=me.pem", ParseDatabaseUrlError::PostgresOptions),
            ("postgresql://tandem:hunter2@db/calls?options=-c", ParseDatabaseUrlError::PostgresOptions),
            ("postgresql://tandem:hunter2@db", ParseDatabaseUrlError::NoDatabase),
            ("postgresql://tandem:hunter2@db/", ParseDatabaseUrlError::NoDatabase),
            ("postgresql://tandem:hunter2#@db/calls", ParseDatabaseUrlError::Postgres),
            ("postgresql://tandem:hunter2/@db/calls", ParseDatabaseUrlError::Postgres),
            ("postgresql://tandem:hunter2@db:70000/calls", ParseDatabaseUrlError::Postgres),
        ] {
            let error = refusal(text);
            assert_eq!(error, expected, "{text}");
            assert!(!error.to_string().contains("hunter2"));
        }
    }
}
