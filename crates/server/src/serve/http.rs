mod places;
mod unstuck;

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use ipnet::IpNet;
use places::Places;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tandem_control::ClientAddress;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tower::Layer;
use unstuck::Unstuck;

/// Listens for HTTP.
///
/// # Errors
/// The system does not give the address.
pub(super) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    // Its connections have the same.
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves HTTP until it is told to stop, then lets the requests that are under way finish.
///
/// Slow or idle clients are bounded in number and time: they must not use up the files that calls and the database need, nor the places of
/// other clients. `proxies` are those through which many clients come.
pub(super) async fn serve(
    listener: Arc<TcpListener>,
    router: Router,
    proxies: Vec<IpNet>,
    mut stop: oneshot::Receiver<()>,
) {
    let places = Places::new(proxies);
    let health = tandem_control::health_alone(router.clone());
    let refusal = tandem_control::no_place_left();
    let mut said_at = None::<Instant>;
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = &mut stop => break,
        };
        let (stream, client) = match accepted {
            Ok((stream, client)) => (stream, client.ip().to_canonical()),
            Err(error) => {
                // No file is free, or the client left again; the next one may fare better.
                tracing::warn!(%error, "an HTTP connection could not be taken");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Some(place) = places.take(client) else {
            refuse(&stream, &refusal);
            if said_at.is_none_or(|at| at.elapsed() >= SAY_EVERY) {
                said_at = Some(Instant::now());
                tracing::warn!(%client, "an HTTP connection was refused: the client has as many as it may, or there are as many as may be");
            }
            continue;
        };
        let router = if place.is_for_health { health.clone() } else { router.clone() };
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .max_headers(MAX_HEADERS)
            .keep_alive(!place.is_for_health)
            .serve_connection(
                TokioIo::new(Unstuck::new(stream, SEND_PATIENCE)),
                TowerToHyperService::new(Extension(ClientAddress(client)).layer(router)),
            );
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

/// Says why, which an empty socket has room for, and closes.
fn refuse(stream: &TcpStream, refusal: &[u8]) {
    if let Err(error) = stream.try_write(refusal) {
        tracing::debug!(%error, "a client that was refused has left");
    }
}

/// How long a client may take for the head of a request, the wait for the next one on a kept connection included.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a client may take nothing of its answer, while more of it waits.
const SEND_PATIENCE: Duration = Duration::from_secs(30);
/// What the kernel keeps for a client that reads slowly, in bytes. Left to itself it would be megabytes, of which a client had to read a
/// third within [`SEND_PATIENCE`] to be seen reading; of this, 3 kB a second do.
const SEND_BUFFER: u32 = 128 * 1_024;
/// Connections that wait in the kernel to be taken.
const BACKLOG: u32 = 1_024;
/// Far more than any client sends.
const MAX_HEADERS: usize = 100;
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How often the log tells of refused connections.
const SAY_EVERY: Duration = Duration::from_secs(10);
