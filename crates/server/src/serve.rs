//! `tandem serve` and `tandem carrier`: everything joined, started in order and stopped in order.

mod demo;
mod http;
mod identity;
mod keys;
mod logging;
mod mail;
mod platform;
mod simulated_carrier;
mod stop;
mod waiting;

use crate::config::{Config, MediaIo};
use crate::runtime::{
    Admission, BindPortsError, BindSignallingError, CreditSharing, HealthKeeper, JournalGauge, LookedUp,
    MAX_CONNECTIONS, MediaSockets, MediaThread, OsRandom, Recorder, Resolver, RouteLoader, Shard, ShardCommand,
    ShardEpoch, ShardHandle, ShardSwitchboard, SignallingSockets, Straight, SwitchMachine, SwitchboardParts,
    SystemClock, TrunkStates, TurnJournal, keep_keys, open_calls,
};
use demo::DemoError;
use identity::NodeIdError;
use ipnet::IpNet;
use keys::KeyError;
use mail::MailSetupError;
use platform::PlatformError;
use simulated_carrier::SimulatedCarrier;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZero;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use stop::{Running, stop_signal};
use tandem_control::{ControlSettings, OutgoingClient, Services, Switchboard};
use tandem_journal::{self as journal, Position, Recovered, Tailer, Writer};
use tandem_media::engine::PortId;
use tandem_model::{AddressPolicy, AddressRanges, BootId};
use tandem_netio::IoPath;
use tandem_sip::endpoint::{Identity, PublicAddress, SentBy};
use tandem_sip::message::Host;
use tandem_store::{Act, Change, DatabaseError, MasterKey, MasterKeyError, NODE, OpenError, Store, StoreOptions};
use tandem_switch::{Family, Listener, PortPool, Switch, SwitchConfig};

pub(crate) use simulated_carrier::carrier;

/// Why the server does not run, in one line with what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    #[error(
        "the data directory {path:?} cannot be made: {source}; set TANDEM_DATA_DIR to a folder this user can write"
    )]
    DataDir { path: PathBuf, source: io::Error },
    #[error(
        "HTTP {address} cannot be bound: {source}; stop the program that has it, or set TANDEM_HTTP_LISTEN to another"
    )]
    BindHttp { address: SocketAddr, source: io::Error },
    #[error(transparent)]
    BindSignalling(#[from] BindSignallingError),
    #[error(transparent)]
    BindPorts(#[from] BindPortsError),
    #[error("io_uring cannot be used: {0}; allow it, or set TANDEM_MEDIA_IO to auto or epoll")]
    MediaIo(#[source] io::Error),
    #[error("DNS cannot be used: {0}; set TANDEM_DNS_SERVERS to resolvers that can be reached")]
    Dns(String),
    #[error(transparent)]
    NodeId(#[from] NodeIdError),
    #[error(transparent)]
    MasterKey(#[from] MasterKeyError),
    #[error(transparent)]
    OpenStore(#[from] OpenError),
    #[error("the database failed: {0}")]
    Store(#[from] DatabaseError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Mail(#[from] MailSetupError),
    #[error(transparent)]
    Platform(#[from] PlatformError),
    #[error(transparent)]
    Demo(#[from] DemoError),
    #[error(transparent)]
    Journal(#[from] journal::OpenError),
    #[error("the system gives no thread, event queue or signal handler: {0}")]
    System(#[from] io::Error),
}

/// Runs the server until it is told to stop.
///
/// # Errors
/// [`ServeError`] when it cannot start.
pub(crate) fn serve(config: Config, demo: bool) -> Result<(), ServeError> {
    logging::start(&config);
    // Half of the cores, so that requests leave the others to calls. On two cores one thread answers more of them than two, which take
    // them from each other.
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads((cores / 2).max(1))
        .enable_all()
        .thread_name("control")
        .build()?;
    runtime.block_on(run(config, demo))
}

async fn run(mut config: Config, demo: bool) -> Result<(), ServeError> {
    if demo {
        // Every account may try it.
        config.shared_carriers.extend(config.demo_carrier.map(|address| IpNet::from(address.ip())));
    }
    if let Err(error) = tandem_netio::refuse_huge_pages() {
        tracing::warn!(%error, "the kernel may give huge pages, which take twice the memory");
    }
    let files = tandem_netio::raise_open_file_limit()?;
    make_data_dir(&config)?;
    // Number plans take a quarter of a second to load. A request that came meanwhile would wait for them, and hold up the connections
    // that share its thread.
    let number_plans = tokio::task::spawn_blocking(tandem_control::warm_up);

    // What can be refused is asked for first, so that a failed start changes nothing.
    let signalling = bind_signalling(&config)?;
    let listener = http::listen(config.http_listen);
    let listener = listener.map_err(|source| ServeError::BindHttp { address: config.http_listen, source })?;
    let listener = Arc::new(listener);
    let http_address = listener.local_addr()?;
    let most_ports = usize::try_from(files.saturating_sub(RESERVED_FILES) / FILES_PER_PORT).unwrap_or(usize::MAX);
    let media_addresses: Vec<IpAddr> = config.media.iter().collect();
    let media_sockets =
        MediaSockets::bind(&media_addresses, config.rtp_ports.first, config.rtp_ports.last, most_ports)?;
    let media_path = media_path(config.media_io)?;
    // The carrier listens before its trunks are probed.
    let carrier = demo.then(|| SimulatedCarrier::start(config.demo_carrier, media_path)).transpose()?;

    let names = LookedUp::new(&config.dns_servers).map_err(|error| ServeError::Dns(error.to_string()))?;
    let policy = AddressPolicy::new(config.peer_allow.clone());
    let outgoing = OutgoingClient::new(Arc::new(names), policy, OUTGOING_TIMEOUT);
    let mailer = mail::mailer(&config)?;
    let platform_tokens = platform::tokens(&config, &outgoing)?;
    let (store, signalling) = match open_store(&config).await {
        Err(ServeError::OpenStore(error)) if error.is_transient() => {
            // Who sends SIP is told at once that nobody is there, and goes elsewhere.
            drop(signalling);
            let Some(store) = waiting::for_database(&config, &listener, error).await? else {
                if let Some(carrier) = carrier {
                    carrier.stop();
                }
                return Ok(());
            };
            (store, bind_signalling(&config)?)
        }
        opened => (opened?, signalling),
    };
    let started = Change::new(NODE, "node.start", &store.node_id());
    store.record_acts(&[(Act::system("start", SystemClock::utc()), started)]).await?;
    let key = keys::admin_key(&store, &config, demo).await?;

    let admission = Arc::new(Admission::default());
    let journal_dir = config.data_dir.join(JOURNAL_DIR);
    let (writer, recovered) =
        Writer::open(&journal_dir, SHARD, store.node_id(), SystemClock::utc(), journal::Options::default())?;
    let stored = store.journal_position(SHARD).await?;
    let stored = stored.map(|stored| Position { segment: stored.segment, offset: stored.offset });
    let tailer = Tailer::open(&journal_dir, SHARD, stored)?;
    let (written, reading) = Recorder::signal();
    let gauge = Arc::new(JournalGauge::new(journal_dir.clone(), SHARD, tailer.position()));
    let turn_journal = TurnJournal::new(writer, written, Arc::clone(&admission), Arc::clone(&gauge), journal_dir);
    let (lookups, looked_up) = Resolver::queue();
    let (health, health_reports) = HealthKeeper::queue();
    let resolver = Resolver::new(&config.dns_servers).map_err(|error| ServeError::Dns(error.to_string()))?;

    let ports = media_sockets.ports();
    let taken_ports = media_sockets.taken();
    let max_calls = ports.len() / 2;
    let listeners = signalling.local_addresses();
    let switch = new_switch(&config, &listeners, ports, store.node_id().as_uuid().as_u128());
    let shard = Shard::new(signalling)?;
    let media = MediaThread::new(media_sockets, media_path, Straight)?;
    let (shard_handle, media_handle) = (shard.handle(), media.handle());
    let epoch = ShardEpoch::default();
    let machine = SwitchMachine::new(switch, turn_journal, lookups, health, Arc::clone(&admission), epoch.clone());
    let media_thread = media.spawn("media", shard_handle.clone())?;
    let shard_thread = shard.spawn("signalling", machine, &media_handle, tokio::runtime::Handle::current())?;
    let mut recorder =
        Recorder::new(tailer, reading, store.clone(), shard_handle.clone(), Arc::clone(&admission), Arc::clone(&gauge));
    recorder.catch_up().await;
    let recorder_thread = recorder.spawn(tokio::runtime::Handle::current())?;

    let routes =
        Arc::new(RouteLoader::new(store.clone(), AddressRanges::new(&config.shared_carriers), shard_handle.clone()));
    routes.refresh().await?;
    take_up(recovered, &shard_handle);
    shard_handle.open();
    let keys_task = tokio::spawn(keep_keys(store.clone()));
    let route_task = tokio::spawn(Arc::clone(&routes).run());
    tokio::spawn(resolver.run(looked_up, shard_handle.clone()));
    tokio::spawn(HealthKeeper::new(store.clone(), health_reports).run());
    let switchboard = ShardSwitchboard::new(SwitchboardParts {
        shard: shard_handle.clone(),
        media: media_handle.clone(),
        routes,
        states: TrunkStates::new(epoch),
        admission: Arc::clone(&admission),
        journal: gauge,
    });
    restore_external_calls(&store, &switchboard).await?;
    let settings = ControlSettings {
        peer_allow: config.peer_allow.clone(),
        currency: config.currency.clone(),
        credit_value: config.credit_value,
        platform_tokens,
        rate_limit: config.api_rate_limit,
        trusted_proxies: config.trusted_proxies.clone(),
        mailer,
        outgoing: Arc::new(outgoing),
        clock: Arc::new(SystemClock),
    };
    let switchboard = Arc::new(switchboard);
    // A file has one node.
    if config.database.file().is_none() {
        tokio::spawn(CreditSharing::new(store.clone(), Arc::clone(&switchboard)).run());
    }
    let services = Services::new(store.clone(), switchboard, settings);
    let (jobs, webhooks) = (services.clone(), services.clone());
    let (acts, streams) = (services.clone(), services.clone());
    let jobs_task = tokio::spawn(async move { jobs.run_jobs().await });
    let mails = services.clone();
    let mails_task = tokio::spawn(async move { mails.run_mails().await });
    let webhooks_task = tokio::spawn(async move { webhooks.run_webhooks().await });
    let router = tandem_control::router(services);
    // Should loading them have failed, a request will say so.
    let _ = number_plans.await;
    let (stop_http, http_stopped) = tokio::sync::oneshot::channel::<()>();
    let http_task = tokio::spawn(http::serve(listener, router, config.trusted_proxies.clone(), http_stopped));

    tracing::info!(http = %http_address, sip = ?listeners, media = ?media_addresses, media_io = %media_path, max_calls, taken_ports, "ready");
    if demo {
        let link = demo::sign_in_link(&store, http_address).await?;
        demo::introduce(http_address, &key, config.demo_carrier, &link).await?;
    } else {
        keys::announce(&key);
    }

    stop_signal().await?;
    let running = Running { shard: shard_handle, media: media_handle, admission, drain_timeout: config.drain_timeout };
    running.drain().await;
    streams.end_streams();
    let _ = stop_http.send(());
    if tokio::time::timeout(HTTP_GRACE, http_task).await.is_err() {
        tracing::warn!("some HTTP requests were cut off");
    }
    route_task.abort();
    jobs_task.abort();
    keys_task.abort();
    webhooks_task.abort();
    mails_task.abort();
    running.stop(shard_thread, media_thread, recorder_thread).await;
    if let Some(carrier) = carrier {
        carrier.stop();
    }
    acts.write_down_acts().await;
    if let Err(error) = store.leave().await {
        tracing::warn!(%error, "the database does not know that this node stops");
    }
    store.close().await;
    tracing::info!("stopped");
    Ok(())
}

fn bind_signalling(config: &Config) -> Result<SignallingSockets, BindSignallingError> {
    SignallingSockets::bind(config.sip_listen.iter().map(|listen| (listen.transport, listen.address)))
}

/// The way of media that is asked for, tried out.
///
/// # Errors
/// [`ServeError::MediaIo`] when the one asked for by name does not work here.
fn media_path(wish: MediaIo) -> Result<IoPath, ServeError> {
    if wish == MediaIo::Only(IoPath::Epoll) {
        return Ok(IoPath::Epoll);
    }
    let (path, why_not) = IoPath::best();
    match why_not {
        Some(error) if wish == MediaIo::Only(IoPath::IoUring) => return Err(ServeError::MediaIo(error)),
        Some(error) => tracing::info!(%error, "io_uring cannot be used; media goes over epoll, which takes more CPU"),
        None => {}
    }
    Ok(path)
}

/// Makes the data directory, for this user alone, when it is missing.
///
/// # Errors
/// [`ServeError::DataDir`].
pub(crate) fn make_data_dir(config: &Config) -> Result<(), ServeError> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&config.data_dir);
    made.map_err(|source| ServeError::DataDir { path: config.data_dir.clone(), source })
}

/// Opens the database of a configuration, making what is missing.
///
/// # Errors
/// [`ServeError`], each with what to do.
pub(crate) async fn open_store(config: &Config) -> Result<Store, ServeError> {
    let store = Store::open(&config.database, store_options(config)?).await?;
    Ok(store.with_shared_carriers(AddressRanges::new(&config.shared_carriers)))
}

/// Who opens the database of a configuration, and with which key, which is made if it is missing.
///
/// # Errors
/// [`ServeError`], each with what to do.
pub(crate) fn store_options(config: &Config) -> Result<StoreOptions, ServeError> {
    let node_id = identity::node_id(&config.data_dir)?;
    let boot_id = BootId::new(SystemClock::utc(), identity::random_bits());
    let master_key = MasterKey::load_or_create(&config.master_key_file)?;
    Ok(StoreOptions { master_key, node_id, boot_id })
}

/// Ends the calls that an earlier process left open, and closes their records. The routes must be known: they price the calls.
fn take_up(recovered: Recovered, shard: &ShardHandle<ShardCommand>) {
    if recovered.cut_bytes > 0 {
        tracing::warn!(bytes = recovered.cut_bytes, "an unfinished write was cut from the end of the journal");
    }
    for damage in &recovered.damaged {
        tracing::error!(?damage, "the journal is damaged");
    }
    let last_heartbeat = recovered.last_heartbeat.unwrap_or_else(SystemClock::utc);
    let open = open_calls(recovered);
    if !open.is_empty() {
        tracing::warn!(calls = open.len(), %last_heartbeat, "calls of an earlier process are ended");
    }
    if shard.send(ShardCommand::TakeUp { open, last_heartbeat }).is_err() {
        tracing::error!("the shard takes no commands");
    }
}

/// Calls that something else carries keep their places over a restart.
async fn restore_external_calls(store: &Store, switchboard: &ShardSwitchboard) -> Result<(), ServeError> {
    for call in store.open_external_calls().await? {
        switchboard.external_call_started(call.account_id, call.trunk_id, call.call_id).await;
    }
    Ok(())
}

fn new_switch(config: &Config, local: &[SocketAddr], ports: Vec<(PortId, SocketAddr)>, node: u128) -> Switch {
    let listeners = config
        .sip_listen
        .iter()
        .zip(local)
        .map(|(listen, local)| Listener { transport: listen.transport, local: *local });
    // Behind a NAT, and on a wildcard socket, the local address is not what a peer can reach.
    let sent_by = |family: Family| {
        let public = config.public.of(family)?;
        let is_wildcard = |local: &SocketAddr| local.ip().is_unspecified() && Family::of(local.ip()) == family;
        let hides_address = local.iter().any(is_wildcard) || config.media.of(family) != Some(public);
        hides_address.then(|| PublicAddress { host: Host::from(public), port: None })
    };
    let sent_by = SentBy { v4: sent_by(Family::V4), v6: sent_by(Family::V6) };
    let config = SwitchConfig {
        // The low bits of a UUIDv7 are random.
        identity: Identity { node: (node & 0xffff) as u16, shard: 0 },
        user_agent: concat!("Tandem/", env!("CARGO_PKG_VERSION")).to_owned(),
        sent_by,
        listeners: listeners.collect(),
        media: config.public,
        ports: PortPool::new(ports),
        address_policy: AddressPolicy::new(config.peer_allow.clone()),
        credit_value: config.credit_value,
    };
    Switch::new(config, Box::new(OsRandom::new()), Box::new(OsRandom::new()))
}

/// How long the node waits for the answer of a webhook, or of the platform's keys: who asks for these waits as long.
const OUTGOING_TIMEOUT: Duration = Duration::from_secs(10);
/// How long requests that are under way may take to finish once the calls are over.
const HTTP_GRACE: Duration = Duration::from_secs(2);
/// Journal of the call path, in the data directory.
pub(crate) const JOURNAL_DIR: &str = "journal";
/// There is one shard.
pub(crate) const SHARD: u16 = 0;
/// Open files for everything but media: signalling with its connections, HTTP clients, the database.
const RESERVED_FILES: u64 = 1_024 + MAX_CONNECTIONS as u64;
/// RTP and RTCP.
const FILES_PER_PORT: u64 = 2;
