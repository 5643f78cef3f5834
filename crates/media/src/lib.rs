//! Media without IO: SDP offer/answer, RTP and RTCP, the relay, echo and tone ports.

pub mod dtmf;
pub mod engine;
pub mod g711;
pub mod offer_answer;
pub mod rtcp;
pub mod rtp;
pub mod sdp;
pub mod tone;

#[cfg(test)]
mod test_clock;
