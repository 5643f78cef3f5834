use crate::config::{Config, LogFormat};
use std::io::{self, IsTerminal};
use tracing_subscriber::EnvFilter;

/// Starts logging to standard error. A second start in one process keeps the first.
pub(super) fn start(config: &Config) {
    // The configuration has tried the filter.
    let filter = EnvFilter::try_new(&config.log).unwrap_or_default();
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
    let started = match config.log_format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    if started.is_err() {
        tracing::debug!("logging was started already");
    }
}
