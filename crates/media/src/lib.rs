//! Media without IO: SDP offer/answer, RTP and RTCP, the relay, echo and tone ports.
