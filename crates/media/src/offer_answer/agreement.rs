use std::net::SocketAddr;

use tandem_model::Codec;

use crate::sdp::Direction;

/// What two ends have agreed for the audio of a call, seen from ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agreement {
    /// Where our RTP goes. `None` while the peer holds us with 0.0.0.0 or `::` (RFC 3264 §8.4), and when it named a host
    /// instead of an address: then the stream starts once its source is known.
    pub remote_rtp: Option<SocketAddr>,
    /// Where our RTCP goes: `a=rtcp` (RFC 3605), else the port after RTP's, or RTP's own with `rtcp_mux`. `None` as above.
    pub remote_rtcp: Option<SocketAddr>,
    /// What we send.
    pub codec: Codec,
    /// The payload type that [`Agreement::codec`] has towards the peer, 0 to 127.
    pub send_payload_type: u8,
    /// What the peer may send. Its payload types are those that we named, which may differ from those that we send.
    pub receive_payload_types: PayloadTypes,
    /// DTMF as RFC 4733 events; `None` when one side did not list them at the codec's clock rate.
    pub telephone_event: Option<TelephoneEvent>,
    /// Audio in each packet that we send, in milliseconds, within [`MIN_PTIME_MS`](super::MIN_PTIME_MS) and
    /// [`MAX_PTIME_MS`](super::MAX_PTIME_MS).
    pub ptime_ms: u16,
    /// What we may send and receive.
    pub direction: Direction,
    /// RTP and RTCP share a port in both directions (RFC 5761).
    pub rtcp_mux: bool,
}

/// The payload types of RFC 4733 telephone-events, one for each direction, 0 to 127.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TelephoneEvent {
    /// What the peer wants to receive them as.
    pub send_payload_type: u8,
    /// What the peer sends them as.
    pub receive_payload_type: u8,
}

/// What a received payload type means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload {
    /// Audio in this codec.
    Audio(Codec),
    /// RFC 4733 telephone-events.
    TelephoneEvent,
}

/// A map from payload type to its meaning: a few entries, in order of preference.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PayloadTypes(Vec<(u8, Payload)>);

impl PayloadTypes {
    /// What `payload_type` means, or `None` when it was not agreed.
    pub fn meaning(&self, payload_type: u8) -> Option<Payload> {
        self.iter().find(|(number, _)| *number == payload_type).map(|(_, payload)| payload)
    }

    /// All of them, the preferred first.
    pub fn iter(&self) -> impl Iterator<Item = (u8, Payload)> + '_ {
        self.0.iter().copied()
    }

    /// The audio codecs among them, the preferred first.
    pub fn codecs(&self) -> impl Iterator<Item = (u8, Codec)> + '_ {
        self.iter().filter_map(|(number, payload)| match payload {
            Payload::Audio(codec) => Some((number, codec)),
            Payload::TelephoneEvent => None,
        })
    }

    /// The payload type of telephone-events.
    pub fn telephone_event(&self) -> Option<u8> {
        self.iter().find(|(_, payload)| *payload == Payload::TelephoneEvent).map(|(number, _)| number)
    }

    /// The clock of the preferred codec, in hertz: the one that telephone-events are to share (RFC 4733 §2.1).
    pub(crate) fn clock_rate(&self) -> u32 {
        self.codecs().next().map_or(DEFAULT_CLOCK_RATE, |(_, codec)| codec.clock_rate())
    }

    /// Adds a meaning unless the payload type has one: the first stands.
    pub(crate) fn insert(&mut self, payload_type: u8, payload: Payload) {
        if self.meaning(payload_type).is_none() {
            self.0.push((payload_type, payload));
        }
    }
}

/// Telephony's sampling rate in hertz.
pub(super) const DEFAULT_CLOCK_RATE: u32 = 8_000;

impl FromIterator<(u8, Payload)> for PayloadTypes {
    fn from_iter<I: IntoIterator<Item = (u8, Payload)>>(pairs: I) -> Self {
        let mut map = Self::default();
        for (payload_type, payload) in pairs {
            map.insert(payload_type, payload);
        }
        map
    }
}
