//! What the peer wrote: the meaning of its payload types, its addresses, its packet time.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tandem_model::Codec;

use super::agreement::{Agreement, PayloadTypes, TelephoneEvent};
use super::description::{TELEPHONE_EVENT, ptime_ms};
use super::error::NegotiationError;
use super::offer::LocalMedia;
use super::{MAX_PTIME_MS, MIN_PTIME_MS};
use crate::sdp::{Connection, Direction, Host, Media, RtpMap, Session};

/// A format of a stream, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Audio(Codec),
    TelephoneEvent {
        clock_rate: u32,
    },
    /// Something that we do not carry.
    Foreign,
}

impl Format {
    fn named(map: &RtpMap) -> Self {
        if map.is(TELEPHONE_EVENT, map.clock_rate) {
            return Self::TelephoneEvent { clock_rate: map.clock_rate };
        }
        Codec::ALL
            .iter()
            .copied()
            .find(|codec| map.is(codec.encoding_name(), codec.clock_rate()))
            .map_or(Self::Foreign, Self::Audio)
    }

    /// RFC 3551 §6.
    fn assigned(payload_type: u8) -> Option<Self> {
        Codec::ALL.iter().copied().find(|codec| codec.static_payload_type() == Some(payload_type)).map(Self::Audio)
    }
}

/// The payload types of a stream with what its `rtpmap` lines say of them, the preferred first.
///
/// It is made in one pass, so that a body full of `rtpmap` lines costs no more than its length.
pub(super) struct Formats(Vec<(u8, Option<RtpMap>)>);

impl Formats {
    pub(super) fn of(media: &Media) -> Self {
        let mut maps = BTreeMap::new();
        for map in media.values("rtpmap").filter_map(RtpMap::parse) {
            // The first of two counts, as in [`Media::rtp_map`].
            maps.entry(map.payload_type).or_insert(map);
        }
        // A number that is listed again says nothing new.
        let mut listed = BTreeSet::new();
        let first = media.payload_types().filter(|payload_type| listed.insert(*payload_type));
        Self(first.map(|payload_type| (payload_type, maps.remove(&payload_type))).collect())
    }

    /// Each payload type with its format; `None` when neither an `rtpmap` nor RFC 3551 §6 says what it is.
    ///
    /// An `rtpmap` wins over the static assignment: else audio would be played with the wrong law.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u8, Option<Format>)> {
        self.0.iter().map(|(payload_type, map)| {
            let format = map.as_ref().map(Format::named).or_else(|| Format::assigned(*payload_type));
            (*payload_type, format)
        })
    }

    /// The first payload type of this format.
    pub(super) fn number_of(&self, format: Format) -> Option<u8> {
        self.iter().find(|(_, other)| *other == Some(format)).map(|(payload_type, _)| payload_type)
    }

    /// True when the payload type is listed, whatever it means.
    pub(super) fn lists(&self, payload_type: u8) -> bool {
        self.0.iter().any(|(listed, _)| *listed == payload_type)
    }

    /// For people: `PCMU/8000`, or `PT 13` where no name is given.
    pub(super) fn names(&self) -> Vec<String> {
        let name = |(payload_type, map): &(u8, Option<RtpMap>)| match (map, Format::assigned(*payload_type)) {
            (Some(map), _) => map.name(),
            (None, Some(Format::Audio(codec))) => format!("{}/{}", codec.encoding_name(), codec.clock_rate()),
            (None, _) => format!("PT {payload_type}"),
        };
        self.0.iter().map(name).collect()
    }
}

/// What the two sides chose; the rest of an [`Agreement`] follows from the peer's description.
pub(super) struct Choice {
    pub(super) codec: Codec,
    pub(super) send_payload_type: u8,
    pub(super) receive_payload_types: PayloadTypes,
    pub(super) telephone_event: Option<TelephoneEvent>,
    pub(super) rtcp_mux: bool,
}

/// Completes a choice by what the peer says of addresses, hold and packet time.
pub(super) fn conclude(
    choice: Choice,
    local: &LocalMedia,
    session: &Session,
    media: &Media,
) -> Result<Agreement, NegotiationError> {
    let connection = session.connection_of(media).ok_or(NegotiationError::NoAddress)?;
    let target = Target::of(connection, media, choice.rtcp_mux)?;
    let mut remote = session.direction_of(media);
    if target.held {
        // The hold of RFC 2543: the peer may talk, but listens nowhere.
        remote = remote.and(Direction::SendOnly);
    }
    Ok(Agreement {
        remote_rtp: target.rtp,
        remote_rtcp: target.rtcp,
        codec: choice.codec,
        send_payload_type: choice.send_payload_type,
        receive_payload_types: choice.receive_payload_types,
        telephone_event: choice.telephone_event,
        ptime_ms: send_ptime_ms(media, local),
        direction: remote.mirrored().and(local.direction),
        rtcp_mux: choice.rtcp_mux,
    })
}

struct Target {
    rtp: Option<SocketAddr>,
    rtcp: Option<SocketAddr>,
    /// The address is 0.0.0.0 or `::` (RFC 3264 §8.4).
    held: bool,
}

impl Target {
    fn of(connection: &Connection, media: &Media, rtcp_mux: bool) -> Result<Self, NegotiationError> {
        let address = match connection.host {
            Host::Name(_) => return Ok(Self { rtp: None, rtcp: None, held: false }),
            Host::Address(address) => address.to_canonical(),
        };
        if address.is_unspecified() {
            return Ok(Self { rtp: None, rtcp: None, held: true });
        }
        let rtp = SocketAddr::new(unicast(address)?, media.port);
        let rtcp = match media.rtcp() {
            _ if rtcp_mux => Some(rtp),
            Some(rtcp) => {
                let address = rtcp.address.map_or(address, |address| address.to_canonical());
                (!address.is_unspecified()).then_some(SocketAddr::new(unicast(address)?, rtcp.port))
            }
            None => media.port.checked_add(1).map(|port| SocketAddr::new(address, port)),
        };
        Ok(Self { rtp: Some(rtp), rtcp, held: false })
    }
}

fn unicast(address: IpAddr) -> Result<IpAddr, NegotiationError> {
    if address.is_multicast() || address == IpAddr::V4(Ipv4Addr::BROADCAST) {
        return Err(NegotiationError::NotUnicast { address });
    }
    Ok(address)
}

/// What the peer wants, else what we use, within the peer's limit; in milliseconds. Values that make no sense are
/// passed over.
fn send_ptime_ms(media: &Media, local: &LocalMedia) -> u16 {
    let sensible = |name: &'static str| {
        let mut values = media.values(name).filter_map(|value| value.trim().parse::<u16>().ok());
        values.find(|ptime| (MIN_PTIME_MS..=MAX_PTIME_MS).contains(ptime))
    };
    let wanted = sensible("ptime").unwrap_or_else(|| ptime_ms(local));
    sensible("maxptime").map_or(wanted, |most| wanted.min(most))
}
