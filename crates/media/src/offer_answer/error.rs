use std::net::IpAddr;

use crate::sdp::{ParseError, Protocol};

/// Why no media could be agreed. On the wire each is a 488 (RFC 3261 §21.4.26), or a BYE when it concerns an answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NegotiationError {
    /// The body is no session description.
    #[error("malformed session description: {0}")]
    Malformed(#[from] ParseError),
    /// No audio stream is there, or each has port 0.
    #[error("no audio stream")]
    NoAudio,
    /// Audio was offered, or answered, in codecs that we do not speak or did not offer.
    #[error("no codec in common, the peer has {}", offered.join(", "))]
    NoCommonCodec {
        /// What the peer listed, as `name/clock rate`, in its order; `PT n` where it gave no name.
        offered: Vec<String>,
    },
    /// All audio is SRTP or DTLS-SRTP. It is never answered as plain RTP.
    #[error("the peer requires encrypted media ({protocol})")]
    EncryptionRequired {
        /// The transport of the first such stream.
        protocol: Protocol,
    },
    /// All audio is in a transport other than RTP.
    #[error("unsupported media transport {protocol}")]
    UnsupportedTransport {
        /// The transport of the first such stream.
        protocol: Protocol,
    },
    /// Neither the stream nor the session has a `c=` line (RFC 8866 §5.7).
    #[error("the audio stream has no address")]
    NoAddress,
    /// A multicast or broadcast address: RTP is never sent there.
    #[error("media address {address} is not unicast")]
    NotUnicast {
        /// What the `c=` or `a=rtcp` line said.
        address: IpAddr,
    },
    /// The answer refused our only stream with port 0.
    #[error("the answer refused the audio stream")]
    Refused,
    /// The answer has other streams than the offer (RFC 3264 §6).
    #[error("the answer does not match the offer")]
    AnswerNotFromOffer,
}
