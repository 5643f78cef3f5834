use crate::postgres::PostgresAddress;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Where the database is: `sqlite://PATH`, relative or absolute, or `postgresql://USER:PASSWORD@HOST:PORT/DATABASE`.
///
/// After a question mark a PostgreSQL address may have `host` (also the folder of a socket), `port`, `user`, `password`, `dbname`,
/// `application_name`, `sslmode` and `sslrootcert`. What it leaves out comes from `PGUSER`, `PGPASSWORD` and `~/.pgpass`. `Display` and
/// `Debug` leave the password out.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(Location);

#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Location {
    Sqlite(PathBuf),
    Postgres(Box<PostgresAddress>),
}

impl DatabaseUrl {
    /// An SQLite file.
    #[must_use]
    pub fn sqlite(path: impl Into<PathBuf>) -> Self {
        Self(Location::Sqlite(path.into()))
    }

    /// The file, when the database is one: its folder is what must not run full.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        match &self.0 {
            Location::Sqlite(path) => Some(path),
            Location::Postgres(_) => None,
        }
    }

    pub(crate) const fn location(&self) -> &Location {
        &self.0
    }
}

impl FromStr for DatabaseUrl {
    type Err = ParseDatabaseUrlError;

    fn from_str(text: &str) -> Result<Self, ParseDatabaseUrlError> {
        let text = text.trim();
        let (scheme, rest) = text.split_once(':').ok_or(ParseDatabaseUrlError::Scheme)?;
        match scheme.to_ascii_lowercase().as_str() {
            "sqlite" => {}
            "postgres" | "postgresql" => {
                return PostgresAddress::parse(text).map(|address| Self(Location::Postgres(Box::new(address))));
            }
            _ => return Err(ParseDatabaseUrlError::Scheme),
        }
        let path = rest.strip_prefix("//").unwrap_or(rest);
        if path.contains('?') {
            return Err(ParseDatabaseUrlError::Options);
        }
        if path.is_empty() || path.ends_with('/') {
            return Err(ParseDatabaseUrlError::NoFile);
        }
        if path == ":memory:" {
            return Err(ParseDatabaseUrlError::InMemory);
        }
        Ok(Self::sqlite(path))
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Location::Sqlite(path) => write!(f, "sqlite://{}", path.display()),
            Location::Postgres(address) => address.fmt(f),
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is no address of a database. The text itself is not repeated: it may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseDatabaseUrlError {
    /// Neither `sqlite:` nor `postgresql:`.
    #[error("DATABASE_URL must begin with sqlite:// or postgresql://, as sqlite:///var/lib/tandem/tandem.db")]
    Scheme,
    /// No address of PostgreSQL.
    #[error(
        "DATABASE_URL is no address of PostgreSQL; write postgresql://USER:PASSWORD@HOST:5432/DATABASE, \
         and in the password %23 for #, %2F for /, %3A for :, %3F for ?, %40 for @ and %25 for %"
    )]
    Postgres,
    /// A PostgreSQL address without a database.
    #[error("DATABASE_URL names no database; write postgresql://USER:PASSWORD@HOST:5432/DATABASE")]
    NoDatabase,
    /// An option of a PostgreSQL address that nothing follows.
    #[error(
        "after ? DATABASE_URL takes host, port, user, password, dbname, application_name, sslmode and sslrootcert only"
    )]
    PostgresOptions,
    /// A mode of TLS that promises nothing, or is none.
    #[error(
        "sslmode in DATABASE_URL is verify-full, verify-ca, require or disable: \
         allow and prefer go on in plain text whenever somebody on the way wants it"
    )]
    TlsMode,
    /// Nobody to trust.
    #[error(
        "sslmode in DATABASE_URL asks to verify the server; name the file with its authority: sslrootcert=/etc/tandem/db-ca.pem"
    )]
    NoRootCertificate,
    /// TLS over a socket of this host.
    #[error("DATABASE_URL asks for TLS to a socket of this host, over which PostgreSQL speaks none; leave sslmode out")]
    TlsOverSocket,
    /// No file name.
    #[error("DATABASE_URL names no file; write sqlite:///var/lib/tandem/tandem.db")]
    NoFile,
    /// `:memory:`.
    #[error("DATABASE_URL names a database in memory, which would forget every call; name a file")]
    InMemory,
    /// Something after a question mark.
    #[error("DATABASE_URL takes no options after the file name; remove the part from ? on")]
    Options,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_relative_and_absolute_files() {
        let read = |text: &str| text.parse::<DatabaseUrl>().map(|url| url.file().unwrap().to_owned());
        assert_eq!(read("sqlite://./data/tandem.db"), Ok(PathBuf::from("./data/tandem.db")));
        assert_eq!(read("sqlite:///var/lib/tandem.db"), Ok(PathBuf::from("/var/lib/tandem.db")));
        assert_eq!(read("sqlite:tandem.db"), Ok(PathBuf::from("tandem.db")));
    }

    #[test]
    fn never_shows_a_password() {
        let url: DatabaseUrl = "postgresql://tandem:hunter2@db/calls?password=hunter3".parse().unwrap();
        assert_eq!((url.to_string().as_str(), url.file()), ("postgresql://tandem@db:5432/calls", None));
        assert_eq!(format!("{url:?}"), url.to_string());
    }

    #[test]
    fn says_what_is_wrong_without_repeating_the_text() {
        for (text, expected) in [
            ("tandem.db", ParseDatabaseUrlError::Scheme),
            ("mysql://root:hunter2@db/tandem", ParseDatabaseUrlError::Scheme),
            ("postgresql://tandem:hunter2@db", ParseDatabaseUrlError::NoDatabase),
            ("Postgres://tandem:hunter2@db/calls?sslmode=prefer", ParseDatabaseUrlError::TlsMode),
            ("sqlite://", ParseDatabaseUrlError::NoFile),
            ("sqlite:///var/lib/", ParseDatabaseUrlError::NoFile),
            ("sqlite::memory:", ParseDatabaseUrlError::InMemory),
            ("sqlite://a.db?mode=ro", ParseDatabaseUrlError::Options),
        ] {
            let error = text.parse::<DatabaseUrl>().unwrap_err();
            assert_eq!(error, expected, "{text}");
            assert!(!error.to_string().contains("hunter2"));
        }
    }
}
