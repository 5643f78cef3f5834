use std::fmt;
use tracing_subscriber::EnvFilter;

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// An object per line, for machines.
    Json,
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

/// Neither `text` nor `json`.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a log format; write text or json")]
pub(super) struct LogFormatError(String);

/// Not a filter.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a log filter, as info or info,tandem_switch=debug: {reason}")]
pub(super) struct LogFilterError {
    text: String,
    reason: String,
}

pub(super) fn format(text: &str) -> Result<LogFormat, LogFormatError> {
    match text.to_ascii_lowercase().as_str() {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err(LogFormatError(text.to_owned())),
    }
}

/// A filter that the subscriber accepts.
pub(super) fn filter(text: &str) -> Result<String, LogFilterError> {
    match EnvFilter::builder().parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(LogFilterError { text: text.to_owned(), reason: error.to_string() }),
    }
}
