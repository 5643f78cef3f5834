use super::signalling::ShardHandle;
use super::switch_machine::ShardCommand;
use async_trait::async_trait;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tandem_control::Names;
use tandem_switch::{ResolveError, ResolveId, Resolved};
use tokio::sync::{Semaphore, mpsc};

/// A name that the switch wants looked up.
pub(crate) struct Lookup {
    pub(crate) id: ResolveId,
    pub(crate) host: String,
}

/// Looks names up for the switch: A and AAAA, cached as long as DNS says.
pub(crate) struct Resolver {
    dns: TokioResolver,
}

impl Resolver {
    /// The queue between shard and resolver.
    pub(crate) fn queue() -> (mpsc::Sender<Lookup>, mpsc::Receiver<Lookup>) {
        mpsc::channel(LOOKUP_QUEUE)
    }

    /// A resolver that asks these servers, or the system's when none is named.
    pub(crate) fn new(servers: &[SocketAddr]) -> Result<Self, NetError> {
        Ok(Self { dns: dns(servers)? })
    }

    /// Answers lookups until the shard is gone.
    pub(crate) async fn run(self, mut lookups: mpsc::Receiver<Lookup>, shard: ShardHandle<ShardCommand>) {
        let dns = Arc::new(self.dns);
        let places = Arc::new(Semaphore::new(LOOKUPS_AT_ONCE));
        while let Some(lookup) = lookups.recv().await {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let (dns, shard) = (Arc::clone(&dns), shard.clone());
            tokio::spawn(async move {
                let resolved = look_up(&dns, &lookup.host).await;
                if shard.send(ShardCommand::Resolved { id: lookup.id, resolved }).is_err() {
                    tracing::warn!(host = lookup.host, "the shard takes no answers; the attempt will time out");
                }
                drop(place);
            });
        }
    }
}

/// Looks names up for requests to URLs that somebody else chose.
pub(crate) struct LookedUp {
    dns: TokioResolver,
}

impl LookedUp {
    /// By these servers, or the system's when none is named.
    pub(crate) fn new(servers: &[SocketAddr]) -> Result<Self, NetError> {
        Ok(Self { dns: dns(servers)? })
    }
}

#[async_trait]
impl Names for LookedUp {
    async fn addresses(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let found = self.dns.lookup_ip(name).await.map_err(io::Error::other)?;
        Ok(found.iter().collect())
    }
}

/// A client of these DNS servers, or of the system's when none is named.
fn dns(servers: &[SocketAddr]) -> Result<TokioResolver, NetError> {
    let mut builder = if servers.is_empty() {
        TokioResolver::builder_tokio()?
    } else {
        let config = ResolverConfig::from_name_servers(servers.iter().map(name_server).collect());
        TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
    };
    builder.options_mut().ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    builder.build()
}

async fn look_up(dns: &TokioResolver, host: &str) -> Resolved {
    match dns.lookup_ip(host).await {
        Ok(found) => Ok(found.iter().take(MAX_ADDRESSES).collect()),
        Err(error) if error.is_no_records_found() => Err(ResolveError::NotFound),
        Err(error) => {
            tracing::warn!(host, %error, "a name could not be looked up");
            Err(ResolveError::Unavailable)
        }
    }
}

fn name_server(address: &SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = address.port();
        connection
    });
    NameServerConfig::new(address.ip(), true, connections.into())
}

/// Lookups that may wait; beyond it the attempt fails at once and the next trunk is tried.
const LOOKUP_QUEUE: usize = 4_096;
const LOOKUPS_AT_ONCE: usize = 256;
/// Addresses of one name that are looked at.
const MAX_ADDRESSES: usize = 16;
