//! Counters of a port. What was not measured is `None`, never a guess.

use std::net::SocketAddr;

/// Everything counted at one port since it was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortStats {
    /// What the peer sent to us.
    pub received: ReceivedStats,
    /// What we sent to the peer.
    pub sent: SentStats,
    /// What the peer last said about what we sent. `None` without an RTCP report on our stream.
    pub reported: Option<PeerReport>,
    /// The last round trip that RTCP measured, in microseconds (RFC 3550 §6.4.1).
    pub round_trip_us: Option<u32>,
    /// Where the peer's media comes from, once it was heard.
    pub source: Option<SocketAddr>,
}

/// What a port that listens for a tone has heard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeardStats {
    /// How much audio there was, in milliseconds.
    pub audio_ms: u64,
    /// In how much of it the tone was most of what was heard, in steps of 100 ms.
    pub tone_ms: u64,
    /// How loud all of it was, in dBm0. `None` for digital silence, and for nothing.
    pub level_dbm0: Option<i8>,
}

/// One direction: from the peer to us.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReceivedStats {
    /// Valid RTP packets from the peer, with those later dropped for another reason than their source.
    pub packets: u64,
    /// Octets of payload in them.
    pub bytes: u64,
    /// Packets that never came, by sequence (RFC 3550 A.3, without counting duplicates as received).
    /// `None` when nothing was received.
    pub lost: Option<u64>,
    /// Interarrival jitter at the end (RFC 3550 A.8), in microseconds. `None` before two packets of audio.
    pub jitter_us: Option<u32>,
    /// The largest value `jitter_us` ever had.
    pub max_jitter_us: Option<u32>,
    /// Packets whose sequence number had just been received.
    pub duplicates: u64,
    /// Packets that came after a later one.
    pub out_of_order: u64,
    /// How often the stream started anew: another SSRC, or a jump in the sequence.
    pub restarts: u64,
    /// RTCP datagrams that were understood.
    pub rtcp_packets: u64,
    /// What was not taken.
    pub dropped: ReceiveDrops,
}

/// Datagrams that reached a port and were not passed on, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReceiveDrops {
    /// From an address that is not the peer's.
    pub wrong_source: u64,
    /// Not RTP, or RTP that contradicts itself.
    pub malformed: u64,
    /// A payload type that was not agreed.
    pub unknown_payload_type: u64,
    /// The agreed direction does not let us receive, or nothing is agreed yet.
    pub held: u64,
    /// No payload: a keep-alive (RFC 6263).
    pub empty: u64,
    /// More audio than one datagram should carry.
    pub oversized: u64,
    /// To be relayed through a port that is not open.
    pub no_sink: u64,
    /// RTCP that contradicts itself, or from elsewhere.
    pub rtcp: u64,
}

/// One direction: from us to the peer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SentStats {
    /// RTP packets handed out for sending.
    pub packets: u64,
    /// Octets of payload in them.
    pub bytes: u64,
    /// RTCP datagrams handed out for sending.
    pub rtcp_packets: u64,
    /// What was to be sent and was not.
    pub dropped: SendDrops,
}

/// Packets meant for the peer of a port that were not sent, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendDrops {
    /// The agreed direction does not let us send.
    pub held: u64,
    /// The peer's address is not known.
    pub no_remote: u64,
    /// The port had something of its own to say.
    pub overridden: u64,
    /// The codec heard cannot be turned into the one agreed.
    pub not_transcodable: u64,
    /// Telephone-events that the peer did not agree to.
    pub no_telephone_event: u64,
    /// Came so late that its place in the sequence was used by another source.
    pub stale: u64,
    /// The shell did not fetch output in time.
    pub backlog: u64,
}

/// A report block about our stream (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerReport {
    /// Packets of ours that the peer misses, since the start. Negative with duplicates; 24 bits.
    pub lost: i32,
    /// Loss since the report before, in 1/256.
    pub fraction_lost: u8,
    /// The jitter that the peer measures, in microseconds. `None` when what it says cannot be (a minute and more).
    pub jitter_us: Option<u32>,
}
