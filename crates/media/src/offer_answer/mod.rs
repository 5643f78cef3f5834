//! The offer/answer model (RFC 3264) for one plain RTP audio stream.
//!
//! [`offer`] writes an offer, [`answer`] judges one and writes its answer, [`accept_answer`] judges the answer to our
//! offer. Both ends in an [`Agreement`], which is all that a media port needs to know. [`reoffer`] writes a later offer of a
//! dialog. Each new description of ours has a `session_version` one higher; what was agreed before stays in force when
//! a negotiation fails.
//!
//! Whether a media address may be sent to (loopback, third parties) is not judged here: that is policy, and the
//! caller knows the peer. Multicast and broadcast are refused, since a call is unicast.

mod agreement;
mod answer;
mod description;
mod error;
mod offer;
mod remote;

pub use agreement::{Agreement, Payload, PayloadTypes, TelephoneEvent};
pub use answer::{accept_answer, answer};
pub use error::NegotiationError;
pub use offer::{LocalMedia, Offer, offer, reoffer};

/// The packet time that every G.711 endpoint supports (RFC 3551 §4.2).
pub const DEFAULT_PTIME_MS: u16 = 20;

/// Shorter packets cost more in headers than in audio, and `ptime:0` would divide by zero: ignored.
pub const MIN_PTIME_MS: u16 = 10;

/// Longer packets add delay that a talker hears, and no G.711 endpoint asks for them: ignored.
pub const MAX_PTIME_MS: u16 = 120;
