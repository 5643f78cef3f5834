use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::sync::Arc;
use std::time::Duration;
use tandem_control::ClientAddress;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, oneshot};
use tower::Layer;

/// Serves HTTP until it is told to stop, then lets the requests that are under way finish.
///
/// Slow or idle clients are bounded in number and time: they must not use up the files that calls and the database need.
pub(super) async fn serve(listener: Arc<TcpListener>, router: Router, mut stop: oneshot::Receiver<()>) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = async {
            // Who finds no place waits in the kernel's queue until somebody leaves.
            let place = Arc::clone(&places).acquire_owned().await;
            (listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            accepted = accepted => accepted,
            _ = &mut stop => break,
        };
        let (stream, client) = match accepted {
            Ok((stream, client)) => (stream, ClientAddress(client.ip().to_canonical())),
            Err(error) => {
                // No file is free, or the client left again; the next one may fare better.
                tracing::warn!(%error, "an HTTP connection could not be taken");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .max_headers(MAX_HEADERS)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(Extension(client).layer(router.clone())));
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            // A client that breaks off is its own affair.
            if let Err(error) = connection.await {
                tracing::debug!(%error, "an HTTP connection ended early");
            }
            drop(place);
        });
    }
    drop(listener);
    graceful.shutdown().await;
}

/// Clients at once: half of the files that are set aside for everything but media.
const MAX_CONNECTIONS: usize = 512;
/// How long a client may take for the head of a request, the wait for the next one on a kept connection included.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// Far more than any client sends.
const MAX_HEADERS: usize = 100;
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
