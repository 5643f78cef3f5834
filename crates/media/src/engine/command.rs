//! What the owner of the calls tells a media thread to do.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tandem_model::Codec;

use crate::dtmf::Digit;
use crate::tone::ToneSpec;

/// The index of a pooled pair of sockets, one for RTP and one for RTCP. The shell finds its sockets by the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PortId(pub u32);

/// Which socket of a port a datagram belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    /// The even port: media, and RTCP too where the two are multiplexed (RFC 5761).
    Rtp,
    /// The odd port: RTCP alone.
    Rtcp,
}

/// A change to one port. Commands for one port take effect in the order in which they are handed over.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Takes a port into use. It discards what it hears and says nothing until told more.
    Open {
        /// The port, below [`Limits::ports`](super::Limits::ports).
        port: PortId,
        /// Comes back in each [`Event`](super::Event) of the port; the engine gives it no meaning.
        tag: u64,
        /// Random: our SSRC, first sequence number, first timestamp and CNAME are drawn from it (RFC 3550 §5.1, RFC 7022).
        seed: u64,
    },
    /// What offer and answer agreed, or agreed anew. Counters, SSRC, sequence and time go on.
    SetRemote {
        /// An open port.
        port: PortId,
        /// The far end of the port.
        remote: RemoteMedia,
    },
    /// Where what is heard goes.
    SetSink {
        /// An open port.
        port: PortId,
        /// Replaces the sink there was.
        sink: Sink,
    },
    /// What the port says by itself. While it has a source, what other ports relay to it is dropped and counted.
    SetSource {
        /// An open port.
        port: PortId,
        /// Replaces the source there was.
        source: Source,
    },
    /// Presses keys: as telephone-events where they were agreed (RFC 4733), else as tones in the audio.
    ///
    /// Keys are queued behind those still being sent; all else that the port would send is held back meanwhile.
    SendDigits {
        /// An open port.
        port: PortId,
        /// The keys in order.
        digits: Vec<Digit>,
        /// How long each is held: clamped to 40 ms to 5 s, and rounded up to whole packets.
        duration: Duration,
        /// Silence after each: clamped to 40 ms to 5 s, and rounded up to whole packets.
        gap: Duration,
    },
    /// Reports [`Event::RtpTimeout`](super::Event::RtpTimeout) when nothing is heard for this long. `None` never does.
    ///
    /// While the port may not receive (hold) the time does not run; it starts anew when it may again.
    SetRtpTimeout {
        /// An open port.
        port: PortId,
        /// The longest silence.
        after: Option<Duration>,
    },
    /// Ends the port: [`Event::Closed`](super::Event::Closed) tells its final counters.
    Close {
        /// An open port.
        port: PortId,
    },
}

/// Where what a port hears goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sink {
    /// Nowhere. It is counted, and keys are decoded.
    Discard,
    /// Back to where it came from, through the port's own egress.
    Echo,
    /// Nowhere, but it is listened to for a tone: [`Event::Heard`](super::Event::Heard) tells after [`LISTENING_TIME`](super::LISTENING_TIME).
    Listen {
        /// The frequency of the tone, in hertz.
        hz: u16,
    },
    /// Out through another port of this engine.
    Relay {
        /// That port. While it is not open, packets are dropped and counted.
        to: PortId,
    },
}

/// What a port says by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Nothing: it says what is relayed to it.
    None,
    /// Digital silence, paced as audio is: it opens the path through a NAT and keeps it open.
    Silence,
    /// A tone or a mix of tones, such as ringback.
    Tone(ToneSpec),
}

/// The far end of a port as offer and answer agreed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteMedia {
    /// Where the peer wants RTP, from `c=` and `m=`. `None` when it named no address (`c=0.0.0.0`, port 0).
    pub rtp: Option<SocketAddr>,
    /// Where the peer wants RTCP; ignored with `rtcp_mux`.
    pub rtcp: Option<SocketAddr>,
    /// RTCP travels on the RTP port (RFC 5761).
    pub rtcp_mux: bool,
    /// What we send.
    pub codec: Codec,
    /// The payload type that the peer knows `codec` by, 0 to 127.
    pub send_payload_type: u8,
    /// What the peer may send us, by payload type 0 to 127. Others are dropped and counted.
    pub receive_payload_types: Vec<(u8, Payload)>,
    /// The payload type that the peer knows telephone-events by, if it takes them.
    pub telephone_event: Option<u8>,
    /// How much audio goes into a packet that we make, in milliseconds. Clamped to 10 to 60, in steps of 10.
    pub ptime_ms: u16,
    /// Our side may send: `sendrecv` or `sendonly` as seen by us.
    pub may_send: bool,
    /// Our side may receive: `sendrecv` or `recvonly` as seen by us.
    pub may_receive: bool,
    /// Where the peer's signalling comes from: media from this host is accepted beside that from the signalled one.
    pub signalling_source: Option<IpAddr>,
    /// The first sender within [`COMEDIA_WINDOW`](super::COMEDIA_WINDOW) is taken for the peer wherever it is, for peers
    /// behind a NAT that signal an address of their own.
    pub comedia: bool,
}

/// What a payload type stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload {
    /// Audio in this codec.
    Audio(Codec),
    /// Keys, at a clock of 8,000 a second (RFC 4733).
    TelephoneEvent,
}

/// Why a command had no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// The command names a port that is not open.
    #[error("port {} is not open", .port.0)]
    NotOpen {
        /// The port named.
        port: PortId,
    },
    /// `Open` for a port that is open.
    #[error("port {} is open already", .port.0)]
    AlreadyOpen {
        /// The port named.
        port: PortId,
    },
    /// `Open` for a port outside of the engine's limits.
    #[error("port {} is outside of the {limit} ports of this engine", .port.0)]
    OutOfRange {
        /// The port named.
        port: PortId,
        /// [`Limits::ports`](super::Limits::ports).
        limit: u32,
    },
    /// More keys than [`MAX_QUEUED_DIGITS`](super::MAX_QUEUED_DIGITS) would wait; none of the new ones was queued.
    #[error("port {} has {waiting} keys waiting to be sent", .port.0)]
    TooManyDigits {
        /// The port named.
        port: PortId,
        /// How many wait.
        waiting: usize,
    },
}
