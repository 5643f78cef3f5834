use std::time::Duration;

/// The bounds of one shard's connections. Production has the defaults; tests have less patience.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StreamLimits {
    /// Connections that peers may have open, all together.
    pub(super) accepted: usize,
    /// Of them, from one address.
    pub(super) accepted_per_peer: usize,
    /// Connections that we may have open.
    pub(super) opened: usize,
    /// How long making a connection may take.
    pub(super) connect: Duration,
    /// How long a message may take from its first octet to its last.
    pub(super) assembly: Duration,
    /// How long the kernel may take to accept what is written.
    pub(super) write: Duration,
    /// How long the peer's kernel may take to acknowledge what was sent.
    pub(super) acknowledge: Duration,
    /// After how much silence a connection of a peer is closed, unless a call depends on it.
    pub(super) accepted_idle: Duration,
    /// After how long without a message a connection of ours is closed, unless a call depends on it.
    pub(super) opened_idle: Duration,
    /// How often a connection of ours is pinged when nothing else is sent; each time between 80 and 100 % of it.
    pub(super) ping: Duration,
    /// Octets that may wait to be written to one peer.
    pub(super) outbox_bytes: usize,
}

impl Default for StreamLimits {
    fn default() -> Self {
        Self {
            accepted: MAX_ACCEPTED,
            accepted_per_peer: MAX_ACCEPTED_PER_PEER,
            opened: MAX_OPENED,
            connect: CONNECT_TIMEOUT,
            assembly: ASSEMBLY_TIMEOUT,
            write: WRITE_TIMEOUT,
            acknowledge: ACKNOWLEDGE_TIMEOUT,
            accepted_idle: ACCEPTED_IDLE,
            opened_idle: OPENED_IDLE,
            ping: PING_INTERVAL,
            outbox_bytes: OUTBOX_BYTES,
        }
    }
}

/// An open file each.
pub(crate) const MAX_CONNECTIONS: usize = MAX_ACCEPTED + MAX_OPENED;
/// A trunk needs one connection, a PBX a few: this is hundreds of peers.
const MAX_ACCEPTED: usize = 768;
/// One carrier host or a PBX behind one address with a connection for each of its phones.
const MAX_ACCEPTED_PER_PEER: usize = 64;
/// One for each address that trunks, or calls to `sip:` URIs, go to.
const MAX_OPENED: usize = 256;
/// As long as an INVITE may go without any response, after which the next trunk is tried.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);
/// A message is a few segments; four of them lost in a row still fit.
const ASSEMBLY_TIMEOUT: Duration = Duration::from_secs(10);
/// A peer that has not read for so long has stopped.
const WRITE_TIMEOUT: Duration = Duration::from_secs(4);
/// Above it the host is gone and not just its answers late: five retransmissions at a round trip of half a second.
const ACKNOWLEDGE_TIMEOUT: Duration = Duration::from_secs(16);
/// Who keeps a connection alive pings at least every two minutes (RFC 5626 §4.4.1).
const ACCEPTED_IDLE: Duration = Duration::from_secs(300);
/// Long enough that a trunk in use keeps its connection, short enough that targets called once do not add up.
const OPENED_IDLE: Duration = Duration::from_secs(900);
/// Carriers' edges close what is quiet for two minutes.
const PING_INTERVAL: Duration = Duration::from_secs(90);
/// Some thousand messages with their session descriptions.
const OUTBOX_BYTES: usize = 4 * 1_024 * 1_024;
