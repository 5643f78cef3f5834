use std::fmt;

use super::address::Connection;
use super::attribute::{Attribute, RtcpAddress, RtpMap, payload_type_number};
use super::text::{KeyText, Text};

/// A stream: an `m=` line and what follows it (RFC 8866 §5.14).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media {
    /// What it carries.
    pub kind: MediaKind,
    /// 0 when the stream is refused or gone (RFC 3264 §5.1).
    pub port: u16,
    /// How many ports, when the line says so (`49170/2`); never 0.
    pub port_count: Option<u32>,
    /// How it is carried.
    pub protocol: Protocol,
    /// Formats, the preferred first: payload types for RTP, else tokens. Some leave them out of a refused stream.
    pub formats: Vec<Text>,
    /// `i=`
    pub information: Option<Text>,
    /// `c=`; several only for multicast.
    pub connections: Vec<Connection>,
    /// `b=`
    pub bandwidths: Vec<Text>,
    /// `k=`, obsolete.
    pub key: Option<KeyText>,
    /// `a=`
    pub attributes: Vec<Attribute>,
}

/// The media type of an `m=` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MediaKind {
    /// `audio`
    Audio,
    /// `video`
    Video,
    /// `text`
    Text,
    /// `image`, such as T.38 fax
    Image,
    /// `message`
    Message,
    /// `application`
    Application,
    /// Any other token.
    Other(Text),
}

/// The transport of an `m=` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Protocol {
    /// `RTP/AVP` (RFC 3551)
    Avp,
    /// `RTP/AVPF`, with early RTCP feedback (RFC 4585)
    Avpf,
    /// `RTP/SAVP`, SRTP (RFC 3711)
    Savp,
    /// `RTP/SAVPF` (RFC 5124)
    Savpf,
    /// `UDP/TLS/RTP/SAVP`, keyed by DTLS (RFC 5764)
    DtlsSavp,
    /// `UDP/TLS/RTP/SAVPF`, what browsers offer
    DtlsSavpf,
    /// Any other: `udptl`, `UDP/DTLS/SCTP`, ...
    Other(Text),
}

impl Media {
    /// A stream without lines of its own.
    pub fn new(kind: MediaKind, port: u16, protocol: Protocol) -> Self {
        Self {
            kind,
            port,
            port_count: None,
            protocol,
            formats: Vec::new(),
            information: None,
            connections: Vec::new(),
            bandwidths: Vec::new(),
            key: None,
            attributes: Vec::new(),
        }
    }

    /// True when the attribute is there, with a value or without.
    pub fn has(&self, name: &str) -> bool {
        self.attributes.iter().any(|attribute| attribute.name == *name)
    }

    /// The values of the attributes called `name`, in order.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.attributes.iter().filter_map(move |attribute| attribute.value_of(name))
    }

    /// The payload types of an RTP stream, the preferred first.
    pub fn payload_types(&self) -> impl Iterator<Item = u8> + '_ {
        self.formats.iter().filter_map(|format| payload_type_number(format.as_str()?))
    }

    /// What `a=rtpmap` says of a payload type. Lines that break the grammar are passed over; the first sound one counts.
    pub fn rtp_map(&self, payload_type: u8) -> Option<RtpMap> {
        self.values("rtpmap").filter_map(RtpMap::parse).find(|map| map.payload_type == payload_type)
    }

    /// The first sound `a=rtcp` (RFC 3605).
    pub fn rtcp(&self) -> Option<RtcpAddress> {
        self.values("rtcp").find_map(RtcpAddress::parse)
    }
}

const KINDS: [(&str, MediaKind); 6] = [
    ("audio", MediaKind::Audio),
    ("video", MediaKind::Video),
    ("text", MediaKind::Text),
    ("image", MediaKind::Image),
    ("message", MediaKind::Message),
    ("application", MediaKind::Application),
];

const PROTOCOLS: [(&str, Protocol); 6] = [
    ("RTP/AVP", Protocol::Avp),
    ("RTP/AVPF", Protocol::Avpf),
    ("RTP/SAVP", Protocol::Savp),
    ("RTP/SAVPF", Protocol::Savpf),
    ("UDP/TLS/RTP/SAVP", Protocol::DtlsSavp),
    ("UDP/TLS/RTP/SAVPF", Protocol::DtlsSavpf),
];

impl MediaKind {
    pub(crate) fn from_token(token: &str) -> Self {
        KINDS.into_iter().find(|(name, _)| *name == token).map_or_else(|| Self::Other(token.into()), |(_, kind)| kind)
    }
}

impl Protocol {
    pub(crate) fn from_token(token: &str) -> Self {
        PROTOCOLS
            .into_iter()
            .find(|(name, _)| *name == token)
            .map_or_else(|| Self::Other(token.into()), |(_, protocol)| protocol)
    }

    /// True for RTP in any profile that is known: its formats are payload types.
    pub fn is_rtp(&self) -> bool {
        self.is_plain_rtp() || self.is_encrypted()
    }

    /// True for RTP without encryption.
    pub fn is_plain_rtp(&self) -> bool {
        match self {
            Self::Avp | Self::Avpf => true,
            Self::Savp | Self::Savpf | Self::DtlsSavp | Self::DtlsSavpf | Self::Other(_) => false,
        }
    }

    /// True for SRTP, whoever gives it its keys.
    pub fn is_encrypted(&self) -> bool {
        match self {
            Self::Savp | Self::Savpf | Self::DtlsSavp | Self::DtlsSavpf => true,
            Self::Avp | Self::Avpf | Self::Other(_) => false,
        }
    }
}

impl fmt::Display for MediaKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Audio => "audio",
            Self::Video => "video",
            Self::Text => "text",
            Self::Image => "image",
            Self::Message => "message",
            Self::Application => "application",
            Self::Other(token) => return token.fmt(f),
        })
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Avp => "RTP/AVP",
            Self::Avpf => "RTP/AVPF",
            Self::Savp => "RTP/SAVP",
            Self::Savpf => "RTP/SAVPF",
            Self::DtlsSavp => "UDP/TLS/RTP/SAVP",
            Self::DtlsSavpf => "UDP/TLS/RTP/SAVPF",
            Self::Other(token) => return token.fmt(f),
        })
    }
}
