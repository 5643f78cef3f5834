use super::ServeError;
use crate::config::Config;
use crate::runtime::{
    CarrierMachine, MediaHandle, MediaSockets, MediaThread, OsRandom, Shard, ShardHandle, SignallingSockets,
};
use std::net::SocketAddr;
use std::thread::JoinHandle;
use tandem_carrier::{Carrier, CarrierConfig, Limits, Lines, MediaPort};
use tandem_model::Transport;
use tandem_netio::IoPath;
use tandem_sip::endpoint::Identity;
use tokio::runtime;

/// The simulated carrier with threads and sockets of its own: reached only by the network, as any carrier.
pub(super) struct SimulatedCarrier {
    stop: Box<dyn FnOnce() + Send>,
    threads: [JoinHandle<()>; 2],
}

impl SimulatedCarrier {
    /// Must be called within a tokio runtime.
    pub(super) fn start(addresses: [SocketAddr; 2], media_path: IoPath) -> Result<Self, ServeError> {
        let mut signalling = SignallingSockets::bind(addresses.map(|address| (Transport::Udp, address)))?;
        let bound = signalling.local_addresses();
        for address in &bound {
            signalling.add(Transport::Tcp, *address)?;
        }
        let [first, second] = addresses;
        let bound_pair = [bound.first().copied().unwrap_or(first), bound.get(1).copied().unwrap_or(second)];
        let media_sockets = MediaSockets::bind(&[first.ip()], FIRST_RTP_PORT, LAST_RTP_PORT, MEDIA_PORTS)?;
        let media_ports = media_sockets.ports().into_iter();
        let media_ports = media_ports.map(|(id, bound)| MediaPort { id, rtp_port: bound.port() }).collect();
        let carrier = Carrier::new(
            CarrierConfig {
                addresses: bound_pair,
                media_address: first.ip(),
                media_ports,
                identity: Identity { node: u16::MAX, shard: u8::MAX },
                // It lives on loopback and takes calls from there alone.
                callers: loopback_ranges(),
                limits: Limits::default(),
            },
            Box::new(OsRandom::new()),
        );
        let shard = Shard::new(signalling)?;
        let media = MediaThread::new(media_sockets, media_path, Lines::default())?;
        let (shard_handle, media_handle): (ShardHandle<_>, MediaHandle<_>) = (shard.handle(), media.handle());
        let media_thread = media.spawn("carrier-media", shard_handle.clone())?;
        let shard_thread =
            shard.spawn("carrier", CarrierMachine::new(carrier), &media_handle, runtime::Handle::current())?;
        shard_handle.open();
        tracing::info!(addresses = ?bound, "the simulated carrier answers");
        let stop = move || {
            shard_handle.stop();
            media_handle.stop();
        };
        Ok(Self { stop: Box::new(stop), threads: [shard_thread, media_thread] })
    }

    pub(super) fn stop(self) {
        (self.stop)();
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a thread of the simulated carrier panicked");
            }
        }
    }
}

fn loopback_ranges() -> Vec<ipnet::IpNet> {
    ["127.0.0.0/8", "::1/128"].iter().filter_map(|range| range.parse().ok()).collect()
}

/// Runs the simulated carrier on its own until it is told to stop.
///
/// # Errors
/// [`ServeError`] when it cannot start.
pub(crate) fn carrier(config: &Config, addresses: [SocketAddr; 2]) -> Result<(), ServeError> {
    super::logging::start(config);
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let carrier = {
        let _within = runtime.enter();
        SimulatedCarrier::start(addresses, super::media_path(config.media_io)?)?
    };
    runtime.block_on(super::stop_signal())?;
    carrier.stop();
    Ok(())
}

const FIRST_RTP_PORT: u16 = 30_000;
const LAST_RTP_PORT: u16 = 30_999;
/// Calls at once; a demonstration needs few.
const MEDIA_PORTS: usize = 256;
