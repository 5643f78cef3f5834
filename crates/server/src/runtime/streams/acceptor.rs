use super::connection::{Connection, Side};
use super::{ConnectionId, ShardLink, StreamEvent, StreamLimits, outbox};
use crate::places::{Count, Places};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tandem_model::Transport;
use tandem_sip::endpoint::Flow;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// A socket that hears connections.
pub(crate) struct BoundListener {
    listener: TcpListener,
    local: SocketAddr,
}

/// Binds `address`; port 0 takes a free one. Must be called within a tokio runtime.
pub(crate) fn bind(address: SocketAddr) -> io::Result<BoundListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if address.is_ipv6() {
        tandem_netio::set_ipv6_only(&socket)?;
    }
    // Else the port could not be bound again for a minute after a restart.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    let listener = socket.listen(ACCEPT_BACKLOG)?;
    let local = listener.local_addr()?;
    Ok(BoundListener { listener, local })
}

impl BoundListener {
    /// The bound address, with the port that the kernel chose where 0 was asked for.
    pub(crate) const fn local(&self) -> SocketAddr {
        self.local
    }
}

/// What all that make connections share.
pub(super) struct Connections {
    pub(super) link: ShardLink,
    pub(super) limits: StreamLimits,
    places: Arc<Places>,
    last_id: AtomicU64,
    refused: AtomicU64,
}

impl Connections {
    pub(super) fn new(link: ShardLink, limits: StreamLimits) -> Self {
        Self { link, limits, places: Arc::default(), last_id: AtomicU64::new(0), refused: AtomicU64::new(0) }
    }

    pub(super) fn next_id(&self) -> ConnectionId {
        ConnectionId(self.last_id.fetch_add(1, Ordering::Relaxed))
    }
}

/// Takes connections for as long as the shard lives.
pub(super) async fn accept(listener: BoundListener, connections: Arc<Connections>) {
    loop {
        match listener.listener.accept().await {
            Ok((stream, remote)) => welcome(stream, remote, &connections),
            Err(error) => {
                tracing::warn!(local = %listener.local, %error, "a connection could not be accepted");
                // Without files left it would fail again at once.
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn welcome(stream: TcpStream, remote: SocketAddr, connections: &Arc<Connections>) {
    let limits = &connections.limits;
    let has_place = |taken: Count| taken.all < limits.accepted && taken.of_peer < limits.accepted_per_peer;
    let Some(place) = connections.places.take(remote.ip(), has_place) else {
        let refused = connections.refused.fetch_add(1, Ordering::Relaxed) + 1;
        // Whoever does it will do it again: the log must not grow as fast.
        if refused.is_power_of_two() {
            tracing::warn!(%remote, refused, "a connection was refused: its address, or all together, have as many as may be");
        }
        return;
    };
    let Ok(local) = stream.local_addr() else { return };
    let flow = Flow { transport: Transport::Tcp, local, remote };
    let connections = Arc::clone(connections);
    tokio::spawn(async move {
        let id = connections.next_id();
        let (outbox, unsent) = outbox::outbox(connections.limits.outbox_bytes);
        if connections.link.tell(StreamEvent::Accepted { id, flow, outbox }).await.is_ok() {
            let connection = Connection { id, flow, side: Side::Accepted, connections: &connections };
            connection.run(stream, unsent).await;
        }
        drop(place);
    });
}

/// Connections that the kernel holds until they are accepted: a carrier that comes back after a fault.
const ACCEPT_BACKLOG: u32 = 1_024;
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
