//! Media without IO: SDP offer/answer, RTP and RTCP, the relay, echo and tone ports.

pub mod dtmf;
pub mod engine;
pub mod offer_answer;
pub mod sdp;
pub mod tone;
