use std::net::IpAddr;
use std::ops::RangeInclusive;

use tandem_model::Codec;

use super::agreement::{DEFAULT_CLOCK_RATE, Payload, PayloadTypes};
use super::description::{self, RTCP_MUX};
use super::remote::{Format, Formats};
use crate::sdp::{Attribute, Direction, Media, MediaKind, ParseError, Protocol, Session, TimeLine};

/// The payload type that we give telephone-events: what most of the trade uses, so that gateways with a fixed number
/// understand it too.
const TELEPHONE_EVENT_PAYLOAD_TYPE: u8 = 101;

/// The dynamic payload types (RFC 3551 §6).
const DYNAMIC_PAYLOAD_TYPES: RangeInclusive<u8> = 96..=127;

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
    protocol: Protocol,
    payload_types: PayloadTypes,
    rtcp_mux: bool,
    /// The dialog's other streams, all refused or gone, which each later offer has to name again.
    others: Vec<Media>,
    /// Where the audio stands among them.
    audio_index: usize,
}

/// Offers one audio stream over plain RTP, as the first offer of a dialog.
pub fn offer(local: &LocalMedia) -> Offer {
    Offer {
        local: local.clone(),
        protocol: Protocol::Avp,
        payload_types: number_formats(local, |_, _| None, |_| false),
        // Trunks keep RTCP on its own port, and some carriers' gateways stumble over the attribute.
        rtcp_mux: false,
        others: Vec::new(),
        audio_index: 0,
    }
}

/// Offers again in a dialog: hold, resume, a refresh. `previous` is our last description there, offer or answer, whose
/// streams keep their places, their transport and their payload types (RFC 3264 §8).
///
/// # Errors
/// [`ParseError`] when `previous` is no description, so never for what this module wrote.
pub fn reoffer(local: &LocalMedia, previous: &[u8]) -> Result<Offer, ParseError> {
    let previous = Session::parse(previous)?;
    let is_live_audio =
        |media: &Media| media.kind == MediaKind::Audio && media.port != 0 && media.protocol.is_plain_rtp();
    let mut others = previous.media;
    let Some(audio_index) = others.iter().position(is_live_audio) else {
        // No audio is left: a new stream goes after the dead ones (RFC 3264 §8.1).
        let audio_index = others.len();
        return Ok(Offer { others, audio_index, ..offer(local) });
    };
    let audio = others.remove(audio_index);
    let formats = Formats::of(&audio);
    let kept = |payload, clock_rate| {
        formats.number_of(match payload {
            Payload::Audio(codec) => Format::Audio(codec),
            Payload::TelephoneEvent => Format::TelephoneEvent { clock_rate },
        })
    };
    Ok(Offer {
        local: local.clone(),
        payload_types: number_formats(local, kept, |number| formats.lists(number)),
        rtcp_mux: audio.has(RTCP_MUX),
        protocol: audio.protocol,
        others,
        audio_index,
    })
}

/// Gives each format of ours the number it `kept`, else its customary one, else a dynamic one that is free of those
/// `used` for something else.
fn number_formats(
    local: &LocalMedia,
    kept: impl Fn(Payload, u32) -> Option<u8>,
    used: impl Fn(u8) -> bool,
) -> PayloadTypes {
    let codecs = local.usable_codecs();
    let clock_rate = codecs.first().map_or(DEFAULT_CLOCK_RATE, |codec| codec.clock_rate());
    let audio = codecs.into_iter().map(|codec| (Payload::Audio(codec), codec.static_payload_type()));
    let event = local.telephone_event.then_some((Payload::TelephoneEvent, Some(TELEPHONE_EVENT_PAYLOAD_TYPE)));
    let mut numbers = PayloadTypes::default();
    for (payload, customary) in audio.chain(event) {
        let is_free = |number: &u8| !used(*number) && numbers.meaning(*number).is_none();
        let number = kept(payload, clock_rate)
            .or_else(|| customary.filter(is_free))
            .or_else(|| DYNAMIC_PAYLOAD_TYPES.into_iter().find(is_free));
        // With all dynamic numbers taken the format is not offered.
        if let Some(number) = number {
            numbers.insert(number, payload);
        }
    }
    numbers
}

impl Offer {
    /// The body of type `application/sdp`.
    pub fn to_bytes(&self) -> Vec<u8> {
        let local = &self.local;
        let mut audio = description::audio(local, self.protocol.clone(), &self.payload_types, local.direction);
        if self.rtcp_mux {
            audio.attributes.push(Attribute::flag(RTCP_MUX));
        }
        let mut session = description::session(local, vec![TimeLine::unbounded()]);
        session.media = self.others.iter().map(description::refusal).collect();
        session.media.insert(self.audio_index.min(session.media.len()), audio);
        session.to_bytes()
    }

    /// What may arrive before the answer does (RFC 3264 §5.1): every codec that was offered.
    pub fn receive_payload_types(&self) -> &PayloadTypes {
        &self.payload_types
    }

    /// What was offered from.
    pub fn local(&self) -> &LocalMedia {
        &self.local
    }

    pub(super) fn audio_index(&self) -> usize {
        self.audio_index
    }

    pub(super) fn offers_rtcp_mux(&self) -> bool {
        self.rtcp_mux
    }
}
