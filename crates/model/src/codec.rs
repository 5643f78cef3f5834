use crate::text_enum::text_enum;

text_enum! {
    /// An audio codec that a trunk's `codec_preferences` may name.
    pub enum Codec, error ParseCodecError("codec") {
        /// G.711 µ-law (ITU-T G.711), RTP payload type 0.
        Pcmu = "PCMU",
        /// G.711 A-law (ITU-T G.711), RTP payload type 8.
        Pcma = "PCMA",
        /// G.722 at 64 kbit/s (ITU-T G.722), RTP payload type 9.
        G722 = "G722",
        /// G.729 (ITU-T G.729), RTP payload type 18.
        G729 = "G729",
        /// Opus (RFC 6716, RFC 7587), dynamic payload type.
        Opus = "OPUS",
    }
}

impl Codec {
    /// What is offered when a trunk names no codec.
    pub const DEFAULT_PREFERENCES: &'static [Self] = &[Self::Pcmu, Self::Pcma];

    /// Whether this build can carry it. What it cannot carry is accepted in a trunk, with a warning, and never offered.
    #[must_use]
    pub const fn is_supported(self) -> bool {
        match self {
            Self::Pcmu | Self::Pcma => true,
            Self::G722 | Self::G729 | Self::Opus => false,
        }
    }

    /// The encoding name in `a=rtpmap` (RFC 8866 §6.6). Names are compared without case.
    #[must_use]
    pub const fn encoding_name(self) -> &'static str {
        match self {
            Self::Pcmu | Self::Pcma | Self::G722 | Self::G729 => self.as_str(),
            Self::Opus => "opus",
        }
    }

    /// RTP clock rate in hertz. G.722 says 8000 though it samples at 16000 (RFC 3551 §4.5.2).
    #[must_use]
    pub const fn clock_rate(self) -> u32 {
        match self {
            Self::Pcmu | Self::Pcma | Self::G722 | Self::G729 => 8_000,
            Self::Opus => 48_000,
        }
    }

    /// The static payload type of RFC 3551 §6, if there is one.
    #[must_use]
    pub const fn static_payload_type(self) -> Option<u8> {
        match self {
            Self::Pcmu => Some(0),
            Self::Pcma => Some(8),
            Self::G722 => Some(9),
            Self::G729 => Some(18),
            Self::Opus => None,
        }
    }

    /// Reads a name as people write it: without case, and the customary aliases `ulaw`, `alaw`, `G711U`, `G711A`.
    ///
    /// # Errors
    /// [`ParseCodecError`] with the known names.
    pub fn parse_lenient(name: &str) -> Result<Self, ParseCodecError> {
        let name = name.trim();
        let named = Self::ALL.iter().copied().find(|codec| codec.as_str().eq_ignore_ascii_case(name));
        let customary = || ALIASES.iter().find(|(alias, _)| alias.eq_ignore_ascii_case(name)).map(|&(_, codec)| codec);
        named.or_else(customary).map_or_else(|| name.parse(), Ok)
    }
}

/// Names that people and carriers write.
const ALIASES: [(&str, Codec); 10] = [
    ("ulaw", Codec::Pcmu),
    ("G711U", Codec::Pcmu),
    ("G711-ulaw", Codec::Pcmu),
    ("G.711U", Codec::Pcmu),
    ("alaw", Codec::Pcma),
    ("G711A", Codec::Pcma),
    ("G711-alaw", Codec::Pcma),
    ("G.711A", Codec::Pcma),
    ("G.722", Codec::G722),
    ("G.729", Codec::G729),
];
