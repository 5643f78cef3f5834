use sqlx::error::{DatabaseError, ErrorKind};
use std::borrow::Cow;
use std::error::Error;
use std::fmt;

/// What SQLite says to a connection that sqlx does not own, told as sqlx tells the errors of its own.
#[derive(Debug)]
pub(super) struct FileError {
    error: rusqlite::Error,
    message: String,
}

impl FileError {
    pub(super) fn new(error: rusqlite::Error) -> Self {
        let message = error.to_string();
        Self { error, message }
    }

    /// The extended result code (<https://www.sqlite.org/rescode.html>); `None` when it is no error of SQLite.
    pub(super) fn extended_code(&self) -> Option<u32> {
        self.error.sqlite_error().map(|error| error.extended_code.unsigned_abs())
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for FileError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.error)
    }
}

impl DatabaseError for FileError {
    fn message(&self) -> &str {
        &self.message
    }

    fn code(&self) -> Option<Cow<'_, str>> {
        self.extended_code().map(|code| code.to_string().into())
    }

    fn as_error(&self) -> &(dyn Error + Send + Sync + 'static) {
        self
    }

    fn as_error_mut(&mut self) -> &mut (dyn Error + Send + Sync + 'static) {
        self
    }

    fn into_error(self: Box<Self>) -> Box<dyn Error + Send + Sync + 'static> {
        self
    }

    /// Nobody asks what kind of constraint a record has violated.
    fn kind(&self) -> ErrorKind {
        ErrorKind::Other
    }
}
