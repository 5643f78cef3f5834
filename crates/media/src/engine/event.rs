//! What a media thread has to send and to tell.

use std::net::SocketAddr;
use std::time::Duration;

use super::command::{Channel, PortId};
use super::stats::{HeardStats, PortStats};
use crate::dtmf::Digit;

/// A datagram to send now.
#[derive(Debug, PartialEq, Eq)]
pub struct Transmit<'a> {
    /// The port whose socket sends it.
    pub port: PortId,
    /// Which socket of the port.
    pub channel: Channel,
    /// Where to.
    pub to: SocketAddr,
    /// The whole datagram.
    pub payload: &'a [u8],
}

/// One thing for the shell to do.
#[derive(Debug, PartialEq)]
pub enum Output<'a> {
    /// Send a datagram that the engine made itself: a tone, a key or RTCP.
    Transmit(Transmit<'a>),
    /// Tell the owner of the port.
    Event(Event),
}

/// What happened at a port. `tag` is that of [`Command::Open`](super::Command::Open).
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The first valid packet after the port was opened, or after the peer's address changed, came from `source`.
    /// Until the peer's address changes again, only this source is heard and all media goes there.
    Latched {
        /// The port.
        port: PortId,
        /// Its tag.
        tag: u64,
        /// Where the peer's media comes from.
        source: SocketAddr,
    },
    /// The first valid packet since the port was opened.
    FirstPacket {
        /// The port.
        port: PortId,
        /// Its tag.
        tag: u64,
    },
    /// The peer pressed a key. Told once a key, when it is over.
    Digit {
        /// The port.
        port: PortId,
        /// Its tag.
        tag: u64,
        /// The key.
        digit: Digit,
        /// How long it was held, as far as was heard.
        duration: Duration,
        /// Whether the end was signalled. If not, it was lost, and was inferred from what followed or from silence.
        end_heard: bool,
    },
    /// All keys of [`Command::SendDigits`](super::Command::SendDigits) that were waiting have been sent.
    DigitsSent {
        /// The port.
        port: PortId,
        /// Its tag.
        tag: u64,
        /// Whether they went out as telephone-events; else as tones.
        as_events: bool,
    },
    /// What a port has heard that was to listen for a tone ([`Sink::Listen`](super::Sink::Listen)). Told once.
    Heard {
        /// The port.
        port: PortId,
        /// Its tag.
        tag: u64,
        /// What.
        heard: HeardStats,
    },
    /// Nothing was heard for as long as [`Command::SetRtpTimeout`](super::Command::SetRtpTimeout) allows. Told once a silence.
    RtpTimeout {
        /// The port.
        port: PortId,
        /// Its tag.
        tag: u64,
        /// How long the silence is by now.
        silent_for: Duration,
    },
    /// The port is closed; its number may be used again.
    Closed {
        /// The port.
        port: PortId,
        /// Its tag.
        tag: u64,
        /// Its final counters.
        stats: Box<PortStats>,
    },
}
