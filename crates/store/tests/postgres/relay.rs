//! A network to the server, over TCP, that can be frozen: it then swallows everything and says nothing.

use crate::name_of;
use crate::postgres_server::{Database, socket_folder};
use tandem_store::DatabaseUrl;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixStream};
use tokio::sync::watch;

pub(crate) struct Relay {
    port: u16,
    frozen: watch::Sender<bool>,
}

impl Relay {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (frozen, watching) = watch::channel(false);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = UnixStream::connect(socket_folder().join(".s.PGSQL.5432")).await.unwrap();
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                tokio::spawn(pass(from_client, to_server, watching.clone()));
                tokio::spawn(pass(from_server, to_client, watching.clone()));
            }
        });
        Self { port, frozen }
    }

    pub(crate) fn url(&self, database: &Database) -> DatabaseUrl {
        format!("postgresql://postgres@127.0.0.1:{}/{}", self.port, name_of(database)).parse().unwrap()
    }

    pub(crate) fn set_frozen(&self, frozen: bool) {
        self.frozen.send_replace(frozen);
    }
}

async fn pass(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, mut frozen: watch::Receiver<bool>) {
    let mut bytes = vec![0; 65_536];
    while let Ok(length @ 1..) = from.read(&mut bytes).await {
        // An error is the end of the test.
        if frozen.wait_for(|frozen| !frozen).await.is_err() || to.write_all(&bytes[..length]).await.is_err() {
            return;
        }
    }
}
