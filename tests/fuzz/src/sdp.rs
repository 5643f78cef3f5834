//! A session description: what is written reads the same, and answers are what their offer allows.

use std::net::{IpAddr, Ipv4Addr};

use tandem_media::offer_answer::{LocalMedia, accept_answer, answer, offer, reoffer};
use tandem_media::sdp::{Direction, Session};

use crate::planted::is_planted_for;

pub(crate) fn run(input: &[u8]) {
    let Ok(session) = Session::parse(input) else {
        assert!(answer(input, &local()).is_err(), "what is no description cannot be answered");
        return;
    };
    let mut written = session.to_bytes();
    if is_planted_for(session.media.len() == 2 && session.media.iter().all(|media| media.has("inactive"))) {
        written.truncate(written.len() / 2);
    }
    let again = Session::parse(&written).expect("what is written is a description");
    assert_eq!(again, session);

    if let Ok((bytes, agreement)) = answer(input, &local()) {
        let answered = Session::parse(&bytes).expect("an answer is a description");
        assert_eq!(answered.media.len(), session.media.len(), "each m= line has its answer (RFC 3264 §6)");
        assert!(agreement.remote_rtp.is_none_or(|address| address.port() != 0), "port 0 is a refusal");
    }
    let ours = offer(&local());
    let _agreement = accept_answer(&ours, input);
    if let Ok(again) = reoffer(&local(), input) {
        Session::parse(&again.to_bytes()).expect("an offer is a description");
    }
}

fn local() -> LocalMedia {
    LocalMedia {
        address: IpAddr::from(Ipv4Addr::new(192, 0, 2, 1)),
        rtp_port: 20_000,
        codecs: Vec::new(),
        telephone_event: true,
        direction: Direction::SendRecv,
        ptime_ms: 20,
        session_id: 1,
        session_version: 1,
    }
}
