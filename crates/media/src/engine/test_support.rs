//! What the tests of this module share.

use tandem_model::Codec;

use super::command::{Payload, RemoteMedia};

/// A peer with both laws of G.711 and telephone-events, who is sent µ-law.
pub(crate) fn remote(rtp: &str) -> RemoteMedia {
    let rtp = rtp.parse().unwrap();
    let mut rtcp = rtp;
    std::net::SocketAddr::set_port(&mut rtcp, rtp.port() + 1);
    RemoteMedia {
        rtp: Some(rtp),
        rtcp: Some(rtcp),
        rtcp_mux: false,
        codec: Codec::Pcmu,
        send_payload_type: 0,
        receive_payload_types: vec![
            (0, Payload::Audio(Codec::Pcmu)),
            (8, Payload::Audio(Codec::Pcma)),
            (101, Payload::TelephoneEvent),
        ],
        telephone_event: Some(101),
        ptime_ms: 20,
        may_send: true,
        may_receive: true,
        signalling_source: None,
        comedia: false,
    }
}
