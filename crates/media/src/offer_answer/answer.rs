use super::agreement::{Agreement, Payload, PayloadTypes, TelephoneEvent};
use super::description::{self, RTCP_MUX};
use super::error::NegotiationError;
use super::offer::{LocalMedia, Offer};
use super::remote::{self, Choice, Format, Formats};
use crate::sdp::{Attribute, Media, MediaKind, Session};

/// Answers an offer: the body to send, and what it comes to.
///
/// The first audio stream over plain RTP that has a codec of ours is taken, in the codec that *we* prefer and under the
/// payload types of the offer; all other streams are refused with port 0.
///
/// # Errors
/// [`NegotiationError`] when there is no such stream. Nothing was agreed then; in a dialog, what was agreed before
/// goes on.
pub fn answer(remote_offer: &[u8], local: &LocalMedia) -> Result<(Vec<u8>, Agreement), NegotiationError> {
    let offered = Session::parse(remote_offer)?;
    let (taken, choice) = choose_stream(&offered, local)?;
    let agreement = remote::conclude(choice, local, &offered, taken)?;

    let mut audio =
        description::audio(local, taken.protocol.clone(), &agreement.receive_payload_types, agreement.direction);
    if agreement.rtcp_mux {
        audio.attributes.push(Attribute::flag(RTCP_MUX));
    }
    let mut session = description::session(local, offered.times.clone());
    session.media = offered
        .media
        .iter()
        .map(|media| if std::ptr::eq(media, taken) { audio.clone() } else { description::refusal(media) })
        .collect();
    Ok((session.to_bytes(), agreement))
}

/// Judges an answer to our offer. May be called again for another answer to the same offer: early media in a 18x and
/// then the 200, or one for each fork.
///
/// The codec is the first of the answer that we offered. What the peer may send are all of its codecs that we offered,
/// under our payload types (RFC 3264 §6.1).
///
/// # Errors
/// [`NegotiationError`]: the call has no media, and is to be ended.
pub fn accept_answer(offer: &Offer, answer: &[u8]) -> Result<Agreement, NegotiationError> {
    let answered = Session::parse(answer)?;
    // Streams beyond those of the offer are wrong but harmless: the peer has nowhere to send them.
    let media = answered.media.get(offer.audio_index()).ok_or(NegotiationError::AnswerNotFromOffer)?;
    if media.kind != MediaKind::Audio {
        return Err(NegotiationError::AnswerNotFromOffer);
    }
    if media.port == 0 {
        return Err(NegotiationError::Refused);
    }
    if !media.protocol.is_plain_rtp() {
        return Err(wrong_transport(media));
    }
    remote::conclude(choose_from_answer(offer, media)?, offer.local(), &answered, media)
}

/// The stream to take and how, or the reason that says most.
fn choose_stream<'a>(offered: &'a Session, local: &LocalMedia) -> Result<(&'a Media, Choice), NegotiationError> {
    let mut foreign_codecs = None;
    let mut foreign_transport = None;
    for media in offered.media.iter().filter(|media| media.kind == MediaKind::Audio && media.port != 0) {
        if !media.protocol.is_plain_rtp() {
            // That encryption is wanted says more than an unknown transport.
            let outranked = matches!(foreign_transport, Some(NegotiationError::UnsupportedTransport { .. }));
            if foreign_transport.is_none() || (outranked && media.protocol.is_encrypted()) {
                foreign_transport = Some(wrong_transport(media));
            }
            continue;
        }
        let formats = Formats::of(media);
        match choose_from_offer(&formats, media, local) {
            Some(choice) => return Ok((media, choice)),
            None => {
                foreign_codecs.get_or_insert_with(|| NegotiationError::NoCommonCodec { offered: formats.names() });
            }
        }
    }
    Err(foreign_codecs.or(foreign_transport).unwrap_or(NegotiationError::NoAudio))
}

fn choose_from_offer(formats: &Formats, media: &Media, local: &LocalMedia) -> Option<Choice> {
    let (codec, payload_type) = local
        .usable_codecs()
        .into_iter()
        .find_map(|codec| formats.number_of(Format::Audio(codec)).map(|payload_type| (codec, payload_type)))?;
    let event = local
        .telephone_event
        .then(|| formats.number_of(Format::TelephoneEvent { clock_rate: codec.clock_rate() }))
        .flatten();

    let mut receive_payload_types = PayloadTypes::default();
    receive_payload_types.insert(payload_type, Payload::Audio(codec));
    if let Some(event) = event {
        receive_payload_types.insert(event, Payload::TelephoneEvent);
    }
    Some(Choice {
        codec,
        send_payload_type: payload_type,
        receive_payload_types,
        telephone_event: event.map(|event| TelephoneEvent { send_payload_type: event, receive_payload_type: event }),
        rtcp_mux: media.has(RTCP_MUX),
    })
}

fn choose_from_answer(offer: &Offer, media: &Media) -> Result<Choice, NegotiationError> {
    let ours = offer.receive_payload_types();
    let ours_for = |payload| ours.iter().find(|(_, other)| *other == payload).map(|(number, _)| number);
    let clock_rate = ours.clock_rate();
    let meaning = |(payload_type, format)| match format {
        Some(Format::Audio(codec)) => Some(Payload::Audio(codec)),
        Some(Format::TelephoneEvent { clock_rate: theirs }) => {
            (theirs == clock_rate).then_some(Payload::TelephoneEvent)
        }
        Some(Format::Foreign) => None,
        // Some answers do not repeat the rtpmap of the offer.
        None => ours.meaning(payload_type),
    };
    // What both sides listed: (their number, our number, meaning), in the answer's order.
    let formats = Formats::of(media);
    let common: Vec<(u8, u8, Payload)> = formats
        .iter()
        .filter_map(|listed| {
            let payload = meaning(listed)?;
            Some((listed.0, ours_for(payload)?, payload))
        })
        .collect();

    let (send_payload_type, codec) = common
        .iter()
        .find_map(|(theirs, _, payload)| match payload {
            Payload::Audio(codec) => Some((*theirs, *codec)),
            Payload::TelephoneEvent => None,
        })
        .ok_or_else(|| NegotiationError::NoCommonCodec { offered: formats.names() })?;
    let telephone_event = common
        .iter()
        .find(|(_, _, payload)| *payload == Payload::TelephoneEvent)
        .map(|(theirs, ours, _)| TelephoneEvent { send_payload_type: *theirs, receive_payload_type: *ours });
    let by_our_number = common.iter().map(|(_, ours, payload)| (*ours, *payload));
    // Some send under the number that they listed themselves. It is taken where it means nothing else.
    let by_their_number = common.iter().map(|(theirs, _, payload)| (*theirs, *payload));
    Ok(Choice {
        codec,
        send_payload_type,
        receive_payload_types: by_our_number.chain(by_their_number).collect(),
        telephone_event,
        // An answer cannot bring it up (RFC 5761 §5.1.1).
        rtcp_mux: offer.offers_rtcp_mux() && media.has(RTCP_MUX),
    })
}

fn wrong_transport(media: &Media) -> NegotiationError {
    let protocol = media.protocol.clone();
    if protocol.is_encrypted() {
        NegotiationError::EncryptionRequired { protocol }
    } else {
        NegotiationError::UnsupportedTransport { protocol }
    }
}
