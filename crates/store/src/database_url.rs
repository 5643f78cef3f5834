use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Where the database is: `sqlite://PATH`, relative or absolute. PostgreSQL addresses are known and refused by this build.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(Location);

#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Location {
    Sqlite(PathBuf),
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
            "postgres" | "postgresql" => return Err(ParseDatabaseUrlError::PostgresNotBuilt),
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
    #[error("DATABASE_URL must begin with sqlite://, as sqlite:///var/lib/tandem/tandem.db")]
    Scheme,
    /// PostgreSQL.
    #[error("DATABASE_URL names PostgreSQL, which this build does not carry yet; use sqlite://PATH")]
    PostgresNotBuilt,
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
    fn says_what_is_wrong_without_repeating_the_text() {
        for (text, expected) in [
            ("tandem.db", ParseDatabaseUrlError::Scheme),
            ("mysql://root:hunter2@db/tandem", ParseDatabaseUrlError::Scheme),
            ("postgresql://tandem:hunter2@db/tandem", ParseDatabaseUrlError::PostgresNotBuilt),
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
