use crate::text_enum::text_enum;

text_enum! {
    /// A SIP transport, as in a Via (RFC 3261 §18, RFC 7118).
    pub enum Transport, error ParseTransportError("transport") {
        /// UDP.
        Udp = "udp",
        /// TCP.
        Tcp = "tcp",
        /// TLS over TCP.
        Tls = "tls",
        /// WebSocket.
        Ws = "ws",
        /// WebSocket over TLS.
        Wss = "wss",
    }
}

impl Transport {
    /// Whether this build can carry SIP over it.
    #[must_use]
    pub const fn is_supported(self) -> bool {
        match self {
            Self::Udp | Self::Tcp => true,
            Self::Tls | Self::Ws | Self::Wss => false,
        }
    }

    /// Whether it delivers reliably, so that SIP messages are not resent (RFC 3261 §17).
    #[must_use]
    pub const fn is_reliable(self) -> bool {
        match self {
            Self::Udp => false,
            Self::Tcp | Self::Tls | Self::Ws | Self::Wss => true,
        }
    }

    /// The name in a Via header (RFC 3261 §20.42).
    #[must_use]
    pub const fn via_name(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Ws => "WS",
            Self::Wss => "WSS",
        }
    }
}

text_enum! {
    /// Whether media is encrypted: `advanced_config.srtp` (RFC 8643 calls `allow` opportunistic).
    pub enum SrtpPolicy, error ParseSrtpPolicyError("SRTP policy") {
        /// Never.
        Off = "off",
        /// When the peer takes it.
        Allow = "allow",
        /// Always; a peer that does not take it gets no call.
        Require = "require",
    }
}
