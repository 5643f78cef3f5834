//! What we write: the parts that an offer and an answer share.

use super::agreement::{Payload, PayloadTypes};
use super::offer::LocalMedia;
use super::{MAX_PTIME_MS, MIN_PTIME_MS};
use crate::sdp::{Attribute, Connection, Direction, Media, MediaKind, Origin, Protocol, Session, Text, TimeLine};

/// The events that we take: the digits, `*`, `#` and A to D (RFC 4733 §3.2). Flash (16) has no meaning on a trunk.
const TELEPHONE_EVENTS: &str = "0-15";

/// A description of ours without streams yet. An answer repeats the times of the offer (RFC 3264 §6).
pub(super) fn session(local: &LocalMedia, times: Vec<TimeLine>) -> Session {
    let connection = Connection::unicast(local.address);
    Session {
        origin: Origin {
            username: "-".into(),
            session_id: local.session_id.to_string().into(),
            session_version: local.session_version.to_string().into(),
            network: "IN".into(),
            family: connection.family.to_string().into(),
            address: local.address.to_string().into(),
        },
        name: "-".into(),
        information: None,
        uri: None,
        emails: Vec::new(),
        phones: Vec::new(),
        connection: Some(connection),
        bandwidths: Vec::new(),
        times,
        key: None,
        attributes: Vec::new(),
        media: Vec::new(),
    }
}

/// The audio stream.
pub(super) fn audio(
    local: &LocalMedia,
    protocol: Protocol,
    payload_types: &PayloadTypes,
    direction: Direction,
) -> Media {
    let mut media = Media::new(MediaKind::Audio, local.rtp_port, protocol);
    let clock_rate = payload_types.clock_rate();
    for (number, payload) in payload_types.iter() {
        media.formats.push(number.to_string().into());
        match payload {
            Payload::Audio(codec) => {
                let map = format!("{number} {}/{}", codec.encoding_name(), codec.clock_rate());
                media.attributes.push(Attribute::valued("rtpmap", map));
            }
            Payload::TelephoneEvent => {
                let map = format!("{number} {TELEPHONE_EVENT}/{clock_rate}");
                media.attributes.push(Attribute::valued("rtpmap", map));
                media.attributes.push(Attribute::valued("fmtp", format!("{number} {TELEPHONE_EVENTS}")));
            }
        }
    }
    media.attributes.push(Attribute::valued("ptime", ptime_ms(local).to_string()));
    media.attributes.push(Attribute::flag(direction.name()));
    media
}

/// The answer to a stream that we do not take: the same line with port 0 (RFC 3264 §6).
pub(super) fn refusal(offered: &Media) -> Media {
    let mut media = Media::new(offered.kind.clone(), 0, offered.protocol.clone());
    media.formats.clone_from(&offered.formats);
    if media.formats.is_empty() {
        // The grammar wants one, even where the offer had none.
        media.formats.push(Text::from("0"));
    }
    media
}

/// Our packet time, within what we would accept ourselves.
pub(super) fn ptime_ms(local: &LocalMedia) -> u16 {
    local.ptime_ms.clamp(MIN_PTIME_MS, MAX_PTIME_MS)
}

/// The encoding name of RFC 4733 §2.1.
pub(super) const TELEPHONE_EVENT: &str = "telephone-event";

/// The attribute of RFC 5761 §5.1.1.
pub(super) const RTCP_MUX: &str = "rtcp-mux";
