use super::stop::stop_signal;
use super::{HTTP_GRACE, ServeError, http, open_store};
use crate::config::Config;
use std::sync::Arc;
use std::time::Duration;
use tandem_store::{OpenError, Store};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

/// Waits at the start for a database that does not answer, for as long as it takes, and says so: in the log, and to who asks by HTTP.
/// `None` when the node is told to stop meanwhile.
///
/// # Errors
/// [`ServeError`] when it answers, and cannot be used.
pub(super) async fn for_database(
    config: &Config,
    listener: &Arc<TcpListener>,
    first: OpenError,
) -> Result<Option<Store>, ServeError> {
    let (stop, stopped) = oneshot::channel();
    let (listener, proxies) = (Arc::clone(listener), config.trusted_proxies.clone());
    let answering = tokio::spawn(http::serve(listener, tandem_control::waiting_router(), proxies, stopped));
    let opened = tokio::select! {
        opened = until_it_answers(config, first) => opened.map(Some),
        stopping = stop_signal() => stopping.map(|()| None).map_err(ServeError::from),
    };
    let _ = stop.send(());
    // Who is still reading an answer is cut off.
    let _ = timeout(HTTP_GRACE, answering).await;
    if matches!(opened, Ok(None)) {
        tracing::info!("stopped while waiting for the database");
    }
    opened
}

async fn until_it_answers(config: &Config, first: OpenError) -> Result<Store, ServeError> {
    let since = Instant::now();
    let (mut error, mut said_at) = (first, None::<Instant>);
    loop {
        if said_at.is_none_or(|at| at.elapsed() >= SAY_EVERY) {
            said_at = Some(Instant::now());
            let waited_s = since.elapsed().as_secs();
            tracing::warn!(%error, waited_s, "the node starts as soon as its database answers; until then it takes no calls");
        }
        sleep(TRY_EVERY).await;
        error = match open_store(config).await {
            Ok(store) => {
                tracing::info!(waited_s = since.elapsed().as_secs(), "the database answers");
                return Ok(store);
            }
            Err(ServeError::OpenStore(error)) if error.is_transient() => error,
            Err(error) => return Err(error),
        };
    }
}

/// How often it is tried; a try may itself wait some seconds for an answer.
const TRY_EVERY: Duration = Duration::from_secs(1);
/// How often the log tells of it.
const SAY_EVERY: Duration = Duration::from_secs(5);
