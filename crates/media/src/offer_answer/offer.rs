use std::net::IpAddr;

use tandem_model::Codec;

use super::agreement::{Payload, PayloadTypes};
use super::description;
use crate::sdp::{Direction, Protocol};

/// The payload type that we give telephone-events: what most of the trade uses, so that gateways with a fixed number
/// understand it too.
const TELEPHONE_EVENT_PAYLOAD_TYPE: u8 = 101;

/// The first dynamic payload type (RFC 3551 §6).
const FIRST_DYNAMIC_PAYLOAD_TYPE: u8 = 96;

/// Our side of the audio stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalMedia {
    /// Where the peer sends to: the public address.
    pub address: IpAddr,
    /// The RTP port as seen from outside; RTCP is the next one.
    pub rtp_port: u16,
    /// In order of preference. What this build cannot carry is passed over; when nothing is left,
    /// [`Codec::DEFAULT_PREFERENCES`] stand in.
    pub codecs: Vec<Codec>,
    /// Offer and accept RFC 4733 events.
    pub telephone_event: bool,
    /// What we want to do; an answer is narrowed by what the offer allows.
    pub direction: Direction,
    /// The packet time that we ask for, in milliseconds.
    pub ptime_ms: u16,
    /// The `o=` line's session id: the same for all descriptions that we send in a dialog.
    pub session_id: u64,
    /// The `o=` line's version: one more each time that the description changes (RFC 3264 §8).
    pub session_version: u64,
}

impl LocalMedia {
    /// The codecs that can be negotiated: never none.
    pub(super) fn usable_codecs(&self) -> Vec<Codec> {
        let mut usable: Vec<Codec> = Vec::new();
        for codec in self.codecs.iter().copied().filter(|codec| codec.is_supported()) {
            if !usable.contains(&codec) {
                usable.push(codec);
            }
        }
        if usable.is_empty() { Codec::DEFAULT_PREFERENCES.to_vec() } else { usable }
    }
}

/// An offer that was made, kept to judge the answer: more than one may come (early media, forks).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    local: LocalMedia,
    payload_types: PayloadTypes,
    audio_index: usize,
}

/// Offers one audio stream over plain RTP.
pub fn offer(local: &LocalMedia) -> Offer {
    let mut payload_types = PayloadTypes::default();
    let mut next_dynamic = FIRST_DYNAMIC_PAYLOAD_TYPE;
    for codec in local.usable_codecs() {
        let payload_type = codec.static_payload_type().unwrap_or_else(|| {
            let dynamic = next_dynamic;
            next_dynamic = next_dynamic.saturating_add(1);
            dynamic
        });
        payload_types.insert(payload_type, Payload::Audio(codec));
    }
    if local.telephone_event {
        payload_types.insert(TELEPHONE_EVENT_PAYLOAD_TYPE, Payload::TelephoneEvent);
    }
    Offer { local: local.clone(), payload_types, audio_index: 0 }
}

impl Offer {
    /// The body of type `application/sdp`.
    pub fn to_bytes(&self) -> Vec<u8> {
        let local = &self.local;
        let mut session = description::session(local, description::unbounded());
        session.media.push(description::audio(local, Protocol::Avp, &self.payload_types, local.direction));
        session.to_bytes()
    }

    /// What may arrive before the answer does (RFC 3264 §5.1): every codec that was offered.
    pub fn receive_payload_types(&self) -> &PayloadTypes {
        &self.payload_types
    }

    /// Which stream of the description is the audio.
    pub(super) fn audio_index(&self) -> usize {
        self.audio_index
    }

    /// What was offered from.
    pub fn local(&self) -> &LocalMedia {
        &self.local
    }
}
