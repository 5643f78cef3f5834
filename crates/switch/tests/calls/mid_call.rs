//! What the far end changes in a call: hold, codec, address.

use serde_json::json;
use tandem_model::{CallId, Codec};

use crate::far_end::Does::{self, Answer, Reinvite};
use crate::lab::{Lab, Peer, address};
use tandem_lab::setup::{NUMBER, PCMA, PCMU, order, sdp, sdp_with};

const MEDIA: &str = "192.0.2.10:4000";

/// An answered call whose trunk ends it after five seconds without RTP.
fn connected() -> (Lab, Peer, CallId) {
    let mut lab = Lab::new();
    let carrier = lab.far_end(vec![(0, Answer(Some(sdp(MEDIA, PCMU))))]);
    lab.trunk(carrier, |trunk| {
        trunk.advanced_config.insert("rtp_timeout".into(), json!(5));
    });
    let call = lab.dial(order(NUMBER));
    lab.pass(100);
    lab.speak(MEDIA, 20_000, 5);
    (lab, carrier, call)
}

fn reinvite(lab: &mut Lab, peer: Peer, does: Does) {
    let now = lab.now().instant;
    let session = lab.peer(peer).last_session.unwrap();
    lab.peer(peer).act(session, does, now);
    lab.pass(50);
}

/// The last 200 that the far end heard.
fn last_answer(lab: &mut Lab, peer: Peer) -> crate::far_end::Heard {
    (*lab.peer(peer).heard_of("200").last().unwrap()).clone()
}

#[test]
fn a_hold_is_answered_in_kind_and_its_silence_ends_nothing() {
    let without_address = sdp(MEDIA, PCMU).replace("c=IN IP4 192.0.2.10", "c=IN IP4 0.0.0.0");
    for (hold, direction) in [
        (sdp_with(MEDIA, PCMU, "sendonly"), "a=recvonly"),
        (sdp_with(MEDIA, PCMU, "inactive"), "a=inactive"),
        (without_address, "a=recvonly"),
    ] {
        let (mut lab, carrier, call) = connected();
        reinvite(&mut lab, carrier, Reinvite(Some(hold), None));
        let answer = last_answer(&mut lab, carrier);
        assert_eq!(answer.sdp_line(direction), direction, "{}", answer.text);
        assert_eq!(lab.peer(carrier).heard_of("BYE").len(), 0);
        lab.pass(30_000);
        assert_eq!(lab.inspect(call).unwrap().events.last().unwrap().kind.as_str(), "held");

        // Resumed, the clock runs anew.
        reinvite(&mut lab, carrier, Reinvite(Some(sdp(MEDIA, PCMU)), None));
        assert_eq!(lab.inspect(call).unwrap().events.last().unwrap().kind.as_str(), "resumed");
        assert_eq!(last_answer(&mut lab, carrier).sdp_line("a=sendrecv"), "a=sendrecv");
        assert_eq!(lab.speak(MEDIA, 20_000, 10), 10);
        lab.pass(6_000);
        assert_eq!(lab.ended(call).cause(), "media_timeout");
        lab.finish();
    }
}

#[test]
fn a_refresh_changes_nothing() {
    let (mut lab, carrier, call) = connected();
    reinvite(&mut lab, carrier, Reinvite(Some(sdp(MEDIA, PCMU)), None));
    let kinds: Vec<_> = lab.inspect(call).unwrap().events.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds.last(), Some(&"media_latched"), "neither held nor resumed");
    assert_eq!(lab.speak(MEDIA, 20_000, 5), 5);
    lab.hang_up(call);
    lab.finish();
}

#[test]
fn a_reinvite_without_an_offer_is_answered_with_one_and_its_ack_decides() {
    let (mut lab, carrier, call) = connected();
    reinvite(&mut lab, carrier, Reinvite(None, Some(sdp("192.0.2.10:6000", PCMA))));
    let ours = last_answer(&mut lab, carrier);
    assert_eq!(ours.sdp_line("m=audio"), "m=audio 20000 RTP/AVP 0 8 101");
    assert!(ours.sdp_line("o=").contains(" 2 IN IP4"), "the version is one higher: {}", ours.text);
    let live = lab.inspect(call).unwrap();
    assert_eq!(live.legs[0].codec, Some(Codec::Pcma));

    // Held by the answer in an ACK, and resumed so.
    reinvite(&mut lab, carrier, Reinvite(None, Some(sdp_with("192.0.2.10:6000", PCMA, "inactive"))));
    lab.pass(10_000);
    assert_eq!(lab.inspect(call).unwrap().events.last().unwrap().kind.as_str(), "held");
    reinvite(&mut lab, carrier, Reinvite(None, Some(sdp("192.0.2.10:6000", PCMA))));
    assert_eq!(lab.inspect(call).unwrap().events.last().unwrap().kind.as_str(), "resumed");
    lab.hang_up(call);
    lab.finish();
}

#[test]
fn a_reinvite_may_change_codec_and_address() {
    let (mut lab, carrier, call) = connected();
    reinvite(&mut lab, carrier, Reinvite(Some(sdp("192.0.2.10:6000", PCMA)), None));
    assert_eq!(last_answer(&mut lab, carrier).sdp_line("m=audio"), "m=audio 20000 RTP/AVP 8");
    assert_eq!(lab.inspect(call).unwrap().legs[0].codec, Some(Codec::Pcma));
    let mut packet = vec![0x80, 8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9];
    packet.extend([0xd5; 160]);
    lab.hear_rtp("192.0.2.10:6000", 20_000, &mut packet);
    let echoed = lab.audio.last().unwrap();
    assert_eq!((echoed.to, echoed.packet[1] & 0x7f), (address("192.0.2.10:6000"), 8));
    lab.hang_up(call);
    lab.finish();
}

#[test]
fn an_offer_that_cannot_be_taken_is_refused_and_the_call_goes_on() {
    let (mut lab, carrier, call) = connected();
    reinvite(&mut lab, carrier, Reinvite(Some(sdp(MEDIA, "18")), None));
    assert_eq!(lab.peer(carrier).heard_of("488").len(), 1);
    assert_eq!(lab.speak(MEDIA, 20_000, 5), 5);
    // A description that was never sent has no number.
    reinvite(&mut lab, carrier, Reinvite(Some(sdp(MEDIA, PCMU)), None));
    let answer = last_answer(&mut lab, carrier);
    assert!(answer.sdp_line("o=").contains(" 2 IN IP4"), "{}", answer.text);
    lab.hang_up(call);
    lab.finish();
}
