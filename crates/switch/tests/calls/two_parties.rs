//! Calls that connect a second party.

use std::time::Duration;

use serde_json::json;
use tandem_media::tone::dominant_hz;
use tandem_model::{CallId, CallStatus, Codec, Connect, DialOrder, HungUpBy};

use crate::far_end::Does::{Answer, Bye, Progress, Reject};
use crate::far_end::{Hearing, Script};
use crate::lab::{Lab, Peer, address, verdicts};
use tandem_lab::setup::{NUMBER, PCMA, PCMU, order, sdp, trunk_id};

const FIRST: &str = "192.0.2.10:4000";
const SECOND: &str = "192.0.2.11:4000";
const SECOND_PARTY: &str = "+12025550111";

fn to_number() -> DialOrder {
    DialOrder { connect: Connect::Number { number: SECOND_PARTY.parse().unwrap() }, ..order(NUMBER) }
}

/// A call whose first party answers at once, and whose second one, over the second trunk, does this.
fn call_between(first_sdp: String, second: Script) -> (Lab, Peer, Peer, CallId) {
    let mut lab = Lab::new();
    let one = lab.far_end(vec![(0, Answer(Some(first_sdp)))]);
    let other = lab.far_end(second);
    lab.trunk(one, |trunk| trunk.outbound.prefixes = vec![NUMBER.into()]);
    lab.trunk(other, |trunk| trunk.outbound.prefixes = vec![SECOND_PARTY.into()]);
    let call = lab.dial(to_number());
    (lab, one, other, call)
}

#[test]
fn a_second_number_is_called_once_the_first_has_answered_and_both_hear_each_other() {
    let (mut lab, one, other, call) = call_between(sdp(FIRST, PCMU), vec![(1_000, Answer(Some(sdp(SECOND, PCMU))))]);
    assert!(lab.peer(other).heard.is_empty());
    lab.pass(3_000);
    assert_eq!(lab.peer(other).first_ms("INVITE"), Some(15));
    assert_eq!((lab.counts().trunk_slots, lab.counts().account_slots), (2, 1), "the call counts once against the tier");
    lab.audio.clear();
    lab.speak(FIRST, 20_000, 10);
    assert!(lab.audio.iter().all(|audio| audio.to == address(SECOND)));
    assert_eq!(lab.speak(SECOND, 20_002, 10), 10);
    assert_eq!(lab.audio.iter().filter(|audio| audio.to == address(FIRST)).count(), 10);

    lab.hang_up(call);
    lab.pass(100);
    assert_eq!((lab.peer(one).heard_of("BYE").len(), lab.peer(other).heard_of("BYE").len()), (1, 1));
    let ended = lab.ended(call);
    assert_eq!(ended.outcomes(), ["answered", "answered"]);
    assert_eq!((ended.record.trunk_id, ended.legs[1].trunk_id), (Some(trunk_id(1)), Some(trunk_id(2))));
    // 3.38 s and 2.37 s: each started second of each leg.
    assert_eq!((ended.legs[0].billed_seconds, ended.legs[1].billed_seconds), (Some(4), Some(3)));
    assert_eq!(ended.record.cost.unwrap().micros(), 7_000);
    lab.finish();
}

#[test]
fn the_second_party_is_offered_the_first_ones_codec_first() {
    let (mut lab, _, other, call) = call_between(sdp(FIRST, PCMA), vec![(0, Answer(Some(sdp(SECOND, "8 0"))))]);
    lab.pass(1_000);
    let invite = lab.peer(other).heard_of("INVITE")[0].clone();
    assert_eq!(invite.sdp_line("m=audio"), "m=audio 20002 RTP/AVP 8 0 101");
    assert_eq!(lab.inspect(call).unwrap().legs[1].codec, Some(Codec::Pcma));
    lab.hang_up(call);
    lab.finish();
}

#[test]
fn the_first_party_hears_ringback_until_the_second_answers() {
    let (mut lab, _, _, call) =
        call_between(sdp(FIRST, PCMU), vec![(0, Progress(180, None)), (3_000, Answer(Some(sdp(SECOND, PCMU))))]);
    lab.pass(1_000);
    let decode = |octet: &u8| tandem_media::g711::Law::Mu.decode(*octet);
    let heard: Vec<i16> = lab.audio.iter().flat_map(|audio| audio.packet[12..].iter().map(decode)).collect();
    assert!(matches!(dominant_hz(&heard, &[440, 480, 1_000]), Some(440 | 480)), "{} samples", heard.len());
    assert!(lab.audio.iter().all(|audio| audio.to == address(FIRST)));
    lab.pass(2_500);
    lab.audio.clear();
    lab.pass(2_000);
    assert!(lab.audio.is_empty(), "no ringback behind the voice");
    lab.hang_up(call);
    lab.finish();
}

#[test]
fn the_first_party_is_sent_silence_while_nothing_is_known_of_the_second() {
    let (mut lab, _, _, call) = call_between(sdp(FIRST, PCMU), Vec::new());
    lab.pass(1_000);
    assert_eq!(lab.audio.len(), 50);
    let decode = |octet: &u8| tandem_media::g711::Law::Mu.decode(*octet).abs();
    assert!(
        lab.audio
            .iter()
            .all(|audio| audio.to == address(FIRST) && audio.packet[12..].iter().map(decode).max() < Some(16))
    );
    lab.hang_up(call);
    lab.finish();
}

#[test]
fn the_first_party_hears_the_seconds_early_media_instead() {
    let second = vec![(0, Progress(180, None)), (500, Progress(183, Some(sdp(SECOND, PCMU))))];
    let (mut lab, _, _, call) = call_between(sdp(FIRST, PCMU), second);
    lab.pass(1_000);
    lab.audio.clear();
    assert_eq!(lab.speak(SECOND, 20_002, 10), 10);
    assert!(lab.audio.iter().all(|audio| audio.to == address(FIRST)));
    lab.hang_up(call);
    lab.finish();
}

#[test]
fn either_partys_hang_up_ends_both() {
    let hangs_up = |media: &str| vec![(0, Answer(Some(sdp(media, PCMU)))), (3_000, Bye)];
    for first_hangs_up in [true, false] {
        let (mut lab, one, other, call) = call_between(sdp(FIRST, PCMU), vec![(0, Answer(Some(sdp(SECOND, PCMU))))]);
        let who = if first_hangs_up { one } else { other };
        lab.peer(who).scripts = [hangs_up(if first_hangs_up { FIRST } else { SECOND })].into();
        lab.pass(4_000);
        let still_there = if first_hangs_up { other } else { one };
        assert_eq!(lab.peer(still_there).heard_of("BYE").len(), 1);
        assert_eq!(lab.peer(who).heard_of("BYE").len(), 0);
        let ended = lab.ended(call);
        assert_eq!((ended.record.status, ended.record.hung_up_by), (CallStatus::Completed, Some(HungUpBy::Callee)));
        assert_eq!(ended.cause(), "normal_clearing");
        lab.finish();
    }
}

#[test]
fn the_first_partys_hang_up_cancels_the_search_for_the_second() {
    let (mut lab, one, other, call) = call_between(sdp(FIRST, PCMU), vec![(0, Progress(180, None))]);
    lab.peer(one).scripts = [vec![(0, Answer(Some(sdp(FIRST, PCMU)))), (2_000, Bye)]].into();
    lab.pass(3_000);
    assert_eq!(lab.peer(other).kinds(), ["INVITE", "CANCEL", "ACK"]);
    let ended = lab.ended(call);
    assert_eq!(ended.outcomes(), ["answered", "canceled"]);
    lab.finish();
}

#[test]
fn a_second_party_that_cannot_be_reached_ends_the_call_with_its_cause() {
    let (mut lab, one, _, call) = call_between(sdp(FIRST, PCMU), vec![(500, Reject(486, Vec::new()))]);
    lab.pass(2_000);
    assert_eq!(lab.peer(one).heard_of("BYE").len(), 1);
    assert!(lab.peer(one).heard_of("BYE")[0].header("Reason").contains("cause=17"));
    let ended = lab.ended(call);
    assert_eq!((ended.record.status, ended.cause()), (CallStatus::Completed, "user_busy"));
    assert_eq!(ended.record.sip_status, Some(486));
    lab.finish();
}

#[test]
fn a_second_party_without_a_route_ends_the_call() {
    let mut lab = Lab::new();
    let one = lab.far_end(vec![(0, Answer(Some(sdp(FIRST, PCMU))))]);
    lab.trunk(one, |trunk| trunk.outbound.prefixes = vec![NUMBER.into()]);
    let call = lab.dial(to_number());
    lab.pass(1_000);
    let ended = lab.ended(call);
    assert_eq!((ended.cause(), ended.legs.len()), ("no_route_to_destination", 1));
    assert_eq!(verdicts(&ended.receipt()), [("trunk-1", "ranked"), ("trunk-1", "prefix_mismatch")]);
    lab.finish();
}

#[test]
fn a_second_party_fails_over_too() {
    let (mut lab, _, other, call) = call_between(sdp(FIRST, PCMU), Vec::new());
    lab.peer(other).hearing = Hearing::Dead;
    let third = lab.far_end(vec![(0, Answer(Some(sdp("192.0.2.12:4000", PCMU))))]);
    lab.trunk(third, |trunk| trunk.outbound.prefixes = vec![SECOND_PARTY.into()]);
    lab.pass(6_000);
    assert_eq!(lab.peer(third).heard_of("INVITE").len(), 1);
    assert_eq!(lab.speak(FIRST, 20_000, 5), 5);
    assert_eq!(lab.audio.last().unwrap().to, address("192.0.2.12:4000"));
    lab.hang_up(call);
    lab.pass(100);
    assert_eq!(lab.ended(call).outcomes(), ["answered", "no_response", "answered"]);
    lab.finish();
}

#[test]
fn a_second_party_may_be_a_sip_address() {
    let mut lab = Lab::new();
    let one = lab.far_end(vec![(0, Answer(Some(sdp(FIRST, PCMU))))]);
    let phone = lab.far_end(vec![(0, Answer(Some(sdp(SECOND, PCMU))))]);
    lab.trunk(one, |_| {});
    let call = lab.dial(DialOrder { connect: Connect::Sip { uri: "sip:alice@192.0.2.11".into() }, ..order(NUMBER) });
    lab.pass(1_000);
    assert!(lab.peer(phone).heard[0].text.starts_with("INVITE sip:alice@192.0.2.11 SIP/2.0"));
    lab.speak(FIRST, 20_000, 2);
    assert_eq!(lab.audio.last().unwrap().to, address(SECOND));
    lab.hang_up(call);
    lab.finish();
}

#[test]
fn the_call_log_shows_the_first_trunk_leg_even_if_it_is_the_second_leg() {
    let mut lab = Lab::new();
    let phone = lab.far_end(vec![(0, Answer(Some(sdp(FIRST, PCMU))))]);
    let carrier = lab.far_end(vec![(0, Answer(Some(sdp(SECOND, PCMU))))]);
    lab.trunk(carrier, |_| {});
    let connect = Connect::Number { number: SECOND_PARTY.parse().unwrap() };
    let call = lab.dial(DialOrder { connect, ..order("sip:bob@192.0.2.10") });
    lab.pass(1_000);
    lab.hang_up(call);
    lab.pass(100);
    let _ = phone;
    let ended = lab.ended(call);
    assert_eq!((ended.legs[0].trunk_id, ended.record.trunk_id), (None, Some(trunk_id(1))));
    assert_eq!(ended.record.sip_call_id.as_deref(), Some(ended.legs[1].sip_call_id.as_str()));
    assert_eq!(ended.record.remote_ip.as_deref(), Some("192.0.2.11"));
    lab.finish();
}

#[test]
fn the_longest_duration_counts_from_the_first_answer() {
    let (mut lab, ..) = call_between(sdp(FIRST, PCMU), vec![(0, Progress(180, None))]);
    let call = lab.dial(DialOrder { max_duration: Duration::from_secs(5), ..to_number() });
    lab.pass(6_000);
    let ended = lab.ended(call);
    assert_eq!((ended.cause(), ended.record.duration_ms), ("max_duration", Some(5_000)));
    assert_eq!(ended.outcomes(), ["answered", "canceled"]);
}

#[test]
fn either_partys_silence_ends_the_call() {
    let (mut lab, _, _, call) = call_between(sdp(FIRST, PCMU), vec![(0, Answer(Some(sdp(SECOND, PCMU))))]);
    lab.change_trunk(2, |trunk| {
        trunk.advanced_config.insert("rtp_timeout".into(), json!(3));
    });
    lab.pass(100);
    lab.hang_up(call);
    let call = lab.dial(to_number());
    lab.pass(100);
    for _ in 0..5 {
        lab.speak(FIRST, 20_004, 50);
    }
    assert_eq!(lab.ended(call).cause(), "media_timeout");
    lab.finish();
}
